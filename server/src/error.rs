//! What can stop the server or an operator's command.

use std::io;
use std::path::{Path, PathBuf};

use guildhall_shared::round_parameters::RoundParametersError;

use crate::registry::RegistryError;
use crate::store::StoreError;
use crate::transport::TransportError;

/// A failure of the server itself. What a peer does wrong is an [`crate::Event::Refused`], never one of these.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A file or folder cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `init` in a folder that is taken.
    #[error(
        "{0} already holds a federation, or the keys of an unfinished one: choose another folder, nothing was changed"
    )]
    Exists(PathBuf),
    /// A folder without a federation.
    #[error("{0} holds no federation: run `guildhall server init` first")]
    NoFederation(PathBuf),
    /// A wrong configuration, every mistake at once.
    #[error("{path}: {}", mistakes.join("; "))]
    Config {
        /// The configuration file.
        path: PathBuf,
        /// What is wrong.
        mistakes: Vec<String>,
    },
    /// A key file that is not a key.
    #[error("{path}: expected {expected}")]
    Key {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// The operating system gave no randomness.
    #[error("the operating system's random source failed: {0}")]
    Randomness(getrandom::Error),
    /// Certificates cannot be made or read.
    #[error("certificate: {0}")]
    Certificate(String),
    /// The server's ledger cannot be written, or is damaged.
    #[error(transparent)]
    Ledger(#[from] guildhall_ledger::LedgerError),
    /// The metadata store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The history does not lead to the recorded model.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A recorded job does not fit its roster.
    #[error("the recorded job does not fit the roster: {0}")]
    Job(#[from] RoundParametersError),
    /// The network endpoint failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The admin socket failed.
    #[error("admin socket {path}: {reason}")]
    Admin {
        /// The socket.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl ServerError {
    /// Names the file an error is about.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> ServerError + '_ {
        move |source| ServerError::File { path: path.to_path_buf(), source }
    }
}
