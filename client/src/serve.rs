//! Predictions and recommendations over HTTP, on loopback unless the merchant says otherwise.
//!
//! ```text
//! POST /v1/predict      {"inputs": […]} | {"row": {column: value}} | {"baskets": […], "week": t}
//! POST /v1/recommend    {"shopper": id} | {"history": [item, …]}, with "k", "exclude", "filter", "reasons", …
//! POST /v1/similar      {"item": id, "k": n}
//! POST /v1/explain      why an item is recommended, or a prediction made
//! POST /v1/events       {"events": [{"shopper": id, "item": id}]}: durable, and in the next recommendation
//! GET  /v1/experiments  both versions side by side, with their counters
//! GET  /v1/model        version, hash, ε spent, budget, label, parameters
//! GET  /v2…             the Open Inference Protocol, version 2
//! GET  /openapi.json    all of this, for machines
//! GET  /healthz         200 as soon as the process listens
//! GET  /metrics         Prometheus text; no shopper, no item
//!
//! request ─▶ http ─▶ question ─▶ Arms, one snapshot ─▶ arm ─▶ ServedModel ─▶ ranker | network ─▶ answer
//!                                                            live histories ─┘
//! ```
//! A new model is swapped in whole: every request takes one [`ServedModel`] and answers from it alone. No lock is held while it
//! computes.
//!
//! # Privacy
//! Questions are answered and forgotten: they are neither logged nor counted by content. Events are kept, in the merchant's own
//! folder, for they are asked to be. The model is released; asking it costs no budget.

pub mod arms;
pub mod events;
pub mod explain;
mod http;
pub mod live;
mod metrics;
mod network;
mod question;
pub mod ranker;
mod ranking;
pub mod top_k;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use axum::serve::ListenerExt as _;
use guildhall_shared::catalogue::Catalogue;
use guildhall_shared::digest::Digest;
use guildhall_shared::id::Name;
use guildhall_shared::job::JobSpec;
use guildhall_shared::model_state::ModelState;
use guildhall_shared::task::Task;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::Budget;
use crate::data::observations::ShopperKey;
use crate::model_store::FineTunedCopy;

use arms::{Arms, Challenger, Known, Wanted};
use events::{EventError, EventLog, RecordedEvents, ShopperEvent};
use explain::{Explain, LayerExplainer};
use live::Live;
pub use metrics::Vitals;
use network::Network;
use ranker::{Ranker, RankerError};
use ranking::Ranking;

/// A server for predictions that cannot be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve predictions at {address}: {source}")]
pub struct ServeError {
    /// Wanted.
    address: SocketAddr,
    /// Why not.
    source: std::io::Error,
}

/// One version of a model, ready to answer.
pub struct ServedModel {
    /// The job.
    pub job: Name,
    /// Version.
    pub version: u32,
    /// Hash of the version (weights, optimiser state and step).
    pub model: Digest,
    /// Label of its privacy.
    pub label: String,
    /// What protects it: unit, or none.
    pub unit: &'static str,
    /// d.
    pub parameters: usize,
    /// Whether this is no released version but this merchant's fine-tuned copy of one, outside the privacy claim.
    pub fine_tuned: bool,
    spec: Arc<JobSpec>,
    network: Network,
    ranking: Option<Ranking>,
    explainer: Option<Arc<dyn Explain>>,
}

impl ServedModel {
    /// Prepares a version. The weights served are the released ones: averaged, where the job says so.
    pub fn new(spec: &Arc<JobSpec>, label: &str, version: u32, model: Digest, state: &ModelState) -> Self {
        ServedModel {
            label: label.to_owned(),
            unit: spec.privacy.unit().describe(),
            ranking: ranking::released_popularity(spec, state),
            ..Self::of_weights(spec, version, model, &state.released())
        }
    }

    /// Prepares this merchant's fine-tuned copy of a version; it says so in every answer, in place of the job's label.
    pub fn fine_tuned(spec: &Arc<JobSpec>, copy: &FineTunedCopy) -> Self {
        ServedModel {
            fine_tuned: true,
            ranking: ranking::of_weights(spec, copy.weights()),
            ..Self::of_weights(spec, copy.version(), copy.hash(), copy.weights())
        }
    }

    /// Without a label, and so with the one that promises nothing.
    fn of_weights(spec: &Arc<JobSpec>, version: u32, model: Digest, weights: &[f64]) -> Self {
        ServedModel {
            job: spec.name.clone(),
            version,
            model,
            label: FineTunedCopy::LABEL.into(),
            unit: "none",
            parameters: weights.len(),
            fine_tuned: false,
            spec: Arc::clone(spec),
            network: match spec.task {
                // A bare vector predicts nothing; it may be large. Models of items rank and do not predict.
                Task::Dummy { .. } | Task::NextItem(_) => Network::new(&spec.model(), &[]),
                _ => Network::new(&spec.model(), weights),
            },
            ranking: None,
            explainer: LayerExplainer::of(&spec.model(), weights)
                .map(|explainer| Arc::new(explainer) as Arc<dyn Explain>),
        }
    }

    /// The version as it is named where names are texts: a fine-tuned copy never has the name of a released version.
    pub fn version_name(&self) -> String {
        match self.fine_tuned {
            true => format!("{}-fine-tuned", self.version),
            false => self.version.to_string(),
        }
    }

