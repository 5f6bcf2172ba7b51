//! The utility planner: what a job's noise will do to its signal, before anything is spent. [core]
//!
//! Noise over clip on the mean = (σ/B)·√d / W · √(n/h), with W the expected contributions a round and h the honest
//! shares a merchant's noise is sized for (1 where every merchant adds its full noise). The rule of thumb asks for
//! W ≥ 5·(σ/B)·√d·√(n/h), so noise of at most a fifth of the clip. It is coarse: runs have won at 1.9 times the clip
//! and lost at 1.8, so simulate a job on public data of its shape before giving it up.
//!
//! Every number comes from [`RoundParameters::derive`], from which clients and server take theirs.

mod adaptive;
mod by_accountant;
mod statistics;
mod text;
mod verdict;

use guildhall_shared::job::{Aggregation, JobSpec, PrivacySpec};
use guildhall_shared::model_spec::Architecture;
use guildhall_shared::round_parameters::{RoundParameters, RoundParametersError};
use guildhall_shared::secagg::{Graph, SecaggParameters};
use serde::Serialize;

use crate::accountant::observer::{MaskedRelease, Observer};
use crate::accountant::zcdp::epsilon_upper_bound;
use crate::parameter::PicoRho;
use by_accountant::Release;

pub use adaptive::{AdaptiveClipPlan, SHARE_NOISE_MAX};
pub use by_accountant::{Amplified, RoundsPlan, SettingPlan};
pub use statistics::StatisticsPlan;
pub use verdict::Verdict;

#[cfg(test)]
mod tests;

/// Noise over clip up to which a job is expected to learn.
pub const NOISE_OVER_CLIP_WORKS: f64 = 0.2;

/// Noise over clip beyond which no run has ever won.
pub const NOISE_OVER_CLIP_HOPELESS: f64 = 2.0;

/// What a job will be like for so many merchants.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanReport {
    /// The job's privacy label.
    pub label: String,
    /// Merchants planned for.
    pub merchants: u32,
    /// d.
    pub parameters: usize,
    /// T.
    pub rounds: u32,
    /// W, expected contributions a round of all merchants together.
    pub shoppers_per_round: u64,
    /// How the job's updates travel.
    pub aggregation: Aggregation,
    /// Why the job has no rounds in that mode with so many merchants.
    pub obstacle: Option<String>,
    /// Absent for a job with a constant clip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptive_clip: Option<AdaptiveClipPlan>,
    /// Absent for a job without privacy.
    pub noise: Option<NoisePlan>,
}

/// The figures of a job with noise.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NoisePlan {
    /// δ everything here is stated at.
    pub delta: f64,
    /// σ/B of the sum.
    pub noise_over_bound: f64,
    /// Rate at which each shopper enters a round.
    pub participation_rate: f64,
    /// ε after so many rounds with this noise, by accountant.
    pub by_rounds: Vec<RoundsPlan>,
    /// ε with other noise and other rounds; empty where the job's own mode has no rounds.
    pub settings: Vec<SettingPlan>,
    /// Every merchant adds its full noise; none where that has no rounds.
    pub plain: Option<ModePlan>,
    /// Under secure aggregation; none where that has no rounds, as below three merchants.
    pub masked: Option<ModePlan>,
}

/// The figures of one mode.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModePlan {
    /// Which.
    pub mode: Aggregation,
    /// h, the honest shares the noise is sized for.
    pub honest_shares: u64,
    /// σ_local, in integer steps.
    pub noise_standard_deviation_local: u64,
    /// Standard deviation of the noise in the sum of all n over that of one central σ: √(n/h), but for rounding.
    pub noise_over_central: f64,
    /// Noise over clip on the mean of a round.
    pub noise_over_clip: f64,
    /// Contributions a round, of all merchants together, that the rule of thumb asks for.
    pub shoppers_needed: u64,
    /// ε of the whole job against whom it is charged for: the server and C merchants, in plain mode everybody else.
    pub epsilon: f64,
    /// That ε for a shopper known to so many merchants: (merchants, ε).
    pub epsilon_by_merchants: [(u32, f64); 3],
    /// ε of the whole job if all other merchants collude with the server.
    pub epsilon_local: f64,
    /// What only secure aggregation has.
    pub masked: Option<MaskedPlan>,
    /// Of a job of item statistics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statistics: Option<StatisticsPlan>,
    /// In words.
    pub verdict: Verdict,
}

