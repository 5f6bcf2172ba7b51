//! What the server tells whoever runs it. Never private data: names, numbers of public things, hashes, reasons.

use std::net::SocketAddr;
use std::sync::Arc;

use guildhall_shared::id::Name;
use serde::Serialize;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Ready for merchants.
    Listening {
        /// Where.
        address: SocketAddr,
    },
    /// A merchant has a certificate now.
    Enrolled {
        /// Who.
        merchant: Name,
    },
    /// A merchant's session began.
    Connected {
        /// Who.
        merchant: Name,
    },
    /// A merchant's session ended.
    Disconnected {
        /// Who.
        merchant: Name,
    },
    /// The list of merchants is final.
    RosterClosed {
        /// Everybody.
        merchants: Vec<Name>,
    },
    /// A job is running.
    JobStarted {
        /// Its name.
        job: Name,
        /// Its digest, in hex.
        digest: String,
        /// Rounds it takes.
        rounds: u32,
        /// Version it goes on from.
        version: u32,
        /// What protects its shoppers.
        label: String,
    },
    /// An attempt has its participants, which train now.
    RoundStarted {
        /// The round.
        round: u32,
        /// The attempt.
        attempt: u32,
        /// Who takes part.
        participants: Vec<Name>,
    },
    /// A masked attempt has reached a stage.
    RoundStage {
        /// The round.
        round: u32,
        /// The attempt.
        attempt: u32,
        /// `advertising`, `sharing`, `collecting`, `certifying` or `unmasking`.
        stage: &'static str,
        /// Merchants in it: those offered the attempt, with keys, with shares, with updates, with updates.
        merchants: u32,
    },
    /// A merchant provably broke the protocol of a masked round. It takes no further part in the job while the server runs,
    /// as long as enough others are there.
    Misbehaved {
        /// The round.
        round: u32,
        /// The attempt.
        attempt: u32,
        /// Who.
        merchant: Name,
        /// What it did.
        reason: String,
    },
    /// There is reason to leave merchants out of the attempt that opens.
    SittingOut {
        /// The round.
        round: u32,
        /// The attempt.
        attempt: u32,
        /// Who is left out.
        merchants: Vec<Name>,
        /// Why, and who is not left out because too few would remain.
        reason: String,
    },
    /// An update is in the sum.
    UpdateAdded {
        /// Whose.
        merchant: Name,
        /// The round.
        round: u32,
    },
    /// Something a peer sent was refused; nothing else was disturbed.
    Refused {
        /// A merchant's name, or an address before it has one.
        peer: String,
        /// What was expected and what was found.
        reason: String,
    },
    /// A round made a version. It is durable.
    RoundSettled {
        /// The round.
        round: u32,
        /// The attempt that settled it.
        attempt: u32,
        /// The version it made.
        version: u32,
        /// That version's hash, in hex.
        model: String,
        /// Whose updates are in the sum.
        merchants: Vec<Name>,
        /// Who took part, but has no update in the sum.
        dropped: Vec<Name>,
        /// From the offer to the durable result.
        seconds: f64,
        /// Frame bytes received since the attempt's offer.
        bytes_up: u64,
        /// Frame bytes sent since the attempt's offer, with this result to everybody connected.
        bytes_down: u64,
        /// What protects the shoppers in the sum.
        privacy: String,
    },
    /// An attempt ended without a result; another follows.
    RoundAborted {
        /// The round.
        round: u32,
        /// The attempt.
        attempt: u32,
        /// Why.
        reason: String,
    },
    /// The model went back to an earlier version.
    RolledBack {
        /// The version this made.
        version: u32,
        /// The version it equals.
        to: u32,
        /// That version's hash, in hex.
        model: String,
    },
    /// All rounds are done.
    JobFinished {
        /// The job's name.
        job: Name,
        /// The last version.
        version: u32,
        /// Its hash, in hex.
        model: String,
    },
}

/// Where events go: the caller's function, and the log.
#[derive(Clone)]
pub(crate) struct Events(Arc<dyn Fn(Event) + Send + Sync>);

impl Events {
    pub fn new(receiver: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Events(Arc::new(receiver))
    }

    pub fn emit(&self, event: Event) {
        match &event {
            Event::Refused { peer, reason } => tracing::warn!(%peer, %reason, "refused"),
            Event::RoundAborted { round, attempt, reason } => {
                tracing::warn!(round, attempt, %reason, "round aborted")
            }
            Event::Misbehaved { round, attempt, merchant, reason } => {
                tracing::warn!(round, attempt, %merchant, %reason, "misbehaved")
            }
            other => tracing::info!(event = ?other),
        }
        (self.0)(event);
    }

    pub fn refused(&self, peer: impl ToString, reason: impl ToString) {
        self.emit(Event::Refused { peer: peer.to_string(), reason: reason.to_string() });
    }
}
