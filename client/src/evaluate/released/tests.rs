use guildhall_privacy::clip::{ClipOutcome, ShopperSum, SparseBlock};
use guildhall_privacy::ledger::{Attempt, BudgetLimit, Ledger, Reservation};
use guildhall_privacy::update::{DangerousPolicy, UnprotectedPermit};
use guildhall_shared::digest::Digest;
use guildhall_shared::id::RoundId;
use guildhall_shared::job::{JobSpec, NoiseCalibration};
use guildhall_shared::ring::RingVector;
use guildhall_shared::round_parameters::RoundParameters;

use super::*;
use crate::draws::Draws;
use crate::evaluate;
use crate::evaluate::activity::ActivityGroups;
use crate::evaluate::ranking::RankingFigures;

const BOUND: u64 = 1 << 20;

fn uniform(draws: &mut Draws) -> f64 {
    (draws.word() >> 11) as f64 / (1u64 << 53) as f64
}

/// About normal: the sum of twelve uniform numbers less six has mean 0 and variance 1.
fn normal(draws: &mut Draws) -> f64 {
    (0..12).map(|_| uniform(draws)).sum::<f64>() - 6.0
}

struct Quiet;

impl NoiseCalibration for Quiet {
    fn noise_standard_deviation(&self, _: f64, _: f64, _: u32, _: u64) -> Result<u64, String> {
        Ok(1 << 10)
    }
}

/// The integers of a sum without noise. Only the ledger frees them.
fn integers(sum: ShopperSum, parameters: usize) -> Vec<i64> {
    let text = format!(
        "name = \"figures\"\npurpose = \"How good is it?\"\nseed = 1\nrounds = 1\nunit = \"shopper\"\nprivacy = \"none\"\n\
         [task]\nkind = \"dummy\"\nparameters = {parameters}\n[optimizer]\nkind = \"sgd\"\nlearning_rate = 0.1\nmomentum = 0.0\n\
         [clipping]\nnorm_l2 = 1.0\n[round]\naggregation = \"plain\"\nquorum = 1\nupdate_deadline_ms = 30000\n\
         expected_shoppers = 40\nshoppers_per_merchant_max = 1000\n"
    );
    let (job, _) = JobSpec::parse(&text, &Quiet).expect("a job");
    let permit =
        UnprotectedPermit::from_policy(DangerousPolicy { allow_privacy_none: true }).expect("allowed");
    let round = RoundParameters::derive(&job, 1).expect("has rounds");
    let sealed = sum.finish().0.leave_unprotected(&permit).seal(round.ring);
    let mut ledger = Ledger::simulated(BudgetLimit { epsilon: 1.0, delta: 1e-6 }).expect("a ledger");
    let [sid, roster, model] = [Digest([0; 32]); 3];
    let attempt = Attempt { job: job.digest(), sid, round: RoundId { round: 0, attempt: 0 }, roster, model };
    let reserved = ledger.reserve(Reservation::new(&job, attempt, &round)).expect("no charge");
    let mut ring = RingVector::zero(round.ring, parameters);
    ring.add_bytes(ledger.commit(reserved, sealed).expect("a commit").bytes()).expect("as long");
    ring.centred()
}

fn squares(integers: &[i64]) -> i128 {
    integers.iter().map(|word| i128::from(*word).pow(2)).sum()
}

/// 300 shoppers with 0 to 24 train items and places from 0 to 19.
fn shoppers() -> Vec<(usize, RankingFigures)> {
    let one = |u: usize| (u % 25, RankingFigures::of_rank(Some((u * u % 20) as u32), 10));
    (0..300).map(one).collect()
}

fn ranking() -> RankingLayout {
    RankingLayout { groups: ActivityGroups::default() }
}

