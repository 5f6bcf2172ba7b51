//! The client's configuration: what the merchant allows. TOML → raw → validated, all mistakes at once.
//!
//! Nothing about privacy has a default: the budget, the jobs and plain mode must be written down. What weakens privacy
//! sits under `[dangerous]`. Paths are relative to the configuration's folder.

mod raw;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use guildhall_shared::id::Name;

use crate::data::DataConfig;
use crate::folder::{Folder, FolderError};
use crate::model::DeviceChoice;
use crate::participant::Policy;

/// A validated configuration.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Where it lies; everything else of this client lies there too.
    pub folder: Folder,
    /// The merchant.
    pub merchant: Name,
    /// Where its rows live.
    pub region: Name,
    /// Where the server listens.
    pub server: SocketAddr,
    /// What the merchant's shoppers may lose over all jobs.
    pub budget: Budget,
    /// What computes.
    pub device: DeviceChoice,
    /// What it takes part in.
    pub policy: Policy,
    /// Where predictions are served.
    pub serve: SocketAddr,
    /// A version that is tried on a share of the shoppers.
    pub experiment: Option<Experiment>,
    /// What to train on; without it the client follows jobs and serves their models.
    pub data: Option<DataConfig>,
    /// Whether to go on after a job is finished.
    pub when_finished: WhenFinished,
}

/// Two versions side by side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Experiment {
    /// The version that is tried; the newest where none is named (and another one is pinned).
    pub challenger_version: Option<u32>,
    /// Share of the shoppers that it answers.
    pub share: f64,
}

/// What the merchant's shoppers may lose, over all jobs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// ε.
    pub epsilon: f64,
    /// δ.
    pub delta: f64,
}

/// What a client does once a job is finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFinished {
    /// Goes on serving and waits for the next job.
    #[default]
    Stay,
    /// Ends.
    Exit,
}

/// Everything wrong with a configuration, one line each.
#[derive(Debug, PartialEq, Eq)]
pub struct Mistakes(pub Vec<String>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} mistake(s):", self.0.len())?;
        self.0.iter().try_for_each(|mistake| write!(f, "\n  - {mistake}"))
    }
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Cannot be read.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Says something it should not.
    #[error("{path}: {mistakes}")]
    Mistakes {
        /// Which file.
        path: PathBuf,
        /// What.
        mistakes: Mistakes,
    },
}

impl ClientConfig {
    /// Reads a configuration: the file, or the folder with `client.toml`.
    ///
    /// # Errors
    /// [`ConfigError`] lists every mistake.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let file = if path.is_dir() { Folder::at(path).config() } else { path.to_path_buf() };
        let bytes = crate::folder::read(&file)?;
        let folder = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let parsed = match std::str::from_utf8(&bytes) {
            Ok(text) => Self::parse(text, folder),
            Err(_) => Err(Mistakes(vec!["expected UTF-8 text".into()])),
        };
        parsed.map_err(|mistakes| ConfigError::Mistakes { path: file, mistakes })
    }

    /// Reads a configuration's text, with paths relative to `folder`.
    ///
    /// # Errors
    /// [`Mistakes`], every one.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, Mistakes> {
        raw::parse(text, folder)
    }
}

#[cfg(test)]
mod tests;
