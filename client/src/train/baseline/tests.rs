use super::*;
use crate::data::observations::{ShopperKey, ShopperRows};
use crate::evaluate::{auc, cross_entropy, probability};

/// A plain generator (Steele, Lea, Flood 2014: SplitMix64), so that the data is the same everywhere.
struct Numbers(u64);

impl Numbers {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn observations(inputs: usize, features: Vec<f32>, labels: Vec<f32>) -> Observations {
    let rows = (0..labels.len()).map(|i| ShopperRows {
        key: ShopperKey((i as u128).to_be_bytes()),
        start: i,
        end: i + 1,
    });
    Observations { inputs, features, shoppers: rows.collect(), labels }
}

/// Labels drawn from a known logistic model.
fn logistic(rows: usize, seed: u64, truth: &[f64], bias: f64) -> Observations {
    let mut numbers = Numbers(seed);
    let (mut features, mut labels) = (vec![], vec![]);
    for _ in 0..rows {
        let row: Vec<f64> = truth.iter().map(|_| 4.0 * numbers.unit() - 2.0).collect();
        let z = bias + row.iter().zip(truth).map(|(x, w)| x * w).sum::<f64>();
        labels.push(f32::from(u8::from(numbers.unit() < probability(z))));
        features.extend(row.iter().map(|x| *x as f32));
    }
    observations(truth.len(), features, labels)
}

#[test]
fn the_truth_is_found_in_much_data() {
    let truth = [1.0, -0.5, 0.0];
    let (train, validation) = (logistic(20_000, 1, &truth, 0.3), logistic(2_000, 2, &truth, 0.3));
    let baseline = Baseline::fit(&[&train], &[&validation], Tuning::default());
    // Standard errors are near 0.02.
    for (found, expected) in baseline.parameters.iter().zip(truth.iter().chain(&[0.3])) {
        assert!((found - expected).abs() < 0.12, "{:?}", baseline.parameters);
    }
}

#[test]
fn the_optimum_has_no_gradient() {
    let data = logistic(300, 3, &[2.0, -1.0, 0.5, 0.0], -0.7);
    let optimum = Problem::new(4, &[&data]).minimise(3.0, Optimum::at_zero(4));
    let w = optimum.parameters();
    let objective = |w: &[f64]| {
        let z = |i: usize| w[4] + (0..4).map(|j| w[j] * f64::from(data.row(i)[j])).sum::<f64>();
        let loss: f64 = (0..300).map(|i| cross_entropy(z(i), f64::from(data.labels[i]))).sum();
        loss + 1.5 * w[..4].iter().map(|w| w * w).sum::<f64>() + 0.5e-3 * w[4] * w[4]
    };
    for i in 0..5 {
        let (mut up, mut down) = (w.to_vec(), w.to_vec());
        up[i] += 1e-4;
        down[i] -= 1e-4;
        let slope = (objective(&up) - objective(&down)) / 2e-4;
        assert!(slope.abs() < 1e-3, "parameter {i}: slope {slope}");
        assert!(objective(&up) > objective(w) && objective(&down) > objective(w), "parameter {i}");
    }
}

#[test]
fn hard_data_gives_finite_models_without_panic() {
    let separable = observations(
        1,
        (0..40).map(|i| i as f32 - 19.5).collect(),
        (0..40).map(|i| f32::from(u8::from(i >= 20))).collect(),
    );
    let one_class = observations(2, vec![1.0, 0.5, 2.0, -1.0], vec![1.0, 1.0]);
    let one_row = observations(2, vec![1.0, 0.5], vec![0.0]);
    let none = observations(2, vec![], vec![]);
    let broken = observations(2, vec![f32::NAN, 1.0, f32::INFINITY, 2.0, 0.1, 0.2], vec![1.0, 0.0, 1.0]);
    let huge = observations(
        2,
        vec![f32::MAX, -f32::MAX, 1.0, f32::MAX, f32::MIN_POSITIVE, 0.0],
        vec![1.0, 0.0, 1.0],
    );
    let same = observations(3, [1.0, 1.0, 1.0].repeat(20), (0..20).map(|i| (i % 2) as f32).collect());
    for train in [&separable, &one_class, &one_row, &none, &broken, &huge, &same] {
        for validation in [&separable, &one_class, &none] {
            for criterion in [Criterion::LogLoss, Criterion::Auc] {
                for final_fit in [FinalFit::Train, FinalFit::TrainAndValidation] {
                    let fitted = Baseline::fit(&[train], &[validation], Tuning { criterion, final_fit });
                    assert_eq!(fitted.parameters.len(), train.inputs + 1);
                    assert!(fitted.parameters.iter().all(|w| w.is_finite()), "{fitted:?}");
                }
            }
        }
    }
    assert_eq!(Baseline::fit(&[], &[], Tuning::default()).parameters, [0.0]);
    let fitted = Baseline::fit(&[&separable], &[&separable], Tuning::default());
    assert_eq!(auc(&fitted.logits(&separable), &separable.labels), Some(1.0));
    let fitted = Baseline::fit(&[&one_class], &[&one_class], Tuning::default());
    assert!(fitted.logits(&one_class).iter().all(|z| *z > 2.0), "one class is predicted with confidence");
}

#[test]
fn the_penalty_is_the_one_that_validates_best() {
    // 30 rows of noise in 20 inputs: only a strong penalty helps.
    let mut numbers = Numbers(9);
    let mut noise = |rows: usize| {
        let features = (0..rows * 20).map(|_| (2.0 * numbers.unit() - 1.0) as f32).collect();
        observations(20, features, (0..rows).map(|i| (i % 2) as f32).collect())
    };
    let (train, validation) = (noise(30), noise(400));
    let fitted = Baseline::fit(&[&train], &[&validation], Tuning::default());
    assert!(fitted.penalty >= 30.0, "{}", fitted.penalty);
    // By definition: no other penalty of the grid validates better.
    let problem = Problem::new(20, &[&train]);
    let chosen = fitted.score(&[&validation], Criterion::LogLoss);
    for penalty in PENALTIES {
        let parameters = problem.minimise(penalty, Optimum::at_zero(20)).parameters().to_vec();
        let other = Baseline { parameters, penalty };
        assert!(other.score(&[&validation], Criterion::LogLoss) >= chosen - 1e-6, "{penalty}");
    }
}

#[test]
fn pooled_rows_are_all_rows() {
    let (a, b) = (logistic(200, 5, &[1.0, 1.0], 0.0), logistic(300, 6, &[1.0, 1.0], 0.0));
    let joined = observations(
        2,
        a.features.iter().chain(&b.features).copied().collect(),
        a.labels.iter().chain(&b.labels).copied().collect(),
    );
    let tuning = Tuning::default();
    assert_eq!(Baseline::fit(&[&a, &b], &[&a], tuning), Baseline::fit(&[&joined], &[&a], tuning));
}