fn ranking_sum(
    layout: &RankingLayout,
    shoppers: &[(usize, RankingFigures)],
) -> (ClippingParameters, Vec<i64>) {
    let clipping = ClippingParameters::new(&layout.clipping(BOUND), layout.parameters()).expect("legal");
    let mut sum = ShopperSum::new(&clipping);
    for (items, figures) in shoppers {
        let (words, values) = layout.contribution(*items, *figures);
        let blocks = words
            .iter()
            .zip(&values)
            .map(|(word, value)| SparseBlock { start: *word as usize, values: std::slice::from_ref(value) });
        assert_eq!(sum.add_sparse(blocks), ClipOutcome::Added);
    }
    (clipping, integers(sum, layout.parameters()))
}

#[test]
fn without_noise_the_figures_are_the_merchant_s_own() {
    let (layout, all) = (ranking(), shoppers());
    let (clipping, words) = ranking_sum(&layout, &all);
    let (groups, total) = layout.read(&NoisedSum::new(&words, &clipping, 0.0)).expect("as long");
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let hits: Vec<f64> = all.iter().map(|(_, figures)| figures.hr_at_k).collect();
    assert!((total.shoppers.value - 300.0).abs() < 1e-3);
    assert!((total.hr_at_k.expect("shoppers").value - mean(&hits)).abs() < 1e-5);
    let counts: Vec<usize> = all.iter().map(|(items, _)| *items).collect();
    let split = layout.groups.split(&counts);
    for (group, places) in groups.iter().zip(&split) {
        let gains: Vec<f64> = places.iter().map(|place| all[*place].1.ndcg_at_k).collect();
        assert!((group.shoppers.value - places.len() as f64).abs() < 1e-3);
        assert!((group.ndcg_at_k.expect("shoppers").value - mean(&gains)).abs() < 1e-5);
        assert_eq!(group.shoppers.standard_error, 0.0);
    }
    assert_eq!(layout.read(&NoisedSum::new(&words[1..], &clipping, 0.0)), None);
}

#[test]
fn one_shopper_moves_the_sum_by_its_own_integers_and_by_no_more_than_b() {
    let (layout, all) = (ranking(), shoppers());
    let (_, whole) = ranking_sum(&layout, &all[..40]);
    for left_out in 0..40 {
        let others: Vec<_> = (0..40).filter(|u| *u != left_out).map(|u| all[u]).collect();
        let (_, others) = ranking_sum(&layout, &others);
        let (_, alone) = ranking_sum(&layout, &all[left_out..=left_out]);
        let moved: Vec<i64> = whole.iter().zip(&others).map(|(a, b)| a - b).collect();
        assert_eq!(moved, alone);
        assert!(squares(&moved) <= i128::from(BOUND).pow(2));
    }
    // The longest contribution fills the clip but for rounding, and one that lies is cut to it.
    let best = RankingFigures { hr_at_k: 1.0, ndcg_at_k: 1.0, mrr: 1.0 };
    let (_, longest) = ranking_sum(&layout, &[(3, best)]);
    assert!(squares(&longest) > i128::from(BOUND - 20).pow(2));
    let (_, lie) = ranking_sum(&layout, &[(3, RankingFigures { hr_at_k: 1e9, ..best })]);
    assert!(squares(&lie) <= i128::from(BOUND).pow(2));
}

