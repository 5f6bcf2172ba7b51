use guildhall_privacy::ledger::{Attempt, BudgetLimit, Ledger, Reservation};
use guildhall_privacy::update::{CommittedUpdate, DangerousPolicy, SealedUpdate, UnprotectedPermit};
use guildhall_shared::digest::Digest;
use guildhall_shared::id::RoundId;
use guildhall_shared::job::{JobSpec, NoiseCalibration};
use guildhall_shared::model_spec::Architecture;
use guildhall_shared::model_state::ModelState;
use guildhall_shared::ring::RingVector;
use guildhall_shared::round_parameters::RoundParameters;

use super::*;
use crate::recommend::Statistics;

struct Quiet;

impl NoiseCalibration for Quiet {
    fn noise_standard_deviation(&self, _: f64, _: f64, _: u32, _: u64) -> Result<u64, String> {
        Ok(1 << 10)
    }
}

const JOB: &str = r#"
name = "together"
purpose = "What goes together?"
seed = 1
rounds = 3
unit = "shopper"
privacy = "none"
[task]
kind = "next_item"
history_max = 6
catalogue = ["a", "b", "c", "d", "e", "f", "g", "h"]
[model]
kind = "item_statistics"
items_kept = 5
popularity_items = 6
cooccurrence_pairs = 21
diagonal = "cooccurrence"
ranking = { kind = "ease", ridge = 1.0 }
[optimizer]
kind = "sgd"
learning_rate = 1.0
momentum = 0.0
[clipping]
norm_l2 = 2.0
[round]
aggregation = "plain"
quorum = 1
update_deadline_ms = 30000
expected_shoppers = 40
shoppers_per_merchant_max = 1000
"#;

fn job() -> (JobSpec, ItemStatistics) {
    let (job, _) = JobSpec::parse(JOB, &Quiet).expect("a job");
    let Architecture::ItemStatistics(model) = &job.architecture else { panic!("statistics") };
    let model = model.clone();
    (job, model)
}

fn shoppers(count: u8) -> Sequences {
    let mut sequences = Sequences::default();
    for u in 0..count {
        let items: Vec<u32> = (0..u32::from(u) % 7).map(|i| (u32::from(u) * 3 + i * i) % 8).collect();
        sequences.push(ShopperKey([u; 16]), &items);
    }
    sequences
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
    model: &ItemStatistics,
    weights: &[f64],
    sequences: &Sequences,
    left_out: Option<u8>,
) -> Vec<i64> {
    let clipping = ClippingParameters::of_round(job, &ModelState::initial(job)).expect("legal");
    let enters = |key: ShopperKey| Some(key.0[0]) != left_out;
    let (sum, tally) = clipped_sum(model, 6, weights, sequences, &enters, &clipping).expect("a sum");
    assert_eq!((tally.non_finite, tally.over_bound), (0, 0));
    let permit =
        UnprotectedPermit::from_policy(DangerousPolicy { allow_privacy_none: true }).expect("allowed");
    let parameters = RoundParameters::derive(job, 1).expect("has rounds");
    let sealed = sum.leave_unprotected(&permit).seal(parameters.ring);
    let mut ring = RingVector::zero(parameters.ring, weights.len());
    ring.add_bytes(committed(job, &parameters, sealed).bytes()).expect("as long");
    ring.centred()
}

/// Two merchants, three rounds: what is released is what they have together.
#[test]
fn released_statistics_are_those_of_everybody_together() {
    let (job, model) = job();
    let all = shoppers(40);
    let half = |odd: bool| all.restricted_to(|key| (key.0[0] % 2 == 1) == odd);
    let mut state = ModelState::initial(&job);
    for _ in 0..job.rounds {
        let [a, b] = [half(false), half(true)].map(|part| sum(&job, &model, &state.weights, &part, None));
        let both: Vec<i64> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
        state = state.next(&job, &both).expect("as long");
    }
    let released = Statistics::released(&job, &state, 0.0).expect("statistics");
    let exact = Statistics::local(8, released.kept.clone(), &all);
    for (found, expected) in released.popularity.iter().zip(&exact.popularity) {
        assert!((found - expected).abs() < 1e-3, "{found} {expected}");
    }
    for (found, expected) in released.cooccurrence.iter().zip(&exact.cooccurrence) {
        assert!((found - expected).abs() < 1e-3, "{found} {expected}");
    }
    assert_eq!(released.cooccurrence_deviation, 0.0);
    assert_eq!(Statistics::popular(8, &all, 5), released.kept);
}

#[test]
fn emptying_a_shopper_moves_the_sum_by_its_own_integers_and_by_no_more_than_b() {
    let (job, model) = job();
    let all = shoppers(30);
    let mut released = ModelState::initial(&job).weights;
    for stage in 0..2 {
        let whole = sum(&job, &model, &released, &all, None);
        for left_out in 0..30u8 {
            let others = sum(&job, &model, &released, &all, Some(left_out));
            let alone = sum(&job, &model, &released, &all.restricted_to(|key| key.0[0] == left_out), None);
            let moved: Vec<i64> = whole.iter().zip(&others).map(|(a, b)| a - b).collect();
            assert_eq!(moved, alone);
            let squares: i128 = moved.iter().map(|z| i128::from(*z).pow(2)).sum();
            assert!(squares <= 1 << 40, "stage {stage}");
            let items = all.shopper(left_out as usize).1;
            assert!(stage == 1 || (squares == 0) == items.is_empty());
        }
        released[..8].copy_from_slice(&[0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]);
    }
}

#[test]
fn weights_and_clips_of_another_model_are_refused() {
    let (job, model) = job();
    let clipping = ClippingParameters::of_round(&job, &ModelState::initial(&job)).expect("legal");
    let refused = clipped_sum(&model, 6, &[0.0; 3], &shoppers(3), &|_| true, &clipping).err();
    assert!(matches!(refused, Some(TrainError::Weights { expected: 23, found: 3 })));
    let other = ItemStatistics { items_kept: 4, ..model };
    let refused = clipped_sum(&other, 6, &[0.0; 18], &shoppers(3), &|_| true, &clipping).err();
    assert!(matches!(refused, Some(TrainError::Clipping { expected: 18, found: 23 })));
}
