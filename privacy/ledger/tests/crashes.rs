//! Ledgers of processes that are killed with SIGKILL at random moments, one after the other on the same folder.
//!
//! 40 kills; `GUILDHALL_FULL_COUNTS=1` kills 1,000 times. `GUILDHALL_CASE=N` draws other moments.

#[allow(dead_code, reason = "the ledger's own tests use all of it")]
#[path = "ledger/fixture.rs"]
mod fixture;
#[allow(dead_code, reason = "others use the rest")]
#[path = "ledger/tally.rs"]
mod tally;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fixture::{Fixture, OWN};
use guildhall_ledger::book::{Book, Owner};
use guildhall_ledger::folder::LedgerFolder;
use guildhall_ledger::gather::gather;
use guildhall_ledger::journal::entry_bytes;
use guildhall_ledger::note::Checkpoint;
use guildhall_ledger::verify::verify;
use guildhall_ledger::{AuditFinding, AuditVerdict, Event, Outcome, Protection, Travel};
use guildhall_shared::digest::Digest;
use guildhall_shared::identity::IdentityKey;
use tally::Tally;

/// The folder that a child works in.
const FOLDER: &str = "GUILDHALL_CRASH_FOLDER";
/// What it draws its work from.
const SEED: &str = "GUILDHALL_CRASH_SEED";
/// After so many kills the next ledger begins: each start reads all of it.
const KILLS_PER_LEDGER: u64 = 40;

/// Chances by a seed (SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}

fn owner(keys: &Fixture) -> Owner {
    let key = IdentityKey::from_secret(&keys.merchants[usize::from(OWN.0)].to_secret());
    Owner { signer: keys.owner(), key }
}

/// One who works, and says what is durable as soon as it is told so.
struct Worker {
    book: Book,
    keys: Fixture,
    chance: Chance,
}

impl Worker {
    fn open(dir: &Path, seed: u64) -> Self {
        let (book, _) = Book::open(dir).expect("opens");
        let mut worker = Worker { book, keys: Fixture::empty(4), chance: Chance(seed) };
        if worker.book.state().limit().is_none() {
            worker.record(fixture::policy(8.0));
        }
        let (membership, roster) = (worker.keys.membership(), worker.keys.roster.clone());
        let owner = owner(&worker.keys);
        worker.book.join(membership, &roster, owner).expect("joins");
        let rounds = ["plain", "masked"].map(|job| worker.book.state().last_round(&fixture::name(job)));
        worker.keys.round = rounds.into_iter().flatten().map(|last| last.round).max().unwrap_or(0);
        worker.say("OPEN", Digest([0; 32]));
        worker
    }

    /// Unbuffered: once it is written, somebody else has it.
    fn say(&self, what: &str, sid: Digest) {
        let line = format!("\n@ {what} {sid} {}\n", self.book.head().size);
        std::io::stdout()
            .write_all(line.as_bytes())
            .and_then(|()| std::io::stdout().flush())
            .expect("a pipe");
    }

    fn record(&mut self, event: Event) {
        self.book.record(vec![event]).expect("legal, and written");
    }

    fn reserve(&mut self) -> (Digest, Travel) {
        let masked = Travel::Masked { colluders: self.keys.numbers.colluders };
        let (job, travel) =
            if self.chance.below(2) == 0 { ("plain", Travel::Plain) } else { ("masked", masked) };
        let mut asked = self.keys.reservation(job, travel);
        if let Protection::Gaussian { noise_standard_deviation_local, .. } = &mut asked.protection {
            // Cheap, so that the budget outlasts the test.
            *noise_standard_deviation_local = 1 << 34;
        }
        asked.charge = asked.protection.charge();
        asked.model = Digest::of("model", &[&(asked.round.round - 1).to_le_bytes()]);
        let sid = asked.sid;
        self.record(Event::Reserve { reservation: asked, time_unix_s: 1_700_000_000 });
        self.say("RESERVE", sid);
        (sid, travel)
    }

