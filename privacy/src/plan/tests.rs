use guildhall_shared::job::AdaptiveClip;
use guildhall_shared::ring::RingOverflow;

use super::*;
use crate::accountant::zcdp::charge;
use crate::test_environment::TabularJob;

/// An MLP `inputs`-16-1, in masked rounds.
fn job(inputs: usize, rounds: u32, epsilon: Option<f64>, shoppers: u64) -> JobSpec {
    TabularJob { inputs, rounds, epsilon, shoppers, ..TabularJob::default() }.spec()
}

fn noise(job: &JobSpec, merchants: u32) -> NoisePlan {
    PlanReport::new(job, merchants).expect("plans").noise.expect("has noise")
}

fn plain(job: &JobSpec, merchants: u32) -> ModePlan {
    noise(job, merchants).plain.expect("plain rounds need nobody else")
}

fn masked(job: &JobSpec, merchants: u32) -> (ModePlan, MaskedPlan) {
    let plan = noise(job, merchants).masked.expect("masked rounds for so many merchants");
    let masked = plan.masked.clone().expect("masked");
    (plan, masked)
}

#[test]
fn figures_by_hand() {
    // d = 35·16 + 16 + 16 + 1 = 593; σ/B at ε = 4, T = 100 is 12.7; one merchant.
    let job = job(35, 100, Some(4.0), 10_000);
    let plan = noise(&job, 1);
    assert!((plan.noise_over_bound - 12.68).abs() < 0.03, "{}", plan.noise_over_bound);
    let expected = plan.noise_over_bound * 593f64.sqrt() / 10_000.0;
    let one = plan.plain.expect("plain rounds");
    assert!((one.noise_over_clip / expected - 1.0).abs() < 1e-12);
    assert_eq!(one.shoppers_needed, (5.0 * plan.noise_over_bound * 593f64.sqrt()).ceil() as u64);
    assert_eq!((one.honest_shares, one.noise_over_central), (1, 1.0));
    assert_eq!(plan.masked, None);
    // Nine merchants in plain mode: the sum carries nine full noises.
    let nine = plain(&job, 9);
    assert!((nine.noise_over_clip / (3.0 * expected) - 1.0).abs() < 1e-12);
    assert_eq!(nine.noise_over_central, 3.0);
    // Whoever looks, the own noise carries the whole claim.
    assert!(nine.epsilon <= 4.0 && nine.epsilon > 3.99 && nine.epsilon_local == nine.epsilon, "{nine:?}");
}

/// The published table: n, C, t, m_min, h, √(n/h).
#[test]
fn thresholds_and_noise_of_masked_rounds() {
    let table = [
        (3, 1, 3, 3, 2, 1.22),
        (5, 1, 4, 4, 3, 1.29),
        (9, 2, 6, 8, 6, 1.22),
        (10, 3, 7, 8, 5, 1.41),
        (20, 6, 14, 16, 10, 1.41),
        (100, 33, 67, 80, 47, 1.46),
    ];
    let job = job(35, 60, Some(4.0), 10_000);
    for (n, colluders, threshold, survivors_min, h, over_central) in table {
        let (plan, masked) = masked(&job, n);
        assert_eq!(
            (masked.colluders, masked.threshold, masked.survivors_min, plan.honest_shares),
            (colluders, threshold, survivors_min, h),
            "{n} merchants"
        );
        assert!((plan.noise_over_central - over_central).abs() < 0.005, "{n}: {}", plan.noise_over_central);
        // The noise of the sum over that of plain mode: 1/√h.
        let ratio = plain(&job, n).noise_over_clip / plan.noise_over_clip;
        assert!((ratio - (h as f64).sqrt()).abs() < 1e-4, "{n} merchants: {ratio}");
        // What clients and server will really use.
        let parameters = RoundParameters::derive(&job, n).expect("has rounds");
        assert_eq!(plan.noise_standard_deviation_local, parameters.noise_standard_deviation_local);
        assert_eq!(masked.sparse, None);
    }
    assert_eq!(noise(&job, 2).masked, None);
}

