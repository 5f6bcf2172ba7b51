//! Which versions are served: the newest, or the one the merchant pinned, and the one it tries on a share of its shoppers.
//!
//! The pin is a file that `guildhall model use` writes; it is looked at every second, so that going back takes no restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use guildhall_shared::digest::Digest;
use guildhall_shared::job::JobSpec;
use serde::Serialize;
use tokio::task::JoinHandle;

use super::report;
use crate::config::{ClientConfig, Experiment};
use crate::error::ClientError;
use crate::folder::Folder;
use crate::model_store::{CopyStore, ModelStore, Pin, followed_job, pin_path, read_pin, write_pin};
use crate::serve::arms::Challenger;
use crate::serve::{ServedModel, Service};

/// Between two looks at the pin.
const INTERVAL: Duration = Duration::from_secs(1);

/// A version on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeptVersion {
    /// Which.
    pub version: u32,
    /// Bytes of its file.
    pub bytes: u64,
    /// Whether it is pinned.
    pub pinned: bool,
    /// Whether it is not a released version but this merchant's fine-tuned copy of one, outside the privacy claim.
    pub fine_tuned: bool,
}

/// The versions of the followed job that are on disk, the oldest first, each before its fine-tuned copy.
///
/// # Errors
/// [`ClientError::NothingToServe`] before a job is followed.
pub fn kept_versions(config: &ClientConfig) -> Result<Vec<KeptVersion>, ClientError> {
    let (spec, digest) = followed(&config.folder)?;
    let models = config.folder.models(&digest);
    let pin = read_pin(&models)?;
    let store = ModelStore::open(&models, &spec)?;
    let kept = |(version, bytes)| {
        let pinned = pin == Some(Pin::Released(version));
        KeptVersion { version, bytes, pinned, fine_tuned: false }
    };
    let copy = |(version, bytes)| {
        let pinned = pin == Some(Pin::FineTuned(version));
        KeptVersion { version, bytes, pinned, fine_tuned: true }
    };
    let copies = CopyStore::beside(&models, &spec).versions()?;
    let mut all: Vec<KeptVersion> = store.versions().map(kept).chain(copies.into_iter().map(copy)).collect();
    all.sort_by_key(|kept| (kept.version, kept.fine_tuned));
    Ok(all)
}

/// Pins a version of the followed job, or lets the newest be served again. A running client or service follows within seconds.
///
/// # Errors
/// [`ClientError::NotKept`] for a version that is not on disk, or damaged.
pub fn use_version(config: &ClientConfig, version: Option<u32>) -> Result<(), ClientError> {
    let (spec, digest) = followed(&config.folder)?;
    let models = config.folder.models(&digest);
    if let Some(version) = version
        && ModelStore::open(&models, &spec)?.load(version)?.is_none()
    {
        return Err(ClientError::NotKept { version, dir: models });
    }
    Ok(write_pin(&models, version.map(Pin::Released))?)
}

/// Serves this merchant's fine-tuned copy of a version of the followed job. [`use_version`] goes back. A running client or
/// service follows within seconds.
///
/// # Errors
/// [`ClientError::NoCopy`] for a version without a copy, or with a damaged one.
pub fn use_fine_tuned(config: &ClientConfig, version: u32) -> Result<(), ClientError> {
    let (spec, digest) = followed(&config.folder)?;
    let models = config.folder.models(&digest);
    if CopyStore::beside(&models, &spec).load(version)?.is_none() {
        return Err(ClientError::NoCopy { version, dir: models });
    }
    Ok(write_pin(&models, Some(Pin::FineTuned(version)))?)
}

/// n: how many merchants the pinned roster has.
pub(super) fn merchants(folder: &Folder) -> u32 {
    folder.read_roster().ok().flatten().map_or(1, |signed| signed.roster.len() as u32)
}

/// The job whose models are served.
fn followed(folder: &Folder) -> Result<(JobSpec, Digest), ClientError> {
    let nothing = || ClientError::NothingToServe { dir: folder.path().to_path_buf() };
    let spec = followed_job(folder)?.ok_or_else(nothing)?;
    let digest = spec.digest();
    Ok((spec, digest))
}

/// When files were last changed, as far as the system says.
#[derive(Clone, PartialEq, Eq)]
struct Seen {
    job: Option<SystemTime>,
    pin: Option<SystemTime>,
    /// Of the fine-tuned copy that is pinned.
    copy: Option<SystemTime>,
}

