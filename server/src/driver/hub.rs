//! The hub: the one task that decides. It feeds the coordinator and carries out, in order, what the coordinator wants;
//! whatever must be durable is durable before the next step. A failure of the disk ends the server.

mod operator;
mod outputs;
mod sessions;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use guildhall_shared::id::{MerchantIndex, Name};
use guildhall_shared::message::{ClientMessage, EnrolReply, EnrolRequest, Hello};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::Traffic;
use super::outgoing::{Head, Outgoing};
use super::upload::Upload;
use crate::admin::{AdminCommand, AdminReply};
use crate::coordinator::{Coordinator, CoordinatorError, ExpectedUpdate, Input};
use crate::error::ServerError;
use crate::event::Events;
use crate::federation::Federation;
use crate::mirror::Mirror;
use crate::round::TimestampMs;
use crate::transport::Connection;
use sessions::Session;

/// At shutdown, time for the last messages to leave.
const FAREWELL: Duration = Duration::from_millis(100);

/// What reaches the hub.
pub enum ToHub {
    /// A merchant's session began.
    Joined {
        /// The session's number.
        session: u64,
        /// Who, by its certificate.
        merchant: Name,
        /// Its first message.
        hello: Hello,
        /// Where answers go.
        outbox: mpsc::Sender<Outgoing>,
        /// To cut it off.
        connection: Connection,
    },
    /// A control message.
    Message {
        /// Which session.
        session: u64,
        /// What.
        message: ClientMessage,
    },
    /// An update, received whole.
    Update {
        /// Which session.
        session: u64,
        /// What.
        upload: Upload,
    },
    /// A session ended.
    Left {
        /// Which.
        session: u64,
    },
    /// Somebody wants to enrol.
    Enrol {
        /// From where.
        peer: SocketAddr,
        /// The request.
        request: Box<EnrolRequest>,
        /// For the answer.
        reply: oneshot::Sender<EnrolReply>,
    },
    /// The operator wants something.
    Admin {
        /// What.
        command: Box<AdminCommand>,
        /// For the answer.
        reply: oneshot::Sender<AdminReply>,
    },
}

/// Asks the hub and waits for its answer; `None` when the server is stopping.
pub async fn ask<T>(
    hub: &mpsc::Sender<ToHub>,
    question: impl FnOnce(oneshot::Sender<T>) -> ToHub,
) -> Option<T> {
    let (reply, answer) = oneshot::channel();
    hub.send(question(reply)).await.ok()?;
    answer.await.ok()
}

/// The hub.
pub struct Hub {
    federation: Arc<Federation>,
    mirror: Mirror,
    events: Events,
    traffic: Arc<Traffic>,
    expected: watch::Sender<Option<Arc<ExpectedUpdate>>>,
    head: watch::Sender<Head>,
    address: SocketAddr,
    clock: Instant,
    sessions: BTreeMap<u64, Session>,
    by_merchant: BTreeMap<Name, u64>,
    /// Sessions of merchants in the closed roster.
    by_index: BTreeMap<MerchantIndex, u64>,
    /// Once the roster is closed.
    coordinator: Option<Coordinator>,
    /// Number of the job the coordinator has.
    job: Option<u32>,
    traffic_at_offer: (u64, u64),
    cached_version: u32,
}

impl Hub {
    /// With nobody connected.
    pub fn new(
        federation: Arc<Federation>,
        mirror: Mirror,
        events: Events,
        traffic: Arc<Traffic>,
        expected: watch::Sender<Option<Arc<ExpectedUpdate>>>,
        head: watch::Sender<Head>,
        address: SocketAddr,
    ) -> Self {
        Hub {
            federation,
            mirror,
            events,
            traffic,
            expected,
            head,
            address,
            clock: Instant::now(),
            sessions: BTreeMap::new(),
            by_merchant: BTreeMap::new(),
            by_index: BTreeMap::new(),
            coordinator: None,
            job: None,
            traffic_at_offer: (0, 0),
            cached_version: 0,
        }
    }

    /// Goes on from what is on disk.
    pub fn resume(&mut self) -> Result<(), ServerError> {
        if let Some(signed) = self.federation.records.roster()? {
            self.open_coordinator(&signed)?;
        }
        if let Some(job) = self.federation.records.newest_job()? {
            self.start_job(job)?;
        }
        Ok(())
    }

    /// Decides until shutdown.
    pub async fn run(
        mut self,
        mut inbox: mpsc::Receiver<ToHub>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServerError> {
        let mut shutdown = pin!(shutdown);
        loop {
            let wake_at = self.coordinator.as_ref().and_then(Coordinator::wake_at);
            let alarm = async {
                match wake_at {
                    Some(at) => sleep_until(self.clock + Duration::from_millis(at)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                // Before the inbox: however much comes in, deadlines hold.
                () = alarm => self.feed_and_log(Input::Timeout)?,
                item = inbox.recv() => match item {
                    Some(item) => self.take(item)?,
                    None => break,
                },
            }
        }
        self.feed_and_log(Input::Shutdown)?;
        self.cache_model()?;
        sleep(FAREWELL).await;
        Ok(())
    }

    fn take(&mut self, item: ToHub) -> Result<(), ServerError> {
        match item {
            ToHub::Joined { session, merchant, hello, outbox, connection } => {
                self.joined(session, Session::new(merchant, hello, outbox, connection))
            }
            ToHub::Message { session, message } => self.message(session, message),
            ToHub::Update { session, upload } => self.update(session, &upload),
            ToHub::Left { session } => self.left(session),
            ToHub::Enrol { peer, request, reply } => self.enrol(peer, &request, reply),
            ToHub::Admin { command, reply } => self.operate(*command, reply),
        }
    }

    fn now(&self) -> TimestampMs {
        self.clock.elapsed().as_millis() as u64
    }

    /// Feeds the coordinator and carries out what it wants. The inner result is its verdict on the input.
    fn feed(&mut self, input: Input<'_>) -> Result<Result<(), CoordinatorError>, ServerError> {
        let now = self.now();
        let Some(coordinator) = &mut self.coordinator else { return Ok(Ok(())) };
        let mut out = Vec::new();
        let verdict = heavy(|| coordinator.handle(now, input, &mut out));
        self.perform(out)?;
        Ok(verdict)
    }

    fn feed_and_log(&mut self, input: Input<'_>) -> Result<(), ServerError> {
        if let Err(error) = self.feed(input)? {
            tracing::warn!(%error, "an input of the server's own was refused");
        }
        Ok(())
    }
}

/// Runs a long computation without holding up other tasks, where the runtime has other threads.
fn heavy<T>(work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}
