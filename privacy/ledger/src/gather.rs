//! Makes an export out of a ledger's folder, a running client's too. \[shell\]

use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use guildhall_shared::digest::Digest;
use guildhall_shared::tree_head::TreeHead;

use crate::LedgerError;
use crate::entry::{Entry, Event, Outcome};
use crate::export::Export;
use crate::folder::LedgerFolder;
use crate::journal::{JOURNAL_FILE, entry_bytes};
use crate::note::{NoteError, SignedNote};

/// How often the folder of a running client is read before its checkpoint is taken for an old one.
const ATTEMPTS_MAX: u32 = 40;
/// Between two attempts. A client writes its checkpoint right after its entry.
const PAUSE: Duration = Duration::from_millis(50);

/// A folder that cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    /// A file could not be read, or the journal is damaged.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// There is no such folder.
    #[error("{}: expected the folder `ledger` of a client or a server, found none", dir.display())]
    NoFolder {
        /// What was given.
        dir: PathBuf,
    },
    /// It never met its federation.
    #[error("{}: expected the file \"{file}\", found none: start the client once, so that it connects to its federation and signs a checkpoint", dir.display())]
    Missing {
        /// The folder.
        dir: PathBuf,
        /// Which file.
        file: &'static str,
    },
    /// The checkpoint is of another moment.
    #[error("{}: expected a checkpoint over all {entries} entries, found one over {found}: start the client once, it signs a new checkpoint", dir.display())]
    Checkpoint {
        /// The folder.
        dir: PathBuf,
        /// Entries in the journal.
        entries: u64,
        /// Entries in the checkpoint.
        found: u64,
    },
    /// The checkpoint is none.
    #[error("{}: {source}: start the client once, it signs a new checkpoint", dir.display())]
    Note {
        /// The folder.
        dir: PathBuf,
        /// What is wrong.
        source: NoteError,
    },
}

/// An export and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gathered {
    /// The file.
    pub bytes: Vec<u8>,
    /// Entries.
    pub entries: u64,
    /// Where the ledger stood: size and root of its newest checkpoint.
    pub head: TreeHead,
    /// Survivor certificates.
    pub certificates: u64,
    /// Sessions whose certificate should be in the folder and is not: the verifier will miss it.
    pub certificates_missing: Vec<Digest>,
}

/// Puts everything into one export that a third party needs to check the ledger in a folder. Takes no lock and changes
/// nothing; the torn end of a crash is left out, as the client's next start will cut it.
///
/// # Errors
/// [`GatherError`]; never an export of fewer entries than there are.
pub fn gather(folder: &LedgerFolder) -> Result<Gathered, GatherError> {
    for _ in 1..ATTEMPTS_MAX {
        match read(folder) {
            // A client is between its entry and its checkpoint, or was killed there.
            Err(GatherError::Checkpoint { .. }) => sleep(PAUSE),
            other => return other,
        }
    }
    read(folder)
}

fn read(folder: &LedgerFolder) -> Result<Gathered, GatherError> {
    let dir = || folder.dir().to_path_buf();
    if !folder.dir().is_dir() {
        return Err(GatherError::NoFolder { dir: dir() });
    }
    let missing = |file| GatherError::Missing { dir: dir(), file };
    let newest = folder.checkpoint()?.ok_or_else(|| missing("checkpoint"))?;
    let journal = folder.journal()?;
    let corrupt = |(offset, reason)| LedgerError::Corrupt { path: dir().join(JOURNAL_FILE), offset, reason };
    let entries = entry_bytes(&journal).map_err(corrupt)?;
    let head = head(folder, &newest)?;
    let found = head.size;
    if found != entries.len() as u64 {
        return Err(GatherError::Checkpoint { dir: dir(), entries: entries.len() as u64, found });
    }
    let roster = folder.roster()?.ok_or_else(|| missing("roster"))?;
    let (certificates, certificates_missing) = certificates(folder, &entries)?;
    // One that a client took in since is over more entries than the checkpoint.
    let cosigned = match folder.witnessed()? {
        Some(cosigned) if self::head(folder, &cosigned)?.size > found => {
            let entries = self::head(folder, &cosigned)?.size;
            return Err(GatherError::Checkpoint { dir: dir(), entries, found });
        }
        other => other,
    };
    let notes = std::iter::once(newest.as_bytes()).chain(cosigned.as_deref().map(str::as_bytes)).collect();
    let (entry_count, certificate_count) = (entries.len() as u64, certificates.len() as u64);
    let certificates = certificates.iter().map(Vec::as_slice).collect();
    let bytes = Export { roster: &roster, entries, certificates, notes }.to_bytes();
    Ok(Gathered { bytes, entries: entry_count, head, certificates: certificate_count, certificates_missing })
}

fn head(folder: &LedgerFolder, note: &str) -> Result<TreeHead, GatherError> {
    let parsed = SignedNote::parse(note);
    let parsed = parsed.map_err(|source| GatherError::Note { dir: folder.dir().to_path_buf(), source })?;
    Ok(parsed.checkpoint().head)
}

/// The certificates that entries name, in the order of their reservations, and the sessions whose file is not there.
fn certificates(
    folder: &LedgerFolder,
    entries: &[&[u8]],
) -> Result<(Vec<Vec<u8>>, Vec<Digest>), LedgerError> {
    let (mut order, mut certified) = (Vec::new(), std::collections::BTreeSet::new());
    for entry in entries.iter().filter_map(|bytes| Entry::from_bytes(bytes).ok()) {
        match entry.event {
            Event::Reserve { reservation, .. } => order.push(reservation.sid),
            Event::Settle { sid, outcome: Outcome::Released { certificate: Some(_), .. } } => {
                certified.insert(sid);
            }
            _ => {}
        }
    }
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for sid in order.into_iter().filter(|sid| certified.contains(sid)) {
        match folder.certificate(&sid)? {
            Some(certificate) => found.push(certificate),
            None => missing.push(sid),
        }
    }
    Ok((found, missing))
}
