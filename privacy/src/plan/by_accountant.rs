//! The same rounds by every accountant, and the same job with other settings. [core]

use guildhall_shared::job::{Aggregation, JobSpec};
use serde::Serialize;

use super::{NoisePlan, epsilon_of};
use crate::accountant::gaussian::{self, ROUNDING_FACTOR};
use crate::accountant::mechanism::SampledGaussian;
use crate::accountant::pld::Pld;
use crate::accountant::rdp::Rdp;
use crate::accountant::zcdp::charge;

/// ε after so many rounds, by accountant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RoundsPlan {
    /// Rounds.
    pub rounds: u32,
    /// What ledgers charge: zCDP.
    pub charged: f64,
    /// The tight figure without sampling: the analytic Gaussian of the same releases.
    pub tight: f64,
    /// The figures with sampling; none where everybody takes part in every round.
    pub amplified: Option<Amplified>,
}

/// ε of a job that samples. Holds if every shopper enters each round by an independent secret coin, against an adversary that does
/// not see who took part. Never charged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Amplified {
    /// By Rényi losses.
    pub rdp: f64,
    /// By the distribution of the loss.
    pub pld: f64,
}

/// The job with other noise or other rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SettingPlan {
    /// The job's noise times this.
    pub noise_factor: f64,
    /// Rounds.
    pub rounds: u32,
    /// ε charged.
    pub epsilon: f64,
    /// Noise over clip on the mean of a round, in the job's own mode.
    pub noise_over_clip: f64,
}

/// Full noise and clip of one release, and the rate at which shoppers enter.
#[derive(Clone, Copy)]
pub(super) struct Release {
    pub(super) bound: u64,
    pub(super) noise_standard_deviation: u64,
    pub(super) participation_rate: f64,
}

impl RoundsPlan {
    pub(super) fn new(release: Release, rounds: u32, delta: f64) -> Self {
        let per_round = charge(release.bound, 1, release.noise_standard_deviation);
        let total = per_round.saturating_mul(u64::from(rounds));
        RoundsPlan {
            rounds,
            charged: epsilon_of(total, delta),
            tight: gaussian::epsilon_upper_bound(gaussian::mu_upper_bound(total), delta),
            amplified: Amplified::new(release, rounds, delta),
        }
    }
}

impl Amplified {
    fn new(release: Release, rounds: u32, delta: f64) -> Option<Self> {
        if release.participation_rate >= 1.0 {
            return None;
        }
        // The discrete noise counts as slightly smaller Gaussian noise; see the gaussian module.
        let multiplier = release.noise_standard_deviation as f64 / release.bound as f64 / ROUNDING_FACTOR;
        let mechanism = SampledGaussian::new(multiplier.next_down(), release.participation_rate).ok()?;
        let (mut rdp, mut pld) = (Rdp::default(), Pld::default());
        rdp.compose(mechanism, u64::from(rounds));
        pld.compose(mechanism, u64::from(rounds));
        Some(Amplified { rdp: rdp.epsilon_upper_bound(delta), pld: pld.epsilon_upper_bound(delta) })
    }
}

/// Half, all and twice the noise, each for half, all and twice the rounds.
pub(super) fn settings(job: &JobSpec, plan: &NoisePlan, sigma: u64) -> Vec<SettingPlan> {
    let own = match job.round.aggregation {
        Aggregation::Masked => &plan.masked,
        Aggregation::Plain => &plan.plain,
    };
    let Some(mode) = own else { return Vec::new() };
    let rounds = [(job.rounds / 2).max(1), job.rounds, job.rounds.saturating_mul(2)];
    let noises = [(0.5, sigma / 2), (1.0, sigma), (2.0, sigma.saturating_mul(2))];
    let setting = |(noise_factor, sigma), rounds| SettingPlan {
        noise_factor,
        rounds,
        epsilon: epsilon_of(
            charge(job.clipping.bound, 1, sigma).saturating_mul(u64::from(rounds)),
            plan.delta,
        ),
        noise_over_clip: mode.noise_over_clip * noise_factor,
    };
    noises.into_iter().flat_map(|noise| rounds.map(|rounds| setting(noise, rounds))).collect()
}