/// Thresholds of secure aggregation, and ε of the whole job against those who see less.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MaskedPlan {
    /// C.
    pub colluders: u32,
    /// t.
    pub threshold: u32,
    /// m_min.
    pub survivors_min: u32,
    /// ε against whoever sees the models and nothing else, with m_min survivors in every round.
    pub epsilon_outsider: f64,
    /// ε against one other merchant by itself, with m_min survivors in every round.
    pub epsilon_survivor: f64,
    /// In large federations.
    pub sparse: Option<SparsePlan>,
}

/// The sparse graph of large federations, with the probabilities of one attempt from above.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SparsePlan {
    /// k.
    pub holders: u32,
    /// t_k.
    pub share_threshold: u32,
    /// That it fails to protect somebody.
    pub privacy_failure: f64,
    /// That a secret is lost although no more than n − m_min merchants failed.
    pub liveness_failure: f64,
    /// What it adds to δ over the whole job, with one attempt a round. Further attempts are charged, and add to it.
    pub delta_addition: f64,
}

impl PlanReport {
    /// Plans a job for n merchants, in its own mode and in the other.
    ///
    /// # Errors
    /// [`RoundParametersError`] of the job's own mode when it has rounds in neither.
    pub fn new(job: &JobSpec, merchants: u32) -> Result<Self, RoundParametersError> {
        let in_mode = |aggregation| {
            let mut job = job.clone();
            job.round.aggregation = aggregation;
            RoundParameters::derive(&job, merchants.max(1))
        };
        let aggregation = job.round.aggregation;
        let both = match aggregation {
            Aggregation::Masked => (in_mode(aggregation), in_mode(Aggregation::Plain)),
            Aggregation::Plain => (in_mode(aggregation), in_mode(Aggregation::Masked)),
        };
        let (own, other, obstacle) = match both {
            (Err(error), Err(_)) => return Err(error),
            (Err(error), Ok(other)) => (None, Some(other), Some(error.to_string())),
            (Ok(own), other) => (Some(own), other.ok(), None),
        };
        let planned = own.as_ref().or(other.as_ref());
        let adaptive_clip = job.adaptive_clip.zip(planned);
        let adaptive_clip = adaptive_clip.map(|(rule, planned)| AdaptiveClipPlan::new(job, rule, planned));
        let modes = [own, other].into_iter().flatten();
        Ok(PlanReport {
            label: job.privacy.label(),
            merchants,
            parameters: job.model().parameter_count(),
            rounds: job.rounds,
            shoppers_per_round: job.round.expected_shoppers,
            aggregation,
            obstacle,
            adaptive_clip,
            noise: noise_plan(job, modes),
        })
    }
}

impl PlanReport {
    /// What to expect in the job's own mode, or in the other where its own has no rounds; none without noise.
    pub fn verdict(&self) -> Option<&Verdict> {
        let noise = self.noise.as_ref()?;
        let (own, other) = match self.aggregation {
            Aggregation::Masked => (&noise.masked, &noise.plain),
            Aggregation::Plain => (&noise.plain, &noise.masked),
        };
        own.as_ref().or(other.as_ref()).map(|mode| &mode.verdict)
    }
}

fn noise_plan(job: &JobSpec, modes: impl Iterator<Item = RoundParameters>) -> Option<NoisePlan> {
    let PrivacySpec::Gaussian { delta, noise_standard_deviation: sigma, .. } = job.privacy else {
        return None;
    };
    let bound = job.clipping.bound;
    let mut plan = NoisePlan {
        delta,
        noise_over_bound: sigma as f64 / bound as f64,
        participation_rate: job.round.participation_rate,
        by_rounds: by_rounds(job, sigma, delta),
        settings: Vec::new(),
        plain: None,
        masked: None,
    };
    for parameters in modes {
        let mode = ModePlan::new(job, &parameters, sigma, delta);
        match mode.mode {
            Aggregation::Plain => plan.plain = Some(mode),
            Aggregation::Masked => plan.masked = Some(mode),
        }
    }
    plan.settings = by_accountant::settings(job, &plan, sigma);
    Some(plan)
}

