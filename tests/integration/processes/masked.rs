//! Masked rounds between real processes, which are killed with SIGKILL at every stage.
//!
//! The jobs here are without noise and without rows, so what everybody adds is zero: the model that a right sum gives is
//! known beforehand, and any mask that was left on, or taken off twice, gives another.

use std::collections::BTreeSet;

use guildhall_privacy::accountant::Calibration;
use guildhall_shared::job::JobSpec;
use guildhall_shared::model_state::ModelState;
use serde_json::Value;

use super::federation::{Federation, Member, PARAMETERS, masked_job};
use super::{PATIENCE, names};

const UNNOISED: &str = "privacy = \"none\"";

/// The hash of each version where every sum is zero.
fn models_of_zero_sums(job: &str) -> Vec<String> {
    let (job, _) = JobSpec::parse(job, &Calibration).expect("a job");
    let mut state = ModelState::initial(&job);
    let mut hashes = vec![state.hash(&job.model()).to_string()];
    for _ in 0..job.rounds {
        state = state.next(&job, &[0; PARAMETERS]).expect("a model");
        hashes.push(state.hash(&job.model()).to_string());
    }
    hashes
}

fn four() -> [Member; 4] {
    ["a", "b", "c", "d"].map(Member::unnoised)
}

fn settles(round: u32) -> impl Fn(&Value) -> bool {
    move |event| event["event"] == "round_settled" && event["round"] == round
}

fn halted(event: &Value) -> bool {
    event["event"] == "halted"
}

fn round_of(event: &Value) -> u32 {
    event["round"].as_u64().and_then(|round| round.try_into().ok()).expect("a round")
}

/// The version that an event names has the model that right sums give.
fn assert_right(models: &[String], event: &Value) {
    let version = event["version"].as_u64().expect("a version") as usize;
    assert_eq!(event["model"], models[version], "the sums are right up to this one: {event}");
}

/// Everybody has finished with the model that right sums give.
fn assert_all_finished(federation: &mut Federation, models: &[String], merchants: &[&str]) {
    let last = models.last().expect("versions");
    let finished = federation.wait(PATIENCE, |e| e["event"] == "job_finished");
    assert_eq!(finished["model"], *last, "the sums are right");
    for merchant in merchants {
        let client = federation.wait_client(merchant, PATIENCE, |e| e["event"] == "finished");
        assert_eq!(client["model"], *last, "{merchant} arrives at the same model");
    }
}

#[test]
fn rounds_are_masked_by_default_and_say_so() {
    let mut federation = Federation::start(&["a", "b", "c"].map(Member::masked));
    federation.begin(&masked_job(3, "privacy = { epsilon = 8.0, delta = 1e-6 }", 20_000, 20_000));
    let settled = federation.wait(PATIENCE, |e| e["event"] == "round_settled");
    assert!(settled["privacy"].as_str().expect("a label").contains("masked"), "{settled}");
    let finished = federation.wait(PATIENCE, |e| e["event"] == "job_finished");
    for merchant in ["a", "b", "c"] {
        let client = federation.wait_client(merchant, PATIENCE, |e| e["event"] == "finished");
        assert_eq!(client["model"], finished["model"]);
        assert!(client["label"].as_str().expect("a label").contains("masked"), "{client}");
        assert!(client["epsilon_spent"].as_f64().expect("a number") <= 8.0, "{client}");
    }
}

#[test]
fn a_client_killed_at_any_stage_is_a_dropout_and_the_sum_is_right() {
    // Before which step the client dies, and whether its vector is in the sum by then.
    let stages = [
        ("advertised", false),
        ("shared", false),
        ("masked", false),
        ("committed", false),
        ("uploaded", false),
        ("certified", true),
        ("unmasked", true),
    ];
    // More rounds than are ever played: the others go on while the dead one comes back.
    let job = masked_job(500, UNNOISED, 2_500, 2_500) + "upload_slot_ms = 200\n";
    let models = models_of_zero_sums(&job);
    let mut federation = Federation::start(&four());
    federation.begin_with(&job, &[("d", stages[0].0.into())]);
    for (place, (stage, contributed)) in stages.iter().enumerate() {
        let event = federation.wait_client("d", PATIENCE, halted);
        assert_eq!(event["stage"], *stage, "{event}");
        federation.kill("d");
        let settled = federation.wait(PATIENCE, settles(round_of(&event)));
        let expected: &[&str] = if *contributed { &["a", "b", "c", "d"] } else { &["a", "b", "c"] };
        assert_eq!(names(&settled["merchants"]), expected, "killed before it {stage}: {settled}");
        assert_eq!(settled["attempt"], 0, "killed before it {stage}: {settled}");
        assert_right(&models, &settled);
        match stages.get(place + 1) {
            Some((next, _)) => federation.start_client_halting("d", next),
            None => federation.start_client("d"),
        }
    }
    let back = |e: &Value| e["event"] == "round_settled" && names(&e["merchants"]).contains(&"d");
    let settled = federation.wait(PATIENCE, back);
    assert_right(&models, &settled);
    let model = federation.wait_client("d", PATIENCE, |e| {
        e["event"] == "new_model" && e["version"].as_u64() >= settled["version"].as_u64()
    });
    assert_right(&models, &model);
}

