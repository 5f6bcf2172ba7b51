//! Which version of a job is served, where that is not the newest: a file beside the versions.
//!
//! ```text
//! models/JOB/served.pin:  "12\n", or "12 fine-tuned\n" for the merchant's own copy of it
//! ```

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::folder::{Access, FolderError, read, write_durably};

/// What is served in place of the newest version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin {
    /// A released version.
    Released(u32),
    /// This merchant's fine-tuned copy of a released version.
    FineTuned(u32),
}

impl Pin {
    /// The version, or the one the copy was made of.
    pub fn version(self) -> u32 {
        match self {
            Pin::Released(version) | Pin::FineTuned(version) => version,
        }
    }
}

/// Behind the number of a version whose copy is served.
const FINE_TUNED: &str = "fine-tuned";

/// The file in a job's folder of models.
pub fn pin_path(models: &Path) -> PathBuf {
    models.join("served.pin")
}

/// What is pinned; none where the newest is served.
///
/// # Errors
/// [`FolderError`], also for a file that holds something else.
pub fn read_pin(models: &Path) -> Result<Option<Pin>, FolderError> {
    let path = pin_path(models);
    let bytes = match read(&path) {
        Err(FolderError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let pin = std::str::from_utf8(&bytes).ok().and_then(|text| {
        let mut words = text.split_ascii_whitespace();
        let version = words.next()?.parse().ok()?;
        match (words.next(), words.next()) {
            (None, None) => Some(Pin::Released(version)),
            (Some(FINE_TUNED), None) => Some(Pin::FineTuned(version)),
            _ => None,
        }
    });
    let expected = "the number of a version (or no such file: `guildhall model use newest`)";
    pin.map(Some).ok_or(FolderError::Content { path, expected })
}

/// Pins a version or a copy, durably, or serves the newest again.
///
/// # Errors
/// [`FolderError::Io`].
pub fn write_pin(models: &Path, pin: Option<Pin>) -> Result<(), FolderError> {
    let path = pin_path(models);
    let write = |text: String| write_durably(&path, text.as_bytes(), Access::Shared);
    match pin {
        Some(Pin::Released(version)) => write(format!("{version}\n")),
        Some(Pin::FineTuned(version)) => write(format!("{version} {FINE_TUNED}\n")),
        None => match fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                Err(FolderError::Io { path, action: "remove the pin", source })
            }
            _ => Ok(()),
        },
    }
}
