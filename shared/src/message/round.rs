//! Round messages of every mode, and the answers of plain mode. Every one carries the sid; every signature covers label, sid and body.

use serde::{Deserialize, Serialize};

use super::MessageError;
use crate::digest::Digest;
use crate::id::{MerchantIndex, RoundId};
use crate::identity::{IdentityKey, PublicKey, Signature, SignatureError};
use crate::round_parameters::RoundParameters;
use crate::tree_head::TreeHead;
use crate::wire;

/// M0: the server offers an attempt at a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The federation.
    pub federation: Digest,
    /// Digest of the job.
    pub job: Digest,
    /// Round and attempt.
    pub round: RoundId,
    /// Version of the model to train from.
    pub version: u32,
    /// Its hash.
    pub model: Digest,
    /// The round's numbers; the client derives its own and compares.
    pub parameters: RoundParameters,
    /// Digest of the pinned roster.
    pub roster: Digest,
    /// Fresh per attempt, 32 random bytes.
    pub nonce: [u8; 32],
    /// By the federation key over the sid.
    pub signature: Signature,
}

const OFFER_LABEL: &str = "guildhall offer v1";
const ACCEPT_LABEL: &str = "guildhall accept v1";
const UPDATE_LABEL: &str = "guildhall update v1";
const RESULT_LABEL: &str = "guildhall result v1";
const ROLL_BACK_LABEL: &str = "guildhall roll-back v1";

impl Offer {
    /// The session id: a digest of everything in the offer but the signature.
    pub fn sid(&self) -> Digest {
        let unsigned = Offer { signature: Signature([[0; 32]; 2]), ..self.clone() };
        Digest::of("guildhall sid v1", &[&wire::encode(&unsigned).unwrap_or_default()])
    }

    /// Signs in place.
    pub fn sign(mut self, federation_key: &IdentityKey) -> Self {
        self.signature = federation_key.sign(OFFER_LABEL, &[&self.sid().0]);
        self
    }

    /// Checks the federation's signature.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify(&self, federation_key: &PublicKey) -> Result<(), SignatureError> {
        federation_key.verify(OFFER_LABEL, &[&self.sid().0], &self.signature)
    }
}

/// M1 of plain mode: the merchant reserved its budget and takes part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accept {
    /// The attempt.
    pub sid: Digest,
    /// Hash of the model the client derived itself.
    pub model: Digest,
    /// Digest of the parameters the client derived itself.
    pub parameters: Digest,
    /// By the merchant's identity.
    pub signature: Signature,
}

impl Accept {
    /// Signs an acceptance.
    pub fn sign(sid: Digest, model: Digest, parameters: Digest, key: &IdentityKey) -> Self {
        let signature = key.sign(ACCEPT_LABEL, &[&sid.0, &model.0, &parameters.0]);
        Accept { sid, model, parameters, signature }
    }

    /// Checks the merchant's signature.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify(&self, key: &PublicKey) -> Result<(), SignatureError> {
        key.verify(ACCEPT_LABEL, &[&self.sid.0, &self.model.0, &self.parameters.0], &self.signature)
    }
}

/// Why a merchant does not take part. Never depends on rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeclineReason {
    /// The merchant's privacy budget has no room for the round.
    OverBudget,
    /// The merchant's own policy forbids it.
    Policy,
    /// The offer's numbers or hashes are not those the client derived.
    Mismatch,
    /// The (round, attempt) is not greater than one seen before.
    Stale,
    /// The merchant's disk failed.
    Storage,
}

impl DeclineReason {
    /// In words, for the operator.
    pub fn describe(self) -> &'static str {
        match self {
            DeclineReason::OverBudget => "its privacy budget has no room for the round",
            DeclineReason::Policy => "its own policy forbids it",
            DeclineReason::Mismatch => "the offer differs from what it derived itself",
            DeclineReason::Stale => "it has seen this round and attempt before",
            DeclineReason::Storage => "its ledger or disk failed",
        }
    }
}

/// The merchant does not take part in this attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decline {
    /// The attempt.
    pub sid: Digest,
    /// Why.
    pub reason: DeclineReason,
}

/// M2 of plain mode: who takes part; training starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// The attempt.
    pub sid: Digest,
    /// U1, ascending.
    pub participants: Vec<MerchantIndex>,
}

/// M5, the fixed-size control part before the words of an update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateHeader {
    /// The attempt.
    pub sid: Digest,
    /// SHA-256 of the words' bytes; what the merchant's ledger committed.
    pub hash: Digest,
    /// The merchant's ledger with that COMMIT in it: whoever sees it becomes a witness.
    pub head: TreeHead,
    /// By the merchant's identity.
    pub signature: Signature,
}

