//! The integer-clipped shopper sum x = Σ_u z_u: sensitivity as a fact about integers. [core]
//!
//! For each shopper u with contribution g:
//! ```text
//! a value that is not finite      →  z = 0, counted
//! v = g / γ · min(1, (B − √d/2) / ‖g / γ‖₂)
//! z = round half to even (v);    Σ z² > B²  →  z = 0, counted
//! ```
//! Where the clip adapts, z has one more coordinate, ±β, whose square counts in the check too, and b = ⌊√(B² − β²)⌋ takes the
//! place of B in the second line.
//!
//! The floats only decide how much of a contribution is kept. The bound ‖z‖₂ ≤ B is checked on the integers
//! themselves, so leaving one shopper out moves x by at most B whatever the floats did.
//! The rounding sees one shopper and nothing else, so z cannot depend on anybody else.

use zeroize::Zeroizing;

use crate::parameter::ClippingParameters;
use crate::update::ClippedSum;

mod adaptive;
mod outer;
mod sparse;
#[cfg(test)]
mod tests;

pub use outer::OuterGradient;
pub use sparse::SparseBlock;

/// 1.5·2^52. Adding it to |v| < 2^51 leaves v, rounded half to even, in the low bits of the float.
const ROUNDING_SHIFT: f64 = 6_755_399_441_055_744.0;

/// Independent partial sums, so that the compiler can use vector instructions. The order of additions is fixed.
const LANES: usize = 8;

/// 2^-600, exact: brings the largest floats to where their squares can be summed.
const HUGE_SCALE: f64 = f64::from_bits((1023 - 600) << 52);

/// What became of one shopper's contribution. For local counts only: never sent, logged or acted upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClipOutcome {
    /// Clipped, rounded and added.
    Added,
    /// A value was not a number or infinite: zero was added.
    NonFinite,
    /// The integers exceeded B, or blocks of a sparse contribution overlapped: zero was added.
    OverBound,
}

/// How many contributions had which outcome. For the merchant's own eyes: a function of private rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClipTally {
    /// Contributions added.
    pub added: u64,
    /// Contributions replaced by zero because a value was not finite.
    pub non_finite: u64,
    /// Contributions replaced by zero because the integers exceeded B, or because an index came twice.
    pub over_bound: u64,
}

/// The running sum over shoppers.
///
/// # Shapes
/// d words, or d + 1 where the clip adapts, and d words of scratch; no allocation after [`ShopperSum::new`].
///
/// # Privacy
/// Wiped when dropped. The sum of two shoppers' integers may wrap around 2^64: that costs utility, never privacy.
pub struct ShopperSum {
    parameters: ClippingParameters,
    sum: Zeroizing<Vec<i64>>,
    scratch: Zeroizing<Vec<i64>>,
    tally: ClipTally,
}

impl ShopperSum {
    /// A sum over nobody.
    pub fn new(parameters: &ClippingParameters) -> Self {
        let zeros = |words| Zeroizing::new(vec![0; words]);
        let (sum, scratch) = (zeros(parameters.words()), zeros(parameters.parameters()));
        ShopperSum { parameters: *parameters, sum, scratch, tally: ClipTally::default() }
    }

    /// Clips, rounds and adds one shopper's contribution. Call it exactly once for each shopper that enters the round.
    ///
    /// # Shapes
    /// `contribution` d values, or empty for a shopper without rows.
    ///
    /// # Privacy
    /// Moves the sum by an integer vector of L2 norm at most B, a function of this contribution alone.
    ///
    /// # Panics
    /// When `contribution` is neither empty nor d long; both lengths are public.
    pub fn add(&mut self, contribution: &[f64]) -> ClipOutcome {
        if contribution.is_empty() {
            self.tally.added += 1;
            return ClipOutcome::Added;
        }
        let expected = self.parameters.parameters();
        assert_eq!(contribution.len(), expected, "a contribution has one value for each parameter");
        let (outcome, norm_steps) = quantise(&self.parameters, contribution, &mut self.scratch);
        self.indicate(norm_steps);
        match outcome {
            ClipOutcome::Added => {
                self.tally.added += 1;
                add_wrapping(&mut self.sum, &self.scratch);
            }
            ClipOutcome::NonFinite => self.tally.non_finite += 1,
            ClipOutcome::OverBound => self.tally.over_bound += 1,
        }
        outcome
    }

    /// Adds a sum over other shoppers. Wrapping addition is exact and commutes: any split gives the same bits.
    ///
    /// # Panics
    /// When the two were made for different parameters.
    pub fn merge(&mut self, other: ShopperSum) {
        assert_eq!(self.parameters, other.parameters, "only sums on the same grid can be merged");
        add_wrapping(&mut self.sum, &other.sum);
        self.tally.added += other.tally.added;
        self.tally.non_finite += other.tally.non_finite;
        self.tally.over_bound += other.tally.over_bound;
    }