/// Keeps what is served in step with the merchant's wishes.
pub(super) struct Steward {
    folder: Folder,
    experiment: Option<Experiment>,
    service: Arc<Service>,
    /// Folder of the followed job's models, and the files as they were when the wishes were last fulfilled.
    fulfilled: Option<(PathBuf, Seen)>,
    /// What was pinned last, in which folder, and when the copy was made: it is not read again while something else is waited
    /// for.
    pinned: Option<(PathBuf, Pin, Option<SystemTime>)>,
    warned: bool,
}

impl Steward {
    pub fn new(config: &ClientConfig, service: &Arc<Service>) -> Self {
        Steward {
            folder: config.folder.clone(),
            experiment: config.experiment,
            service: Arc::clone(service),
            fulfilled: None,
            pinned: None,
            warned: false,
        }
    }

    /// Looks every second, for as long as the task is let run.
    pub fn start(mut self) -> JoinHandle<()> {
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(INTERVAL).await;
                let looked = tokio::task::spawn_blocking(move || {
                    self.look();
                    self
                });
                match looked.await {
                    Ok(steward) => self = steward,
                    Err(_) => return,
                }
            }
        })
    }

    /// Looks whether something else is wished than before, and does it.
    pub fn look(&mut self) {
        let current = self.fulfilled.as_ref().map(|(models, seen)| *seen == self.seen(models));
        if current == Some(true) {
            return;
        }
        match self.fulfil() {
            Ok(fulfilled) => {
                self.fulfilled = fulfilled;
                self.warned = false;
            }
            // It is tried again every second; one line in the log is enough.
            Err(error) if !self.warned => {
                tracing::warn!(%error, "what is served stays as it is");
                self.warned = true;
            }
            Err(_) => {}
        }
    }

    fn seen(&self, models: &Path) -> Seen {
        let changed = |path: &Path| std::fs::metadata(path).and_then(|found| found.modified()).ok();
        let copy = match read_pin(models) {
            Ok(Some(Pin::FineTuned(version))) => changed(&models.join(CopyStore::file(version))),
            _ => None,
        };
        Seen { job: changed(&self.folder.followed_job()), pin: changed(&pin_path(models)), copy }
    }

    fn fulfil(&mut self) -> Result<Option<(PathBuf, Seen)>, ClientError> {
        let (spec, digest) = match followed(&self.folder) {
            Err(ClientError::NothingToServe { .. }) => return Ok(None),
            other => other?,
        };
        let models = self.folder.models(&digest);
        // Before the files are read, so that a change in between is seen the next time.
        let seen = self.seen(&models);
        let (spec, label) = (Arc::new(spec.clone()), report::label(&spec));
        let load = |version| -> Result<ServedModel, ClientError> {
            let stored = ModelStore::open(&models, &spec)?.load(version)?;
            let stored = stored.ok_or_else(|| ClientError::NotKept { version, dir: models.clone() })?;
            let served = ServedModel::new(&spec, &label, stored.version, stored.model, &stored.state);
            Ok(served.with_released_ranking(&stored.state, merchants(&self.folder)))
        };
        let pin = read_pin(&models)?.map(|pin| (models.clone(), pin, seen.copy));
        if pin.is_none() || pin != self.pinned {
            let pinned = match pin.as_ref().map(|(_, pin, _)| *pin) {
                None => None,
                Some(Pin::Released(version)) => Some(load(version)?),
                Some(Pin::FineTuned(version)) => {
                    let copy = CopyStore::beside(&models, &spec).load(version)?;
                    let copy = copy.ok_or_else(|| ClientError::NoCopy { version, dir: models.clone() })?;
                    Some(ServedModel::fine_tuned(&spec, &copy))
                }
            };
            self.service.pin(pinned);
            self.pinned = pin;
        }
        let challenger = match self.experiment {
            None => None,
            Some(Experiment { challenger_version: None, share }) => Some((Challenger::Newest, share)),
            Some(Experiment { challenger_version: Some(version), share }) => {
                Some((Challenger::Version(Arc::new(load(version)?)), share))
            }
        };
        self.service.challenge(challenger);
        Ok(Some((models, seen)))
    }
}

#[cfg(test)]
mod tests;
