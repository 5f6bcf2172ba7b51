//! The architecture invariants of ARCHITECTURE.md, checked on the manifests and sources themselves. Every message says what
//! was found where, and what to do.

use std::collections::BTreeSet;

use guildhall_tests::manifest::{assert_none, manifest};
use guildhall_tests::repository_root;
use guildhall_tests::source::{SourceFile, has_word, read, read_sources};
use toml::{Table, Value};

/// Folder and package of every crate.
const CRATES: [(&str, &str); 10] = [
    ("shared", "guildhall-shared"),
    ("privacy/accountant", "guildhall-accountant"),
    ("privacy/sampler", "guildhall-sampler"),
    ("privacy/ledger", "guildhall-ledger"),
    ("privacy", "guildhall-privacy"),
    ("client", "guildhall-client"),
    ("server", "guildhall-server"),
    ("deploy/guildhall", "guildhall"),
    ("deploy/verify", "guildhall-verify"),
    ("tests", "guildhall-tests"),
];

/// A1: what `shared` and `privacy` never depend on, directly or through others.
const SHELL_CRATES: [&str; 9] =
    ["tokio", "quinn", "rustls", "sled", "candle-core", "candle-nn", "axum", "clap", "hyper"];

/// A3: what a core never names, and what it does instead.
const CORE_NEVER_NAMES: [(&str, &str); 30] = [
    ("Instant::now", "take the time as an argument"),
    ("SystemTime::now", "take the time as an argument"),
    ("std::fs", "give the bytes to a shell"),
    ("fs::", "give the bytes to a shell"),
    ("File::open", "give the bytes to a shell"),
    ("File::create", "give the bytes to a shell"),
    ("OpenOptions", "give the bytes to a shell"),
    ("TcpStream", "return what to send"),
    ("TcpListener", "return what to send"),
    ("UdpSocket", "return what to send"),
    ("ToSocketAddrs", "take an address that is resolved already"),
    ("tokio", "return what to do and let the shell do it"),
    ("quinn", "return what to send"),
    ("async", "return what to do and let the shell wait"),
    ("await", "return what to do and let the shell wait"),
    ("getrandom", "take random bytes as an argument"),
    ("rand::", "take random bytes as an argument"),
    ("OsRng", "take random bytes as an argument"),
    ("thread_rng", "take random bytes as an argument"),
    ("std::thread", "let the shell spawn"),
    ("thread::", "let the shell spawn"),
    ("rayon", "let the shell spawn"),
    ("std::env", "take the setting as an argument"),
    ("env::", "take the setting as an argument"),
    ("std::process", "return an error"),
    ("HashMap", "use BTreeMap: its order is the same everywhere"),
    ("HashSet", "use BTreeSet: its order is the same everywhere"),
    ("println!", "return what to say"),
    ("eprintln!", "return what to say"),
    ("static mut", "keep state in the machine"),
];

/// A4: crate, who may depend on it, and where production code may name it.
const NAMED_IN_ONE_PLACE: [(&str, &[&str], &[&str]); 12] = [
    ("bincode", &["shared"], &["shared/src/wire.rs"]),
    ("opendp", &["privacy"], &["privacy/src/noise/opendp.rs"]),
    ("sled", &["server"], &["server/src/store/sled.rs"]),
    ("x25519-dalek", &["shared"], &["shared/src/secagg/agreement.rs"]),
    ("chacha20poly1305", &["shared"], &["shared/src/secagg/agreement.rs"]),
    ("aes", &["shared"], &["shared/src/secagg/mask"]),
    ("pulp", &["client"], &["client/src/serve/top_k"]),
    ("faer", &["client"], &["client/src/recommend"]),
    ("safetensors", &["client"], &["client/src/model"]),
    ("quinn", &["client", "server", "tests"], &["client/src/transport.rs", "server/src/transport.rs"]),
    ("candle-core", &["client"], &["client/src/model", "client/src/train", "client/src/serve"]),
    ("candle-nn", &["client"], &["client/src/model", "client/src/train", "client/src/serve"]),
];

