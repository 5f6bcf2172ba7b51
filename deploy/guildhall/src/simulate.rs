//! `guildhall simulate`: a job with simulated merchants in one process, for figures before anything is spent.

mod items;

use std::path::Path;

use guildhall_client::data::{SimulationConfig, load_by_merchant};
use guildhall_client::evaluate::FigureSummary;
use guildhall_client::evaluate::paired::{Difference, mean_difference};
use guildhall_privacy::accountant::Calibration;
use guildhall_privacy::plan::{PlanReport, Verdict};
use guildhall_shared::job::{JobSpec, NoiseCalibration as _, PrivacySpec};
use serde::Serialize;

use crate::comparison::{Baselines, FiguresByMethod};
use crate::error::{CommandError, Context as _};
use crate::federated::{self, Merchants, NoiseMode};
use crate::job_file::JobFile;

pub use items::SimulatedRanking;

/// What `simulate` prints with `--json`.
#[derive(Debug, Serialize)]
pub struct Simulated {
    /// The job's name.
    pub job: String,
    /// What protected the shoppers and against whom, or that nothing did.
    pub privacy: String,
    /// "masked", "plain" or "none".
    pub mode: String,
    /// Number of merchants.
    pub merchants: usize,
    /// Contributions a round without coins: shoppers with training rows.
    pub shoppers: usize,
    /// d.
    pub parameters: usize,
    /// T.
    pub rounds: u32,
    /// ε of the federated model with privacy.
    pub epsilon: Option<f64>,
    /// δ.
    pub delta: Option<f64>,
    /// The unit of privacy.
    pub unit: &'static str,
    /// The clip of the first round and the one after the last, of the model with privacy if there is one; none where it is
    /// constant. Public like the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<[f64; 2]>,
    /// AUC of each way to a model.
    pub auc: FiguresByMethod,
    /// Macro AUC of the released model less that of merchants' own, with a 95 % interval over merchants.
    pub released_less_local: Option<Difference>,
    /// Macro AUC of the blend less that of merchants' own, with a 95 % interval over merchants.
    pub blend_less_local: Option<Difference>,
    /// What the planner said before anything was spent.
    pub verdict: Option<Verdict>,
}

/// Mean over merchants of one AUC less another, over those that have both.
fn over_merchants(first: &FigureSummary, second: &FigureSummary) -> Option<Difference> {
    let both =
        first.per_merchant.iter().filter_map(|(name, a)| Some(((*a)?, (*second.per_merchant.get(name)?)?)));
    let (first, second): (Vec<f64>, Vec<f64>) = both.unzip();
    mean_difference(&first, &second)
}

/// What the command line may change about a job.
#[derive(Clone, Copy, Debug)]
pub struct Overrides {
    /// Another ε.
    pub epsilon: Option<f64>,
    /// Another public seed.
    pub seed: Option<u64>,
    /// Another number of rounds.
    pub rounds: Option<u32>,
}

/// What a simulation came to.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Simulation {
    /// Of a task with labels.
    Labels(Box<Simulated>),
    /// Of an item task.
    Ranking(Box<SimulatedRanking>),
}

impl Overrides {
    /// Applies the changes and calibrates the noise anew.
    pub fn apply(self, mut job: JobSpec) -> Result<JobSpec, CommandError> {
        job.seed = self.seed.unwrap_or(job.seed);
        if let Some(rounds) = self.rounds {
            // The averaged part keeps its share of the rounds.
            let average = u64::from(job.optimizer.average_last_rounds) * u64::from(rounds)
                / u64::from(job.rounds.max(1));
            job.optimizer.average_last_rounds = average as u32;
            job.rounds = rounds;
        }
        if let PrivacySpec::Gaussian { unit, epsilon, delta, .. } = job.privacy {
            let epsilon = self.epsilon.unwrap_or(epsilon);
            let noise = Calibration
                .noise_standard_deviation(epsilon, delta, job.rounds, job.clipping.bound)
                .map_err(CommandError::message)?;
            job.privacy = PrivacySpec::Gaussian { unit, epsilon, delta, noise_standard_deviation: noise };
        } else if self.epsilon.is_some() {
            return Err(CommandError::message(
                "the job declares privacy = \"none\": --epsilon has nothing to change",
            ));
        }
        job.check().context("the job with the command line's changes")?;
        Ok(job)
    }
}

