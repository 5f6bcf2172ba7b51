//! Validated privacy parameters: the charge in exact integers, the clip and its grid, what protects a release. [core]

use std::fmt;

use guildhall_shared::job::{ClippingSpec, PrivacySpec};
use guildhall_shared::round_parameters::RoundParameters;
use serde::{Deserialize, Serialize};

use crate::accountant::zcdp;

/// The largest integer clip B. Up to here B² and every partial sum of squares that stays within it are exact in f64.
pub const BOUND_MAX: u64 = 1 << 24;

/// Pico-ρ in one ρ.
const PICO: u128 = 1_000_000_000_000;

/// A zero-concentrated privacy loss ρ, counted in whole units of 10⁻¹² and always rounded up. Sums are exact.
///
/// # Units
/// 10⁻¹² ρ (zCDP, Bun and Steinke 2016).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PicoRho(u128);

impl PicoRho {
    /// No loss.
    pub const ZERO: Self = PicoRho(0);
    /// More than any budget: what a release without noise would cost.
    pub const UNBOUNDED: Self = PicoRho(u128::MAX);

    /// From a count of 10⁻¹² ρ.
    pub const fn from_pico(pico: u128) -> Self {
        PicoRho(pico)
    }

    /// The count of 10⁻¹² ρ.
    pub const fn pico(self) -> u128 {
        self.0
    }

    /// The smallest whole count that is not below `rho`. Not a number, negative or infinite: [`PicoRho::UNBOUNDED`].
    pub fn from_rho_ceiling(rho: f64) -> Self {
        match whole_and_rest(rho) {
            Some((whole, exact)) => PicoRho(whole.saturating_add(u128::from(!exact))),
            None => Self::UNBOUNDED,
        }
    }

    /// The sum, or nothing when it cannot be represented.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(PicoRho)
    }

    /// The sum; [`PicoRho::UNBOUNDED`] when it cannot be represented.
    pub fn saturating_add(self, other: Self) -> Self {
        PicoRho(self.0.saturating_add(other.0))
    }

    /// This loss, so many times over; [`PicoRho::UNBOUNDED`] when it cannot be represented.
    pub fn saturating_mul(self, times: u64) -> Self {
        PicoRho(self.0.saturating_mul(u128::from(times)))
    }

    /// A float that is not below this ρ.
    pub fn rho_upper_bound(self) -> f64 {
        if self.0 == 0 {
            return 0.0;
        }
        // Two roundings to nearest (the conversion and the division), each undone by at most one step up.
        ((self.0 as f64).next_up() / PICO as f64).next_up()
    }
}

/// ⌊ρ·10¹²⌋ and whether nothing was cut, in exact integer arithmetic.
fn whole_and_rest(rho: f64) -> Option<(u128, bool)> {
    if !(rho >= 0.0 && rho.is_finite()) {
        return None;
    }
    let bits = rho.to_bits();
    let (exponent, fraction) = ((bits >> 52) as i32, bits & ((1 << 52) - 1));
    let (mantissa, shift) =
        if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent - 1075) };
    let product = u128::from(mantissa) * PICO;
    if shift >= 0 {
        let shifted = product.checked_mul(1u128.checked_shl(shift.unsigned_abs())?)?;
        return Some((shifted, true));
    }
    match product.checked_shr(shift.unsigned_abs()) {
        Some(whole) => Some((whole, whole << shift.unsigned_abs() == product)),
        None => Some((0, product == 0)),
    }
}

impl fmt::Display for PicoRho {
    /// ρ as an exact decimal number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::UNBOUNDED {
            return f.write_str("unbounded");
        }
        let digits = format!("{}.{:012}", self.0 / PICO, self.0 % PICO);
        f.write_str(digits.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// What protects one release, in integer units of the grid.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Protection {
    /// Clip to B and discrete Gaussian noise.
    Gaussian {
        /// B, the integer L2 clip of one unit of privacy.
        bound: u64,
        /// σ_local, the standard deviation of this merchant's own noise share.
        noise_standard_deviation_local: u64,
        /// h, the honest noise shares surely in the sum; 1 where every merchant adds its full noise.
        honest_shares: u64,
        /// δ the job states its ε at.
        delta: f64,
    },
    /// Clip and grid but no noise: no formal protection from whoever reads the model.
    None,
}

