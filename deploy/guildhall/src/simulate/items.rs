//! `guildhall simulate` of an item task: full rankings of the catalogue by every model.

use std::collections::BTreeMap;
use std::path::Path;

use guildhall_client::data::sequences::Sequences;
use guildhall_client::data::{SimulationConfig, items_by_merchant};
use guildhall_client::evaluate::FigureSummary;
use guildhall_client::evaluate::paired::Difference;
use guildhall_client::evaluate::ranking::PROTOCOL;
use guildhall_client::recommend::Statistics;
use guildhall_client::recommend::vectors::item_vectors;
use guildhall_client::train::TrainingData;
use guildhall_privacy::plan::{PlanReport, Verdict};
use guildhall_shared::id::Name;
use guildhall_shared::job::{JobSpec, PrivacySpec};
use guildhall_shared::model_spec::{Architecture, ItemVectors};
use serde::Serialize;

use crate::comparison::FiguresByMethod;
use crate::error::{CommandError, Context as _};
use crate::federated::{self, NoiseMode};
use crate::job_file::JobFile;
use crate::output::{difference, figure, table};
use crate::ranking::{self, Baselines, K, RankedModel, RanksByMethod};

use super::adversary;

/// What `simulate` prints of an item task with `--json`.
#[derive(Debug, Serialize)]
pub struct SimulatedRanking {
    /// The job's name.
    pub job: String,
    /// What protected the shoppers and against whom, or that nothing did.
    pub privacy: String,
    /// "masked", "plain" or "none".
    pub mode: String,
    /// How the figures came about.
    pub protocol: &'static str,
    /// Number of merchants.
    pub merchants: usize,
    /// Shoppers with items to train on.
    pub shoppers: usize,
    /// Items of the catalogue.
    pub items: usize,
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
    /// What the planner said before anything was spent.
    pub verdict: Option<Verdict>,
    /// Share of shoppers whose held-out item is among the first ten.
    pub hr_at_10: FiguresByMethod,
    /// Normalised discounted cumulative gain at ten.
    pub ndcg_at_10: FiguresByMethod,
    /// NDCG of the blend less that of the merchants' own models, over all shoppers, with a 95 % interval.
    pub blend_less_local: Option<Difference>,
    /// NDCG of the released model less that of the merchants' own models, over all shoppers, with a 95 % interval.
    pub released_less_local: Option<Difference>,
    /// The released model's weight in each merchant's blend, chosen on its validation items.
    pub blend_weights: BTreeMap<Name, f32>,
}

/// Runs an item job on a data folder.
pub fn run(
    file: &JobFile,
    job: JobSpec,
    data: &Path,
    mode: NoiseMode,
) -> Result<SimulatedRanking, CommandError> {
    let table = file.simulation.as_ref().ok_or_else(super::no_simulation)?;
    let config = SimulationConfig::parse(table, data).context(data.display())?;
    let task = job.task.items().ok_or_else(|| CommandError::message("expected an item task"))?;
    let items = task.catalogue.len();
    let merchants: BTreeMap<Name, Sequences> = items_by_merchant(&config, &task.catalogue)
        .context(data.display())?
        .into_iter()
        .map(|(name, (sequences, _))| (name, sequences))
        .collect();
    let train: BTreeMap<Name, TrainingData> =
        merchants.iter().map(|(name, all)| (name.clone(), TrainingData::Items(all.train()))).collect();
    let private = mode != NoiseMode::None && matches!(job.privacy, PrivacySpec::Gaussian { .. });
    let open_job = started(file, file.without_privacy()?, &train, NoiseMode::None)?;
    let open = trained(&open_job, &train, NoiseMode::None)?;
    let noised =
        private.then(|| trained(&started(file, job.clone(), &train, mode)?, &train, mode)).transpose()?;
    let baselines = Baselines::fit(&merchants, items);
    let pooled = ranking::pooled_model(&merchants, items)
        .ok_or_else(|| CommandError::message("the pooled model could not be fitted"))?;
    let released = noised.as_ref().unwrap_or(&open);
    let blended = baselines.blended(&*released.score, released.scale);
    let ranks = RanksByMethod {
        local_only: baselines.own_ranks(),
        federated_plain: ranking::test_ranks(&merchants, items, &*open.score),
        federated_private: noised.as_ref().map(|model| ranking::test_ranks(&merchants, items, &*model.score)),
        blend: blended.ranks.clone(),
        pooled: ranking::test_ranks(&merchants, items, &*pooled),
    };
    let (epsilon, delta) = match job.privacy {
        PrivacySpec::Gaussian { epsilon, delta, .. } if private => (Some(epsilon), Some(delta)),
        _ => (None, None),
    };
    Ok(SimulatedRanking {
        job: job.name.to_string(),
        privacy: match private {
            true => format!("{}, against {}", job.privacy.label(), adversary(&job, mode, merchants.len())?),
            false => "NO PRIVACY: no noise was added".into(),
        },
        mode: format!("{mode:?}").to_lowercase(),
        protocol: PROTOCOL,
        merchants: merchants.len(),
        shoppers: train.values().map(TrainingData::shoppers).sum(),
        items,
        parameters: job.model().parameter_count(),
        rounds: job.rounds,
        epsilon,
        delta,
        unit: job.privacy.unit().describe(),
        verdict: PlanReport::new(&job, merchants.len() as u32).ok().and_then(|plan| plan.verdict().cloned()),
        hr_at_10: ranks.table(|figures| figures.hr_at_k),
        ndcg_at_10: ranks.table(|figures| figures.ndcg_at_k),
        blend_less_local: ranks.blend_less_local(),
        released_less_local: ranks.released_less_local(),
        blend_weights: blended.weights,
    })
}

