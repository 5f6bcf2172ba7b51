//! What is wrong with a merchant's message, and when a stage has too few of them. [core]

use crate::digest::Digest;
use crate::id::MerchantIndex;
use crate::identity::SignatureError;
use crate::secagg::agreement::AgreementError;

/// What is wrong with a message. The stage is unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// From somebody who is not in the set of the stage before.
    #[error("expected a message from a merchant that {expected}, found one from somebody else")]
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
    /// Said before.
    #[error("expected one {message}, found a second")]
    Repeated {
        /// Which message.
        message: &'static str,
    },
    /// Not signed by the merchant, or over something else.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A key that stands in another message already.
    #[error("expected fresh keys, found one that was advertised before")]
    DuplicateKey,
    /// A key of small order.
    #[error(transparent)]
    Key(#[from] AgreementError),
    /// Shares for other holders than the graph asks for.
    #[error("expected shares for {expected}, found {found}")]
    Holders {
        /// Which holders.
        expected: String,
        /// What is there.
        found: String,
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
    /// Shares of other dealers, or of the other secret, than the certificate asks for.
    #[error("expected one share of the right secret of every dealer, found others: {0}")]
    Dealers(&'static str),
    /// A complaint about nobody it could be about.
    #[error("expected a complaint about a dealer of this attempt, found one about {0}")]
    About(MerchantIndex),
}

/// A stage was closed with too few messages: the attempt is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected at least {expected} merchants to {step}, found {found}")]
pub struct Shortfall {
    /// What they should have done.
    pub step: &'static str,
    /// Fewest.
    pub expected: u32,
    /// Found.
    pub found: u32,
}

impl Shortfall {
    pub(super) fn check(step: &'static str, expected: u32, found: usize) -> Result<(), Shortfall> {
        let found = u32::try_from(found).unwrap_or(u32::MAX);
        if found >= expected { Ok(()) } else { Err(Shortfall { step, expected, found }) }
    }
}

pub(super) fn check_session(expected: Digest, found: Digest) -> Result<(), Fault> {
    if expected == found { Ok(()) } else { Err(Fault::Session { expected, found }) }
}
