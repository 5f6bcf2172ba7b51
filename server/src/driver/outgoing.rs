//! Everything the server says to one merchant, in order: control messages from a bounded queue, and the history as far as
//! the merchant lacks it.
//!
//! Results are not queued: a session knows the next version it must send and follows the head of the history. The newest
//! result is one frame in memory, shared by all sessions; older ones are read from disk in small pieces. A slow merchant
//! therefore costs no memory, and is cut off when it is slower than the configured rate.

use std::sync::Arc;

use guildhall_shared::message::ServerMessage;
use tokio::io::AsyncReadExt as _;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::Shared;
use super::inbound::Pace;
use crate::error::ServerError;
use crate::store::records::Change;
use crate::transport::{Connection, SEND_WINDOW_BYTES, TransportError, Writer};

/// Control messages on their way to a merchant; beyond, it is too slow and is cut off.
pub const OUTBOX: usize = 64;
/// Bytes of a result read from disk at a time.
const PIECE_BYTES: usize = 256 << 10;

/// The newest version of the newest job.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// The job's number.
    pub job: Option<u32>,
    /// Its newest version.
    pub version: u32,
    /// The frame of the result that made it, if it was made by this process.
    pub frame: Option<Arc<Vec<u8>>>,
}

/// What to say next.
#[derive(Debug)]
pub enum Outgoing {
    /// A control message.
    Control(Box<ServerMessage>),
    /// A control message that many get: its frame, shared.
    Encoded(Arc<Vec<u8>>),
    /// From now on, send every version of a job after the given one.
    Follow {
        /// The job's number.
        job: u32,
        /// The version the merchant has.
        after: u32,
        /// The last version of a job that is over; `None` follows the head.
        until: Option<u32>,
    },
    /// The last thing to say.
    Close(Box<ServerMessage>),
}

/// Why a session's sending half ended.
#[derive(Debug, thiserror::Error)]
pub enum OutgoingError {
    /// The stream broke.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The merchant takes too long.
    #[error("expected {0} bytes to be taken in time, they were not")]
    Slow(usize),
    /// The history could not be read.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// A message could not be encoded.
    #[error(transparent)]
    Wire(#[from] guildhall_shared::wire::WireError),
}

/// The next version to send.
struct Due {
    job: u32,
    version: u32,
    /// Its frame, if it is in memory.
    frame: Option<Arc<Vec<u8>>>,
}

struct Followed {
    job: u32,
    next: u32,
    until: Option<u32>,
}

/// The sending half of a session.
pub struct Sender {
    shared: Arc<Shared>,
    connection: Connection,
    control: Writer,
    queue: mpsc::Receiver<Outgoing>,
    head: watch::Receiver<Head>,
    followed: Option<Followed>,
    /// The last vector, until the merchant's transport has all of it: later messages wait for that, so that they do not
    /// overtake it.
    undelivered: Option<Writer>,
    pace: Pace,
}

impl Sender {
    /// Over a session's streams.
    pub fn new(
        shared: Arc<Shared>,
        connection: Connection,
        control: Writer,
        queue: mpsc::Receiver<Outgoing>,
    ) -> Self {
        let (head, pace) = (shared.head.clone(), Pace::of(&shared.limits));
        Sender { shared, connection, control, queue, head, followed: None, undelivered: None, pace }
    }

    /// Sends until told to close, or until something fails.
    pub async fn run(mut self) -> Result<(), OutgoingError> {
        loop {
            self.send_history().await?;
            tokio::select! {
                biased;
                item = self.queue.recv() => match item {
                    // The hub published before it queued: the history goes first.
                    Some(Outgoing::Control(message)) => {
                        self.send_history().await?;
                        self.send_control(&message).await?;
                    }
                    Some(Outgoing::Encoded(frame)) => {
                        self.send_history().await?;
                        self.send_control_frame(&frame).await?;
                    }
                    Some(Outgoing::Follow { job, after, until }) => {
                        self.followed = Some(Followed { job, next: after + 1, until });
                    }
                    Some(Outgoing::Close(message)) => {
                        self.send_control(&message).await?;
                        self.control.finish();
                        let _ = timeout(self.pace.allowance(0), self.control.delivered()).await;
                        return Ok(());
                    }
                    None => return Ok(()),
                },
                changed = self.head.changed() => if changed.is_err() { return Ok(()) },
            }
        }
    }

