//! The files of a ledger's folder. \[shell\]
//!
//! | file | what | lost |
//! | --- | --- | --- |
//! | `ledger.journal` | the entries: the truth | nothing replaces it |
//! | `certificates/<session>` | survivor certificates, named by their SETTLE | a certified sum cannot be shown to be one |
//! | `roster` | federation key and signed roster | comes back with the next connection |
//! | `checkpoint` | the newest checkpoint, signed by the owner | comes back with the next entry |
//! | `witnessed` | the newest checkpoint that the server cosigned | comes back with the next connection |

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use guildhall_shared::digest::Digest;
use guildhall_shared::identity::{PublicKey, SignedRoster};
use guildhall_shared::secagg::SurvivorCertificate;
use guildhall_shared::wire;

use crate::LedgerError;
use crate::disk::{DiskFile, create_folder, rename, sync_folder};
use crate::journal::JOURNAL_FILE;
use crate::note::SignedNote;

/// A ledger's folder.
#[derive(Clone, Debug)]
pub struct LedgerFolder {
    dir: PathBuf,
}

fn storage(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> LedgerError {
    let path = path.to_path_buf();
    move |source| LedgerError::Storage { path, action, source }
}

impl LedgerFolder {
    /// At a path; nothing is touched.
    pub fn at(dir: &Path) -> Self {
        LedgerFolder { dir: dir.to_path_buf() }
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Keeps a survivor certificate durably. Returns the digest its SETTLE names.
    ///
    /// # Errors
    /// [`LedgerError::Storage`].
    pub fn write_certificate(&self, certificate: &SurvivorCertificate) -> Result<Digest, LedgerError> {
        let dir = self.dir.join("certificates");
        create_folder(&dir).map_err(storage(&dir, "create the folder"))?;
        let bytes = wire::encode(certificate).unwrap_or_default();
        let path = dir.join(certificate.transcript.sid.to_string());
        write(&path, &bytes, Durability::Synced)?;
        sync_folder(&dir).map_err(storage(&dir, "sync the folder"))?;
        Ok(certificate.digest())
    }

    /// The certificate of a session, as its bytes; none if there is no such file.
    ///
    /// # Errors
    /// [`LedgerError::Storage`].
    pub fn certificate(&self, sid: &Digest) -> Result<Option<Vec<u8>>, LedgerError> {
        read(&self.dir.join("certificates").join(sid.to_string()))
    }

    /// Keeps the signed roster and the key it is signed with.
    ///
    /// # Errors
    /// [`LedgerError::Storage`].
    pub fn write_roster(&self, key: &PublicKey, roster: &SignedRoster) -> Result<(), LedgerError> {
        let bytes = wire::encode(&(key, roster)).unwrap_or_default();
        write(&self.dir.join("roster"), &bytes, Durability::Synced)
    }

    /// Federation key and signed roster, as their bytes.
    ///
    /// # Errors
    /// [`LedgerError::Storage`].
    pub fn roster(&self) -> Result<Option<Vec<u8>>, LedgerError> {
        read(&self.dir.join("roster"))
    }

    /// Keeps the newest checkpoint. A crash may lose it: the next entry brings another.
    ///
    /// # Errors
    /// [`LedgerError::Storage`].
    pub fn write_checkpoint(&self, note: &SignedNote) -> Result<(), LedgerError> {
        write(&self.dir.join("checkpoint"), note.to_text().as_bytes(), Durability::Buffered)
    }

    /// The newest checkpoint, as text.
    ///
    /// # Errors
    /// [`LedgerError::Storage`].
    pub fn checkpoint(&self) -> Result<Option<String>, LedgerError> {
        text(read(&self.dir.join("checkpoint"))?)
    }

    /// Keeps the newest checkpoint that the server cosigned.
    ///
    /// # Errors
    /// [`LedgerError::Storage`].
    pub fn write_witnessed(&self, note: &SignedNote) -> Result<(), LedgerError> {
        write(&self.dir.join("witnessed"), note.to_text().as_bytes(), Durability::Synced)
    }

    /// The newest checkpoint that the server cosigned, as text.
    ///
    /// # Errors
    /// [`LedgerError::Storage`].
    pub fn witnessed(&self) -> Result<Option<String>, LedgerError> {
        text(read(&self.dir.join("witnessed"))?)
    }

    /// The journal's bytes, without its lock: what a running client appended is there whole or not at all.
    ///
    /// # Errors
    /// [`LedgerError::Storage`] where there is none.
    pub fn journal(&self) -> Result<Vec<u8>, LedgerError> {
        let path = self.dir.join(JOURNAL_FILE);
        fs::read(&path).map_err(storage(&path, "read"))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Durability {
    Synced,
    Buffered,
}

/// Replaces a file: whoever looks finds the old or the new bytes.
fn write(path: &Path, bytes: &[u8], durability: Durability) -> Result<(), LedgerError> {
    let next = path.with_extension("next");
    let mut file = DiskFile::create(&next).map_err(storage(&next, "create"))?;
    file.write_at(0, bytes).map_err(storage(&next, "write"))?;
    if durability == Durability::Synced {
        file.sync().map_err(storage(&next, "sync"))?;
    }
    rename(&next, path).map_err(storage(path, "replace"))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, LedgerError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(storage(path, "read")(error)),
    }
}

fn text(bytes: Option<Vec<u8>>) -> Result<Option<String>, LedgerError> {
    // What is not text is no note: it is refused where it is parsed.
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}
