//! The discrete Gaussian N_Z(0, σ²) in bulk, exactly, from a seed. No float takes part in anything. [core]
//!
//! [`DiscreteGaussian::fill`] turns 32 secret bytes into samples, at a rate near that of the stream cipher. *Exactly* means:
//! were the key stream of ChaCha20 ideal random bits, every integer x would appear with probability
//! f(x) / Σ f, where f(x) = exp(−x²/(2σ²)), without any error, for every rational σ² with 1 ≤ σ < 2^53. What each bit is
//! used for is specified in `docs/privacy.md`, section "The sampler", and pinned by known answers.
//!
//! # The algorithm
//!
//! Rejection under a staircase. The half line is cut into strips of whole width w = ⌈σ/64⌉; strip k holds x = kw … kw + w − 1.
//! An attempt
//! 1. picks one of 2^14 slots, of which strip k has W_k, a whole number with 2^16·W_k ≥ c·f(kw);
//! 2. picks x in the strip uniformly, and a sign, each half the time;
//! 3. fails if x is zero with a minus;
//! 4. is accepted with probability P = c·f(x) / (2^16·W_k), which is at most 1 because f falls.
//!
//! From strip 254 on, beyond 3.97 σ, there is a tail of blocks of 16 strips: W_T slots lead to it, block i is picked with
//! probability 2^-(i+1), and P = c·2^(i+5)·f(x) / (2^16·W_T), where 2^16·W_T ≥ 32·c·f(254w).
//!
//! # Why it is exact
//!
//! * An attempt ends accepted at ±x in strip k with probability W_k/2^14 · 1/w · 1/2 · c·f(x)/(2^16·W_k) = f(x) · c/(2^31·w).
//! * In block i of the tail it is W_T/2^14 · 2^-(i+1) · 1/(16w) · 1/2 · c·2^(i+5)·f(x)/(2^16·W_T) = f(x) · c/(2^31·w):
//!   the same multiple of f. Zero has one sign, like any other integer. So what is accepted has weights f(x).
//! * In the tail P ≤ 1 because f(254w + 16wi) ≤ f(254w)·2^-i: the exponent falls by at least 254w·16wi/σ² ≥ 0.99·i > i·ln 2,
//!   as w ≥ σ/64.
//! * Attempts are independent: each has bytes of its own.
//! * A uniform x below m comes from a word B as ⌊B·m/2^64⌋, where the surplus words are drawn again (Lemire 2019).
//! * *Accepted with probability P* means U < P for a uniform real number U, of which only the first 17 bits are drawn. They leave U
//!   in a cell of the unit interval. If P is not in it the answer is certain, otherwise 64 more bits are drawn, until it is.
//! * Where P lies is worked out between bounds: integers rounded down for the lower bound, up for the upper one, at every step.
//!   If the bounds of 63 bits do not tell, which happens once in about 2^50 attempts, integers of any size do; from block 16 of
//!   the tail on, once in 2^30 attempts, they do at once. As P is irrational for x ≠ 0 (Lindemann), close enough bounds always tell. For x = 0, P is a fraction, and the bounds are equal to it.
//! * W_k = ⌈c·F_k/2^56⌉ with F_k = ⌈2^40·f(kw)⌉, from the same bounds. Exactness needs of W_k only that it covers.
//!
//! Two in a hundred attempts are not accepted at a glance, by 17 bits below a lower bound for the whole strip. The glance only
//! shortens the way to the same answer; the tests compare both.
//!
//! # Time
//!
//! Not constant. How long an attempt takes depends on whether it is decided at a glance, which depends a little on the
//! sample; table look-ups touch memory that depends on it too. So draw noise before private rows are read, let no message or log say
//! how long it took, and do not share a core with whoever must not know the noise.
//!
//! # What stays in memory
//!
//! Seed, cipher state and key stream are wiped. The samples are the caller's to wipe.

mod decision;
mod exponential;
mod gaussian;
mod natural;
mod proposal;
mod stream;
mod variance;

pub use gaussian::DiscreteGaussian;
pub use stream::Seed;
pub use variance::{STANDARD_DEVIATION_END, Variance};

/// What can go wrong. Nothing in it depends on samples that were used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SamplerError {
    /// The variance is out of range.
    #[error(
        "variance: expected from 1 to less than 2^106 with a denominator from 1 to 65535, found {numerator}/{denominator}"
    )]
    Variance {
        /// Found.
        numerator: u128,
        /// Found.
        denominator: u32,
    },
    /// A block of the tail beyond 2^62 was proposed. Its probability is below 2^-2000: suspect the seed.
    #[error("a proposed sample did not fit 64 bits")]
    OutOfRange,
    /// One seed gives 2^38 bytes.
    #[error("more samples were asked for than one seed has bytes for")]
    StreamExhausted,
}
