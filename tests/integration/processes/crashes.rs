//! A client that is killed with SIGKILL at every labelled point, masked and plain, and at random moments: its ledger never
//! forgets what it spent, never spends twice, and nothing is sent before its COMMIT is on disk.
//!
//! 15 random moments; `GUILDHALL_FULL_COUNTS=1` kills at 300, `GUILDHALL_CASE=N` draws other moments.

use std::time::Duration;

use guildhall_client::driver::{HaltPoint, Step};
use guildhall_ledger::export::Export;
use guildhall_ledger::folder::LedgerFolder;
use guildhall_ledger::journal::entry_bytes;
use guildhall_ledger::merkle::{MerkleTree, leaf_hash};
use guildhall_ledger::verify::verify;
use guildhall_ledger::{Entry, Event, Membership};
use guildhall_shared::id::RoundId;
use guildhall_shared::job::Aggregation;
use guildhall_shared::secagg::transcript::SignedUpdate;
use serde_json::Value;
use tally::{Fate, Tally};

use super::PATIENCE;
use super::federation::{Federation, Member, dummy_job, masked_job};

#[allow(dead_code, reason = "others use the rest")]
#[path = "../../../privacy/ledger/tests/ledger/tally.rs"]
mod tally;

/// More than are ever played: the others go on while the dead one comes back.
const ROUNDS: u32 = 5_000;
const PRIVACY: &str = "privacy = { epsilon = 8.0, delta = 1e-6 }";
/// The client that is killed. The others are a quorum without it: rounds that are aborted are tried again after pauses that
/// grow.
const VICTIM: &str = "d";

/// What the ledger must say of the attempt in which a client died.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Standing {
    /// The point is not one of an attempt, or an attempt may or may not be under way.
    Any,
    /// Nothing.
    Absent,
    Reserved,
    Refunded,
    Committed,
    Settled,
}

/// In which modes a client comes to a step, and how the ledger stands before and after it.
fn of_step(step: Step) -> (&'static [Aggregation], Standing, Standing) {
    use Aggregation::{Masked, Plain};
    use Standing::{Absent, Any, Committed, Refunded, Reserved, Settled};
    match step {
        Step::Pinned | Step::Opened | Step::Compared | Step::Stored => (&[Masked, Plain], Any, Any),
        Step::Reserved => (&[Masked, Plain], Absent, Reserved),
        Step::Accepted => (&[Plain], Reserved, Reserved),
        Step::Advertised | Step::Shared | Step::Witnessed => (&[Masked], Reserved, Reserved),
        Step::Masked => (&[Masked, Plain], Reserved, Reserved),
        Step::Refunded => (&[Masked, Plain], Reserved, Refunded),
        Step::Committed => (&[Masked, Plain], Reserved, Committed),
        Step::Uploaded | Step::Received => (&[Masked, Plain], Committed, Committed),
        Step::Remembered | Step::Certified | Step::Unmasked => (&[Masked], Committed, Committed),
        Step::Settled => (&[Masked, Plain], Committed, Settled),
    }
}

fn standing_at(point: HaltPoint) -> Standing {
    match point {
        HaltPoint::Before(step) => of_step(step).1,
        HaltPoint::After(step) => of_step(step).2,
    }
}

fn step_of(point: HaltPoint) -> Step {
    match point {
        HaltPoint::Before(step) | HaltPoint::After(step) => step,
    }
}

/// The points of a mode in an order in which a client can come to them: the server has seen nothing of a ledger before its
/// first update.
fn points(mode: Aggregation) -> Vec<HaltPoint> {
    let mut points: Vec<HaltPoint> =
        HaltPoint::all().filter(|point| of_step(step_of(*point)).0.contains(&mode)).collect();
    points.sort_by_key(|point| step_of(*point) == Step::Compared);
    points
}

fn others(mode: Aggregation) -> &'static [&'static str] {
    match mode {
        Aggregation::Masked => &["a", "b", "c"],
        Aggregation::Plain => &["a", "b"],
    }
}

/// Starts a federation whose one client dies at its first point.
fn federation(mode: Aggregation, first: Option<HaltPoint>) -> Federation {
    let member = |name: &&'static str| match mode {
        Aggregation::Masked => Member { budget_epsilon: 50.0, ..Member::masked(name) },
        Aggregation::Plain => Member { budget_epsilon: 50.0, ..Member::new(name) },
    };
    let members: Vec<Member> = others(mode).iter().chain([&VICTIM]).map(member).collect();
    let job = match mode {
        Aggregation::Masked => masked_job(ROUNDS, PRIVACY, 2_000, 2_000) + "upload_slot_ms = 100\n",
        Aggregation::Plain => dummy_job(ROUNDS, 2, PRIVACY, 2_000, 100)
            .replace("accept_deadline_ms = 3000", "accept_deadline_ms = 2000"),
    };
    let mut federation = Federation::start(&members);
    let halts: Vec<(&str, String)> = first.iter().map(|point| (VICTIM, point.name())).collect();
    federation.begin_with(&job, &halts);
    federation
}

