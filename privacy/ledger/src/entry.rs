//! What the journal holds: one entry for each thing that happened to the budget. [core]
//!
//! Entries never hold a shopper's identifier, a count of rows, or how long a private step took: only what comes before any
//! row is read, or is known to everybody, carries a time. `docs/ledger.md` has every byte.

use guildhall_accountant::PicoRho;
use guildhall_shared::digest::Digest;
use guildhall_shared::id::{MerchantIndex, Name, RoundId};
use guildhall_shared::identity::{PublicKey, SignedRoster};
use guildhall_shared::job::Unit;
use guildhall_shared::secagg::transcript::SignedUpdate;
use guildhall_shared::tree_head::TreeHead;
use guildhall_shared::wire::{self, WireError};
use serde::{Deserialize, Serialize};

use crate::data_tag::DataTag;
use crate::rotation::KeyRotation;
use crate::{Protection, Travel};

/// The version of the entry format.
pub const ENTRY_VERSION: u16 = 4;

/// The largest entry, in bytes: a WITNESS entry of the largest roster has room.
pub const ENTRY_BYTES_MAX: usize = 1 << 17;

/// The longest purpose, in bytes; a job file allows no more either.
pub const PURPOSE_BYTES_MAX: usize = 1_000;

/// The longest label, in bytes.
pub const LABEL_BYTES_MAX: usize = 300;

/// The longest summary of an audit, in bytes.
pub const SUMMARY_BYTES_MAX: usize = 1_000;

/// The longest name of a recipient, in bytes.
pub const RECIPIENT_BYTES_MAX: usize = 300;

/// One numbered entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// [`ENTRY_VERSION`].
    pub version: u16,
    /// Its place in the ledger, from 0.
    pub sequence: u64,
    /// The leaf hash of the entry before; zeros for the first.
    pub previous: Digest,
    /// What happened.
    pub event: Event,
}

/// What happened, and the command that asks for it: a command is an event that was not judged yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// POLICY: the budget that holds from here on.
    Policy {
        /// The budget.
        limit: BudgetLimit,
        /// Seconds since 1970.
        time_unix_s: u64,
    },
    /// RESERVE: the charge of one attempt at one round, taken before any row is read.
    Reserve {
        /// What is reserved, and for what.
        reservation: Reservation,
        /// Seconds since 1970.
        time_unix_s: u64,
    },
    /// COMMIT: the update exists and may leave; spent for ever.
    Commit {
        /// The session.
        sid: Digest,
        /// H(y); absent where recovery presumed the commit because its frame may have been torn.
        update: Option<Digest>,
        /// Which data the training read; absent where there is no file of rows, and where recovery presumed the commit.
        data: Option<DataTag>,
    },
    /// REFUND: a reservation without a commit is given back; terminal for its session.
    Refund {
        /// The session.
        sid: Digest,
    },
    /// SETTLE: what became of a committed update. Never changes the sum.
    Settle {
        /// The session.
        sid: Digest,
        /// What the server did with it.
        outcome: Outcome,
    },
    /// ROSTER: whose ledger this is, and with whom.
    Roster {
        /// The membership.
        membership: Membership,
        /// Seconds since 1970.
        time_unix_s: u64,
    },
    /// WITNESS: the heads of others' ledgers that the server saw before it let a sum be unmasked, or added up.
    Witness {
        /// The session.
        sid: Digest,
        /// Whose, H(y) and the head, ascending.
        updates: Vec<SignedUpdate>,
        /// Seconds since 1970.
        time_unix_s: u64,
    },
    /// RESULT: the server published a sum.
    Result {
        /// What.
        release: Release,
        /// Seconds since 1970.
        time_unix_s: u64,
    },
    /// AUDIT: an empirical audit of the mechanism ended.
    Audit {
        /// What it found.
        finding: AuditFinding,
        /// Seconds since 1970.
        time_unix_s: u64,
    },
    /// ROLLBACK_ALARM: a witness saw this ledger larger, or otherwise, than it is. Nothing is reserved after it.
    RollbackAlarm {
        /// What the witness saw.
        seen: TreeHead,
        /// Seconds since 1970.
        time_unix_s: u64,
    },
    /// EXPORT: the ledger was handed to somebody. Spends nothing.
    Export {
        /// What was handed out, and to whom.
        handover: Handover,
        /// Seconds since 1970.
        time_unix_s: u64,
    },
    /// KEY_ROTATION: checkpoints over this entry are signed by another key.
    KeyRotation {
        /// From which to which, signed by both.
        rotation: KeyRotation,
        /// Seconds since 1970.
        time_unix_s: u64,
    },
}

