//! `[model]` as written by a person.

use serde::Deserialize;

use crate::catalogue::Catalogue;
use crate::digest::Digest;
use crate::model_spec::{
    Activation, Architecture, Diagonal, ItemEncoder, ItemRanking, ItemStatistics, LocalTraining,
    MatrixFactorization, MeasuredFigures, Metrics, NextItemModel, SequenceClassifier, SequenceEncoder,
    SequenceShape,
};
use crate::task::{NextItemSpec, Task};

use super::super::check::Mistakes;

/// The table `[model]`; which kinds there are depends on the task.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum RawModel {
    LogisticRegression,
    Mlp {
        hidden: Vec<usize>,
        activation: Activation,
    },
    Gru(RawNetwork),
    Lstm(RawNetwork),
    Cnn(RawNetwork),
    Transformer(RawNetwork),
    TwoTower(RawNetwork),
    MatrixFactorization {
        factors: usize,
        #[serde(default = "one")]
        ridge: f64,
        #[serde(default = "four")]
        negatives: usize,
    },
    ItemStatistics {
        items_kept: usize,
        popularity_items: usize,
        cooccurrence_pairs: usize,
        diagonal: Diagonal,
        ranking: RawRanking,
    },
    Metrics {
        of_job: Digest,
        of_model: Digest,
        k: Option<u32>,
        bins: Option<u32>,
        groups: Option<Vec<u32>>,
    },
}

impl RawModel {
    /// Whether the job file may leave its clip and its optimiser out: they follow from the figures.
    pub(super) fn is_metrics(&self) -> bool {
        matches!(self, RawModel::Metrics { .. })
    }
}

/// Sizes of a network; a kind refuses those it has no use for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNetwork {
    width: usize,
    embedding: Option<usize>,
    hidden: Option<usize>,
    kernel: Option<usize>,
    blocks: Option<usize>,
    heads: Option<usize>,
    feed_forward: Option<usize>,
    negatives: Option<usize>,
    #[serde(default)]
    dropout: f64,
    #[serde(default)]
    training: RawTraining,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawTraining {
    steps: u32,
    learning_rate: f64,
    merchant_epochs: u32,
    batch: u32,
}

impl Default for RawTraining {
    fn default() -> Self {
        RawTraining { steps: 1, learning_rate: 0.1, merchant_epochs: 0, batch: 128 }
    }
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum RawRanking {
    Ease {
        ridge: f64,
        #[serde(default)]
        ridge_deviations: f64,
        #[serde(default)]
        threshold_deviations: f64,
    },
    Cosine {
        neighbours: usize,
        #[serde(default)]
        shrinkage: f64,
    },
    Jaccard {
        neighbours: usize,
        #[serde(default)]
        shrinkage: f64,
    },
    Popularity,
}

/// Recommendations that are judged where a metrics job does not say.
const K: u32 = 10;
/// Bins of chance where it does not say.
const BINS: u32 = 20;
/// Activity groups where it does not say.
const GROUPS: [u32; 6] = [0, 1, 2, 5, 10, 20];

fn one() -> f64 {
    1.0
}

fn four() -> usize {
    4
}

pub(super) fn architecture(raw: Option<RawModel>, task: &Task, mistakes: &mut Mistakes) -> Architecture {
    let Some(raw) = raw else {
        if !matches!(task, Task::Dummy { .. }) {
            mistakes.0.push("model: missing; add [model] with a kind".into());
        }
        return Architecture::Vector;
    };
    match (raw, task) {
        (_, Task::Dummy { .. }) => {
            mistakes.0.push("model: a dummy task has none; remove the table".into());
            Architecture::Vector
        }
        (RawModel::Metrics { of_job, of_model, k, bins, groups }, task) => {
            let figures = match task {
                Task::NextItem(_) => MeasuredFigures::Ranking { k: k.unwrap_or(K) },
                _ => MeasuredFigures::Predictions { bins: bins.unwrap_or(BINS) },
            };
            let ranks = matches!(figures, MeasuredFigures::Ranking { .. });
            let nothing = "nothing, figures of this task have no use for it";
            mistakes.require(ranks || k.is_none(), "model.k", nothing, k);
            mistakes.require(!ranks || bins.is_none(), "model.bins", nothing, bins);
            let groups = groups.unwrap_or_else(|| GROUPS.to_vec());
            Architecture::Metrics(Metrics { job: of_job, model: of_model, figures, groups })
        }
        (RawModel::LogisticRegression, _) => Architecture::LogisticRegression,
        (RawModel::Mlp { hidden, activation }, _) => Architecture::Mlp { hidden, activation },
        (RawModel::MatrixFactorization { factors, ridge, negatives }, task) => {
            let items = items(task);
            Architecture::MatrixFactorization(MatrixFactorization { items, factors, ridge, negatives })
        }
        (
            RawModel::ItemStatistics { items_kept, popularity_items, cooccurrence_pairs, diagonal, ranking },
            task,
        ) => Architecture::ItemStatistics(ItemStatistics {
            items: items(task),
            // At most so many: a small catalogue is kept whole.
            items_kept: items_kept.min(items(task)),
            popularity_items,
            cooccurrence_pairs,
            diagonal,
            ranking: ranking.into(),
        }),
        (RawModel::Gru(network), Task::NextItem(task)) => network.next_item(Kind::Gru, task, mistakes),
        (RawModel::Transformer(network), Task::NextItem(task)) => {
            network.next_item(Kind::Transformer, task, mistakes)
        }
        (RawModel::TwoTower(network), Task::NextItem(task)) => {
            network.next_item(Kind::TwoTower, task, mistakes)
        }
        (RawModel::Gru(network), task) => network.sequence(Kind::Gru, task.sequence(), mistakes),
        (RawModel::Lstm(network), task) => network.sequence(Kind::Lstm, task.sequence(), mistakes),
        (RawModel::Cnn(network), task) => network.sequence(Kind::Cnn, task.sequence(), mistakes),
        (RawModel::Transformer(_) | RawModel::TwoTower(_), _) => {
            mistakes.0.push("model.kind: expected a model of this task, found one that ranks items".into());
            Architecture::LogisticRegression
        }
    }
}

fn items(task: &Task) -> usize {
    task.items().map_or(0, |task| task.catalogue.len())
}

/// Kinds of networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Gru,
    Lstm,
    Cnn,
    Transformer,
    TwoTower,
}