#[test]
fn epsilon_by_who_looks() {
    let job = job(35, 60, Some(4.0), 10_000);
    for n in [3, 9, 20, 100, 200] {
        let (plan, masked) = masked(&job, n);
        assert!(plan.epsilon <= 4.0 && plan.epsilon > 3.99, "{n} merchants: {}", plan.epsilon);
        assert!(masked.epsilon_outsider < masked.epsilon_survivor, "{masked:?}");
        assert!(masked.epsilon_survivor <= plan.epsilon && plan.epsilon < plan.epsilon_local, "{plan:?}");
    }
    // Nine: h = 6 and m_min = 8. In ρ: 0.311 is charged; ·6/8, ·6/7 and ·6 for the others.
    let (plan, masked) = masked(&job, 9);
    for (found, factor) in
        [(masked.epsilon_outsider, 0.75), (masked.epsilon_survivor, 6.0 / 7.0), (plan.epsilon_local, 6.0)]
    {
        let PrivacySpec::Gaussian { noise_standard_deviation, .. } = job.privacy else { panic!("has noise") };
        let rho = charge(1 << 20, 1, noise_standard_deviation).rho_upper_bound() * 60.0;
        let expected = epsilon_upper_bound(rho * factor, 1e-6);
        assert!((found / expected - 1.0).abs() < 1e-5, "{factor}: expected {expected}, found {found}");
    }
}

#[test]
fn more_colluders_cost_more_noise() {
    let nine = TabularJob { colluders_min: 4, ..TabularJob::default() };
    let (plan, masked) = masked(&nine.spec(), 9);
    assert_eq!((masked.colluders, masked.threshold, masked.survivors_min, plan.honest_shares), (4, 7, 8, 4));
    assert!((plan.noise_over_central - 1.5).abs() < 1e-4 && plan.epsilon <= 4.0, "{plan:?}");
    let obstacle = PlanReport::new(&TabularJob { colluders_min: 9, ..nine }.spec(), 9).expect("plain works");
    assert!(obstacle.obstacle.expect("masked does not").contains("9 may collude"));
}

#[test]
fn large_federations_name_their_graph_and_what_it_adds() {
    let job = job(35, 60, Some(4.0), 10_000);
    let (plan, masked) = masked(&job, 200);
    let sparse = masked.sparse.expect("a sparse graph");
    assert_eq!((sparse.holders, sparse.share_threshold), (98, 63));
    assert!(sparse.privacy_failure > 0.0 && sparse.privacy_failure < 2f64.powi(-40), "{sparse:?}");
    assert!(sparse.liveness_failure > 0.0 && sparse.liveness_failure < 2f64.powi(-20), "{sparse:?}");
    assert_eq!(sparse.delta_addition, 60.0 * 2f64.powi(-40));
    // h = 160 − 66 = 94, of which 96 % are counted upon.
    assert_eq!((masked.survivors_min, masked.colluders, plan.honest_shares), (160, 66, 90));
    let words = PlanReport::new(&job, 200).expect("plans").to_string();
    for part in ["98 holders each, 63 of them", "adds 5.5e-11 to delta", "honest shares h 90"] {
        assert!(words.contains(part), "no {part:?} in {words}");
    }
}

#[test]
fn the_plan_marks_the_mode_the_job_runs_in() {
    let words = |aggregation, merchants| {
        let job = TabularJob { aggregation, ..TabularJob::default() }.spec();
        PlanReport::new(&job, merchants).expect("plans").to_string()
    };
    let marked = words(Aggregation::Masked, 9);
    assert!(marked.contains("masked, as this job runs:") && marked.contains("  plain: every"), "{marked}");
    assert!(marked.contains("C 2, threshold t 6, survivors at least 8, honest shares h 6"), "{marked}");
    assert!(marked.contains("epsilon against the server and 2 colluding merchants 4.00"), "{marked}");
    assert!(!marked.contains("NO ROUNDS") && !marked.contains("(large"), "{marked}");
    let marked = words(Aggregation::Plain, 9);
    assert!(
        marked.contains("plain, as this job runs:") && marked.contains("  masked: the noise"),
        "{marked}"
    );
    // From h = 11 on the last figure needs a warning.
    assert!(!words(Aggregation::Masked, 20).contains("(large"));
    assert!(words(Aggregation::Masked, 100).contains("(large"));
}

