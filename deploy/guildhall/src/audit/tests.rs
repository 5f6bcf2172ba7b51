//! The auditor audited: a sound program passes, every mutant is found out.
//!
//! False alarms: at most four statistical checks an audit, each one in a million.

use std::sync::Arc;

use guildhall_client::driver::contribution::Contributor;
use guildhall_privacy::audit::{AuditResult, Verdict};
use guildhall_privacy::noise::NoiseSource;
use guildhall_shared::id::{MerchantIndex, RoundId};
use guildhall_shared::job::{AdaptiveClip, Aggregation, JobSpec};

use super::canaries::{CanaryAudit, staging_job};
use super::mechanism::MechanismAudit;
use super::mutants::{Mutant, Mutated};
use super::program::{Genuine, Program};
use super::scripted::Scripted;
use super::shop::{self, Shop};
use super::stage::{Members, Stage};
use crate::error::CommandError;

/// The client's own contributor, and noise that repeats itself from test to test.
struct Repeatable(u64);

impl Program for Repeatable {
    fn contributor(&self, shop: &Shop, job: &Arc<JobSpec>) -> Result<Arc<dyn Contributor>, CommandError> {
        Genuine::new(shop.config()).contributor(shop, job)
    }

    fn open_noise(&self, merchant: MerchantIndex, round: RoundId) -> Box<dyn NoiseSource> {
        let seed = [self.0, u64::from(merchant.0), u64::from(round.round), u64::from(round.attempt)];
        Box::new(Scripted::new(&seed))
    }
}

/// `ordinary` runs, or `full` where GUILDHALL_FULL_COUNTS=1.
fn count(ordinary: u64, full: u64) -> u64 {
    if std::env::var_os("GUILDHALL_FULL_COUNTS").is_some_and(|value| value == "1") { full } else { ordinary }
}

fn tier_a(program: &dyn Program) -> AuditResult {
    MechanismAudit { runs: 1_000, merchants: 5 }.run(program).expect("runs")
}

fn tier_b(program: &dyn Program, job: &Arc<JobSpec>, seed: u64) -> AuditResult {
    let coins = |count: usize| {
        let mut coins = Scripted::new(&[seed, 77]);
        Ok((0..count).map(|_| coins.word() >> 63 == 1).collect())
    };
    CanaryAudit { job: Arc::clone(job), merchants: 5, draw_coins: &coins }.run(program).expect("runs")
}

/// How many of `runs` audits of a mutant say BROKEN; at least 99 of 100 must.
fn assert_found(mutant: Mutant, runs: u64, audit: impl Fn(&dyn Program, u64) -> AuditResult) {
    let mut missed = vec![];
    for seed in 0..runs {
        let result = audit(&Mutated { sound: &Repeatable(seed), mutant }, seed);
        if result.verdict != Verdict::Broken {
            missed.push(result);
        }
    }
    println!("{mutant:?}: BROKEN in {} of {runs}", runs - missed.len() as u64);
    assert!(
        missed.len() as u64 * 100 <= runs,
        "{mutant:?} was missed in {} of {runs}: {missed:#?}",
        missed.len()
    );
}

#[test]
fn a_sound_program_passes_the_audit_of_its_mechanism() {
    let mut shown = 0.0f64;
    for seed in 0..count(10, 1_000) {
        let result = tier_a(&Repeatable(seed));
        assert_eq!(result.verdict, Verdict::Pass, "seed {seed}: {:#?}", result.checks);
        shown = shown.max(result.lower_bounds.epsilon_gaussian);
        assert!(result.lower_bounds.epsilon_gaussian > 8.0, "the shopper was not there to be found");
    }
    assert!(shown < 13.0, "{shown}");
}

#[test]
fn the_program_as_clients_run_it_passes_with_its_own_noise() {
    let folder = tempfile::tempdir().expect("a folder");
    let genuine = Genuine::new(&shop::config(folder.path(), "none").expect("good"));
    let result = MechanismAudit { runs: 200, merchants: 3 }.run(&genuine).expect("runs");
    assert_eq!(result.verdict, Verdict::Pass, "{:#?}", result.checks);
    let job = Arc::new(staging_job(8.0).expect("good"));
    let result = tier_b(&genuine, &job, 1);
    assert_eq!(result.verdict, Verdict::Pass, "{:#?}", result.checks);
}

#[test]
fn every_mutant_is_broken_by_the_audit_of_its_mechanism() {
    for mutant in Mutant::ALL {
        assert_found(mutant, count(3, 100), |program, _| tier_a(program));
    }
}

