//! The rules of a model: sizes, and which task it can answer. [core]

use crate::job::{JobSpec, PrivacySpec};
use crate::model_spec::{
    Architecture, ItemEncoder, ItemRanking, ItemStatistics, LocalTraining, MatrixFactorization,
    MeasuredFigures, NextItemModel, PARAMETERS_MAX, START_BYTES_MAX, SequenceClassifier, SequenceEncoder,
};
use crate::optimizer::UpdateRule;
use crate::task::Task;
use crate::wire;

use super::Mistakes;

mod metrics;

/// Most bytes of a job: it has to fit its message of 4 MiB, with the signed offer's own fields.
const JOB_BYTES_MAX: usize = (4 << 20) - (64 << 10);

/// The widest layer of a sequence or item model.
const WIDTH_MAX: usize = 4_096;

pub(super) fn check(spec: &JobSpec, m: &mut Mistakes) {
    match &spec.architecture {
        Architecture::Mlp { hidden, .. } => {
            m.require((1..=16).contains(&hidden.len()), "model.hidden", "1 to 16 layers", hidden.len());
            let widths = hidden.iter().all(|w| (1..=65_536).contains(w));
            m.require(widths, "model.hidden", "widths from 1 to 65,536", hidden);
        }
        Architecture::Sequence(model) => sequence(model, spec, m),
        Architecture::ItemStatistics(model) => statistics(model, spec, m),
        Architecture::MatrixFactorization(model) => factorization(model, m),
        Architecture::NextItem(model) => next_item(model, spec, m),
        Architecture::Metrics(model) => metrics::check(model, spec, m),
        Architecture::LogisticRegression | Architecture::Vector => {}
    }
    fits(spec, m);
    let inputs = spec.task.inputs();
    m.require((1..=PARAMETERS_MAX).contains(&inputs), "task", "1 to 2^28 inputs", inputs);
    if m.0.is_empty() && spec.task.items().is_some() {
        let bytes = wire::encode(spec).map_or(usize::MAX, |bytes| bytes.len());
        m.require(
            bytes <= JOB_BYTES_MAX,
            "task.catalogue and model.start",
            "a job of at most 4,128,768 bytes altogether",
            bytes,
        );
    }
    if m.0.is_empty() {
        let d = spec.model().parameter_count();
        m.require((1..=PARAMETERS_MAX).contains(&d), "model", "at most 2^28 parameters", d);
    }
}

/// Which models answer which tasks.
fn fits(spec: &JobSpec, m: &mut Mistakes) {
    let (expected, fits) = match (&spec.task, &spec.architecture) {
        (Task::NextItem(_), Architecture::Metrics(model)) => {
            ("figures of rankings", matches!(model.figures, MeasuredFigures::Ranking { .. }))
        }
        (
            Task::Tabular { .. } | Task::Repurchase(_) | Task::RepurchaseSequence { .. },
            Architecture::Metrics(model),
        ) => ("figures of predictions", matches!(model.figures, MeasuredFigures::Predictions { .. })),
        (Task::Dummy { .. }, model) => ("a bare vector for a dummy task", *model == Architecture::Vector),
        (Task::Tabular { .. } | Task::Repurchase(_), model) => (
            "\"logistic_regression\" or \"mlp\"",
            matches!(model, Architecture::LogisticRegression | Architecture::Mlp { .. }),
        ),
        (Task::RepurchaseSequence { .. }, Architecture::Sequence(model)) => {
            ("the task's layout of inputs", Some(model.shape) == spec.task.sequence())
        }
        (Task::RepurchaseSequence { .. }, model) => (
            "\"gru\", \"lstm\", \"cnn\", \"logistic_regression\" or \"mlp\"",
            matches!(model, Architecture::LogisticRegression | Architecture::Mlp { .. }),
        ),
        (Task::NextItem(task), model) => {
            let items = match model {
                Architecture::ItemStatistics(model) => model.items,
                Architecture::MatrixFactorization(model) => model.items,
                Architecture::NextItem(model) => model.items,
                _ => 0,
            };
            (
                "\"item_statistics\", \"matrix_factorization\", \"two_tower\", \"gru\" or \"transformer\" over the task's catalogue",
                items == task.catalogue.len(),
            )
        }
    };
    m.require(fits, "model.kind", expected, &spec.architecture);
}

fn width(m: &mut Mistakes, key: &str, least: usize, found: usize) {
    m.require((least..=WIDTH_MAX).contains(&found), key, &format!("{least} to {WIDTH_MAX}"), found);
}

fn dropout(m: &mut Mistakes, found: f64) {
    m.require((0.0..0.95).contains(&found), "model.dropout", "a number in [0, 0.95)", found);
}

fn training(training: &LocalTraining, spec: &JobSpec, m: &mut Mistakes) {
    let LocalTraining { steps, learning_rate, merchant_epochs, batch } = *training;
    m.require((1..=100).contains(&steps), "model.training.steps", "1 to 100", steps);
    let rate = learning_rate > 0.0 && learning_rate.is_finite();
    m.require(rate, "model.training.learning_rate", "a finite number > 0", learning_rate);
    m.require((1..=65_536).contains(&batch), "model.training.batch", "1 to 65,536 shoppers", batch);
    m.require(merchant_epochs <= 1_000, "model.training.merchant_epochs", "at most 1,000", merchant_epochs);
    m.require(
        merchant_epochs == 0 || matches!(spec.privacy, PrivacySpec::None { .. }),
        "model.training.merchant_epochs",
        "0 in a job with privacy, because one shopper moves all of what a merchant trains on everybody together",
        merchant_epochs,
    );
    m.require(merchant_epochs == 0 || steps == 1, "model.training.steps", "1 beside merchant_epochs", steps);
}