#[test]
fn a_client_that_comes_back_in_the_same_attempt_masks_nothing_again() {
    let job = masked_job(3, UNNOISED, 10_000, 6_000);
    let models = models_of_zero_sums(&job);
    let mut federation = Federation::start(&four());
    federation.begin_with(&job, &[("d", "uploaded".into())]);
    let round = round_of(&federation.wait_client("d", PATIENCE, halted));
    federation.kill("d");
    federation.start_client("d");
    let settled = federation.wait(PATIENCE, settles(round));
    assert_eq!(names(&settled["merchants"]), ["a", "b", "c"], "its vector is gone for good: {settled}");
    assert_eq!(settled["attempt"], 0, "{settled}");
    let again = |e: &Value| e["event"] == "stage" && e["round"] == round;
    assert!(!federation.has_said("d", again), "it sent nothing of that round");
    assert_all_finished(&mut federation, &models, &["a", "b", "c", "d"]);
}

#[test]
fn one_dropout_too_many_ends_the_attempt_with_nothing_unmasked_and_the_next_is_good() {
    // Before the masked vectors, and after them: too few signatures for a certificate.
    std::thread::scope(|scope| {
        for stage in ["masked", "certified"] {
            scope.spawn(move || lose_two_of_four(stage));
        }
    });
}

fn lose_two_of_four(stage: &str) {
    let job = masked_job(3, UNNOISED, 8_000, 4_000);
    let models = models_of_zero_sums(&job);
    let mut federation = Federation::start(&four());
    let lost = ["c", "d"];
    federation.begin_with(&job, &lost.map(|name| (name, format!("{stage}:1"))));
    for name in lost {
        federation.wait_client(name, PATIENCE, halted);
        federation.kill(name);
    }
    let aborted = federation.wait(PATIENCE, |e| e["event"] == "round_aborted");
    assert_eq!((&aborted["round"], &aborted["attempt"]), (&1.into(), &0.into()), "{aborted}");
    for survivor in ["a", "b"] {
        let unmasked = |e: &Value| e["stage"] == "unmasked" && e["round"] == 1 && e["attempt"] == 0;
        assert!(!federation.has_said(survivor, unmasked), "{survivor} revealed shares of a lost attempt");
    }
    for name in lost {
        federation.start_client(name);
    }
    let settled = federation.wait(PATIENCE, settles(1));
    assert!(settled["attempt"].as_u64() > Some(0), "a new attempt: {settled}");
    assert_right(&models, &settled);
    assert_all_finished(&mut federation, &models, &["a", "b", "c", "d"]);
}

#[test]
fn a_server_killed_at_any_stage_comes_back_and_the_next_attempt_is_good() {
    // Who must fall silent, and before which step, to hold the server in a stage until it is killed.
    let stages = [
        ("advertising", "advertised"),
        ("sharing", "shared"),
        ("collecting", "uploaded"),
        ("certifying", "certified"),
        ("unmasking", "unmasked"),
    ];
    std::thread::scope(|scope| {
        for (stage, halt) in stages {
            scope.spawn(move || lose_the_server(stage, halt));
        }
    });
}

fn lose_the_server(stage: &str, halt: &str) {
    let job = masked_job(3, UNNOISED, 20_000, 20_000);
    let models = models_of_zero_sums(&job);
    let mut federation = Federation::start(&four());
    let silent = ["c", "d"];
    federation.begin_with(&job, &silent.map(|name| (name, format!("{halt}:1"))));
    let reached = |e: &Value| e["event"] == "round_stage" && e["stage"] == stage && e["round"] == 1;
    federation.wait(PATIENCE, reached);
    for name in silent {
        federation.wait_client(name, PATIENCE, halted);
    }
    federation.kill_server();
    silent.iter().for_each(|name| federation.kill(name));
    federation.start_server();
    silent.iter().for_each(|name| federation.start_client(name));
    let settled = federation.wait(PATIENCE, settles(1));
    assert!(settled["attempt"].as_u64() > Some(0), "killed while {stage}: {settled}");
    let survivors: BTreeSet<&str> = names(&settled["merchants"]).into_iter().collect();
    assert!(survivors.len() >= 3, "{settled}");
    assert_right(&models, &settled);
    assert_all_finished(&mut federation, &models, &["a", "b", "c", "d"]);
}

#[test]
fn a_merchant_that_insists_on_masks_only_follows_a_plain_job() {
    let mut federation = Federation::start(&[Member::new("a"), Member::new("b"), Member::masked("careful")]);
    federation.begin(&super::dummy_job(2, 2, "privacy = { epsilon = 8.0, delta = 1e-6 }", 20_000, 0));
    let settled = federation.wait(PATIENCE, |e| e["event"] == "round_settled");
    assert_eq!(names(&settled["merchants"]), ["a", "b"]);
    assert!(settled["privacy"].as_str().expect("a label").contains("plain"), "{settled}");
    let objects = |e: &Value| e["event"] == "job_announced" && e["objection"].is_string();
    let announced = federation.wait_client("careful", PATIENCE, objects);
    assert!(announced["mode"].as_str().expect("a mode").contains("plain"), "{announced}");
    assert!(announced["objection"].as_str().expect("a reason").contains("plain"), "{announced}");
}

#[test]
fn two_merchants_have_no_masked_rounds_and_are_told_what_to_do() {
    let federation = Federation::start(&[Member::new("a"), Member::new("b")]);
    std::fs::write(federation.path("job.toml"), masked_job(1, UNNOISED, 1_000, 1_000)).expect("written");
    assert!(federation.run(&["server", "--dir", "server", "roster", "close"]).status.success());
    let submitted = federation.run(&["server", "--dir", "server", "job", "submit", "job.toml"]);
    assert_eq!(submitted.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&submitted.stderr).into_owned();
    assert!(
        errors.contains("at least 3 merchants") && errors.contains("aggregation = \"plain\""),
        "{errors}"
    );
}
