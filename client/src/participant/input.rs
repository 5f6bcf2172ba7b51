//! What the participant is told, and what it says to do. [core]

use std::sync::Arc;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::{Name, RoundId};
use guildhall_shared::identity::SignedRoster;
use guildhall_shared::job::JobSpec;
use guildhall_shared::message::{
    ClientMessage, DeclineReason, ResultHeader, ServerMessage, UpdateHeader, WitnessedHead,
};
use guildhall_shared::model_state::ModelState;
use guildhall_shared::round_parameters::RoundParameters;
use guildhall_shared::secagg::mask::MaskSet;
use guildhall_shared::secagg::seed::SessionSeed;
use guildhall_shared::secagg::{SignedHead, SurvivorCertificate, Witness};
use guildhall_shared::tree_head::TreeHead;

use super::AttemptStage;

/// What the participant is told.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one lives at a time, and briefly")]
pub enum Input {
    /// A session with the server is open.
    Connected {
        /// Fresh from the operating system: the server's word about this client's ledger is signed over it.
        nonce: [u8; 32],
    },
    /// It is not any more.
    Disconnected,
    /// A control message.
    Message(ServerMessage),
    /// A result with its words.
    Result {
        /// Control part.
        header: ResultHeader,
        /// Ring words of the sum.
        words: Vec<u8>,
    },
    /// Answer to [`Output::OpenJob`].
    JobOpened {
        /// The newest version on disk, 0 for none.
        version: u32,
        /// That version.
        state: Arc<ModelState>,
        /// The greatest (round, attempt) in the ledger for this job's name.
        seen: Option<RoundId>,
        /// Why this merchant can only follow the job, if so: no data for it, for example.
        objection: Option<String>,
    },
    /// Answer to [`Output::LoadModel`].
    ModelLoaded {
        /// The version asked for.
        version: u32,
        /// It, unless it is not kept any more.
        state: Option<Arc<ModelState>>,
    },
    /// Answer to [`Output::Reserve`]: the debit is durable.
    Reserved {
        /// The attempt.
        sid: Digest,
        /// Fresh from the operating system, drawn after the debit, for this attempt alone.
        seed: SessionSeed,
    },
    /// Answer to [`Output::Reserve`]: it is not.
    ReserveRefused {
        /// The attempt.
        sid: Digest,
        /// Why.
        refusal: ReserveRefusal,
    },
    /// Answer to [`Output::CompareHeads`].
    LedgerCompared {
        /// The attempt.
        sid: Digest,
        /// That the ledger was put back to an older state, if it was.
        objection: Option<String>,
    },
    /// The update of an attempt is sealed.
    Trained {
        /// The attempt.
        sid: Digest,
    },
    /// Answer to [`Output::Reserve`] or [`Output::Train`]: there can be no update, for a reason that has nothing to do with
    /// rows: the seed or the noise could not be drawn.
    Impossible {
        /// The attempt.
        sid: Digest,
        /// Why.
        reason: String,
    },
    /// Answer to [`Output::Commit`]: the commitment is durable.
    Committed {
        /// The attempt.
        sid: Digest,
        /// H(y).
        hash: Digest,
        /// The ledger with that commitment in it.
        head: TreeHead,
    },
    /// A time asked for with [`Output::WakeAt`] has come.
    Woke,
}

/// Why a reservation was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReserveRefusal {
    /// What the server is told.
    pub reason: DeclineReason,
    /// What the merchant is told: the numbers, and what to do.
    pub explanation: String,
}

