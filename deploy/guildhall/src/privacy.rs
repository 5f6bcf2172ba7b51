//! `guildhall privacy`: what a budget is worth, with the accountant that enforces it.

use guildhall_privacy::accountant::zcdp::epsilon_upper_bound;

use crate::error::CommandError;

/// ε of a total ρ, or of a noise multiplier (σ over the clip) over so many rounds.
pub fn epsilon(
    rho: Option<f64>,
    noise_multiplier: Option<f64>,
    rounds: Option<u32>,
    delta: f64,
) -> Result<f64, CommandError> {
    if !(delta > 0.0 && delta < 1.0) {
        return Err(CommandError::message(format!(
            "--delta: expected a number between 0 and 1, found {delta}"
        )));
    }
    let rho = match (rho, noise_multiplier, rounds) {
        (Some(rho), None, None) => rho,
        // Each release costs 1/(2z²); releases add up.
        (None, Some(z), Some(rounds)) if z > 0.0 => f64::from(rounds) / (2.0 * z * z),
        _ => {
            return Err(CommandError::message(
                "expected --rho R, or --noise-multiplier Z above 0 with --rounds T",
            ));
        }
    };
    if !(rho >= 0.0 && rho.is_finite()) {
        return Err(CommandError::message(format!(
            "--rho: expected a finite number of at least 0, found {rho}"
        )));
    }
    Ok(epsilon_upper_bound(rho, delta))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        for (rho, expected) in [(0.1, 2.142), (0.5, 5.222), (1.0, 7.766), (2.0, 11.689)] {
            let found = epsilon(Some(rho), None, None, 1e-6).expect("good");
            assert!((found - expected).abs() < 5e-4, "{rho}: {found}");
        }
        // z = 10 over 200 rounds is ρ = 1.
        let found = epsilon(None, Some(10.0), Some(200), 1e-6).expect("good");
        assert!((found - 7.766).abs() < 5e-4);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(epsilon(Some(-1.0), None, None, 1e-6).is_err());
        assert!(epsilon(Some(f64::NAN), None, None, 1e-6).is_err());
        assert!(epsilon(Some(1.0), None, None, 0.0).is_err());
        assert!(epsilon(None, Some(0.0), Some(1), 1e-6).is_err());
    }
}