impl ModePlan {
    fn new(job: &JobSpec, parameters: &RoundParameters, sigma: u64, delta: f64) -> Self {
        let local = parameters.noise_standard_deviation_local;
        let release = MaskedRelease {
            bound: parameters.clipping_bound,
            noise_standard_deviation_local: local,
            honest_shares: u64::from(parameters.honest_noise_shares),
            survivors: parameters.secagg.as_ref().map_or(0, |secagg| u64::from(secagg.survivors_min)),
        };
        let total = |observer| release.charge_against(observer).saturating_mul(u64::from(job.rounds));
        let charged = total(Observer::ServerAndColluders);
        let mode = if parameters.secagg.is_some() { Aggregation::Masked } else { Aggregation::Plain };
        // n shares of σ_local each: their sum is √n·σ_local wide, whatever h they were sized for.
        let wide = f64::from(parameters.merchants).sqrt() * local as f64;
        // Of the length that the d coordinates of a contribution may have: B, less what an extra one takes.
        let bound = job.adaptive_clip.map_or(job.clipping.bound, |rule| rule.bound_left(job.clipping.bound));
        let noise = wide / bound as f64 * (job.model().parameter_count() as f64).sqrt();
        let noise_over_clip = noise / job.round.expected_shoppers as f64;
        let statistics = match &job.architecture {
            Architecture::ItemStatistics(model) => Some(StatisticsPlan::new(job, model, wide)),
            _ => None,
        };
        let masked_plan = |secagg: &SecaggParameters| MaskedPlan {
            colluders: secagg.colluders,
            threshold: secagg.threshold,
            survivors_min: secagg.survivors_min,
            epsilon_outsider: epsilon_of(total(Observer::Outsider), delta),
            epsilon_survivor: epsilon_of(total(Observer::Survivor), delta),
            sparse: SparsePlan::of(secagg, job.rounds),
        };
        ModePlan {
            mode,
            honest_shares: release.honest_shares,
            noise_standard_deviation_local: local,
            noise_over_central: wide / sigma as f64,
            noise_over_clip,
            shoppers_needed: (noise / NOISE_OVER_CLIP_WORKS).ceil() as u64,
            epsilon: epsilon_of(charged, delta),
            epsilon_by_merchants: [1, 2, 5].map(|k| (k, epsilon_of(known_to(k, charged, mode), delta))),
            epsilon_local: epsilon_of(total(Observer::EverybodyElse), delta),
            masked: parameters.secagg.as_ref().map(masked_plan),
            verdict: match &statistics {
                Some(statistics) => statistics.verdict(),
                None if !job.architecture.releases_model() => Verdict::of_figures(noise_over_clip, noise),
                None => {
                    let share = aligned_share(job);
                    Verdict::new(job, noise_over_clip / share, noise / share)
                }
            },
            statistics,
        }
    }
}

impl SparsePlan {
    fn of(secagg: &SecaggParameters, rounds: u32) -> Option<Self> {
        let Graph::Sparse { holders, share_threshold } = secagg.graph else { return None };
        let failures = secagg.failure_bounds();
        Some(SparsePlan {
            holders,
            share_threshold,
            privacy_failure: failures.privacy,
            liveness_failure: failures.liveness,
            delta_addition: secagg.delta_addition(rounds, 1),
        })
    }
}

/// How much of the clips of all shoppers can add up in one direction, at most: all of it, but not where every shopper touches a
/// few rows of a table with a row for every item. If each of W shoppers touches k of N rows evenly, the sum is W·C·√(k/N) long.
fn aligned_share(job: &JobSpec) -> f64 {
    let history = job.task.items().map_or(0, |items| items.history_max);
    let (items, touched) = match &job.architecture {
        Architecture::NextItem(model) if model.negatives > 0 => {
            (model.items, history * (2 + model.negatives))
        }
        Architecture::MatrixFactorization(model) => (model.items, history * (1 + model.negatives)),
        _ => return 1.0,
    };
    (touched.clamp(1, items) as f64 / items as f64).sqrt()
}

/// The charge for a shopper known to k merchants. Alone, each merchant's release costs ρ: k·ρ. In one sum the shopper's
/// contributions add up before the noise: k²·ρ.
fn known_to(k: u32, charged: PicoRho, mode: Aggregation) -> PicoRho {
    let k = u64::from(k);
    charged.saturating_mul(match mode {
        Aggregation::Plain => k,
        Aggregation::Masked => k * k,
    })
}

fn epsilon_of(rho: PicoRho, delta: f64) -> f64 {
    epsilon_upper_bound(rho.rho_upper_bound(), delta)
}

/// After a tenth, a quarter, half, all and twice the rounds.
fn by_rounds(job: &JobSpec, noise_standard_deviation: u64, delta: f64) -> Vec<RoundsPlan> {
    let rounds = job.rounds;
    let mut table: Vec<u32> =
        [rounds / 10, rounds / 4, rounds / 2, rounds, rounds.saturating_mul(2)].map(|t| t.max(1)).to_vec();
    table.dedup();
    let release = Release {
        bound: job.clipping.bound,
        noise_standard_deviation,
        participation_rate: job.round.participation_rate,
    };
    table.into_iter().map(|rounds| RoundsPlan::new(release, rounds, delta)).collect()
}