/// What to do, in order.
#[derive(Debug)]
pub enum Output {
    /// Send a control message.
    Send(ClientMessage),
    /// Keep the roster durably before anything else is done.
    PinRoster(Box<SignedRoster>),
    /// Open the job's models and data; answered by [`Input::JobOpened`].
    OpenJob {
        /// Its digest.
        digest: Digest,
        /// It.
        spec: Arc<JobSpec>,
    },
    /// Read a version back; answered by [`Input::ModelLoaded`].
    LoadModel {
        /// Which.
        version: u32,
    },
    /// Keep a version and serve it.
    StoreModel {
        /// Which.
        version: u32,
        /// Its hash.
        model: Digest,
        /// It.
        state: Arc<ModelState>,
        /// Never drop this version while the process runs: a roll-back needs it.
        keep: bool,
    },
    /// Debit the budget durably; answered by [`Input::Reserved`], [`Input::ReserveRefused`] or
    /// [`Input::Impossible`].
    Reserve(Box<ReserveOrder>),
    /// Give an uncommitted reservation back.
    Refund {
        /// The attempt.
        sid: Digest,
    },
    /// Draw noise, train, clip, add the noise and the masks, seal; answered by [`Input::Trained`], whatever training came
    /// to.
    Train(Box<TrainOrder>),
    /// Make the commitment of the sealed update durable; answered by [`Input::Committed`].
    Commit {
        /// The attempt.
        sid: Digest,
    },
    /// Send the committed update.
    Upload {
        /// Its header.
        header: UpdateHeader,
    },
    /// Record what became of a committed update, and forget the update.
    Settle {
        /// The attempt.
        sid: Digest,
        /// What became of it.
        outcome: Outcome,
        /// Who certified the sum it is in.
        certificate: Option<Box<SurvivorCertificate>>,
    },
    /// Compare the ledger with what a witness saw of it, before anything else is reserved.
    CompareLedger {
        /// What it saw.
        seen: WitnessedHead,
    },
    /// Compare the ledger with what other merchants saw of it, before anything is trained; answered by
    /// [`Input::LedgerCompared`].
    CompareHeads {
        /// The attempt.
        sid: Digest,
        /// What they saw; signatures are not checked yet.
        seen: Vec<SignedHead>,
    },
    /// Keep durably what was seen of the others' ledgers, before it is signed.
    KeepWitness(Box<Witness>),
    /// Tell the merchant.
    Report(Report),
    /// Give [`Input::Woke`] at this time or a little later.
    WakeAt {
        /// When, on the clock of the inputs.
        at_ms: u64,
    },
}

/// What a reservation is for.
#[derive(Clone, Debug, PartialEq)]
pub struct ReserveOrder {
    /// The attempt.
    pub sid: Digest,
    /// Digest of the job.
    pub job: Digest,
    /// The job.
    pub spec: Arc<JobSpec>,
    /// Round and attempt.
    pub round: RoundId,
    /// The round's numbers, as derived by this client.
    pub parameters: RoundParameters,
    /// Hash of the model that is trained from.
    pub model: Digest,
    /// Digest of the pinned roster.
    pub roster: Digest,
}

/// What is to be trained. Serves once: its masks do.
pub struct TrainOrder {
    /// The attempt.
    pub sid: Digest,
    /// Digest of the job.
    pub job: Digest,
    /// Round and attempt.
    pub round: RoundId,
    /// The model to train from.
    pub state: Arc<ModelState>,
    /// The round's numbers, as derived by this client.
    pub parameters: RoundParameters,
    /// What hides the update; none in plain mode.
    pub masks: Option<MaskSet>,
}

impl std::fmt::Debug for TrainOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrainOrder")
            .field("sid", &self.sid)
            .field("round", &self.round)
            .finish_non_exhaustive()
    }
}

/// What became of a committed update. Its debit stays in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the sum that made a version.
    Contributed {
        /// That version.
        version: u32,
        /// Its hash.
        model: Digest,
        /// s, merchants in the sum.
        survivors: u32,
    },
    /// The round settled without it.
    LeftOut,
    /// The attempt was aborted, or the session ended.
    Aborted,
}

/// What the merchant is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// The roster is pinned.
    RosterPinned {
        /// Its digest.
        roster: Digest,
        /// n.
        merchants: u32,
    },
    /// A job was announced.
    JobAnnounced {
        /// The job.
        spec: Arc<JobSpec>,
        /// Its numbers.
        parameters: RoundParameters,
        /// Why this merchant only follows it, if so.
        objection: Option<String>,
    },
    /// Takes part.
    Accepted(RoundId),
    /// Does not take part.
    Declined {
        /// In which attempt.
        round: RoundId,
        /// Why, and what to do.
        reason: String,
    },
    /// The debit is durable.
    Committed(RoundId),
    /// A masked attempt went one step further.
    Stage {
        /// Which attempt.
        round: RoundId,
        /// What is done.
        stage: AttemptStage,
    },
    /// An attempt came to nothing.
    AttemptEnded {
        /// Which.
        round: RoundId,
        /// Why.
        reason: String,
    },
    /// A version was derived.
    NewModel {
        /// The job.
        job: Name,
        /// Version.
        version: u32,
        /// Hash.
        model: Digest,
    },
    /// All rounds are done.
    Finished {
        /// The job.
        job: Name,
        /// Last version.
        version: u32,
        /// Its hash.
        model: Digest,
    },
    /// No further round of this job.
    Stopped {
        /// The job.
        job: Name,
        /// Why.
        reason: String,
    },
}
