//! The utility planner: what a job's noise will do to its signal, before anything is spent. [core]
//!
//! Noise over clip on the mean = (σ/B)·√d / W · √(n/h), with W the expected contributions a round and h the honest
//! shares a merchant's noise is sized for (1 where every merchant adds its full noise). The rule of thumb asks for
//! W ≥ 5·(σ/B)·√d·√(n/h), so noise of at most a fifth of the clip. It is coarse: runs have won at 1.9 times the clip
//! and lost at 1.8, so simulate a job on public data of its shape before giving it up.

use std::fmt;

use guildhall_shared::job::{JobSpec, PrivacySpec};
use serde::Serialize;

use crate::accountant::zcdp::{CalibrationError, calibrate_local, charge, epsilon_upper_bound};
use crate::parameter::PicoRho;

/// Noise over clip up to which a job is expected to learn.
pub const NOISE_OVER_CLIP_WORKS: f64 = 0.2;

/// Noise over clip beyond which no run has ever won.
pub const NOISE_OVER_CLIP_HOPELESS: f64 = 2.0;

/// How the noise of several merchants comes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoiseMode {
    /// Every merchant adds its full noise; each release is visible by itself.
    Plain,
    /// Merchants' shares add up under secure aggregation; only the sum is visible.
    Masked,
}

/// What to expect.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The noise is small beside the signal.
    Works,
    /// It may learn; simulate it first.
    Marginal {
        /// What would help.
        advice: String,
    },
    /// The noise drowns the signal.
    Hopeless {
        /// What has to change.
        advice: String,
    },
}

/// The figures of one mode.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModePlan {
    /// Which.
    pub mode: NoiseMode,
    /// h, the honest shares the noise is sized for.
    pub honest_shares: u64,
    /// σ_local, in integer steps.
    pub noise_standard_deviation_local: u64,
    /// Noise over clip on the mean of a round.
    pub noise_over_clip: f64,
    /// Contributions a round, of all merchants together, that the rule of thumb asks for.
    pub shoppers_needed: u64,
    /// ε of the whole job for a shopper known to so many merchants: (merchants, ε).
    pub epsilon_by_merchants: [(u32, f64); 3],
    /// ε of the whole job if all other merchants collude with the server.
    pub epsilon_local: f64,
    /// In words.
    pub verdict: Verdict,
}

/// The figures of a job with noise.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NoisePlan {
    /// δ everything here is stated at.
    pub delta: f64,
    /// σ/B of one release.
    pub noise_over_bound: f64,
    /// ε after so many rounds with this noise: (rounds, ε).
    pub epsilon_by_rounds: Vec<(u32, f64)>,
    /// Every merchant adds its full noise.
    pub plain: ModePlan,
    /// Under secure aggregation; none below three merchants.
    pub masked: Option<ModePlan>,
}

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
    /// Absent for a job without privacy.
    pub noise: Option<NoisePlan>,
}

impl PlanReport {
    /// Plans a job for n merchants.
    ///
    /// # Errors
    /// [`CalibrationError`] when no noise share keeps the job's budget under secure aggregation.
    pub fn new(job: &JobSpec, merchants: u32) -> Result<Self, CalibrationError> {
        let noise = match job.privacy {
            PrivacySpec::None { .. } => None,
            PrivacySpec::Gaussian { epsilon, delta, noise_standard_deviation, .. } => {
                Some(noise_plan(job, merchants.max(1), epsilon, delta, noise_standard_deviation)?)
            }
        };
        Ok(PlanReport {
            label: job.privacy.label(),
            merchants,
            parameters: job.model().parameter_count(),
            rounds: job.rounds,
            shoppers_per_round: job.round.expected_shoppers,
            noise,
        })
    }
}

fn noise_plan(
    job: &JobSpec,
    n: u32,
    epsilon: f64,
    delta: f64,
    sigma: u64,
) -> Result<NoisePlan, CalibrationError> {
    let bound = job.clipping.bound;
    let masked = match honest_shares_masked(n) {
        Some(h) => {
            let local = calibrate_local(epsilon, delta, job.rounds, bound, h)?;
            Some(mode_plan(job, n, delta, NoiseMode::Masked, h, local))
        }
        None => None,
    };
    Ok(NoisePlan {
        delta,
        noise_over_bound: sigma as f64 / bound as f64,
        epsilon_by_rounds: epsilon_by_rounds(job.rounds, charge(bound, 1, sigma), delta),
        plain: mode_plan(job, n, delta, NoiseMode::Plain, 1, sigma),
        masked,
    })
}

