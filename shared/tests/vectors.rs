//! Test vectors of `docs/protocol.md`: the files in `tests/vectors` are what the code makes, and a second
//! implementation, in Python, agrees with them.
//!
//! `GUILDHALL_WRITE_VECTORS=1 cargo test -p guildhall-shared --test vectors` writes the files; without it they are compared.

#[path = "vectors/attempt.rs"]
mod attempt;
#[path = "vectors/fixture.rs"]
mod fixture;
#[path = "vectors/json.rs"]
mod json;
#[path = "vectors/primitives.rs"]
mod primitives;
#[path = "vectors/refused.rs"]
mod refused;
#[path = "vectors/replay.rs"]
mod replay;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use json::Json;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn is_writing() -> bool {
    std::env::var_os("GUILDHALL_WRITE_VECTORS").is_some_and(|value| value == "1")
}

/// Compares a file with what the code makes, or writes it.
fn keep(name: &str, made: &Json) {
    let (path, made) = (repository().join("tests/vectors").join(name), made.to_text());
    if is_writing() {
        fs::write(&path, made).expect("the folder is there");
        return;
    }
    let kept = fs::read_to_string(&path).expect(name);
    // A checkout may have changed the ends of lines.
    let same = kept.lines().eq(made.lines());
    let line = kept.lines().zip(made.lines()).take_while(|(kept, made)| kept == made).count() + 1;
    assert!(
        same,
        "{name}, line {line}: the code makes something else. If that is meant, it is a new protocol version"
    );
}

#[test]
fn the_primitives_are_as_written_down() {
    keep("primitives.json", &primitives::vectors());
}

#[test]
fn whole_attempts_are_as_written_down() {
    for fixture in fixture::all() {
        let attempt = attempt::run(&fixture);
        assert_eq!(attempt.sum, fixture.plain_sum(), "{}: the sum is the plain sum", fixture.name);
        keep(&format!("{}.json", fixture.name), &attempt::to_json(&fixture, &attempt));
    }
}

#[test]
fn every_bad_message_is_refused_for_the_stated_reason() {
    let cases = refused::cases();
    for case in &cases {
        assert_eq!(replay::refusal(case), case.refusal, "{}", case.name);
    }
    keep("refused.json", &refused::to_json(&cases));
}

#[test]
fn every_bad_message_has_a_good_one_beside_it() {
    // A receiver that refuses everything would pass the test above.
    for fixture in fixture::all() {
        let attempt = attempt::run(&fixture);
        for case in refused::good_ones(&fixture, &attempt) {
            assert_eq!(replay::refusal(&case), "none", "{}: {}", fixture.name, case.name);
        }
    }
}

/// A Python with the package the reader needs: `GUILDHALL_VECTORS_PYTHON`, else `python3`.
fn python() -> Option<PathBuf> {
    let named = std::env::var_os("GUILDHALL_VECTORS_PYTHON").map(PathBuf::from);
    let python = named.unwrap_or_else(|| PathBuf::from("python3"));
    let found = Command::new(&python).args(["-c", "import cryptography"]).output();
    found.is_ok_and(|output| output.status.success()).then_some(python)
}

#[test]
fn the_independent_reader_agrees() {
    if is_writing() {
        println!("SKIPPED the_independent_reader_agrees: the files are being written; run it again");
        return;
    }
    let Some(python) = python() else {
        println!(
            "SKIPPED the_independent_reader_agrees: no python3 with the package cryptography; \
             set GUILDHALL_VECTORS_PYTHON"
        );
        return;
    };
    let reader = repository().join("tests/read_vectors.py");
    let output = Command::new(python).arg(reader).output().expect("it was there a moment ago");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    println!("{}", text(&output.stdout));
}
