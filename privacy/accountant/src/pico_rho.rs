//! A privacy loss in whole units of 10⁻¹² ρ. [core]

use std::fmt;

use serde::{Deserialize, Serialize};

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
