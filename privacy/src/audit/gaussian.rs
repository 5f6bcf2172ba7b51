//! What a separation of two unit Gaussians means in ε. [core]

use super::quantile::{bisect, normal_cdf};

/// The ε at which two Gaussians whose means lie `separation` standard deviations apart are (ε, δ)-close, and no smaller.
///
/// # Source
/// Balle and Wang 2018 (arXiv 1805.06530), Theorem 8: δ(ε) = Φ(μ/2 − ε/μ) − e^ε·Φ(−μ/2 − ε/μ).
///
/// # Privacy
/// For lower bounds from measurements: nothing is rounded up, so it is no bound on a loss that is claimed.
pub fn epsilon_of_separation(separation: f64, delta: f64) -> f64 {
    if separation.is_nan() || separation <= 0.0 {
        return 0.0;
    }
    if separation.is_infinite() {
        return f64::INFINITY;
    }
    let loss = |epsilon: f64| {
        let (half, shift) = (separation / 2.0, epsilon / separation);
        normal_cdf(half - shift) - epsilon.exp() * normal_cdf(-half - shift)
    };
    if loss(0.0) <= delta {
        return 0.0;
    }
    // Beyond μ²/2 + 40·μ less than Φ(−40) is left.
    let most = (separation * separation / 2.0 + 40.0 * separation).min(700.0);
    bisect(0.0, most, |epsilon| loss(epsilon) > delta)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with mpmath at 25 digits.
    #[test]
    fn known_answers() {
        for (separation, expected) in [
            (0.2207, 0.927_356_970_658),
            (1.0, 4.886_554_117_46),
            (1.4505, 7.505_279_054_66),
            (2.0, 10.997_151_214_2),
        ] {
            let found = epsilon_of_separation(separation, 1e-6);
            assert!((found - expected).abs() < 1e-8, "{separation}: {found}");
        }
        assert_eq!(epsilon_of_separation(0.0, 1e-6), 0.0);
        assert_eq!(epsilon_of_separation(-1.0, 1e-6), 0.0);
        assert_eq!(epsilon_of_separation(f64::NAN, 1e-6), 0.0);
        assert_eq!(epsilon_of_separation(1e-9, 1e-6), 0.0, "closer than δ in total variation");
    }
}
