//! The program as an auditor runs it: verdicts, exit codes, output.

#[allow(dead_code, reason = "the ledger's own tests use all of it")]
#[path = "../../../privacy/ledger/tests/ledger/fixture.rs"]
mod fixture;

use std::path::{Path, PathBuf};
use std::process::Command;

use fixture::{Fixture, policy};
use guildhall_ledger::{Event, Travel};
use tempfile::TempDir;

struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Desk(tempfile::tempdir().expect("a folder"))
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).expect("writes");
        path
    }
}

fn run(arguments: &[&Path]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_guildhall-verify")).args(arguments).output().expect("runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().expect("ends by itself"), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_good_ledger_is_good_and_its_facts_are_printed() {
    let (desk, fixture) = (Desk::new(), Fixture::of_64_entries());
    let path = desk.file("ledger", &fixture.export());
    let (code, text, _) = run(&[&path]);
    assert_eq!(code, 0, "{text}");
    let root = fixture.state.head().root.to_string();
    let needles = [
        "good",
        "64",
        &root,
        "of 8 at delta 1e-6",
        "witnessed by 2 of 3 other merchants",
        "and by the server at",
    ];
    for needle in needles {
        assert!(text.contains(needle), "{needle} in {text}");
    }
    let (code, text, _) = run(&[&path, Path::new("--json")]);
    let object: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((code, object["verdict"].as_str(), object["exit_code"].as_u64()), (0, Some("good"), Some(0)));
    assert_eq!(object["entries"], 64);
    assert_eq!(object["rho_spent"], fixture.state.spent().to_string());
    assert_eq!(object["findings"].as_array().map(Vec::len), Some(0));
}

#[test]
fn every_verdict_has_its_exit_code() {
    let (desk, fixture) = (Desk::new(), Fixture::of_64_entries());
    let mut changed = fixture.export();
    changed[2_000] ^= 1;
    assert_eq!(run(&[&desk.file("changed", &changed)]).0, 2);
    let mut overspent = Fixture::new(4);
    overspent.push(policy(1e-3));
    let reservation = overspent.reservation("job", Travel::Plain);
    overspent.force(Event::Reserve { reservation, time_unix_s: 5 });
    let (code, text, _) = run(&[&desk.file("overspent", &overspent.export())]);
    assert_eq!(code, 3);
    assert!(text.starts_with("OVERSPENT") && text.contains("budget is exhausted"), "{text}");
    let mut incomplete = Fixture::of_64_entries();
    incomplete.certificates.pop();
    assert_eq!(run(&[&desk.file("incomplete", &incomplete.export())]).0, 4);
    assert_eq!(run(&[&desk.file("nothing", b"nothing")]).0, 4);
}

#[test]
fn an_older_checkpoint_is_compared() {
    let (desk, fixture) = (Desk::new(), Fixture::of_64_entries());
    let path = desk.file("ledger", &fixture.export());
    let mut longer = Fixture::of_64_entries();
    longer.plain();
    let checkpoint = |name: &str, bytes: &[u8]| desk.file(name, bytes);
    let option = Path::new("--checkpoint");
    assert_eq!(run(&[&path, option, &checkpoint("same", &fixture.note())]).0, 0);
    assert_eq!(run(&[&path, option, &checkpoint("later", &longer.note())]).0, 2, "the ledger was cut");
    assert_eq!(run(&[&path, option, &checkpoint("none", b"nothing")]).0, 4);
}

#[test]
fn wrong_usage_and_missing_files_are_no_verdicts() {
    assert_eq!(run(&[]).0, 64);
    assert_eq!(run(&[Path::new("a"), Path::new("b")]).0, 64);
    let (code, _, errors) = run(&[Path::new("no-such-file")]);
    assert_eq!(code, 1);
    assert!(errors.contains("no-such-file"), "{errors}");
    assert_eq!(run(&[Path::new("--help")]).0, 0);
}
