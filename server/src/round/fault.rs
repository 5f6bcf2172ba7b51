//! What is wrong with an input, and who is to blame. [core]

use std::collections::BTreeSet;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::{MerchantIndex, RoundId};
use guildhall_shared::identity::SignatureError;
use guildhall_shared::secagg::server;
pub use guildhall_shared::secagg::server::{Culprit, Misdeed};

/// An input that is refused: who, when, and what is wrong. The state is unchanged.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{round}, merchant {merchant}: {fault}")]
pub struct RoundError {
    /// The attempt.
    pub round: RoundId,
    /// The sender's name, or its number where the roster has none.
    pub merchant: String,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a message.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Fault {
    /// Not one of the attempt's merchants.
    #[error("expected a message from {expected}, found one from somebody else")]
    Stranger {
        /// Whose messages count.
        expected: &'static str,
    },
    /// Of another attempt.
    #[error("expected session {expected}, found {found}")]
    Session {
        /// The running attempt's.
        expected: Digest,
        /// The message's.
        found: Digest,
    },
    /// The client derived another model.
    #[error("expected model {expected}, found {found}")]
    Model {
        /// The offer's.
        expected: Digest,
        /// The message's.
        found: Digest,
    },
    /// The client derived other parameters.
    #[error("expected parameters {expected}, found {found}")]
    Parameters {
        /// The offer's.
        expected: Digest,
        /// The message's.
        found: Digest,
    },
    /// Not signed by the merchant.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Said before.
    #[error("expected one answer, found a second: {found}")]
    Repeated {
        /// The message.
        found: &'static str,
    },
    /// Not now.
    #[error("expected {expected}, found {found}")]
    Phase {
        /// What this phase waits for.
        expected: &'static str,
        /// The message.
        found: &'static str,
    },
    /// An update of another shape.
    #[error("expected {expected} bytes of ring words, found {found}")]
    Length {
        /// Bytes expected.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// Words that are not those that were signed for.
    #[error("expected words with SHA-256 {expected}, found {found}")]
    Hash {
        /// The header's.
        expected: Digest,
        /// The words'.
        found: Digest,
    },
    /// A message of a masked round that secure aggregation refuses.
    #[error(transparent)]
    Masked(#[from] server::Fault),
}

/// One merchant's claim that another's shares are unusable: no proof, but more of them than may collude are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Accusation {
    /// Whose shares.
    pub about: MerchantIndex,
    /// Who says so.
    pub by: MerchantIndex,
}

/// Who should not take part again. Never more than names: what was revealed wrongly stays in the attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blame {
    /// Who provably misbehaved, and how: stays out of the job's further attempts.
    pub culprits: BTreeSet<Culprit>,
    /// Who complained or was complained about, without proof: sits out one attempt.
    pub sitting_out: BTreeSet<MerchantIndex>,
    /// Who complained about whose shares.
    pub complaints: BTreeSet<Accusation>,
}
