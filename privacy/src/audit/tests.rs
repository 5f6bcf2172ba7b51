//! False alarms and power of the checks, by integration and by simulation; the record that a ledger keeps.

use super::quantile::{FALSE_ALARM, Z_FALSE_ALARM, ln_gamma, normal_cdf, studentised_upper};
use super::*;
use crate::parameter::Protection;
use crate::test_environment::{TestRandom, sample_count};

/// Standard normal, by Box and Muller.
fn normal(random: &mut TestRandom) -> f64 {
    let unit = |word: u64| ((word >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    let (u, v) = (unit(random.next_u64()), unit(random.next_u64()));
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

fn arm(random: &mut TestRandom, count: usize, mean: f64, spread: f64) -> Vec<f64> {
    (0..count).map(|_| mean + spread * normal(random)).collect()
}

/// P[estimate > limit] by summing over a fine grid of the pooled spread: slow, and written apart from the quantile.
fn exceedance(mu: f64, limit: f64, variance_of_mean: f64, degrees: f64) -> f64 {
    let density = |s: f64| {
        let a = degrees / 2.0;
        (std::f64::consts::LN_2 + a * a.ln() - ln_gamma(a) + (degrees - 1.0) * s.ln() - a * s * s).exp()
    };
    let step = 2e-4;
    let tail = |s: f64| normal_cdf((mu - limit * s) / variance_of_mean.sqrt());
    (1..15_000).map(|i| f64::from(i) * step).map(|s| density(s) * tail(s) * step).sum()
}

#[test]
fn the_limit_of_a_separation_has_its_false_alarm_rate() {
    for runs in [RUNS_MIN, 1_000, 10_000] {
        let r = runs as f64;
        let (variance, degrees) = (2.0 / r, 2.0 * r - 2.0);
        let limit = separation("", &vec![0.0; runs], &vec![0.0; runs], 2.0).limit;
        let rate = exceedance(2.0, limit, variance, degrees);
        assert!((rate - 1e-6).abs() < 1e-9, "{runs} runs: {rate}");
        // It is 4.753 standard errors where the normal approximation is good, and a little more elsewhere.
        let errors = (limit - 2.0) / (variance + 4.0 / (2.0 * degrees)).sqrt();
        assert!((Z_FALSE_ALARM..5.3).contains(&errors), "{runs} runs: {errors} standard errors");
    }
}

#[test]
fn noise_one_and_a_half_times_too_small_is_seen_in_99_of_100() {
    let r = RUNS_MIN as f64;
    let check = separation("", &[0.0; RUNS_MIN], &[0.0; RUNS_MIN], 2.0);
    let power = exceedance(3.0, check.limit, 2.0 / r, 2.0 * r - 2.0);
    assert!(power > 0.99, "tier A: {power}");
    for (epsilon, rho) in [(1.0, 0.024_35), (2.0, 0.088_53), (4.0, 0.311), (8.0, 1.052)] {
        let mu = (2.0f64 * rho).sqrt();
        let power = |m: f64| {
            let limit = studentised_upper(mu, 2.0 / m, m - 1.0, FALSE_ALARM);
            exceedance(1.5 * mu, limit, 2.0 / m, m - 1.0)
        };
        let needed = canaries_needed(epsilon) as f64;
        assert!(power(needed) > 0.99, "tier B at ε = {epsilon}: {}", power(needed));
        assert!(power(needed / 1.7) < 0.99, "at ε = {epsilon} far fewer would do");
    }
}

#[test]
fn separations_of_simulated_arms() {
    let mut random = TestRandom(11);
    for _ in 0..sample_count(200, 20_000) {
        let empty = arm(&mut random, 1_000, 0.0, 1.0);
        let clean = separation("", &arm(&mut random, 1_000, 2.0, 1.0), &empty, 2.0);
        assert_eq!(clean.verdict, Verdict::Pass, "{clean:?}");
        // Noise halved: both arms narrower.
        let halves: Vec<f64> = empty.iter().map(|x| x / 2.0).collect();
        let broken = separation("", &arm(&mut random, 1_000, 2.0, 0.5), &halves, 2.0);
        assert_eq!(broken.verdict, Verdict::Broken, "{broken:?}");
    }
    let few = separation("", &arm(&mut random, 50, 9.0, 1.0), &arm(&mut random, 50, 0.0, 1.0), 2.0);
    assert_eq!(few.verdict, Verdict::Inconclusive);
    // Without any noise two runs suffice.
    assert_eq!(separation("", &[1.0, 1.0], &[0.0, 0.0], 2.0).verdict, Verdict::Broken);
    assert_eq!(separation("", &[], &[], 2.0).verdict, Verdict::Inconclusive);
    assert_eq!(separation("", &[f64::NAN; 300], &[0.0; 300], 2.0).verdict, Verdict::Inconclusive);
}

#[test]
fn a_variance_is_judged_on_both_sides() {
    let verdict = |ratio: f64, samples: u64| noise_variance("", ratio * samples as f64, samples).verdict;
    assert_eq!(verdict(1.0, 500), Verdict::Pass);
    // The quantile of 500 samples is 0.7276 of the variance.
    assert_eq!(verdict(0.7275, 500), Verdict::Broken);
    assert_eq!(verdict(0.7277, 500), Verdict::Pass);
    assert_eq!(verdict(1e-9, 1), Verdict::Inconclusive, "one small sample says little");
    assert_eq!(verdict(1.0, 499), Verdict::Inconclusive);
    assert_eq!(verdict(0.25, 100), Verdict::Broken, "an exact quantile judges few samples too");
    assert_eq!(verdict(2.0, 500), Verdict::Inconclusive, "not the noise that was described");
    assert_eq!(verdict(f64::NAN, 500), Verdict::Inconclusive);
    assert_eq!(verdict(0.0, 0), Verdict::Inconclusive);
}

#[test]
fn exact_checks_have_no_tolerance() {
    let bound = 1u64 << 20;
    let squares = u128::from(bound).pow(2);
    assert_eq!(sensitivity("", squares, bound, 1).verdict, Verdict::Pass);
    assert_eq!(sensitivity("", squares + 1, bound, 1).verdict, Verdict::Broken);
    assert_eq!(sensitivity("", 0, bound, 0).verdict, Verdict::Inconclusive);
    assert_eq!(reach("", 0.991 * bound as f64, bound).verdict, Verdict::Pass);
    assert_eq!(reach("", 0.98 * bound as f64, bound).verdict, Verdict::Inconclusive);
    assert_eq!(reach("", f64::NAN, bound).verdict, Verdict::Inconclusive);
    assert_eq!(never("", 0, 10).verdict, Verdict::Pass);
    assert_eq!(never("", 1, 10).verdict, Verdict::Broken);
    assert_eq!(never("", 0, 0).verdict, Verdict::Inconclusive);
    assert_eq!(honest_shares("", 3, 3).verdict, Verdict::Pass);
    assert_eq!(honest_shares("", 4, 3).verdict, Verdict::Broken);
}

#[derive(Clone, Copy)]
struct Scene {
    canaries: usize,
    rho: f64,
    /// The spread of the noise over the claimed one.
    noise: f64,
    /// A trace that every canary leaves, in or out.
    trace: f64,
}

fn canary_verdicts(random: &mut TestRandom, scene: Scene) -> (Check, Check, LowerBounds) {
    let included: Vec<bool> = (0..scene.canaries).map(|_| random.next_u64() >> 63 == 1).collect();
    let mu = (2.0 * scene.rho).sqrt();
    let scores: Vec<f64> = included
        .iter()
        .map(|is_in| f64::from(u8::from(*is_in)) * mu + scene.trace + scene.noise * normal(random))
        .collect();
    let canaries = Canaries {
        scores: &scores,
        included: &included,
        rho: scene.rho,
        delta: 1e-6,
        needed: scene.canaries,
    };
    (canaries.separation(), canaries.outside(), canaries.lower_bounds())
}

#[test]
fn canaries_of_a_clean_run_pass_and_of_a_noise_too_small_do_not() {
    let mut random = TestRandom(5);
    let clean = Scene { canaries: 1_000, rho: 0.311, noise: 1.0, trace: 0.0 };
    let runs = sample_count(100, 10_000);
    let mut seen = 0;
    for _ in 0..runs {
        let (separation, outside, shown) = canary_verdicts(&mut random, clean);
        assert_eq!((separation.verdict, outside.verdict), (Verdict::Pass, Verdict::Pass), "{separation:?}");
        let one_run = shown.one_run.expect("guesses were made");
        assert!(one_run.epsilon <= one_run.ceiling);
        let (separation, ..) = canary_verdicts(&mut random, Scene { noise: 1.0 / 1.5, ..clean });
        seen += usize::from(separation.verdict == Verdict::Broken);
    }
    // 99.7 % by integration: fewer than 96 of 100 has probability 4e-5.
    assert!(seen * 100 >= runs * 96, "{seen} of {runs}");
    let (_, outside, _) = canary_verdicts(&mut random, Scene { trace: 0.5, ..clean });
    assert_eq!(outside.verdict, Verdict::Broken);
    let few = Scene { canaries: 60, ..clean };
    assert_eq!(canary_verdicts(&mut random, few).0.verdict, Verdict::Inconclusive);
}

#[test]
fn fewer_canaries_than_needed_leave_the_question_open() {
    let scores = vec![0.0; 400];
    let included: Vec<bool> = (0..400).map(|j| j % 2 == 0).collect();
    let verdict = |needed| {
        Canaries { scores: &scores, included: &included, rho: 0.311, delta: 1e-6, needed }
            .separation()
            .verdict
    };
    assert_eq!(verdict(400), Verdict::Pass);
    assert_eq!(verdict(canaries_needed(4.0)), Verdict::Inconclusive);
    let needed: Vec<usize> = [0.0, 1.0, 2.0, 3.9999, 7.9999].map(canaries_needed).to_vec();
    assert_eq!(needed, [usize::MAX, 10_000, 3_000, 1_000, 400]);
    assert!((39_900..40_000).contains(&canaries_needed(0.5)), "μ halves with ε");
}

#[test]
fn what_is_shown_stays_below_what_is_claimed() {
    let mut random = TestRandom(3);
    let runs = sample_count(200, 2_000);
    let mut above = 0;
    for _ in 0..runs {
        let (present, empty) = (arm(&mut random, 1_000, 2.0, 1.0), arm(&mut random, 1_000, 0.0, 1.0));
        let shown = LowerBounds::of_arms(&present, &empty, 1e-6).epsilon_gaussian;
        above += usize::from(shown > epsilon_of_separation(2.0, 1e-6));
        assert!(shown > 9.0, "{shown}");
    }
    // A 95 % bound fails one time in twenty; 12 % has probability 1e-4 among 200.
    assert!(above * 100 <= 12 * runs, "{above} of {runs}");
}

fn result(verdicts: &[Verdict]) -> AuditResult {
    let protection = Protection::Gaussian {
        bound: 1 << 20,
        noise_standard_deviation_local: 302_698,
        honest_shares: 3,
        delta: 1e-6,
    };
    let claim = Claim::new(&protection, 1, 5, 1, 8).expect("has noise");
    let check = |verdict: &Verdict| Check {
        subject: "noise".into(),
        verdict: *verdict,
        measured: 1.0,
        claimed: 1.0,
        limit: 0.5,
        samples: 1_000,
    };
    let checks = verdicts.iter().map(check).collect();
    let shown = LowerBounds { epsilon_gaussian: 9.5, one_run: None };
    AuditResult::conclude(Tier::A, "0.1.0", claim, checks, shown)
}

#[test]
fn one_broken_check_breaks_all_and_one_open_leaves_all_open() {
    use Verdict::{Broken, Inconclusive, Pass};
    for (checks, expected) in [
        (&[Pass, Pass][..], Pass),
        (&[Pass, Inconclusive], Inconclusive),
        (&[Inconclusive, Broken, Pass], Broken),
        (&[], Inconclusive),
    ] {
        assert_eq!(result(checks).verdict, expected);
    }
}

#[test]
fn a_record_pins_the_whole_result() {
    let passed = result(&[Verdict::Pass]);
    let record = passed.record();
    assert_eq!(record.verdict, Verdict::Pass);
    assert_eq!(
        record.summary,
        "audit tier A: PASS; claimed epsilon 11.689 at delta 1e-6, shown at least 9.500 (1 checks, guildhall 0.1.0)"
    );
    let mut other = passed.clone();
    other.checks[0].measured += 1e-15;
    assert_ne!(record.digest, other.digest());
    assert_eq!(record.digest, result(&[Verdict::Pass]).digest(), "the same result has the same digest");
    assert!(result(&[Verdict::Broken]).record().summary.contains("; noise BROKEN"));
}

/// The bytes that a ledger's digest stands for, written out: numbers little endian, lengths 8 bytes, enums 4.
#[test]
fn golden_digest() {
    let mut golden = result(&[Verdict::Broken]);
    (golden.claim.rho, golden.claim.epsilon) = (2.0, 11.5);
    let float = |x: f64| x.to_bits().to_le_bytes().to_vec();
    let text = |t: &str| [&(t.len() as u64).to_le_bytes()[..], t.as_bytes()].concat();
    let bytes = [
        1u16.to_le_bytes().to_vec(),
        text("0.1.0"),
        0u32.to_le_bytes().to_vec(),                                // tier A
        1u32.to_le_bytes().to_vec(),                                // BROKEN
        [5u32.to_le_bytes(), 1u32.to_le_bytes()].concat(),          // n, C
        [3u64, 1 << 20, 302_698, 8].map(u64::to_le_bytes).concat(), // h, B, σ_local, d
        1u32.to_le_bytes().to_vec(),                                // releases
        [2.0, 11.5, 1e-6].map(float).concat(),                      // ρ, ε, δ
        1u64.to_le_bytes().to_vec(),                                // one check
        text("noise"),
        1u32.to_le_bytes().to_vec(),
        [1.0, 1.0, 0.5].map(float).concat(),
        1_000u64.to_le_bytes().to_vec(),
        float(9.5),
        vec![0], // no bound from one run
    ]
    .concat();
    let expected = guildhall_shared::digest::Digest::of("guildhall audit v1", &[&bytes]);
    assert_eq!(golden.digest(), expected);
}

#[test]
fn the_claim_is_that_of_the_accountant() {
    let claim = result(&[]).claim;
    assert!((claim.rho - 2.0).abs() < 1e-5 && claim.rho <= 2.0, "{}", claim.rho);
    assert!((claim.epsilon - 11.689).abs() < 1e-3);
    assert!((claim.noise_standard_deviation() / f64::from(1 << 19) - 1.0).abs() < 1e-5);
    assert_eq!(Claim::new(&Protection::None, 1, 5, 1, 8), None);
}
