//! The contributions to a metrics job: the released model that it names, from the versions this client keeps, and the rows that
//! are held out.
//!
//! # Privacy
//! What is measured is looked for among released versions only, under a job this client followed, and has to come to both hashes
//! that the job names. Recorded events are left out: the rows are those of the merchant's own evaluation.

use guildhall_shared::job::JobSpec;
use guildhall_shared::model_spec::Metrics;
use guildhall_shared::task::Task;

use super::ContributionError;
use crate::config::ClientConfig;
use crate::data::{self, DataConfig};
use crate::driver::served::merchants;
use crate::model_store::{ModelStore, StoredModel, kept_job};
use crate::train::metrics::{HeldOut, MetricsTrainer};
use crate::train::{JobTrainer, TrainingData};

/// What a merchant can do where it does not have what is to be measured.
const WHAT_TO_DO: &str = "this merchant follows the metrics job and contributes nothing. A client keeps a job and its versions \
     while it is connected; what it missed comes back only with a backup of that folder. To be measured, its [data] and the job's task \
     have to be those of the measured job";

/// The trainer of a metrics job.
pub(super) fn trainer(
    config: &ClientConfig,
    spec: &JobSpec,
    metrics: &Metrics,
) -> Result<JobTrainer, ContributionError> {
    let error = |error: &dyn std::fmt::Display| ContributionError(format!("{error}: {WHAT_TO_DO}"));
    let (measured, stored) = released(config, metrics)?;
    let merchants = merchants(&config.folder);
    MetricsTrainer::new(spec, &measured, &stored.state, merchants, &config.device)
        .map(JobTrainer::measuring)
        .map_err(|e| error(&e))
}

fn released(config: &ClientConfig, metrics: &Metrics) -> Result<(JobSpec, StoredModel), ContributionError> {
    let error = |error: &dyn std::fmt::Display| ContributionError(error.to_string());
    let dir = config.folder.models(&metrics.job);
    let missing = |what: String| {
        ContributionError(format!("{}: expected {what}, found none: {WHAT_TO_DO}", dir.display()))
    };
    let measured = kept_job(&config.folder, &metrics.job).map_err(|e| error(&e))?;
    let measured =
        measured.ok_or_else(|| missing(format!("the job {}, which model.of_job names", metrics.job)))?;
    let mut store = ModelStore::open(&dir, &measured).map_err(|e| error(&e))?;
    let stored = store.find(&metrics.model).map_err(|e| error(&e))?;
    let stored = stored.ok_or_else(|| {
        missing(format!("a released version with hash {}, which model.of_model names", metrics.model))
    })?;
    Ok((measured, stored))
}

/// The rows that the measured model was not trained on.
pub(super) fn held_out(data: &DataConfig, task: &Task) -> Result<TrainingData, ContributionError> {
    let error = |error: &dyn std::fmt::Display| ContributionError(error.to_string());
    let held_out = match task.items() {
        Some(items) => HeldOut::Items(data::load_items(data, items).map_err(|e| error(&e))?.0),
        None => HeldOut::of_rows(data::load(data, task).map_err(|e| error(&e))?.0),
    };
    Ok(TrainingData::HeldOut(held_out))
}
