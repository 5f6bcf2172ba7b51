//! Fine-tuned copies of released versions on disk: this merchant's own, beside the versions and never among them.
//!
//! ```text
//! models/JOB/fine-tuned/0000000012.copy:
//!   "GHCOPY01" | version u32 | hash of the released version 32 bytes | epochs u32 | hash 32 bytes | weights f64, little-endian
//! ```
//! # Privacy
//! The weights hold what the merchant's rows say, without clip and without noise. A copy has another magic, another kind of hash,
//! another folder and another type than a version: nothing that wants a released version takes it for one, and it cannot be
//! encoded as a message.
//!
//! ```compile_fail,E0308
//! use guildhall_client::model_store::{FineTunedCopy, ModelStore, Retention};
//! use guildhall_client::folder::FolderError;
//! fn as_a_version(store: &mut ModelStore, copy: &FineTunedCopy) -> Result<(), FolderError> {
//!     store.store(13, &copy.hash(), copy, Retention::Ordinary)
//! }
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use guildhall_shared::digest::Digest;
use guildhall_shared::job::JobSpec;

use super::StoredModel;
use crate::folder::{Access, FolderError, create_private, read, write_durably};
use crate::train::fine_tune::FineTuned;

const MAGIC: [u8; 8] = *b"GHCOPY01";
/// Below a job's folder of models.
const FOLDER: &str = "fine-tuned";

/// A released version, fine-tuned on this merchant's rows.
///
/// # Privacy
/// Outside the privacy claim; stays with the merchant. Neither printed nor serialised.
#[derive(Clone, PartialEq)]
pub struct FineTunedCopy {
    version: u32,
    released: Digest,
    epochs: u32,
    hash: Digest,
    weights: Vec<f64>,
}

impl FineTunedCopy {
    /// What every answer and card of a copy says in place of the job's label.
    pub const LABEL: &'static str = "fine-tuned on this merchant's rows: outside the privacy claim";

    /// The copy that fine-tuning made of a released version.
    pub fn new(job: &JobSpec, released: &StoredModel, tuned: FineTuned) -> Self {
        let FineTuned { epochs, weights, .. } = tuned;
        let hash = hash(job, released.version, &released.model, epochs, &weights);
        FineTunedCopy { version: released.version, released: released.model, epochs, hash, weights }
    }

    /// Which version it was made of.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The hash of that version.
    pub fn released(&self) -> Digest {
        self.released
    }

    /// Epochs it was trained for, at least one.
    pub fn epochs(&self) -> u32 {
        self.epochs
    }

    /// Its own hash, which is no version's.
    pub fn hash(&self) -> Digest {
        self.hash
    }

    /// Its weights, to answer and to measure with.
    ///
    /// # Shapes
    /// d values in the order of [`ModelSpec::parameters`](guildhall_shared::model_spec::ModelSpec::parameters).
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }
}

/// Of another kind than [`ModelState::hash`](guildhall_shared::model_state::ModelState::hash): no copy has the hash of a version.
fn hash(job: &JobSpec, version: u32, released: &Digest, epochs: u32, weights: &[f64]) -> Digest {
    let weights: Vec<u8> = weights.iter().flat_map(|w| w.to_le_bytes()).collect();
    let (job, version, epochs) = (job.digest().0, version.to_le_bytes(), epochs.to_le_bytes());
    Digest::of("guildhall fine-tuned copy v1", &[&job, &version, &released.0, &epochs, &weights])
}

/// The fine-tuned copies of one job's versions, at most one of each.
pub struct CopyStore {
    models: PathBuf,
    spec: JobSpec,
}

impl CopyStore {
    /// The copies beside a job's versions; makes nothing.
    pub fn beside(models: &Path, spec: &JobSpec) -> Self {
        CopyStore { models: models.into(), spec: spec.clone() }
    }

    /// The file of a version's copy, below a job's folder of models.
    pub fn file(version: u32) -> PathBuf {
        Path::new(FOLDER).join(format!("{version:010}.copy"))
    }

    /// Where the copy of a version is.
    pub fn path(&self, version: u32) -> PathBuf {
        self.models.join(Self::file(version))
    }

    /// Keeps a copy, durably, readable by the owner only, in place of an earlier one of the same version.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn store(&self, copy: &FineTunedCopy) -> Result<(), FolderError> {
        create_private(&self.models.join(FOLDER))?;
        let mut bytes = Vec::with_capacity(80 + 8 * copy.weights.len());
        bytes.extend(MAGIC);
        bytes.extend(copy.version.to_le_bytes());
        bytes.extend(copy.released.0);
        bytes.extend(copy.epochs.to_le_bytes());
        bytes.extend(copy.hash.0);
        bytes.extend(copy.weights.iter().flat_map(|w| w.to_le_bytes()));
        write_durably(&self.path(copy.version), &bytes, Access::Private)
    }

    /// The copy of a version; `None` where there is none, or where the file does not come to its own hash.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn load(&self, version: u32) -> Result<Option<FineTunedCopy>, FolderError> {
        let path = self.path(version);
        if !path.exists() {
            return Ok(None);
        }
        let copy = self.decode(&read(&path)?).filter(|copy| copy.version == version);
        if copy.is_none() {
            tracing::warn!(version, "a fine-tuned copy does not come to its own hash; make it again");
        }
        Ok(copy)
    }

    /// The versions with a copy, and the bytes of its file.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn versions(&self) -> Result<BTreeMap<u32, u64>, FolderError> {
        let mut found = BTreeMap::new();
        let dir = self.models.join(FOLDER);
        if !dir.exists() {
            return Ok(found);
        }
        let error = |source| FolderError::Io { path: dir.clone(), action: "list the folder", source };
        for entry in fs::read_dir(&dir).map_err(error)? {
            let entry = entry.map_err(error)?;
            let name = entry.file_name();
            if let Some(version) = name.to_str().and_then(|name| name.strip_suffix(".copy")?.parse().ok()) {
                found.insert(version, entry.metadata().map_err(error)?.len());
            }
        }
        Ok(found)
    }

    fn decode(&self, bytes: &[u8]) -> Option<FineTunedCopy> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (version, rest) = rest.split_first_chunk::<4>()?;
        let (released, rest) = rest.split_first_chunk::<32>()?;
        let (epochs, rest) = rest.split_first_chunk::<4>()?;
        let (kept, rest) = rest.split_first_chunk::<32>()?;
        let (values, left) = rest.as_chunks::<8>();
        let weights: Vec<f64> = values.iter().map(|value| f64::from_le_bytes(*value)).collect();
        let (version, epochs) = (u32::from_le_bytes(*version), u32::from_le_bytes(*epochs));
        let (released, kept) = (Digest(*released), Digest(*kept));
        let whole = left.is_empty()
            && weights.len() == self.spec.model().parameter_count()
            && weights.iter().all(|w| w.is_finite())
            && hash(&self.spec, version, &released, epochs, &weights) == kept;
        whole.then_some(FineTunedCopy { version, released, epochs, hash: kept, weights })
    }
}

#[cfg(test)]
mod tests;
