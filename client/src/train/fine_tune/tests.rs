use guildhall_shared::catalogue::Catalogue;
use guildhall_shared::job::JobSpec;
use guildhall_shared::model_spec::{
    Activation, Architecture, Diagonal, ItemEncoder, ItemRanking, ItemStatistics, LocalTraining,
    MatrixFactorization, NextItemModel, SequenceClassifier, SequenceEncoder, SequenceShape,
};
use guildhall_shared::model_state::ModelState;
use guildhall_shared::task::{FeatureSpec, NextItemSpec, Transform};

use super::*;
use crate::data::observations::ShopperKey;
use crate::draws::Draws;
use crate::model::DeviceChoice;
use crate::participant::test_job;

const ITEMS: usize = 12;
const SHAPE: SequenceShape = SequenceShape { fixed: 2, steps: 4, channels: 2, tokens: 3 };
const TRAINING: LocalTraining = LocalTraining { steps: 1, learning_rate: 0.1, merchant_epochs: 0, batch: 4 };
const TUNING: FineTuning = FineTuning { epochs_max: 12, learning_rate: 0.02, batch: 8, seed: 1 };

fn labels(architecture: Architecture, inputs: usize) -> JobSpec {
    let feature =
        |index| FeatureSpec { column: format!("x{index}"), transform: Transform::Positive, scale: 1.0 };
    let task = Task::Tabular { features: (0..inputs).map(feature).collect() };
    JobSpec { task, architecture, ..test_job() }
}

fn sequence(encoder: SequenceEncoder) -> JobSpec {
    let (shape, training) = (SHAPE, TRAINING);
    let model =
        SequenceClassifier { encoder, shape, embedding: 2, width: 4, hidden: 3, dropout: 0.1, training };
    labels(Architecture::Sequence(model), SHAPE.inputs())
}

fn items(architecture: Architecture) -> JobSpec {
    let catalogue = Catalogue::of_items((0..ITEMS).map(|item| item.to_string()).collect());
    JobSpec { task: Task::NextItem(NextItemSpec { catalogue, history_max: 8 }), architecture, ..test_job() }
}

fn next_item(encoder: ItemEncoder) -> JobSpec {
    let model = NextItemModel {
        encoder,
        items: ITEMS,
        positions: 6,
        width: 4,
        dropout: 0.0,
        negatives: 0,
        training: TRAINING,
        start: None,
    };
    items(Architecture::NextItem(model))
}

/// Every kind of model that is trained by gradients.
fn every_model() -> Vec<(&'static str, JobSpec)> {
    let mlp = Architecture::Mlp { hidden: vec![5], activation: Activation::Tanh };
    let factors = MatrixFactorization { items: ITEMS, factors: 4, ridge: 0.5, negatives: 2 };
    vec![
        ("logistic regression", labels(Architecture::LogisticRegression, 4)),
        ("MLP", labels(mlp, 4)),
        ("GRU", sequence(SequenceEncoder::Gru)),
        ("LSTM", sequence(SequenceEncoder::Lstm)),
        ("CNN", sequence(SequenceEncoder::Convolution { kernel: 3 })),
        ("transformer", next_item(ItemEncoder::Transformer { blocks: 1, heads: 2, feed_forward: 5 })),
        ("GRU of items", next_item(ItemEncoder::Gru)),
        ("two towers", next_item(ItemEncoder::TwoTower { tags: 0, hidden: 4 })),
        ("matrix factorisation", items(Architecture::MatrixFactorization(factors))),
    ]
}

/// What a merchant's rows are like.
#[derive(Clone, Copy, PartialEq)]
enum Shop {
    /// The first input decides; the next item follows the one before.
    Lawful,
    /// Nothing decides anything.
    Random,
}

fn signed(draws: &mut Draws) -> f32 {
    draws.below(2_001) as f32 / 1_000.0 - 1.0
}

