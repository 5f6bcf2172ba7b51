//! Durable metadata: a small ordered table store behind a trait, the records kept in it, and files for what is large.
//!
//! A write is durable when it returns (it survives `kill -9`), and a batch is all or nothing.

pub mod files;
pub mod memory;
pub mod records;
pub mod sled;

use std::path::PathBuf;

use guildhall_shared::wire::WireError;

/// A table of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Invitations by token digest.
    Invitation = 1,
    /// Merchants by name.
    Merchant = 2,
    /// Merchants' names by certificate digest.
    Certificate = 3,
    /// The closed roster, at one key.
    Roster = 4,
    /// Jobs by sequence number.
    Job = 5,
    /// Versions by job and version.
    Version = 6,
    /// The last attempt offered, by job.
    Attempt = 7,
}

/// A key within its table, and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// Where.
    pub table: Table,
    /// Key within the table.
    pub key: Vec<u8>,
    /// What.
    pub value: Vec<u8>,
}

/// A failure of the store.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum StoreError {
    /// Another process has it open.
    #[error("the store {0} is in use by another process: is the server running, or still stopping?")]
    Locked(PathBuf),
    /// The storage engine failed.
    #[error("the store failed: {0}")]
    Engine(String),
    /// A stored record does not decode.
    #[error("the store holds a damaged record: {0}")]
    Damaged(#[from] WireError),
}

/// An ordered key-value store.
pub trait Store: Send + Sync {
    /// The value at a key.
    ///
    /// # Errors
    /// [`StoreError::Engine`].
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Every entry whose key starts with `prefix`, in order of key.
    ///
    /// # Errors
    /// [`StoreError::Engine`].
    fn scan(&self, table: Table, prefix: &[u8]) -> Result<Vec<Entry>, StoreError>;

    /// The last entry, in order of key, whose key starts with `prefix`.
    ///
    /// # Errors
    /// [`StoreError::Engine`].
    fn last(&self, table: Table, prefix: &[u8]) -> Result<Option<Entry>, StoreError>;

    /// Writes all or nothing; durable on return.
    ///
    /// # Errors
    /// [`StoreError::Engine`].
    fn write(&self, puts: &[Put]) -> Result<(), StoreError>;
}

#[cfg(test)]
mod tests;
