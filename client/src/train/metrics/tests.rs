use guildhall_privacy::ledger::{Attempt, BudgetLimit, Ledger, Reservation};
use guildhall_privacy::update::{CommittedUpdate, DangerousPolicy, SealedUpdate, UnprotectedPermit};
use guildhall_shared::id::RoundId;
use guildhall_shared::job::NoiseCalibration;
use guildhall_shared::ring::RingVector;
use guildhall_shared::round_parameters::RoundParameters;

use super::*;
use crate::draws::Draws;
use crate::evaluate;
use crate::evaluate::released::{ReleasedFigures, ReleasedRanking};

struct Quiet;

impl NoiseCalibration for Quiet {
    fn noise_standard_deviation(&self, _: f64, _: f64, _: u32, _: u64) -> Result<u64, String> {
        Ok(1 << 10)
    }
}

const MERCHANTS: u32 = 3;
const ITEMS: &str = "kind = \"next_item\"\nhistory_max = 6\ncatalogue = [\"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\", \"h\"]";
const WEEKS: &str = "kind = \"repurchase_sequence\"\nhorizon_weeks = 2\ntrain_weeks = [12]\nvalidation_weeks = [40]\ntest_weeks = [44, 45]\nsteps = 4";
const SGD: &str =
    "[optimizer]\nkind = \"sgd\"\nlearning_rate = 1.0\nmomentum = 0.0\n[clipping]\nnorm_l2 = 2.0\n";

const STATISTICS: &str = "kind = \"item_statistics\"\nitems_kept = 6\npopularity_items = 6\ncooccurrence_pairs = 21\ndiagonal = \"cooccurrence\"\nranking = { kind = \"ease\", ridge = 1.0 }";
const TRANSFORMER: &str =
    "kind = \"transformer\"\nwidth = 8\nblocks = 1\nheads = 2\nfeed_forward = 8\nnegatives = 2";
const FACTORS: &str = "kind = \"matrix_factorization\"\nfactors = 4";
const GRU: &str = "kind = \"gru\"\nwidth = 6\nembedding = 3\nhidden = 5";
const MLP: &str = "kind = \"mlp\"\nhidden = [5]\nactivation = \"tanh\"";

fn job(name: &str, rounds: u32, task: &str, model: &str, learning: &str) -> JobSpec {
    let text = format!(
        "name = \"{name}\"\npurpose = \"How good is it?\"\nseed = 5\nrounds = {rounds}\nunit = \"shopper\"\nprivacy = \"none\"\n\
         [task]\n{task}\n[model]\n{model}\n{learning}[round]\naggregation = \"plain\"\nquorum = 1\nupdate_deadline_ms = 30000\n\
         expected_shoppers = 40\nshoppers_per_merchant_max = 1000\n"
    );
    JobSpec::parse(&text, &Quiet).unwrap_or_else(|e| panic!("{e}")).0
}

fn metrics_of(task: &str, measured: &JobSpec, state: &ModelState, more: &str) -> JobSpec {
    let hash = state.hash(&measured.model());
    let model =
        format!("kind = \"metrics\"\nof_job = \"{}\"\nof_model = \"{hash}\"\n{more}", measured.digest());
    job("how-good", 1, task, &model, "")
}

/// A model that says something: arbitrary weights that everybody has.
fn measured(task: &str, model: &str) -> (JobSpec, ModelState) {
    let job = job("measured", 3, task, model, SGD);
    let mut state = ModelState::initial(&job);
    let mut draws = Draws::new(3);
    let statistics = matches!(job.architecture, Architecture::ItemStatistics(_));
    for weight in &mut state.weights {
        let unit = (draws.word() >> 11) as f64 / (1u64 << 53) as f64;
        *weight = if statistics { unit } else { 2.0 * unit - 1.0 };
    }
    state.step = job.rounds;
    (job, state)
}

fn key(shopper: u8) -> ShopperKey {
    ShopperKey([shopper; 16])
}

fn sequences(count: u8) -> Sequences {
    let mut all = Sequences::default();
    let mut draws = Draws::new(11);
    for shopper in 0..count {
        let items: Vec<u32> =
            (0..u32::from(shopper) % 7).map(|place| (draws.word() as u32 + place) % 8).collect();
        all.push(key(shopper), &items);
    }
    all
}