    /// Lets this version rank by all that it releases, in a federation of so many merchants. Takes seconds for a thousand items
    /// and more: not for a thread that answers anybody.
    pub fn with_released_ranking(mut self, state: &ModelState, merchants: u32) -> Self {
        self.ranking = ranking::released(&self.spec, state, merchants).or(self.ranking);
        self
    }

    /// Lets this version rank the items of a catalogue.
    ///
    /// # Errors
    /// [`RankerError`] when ranker and catalogue have different numbers of items.
    pub fn with_ranker(mut self, ranker: Arc<dyn Ranker>, catalogue: Catalogue) -> Result<Self, RankerError> {
        self.ranking = Some(Ranking::new(ranker, catalogue, self.spec.task.items())?);
        Ok(self)
    }

    /// Lets this version explain its predictions.
    pub fn with_explainer(mut self, explainer: Arc<dyn Explain>) -> Self {
        self.explainer = Some(explainer);
        self
    }
}

/// What the HTTP server answers from. The driver puts new versions and numbers in.
pub struct Service {
    arms: RwLock<Arc<Arms>>,
    wanted: Mutex<Wanted>,
    live: Mutex<Live>,
    log: Option<EventLog>,
    vitals: Vitals,
    budget: Budget,
}

impl Service {
    /// A service without a model yet; events are kept in memory only.
    pub fn new(budget: Budget) -> Self {
        Service {
            arms: RwLock::default(),
            wanted: Mutex::default(),
            live: Mutex::default(),
            log: None,
            vitals: Vitals::default(),
            budget,
        }
    }

    /// Records events in a file too, and begins with what it holds.
    pub fn with_event_log(mut self, log: EventLog, recorded: &RecordedEvents) -> Self {
        let mut live = Live::default();
        recorded.events.iter().for_each(|event| live.record(event.shopper, &event.item));
        (self.live, self.log) = (Mutex::new(live), Some(log));
        self
    }

    /// Swaps a new version in. Requests under way finish with the one they have.
    pub fn publish(&self, model: ServedModel) {
        self.want(|wanted| wanted.newest = Some(Arc::new(model)));
    }

    /// Serves this version instead of the newest, or again the newest.
    pub fn pin(&self, model: Option<ServedModel>) {
        self.want(|wanted| wanted.pinned = model.map(Arc::new));
    }

    /// Tries a version on a share of the shoppers, or ends that.
    pub fn challenge(&self, challenger: Option<(Challenger, f64)>) {
        self.want(|wanted| wanted.challenger = challenger);
    }

    /// Gives the histories in the merchant's own data, as `catalogue` numbers items, the oldest first. Events that are recorded
    /// here come after them.
    pub fn set_histories(&self, catalogue: Catalogue, histories: BTreeMap<ShopperKey, Vec<u32>>) {
        self.want(|wanted| wanted.known = Some(Arc::new(Known { catalogue, histories })));
    }

    fn want(&self, change: impl FnOnce(&mut Wanted)) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut wanted);
        let arms = Arc::new(wanted.arms(&self.arms()));
        *self.arms.write().unwrap_or_else(PoisonError::into_inner) = arms;
    }

    /// Everything that requests are answered from just now.
    pub fn arms(&self) -> Arc<Arms> {
        Arc::clone(&self.arms.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The version that answers all who are not in an experiment.
    pub fn current(&self) -> Option<Arc<ServedModel>> {
        self.arms().champion().map(|arm| Arc::clone(&arm.model))
    }

    /// The newest version, whichever is served.
    pub fn newest(&self) -> Option<Arc<ServedModel>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).newest.clone()
    }

    /// What shoppers did since their histories were loaded. Held for look-ups, never while a model computes.
    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records events: first on disk where there is a file, then for the next recommendation. Says whether they are on disk.
    ///
    /// # Errors
    /// [`EventError`]: none of them is recorded.
    pub async fn record(&self, events: &[ShopperEvent]) -> Result<bool, EventError> {
        if let Some(log) = &self.log {
            log.append(events).await?;
        }
        let mut live = self.live();
        events.iter().for_each(|event| live.record(event.shopper, &event.item));
        Ok(self.log.is_some())
    }

    /// Counters and gauges.
    pub fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    /// The merchant's budget.
    pub fn budget(&self) -> Budget {
        self.budget
    }
}

/// A running HTTP server.
pub struct Listening {
    /// Where it listens; the port is chosen by the system where the configuration says 0.
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Listening {
    /// Starts to answer.
    ///
    /// # Errors
    /// [`ServeError`] when the address cannot be had.
    pub async fn start(service: Arc<Service>, address: SocketAddr) -> Result<Self, ServeError> {
        let error = |source| ServeError { address, source };
        let listener = TcpListener::bind(address).await.map_err(error)?;
        let chosen = listener.local_addr().map_err(error)?;
        let (stop, mut stopped) = watch::channel(false);
        let until = async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        // Answers are small: none waits for the one before to be acknowledged.
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        let server = axum::serve(listener, http::router(service)).with_graceful_shutdown(until);
        Ok(Listening { address: chosen, stop, task: tokio::spawn(server.into_future()) })
    }

    /// Answers what is under way, for a second at most, and stops.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        let abort = self.task.abort_handle();
        if tokio::time::timeout(std::time::Duration::from_secs(1), self.task).await.is_err() {
            abort.abort();
        }
    }
}

/// What a version says of one observation, for tests elsewhere.
#[cfg(test)]
pub(crate) fn logit_of(model: &ServedModel, inputs: &[f32]) -> f64 {
    model.network.logit(inputs).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests;
