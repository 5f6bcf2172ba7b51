//! The durable file behind the ledger: `[length u32][crc32 u32][entry]` frames, synced before anything returns. \[shell\]
//!
//! Only the last frame can be torn, because every frame is synced before the next is written. A frame that fails
//! its check anywhere else is damage: it is reported with its offset, and nothing is cut.

use std::fs::TryLockError;
use std::io;
use std::path::{Path, PathBuf};

use guildhall_shared::wire;

use crate::LedgerError;
use crate::disk::{DiskFile, create_folder, sync_folder};
use crate::entry::{ENTRY_BYTES_MAX, ENTRY_VERSION, Entry};

#[cfg(test)]
mod tests;

/// The file's name in the ledger's folder.
pub const JOURNAL_FILE: &str = "ledger.journal";

const HEADER_BYTES: usize = 8;

/// An open, locked journal.
#[derive(Debug)]
pub struct Journal {
    file: DiskFile,
    path: PathBuf,
    /// Where the next frame goes.
    end: u64,
    /// A write failed: what is on disk is unknown until the next open.
    halted: bool,
}

/// What was found in a journal.
#[derive(Debug)]
pub struct Found {
    /// Whole entries with the offset each frame starts at.
    pub entries: Vec<(u64, Entry)>,
    /// Bytes of a torn frame at the end; still in the file.
    pub torn_bytes: u64,
}

