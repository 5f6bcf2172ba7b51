//! Why a client ends.

use std::path::PathBuf;

use guildhall_privacy::ledger::LedgerError;

use crate::config::ConfigError;
use crate::driver::HaltError;
use crate::folder::FolderError;
use crate::join::JoinError;
use crate::participant::Refused;
use crate::serve::ServeError;
use crate::transport::TransportError;

/// Why a client ends. Connections that fail do not end it: it connects again.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The operating system gives no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Randomness(getrandom::Error),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Joining.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// A file of this client's.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The privacy ledger: without it nothing may be sent.
    #[error("the privacy ledger: {0}")]
    Ledger(#[from] LedgerError),
    /// The pinned roster does not fit this client's keys.
    #[error("the pinned roster: {0}")]
    Roster(#[from] Refused),
    /// This client's own keys and certificates.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The HTTP server.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// No model in the folder yet.
    #[error("{}: there is no model to serve yet; run the client until it follows a job", dir.display())]
    NothingToServe {
        /// The folder.
        dir: PathBuf,
    },
    /// A version that is not there.
    #[error("{}: version {version} is not kept, or damaged; `guildhall model list` names those that are", dir.display())]
    NotKept {
        /// Which.
        version: u32,
        /// The folder of the job's models.
        dir: PathBuf,
    },
    /// A version without a fine-tuned copy.
    #[error("{}: version {version} has no fine-tuned copy, or a damaged one; `guildhall fine-tune` makes one", dir.display())]
    NoCopy {
        /// Which.
        version: u32,
        /// The folder of the job's models.
        dir: PathBuf,
    },
    /// The testing aid in the environment.
    #[error(transparent)]
    Halt(#[from] HaltError),
    /// A task of this process failed.
    #[error("a task of this client failed: {0}")]
    Task(String),
}
