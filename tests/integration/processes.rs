//! Real processes over loopback: what happens when they are killed, run out of budget, or are asked for too much.
//!
//! Every process is a child of the test and is killed by id when the test ends, whichever way it ends.

#[path = "processes/adaptive.rs"]
mod adaptive;
#[path = "processes/crashes.rs"]
mod crashes;
#[path = "processes/federation.rs"]
mod federation;
#[path = "processes/masked.rs"]
mod masked;
#[path = "processes/metrics.rs"]
mod metrics;

use std::time::Duration;

use federation::{Federation, Member, dummy_job};
use serde_json::Value;

/// Patience with one event on a loaded machine; nothing asserts how long anything took.
const PATIENCE: Duration = Duration::from_secs(90);

fn names(value: &Value) -> Vec<&str> {
    value.as_array().map(|list| list.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

#[test]
fn a_client_killed_in_mid_round_is_left_out_and_rejoins() {
    // The slot keeps every round open for half a second, so that the kill falls into the middle of one.
    let mut federation = Federation::start(&[Member::new("a"), Member::new("b"), Member::new("c")]);
    federation.begin(&dummy_job(40, 2, "privacy = { epsilon = 50.0, delta = 1e-6 }", 4_000, 500));
    federation.wait(PATIENCE, |e| e["event"] == "round_settled" && names(&e["merchants"]).len() == 3);
    federation.wait(PATIENCE, |e| e["event"] == "round_started");
    federation.kill("c");
    let settled = federation.wait(PATIENCE, |e| e["event"] == "round_settled");
    assert_eq!(names(&settled["merchants"]), ["a", "b"], "the round ended with the others: {settled}");

    federation.start_client("c");
    let rejoined =
        federation.wait(PATIENCE, |e| e["event"] == "round_settled" && names(&e["merchants"]).contains(&"c"));
    assert!(rejoined["version"].as_u64() > settled["version"].as_u64());
    assert_eq!(names(&rejoined["merchants"]).len(), 3);
}

#[test]
fn a_server_killed_between_rounds_comes_back_with_model_history_and_roster() {
    let mut federation = Federation::start(&[Member::new("a"), Member::new("b")]);
    federation.begin(&dummy_job(6, 2, "privacy = { epsilon = 50.0, delta = 1e-6 }", 20_000, 200));
    let settled = federation.wait(PATIENCE, |e| e["event"] == "round_settled" && e["version"] == 2);
    let before = federation.status();
    federation.kill_server();
    federation.start_server();
    let after = federation.status();
    assert_eq!(before["roster"], after["roster"]);
    assert_eq!(before["federation"], after["federation"]);
    let finished = federation.wait(PATIENCE, |e| e["event"] == "job_finished");
    let versions = federation.admin(&["versions"]);
    let list = versions["versions"].as_array().expect("a list").clone();
    assert_eq!(list.len(), 7, "model 0 and six rounds: {versions}");
    assert_eq!(list[2]["model"], settled["model"], "the history before the kill is the history after it");
    assert_eq!(list[6]["model"], finished["model"]);
    let client = federation.wait_client("a", PATIENCE, |e| e["event"] == "finished");
    assert_eq!(client["model"], finished["model"], "client and server arrive at the same hash");
}

#[test]
fn a_merchant_out_of_budget_declines_and_says_so_and_the_others_go_on() {
    let poor = Member { budget_epsilon: 0.5, ..Member::new("poor") };
    let mut federation = Federation::start(&[Member::new("a"), Member::new("b"), poor]);
    federation.begin(&dummy_job(4, 2, "privacy = { epsilon = 8.0, delta = 1e-6 }", 20_000, 0));
    let declined = federation.wait_client("poor", PATIENCE, |e| e["event"] == "declined");
    let reason = declined["reason"].as_str().expect("a reason");
    assert!(reason.contains("budget"), "{reason}");
    let finished = federation.wait(PATIENCE, |e| e["event"] == "job_finished");
    assert_eq!(finished["version"], 4);
}

#[test]
fn a_job_without_privacy_needs_the_dangerous_permission_and_is_labelled_everywhere() {
    let bold = |name| Member { allow_privacy_none: true, ..Member::new(name) };
    let mut federation = Federation::start(&[bold("a"), bold("b"), Member::new("careful")]);
    federation.begin(&dummy_job(2, 2, "privacy = \"none\"", 20_000, 0));
    let settled = federation.wait(PATIENCE, |e| e["event"] == "round_settled");
    assert_eq!(names(&settled["merchants"]), ["a", "b"]);
    assert!(settled["privacy"].as_str().expect("a label").contains("NO PRIVACY"), "{settled}");
    let refused = federation.wait_client("careful", PATIENCE, |e| {
        e["event"] == "declined" || (e["event"] == "job_announced" && !e["objection"].is_null())
    });
    assert!(refused["label"].as_str().expect("a label").contains("NO PRIVACY"), "{refused}");
    let model = federation.wait_client("a", PATIENCE, |e| e["event"] == "new_model");
    assert!(model["label"].as_str().expect("a label").contains("NO PRIVACY"), "{model}");
}

#[test]
fn an_invitation_works_once_and_a_closed_roster_stays_closed() {
    let mut federation = Federation::start(&[Member::new("a"), Member::new("b")]);
    let used = federation.invitation_of("a");
    let again =
        federation.run(&["join", &used, "--dir", "again", "--budget-epsilon", "1", "--budget-delta", "1e-6"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("error:"));
    federation.begin(&dummy_job(1, 2, "privacy = { epsilon = 8.0, delta = 1e-6 }", 20_000, 0));
    let late = federation.run(&["server", "--dir", "server", "invite", "late"]);
    assert_eq!(late.status.code(), Some(1), "nobody is invited after the roster is closed");
}

#[test]
fn a_roll_back_is_followed_by_every_client() {
    let mut federation = Federation::start(&[Member::new("a"), Member::new("b")]);
    federation.begin(&dummy_job(3, 2, "privacy = { epsilon = 8.0, delta = 1e-6 }", 20_000, 0));
    federation.wait(PATIENCE, |e| e["event"] == "job_finished");
    let versions = federation.admin(&["versions"]);
    let first = versions["versions"][1]["model"].clone();
    federation.admin(&["roll-back", "1"]);
    let model = federation.wait_client("b", PATIENCE, |e| e["event"] == "new_model" && e["version"] == 4);
    assert_eq!(model["model"], first, "version 4 is version 1 again");
}

#[test]
fn joining_takes_the_suggested_data_table_with_its_path_from_where_it_lies() {
    let federation = Federation::start(&[]);
    let folder = federation.path("rows");
    std::fs::create_dir(&folder).expect("a folder");
    let visits = "price,month,bought\n1.5,Feb,true\n2.5,Mar,false\n1.0,Feb,false\n";
    std::fs::write(folder.join("visits.csv"), visits).expect("written");
    let checked = federation.run(&["data", "check", "rows/visits.csv"]);
    let text = String::from_utf8(checked.stdout).expect("UTF-8");
    let start = text.find("[data]").expect("a suggestion");
    let end = text.find("This describes").unwrap_or(text.len());
    std::fs::write(folder.join("data.toml"), &text[start..end]).expect("written");

    let invitation = federation.run(&["server", "--dir", "server", "invite", "shop"]);
    let invitation = String::from_utf8(invitation.stdout).expect("UTF-8");
    let budget = ["--budget-epsilon", "1", "--budget-delta", "1e-6"];
    let join = ["join", invitation.trim(), "--dir", "shop", "--data", "rows/data.toml"];
    let joined = federation.run(&[&join[..], &budget[..]].concat());
    assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
    let again = federation.run(&["data", "check", "rows/visits.csv", "--schema", "shop/client.toml"]);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    let config = std::fs::read_to_string(federation.path("shop/client.toml")).expect("a configuration");
    let table: toml::Table = config.parse().expect("TOML");
    let path = std::path::PathBuf::from(table["data"]["path"].as_str().expect("a path"));
    assert!(path.is_absolute() && path.is_file(), "{}", path.display());
}