fn sequence(model: &SequenceClassifier, spec: &JobSpec, m: &mut Mistakes) {
    width(m, "model.width", 1, model.width);
    width(m, "model.hidden", 0, model.hidden);
    width(m, "model.embedding", 0, model.embedding);
    m.require((1..=1_000).contains(&model.shape.steps), "task.steps", "1 to 1,000 steps", model.shape.steps);
    m.require(
        model.encoder_inputs() > 0 && (model.embedding == 0 || model.shape.tokens > 0),
        "model.embedding",
        "0 where steps have no tokens, more where they have nothing else",
        model.embedding,
    );
    if let SequenceEncoder::Convolution { kernel } = model.encoder {
        let odd = kernel % 2 == 1 && kernel <= model.shape.steps;
        m.require(odd, "model.kernel", "an odd number of steps, at most those of the task", kernel);
    }
    dropout(m, model.dropout);
    training(&model.training, spec, m);
}

/// What jobs ask for whose sums are read, not trained with.
fn adds_up(spec: &JobSpec, m: &mut Mistakes) {
    let sgd = matches!(spec.optimizer.rule, UpdateRule::Sgd { momentum } if momentum == 0.0);
    m.require(
        sgd && spec.optimizer.average_last_rounds == 0,
        "optimizer",
        "\"sgd\" without momentum and averages, because statistics are added up",
        spec.optimizer,
    );
    m.require(
        spec.adaptive_clip.is_none(),
        "clipping.adaptive",
        "nothing, because statistics have a constant clip",
        spec.adaptive_clip,
    );
}

fn statistics(model: &ItemStatistics, spec: &JobSpec, m: &mut Mistakes) {
    m.require(
        model.items_kept >= 1 && model.items_kept <= model.items.min(16_384),
        "model.items_kept",
        "1 to the items of the catalogue, at most 16,384",
        model.items_kept,
    );
    m.require(
        (1..=100_000).contains(&model.popularity_items),
        "model.popularity_items",
        "1 to 100,000",
        model.popularity_items,
    );
    m.require(
        (1..=1_000_000).contains(&model.cooccurrence_pairs),
        "model.cooccurrence_pairs",
        "1 to 1,000,000",
        model.cooccurrence_pairs,
    );
    m.require(
        spec.rounds >= 2 || model.ranking == ItemRanking::Popularity,
        "rounds",
        "at least 2: one for the popularity, the others for the co-occurrence",
        spec.rounds,
    );
    adds_up(spec, m);
    let number = |x: f64| x >= 0.0 && x.is_finite();
    let (legal, neighbours) = match model.ranking {
        ItemRanking::Ease { ridge, ridge_deviations, threshold_deviations } => {
            (ridge > 0.0 && [ridge, ridge_deviations, threshold_deviations].into_iter().all(number), 1)
        }
        ItemRanking::Cosine { neighbours, shrinkage } | ItemRanking::Jaccard { neighbours, shrinkage } => {
            (number(shrinkage), neighbours)
        }
        ItemRanking::Popularity => (true, 1),
    };
    m.require(legal, "model.ranking", "finite numbers >= 0, and a ridge > 0", model.ranking);
    m.require(neighbours >= 1, "model.ranking.neighbours", "at least 1", neighbours);
}

fn factorization(model: &MatrixFactorization, m: &mut Mistakes) {
    width(m, "model.factors", 1, model.factors);
    let ridge = model.ridge > 0.0 && model.ridge.is_finite();
    m.require(ridge, "model.ridge", "a finite number > 0", model.ridge);
    m.require((1..=1_000).contains(&model.negatives), "model.negatives", "1 to 1,000", model.negatives);
}

fn next_item(model: &NextItemModel, spec: &JobSpec, m: &mut Mistakes) {
    width(m, "model.width", 1, model.width);
    m.require(
        (1..=1_000).contains(&model.positions),
        "model.positions",
        "1 to 1,000 items of a history",
        model.positions,
    );
    m.require(model.negatives <= 10_000, "model.negatives", "at most 10,000", model.negatives);
    match model.encoder {
        ItemEncoder::Transformer { blocks, heads, feed_forward } => {
            m.require((1..=24).contains(&blocks), "model.blocks", "1 to 24", blocks);
            let divides = heads >= 1 && model.width.is_multiple_of(heads);
            m.require(divides, "model.heads", "a divisor of model.width", heads);
            width(m, "model.feed_forward", 1, feed_forward);
        }
        ItemEncoder::Gru => {}
        ItemEncoder::TwoTower { tags, hidden } => {
            let expected = spec.task.items().map_or(0, |task| task.catalogue.tags().len());
            m.require(tags == expected, "model.tags", "the tags of the task's catalogue", tags);
            width(m, "model.hidden", 1, hidden);
        }
    }
    dropout(m, model.dropout);
    training(&model.training, spec, m);
    let starts = model.start.as_ref().is_none_or(|start| start.fits(model.items * model.width));
    m.require(
        starts,
        "model.start",
        &format!("{} vectors of width {} in at most {START_BYTES_MAX} bytes", model.items, model.width),
        "others",
    );
}
