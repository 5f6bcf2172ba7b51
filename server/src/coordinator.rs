//! Decides when attempts start, applies what they settle, and ends the job after its last round. [core]
//!
//! ```text
//!            quorum ready, nobody worth waiting for
//!   Waiting ────────────────────────────────────────▶ Running(Round) ──settled──▶ release, next round
//!      ▲                                                  │
//!      └───────────── back-off, attempt + 1 ◀──aborted────┘          after round T: Idle, job finished
//! ```
//!
//! A merchant is *ready* once it said that it derived the newest version, with the right hash. An attempt starts as soon
//! as everybody worth waiting for is ready (the whole roster before the first attempt, later everybody who has been ready
//! before in this session), or, a quorum given, when the job's accept deadline has passed without them. Whoever provably
//! broke the protocol of a masked round, and for one attempt whoever complained or was complained about, is left out as long
//! as a quorum remains.
//!
//! The order of [`Output`]s is a contract: an attempt's number is recorded before its offer, a release is made durable
//! before anybody is told.

mod attempt;
mod exclusion;
mod job;
mod start;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::{MerchantIndex, Name, RoundId};
use guildhall_shared::identity::{DecodedRoster, IdentityKey};
use guildhall_shared::message::{
    Finished, Job, Ready, Receipt, ResultHeader, RollBack, ServerMessage, Verdict,
};
use guildhall_shared::model_state::ModelState;
use guildhall_shared::secagg::transcript::SignedUpdate;

use crate::event::Event;
use crate::round::{self, Round, RoundError, RoundMessage, TimestampMs};
pub use job::{Progress, RunningJob};

/// The fixed facts of a federation with a closed roster.
pub struct Setup {
    /// The federation's id.
    pub federation: Digest,
    /// Signs jobs, offers and results.
    pub key: IdentityKey,
    /// The closed roster.
    pub roster: Arc<DecodedRoster>,
    /// 32 random bytes drawn at every start of the server: attempts' nonces are derived from them.
    pub nonce_seed: [u8; 32],
    /// Pause after an aborted attempt, milliseconds; doubles with every abort in a row, up to 64 times this.
    pub back_off_ms: u64,
}

/// What happens.
#[derive(Debug)]
pub enum Input<'a> {
    /// A merchant's session began.
    Joined(MerchantIndex),
    /// A merchant derived a version.
    Ready {
        /// Who.
        from: MerchantIndex,
        /// Which version.
        ready: Ready,
    },
    /// A message of a round.
    Message {
        /// Who.
        from: MerchantIndex,
        /// What.
        message: RoundMessage<'a>,
    },
    /// A merchant's session ended.
    Left(MerchantIndex),
    /// The operator rolled the model back; recorded already.
    RolledBack {
        /// The record.
        roll_back: RollBack,
        /// The version it goes back to.
        state: Box<ModelState>,
    },
    /// The server is about to stop.
    Shutdown,
    /// Time passed.
    Timeout,
}

/// What the coordinator wants done, in this order.
#[derive(Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a few live at once, and briefly")]
pub enum Output {
    /// Send a message.
    Send {
        /// To whom.
        to: MerchantIndex,
        /// What.
        message: ServerMessage,
    },
    /// Send one message to many.
    Broadcast {
        /// To whom.
        to: BTreeSet<MerchantIndex>,
        /// What.
        message: ServerMessage,
    },
    /// Make durable which updates came, with the heads of their merchants' ledgers.
    Witness {
        /// The attempt.
        sid: Digest,
        /// Whose, H(y), the head; ascending.
        updates: Vec<SignedUpdate>,
    },
    /// Make the number of an attempt durable.
    RecordAttempt(RoundId),
    /// Make a result durable, then publish it.
    Release(Box<Release>),
    /// A version came from a roll-back, recorded already: publish it.
    PublishVersion(u32),
    /// Tell the operator.
    Event(Event),
}

/// A settled round.
#[derive(Debug, PartialEq)]
pub struct Release {
    /// The signed header.
    pub header: ResultHeader,
    /// The sum as ring words, little endian.
    pub words: Vec<u8>,
    /// Whose updates are in the sum.
    pub merchants: Vec<Name>,
    /// Who took part, but has no update in the sum.
    pub dropped: Vec<Name>,
    /// When the attempt was offered.
    pub offered_at: TimestampMs,
    /// What protects the shoppers in the sum.
    pub privacy: String,
}

/// The shape of updates that are awaited now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedUpdate {
    /// The attempt.
    pub round: RoundId,
    /// Its session id.
    pub sid: Digest,
    /// Bytes of the words.
    pub vector_bytes: usize,
    /// Who may send one.
    pub participants: Vec<Name>,
}

