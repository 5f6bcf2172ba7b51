//! A simulated disk: it knows what was synced, and makes what a power cut could have left of the rest.
//!
//! The model is harsher than most file systems. Of a file that was not synced since, any set of 512-byte sectors is new and the
//! others old, and its length is the old one, the new one or any between. Of the names that were made or changed since their
//! folder was synced, any set is there, in any combination with the bytes. What lies in a folder whose name is gone is gone.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A disk writes one whole or not at all.
const SECTOR_BYTES: usize = 512;
/// Up to so many changed sectors every set of them is looked at.
const SECTORS_ALL_MAX: usize = 5;

/// What a ledger did.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    CreateFolder(PathBuf),
    Open(PathBuf),
    Create(PathBuf),
    Write { path: PathBuf, offset: u64, bytes: Vec<u8> },
    SetLength { path: PathBuf, length_bytes: u64 },
    SyncFile(PathBuf),
    Rename { from: PathBuf, to: PathBuf },
    SyncFolder(PathBuf),
}

thread_local! {
    static RECORD: RefCell<Option<Vec<Operation>>> = const { RefCell::new(None) };
}

/// What this thread does to its disk is recorded from here on.
pub(super) fn start_recording() {
    RECORD.set(Some(Vec::new()));
}

/// How much is recorded.
pub(super) fn recorded() -> usize {
    RECORD.with_borrow(|record| record.as_ref().map_or(0, Vec::len))
}

/// Everything that was recorded.
pub(super) fn stop_recording() -> Vec<Operation> {
    RECORD.take().unwrap_or_default()
}

/// Takes down what was done, where somebody records.
pub(super) fn note(operation: impl FnOnce() -> Operation) {
    RECORD.with_borrow_mut(|record| {
        if let Some(record) = record {
            record.push(operation());
        }
    });
}

/// What a disk holds: none is a folder.
pub(super) type Image = BTreeMap<PathBuf, Option<Vec<u8>>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Folder,
    /// By its place in `files`.
    File(usize),
}

#[derive(Clone, Debug)]
enum Change {
    Made { path: PathBuf, node: Node },
    Renamed { from: PathBuf, to: PathBuf, node: Node },
}

