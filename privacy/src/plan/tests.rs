use guildhall_shared::id::Name;
use guildhall_shared::job::{ClippingSpec, NoiseCalibration, RoundSpec, Unit};
use guildhall_shared::model_spec::{Activation, Architecture};
use guildhall_shared::optimizer::{OptimizerSpec, UpdateRule};
use guildhall_shared::task::{FeatureSpec, Task, Transform};

use super::*;
use crate::accountant::zcdp::Calibration;

/// An MLP `inputs`-16-1.
fn job(inputs: usize, rounds: u32, epsilon: Option<f64>, shoppers: u64) -> JobSpec {
    let feature =
        |i: usize| FeatureSpec { column: format!("c{i}"), transform: Transform::Positive, scale: 1.0 };
    let clipping = ClippingSpec { norm_l2: 0.6, bound: 1 << 20 };
    let noise =
        |epsilon| Calibration.noise_standard_deviation(epsilon, 1e-6, rounds, clipping.bound).expect("fits");
    JobSpec {
        name: Name::new("plan").expect("legal"),
        purpose: "test".into(),
        task: Task::Tabular { features: (0..inputs).map(feature).collect() },
        architecture: Architecture::Mlp { hidden: vec![16], activation: Activation::Tanh },
        seed: 1,
        rounds,
        optimizer: OptimizerSpec {
            rule: UpdateRule::Sgd { momentum: 0.0 },
            learning_rate: 0.1,
            average_last_rounds: 0,
        },
        clipping,
        privacy: match epsilon {
            Some(epsilon) => PrivacySpec::Gaussian {
                unit: Unit::Shopper,
                epsilon,
                delta: 1e-6,
                noise_standard_deviation: noise(epsilon),
            },
            None => PrivacySpec::None { unit: Unit::Shopper },
        },
        round: RoundSpec {
            quorum: 2,
            accept_deadline_ms: 1,
            update_deadline_ms: 1,
            upload_slot_ms: 0,
            expected_shoppers: shoppers,
            shoppers_per_merchant_max: shoppers,
            participation_rate: 1.0,
        },
    }
}

fn noise(job: &JobSpec, merchants: u32) -> NoisePlan {
    PlanReport::new(job, merchants).expect("plans").noise.expect("has noise")
}

#[test]
fn figures_by_hand() {
    // d = 35·16 + 16 + 16 + 1 = 593; σ/B at ε = 4, T = 100 is 12.7; one merchant.
    let plan = noise(&job(35, 100, Some(4.0), 10_000), 1);
    assert!((plan.noise_over_bound - 12.68).abs() < 0.03, "{}", plan.noise_over_bound);
    let expected = plan.noise_over_bound * 593f64.sqrt() / 10_000.0;
    assert!((plan.plain.noise_over_clip / expected - 1.0).abs() < 1e-12);
    assert_eq!(plan.plain.shoppers_needed, (5.0 * plan.noise_over_bound * 593f64.sqrt()).ceil() as u64);
    assert_eq!(plan.masked, None);
    // Nine merchants in plain mode: the sum carries nine full noises.
    let nine = noise(&job(35, 100, Some(4.0), 10_000), 9);
    assert!((nine.plain.noise_over_clip / (3.0 * expected) - 1.0).abs() < 1e-12);
}

#[test]
fn masked_noise_is_sized_for_the_honest_survivors() {
    let expected =
        [(2, None), (3, Some(2)), (5, Some(3)), (9, Some(6)), (10, Some(5)), (20, Some(10)), (100, Some(47))];
    for (merchants, h) in expected {
        assert_eq!(honest_shares_masked(merchants), h, "{merchants} merchants");
    }
    let plan = noise(&job(35, 60, Some(4.0), 10_000), 9);
    let masked = plan.masked.expect("nine merchants");
    assert_eq!(masked.honest_shares, 6);
    // √(n/h) = 1.22 times central noise, against √n = 3 times in plain mode.
    let ratio = plan.plain.noise_over_clip / masked.noise_over_clip;
    assert!((ratio - 6f64.sqrt()).abs() < 1e-4, "{ratio}");
    assert!(masked.epsilon_by_merchants[0].1 <= 4.0);
    assert!(masked.epsilon_local > 9.0, "{}", masked.epsilon_local);
}

#[test]
fn epsilon_for_a_shopper_known_to_several() {
    let plan = noise(&job(35, 60, Some(4.0), 10_000), 9);
    let [one, two, five] = plan.plain.epsilon_by_merchants;
    assert!(one.0 == 1 && one.1 <= 4.0 && one.1 > 3.99, "{one:?}");
    assert!(two.1 > 1.4 * 4.0 && two.1 < 8.0 && five.1 < 20.0, "{two:?} {five:?}");
    let masked = plan.masked.expect("nine merchants").epsilon_by_merchants;
    assert!((masked[1].1 - 8.8).abs() < 0.05 && (masked[2].1 - 27.0).abs() < 0.6, "{masked:?}");
}

#[test]
fn epsilon_grows_with_the_rounds_up_to_the_budget() {
    let plan = noise(&job(35, 60, Some(4.0), 10_000), 1);
    let rounds: Vec<u32> = plan.epsilon_by_rounds.iter().map(|(t, _)| *t).collect();
    assert_eq!(rounds, [6, 15, 30, 60, 120]);
    assert!(plan.epsilon_by_rounds.windows(2).all(|pair| pair[0].1 < pair[1].1));
    let (_, all) = plan.epsilon_by_rounds[3];
    assert!(all <= 4.0 && all > 3.99, "{all}");
    assert_eq!(noise(&job(35, 1, Some(4.0), 10_000), 1).epsilon_by_rounds.len(), 2);
}

#[test]
fn verdicts_say_what_to_change() {
    assert_eq!(noise(&job(35, 60, Some(4.0), 10_000), 1).plain.verdict, Verdict::Works);
    let marginal = noise(&job(35, 60, Some(4.0), 1_800), 9).plain;
    assert!(matches!(marginal.verdict, Verdict::Marginal { .. }), "{}", marginal.verdict);
    let hopeless = noise(&job(35, 60, Some(1.0), 100), 9).plain;
    let words = hopeless.verdict.to_string();
    assert!(words.starts_with("hopeless: the noise on the mean is"), "{words}");
    assert!(words.contains("expected contributions a round") && words.contains("parameters"), "{words}");
    // The advice is right: with the contributions it names the same job is no longer hopeless.
    let needed: u64 = words
        .split("at least ")
        .nth(1)
        .and_then(|w| w.split(' ').next())
        .and_then(|w| w.parse().ok())
        .expect("a number");
    let verdict = |shoppers| noise(&job(35, 60, Some(1.0), shoppers), 9).plain.verdict;
    assert!(matches!(verdict(needed), Verdict::Marginal { .. }));
    assert!(matches!(verdict(needed - 1), Verdict::Hopeless { .. }));
}

#[test]
fn a_job_without_privacy_says_so() {
    let report = PlanReport::new(&job(35, 60, None, 1_000), 9).expect("plans");
    assert_eq!(report.noise, None);
    let words = report.to_string();
    assert!(words.contains("NO PRIVACY") && words.contains("nothing protects a shopper"), "{words}");
    let words = PlanReport::new(&job(35, 60, Some(4.0), 1_800), 9).expect("plans").to_string();
    assert!(
        words.contains("masked:") && words.contains("marginal:") && words.contains("593 parameters"),
        "{words}"
    );
}