/// An input that is refused. The state is unchanged.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CoordinatorError {
    /// The running attempt refuses it.
    #[error(transparent)]
    Round(#[from] RoundError),
    /// No attempt is running.
    #[error(
        "merchant {merchant}: expected nothing, for no attempt is running; found {found} for session {sid}"
    )]
    NoAttempt {
        /// Who.
        merchant: String,
        /// The message.
        found: &'static str,
        /// The session it names.
        sid: Digest,
    },
    /// About another job.
    #[error("merchant {merchant}: expected readiness for job {expected}, found {found}")]
    Job {
        /// Who.
        merchant: String,
        /// The job that runs, or "none".
        expected: String,
        /// The message's.
        found: Digest,
    },
    /// A version that does not exist.
    #[error("merchant {merchant}: expected a version up to {expected}, found {found}")]
    Version {
        /// Who.
        merchant: String,
        /// The newest.
        expected: u32,
        /// The message's.
        found: u32,
    },
    /// The merchant derived another model.
    #[error("merchant {merchant}, version {version}: expected model {expected}, found {found}")]
    Diverged {
        /// Who.
        merchant: String,
        /// The version.
        version: u32,
        /// The recorded hash.
        expected: Digest,
        /// The merchant's.
        found: Digest,
    },
}

/// A merchant with a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Member {
    /// The last version it said it derived; `None` before it said so, and after it was waited for in vain.
    derived: Option<u32>,
    /// Whether it was told that the job is finished.
    told_finished: bool,
}

#[derive(Debug)]
enum Phase {
    /// No job, or all rounds settled.
    Idle,
    /// Between attempts.
    Waiting { not_before: TimestampMs, quorum_since: Option<TimestampMs> },
    /// An attempt runs.
    Running { round: Box<Round>, offered_at: TimestampMs, wake_at: TimestampMs },
}

/// The coordinator.
pub struct Coordinator {
    setup: Setup,
    roster_digest: Digest,
    members: BTreeMap<MerchantIndex, Member>,
    job: Option<RunningJob>,
    phase: Phase,
    /// When to come back, while waiting.
    waiting_until: Option<TimestampMs>,
    /// Sessions of the attempts that ended last, newest at the back.
    ended: VecDeque<Digest>,
}

impl Coordinator {
    /// With nobody connected and no job.
    pub fn new(setup: Setup) -> Self {
        let roster_digest = setup.roster.digest();
        Coordinator {
            setup,
            roster_digest,
            members: BTreeMap::new(),
            job: None,
            phase: Phase::Idle,
            waiting_until: None,
            ended: VecDeque::new(),
        }
    }

    /// The job that runs or ran last.
    pub fn job(&self) -> Option<&RunningJob> {
        self.job.as_ref()
    }

    /// When to hand in [`Input::Timeout`].
    pub fn wake_at(&self) -> Option<TimestampMs> {
        match self.phase {
            Phase::Idle => None,
            Phase::Waiting { .. } => self.waiting_until,
            Phase::Running { wake_at, .. } => Some(wake_at),
        }
    }

    /// The shape of the updates that are awaited now, if any are.
    pub fn expected_update(&self) -> Option<ExpectedUpdate> {
        let Phase::Running { round, .. } = &self.phase else { return None };
        let (uploaders, attempt) = (round.uploaders()?, round.attempt());
        Some(ExpectedUpdate {
            round: attempt.round,
            sid: attempt.sid,
            vector_bytes: attempt.dimension * attempt.ring.bytes(),
            participants: self.names(uploaders),
        })
    }

    /// Goes on with a job from where its history ends. The job before, if any, must be finished.
    pub fn start_job(&mut self, progress: Progress, now: TimestampMs, out: &mut Vec<Output>) {
        let job = RunningJob::new(progress, &self.roster_digest);
        if !job.is_finished() {
            out.push(Output::Event(Event::JobStarted {
                job: job.spec().name.clone(),
                digest: job.digest().to_string(),
                rounds: job.spec().rounds,
                version: job.version(),
                label: job.spec().privacy.label(),
            }));
        }
        self.phase = job.phase_between_attempts(now);
        self.job = Some(job);
        for (to, member) in &mut self.members {
            *member = Member::default();
            if let Some(message) = announcement(&self.setup, &self.roster_digest, self.job.as_ref()) {
                out.push(Output::Send { to: *to, message });
            }
        }
    }