fn splits(count: u8, inputs: usize) -> Splits {
    let mut draws = Draws::new(13);
    let mut rows = |most: u8, first: u8| {
        let mut rows = Observations::empty(inputs);
        for shopper in first..count {
            for _ in 0..shopper % most {
                let unit = |draws: &mut Draws| (draws.word() >> 40) as f32 / (1u64 << 24) as f32;
                let mut row: Vec<f32> = (0..inputs).map(|_| unit(&mut draws)).collect();
                // Tokens of a sequence are numbers of classes; whatever else an input is, 0 and 1 are legal.
                row.iter_mut().for_each(|input| *input = input.round());
                let label = f32::from(u8::from(unit(&mut draws) < 0.4));
                rows.push(key(shopper), &row, label);
            }
        }
        rows
    };
    Splits { train: rows(5, 3), validation: Observations::empty(inputs), test: rows(4, 0) }
}

fn held_out(task: &str, count: u8, inputs: usize) -> HeldOut {
    if task == ITEMS { HeldOut::Items(sequences(count)) } else { HeldOut::of_rows(splits(count, inputs)) }
}

/// Only the ledger frees an update.
fn committed(job: &JobSpec, parameters: &RoundParameters, sealed: SealedUpdate) -> CommittedUpdate {
    let mut ledger = Ledger::simulated(BudgetLimit { epsilon: 1.0, delta: 1e-6 }).expect("a ledger");
    let [sid, roster, model] = [Digest([0; 32]); 3];
    let attempt = Attempt { job: job.digest(), sid, round: RoundId { round: 0, attempt: 0 }, roster, model };
    let reserved = ledger.reserve(Reservation::new(job, attempt, parameters)).expect("no charge");
    ledger.commit(reserved, sealed).expect("a commit")
}

fn sum(
    job: &JobSpec,
    trainer: &MetricsTrainer,
    data: &HeldOut,
    enters: &(dyn Fn(ShopperKey) -> bool + Sync),
) -> Vec<i64> {
    let clipping = ClippingParameters::of_round(job, &ModelState::initial(job)).expect("legal");
    let (sum, tally) = trainer.clipped_sum(data, enters, &clipping).expect("a sum");
    assert_eq!((tally.non_finite, tally.over_bound), (0, 0));
    let permit =
        UnprotectedPermit::from_policy(DangerousPolicy { allow_privacy_none: true }).expect("allowed");
    let parameters = RoundParameters::derive(job, 1).expect("has rounds");
    let sealed = sum.leave_unprotected(&permit).seal(parameters.ring);
    let mut ring = RingVector::zero(parameters.ring, trainer.words);
    ring.add_bytes(committed(job, &parameters, sealed).bytes()).expect("as long");
    ring.centred()
}

fn every_kind() -> [(&'static str, &'static str); 6] {
    [
        (ITEMS, STATISTICS),
        (ITEMS, TRANSFORMER),
        (ITEMS, FACTORS),
        (WEEKS, "kind = \"logistic_regression\""),
        (WEEKS, MLP),
        (WEEKS, GRU),
    ]
}

#[test]
fn emptying_a_shopper_moves_the_sum_by_its_own_integers_and_by_no_more_than_b() {
    for (task, model) in every_kind() {
        let (of, state) = measured(task, model);
        let job = metrics_of(task, &of, &state, "");
        let trainer =
            MetricsTrainer::new(&job, &of, &state, MERCHANTS, &DeviceChoice::Cpu).expect("measures");
        let data = held_out(task, 30, of.task.inputs());
        let whole = sum(&job, &trainer, &data, &|_| true);
        let mut moving = 0;
        for shopper in 0..30 {
            let alone = sum(&job, &trainer, &data, &|other| other == key(shopper));
            // Its rows gone for good, so that all others stand elsewhere in every batch.
            let rest = match &data {
                HeldOut::Items(all) => HeldOut::Items(all.restricted_to(|other| other != key(shopper))),
                HeldOut::Rows { test, train_rows } => HeldOut::Rows {
                    test: test.restricted_to(|other| other != key(shopper)),
                    train_rows: train_rows
                        .iter()
                        .filter(|(other, _)| **other != key(shopper))
                        .map(|(other, rows)| (*other, *rows))
                        .collect(),
                },
            };
            let others = sum(&job, &trainer, &rest, &|_| true);
            let moved: Vec<i64> = whole.iter().zip(&others).map(|(a, b)| a - b).collect();
            assert_eq!(moved, alone, "{model}: shopper {shopper}");
            let squares: i128 = moved.iter().map(|z| i128::from(*z).pow(2)).sum();
            assert!(squares <= 1 << 40, "{model}: shopper {shopper}");
            moving += usize::from(squares > 0);
        }
        assert_eq!(moving, data.shoppers(), "{model}: everybody with something held out counts");
        assert!(moving > 10);
    }
}

