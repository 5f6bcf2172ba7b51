//! What the ledger refuses.

use std::path::PathBuf;

use guildhall_accountant::PicoRho;
use guildhall_shared::digest::Digest;
use guildhall_shared::id::{Name, RoundId};
use guildhall_shared::identity::PublicKey;

use crate::rotation::RotationError;
use crate::{Protection, SessionStatus, Travel};

/// What the ledger refuses. The state is unchanged after every error but a storage error, which halts the ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The budget does not have room for the charge.
    #[error(
        "the privacy budget is exhausted: spent epsilon {epsilon_spent:.4} (rho {spent}), this release asks for rho {asked} and would reach epsilon {epsilon_after:.4}, the limit is epsilon {epsilon_limit} at delta {delta:e} (rho {limit})"
    )]
    OverBudget {
        /// Spent and reserved so far.
        spent: PicoRho,
        /// Asked for.
        asked: PicoRho,
        /// The most the budget allows.
        limit: PicoRho,
        /// ε spent so far.
        epsilon_spent: f64,
        /// ε this would reach.
        epsilon_after: f64,
        /// ε allowed.
        epsilon_limit: f64,
        /// δ.
        delta: f64,
    },
    /// The round was reserved before, or an older one is asked for.
    #[error("job {job}: expected a round after {expected_greater_than}, found {found}")]
    StaleRound {
        /// The job.
        job: Name,
        /// The last one reserved.
        expected_greater_than: RoundId,
        /// Found.
        found: RoundId,
    },
    /// Another job under a name already spent for.
    #[error(
        "job {job}: budget was spent on a job of this name with digest {expected}, found {found}; a changed job needs a new name"
    )]
    JobChanged {
        /// The name.
        job: Name,
        /// The digest on record.
        expected: Digest,
        /// Found.
        found: Digest,
    },
    /// A session can be reserved once.
    #[error("session {sid} was reserved before")]
    SessionKnown {
        /// The session.
        sid: Digest,
    },
    /// A session is not where the command needs it.
    #[error("session {sid}: expected it to be {expected:?}, found {found:?}")]
    SessionStatus {
        /// The session.
        sid: Digest,
        /// Expected.
        expected: SessionStatus,
        /// Found; none if it was never reserved.
        found: Option<SessionStatus>,
    },
    /// The stated charge is not what clip and noise cost.
    #[error("the charge of this clip and noise is rho {expected}, found {found}")]
    ChargeDiffers {
        /// Recomputed.
        expected: PicoRho,
        /// Found.
        found: PicoRho,
    },
    /// The update is not what was paid for.
    #[error("session {sid}: reserved for {expected:?} travelling as {travel:?}, but the update has {found}")]
    NotAsReserved {
        /// The session.
        sid: Digest,
        /// What was reserved.
        expected: Protection,
        /// How it was to travel.
        travel: Travel,
        /// What was done.
        found: String,
    },
    /// A share of the noise, where the whole noise is needed.
    #[error(
        "session {sid}: in plain mode each merchant's own noise has to carry the whole charge: expected 1 honest share, found {found}"
    )]
    ShareInPlain {
        /// The session.
        sid: Digest,
        /// h, as found.
        found: u64,
    },
    /// A witness saw this ledger otherwise than it is: it was put back to an older state, or rewritten.
    #[error(
        "a witness saw this ledger with {seen} entries that are not there: it was put back to an older state or rewritten, and would spend budget twice. Nothing more is reserved. Put the newest copy of the folder back; if there is none, decide what was spent before you start a new ledger"
    )]
    RolledBack {
        /// Entries the witness saw.
        seen: u64,
    },
    /// An event that spends, settles or refunds, where only a note is taken.
    #[error("expected an event that spends nothing, found {kind}")]
    NotANote {
        /// Its kind.
        kind: &'static str,
    },
    /// The ledger belongs to another federation.
    #[error("the ledger belongs to federation {expected}, found {found}")]
    OtherFederation {
        /// Whose it is.
        expected: Digest,
        /// Found.
        found: Digest,
    },
    /// A head that this ledger never had.
    #[error("expected a head that this ledger had, found one of {found} entries that it never had")]
    NoSuchHead {
        /// Entries in it.
        found: u64,
    },
    /// A rotation of keys that is none.
    #[error(transparent)]
    Rotation(#[from] RotationError),
    /// Whoever opened the ledger does not have its key.
    #[error(
        "the ledger's checkpoints are signed by key {expected:?} since its last rotation of keys, found {found:?}"
    )]
    OtherKey {
        /// In force.
        expected: PublicKey,
        /// Found.
        found: PublicKey,
    },
    /// A published model does not follow from the one before.
    #[error("job {job}, version {version}: expected it to start from model {expected}, found {found}")]
    ModelChain {
        /// The job.
        job: Name,
        /// The version.
        version: u32,
        /// Hash of the version before.
        expected: Digest,
        /// Found.
        found: Digest,
    },
    /// No budget was ever set.
    #[error("the ledger has no budget yet")]
    NoPolicy,
    /// A budget that is none.
    #[error("budget: expected epsilon > 0 and delta in (0, 1), found epsilon {epsilon} and delta {delta}")]
    Limit {
        /// Found.
        epsilon: f64,
        /// Found.
        delta: f64,
    },
    /// A text is too long to be recorded.
    #[error("{field}: expected at most {limit} bytes, found {found}")]
    TextTooLong {
        /// Which.
        field: &'static str,
        /// Bytes allowed.
        limit: usize,
        /// Bytes found.
        found: usize,
    },
    /// Another process has the ledger open.
    #[error("{}: another process has this ledger open; one merchant runs one client", path.display())]
    Locked {
        /// The journal.
        path: PathBuf,
    },
    /// Damage that no interrupted write explains.
    #[error("{}: damaged at byte {offset}: {reason}. Nothing was changed. Restore the file, or start a new ledger only after deciding what was spent", path.display())]
    Corrupt {
        /// The journal.
        path: PathBuf,
        /// Where the bad frame starts.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The disk failed. End the process: what reached the disk is known only after the next open.
    #[error("{}: could not {action}: {source}", path.display())]
    Storage {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// An earlier write failed.
    #[error("{}: an earlier write failed, so nothing more is accepted until the ledger is opened anew", path.display())]
    Halted {
        /// The journal.
        path: PathBuf,
    },
}
