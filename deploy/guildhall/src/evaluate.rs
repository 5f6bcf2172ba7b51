//! `guildhall evaluate`: how good a client's newest released model is on that merchant's own held-out rows.
//!
//! # Privacy
//! Everything here is computed from private rows and printed for the merchant alone. Nothing is sent.

use std::collections::BTreeMap;
use std::path::Path;

use guildhall_client::ClientConfig;
use guildhall_client::data::observations::Splits;
use guildhall_client::data::sequences::Sequences;
use guildhall_client::data::{self, DataConfig};
use guildhall_client::evaluate::activity::ActivityGroups;
use guildhall_client::evaluate::paired::Difference;
use guildhall_client::evaluate::ranking::{ListFigures, PROTOCOL, RankingFigures};
use guildhall_client::evaluate::{FigureSummary, best_f1, calibration_error, log_loss};
use guildhall_client::model_store::{self, FineTunedCopy, ModelStore, StoredModel};
use guildhall_client::recommend::blend::top;
use guildhall_shared::id::Name;
use guildhall_shared::job::JobSpec;
use serde::Serialize;

use crate::comparison::{Baselines as LabelBaselines, FiguresByMethod};
use crate::error::{CommandError, Context as _};
use crate::federated;
use crate::fine_tune::{CopyFigures, copy_of};
use crate::output::{figure, table};
use crate::ranking::{self, Baselines, K, RankedModel, RanksByMethod};

/// What `evaluate` prints with `--json`.
#[derive(Debug, Serialize)]
pub struct Evaluation {
    /// The job's name.
    pub job: String,
    /// Which version was evaluated.
    pub version: u32,
    /// Label of its privacy.
    pub privacy: String,
    /// The merchant.
    pub merchant: String,
    /// Shoppers with held-out rows.
    pub shoppers: usize,
    /// The figures.
    #[serde(flatten)]
    pub figures: Figures,
}

/// Figures of one kind of task.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Figures {
    /// Of a task with labels.
    Labels(Box<LabelFigures>),
    /// Of an item task.
    Ranking(Box<RankingEvaluation>),
}

/// Figures of a task with labels.
#[derive(Debug, Serialize)]
pub struct LabelFigures {
    /// AUC of each way to a model; of federated models the released one alone is known here.
    pub auc: FiguresByMethod,
    /// Mean binary cross entropy, in nats.
    pub log_loss: Option<f64>,
    /// Expected calibration error over ten bins.
    pub calibration_error: Option<f64>,
    /// Greatest F1 over all thresholds, chosen on the same rows.
    pub best_f1: Option<f64>,
    /// This merchant's fine-tuned copy of the version, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fine_tuned: Option<CopyFigures>,
    /// By shoppers' number of training rows.
    pub by_activity: Vec<Group>,
}

/// Figures of an item task.
#[derive(Debug, Serialize)]
pub struct RankingEvaluation {
    /// How the figures came about.
    pub protocol: &'static str,
    /// Share of shoppers whose held-out item is among the first ten.
    pub hr_at_10: FiguresByMethod,
    /// Normalised discounted cumulative gain at ten.
    pub ndcg_at_10: FiguresByMethod,
    /// Mean reciprocal rank of the released model.
    pub mrr: Option<f64>,
    /// What the released model's lists are like.
    pub lists: ListFigures,
    /// The released model's weight in the blend, chosen on validation items.
    pub blend_weight: Option<f32>,
    /// NDCG of the released model less that of the merchant's own, with a 95 % interval.
    pub released_less_local: Option<Difference>,
    /// NDCG of the blend less that of the merchant's own model, with a 95 % interval.
    pub blend_less_local: Option<Difference>,
    /// This merchant's fine-tuned copy of the version, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fine_tuned: Option<CopyFigures>,
    /// By shoppers' number of items.
    pub by_activity: Vec<Group>,
}

/// Shoppers of one range of activity. Noise harms small groups first.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// For example "5 to 9".
    pub items: String,
    /// How many there are.
    pub shoppers: usize,
    /// The merchant's own model's figure: AUC, or NDCG at ten.
    pub local_only: Option<f64>,
    /// The released model's.
    pub released: Option<f64>,
}

/// Evaluates the newest version, or the one asked for, that a client keeps.
pub fn run(config: &Path, version: Option<u32>) -> Result<Evaluation, CommandError> {
    let config = ClientConfig::load(config).context(config.display())?;
    let job = followed_job(&config)?;
    let stored = stored(&config, &job, version)?;
    let copy = copy_of(&config, &job, &stored)?;
    let data = config.data.as_ref().ok_or_else(|| {
        CommandError::message("client.toml has no [data] table: there are no rows to evaluate on")
    })?;
    let merchants =
        config.folder.read_roster().context("the roster")?.map_or(1, |roster| roster.roster.len());
    let (shoppers, figures) = match job.task.items() {
        Some(task) => {
            let (sequences, _) = data::load_items(data, task).context(data.path.display())?;
            let held = sequences.test().count();
            let model = RankedModel::released(&job, &stored.state, merchants as u32)?;
            let found = rank_items(&config.merchant, &job, sequences, (&model, copy.as_ref()))?;
            (held, Figures::Ranking(Box::new(found)))
        }
        None => {
            let (shoppers, figures) = labels(&config.merchant, &job, (&stored, copy.as_ref()), data)?;
            (shoppers, Figures::Labels(Box::new(figures)))
        }
    };
    Ok(Evaluation {
        job: job.name.to_string(),
        version: stored.version,
        privacy: job.privacy.label(),
        merchant: config.merchant.to_string(),
        shoppers,
        figures,
    })
}

