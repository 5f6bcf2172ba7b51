//! What the journal holds: one entry for each thing that happened to the budget. [core]
//!
//! Entries never hold a shopper's identifier, a count of rows, or how long a private step took: only POLICY and
//! RESERVE, which come before any row is read, carry a time.

use guildhall_accountant::PicoRho;
use guildhall_shared::digest::Digest;
use guildhall_shared::id::{Name, RoundId};
use guildhall_shared::job::Unit;
use serde::{Deserialize, Serialize};

use crate::{Protection, Travel};

/// The version of the entry format.
pub const ENTRY_VERSION: u16 = 2;

/// The longest purpose, in bytes; a job file allows no more either.
pub const PURPOSE_BYTES_MAX: usize = 1_000;

/// The longest label, in bytes.
pub const LABEL_BYTES_MAX: usize = 300;

/// One numbered entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// [`ENTRY_VERSION`].
    pub version: u16,
    /// Its place in the ledger, from 0.
    pub sequence: u64,
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
}

/// What became of a committed update. Spent either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The round's result was published and verified.
    Released,
    /// The round ended without a result.
    Aborted,
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
    /// Must equal [`Protection::charge`].
    pub charge: PicoRho,
    /// Why the model is made, in the job's words.
    pub purpose: String,
    /// The job's privacy label, as shown everywhere.
    pub label: String,
}
