//! OpenDP's exact integer discrete Gaussian. The only file that names the library. \[shell\]
//!
//! The sampler (Canonne, Kamath, Steinke 2020) works on rational numbers throughout; no float is involved. It is
//! called directly instead of through `make_gaussian`, which wraps the same sampler but clamps to the ends of i64.
//! Its bits come from `RAND_priv_bytes` of a vendored OpenSSL, because the feature `use-openssl` is on; why that
//! matters is written in `docs/design/0001-noise-randomness.md`.

use opendp::traits::samplers::sample_discrete_gaussian;

use super::{NoiseError, NoiseSource};

/// Discrete Gaussian noise from OpenDP with secure randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenDpNoise;

impl NoiseSource for OpenDpNoise {
    fn fill(&mut self, standard_deviation: u64, out: &mut [i64]) -> Result<(), NoiseError> {
        for word in out {
            let sample = sample_discrete_gaussian(standard_deviation.into())
                .map_err(|error| NoiseError::Generator { reason: error.to_string() })?;
            *word = i64::try_from(sample).map_err(|_| NoiseError::OutOfRange)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use opendp::combinators::ConcentratedMeasure;
    use opendp::measures::ZeroConcentratedDivergence;

    use super::*;
    use crate::accountant::zcdp::epsilon_upper_bound;

    /// Statically linked OpenSSL leaves its source file names in the program; without the feature there is none.
    #[test]
    fn randomness_is_that_of_openssl() {
        // Written backwards, so that this text itself is not what is found.
        let needle: Vec<u8> = "c.bil_dnar/dnar/otpyrc".bytes().rev().collect();
        let program = std::env::current_exe().and_then(std::fs::read).expect("the test program can be read");
        let mut sample = [0];
        OpenDpNoise.fill(1 << 10, &mut sample).expect("the sampler is linked in");
        assert!(
            program.windows(needle.len()).any(|window| window == needle),
            "this build draws noise without OpenSSL: is the feature use-openssl of opendp off?"
        );
    }

    #[test]
    fn two_draws_differ() {
        let (mut first, mut second) = ([0; 16], [0; 16]);
        OpenDpNoise.fill(1 << 40, &mut first).expect("draws");
        OpenDpNoise.fill(1 << 40, &mut second).expect("draws");
        assert_ne!(first, second, "a coincidence has probability below 2^-600");
    }

    /// The conversion against OpenDP's own. Both search, so a little float noise either way is allowed.
    #[test]
    fn epsilon_agrees_with_opendp() {
        for rho in [1e-4, 0.01, 0.02435, 0.1, 0.311, 0.5, 1.0, 1.052, 2.0, 10.0, 100.0] {
            let profile = ZeroConcentratedDivergence::convert(rho).expect("a legal rho");
            for delta in [1e-3, 1e-5, 1e-6, 1e-9, 1e-12] {
                let expected = profile.epsilon(delta).expect("a legal delta");
                let found = epsilon_upper_bound(rho, delta);
                // OpenDP keeps α above 1.01, which costs it a little where ε is large.
                assert!(found <= expected * (1.0 + 1e-9), "ρ {rho} δ {delta}: {found} against {expected}");
                assert!(
                    found >= expected * (1.0 - 1e-9) || rho >= 10.0,
                    "ρ {rho} δ {delta}: {found}, {expected}"
                );
            }
        }
    }
}
