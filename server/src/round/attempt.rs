//! What every phase of an attempt may know. [core]

use std::collections::BTreeSet;
use std::sync::Arc;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::{MerchantIndex, RoundId};
use guildhall_shared::identity::{DecodedRoster, PublicKey};
use guildhall_shared::ring::RingWidth;

use super::{Fault, RoundError, RoundMessage};

/// The fixed facts of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Round and attempt.
    pub round: RoundId,
    /// The offer's session id.
    pub sid: Digest,
    /// Hash of the model that is trained.
    pub model: Digest,
    /// Digest of the round's parameters.
    pub parameters: Digest,
    /// Width of a ring word.
    pub ring: RingWidth,
    /// d, words of an update.
    pub dimension: usize,
    /// Fewest merchants with which training starts and the sum counts.
    pub quorum: usize,
    /// From the offer until answers are no longer awaited, milliseconds.
    pub accept_deadline_ms: u64,
    /// From the start of training until updates are no longer awaited, milliseconds.
    pub update_deadline_ms: u64,
    /// To whom the offer goes.
    pub offered: BTreeSet<MerchantIndex>,
    /// The pinned roster.
    pub roster: Arc<DecodedRoster>,
}

impl Attempt {
    /// Blames a merchant.
    pub(super) fn error(&self, merchant: MerchantIndex, fault: Fault) -> RoundError {
        let name = self.roster.entry(merchant).map(|entry| entry.name.to_string());
        RoundError { round: self.round, merchant: name.unwrap_or_else(|| merchant.to_string()), fault }
    }

    /// The identity of a merchant the offer went to.
    pub(super) fn offered_identity(&self, merchant: MerchantIndex) -> Result<PublicKey, Fault> {
        let stranger = Fault::Stranger { expected: "a merchant the offer went to" };
        if !self.offered.contains(&merchant) {
            return Err(stranger);
        }
        self.roster.entry(merchant).map(|entry| entry.identity).ok_or(stranger)
    }

    /// Refuses a message of another attempt.
    pub(super) fn check_sid(&self, message: &RoundMessage<'_>) -> Result<(), Fault> {
        let (expected, found) = (self.sid, message.sid());
        if expected == found { Ok(()) } else { Err(Fault::Session { expected, found }) }
    }

    /// Names for people, in order.
    pub(super) fn names(&self, merchants: impl IntoIterator<Item = MerchantIndex>) -> String {
        let name =
            |m: MerchantIndex| self.roster.entry(m).map_or_else(|| m.to_string(), |e| e.name.to_string());
        merchants.into_iter().map(name).collect::<Vec<_>>().join(", ")
    }
}
