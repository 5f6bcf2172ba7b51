//! What a client does in a session and in its rounds: decisions only. [core]
//!
//! ```text
//! session:  Connected ─Hello▶ Welcome(roster) ─pin▶ Job ─OpenJob▶ JobOpened ─CatchUp▶ records… ─Ready▶ rounds
//! attempt:  Offer ─Reserve▶ Reserved ─Advertise▶ RoundRoster ─Shares▶ ForwardedShares ─Compare▶ LedgerCompared ─Train▶ Trained
//!             ─Commit▶ Committed ─slot▶ Upload ─▶ Survivors ─Certify▶ Certificate ─Unmask▶ Result | Abort
//! plain:    Offer ─Reserve▶ Reserved ─Accept▶ Begin ─Train▶ Trained ─Commit▶ Committed ─slot▶ Upload ─▶ Result | Abort
//!                     └ refused: Decline     └──── Abort, Result, new Offer, lost link: Refund ────┘ (only before Commit)
//! ```
//!
//! Every version of the model is recomputed from the released sums; nobody's word is taken for a hash. Once a hash
//! disagrees, the client takes part in no further round of that job.
//!
//! # Privacy
//! What is decided here never depends on rows: training has no say but "done". One session id leads to at most one
//! upload, one signed set of survivors and one unmasking; a (round, attempt) that is not greater than every one seen is
//! declined; a reservation is refunded only while nothing was committed. The secrets of an attempt live in its stage and
//! nowhere else: whatever ends the attempt wipes them, and after a crash they are gone.

mod attempt;
mod input;
mod job;
mod masked;
mod offer;
mod policy;
mod records;
mod refused;
mod session;
mod stage;

use std::sync::Arc;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::{MerchantIndex, Name};
use guildhall_shared::identity::{DecodedRoster, IdentityKey, PublicKey, SignedRoster};
use guildhall_shared::message::{ClientMessage, Hello, Offer, ServerMessage};
use guildhall_shared::secagg::Witness;

pub use input::{Input, Outcome, Output, Report, ReserveOrder, ReserveRefusal, TrainOrder};
pub use policy::{JobPattern, Permission, Policy};
pub use refused::Refused;
pub use stage::AttemptStage;

use attempt::Attempt;
use job::FollowedJob;

/// Who this client is and what it allows.
pub struct Standing {
    /// The merchant.
    pub merchant: Name,
    /// Its identity.
    pub identity: IdentityKey,
    /// SHA-256 of its TLS certificate (DER).
    pub certificate: Digest,
    /// The federation.
    pub federation: Digest,
    /// The key that signs rosters, jobs, offers and results.
    pub federation_key: PublicKey,
    /// What it takes part in.
    pub policy: Policy,
    /// Its software version, for the operator's log.
    pub software: Name,
}

/// The roster this client pinned, and its own place in it.
struct Pinned {
    digest: Digest,
    roster: Arc<DecodedRoster>,
    own: MerchantIndex,
}

impl Pinned {
    /// n.
    fn merchants(&self) -> u32 {
        self.roster.len() as u32
    }
}

/// A client's state. Feed it inputs in order; perform its outputs in order, each before the next input.
pub struct Participant {
    standing: Standing,
    pinned: Option<Pinned>,
    /// What it saw of the others' ledgers.
    witness: Witness,
    /// The greeting of the open session.
    session: Option<Hello>,
    job: Option<FollowedJob>,
    attempt: Option<Attempt>,
    /// An offer for a version whose sum is still on its way, or that came while an answer is awaited.
    held_offer: Option<Offer>,
}