/// Which checks find a mutant: none may hide behind another's.
#[test]
fn each_mutant_is_found_where_its_fault_is() {
    for (mutant, expected) in [
        (
            Mutant::NoiseHalved,
            &[
                "worst shopper present or empty",
                "noise on the sum",
                "the merchant's own noise share",
                "noise on the sum of a retry",
            ][..],
        ),
        (Mutant::ClipOff, &["longest change by one shopper", "worst shopper present or empty"]),
        (Mutant::SameSeedTwice, &["the same noise twice"]),
        (
            Mutant::HonestSharesMiscounted,
            &[
                "honest noise shares counted upon",
                "worst shopper present or empty",
                "noise on the sum",
                "noise on the sum of a retry",
            ],
        ),
        (Mutant::NoiseDroppedOnRetry, &["noise on the sum of a retry", "the same noise twice"]),
        (
            Mutant::FittedNormaliser,
            &["longest change by one shopper", "other shoppers moved when one was emptied"],
        ),
    ] {
        let result = tier_a(&Mutated { sound: &Repeatable(1), mutant });
        let found: Vec<&str> = result
            .checks
            .iter()
            .filter(|check| check.verdict == Verdict::Broken)
            .map(|check| check.subject.as_str())
            .collect();
        for subject in expected {
            assert!(found.contains(subject), "{mutant:?}: {subject} is not among {found:?}");
        }
    }
    let leak = tier_a(&Mutated { sound: &Repeatable(1), mutant: Mutant::PersonalStateLeaks });
    let moved =
        leak.checks.iter().find(|check| check.subject.starts_with("other shoppers")).expect("is checked");
    assert!(moved.measured > 0.0 && moved.verdict == Verdict::Broken, "{moved:?}");
}

#[test]
fn too_few_runs_are_inconclusive_unless_something_is_broken() {
    let audit =
        |program: &dyn Program| MechanismAudit { runs: 40, merchants: 5 }.run(program).expect("runs").verdict;
    assert_eq!(audit(&Repeatable(1)), Verdict::Inconclusive);
    assert_eq!(audit(&Mutated { sound: &Repeatable(1), mutant: Mutant::ClipOff }), Verdict::Broken);
}

#[test]
fn a_sound_program_passes_with_canaries_in_masked_and_plain_rounds() {
    let masked = staging_job(4.0).expect("good");
    let mut plain = masked.clone();
    plain.round.aggregation = Aggregation::Plain;
    for job in [masked, plain] {
        let job = Arc::new(job);
        for seed in 0..count(3, 100) {
            let result = tier_b(&Repeatable(seed), &job, seed);
            assert_eq!(result.verdict, Verdict::Pass, "seed {seed}: {:#?}", result.checks);
            let one_run = result.lower_bounds.one_run.expect("guesses were made");
            assert_eq!((one_run.canaries, one_run.guesses), (1_000, 100));
            assert!(one_run.epsilon <= result.claim.epsilon && one_run.ceiling > 3.0, "{one_run:?}");
        }
    }
}

#[test]
fn canaries_find_the_mutants_that_a_whole_job_shows() {
    let job = Arc::new(staging_job(8.0).expect("good"));
    for mutant in
        [Mutant::NoiseHalved, Mutant::ClipOff, Mutant::SameSeedTwice, Mutant::HonestSharesMiscounted]
    {
        assert_found(mutant, count(5, 100), |program, seed| tier_b(program, &job, seed));
    }
    for (mutant, decides) in
        [(Mutant::NoiseHalved, true), (Mutant::ClipOff, true), (Mutant::SameSeedTwice, false)]
    {
        let result = tier_b(&Mutated { sound: &Repeatable(1), mutant }, &job, 1);
        let separation = &result.checks[0];
        assert_eq!(separation.verdict == Verdict::Broken, decides, "{mutant:?}: {separation:?}");
    }
}

#[test]
fn a_job_with_too_few_parameters_is_inconclusive() {
    // 80 parameters for the 10,000 canaries of ε = 1.
    let text = include_str!("../../../samples/jobs/online_shoppers_logistic.toml");
    let text = text
        .replace("rounds = 50", "rounds = 3")
        .replace("average_last_rounds = 25", "average_last_rounds = 0");
    let (job, _) = JobSpec::parse(&text, &guildhall_privacy::accountant::Calibration).expect("a sample");
    let result = tier_b(&Repeatable(1), &Arc::new(job), 1);
    assert_eq!(result.verdict, Verdict::Inconclusive, "{:#?}", result.checks);
}

