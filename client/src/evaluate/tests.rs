use std::collections::BTreeMap;

use guildhall_shared::id::Name;
use proptest::prelude::*;

use super::*;

/// By definition: every pair of a positive and a negative.
fn auc_by_pairs(logits: &[f32], labels: &[f32]) -> Option<f64> {
    let (mut right, mut pairs) = (0.0, 0.0);
    for (a, _) in logits.iter().zip(labels).filter(|(_, y)| **y == 1.0) {
        for (b, _) in logits.iter().zip(labels).filter(|(_, y)| **y == 0.0) {
            pairs += 1.0;
            right += if a > b {
                1.0
            } else if a == b {
                0.5
            } else {
                0.0
            };
        }
    }
    (pairs > 0.0).then(|| right / pairs)
}

proptest! {
    #[test]
    fn auc_counts_pairs(rows in prop::collection::vec((-3i8..3, any::<bool>()), 0..60)) {
        let logits: Vec<f32> = rows.iter().map(|row| f32::from(row.0) / 2.0).collect();
        let labels: Vec<f32> = rows.iter().map(|row| f32::from(u8::from(row.1))).collect();
        match (auc(&logits, &labels), auc_by_pairs(&logits, &labels)) {
            (Some(found), Some(expected)) => prop_assert!((found - expected).abs() < 1e-12),
            (found, expected) => prop_assert_eq!(found, expected),
        }
    }

    #[test]
    fn best_f1_is_the_best_of_all_thresholds(rows in prop::collection::vec((-3i8..3, any::<bool>()), 1..40)) {
        let logits: Vec<f32> = rows.iter().map(|row| f32::from(row.0)).collect();
        let labels: Vec<f32> = rows.iter().map(|row| f32::from(u8::from(row.1))).collect();
        let f1 = |threshold: f32| {
            let hits = rows.iter().filter(|row| f32::from(row.0) >= threshold && row.1).count() as f64;
            let called = rows.iter().filter(|row| f32::from(row.0) >= threshold).count() as f64;
            2.0 * hits / (called + labels.iter().sum::<f32>() as f64)
        };
        match best_f1(&logits, &labels) {
            Some(best) => {
                let greatest = logits.iter().map(|t| f1(*t)).fold(0.0, f64::max);
                prop_assert!((best.f1 - greatest).abs() < 1e-12);
                prop_assert!((f1(best.threshold_logit) - best.f1).abs() < 1e-12);
            }
            None => prop_assert!(labels.iter().all(|y| *y == 0.0)),
        }
    }
}

#[test]
fn auc_of_known_rankings() {
    assert_eq!(auc(&[0.0, 1.0, 2.0, 3.0], &[0.0, 0.0, 1.0, 1.0]), Some(1.0));
    assert_eq!(auc(&[0.0, 1.0, 2.0, 3.0], &[1.0, 1.0, 0.0, 0.0]), Some(0.0));
    assert_eq!(auc(&[5.0; 4], &[1.0, 0.0, 1.0, 0.0]), Some(0.5));
    assert_eq!(auc(&[-0.0, 0.0], &[0.0, 1.0]), Some(0.5), "minus zero is zero");
    assert_eq!(auc(&[f32::NEG_INFINITY, f32::INFINITY], &[0.0, 1.0]), Some(1.0));
}

#[test]
fn figures_that_do_not_exist_are_none() {
    assert_eq!(auc(&[1.0, 2.0], &[1.0, 1.0]), None);
    assert_eq!(auc(&[], &[]), None);
    assert_eq!(auc(&[f32::NAN, 1.0], &[0.0, 1.0]), None);
    assert_eq!(auc(&[1.0], &[0.0, 1.0]), None);
    assert_eq!(log_loss(&[], &[]), None);
    assert_eq!(calibration_error(&[f32::NAN], &[1.0], 10), None);
    assert_eq!(best_f1(&[1.0], &[0.0]), None);
}

#[test]
fn log_loss_is_stable_and_right() {
    let ln2 = std::f64::consts::LN_2;
    assert!((log_loss(&[0.0, 0.0], &[0.0, 1.0]).unwrap() - ln2).abs() < 1e-12);
    assert_eq!(log_loss(&[1e30, -1e30], &[1.0, 0.0]), Some(0.0));
    assert!((log_loss(&[1000.0], &[0.0]).unwrap() - 1000.0).abs() < 1e-9);
    let p = probability(1.5);
    assert!((log_loss(&[1.5], &[0.0]).unwrap() + (1.0 - p).ln()).abs() < 1e-12);
}

#[test]
fn calibration_sees_confidence_that_is_not_earned() {
    let half = |logit: f32| (vec![logit; 100], (0..100).map(|i| (i % 2) as f32).collect::<Vec<_>>());
    let (logits, labels) = half(0.0);
    assert!(calibration_error(&logits, &labels, 15).unwrap() < 1e-12);
    let (logits, labels) = half(40.0);
    assert!((calibration_error(&logits, &labels, 15).unwrap() - 0.5).abs() < 1e-9);
}

#[test]
fn the_summary_averages_merchants_and_pools_rows() {
    let name = |text: &str| Name::new(text).unwrap();
    let scored = BTreeMap::from([
        (name("a"), Scored { logits: vec![0.0, 1.0], labels: vec![0.0, 1.0] }),
        (name("b"), Scored { logits: vec![2.0, 3.0], labels: vec![1.0, 0.0] }),
        (name("one-class"), Scored { logits: vec![9.0], labels: vec![1.0] }),
        (name("empty"), Scored::default()),
    ]);
    let summary = FigureSummary::of(&scored);
    assert_eq!(summary.r#macro, Some(0.5));
    // Positives 1, 2, 9 against negatives 0, 3: right are 1>0, 2>0, 9>0, 9>3.
    assert_eq!(summary.micro, Some(4.0 / 6.0));
    assert_eq!(summary.per_merchant[&name("one-class")], None);
    let json = serde_json::to_value(&summary).unwrap();
    assert_eq!(json["macro"], 0.5);
    assert!(json["per_merchant"]["empty"].is_null());
}
