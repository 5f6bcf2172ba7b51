//! What is hashed and signed in a masked round: one function for each statement, one label for each kind: sections
//! 2.5 and 2.6 of `docs/protocol.md`. [core]
//!
//! T1 is the digest of U1 with all keys; H(U2) of the members whose shares are dealt; the survivors' digest of U3 with
//! everybody's update hash. Each covers the session id, and through it the federation, the job, the model, the round's
//! parameters, the pinned roster and the server's nonce.

use serde::{Deserialize, Serialize};

use super::Facts;
use super::agreement::AgreementKey;
use crate::digest::Digest;
use crate::id::MerchantIndex;
use crate::identity::{IdentityKey, Signature, SignatureError, Verifier};
use crate::message::{Advertise, Complaint, DealtShare, MemberKeys, RevealedShare, ShareHashes, Shares};
use crate::tree_head::TreeHead;
use crate::wire;

const ADVERTISE: &str = "guildhall secagg advertise v1";
const ROSTER: &str = "guildhall secagg round roster v1";
const SHARE: &str = "guildhall secagg dealt share v1";
const SHARES: &str = "guildhall secagg shares v1";
const COMPLAINT: &str = "guildhall secagg complaint v1";
const MEMBERS: &str = "guildhall secagg members v1";
const UPDATE_DIGEST: &str = "guildhall secagg update digest v1";
const UPDATE: &str = "guildhall secagg masked update v1";
const SURVIVORS: &str = "guildhall secagg survivors v1";
const CERTIFY: &str = "guildhall secagg certify v1";
const UNMASK: &str = "guildhall secagg unmask v1";
const COMMITMENT: &str = "guildhall secagg seed commitment v1";
const SHARE_HASH: &str = "guildhall secagg share hash v1";

/// A merchant's index in signed and hashed statements: u16, little endian.
pub(crate) fn index(merchant: MerchantIndex) -> [u8; 2] {
    merchant.0.to_le_bytes()
}

/// T1: the digest of M2, members in ascending order.
pub fn roster_digest(sid: &Digest, members: &[MemberKeys]) -> Digest {
    Digest::of(ROSTER, &[&sid.0, &wire::encode(members).unwrap_or_default()])
}

/// H(U2), members in ascending order.
pub fn members_digest(sid: &Digest, members: &[MerchantIndex]) -> Digest {
    let bytes: Vec<u8> = members.iter().flat_map(|member| index(*member)).collect();
    Digest::of(MEMBERS, &[&sid.0, &bytes])
}

/// The digest of U3: members in ascending order, each with its H(y) and the head of its ledger. Signing it signs that
/// these heads were seen.
pub fn survivors_digest(transcript: &Transcript, updates: &[SignedUpdate]) -> Digest {
    let bytes: Vec<u8> = updates
        .iter()
        .flat_map(|update| {
            index(update.merchant).into_iter().chain(update.hash.0).chain(update.head.statement())
        })
        .collect();
    let Transcript { sid, roster, members } = transcript;
    Digest::of(SURVIVORS, &[&sid.0, &roster.0, &members.0, &bytes])
}

/// The commitment to a merchant's self-mask seed.
pub fn seed_commitment(sid: &Digest, dealer: MerchantIndex, seed: &[u8; 32]) -> Digest {
    Digest::of(COMMITMENT, &[&sid.0, &index(dealer), seed])
}

/// What one survivor's M5 says: whose update, H(y), and its ledger with the COMMIT in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedUpdate {
    /// Whose.
    pub merchant: MerchantIndex,
    /// H(y).
    pub hash: Digest,
    /// Its ledger.
    pub head: TreeHead,
}

/// Which of a dealer's two secrets a share is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secret {
    /// The private key of its pairwise masks.
    MaskKey,
    /// The seed of its own mask.
    Seed,
}

impl Secret {
    fn tag(self) -> &'static [u8] {
        match self {
            Secret::MaskKey => b"mask key",
            Secret::Seed => b"seed",
        }
    }
}

