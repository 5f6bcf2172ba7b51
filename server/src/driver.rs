//! The running server: one task per connection, one hub that owns every decision.
//!
//! ```text
//! accept loop ─┬─ session task per merchant ──▶ │ bounded queue │ ──▶ hub ──▶ coordinator [core]
//!              └─ enrolment tasks ─────────────▶ │              │      │ durable, then
//! admin socket ────────────────────────────────▶ │              │      ▼
//!                                session tasks ◀── bounded queue per merchant, watched head of the history
//! ```
//!
//! Everything is bounded: connections, handshakes, queues, buffers, times. Memory is a few vectors, not one per merchant:
//! uploads share a few buffers and wait by flow control for one, results are read by every session from one shared frame
//! or, for those who are behind, from disk in small pieces.

mod buffers;
mod enrol;
mod hub;
mod inbound;
mod outgoing;
mod session;
mod upload;

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use crate::admin::{AdminReply, socket};
use crate::config::Limits;
use crate::coordinator::ExpectedUpdate;
use crate::error::ServerError;
use crate::event::{Event, Events};
use crate::federation::Federation;
use crate::mirror::Mirror;
use crate::transport::{ALPN_ENROL, ALPN_SESSION, Credentials, Knock, Listener};
use buffers::Buffers;
use hub::{Hub, ToHub};
use outgoing::Head;

/// Messages on their way to the hub; beyond, senders wait.
const HUB_QUEUE: usize = 256;
/// A handshake takes no longer.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);
/// Operators connected at once.
const ADMIN_CONNECTIONS: usize = 8;

/// How to run.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Where to listen, instead of the configured address.
    pub address: Option<SocketAddr>,
}

/// Frame bytes since the start, to and from all merchants.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    up: AtomicU64,
    down: AtomicU64,
}

impl Traffic {
    fn add_up(&self, bytes: usize) {
        self.up.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn add_down(&self, bytes: usize) {
        self.down.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn read(&self) -> (u64, u64) {
        (self.up.load(Ordering::Relaxed), self.down.load(Ordering::Relaxed))
    }
}

/// What every connection's task may use.
pub(crate) struct Shared {
    federation: Arc<Federation>,
    limits: Limits,
    events: Events,
    hub: mpsc::Sender<ToHub>,
    expected: watch::Receiver<Option<Arc<ExpectedUpdate>>>,
    head: watch::Receiver<Head>,
    buffers: Arc<Buffers>,
    traffic: Arc<Traffic>,
    sessions: AtomicU64,
}

/// Runs the server of a folder until `shutdown` completes.
///
/// # Errors
/// [`ServerError`] when it cannot start, and when something durable fails: then it stops at once, for what it may say next
/// must be what is on disk. Starting again goes on from there.
pub async fn run(
    dir: &Path,
    options: RunOptions,
    events: impl Fn(Event) + Send + Sync + 'static,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServerError> {
    let federation = Arc::new(Federation::open(dir)?);
    let limits = federation.config.limits;
    let credentials = Credentials {
        authority: &federation.authority.certificate,
        certificate: &federation.authority.server_certificate,
        key: &federation.authority.server_key,
    };
    let address = options.address.unwrap_or(federation.config.address);
    let listener = Listener::bind(address, &credentials, limits.pending_handshakes)?;
    let address = listener.local_address()?;
    let admin = socket::listen(dir)?;
    let (to_hub, inbox) = mpsc::channel(HUB_QUEUE);
    let (expected_sender, expected) = watch::channel(None);
    let (head_sender, head) = watch::channel(Head::default());
    let (events, traffic) = (Events::new(events), Arc::new(Traffic::default()));
    let shared = Arc::new(Shared {
        federation: Arc::clone(&federation),
        limits,
        events: events.clone(),
        hub: to_hub,
        expected,
        head,
        buffers: Buffers::new(limits.upload_buffers),
        traffic: Arc::clone(&traffic),
        sessions: AtomicU64::new(0),
    });
    events.emit(Event::Listening { address });
    let mirror = Mirror::open(&federation)?;
    let mut hub = Hub::new(federation, mirror, events, traffic, expected_sender, head_sender, address);
    let mut tasks = JoinSet::new();
    tasks.spawn(accept_loop(Arc::clone(&shared), listener.clone()));
    tasks.spawn(admin_loop(shared.hub.clone(), admin));
    let result = match hub.resume() {
        Ok(()) => hub.run(inbox, shutdown).await,
        Err(error) => Err(error),
    };
    listener.close("the server is stopping").await;
    tasks.shutdown().await;
    // A stale socket does no harm: the next start replaces it.
    let _ = std::fs::remove_file(socket::path(dir));
    result
}

async fn accept_loop(shared: Arc<Shared>, listener: Listener) {
    let handshakes = Arc::new(Semaphore::new(shared.limits.pending_handshakes));
    let enrolments = Arc::new(enrol::Gate::default());
    let mut connections = JoinSet::new();
    while let Some(knock) = listener.next().await {
        while connections.try_join_next().is_some() {}
        if connections.len() >= shared.limits.connections {
            shared.events.refused(
                knock.address(),
                format!("expected at most {} connections", shared.limits.connections),
            );
            knock.refuse();
            continue;
        }
        // Under load, an address first proves that it can receive; that costs no memory here.
        let loaded = handshakes.available_permits() <= shared.limits.pending_handshakes / 2;
        if loaded && !knock.is_validated() {
            knock.validate();
            continue;
        }
        let Ok(permit) = Arc::clone(&handshakes).try_acquire_owned() else {
            knock.refuse();
            continue;
        };
        let (shared, enrolments) = (Arc::clone(&shared), Arc::clone(&enrolments));
        connections.spawn(async move {
            let address = knock.address();
            let shaken = tokio::time::timeout(HANDSHAKE_PATIENCE, Knock::accept(knock)).await;
            drop(permit);
            let connection = match shaken {
                Ok(Ok(connection)) => connection,
                Ok(Err(error)) => return shared.events.refused(address, error),
                Err(_) => {
                    return shared.events.refused(address, "handshake: not complete within ten seconds");
                }
            };
            match connection.protocol().as_deref() {
                Some(ALPN_SESSION) => session::serve(shared, connection).await,
                Some(ALPN_ENROL) => enrol::serve(shared, connection, enrolments).await,
                _ => connection.close("unknown protocol"),
            }
        });
    }
}

async fn admin_loop(hub: mpsc::Sender<ToHub>, listener: tokio::net::UnixListener) {
    let places = Arc::new(Semaphore::new(ADMIN_CONNECTIONS));
    let mut operators = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((mut stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        while operators.try_join_next().is_some() {}
        let hub = hub.clone();
        operators.spawn(async move {
            let _place = place;
            let reply = match socket::read_command(&mut stream).await {
                Ok(command) => {
                    hub::ask(&hub, |reply| ToHub::Admin { command: Box::new(command), reply }).await
                }
                Err(reason) => Some(AdminReply::Refused(reason)),
            };
            let reply = reply.unwrap_or_else(|| AdminReply::Refused("the server is stopping".into()));
            if let Err(error) = socket::write_reply(&mut stream, &reply).await {
                tracing::debug!(%error, "an operator left before the reply");
            }
        });
    }
}