/// A5: types that are private, secret or a right to do something once, and where they live.
const NEVER_SERIALISED: [(&str, &str); 31] = [
    ("client/src/train/fine_tune.rs", "TuningRows"),
    ("client/src/train/fine_tune.rs", "FineTuned"),
    ("client/src/model_store/fine_tuned.rs", "FineTunedCopy"),
    ("client/src/data/sequences.rs", "Sequences"),
    ("client/src/train/job.rs", "TrainingData"),
    ("client/src/train/metrics.rs", "HeldOut"),
    ("privacy/src/clip.rs", "ShopperSum"),
    ("privacy/src/clip.rs", "ClipTally"),
    ("privacy/src/noise.rs", "NoiseShare"),
    ("privacy/src/update.rs", "ClippedSum"),
    ("privacy/src/update.rs", "NoisedUpdate"),
    ("privacy/src/update.rs", "ExplicitlyUnprotectedUpdate"),
    ("privacy/src/update.rs", "SealedUpdate"),
    ("privacy/src/update.rs", "CommittedUpdate"),
    ("privacy/src/ledger.rs", "Reserved"),
    ("privacy/ledger/src/data_tag.rs", "DataDigest"),
    ("shared/src/identity.rs", "IdentityKey"),
    ("shared/src/secagg/seed.rs", "SessionSeed"),
    ("shared/src/secagg/seed.rs", "ByteStream"),
    ("shared/src/secagg/agreement.rs", "SecretKey"),
    ("shared/src/secagg/agreement.rs", "ShareKey"),
    ("shared/src/secagg/agreement.rs", "SharePair"),
    ("shared/src/secagg/mask.rs", "MaskKey"),
    ("shared/src/secagg/mask.rs", "MaskSet"),
    ("shared/src/secagg/client/masking.rs", "HeldShare"),
    ("shared/src/secagg/client/masking.rs", "Received"),
    ("shared/src/secagg/client/sharing.rs", "Sharing"),
    ("shared/src/secagg/client/advertising.rs", "Advertised"),
    ("client/src/data/observations.rs", "Observations"),
    ("client/src/serve/events.rs", "ShopperEvent"),
    ("client/src/serve/live.rs", "Live"),
];

/// No source file has more lines than this before its tests.
const PRODUCTION_LINES_MAX: usize = 500;

/// Names of the crates in every table whose name ends in `dependencies`, also those under `[target]`.
fn dependencies(manifest: &Table) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (key, value) in manifest {
        let Some(table) = value.as_table() else { continue };
        if key.ends_with("dependencies") {
            found.extend(table.iter().map(|(name, value)| {
                value.get("package").and_then(Value::as_str).unwrap_or(name).to_owned()
            }));
        } else if key == "target" {
            table.values().filter_map(Value::as_table).for_each(|t| found.extend(dependencies(t)));
        }
    }
    found
}

/// Every package that `package` needs according to Cargo.lock, its tests' included.
fn locked_closure(package: &str) -> BTreeSet<String> {
    let lock: Table = read(&repository_root().join("Cargo.lock")).parse().expect("Cargo.lock is TOML");
    let packages = lock["package"].as_array().expect("Cargo.lock lists packages");
    let mut found = BTreeSet::new();
    let mut open = vec![package.to_owned()];
    while let Some(name) = open.pop() {
        let versions = packages.iter().filter(|p| p["name"].as_str() == Some(&name));
        for dependency in versions.filter_map(|p| p.get("dependencies")?.as_array()).flatten() {
            let dependency = dependency.as_str().and_then(|d| d.split(' ').next()).unwrap_or_default();
            if found.insert(dependency.to_owned()) {
                open.push(dependency.to_owned());
            }
        }
    }
    found
}

