//! Files: secrets with mode 0600, everything else written whole or not at all.
//!
//! A durable write goes to a temporary name, is synced, renamed, and its folder synced.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use zeroize::Zeroizing;

use crate::error::ServerError;

/// A key file is never larger.
const SECRET_BYTES_MAX: u64 = 16 << 10;

/// Makes a folder that only its owner may enter, with its parents; a folder that exists keeps its contents.
pub fn make_private_folder(dir: &Path) -> Result<(), ServerError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(ServerError::file(dir))?;
    std::fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(ServerError::file(dir))
}

/// Writes a secret that must not exist yet, readable by its owner only.
pub fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), ServerError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(ServerError::file(path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(ServerError::file(path))?;
    sync_parent(path)
}

/// Reads a secret.
pub fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, ServerError> {
    let mut bytes = Zeroizing::new(Vec::new());
    let file = File::open(path).map_err(ServerError::file(path))?;
    file.take(SECRET_BYTES_MAX).read_to_end(&mut bytes).map_err(ServerError::file(path))?;
    Ok(bytes)
}

/// Reads a whole file.
pub fn read(path: &Path) -> Result<Vec<u8>, ServerError> {
    std::fs::read(path).map_err(ServerError::file(path))
}

/// Reads a whole file, or nothing where there is none.
pub fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, ServerError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ServerError::File { path: path.to_path_buf(), source }),
    }
}

/// Writes a file whole or not at all; durable on return.
pub fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), ServerError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".part");
    let temporary = Path::new(&temporary);
    let mut file = File::create(temporary).map_err(ServerError::file(temporary))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(ServerError::file(temporary))?;
    std::fs::rename(temporary, path).map_err(ServerError::file(path))?;
    sync_parent(path)
}

fn sync_parent(path: &Path) -> Result<(), ServerError> {
    let Some(parent) = path.parent() else { return Ok(()) };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(ServerError::file(parent))
}