#[test]
fn a_job_without_rounds_in_its_own_mode_says_why_and_shows_the_other() {
    let two = |aggregation| {
        PlanReport::new(&TabularJob { aggregation, ..TabularJob::default() }.spec(), 2).expect("plans")
    };
    let report = two(Aggregation::Masked);
    let obstacle = report.obstacle.clone().expect("too few for masks");
    assert!(obstacle.contains("at least 3 merchants"), "{obstacle}");
    assert!(report.noise.as_ref().is_some_and(|noise| noise.plain.is_some() && noise.masked.is_none()));
    let words = report.to_string();
    assert!(words.contains(&obstacle) && words.contains("  plain: every"), "{words}");
    assert_eq!(two(Aggregation::Plain).obstacle, None);
    // Nothing can hold this sum in any mode.
    let mut endless = TabularJob::default().spec();
    endless.round.shoppers_per_merchant_max = u64::MAX;
    let refused = PlanReport::new(&endless, 9).expect_err("no rounds");
    assert!(matches!(refused, RoundParametersError::Ring(RingOverflow { .. })), "{refused}");
}

#[test]
fn epsilon_for_a_shopper_known_to_several() {
    let job = job(35, 60, Some(4.0), 10_000);
    let [one, two, five] = plain(&job, 9).epsilon_by_merchants;
    assert!(one.0 == 1 && one.1 <= 4.0 && one.1 > 3.99, "{one:?}");
    assert!(two.1 > 1.4 * 4.0 && two.1 < 8.0 && five.1 < 20.0, "{two:?} {five:?}");
    let masked = masked(&job, 9).0.epsilon_by_merchants;
    assert!((masked[1].1 - 8.8).abs() < 0.05 && (masked[2].1 - 27.0).abs() < 0.6, "{masked:?}");
}

#[test]
fn epsilon_grows_with_the_rounds_up_to_the_budget() {
    let plan = noise(&job(35, 60, Some(4.0), 10_000), 1);
    let rounds: Vec<u32> = plan.by_rounds.iter().map(|row| row.rounds).collect();
    assert_eq!(rounds, [6, 15, 30, 60, 120]);
    assert!(plan.by_rounds.windows(2).all(|pair| pair[0].charged < pair[1].charged));
    let all = &plan.by_rounds[3];
    assert!(all.charged <= 4.0 && all.charged > 3.99, "{all:?}");
    // The documentation's tight figure for a budget of 4.
    assert!((all.tight - 3.74).abs() < 0.01, "{all:?}");
    assert!(plan.by_rounds.iter().all(|row| row.tight < row.charged && row.amplified.is_none()), "{plan:?}");
    assert_eq!(noise(&job(35, 1, Some(4.0), 10_000), 1).by_rounds.len(), 2);
}

#[test]
fn sampling_adds_amplified_figures_with_their_assumption() {
    let mut job = job(35, 60, Some(4.0), 10_000);
    job.round.participation_rate = 0.25;
    let plan = noise(&job, 9);
    for row in &plan.by_rounds {
        let amplified = row.amplified.expect("the job samples");
        assert!(amplified.pld < amplified.rdp && amplified.rdp < row.charged, "{row:?}");
        assert!(amplified.pld < row.tight, "{row:?}");
    }
    // For much noise a sample of q is worth a little more than q in ε.
    let all = &plan.by_rounds[3];
    let pld = all.amplified.expect("the job samples").pld;
    assert!(pld > 0.25 * all.tight * 0.8 && pld < 0.25 * all.tight * 1.5, "{all:?}");
    let words = PlanReport::new(&job, 9).expect("plans").to_string();
    assert!(words.contains("independent secret coin of 0.25") && words.contains("never charged"), "{words}");
    let everybody = PlanReport::new(&TabularJob::default().spec(), 9).expect("plans").to_string();
    assert!(
        !everybody.contains("amplified") && everybody.contains("tight (analytic Gaussian)"),
        "{everybody}"
    );
}

