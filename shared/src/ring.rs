//! Vectors over the ring of integers modulo 2^32 or 2^64. [core]
//!
//! A merchant's integer update is reduced into the ring, sums wrap, and the server's result is read back as the
//! representative nearest zero. [`RingWidth::narrowest_for`] proves beforehand that the true sum cannot wrap.

use serde::{Deserialize, Serialize};

/// Whether something is added or taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Added.
    Add,
    /// Taken away.
    Subtract,
}

impl Sign {
    /// The other sign.
    pub fn opposite(self) -> Self {
        match self {
            Sign::Add => Sign::Subtract,
            Sign::Subtract => Sign::Add,
        }
    }
}

/// How many bits a ring word has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RingWidth {
    /// Words of 4 bytes.
    Bits32,
    /// Words of 8 bytes.
    Bits64,
}

/// The true sum could wrap around even the 64-bit ring.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "the sum may reach {magnitude}, which the 64-bit ring cannot hold: lower the shoppers per merchant, the integer clip or the noise"
)]
pub struct RingOverflow {
    magnitude: u128,
}

/// What the overflow rule is asked about.
#[derive(Clone, Copy, Debug)]
pub struct SumBound {
    /// n, the length of the roster.
    pub merchants: u64,
    /// M, shoppers per merchant and round the ring is sized for.
    pub shoppers_per_merchant_max: u64,
    /// B, the integer clip.
    pub clipping_bound: u64,
    /// σ_local, the standard deviation of one merchant's noise, in integer units.
    pub noise_standard_deviation_local: u64,
}

impl SumBound {
    /// n·M·B + 14·σ_local·⌈√n⌉: no coordinate of the noised sum is larger but with negligible probability
    /// (14 standard deviations: below 2^-140 per coordinate).
    pub fn magnitude(&self) -> u128 {
        let root_ceiling = u128::from(self.merchants.isqrt()) + 1;
        u128::from(self.merchants)
            .saturating_mul(u128::from(self.shoppers_per_merchant_max))
            .saturating_mul(u128::from(self.clipping_bound))
            .saturating_add(14 * u128::from(self.noise_standard_deviation_local) * root_ceiling)
    }
}

impl RingWidth {
    /// The narrowest ring whose centred range holds the sum.
    ///
    /// # Errors
    /// [`RingOverflow`] when not even 64 bits do.
    pub fn narrowest_for(bound: &SumBound) -> Result<Self, RingOverflow> {
        let magnitude = bound.magnitude();
        if magnitude < 1 << 31 {
            Ok(RingWidth::Bits32)
        } else if magnitude < 1 << 63 {
            Ok(RingWidth::Bits64)
        } else {
            Err(RingOverflow { magnitude })
        }
    }

    /// Bytes per word.
    pub fn bytes(self) -> usize {
        match self {
            RingWidth::Bits32 => 4,
            RingWidth::Bits64 => 8,
        }
    }

    /// Appends integers as little-endian ring words.
    ///
    /// # Shapes
    /// `integers` d, `out` d words more.
    pub fn write(self, integers: &[i64], out: &mut Vec<u8>) {
        match self {
            RingWidth::Bits32 => append(integers, out, |x| (x as u32).to_le_bytes()),
            RingWidth::Bits64 => append(integers, out, i64::to_le_bytes),
        }
    }
}

/// A vector modulo 2^64 or 2^32: an update, a masked update, a running sum.
///
/// # Shapes
/// d words; memory d times the width.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingVector(Words);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Words {
    Narrow(Vec<u32>),
    Wide(Vec<u64>),
}

/// Bytes that are not d ring words.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected {expected} bytes of ring words, found {found}")]
pub struct RingShapeError {
    /// Bytes expected.
    pub expected: usize,
    /// Bytes found.
    pub found: usize,
}

impl RingVector {
    /// All zero.
    pub fn zero(width: RingWidth, parameters: usize) -> Self {
        RingVector(match width {
            RingWidth::Bits32 => Words::Narrow(vec![0; parameters]),
            RingWidth::Bits64 => Words::Wide(vec![0; parameters]),
        })
    }

    /// Integers, reduced into the ring.
    pub fn from_integers(width: RingWidth, integers: &[i64]) -> Self {
        RingVector(match width {
            RingWidth::Bits32 => Words::Narrow(integers.iter().map(|x| *x as u32).collect()),
            RingWidth::Bits64 => Words::Wide(integers.iter().map(|x| *x as u64).collect()),
        })
    }

    /// Bytes of the encoding.
    pub fn bytes(&self) -> usize {
        match &self.0 {
            Words::Narrow(words) => words.len() * 4,
            Words::Wide(words) => words.len() * 8,
        }
    }