impl UpdateHeader {
    /// Bytes of its encoding.
    pub const BYTES: usize = 168;

    /// Signs an update's header.
    pub fn sign(sid: Digest, hash: Digest, head: TreeHead, key: &IdentityKey) -> Self {
        let signature = key.sign(UPDATE_LABEL, &[&sid.0, &hash.0, &head.statement()]);
        UpdateHeader { sid, hash, head, signature }
    }

    /// Checks the merchant's signature.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify(&self, key: &PublicKey) -> Result<(), SignatureError> {
        key.verify(UPDATE_LABEL, &[&self.sid.0, &self.hash.0, &self.head.statement()], &self.signature)
    }
}

/// What became of an update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The attempt.
    pub sid: Digest,
    /// Verdict.
    pub verdict: Verdict,
}

/// Verdict on an update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Added to the sum.
    Added,
    /// Not added, and why.
    Refused(String),
}

/// The attempt ended without a result. A commitment stays spent; a mere reservation may be refunded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abort {
    /// The attempt.
    pub sid: Digest,
    /// Why.
    pub reason: String,
}

/// M10, the control part before the words of a result (ring words of the sum).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultHeader {
    /// The job.
    pub job: Digest,
    /// The attempt.
    pub sid: Digest,
    /// Round and attempt.
    pub round: RoundId,
    /// The version this result makes; its parent is the version before.
    pub version: u32,
    /// Hash of that version: whoever applies the sum must arrive at it.
    pub model: Digest,
    /// Merchants whose updates are in the sum, ascending.
    pub contributors: Vec<MerchantIndex>,
    /// SHA-256 of the words' bytes.
    pub sum: Digest,
    /// By the federation key.
    pub signature: Signature,
}

impl ResultHeader {
    fn digest(&self) -> Digest {
        let unsigned = ResultHeader { signature: Signature([[0; 32]; 2]), ..self.clone() };
        Digest::of("guildhall result body v1", &[&wire::encode(&unsigned).unwrap_or_default()])
    }

    /// Signs in place.
    pub fn sign(mut self, federation_key: &IdentityKey) -> Self {
        self.signature = federation_key.sign(RESULT_LABEL, &[&self.sid.0, &self.digest().0]);
        self
    }

    /// Checks the federation's signature.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify(&self, federation_key: &PublicKey) -> Result<(), SignatureError> {
        federation_key.verify(RESULT_LABEL, &[&self.sid.0, &self.digest().0], &self.signature)
    }

    /// The longest encoding for n merchants.
    pub fn bytes_max(merchants: usize) -> usize {
        256 + 2 * merchants
    }
}

/// A signed roll-back: version `version` is bit-identical to the earlier version `to`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollBack {
    /// The job.
    pub job: Digest,
    /// The version this makes.
    pub version: u32,
    /// The version it equals.
    pub to: u32,
    /// That version's hash, which every client derived itself.
    pub model: Digest,
    /// By the federation key.
    pub signature: Signature,
}

impl RollBack {
    /// Signs in place.
    pub fn sign(mut self, federation_key: &IdentityKey) -> Self {
        let (version, to) = (self.version.to_le_bytes(), self.to.to_le_bytes());
        self.signature = federation_key.sign(ROLL_BACK_LABEL, &[&self.job.0, &version, &to, &self.model.0]);
        self
    }

    /// Checks the federation's signature.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify(&self, federation_key: &PublicKey) -> Result<(), SignatureError> {
        let (version, to) = (self.version.to_le_bytes(), self.to.to_le_bytes());
        federation_key.verify(ROLL_BACK_LABEL, &[&self.job.0, &version, &to, &self.model.0], &self.signature)
    }
}

/// The body of a vector message: length of the control part (u32, little endian), control part, words.
pub fn join_vector(control: &[u8], words: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(4 + control.len() + words.len());
    body.extend((control.len() as u32).to_le_bytes());
    body.extend(control);
    body.extend(words);
    body
}

/// Cuts a vector message into control part and words.
///
/// # Errors
/// [`MessageError::Vector`] when the control part is longer than allowed or the words are not `vector_bytes` long.
pub fn split_vector(
    body: &[u8],
    control_max: usize,
    vector_bytes: usize,
) -> Result<(&[u8], &[u8]), MessageError> {
    let error = || MessageError::Vector(body.len());
    let (length, rest) = body.split_first_chunk::<4>().ok_or_else(error)?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > control_max || rest.len() != length.checked_add(vector_bytes).ok_or_else(error)? {
        return Err(error());
    }
    Ok(rest.split_at(length))
}
