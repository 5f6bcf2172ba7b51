//! Folders that were cut short, damaged or forged.

use super::*;

/// Open, use and drop a ledger: one committed and settled, one refunded, two committed, one left open.
fn history(dir: &Path) {
    let (mut ledger, recovery) = Ledger::open(dir, LIMIT).expect("opens");
    assert_eq!(recovery, Recovery::default());
    let protection = |round: u64| gaussian(BOUND * (20 + round));
    for round in 0..4 {
        let reserved = ledger.reserve(ask("job", round, protection(round.into()))).expect("room");
        if round == 1 {
            ledger.refund(reserved).expect("not committed");
            continue;
        }
        let committed =
            ledger.commit(reserved, update(BOUND * (20 + u64::from(round)))).expect("as reserved");
        if round == 0 {
            ledger.settle(committed.sid(), RELEASED).expect("committed");
        }
    }
    let _ = ledger.reserve(ask("late", 0, protection(9))).expect("room");
}

fn committed_charges(entries: &[(u64, Entry)], until: u64) -> PicoRho {
    let charge = |sid: &Digest| {
        entries.iter().find_map(|(_, entry)| match &entry.event {
            Event::Reserve { reservation, .. } if reservation.sid == *sid => Some(reservation.charge),
            _ => None,
        })
    };
    entries.iter().filter(|(offset, _)| *offset < until).fold(PicoRho::ZERO, |sum, (_, entry)| {
        match &entry.event {
            Event::Commit { sid, .. } => sum.saturating_add(charge(sid).expect("was reserved")),
            _ => sum,
        }
    })
}

#[test]
fn a_ledger_comes_back_as_it_was() {
    let dir = tempfile::tempdir().expect("a folder");
    history(dir.path());
    let (ledger, recovery) = Ledger::open(dir.path(), LIMIT).expect("opens");
    assert_eq!(recovery.refunded, [ask("late", 0, Protection::None).sid]);
    assert_eq!((recovery.entries, recovery.torn_bytes), (11, 0));
    assert!(recovery.presumed_committed.is_empty());
    let expected = [20, 22, 23].map(|s| gaussian(BOUND * s).charge());
    assert_eq!(ledger.spent(), expected.iter().fold(PicoRho::ZERO, |a, b| a.saturating_add(*b)));
    assert_eq!(ledger.last_round(&name("job")), Some(RoundId { round: 3, attempt: 0 }));
    assert!(matches!(Ledger::open(dir.path(), LIMIT), Err(LedgerError::Locked { .. })));
    drop(ledger);
    let (ledger, recovery) =
        Ledger::open(dir.path(), BudgetLimit { epsilon: 0.1, delta: 1e-6 }).expect("opens");
    assert_eq!(recovery, Recovery { entries: 12, ..Recovery::default() });
    assert!(ledger.rho_limit() < ledger.spent(), "a lowered budget may already be spent");
    let mut ledger = ledger;
    assert!(matches!(ledger.reserve(ask("job", 9, gaussian(1 << 50))), Err(LedgerError::OverBudget { .. })));
}

/// Power fails at any byte: recovery never forgets a commit of which even one byte was on the disk, and recovering
/// twice gives the same sum.
#[test]
fn a_cut_at_any_byte_never_undercounts() {
    let source = tempfile::tempdir().expect("a folder");
    history(source.path());
    let bytes = std::fs::read(source.path().join(JOURNAL_FILE)).expect("reads");
    let entries = Journal::open(source.path()).expect("opens").1.entries;
    let mut presumed = 0;
    for cut in 0..=bytes.len() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join(JOURNAL_FILE), &bytes[..cut]).expect("writes");
        let (ledger, recovery) = Ledger::open(dir.path(), LIMIT).expect("a torn end is no damage");
        let spent = ledger.spent();
        assert!(spent >= committed_charges(&entries, cut as u64), "cut at {cut}: {spent} is too little");
        assert!(ledger.state().open_sessions().is_empty(), "cut at {cut}");
        presumed += recovery.presumed_committed.len();
        drop(ledger);
        let (again, second) = Ledger::open(dir.path(), LIMIT).expect("opens");
        assert_eq!(again.spent(), spent, "cut at {cut}: recovery is not settled");
        assert_eq!((second.torn_bytes, second.refunded.len(), second.presumed_committed.len()), (0, 0, 0));
    }
    assert!(presumed > 100, "tears with an open reservation were tested: {presumed}");
}

