//! Messages M1 to M4 and M6 to M9 of a masked round. Every one carries the sid; every signature covers a label of its own,
//! the sid and the body. `docs/protocol.md` has the checks of the receivers.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::MerchantIndex;
use crate::identity::Signature;
use crate::secagg::SignedHead;
use crate::secagg::agreement::AgreementKey;
use crate::secagg::transcript::SignedUpdate;
use crate::tree_head::TreeHead;

/// M1: the merchant reserved its budget, takes part, and names two fresh public keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advertise {
    /// The attempt.
    pub sid: Digest,
    /// Hash of the model the client derived itself.
    pub model: Digest,
    /// Digest of the parameters the client derived itself.
    pub parameters: Digest,
    /// X25519 key that shares for this merchant are encrypted to.
    pub encryption_key: AgreementKey,
    /// X25519 key that pairwise masks are agreed with.
    pub mask_key: AgreementKey,
    /// By the merchant's identity.
    pub signature: Signature,
}

/// One merchant's keys, as forwarded: what its M1 says beyond what every member's M1 must say alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberKeys {
    /// Whose.
    pub merchant: MerchantIndex,
    /// X25519 key that shares for it are encrypted to.
    pub encryption_key: AgreementKey,
    /// X25519 key that pairwise masks are agreed with.
    pub mask_key: AgreementKey,
    /// Its signature over its M1.
    pub signature: Signature,
}

/// M2: U1 and everybody's keys, in ascending order of merchants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundRoster {
    /// The attempt.
    pub sid: Digest,
    /// U1.
    pub members: Vec<MemberKeys>,
}

/// The encryption of one holder's two shares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedShares {
    /// Encrypted share of the mask key.
    pub mask_key: [u8; 32],
    /// Encrypted share of the self-mask seed.
    pub seed: [u8; 32],
    /// Authentication tag over both.
    pub tag: [u8; 16],
}

/// What a dealer commits itself to for one holder, so that a wrong share can be traced to whoever changed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareHashes {
    /// Hash of the holder's share of the mask key.
    pub mask_key: Digest,
    /// Hash of the holder's share of the self-mask seed.
    pub seed: Digest,
}

/// What one dealer deals to one holder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DealtShare {
    /// The other side: the holder in [`Shares`], the dealer in [`ForwardedShares`].
    pub peer: MerchantIndex,
    /// For the holder's eyes.
    pub sealed: SealedShares,
    /// For everybody's.
    pub hashes: ShareHashes,
    /// The newest head of the holder's ledger that the dealer saw, under the holder's own signature; `None` if it saw none.
    /// The holder holds it against its ledger before it trains.
    pub seen: Option<SignedHead>,
    /// The dealer's, over session, roster of the round, dealer, holder, ciphertext, hashes and head.
    pub signature: Signature,
}

/// M3: a merchant's secrets, dealt to its holders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shares {
    /// The attempt.
    pub sid: Digest,
    /// Commitment to the self-mask seed.
    pub commitment: Digest,
    /// Hashes of the shares the dealer keeps itself: exactly in the complete graph.
    pub own: Option<ShareHashes>,
    /// One per holder, ascending.
    pub shares: Vec<DealtShare>,
    /// The dealer's, over all of the above and the roster of the round.
    pub signature: Signature,
}

/// M4: U2, and what its members dealt to the receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardedShares {
    /// The attempt.
    pub sid: Digest,
    /// U2, ascending.
    pub members: Vec<MerchantIndex>,
    /// One per dealer that chose the receiver, ascending.
    pub shares: Vec<DealtShare>,
}

/// A holder claims that a dealer's share is unusable. A claim, not a proof; it reveals nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complaint {
    /// The attempt.
    pub sid: Digest,
    /// The dealer.
    pub about: MerchantIndex,
    /// The complainer's.
    pub signature: Signature,
}

/// One member of U3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SurvivingUpdate {
    /// Whose update.
    pub merchant: MerchantIndex,
    /// H(y).
    pub hash: Digest,
    /// The merchant's ledger with the COMMIT of H(y) in it.
    pub head: TreeHead,
    /// The signature of its M5.
    pub signature: Signature,
}

impl SurvivingUpdate {
    /// What the signature is over, beside the transcript.
    pub fn statement(&self) -> SignedUpdate {
        let SurvivingUpdate { merchant, hash, head, .. } = *self;
        SignedUpdate { merchant, hash, head }
    }
}

/// M6: U3, with everybody's signed update hash, ascending.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survivors {
    /// The attempt.
    pub sid: Digest,
    /// U3.
    pub updates: Vec<SurvivingUpdate>,
}

/// M7: a survivor has seen U3 and signs it, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certify {
    /// The attempt.
    pub sid: Digest,
    /// Over the digest of U3.
    pub signature: Signature,
}

/// One survivor's signature over U3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateSignature {
    /// Whose.
    pub merchant: MerchantIndex,
    /// Over the digest of U3.
    pub signature: Signature,
}

/// M8: the survivor certificate, at least t signatures of members of U3 over the same U3, ascending.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The attempt.
    pub sid: Digest,
    /// The signatures.
    pub signatures: Vec<CertificateSignature>,
}

/// A holder's share of one dealer's secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevealedShare {
    /// The dealer.
    pub dealer: MerchantIndex,
    /// The share.
    pub value: [u8; 32],
}

impl std::fmt::Debug for RevealedShare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RevealedShare(of {})", self.dealer)
    }
}

/// M9: shares of the seeds of survivors and of the mask keys of the dropped. For no merchant both: the client splits U2 by
/// the certified U3 itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unmask {
    /// The attempt.
    pub sid: Digest,
    /// Of members of U3, ascending.
    pub seeds: Vec<RevealedShare>,
    /// Of members of U2 that are not in U3, ascending.
    pub mask_keys: Vec<RevealedShare>,
    /// The responder's, over all of the above.
    pub signature: Signature,
}
