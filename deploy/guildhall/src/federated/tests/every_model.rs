//! Whole jobs through the real pipeline, for every kind of model that is trained by gradients: a line of [`every_model`] each.

use std::collections::BTreeSet;

use guildhall_client::data::observations::{Observations, ShopperKey, ShopperRows};
use guildhall_client::data::sequences::Sequences;
use guildhall_client::draws::Draws;
use guildhall_privacy::accountant::Calibration;
use guildhall_shared::catalogue::Catalogue;
use guildhall_shared::job::ClippingSpec;
use guildhall_shared::model_spec::{
    Activation, Architecture, ItemEncoder, LocalTraining, MatrixFactorization, NextItemModel,
    SequenceClassifier, SequenceEncoder, SequenceShape,
};
use guildhall_shared::optimizer::{OptimizerSpec, UpdateRule};
use guildhall_shared::ring::RingWidth;
use guildhall_shared::task::{FeatureSpec, NextItemSpec, Task, Transform};

use super::super::*;

const ITEMS: usize = 12;
const SHAPE: SequenceShape = SequenceShape { fixed: 2, steps: 4, channels: 2, tokens: 3 };
const TRAINING: LocalTraining = LocalTraining { steps: 2, learning_rate: 0.1, merchant_epochs: 0, batch: 4 };
const SHOPPERS: u8 = 40;

/// Four rounds without privacy; nothing in them is drawn but what follows from the seed.
fn job(task: Task, architecture: Architecture) -> JobSpec {
    let text = include_str!("../../../../samples/jobs/repurchase_stores.toml");
    let (sample, _) = JobSpec::parse(text, &Calibration).expect("a sample");
    let mut job = JobSpec { task, architecture, rounds: 4, seed: 11, ..sample };
    job.privacy = PrivacySpec::None { unit: job.privacy.unit() };
    job.clipping = ClippingSpec { norm_l2: 0.5, bound: 1 << 20 };
    let rule = UpdateRule::Sgd { momentum: 0.5 };
    job.optimizer = OptimizerSpec { rule, learning_rate: 0.5, average_last_rounds: 2 };
    job.round.expected_shoppers = 2 * u64::from(SHOPPERS);
    job
}

fn labels(architecture: Architecture, inputs: usize) -> JobSpec {
    let feature =
        |index| FeatureSpec { column: format!("x{index}"), transform: Transform::Positive, scale: 1.0 };
    job(Task::Tabular { features: (0..inputs).map(feature).collect() }, architecture)
}

fn sequence(encoder: SequenceEncoder) -> JobSpec {
    let (shape, training) = (SHAPE, TRAINING);
    let model =
        SequenceClassifier { encoder, shape, embedding: 2, width: 4, hidden: 3, dropout: 0.2, training };
    labels(Architecture::Sequence(model), SHAPE.inputs())
}

fn items(architecture: Architecture) -> JobSpec {
    let catalogue = Catalogue::of_items((0..ITEMS).map(|item| item.to_string()).collect());
    job(Task::NextItem(NextItemSpec { catalogue, history_max: 8 }), architecture)
}

fn next_item(encoder: ItemEncoder) -> JobSpec {
    let (training, start) = (TRAINING, None);
    let (items_number, positions, width, dropout, negatives) = (ITEMS, 6, 4, 0.2, 2);
    let model =
        NextItemModel { encoder, items: items_number, positions, width, dropout, negatives, training, start };
    items(Architecture::NextItem(model))
}

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

fn key(shopper: u8) -> ShopperKey {
    ShopperKey([shopper; 16])
}

/// A merchant's rows, where those shoppers that `keep` does not name are there and empty.
fn rows(job: &JobSpec, merchant: u64, keep: impl Fn(u8) -> bool) -> TrainingData {
    match job.task.items() {
        Some(_) => TrainingData::Items(sequences(merchant, keep)),
        None => TrainingData::Observations(observations(job, merchant, keep)),
    }
}

fn observations(job: &JobSpec, merchant: u64, keep: impl Fn(u8) -> bool) -> Observations {
    let inputs = job.task.inputs();
    let mut all = Observations::empty(inputs);
    for shopper in 0..SHOPPERS {
        let mut draws = Draws::new(1_000 * merchant + u64::from(shopper));
        if !keep(shopper) {
            let start = all.rows();
            all.shoppers.push(ShopperRows { key: key(shopper), start, end: start });
            continue;
        }
        for _ in 0..1 + draws.below(4) {
            let mut row: Vec<f32> = (0..inputs).map(|_| draws.below(2_001) as f32 / 1_000.0 - 1.0).collect();
            if let Architecture::Sequence(model) = &job.architecture {
                let steps = row[model.shape.fixed..].chunks_exact_mut(model.shape.step_inputs());
                steps.for_each(|step| step[0] = draws.below(SHAPE.tokens) as f32);
            }
            all.push(key(shopper), &row, draws.below(2) as f32);
        }
    }
    all
}