/// Any single damaged byte is either reported with the file's name, or lies in the last frame and costs nothing.
#[test]
fn a_damaged_byte_is_reported_or_never_undercounts() {
    let source = tempfile::tempdir().expect("a folder");
    history(source.path());
    let bytes = std::fs::read(source.path().join(JOURNAL_FILE)).expect("reads");
    let entries = Journal::open(source.path()).expect("opens").1.entries;
    let (last, all) = (entries.last().expect("entries").0, committed_charges(&entries, u64::MAX));
    for offset in 0..bytes.len() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut damaged = bytes.clone();
        damaged[offset] ^= 1 << (offset % 8);
        let path = dir.path().join(JOURNAL_FILE);
        std::fs::write(&path, &damaged).expect("writes");
        match Ledger::open(dir.path(), LIMIT) {
            Ok((ledger, _)) => {
                assert!(offset as u64 >= last, "byte {offset} went unnoticed");
                assert!(ledger.spent() >= all, "byte {offset}: spend was lost");
            }
            Err(LedgerError::Corrupt { path: named, offset: at, .. }) => {
                assert_eq!(named, path);
                assert!(at <= offset as u64, "byte {offset} reported at {at}");
                assert_eq!(std::fs::read(&path).expect("reads"), damaged, "nothing is changed");
            }
            Err(other) => panic!("byte {offset}: {other}"),
        }
    }
}

/// A history that the rules would not have allowed, with good checksums.
#[test]
fn a_forged_history_is_damage() {
    let events: [Vec<Event>; 4] = [
        vec![Event::Commit { sid: sid(1), update: None, data: None }],
        vec![Event::Reserve { reservation: ask("job", 0, gaussian(BOUND * 20)), time_unix_s: 0 }],
        vec![Event::Policy { limit: BudgetLimit { epsilon: -1.0, delta: 0.5 }, time_unix_s: 0 }],
        vec![
            Event::Policy { limit: LIMIT, time_unix_s: 0 },
            Event::Reserve { reservation: ask("job", 0, gaussian(BOUND / 4)), time_unix_s: 0 },
        ],
    ];
    for forged in events {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut journal, _) = Journal::open(dir.path()).expect("opens");
        let mut previous = Digest([0; 32]);
        let entry = |(sequence, event)| {
            let entry = Entry { version: ENTRY_VERSION, sequence: sequence as u64, previous, event };
            previous = leaf_hash(&entry.to_bytes().expect("encodes"));
            entry
        };
        let entries: Vec<Entry> = forged.into_iter().enumerate().map(entry).collect();
        journal.append(&entries).expect("writes");
        drop(journal);
        assert!(matches!(Ledger::open(dir.path(), LIMIT), Err(LedgerError::Corrupt { .. })), "{entries:?}");
    }
    let dir = tempfile::tempdir().expect("a folder");
    let (mut journal, _) = Journal::open(dir.path()).expect("opens");
    let event = Event::Policy { limit: LIMIT, time_unix_s: 0 };
    journal
        .append(&[Entry { version: ENTRY_VERSION, sequence: 1, previous: Digest([0; 32]), event }])
        .expect("writes");
    drop(journal);
    let refused = Ledger::open(dir.path(), LIMIT).err().expect("a gap").to_string();
    assert!(refused.contains("expected entry 0 of version 4, found entry 1"), "{refused}");
}
