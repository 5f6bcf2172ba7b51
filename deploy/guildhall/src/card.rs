//! `guildhall card`: the model card of a job, or of what a client keeps, with the figures that are known there.

use std::path::Path;

use guildhall_client::ClientConfig;
use guildhall_client::card::{CardFacts, CardFigure, CardFigures, CardImportance, ModelCard, Origin};
use guildhall_client::data::observations::Observations;
use guildhall_client::data::{self, DataConfig};
use guildhall_client::evaluate::paired::Difference;
use guildhall_client::evaluate::ranking::PROTOCOL;
use guildhall_client::evaluate::released::{Estimate, ReleasedFigures};
use guildhall_client::explain::importance::{Repeats, by_permutation};
use guildhall_client::explain::{names, players};
use guildhall_client::model::DeviceChoice;
use guildhall_client::model_store::StoredModel;
use guildhall_client::train::JobTrainer;
use guildhall_shared::job::JobSpec;

use crate::cli::CardArgs;
use crate::error::{CommandError, Context as _};
use crate::evaluate::{self, Evaluation, Figures};
use crate::job_file::JobFile;
use crate::released::{self, Release};

/// How often each input is dealt out anew, and by which draws.
const REPEATS: Repeats = Repeats { repeats: 5, seed: 1 };

/// How predictions are measured.
const LABEL_PROTOCOL: &str = "the rows that the job holds out";

/// The card of a job file, or of a client's model with the figures that are known there.
pub fn run(arguments: &CardArgs) -> Result<ModelCard, CommandError> {
    let (job, mut facts) = match (&arguments.config, &arguments.job) {
        (Some(config), _) => of_client(config, arguments.version, arguments.for_everybody)?,
        (None, Some(job)) => (JobFile::read(job, None)?.job, CardFacts::default()),
        (None, None) => return Err(CommandError::message("expected --job or --config, found neither")),
    };
    facts.merchants = arguments.merchants.or(facts.merchants);
    facts.data.clone_from(&arguments.about_data);
    let card = ModelCard::new(&job, facts).context(&job.name)?;
    Ok(if arguments.for_everybody { card.for_everybody() } else { card })
}

fn of_client(
    path: &Path,
    version: Option<u32>,
    for_everybody: bool,
) -> Result<(JobSpec, CardFacts), CommandError> {
    let config = ClientConfig::load(path).context(path.display())?;
    let job = evaluate::followed_job(&config)?;
    let stored = evaluate::stored(&config, &job, version)?;
    let of_version = released::releases(&config, &job)?;
    let model = stored.model.to_string();
    let mut figures: Vec<CardFigures> =
        of_version.iter().filter(|release| release.model == model).map(of_release).collect();
    let mut importance = None;
    // What a card for everybody leaves out is not even computed for one.
    if let Some(data) = config.data.as_ref().filter(|_| !for_everybody) {
        figures.insert(0, own(evaluate::run(path, version)?));
        importance = leans_on(&job, &stored, data)?;
    }
    let facts = CardFacts {
        merchants: config.folder.read_roster().context("the roster")?.map(|r| r.roster.len() as u32),
        version: Some((stored.version, model)),
        figures,
        importance,
        ..CardFacts::default()
    };
    Ok((job, facts))
}

/// The figures of `guildhall evaluate`.
fn own(found: Evaluation) -> CardFigures {
    let (protocol, figures) = match &found.figures {
        Figures::Labels(found) => (
            LABEL_PROTOCOL,
            [
                exact("AUC", found.auc.federated_plain.micro),
                exact("log loss", found.log_loss),
                exact("calibration error", found.calibration_error),
                exact("AUC of this merchant's own model", found.auc.local_only.micro),
                exact("AUC of the blend of both", found.auc.blend.micro),
            ]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>(),
        ),
        Figures::Ranking(found) => (
            PROTOCOL,
            [
                exact("NDCG@10", found.ndcg_at_10.federated_plain.micro),
                exact("HR@10", found.hr_at_10.federated_plain.micro),
                exact("mean reciprocal rank", found.mrr),
                exact("coverage", Some(found.lists.coverage)),
                exact("NDCG@10 of this merchant's own model", found.ndcg_at_10.local_only.micro),
                exact("NDCG@10 of the blend of both", found.ndcg_at_10.blend.micro),
                less("NDCG@10 less that of its own model", found.released_less_local),
            ]
            .into_iter()
            .flatten()
            .collect(),
        ),
    };
    CardFigures { of: found.merchant, protocol: protocol.into(), origin: Origin::OwnRows, figures }
}

fn exact(name: &str, value: Option<f64>) -> Option<CardFigure> {
    Some(CardFigure { name: name.into(), value: value?, interval: None })
}

fn less(name: &str, found: Option<Difference>) -> Option<CardFigure> {
    let Difference { difference, low, high } = found?;
    Some(CardFigure { name: name.into(), value: difference, interval: Some((low, high)) })
}

/// The figures of a metrics job.
fn of_release(release: &Release) -> CardFigures {
    let (protocol, figures) = match &release.figures {
        ReleasedFigures::Ranking { k, all, .. } => (
            PROTOCOL,
            vec![noised(&format!("NDCG@{k}"), all.ndcg_at_k), noised(&format!("HR@{k}"), all.hr_at_k)],
        ),
        ReleasedFigures::Predictions { all, .. } => (
            LABEL_PROTOCOL,
            vec![
                noised("AUC", all.auc),
                noised("share of positives", all.positives),
                noised("predicted less observed", all.predicted_less_observed),
            ],
        ),
    };
    CardFigures {
        of: format!("all merchants together, {}", release.metrics_job),
        protocol: protocol.into(),
        origin: match (release.epsilon, release.delta) {
            (Some(epsilon), Some(delta)) => Origin::Released { epsilon, delta },
            _ => Origin::ReleasedWithoutNoise,
        },
        figures: figures.into_iter().flatten().collect(),
    }
}

/// With the 95 % error bar of its noise.
fn noised(name: &str, found: Option<Estimate>) -> Option<CardFigure> {
    let Estimate { value, standard_error } = found?;
    let bar = 1.96 * standard_error;
    Some(CardFigure { name: name.into(), value, interval: Some((value - bar, value + bar)) })
}

/// What a model with labels leans on, over the merchant's own test rows.
fn leans_on(
    job: &JobSpec,
    stored: &StoredModel,
    data: &DataConfig,
) -> Result<Option<CardImportance>, CommandError> {
    if job.task.items().is_some() {
        return Ok(None);
    }
    let rows = data::load(data, &job.task).context(data.path.display())?.0.test;
    let trainer = JobTrainer::new(job, &DeviceChoice::Cpu, [0; 32]).context("the model")?;
    let weights = stored.state.released();
    let logits = |features: &[f32]| {
        let rows = Observations { features: features.to_vec(), ..rows.clone() };
        // Nothing but the device can fail; then there is no importance.
        trainer.logits(&weights, &rows).unwrap_or_default()
    };
    let found = by_permutation(&rows, &players(&names(&job.task)), REPEATS, logits);
    Ok(found.map(|found| {
        let mut players: Vec<(String, f64)> =
            found.into_iter().map(|one| (one.name, one.log_loss_rise.mean)).collect();
        players.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let measure = format!(
            "rise of the log loss when an input is dealt out anew among the rows, mean of {}",
            REPEATS.repeats
        );
        CardImportance { measure, origin: Origin::OwnRows, players }
    }))
}