    fn finish(&mut self, sid: Digest, travel: Travel) {
        if self.chance.below(5) == 0 {
            self.record(Event::Refund { sid });
            return self.say("REFUND", sid);
        }
        self.record(Event::Commit { sid, update: Some(self.keys.update(&sid, OWN.0)), data: None });
        self.say("COMMIT", sid);
        self.say("SENT", sid);
        let outcome = match travel {
            Travel::Plain => Outcome::Aborted,
            Travel::Masked { .. } => {
                let certificate = self.keys.certificate(sid, self.book.head());
                let digest = self.book.keep_certificate(&certificate).expect("written");
                // Its version is the number of the round: the later one of two may be released first.
                let version = self.keys.round;
                let model = Digest::of("model", &[&version.to_le_bytes()]);
                let survivors = self.keys.merchants.len() as u32;
                Outcome::Released { version, model, survivors, certificate: Some(digest) }
            }
        };
        self.record(Event::Settle { sid, outcome });
        self.say("SETTLE", sid);
    }

    fn be_witnessed(&mut self) {
        let head = self.book.head();
        let checkpoint = Checkpoint { origin: self.keys.owner().name, head };
        let cosignature = checkpoint.cosign(&self.keys.federation, 1_700_000_400);
        let server = self.keys.server();
        self.book.keep_cosignature(head, &server, 1_700_000_400, cosignature).expect("kept");
    }

    fn work(&mut self) {
        match self.chance.below(8) {
            0 => {
                let (verdict, summary) = (AuditVerdict::Pass, "mechanism".into());
                let finding = AuditFinding { tier: 'A', verdict, report: Digest([4; 32]), summary };
                self.book.note(Event::Audit { finding, time_unix_s: 1_700_000_500 }).expect("written");
                self.say("AUDIT", Digest([0; 32]));
            }
            1 => self.be_witnessed(),
            2 => {
                // Several plain ones at once.
                let all = [(); 3].map(|()| self.reserve());
                all.into_iter().filter(|(_, travel)| *travel == Travel::Plain).for_each(|(sid, travel)| {
                    self.finish(sid, travel);
                });
            }
            _ => {
                let (sid, travel) = self.reserve();
                self.finish(sid, travel);
            }
        }
    }
}

/// Works until it is killed, or has done enough.
#[ignore = "started in a process of its own by a_thousand_kills_lose_nothing"]
#[test]
fn works_until_it_is_killed() {
    let Some(dir) = std::env::var_os(FOLDER) else { return };
    let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok()).expect("a seed");
    let mut worker = Worker::open(Path::new(&dir), seed);
    (0..500).for_each(|_| worker.work());
}