/// Runs a job file on a data folder, in the mode of the job's own rounds unless another is asked for.
pub fn run(
    job_file: &Path,
    data: &Path,
    mode: impl Into<Option<NoiseMode>>,
    overrides: Overrides,
) -> Result<Simulation, CommandError> {
    let file = JobFile::read(job_file, Some(data))?;
    let job = overrides.apply(file.job.clone())?;
    if !job.architecture.releases_model() {
        return Err(CommandError::message(
            "a metrics job measures a model that merchants were given, and there is none here: `guildhall plan` says what its noise will do to the figures",
        ));
    }
    let mode = mode.into().unwrap_or_else(|| NoiseMode::of(&job));
    if job.task.items().is_some() {
        return items::run(&file, job, data, mode).map(|found| Simulation::Ranking(Box::new(found)));
    }
    let table = file.simulation.ok_or_else(no_simulation)?;
    let config = SimulationConfig::parse(&table, data).context(job_file.display())?;
    let merchants: Merchants = load_by_merchant(&config, &job.task)
        .context(data.display())?
        .merchants
        .into_iter()
        .map(|(name, cut)| (name, cut.splits))
        .collect();
    if merchants.is_empty() {
        return Err(CommandError::message(format!("{}: no merchant found in it", data.display())));
    }
    compare(&job, &merchants, mode).map(|found| Simulation::Labels(Box::new(found)))
}

fn no_simulation() -> CommandError {
    CommandError::message(
        "the job has no [simulation] table; it says which file holds the rows and which column names the merchant",
    )
}

/// Against whom the ε of a mode holds.
fn adversary(job: &JobSpec, mode: NoiseMode, merchants: usize) -> Result<String, CommandError> {
    Ok(match mode.parameters(job, merchants)?.secagg {
        Some(secagg) => format!("the server and {} colluding merchants", secagg.colluders),
        None => "everybody else together".into(),
    })
}

/// Trains every model of the table.
pub fn compare(job: &JobSpec, merchants: &Merchants, mode: NoiseMode) -> Result<Simulated, CommandError> {
    let private = mode != NoiseMode::None && matches!(job.privacy, PrivacySpec::Gaussian { .. });
    let (baselines, federated) = rayon::join(
        || Baselines::fit(&job.task, merchants),
        || -> Result<_, CommandError> {
            let plain = federated::train(job, merchants, NoiseMode::None, &mut |_| ())?;
            let noised = match private {
                true => Some(federated::train(job, merchants, mode, &mut |_| ())?),
                false => None,
            };
            Ok((plain, noised))
        },
    );
    let (plain, noised) = federated?;
    let clip = noised.as_ref().unwrap_or(&plain).clip.map(|last| [job.clipping.norm_l2, last]);
    let plain_scores = federated::score(job, &plain.released(), merchants)?;
    let noised_scores =
        noised.map(|model| federated::score(job, &model.released(), merchants)).transpose()?;
    let auc = baselines.compare(&plain_scores, noised_scores.as_ref());
    let released = auc.federated_private.as_ref().unwrap_or(&auc.federated_plain);
    let (released_less_local, blend_less_local) =
        (over_merchants(released, &auc.local_only), over_merchants(&auc.blend, &auc.local_only));
    let (epsilon, delta) = match job.privacy {
        PrivacySpec::Gaussian { epsilon, delta, .. } if private => (Some(epsilon), Some(delta)),
        _ => (None, None),
    };
    Ok(Simulated {
        job: job.name.to_string(),
        privacy: match private {
            true => format!("{}, against {}", job.privacy.label(), adversary(job, mode, merchants.len())?),
            false => "NO PRIVACY: no noise was added".into(),
        },
        mode: format!("{mode:?}").to_lowercase(),
        merchants: merchants.len(),
        shoppers: merchants.values().map(|splits| splits.train.shoppers.len()).sum(),
        parameters: job.model().parameter_count(),
        rounds: job.rounds,
        epsilon,
        delta,
        unit: job.privacy.unit().describe(),
        clip,
        auc,
        released_less_local,
        blend_less_local,
        verdict: PlanReport::new(job, merchants.len() as u32).ok().and_then(|plan| plan.verdict().cloned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use guildhall_shared::job::Aggregation;

    const JOB: &str = include_str!("../../samples/jobs/online_shoppers_logistic.toml");

    #[test]
    fn the_adversary_is_that_of_the_mode() {
        let (job, _) = JobSpec::parse(JOB, &Calibration).expect("a sample job");
        let against = |mode, merchants| adversary(&job, mode, merchants).map_err(|error| error.to_string());
        assert_eq!(against(NoiseMode::Masked, 9).as_deref(), Ok("the server and 2 colluding merchants"));
        assert_eq!(against(NoiseMode::Masked, 20).as_deref(), Ok("the server and 6 colluding merchants"));
        assert_eq!(against(NoiseMode::Plain, 9).as_deref(), Ok("everybody else together"));
        let refused = against(NoiseMode::Masked, 2).expect_err("too few for masks");
        assert!(refused.contains("at least 3 merchants"), "{refused}");
    }

    #[test]
    fn a_job_is_simulated_in_the_mode_of_its_own_rounds() {
        let (mut job, _) = JobSpec::parse(JOB, &Calibration).expect("a sample job");
        for (aggregation, expected) in
            [(Aggregation::Masked, NoiseMode::Masked), (Aggregation::Plain, NoiseMode::Plain)]
        {
            job.round.aggregation = aggregation;
            assert_eq!(NoiseMode::of(&job), expected);
        }
    }
}
