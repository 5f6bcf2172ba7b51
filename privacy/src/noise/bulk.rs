//! Our own exact discrete Gaussian, over a stream cipher that the operating system seeds. \[shell\]
//!
//! The sampler and the proof of its exactness are in [`guildhall_sampler`]. Every fill draws a fresh seed of 32 bytes and
//! forgets it: nothing is kept between fills that a fork or a copy of the process could repeat.

use guildhall_sampler::{DiscreteGaussian, SamplerError, Seed, Variance};
use zeroize::Zeroizing;

use super::{NoiseError, NoiseSource};

/// Discrete Gaussian noise in bulk. The default wherever rows are real.
#[derive(Clone, Copy, Debug, Default)]
pub struct BulkNoise;

impl NoiseSource for BulkNoise {
    fn fill(&mut self, standard_deviation: u64, out: &mut [i64]) -> Result<(), NoiseError> {
        let variance = Variance::of_standard_deviation(standard_deviation)
            .map_err(|_| NoiseError::StandardDeviation { found: standard_deviation })?;
        let mut entropy = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *entropy)
            .map_err(|error| NoiseError::Generator { reason: error.to_string() })?;
        DiscreteGaussian::new(variance).fill(Seed::from_entropy(*entropy), out).map_err(|error| match error {
            SamplerError::OutOfRange => NoiseError::OutOfRange,
            other => NoiseError::Generator { reason: other.to_string() },
        })
    }
}