fn sequences(merchant: u64, keep: impl Fn(u8) -> bool) -> Sequences {
    let mut all = Sequences::default();
    for shopper in 0..SHOPPERS {
        let mut draws = Draws::new(1_000 * merchant + u64::from(shopper));
        let length = if keep(shopper) { 2 + draws.below(7) } else { 0 };
        let items: Vec<u32> = (0..length).map(|_| draws.below(ITEMS) as u32).collect();
        all.push(key(shopper), &items);
    }
    all
}

/// Every version of a job of two merchants.
fn versions(job: &JobSpec) -> Vec<ModelState> {
    let merchant =
        |number: u64| (Name::new(format!("shop-{number}")).expect("a name"), rows(job, number, |_| true));
    let (merchants, mut versions) = ((1..=2).map(merchant).collect(), vec![]);
    train_on(job, &merchants, NoiseMode::None, &mut |state| versions.push(state.clone())).expect("a model");
    versions
}

#[test]
fn the_same_seed_gives_the_same_model_hash_at_every_version() {
    for (name, job) in every_model() {
        let hashes = |threads: usize, seed: u64| -> Vec<Digest> {
            let job = JobSpec { seed, ..job.clone() };
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            pool.install(|| versions(&job).iter().map(|state| state.hash(&job.model())).collect())
        };
        let first = hashes(1, 11);
        let different: BTreeSet<&Digest> = first.iter().collect();
        assert_eq!((first.len(), different.len()), (5, 5), "{name}: every round moves the model");
        assert_eq!(first, hashes(1, 11), "{name}");
        assert_eq!(first, hashes(3, 11), "{name} on three threads");
        // A logistic regression begins at zero and draws nothing: there the seed says nothing.
        assert_eq!(first[4] == hashes(1, 12)[4], name == "logistic regression", "{name}: the seed counts");
    }
}

/// The update of one merchant alone in a round, as it would be sent.
fn update(pipeline: &Pipeline<'_>, train: &TrainingData, model: &ModelState, round: RoundId) -> RingVector {
    let limit = BudgetLimit { epsilon: 1.0, delta: 1e-6 };
    let mut member = Member {
        index: MerchantIndex(0),
        train,
        ledger: Ledger::simulated(limit).expect("a ledger"),
        key: ParticipationKey::from_bytes([5; 32]),
    };
    let update = pipeline.update(&mut member, model, round).expect("an update");
    let mut words = RingVector::zero(pipeline.parameters.ring, pipeline.words());
    words.add_bytes(update.bytes()).expect("words of the ring");
    words
}

/// What one shopper contributes, seen through the digest of its words.
fn own_hash(
    trainer: &JobTrainer,
    job: &JobSpec,
    rows: &TrainingData,
    at: (&ModelState, RoundId),
    who: u8,
) -> Digest {
    let (model, round) = at;
    let clipping = ClippingParameters::of_round(job, model).expect("the clip");
    let enters = |shopper| shopper == key(who);
    let (sum, _) = trainer.clipped_sum(&model.weights, rows, &enters, round, &clipping).expect("a sum");
    let permit =
        UnprotectedPermit::from_policy(DangerousPolicy { allow_privacy_none: true }).expect("allowed");
    sum.leave_unprotected(&permit).seal(RingWidth::Bits64).hash()
}

/// Emptying one shopper takes its own integers out of the merchant's update and leaves every other shopper's as they were, to
/// the bit, in every round of the job, given the versions that were released.
#[test]
fn emptying_a_shopper_leaves_the_others_as_they_are_in_every_round() {
    for (name, job) in every_model() {
        let trainer = JobTrainer::new(&job, &DeviceChoice::Cpu, [3; 32]).expect("a trainer");
        let pipeline = Pipeline::new(&job, &trainer, NoiseMode::None, 2).expect("rounds");
        let released = versions(&job);
        let all = rows(&job, 1, |_| true);
        for emptied in [0, 17, SHOPPERS - 1] {
            let (without, own) = (rows(&job, 1, |who| who != emptied), rows(&job, 1, |who| who == emptied));
            for (round, model) in (0..).zip(&released[..4]) {
                let round = RoundId { round, attempt: 0 };
                let of = |rows: &TrainingData| update(&pipeline, rows, model, round).centred();
                let (alone, others) = (of(&own), of(&without));
                let together: Vec<i64> = others.iter().zip(&alone).map(|(a, b)| a + b).collect();
                assert_eq!(of(&all), together, "{name}: {emptied} emptied in {round:?}");
                assert!(alone.iter().any(|word| *word != 0), "{name}: {emptied} says something");
                for who in (0..SHOPPERS).filter(|who| *who != emptied).step_by(5) {
                    let of = |rows| own_hash(&trainer, &job, rows, (model, round), who);
                    assert_eq!(of(&all), of(&without), "{name}: {who} beside {emptied} in {round:?}");
                }
            }
        }
    }
}
