//! `guildhall fine-tune`: a released version, trained on by this merchant alone, on its own rows, for itself.
//!
//! # Privacy
//! The copy is outside the privacy claim. It is kept beside the versions, is no version, and never leaves: rounds start from
//! released versions only. See [`guildhall_client::train::fine_tune`].

use std::path::PathBuf;

use guildhall_client::card::{CardCopy, CardFacts, CardFigure, CardFigures, ModelCard, Origin};
use guildhall_client::data::observations::Splits;
use guildhall_client::data::{self, DataConfig};
use guildhall_client::evaluate::ranking::RankingFigures;
use guildhall_client::folder::{Access, write_durably};
use guildhall_client::model::DeviceChoice;
use guildhall_client::model_store::{CopyStore, FineTunedCopy, StoredModel};
use guildhall_client::train::JobTrainer;
use guildhall_client::train::fine_tune::{Criterion, FineTuned, FineTuning, TuningRows, fine_tune};
use guildhall_client::{ClientConfig, evaluate};
use guildhall_shared::job::JobSpec;
use serde::Serialize;

use crate::cli::FineTuneArgs;
use crate::error::{CommandError, Context as _};
use crate::evaluate::{followed_job, stored};
use crate::output::{difference, figure};
use crate::ranking::K;
use crate::versus::Compared;

/// What `fine-tune` prints with `--json`.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The job's name.
    pub job: String,
    /// The merchant.
    pub merchant: String,
    /// The released version that was trained on.
    pub version: u32,
    /// What protects shoppers from whoever reads the copy: nothing.
    pub privacy: &'static str,
    /// What the number of epochs was chosen by, on the validation rows.
    pub criterion: Criterion,
    /// The released version's figure on the validation rows.
    pub released: Option<f64>,
    /// The best figure on the validation rows.
    pub best: Option<f64>,
    /// Epochs that did best; 0: the released version stays, and no copy was made.
    pub epochs: u32,
    /// Epochs that were tried.
    pub epochs_tried: usize,
    /// Hash of the copy, if one was made.
    pub hash: Option<String>,
    /// Its model card, if one was made.
    pub card: Option<PathBuf>,
}

/// `guildhall fine-tune …`
pub fn run(arguments: &FineTuneArgs) -> Result<Outcome, CommandError> {
    let tuning = tuning(arguments)?;
    let config = ClientConfig::load(&arguments.config).context(arguments.config.display())?;
    let job = followed_job(&config)?;
    let released = stored(&config, &job, arguments.version)?;
    let data = config.data.as_ref().ok_or_else(|| {
        CommandError::message("client.toml has no [data] table: there are no rows to fine-tune on")
    })?;
    let trainer = JobTrainer::new(&job, &config.device, [0; 32]).context("the trainer")?;
    let rows = rows(&job, data)?;
    let tuned = fine_tune(&trainer, &released.state.released(), &rows, tuning).context("fine-tuning")?;
    let mut outcome = Outcome {
        job: job.name.to_string(),
        merchant: config.merchant.to_string(),
        version: released.version,
        privacy: FineTunedCopy::LABEL,
        criterion: tuned.criterion,
        released: tuned.released_figure(),
        best: tuned.figure(),
        epochs: tuned.epochs,
        epochs_tried: tuned.figures.len() - 1,
        hash: None,
        card: None,
    };
    if tuned.epochs > 0 {
        let figures = validation_figures(&config, &tuned);
        let copy = FineTunedCopy::new(&job, &released, tuned);
        let store = CopyStore::beside(&config.folder.models(&job.digest()), &job);
        store.store(&copy).context("the copy")?;
        let path = store.path(copy.version()).with_extension("card.md");
        let card = card(&job, &released, &copy, figures)?;
        write_durably(&path, card.as_bytes(), Access::Private).context("the card")?;
        (outcome.hash, outcome.card) = (Some(copy.hash().to_string()), Some(path));
    }
    Ok(outcome)
}

fn tuning(arguments: &FineTuneArgs) -> Result<FineTuning, CommandError> {
    let FineTuneArgs { epochs, learning_rate, batch, seed, .. } = *arguments;
    if !(learning_rate.is_finite() && learning_rate > 0.0 && batch > 0) {
        return Err(CommandError::message("expected a learning rate above 0 and batches of at least 1"));
    }
    Ok(FineTuning { epochs_max: epochs, learning_rate, batch, seed })
}

fn rows(job: &JobSpec, data: &DataConfig) -> Result<TuningRows, CommandError> {
    match job.task.items() {
        Some(task) => {
            let (sequences, _) = data::load_items(data, task).context(data.path.display())?;
            Ok(TuningRows::of_items(&sequences))
        }
        None => {
            let (splits, _) = data::load(data, &job.task).context(data.path.display())?;
            Ok(TuningRows::of_splits(&splits, &job.task))
        }
    }
}

fn validation_figures(config: &ClientConfig, tuned: &FineTuned) -> CardFigures {
    let name = tuned.criterion.describe();
    let figures = [("released version", tuned.released_figure()), ("fine-tuned copy", tuned.figure())];
    let one = |(of, value): (&str, Option<f64>)| {
        Some(CardFigure { name: format!("{name}, {of}"), value: value?, interval: None })
    };
    CardFigures {
        of: config.merchant.to_string(),
        protocol: "the validation rows, on which the number of epochs was chosen".into(),
        origin: Origin::OwnRows,
        figures: figures.into_iter().filter_map(one).collect(),
    }
}

