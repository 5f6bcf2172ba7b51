//! The store on disk. The only file that names sled.
//!
//! One tree; a key is the table's number followed by the key within the table, so that a batch over several tables is
//! one atomic batch. Every write is flushed before it returns.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{Entry, Put, Store, StoreError, Table};

/// How long to wait for a process that is just letting go of the store.
const LOCK_PATIENCE: Duration = Duration::from_millis(1_500);
const LOCK_RETRY: Duration = Duration::from_millis(50);
/// Metadata is small: a cache of 16 MiB instead of the default gigabyte.
const CACHE_BYTES: u64 = 16 << 20;

/// The store.
pub struct SledStore(sled::Db);

impl SledStore {
    /// Opens or makes the store in a folder.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it open, [`StoreError::Engine`] otherwise.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let until = Instant::now() + LOCK_PATIENCE;
        loop {
            match sled::Config::new().path(path).cache_capacity(CACHE_BYTES).open() {
                Ok(db) => return Ok(SledStore(db)),
                Err(error) if !is_lock(&error) => return Err(engine(error)),
                Err(_) if Instant::now() >= until => return Err(StoreError::Locked(path.to_path_buf())),
                Err(_) => std::thread::sleep(LOCK_RETRY),
            }
        }
    }
}

fn is_lock(error: &sled::Error) -> bool {
    match error {
        sled::Error::Io(e) => e.kind() == std::io::ErrorKind::WouldBlock || e.to_string().contains("lock"),
        _ => false,
    }
}

fn engine(error: sled::Error) -> StoreError {
    StoreError::Engine(error.to_string())
}

fn full_key(table: Table, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(1 + key.len());
    full.push(table as u8);
    full.extend(key);
    full
}

fn entry((key, value): (sled::IVec, sled::IVec)) -> Entry {
    (key.get(1..).unwrap_or_default().to_vec(), value.to_vec())
}

impl Store for SledStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(full_key(table, key)).map_err(engine)?.map(|value| value.to_vec()))
    }

    fn scan(&self, table: Table, prefix: &[u8]) -> Result<Vec<Entry>, StoreError> {
        self.0.scan_prefix(full_key(table, prefix)).map(|item| item.map(entry).map_err(engine)).collect()
    }

    fn last(&self, table: Table, prefix: &[u8]) -> Result<Option<Entry>, StoreError> {
        let last = self.0.scan_prefix(full_key(table, prefix)).next_back();
        last.map(|item| item.map(entry).map_err(engine)).transpose()
    }

    fn write(&self, puts: &[Put]) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for put in puts {
            batch.insert(full_key(put.table, &put.key), put.value.as_slice());
        }
        self.0.apply_batch(batch).map_err(engine)?;
        self.0.flush().map_err(engine)?;
        Ok(())
    }
}