fn observations(job: &JobSpec, shop: Shop, seed: u64) -> Observations {
    let (inputs, mut draws) = (job.task.inputs(), Draws::new(seed));
    let mut all = Observations::empty(inputs);
    for shopper in 0..60u8 {
        for _ in 0..1 + draws.below(3) {
            let mut row: Vec<f32> = (0..inputs).map(|_| signed(&mut draws)).collect();
            if let Architecture::Sequence(model) = &job.architecture {
                let steps = row[model.shape.fixed..].chunks_exact_mut(model.shape.step_inputs());
                steps.for_each(|step| step[0] = draws.below(SHAPE.tokens) as f32);
            }
            let lawful = f32::from(row[0] > 0.0);
            let label = if shop == Shop::Lawful { lawful } else { draws.below(2) as f32 };
            all.push(ShopperKey([shopper; 16]), &row, label);
        }
    }
    all
}

fn splits(job: &JobSpec, shop: Shop) -> Splits {
    let train = observations(job, shop, 1);
    // Of a tabular task, as the loader makes it: a part of the training rows.
    let validation = train.restricted_to(|key| key.0[0].is_multiple_of(4));
    Splits { train, validation, test: observations(job, shop, 2) }
}

fn sequences(shop: Shop) -> Sequences {
    let (mut draws, mut all) = (Draws::new(3), Sequences::default());
    for shopper in 0..60u8 {
        let (first, length) = (draws.below(ITEMS), 4 + draws.below(5));
        let item = |place| if shop == Shop::Lawful { (first + place) % ITEMS } else { draws.below(ITEMS) };
        let items: Vec<u32> = (0..length).map(item).map(|item| item as u32).collect();
        all.push(ShopperKey([shopper; 16]), &items);
    }
    all
}

fn rows(job: &JobSpec, shop: Shop) -> TuningRows {
    match job.task.items() {
        Some(_) => TuningRows::of_items(&sequences(shop)),
        None => TuningRows::of_splits(&splits(job, shop), &job.task),
    }
}

fn trainer(job: &JobSpec) -> JobTrainer {
    JobTrainer::new(job, &DeviceChoice::Cpu, [0; 32]).unwrap()
}

fn tuned(job: &JobSpec, rows: &TuningRows, tuning: FineTuning) -> FineTuned {
    fine_tune(&trainer(job), &ModelState::initial(job).released(), rows, tuning).unwrap()
}

fn bits(weights: &[f64]) -> Vec<u64> {
    weights.iter().map(|w| w.to_bits()).collect()
}

/// Both figures on the validation rows, measured apart from the search.
fn measured(job: &JobSpec, rows: &TuningRows, tuned: &FineTuned) -> (f64, f64) {
    let figure = |weights: &[f64]| rows.figure(&trainer(job), weights).unwrap().unwrap();
    (figure(&ModelState::initial(job).released()), figure(&tuned.weights))
}

#[test]
fn every_model_learns_what_there_is_to_learn() {
    for (name, job) in every_model() {
        let rows = rows(&job, Shop::Lawful);
        let found = tuned(&job, &rows, TUNING);
        let (released, own) = measured(&job, &rows, &found);
        assert!(found.epochs > 0 && rows.criterion().is_better(own, released), "{name}: {released} {own}");
        assert_eq!((found.released_figure(), found.figure()), (Some(released), Some(own)), "{name}");
    }
}

/// Rows that say nothing, steps that are far too long, and both: a copy is better on the validation rows, or it is the
/// released model to the bit.
#[test]
fn on_the_validation_rows_no_copy_is_worse_than_the_released_model() {
    let mut kept_released = 0;
    for (name, job) in every_model() {
        for (shop, learning_rate) in [(Shop::Random, 0.02), (Shop::Lawful, 30.0), (Shop::Random, 30.0)] {
            let rows = rows(&job, shop);
            let found = tuned(&job, &rows, FineTuning { learning_rate, ..TUNING });
            let (released, own) = measured(&job, &rows, &found);
            let same = bits(&found.weights) == bits(&ModelState::initial(&job).released());
            assert_eq!(same, found.epochs == 0, "{name}");
            assert!(same || rows.criterion().is_better(own, released), "{name}: {released} then {own}");
            kept_released += u32::from(same);
        }
    }
    assert!(kept_released > 3, "the test has teeth only where training does harm: {kept_released}");
}

