use proptest::prelude::*;

use super::*;
use crate::data::observations::ShopperKey;
use crate::evaluate;

fn uniform(draws: &mut Draws) -> f64 {
    (draws.word() >> 11) as f64 / (1u64 << 53) as f64
}

/// About normal: the sum of twelve uniform numbers less six has mean 0 and variance 1.
fn normal(draws: &mut Draws) -> f64 {
    (0..12).map(|_| uniform(draws)).sum::<f64>() - 6.0
}

#[test]
fn means_by_hand() {
    // Differences 1, 2, 3: mean 2, standard error 1/√3.
    let found = mean_difference(&[2.0, 3.0, 4.0], &[1.0, 1.0, 1.0]).expect("three");
    assert!((found.difference - 2.0).abs() < 1e-12);
    assert!((found.high - 2.0 - QUANTILE / 3f64.sqrt()).abs() < 1e-12);
    assert!(found.is_clear());
    assert_eq!(mean_difference(&[1.0], &[0.0]), None);
    assert_eq!(mean_difference(&[1.0, 2.0], &[0.0]), None);
    assert_eq!(mean_difference(&[1.0, f64::NAN], &[0.0, 0.0]), None);
    let same = mean_difference_resampled(&[0.5; 9], &[0.25; 9], Resampling::default()).expect("nine");
    assert_eq!(same, Difference { difference: 0.25, low: 0.25, high: 0.25 });
    assert!(!Difference { difference: 0.1, low: -0.1, high: 0.3 }.is_clear());
}

#[test]
fn percentiles_lie_between_neighbours() {
    let numbers: Vec<f64> = (0..=40).map(f64::from).collect();
    assert_eq!((percentile(&numbers, 0.025), percentile(&numbers, 0.975)), (1.0, 39.0));
    assert_eq!(percentile(&[7.0], 0.975), 7.0);
    assert_eq!(percentile(&[0.0, 1.0], 0.25), 0.25);
}

#[test]
fn a_bootstrap_is_the_same_for_the_same_seed_and_needs_a_figure() {
    let (a, b): (Vec<f64>, Vec<f64>) = (0..50).map(|i| (f64::from(i % 7), f64::from(i % 5))).unzip();
    let run = |seed| mean_difference_resampled(&a, &b, Resampling { resamples: 500, seed });
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    assert_eq!(bootstrap(5, Resampling::default(), |_| None), None);
    let sometimes = |times: &[u32]| (times[0] > 0).then_some(1.0);
    assert_eq!(
        bootstrap(5, Resampling::default(), sometimes),
        None,
        "a third of all resamples lack shopper 0"
    );
    assert_eq!(bootstrap(5, Resampling { resamples: 99, seed: 0 }, |_| Some(1.0)), None);
    assert_eq!(bootstrap(0, Resampling::default(), |_| Some(1.0)), None);
}

/// 400 paired data sets of 60 shoppers with a true difference of 0.3: an interval that covers with 95 % does so 380 ± 4.4
/// times. A bootstrap of 60 covers about half a per cent less. 350 to 397 are over five standard deviations on the low side and
/// fail with a chance below 1e-5 on the high side.
#[test]
fn intervals_of_means_cover_what_they_should() {
    let mut draws = Draws::new(11);
    let (mut by_normal, mut by_bootstrap) = (0, 0);
    for seed in 0..400 {
        let shared: Vec<f64> = (0..60).map(|_| 5.0 * normal(&mut draws)).collect();
        let a: Vec<f64> = shared.iter().map(|s| s + 0.3 + normal(&mut draws)).collect();
        let b: Vec<f64> = shared.iter().map(|s| s + normal(&mut draws)).collect();
        let covers = |found: Option<Difference>| found.is_some_and(|d| d.low <= 0.3 && 0.3 <= d.high);
        by_normal += u32::from(covers(mean_difference(&a, &b)));
        let resampling = Resampling { resamples: 400, seed };
        by_bootstrap += u32::from(covers(mean_difference_resampled(&a, &b, resampling)));
    }
    assert!((350..=397).contains(&by_normal), "{by_normal}");
    assert!((350..=397).contains(&by_bootstrap), "{by_bootstrap}");
}

