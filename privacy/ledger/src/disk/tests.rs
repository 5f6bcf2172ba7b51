//! Every power cut and every kill while a ledger works: what was acknowledged is there afterwards, whatever was lost.

use std::fs;
use std::path::{Path, PathBuf};

use guildhall_shared::digest::Digest;
use guildhall_shared::identity::IdentityKey;
use tempfile::TempDir;

use super::simulation::{Chance, Disk, Image, Operation, recorded, start_recording, stop_recording};
use crate::book::{Book, Owner, Recovery};
use crate::folder::LedgerFolder;
use crate::gather::gather;
use crate::journal::{JOURNAL_FILE, entry_bytes};
use crate::note::Checkpoint;
use crate::verify::verify;
use crate::{AuditFinding, AuditVerdict, Entry, Event, Outcome, Travel};
use fixture::Fixture;
use tally::Tally;

#[allow(dead_code, reason = "the ledger's own tests use all of it")]
#[path = "../../tests/ledger/fixture.rs"]
mod fixture;
#[allow(dead_code, reason = "others use the rest")]
#[path = "../../tests/ledger/tally.rs"]
mod tally;

/// `ordinary`, or `full` where GUILDHALL_FULL_COUNTS=1.
fn count(ordinary: usize, full: usize) -> usize {
    if std::env::var_os("GUILDHALL_FULL_COUNTS").is_some_and(|value| value == "1") { full } else { ordinary }
}

/// In memory where there is such a place: thousands of folders are made.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a folder")
}

fn ledger_in(root: &Path) -> PathBuf {
    root.join("client/ledger")
}

/// What somebody was told is durable.
#[derive(Clone, Debug, Default)]
struct Known {
    entries: usize,
    certificates: Vec<Digest>,
    /// A checkpoint that may be in an auditor's hands.
    note: Option<String>,
}

/// What a ledger did to its disk, and what it acknowledged when.
struct Scene {
    /// Before.
    disk: Disk,
    begun: Known,
    operations: Vec<Operation>,
    /// After so many operations so much was known.
    marks: Vec<(usize, Known)>,
    /// In the journal at the end.
    entries: Vec<Vec<u8>>,
}

impl Scene {
    fn known_after(&self, operations: usize) -> &Known {
        let known = self.marks.iter().rev().find(|(at, _)| *at <= operations);
        known.map_or(&self.begun, |(_, known)| known)
    }

    /// What may be there at most: nothing that was begun later.
    fn begun_after(&self, operations: usize) -> usize {
        let next = self.marks.iter().find(|(at, _)| *at > operations);
        next.map_or(self.entries.len(), |(_, known)| known.entries)
    }
}

/// With paths below a root: what lies elsewhere is not the ledger's.
fn below(root: &Path, operations: Vec<Operation>) -> Vec<Operation> {
    let inner = |path: PathBuf| path.strip_prefix(root).ok().map(Path::to_path_buf);
    let translate = |operation| {
        Some(match operation {
            Operation::CreateFolder(path) => Operation::CreateFolder(inner(path)?),
            Operation::Open(path) => Operation::Open(inner(path)?),
            Operation::Create(path) => Operation::Create(inner(path)?),
            Operation::Write { path, offset, bytes } => {
                Operation::Write { path: inner(path)?, offset, bytes }
            }
            Operation::SetLength { path, length_bytes } => {
                Operation::SetLength { path: inner(path)?, length_bytes }
            }
            Operation::SyncFile(path) => Operation::SyncFile(inner(path)?),
            Operation::Rename { from, to } => Operation::Rename { from: inner(from)?, to: inner(to)? },
            // Nothing there is the simulated disk's to lose; an operation in its place keeps the marks right.
            Operation::SyncFolder(path) => Operation::SyncFolder(inner(path).unwrap_or("elsewhere".into())),
        })
    };
    operations.into_iter().filter_map(translate).collect()
}

fn entries_in(root: &Path) -> Vec<Vec<u8>> {
    let journal = fs::read(ledger_in(root).join(JOURNAL_FILE)).expect("a journal");
    entry_bytes(&journal).expect("whole").into_iter().map(<[u8]>::to_vec).collect()
}

fn owner(keys: &Fixture) -> Owner {
    let key = IdentityKey::from_secret(&keys.merchants[usize::from(fixture::OWN.0)].to_secret());
    Owner { signer: keys.owner(), key }
}

