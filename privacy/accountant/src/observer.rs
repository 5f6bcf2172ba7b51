//! What one masked release costs against each of those who may look at it. [core]
//!
//! Every survivor adds one share of N_Z(0, σ_local²); whoever looks knows the shares of its own side and nothing of the
//! others. Against j unknown shares a release costs B²/(2·j·σ_local²): only j depends on who looks. Charged is the cost
//! against the server and C colluders; the others are reported beside it.
//!
//! # Source
//! Kairouz, Liu and Steinke 2021 (arXiv 2102.06387), Theorem 12 and Proposition 13: j shares differ from one discrete
//! Gaussian of variance j·σ_local² by a log-ratio of at most τ = 10·Σ_{k<j} exp(−2π²·σ_local²·k/(k+1)). For the
//! smallest share allowed, σ_local = 2^10, τ is below 10⁻⁴⁰⁰⁰⁰⁰⁰.

use serde::Serialize;

use super::zcdp::charge;
use crate::PicoRho;

/// Who looks at a masked release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Observer {
    /// The server together with up to C merchants: what is charged.
    ServerAndColluders,
    /// Whoever sees the released models and nothing else.
    Outsider,
    /// A merchant within the sum, by itself: it knows its own share.
    Survivor,
    /// The server together with all other merchants: one merchant's own share is left.
    EverybodyElse,
}

/// A release by secure aggregation, in integer units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaskedRelease {
    /// B.
    pub bound: u64,
    /// σ_local, of each share.
    pub noise_standard_deviation_local: u64,
    /// h, honest shares surely in the sum.
    pub honest_shares: u64,
    /// s, merchants whose updates are in the sum: m_min for what always holds, the true number afterwards.
    pub survivors: u64,
}

impl MaskedRelease {
    /// What the release costs against `observer`, exactly, rounded up to whole 10⁻¹² ρ: ρ, ρ·h/s, ρ·h/(s−1) and h·ρ in
    /// the order of [`Observer`], with ρ = B²/(2·h·σ_local²).
    ///
    /// # Privacy
    /// [`PicoRho::UNBOUNDED`] where no share is left.
    pub fn charge_against(&self, observer: Observer) -> PicoRho {
        let shares = match observer {
            Observer::ServerAndColluders => self.honest_shares,
            Observer::Outsider => self.survivors,
            Observer::Survivor => self.survivors.saturating_sub(1),
            Observer::EverybodyElse => self.honest_shares.min(1),
        };
        charge(self.bound, shares, self.noise_standard_deviation_local)
    }
}
