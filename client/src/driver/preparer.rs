//! Prepares versions that take long to prepare, away from the rounds and from whoever is asking.
//!
//! An item-item model over a thousand items is solved for in seconds. Meanwhile the version before is served; of versions that
//! arrive faster than they can be prepared, only the newest counts.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use guildhall_shared::digest::Digest;
use guildhall_shared::job::JobSpec;
use guildhall_shared::model_state::ModelState;

use crate::serve::{ServedModel, Service};

/// A version that is to be served.
pub(super) struct Wanted {
    pub spec: Arc<JobSpec>,
    pub label: String,
    pub version: u32,
    pub model: Digest,
    pub state: Arc<ModelState>,
    pub merchants: u32,
}

/// The thread that prepares.
pub(super) struct Preparer(Sender<Wanted>);

impl Preparer {
    /// Starts it; it ends with the client.
    pub fn start(service: &Arc<Service>) -> Self {
        let (wanted, queue) = channel();
        let service = Arc::clone(service);
        std::thread::spawn(move || prepare_all(&service, &queue));
        Preparer(wanted)
    }

    /// Serves a version as soon as it is prepared, unless a newer one comes before.
    pub fn prepare(&self, wanted: Wanted) {
        let _ = self.0.send(wanted);
    }
}

fn prepare_all(service: &Service, queue: &Receiver<Wanted>) {
    while let Ok(first) = queue.recv() {
        let Wanted { spec, label, version, model, state, merchants } =
            queue.try_iter().last().unwrap_or(first);
        let served = ServedModel::new(&spec, &label, version, model, &state);
        publish(service, served.with_released_ranking(&state, merchants));
    }
}

/// Serves a version, unless a newer one of the same job is served: while a history is derived again, old ones pass.
pub(super) fn publish(service: &Service, model: ServedModel) {
    let newer = |served: &Arc<ServedModel>| served.job == model.job && served.version > model.version;
    if !service.newest().as_ref().is_some_and(newer) {
        service.publish(model);
    }
}