/// Somebody who works with a ledger and remembers what it acknowledged.
struct Clerk {
    root: PathBuf,
    book: Book,
    keys: Fixture,
    marks: Vec<(usize, Known)>,
}

impl Clerk {
    fn know(&mut self) {
        let certificates = self.marks.last().map(|(_, known)| known.certificates.clone()).unwrap_or_default();
        let joined = self.book.state().membership().is_some();
        let (origin, head) = (self.keys.owner().name, self.book.head());
        let note = Checkpoint { origin, head }.sign(&owner(&self.keys).key).to_text();
        let known = Known { entries: head.size as usize, certificates, note: joined.then_some(note) };
        self.marks.push((recorded(), known));
    }

    fn record(&mut self, events: Vec<Event>) {
        self.book.record(events).expect("legal, and written");
        self.know();
    }

    fn join(&mut self) {
        let (membership, roster) = (self.keys.membership(), self.keys.roster.clone());
        self.book.join(membership, &roster, owner(&self.keys)).expect("joins");
        self.know();
    }

    /// Killed, and started again.
    fn restart(&mut self) -> Recovery {
        self.book = Book::simulated();
        let (book, recovery) = Book::open(&ledger_in(&self.root)).expect("opens");
        self.book = book;
        self.know();
        self.join();
        recovery
    }

    fn reserve(&mut self, travel: Travel) -> Digest {
        let mut reservation =
            self.keys.reservation(if travel == Travel::Plain { "plain" } else { "masked" }, travel);
        reservation.model = Digest::of("model", &[&(reservation.round.round - 1).to_le_bytes()]);
        let sid = reservation.sid;
        self.record(vec![Event::Reserve { reservation, time_unix_s: 1_700_000_000 }]);
        sid
    }

    fn commit(&mut self, sid: Digest) {
        self.record(vec![Event::Commit {
            sid,
            update: Some(self.keys.update(&sid, fixture::OWN.0)),
            data: None,
        }]);
    }

    fn plain(&mut self) {
        let sid = self.reserve(Travel::Plain);
        self.commit(sid);
        self.record(vec![Event::Settle { sid, outcome: Outcome::Aborted }]);
    }

    fn refunded(&mut self) {
        let sid = self.reserve(Travel::Plain);
        self.record(vec![Event::Refund { sid }]);
    }

    fn masked(&mut self) {
        let colluders = self.keys.numbers.colluders;
        let sid = self.reserve(Travel::Masked { colluders });
        self.commit(sid);
        let certificate = self.keys.certificate(sid, self.book.head());
        let digest = self.book.keep_certificate(&certificate).expect("written");
        self.know();
        self.marks.last_mut().expect("marked").1.certificates.push(sid);
        let model = Digest::of("model", &[&self.keys.round.to_le_bytes()]);
        let survivors = self.keys.merchants.len() as u32;
        let outcome =
            Outcome::Released { version: self.keys.round, model, survivors, certificate: Some(digest) };
        self.record(vec![Event::Settle { sid, outcome }]);
    }

    fn witnessed(&mut self) {
        let head = self.book.head();
        let checkpoint = Checkpoint { origin: self.keys.owner().name, head };
        let cosignature = checkpoint.cosign(&self.keys.federation, 1_700_000_400);
        let server = self.keys.server();
        self.book.keep_cosignature(head, &server, 1_700_000_400, cosignature).expect("kept");
    }

    fn audited(&mut self) {
        let (verdict, summary) = (AuditVerdict::Pass, "mechanism".into());
        let finding = AuditFinding { tier: 'A', verdict, report: Digest([4; 32]), summary };
        self.book.note(Event::Audit { finding, time_unix_s: 1_700_000_500 }).expect("written");
        self.know();
    }
}