fn production_sources() -> Vec<SourceFile> {
    let sources: Vec<_> = read_sources(&repository_root()).into_iter().filter(|f| !f.is_test).collect();
    assert!(
        sources.len() > 40,
        "found {} sources only: does this test look in the right place?",
        sources.len()
    );
    sources
}

#[test]
fn shared_and_privacy_stay_free_of_shells() {
    let mut violations = vec![];
    let free =
        ["shared", "privacy/accountant", "privacy/sampler", "privacy/ledger", "privacy", "deploy/verify"];
    for (folder, package) in CRATES.into_iter().filter(|(folder, _)| free.contains(folder)) {
        let (direct, all) = (dependencies(&manifest(folder)), locked_closure(package));
        assert!(all.contains("thiserror"), "{package} not found in Cargo.lock: {all:?}");
        let opendp = (folder != "privacy").then_some("opendp");
        let json = (folder == "shared" && direct.contains("serde_json")).then_some("serde_json");
        for name in SHELL_CRATES.into_iter().chain(opendp).chain(json) {
            if direct.contains(name) || all.contains(name) {
                let advice = "move the code that needs it to client, server or the binary";
                violations.push(format!("A1: {folder}/Cargo.toml leads to {name}: {advice}"));
            }
        }
    }
    assert_none(violations);
}

#[test]
fn crates_depend_downwards_only() {
    let allowed: [(&str, &[&str]); 8] = [
        ("shared", &[]),
        ("privacy/accountant", &[]),
        ("privacy/sampler", &[]),
        ("privacy/ledger", &["guildhall-shared", "guildhall-accountant"]),
        ("privacy", &["guildhall-shared", "guildhall-accountant", "guildhall-sampler", "guildhall-ledger"]),
        ("client", &["guildhall-shared", "guildhall-privacy", "guildhall-ledger"]),
        ("server", &["guildhall-shared", "guildhall-privacy", "guildhall-ledger"]),
        // Its tests make ledgers out of what the ledger is made of.
        ("deploy/verify", &["guildhall-ledger", "guildhall-shared"]),
    ];
    let mut violations = vec![];
    for (folder, below) in allowed {
        for name in dependencies(&manifest(folder)).iter().filter(|name| name.starts_with("guildhall")) {
            if !below.contains(&name.as_str()) {
                let advice = "let the two meet in shared, in the binary or in tests";
                violations.push(format!("A2: {folder}/Cargo.toml depends on {name}: {advice}"));
            }
        }
    }
    assert_none(violations);
}

/// Whether the first paragraph of a file's first comment ends with the mark `[core]`.
fn is_marked_core(file: &SourceFile) -> bool {
    let docs = file.module_docs();
    docs.split("\n\n").next().unwrap_or_default().trim_end().ends_with("[core]")
}

/// Everything in `shared`, every file marked `[core]` in its first comment, and the files below a marked one unless
/// they say `[shell]`.
fn is_core(file: &SourceFile, marked: &[String]) -> bool {
    let below_mark = marked.iter().any(|m| file.path.starts_with(&format!("{}/", m.trim_end_matches(".rs"))));
    file.path.starts_with("shared/src/")
        || marked.contains(&file.path)
        || (below_mark && !file.module_docs().contains("[shell"))
}

fn core_violations(file: &SourceFile) -> Vec<String> {
    let mut violations = vec![];
    for (name, advice) in CORE_NEVER_NAMES {
        for line in file.lines_with(name) {
            violations.push(format!("A3: {}:{line} is in a core and names {name}: {advice}", file.path));
        }
    }
    violations
}