#[test]
fn the_text_shows_claim_checks_and_what_no_audit_can_show() {
    let result = tier_b(&Repeatable(1), &Arc::new(staging_job(8.0).expect("good")), 1);
    let text = super::text::text(&result);
    for part in
        ["audit tier B: PASS", "canaries that are in stand out", "claimed", "never prove", "for information"]
    {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    println!("{text}");
    let json = serde_json::to_value(&result).expect("JSON");
    assert_eq!((json["verdict"].as_str(), json["tier"].as_str()), (Some("PASS"), Some("b")));
    let text = super::text::text(&tier_a(&Mutated {
        sound: &Repeatable(1),
        mutant: Mutant::HonestSharesMiscounted,
    }));
    println!("{text}");
    assert!(text.contains("BROKEN"));
}

#[test]
fn the_command_line_knows_both_tiers() {
    use clap::Parser as _;
    let parsed = |arguments: &[&str]| {
        crate::cli::Cli::try_parse_from([&["guildhall", "audit"], arguments].concat()).map(|cli| cli.command)
    };
    let Ok(crate::cli::Command::Audit(arguments)) = parsed(&["--json"]) else { panic!("is a command") };
    assert_eq!((arguments.tier, arguments.runs, arguments.merchants), (crate::cli::AuditTier::A, 1_000, 5));
    assert!(parsed(&["--tier", "b", "--epsilon", "2"]).is_ok());
    assert!(parsed(&["--tier", "b", "--epsilon", "2", "--job", "j.toml"]).is_err());
    assert!(parsed(&["--seed", "1"]).is_err(), "noise is never seeded");
}

/// The auditor counts the honest on its own; here the two countings meet.
#[test]
fn the_fewest_honest_are_those_of_the_protocol() {
    let mut job = shop::job().expect("good");
    for colluders_min in [0, 4] {
        job.round.colluders_min = colluders_min;
        for merchants in 3..=128 {
            let Ok(parameters) = guildhall_shared::round_parameters::RoundParameters::derive(&job, merchants)
            else {
                assert!(colluders_min > 0, "{merchants} merchants have rounds");
                continue;
            };
            let members = Members::fewest(&job, merchants);
            assert_eq!(members.honest, parameters.honest_noise_shares, "n = {merchants}");
            let survivors_min = parameters.secagg.map(|secagg| secagg.survivors_min);
            assert_eq!(Some(members.honest + members.colluders), survivors_min, "n = {merchants}");
        }
    }
}

#[test]
fn what_cannot_be_audited_is_refused() {
    let program = Repeatable(1);
    let job = Arc::new(shop::job().expect("good"));
    for merchants in [0, 2, 129] {
        assert!(Stage::new(&program, &job, merchants).is_err(), "{merchants}");
    }
    let mut open = shop::job().expect("good");
    open.privacy = guildhall_shared::job::PrivacySpec::None { unit: guildhall_shared::job::Unit::Shopper };
    let stage = Stage::new(&program, &Arc::new(open), 5).expect("has rounds");
    assert!(stage.claim(1).is_err_and(|error| error.to_string().contains("privacy = \"none\"")));
}

/// The audit's job with a clip that adapts: half of B says whether it was kept, so the worst shopper has √¾ of B for its
/// contribution and needs both to fill B.
fn adaptive_job(norm_l2: f64) -> Arc<JobSpec> {
    let mut job = shop::job().expect("good");
    job.clipping.norm_l2 = norm_l2;
    let indicator = job.clipping.bound / 2;
    job.adaptive_clip =
        Some(AdaptiveClip { indicator, quantile: 0.5, rate: 0.2, norm_min: 1e-3, norm_max: 1e6 });
    job.check().expect("good");
    Arc::new(job)
}

/// The worst shopper's contribution at model 0 is 1,323 long. A clip of 1 says −β about it; one of 1,400, to which it is
/// shortened all the same, says β. Present against empty is the whole of B in both.
#[test]
fn a_sound_program_passes_with_a_clip_that_adapts_at_its_worst() {
    for norm_l2 in [1.0, 1_400.0] {
        let job = adaptive_job(norm_l2);
        for seed in 0..count(2, 200) {
            let audit = MechanismAudit { runs: 1_000, merchants: 5 };
            let result = audit.run_job(&Repeatable(seed), &job).expect("runs");
            assert_eq!(result.verdict, Verdict::Pass, "clip {norm_l2}, seed {seed}: {:#?}", result.checks);
            assert!(result.lower_bounds.epsilon_gaussian > 8.0, "the shopper was not there to be found");
            let filled = result.checks.iter().find(|check| check.subject.contains("fills the clip"));
            assert_eq!(filled.map(|check| check.verdict), Some(Verdict::Pass));
        }
    }
}

#[test]
fn mutants_are_broken_with_a_clip_that_adapts_too() {
    let job = adaptive_job(1.0);
    for (mutant, expected) in [
        (Mutant::ClipOff, "longest change by one shopper"),
        (Mutant::FittedNormaliser, "other shoppers moved when one was emptied"),
        (Mutant::NoiseHalved, "noise on the sum"),
    ] {
        let program = Mutated { sound: &Repeatable(1), mutant };
        let result = MechanismAudit { runs: 1_000, merchants: 5 }.run_job(&program, &job).expect("runs");
        let found = result.checks.iter().find(|check| check.subject == expected).expect("is checked");
        assert_eq!((result.verdict, found.verdict), (Verdict::Broken, Verdict::Broken), "{mutant:?}");
    }
}

#[test]
fn a_sound_program_passes_with_canaries_and_a_clip_that_adapts() {
    let mut job = staging_job(8.0).expect("good");
    let indicator = job.clipping.bound / 10;
    job.adaptive_clip =
        Some(AdaptiveClip { indicator, quantile: 0.5, rate: 0.2, norm_min: 1e-3, norm_max: 1e3 });
    let job = Arc::new(job);
    for seed in 0..count(2, 100) {
        let result = tier_b(&Repeatable(seed), &job, seed);
        assert_eq!(result.verdict, Verdict::Pass, "seed {seed}: {:#?}", result.checks);
    }
}
