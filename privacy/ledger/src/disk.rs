//! The few operations through which a ledger reaches its disk, in one place. \[shell\]
//!
//! What is durable when: the bytes of a file once it is synced, the name of a file or folder once the folder that it is in is
//! synced. Nothing else may be relied upon after a power cut. In this crate's tests a simulated disk looks on, and makes
//! what every power cut could have left.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

#[cfg(test)]
use simulation::{Operation, note};

/// An open file.
#[derive(Debug)]
pub(crate) struct DiskFile {
    file: File,
    #[cfg_attr(not(test), allow(dead_code, reason = "the simulated disk knows files by their paths"))]
    path: PathBuf,
}

impl DiskFile {
    /// To read and write, for its owner alone; made if it is not there. Its name is not durable yet.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        #[cfg(test)]
        note(|| Operation::Open(path.into()));
        Ok(DiskFile { file, path: path.into() })
    }

    /// To write; empty, whatever was there.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = File::create(path)?;
        #[cfg(test)]
        note(|| Operation::Create(path.into()));
        Ok(DiskFile { file, path: path.into() })
    }

    /// One that was opened otherwise.
    #[cfg(test)]
    pub fn over(file: File, path: &Path) -> Self {
        DiskFile { file, path: path.into() }
    }

    /// Takes the file's lock, which lasts as long as it is open.
    pub fn try_lock(&self) -> Result<(), TryLockError> {
        self.file.try_lock()
    }

    /// All of it.
    pub fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(0))?;
        self.file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// How long it is.
    pub fn length_bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Writes at a place. Not durable yet.
    pub fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.write_all(bytes)?;
        #[cfg(test)]
        note(|| Operation::Write { path: self.path.clone(), offset, bytes: bytes.into() });
        Ok(())
    }

    /// Cuts it, or lengthens it with zeros. Not durable yet.
    pub fn set_length_bytes(&mut self, length_bytes: u64) -> io::Result<()> {
        self.file.set_len(length_bytes)?;
        #[cfg(test)]
        note(|| Operation::SetLength { path: self.path.clone(), length_bytes });
        Ok(())
    }

    /// Makes bytes and length durable.
    pub fn sync(&self) -> io::Result<()> {
        // What it leaves out is the time of the last change; a new length it does not.
        self.file.sync_data()?;
        #[cfg(test)]
        note(|| Operation::SyncFile(self.path.clone()));
        Ok(())
    }
}

/// Gives a file the name of another in the same folder, at once. Which of the two a power cut leaves is open.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    #[cfg(test)]
    note(|| Operation::Rename { from: from.into(), to: to.into() });
    Ok(())
}

/// Makes a folder, with those above it, and its name durable.
pub(crate) fn create_folder(dir: &Path) -> io::Result<()> {
    let above = match dir.parent() {
        Some(above) if above.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
        None => return Ok(()),
    };
    if dir.is_dir() {
        // Whoever made it may have been killed before its name was durable. A folder above that this program may not
        // read is not one in which it made anything.
        return match sync_folder(above) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            other => other,
        };
    }
    create_folder(above)?;
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    #[cfg(test)]
    note(|| Operation::CreateFolder(dir.into()));
    sync_folder(above)
}

/// Makes the names in a folder durable. Where folders cannot be opened (Windows) the file system does it itself.
pub(crate) fn sync_folder(dir: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(dir)?.sync_all()?;
    }
    #[cfg(test)]
    note(|| Operation::SyncFolder(dir.into()));
    Ok(())
}
