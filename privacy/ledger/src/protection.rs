//! What protects one release, and how it travels. [core]

use guildhall_accountant::{PicoRho, zcdp};
use guildhall_shared::job::PrivacySpec;
use guildhall_shared::round_parameters::RoundParameters;
use serde::{Deserialize, Serialize};

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

#[cfg(test)]
mod tests {
    use super::*;

    const PICO: u128 = 1_000_000_000_000;

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
}
