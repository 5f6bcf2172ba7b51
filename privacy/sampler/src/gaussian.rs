//! Attempts, accepted or not, over the stream. [core]

use zeroize::Zeroizing;

use crate::SamplerError;
use crate::decision::{Judge, Threshold};
use crate::exponential::Bell;
use crate::proposal::{
    HEAD_BITS, Proposal, SCALE_FRACTION_BITS, SLOT_BITS, STRIPS, TAIL, TAIL_BLOCK_STRIPS, TAIL_DOUBLINGS,
};
use crate::stream::{Attempts, FurtherWords, Seed};
use crate::variance::Variance;

/// Bytes of one attempt: four that choose, eight that place.
const ATTEMPT_BYTES: usize = 12;
/// Attempts whose bytes are made at a time, 192 blocks of the cipher: they stay in the first-level cache.
const ATTEMPTS_PER_CHUNK: usize = 1024;

/// N_Z(0, σ²): the distribution on the whole numbers with probability proportional to exp(−x²/(2σ²)).
#[derive(Clone, Debug)]
pub struct DiscreteGaussian {
    proposal: Proposal,
    judge: Judge,
}

/// The 32 bits that choose, taken apart.
#[derive(Clone, Copy)]
struct Choice {
    slot: usize,
    is_negative: bool,
    head: u32,
}

impl Choice {
    fn new(word: u32) -> Self {
        Choice {
            slot: (word >> (32 - SLOT_BITS)) as usize,
            is_negative: word >> HEAD_BITS & 1 == 1,
            head: word & ((1 << HEAD_BITS) - 1),
        }
    }

    fn sign(self, x: u64) -> i64 {
        if self.is_negative { -(x as i64) } else { x as i64 }
    }
}

impl DiscreteGaussian {
    /// Makes the tables of one σ: some hundred exponentials, tens of microseconds.
    pub fn new(variance: Variance) -> Self {
        let bell = Bell::new(variance);
        DiscreteGaussian { proposal: Proposal::new(variance, &bell), judge: Judge::new(bell) }
    }

    /// Fills `out` with independent samples. They are a function of σ and the seed.
    ///
    /// Takes a time that depends on the samples. The seed is used up: whoever knows it knows the samples.
    ///
    /// # Errors
    /// [`SamplerError::StreamExhausted`] beyond 2·10¹⁰ samples, [`SamplerError::OutOfRange`] practically never;
    /// `out` must not be used then.
    pub fn fill(&self, seed: Seed, out: &mut [i64]) -> Result<(), SamplerError> {
        let (mut attempts, mut further) = (Attempts::new(&seed), FurtherWords::new(&seed));
        let mut bytes = Zeroizing::new([0; ATTEMPT_BYTES * ATTEMPTS_PER_CHUNK]);
        let mut rest = out;
        while !rest.is_empty() {
            // A few more than are needed if none fails; the bytes of an attempt do not depend on this.
            let count = (rest.len() + rest.len() / 32 + 4).min(ATTEMPTS_PER_CHUNK);
            let chunk = &mut bytes[..ATTEMPT_BYTES * count];
            attempts.fill(chunk)?;
            let filled = self.attempt_each(chunk, &mut further, rest)?;
            rest = &mut rest[filled..];
        }
        Ok(())
    }

    /// Makes the attempts of `bytes` until `out` is full; returns how many samples there are.
    fn attempt_each(
        &self,
        bytes: &[u8],
        further: &mut FurtherWords,
        out: &mut [i64],
    ) -> Result<usize, SamplerError> {
        let Proposal { slots, accepted_heads, width, .. } = &self.proposal;
        let (attempts, _) = bytes.as_chunks::<ATTEMPT_BYTES>();
        let mut filled = 0;
        for &[a, b, c, d, ref place @ ..] in attempts {
            let Some(sample) = out.get_mut(filled) else { break };
            let choice = Choice::new(u32::from_le_bytes([a, b, c, d]));
            let place = u64::from_le_bytes(*place);
            let strip = slots[choice.slot];
            let product = u128::from(place) * u128::from(*width);
            let x = u64::from(strip) * width + (product >> 64) as u64;
            // The likely case, and only it: surely accepted, surely uniform, and not minus zero.
            let is_accepted = choice.head < accepted_heads[usize::from(strip)];
            if is_accepted && product as u64 >= *width && (x != 0 || !choice.is_negative) {
                *sample = choice.sign(x);
                filled += 1;
            } else if let Some(found) = self.attempt(choice, place, further)? {
                *sample = found;
                filled += 1;
            }
        }
        Ok(filled)
    }

    /// One attempt in full.
    #[cold]
    #[inline(never)]
    fn attempt(
        &self,
        choice: Choice,
        place: u64,
        further: &mut FurtherWords,
    ) -> Result<Option<i64>, SamplerError> {
        let Proposal { slots, weights, width, scale, .. } = &self.proposal;
        let strip = slots[choice.slot];
        let Some(weight) = weights.get(usize::from(strip)) else { return Ok(None) };
        let (x, doublings) = if strip == TAIL {
            let block = trailing_zeros(further)?;
            let block_width = TAIL_BLOCK_STRIPS * width;
            let start = block
                .checked_mul(block_width)
                .and_then(|start| start.checked_add(STRIPS as u64 * width))
                .filter(|start| *start < 1 << 62)
                .ok_or(SamplerError::OutOfRange)?;
            (start + uniform_below(block_width, place, further)?, TAIL_DOUBLINGS + block)
        } else {
            (u64::from(strip) * width + uniform_below(*width, place, further)?, 0)
        };
        if x == 0 && choice.is_negative {
            return Ok(None);
        }
        let divisor = u64::from(*weight) << SCALE_FRACTION_BITS;
        let threshold = Threshold { x, factor: *scale, doublings, divisor };
        let accepted = self.judge.accepts(&threshold, choice.head.into(), HEAD_BITS, further)?;
        Ok(accepted.then(|| choice.sign(x)))
    }
}

/// A uniform number below `end`, from a uniform word: ⌊word·end / 2^64⌋, or another word where the product's low half
/// is one of the 2^64 mod `end` that some results have too many of (Lemire 2019).
fn uniform_below(end: u64, word: u64, further: &mut FurtherWords) -> Result<u64, SamplerError> {
    let surplus = end.wrapping_neg() % end;
    let mut word = word;
    loop {
        let product = u128::from(word) * u128::from(end);
        if product as u64 >= surplus {
            return Ok((product >> 64) as u64);
        }
        word = further.next()?;
    }
}

/// Zeros before the first one, from the lowest bit of the next word: i with probability 2^-(i+1).
fn trailing_zeros(further: &mut FurtherWords) -> Result<u64, SamplerError> {
    let mut zeros = 0;
    loop {
        let word = further.next()?;
        zeros += u64::from(word.trailing_zeros());
        if word != 0 {
            return Ok(zeros);
        }
    }
}

#[cfg(test)]
mod tests;