/// What a dealer publishes of one share. The share has 256 bits of entropy, so its hash hides it.
pub fn share_hash(
    sid: &Digest,
    dealer: MerchantIndex,
    holder: MerchantIndex,
    secret: Secret,
    value: &[u8; 32],
) -> Digest {
    Digest::of(SHARE_HASH, &[&sid.0, &index(dealer), &index(holder), secret.tag(), value])
}

/// What everybody who took the same part in the same attempt knows alike up to M4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transcript {
    /// The attempt.
    pub sid: Digest,
    /// T1.
    pub roster: Digest,
    /// H(U2).
    pub members: Digest,
}

/// Signs M1.
pub fn sign_advertise(
    facts: &Facts,
    encryption_key: AgreementKey,
    mask_key: AgreementKey,
    key: &IdentityKey,
) -> Advertise {
    let Facts { sid, model, parameters, .. } = facts;
    let signature = key.sign(ADVERTISE, &[&sid.0, &model.0, &parameters.0, &encryption_key.0, &mask_key.0]);
    Advertise { sid: *sid, model: *model, parameters: *parameters, encryption_key, mask_key, signature }
}

/// Checks a member's signature over its M1, with the model and the parameters the checker derived itself.
///
/// # Errors
/// [`SignatureError`].
pub fn verify_advertise(facts: &Facts, member: &MemberKeys, key: &Verifier) -> Result<(), SignatureError> {
    let parts: [&[u8]; 5] =
        [&facts.sid.0, &facts.model.0, &facts.parameters.0, &member.encryption_key.0, &member.mask_key.0];
    key.verify(ADVERTISE, &parts, &member.signature)
}

/// Signs what a dealer deals to one holder: `share` names the holder, its signature is made anew.
pub fn sign_dealt_share(
    sid: &Digest,
    roster: &Digest,
    dealer: MerchantIndex,
    share: DealtShare,
    key: &IdentityKey,
) -> DealtShare {
    let statement = dealt_share_statement(dealer, share.peer, &share);
    DealtShare { signature: key.sign(SHARE, &[&sid.0, &roster.0, &statement]), ..share }
}

/// Checks what a dealer dealt to one holder.
///
/// # Errors
/// [`SignatureError`].
pub fn verify_dealt_share(
    sid: &Digest,
    roster: &Digest,
    dealer: MerchantIndex,
    holder: MerchantIndex,
    share: &DealtShare,
    key: &Verifier,
) -> Result<(), SignatureError> {
    let statement = dealt_share_statement(dealer, holder, share);
    key.verify(SHARE, &[&sid.0, &roster.0, &statement], &share.signature)
}

fn dealt_share_statement(dealer: MerchantIndex, holder: MerchantIndex, share: &DealtShare) -> Vec<u8> {
    let DealtShare { sealed, hashes, seen, .. } = share;
    let seen = seen.map_or_else(Vec::new, |seen| {
        let [r, s] = seen.signature.0;
        [&seen.update.0[..], &seen.head.statement(), &r, &s].concat()
    });
    let parts: [&[u8]; 8] = [
        &index(dealer),
        &index(holder),
        &sealed.mask_key,
        &sealed.seed,
        &sealed.tag,
        &hashes.mask_key.0,
        &hashes.seed.0,
        &seen,
    ];
    parts.concat()
}

/// Signs M3.
pub fn sign_shares(
    sid: &Digest,
    roster: &Digest,
    commitment: Digest,
    own: Option<ShareHashes>,
    shares: Vec<DealtShare>,
    key: &IdentityKey,
) -> Shares {
    let unsigned = Shares { sid: *sid, commitment, own, shares, signature: Signature([[0; 32]; 2]) };
    let signature = key.sign(SHARES, &[&roster.0, &shares_statement(&unsigned)]);
    Shares { signature, ..unsigned }
}

