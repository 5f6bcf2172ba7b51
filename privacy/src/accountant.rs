//! What a release costs, and what a cost means: the accountants, and the one behind a job file. [core]

pub use guildhall_accountant::{gaussian, mechanism, observer, odometer, pld, rdp, zcdp};
use guildhall_shared::job::NoiseCalibration;

use zcdp::calibrate_local;

#[cfg(test)]
mod tests;

/// The accountant behind a job file: turns ε, δ and rounds into the full noise of one release (h = 1).
#[derive(Clone, Copy, Debug, Default)]
pub struct Calibration;

impl NoiseCalibration for Calibration {
    fn noise_standard_deviation(
        &self,
        epsilon: f64,
        delta: f64,
        rounds: u32,
        bound: u64,
    ) -> Result<u64, String> {
        calibrate_local(epsilon, delta, rounds, bound, 1).map_err(|error| error.to_string())
    }
}