/// Two models that see the same signal under noise of their own, so that neither is better: the true difference is 0.
/// 300 data sets of 80 shoppers with four rows each, alike within a shopper; as above, 285 ± 3.8 should cover. 262 is six
/// standard deviations below. DeLong's interval, which takes rows for shoppers, must not be used here: it covers far less often.
#[test]
fn intervals_over_shoppers_cover_where_rows_are_alike() {
    let mut draws = Draws::new(5);
    let (mut over_shoppers, mut over_rows) = (0, 0);
    for seed in 0..300 {
        let (mut labels, mut first, mut second, mut shoppers) = (vec![], vec![], vec![], vec![]);
        for shopper in 0..80u32 {
            let label = f64::from(shopper % 2);
            let (a, b) = (label + normal(&mut draws), label + normal(&mut draws));
            for _ in 0..4 {
                labels.push(label as f32);
                first.push((a + 0.1 * normal(&mut draws)) as f32);
                second.push((b + 0.1 * normal(&mut draws)) as f32);
                shoppers.push(shopper);
            }
        }
        let pair = AucPair { first: &first, second: &second, labels: &labels };
        let covers = |found: Option<Difference>| u32::from(found.is_some_and(|d| !d.is_clear()));
        over_shoppers += covers(auc_difference(pair, &shoppers, 80, Resampling { resamples: 200, seed }));
        over_rows += covers(delong(pair));
    }
    assert!((262..=299).contains(&over_shoppers), "{over_shoppers}");
    assert!(over_rows < 240, "{over_rows}");
}

/// Rows that are shoppers: both intervals agree, and cover. 300 data sets; 285 ± 3.8 should.
#[test]
fn delong_covers_where_rows_are_independent() {
    let mut draws = Draws::new(6);
    let mut covered = 0;
    for seed in 0..300 {
        let labels: Vec<f32> = (0..160u8).map(|row| f32::from(row % 2)).collect();
        let of = |draws: &mut Draws| -> Vec<f32> {
            labels.iter().map(|label| label + normal(draws) as f32).collect()
        };
        let (first, second) = (of(&mut draws), of(&mut draws));
        let pair = AucPair { first: &first, second: &second, labels: &labels };
        let found = delong(pair).expect("both classes");
        covered += u32::from(!found.is_clear());
        if seed < 5 {
            let rows: Vec<u32> = (0..160).collect();
            let other = auc_difference(pair, &rows, 160, Resampling::default()).expect("both classes");
            assert!((other.difference - found.difference).abs() < 1e-12);
            let (width, other_width) = (found.high - found.low, other.high - other.low);
            assert!((other_width / width - 1.0).abs() < 0.15, "{other_width} {width}");
        }
    }
    assert!((262..=299).contains(&covered), "{covered}");
}

/// Hanley and McNeil's identity at a small scale, by hand. Positives 3, 1 against negatives 2, 0: shares 1, ½ and ½, 1.
/// The second model ranks all alike: ½ everywhere. Differences ½, 0 and 0, ½: mean ¼, variance (⅛/2)·2.
#[test]
fn delong_by_hand() {
    let pair = AucPair { first: &[3.0, 1.0, 2.0, 0.0], second: &[7.0; 4], labels: &[1.0, 1.0, 0.0, 0.0] };
    let found = delong(pair).expect("two of either");
    assert!((found.difference - 0.25).abs() < 1e-12);
    assert!((found.high - found.difference - QUANTILE * 0.125f64.sqrt()).abs() < 1e-12);
    assert_eq!(delong(AucPair { labels: &[1.0, 0.0, 0.0, 0.0], ..pair }), None);
    assert_eq!(delong(AucPair { second: &[1.0], ..pair }), None);
    let none = auc_difference(pair, &[0, 1, 2, 9], 4, Resampling::default());
    assert_eq!(none, None, "a shopper that is not there");
}

#[test]
fn rows_know_their_shoppers() {
    let mut rows = Observations::empty(1);
    for key in [1, 1, 4, 9, 9, 9] {
        rows.push(ShopperKey([key; 16]), &[0.0], 1.0);
    }
    assert_eq!(shopper_of_rows(&rows), [0, 0, 1, 2, 2, 2]);
}

proptest! {
    /// Drawn once each, the difference is that of the plain AUCs; DeLong's too.
    #[test]
    fn differences_are_those_of_the_figures(rows in prop::collection::vec((-3i8..3, -3i8..3, any::<bool>()), 4..40)) {
        let first: Vec<f32> = rows.iter().map(|row| f32::from(row.0)).collect();
        let second: Vec<f32> = rows.iter().map(|row| f32::from(row.1)).collect();
        let labels: Vec<f32> = rows.iter().map(|row| f32::from(u8::from(row.2))).collect();
        let pair = AucPair { first: &first, second: &second, labels: &labels };
        let apart = evaluate::auc(&first, &labels).zip(evaluate::auc(&second, &labels)).map(|(a, b)| a - b);
        if let Some(found) = delong(pair) {
            prop_assert!((found.difference - apart.unwrap()).abs() < 1e-12);
        }
        let shoppers: Vec<u32> = (0..rows.len() as u32).collect();
        let resampling = Resampling { resamples: 100, seed: 1 };
        if let Some(found) = auc_difference(pair, &shoppers, rows.len(), resampling) {
            prop_assert!((found.difference - apart.unwrap()).abs() < 1e-12);
        }
    }
}
