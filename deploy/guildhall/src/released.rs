//! `guildhall evaluate --released`: how good a model is on all merchants' held-out rows together, from the noised sums of metrics
//! jobs.
//!
//! # Privacy
//! Nothing here reads a row: the sums were released and charged for, and what is read from them is post-processing.

use std::path::Path;

use guildhall_client::ClientConfig;
use guildhall_client::evaluate::released::{Estimate, ReleasedFigures, ReleasedRanking, ReleasedScores};
use guildhall_client::model_store::{ModelStore, kept_jobs};
use guildhall_shared::job::{JobSpec, PrivacySpec};
use guildhall_shared::model_spec::Architecture;
use serde::Serialize;

use crate::error::{CommandError, Context as _};
use crate::evaluate::followed_job;
use crate::output::table;

/// What `evaluate --released` prints with `--json`.
#[derive(Debug, Serialize)]
pub struct ReleasedEvaluation {
    /// Name of the job whose models are measured.
    pub job: String,
    /// Merchants of the roster, whose shoppers the figures are about.
    pub merchants: u32,
    /// What was released, by digest of the metrics job.
    pub releases: Vec<Release>,
}

/// The figures of one metrics job.
#[derive(Debug, Serialize)]
pub struct Release {
    /// The metrics job's name.
    pub metrics_job: String,
    /// Hash of the version that was measured.
    pub model: String,
    /// Its number, where this client still keeps it.
    pub version: Option<u32>,
    /// What protects the shoppers in the sum.
    pub privacy: String,
    /// ε of this release; none without noise.
    pub epsilon: Option<f64>,
    /// δ.
    pub delta: Option<f64>,
    /// The figures.
    pub figures: ReleasedFigures,
}

/// Reads what was released about the followed job's models, or about one version.
pub fn run(config: &Path, version: Option<u32>) -> Result<ReleasedEvaluation, CommandError> {
    let config = ClientConfig::load(config).context(config.display())?;
    let job = followed_job(&config)?;
    let mut releases = releases(&config, &job)?;
    releases.retain(|release| version.is_none() || release.version == version);
    if releases.is_empty() {
        let which = version.map_or_else(String::new, |version| format!("version {version} of "));
        return Err(CommandError::message(format!(
            "no figures of {which}job {} are released. They leave a merchant only by a metrics job, which the server's operator submits with\n  \
             [model]\n  kind = \"metrics\"\n  of_job = \"{}\"\n  of_model = \"HASH\", one of `guildhall server versions`",
            job.name,
            job.digest()
        )));
    }
    Ok(ReleasedEvaluation { job: job.name.to_string(), merchants: merchants(&config)?, releases })
}

/// Every settled metrics job about a job's models that this client followed.
pub fn releases(config: &ClientConfig, job: &JobSpec) -> Result<Vec<Release>, CommandError> {
    let (digest, merchants) = (job.digest(), merchants(config)?);
    let folder = config.folder.models(&digest);
    let mut measured = ModelStore::open(&folder, job).context(folder.display())?;
    let mut releases = Vec::new();
    for metrics_job in kept_jobs(&config.folder).context("the jobs that were followed")? {
        let Architecture::Metrics(metrics) = &metrics_job.architecture else { continue };
        if metrics.job != digest {
            continue;
        }
        let sums = config.folder.models(&metrics_job.digest());
        let mut store = ModelStore::open(&sums, &metrics_job).context(sums.display())?;
        let Some(settled) = store.newest().context(sums.display())? else { continue };
        let Some(figures) = ReleasedFigures::read(&metrics_job, &settled.state, merchants) else { continue };
        let version = measured.find(&metrics.model).context(folder.display())?.map(|found| found.version);
        let (epsilon, delta) = match metrics_job.privacy {
            PrivacySpec::Gaussian { epsilon, delta, .. } => (Some(epsilon), Some(delta)),
            PrivacySpec::None { .. } => (None, None),
        };
        releases.push(Release {
            metrics_job: metrics_job.name.to_string(),
            model: metrics.model.to_string(),
            version,
            privacy: metrics_job.privacy.label(),
            epsilon,
            delta,
            figures,
        });
    }
    Ok(releases)
}

/// n: how many merchants the pinned roster has.
pub fn merchants(config: &ClientConfig) -> Result<u32, CommandError> {
    let roster = config.folder.read_roster().context("the roster")?;
    Ok(roster.map_or(1, |signed| signed.roster.len() as u32))
}

impl ReleasedEvaluation {
    /// For people.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{}: all shoppers of {} merchants together, ± one standard error of the noise\n",
            self.job, self.merchants
        );
        for release in &self.releases {
            let version = release.version.map_or_else(|| "a version".into(), |v| format!("version {v}"));
            text += &format!("\n{}, {version}: {}\n", release.metrics_job, release.privacy);
            text += &match &release.figures {
                ReleasedFigures::Ranking { k, all, groups } => rankings(*k, all, groups),
                ReleasedFigures::Predictions { all, groups } => predictions(all, groups),
            };
        }
        text + "\nFigures of released sums: charged to the shoppers' budget once, and free to show. A dash: too few shoppers for the noise.\n"
    }
}

fn rankings(k: u32, all: &ReleasedRanking, groups: &[ReleasedRanking]) -> String {
    let row = |of: &ReleasedRanking| {
        vec![of.group.clone(), count(of.shoppers), share(of.ndcg_at_k), share(of.hr_at_k)]
    };
    let head = vec!["items of a shopper".into(), "shoppers".into(), format!("NDCG@{k}"), format!("HR@{k}")];
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(groups.iter().chain([all]).map(row)).collect();
    table(&rows)
}

fn predictions(all: &ReleasedScores, groups: &[ReleasedScores]) -> String {
    let row = |of: &ReleasedScores| {
        let gap = share(of.predicted_less_observed);
        vec![of.group.clone(), count(of.shoppers), share(of.auc), share(of.positives), gap]
    };
    let head = ["rows of a shopper", "shoppers", "AUC", "positives", "predicted less observed"];
    let head = head.map(String::from).to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(groups.iter().chain([all]).map(row)).collect();
    let known = all.bins.iter().filter(|bin| bin.observed.is_some());
    let bins = known
        .map(|bin| vec![format!("{:.2} to {:.2}", bin.from, bin.to), count(bin.weight), share(bin.observed)]);
    let head = ["predicted chance", "shoppers", "positives"].map(String::from).to_vec();
    let bins: Vec<Vec<String>> = std::iter::once(head).chain(bins).collect();
    format!("{}\n{}", table(&rows), table(&bins))
}

fn count(found: Estimate) -> String {
    format!("{:.1} ± {:.1}", found.value, found.standard_error)
}

fn share(found: Option<Estimate>) -> String {
    found.map_or_else(|| "-".into(), |found| format!("{:.4} ± {:.4}", found.value, found.standard_error))
}