impl Journal {
    /// Opens or creates the journal in a folder, takes the lock, and reads it.
    ///
    /// # Errors
    /// [`LedgerError::Locked`] when another process holds it, [`LedgerError::Corrupt`] on damage, or storage errors.
    pub fn open(dir: &Path) -> Result<(Self, Found), LedgerError> {
        create_folder(dir).map_err(|e| storage(dir, "create the folder", e))?;
        let path = dir.join(JOURNAL_FILE);
        let mut file = DiskFile::open(&path).map_err(|e| storage(&path, "open", e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LedgerError::Locked { path }),
            Err(TryLockError::Error(e)) => return Err(storage(&path, "lock", e)),
        }
        sync_folder(dir).map_err(|e| storage(dir, "sync the folder", e))?;
        // A program that was killed may have left bytes that are not on disk yet. What is read here is built upon and
        // signed, so it must not be gone after a power cut.
        file.sync().map_err(|e| storage(&path, "sync", e))?;
        let bytes = file.read().map_err(|e| storage(&path, "read", e))?;
        let found = read_frames(&bytes).map_err(|damage| damage.at(&path))?;
        let end = bytes.len() as u64 - found.torn_bytes;
        Ok((Journal { file, path, end, halted: false }, found))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends entries, each durable before the next is written. Whatever lies beyond the last whole frame is overwritten,
    /// and cut once the last entry is safe: until then the end stays torn.
    ///
    /// # Errors
    /// After a storage error the journal refuses everything: what reached the disk is unknown until it is opened anew.
    pub fn append(&mut self, entries: &[Entry]) -> Result<(), LedgerError> {
        if self.halted {
            return Err(LedgerError::Halted { path: self.path.clone() });
        }
        let frame = |entry| {
            let mut bytes = Vec::new();
            let written = write_frame(entry, &mut bytes);
            written.map(|()| bytes).map_err(|reason| Damage { offset: self.end, reason }.at(&self.path))
        };
        let frames = entries.iter().map(frame).collect::<Result<Vec<_>, _>>()?;
        self.halted = true;
        self.write_durably(&frames).map_err(|e| storage(&self.path, "write", e))?;
        self.halted = false;
        Ok(())
    }

    fn write_durably(&mut self, frames: &[Vec<u8>]) -> io::Result<()> {
        let torn = self.file.length_bytes()? > self.end;
        for (place, frame) in frames.iter().enumerate() {
            let end = self.end + frame.len() as u64;
            if torn && place + 1 < frames.len() {
                self.stay_torn(end)?;
            }
            self.file.write_at(self.end, frame)?;
            self.file.sync()?;
            self.end = end;
        }
        if torn {
            // The rest of a torn frame goes only once what replaces it is safe.
            self.file.set_length_bytes(self.end)?;
            self.file.sync()?;
        }
        Ok(())
    }

    /// Lengthens a torn end, so that it reaches beyond the entry that is written over it: the entries to come answer for the
    /// tear too.
    fn stay_torn(&mut self, end: u64) -> io::Result<()> {
        if self.file.length_bytes()? > end {
            return Ok(());
        }
        self.file.set_length_bytes(end + 1)?;
        self.file.sync()
    }
}

fn storage(path: &Path, action: &'static str, source: io::Error) -> LedgerError {
    LedgerError::Storage { path: path.to_path_buf(), action, source }
}

struct Damage {
    offset: u64,
    reason: String,
}

impl Damage {
    fn at(self, path: &Path) -> LedgerError {
        LedgerError::Corrupt { path: path.to_path_buf(), offset: self.offset, reason: self.reason }
    }
}

fn write_frame(entry: &Entry, out: &mut Vec<u8>) -> Result<(), String> {
    let body = wire::encode(entry).map_err(|e| e.to_string())?;
    if body.len() > ENTRY_BYTES_MAX {
        return Err(format!("an entry of {} bytes is over the limit of {ENTRY_BYTES_MAX}", body.len()));
    }
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
    out.extend_from_slice(&body);
    Ok(())
}

/// Why there is no readable frame.
enum Fault {
    /// Cut short or changed.
    Broken(&'static str),
    /// Whole, written by a program that has other entries: never a torn end.
    OtherVersion(u16),
}

impl Fault {
    fn reason(&self) -> String {
        match self {
            Fault::Broken(reason) => (*reason).into(),
            Fault::OtherVersion(found) => format!(
                "a whole entry of version {found}, where this program reads and writes version {ENTRY_VERSION}"
            ),
        }
    }
}

/// The frame at the start of `bytes`: its entry and its length, or why there is none.
fn read_frame(bytes: &[u8]) -> Result<(Entry, usize), Fault> {
    let (header, rest) =
        bytes.split_first_chunk::<HEADER_BYTES>().ok_or(Fault::Broken("an incomplete frame header"))?;
    let [a, b, c, d, e, f, g, h] = *header;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    if length == 0 || length > ENTRY_BYTES_MAX {
        return Err(Fault::Broken("an impossible frame length"));
    }
    let body = rest.get(..length).ok_or(Fault::Broken("an incomplete frame"))?;
    if crc32fast::hash(body) != u32::from_le_bytes([e, f, g, h]) {
        return Err(Fault::Broken("a frame whose checksum does not match"));
    }
    // An entry of any version begins with it.
    match body.first_chunk().map(|version| u16::from_le_bytes(*version)) {
        Some(ENTRY_VERSION) => {}
        Some(found) => return Err(Fault::OtherVersion(found)),
        None => return Err(Fault::Broken("a frame that is not a ledger entry")),
    }
    let entry = wire::decode(body, ENTRY_BYTES_MAX)
        .map_err(|_| Fault::Broken("a frame that is not a ledger entry"))?;
    Ok((entry, HEADER_BYTES + length))
}

fn read_frames(bytes: &[u8]) -> Result<Found, Damage> {
    let mut entries = Vec::new();
    let mut offset = 0;
    while offset < bytes.len() {
        let rest = &bytes[offset..];
        match read_frame(rest) {
            Ok((entry, length)) => {
                entries.push((offset as u64, entry));
                offset += length;
            }
            Err(Fault::Broken(_)) if is_torn_tail(rest) => break,
            Err(fault) => return Err(Damage { offset: offset as u64, reason: fault.reason() }),
        }
    }
    Ok(Found { entries, torn_bytes: (bytes.len() - offset) as u64 })
}

/// The whole entries of a journal's bytes, as their bytes; a torn end is left out.
///
/// # Errors
/// Offset and reason of damage that no interrupted write explains.
pub fn entry_bytes(journal: &[u8]) -> Result<Vec<&[u8]>, (u64, String)> {
    let found = read_frames(journal).map_err(|damage| (damage.offset, damage.reason))?;
    let end = journal.len() as u64 - found.torn_bytes;
    let starts: Vec<u64> = found.entries.iter().map(|(offset, _)| *offset).collect();
    let ends = starts.iter().skip(1).copied().chain([end]);
    Ok(starts
        .iter()
        .zip(ends)
        .map(|(start, end)| &journal[*start as usize + HEADER_BYTES..end as usize])
        .collect())
}

/// Whether `rest`, whose first frame is bad, can be one interrupted append: no longer than a frame, and with no
/// whole frame anywhere in it. A damaged length in the middle of the file would otherwise pass for a torn end and
/// everything behind it would be lost.
fn is_torn_tail(rest: &[u8]) -> bool {
    if rest.len() > HEADER_BYTES + ENTRY_BYTES_MAX {
        return false;
    }
    (1..rest.len()).all(|start| read_frame(&rest[start..]).is_err())
}
