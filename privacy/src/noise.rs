//! Noise: where it comes from, and a share of it that can be used once.

pub mod bulk;
pub mod opendp;
#[cfg(test)]
mod statistics;

use zeroize::Zeroizing;

pub use bulk::BulkNoise;
pub use guildhall_accountant::{NOISE_STANDARD_DEVIATION_END, NOISE_STANDARD_DEVIATION_MIN};
pub use opendp::OpenDpNoise;

/// Noise that could not be drawn. Nothing about it depends on rows.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoiseError {
    /// The standard deviation is out of range.
    #[error(
        "noise standard deviation: expected a whole number from {NOISE_STANDARD_DEVIATION_MIN} to 2^53 - 1, found {found}"
    )]
    StandardDeviation {
        /// Found.
        found: u64,
    },
    /// The generator failed, for want of entropy.
    #[error("the noise generator failed: {reason}")]
    Generator {
        /// In the generator's words.
        reason: String,
    },
    /// A sample did not fit i64. Its probability is below e^-500000: suspect the source.
    #[error("a noise sample did not fit 64 bits")]
    OutOfRange,
}

/// Where noise comes from: [`BulkNoise`] wherever rows are real, [`OpenDpNoise`] in its place or to check it, a scripted
/// one in a simulator.
pub trait NoiseSource {
    /// Fills `out` with independent samples of the discrete Gaussian N_Z(0, standard_deviation²).
    ///
    /// # Errors
    /// [`NoiseError`]; `out` must not be used then.
    fn fill(&mut self, standard_deviation: u64, out: &mut [i64]) -> Result<(), NoiseError>;
}

/// One merchant's noise for one release: d fresh samples that remember their σ. Wiped when dropped.
///
/// Consumed by [`ClippedSum::add_noise`](crate::update::ClippedSum::add_noise), so it cannot serve twice:
/// ```compile_fail,E0382
/// # use guildhall_privacy::{clip::ShopperSum, noise::NoiseShare};
/// fn twice(first: ShopperSum, second: ShopperSum, share: NoiseShare) {
///     let _ = first.finish().0.add_noise(share);
///     let _ = second.finish().0.add_noise(share);
/// }
/// ```
/// and cannot be copied:
/// ```compile_fail,E0277
/// # use guildhall_privacy::noise::NoiseShare;
/// fn copy<T: Clone>(_: &T) {}
/// fn copy_noise(share: &NoiseShare) {
///     copy(share)
/// }
/// ```
/// Used once, the same code compiles:
/// ```
/// # use guildhall_privacy::{clip::ShopperSum, noise::NoiseShare};
/// fn once(first: ShopperSum, share: NoiseShare) {
///     let _ = first.finish().0.add_noise(share);
/// }
/// ```
pub struct NoiseShare {
    samples: Zeroizing<Vec<i64>>,
    standard_deviation: u64,
}

impl NoiseShare {
    /// Draws fresh noise. Draw it before training, so that the time this takes says nothing about rows.
    ///
    /// # Errors
    /// [`NoiseError`] when the standard deviation is outside [2^10, 2^53) or the source fails.
    pub fn draw(
        source: &mut dyn NoiseSource,
        standard_deviation: u64,
        parameters: usize,
    ) -> Result<Self, NoiseError> {
        if !(NOISE_STANDARD_DEVIATION_MIN..NOISE_STANDARD_DEVIATION_END).contains(&standard_deviation) {
            return Err(NoiseError::StandardDeviation { found: standard_deviation });
        }
        let mut samples = Zeroizing::new(vec![0; parameters]);
        source.fill(standard_deviation, &mut samples)?;
        Ok(NoiseShare { samples, standard_deviation })
    }

    /// σ_local, in integer units.
    pub fn standard_deviation(&self) -> u64 {
        self.standard_deviation
    }

    pub(crate) fn samples(&self) -> &[i64] {
        &self.samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Constant;
    impl NoiseSource for Constant {
        fn fill(&mut self, _: u64, out: &mut [i64]) -> Result<(), NoiseError> {
            out.fill(7);
            Ok(())
        }
    }

    #[test]
    fn a_share_remembers_its_standard_deviation_and_refuses_a_bad_one() {
        let share = NoiseShare::draw(&mut Constant, 1 << 10, 3).expect("in range");
        assert_eq!((share.samples(), share.standard_deviation()), (&[7, 7, 7][..], 1 << 10));
        for found in [0, (1 << 10) - 1, 1 << 53, u64::MAX] {
            let refused = NoiseShare::draw(&mut Constant, found, 3).err();
            assert_eq!(refused, Some(NoiseError::StandardDeviation { found }));
        }
    }
}