impl Protection {
    /// What protects a release in a round with these numbers.
    pub fn of(parameters: &RoundParameters, privacy: &PrivacySpec) -> Self {
        match *privacy {
            PrivacySpec::Gaussian { delta, .. } => Protection::Gaussian {
                bound: parameters.clipping_bound,
                noise_standard_deviation_local: parameters.noise_standard_deviation_local,
                honest_shares: u64::from(parameters.honest_noise_shares),
                delta,
            },
            PrivacySpec::None { .. } => Protection::None,
        }
    }

    /// h; 0 without noise.
    pub fn honest_shares(&self) -> u64 {
        match *self {
            Protection::Gaussian { honest_shares, .. } => honest_shares,
            Protection::None => 0,
        }
    }

    /// What one release costs: ⌈10¹²·B²/(2·h·σ²)⌉, and zero for a release that claims no privacy at all.
    pub fn charge(&self) -> PicoRho {
        match *self {
            Protection::Gaussian { bound, noise_standard_deviation_local, honest_shares, .. } => {
                zcdp::charge(bound, honest_shares, noise_standard_deviation_local)
            }
            Protection::None => PicoRho::ZERO,
        }
    }
}

/// How the update of a round travels, and so whom its [`Protection`] is stated against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Travel {
    /// Plain mode: the server reads the update. What protects it is this merchant's own noise alone, whoever colludes.
    Plain,
    /// Secure aggregation: the server reads the sum of at least m_min updates.
    Masked {
        /// C: the charge is stated against the server and so many colluding merchants.
        colluders: u32,
    },
}

impl Travel {
    /// How updates travel in a round with these numbers.
    pub fn of(parameters: &RoundParameters) -> Self {
        match &parameters.secagg {
            Some(secagg) => Travel::Masked { colluders: secagg.colluders },
            None => Travel::Plain,
        }
    }
}

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
    use crate::test_environment::TabularJob;
    use guildhall_shared::job::Aggregation;

    #[test]
    fn rounding_up_is_exact() {
        assert_eq!(PicoRho::from_rho_ceiling(0.0), PicoRho::ZERO);
        assert_eq!(PicoRho::from_rho_ceiling(1.0), PicoRho::from_pico(PICO));
        assert_eq!(PicoRho::from_rho_ceiling(0.5), PicoRho::from_pico(PICO / 2));
        assert_eq!(PicoRho::from_rho_ceiling(1.0f64.next_up()), PicoRho::from_pico(PICO + 1));
        assert_eq!(PicoRho::from_rho_ceiling(f64::MIN_POSITIVE / 4.0), PicoRho::from_pico(1));
        // 0.1 as a float is a little more than a tenth, 0.3 a little less than three.
        assert_eq!(PicoRho::from_rho_ceiling(0.1), PicoRho::from_pico(PICO / 10 + 1));
        assert_eq!(PicoRho::from_rho_ceiling(0.3), PicoRho::from_pico(3 * PICO / 10));
        for unusable in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
            assert_eq!(PicoRho::from_rho_ceiling(unusable), PicoRho::UNBOUNDED, "{unusable}");
        }
    }

    #[test]
    fn the_float_is_never_below() {
        for pico in [1, 2, 999, PICO - 1, PICO, PICO + 1, 12_345_678_901_234_567, (1 << 90) + 1] {
            let rho = PicoRho::from_pico(pico);
            assert!(PicoRho::from_rho_ceiling(rho.rho_upper_bound()) >= rho, "{pico}");
            assert!(rho.rho_upper_bound() <= pico as f64 / 1e12 * (1.0 + 1e-15), "{pico}");
        }
    }

    #[test]
    fn shown_as_a_decimal() {
        let shown = [0, 1, PICO, PICO / 2, 24_350_000_000].map(|p| PicoRho::from_pico(p).to_string());
        assert_eq!(shown, ["0", "0.000000000001", "1", "0.5", "0.02435"]);
        assert_eq!(PicoRho::UNBOUNDED.to_string(), "unbounded");
        assert_eq!(PicoRho::UNBOUNDED.checked_add(PicoRho::from_pico(1)), None);
    }

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
    fn a_release_without_noise_parameters_is_beyond_any_budget() {
        let protection = |sigma, h| Protection::Gaussian {
            bound: 1 << 20,
            noise_standard_deviation_local: sigma,
            honest_shares: h,
            delta: 1e-6,
        };
        assert_eq!(protection(0, 1).charge(), PicoRho::UNBOUNDED);
        assert_eq!(protection(1 << 20, 0).charge(), PicoRho::UNBOUNDED);
        assert_eq!(protection(1 << 20, 1).charge(), PicoRho::from_pico(PICO / 2));
        assert_eq!(Protection::None.charge(), PicoRho::ZERO);
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
