//! Which version of a job is served, where that is not the newest: a file beside the versions.
//!
//! ```text
//! models/JOB/served.pin:  "12\n"
//! ```

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::folder::{Access, FolderError, read, write_durably};

/// The file in a job's folder of models.
pub fn pin_path(models: &Path) -> PathBuf {
    models.join("served.pin")
}

/// The pinned version; none where the newest is served.
///
/// # Errors
/// [`FolderError`], also for a file that holds something else.
pub fn read_pin(models: &Path) -> Result<Option<u32>, FolderError> {
    let path = pin_path(models);
    let bytes = match read(&path) {
        Err(FolderError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let version = std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok());
    let expected = "the number of a version (or no such file: `guildhall model use newest`)";
    version.map(Some).ok_or(FolderError::Content { path, expected })
}

/// Pins a version, durably, or serves the newest again.
///
/// # Errors
/// [`FolderError::Io`].
pub fn write_pin(models: &Path, version: Option<u32>) -> Result<(), FolderError> {
    let path = pin_path(models);
    match version {
        Some(version) => write_durably(&path, format!("{version}\n").as_bytes(), Access::Shared),
        None => match fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                Err(FolderError::Io { path, action: "remove the pin", source })
            }
            _ => Ok(()),
        },
    }
}
