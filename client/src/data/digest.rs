//! The digest of a merchant's files, for its own ledger. \[shell\]: reads files.

use std::fs::File;
use std::path::Path;

use guildhall_privacy::ledger::DataDigest;
use guildhall_shared::digest::Digest;

use super::error::DataError;

/// Of a merchant's files as they are now, under its secret: the rows and, where there is one, the list of test rows. Schema and
/// task are not in it.
///
/// # Privacy
/// It stays in this process: whoever has it can tell which ledger entries are of these data.
///
/// # Errors
/// [`DataError`] for a file that cannot be read.
pub fn digest<'a>(
    files: impl IntoIterator<Item = &'a Path>,
    secret: &[u8; 32],
) -> Result<DataDigest, DataError> {
    let files = files.into_iter().map(of_file).collect::<Result<Vec<_>, _>>()?;
    Ok(DataDigest::of_files(secret, &files))
}

fn of_file(path: &Path) -> Result<Digest, DataError> {
    let read = File::open(path).and_then(Digest::of_reader);
    read.map_err(|error| DataError::Unreadable {
        file: path.display().to_string(),
        reason: error.to_string(),
    })
}
