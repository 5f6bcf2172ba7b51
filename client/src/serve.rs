//! Predictions over HTTP, on loopback unless the merchant says otherwise.
//!
//! ```text
//! POST /v1/predict   {"inputs": […]} | {"row": {column: value}} | {"baskets": […], "week": t}
//! GET  /v1/model     version, hash, ε spent, budget, label, parameters
//! GET  /healthz      200 as soon as the process listens
//! GET  /metrics      Prometheus text; nothing about rows
//! ```
//! A new model is swapped in whole: every request takes one [`ServedModel`] and answers from it alone.
//!
//! # Privacy
//! Questions are answered and forgotten: they are neither logged nor counted by content. The model is released; asking
//! it costs no budget.

mod http;
mod metrics;
mod network;
mod question;

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use guildhall_shared::digest::Digest;
use guildhall_shared::id::Name;
use guildhall_shared::job::JobSpec;
use guildhall_shared::model_state::ModelState;
use guildhall_shared::task::Task;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::Budget;

pub use metrics::Vitals;
use network::Network;

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
    spec: Arc<JobSpec>,
    network: Network,
}

impl ServedModel {
    /// Prepares a version. The weights served are the released ones: averaged, where the job says so.
    pub fn new(spec: &Arc<JobSpec>, label: &str, version: u32, model: Digest, state: &ModelState) -> Self {
        ServedModel {
            job: spec.name.clone(),
            version,
            model,
            label: label.to_owned(),
            unit: spec.privacy.unit().describe(),
            parameters: state.weights.len(),
            spec: Arc::clone(spec),
            network: match spec.task {
                // A bare vector predicts nothing; it may be large.
                Task::Dummy { .. } => Network::new(&spec.model(), &[]),
                _ => Network::new(&spec.model(), &state.released()),
            },
        }
    }
}

/// What the HTTP server answers from. The driver puts new versions and numbers in.
pub struct Service {
    current: RwLock<Option<Arc<ServedModel>>>,
    vitals: Vitals,
    budget: Budget,
}

impl Service {
    /// A service without a model yet.
    pub fn new(budget: Budget) -> Self {
        Service { current: RwLock::new(None), vitals: Vitals::default(), budget }
    }

    /// Swaps a version in. Requests under way finish with the one they have.
    pub fn publish(&self, model: ServedModel) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(model));
    }

    /// The version to answer from.
    pub fn current(&self) -> Option<Arc<ServedModel>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
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

#[cfg(test)]
mod tests;