/// The job with the item vectors it starts from, where the file says that it starts from released statistics.
fn started(
    file: &JobFile,
    mut job: JobSpec,
    merchants: &BTreeMap<Name, TrainingData>,
    mode: NoiseMode,
) -> Result<JobSpec, CommandError> {
    let first = file.start(mode != NoiseMode::None)?;
    let (Some(first), Architecture::NextItem(model)) = (first, &mut job.architecture) else { return Ok(job) };
    let state = federated::train_on(&first, merchants, mode, &mut |_| ())?;
    let statistics = Statistics::released(&first, &state, noise_steps(&first, mode, merchants.len())?)
        .ok_or_else(|| CommandError::message("the statistics to start from are not released"))?;
    let vectors = item_vectors(&statistics, model.width, job.seed)
        .ok_or_else(|| CommandError::message("the statistics give no item vectors"))?;
    model.start = Some(ItemVectors::nearest(&vectors));
    job.check().context("the job with its item vectors")?;
    Ok(job)
}

fn trained(
    job: &JobSpec,
    merchants: &BTreeMap<Name, TrainingData>,
    mode: NoiseMode,
) -> Result<RankedModel, CommandError> {
    let state = federated::train_on(job, merchants, mode, &mut |_| ())?;
    RankedModel::of(job, &state, noise_steps(job, mode, merchants.len())?)
}

/// The standard deviation of a round's noise on the sum, in integer steps.
fn noise_steps(job: &JobSpec, mode: NoiseMode, merchants: usize) -> Result<f64, CommandError> {
    Ok(mode.parameters(job, merchants)?.noise_standard_deviation_sum())
}

impl SimulatedRanking {
    /// For people.
    pub fn to_text(&self) -> String {
        let mut rows =
            vec![["", "NDCG@10 macro", "micro", "HR@10 macro", "micro"].map(String::from).to_vec()];
        let mut row = |name: &str, pick: &dyn Fn(&FiguresByMethod) -> Option<FigureSummary>| {
            if let (Some(ndcg), Some(hr)) = (pick(&self.ndcg_at_10), pick(&self.hr_at_10)) {
                let figures = [ndcg.r#macro, ndcg.micro, hr.r#macro, hr.micro].map(figure);
                rows.push(std::iter::once(name.to_string()).chain(figures).collect());
            }
        };
        row("local only, without privacy", &|t| Some(t.local_only.clone()));
        row("federated, without privacy", &|t| Some(t.federated_plain.clone()));
        row("federated, with privacy", &|t| t.federated_private.clone());
        row("blend of own and federated", &|t| Some(t.blend.clone()));
        row("pooled (for reference only)", &|t| Some(t.pooled.clone()));
        let verdict = self.verdict.as_ref().map(|v| format!("planner, before anything was spent: {v}\n"));
        format!(
            "job {}: {} merchants, {} shoppers, {} items, {} parameters, {} rounds\nmode: {}; {}\n{}: {} first items\n\n{}{}{}{}",
            self.job,
            self.merchants,
            self.shoppers,
            self.items,
            self.parameters,
            self.rounds,
            self.mode,
            self.privacy,
            self.protocol,
            K,
            table(&rows),
            difference("NDCG@10 of the blend less local only", self.blend_less_local),
            difference("NDCG@10 of the released model less local only", self.released_less_local),
            verdict.unwrap_or_default(),
        )
    }
}

#[cfg(test)]
mod tests;
