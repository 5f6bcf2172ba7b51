//! A folder for a run: kept where the reader asks for it, thrown away otherwise.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{CommandError, Context as _};

/// A folder of this run's own.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    keep: bool,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

impl Folder {
    /// A new folder under the system's temporary one, removed when dropped.
    pub fn temporary() -> Result<Self, CommandError> {
        // Short, because the path of a unix socket inside it may have 108 bytes at most.
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("guildhall-{}-{count}", std::process::id()));
        std::fs::create_dir(&path).context(path.display())?;
        Ok(Folder { path, keep: false })
    }

    /// A folder the reader names, which must be empty or absent; stays.
    pub fn kept(path: &Path) -> Result<Self, CommandError> {
        std::fs::create_dir_all(path).context(path.display())?;
        if std::fs::read_dir(path).context(path.display())?.next().is_some() {
            return Err(CommandError::message(format!("{}: expected an empty folder", path.display())));
        }
        let path = path.canonicalize().context(path.display())?;
        Ok(Folder { path, keep: true })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed is left to the system's own cleaning.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
