//! Versions of one job's model on disk, so that a restart need not replay the whole history.
//!
//! ```text
//! models/JOB/0000000012.model:  "GHMODEL1" | version u32 | model hash 32 bytes | ModelState::to_bytes
//! models/JOB/job.spec:          the job
//! ```
//! Only released versions are kept here, which follow from signed results: metrics jobs rely on it.
//!
//! Nothing here is a source of truth: a file that does not come to its own hash is set aside, and the version is
//! derived again from the server's records.

mod fine_tuned;
mod kept_job;
mod pin;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use guildhall_shared::digest::Digest;
use guildhall_shared::job::JobSpec;
use guildhall_shared::model_state::ModelState;

use crate::folder::{Access, FolderError, create_private, read, write_durably};

pub use fine_tuned::{CopyStore, FineTunedCopy};
pub use kept_job::{followed_job, keep_job, kept_job, kept_jobs};
pub use pin::{Pin, pin_path, read_pin, write_pin};

/// Bytes of versions kept; older ones are removed.
const KEPT_BYTES_MAX: u64 = 256 << 20;
/// Versions kept whatever their size.
const KEPT_VERSIONS_MIN: usize = 3;

const MAGIC: [u8; 8] = *b"GHMODEL1";
const HEAD_BYTES: usize = 8 + 4 + 32;

/// The versions of one job.
pub struct ModelStore {
    dir: PathBuf,
    spec: JobSpec,
    /// Bytes of every file, by version.
    sizes: BTreeMap<u32, u64>,
    /// Versions that are never removed while the process runs.
    pinned: BTreeSet<u32>,
    kept_bytes_max: u64,
}

/// A version that was read back.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredModel {
    /// Which.
    pub version: u32,
    /// Its hash, recomputed.
    pub model: Digest,
    /// It.
    pub state: ModelState,
}

/// Whether a version may be removed to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// As old versions are.
    Ordinary,
    /// Not while the process runs.
    Pinned,
}

impl ModelStore {
    /// Opens the folder of a job, makes it if need be, and finds out which versions are there.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn open(dir: &Path, spec: &JobSpec) -> Result<Self, FolderError> {
        create_private(dir)?;
        let mut sizes = BTreeMap::new();
        let error = |source| FolderError::Io { path: dir.into(), action: "list the folder", source };
        for entry in fs::read_dir(dir).map_err(error)? {
            let entry = entry.map_err(error)?;
            let version =
                entry.file_name().to_str().and_then(|name| name.strip_suffix(".model")?.parse().ok());
            if let Some(version) = version {
                sizes.insert(version, entry.metadata().map_err(error)?.len());
            }
        }
        let (pinned, spec) = (BTreeSet::new(), spec.clone());
        Ok(ModelStore { dir: dir.into(), spec, sizes, pinned, kept_bytes_max: KEPT_BYTES_MAX })
    }

    /// Every version that is there, the oldest first, with the bytes of its file.
    pub fn versions(&self) -> impl Iterator<Item = (u32, u64)> {
        self.sizes.iter().map(|(version, bytes)| (*version, *bytes))
    }

    /// The newest version that comes to its own hash. Damaged ones are set aside on the way.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn newest(&mut self) -> Result<Option<StoredModel>, FolderError> {
        while let Some((version, _)) = self.sizes.last_key_value() {
            let version = *version;
            if let Some(stored) = self.load(version)? {
                return Ok(Some(stored));
            }
        }
        Ok(None)
    }

    /// Reads the newest version with this hash; `None` when none is kept, or it is damaged and now set aside.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn find(&mut self, model: &Digest) -> Result<Option<StoredModel>, FolderError> {
        let versions: Vec<u32> = self.sizes.keys().rev().copied().collect();
        for version in versions {
            if self.head(version)?.as_ref() == Some(model) {
                return self.load(version);
            }
        }
        Ok(None)
    }

    /// The hash that a file names in its first bytes; `None` where they are not those of a version.
    fn head(&self, version: u32) -> Result<Option<Digest>, FolderError> {
        let path = self.path(version);
        let error = |source| FolderError::Io { path: path.clone(), action: "read the file", source };
        let mut bytes = Vec::with_capacity(HEAD_BYTES);
        let file = fs::File::open(&path).map_err(error)?;
        file.take(HEAD_BYTES as u64).read_to_end(&mut bytes).map_err(error)?;
        let rest = bytes.strip_prefix(&MAGIC).and_then(|rest| rest.get(4..));
        Ok(rest.and_then(|hash| hash.try_into().ok()).map(Digest))
    }

    /// Reads a version; `None` when it is not kept, or damaged and now set aside.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn load(&mut self, version: u32) -> Result<Option<StoredModel>, FolderError> {
        if !self.sizes.contains_key(&version) {
            return Ok(None);
        }
        let path = self.path(version);
        let stored = self.decode(version, &read(&path)?);
        if stored.is_none() {
            self.sizes.remove(&version);
            let aside = path.with_extension("damaged");
            tracing::warn!(
                version,
                "a stored model does not come to its own hash; it is set aside and derived again"
            );
            fs::rename(&path, &aside).map_err(|source| FolderError::Io {
                path,
                action: "set the damaged file aside",
                source,
            })?;
        }
        Ok(stored)
    }

    /// Keeps a version, durably, and makes room.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn store(
        &mut self,
        version: u32,
        model: &Digest,
        state: &ModelState,
        retention: Retention,
    ) -> Result<(), FolderError> {
        if retention == Retention::Pinned {
            self.pinned.insert(version);
        }
        let body = state.to_bytes();
        let mut bytes = Vec::with_capacity(HEAD_BYTES + body.len());
        bytes.extend(MAGIC);
        bytes.extend(version.to_le_bytes());
        bytes.extend(model.0);
        bytes.extend(body);
        write_durably(&self.path(version), &bytes, Access::Shared)?;
        self.sizes.insert(version, bytes.len() as u64);
        self.make_room()
    }

    fn decode(&self, version: u32, bytes: &[u8]) -> Option<StoredModel> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (found, rest) = rest.split_first_chunk::<4>()?;
        let (hash, body) = rest.split_first_chunk::<32>()?;
        let model = Digest(*hash);
        let state = ModelState::from_bytes(body, &self.spec).ok()?;
        let whole = u32::from_le_bytes(*found) == version && state.hash(&self.spec.model()) == model;
        whole.then_some(StoredModel { version, model, state })
    }

    fn make_room(&mut self) -> Result<(), FolderError> {
        let mut total: u64 = self.sizes.values().sum();
        if total <= self.kept_bytes_max {
            return Ok(());
        }
        // The version the merchant has pinned outlives restarts. A damaged pin protects nothing and is reported where it is used.
        // The version of a pinned copy stays too: to go back to.
        let served = read_pin(&self.dir).unwrap_or_default().map(Pin::version);
        let mut left = self.sizes.len();
        let removable: Vec<(u32, u64)> = self
            .sizes
            .iter()
            .filter(|(v, _)| !self.pinned.contains(v) && served != Some(**v))
            .map(|(v, size)| (*v, *size))
            .collect();
        for (version, size) in removable {
            if total <= self.kept_bytes_max || left <= KEPT_VERSIONS_MIN {
                break;
            }
            let path = self.path(version);
            fs::remove_file(&path).map_err(|source| FolderError::Io {
                path,
                action: "remove an old version",
                source,
            })?;
            self.sizes.remove(&version);
            total -= size;
            left -= 1;
        }
        Ok(())
    }

    fn path(&self, version: u32) -> PathBuf {
        self.dir.join(format!("{version:010}.model"))
    }
}

#[cfg(test)]
mod tests;