    /// The words, little endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write_bytes(&mut out);
        out
    }

    /// The words, little endian; the vector's memory is freed.
    pub fn into_bytes(self) -> Vec<u8> {
        self.to_bytes()
    }

    /// Appends the words, little endian: one pass, into memory the caller may use again.
    pub fn write_bytes(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Words::Narrow(words) => append(words, out, u32::to_le_bytes),
            Words::Wide(words) => append(words, out, u64::to_le_bytes),
        }
    }

    /// Adds one vector of little-endian words, wrapping.
    ///
    /// # Errors
    /// [`RingShapeError`] when the length is wrong; the vector is unchanged then.
    pub fn add_bytes(&mut self, bytes: &[u8]) -> Result<(), RingShapeError> {
        let expected = self.bytes();
        if bytes.len() != expected {
            return Err(RingShapeError { expected, found: bytes.len() });
        }
        self.for_each_chunk(expected.max(1), |mut chunk| chunk.add(bytes, Sign::Add));
        Ok(())
    }

    /// The integers nearest zero.
    pub fn centred(&self) -> Vec<i64> {
        match &self.0 {
            Words::Narrow(words) => words.iter().map(|word| i64::from(*word as i32)).collect(),
            Words::Wide(words) => words.iter().map(|word| *word as i64).collect(),
        }
    }

    /// Hands out the vector in pieces of at most `chunk_bytes`, a multiple of 8.
    pub(crate) fn for_each_chunk(&mut self, chunk_bytes: usize, mut work: impl FnMut(Chunk<'_>)) {
        match &mut self.0 {
            Words::Narrow(words) => {
                words.chunks_mut(chunk_bytes.div_ceil(4)).for_each(|words| work(Chunk::Narrow(words)))
            }
            Words::Wide(words) => {
                words.chunks_mut(chunk_bytes.div_ceil(8)).for_each(|words| work(Chunk::Wide(words)))
            }
        }
    }
}

/// Words written at a time: what is zeroed before it is written is still in the first-level cache.
const APPENDED_WORDS: usize = 512;

fn append<W: Copy, const N: usize>(words: &[W], out: &mut Vec<u8>, bytes: impl Fn(W) -> [u8; N]) {
    out.reserve(words.len() * N);
    for words in words.chunks(APPENDED_WORDS) {
        let start = out.len();
        out.resize(start + words.len() * N, 0);
        let (places, _) = out[start..].as_chunks_mut::<N>();
        places.iter_mut().zip(words).for_each(|(place, word)| *place = bytes(*word));
    }
}

/// A piece of a vector.
pub(crate) enum Chunk<'a> {
    Narrow(&'a mut [u32]),
    Wide(&'a mut [u64]),
}

impl<'a> Chunk<'a> {
    /// Bytes of its encoding.
    #[inline(always)]
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Chunk::Narrow(words) => words.len() * 4,
            Chunk::Wide(words) => words.len() * 8,
        }
    }

    /// The same piece, lent on.
    pub(crate) fn reborrow(&mut self) -> Chunk<'_> {
        match self {
            Chunk::Narrow(words) => Chunk::Narrow(words),
            Chunk::Wide(words) => Chunk::Wide(words),
        }
    }

    /// Takes up to `bytes`, a multiple of 8, off the front.
    #[inline(always)]
    pub(crate) fn take(&mut self, bytes: usize) -> Chunk<'a> {
        match self {
            Chunk::Narrow(words) => Chunk::Narrow(front(words, bytes / 4)),
            Chunk::Wide(words) => Chunk::Wide(front(words, bytes / 8)),
        }
    }

    /// Adds or subtracts as many little-endian words, wrapping.
    // Inlined so that callers compiled for wider vector instructions have them used here too.
    #[inline(always)]
    pub(crate) fn add(&mut self, bytes: &[u8], sign: Sign) {
        match (self, sign) {
            (Chunk::Narrow(words), Sign::Add) => narrow(words, bytes, u32::wrapping_add),
            (Chunk::Narrow(words), Sign::Subtract) => narrow(words, bytes, u32::wrapping_sub),
            (Chunk::Wide(words), Sign::Add) => wide(words, bytes, u64::wrapping_add),
            (Chunk::Wide(words), Sign::Subtract) => wide(words, bytes, u64::wrapping_sub),
        }
    }
}

#[inline(always)]
fn front<'a, W>(words: &mut &'a mut [W], count: usize) -> &'a mut [W] {
    let all = std::mem::take(words);
    let (front, rest) = all.split_at_mut(count.min(all.len()));
    *words = rest;
    front
}