    fn due(&mut self) -> Option<Due> {
        let followed = self.followed.as_mut()?;
        let head = self.head.borrow_and_update();
        let newest = followed.until.unwrap_or(if head.job == Some(followed.job) { head.version } else { 0 });
        if followed.next > newest {
            return None;
        }
        let version = followed.next;
        followed.next += 1;
        let shared = head.frame.clone().filter(|_| head.job == Some(followed.job) && head.version == version);
        Some(Due { job: followed.job, version, frame: shared })
    }

    async fn send_history(&mut self) -> Result<(), OutgoingError> {
        while let Some(Due { job, version, frame }) = self.due() {
            match frame {
                Some(frame) => self.send_frame(&frame).await?,
                None => self.send_recorded(job, version).await?,
            }
        }
        Ok(())
    }

    async fn send_recorded(&mut self, job: u32, version: u32) -> Result<(), OutgoingError> {
        let record = self.shared.federation.records.version(job, version).map_err(ServerError::from)?;
        match record.map(|record| record.change) {
            Some(Change::RollBack(roll_back)) => self.send_control(&roll_back.into()).await,
            Some(Change::Result(_)) => self.send_file(job, version).await,
            None => Ok(()),
        }
    }

    async fn send_control(&mut self, message: &ServerMessage) -> Result<(), OutgoingError> {
        self.send_control_frame(&message.to_frame()?).await
    }

    async fn send_control_frame(&mut self, frame: &[u8]) -> Result<(), OutgoingError> {
        self.await_delivery().await?;
        self.shared.traffic.add_down(frame.len());
        timeout(self.pace.allowance(frame.len()), self.control.write(frame))
            .await
            .map_err(|_| OutgoingError::Slow(frame.len()))??;
        Ok(())
    }

    async fn await_delivery(&mut self) -> Result<(), OutgoingError> {
        if let Some(mut vector) = self.undelivered.take() {
            timeout(self.pace.allowance(SEND_WINDOW_BYTES), vector.delivered())
                .await
                .map_err(|_| OutgoingError::Slow(SEND_WINDOW_BYTES))?;
        }
        Ok(())
    }

    async fn open_vector(&mut self) -> Result<Writer, OutgoingError> {
        self.await_delivery().await?;
        let opened = timeout(self.pace.allowance(0), self.connection.open_vector()).await;
        Ok(opened.map_err(|_| OutgoingError::Slow(0))??)
    }

    async fn send_frame(&mut self, frame: &[u8]) -> Result<(), OutgoingError> {
        let mut vector = self.open_vector().await?;
        timeout(self.pace.allowance(frame.len()), vector.write(frame))
            .await
            .map_err(|_| OutgoingError::Slow(frame.len()))??;
        vector.finish();
        self.shared.traffic.add_down(frame.len());
        self.undelivered = Some(vector);
        Ok(())
    }

    async fn send_file(&mut self, job: u32, version: u32) -> Result<(), OutgoingError> {
        let path = self.shared.federation.result_path(job, version);
        let failed = |source| ServerError::File { path: path.clone(), source };
        let mut file = tokio::fs::File::open(&path).await.map_err(failed)?;
        let mut vector = self.open_vector().await?;
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let bytes = file.read(&mut piece).await.map_err(failed)?;
            let Some(part) = piece.get(..bytes).filter(|part| !part.is_empty()) else { break };
            timeout(self.pace.allowance(bytes), vector.write(part))
                .await
                .map_err(|_| OutgoingError::Slow(bytes))??;
            self.shared.traffic.add_down(bytes);
        }
        vector.finish();
        self.undelivered = Some(vector);
        Ok(())
    }
}
