//! The jobs whose versions are kept, each beside them, and the one of them that is served: what a version is asked, and by
//! whom it is measured later.

use std::fs;
use std::io::ErrorKind;

use guildhall_shared::digest::Digest;
use guildhall_shared::job::JobSpec;
use guildhall_shared::wire;

use crate::folder::{Access, Folder, FolderError, read, write_durably};

/// Keeps a job that is followed, in the folder of its versions. From here on its newest version is what the client serves,
/// unless it is a metrics job: that is followed beside what is served.
///
/// # Errors
/// [`FolderError`].
pub fn keep_job(folder: &Folder, spec: &JobSpec) -> Result<(), FolderError> {
    // A job that was checked has an encoding.
    let Ok(bytes) = wire::encode(spec) else { return Ok(()) };
    write_durably(&folder.kept_job(&spec.digest()), &bytes, Access::Shared)?;
    match spec.architecture.releases_model() {
        true => write_durably(&folder.followed_job(), &bytes, Access::Shared),
        false => Ok(()),
    }
}

/// The job whose versions are served; `None` where none was followed so far.
///
/// # Errors
/// [`FolderError`].
pub fn followed_job(folder: &Folder) -> Result<Option<JobSpec>, FolderError> {
    let path = folder.followed_job();
    if !path.exists() {
        return Ok(None);
    }
    let spec = wire::decode::<JobSpec>(&read(&path)?, wire::OBJECT_BYTES_MAX);
    spec.map(Some).map_err(|_| FolderError::Content { path, expected: "the job that is followed" })
}

/// A job that was followed once; `None` where it never was.
///
/// # Errors
/// [`FolderError`]; a file that does not come to the digest is never taken for the job.
pub fn kept_job(folder: &Folder, digest: &Digest) -> Result<Option<JobSpec>, FolderError> {
    let path = folder.kept_job(digest);
    if !path.exists() {
        return Ok(None);
    }
    let spec = wire::decode::<JobSpec>(&read(&path)?, wire::OBJECT_BYTES_MAX).ok();
    match spec.filter(|spec| spec.digest() == *digest) {
        Some(spec) => Ok(Some(spec)),
        None => Err(FolderError::Content { path, expected: "the job that the folder is named after" }),
    }
}

/// Every job that was followed, by digest.
///
/// # Errors
/// As [`kept_job`].
pub fn kept_jobs(folder: &Folder) -> Result<Vec<JobSpec>, FolderError> {
    let dir = folder.all_models();
    let error = |source| FolderError::Io { path: dir.clone(), action: "list the folder", source };
    let mut digests: Vec<Digest> = Vec::new();
    match fs::read_dir(&dir) {
        Ok(entries) => {
            for entry in entries {
                let name = entry.map_err(error)?.file_name();
                digests.extend(name.to_str().and_then(|name| name.parse::<Digest>().ok()));
            }
        }
        Err(missing) if missing.kind() == ErrorKind::NotFound => {}
        Err(other) => return Err(error(other)),
    }
    digests.sort_unstable();
    digests.iter().filter_map(|digest| kept_job(folder, digest).transpose()).collect()
}

#[cfg(test)]
mod tests;
