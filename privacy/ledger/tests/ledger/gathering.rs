//! Exports of folders: complete, or refused.

use std::fs;
use std::io::Write as _;

use guildhall_ledger::folder::LedgerFolder;
use guildhall_ledger::gather::{GatherError, gather};
use guildhall_ledger::journal::{JOURNAL_FILE, Journal};
use guildhall_ledger::note::SignedNote;
use guildhall_ledger::verify::verify;
use guildhall_ledger::{Entry, LedgerError};
use guildhall_shared::wire;
use tempfile::TempDir;

use super::fixture::Fixture;

/// A client's folder with everything in it.
fn folder_of(fixture: &Fixture) -> (TempDir, LedgerFolder) {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = LedgerFolder::at(dir.path());
    let (mut journal, _) = Journal::open(dir.path()).expect("opens");
    let entries: Vec<Entry> =
        fixture.entries.iter().map(|bytes| Entry::from_bytes(bytes).expect("an entry")).collect();
    journal.append(&entries).expect("appends");
    folder.write_roster(&fixture.federation.public(), &fixture.roster).expect("writes");
    for certificate in &fixture.certificates {
        let certificate = wire::decode(certificate, wire::OBJECT_BYTES_MAX).expect("a certificate");
        folder.write_certificate(&certificate).expect("writes");
    }
    folder.write_checkpoint(&fixture.checkpoint()).expect("writes");
    if let Some(cosigned) = &fixture.cosigned {
        let note = SignedNote::parse(std::str::from_utf8(cosigned).expect("text")).expect("a note");
        folder.write_witnessed(&note).expect("writes");
    }
    (dir, folder)
}

#[test]
fn a_folder_becomes_the_export_of_its_ledger() {
    let fixture = Fixture::of_64_entries();
    let (dir, folder) = folder_of(&fixture);
    let found = gather(&folder).expect("gathers");
    assert_eq!(found.bytes, fixture.export());
    assert_eq!((found.entries, found.certificates, found.certificates_missing.len()), (64, 2, 0));
    // Also while the client holds the lock.
    let _lock = Journal::open(dir.path()).expect("opens");
    assert_eq!(gather(&folder).expect("gathers"), found);
}

#[test]
fn entries_that_no_checkpoint_covers_are_an_error_and_never_left_out() {
    let mut fixture = Fixture::new(4);
    fixture.plain();
    let (dir, folder) = folder_of(&fixture);
    let mut longer = Fixture::new(4);
    longer.plain();
    longer.plain();
    let next = longer.entries[5..].iter().map(|bytes| Entry::from_bytes(bytes).expect("an entry"));
    let (mut journal, _) = Journal::open(dir.path()).expect("opens");
    journal.append(&next.collect::<Vec<_>>()).expect("appends");
    let error = gather(&folder).expect_err("three entries have no checkpoint");
    assert!(matches!(error, GatherError::Checkpoint { entries: 8, found: 5, .. }), "{error}");
    assert!(error.to_string().contains("start the client once"), "{error}");
    // The client signs its next checkpoint meanwhile: the export waits for it.
    let waiting = std::thread::spawn({
        let folder = folder.clone();
        move || gather(&folder)
    });
    folder.write_checkpoint(&longer.checkpoint()).expect("writes");
    let found = waiting.join().expect("no panic").expect("gathers");
    assert_eq!(found.entries, 8);
    assert_eq!(verify(&found.bytes, Some(&fixture.note())).exit_code(), 0);
}

#[test]
fn a_torn_end_is_left_out_and_damage_is_an_error() {
    let mut fixture = Fixture::new(4);
    fixture.plain();
    let (dir, folder) = folder_of(&fixture);
    let path = dir.path().join(JOURNAL_FILE);
    fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(&[9, 0, 0]))
        .expect("writes");
    assert_eq!(gather(&folder).expect("gathers").bytes, fixture.export());
    let mut bytes = fs::read(&path).expect("reads");
    bytes[60] ^= 1;
    fs::write(&path, bytes).expect("writes");
    assert!(matches!(gather(&folder), Err(GatherError::Ledger(LedgerError::Corrupt { offset: 0, .. }))));
}

#[test]
fn what_is_missing_is_named() {
    let fixture = Fixture::of_64_entries();
    let (dir, folder) = folder_of(&fixture);
    let certificates = dir.path().join("certificates");
    let first = fs::read_dir(&certificates).expect("reads").next().expect("one").expect("reads").path();
    fs::remove_file(first).expect("removes");
    let found = gather(&folder).expect("gathers");
    assert_eq!((found.certificates, found.certificates_missing.len()), (1, 1));
    assert_eq!(verify(&found.bytes, None).exit_code(), 4);
    for file in ["roster", "checkpoint"] {
        let (dir, folder) = folder_of(&fixture);
        fs::remove_file(dir.path().join(file)).expect("removes");
        let error = gather(&folder).expect_err("incomplete").to_string();
        assert!(error.contains(file) && error.contains("start the client once"), "{error}");
    }
    let nothing = tempfile::tempdir().expect("a folder");
    assert!(gather(&LedgerFolder::at(nothing.path())).is_err());
    assert_eq!(fs::read_dir(nothing.path()).expect("reads").count(), 0, "nothing is made");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let error = gather(&LedgerFolder::at(&dir.path().join("ledgers"))).expect_err("nothing is there");
    assert!(matches!(error, GatherError::NoFolder { .. }), "{error}");
    assert!(error.to_string().contains("ledgers: expected the folder"), "{error}");
}