fn mode_plan(job: &JobSpec, n: u32, delta: f64, mode: NoiseMode, h: u64, sigma_local: u64) -> ModePlan {
    let (bound, rounds) = (job.clipping.bound, u64::from(job.rounds));
    let root_parameters = (job.model().parameter_count() as f64).sqrt();
    // n shares of σ_local each: their sum is √n·σ_local wide, whatever h they were sized for.
    let noise = f64::from(n).sqrt() * sigma_local as f64 / bound as f64 * root_parameters;
    let noise_over_clip = noise / job.round.expected_shoppers as f64;
    let total = charge(bound, h, sigma_local).saturating_mul(rounds);
    let by_merchants = |k: u32| {
        // Alone, each merchant's release costs ρ. In one sum the shopper's contributions add up before the noise.
        let factor = if mode == NoiseMode::Plain { u64::from(k) } else { u64::from(k).pow(2) };
        (k, epsilon_of(total.saturating_mul(factor), delta))
    };
    ModePlan {
        mode,
        honest_shares: h,
        noise_standard_deviation_local: sigma_local,
        noise_over_clip,
        shoppers_needed: (noise / NOISE_OVER_CLIP_WORKS).ceil() as u64,
        epsilon_by_merchants: [1, 2, 5].map(by_merchants),
        epsilon_local: epsilon_of(charge(bound, 1, sigma_local).saturating_mul(rounds), delta),
        verdict: verdict(job, noise_over_clip, noise),
    }
}

fn epsilon_of(rho: PicoRho, delta: f64) -> f64 {
    epsilon_upper_bound(rho.rho_upper_bound(), delta)
}

/// ε after a tenth, a quarter, half, all and twice the rounds.
fn epsilon_by_rounds(rounds: u32, per_round: PicoRho, delta: f64) -> Vec<(u32, f64)> {
    let mut table: Vec<u32> =
        [rounds / 10, rounds / 4, rounds / 2, rounds, rounds.saturating_mul(2)].map(|t| t.max(1)).to_vec();
    table.dedup();
    table.into_iter().map(|t| (t, epsilon_of(per_round.saturating_mul(u64::from(t)), delta))).collect()
}

/// h for n merchants under secure aggregation: those that must survive, less the colluders. `docs/protocol.md`.
pub fn honest_shares_masked(n: u32) -> Option<u64> {
    if n < 3 {
        return None;
    }
    let colluders = ((n - 1) / 3).max(1);
    let threshold = (n + colluders) / 2 + 1;
    let survivors = if n == 3 { n } else { threshold.max(n - (n / 5).max(1)) };
    Some(u64::from(survivors - colluders))
}

fn verdict(job: &JobSpec, ratio: f64, noise: f64) -> Verdict {
    if ratio <= NOISE_OVER_CLIP_WORKS {
        return Verdict::Works;
    }
    if ratio <= NOISE_OVER_CLIP_HOPELESS {
        let advice = format!(
            "the noise on the mean is {ratio:.2} times the clip. Simulate the job on public data first; {} expected contributions a round would make it comfortable",
            (noise / NOISE_OVER_CLIP_WORKS).ceil()
        );
        return Verdict::Marginal { advice };
    }
    let excess = ratio / NOISE_OVER_CLIP_HOPELESS;
    let rounds = (f64::from(job.rounds) / (excess * excess)).floor();
    let parameters = (job.model().parameter_count() as f64 / (excess * excess)).floor();
    let mut ways = vec![format!(
        "at least {} expected contributions a round",
        (noise / NOISE_OVER_CLIP_HOPELESS).ceil()
    )];
    if rounds >= 1.0 {
        ways.push(format!("at most {rounds} rounds"));
    }
    if parameters >= 1.0 {
        ways.push(format!("at most {parameters} parameters"));
    }
    let advice = format!(
        "the noise on the mean is {ratio:.1} times the clip and drowns it. Before it is worth trying it needs one of: {}; or a larger epsilon",
        ways.join(", ")
    );
    Verdict::Hopeless { advice }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Works => f.write_str("works"),
            Verdict::Marginal { advice } => write!(f, "marginal: {advice}"),
            Verdict::Hopeless { advice } => write!(f, "hopeless: {advice}"),
        }
    }
}

impl fmt::Display for ModePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            NoiseMode::Plain => "plain: every merchant adds its full noise",
            NoiseMode::Masked => "masked: the noise shares add up under secure aggregation",
        };
        writeln!(f, "  {mode} (honest shares: {})", self.honest_shares)?;
        writeln!(f, "    noise over clip on the mean  {:.3}", self.noise_over_clip)?;
        writeln!(f, "    contributions a round needed {}", self.shoppers_needed)?;
        f.write_str("    epsilon for a shopper known to")?;
        for (merchants, epsilon) in self.epsilon_by_merchants {
            write!(f, "  {merchants}: {epsilon:.2}")?;
        }
        writeln!(f, " merchants")?;
        writeln!(f, "    epsilon if all others collude {:.2}", self.epsilon_local)?;
        writeln!(f, "    {}", self.verdict)
    }
}

impl fmt::Display for PlanReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.label)?;
        writeln!(
            f,
            "{} merchants, {} parameters, {} rounds, {} expected contributions a round",
            self.merchants, self.parameters, self.rounds, self.shoppers_per_round
        )?;
        let Some(noise) = &self.noise else {
            return writeln!(f, "  no noise: nothing protects a shopper from whoever reads the model");
        };
        write!(f, "  noise over clip of one release {:.2}; epsilon after rounds", noise.noise_over_bound)?;
        for (rounds, epsilon) in &noise.epsilon_by_rounds {
            write!(f, "  {rounds}: {epsilon:.2}")?;
        }
        writeln!(f)?;
        write!(f, "{}", noise.plain)?;
        match &noise.masked {
            Some(masked) => write!(f, "{masked}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