impl Participant {
    /// A client that starts, with the roster it pinned and the ledgers it saw earlier.
    ///
    /// # Errors
    /// [`Refused::Roster`], [`Refused::NotListed`] when the pinned roster is not this federation's or not this client's.
    pub fn new(standing: Standing, pinned: Option<&SignedRoster>, witness: Witness) -> Result<Self, Refused> {
        let pinned = pinned.map(|roster| session::check_roster(&standing, roster)).transpose()?;
        Ok(Participant {
            standing,
            pinned,
            witness,
            session: None,
            job: None,
            attempt: None,
            held_offer: None,
        })
    }

    /// Takes one input and says what to do, also beside an error. After an error the state is unchanged, but for
    /// [`Refused::Breach`], which ends the attempt.
    ///
    /// # Errors
    /// [`Refused`]: what the server said is not acted upon.
    pub fn handle(&mut self, now_ms: u64, input: Input, out: &mut Vec<Output>) -> Result<(), Refused> {
        match input {
            Input::Connected { nonce } => self.greet(nonce, out),
            Input::Disconnected => self.part(out),
            Input::Message(message) => return self.message(now_ms, message, out),
            Input::Result { header, words } => return self.result(now_ms, header, words, out),
            Input::JobOpened { version, state, seen, objection } => {
                self.job_opened(now_ms, version, state, seen, objection, out);
            }
            Input::ModelLoaded { version, state } => self.model_loaded(now_ms, version, state, out),
            Input::Reserved { sid, seed } => self.reserved(now_ms, sid, seed, out),
            Input::ReserveRefused { sid, refusal } => self.reserve_refused(now_ms, sid, refusal, out),
            Input::LedgerCompared { sid, objection } => {
                return self.ledger_compared(now_ms, sid, objection, out);
            }
            Input::Trained { sid } => self.trained(sid, out),
            Input::Impossible { sid, reason } => self.impossible(now_ms, sid, reason, out),
            Input::Committed { sid, hash, head } => self.committed(now_ms, sid, (hash, head), out),
            Input::Woke => {
                self.upload_when_due(now_ms, out);
                self.ask_again_when_due(now_ms, out);
            }
        }
        Ok(())
    }

    fn message(&mut self, now_ms: u64, message: ServerMessage, out: &mut Vec<Output>) -> Result<(), Refused> {
        match message {
            ServerMessage::Welcome(welcome) => self.welcome(welcome, out),
            ServerMessage::Job(job) => self.announced(now_ms, job, out),
            ServerMessage::Offer(offer) => self.offer(now_ms, offer, out),
            ServerMessage::Begin(begin) => self.begin(now_ms, &begin, out),
            ServerMessage::RoundRoster(roster) => self.round_roster(&roster, out),
            ServerMessage::ForwardedShares(forwarded) => self.forwarded_shares(&forwarded, out),
            ServerMessage::Survivors(survivors) => self.survivors(&survivors, out),
            ServerMessage::Certificate(certificate) => self.certificate(&certificate, out),
            ServerMessage::WitnessedHead(seen) => {
                out.push(Output::CompareLedger { seen });
                Ok(())
            }
            ServerMessage::Receipt(receipt) => self.receipt(&receipt),
            ServerMessage::Abort(abort) => {
                self.abort(&abort, out);
                Ok(())
            }
            ServerMessage::RollBack(roll_back) => self.roll_back(now_ms, roll_back, out),
            ServerMessage::Finished(finished) => self.finished(now_ms, &finished, out),
            ServerMessage::Refusal(refusal) => Err(Refused::ByServer(refusal.reason)),
        }
    }

    /// How long a result may be now: n and the bytes of its words. `None` while no job is open.
    pub fn result_limits(&self) -> Option<(usize, usize)> {
        let merchants = self.pinned.as_ref()?.roster.len();
        self.job.as_ref().map(|job| (merchants, job.parameters.vector_bytes()))
    }
}

fn send(message: impl Into<ClientMessage>, out: &mut Vec<Output>) {
    out.push(Output::Send(message.into()));
}

#[cfg(test)]
pub(crate) mod tests;

#[cfg(test)]
pub(crate) use tests::harness::job as test_job;