#[inline(always)]
fn narrow(words: &mut [u32], bytes: &[u8], combine: impl Fn(u32, u32) -> u32) {
    let (chunks, _) = bytes.as_chunks::<4>();
    for (word, chunk) in words.iter_mut().zip(chunks) {
        *word = combine(*word, u32::from_le_bytes(*chunk));
    }
}

#[inline(always)]
fn wide(words: &mut [u64], bytes: &[u8], combine: impl Fn(u64, u64) -> u64) {
    let (chunks, _) = bytes.as_chunks::<8>();
    for (word, chunk) in words.iter_mut().zip(chunks) {
        *word = combine(*word, u64::from_le_bytes(*chunk));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sums_that_fit_come_back_exactly(a in prop::collection::vec(-1_000_000_000i64..1_000_000_000, 1..40), wide: bool) {
            let width = if wide { RingWidth::Bits64 } else { RingWidth::Bits32 };
            let b: Vec<i64> = a.iter().rev().copied().collect();
            let mut sum = RingVector::zero(width, a.len());
            for vector in [&a, &b] {
                let mut bytes = Vec::new();
                width.write(vector, &mut bytes);
                sum.add_bytes(&bytes).expect("the right length");
            }
            let expected: Vec<i64> = a.iter().zip(&b).map(|(x, y)| x + y).collect();
            prop_assert_eq!(sum.centred(), expected);
        }
    }

    #[test]
    fn bytes_are_the_words_in_order_at_every_length() {
        for length in [0, 1, 2, 511, 512, 513, 1024, 1500] {
            let integers: Vec<i64> = (0..length).map(|i| (i - 700) * 0x0123_4567_89ab % (1 << 31)).collect();
            for width in [RingWidth::Bits32, RingWidth::Bits64] {
                let expected: Vec<u8> =
                    integers.iter().flat_map(|x| x.to_le_bytes()[..width.bytes()].to_vec()).collect();
                let vector = RingVector::from_integers(width, &integers);
                let (mut written, mut appended) = (Vec::new(), vec![7]);
                width.write(&integers, &mut written);
                vector.write_bytes(&mut appended);
                assert_eq!(written, expected);
                assert_eq!(vector.to_bytes(), expected);
                assert_eq!((appended[0], &appended[1..]), (7, &expected[..]));
                assert_eq!(vector.centred(), integers);
                assert_eq!(vector.clone().into_bytes().len(), vector.bytes());
            }
        }
    }

    #[test]
    fn pieces_are_taken_and_given_in_order() {
        for width in [RingWidth::Bits32, RingWidth::Bits64] {
            let mut vector = RingVector::from_integers(width, &[10; 37]);
            let words: Vec<i64> = (0..37).collect();
            let mut bytes = Vec::new();
            width.write(&words, &mut bytes);
            let mut from = 0;
            vector.for_each_chunk(40, |mut chunk| {
                let until = from + chunk.bytes();
                assert!(chunk.bytes() <= 40);
                chunk.add(&bytes[from..until], Sign::Subtract);
                from = until;
            });
            assert_eq!(vector.centred(), words.iter().map(|word| 10 - word).collect::<Vec<i64>>());
            assert_eq!(from, bytes.len());
        }
    }

    #[test]
    fn sums_wrap() {
        for (width, most) in [(RingWidth::Bits32, i64::from(i32::MAX)), (RingWidth::Bits64, i64::MAX)] {
            let mut sum = RingVector::from_integers(width, &[most, -most - 1]);
            sum.add_bytes(&RingVector::from_integers(width, &[1, -1]).to_bytes()).expect("two words");
            assert_eq!(sum.centred(), [-most - 1, most]);
        }
    }

    #[test]
    fn a_wrong_length_leaves_the_sum_unchanged() {
        let mut sum = RingVector::zero(RingWidth::Bits32, 2);
        sum.add_bytes(&[1, 0, 0, 0, 255, 255, 255, 255]).expect("two words");
        assert_eq!(sum.add_bytes(&[1; 9]), Err(RingShapeError { expected: 8, found: 9 }));
        assert_eq!(sum.centred(), [1, -1]);
    }

    #[test]
    fn the_overflow_rule_picks_the_width() {
        let bound = |m, b, s| SumBound {
            merchants: 9,
            shoppers_per_merchant_max: m,
            clipping_bound: b,
            noise_standard_deviation_local: s,
        };
        assert_eq!(RingWidth::narrowest_for(&bound(1, 1 << 10, 0)), Ok(RingWidth::Bits32));
        assert_eq!(RingWidth::narrowest_for(&bound(1 << 12, 1 << 20, 1 << 24)), Ok(RingWidth::Bits64));
        assert!(RingWidth::narrowest_for(&bound(u64::MAX, u64::MAX, 0)).is_err());
        assert!(RingWidth::narrowest_for(&bound(1, 1, 1 << 60)).is_err());
    }
}
