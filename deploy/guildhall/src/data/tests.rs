//! Every sample file is read by these tests.

use std::path::PathBuf;

use guildhall_client::data::{SimulationConfig, load_by_merchant};
use guildhall_privacy::accountant::Calibration;
use guildhall_shared::job::{JobSpec, SimulationSpec};
use guildhall_shared::task::Task;

fn samples() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../samples")
}

fn sample_jobs() -> Vec<(String, JobSpec, SimulationSpec)> {
    let mut jobs = vec![];
    for entry in std::fs::read_dir(samples().join("jobs")).expect("the folder of sample jobs") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("a text");
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let (job, simulation) =
            JobSpec::parse(&with_catalogue(&text), &Calibration).unwrap_or_else(|e| panic!("{name}: {e}"));
        if !job.architecture.releases_model() {
            assert_eq!(
                (job.check(), simulation),
                (Ok(()), None),
                "{name}: what it measures is not there to simulate"
            );
            continue;
        }
        let mut simulation = simulation.expect("every sample of a model can be simulated");
        for key in ["without_privacy", "start"] {
            simulation.remove(key);
        }
        jobs.push((name, job, simulation));
    }
    jobs.sort_by(|a, b| a.0.cmp(&b.0));
    jobs
}

/// An item job without a catalogue takes the items of its data; here it takes some.
fn with_catalogue(text: &str) -> String {
    let mut table: toml::Table = toml::from_str(text).expect("TOML");
    let task = table.get_mut("task").and_then(toml::Value::as_table_mut).expect("a task");
    if task.get("kind").and_then(toml::Value::as_str) == Some("next_item") {
        let items = (0..7_000).map(|item| toml::Value::from(format!("item-{item}"))).collect();
        task.entry("catalogue").or_insert(toml::Value::Array(items));
    }
    toml::to_string(&table).expect("TOML")
}

#[test]
fn every_sample_job_is_valid_and_says_how_to_simulate_it() {
    let jobs = sample_jobs();
    let names: Vec<&str> = jobs.iter().map(|(name, ..)| name.as_str()).collect();
    for expected in
        ["online_shoppers_logistic", "online_shoppers_mlp", "repurchase_departments", "repurchase_stores"]
    {
        assert!(names.contains(&expected), "{names:?}");
    }
    for (name, job, simulation) in &jobs {
        assert_eq!(job.check(), Ok(()), "{name}");
        assert_eq!(job.name.as_str().replace('-', "_"), *name);
        SimulationConfig::parse(simulation, &samples().join("data"))
            .unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

#[test]
fn sample_jobs_on_the_extract_find_their_merchants() {
    for (name, job, simulation) in sample_jobs() {
        if !matches!(job.task, Task::Repurchase(_)) {
            continue;
        }
        let config = SimulationConfig::parse(&simulation, &samples().join("data")).expect("checked above");
        let cut = load_by_merchant(&config, &job.task).unwrap_or_else(|e| panic!("{name}: {e}"));
        let merchants = if name == "repurchase_stores" { 100 } else { 9 };
        assert_eq!(cut.merchants.len(), merchants, "{name}");
        // W counts shoppers with and without training rows; the share of the file's shoppers it stands for is public.
        let expected = cut.file.shoppers as f64 * config.train_share;
        assert!((expected - job.round.expected_shoppers as f64).abs() <= 1.0, "{name}: {expected}");
        for (merchant, part) in &cut.merchants {
            // Two stores open in weeks 40 and 46, after the last week that is trained on: they have something to gain and nothing to give.
            let opens_late = ["store-415", "store-34280"].contains(&merchant.as_str());
            assert_eq!(part.report.train.observations > 0, !opens_late, "{name}: {merchant}");
            assert!(part.report.test.observations > 0, "{name}: {merchant}");
            assert!(
                part.splits.train.shoppers.len() as u64 <= job.round.shoppers_per_merchant_max,
                "{name}: {merchant}"
            );
        }
    }
}

#[test]
fn sample_jobs_on_the_online_shoppers_use_every_row() {
    let folder = std::env::var_os("GUILDHALL_TEST_DATA")
        .map_or_else(|| samples().join("../../../shared/data"), PathBuf::from);
    let folder = folder.join("online_shoppers");
    if !folder.is_dir() {
        eprintln!(
            "SKIPPED sample_jobs_on_the_online_shoppers_use_every_row: no test data; set GUILDHALL_TEST_DATA"
        );
        return;
    }
    for (name, job, simulation) in
        sample_jobs().into_iter().filter(|(name, ..)| name.starts_with("online_shoppers"))
    {
        let config = SimulationConfig::parse(&simulation, &folder).expect("checked above");
        let cut = load_by_merchant(&config, &job.task).unwrap_or_else(|e| panic!("{name}: {e}"));
        let sizes: Vec<u64> = cut.merchants.values().map(|part| part.report.rows_used).collect();
        assert_eq!(sizes, [4780, 1136, 2403, 1182, 318, 805, 761, 434, 511]);
        let rows = |count: fn(&guildhall_client::data::MerchantRows) -> u64| {
            cut.merchants.values().map(count).sum::<u64>()
        };
        assert_eq!(rows(|part| part.report.train.observations), job.round.expected_shoppers, "{name}");
        assert_eq!(rows(|part| part.report.test.observations), 2466);
        assert_eq!(rows(|part| part.report.test.positives + part.report.train.positives), 1908);
        // Vocabularies cover what occurs: no row is dropped and no category is unknown.
        for part in cut.merchants.values() {
            let effects = part.report.findings.iter().map(|finding| finding.problem);
            use guildhall_client::data::report::Problem::{DuplicateKept, OutOfJobBounds};
            assert!(effects.into_iter().all(|problem| matches!(problem, DuplicateKept | OutOfJobBounds)));
        }
    }
}
