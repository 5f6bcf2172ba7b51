//! Validated privacy parameters: the charge in exact integers, the clip and its grid, what protects a release. [core]

pub use guildhall_accountant::PicoRho;
pub use guildhall_ledger::{Protection, Travel};
use guildhall_shared::job::ClippingSpec;

/// The largest integer clip B. Up to here B² and every partial sum of squares that stays within it are exact in f64.
pub const BOUND_MAX: u64 = 1 << 24;

/// The clip of one job over d parameters: C_f, B, the grid γ = C_f / B, and the norm that leaves room for rounding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClippingParameters {
    norm_l2: f64,
    bound: u64,
    parameters: usize,
}

/// Clipping parameters that cannot carry the claim.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ParameterError {
    /// The float clip is not a usable number.
    #[error("clipping.norm_l2: expected a number from 1e-100 to 1e100, found {found}")]
    Norm {
        /// Found.
        found: f64,
    },
    /// The integer clip is out of range.
    #[error("clipping.bound: expected 1 to {BOUND_MAX}, found {found}")]
    Bound {
        /// Found.
        found: u64,
    },
    /// The grid is too coarse for so many parameters: B < 64·√d.
    #[error("clipping.bound: expected at least 64·√d for d = {parameters} parameters, found {found}")]
    GridTooCoarse {
        /// d.
        parameters: usize,
        /// Found.
        found: u64,
    },
    /// A model without parameters.
    #[error("the model: expected at least one parameter, found none")]
    NoParameters,
}

impl ClippingParameters {
    /// Checks the clip of a job against its number of parameters.
    ///
    /// # Errors
    /// [`ParameterError`] when the numbers cannot carry the claim, above all B < 64·√d.
    pub fn new(spec: &ClippingSpec, parameters: usize) -> Result<Self, ParameterError> {
        let ClippingSpec { norm_l2, bound } = *spec;
        if !(1e-100..=1e100).contains(&norm_l2) {
            return Err(ParameterError::Norm { found: norm_l2 });
        }
        if !(1..=BOUND_MAX).contains(&bound) {
            return Err(ParameterError::Bound { found: bound });
        }
        if parameters == 0 {
            return Err(ParameterError::NoParameters);
        }
        if u128::from(bound).pow(2) < 4096 * parameters as u128 {
            return Err(ParameterError::GridTooCoarse { parameters, found: bound });
        }
        Ok(ClippingParameters { norm_l2, bound, parameters })
    }

    /// C_f, the float L2 clip.
    pub fn norm_l2(&self) -> f64 {
        self.norm_l2
    }

    /// B, the exact integer L2 bound.
    pub fn bound(&self) -> u64 {
        self.bound
    }

    /// d.
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// γ, the value of one integer step.
    pub fn grid(&self) -> f64 {
        self.norm_l2 / self.bound as f64
    }

    /// 1/γ, integer steps in one unit of a contribution.
    pub fn steps_per_unit(&self) -> f64 {
        self.bound as f64 / self.norm_l2
    }

    /// (C_f − γ·√d/2)/γ = B − √d/2: rounding every coordinate to the grid cannot lift a vector of this norm over B.
    ///
    /// # Units
    /// Integer steps.
    pub fn safe_norm_steps(&self) -> f64 {
        self.bound as f64 - (self.parameters as f64).sqrt() / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accountant::zcdp;
    use crate::test_environment::TabularJob;
    use guildhall_shared::job::{Aggregation, PrivacySpec};
    use guildhall_shared::round_parameters::RoundParameters;

    #[test]
    fn clipping_that_cannot_carry_the_claim_is_refused() {
        let new = |norm_l2, bound, d| ClippingParameters::new(&ClippingSpec { norm_l2, bound }, d);
        assert!(new(0.6, 1 << 20, 577).is_ok());
        assert!(new(1.0, 64 * 8, 64).is_ok());
        assert_eq!(
            new(1.0, 64 * 8 - 1, 64),
            Err(ParameterError::GridTooCoarse { parameters: 64, found: 511 })
        );
        assert_eq!(new(1.0, BOUND_MAX + 1, 1), Err(ParameterError::Bound { found: BOUND_MAX + 1 }));
        assert_eq!(new(1.0, 1 << 20, 0), Err(ParameterError::NoParameters));
        for norm in [0.0, -1.0, f64::INFINITY, 1e-200] {
            assert!(matches!(new(norm, 1 << 20, 4), Err(ParameterError::Norm { .. })), "{norm}");
        }
        assert!(new(f64::NAN, 1 << 20, 4).is_err());
    }

    #[test]
    fn what_is_reserved_follows_from_the_numbers_of_the_round() {
        for aggregation in [Aggregation::Masked, Aggregation::Plain] {
            let job = TabularJob { aggregation, ..TabularJob::default() }.spec();
            let PrivacySpec::Gaussian { noise_standard_deviation: sigma, .. } = job.privacy else {
                panic!("has noise")
            };
            let parameters = RoundParameters::derive(&job, 9).expect("has rounds");
            let (expected, honest_shares) = match aggregation {
                Aggregation::Masked => (Travel::Masked { colluders: 2 }, 6),
                Aggregation::Plain => (Travel::Plain, 1),
            };
            assert_eq!(Travel::of(&parameters), expected);
            let protection = Protection::of(&parameters, &job.privacy);
            let noise_standard_deviation_local = parameters.noise_standard_deviation_local;
            let bound = 1 << 20;
            assert_eq!(
                protection,
                Protection::Gaussian { bound, noise_standard_deviation_local, honest_shares, delta: 1e-6 }
            );
            // Never more than the job's own noise costs, and no less than rounding σ_local up makes it.
            let job_noise = zcdp::charge(bound, 1, sigma);
            assert!(protection.charge() <= job_noise);
            assert!(protection.charge().pico() > job_noise.pico() / 10_000 * 9_999);
            let open = TabularJob { aggregation, epsilon: None, ..TabularJob::default() }.spec();
            let parameters = RoundParameters::derive(&open, 9).expect("has rounds");
            assert_eq!(Protection::of(&parameters, &open.privacy), Protection::None);
            assert_eq!(Travel::of(&parameters), expected, "masked or not, with noise or without");
        }
    }
}