/// 2,000 noised sums with a deviation of four shoppers. The mean of an estimate is within six of its standard errors of the truth plus the bias
/// of a ratio, var(n)/n² of it; the error bars of 95 % cover 1,900 ± 9.7 times, 1,840 to 1,950 is five deviations and more.
/// False alarm below 1e-6 for fresh seeds. The largest group is compared: in others fewer shoppers make ratios less normal.
#[test]
fn error_bars_of_rankings_cover() {
    let (layout, all) = (ranking(), shoppers());
    let (clipping, words) = ranking_sum(&layout, &all);
    let exact = layout.read(&NoisedSum::new(&words, &clipping, 0.0)).expect("as long").1;
    let truth = [exact.hr_at_k, exact.ndcg_at_k].map(|figure| figure.expect("shoppers").value);
    let sigma = 4.0 / clipping.grid();
    let mut draws = Draws::new(8);
    let (mut covered, mut sums, mut errors) = ([0; 2], [0.0; 2], [0.0; 2]);
    for _ in 0..2_000 {
        let noised: Vec<i64> = words.iter().map(|word| word + (sigma * normal(&mut draws)) as i64).collect();
        let found = layout.read(&NoisedSum::new(&noised, &clipping, sigma)).expect("as long").1;
        for (place, figure) in [found.hr_at_k, found.ndcg_at_k].into_iter().enumerate() {
            let Estimate { value, standard_error } = figure.expect("300 shoppers are above the noise");
            covered[place] += u32::from((value - truth[place]).abs() < 1.96 * standard_error);
            sums[place] += value;
            errors[place] += standard_error;
        }
        assert!((found.shoppers.standard_error - 4.0 * 6f64.sqrt()).abs() < 1e-9);
    }
    for place in 0..2 {
        assert!((1_840..=1_950).contains(&covered[place]), "{covered:?}");
        let (mean, error) = (sums[place] / 2_000.0, errors[place] / 2_000.0);
        let bias = truth[place] * (4.0 * 6f64.sqrt() / 300.0).powi(2);
        assert!((mean - truth[place]).abs() < 6.0 * error / 2_000f64.sqrt() + bias, "{mean} {truth:?}");
    }
}

#[test]
fn a_group_that_drowns_gives_no_figure() {
    let (layout, all) = (ranking(), shoppers());
    let (clipping, words) = ranking_sum(&layout, &all);
    let sigma = 30.0 / clipping.grid();
    let (groups, total) = layout.read(&NoisedSum::new(&words, &clipping, sigma)).expect("as long");
    assert!(groups.iter().all(|group| group.hr_at_k.is_none()), "no group has 150 shoppers");
    assert_eq!(total.hr_at_k, None, "300 are less than 5 · 30 · √6");
    assert!((total.shoppers.value - 300.0).abs() < 1e-3);
}

/// Shoppers with one to three rows whose labels follow their logits.
fn predictions(count: usize, seed: u64) -> Vec<(usize, Vec<f32>, Vec<f32>)> {
    let mut draws = Draws::new(seed);
    let one = |u: usize| {
        let logits: Vec<f32> = (0..1 + u % 3).map(|_| 1.5 * normal(&mut draws) as f32).collect();
        let labels = logits
            .iter()
            .map(|logit| f32::from(u8::from(uniform(&mut draws) < evaluate::probability(f64::from(*logit)))));
        let labels = labels.collect();
        (u % 30, logits, labels)
    };
    (0..count).map(one).collect()
}

fn scores_sum(
    layout: &ScoreLayout,
    shoppers: &[(usize, Vec<f32>, Vec<f32>)],
) -> (ClippingParameters, Vec<i64>) {
    let clipping = ClippingParameters::new(&layout.clipping(BOUND), layout.parameters()).expect("legal");
    let mut sum = ShopperSum::new(&clipping);
    for (rows, logits, labels) in shoppers {
        assert_eq!(sum.add(&layout.contribution(*rows, logits, labels)), ClipOutcome::Added);
    }
    (clipping, integers(sum, layout.parameters()))
}