/// A ledger as it lies on disk, without its lock.
fn entries_of(federation: &Federation, folder: &str) -> Vec<Vec<u8>> {
    let journal = LedgerFolder::at(&federation.path(folder)).journal().expect("a journal");
    entry_bytes(&journal).expect("whole").into_iter().map(<[u8]>::to_vec).collect()
}

fn events(entries: &[Vec<u8>]) -> impl Iterator<Item = Event> {
    entries.iter().map(|bytes| Entry::from_bytes(bytes).expect("an entry").event)
}

fn membership(entries: &[Vec<u8>]) -> Option<Membership> {
    events(entries).find_map(|event| match event {
        Event::Roster { membership, .. } => Some(membership),
        _ => None,
    })
}

/// Whatever the server has of this merchant was committed on this disk, with this hash, when its ledger stood where the server
/// was told: called between a kill and the next start. Returns how many updates the server has.
fn sent_implies_committed(federation: &Federation) -> usize {
    let theirs = entries_of(federation, "server/ledger");
    let ours = entries_of(federation, &format!("{VICTIM}/ledger"));
    let Some(own) = membership(&ours).and_then(|membership| membership.own) else { return 0 };
    let (tally, mut tree) = (Tally::of(ours.iter().map(Vec::as_slice)), MerkleTree::default());
    ours.iter().for_each(|bytes| tree.push(leaf_hash(bytes)));
    let mut seen = 0;
    for event in events(&theirs) {
        let Event::Witness { sid, updates, .. } = event else { continue };
        for SignedUpdate { hash, head, .. } in updates.into_iter().filter(|update| update.merchant == own) {
            let fate = tally.sessions.get(&sid).expect("reserved before it was sent");
            assert_eq!(fate.committed, Some((head.size, Some(hash))), "committed before it was sent");
            assert_eq!(tree.root_at(head.size), Ok(head.root));
            seen += 1;
        }
    }
    seen
}

/// The one session of an attempt.
fn fate_of(tally: &Tally, at: RoundId) -> Option<Fate> {
    tally.sessions.values().find(|fate| fate.round == at).cloned()
}

fn stands(fate: Option<&Fate>) -> Standing {
    match fate {
        None => Standing::Absent,
        Some(fate) if fate.refunded => Standing::Refunded,
        Some(fate) if fate.settled.is_some() => Standing::Settled,
        Some(fate) if fate.committed.is_some() => Standing::Committed,
        Some(_) => Standing::Reserved,
    }
}

/// The running client's ledger, exported and verified with the program.
fn export(federation: &Federation) -> Option<Tally> {
    let ledger = format!("{VICTIM}/ledger");
    membership(&entries_of(federation, &ledger))?;
    let exported = federation.run(&["ledger", "export", &ledger, "--out", "export"]);
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let verified = federation.run(&["ledger", "verify", "export"]);
    assert_eq!(verified.status.code(), Some(0), "{}", String::from_utf8_lossy(&verified.stdout));
    let bytes = std::fs::read(federation.path("export")).expect("an export");
    let tally = Tally::of(Export::parse(&bytes).expect("an export").entries);
    let paid: Vec<&Fate> = tally.sessions.values().filter(|fate| !fate.refunded).collect();
    let charge = paid.first().map_or(0, |fate| fate.charge);
    assert_eq!(verify(&bytes, None).spent.pico(), charge * paid.len() as u128, "one charge for each");
    Some(tally)
}

/// What was on disk when a client died is what its next start finds: reserved is refunded, committed stays so.
fn check_recovery(before: &Tally, after: &Tally) {
    for (sid, fate) in &before.sessions {
        let now = after.sessions.get(sid).expect("no session is forgotten");
        if fate.committed.is_none() && !fate.refunded {
            // A kill may tear a frame between two pages: then it counts as committed, without a hash.
            let presumed = now.committed.is_some_and(|(_, update)| update.is_none());
            assert!(now.refunded != presumed, "{fate:?} became {now:?}");
        } else {
            assert_eq!((now.refunded, now.committed), (fate.refunded, fate.committed));
        }
        assert_eq!((now.round, now.charge), (fate.round, fate.charge));
    }
}

