//! What ends a session on the merchant's side, by name. [core]

use crate::digest::Digest;
use crate::id::MerchantIndex;
use crate::identity::SignatureError;
use crate::message::Complaint;
use crate::secagg::LedgerBehind;
use crate::secagg::agreement::AgreementError;

/// A message of the server's that fails a check. The session is over; nothing of it remains.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// Of another attempt.
    #[error("{message}: expected session {expected}, found {found}")]
    Session {
        /// Which message.
        message: &'static str,
        /// The live attempt's.
        expected: Digest,
        /// The message's.
        found: Digest,
    },
    /// A list of merchants that is not in ascending order without repetition, or names somebody the roster does not.
    #[error("{message}: expected merchants below #{merchants} in ascending order, each once")]
    Order {
        /// Which message.
        message: &'static str,
        /// n.
        merchants: u32,
    },
    /// Fewer than privacy or the certificate needs.
    #[error("{message}: expected at least {expected} merchants, found {found}")]
    TooFew {
        /// Which message.
        message: &'static str,
        /// Fewest.
        expected: u32,
        /// Found.
        found: u32,
    },
    /// The own entry is missing or changed.
    #[error("{message}: expected this merchant's own entry as it sent it, found another or none")]
    Own {
        /// Which message.
        message: &'static str,
    },
    /// Somebody who is not in the set before.
    #[error("{message}: merchant {merchant} is not among those the message before named")]
    Stranger {
        /// Which message.
        message: &'static str,
        /// Who.
        merchant: String,
    },
    /// A signature that does not verify under what this client derived and saw itself.
    #[error("{message}: the signature of merchant {merchant}: {source}")]
    Signature {
        /// Which message.
        message: &'static str,
        /// Whose.
        merchant: String,
        /// Why.
        source: SignatureError,
    },
    /// One key twice.
    #[error("RoundRoster: a key of merchant {merchant} stands twice")]
    DuplicateKey {
        /// Whose second.
        merchant: String,
    },
    /// A key of small order.
    #[error("RoundRoster: a key of merchant {merchant}: {source}")]
    Key {
        /// Whose.
        merchant: String,
        /// Why.
        source: AgreementError,
    },
    /// The shares received are not of exactly those who must have sent some.
    #[error("ForwardedShares: expected shares of every other member, found {found} of {expected}")]
    Dealers {
        /// Expected.
        expected: u32,
        /// Found.
        found: u32,
    },
    /// A dealer's shares cannot be used. The complaint goes to the server.
    #[error("ForwardedShares: the shares of merchant {merchant} cannot be used: {reason}")]
    Share {
        /// The dealer.
        merchant: String,
        /// Why.
        reason: &'static str,
        /// To be sent.
        complaint: Box<Complaint>,
    },
    /// A survivor's ledger was put back to an older state, or is shown in one.
    #[error("Survivors: the ledger of merchant {merchant}: {source}")]
    Ledger {
        /// Whose.
        merchant: String,
        /// What was seen.
        source: LedgerBehind,
    },
    /// Too few of this merchant's own holders are left to put its secrets together.
    #[error("ForwardedShares: expected at least {expected} of this merchant's own holders, found {found}")]
    Holders {
        /// t_k.
        expected: u32,
        /// Found.
        found: u32,
    },
}

/// Checks that a list is ascending, without repetition, and within the roster.
pub(super) fn check_order(
    message: &'static str,
    list: impl Iterator<Item = MerchantIndex>,
    merchants: u32,
) -> Result<(), Breach> {
    let mut previous: Option<MerchantIndex> = None;
    for merchant in list {
        if previous.is_some_and(|previous| previous >= merchant) || u32::from(merchant.0) >= merchants {
            return Err(Breach::Order { message, merchants });
        }
        previous = Some(merchant);
    }
    Ok(())
}

pub(super) fn check_session(message: &'static str, expected: Digest, found: Digest) -> Result<(), Breach> {
    if expected == found { Ok(()) } else { Err(Breach::Session { message, expected, found }) }
}

pub(super) fn check_enough(message: &'static str, expected: u32, found: usize) -> Result<(), Breach> {
    let found = u32::try_from(found).unwrap_or(u32::MAX);
    if found >= expected { Ok(()) } else { Err(Breach::TooFew { message, expected, found }) }
}
