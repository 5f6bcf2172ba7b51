//! Validated privacy parameters: the charge in exact integers, the clip and its grid, what protects a release. [core]

pub use guildhall_accountant::PicoRho;
pub use guildhall_ledger::{Protection, Travel};
use guildhall_shared::job::{ClippingSpec, JobSpec};
use guildhall_shared::model_state::ModelState;

/// The largest integer clip B. Up to here B² and every partial sum of squares that stays within it are exact in f64.
pub const BOUND_MAX: u64 = 1 << 24;

/// The clip of one round over d parameters: C_f, B, the grid γ = C_f / B, and the norm that leaves room for rounding.
///
/// Where the clip adapts, β of B goes to a coordinate of its own and the greatest b with b² + β² ≤ B² to the other d.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClippingParameters {
    norm_l2: f64,
    bound: u64,
    parameters: usize,
    /// β and b.
    indicator: Option<(u64, u64)>,
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
    /// The extra coordinate of a clip that adapts leaves no room for the contribution, or too little.
    #[error(
        "clipping.adaptive.indicator_share: expected to leave at least 64·√d of clipping.bound for d = {parameters} parameters, found {found} steps of {bound}"
    )]
    Indicator {
        /// B.
        bound: u64,
        /// d.
        parameters: usize,
        /// β.
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
        Ok(ClippingParameters { norm_l2, bound, parameters, indicator: None })
    }

    /// Of the round that trains from a model version: of the job's clip, or where it adapts of the version's.
    ///
    /// # Errors
    /// [`ParameterError`], as [`ClippingParameters::new`].
    pub fn of_round(job: &JobSpec, state: &ModelState) -> Result<Self, ParameterError> {
        let parameters = job.model().parameter_count();
        let constant = Self::new(&state.clipping(job), parameters)?;
        let Some(rule) = job.adaptive_clip else { return Ok(constant) };
        let (found, left) = (rule.indicator, rule.bound_left(constant.bound));
        if found == 0 || u128::from(left).pow(2) < 4096 * parameters as u128 {
            return Err(ParameterError::Indicator { bound: constant.bound, parameters, found });
        }
        Ok(ClippingParameters { indicator: Some((found, left)), ..constant })
    }

    /// C_f, the float L2 clip.
    pub fn norm_l2(&self) -> f64 {
        self.norm_l2
    }

    /// B, the exact integer L2 bound of all words together.
    pub fn bound(&self) -> u64 {
        self.bound
    }

    /// β, one shopper's extra coordinate either way; none where the clip is constant.
    pub fn indicator(&self) -> Option<u64> {
        self.indicator.map(|(indicator, _)| indicator)
    }

    /// The bound of the d coordinates of the contribution: B, or b where the clip adapts.
    pub fn contribution_bound(&self) -> u64 {
        self.indicator.map_or(self.bound, |(_, left)| left)
    }

    /// d.
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// Words of the sum: d, and one more where the clip adapts.
    pub fn words(&self) -> usize {
        self.parameters + usize::from(self.indicator.is_some())
    }

    /// γ, the value of one integer step.
    pub fn grid(&self) -> f64 {
        self.norm_l2 / self.bound as f64
    }

    /// 1/γ, integer steps in one unit of a contribution.
    pub fn steps_per_unit(&self) -> f64 {
        self.bound as f64 / self.norm_l2
    }

    /// (C_f − γ·√d/2)/γ = B − √d/2: rounding every coordinate to the grid cannot lift a vector of this norm over B; with b
    /// in the place of B where the clip adapts.
    ///
    /// # Units
    /// Integer steps.
    pub fn safe_norm_steps(&self) -> f64 {
        self.contribution_bound() as f64 - (self.parameters as f64).sqrt() / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accountant::zcdp;
    use crate::test_environment::TabularJob;
    use guildhall_shared::job::{AdaptiveClip, Aggregation, PrivacySpec};
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
    fn a_round_is_clipped_as_its_version_says() {
        let job = TabularJob::default().spec();
        let state = ModelState::initial(&job);
        let d = job.model().parameter_count();
        let constant = ClippingParameters::of_round(&job, &state).expect("legal");
        assert_eq!(Ok(constant), ClippingParameters::new(&job.clipping, d));
        assert_eq!((constant.words(), constant.indicator()), (d, None));
        let rule =
            AdaptiveClip { indicator: 1 << 19, quantile: 0.5, rate: 0.2, norm_min: 0.1, norm_max: 9.0 };
        let job = JobSpec { adaptive_clip: Some(rule), ..job };
        let state = ModelState { clip: Some(3.0), ..ModelState::initial(&job) };
        let clipping = ClippingParameters::of_round(&job, &state).expect("legal");
        assert_eq!((clipping.norm_l2(), clipping.bound()), (3.0, 1 << 20));
        assert_eq!((clipping.parameters(), clipping.words()), (d, d + 1));
        // √(2^40 − 2^38) = 908093.6
        assert_eq!((clipping.indicator(), clipping.contribution_bound()), (Some(1 << 19), 908_093));
        assert_eq!(clipping.safe_norm_steps(), 908_093.0 - (d as f64).sqrt() / 2.0);
        assert_eq!(clipping.grid(), 3.0 / f64::from(1 << 20));
        // What the job's own check refuses is refused here once more.
        for indicator in [0, (1 << 20) - 1, 1 << 20, u64::MAX] {
            let job = JobSpec { adaptive_clip: Some(AdaptiveClip { indicator, ..rule }), ..job.clone() };
            let refused = ClippingParameters::of_round(&job, &state);
            let expected = ParameterError::Indicator { bound: 1 << 20, parameters: d, found: indicator };
            assert_eq!(refused, Err(expected));
        }
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
