//! Writes model versions behind the rounds' back: a round never waits for a model's disk.
//!
//! Small models are all written. Of large ones a version is written every few seconds and at the end: what is missing
//! after a crash is derived again from the server's records, and nothing else is lost.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use guildhall_shared::digest::Digest;
use guildhall_shared::model_state::ModelState;
use tokio::sync::oneshot;

use crate::model_store::{ModelStore, Retention, StoredModel};

/// Models up to this size are written at every version.
const SMALL_BYTES_MAX: usize = 1 << 20;
/// Between two writes of a large model.
const LARGE_INTERVAL: Duration = Duration::from_secs(5);

struct Version {
    version: u32,
    model: Digest,
    state: Arc<ModelState>,
    retention: Retention,
}

enum Work {
    Store(Version),
    Load(u32, oneshot::Sender<Option<StoredModel>>),
    Flush(oneshot::Sender<()>),
}

/// The writer of one job's versions.
pub(super) struct Keeper {
    work: Sender<Work>,
    last_written: Option<Instant>,
    /// The newest version, while it is not written.
    unwritten: Option<Version>,
}

impl Keeper {
    /// Starts the writer; it ends with the keeper, after everything it was given is written.
    pub fn start(store: ModelStore) -> Self {
        let (work, queue) = channel();
        std::thread::spawn(move || write_all(store, &queue));
        Keeper { work, last_written: None, unwritten: None }
    }

    /// Keeps a version, now or later.
    pub fn store(&mut self, version: u32, model: Digest, state: Arc<ModelState>, retention: Retention) {
        let floats = state.weights.len()
            + state.optimizer.first.len()
            + state.optimizer.second.len()
            + state.average_sum.len();
        let due = self.last_written.is_none_or(|at| at.elapsed() >= LARGE_INTERVAL);
        let version = Version { version, model, state, retention };
        if 8 * floats <= SMALL_BYTES_MAX || due || retention == Retention::Pinned {
            self.unwritten = None;
            self.last_written = Some(Instant::now());
            let _ = self.work.send(Work::Store(version));
        } else {
            self.unwritten = Some(version);
        }
    }

    /// Reads a version back; `None` when it is not kept.
    pub async fn load(&mut self, version: u32) -> Option<StoredModel> {
        let (reply, answer) = oneshot::channel();
        self.work.send(Work::Load(version, reply)).ok()?;
        answer.await.ok().flatten()
    }

    /// Waits until the newest version is on disk.
    pub async fn flush(&mut self) {
        if let Some(version) = self.unwritten.take() {
            let _ = self.work.send(Work::Store(version));
        }
        let (reply, done) = oneshot::channel();
        if self.work.send(Work::Flush(reply)).is_ok() {
            let _ = done.await;
        }
    }
}

fn write_all(mut store: ModelStore, queue: &Receiver<Work>) {
    let warn = |error| tracing::warn!(%error, "a model version is not kept; it can be derived again");
    for work in queue {
        match work {
            Work::Store(Version { version, model, state, retention }) => {
                store.store(version, &model, &state, retention).unwrap_or_else(warn);
            }
            Work::Load(version, reply) => {
                let stored = store.load(version).unwrap_or_else(|error| {
                    warn(error);
                    None
                });
                let _ = reply.send(stored);
            }
            Work::Flush(reply) => {
                let _ = reply.send(());
            }
        }
    }
}