fn attempt_of(event: &Value) -> RoundId {
    let number = |key: &str| event[key].as_u64().and_then(|number| number.try_into().ok()).expect("a number");
    RoundId { round: number("round"), attempt: number("attempt") }
}

/// Kills the client, looks at what it left, starts it again and looks at what it made of that. Returns what it left.
fn kill_and_restart(federation: &mut Federation, next: Option<HaltPoint>) -> (Tally, usize) {
    federation.kill(VICTIM);
    let seen = sent_implies_committed(federation);
    let left = Tally::of(entries_of(federation, &format!("{VICTIM}/ledger")).iter().map(Vec::as_slice));
    match next {
        Some(point) => federation.start_client_halting(VICTIM, &point.name()),
        None => federation.start_client(VICTIM),
    }
    // Its ledger is open by then.
    federation.wait_client(VICTIM, PATIENCE, |e| e["event"] == "serving");
    if let Some(found) = export(federation) {
        check_recovery(&left, &found);
    }
    (left, seen)
}

/// Makes the others fall silent, so that an attempt is aborted for want of merchants; or ends that.
fn silence_others(federation: &mut Federation, mode: Aggregation, at: Option<HaltPoint>) {
    for name in others(mode) {
        federation.kill(name);
        match at {
            Some(point) => federation.start_client_halting(name, &point.name()),
            None => federation.start_client(name),
        }
    }
}

fn die_at_every_point(mode: Aggregation) {
    let points = points(mode);
    let mut federation = federation(mode, points.first().copied());
    let (mut silent, mut seen) = (false, 0);
    for (place, point) in points.iter().enumerate() {
        let refund = step_of(*point) == Step::Refunded;
        if refund != silent {
            let at = if mode == Aggregation::Masked { Step::Advertised } else { Step::Accepted };
            silence_others(&mut federation, mode, refund.then_some(HaltPoint::Before(at)));
            silent = refund;
        }
        let halted = federation.wait_client(VICTIM, PATIENCE, |e| e["event"] == "halted");
        assert_eq!(halted["stage"], point.name(), "{halted}");
        let (left, sent) = kill_and_restart(&mut federation, points.get(place + 1).copied());
        let expected = standing_at(*point);
        if expected != Standing::Any {
            let fate = fate_of(&left, attempt_of(&halted));
            assert_eq!(stands(fate.as_ref()), expected, "killed at {point:?}: {fate:?}");
        }
        seen = sent;
    }
    assert!(seen > 0, "the server has some of its updates");
    // It takes part again.
    let merchant = |e: &Value| super::names(&e["merchants"]).contains(&VICTIM);
    federation.wait(PATIENCE, |e| e["event"] == "round_settled" && merchant(e));
}

#[test]
fn a_client_killed_at_any_labelled_point_spends_nothing_twice_and_sends_nothing_uncommitted() {
    std::thread::scope(|scope| {
        for mode in [Aggregation::Masked, Aggregation::Plain] {
            scope.spawn(move || die_at_every_point(mode));
        }
    });
}

#[test]
fn every_labelled_point_belongs_to_a_mode() {
    let (masked, plain) = (points(Aggregation::Masked), points(Aggregation::Plain));
    assert!(masked.len() >= 20 && plain.len() >= 20, "{masked:?} {plain:?}");
    assert!(HaltPoint::all().all(|point| masked.contains(&point) || plain.contains(&point)));
}

#[test]
fn a_client_killed_at_random_moments_spends_nothing_twice_and_sends_nothing_uncommitted() {
    let full = std::env::var_os("GUILDHALL_FULL_COUNTS").is_some_and(|value| value == "1");
    let kills = if full { 300 } else { 15 };
    let case: u64 = std::env::var("GUILDHALL_CASE").ok().and_then(|case| case.parse().ok()).unwrap_or(1);
    let mut federation = federation(Aggregation::Masked, None);
    let (mut drawn, mut sessions) = (case, 0);
    for _ in 0..kills {
        federation.wait_client(VICTIM, PATIENCE, |e| e["event"] == "accepted");
        drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis((drawn >> 33) % 400));
        let (left, _) = kill_and_restart(&mut federation, None);
        assert!(left.sessions.len() > sessions, "it took part since");
        sessions = left.sessions.len();
    }
    federation.wait_client(VICTIM, PATIENCE, |e| e["event"] == "new_model");
    federation.kill(VICTIM);
    assert!(sent_implies_committed(&federation) > 0, "the server has some of its updates");
}