#[test]
fn cores_are_pure() {
    let sources = production_sources();
    let marked: Vec<String> = sources.iter().filter(|f| is_marked_core(f)).map(|f| f.path.clone()).collect();
    for needed in ["privacy/src/clip.rs", "client/src/participant.rs", "server/src/round.rs"] {
        let found = marked.iter().any(|path| path == needed);
        assert!(found, "A3: {needed} is not marked [core] in its first comment: keep it pure and marked");
    }
    let cores: Vec<_> = sources.iter().filter(|file| is_core(file, &marked)).collect();
    assert_none(cores.into_iter().flat_map(core_violations).collect());
}

#[test]
fn the_core_check_notices_a_clock_a_hash_map_and_an_await() {
    let text = "//! x [core]\nuse std::collections::HashMap; // fine: Instant::now\nfn f() { Instant::now(); x.await }\n\
                #[cfg(test)]\nmod tests { fn g() { Instant::now(); } }\n";
    let found = core_violations(&SourceFile::new("a/src/b.rs", text));
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found.iter().any(|v| v.contains("b.rs:2") && v.contains("BTreeMap")), "{found:?}");
}

#[test]
fn each_foreign_crate_is_named_in_its_place() {
    let sources = production_sources();
    let mut violations = vec![];
    for (name, users, places) in NAMED_IN_ONE_PLACE {
        for (folder, _) in CRATES {
            if dependencies(&manifest(folder)).contains(name) && !users.contains(&folder) {
                violations.push(format!("A4: {folder}/Cargo.toml depends on {name}: only {users:?} may"));
            }
        }
        let in_place = |path: &str| {
            places
                .iter()
                .any(|p| path == *p || path == format!("{p}.rs") || path.starts_with(&format!("{p}/")))
        };
        let mut named = false;
        for file in &sources {
            let lines = file.lines_with_crate(&name.replace('-', "_"));
            named |= in_place(&file.path) && !lines.is_empty();
            for line in lines.iter().filter(|_| !in_place(&file.path)) {
                violations.push(format!("A4: {}:{line} names {name}: only {places:?} may", file.path));
            }
        }
        let optional = name == "candle-nn";
        if !named && !optional {
            violations.push(format!("A4: nothing in {places:?} names {name}: was the file renamed?"));
        }
    }
    assert_none(violations);
}

/// Traits derived for the struct or enum `name`, and those implemented by hand in the same file.
fn traits_of(file: &SourceFile, name: &str) -> Option<String> {
    let declares =
        |line: &&str| ["struct", "enum"].iter().any(|kind| has_word(line, &format!("{kind} {name}")));
    let at = file.production.lines().position(|line| declares(&line))?;
    let lines: Vec<&str> = file.production.lines().collect();
    let attributes = lines[..at].iter().rev().take_while(|line| {
        let line = line.trim();
        line.is_empty() || line.starts_with("#[") || line.ends_with(")]")
    });
    let by_hand = lines.iter().filter(|l| l.contains("impl") && has_word(l, &format!("for {name}")));
    Some(attributes.chain(by_hand).copied().collect::<Vec<_>>().join("\n"))
}

#[test]
fn private_and_secret_types_cannot_be_serialised() {
    let sources = production_sources();
    let mut violations = vec![];
    for (path, name) in NEVER_SERIALISED {
        let file = sources.iter().find(|file| file.path == path);
        match file.and_then(|file| traits_of(file, name)) {
            None => violations.push(format!("A5: {name} is not in {path}: name its new place in this test")),
            Some(traits) => {
                for forbidden in ["Serialize", "Deserialize"].iter().filter(|t| has_word(&traits, t)) {
                    violations.push(format!("A5: {path}: {name} is {forbidden}: send another type"));
                }
            }
        }
    }
    assert_none(violations);
}

#[test]
fn the_serialisation_check_notices_a_derive() {
    let text =
        "/// Secret.\n#[derive(Debug, Serialize)]\n#[serde(a(b))]\npub struct Key(u8);\nstruct Other;\n";
    let file = SourceFile::new("a.rs", text);
    assert!(has_word(&traits_of(&file, "Key").expect("found"), "Serialize"));
    assert!(!has_word(&traits_of(&file, "Other").expect("found"), "Serialize"));
    assert_eq!(traits_of(&file, "Absent"), None);
}