/// A merchant's ledger from its first entry on: everything that is ever done to one.
fn a_merchants_life() -> Scene {
    let root = folder();
    start_recording();
    let (book, _) = Book::open(&ledger_in(root.path())).expect("opens");
    let mut clerk = Clerk { root: root.path().into(), book, keys: Fixture::empty(4), marks: Vec::new() };
    clerk.know();
    clerk.record(vec![fixture::policy(8.0)]);
    clerk.join();
    clerk.plain();
    clerk.masked();
    clerk.witnessed();
    clerk.refunded();
    clerk.audited();
    // Several at once, some of which a crash leaves open.
    let open = [(); 4].map(|()| clerk.reserve(Travel::Plain));
    clerk.commit(open[0]);
    clerk.commit(open[2]);
    assert_eq!(clerk.restart().refunded.len(), 2);
    clerk.record(vec![Event::Settle { sid: open[2], outcome: Outcome::Aborted }]);
    clerk.masked();
    clerk.witnessed();
    clerk.reserve(Travel::Plain);
    clerk.restart();
    clerk.masked();
    // As many as share one tear, over several sectors.
    let open = [(); 9].map(|()| clerk.reserve(Travel::Plain));
    clerk.commit(open[3]);
    let marks = std::mem::take(&mut clerk.marks);
    let entries = entries_in(root.path());
    let operations = below(root.path(), stop_recording());
    Scene { disk: Disk::default(), begun: Known::default(), operations, marks, entries }
}

/// What was seen, so that a test that looks at nothing fails.
#[derive(Debug, Default)]
struct Seen {
    images: usize,
    torn: usize,
    presumed: usize,
    refunded: usize,
    verified: usize,
}

fn write_image(root: &Path, image: &Image) {
    for (path, bytes) in image {
        match bytes {
            None => fs::create_dir(root.join(path)),
            Some(bytes) => fs::write(root.join(path), bytes),
        }
        .expect("written");
    }
}

/// Starts the ledger again on what is left after so many operations of a scene. Returns that start as a scene: it can be cut
/// short too.
fn examine(scene: &Scene, after: usize, image: &Image, disk: Disk, seen: &mut Seen) -> Scene {
    let root = folder();
    write_image(root.path(), image);
    let known = scene.known_after(after);
    start_recording();
    let (book, recovery) = Book::open(&ledger_in(root.path()))
        .unwrap_or_else(|error| panic!("after {after} of {:?}: {error}", scene.operations));
    let mut clerk = Clerk { root: root.path().into(), book, keys: Fixture::empty(4), marks: Vec::new() };
    clerk.marks.push((0, known.clone()));
    clerk.know();
    let entries = entries_in(root.path());
    check_entries(scene, after, &entries, &recovery);
    let tally = Tally::of(entries.iter().map(Vec::as_slice));
    assert_eq!(clerk.book.state().spent().pico(), tally.spent());
    assert!(tally.open().is_empty(), "nothing stays open: {tally:?}");
    if known.note.is_some() {
        clerk.join();
        assert_eq!(entries_in(root.path()), entries, "its federation is known");
    }
    let operations = below(root.path(), stop_recording());
    let kept = LedgerFolder::at(&ledger_in(root.path()));
    for sid in &known.certificates {
        let certificate = kept.certificate(sid).expect("readable");
        let expected = clerk.keys.certificate(*sid, clerk.book.head());
        let bytes = certificate.unwrap_or_else(|| panic!("after {after}: the certificate of {sid} is lost"));
        assert!(bytes.len() == guildhall_shared::wire::encode(&expected).expect("encodes").len());
    }
    seen.images += 1;
    seen.torn += usize::from(recovery.torn_bytes > 0);
    seen.presumed += recovery.presumed_committed.len();
    seen.refunded += recovery.refunded.len();
    if let Some(note) = known.note.as_ref().filter(|_| seen.images.is_multiple_of(8)) {
        let export = gather(&kept).expect("complete").bytes;
        let verification = verify(&export, Some(note.as_bytes()));
        assert_eq!(verification.exit_code(), 0, "after {after}: {verification}");
        seen.verified += 1;
    }
    Scene { disk, begun: known.clone(), operations, marks: clerk.marks, entries }
}