#[test]
fn other_settings_are_compared() {
    let job = job(35, 60, Some(4.0), 10_000);
    let plan = noise(&job, 9);
    let settings = &plan.settings;
    assert_eq!(settings.len(), 9);
    let of = |factor: f64, rounds: u32| {
        *settings.iter().find(|s| s.noise_factor == factor && s.rounds == rounds).expect("in the table")
    };
    let (_, own) = (plan.plain.as_ref(), plan.masked.as_ref().expect("masked"));
    assert_eq!(of(1.0, 60).noise_over_clip, own.noise_over_clip);
    assert!((of(1.0, 60).epsilon - plan.by_rounds[3].charged).abs() < 1e-12);
    // ρ is rounds/noise²: twice the rounds cost what half of twice the variance does.
    assert!((of(2.0, 120).epsilon / of(1.0, 30).epsilon - 1.0).abs() < 1e-4, "{settings:?}");
    assert!(
        of(0.5, 60).epsilon > 2.0 * of(1.0, 60).epsilon && of(0.5, 60).noise_over_clip < own.noise_over_clip
    );
    let words = PlanReport::new(&job, 9).expect("plans").to_string();
    assert!(words.contains("noise of the job times 0.5") && words.contains("other settings"), "{words}");
    assert!(words.lines().count() <= 40, "more than a screen: {words}");
    // No rounds in the job's own mode: nothing to compare.
    assert_eq!(noise(&job, 2).settings, []);
}

#[test]
fn verdicts_say_what_to_change() {
    assert_eq!(plain(&job(35, 60, Some(4.0), 10_000), 1).verdict, Verdict::Works);
    let marginal = plain(&job(35, 60, Some(4.0), 1_800), 9);
    assert!(matches!(marginal.verdict, Verdict::Marginal { .. }), "{}", marginal.verdict);
    let hopeless = plain(&job(35, 60, Some(1.0), 100), 9);
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
    let verdict = |shoppers| plain(&job(35, 60, Some(1.0), shoppers), 9).verdict;
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
        words.contains("masked, as this job runs:")
            && words.contains("marginal:")
            && words.contains("593 parameters"),
        "{words}"
    );
}

fn adaptive(job: &JobSpec, indicator: u64) -> JobSpec {
    let rule = AdaptiveClip { indicator, quantile: 0.5, rate: 0.2, norm_min: 0.01, norm_max: 100.0 };
    JobSpec { adaptive_clip: Some(rule), ..job.clone() }
}

/// By hand: β = B/10 costs 1 − √0.99; the share has the noise σ·√(n/h)/(2βW), in either mode.
#[test]
fn a_clip_that_adapts_is_planned_with_what_it_costs_and_sees() {
    let constant = job(35, 100, Some(4.0), 10_000);
    let bound = constant.clipping.bound;
    let adapting = adaptive(&constant, bound / 10);
    for aggregation in [Aggregation::Masked, Aggregation::Plain] {
        let mut adapting = adapting.clone();
        adapting.round.aggregation = aggregation;
        let report = PlanReport::new(&adapting, 9).expect("plans");
        let plan = report.adaptive_clip.expect("adapts");
        assert!((plan.length_lost - (1.0 - 0.99f64.sqrt())).abs() < 1e-6, "{plan:?}");
        let PrivacySpec::Gaussian { noise_standard_deviation: sigma, .. } = constant.privacy else {
            panic!("has noise")
        };
        let shares = if aggregation == Aggregation::Masked { 9.0 / 6.0 } else { 9.0f64 };
        let expected = sigma as f64 * shares.sqrt() / (2.0 * (bound / 10) as f64 * 10_000.0);
        assert!((plan.share_standard_deviation / expected - 1.0).abs() < 1e-4, "{plan:?}");
        assert!(!plan.is_mostly_noise());
        let words = report.to_string();
        assert!(words.contains("the clip adapts: it starts at 0.6 and follows the 0.5 quantile"), "{words}");
        assert!(
            words.contains("length that it costs         0.50 %") && !words.contains("WARNING"),
            "{words}"
        );
    }
    // The charge is the constant clip's; only the signal is a little shorter.
    let (before, after) = (masked(&constant, 9).0, masked(&adapting, 9).0);
    assert_eq!((before.epsilon, before.epsilon_local), (after.epsilon, after.epsilon_local));
    let longer = before.noise_over_clip / after.noise_over_clip;
    assert!((longer - 0.99f64.sqrt()).abs() < 1e-5, "{longer}");
}