#[test]
fn only_the_ledger_frees_an_update() {
    let mut violations = vec![];
    for file in production_sources() {
        let may = ["privacy/src/update.rs", "privacy/src/ledger.rs"].contains(&file.path.as_str());
        for line in file.lines_with("after_durable_commit").iter().filter(|_| !may) {
            let advice = "an update leaves only through Ledger::commit";
            violations.push(format!("A7: {}:{line} calls after_durable_commit: {advice}", file.path));
        }
        if file.path == "privacy/src/update.rs" && file.lines_with("fn bytes").len() != 1 {
            violations.push("A7: privacy/src/update.rs: only CommittedUpdate may give its bytes".into());
        }
    }
    assert_none(violations);
}

#[test]
fn sources_keep_the_house_rules() {
    let unfinished = [concat!("FIX", "ME"), concat!("XX", "X:")];
    let mut violations = vec![];
    for file in read_sources(&repository_root()) {
        if !file.is_test && file.production_lines > PRODUCTION_LINES_MAX {
            let lines = file.production_lines;
            violations.push(format!(
                "{}: {lines} lines before its tests: split it before {PRODUCTION_LINES_MAX}",
                file.path
            ));
        }
        for name in ["unsafe", "todo!", "unimplemented!"] {
            for line in file.lines_with(name) {
                violations.push(format!("{}:{line} has {name}: say it in safe, finished code", file.path));
            }
        }
        for word in unfinished.iter().filter(|word| file.raw.contains(**word)) {
            violations.push(format!("{}: has {word}: finish it, or describe what is absent", file.path));
        }
        let name = file.path.rsplit('/').next().unwrap_or_default();
        if ["mod.rs", "utils.rs", "util.rs", "common.rs", "helpers.rs", "manager.rs"].contains(&name) {
            violations.push(format!("{}: name the file after what is in it", file.path));
        }
    }
    assert_none(violations);
}

#[test]
fn every_crate_forbids_unsafe_code() {
    let root = manifest(".");
    let forbidden = root["workspace"]["lints"]["rust"]["unsafe_code"].as_str();
    assert_eq!(forbidden, Some("forbid"), "Cargo.toml: set workspace.lints.rust.unsafe_code = \"forbid\"");
    for (folder, package) in CRATES {
        let manifest = manifest(folder);
        assert_eq!(manifest["package"]["name"].as_str(), Some(package), "{folder}/Cargo.toml");
        let inherits = manifest.get("lints").and_then(|l| l.get("workspace")).and_then(Value::as_bool);
        assert_eq!(inherits, Some(true), "{folder}/Cargo.toml: add [lints] workspace = true");
    }
}

#[test]
fn every_invariant_names_tests_that_exist() {
    let sources = read_sources(&repository_root());
    let text = read(&repository_root().join("ARCHITECTURE.md"));
    let mut violations = vec![];
    for invariant in ["A1", "A2", "A3", "A4", "A5", "A6", "A7"] {
        let row = text.lines().find(|line| line.starts_with(&format!("| **{invariant}**")));
        let last_cell = row.and_then(|row| row.trim_end_matches(['|', ' ']).rsplit('|').next());
        let tests: Vec<&str> = last_cell.unwrap_or_default().split('`').skip(1).step_by(2).collect();
        if tests.is_empty() {
            violations.push(format!(
                "ARCHITECTURE.md: {invariant} has no row that names its test in the last cell"
            ));
        }
        for test in tests {
            let function = format!("fn {test}(");
            if !sources.iter().any(|file| file.raw.contains(&function)) {
                violations.push(format!(
                    "ARCHITECTURE.md: {invariant} names the test {test}, which does not exist"
                ));
            }
        }
    }
    assert_none(violations);
}