/// The job that a client follows.
pub fn followed_job(config: &ClientConfig) -> Result<JobSpec, CommandError> {
    let folder = &config.folder;
    let nothing = || {
        CommandError::message(format!(
            "{}: this client has not followed a job so far",
            folder.path().display()
        ))
    };
    model_store::followed_job(folder).context(folder.path().display())?.ok_or_else(nothing)
}

/// The newest version that a client keeps, or the one asked for.
pub fn stored(
    config: &ClientConfig,
    job: &JobSpec,
    version: Option<u32>,
) -> Result<StoredModel, CommandError> {
    let folder = config.folder.models(&job.digest());
    let mut store = ModelStore::open(&folder, job).context(folder.display())?;
    let found = match version {
        Some(version) => store.load(version),
        None => store.newest(),
    };
    found.context(folder.display())?.ok_or_else(|| {
        CommandError::message(format!("{}: expected a model version, found none", folder.display()))
    })
}

fn labels(
    merchant: &Name,
    job: &JobSpec,
    (stored, copy): (&StoredModel, Option<&FineTunedCopy>),
    data: &DataConfig,
) -> Result<(usize, LabelFigures), CommandError> {
    let (splits, _) = data::load(data, &job.task).context(data.path.display())?;
    let merchants = BTreeMap::from([(merchant.clone(), splits)]);
    let baselines = LabelBaselines::fit(&job.task, &merchants);
    let scored = federated::score(job, &stored.state.released(), &merchants)?;
    let auc = baselines.compare(&scored, None);
    let (splits, own, released) =
        match (merchants.get(merchant), baselines.local.get(merchant), scored.get(merchant)) {
            (Some(splits), Some(own), Some(released)) => (splits, own, released),
            _ => return Err(CommandError::message("the merchant has no test rows")),
        };
    let logits = (&own.logits[..], &released.logits[..]);
    let fine_tuned = copy.map(|copy| CopyFigures::of_labels(job, copy, splits, logits)).transpose()?;
    let figures = LabelFigures {
        fine_tuned,
        log_loss: log_loss(&released.logits, &released.labels),
        calibration_error: calibration_error(&released.logits, &released.labels, 10),
        best_f1: best_f1(&released.logits, &released.labels).map(|best| best.f1),
        by_activity: label_groups(splits, &own.logits, &released.logits),
        auc,
    };
    Ok((splits.test.shoppers.len(), figures))
}

fn label_groups(splits: &Splits, own: &[f32], released: &[f32]) -> Vec<Group> {
    let trained: BTreeMap<_, usize> =
        splits.train.shoppers.iter().map(|shopper| (shopper.key, shopper.end - shopper.start)).collect();
    groups(
        splits
            .test
            .shoppers
            .iter()
            .map(|shopper| (trained.get(&shopper.key).copied().unwrap_or(0), *shopper)),
    )
    .into_iter()
    .map(|(items, shoppers)| {
        let rows = || shoppers.iter().flat_map(|shopper| shopper.start..shopper.end);
        let labels: Vec<f32> = rows().map(|row| splits.test.labels[row]).collect();
        let auc = |logits: &[f32]| {
            let logits: Vec<f32> = rows().map(|row| logits[row]).collect();
            guildhall_client::evaluate::auc(&logits, &labels)
        };
        Group { items, shoppers: shoppers.len(), local_only: auc(own), released: auc(released) }
    })
    .collect()
}

/// Members by their activity, in public groups; groups without anybody are left out.
fn groups<T>(of: impl Iterator<Item = (usize, T)>) -> Vec<(String, Vec<T>)> {
    let public = ActivityGroups::default();
    let mut groups: Vec<(String, Vec<T>)> =
        (0..public.len()).map(|group| (public.label(group), vec![])).collect();
    of.for_each(|(count, member)| groups[public.group_of(count)].1.push(member));
    groups.into_iter().filter(|(_, members)| !members.is_empty()).collect()
}