fn card(
    job: &JobSpec,
    released: &StoredModel,
    copy: &FineTunedCopy,
    figures: CardFigures,
) -> Result<String, CommandError> {
    let facts = CardFacts {
        version: Some((released.version, released.model.to_string())),
        figures: vec![figures],
        fine_tuned: Some(CardCopy { epochs: copy.epochs(), hash: copy.hash().to_string() }),
        ..CardFacts::default()
    };
    Ok(ModelCard::new(job, facts).context("the card")?.markdown())
}

impl Outcome {
    /// For people.
    pub fn to_text(&self) -> String {
        let Outcome { job, version, merchant, epochs, epochs_tried, .. } = self;
        let by = self.criterion.describe();
        let head = format!(
            "{job}, version {version}, on the rows of {merchant}: {epochs_tried} epochs tried\n{by} on the validation rows: \
             released {}, best {}\n\n",
            figure(self.released),
            figure(self.best)
        );
        let Some(card) = &self.card else {
            let why = match self.released {
                Some(_) => "No number of epochs did better there",
                None => "There are no validation rows to choose by",
            };
            return head + why + ": the released version stays, and no copy is made.\n";
        };
        head + &format!(
            "The copy after {epochs} epochs is kept: {}.\nIt stays with you: no round starts from it, nothing of it is sent, and \
             `guildhall model export` does not write it.\n\nserve it: guildhall model use {version} --fine-tuned\ngo back:  \
             guildhall model use newest\ncompare:  guildhall evaluate --version {version}\nits card: {}\n",
            self.privacy,
            card.display()
        )
    }
}

/// The fine-tuned copy of a version that a client keeps.
pub fn copy_of(
    config: &ClientConfig,
    job: &JobSpec,
    released: &StoredModel,
) -> Result<Option<FineTunedCopy>, CommandError> {
    let store = CopyStore::beside(&config.folder.models(&job.digest()), job);
    let copy = store.load(released.version).context("the fine-tuned copy")?;
    Ok(copy.filter(|copy| copy.released() == released.model))
}

/// What a fine-tuned copy came to on the test rows, beside the released version and the merchant's own model.
#[derive(Debug, Serialize)]
pub struct CopyFigures {
    /// What protects shoppers from whoever reads the copy: nothing.
    pub privacy: &'static str,
    /// Epochs it was trained for.
    pub epochs: u32,
    /// AUC, or NDCG at ten.
    pub figure: Option<f64>,
    /// Share of shoppers whose held-out item is among the first ten; none for labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hr_at_10: Option<f64>,
    /// The copy compared with the released version.
    pub against_released: Compared,
    /// The copy compared with the merchant's own model.
    pub against_local: Compared,
}

impl CopyFigures {
    /// Of a task with labels; the other two by their logits on the test rows.
    pub fn of_labels(
        job: &JobSpec,
        copy: &FineTunedCopy,
        splits: &Splits,
        (own, released): (&[f32], &[f32]),
    ) -> Result<Self, CommandError> {
        let trainer = JobTrainer::new(job, &DeviceChoice::Cpu, [0; 32]).context("the trainer")?;
        let logits = trainer.logits(copy.weights(), &splits.test).context("scoring")?;
        Ok(CopyFigures {
            privacy: FineTunedCopy::LABEL,
            epochs: copy.epochs(),
            figure: evaluate::auc(&logits, &splits.test.labels),
            hr_at_10: None,
            against_released: Compared::auc(&logits, released, &splits.test),
            against_local: Compared::auc(&logits, own, &splits.test),
        })
    }

    /// Of an item task; all by the places of the same held-out items.
    pub fn of_ranks(
        copy: &FineTunedCopy,
        ranks: &[Option<u32>],
        (own, released): (&[Option<u32>], &[Option<u32>]),
    ) -> Self {
        let mean = RankingFigures::mean(ranks, K);
        let against =
            |other: &[Option<u32>]| Compared::ranks("NDCG@10", ranks, other, |figures| figures.ndcg_at_k);
        CopyFigures {
            privacy: FineTunedCopy::LABEL,
            epochs: copy.epochs(),
            figure: mean.map(|figures| figures.ndcg_at_k),
            hr_at_10: mean.map(|figures| figures.hr_at_k),
            against_released: against(released),
            against_local: against(own),
        }
    }

    /// Its row of the table of models.
    pub fn row(&self) -> Vec<String> {
        let mut row = vec!["fine-tuned copy".to_string(), figure(self.figure)];
        row.extend(self.hr_at_10.map(|value| figure(Some(value))));
        row
    }

    /// The differences, on lines of their own.
    pub fn to_text(&self) -> String {
        let name = self.against_released.figure;
        let line = |other: &str, compared: &Compared| {
            difference(&format!("{name} of the fine-tuned copy less {other}"), compared.difference)
        };
        format!(
            "{}{}The copy is {}.\n",
            line("the released model", &self.against_released),
            line("the own model", &self.against_local),
            self.privacy
        )
    }
}

#[cfg(test)]
mod tests;
