//! `guildhall ledger` as a person or a script uses it: files, verdicts, exit codes, and reports that load nothing.

#[allow(dead_code, reason = "the ledger's own tests use all of it")]
#[path = "../../privacy/ledger/tests/ledger/fixture.rs"]
mod fixture;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fixture::Fixture;
use guildhall_ledger::Entry;
use guildhall_ledger::folder::LedgerFolder;
use guildhall_ledger::journal::Journal;
use guildhall_ledger::note::SignedNote;
use guildhall_shared::wire;
use serde_json::Value;
use tempfile::TempDir;

fn guildhall(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_guildhall");
    Command::new(program).arg("ledger").args(arguments).output().expect("the program runs")
}

#[track_caller]
fn expect(code: i32, arguments: &[&str]) -> (String, String) {
    let output = guildhall(arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, errors) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "guildhall ledger {arguments:?}: {out}{errors}");
    (out, errors)
}

struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Desk(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        fs::write(self.path(name), bytes).expect("writes");
        self.text(name)
    }
}

fn write_folder(dir: &Path, fixture: &Fixture) {
    let (mut journal, _) = Journal::open(dir).expect("opens");
    let entries = fixture.entries.iter().map(|bytes| Entry::from_bytes(bytes).expect("an entry"));
    journal.append(&entries.collect::<Vec<_>>()).expect("appends");
    let folder = LedgerFolder::at(dir);
    folder.write_roster(&fixture.federation.public(), &fixture.roster).expect("writes");
    for certificate in &fixture.certificates {
        let certificate = wire::decode(certificate, wire::OBJECT_BYTES_MAX).expect("a certificate");
        folder.write_certificate(&certificate).expect("writes");
    }
    folder.write_checkpoint(&fixture.checkpoint()).expect("writes");
    let cosigned = String::from_utf8(fixture.cosigned.clone().expect("cosigned")).expect("text");
    folder.write_witnessed(&SignedNote::parse(&cosigned).expect("a note")).expect("writes");
}

#[test]
fn a_folder_is_exported_verified_and_an_entry_proved_to_a_third_party() {
    let (desk, fixture) = (Desk::new(), Fixture::of_64_entries());
    write_folder(&desk.path("ledger"), &fixture);
    let (ledger, export, proof) = (desk.text("ledger"), desk.text("export"), desk.text("proof"));
    let (said, _) = expect(0, &["export", &ledger, "--out", &export]);
    assert!(said.contains("64 entries, 2 survivor certificates") && said.contains("not recorded"), "{said}");
    assert_eq!(fs::read(&export).expect("reads"), fixture.export());
    let (said, _) = expect(0, &["verify", &export]);
    assert!(said.starts_with("good\n") && said.contains("witnessed by 2 of 3 other merchants"), "{said}");
    let (said, _) = expect(0, &["verify", &export, "--json"]);
    let object: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(object["verdict"], "good");
    let rows = desk.write("rows", b"no rows of anybody's");
    let secret = desk.write("secret", hex::encode([0x5E; 32]).as_bytes());
    let (said, _) = expect(0, &["verify", &export, "--data", &rows, "--data-secret", &secret]);
    assert!(said.contains("0 of 13 trainings with a tag of their data read these files"), "{said}");
    let older = desk.write("older", &fixture.note());
    expect(0, &["verify", &export, "--checkpoint", &older]);

    let (_, hint) = expect(0, &["prove", &export, "--entry", "3", "--out", &proof]);
    // The cosigned checkpoint is older than the rotation of the owner's key.
    let (key, newest) = (format!("{:?}", fixture.first_owner().key), object["owner_key"].as_str());
    let (key, federation) = (key.as_str(), object["federation_key"].as_str());
    assert_ne!(Some(key), newest);
    let federation = federation.expect("a key");
    assert!(hint.contains(key) && hint.contains(federation), "{hint}");
    let keys = ["--key", key, "--federation-key", federation];
    let (said, _) = expect(0, &[&["prove", "--check", &proof][..], &keys].concat());
    assert!(said.starts_with("good\n") && said.contains("COMMIT"), "{said}");
    let (said, _) = expect(0, &[&["prove", "--check", &proof, "--json"][..], &keys].concat());
    let shown: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((shown["index"].as_u64(), shown["kind"].as_str()), (Some(3), Some("COMMIT")));
    let newest = newest.expect("a key");
    expect(4, &["prove", "--check", &proof, "--key", newest, "--federation-key", federation]);
    expect(4, &["prove", "--check", &proof, "--key", key]);
    expect(4, &["prove", "--check", &proof, "--key", federation, "--federation-key", federation]);
    let changed = fs::read_to_string(&proof).expect("reads").replace("index 3", "index 2");
    let changed = desk.write("changed", changed.as_bytes());
    expect(2, &[&["prove", "--check", &changed][..], &keys].concat());
    expect(1, &["prove", &export, "--entry", "64"]);
}