    /// The finished sum, which can only be noised, and the local counts.
    pub fn finish(self) -> (ClippedSum, ClipTally) {
        (ClippedSum::of_shoppers(self.sum, self.parameters.bound()), self.tally)
    }
}

pub(crate) fn add_wrapping(sum: &mut [i64], terms: &[i64]) {
    for (word, term) in sum.iter_mut().zip(terms) {
        *word = word.wrapping_add(*term);
    }
}

/// One shopper's integers, written to `out`, and the length of its contribution in steps, not finite where it is too long
/// for a float. Unless the outcome is [`ClipOutcome::Added`], `out` must not be used.
fn quantise(parameters: &ClippingParameters, contribution: &[f64], out: &mut [i64]) -> (ClipOutcome, f64) {
    let norm_steps = norm_l2(contribution, parameters.steps_per_unit());
    let outcome = match scale(parameters, contribution, norm_steps) {
        Some((unit, factor)) => quantise_scaled(parameters, contribution, unit, factor, out),
        None => ClipOutcome::NonFinite,
    };
    (outcome, norm_steps)
}

/// The integers of (g·unit)·factor, if they are within the bound. Sound for any unit and factor.
fn quantise_scaled(
    parameters: &ClippingParameters,
    contribution: &[f64],
    unit: f64,
    factor: f64,
    out: &mut [i64],
) -> ClipOutcome {
    within_bound(parameters, round_to_integers(contribution, unit, factor, out))
}

/// The check that carries the claim: whether integers with this sum of squares, added up in floats, are within B, together
/// with the extra coordinate where the clip adapts.
///
/// The sum is exact wherever it is at most B² ≤ 2^48: sums of whole numbers round only beyond 2^53, rounding is
/// monotone, and terms are never negative, so a true sum beyond 2^53 cannot come back below it.
fn within_bound(parameters: &ClippingParameters, squares: f64) -> ClipOutcome {
    let bound = parameters.bound() as f64;
    let indicator = parameters.indicator().unwrap_or(0) as f64;
    // Written so that NaN fails too.
    if squares + indicator * indicator <= bound * bound { ClipOutcome::Added } else { ClipOutcome::OverBound }
}

/// (unit, factor) with v = (g·unit)·factor, or nothing where a value is not finite.
fn scale(parameters: &ClippingParameters, contribution: &[f64], norm_steps: f64) -> Option<(f64, f64)> {
    let (unit, safe) = (parameters.steps_per_unit(), parameters.safe_norm_steps());
    if norm_steps.is_finite() {
        return Some((unit, (safe / norm_steps).min(1.0)));
    }
    // Either something is not finite, or finite values are so large that a square is not.
    let norm = norm_l2(contribution, HUGE_SCALE);
    norm.is_finite().then(|| (HUGE_SCALE, safe / norm))
}

/// ‖g·unit‖₂ in floats, additions in a fixed order; not finite when a value is not, or a square overflows.
fn norm_l2(contribution: &[f64], unit: f64) -> f64 {
    let (chunks, rest) = contribution.as_chunks::<LANES>();
    let mut lanes = [0.0f64; LANES];
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            let scaled = value * unit;
            *lane += scaled * scaled;
        }
    }
    let rest: f64 = rest.iter().map(|value| (value * unit) * (value * unit)).sum();
    (lanes.iter().sum::<f64>() + rest).sqrt()
}

/// Writes round half to even (g·unit·factor) and returns the sum of its squares.
fn round_to_integers(contribution: &[f64], unit: f64, factor: f64, out: &mut [i64]) -> f64 {
    let (chunks, rest) = contribution.as_chunks::<LANES>();
    let (out_chunks, out_rest) = out.as_chunks_mut::<LANES>();
    let mut lanes = [0.0f64; LANES];
    for (chunk, out_chunk) in chunks.iter().zip(out_chunks) {
        for ((lane, value), word) in lanes.iter_mut().zip(chunk).zip(out_chunk) {
            let (integer, float) = round(value * unit * factor);
            *word = integer;
            *lane += float * float;
        }
    }
    let mut squares: f64 = lanes.iter().sum();
    for (value, word) in rest.iter().zip(out_rest) {
        let (integer, float) = round(value * unit * factor);
        *word = integer;
        squares += float * float;
    }
    squares
}

/// Round half to even, as an integer and as the same float. Where |v| ≥ 2^51 the two may differ, and the float is
/// at least 2^50, far over any bound.
#[inline(always)]
fn round(value: f64) -> (i64, f64) {
    let shifted = value + ROUNDING_SHIFT;
    let integer = (shifted.to_bits() as i64).wrapping_sub(ROUNDING_SHIFT.to_bits() as i64);
    (integer, shifted - ROUNDING_SHIFT)
}
