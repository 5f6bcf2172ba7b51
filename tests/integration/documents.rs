//! What documents and samples promise about each other and about the program. Every message says what was found where, and
//! what to do.

use std::collections::BTreeSet;
use std::path::Path;

use guildhall_client::ClientConfig;
use guildhall_privacy::accountant::Calibration;
use guildhall_server::config::ServerConfig;
use guildhall_shared::job::JobSpec;
use guildhall_tests::manifest::{assert_none, manifest};
use guildhall_tests::repository_root;
use guildhall_tests::source::{files_with_extension, read};

#[test]
fn every_sample_job_parses() {
    let folder = repository_root().join("deploy/samples/jobs");
    let samples = files_with_extension(&folder, "toml");
    for needed in ["online_shoppers_logistic.toml", "online_shoppers_mlp.toml"] {
        assert!(samples.iter().any(|s| s == needed), "{}: {needed} is missing", folder.display());
    }
    for sample in samples {
        // An item job takes the items of its data; here it takes some.
        let items: Vec<String> = (0..2_000).map(|item| format!("\"item-{item}\"")).collect();
        let catalogue = format!("kind = \"next_item\"\ncatalogue = [{}]", items.join(","));
        let text = read(&folder.join(&sample)).replace("kind = \"next_item\"", &catalogue);
        if let Err(error) = JobSpec::parse(&text, &Calibration) {
            panic!("deploy/samples/jobs/{sample}: {error}");
        }
    }
}

/// Or every merchant would sit the sample's round out.
#[test]
fn the_sample_of_a_metrics_job_has_the_task_that_it_measures() {
    let task = |name: &str| {
        let text = read(&repository_root().join("deploy/samples/jobs").join(name));
        JobSpec::parse(&text, &Calibration).unwrap_or_else(|error| panic!("{name}: {error}")).0.task
    };
    assert_eq!(task("repurchase_stores_metrics.toml"), task("repurchase_stores.toml"));
}

#[test]
fn the_sample_configurations_are_read() {
    let folder = repository_root().join("deploy/samples");
    if let Err(mistakes) = ServerConfig::parse(&read(&folder.join("server.toml"))) {
        panic!("deploy/samples/server.toml: {}", mistakes.join("; "));
    }
    if let Err(mistakes) = ClientConfig::parse(&read(&folder.join("client.toml")), &folder) {
        panic!("deploy/samples/client.toml: {mistakes}");
    }
}

/// The one command in `text` that begins with `cargo test`.
fn test_command(path: &str, text: &str) -> String {
    let starts = text.match_indices("cargo test").map(|(at, _)| at);
    let ends = |c: char| c == '\n' || c == '`' || c == '#' || c == '"';
    let commands: BTreeSet<_> =
        starts.map(|at| text[at..].split(ends).next().unwrap_or_default().trim().to_owned()).collect();
    let found = commands.len();
    assert_eq!(found, 1, "{path}: expected one test command, found {commands:?}");
    commands.into_iter().next().unwrap_or_default()
}

#[test]
fn the_readme_and_the_checks_run_the_same_test_command() {
    let root = repository_root();
    let [readme, run] = ["README.md", ".ci/run"].map(|path| test_command(path, &read(&root.join(path))));
    assert_eq!(readme, run, "README.md and .ci/run differ: readers must run what the checks run");
}

#[test]
fn the_changelog_names_this_version() {
    let (root, changelog) = (manifest("."), read(&repository_root().join("CHANGELOG.md")));
    let version = root["workspace"]["package"]["version"].as_str().expect("a version");
    assert!(changelog.contains(&format!("[{version}]")), "CHANGELOG.md: add a section [{version}]");
}

fn documents() -> Vec<(String, String)> {
    let root = repository_root();
    let documents: Vec<_> = files_with_extension(&root, "md")
        .into_iter()
        .map(|path| (path.clone(), read(&root.join(path))))
        .collect();
    assert!(documents.len() >= 8, "found {} documents only", documents.len());
    documents
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut violations = vec![];
    for (path, text) in documents() {
        let folder = Path::new(&path).parent().unwrap_or(Path::new(""));
        for (at, _) in text.match_indices("](") {
            let link = text[at + 2..].split(')').next().unwrap_or_default();
            let file = link.split('#').next().unwrap_or_default();
            let outside = link.contains("://") || link.starts_with("mailto:");
            if !outside && !file.is_empty() && !repository_root().join(folder).join(file).exists() {
                violations.push(format!("{path}: links to {link}, which does not exist"));
            }
        }
    }
    assert_none(violations);
}

#[test]
fn documents_do_not_overclaim() {
    let mut violations = vec![];
    for (path, text) in documents() {
        let text = text.to_lowercase();
        for claim in
            ["anonymous", "anonymised", "gdpr compliant", "gdpr-compliant", "zero risk", "100 % secure"]
        {
            if text.contains(claim) {
                violations.push(format!(
                    "{path}: says {claim:?}: say what is proved, for whom and under which epsilon"
                ));
            }
        }
    }
    assert_none(violations);
}

/// (name, code) of every message, as the sources declare them.
fn declared_messages(text: &str) -> Vec<(String, String)> {
    let rule = |line: &str| {
        let (name, rest) = line.trim().split_once(" = 0x")?;
        let (code, _) = rest.split_once(", at most ")?;
        Some((name.to_owned(), format!("0x{code}")))
    };
    text.lines().filter_map(rule).collect()
}

#[test]
fn the_protocol_document_lists_every_message_with_its_code() {
    let root = repository_root();
    let declared = declared_messages(&read(&root.join("shared/src/message.rs")));
    assert!(declared.len() >= 16, "found {declared:?} only: has shared/src/message.rs another form now?");
    let text = read(&root.join("docs/protocol.md"));
    let missing: Vec<String> = declared
        .iter()
        .filter(|(name, code)| !text.lines().any(|l| l.starts_with(&format!("| {name} | `{code}` |"))))
        .map(|(name, code)| format!("docs/protocol.md: no row \"| {name} | `{code}` | …\""))
        .collect();
    assert_none(missing);
}
