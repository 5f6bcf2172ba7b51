//! Whether a metrics job names a model that this federation released: an operator's slip is told at once, before merchants are asked.
//! They look for themselves all the same.

use guildhall_shared::job::JobSpec;
use guildhall_shared::model_spec::Architecture;

use super::model_hash;
use crate::error::ServerError;
use crate::federation::Federation;
use crate::store::records::JobRecord;

/// What is wrong with the model that a job measures; nothing for other jobs.
pub(super) fn mistake(
    federation: &Federation,
    spec: &JobSpec,
    jobs: &[JobRecord],
) -> Result<Option<String>, ServerError> {
    let Architecture::Metrics(metrics) = &spec.architecture else { return Ok(None) };
    let Some(measured) = jobs.iter().find(|job| job.spec.digest() == metrics.job) else {
        let names: Vec<String> =
            jobs.iter().map(|job| format!("{} of {}", job.spec.digest(), job.spec.name)).collect();
        return Ok(Some(format!(
            "model.of_job: expected the digest of a job of this federation ({}), found {}",
            names.join(", "),
            metrics.job
        )));
    };
    if measured.spec.task != spec.task {
        let name = &measured.spec.name;
        return Ok(Some(format!(
            "task: expected that of job {name}, whose model is measured, found another"
        )));
    }
    let history = federation.records.versions(measured.number)?;
    let known =
        (0..=history.len() as u32).any(|v| model_hash(&measured.spec, &history, v) == Some(metrics.model));
    Ok((!known).then(|| {
        let newest = model_hash(&measured.spec, &history, history.len() as u32);
        let newest = newest.map(|hash| hash.to_string()).unwrap_or_default();
        format!(
            "model.of_model: expected the hash of a version of job {}, whose newest is {newest}, found {}",
            measured.spec.name, metrics.model
        )
    }))
}

#[cfg(test)]
mod tests;