impl Change {
    fn folder(&self) -> Option<&Path> {
        match self {
            Change::Made { path, .. } | Change::Renamed { to: path, .. } => path.parent(),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Change::Made { path, node } => {
                names.insert(path.clone(), *node);
            }
            Change::Renamed { from, to, node } => {
                names.remove(from);
                names.insert(to.clone(), *node);
            }
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Content {
    synced: Vec<u8>,
    now: Vec<u8>,
}

impl Content {
    /// Old and new sectors by `is_new`, so long.
    fn mixed(&self, length: usize, is_new: impl Fn(usize) -> bool) -> Vec<u8> {
        let byte = |place: usize| {
            let from = if is_new(place / SECTOR_BYTES) { &self.now } else { &self.synced };
            from.get(place).copied().unwrap_or(0)
        };
        (0..length).map(byte).collect()
    }

    fn changed_sectors(&self) -> Vec<usize> {
        let longer = self.now.len().max(self.synced.len());
        let sector = |bytes: &[u8], place: usize| -> Vec<u8> {
            bytes.iter().skip(place * SECTOR_BYTES).take(SECTOR_BYTES).copied().collect()
        };
        (0..longer.div_ceil(SECTOR_BYTES))
            .filter(|place| sector(&self.now, *place) != sector(&self.synced, *place))
            .collect()
    }

    /// Everything that could be left of it, at most `count` of it: both ends always.
    fn left(&self, count: usize, chance: &mut Chance) -> Vec<Vec<u8>> {
        if self.synced == self.now {
            return vec![self.now.clone()];
        }
        let (old, new) = (self.synced.len(), self.now.len());
        let changed = self.changed_sectors();
        let sets = match changed.len() {
            few if few <= SECTORS_ALL_MAX => (0..1u64 << few).collect::<Vec<_>>(),
            _ => (0..32).map(|_| chance.next()).collect(),
        };
        let mut all = BTreeSet::new();
        for set in sets {
            let is_new =
                |sector| changed.iter().position(|one| *one == sector).is_none_or(|bit| set >> bit & 1 == 1);
            all.insert(self.mixed(old, is_new));
            all.insert(self.mixed(new, is_new));
            let between = chance.below(old.abs_diff(new) + 1) + old.min(new);
            all.insert(self.mixed(between, is_new));
        }
        let cuts: Vec<usize> = (old.min(new)..=old.max(new)).collect();
        let ends = cuts.iter().take(3).chain(cuts.iter().rev().take(3)).copied();
        let some = (0..count).map(|_| cuts[chance.below(cuts.len())]).collect::<Vec<_>>();
        all.extend(ends.chain(some).map(|length| self.mixed(length, |_| true)));
        let mut kept = vec![self.synced.clone(), self.now.clone()];
        let mut rest: Vec<Vec<u8>> = all.into_iter().filter(|bytes| !kept.contains(bytes)).collect();
        while kept.len() < count.max(2) && !rest.is_empty() {
            kept.push(rest.swap_remove(chance.below(rest.len())));
        }
        kept
    }
}

/// The disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    /// Durable.
    names: BTreeMap<PathBuf, Node>,
    /// Not yet, in order.
    changes: Vec<Change>,
    files: Vec<Content>,
}

impl Disk {
    /// One on which everything is durable.
    pub fn of(image: &Image) -> Self {
        let mut disk = Disk::default();
        for (path, bytes) in image {
            let node = match bytes {
                None => Node::Folder,
                Some(bytes) => disk.add(Content { synced: bytes.clone(), now: bytes.clone() }),
            };
            disk.names.insert(path.clone(), node);
        }
        disk
    }

    fn add(&mut self, content: Content) -> Node {
        self.files.push(content);
        Node::File(self.files.len() - 1)
    }

    fn names_now(&self) -> BTreeMap<PathBuf, Node> {
        let mut names = self.names.clone();
        self.changes.iter().for_each(|change| change.apply(&mut names));
        names
    }

    fn file(&mut self, path: &Path) -> &mut Content {
        match self.names_now().get(path) {
            Some(Node::File(place)) => &mut self.files[*place],
            other => panic!("{}: expected an open file, found {other:?}", path.display()),
        }
    }

    fn make(&mut self, path: &Path, node: Node) {
        self.changes.push(Change::Made { path: path.into(), node });
    }

    /// Does what a ledger did.
    pub fn take(&mut self, operation: &Operation) {
        match operation {
            Operation::CreateFolder(path) => self.make(path, Node::Folder),
            Operation::Open(path) | Operation::Create(path) if !self.names_now().contains_key(path) => {
                let node = self.add(Content::default());
                self.make(path, node);
            }
            Operation::Open(_) => {}
            Operation::Create(path) => self.file(path).now.clear(),
            Operation::Write { path, offset, bytes } => {
                let (now, offset) = (&mut self.file(path).now, *offset as usize);
                now.resize(now.len().max(offset + bytes.len()), 0);
                now[offset..offset + bytes.len()].copy_from_slice(bytes);
            }
            Operation::SetLength { path, length_bytes } => {
                self.file(path).now.resize(*length_bytes as usize, 0);
            }
            Operation::SyncFile(path) => {
                let content = self.file(path);
                content.synced = content.now.clone();
            }
            Operation::Rename { from, to } => {
                let node = self.names_now()[from];
                self.changes.push(Change::Renamed { from: from.clone(), to: to.clone(), node });
            }
            Operation::SyncFolder(dir) => {
                let (synced, waiting) =
                    std::mem::take(&mut self.changes).into_iter().partition(|one| one.folder() == Some(dir));
                let synced: Vec<Change> = synced;
                synced.iter().for_each(|change| change.apply(&mut self.names));
                self.changes = waiting;
            }
        }
    }

    /// What a program that was only killed leaves: everything it wrote.
    pub fn kept(&self) -> Image {
        let content = |node| match node {
            Node::Folder => None,
            Node::File(place) => Some(self.files[place].now.clone()),
        };
        self.names_now().into_iter().map(|(path, node)| (path, content(node))).collect()
    }

    /// What a power cut could leave, at most `count` of it: everything and nothing of what was not synced always, else drawn.
    pub fn cut(&self, first: &str, count: usize, chance: &mut Chance) -> Vec<Image> {
        let mut images = BTreeSet::from([self.kept()]);
        let all = self.names_now();
        let journal = all.iter().find_map(|(path, node)| match node {
            Node::File(place) if path.ends_with(first) => Some(*place),
            _ => None,
        });
        let journals = match journal {
            Some(place) => self.files[place].left(count, chance),
            None => vec![Vec::new()],
        };
        for (turn, bytes) in journals.iter().enumerate() {
            let mut names = self.names.clone();
            let odds = [0, 4, 2, 1, 3][turn % 5];
            self.changes
                .iter()
                .filter(|_| chance.below(4) < odds)
                .for_each(|change| change.apply(&mut names));
            images.insert(self.image(&names, (journal, bytes), chance));
        }
        images.into_iter().collect()
    }

    fn image(
        &self,
        names: &BTreeMap<PathBuf, Node>,
        (journal, bytes): (Option<usize>, &[u8]),
        chance: &mut Chance,
    ) -> Image {
        let mut image = Image::new();
        // In the order of paths, so a folder comes before what is in it. The root is there always.
        for (path, node) in names {
            let above = path.parent().unwrap_or(path);
            let lost = all_made(self, above) && !image.contains_key(above);
            if lost {
                continue;
            }
            let content = match *node {
                Node::Folder => None,
                Node::File(place) if Some(place) == journal => Some(bytes.to_vec()),
                Node::File(place) => {
                    let mut left = self.files[place].left(4, chance);
                    Some(left.swap_remove(chance.below(left.len())))
                }
            };
            image.insert(path.clone(), content);
        }
        image
    }
}

/// Whether a folder is one that was made here, so that its name could be lost.
fn all_made(disk: &Disk, folder: &Path) -> bool {
    disk.names_now().get(folder) == Some(&Node::Folder)
}

/// Chances by a seed (SplitMix64): the same at every run.
pub(super) struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}
