//! What a large ledger costs: durable appends, proofs, and a whole offline verification.
//!
//! `cargo bench -p guildhall-ledger [-- ENTRIES]`; a million entries unless said otherwise.

#[allow(dead_code, reason = "the ledger's own tests use all of it")]
#[path = "../tests/ledger/fixture.rs"]
mod fixture;

use std::path::Path;
use std::time::{Duration, Instant};

use fixture::{Fixture, policy};
use guildhall_ledger::folder::LedgerFolder;
use guildhall_ledger::gather::gather;
use guildhall_ledger::journal::Journal;
use guildhall_ledger::merkle::{leaf_hash, verify_inclusion};
use guildhall_ledger::verify::verify;
use guildhall_ledger::{Entry, Event, Outcome, Travel};

const ENTRIES: usize = 1_000_000;
/// Frames that are made durable at once while the ledger is filled.
const BATCH: usize = 1_000;
const APPENDS: usize = 2_000;
const CERTIFICATES: usize = 50;

fn main() {
    let wanted = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let entries =
        wanted.unwrap_or(if std::env::args().any(|argument| argument == "--bench") { ENTRIES } else { 300 });
    let dir = tempfile::tempdir().expect("a folder");
    let (mut journal, _) = Journal::open(dir.path()).expect("opens");
    let mut fixture = filled(&mut journal, entries);
    proofs(&fixture);
    appends(&mut journal, &mut fixture, None);
    appends(&mut journal, &mut fixture, Some(LedgerFolder::at(dir.path())));
    drop(journal);
    verification(dir.path(), fixture);
    for merchants in [10, 100] {
        certificates(merchants);
    }
}

fn print(what: &str, figure: impl std::fmt::Display) {
    println!("{what:<60} {figure}");
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.3} ms", duration.as_secs_f64() * 1e3)
}

/// Judged and taken in; the caller keeps it.
fn next(fixture: &mut Fixture, event: Event) -> Entry {
    let entry = fixture.state.decide(event).expect("legal");
    let bytes = entry.to_bytes().expect("encodes");
    fixture.state.apply(&entry, leaf_hash(&bytes));
    fixture.entries.push(bytes);
    entry
}

fn session(fixture: &mut Fixture) -> [Event; 3] {
    let reservation = fixture.reservation("job", Travel::Plain);
    let sid = reservation.sid;
    let update = Some(fixture.update(&sid, 1));
    [
        Event::Reserve { reservation, time_unix_s: 1_700_000_000 },
        Event::Commit { sid, update, data: None },
        Event::Settle { sid, outcome: Outcome::Aborted },
    ]
}

/// A journal of plain sums: RESERVE, COMMIT, SETTLE.
fn filled(journal: &mut Journal, entries: usize) -> Fixture {
    let mut fixture = Fixture::empty(4);
    let (limit, membership) = (policy(1e6), fixture.membership());
    let mut batch = vec![next(&mut fixture, limit)];
    batch.push(next(&mut fixture, Event::Roster { membership, time_unix_s: 5 }));
    while fixture.entries.len() < entries {
        for event in session(&mut fixture) {
            batch.push(next(&mut fixture, event));
        }
        if batch.len() >= BATCH {
            journal.append(&batch).expect("appends");
            batch.clear();
        }
    }
    journal.append(&batch).expect("appends");
    let bytes: usize = fixture.entries.iter().map(Vec::len).sum();
    print("entries", fixture.entries.len());
    print("bytes of an entry, mean", bytes / fixture.entries.len());
    fixture
}

fn quantiles(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| milliseconds(times[((times.len() - 1) as f64 * share) as usize]);
    print(what, format!("p50 {}, p99 {}, most {}", at(0.5), at(0.99), at(1.0)));
}

/// One entry at a time, durable; with a folder also its signed checkpoint.
fn appends(journal: &mut Journal, fixture: &mut Fixture, folder: Option<LedgerFolder>) {
    let mut times = Vec::new();
    while times.len() < APPENDS {
        for event in session(fixture) {
            let started = Instant::now();
            let entry = next(fixture, event);
            journal.append(std::slice::from_ref(&entry)).expect("appends");
            if let Some(folder) = &folder {
                folder.write_checkpoint(&fixture.checkpoint()).expect("writes");
            }
            times.push(started.elapsed());
        }
    }
    let with = if folder.is_some() { " and signed checkpoint" } else { "" };
    quantiles(&format!("durable append{with}"), times);
}

fn proofs(fixture: &Fixture) {
    let (tree, size) = (fixture.state.tree(), fixture.state.tree().size());
    let root = tree.root();
    let (mut times, mut most) = (Vec::new(), 0);
    for step in 0..1_000u64 {
        let index = step.wrapping_mul(0x9E37_79B9_7F4A_7C15) % size;
        let started = Instant::now();
        let proof = tree.inclusion_proof(index, size).expect("inside");
        times.push(started.elapsed());
        most = most.max(proof.len() * 32);
        let leaf = leaf_hash(&fixture.entries[index as usize]);
        assert!(verify_inclusion(&leaf, index, size, &proof, &root));
    }
    quantiles("inclusion proof", times);
    print("inclusion proof, bytes of hashes, most", most);
}

fn verification(dir: &Path, fixture: Fixture) {
    let folder = LedgerFolder::at(dir);
    folder.write_roster(&fixture.federation.public(), &fixture.roster).expect("writes");
    folder.write_checkpoint(&fixture.checkpoint()).expect("writes");
    drop(fixture);
    let started = Instant::now();
    let export = gather(&folder).expect("gathers").bytes;
    print("export of the folder", milliseconds(started.elapsed()));
    print("export, bytes", export.len());
    let started = Instant::now();
    let found = verify(&export, None);
    let elapsed = started.elapsed();
    assert_eq!(found.exit_code(), 0, "{found}");
    print("offline verification without certificates", milliseconds(elapsed));
    print("an entry", format!("{:.2} µs", elapsed.as_secs_f64() * 1e6 / found.entries as f64));
}

fn certificates(merchants: usize) {
    let mut fixture = Fixture::new(merchants);
    (0..CERTIFICATES).for_each(|_| {
        fixture.masked();
    });
    let export = fixture.export();
    let started = Instant::now();
    let found = verify(&export, None);
    let elapsed = started.elapsed();
    assert_eq!((found.exit_code(), found.certificates as usize), (0, CERTIFICATES), "{found}");
    let (all, one) = (milliseconds(elapsed), milliseconds(elapsed / CERTIFICATES as u32));
    print(
        &format!(
            "{CERTIFICATES} masked sums of {merchants} merchants, t = {} signatures each",
            fixture.signatures
        ),
        format!("{all}, {one} a sum, {} bytes a certificate", fixture.certificates[0].len()),
    );
}
