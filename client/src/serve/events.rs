//! The file of live events: what shoppers did, appended durably before it is acknowledged, read back by the next start and by the
//! next training.
//!
//! ```text
//! events.log:  "1c291ca3 {"shopper":"0f…","item":"tea","time":17}\n"      CRC-32 of the rest of the line, a space, JSON
//! ```
//! Lines that wait together are written and synced together. A shopper stands there under its key, never under its id.
//!
//! # Errors
//! Lines at the end that are not whole (a crash in the middle of a write) were never acknowledged: they are cut off. A damaged
//! line further up is passed over and counted.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use guildhall_shared::catalogue::Catalogue;
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};

use crate::data::observations::ShopperKey;
use crate::folder::{FolderError, create_private, read};

/// No more is appended to a file of this size.
pub const FILE_BYTES_MAX: u64 = 1 << 30;
/// Requests that may wait to be written.
const WAITING_MAX: usize = 256;

/// Something a shopper did.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub struct ShopperEvent {
    /// Whose.
    pub shopper: ShopperKey,
    /// The item's id.
    pub item: String,
    /// When, as the shop counts time.
    pub time: Option<i64>,
}

/// What an event file holds, the oldest first: an event's place is its order.
#[derive(Clone, Default, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub struct RecordedEvents {
    /// Whole lines, in the order in which they were acknowledged.
    pub events: Vec<ShopperEvent>,
    /// Lines before the last whole one that are damaged.
    pub damaged: usize,
    /// Bytes up to the end of the last whole line.
    bytes: u64,
}

impl RecordedEvents {
    /// Appends every event on an item of a catalogue to its shopper's history, as the catalogue numbers items: what the next
    /// training reads after the merchant's own data.
    pub fn append_to(&self, histories: &mut BTreeMap<ShopperKey, Vec<u32>>, catalogue: &Catalogue) {
        for event in &self.events {
            if let Some(item) = catalogue.position(&event.item) {
                histories.entry(event.shopper).or_default().push(item);
            }
        }
    }
}

/// Why events are not recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The disk says no.
    #[error("the event file cannot be written: {0}")]
    Disk(String),
    /// The file is as large as it may be.
    #[error("the event file has {FILE_BYTES_MAX} bytes: train on it, then move it away")]
    Full,
}

/// Reads what was recorded. The same file gives the same events, however often it is read; no file gives none.
///
/// # Errors
/// [`FolderError`].
pub fn read_events(path: &Path) -> Result<RecordedEvents, FolderError> {
    let mut recorded = RecordedEvents::default();
    if !path.exists() {
        return Ok(recorded);
    }
    let bytes = read(path)?;
    let (mut end, mut damaged) = (0, 0);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        end += line.len() as u64;
        match line.strip_suffix(b"\n").and_then(parse) {
            Some(event) => {
                recorded.events.push(event);
                (recorded.bytes, recorded.damaged) = (end, damaged);
            }
            None => damaged += 1,
        }
    }
    Ok(recorded)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    shopper: String,
    item: String,
    time: Option<i64>,
}

fn parse(line: &[u8]) -> Option<ShopperEvent> {
    let (check, json) = line.split_at_checked(8)?;
    let json = json.strip_prefix(b" ")?;
    let check = u32::from_str_radix(std::str::from_utf8(check).ok()?, 16).ok()?;
    if check != crc32fast::hash(json) {
        return None;
    }
    let line: Line = serde_json::from_slice(json).ok()?;
    let mut key = [0; 16];
    hex::decode_to_slice(&line.shopper, &mut key).ok()?;
    Some(ShopperEvent { shopper: ShopperKey(key), item: line.item, time: line.time })
}

fn write_line(text: &mut String, event: &ShopperEvent) {
    let item = serde_json::Value::from(event.item.as_str());
    let time = event.time.map_or_else(String::new, |time| format!(",\"time\":{time}"));
    let json = format!("{{\"shopper\":\"{}\",\"item\":{item}{time}}}", hex::encode(event.shopper.0));
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{:08x} {json}", crc32fast::hash(json.as_bytes()));
}

struct Work {
    text: String,
    done: oneshot::Sender<Result<(), EventError>>,
}

/// An event file that is appended to, by a thread of its own.
pub struct EventLog {
    queue: mpsc::Sender<Work>,
}

impl EventLog {
    /// Opens the file, makes it if need be, cuts off what is not whole, and gives what is in it.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn open(path: &Path) -> Result<(Self, RecordedEvents), FolderError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            create_private(folder)?;
        }
        let recorded = read_events(path)?;
        if recorded.damaged > 0 {
            tracing::warn!(lines = recorded.damaged, "damaged lines in the event file are passed over");
        }
        let error = |source| FolderError::Io { path: path.into(), action: "open the event file", source };
        let file = open_at(path, recorded.bytes).map_err(error)?;
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        let writer = Writer { path: path.into(), file, bytes: recorded.bytes, bytes_max: FILE_BYTES_MAX };
        std::thread::spawn(move || writer.run(waiting));
        Ok((EventLog { queue }, recorded))
    }

    /// Appends events; they are on disk, all of them, when this returns well.
    ///
    /// # Errors
    /// [`EventError`]: none of them is.
    pub async fn append(&self, events: &[ShopperEvent]) -> Result<(), EventError> {
        let mut text = String::new();
        events.iter().for_each(|event| write_line(&mut text, event));
        let (done, answer) = oneshot::channel();
        let ended = || EventError::Disk("its writer has ended".into());
        self.queue.send(Work { text, done }).await.map_err(|_| ended())?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}

/// The file, without anything after `bytes`; its name is on disk too.
fn open_at(path: &Path, bytes: u64) -> io::Result<File> {
    let mut file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    if file.metadata()?.len() != bytes {
        file.set_len(bytes)?;
    }
    file.sync_all()?;
    file.seek(SeekFrom::Start(bytes))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(file)
}

struct Writer {
    path: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
}

impl Writer {
    fn run(mut self, mut waiting: mpsc::Receiver<Work>) {
        while let Some(first) = waiting.blocking_recv() {
            let mut batch = vec![first];
            while let Ok(next) = waiting.try_recv() {
                batch.push(next);
            }
            let written = self.write(&batch);
            for work in batch {
                // Whoever asked may have gone.
                let _ = work.done.send(written.clone());
            }
        }
    }

    fn write(&mut self, batch: &[Work]) -> Result<(), EventError> {
        let text: String = batch.iter().map(|work| work.text.as_str()).collect();
        if self.bytes + text.len() as u64 > self.bytes_max {
            return Err(EventError::Full);
        }
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => {
                self.bytes += text.len() as u64;
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%error, path = %self.path.display(), "events are not recorded");
                // What was half written must not stand before what comes next.
                if let Ok(file) = open_at(&self.path, self.bytes) {
                    self.file = file;
                }
                Err(EventError::Disk(error.to_string()))
            }
        }
    }
}

#[cfg(test)]
mod tests;
