//! What the server said and this client does not act upon. [core]

use guildhall_shared::digest::Digest;
use guildhall_shared::identity::{RosterError, SignatureError};
use guildhall_shared::job::JobError;
use guildhall_shared::round_parameters::RoundParametersError;
use guildhall_shared::secagg::client::Breach;

/// A statement of the server's that is refused. The server is to blame, unless said otherwise.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refused {
    /// Another federation.
    #[error(
        "expected federation {expected}, found {found}: the address leads to another federation's server"
    )]
    Federation {
        /// Joined.
        expected: Digest,
        /// Found.
        found: Digest,
    },
    /// The roster is not well-formed or not signed by the federation.
    #[error("the roster is refused: {0}")]
    Roster(#[from] RosterError),
    /// The roster differs from the pinned one.
    #[error(
        "expected the pinned roster {expected}, found {found}: the server shows another list of merchants than before; \
         ask the other merchants what they see"
    )]
    RosterChanged {
        /// Pinned.
        expected: Digest,
        /// Found.
        found: Digest,
    },
    /// The roster lacks this merchant with its own identity and certificate.
    #[error("the roster does not list merchant {merchant} with this client's own identity and certificate")]
    NotListed {
        /// Who looked.
        merchant: String,
    },
    /// No roster yet.
    #[error("a job was announced before any roster was closed")]
    NoRoster,
    /// A signature that does not verify.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The job breaks the rules of jobs.
    #[error("the announced job is refused: {0}")]
    Job(JobError),
    /// The job has no rounds with so many merchants.
    #[error("the announced job is refused: {0}")]
    Parameters(#[from] RoundParametersError),
    /// A message about a job that is not followed.
    #[error("{message}: expected job {expected}, found {found}")]
    OtherJob {
        /// Which message.
        message: &'static str,
        /// Followed, or "none".
        expected: String,
        /// Found.
        found: Digest,
    },
    /// A message about an attempt that is not live.
    #[error("{message}: expected the live attempt's session id, found {found}")]
    OtherAttempt {
        /// Which message.
        message: &'static str,
        /// Found.
        found: Digest,
    },
    /// A message of the other mode.
    #[error("{message}: not a message of this round's mode, which is \"{mode}\"")]
    OtherMode {
        /// Which message.
        message: &'static str,
        /// The label of the round's mode.
        mode: &'static str,
    },
    /// A message before or after its time.
    #[error("{message}: out of order, {stage}")]
    OutOfOrder {
        /// Which message.
        message: &'static str,
        /// Where the attempt stands.
        stage: &'static str,
    },
    /// A message that breaks the rules of secure aggregation: the attempt is over.
    #[error("the attempt is over, because the server's message breaks the rules of secure aggregation: {0}")]
    Breach(#[from] Breach),
    /// The participants of an attempt are not an ascending list of merchants.
    #[error("Begin: expected at least {quorum} merchants below #{merchants} in ascending order")]
    Participants {
        /// Fewest.
        quorum: u32,
        /// n.
        merchants: u32,
    },
    /// The words of a result are not those its header names.
    #[error("result of version {version}: expected words with SHA-256 {expected}, found {found}")]
    Words {
        /// Version.
        version: u32,
        /// In the header.
        expected: Digest,
        /// Of the words.
        found: Digest,
    },
    /// The server claims an end that is not the end.
    #[error("Finished: expected a version from {expected}, found {found}")]
    FinishedEarly {
        /// Derived.
        expected: u32,
        /// Found.
        found: u32,
    },
    /// The server did not add this client's update.
    #[error("the server did not add this client's update: {0}")]
    Update(String),
    /// The server refuses or ends the session.
    #[error("the server says: {0}")]
    ByServer(String),
}

impl Refused {
    /// Whether there is no point in going on with the session.
    pub fn ends_session(&self) -> bool {
        matches!(
            self,
            Refused::Federation { .. }
                | Refused::Roster(_)
                | Refused::RosterChanged { .. }
                | Refused::NotListed { .. }
                | Refused::ByServer(_)
        )
    }
}