/// Everything acknowledged is there, perhaps what was begun, and then what answers for open sessions: nothing else.
fn check_entries(scene: &Scene, after: usize, entries: &[Vec<u8>], recovery: &Recovery) {
    let found = recovery.entries as usize;
    let (least, most) = (scene.known_after(after).entries, scene.begun_after(after));
    assert!(
        (least..=most).contains(&found),
        "after {after} of {:?}: {least} entries were acknowledged and {most} begun, found {found}",
        scene.operations
    );
    assert_eq!(entries[..found], scene.entries[..found], "no entry is another");
    let mut open = Tally::of(entries[..found].iter().map(Vec::as_slice)).open();
    for bytes in &entries[found..] {
        let sid = match Entry::from_bytes(bytes).expect("an entry").event {
            Event::Commit { sid, update: None, .. } if recovery.torn_bytes > 0 => sid,
            Event::Refund { sid } if recovery.torn_bytes == 0 => sid,
            other => panic!("{other:?} answers for no open session, {} bytes torn", recovery.torn_bytes),
        };
        let place = open.iter().position(|one| *one == sid).expect("it was open");
        open.remove(place);
    }
}

/// Cuts the power after every operation of a scene, with so many images each.
fn cut_everywhere(scene: &Scene, images: usize, chance: &mut Chance, seen: &mut Seen) {
    let mut disk = scene.disk.clone();
    for after in 0..=scene.operations.len() {
        if let Some(operation) = after.checked_sub(1).map(|last| &scene.operations[last]) {
            disk.take(operation);
        }
        for image in disk.cut(JOURNAL_FILE, images, chance) {
            examine(scene, after, &image, Disk::of(&image), seen);
        }
    }
}

#[test]
fn no_power_cut_takes_back_what_was_acknowledged() {
    let scene = a_merchants_life();
    let (mut chance, mut seen) = (Chance(1), Seen::default());
    cut_everywhere(&scene, count(24, 400), &mut chance, &mut seen);
    eprintln!("{} operations: {seen:?}", scene.operations.len());
    assert!(seen.images > 1_000 && seen.torn > 50 && seen.presumed > 50 && seen.refunded > 50, "{seen:?}");
    assert!(seen.verified > 50, "{seen:?}");
}

#[test]
fn no_power_cut_while_it_recovers_does_either() {
    let scene = a_merchants_life();
    let (mut chance, mut seen, mut disk) = (Chance(2), Seen::default(), Disk::default());
    let every = count(12, 1);
    for after in 0..=scene.operations.len() {
        if let Some(operation) = after.checked_sub(1).map(|last| &scene.operations[last]) {
            disk.take(operation);
        }
        // Killed: what it wrote is still to be read, and still not on disk.
        let killed = examine(&scene, after, &disk.kept(), disk.clone(), &mut seen);
        if after.is_multiple_of(every) || scene.operations.len() - after < count(6, 60) {
            cut_everywhere(&killed, 3, &mut chance, &mut seen);
            for image in disk.cut(JOURNAL_FILE, count(3, 8), &mut chance) {
                let begun = examine(&scene, after, &image, Disk::of(&image), &mut seen);
                cut_everywhere(&begun, count(2, 6), &mut chance, &mut seen);
            }
        }
    }
    eprintln!("{} operations: {seen:?}", scene.operations.len());
    assert!(seen.images > 1_000 && seen.torn > 50 && seen.presumed > 50 && seen.refunded > 50, "{seen:?}");
}

/// Several open sessions answer for one tear, in entries over several sectors: whichever of these are lost, what is left is
/// torn and not damaged, and no session is given back.
#[test]
fn a_power_cut_in_the_answers_to_a_tear_leaves_a_tear() {
    let scene = a_merchants_life();
    let mut disk = Disk::default();
    scene.operations.iter().for_each(|operation| disk.take(operation));
    let mut image = disk.kept();
    let journal = image.iter_mut().find(|(path, _)| path.ends_with(JOURNAL_FILE)).expect("a journal").1;
    let journal = journal.as_mut().expect("a file");
    journal.truncate(journal.len() - 20);
    let (mut chance, mut seen) = (Chance(3), Seen::default());
    let torn = Scene { entries: scene.entries[..scene.entries.len() - 1].to_vec(), ..scene };
    let known = Known { entries: torn.entries.len(), ..torn.known_after(0).clone() };
    let torn = Scene { begun: known, marks: Vec::new(), operations: Vec::new(), ..torn };
    let answers = examine(&torn, 0, &image, Disk::of(&image), &mut seen);
    assert_eq!(seen.presumed, 9);
    cut_everywhere(&answers, count(20, 1_000), &mut chance, &mut seen);
    assert_eq!(seen.refunded, 0, "{seen:?}");
}