    /// Takes one input.
    ///
    /// # Errors
    /// [`CoordinatorError`] says what is wrong with a refused input; the state is unchanged then.
    pub fn handle(
        &mut self,
        now: TimestampMs,
        input: Input<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), CoordinatorError> {
        let verdict = match input {
            Input::Joined(merchant) => {
                self.members.insert(merchant, Member::default());
                if let Some(message) = announcement(&self.setup, &self.roster_digest, self.job.as_ref()) {
                    out.push(Output::Send { to: merchant, message });
                }
                Ok(())
            }
            Input::Ready { from, ready } => self.ready(from, &ready, out),
            Input::Message { from, message } => self.message(now, from, message, out),
            Input::Left(merchant) => {
                self.members.remove(&merchant);
                self.step_round(now, round::Input::Left(merchant), out)
            }
            Input::RolledBack { roll_back, state } => {
                self.rolled_back(now, &roll_back, *state, out);
                Ok(())
            }
            Input::Shutdown => {
                self.abandon("the server is stopping; the round is offered again when it is back", out);
                self.phase = Phase::Idle;
                return Ok(());
            }
            Input::Timeout => self.step_round(now, round::Input::Timeout, out),
        };
        if verdict.is_ok() {
            self.consider_start(now, out);
        }
        verdict
    }

    fn name(&self, merchant: MerchantIndex) -> Option<Name> {
        self.setup.roster.entry(merchant).map(|entry| entry.name.clone())
    }

    fn names<'a>(&self, merchants: impl IntoIterator<Item = &'a MerchantIndex>) -> Vec<Name> {
        merchants.into_iter().filter_map(|merchant| self.name(*merchant)).collect()
    }

    fn label(&self, merchant: MerchantIndex) -> String {
        self.name(merchant).map_or_else(|| merchant.to_string(), |name| name.to_string())
    }

    fn ready(
        &mut self,
        from: MerchantIndex,
        ready: &Ready,
        out: &mut Vec<Output>,
    ) -> Result<(), CoordinatorError> {
        let merchant = self.label(from);
        let Some(job) = self.job.as_ref().filter(|job| job.digest() == ready.job) else {
            let expected = self.job.as_ref().map_or_else(|| "none".into(), |job| job.digest().to_string());
            return Err(CoordinatorError::Job { merchant, expected, found: ready.job });
        };
        let (newest, found) = (job.version(), ready.version);
        if found > newest {
            return Err(CoordinatorError::Version { merchant, expected: newest, found });
        }
        if found == newest && ready.model != job.model() {
            let (expected, found) = (job.model(), ready.model);
            return Err(CoordinatorError::Diverged { merchant, version: newest, expected, found });
        }
        let finished = job.is_finished();
        if let Some(member) = self.members.get_mut(&from) {
            member.derived = Some(found);
            if finished && found == newest {
                self.tell_finished(from, out);
            }
        }
        Ok(())
    }

    fn tell_finished(&mut self, to: MerchantIndex, out: &mut Vec<Output>) {
        let (Some(job), Some(member)) = (&self.job, self.members.get_mut(&to)) else { return };
        if !std::mem::replace(&mut member.told_finished, true) {
            let finished = Finished { job: job.digest(), version: job.version(), model: job.model() };
            out.push(Output::Send { to, message: finished.into() });
        }
    }

    fn message(
        &mut self,
        now: TimestampMs,
        from: MerchantIndex,
        message: RoundMessage<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), CoordinatorError> {
        let (found, sid) = (message.name(), message.sid());
        let masked = self.job.as_ref().is_some_and(|job| job.parameters().secagg.is_some());
        if masked && message.may_cross_the_end() && self.ended.contains(&sid) {
            self.after_the_end(from, &message, out);
            return Ok(());
        }
        let update = matches!(message, RoundMessage::Update { .. });
        let verdict = if matches!(self.phase, Phase::Running { .. }) {
            self.step_round(now, round::Input::Message { from, message }, out)
        } else {
            Err(CoordinatorError::NoAttempt { merchant: self.label(from), found, sid })
        };
        if let (true, Err(error)) = (update, &verdict) {
            let verdict = Verdict::Refused(error.to_string().chars().take(REASON_CHARACTERS_MAX).collect());
            out.push(Output::Send { to: from, message: Receipt { sid, verdict }.into() });
        }
        verdict
    }
}

/// The message that announces the job, if there is one.
fn announcement(setup: &Setup, roster: &Digest, job: Option<&RunningJob>) -> Option<ServerMessage> {
    job.map(|job| Job::sign(job.spec().clone(), *roster, job.version(), &setup.key).into())
}

/// Keeps a receipt within its limit of 512 bytes.
const REASON_CHARACTERS_MAX: usize = 400;

#[cfg(test)]
mod tests;