/// The released version of a metrics job, as its round makes it of this sum.
fn settled(job: &JobSpec, sum: &[i64]) -> ModelState {
    ModelState::initial(job).next(job, sum).expect("as long")
}

#[test]
fn released_rankings_are_those_of_everybody_together() {
    for model in [STATISTICS, TRANSFORMER] {
        let (of, state) = measured(ITEMS, model);
        let job = metrics_of(ITEMS, &of, &state, "k = 2\ngroups = [0, 4]");
        let trainer =
            MetricsTrainer::new(&job, &of, &state, MERCHANTS, &DeviceChoice::Cpu).expect("measures");
        let all = sequences(60);
        // Two merchants.
        let half = |odd: bool| HeldOut::Items(all.restricted_to(|key| (key.0[0] % 2 == 1) == odd));
        let [a, b] = [false, true].map(|odd| sum(&job, &trainer, &half(odd), &|_| true));
        let both: Vec<i64> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
        let found = ReleasedFigures::read(&job, &settled(&job, &both), MERCHANTS).expect("figures");
        let ReleasedFigures::Ranking { k: 2, all: found, groups } = found else { panic!("a ranking") };

        let Scorer::Ranking { model, .. } = &trainer.scorer else { panic!("ranks") };
        let place = |held: Held<'_>| {
            let mut scores = vec![0.0; 8];
            model.scores(held.history, &mut scores).expect("scores");
            rank(&scores, held.history, held.target)
        };
        let exact = |least: usize, most: usize| {
            let held = all.test().filter(|held| (least..=most).contains(&held.history.len()));
            let places: Vec<Option<u32>> = held.map(place).collect();
            (places.len(), RankingFigures::mean(&places, 2).expect("somebody"))
        };
        let equal = |found: &ReleasedRanking, (shoppers, figures): (usize, RankingFigures)| {
            let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-5);
            close(found.shoppers.value, shoppers as f64);
            close(found.hr_at_k.expect("no noise").value, figures.hr_at_k);
            close(found.ndcg_at_k.expect("no noise").value, figures.ndcg_at_k);
            assert_eq!(found.shoppers.standard_error, 0.0);
        };
        equal(&found, exact(0, 9));
        equal(&groups[0], exact(0, 3));
        equal(&groups[1], exact(4, 9));
        assert!(exact(0, 9).1.hr_at_k > 0.0 && exact(0, 9).1.hr_at_k < 1.0, "there is something to measure");
    }
}

#[test]
fn released_predictions_are_those_of_everybody_together() {
    let (of, state) = measured(WEEKS, GRU);
    let job = metrics_of(WEEKS, &of, &state, "bins = 400\ngroups = [0, 3]");
    let trainer = MetricsTrainer::new(&job, &of, &state, MERCHANTS, &DeviceChoice::Cpu).expect("measures");
    let splits = splits(80, of.task.inputs());
    // One row to a shopper, so that shoppers that weigh the same are rows that do.
    let mut test = Observations::empty(splits.test.inputs);
    for shopper in &splits.test.shoppers {
        test.push(shopper.key, splits.test.row(shopper.start), splits.test.labels[shopper.start]);
    }
    let Scorer::Predictions { trainer: scorer, weights, .. } = &trainer.scorer else { panic!("predicts") };
    let exact =
        evaluate::auc(&scorer.logits(weights, &test).expect("logits"), &test.labels).expect("both classes");
    let positives = f64::from(test.labels.iter().sum::<f32>()) / test.rows() as f64;
    let data = HeldOut::of_rows(Splits { test, ..splits });
    let HeldOut::Rows { train_rows, .. } = &data else { panic!("rows") };
    assert!(train_rows.values().any(|rows| *rows >= 3) && train_rows.values().any(|rows| *rows < 3));
    let sum = sum(&job, &trainer, &data, &|_| true);
    let found = ReleasedFigures::read(&job, &settled(&job, &sum), MERCHANTS).expect("figures");
    let ReleasedFigures::Predictions { all, groups } = found else { panic!("predictions") };
    // Rows of one of 400 bins are taken as ties.
    assert!((all.auc.expect("no noise").value - exact).abs() < 0.01);
    assert!((all.positives.expect("no noise").value - positives).abs() < 1e-5);
    assert!((groups[0].shoppers.value + groups[1].shoppers.value - all.shoppers.value).abs() < 1e-5);
    assert!(groups.iter().all(|group| group.shoppers.value > 0.5));
}