/// Checks a dealer's signature over its M3.
///
/// # Errors
/// [`SignatureError`].
pub fn verify_shares(roster: &Digest, shares: &Shares, key: &Verifier) -> Result<(), SignatureError> {
    key.verify(SHARES, &[&roster.0, &shares_statement(shares)], &shares.signature)
}

fn shares_statement(shares: &Shares) -> Vec<u8> {
    wire::encode(&(&shares.sid, &shares.commitment, &shares.own, &shares.shares)).unwrap_or_default()
}

/// Signs a complaint.
pub fn sign_complaint(sid: Digest, about: MerchantIndex, key: &IdentityKey) -> Complaint {
    Complaint { sid, about, signature: key.sign(COMPLAINT, &[&sid.0, &index(about)]) }
}

/// Checks a complaint.
///
/// # Errors
/// [`SignatureError`].
pub fn verify_complaint(complaint: &Complaint, key: &Verifier) -> Result<(), SignatureError> {
    key.verify(COMPLAINT, &[&complaint.sid.0, &index(complaint.about)], &complaint.signature)
}

/// What an M5 says beside the head of its merchant's ledger: a digest, so that the signed head alone is short evidence.
pub fn update_digest(transcript: &Transcript, hash: &Digest) -> Digest {
    let Transcript { sid, roster, members } = transcript;
    Digest::of(UPDATE_DIGEST, &[&sid.0, &roster.0, &members.0, &hash.0])
}

/// Signs M5: H(y) and the head of the signer's ledger, under what it saw so far.
pub fn sign_update(transcript: &Transcript, hash: &Digest, head: &TreeHead, key: &IdentityKey) -> Signature {
    key.sign(UPDATE, &[&update_digest(transcript, hash).0, &head.statement()])
}

/// Checks the signature of an M5.
///
/// # Errors
/// [`SignatureError`].
pub fn verify_update(
    transcript: &Transcript,
    hash: &Digest,
    head: &TreeHead,
    key: &Verifier,
    signature: &Signature,
) -> Result<(), SignatureError> {
    verify_head(&update_digest(transcript, hash), head, key, signature)
}

/// Checks the signature of an M5 of which only the digest and the head are known.
///
/// # Errors
/// [`SignatureError`].
pub fn verify_head(
    update: &Digest,
    head: &TreeHead,
    key: &Verifier,
    signature: &Signature,
) -> Result<(), SignatureError> {
    key.verify(UPDATE, &[&update.0, &head.statement()], signature)
}

/// Signs M7: the digest of U3.
pub fn sign_survivors(sid: &Digest, survivors: &Digest, key: &IdentityKey) -> Signature {
    key.sign(CERTIFY, &[&sid.0, &survivors.0])
}

/// Checks a signature over U3.
///
/// # Errors
/// [`SignatureError`].
pub fn verify_survivors(
    sid: &Digest,
    survivors: &Digest,
    key: &Verifier,
    signature: &Signature,
) -> Result<(), SignatureError> {
    key.verify(CERTIFY, &[&sid.0, &survivors.0], signature)
}

/// Signs M9.
pub fn sign_unmask(
    sid: &Digest,
    survivors: &Digest,
    seeds: &[RevealedShare],
    mask_keys: &[RevealedShare],
    key: &IdentityKey,
) -> Signature {
    key.sign(UNMASK, &[&sid.0, &survivors.0, &wire::encode(&(seeds, mask_keys)).unwrap_or_default()])
}

/// Checks the signature of an M9.
///
/// # Errors
/// [`SignatureError`].
pub fn verify_unmask(
    sid: &Digest,
    survivors: &Digest,
    seeds: &[RevealedShare],
    mask_keys: &[RevealedShare],
    key: &Verifier,
    signature: &Signature,
) -> Result<(), SignatureError> {
    let revealed = wire::encode(&(seeds, mask_keys)).unwrap_or_default();
    key.verify(UNMASK, &[&sid.0, &survivors.0, &revealed], signature)
}