#[test]
fn a_clip_that_would_follow_noise_is_warned_about() {
    let few = adaptive(&job(35, 100, Some(1.0), 500), (1 << 20) / 10);
    let report = PlanReport::new(&few, 9).expect("plans");
    let plan = report.adaptive_clip.expect("adapts");
    assert!(plan.share_standard_deviation > SHARE_NOISE_MAX, "{plan:?}");
    assert!(report.to_string().contains("WARNING: that is mostly noise"), "{report}");
    // Without noise the share is what it is.
    let report = PlanReport::new(&adaptive(&job(35, 100, None, 10), 1), 9).expect("plans");
    assert_eq!(report.adaptive_clip.map(|plan| plan.share_standard_deviation), Some(0.0));
    assert!(report.to_string().contains("the clip adapts") && !report.to_string().contains("WARNING"));
    // A constant clip is planned as before.
    let report = PlanReport::new(&job(35, 60, Some(4.0), 10_000), 9).expect("plans");
    assert_eq!(report.adaptive_clip, None);
    assert!(!report.to_string().contains("adapts"));
}

/// The number of all shoppers is read where its error is at most a fifth: by hand for 2 groups of rankings, d = 6, with a norm of √3
/// of which each of the 6 words has the noise.
#[test]
fn metrics_work_where_their_figures_are_read() {
    let text = |shoppers: u64| {
        format!(
            "name = \"how-good\"\npurpose = \"How good?\"\nseed = 1\nrounds = 1\nunit = \"shopper\"\n[task]\nkind = \"next_item\"\n\
             history_max = 5\ncatalogue = [\"a\", \"b\"]\n[model]\nkind = \"metrics\"\nof_job = \"{zero}\"\nof_model = \"{zero}\"\n\
             groups = [0, 5]\n[privacy]\nepsilon = 1.0\ndelta = 1e-6\n[round]\nquorum = 2\nupdate_deadline_ms = 30000\n\
             expected_shoppers = {shoppers}\nshoppers_per_merchant_max = 1000\n",
            zero = "0".repeat(64)
        )
    };
    let job = |shoppers| JobSpec::parse(&text(shoppers), &crate::accountant::Calibration).expect("a job").0;
    let (many, _) = masked(&job(1_000), 9);
    let deviation = many.noise_over_central * noise(&job(1_000), 9).noise_over_bound * 3f64.sqrt();
    assert!((many.noise_over_clip / (deviation * 2f64.sqrt() / 1_000.0) - 1.0).abs() < 1e-9);
    assert_eq!(many.verdict, Verdict::Works);
    let (few, _) = masked(&job(many.shoppers_needed - 1), 9);
    let Verdict::Hopeless { advice } = few.verdict else { panic!("no figure is read: {:?}", few.verdict) };
    assert!(
        advice.contains(&format!("at least {} expected contributions", many.shoppers_needed)),
        "{advice}"
    );
    assert_eq!(masked(&job(many.shoppers_needed), 9).0.verdict, Verdict::Works);
}