#[test]
fn the_same_seed_gives_the_same_copy_on_any_number_of_threads() {
    for (name, job) in every_model() {
        let rows = rows(&job, Shop::Lawful);
        let on = |threads: usize, seed: u64| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| tuned(&job, &rows, FineTuning { seed, epochs_max: 3, ..TUNING }))
        };
        let first = on(1, 1);
        for again in [on(1, 1), on(3, 1)] {
            assert_eq!(bits(&first.weights), bits(&again.weights), "{name}");
            assert!(first == again, "{name}");
        }
        assert_ne!(bits(&first.weights), bits(&on(1, 2).weights), "{name}");
    }
}

#[test]
fn the_last_item_and_the_test_rows_are_never_looked_at() {
    let (_, job) = every_model().remove(5);
    let (before, mut after) = (sequences(Shop::Lawful), Sequences::default());
    for (key, items) in before.iter() {
        let (_, kept) = items.split_last().unwrap();
        after.push(key, &[kept, &[0]].concat());
    }
    let of = |rows: &Sequences| tuned(&job, &TuningRows::of_items(rows), TUNING);
    assert!(of(&before) == of(&after));
}

/// The rows the number of epochs is chosen on are not trained on: with other labels there, every epoch ends at the same weights.
#[test]
fn validation_rows_choose_and_do_not_train() {
    let (_, job) = every_model().remove(0);
    let mut splits = splits(&job, Shop::Lawful);
    let ends = |splits: &Splits| {
        let (rows, mut ends) = (TuningRows::of_splits(splits, &job.task), vec![]);
        let training = OrdinaryTraining { epochs: 3, learning_rate: 0.1, batch: 8, seed: 1 };
        let start = ModelState::initial(&job).released();
        let keep = &mut |_: u32, weights: &[f64]| {
            ends.push(bits(weights));
            ControlFlow::Continue(())
        };
        trainer(&job).fit(&start, &rows.train, &training, keep).unwrap();
        ends
    };
    let before = ends(&splits);
    let held_out: Vec<ShopperKey> = splits.validation.shoppers.iter().map(|shopper| shopper.key).collect();
    for shopper in splits.train.shoppers.clone().iter().filter(|shopper| held_out.contains(&shopper.key)) {
        splits.train.labels[shopper.start..shopper.end].iter_mut().for_each(|label| *label = 1.0 - *label);
    }
    splits.validation.labels.iter_mut().for_each(|label| *label = 1.0 - *label);
    assert_eq!(before, ends(&splits));
}

#[test]
fn without_validation_rows_the_released_model_stays() {
    let (_, job) = every_model().remove(0);
    let mut splits = splits(&job, Shop::Lawful);
    splits.validation = Observations::empty(4);
    let found = tuned(&job, &TuningRows::of_splits(&splits, &job.task), TUNING);
    assert_eq!((found.epochs, found.figures.as_slice()), (0, &[None][..]));
}

#[test]
fn patience_ends_what_does_not_get_better() {
    let (_, job) = every_model().remove(0);
    let found = tuned(
        &job,
        &rows(&job, Shop::Random),
        FineTuning { epochs_max: 1_000, learning_rate: 30.0, ..TUNING },
    );
    assert_eq!(found.figures.len() as u32, 1 + found.epochs + PATIENCE);
}

#[test]
fn released_statistics_are_blended_and_not_fine_tuned() {
    let statistics = ItemStatistics {
        items: ITEMS,
        items_kept: 3,
        popularity_items: 2,
        cooccurrence_pairs: 1,
        diagonal: Diagonal::Popularity,
        ranking: ItemRanking::Popularity,
    };
    let job = items(Architecture::ItemStatistics(statistics));
    let released = ModelState::initial(&job).released();
    let refused =
        fine_tune(&trainer(&job), &released, &TuningRows::of_items(&sequences(Shop::Lawful)), TUNING);
    let error = refused.map(|_| ()).unwrap_err();
    assert!(matches!(error, TrainError::Statistics) && error.to_string().contains("blend"), "{error}");
}
