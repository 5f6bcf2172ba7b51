//! Vectors over the ring of integers modulo 2^32 or 2^64. [core]
//!
//! A merchant's integer update is reduced into the ring, sums wrap, and the server's result is read back as the
//! representative nearest zero. [`RingWidth::narrowest_for`] proves beforehand that the true sum cannot wrap.

use serde::{Deserialize, Serialize};

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

    /// Writes integers as little-endian ring words.
    ///
    /// # Shapes
    /// `integers` d, `out` d words.
    pub fn write(self, integers: &[i64], out: &mut Vec<u8>) {
        out.reserve(integers.len() * self.bytes());
        match self {
            RingWidth::Bits32 => {
                integers.iter().for_each(|x| out.extend_from_slice(&(*x as u32).to_le_bytes()))
            }
            RingWidth::Bits64 => integers.iter().for_each(|x| out.extend_from_slice(&x.to_le_bytes())),
        }
    }
}

/// A running sum modulo 2^64 or 2^32, read back centred.
///
/// # Shapes
/// d words; memory 8·d bytes whatever the number of merchants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingSum {
    width: RingWidth,
    words: Vec<u64>,
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

impl RingSum {
    /// A sum of nothing.
    pub fn zero(width: RingWidth, parameters: usize) -> Self {
        RingSum { width, words: vec![0; parameters] }
    }

    /// Adds one vector of little-endian words, wrapping.
    ///
    /// # Errors
    /// [`RingShapeError`] when the length is wrong; the sum is unchanged then.
    pub fn add_bytes(&mut self, bytes: &[u8]) -> Result<(), RingShapeError> {
        let expected = self.words.len() * self.width.bytes();
        if bytes.len() != expected {
            return Err(RingShapeError { expected, found: bytes.len() });
        }
        match self.width {
            RingWidth::Bits32 => add_words::<4>(&mut self.words, bytes, |b| u64::from(u32::from_le_bytes(b))),
            RingWidth::Bits64 => add_words::<8>(&mut self.words, bytes, u64::from_le_bytes),
        }
        Ok(())
    }

    /// The sum as signed integers nearest zero.
    pub fn centred(&self) -> Vec<i64> {
        match self.width {
            RingWidth::Bits32 => self.words.iter().map(|w| i64::from(*w as u32 as i32)).collect(),
            RingWidth::Bits64 => self.words.iter().map(|w| *w as i64).collect(),
        }
    }
}

fn add_words<const N: usize>(words: &mut [u64], bytes: &[u8], read: impl Fn([u8; N]) -> u64) {
    let (chunks, _) = bytes.as_chunks::<N>();
    for (word, chunk) in words.iter_mut().zip(chunks) {
        *word = word.wrapping_add(read(*chunk));
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
            let mut sum = RingSum::zero(width, a.len());
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
    fn a_wrong_length_leaves_the_sum_unchanged() {
        let mut sum = RingSum::zero(RingWidth::Bits32, 2);
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
