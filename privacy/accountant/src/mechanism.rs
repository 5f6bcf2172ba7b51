//! The mechanisms whose losses are accounted for, with their numbers checked. [core]

/// A Gaussian mechanism, perhaps over a Poisson sample.
///
/// Every unit enters by an independent secret coin of probability `sampling_rate`; the sum of what entered, in which one
/// unit moves a vector of norm at most 1, gets noise of standard deviation `noise_multiplier`. The loss is that of one
/// unit being there or not (add or remove one), against an adversary that does not see who entered. Whatever is computed
/// from such a release costs no more, so a discrete Gaussian of the same shape may stand here with a noise multiplier
/// divided by [`crate::gaussian::ROUNDING_FACTOR`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampledGaussian {
    noise_multiplier: f64,
    sampling_rate: f64,
}

/// A discrete Gaussian over one whole number, not sampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiscreteGaussian {
    noise_standard_deviation: f64,
    sensitivity: u32,
}

/// What one step of a composition does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mechanism {
    /// With float noise in theory, with rounded noise in practice.
    Gaussian(SampledGaussian),
    /// Over one whole number.
    Discrete(DiscreteGaussian),
}

/// Numbers that describe no mechanism we account for.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum MechanismError {
    /// Beyond the floats, or no protection worth a number.
    #[error("noise multiplier: expected a number from 0.01 to 1e6, found {found}")]
    NoiseMultiplier {
        /// Found.
        found: f64,
    },
    /// Not a probability, or next to none.
    #[error("sampling rate: expected a number from 1e-6 to 1, found {found}")]
    SamplingRate {
        /// Found.
        found: f64,
    },
    /// Too many values to enumerate, or none.
    #[error(
        "discrete noise: expected a standard deviation from 0.01 to 10000 times the sensitivity and at most 10000, found {found}"
    )]
    Discrete {
        /// Found.
        found: f64,
    },
}

impl SampledGaussian {
    /// A Gaussian mechanism in which everybody takes part.
    ///
    /// # Errors
    /// [`MechanismError`] outside of the range in which the accountants keep their accuracy.
    pub fn everybody(noise_multiplier: f64) -> Result<Self, MechanismError> {
        Self::new(noise_multiplier, 1.0)
    }

    /// A Gaussian mechanism over a Poisson sample.
    ///
    /// # Errors
    /// [`MechanismError`] outside of the ranges in which the accountants keep their accuracy.
    pub fn new(noise_multiplier: f64, sampling_rate: f64) -> Result<Self, MechanismError> {
        if !(0.01..=1e6).contains(&noise_multiplier) {
            return Err(MechanismError::NoiseMultiplier { found: noise_multiplier });
        }
        if !(1e-6..=1.0).contains(&sampling_rate) {
            return Err(MechanismError::SamplingRate { found: sampling_rate });
        }
        Ok(SampledGaussian { noise_multiplier, sampling_rate })
    }

    /// Standard deviation over clip.
    pub fn noise_multiplier(self) -> f64 {
        self.noise_multiplier
    }

    /// Probability with which a unit enters.
    pub fn sampling_rate(self) -> f64 {
        self.sampling_rate
    }
}

impl DiscreteGaussian {
    /// Noise N_Z(0, σ²) on a whole number that one unit changes by `sensitivity`.
    ///
    /// # Errors
    /// [`MechanismError`] where its values are too many to enumerate: take it as a Gaussian there.
    pub fn new(noise_standard_deviation: f64, sensitivity: u32) -> Result<Self, MechanismError> {
        let ratio = noise_standard_deviation / f64::from(sensitivity);
        if !((0.01..=1e4).contains(&ratio) && noise_standard_deviation <= 1e4) {
            return Err(MechanismError::Discrete { found: noise_standard_deviation });
        }
        Ok(DiscreteGaussian { noise_standard_deviation, sensitivity })
    }

    /// σ.
    pub fn noise_standard_deviation(self) -> f64 {
        self.noise_standard_deviation
    }

    /// Δ.
    pub fn sensitivity(self) -> u32 {
        self.sensitivity
    }
}

impl From<SampledGaussian> for Mechanism {
    fn from(mechanism: SampledGaussian) -> Self {
        Mechanism::Gaussian(mechanism)
    }
}

impl From<DiscreteGaussian> for Mechanism {
    fn from(mechanism: DiscreteGaussian) -> Self {
        Mechanism::Discrete(mechanism)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_refused_with_what_was_found() {
        for z in [0.0, -1.0, 0.009, 2e6, f64::NAN, f64::INFINITY] {
            let error = SampledGaussian::everybody(z).expect_err("not a noise multiplier").to_string();
            assert!(error.contains(&format!("found {z}")), "{error}");
        }
        for q in [0.0, -0.1, 1.01, f64::NAN] {
            assert!(matches!(SampledGaussian::new(1.0, q), Err(MechanismError::SamplingRate { .. })), "{q}");
        }
        for (sigma, sensitivity) in [(0.0, 1), (1.0, 0), (1e9, 1), (f64::NAN, 1), (1.0, 1_000)] {
            assert!(DiscreteGaussian::new(sigma, sensitivity).is_err(), "{sigma} {sensitivity}");
        }
    }
}