fn rank_items(
    merchant: &Name,
    job: &JobSpec,
    sequences: Sequences,
    (model, copy): (&RankedModel, Option<&FineTunedCopy>),
) -> Result<RankingEvaluation, CommandError> {
    let task = job.task.items().ok_or_else(|| CommandError::message("expected an item task"))?;
    let items = task.catalogue.len();
    let merchants = BTreeMap::from([(merchant.clone(), sequences)]);
    let baselines = Baselines::fit(&merchants, items);
    let blended = baselines.blended(&*model.score, model.scale);
    let own = baselines.own_ranks();
    let released = ranking::test_ranks(&merchants, items, &*model.score);
    let ranks = RanksByMethod {
        federated_plain: released.clone(),
        federated_private: None,
        blend: blended.ranks,
        pooled: own.clone(),
        local_only: own,
    };
    let sequences = &merchants[merchant];
    let lists: Vec<Vec<u32>> =
        sequences.test().map(|held| top(&*model.score, items, held.history, K as usize)).collect();
    let popularity = guildhall_client::recommend::Statistics::local(items, vec![], sequences).popularity;
    let tags = |item: u32| task.catalogue.tags_of(item).to_vec();
    let places = |ranks: &ranking::Ranks| ranks.get(merchant).cloned().unwrap_or_default();
    let (own, released) = (places(&ranks.local_only), places(&ranks.federated_plain));
    let copied = |copy: &FineTunedCopy| {
        let model = RankedModel::of_weights(job, copy.weights())?;
        let held: Vec<_> = sequences.test().collect();
        let places = ranking::ranks(&held, items, &*model.score);
        Ok::<_, CommandError>(CopyFigures::of_ranks(copy, &places, (&own, &released)))
    };
    let fine_tuned = copy.map(copied).transpose()?;
    let mean = |members: &[usize], ranks: &[Option<u32>]| {
        let of: Vec<Option<u32>> = members.iter().filter_map(|member| ranks.get(*member).copied()).collect();
        RankingFigures::mean(&of, K).map(|figures| figures.ndcg_at_k)
    };
    let by_activity = groups(sequences.test().enumerate().map(|(index, held)| (held.history.len(), index)))
        .into_iter()
        .map(|(items, members)| Group {
            items,
            shoppers: members.len(),
            local_only: mean(&members, &own),
            released: mean(&members, &released),
        })
        .collect();
    Ok(RankingEvaluation {
        protocol: PROTOCOL,
        hr_at_10: ranks.table(|figures| figures.hr_at_k),
        ndcg_at_10: ranks.table(|figures| figures.ndcg_at_k),
        mrr: RankingFigures::mean(&released, K).map(|figures| figures.mrr),
        lists: ListFigures::of(&lists, &popularity, sequences.len() as f64, tags),
        blend_weight: blended.weights.get(merchant).copied(),
        released_less_local: ranks.released_less_local(),
        blend_less_local: ranks.blend_less_local(),
        fine_tuned,
        by_activity,
    })
}

impl Evaluation {
    /// For people.
    pub fn to_text(&self) -> String {
        let head = format!(
            "{}, version {}: {}\n{} on its own held-out rows: {} shoppers\n\n",
            self.job, self.version, self.privacy, self.merchant, self.shoppers
        );
        let micro = |summary: &FigureSummary| figure(summary.micro);
        let (mut rows, groups, mut rest, copy) = match &self.figures {
            Figures::Labels(found) => {
                let rows = vec![
                    vec!["AUC".to_string(), String::new()],
                    vec!["own model".into(), micro(&found.auc.local_only)],
                    vec!["released model".into(), micro(&found.auc.federated_plain)],
                    vec!["blend".into(), micro(&found.auc.blend)],
                ];
                let rest = format!(
                    "log loss {}, calibration error {}, best F1 {}\n",
                    figure(found.log_loss),
                    figure(found.calibration_error),
                    figure(found.best_f1)
                );
                (rows, &found.by_activity, rest, &found.fine_tuned)
            }
            Figures::Ranking(found) => {
                let row = |name: &str, pick: fn(&FiguresByMethod) -> &FigureSummary| {
                    vec![name.to_string(), micro(pick(&found.ndcg_at_10)), micro(pick(&found.hr_at_10))]
                };
                let rows = vec![
                    vec![found.protocol.to_string(), "NDCG@10".into(), "HR@10".into()],
                    row("own model", |t| &t.local_only),
                    row("released model", |t| &t.federated_plain),
                    row("blend", |t| &t.blend),
                ];
                let rest = format!(
                    "mean reciprocal rank {}, coverage {:.3}, diversity {}, novelty {} bits\n",
                    figure(found.mrr),
                    found.lists.coverage,
                    figure(found.lists.diversity),
                    figure(found.lists.novelty_bits)
                );
                (rows, &found.by_activity, rest, &found.fine_tuned)
            }
        };
        if let Some(copy) = copy {
            rows.push(copy.row());
            rest += &copy.to_text();
        }
        let mut text = head + &table(&std::mem::take(&mut rows)) + &rest + "\n";
        rows.push(["rows or items of a shopper", "shoppers", "own", "released"].map(String::from).to_vec());
        for group in groups {
            rows.push(vec![
                group.items.clone(),
                group.shoppers.to_string(),
                figure(group.local_only),
                figure(group.released),
            ]);
        }
        text += &table(&rows);
        text + "These figures are about private rows. They are for your own screen: nothing of them is sent.\n"
    }
}
