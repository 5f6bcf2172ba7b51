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
    for command in [
        "demo",
        "server",
        "client",
        "join",
        "serve",
        "model",
        "simulate",
        "fine-tune",
        "evaluate",
        "plan",
        "card",
        "privacy",
        "data",
        "bench",
    ] {
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

/// The program starts itself over where candle is not told how many threads to use: with the same arguments, and once.
#[test]
fn threads_are_a_number_and_a_program_that_starts_over_says_the_same() {
    let with = |variables: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guildhall"));
        for name in ["GUILDHALL_THREADS", "RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"] {
            command.env_remove(name);
        }
        let arguments = ["privacy", "epsilon", "--rho", "0.1", "--delta", "1e-6", "--json"];
        let output = command.args(arguments).envs(variables.iter().copied()).output().expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let over = with(&[]);
    assert!(over.0 == Some(0) && over.1.contains("epsilon"), "{over:?}");
    assert_eq!(over, with(&[("GUILDHALL_THREADS", "3")]));
    assert_eq!(over, with(&[("RAYON_NUM_THREADS", "1"), ("CANDLE_NUM_THREADS", "1")]));
    let (code, out, error) = with(&[("GUILDHALL_THREADS", "many")]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(error.contains("GUILDHALL_THREADS: expected a number of threads"), "{error}");
}

#[test]
fn a_sample_job_has_a_card() {
    for name in ["repurchase_stores.toml", "online_shoppers_mlp.toml"] {
        let path = repository().join("deploy/samples/jobs").join(name).display().to_string();
        let card = json(&["card", "--job", &path, "--merchants", "9", "--json"]);
        assert_keys(
            &card,
            &["model", "purpose", "data", "privacy", "figures", "intended_use", "limits", "sources"],
        );
        let output = guildhall(&["card", "--job", &path, "--about-data", "Invented rows."]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.starts_with("# Model card") && text.contains("Invented rows."), "{path}: {text}");
    }
}

#[test]
fn every_sample_job_can_be_planned() {
    let folder = repository().join("deploy/samples/jobs");
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).expect("sample jobs").flatten() {
        let path = entry.path().display().to_string();
        let merchants = if path.contains("stores") { "100" } else { "9" };
        let text = std::fs::read_to_string(&path).expect("a job file");
        let mut arguments = vec!["plan", "--job", &path, "--merchants", merchants, "--json"];
        if text.contains("kind = \"next_item\"") {
            arguments.extend(["--items", "12000"]);
        }
        let report = json(&arguments);
        assert_keys(&report, &["label", "merchants", "parameters", "rounds"]);
        assert_eq!(report["aggregation"], "masked", "{path}: masked rounds are the default");
        assert!(report["obstacle"].is_null(), "{path}: {report}");
        assert!(text.contains("\naggregation = \"masked\"\n"), "{path} says how its updates travel");
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

const DEMO: [&str; 16] = [
    "merchants",
    "shoppers",
    "parameters",
    "rounds",
    "mode",
    "epsilon",
    "delta",
    "unit",
    "protection",
    "auc",
    "newcomer",
    "round_seconds",
    "wall_seconds",
    "model_hash",
    "killed",
    "data",
];

#[test]
fn the_demo_runs_masked_from_the_embedded_data_and_prints_its_object() {
    let found = json(&["demo", "--rounds", "3", "--merchants", "4", "--draws", "1", "--json"]);
    assert_keys(&found, &DEMO);
    assert_keys(&found["auc"], &AUC);
    assert_keys(&found["newcomer"], &["local", "federated_private"]);
    assert_keys(&found["round_seconds"], &["median", "max"]);
    assert_keys(&found["data"], &["source", "sha256"]);
    assert_eq!((found["merchants"].as_u64(), found["rounds"].as_u64()), (Some(4), Some(3)));
    assert!(found["mode"].as_str().expect("a mode").starts_with("masked"), "{found}");
    assert!(found["epsilon"].as_f64().expect("a number") <= 1.0);
    assert!(found["delta"].as_f64().expect("a number") <= 1e-6);
    let protection = &found["protection"];
    assert_eq!(protection["thresholds"]["survivors_min"], 3, "{protection}");
    let epsilon = |key: &str| protection[key].as_f64().expect("a number");
    assert!(epsilon("epsilon_outsider") < epsilon("epsilon"), "{protection}");
    assert!(epsilon("epsilon") < epsilon("epsilon_if_all_others_collude"), "{protection}");
    assert!(found["epsilon_spent_max"].as_f64().expect("a number") <= 1.0, "{found}");
}

#[test]
fn the_demo_goes_on_when_a_merchant_is_killed_in_mid_round() {
    let found = json(&["demo", "--rounds", "4", "--merchants", "4", "--draws", "1", "--kill", "1", "--json"]);
    let killed = &found["killed"];
    assert_eq!((killed["merchants"].as_u64(), killed["survivors"].as_u64()), (Some(1), Some(3)), "{killed}");
    assert_eq!(killed["attempts_given_up"], 0, "{killed}");
}

#[test]
fn the_demo_of_departments_in_plain_mode_says_so() {
    let arguments = ["--by", "departments", "--merchants", "4", "--rounds", "2", "--draws", "1", "--plain"];
    let found = json(&[&["demo", "--json"][..], &arguments].concat());
    assert!(found["mode"].as_str().expect("a mode").starts_with("plain"), "{found}");
    assert!(found["protection"]["thresholds"].is_null(), "{found}");
    // Two merchants have no masked rounds; the way out is named.
    let two = guildhall(&["demo", "--merchants", "2"]);
    assert_eq!(two.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&two.stderr).contains("--plain"));
}

/// Shoppers each follow one of four chains of items; the last of a chain is what comes next.
fn chains() -> String {
    let mut rows = String::from("who,what,when\n");
    for shopper in 0..240 {
        for step in 0..5 {
            let item = (shopper % 4) * 5 + (shopper / 4 + step) % 5;
            rows += &format!("s{shopper},i{item},{step}\n");
        }
    }
    rows
}

#[test]
fn the_demo_of_recommendations_runs_on_the_readers_own_file_and_serves_with_reasons() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rows.csv");
    std::fs::write(&file, chains()).expect("written");
    let file = file.display().to_string();
    let columns = ["--shopper", "who", "--item", "what", "--time", "when"];
    let asked =
        ["demo", "--task", "recommend", "--merchants", "4", "--epsilon", "200", "--json", "--data", &file];
    let found = json(&[&asked[..], &columns].concat());
    assert_keys(&found, &["hr_at_10", "ndcg_at_10", "protocol", "verdict", "recommendations", "served"]);
    for (figure, least) in [("hr_at_10", 0.99), ("ndcg_at_10", 0.9)] {
        let private = found[figure]["federated_private"]["micro"].as_f64();
        assert!(private > Some(least), "{figure}: {found}");
    }
    let served = &found["served"];
    assert_eq!(
        (served["basis"].as_str(), served["model"]["version"].as_u64()),
        (Some("history"), Some(8)),
        "{served}"
    );
    // The served model and the released one, read from the client's folder, recommend the same item first.
    assert_eq!(served["items"][0]["item"], found["recommendations"][0]["item"], "{found}");
    let history = found["history"].as_array().expect("a history");
    let reasons = found["recommendations"][0]["because_of"].as_array().expect("reasons");
    assert!(!reasons.is_empty() && reasons.iter().all(|reason| history.contains(reason)), "{found}");
}

const BENCH_ROUND: [&str; 8] = [
    "mode",
    "round_seconds",
    "bytes_up",
    "bytes_down",
    "server",
    "client",
    "killed_round_seconds",
    "each_round",
];

fn bench_round(more: &[&str]) -> Value {
    let sizes = ["bench", "round", "--parameters", "20000", "--deadline-ms", "4000", "--json"];
    let found = json(&[&sizes[..], more].concat());
    assert_keys(&found, &BENCH_ROUND);
    found
}

#[test]
fn bench_round_is_masked_and_survives_kills_in_every_second_round() {
    let found = bench_round(&["--merchants", "5", "--rounds", "5", "--kill", "1"]);
    assert_eq!(found["mode"], "NO PRIVACY: masked sum without noise");
    let rounds = found["each_round"].as_array().expect("rounds");
    let figures = |key: &str| rounds.iter().filter_map(|r| r[key].as_u64()).collect::<Vec<_>>();
    assert_eq!(figures("killed"), [1, 0, 1, 0], "{found}");
    assert_eq!((figures("merchants")[0], figures("merchants")[2]), (4, 4), "{found}");
    assert_eq!(found["aborted"], 0, "{found}");
    let words = found["vector_bytes"].as_u64().expect("a number");
    let up = found["bytes_up_per_merchant"].as_u64().expect("a number");
    assert!(up >= words && up <= words + words / 10 + 8_000, "{up} bytes for {words}: {found}");
    let too_many =
        guildhall(&["bench", "round", "--merchants", "5", "--rounds", "3", "--kill", "2", "--json"]);
    assert_eq!(too_many.status.code(), Some(1), "of five one may be lost");
}

#[test]
fn bench_round_without_masks_says_so() {
    let found = bench_round(&["--merchants", "3", "--rounds", "3", "--plain", "--kill", "1"]);
    assert_eq!(found["mode"], "NO PRIVACY: no noise, no masks");
    assert!(found["bytes_up"].as_u64().expect("a number") >= 2 * 20_000 * 4, "{found}");
    assert_eq!(found["each_round"][0]["killed"], 1, "{found}");
}

#[test]
fn bench_aggregation_unmasks_the_right_sum() {
    for more in [&["--wide"][..], &["--threads", "1"]] {
        let sizes = ["bench", "aggregation", "--merchants", "12", "--parameters", "3000", "--dropouts", "2"];
        let found = json(&[&sizes[..], more, &["--json"]].concat());
        assert_keys(&found, &["client_seconds", "server_seconds", "wall_seconds", "mode"]);
        assert_keys(
            &found["client_seconds"],
            &["quantise", "keys_and_shares", "mask", "certificates", "total"],
        );
        assert_eq!(found["sum_is_right"], true, "{found}");
    }
    let too_many = guildhall(&["bench", "aggregation", "--merchants", "12", "--dropouts", "3"]);
    assert_eq!(too_many.status.code(), Some(1));
}

#[test]
fn bench_serve_answers_exactly_and_all_of_its_load() {
    let sizes =
        ["bench", "serve", "--items", "500", "--dim", "16", "--rate", "100", "--seconds", "0.3", "--json"];
    let found = json(&sizes);
    let latency = ["p50_us", "p99_us", "requests_per_second"];
    for part in ["in_process", "in_process_int8", "in_process_full_scan", "http", "http_closed_loop"] {
        assert_keys(&found[part], &latency);
    }
    assert_eq!(found["exact_is_exact"], true, "{found}");
    assert_eq!((&found["http"]["failed"], &found["http"]["answers"]), (&0.into(), &30.into()), "{found}");
    assert!(found["recall_int8"].as_f64().is_some_and(|recall| recall > 0.8), "{found}");
    assert_eq!(guildhall(&["bench", "serve", "--items", "0"]).status.code(), Some(1));
}

#[test]
fn model_says_where_there_is_none_and_takes_a_number_or_newest() {
    let folder = std::env::temp_dir().join(format!("guildhall-model-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let config = folder.join("client.toml");
    let sample =
        std::fs::read_to_string(repository().join("deploy/samples/client.toml")).expect("the sample");
    std::fs::write(&config, sample).expect("written");
    let config = config.display().to_string();
    for command in [&["list"][..], &["use", "3"], &["use", "newest"]] {
        let output = guildhall(&[&["model"], command, &["--config", &config]].concat());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains("no model to serve yet"), "{errors}");
    }
    assert_eq!(guildhall(&["model", "use", "last"]).status.code(), Some(2));
    std::fs::remove_dir_all(folder).expect("removed");
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