#[test]
fn whoever_does_not_enter_adds_nothing() {
    let (of, state) = measured(ITEMS, FACTORS);
    let job = metrics_of(ITEMS, &of, &state, "");
    let trainer = MetricsTrainer::new(&job, &of, &state, MERCHANTS, &DeviceChoice::Cpu).expect("measures");
    let data = held_out(ITEMS, 30, 8);
    assert!(sum(&job, &trainer, &data, &|_| false).iter().all(|word| *word == 0));
}

/// Nothing but the version that the job names is measured, on the task it was trained for.
#[test]
fn another_job_version_or_task_is_refused() {
    let refused = |job: &JobSpec, of: &JobSpec, state: &ModelState| {
        let made = MetricsTrainer::new(job, of, state, MERCHANTS, &DeviceChoice::Cpu);
        made.err().expect("refused").to_string()
    };
    let (of, state) = measured(ITEMS, STATISTICS);
    let good = metrics_of(ITEMS, &of, &state, "");
    assert!(MetricsTrainer::new(&good, &of, &state, MERCHANTS, &DeviceChoice::Cpu).is_ok());

    let renamed = JobSpec { purpose: "another".into(), ..of.clone() };
    assert!(refused(&good, &renamed, &state).contains("model.of_job"));

    // A fine-tuned copy: the same job, other weights.
    let mut tuned = state.clone();
    tuned.weights[9] += 1e-9;
    let text = refused(&good, &of, &tuned);
    assert!(text.contains("model.of_model") && text.contains(&tuned.hash(&of.model()).to_string()), "{text}");

    let shorter = ITEMS.replace("history_max = 6", "history_max = 5");
    let text = refused(&metrics_of(&shorter, &of, &state, ""), &of, &state);
    assert!(text.contains("task") && text.contains("measured"), "{text}");

    let first = ModelState { step: 0, ..ModelState::initial(&of) };
    let text = refused(&metrics_of(ITEMS, &of, &first, ""), &of, &first);
    assert!(text.contains("statistics"), "{text}");

    let metrics_state = ModelState::initial(&good);
    let of_metrics = metrics_of(ITEMS, &good, &metrics_state, "");
    assert!(refused(&of_metrics, &good, &metrics_state).contains("metrics of another model"));
    assert!(refused(&of, &of, &state).contains("expected a job whose model is metrics"));
}

#[test]
fn rows_of_another_kind_and_clips_of_another_length_are_refused() {
    let (of, state) = measured(ITEMS, STATISTICS);
    let job = metrics_of(ITEMS, &of, &state, "");
    let trainer = MetricsTrainer::new(&job, &of, &state, MERCHANTS, &DeviceChoice::Cpu).expect("measures");
    let clipping = ClippingParameters::of_round(&job, &ModelState::initial(&job)).expect("legal");
    let rows = held_out(WEEKS, 5, 8);
    assert!(matches!(trainer.clipped_sum(&rows, &|_| true, &clipping), Err(TrainError::Data)));
    let other = ClippingParameters::new(&job.clipping, 6).expect("legal");
    let refused = trainer.clipped_sum(&held_out(ITEMS, 5, 8), &|_| true, &other).err();
    assert!(matches!(refused, Some(TrainError::Clipping { expected: 18, found: 6 })));
    // Without the measured model there is nothing to compute with.
    assert!(JobTrainer::new(&job, &DeviceChoice::Cpu, [0; 32]).is_err());
}