#[test]
fn verdicts_are_exit_codes_and_wrong_usage_is_none() {
    let (desk, fixture) = (Desk::new(), Fixture::of_64_entries());
    let mut changed = fixture.export();
    changed[3_000] ^= 4;
    let changed = desk.write("changed", &changed);
    let (said, errors) = expect(2, &["verify", &changed]);
    assert!(said.starts_with("TAMPERED") && errors.contains("TAMPERED"), "{said}{errors}");
    expect(2, &["prove", &changed, "--entry", "1"]);
    expect(2, &["report", &changed, "--out", &desk.text("report")]);
    let mut incomplete = Fixture::of_64_entries();
    incomplete.certificates.clear();
    expect(4, &["verify", &desk.write("incomplete", &incomplete.export())]);
    expect(64, &["verify"]);
    expect(64, &["nonsense"]);
    expect(64, &["export", &changed, "--out", &changed, "--recipient", "without a record"]);
    expect(64, &["prove", &changed]);
    expect(0, &["verify", "--help"]);
    expect(1, &["verify", &desk.text("no-such-file")]);
    let (_, errors) = expect(1, &["export", &desk.text("nothing"), "--out", &desk.text("out")]);
    assert!(errors.contains("nothing: expected the folder `ledger`"), "{errors}");
    fs::create_dir(desk.path("empty")).expect("a folder");
    let (_, errors) = expect(1, &["export", &desk.text("empty"), "--out", &desk.text("out")]);
    assert!(errors.contains("start the client once"), "{errors}");
}

#[test]
fn a_report_answers_everything_or_says_what_is_missing() {
    let (desk, fixture) = (Desk::new(), Fixture::of_64_entries());
    let export = desk.write("export", &fixture.export());
    let out = desk.text("report");
    expect(0, &["report", &export, "--out", &out, "--server-region", "eu"]);
    let object: Value =
        serde_json::from_str(&fs::read_to_string(desk.path("report/report.json")).expect("reads"))
            .expect("JSON");
    assert_eq!(object["unanswered"].as_array().map(Vec::len), Some(0), "{object}");
    assert_eq!(object["ledgers"][0]["verification"]["verdict"], "good");
    let page = fs::read_to_string(desk.path("report/report.html")).expect("reads");
    assert!(page.contains("Technical evidence, not legal advice."));
    // Without an audit on record there is no answer; the files are written all the same.
    let silent = Fixture::new(4);
    let export = desk.write("silent", &silent.export());
    let (_, errors) = expect(1, &["report", &export, "--out", &desk.text("second")]);
    assert!(errors.contains("no audit is recorded"), "{errors}");
    let page = fs::read_to_string(desk.path("second/report.html")).expect("reads");
    assert!(page.contains("Not answered") && page.contains("no audit is recorded"));
    assert!(desk.path("second/report.csv").exists() && desk.path("second/report.json").exists());
}