impl RawNetwork {
    /// All keys that this kind reads must be there, and no other.
    fn check(&self, kind: Kind, sequence: bool, mistakes: &mut Mistakes) {
        let transformer = kind == Kind::Transformer;
        let keys = [
            ("embedding", self.embedding, sequence),
            ("hidden", self.hidden, sequence || kind == Kind::TwoTower),
            ("kernel", self.kernel, kind == Kind::Cnn),
            ("blocks", self.blocks, transformer),
            ("heads", self.heads, transformer),
            ("feed_forward", self.feed_forward, transformer),
            ("negatives", self.negatives, !sequence),
        ];
        for (key, found, read) in keys {
            let expected = if read { "a whole number" } else { "nothing, this kind has no use for it" };
            mistakes.require(found.is_some() == read, &format!("model.{key}"), expected, found);
        }
    }

    fn training(&self) -> LocalTraining {
        let RawTraining { steps, learning_rate, merchant_epochs, batch } = self.training;
        LocalTraining { steps, learning_rate, merchant_epochs, batch }
    }

    fn sequence(&self, kind: Kind, shape: Option<SequenceShape>, mistakes: &mut Mistakes) -> Architecture {
        let Some(shape) = shape else {
            mistakes.0.push(
                "model.kind: expected \"logistic_regression\" or \"mlp\", because this task has no sequence; \"repurchase_sequence\" has one".into(),
            );
            return Architecture::LogisticRegression;
        };
        self.check(kind, true, mistakes);
        Architecture::Sequence(SequenceClassifier {
            encoder: match kind {
                Kind::Lstm => SequenceEncoder::Lstm,
                Kind::Cnn => SequenceEncoder::Convolution { kernel: self.kernel.unwrap_or(1) },
                _ => SequenceEncoder::Gru,
            },
            shape,
            embedding: self.embedding.unwrap_or_default(),
            width: self.width,
            hidden: self.hidden.unwrap_or_default(),
            dropout: self.dropout,
            training: self.training(),
        })
    }

    fn next_item(&self, kind: Kind, task: &NextItemSpec, mistakes: &mut Mistakes) -> Architecture {
        self.check(kind, false, mistakes);
        let tags = Catalogue::tags(&task.catalogue).len();
        Architecture::NextItem(NextItemModel {
            encoder: match kind {
                Kind::Transformer => ItemEncoder::Transformer {
                    blocks: self.blocks.unwrap_or_default(),
                    heads: self.heads.unwrap_or_default(),
                    feed_forward: self.feed_forward.unwrap_or_default(),
                },
                Kind::TwoTower => ItemEncoder::TwoTower { tags, hidden: self.hidden.unwrap_or_default() },
                _ => ItemEncoder::Gru,
            },
            items: task.catalogue.len(),
            positions: task.history_max,
            width: self.width,
            dropout: self.dropout,
            negatives: self.negatives.unwrap_or_default(),
            training: self.training(),
            start: None,
        })
    }
}

impl From<RawRanking> for ItemRanking {
    fn from(raw: RawRanking) -> Self {
        match raw {
            RawRanking::Ease { ridge, ridge_deviations, threshold_deviations } => {
                ItemRanking::Ease { ridge, ridge_deviations, threshold_deviations }
            }
            RawRanking::Cosine { neighbours, shrinkage } => ItemRanking::Cosine { neighbours, shrinkage },
            RawRanking::Jaccard { neighbours, shrinkage } => ItemRanking::Jaccard { neighbours, shrinkage },
            RawRanking::Popularity => ItemRanking::Popularity,
        }
    }
}

#[cfg(test)]
mod tests;