impl Event {
    /// The kind, as reports name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Event::Policy { .. } => "POLICY",
            Event::Reserve { .. } => "RESERVE",
            Event::Commit { .. } => "COMMIT",
            Event::Refund { .. } => "REFUND",
            Event::Settle { .. } => "SETTLE",
            Event::Roster { .. } => "ROSTER",
            Event::Witness { .. } => "WITNESS",
            Event::Result { .. } => "RESULT",
            Event::Audit { .. } => "AUDIT",
            Event::RollbackAlarm { .. } => "ROLLBACK_ALARM",
            Event::Export { .. } => "EXPORT",
            Event::KeyRotation { .. } => "KEY_ROTATION",
        }
    }
}

/// Whose ledger it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The federation's id.
    pub federation: Digest,
    /// The federation's key.
    pub federation_key: PublicKey,
    /// Digest of the pinned roster.
    pub roster: Digest,
    /// n.
    pub merchants: u32,
    /// The owner's place in the roster; absent for the server.
    pub own: Option<MerchantIndex>,
    /// The program that keeps the ledger, with its version.
    pub program: String,
}

impl Membership {
    /// Of a signed roster's merchant, or of the server.
    pub fn of(signed: &SignedRoster, federation_key: PublicKey, own: Option<MerchantIndex>) -> Self {
        Membership {
            federation: signed.roster.federation,
            federation_key,
            roster: signed.roster.digest(),
            merchants: signed.roster.len() as u32,
            own,
            program: concat!("guildhall ", env!("CARGO_PKG_VERSION")).into(),
        }
    }
}

/// A published sum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The job's name.
    pub job: Name,
    /// The digest of its canonical encoding.
    pub job_digest: Digest,
    /// The session.
    pub sid: Digest,
    /// Which round, which attempt.
    pub round: RoundId,
    /// The model version it made.
    pub version: u32,
    /// Hash of the model before.
    pub model_in: Digest,
    /// Hash of the model it made.
    pub model_out: Digest,
    /// s, merchants in the sum.
    pub survivors: u32,
}

/// The verdict of an empirical audit. It can show that a mechanism is broken, never that it is private.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuditVerdict {
    /// Nothing wrong was found.
    Pass,
    /// The claim does not hold.
    Broken,
    /// It could not tell.
    Inconclusive,
}

/// What an audit found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditFinding {
    /// `A`: the mechanism; `B`: canaries.
    pub tier: char,
    /// The verdict.
    pub verdict: AuditVerdict,
    /// Digest of its full report.
    pub report: Digest,
    /// In one line.
    pub summary: String,
}

/// What became of a committed update. Spent either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The round's result was published and verified, with this update in the sum.
    Released {
        /// The model version it made.
        version: u32,
        /// That version's hash.
        model: Digest,
        /// s, merchants in the sum.
        survivors: u32,
        /// Digest of the survivor certificate; absent in plain mode.
        certificate: Option<Digest>,
    },
    /// The round ended without a result.
    Aborted,
}

/// A ledger in somebody else's hands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// To whom and for what, in the owner's words; may be empty.
    pub recipient: String,
    /// What was handed out: the ledger as it stood then.
    pub head: TreeHead,
    /// SHA-256 of the exported file.
    pub file: Digest,
}

/// A merchant's budget for one shopper, over all jobs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BudgetLimit {
    /// ε that everything together may reach.
    pub epsilon: f64,
    /// δ at which it is stated.
    pub delta: f64,
}

/// Everything a RESERVE records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reservation {
    /// The job's name.
    pub job: Name,
    /// The digest of its canonical encoding.
    pub job_digest: Digest,
    /// The session: one attempt at one round.
    pub sid: Digest,
    /// Which round, which attempt.
    pub round: RoundId,
    /// The unit of privacy.
    pub unit: Unit,
    /// Clip, noise, honest shares and δ; or no protection at all.
    pub protection: Protection,
    /// How the update travels: in plain, or masked and with how many colluders tolerated.
    pub travel: Travel,
    /// m_min: with fewer survivors nothing is unmasked; 0 in plain mode.
    pub survivors_min: u32,
    /// Digest of the round's parameters, the job and the roster.
    pub parameters: Digest,
    /// Hash of the model that is trained from.
    pub model: Digest,
    /// Must equal [`Protection::charge`].
    pub charge: PicoRho,
    /// Why the model is made, in the job's words.
    pub purpose: String,
    /// The job's privacy label, as shown everywhere.
    pub label: String,
    /// SHA-256 of the executable file that runs; absent where it is not known.
    pub program: Option<Digest>,
}

impl Entry {
    /// Its canonical bytes: what is hashed, kept and exported.
    ///
    /// # Errors
    /// [`WireError`] for an entry larger than any object may be.
    pub fn to_bytes(&self) -> Result<Vec<u8>, WireError> {
        wire::encode(self)
    }

    /// Reads an entry back.
    ///
    /// # Errors
    /// [`WireError`] for anything else than one whole entry.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        wire::decode(bytes, ENTRY_BYTES_MAX)
    }
}