#[test]
fn a_histogram_by_label_gives_auc_and_calibration() {
    let all: Vec<_> =
        predictions(3_000, 1).into_iter().map(|(n, z, y)| (n, z[..1].to_vec(), y[..1].to_vec())).collect();
    let layout = ScoreLayout::new(ActivityGroups::default(), 40);
    let (clipping, words) = scores_sum(&layout, &all);
    let (groups, total) = layout.read(&NoisedSum::new(&words, &clipping, 0.0)).expect("as long");
    let (logits, labels): (Vec<f32>, Vec<f32>) = all.iter().map(|(_, z, y)| (z[0], y[0])).unzip();
    let auc = evaluate::auc(&logits, &labels).expect("both classes");
    assert!((total.auc.expect("both classes").value - auc).abs() < 2e-3, "bins of a fortieth hide little");
    let share = f64::from(labels.iter().sum::<f32>()) / 3_000.0;
    assert!((total.positives.expect("shoppers").value - share).abs() < 1e-5);
    let predicted: f64 = logits.iter().map(|z| evaluate::probability(f64::from(*z))).sum::<f64>() / 3_000.0;
    assert!((total.predicted_less_observed.expect("shoppers").value - (predicted - share)).abs() < 2e-3);
    let table = evaluate::calibration_table(&logits, &labels, 40).expect("rows");
    for (found, expected) in total.bins.iter().zip(&table) {
        assert!((found.weight.value - expected.rows as f64).abs() < 1e-2);
        let apart = found.observed.map(|o| o.value).zip(expected.observed).map(|(a, b)| (a - b).abs());
        assert!(apart.is_none_or(|apart| apart < 1e-3));
    }
    assert_eq!(groups.len(), 6);
    assert!((groups.iter().map(|group| group.shoppers.value).sum::<f64>() - 3_000.0).abs() < 1e-2);
}

#[test]
fn every_shopper_weighs_one_however_many_rows_it_has() {
    let layout = ScoreLayout::new(ActivityGroups::default(), 4);
    for (rows, logits, labels) in predictions(50, 2) {
        let values = layout.contribution(rows, &logits, &labels);
        assert!((values.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        let (_, words) = scores_sum(&layout, &[(rows, logits, labels)]);
        assert!(squares(&words) <= i128::from(BOUND).pow(2));
    }
    // Rows of one bin fill the clip: the group 2 to 4 stands at 2 · 8, its second label at + 4, chance a half in bin 2.
    let values = layout.contribution(3, &[0.0, 0.1], &[0.0, 0.0]);
    assert_eq!(values.iter().position(|value| *value == 1.0), Some(16 + 4 + 2));
    assert!(layout.contribution(3, &[], &[]).is_empty());
    assert!(layout.contribution(3, &[f32::NAN], &[1.0]).is_empty());
}

/// As for rankings: 2,000 noised sums, here with a deviation of three shoppers on each of 2 · 10 bins of one group.
#[test]
fn error_bars_of_scores_cover() {
    let all = predictions(2_000, 3);
    let layout = ScoreLayout::new(ActivityGroups::from_first(&[0]).expect("one group"), 10);
    let (clipping, words) = scores_sum(&layout, &all);
    let exact = layout.read(&NoisedSum::new(&words, &clipping, 0.0)).expect("as long").1;
    let figures = |found: &ReleasedScores| {
        [found.auc, found.positives, found.predicted_less_observed]
            .map(|figure| figure.expect("above the noise"))
    };
    let truth = figures(&exact).map(|figure| figure.value);
    let sigma = 3.0 / clipping.grid();
    let mut draws = Draws::new(4);
    let (mut covered, mut sums, mut errors) = ([0; 3], [0.0; 3], [0.0; 3]);
    for _ in 0..2_000 {
        let noised: Vec<i64> = words.iter().map(|word| word + (sigma * normal(&mut draws)) as i64).collect();
        let found = layout.read(&NoisedSum::new(&noised, &clipping, sigma)).expect("as long").1;
        for (place, Estimate { value, standard_error }) in figures(&found).into_iter().enumerate() {
            covered[place] += u32::from((value - truth[place]).abs() < 1.96 * standard_error);
            sums[place] += value;
            errors[place] += standard_error;
        }
    }
    for place in 0..3 {
        assert!((1_840..=1_950).contains(&covered[place]), "{covered:?}");
        let (mean, error) = (sums[place] / 2_000.0, errors[place] / 2_000.0);
        // Deviation of all 20 bins together over 2,000 shoppers, squared: 5e-5.
        assert!((mean - truth[place]).abs() < 6.0 * error / 2_000f64.sqrt() + 1e-4, "{mean} {truth:?}");
    }
}