/// When a child dies.
enum Death {
    /// As soon as it has said so many lines.
    Line(u64),
    /// So long after its ledger is open.
    Delay(Duration),
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_child(dir: &Path, seed: u64) -> Killed {
    let me = std::env::current_exe().expect("a path");
    let child = Command::new(me)
        .args(["--exact", "works_until_it_is_killed", "--ignored", "--nocapture"])
        .env(FOLDER, dir)
        .env(SEED, seed.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    Killed(child.expect("the test program starts"))
}

/// What one child said before it died.
fn said_until(dir: &Path, seed: u64, death: &Death) -> Vec<String> {
    let mut child = start_child(dir, seed);
    let output = BufReader::new(child.0.stdout.take().expect("piped"));
    let mut said = Vec::new();
    for line in output.lines() {
        let line = line.expect("UTF-8");
        let Some(line) = line.strip_prefix("@ ") else { continue };
        said.push(line.to_owned());
        match death {
            Death::Line(count) if said.len() as u64 == *count => child.0.kill().expect("killed"),
            Death::Delay(delay) if said.len() == 1 => {
                // What it says meanwhile waits in the pipe.
                std::thread::sleep(*delay);
                child.0.kill().expect("killed");
            }
            _ => {}
        }
    }
    said
}

/// A folder and all that was ever said about it.
struct Watched {
    folder: tempfile::TempDir,
    said: BTreeMap<(String, String), u64>,
    entries: Vec<Vec<u8>>,
    note: Option<Vec<u8>>,
    committed: u128,
    spent: u128,
    /// Entries that were on disk and not acknowledged; sessions that recovery refunded.
    unsaid: u64,
    refunded: usize,
}

impl Watched {
    fn new() -> Self {
        Watched {
            folder: tempfile::tempdir().expect("a folder"),
            said: BTreeMap::new(),
            entries: Vec::new(),
            note: None,
            committed: 0,
            spent: 0,
            unsaid: 0,
            refunded: 0,
        }
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    fn kill_once(&mut self, seed: u64, death: &Death) {
        let mut acknowledged = self.entries.len() as u64;
        let said = said_until(&self.dir(), seed, death);
        // POLICY and ROSTER come before the first line; later one entry at a time.
        let unsaid_max = if said.is_empty() { 2 } else { 1 };
        for line in said {
            let words: Vec<&str> = line.split(' ').collect();
            let [what, sid, size] = words[..] else { panic!("{line}") };
            acknowledged = size.parse().expect("a number");
            self.said.insert((what.into(), sid.into()), acknowledged);
        }
        let (mut book, recovery) = Book::open(&self.dir()).expect("opens");
        let found = recovery.entries;
        assert!(acknowledged <= found, "{acknowledged} entries were acknowledged, {found} are there");
        assert!(found - acknowledged <= unsaid_max, "{acknowledged} acknowledged, {found} there");
        self.unsaid += found - acknowledged;
        self.refunded += recovery.refunded.len();
        let folder = LedgerFolder::at(&self.dir());
        let journal = folder.journal().expect("reads");
        let entries = entry_bytes(&journal).expect("whole");
        assert_eq!(entries[..self.entries.len()], self.entries, "what was there stays");
        let tally = Tally::of(entries.iter().copied());
        self.check_said(&tally);
        assert_eq!(tally.spent(), book.state().spent().pico());
        self.check_sums(&tally);
        self.entries = entries.into_iter().map(<[u8]>::to_vec).collect();

        let keys = Fixture::empty(4);
        if book.state().membership().is_some() {
            book.join(keys.membership(), &keys.roster, owner(&keys)).expect("joins");
            let export = gather(&folder).expect("complete").bytes;
            let verification = verify(&export, self.note.as_deref());
            assert_eq!(verification.exit_code(), 0, "{verification}");
            assert_eq!(verification.spent.pico(), tally.spent());
            self.note = folder.checkpoint().expect("reads").map(String::into_bytes);
        }
    }

    /// Everything that was acknowledged is so, and what was sent had its COMMIT on disk before.
    fn check_said(&self, tally: &Tally) {
        let sessions: BTreeMap<String, _> =
            tally.sessions.iter().map(|(sid, fate)| (sid.to_string(), fate)).collect();
        let of_sessions = |what: &str| what != "OPEN" && what != "AUDIT";
        for ((what, sid), size) in self.said.iter().filter(|((what, _), _)| of_sessions(what)) {
            let fate = sessions.get(sid).unwrap_or_else(|| panic!("{what} {sid} is lost"));
            let committed = fate.committed.is_some_and(|(at, update)| at <= *size && update.is_some());
            let kept = match what.as_str() {
                "RESERVE" => true,
                "REFUND" => fate.refunded,
                "COMMIT" | "SENT" => committed && !fate.refunded,
                "SETTLE" => committed && fate.settled.is_some(),
                other => panic!("{other}"),
            };
            assert!(kept, "{what} {sid} was acknowledged: {fate:?}");
        }
    }

    /// Neither what is committed nor what is spent ever falls.
    fn check_sums(&mut self, tally: &Tally) {
        let committed = tally.sessions.values().filter(|fate| fate.committed.is_some());
        let committed = committed.map(|fate| fate.charge).sum();
        assert!(committed >= self.committed && tally.spent() >= self.spent);
        assert_eq!(committed, tally.spent(), "nothing is open: {tally:?}");
        (self.committed, self.spent) = (committed, tally.spent());
    }
}

#[test]
fn a_thousand_kills_lose_nothing() {
    let full = std::env::var_os("GUILDHALL_FULL_COUNTS").is_some_and(|value| value == "1");
    let kills: u64 = if full { 1_000 } else { 40 };
    let case = std::env::var("GUILDHALL_CASE").ok().and_then(|case| case.parse().ok()).unwrap_or(0);
    let mut chance = Chance(case);
    let (mut unsaid, mut refunded, mut entries) = (0, 0, 0);
    for first in (0..kills).step_by(KILLS_PER_LEDGER as usize) {
        let mut watched = Watched::new();
        for kill in first..kills.min(first + KILLS_PER_LEDGER) {
            let death = match kill % 2 {
                0 => Death::Line(1 + chance.below(60)),
                _ => Death::Delay(Duration::from_micros(chance.below(40_000))),
            };
            watched.kill_once(kill, &death);
        }
        unsaid += watched.unsaid;
        refunded += watched.refunded;
        entries += watched.entries.len();
    }
    eprintln!("{kills} kills, {entries} entries, {unsaid} of them unacknowledged, {refunded} refunded");
    assert!(refunded > 0 && unsaid > 0 && entries as u64 > 10 * kills);
}
