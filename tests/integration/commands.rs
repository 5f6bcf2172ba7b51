//! The command line as a person or a script uses it: help, JSON objects, exit codes, every sample file.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn guildhall(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_guildhall"))
        .args(arguments)
        .current_dir(repository())
        .output()
        .expect("the program runs")
}

fn json(arguments: &[&str]) -> Value {
    let output = guildhall(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "guildhall {arguments:?}: {errors}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let last = text.lines().last().unwrap_or_else(|| panic!("guildhall {arguments:?} printed nothing"));
    serde_json::from_str(last).expect("one JSON object at the end of standard output")
}

fn assert_keys(object: &Value, keys: &[&str]) {
    for key in keys {
        assert!(object.get(key).is_some(), "{key} in {object}");
    }
}

/// The test data's folder, or a visible line that the test was skipped.
fn test_data(folder: &str) -> Option<String> {
    use std::io::Write as _;
    let data = std::env::var("GUILDHALL_TEST_DATA")
        .map_or_else(|_| repository().join("../shared/data"), PathBuf::from);
    let path = data.join(folder);
    if path.is_dir() {
        return Some(path.display().to_string());
    }
    let _ = writeln!(std::io::stderr(), "SKIPPED: {} is not here; set GUILDHALL_TEST_DATA", path.display());
    None
}

#[test]
fn help_names_every_command_and_wrong_usage_exits_2() {
    let help = guildhall(&["--help"]);
    let text = String::from_utf8_lossy(&help.stdout);
    for command in
        ["demo", "server", "client", "join", "serve", "simulate", "plan", "privacy", "data", "bench"]
    {
        assert!(text.contains(command), "{command} in {text}");
    }
    assert_eq!(guildhall(&["privacy", "epsilon"]).status.code(), Some(2));
    assert_eq!(guildhall(&["nonsense"]).status.code(), Some(2));
}

#[test]
fn privacy_epsilon_prints_one_object() {
    let found = json(&["privacy", "epsilon", "--rho", "0.1", "--delta", "1e-6", "--json"]);
    assert!((found["epsilon"].as_f64().expect("a number") - 2.142).abs() < 5e-4, "{found}");
    let found = json(&[
        "privacy",
        "epsilon",
        "--noise-multiplier",
        "10",
        "--rounds",
        "400",
        "--delta",
        "1e-6",
        "--json",
    ]);
    assert!((found["epsilon"].as_f64().expect("a number") - 11.689).abs() < 5e-4, "{found}");
    assert_eq!(guildhall(&["privacy", "epsilon", "--rho", "-1", "--delta", "1e-6"]).status.code(), Some(2));
    assert_eq!(guildhall(&["privacy", "epsilon", "--rho=-1", "--delta", "1e-6"]).status.code(), Some(1));
}

#[test]
fn an_error_names_the_file_and_exits_1() {
    let output = guildhall(&["plan", "--job", "no-such-file.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no-such-file.toml"));
}

#[test]
fn every_sample_job_can_be_planned() {
    let folder = repository().join("deploy/samples/jobs");
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).expect("sample jobs").flatten() {
        let path = entry.path().display().to_string();
        let report = json(&["plan", "--job", &path, "--merchants", "9", "--json"]);
        assert_keys(&report, &["label", "merchants", "parameters", "rounds"]);
        seen += 1;
    }
    assert!(seen >= 4, "{seen} sample jobs");
}

const SIMULATED: [&str; 5] = ["auc", "epsilon", "delta", "rounds", "parameters"];
const AUC: [&str; 5] = ["local_only", "federated_plain", "federated_private", "blend", "pooled"];

#[test]
fn the_online_shoppers_samples_run_on_the_test_data() {
    let Some(data) = test_data("online_shoppers") else { return };
    for job in ["online_shoppers_logistic.toml", "online_shoppers_mlp.toml"] {
        let job = format!("deploy/samples/jobs/{job}");
        let found = json(&[
            "simulate",
            "--job",
            &job,
            "--data",
            &data,
            "--mode",
            "masked",
            "--rounds",
            "4",
            "--epsilon",
            "3",
            "--json",
        ]);
        assert_keys(&found, &SIMULATED);
        assert_keys(&found["auc"], &AUC);
        assert_keys(&found["auc"]["pooled"], &["macro", "micro", "per_merchant"]);
        assert_eq!(found["epsilon"], 3.0);
        assert_eq!(found["auc"]["local_only"]["per_merchant"].as_object().expect("regions").len(), 9);
        // Local and pooled baselines need no rounds: far better than chance, or the features are broken.
        assert!(found["auc"]["pooled"]["micro"].as_f64().expect("a number") > 0.9, "{found}");
    }
    let job = "deploy/samples/jobs/online_shoppers_logistic.toml";
    let none =
        json(&["simulate", "--job", job, "--data", &data, "--mode", "none", "--rounds", "2", "--json"]);
    assert!(none["epsilon"].is_null() && none["privacy"].as_str().expect("a label").contains("NO PRIVACY"));
}

#[test]
fn the_demo_runs_from_the_embedded_data_and_prints_its_object() {
    let found = json(&["demo", "--rounds", "3", "--merchants", "4", "--draws", "1", "--json"]);
    assert_keys(
        &found,
        &[
            "merchants",
            "shoppers",
            "parameters",
            "rounds",
            "epsilon",
            "delta",
            "unit",
            "auc",
            "newcomer",
            "round_seconds",
            "wall_seconds",
            "model_hash",
            "data",
        ],
    );
    assert_keys(&found["auc"], &AUC);
    assert_keys(&found["newcomer"], &["local", "federated_private"]);
    assert_keys(&found["round_seconds"], &["median", "max"]);
    assert_keys(&found["data"], &["source", "sha256"]);
    assert_eq!((found["merchants"].as_u64(), found["rounds"].as_u64()), (Some(4), Some(3)));
    assert!(found["epsilon"].as_f64().expect("a number") <= 4.0);
    assert!(found["delta"].as_f64().expect("a number") <= 1e-6);
}

#[test]
fn bench_round_prints_its_object_and_survives_a_kill() {
    let found = json(&[
        "bench",
        "round",
        "--merchants",
        "3",
        "--parameters",
        "2000",
        "--rounds",
        "3",
        "--plain",
        "--kill",
        "1",
        "--deadline-ms",
        "2000",
        "--json",
    ]);
    assert_keys(
        &found,
        &["round_seconds", "bytes_up", "bytes_down", "server", "client", "killed_round_seconds"],
    );
    assert!(found["bytes_up"].as_u64().expect("a number") >= 2 * 2000 * 4, "{found}");
}

#[test]
fn data_check_explains_a_file_with_faults() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("visits.csv");
    std::fs::write(&file, "price,month,bought\n1.5,Feb,1\n,Mar,0\n1.5,Feb,1\nx,May,2\n7\n").expect("written");
    let path = file.display().to_string();
    let text = guildhall(&["data", "check", &path]);
    assert_eq!(text.status.code(), Some(0), "{}", String::from_utf8_lossy(&text.stderr));
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("price") && text.contains("month"), "{text}");
    json(&["data", "check", &path, "--json"]);
    assert_eq!(guildhall(&["data", "check", "missing.csv"]).status.code(), Some(1));
}
