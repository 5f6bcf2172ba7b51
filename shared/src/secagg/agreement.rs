//! Key agreement, key derivation and share encryption: sections 7.2, 7.3 and 7.6 of `docs/protocol.md`. [core]
//!
//! Two fresh X25519 keys per attempt and merchant: one that shares are encrypted to, one that pairwise masks are agreed
//! with. Every derived key names its purpose, the session, what both sides saw so far and both merchants; each is used for
//! exactly one message or one vector.
//!
//! # Source
//! X25519: RFC 7748, non-contributory results refused (section 6.1). HKDF-SHA256: RFC 5869. ChaCha20-Poly1305: RFC 8439.

use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _, Nonce, Tag};
use hkdf::Hkdf;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::mask::MaskKey;
use super::transcript::{Transcript, index};
use crate::digest::Digest;
use crate::id::MerchantIndex;
use crate::message::SealedShares;

const SHARE_KEY: &[u8] = b"guildhall secagg share key v1";
const PAIR_MASK: &[u8] = b"guildhall secagg pair mask v1";
const SELF_MASK: &[u8] = b"guildhall secagg self mask v1";
const SHARE_DATA: &[u8] = b"guildhall secagg sealed shares v1";

/// A public X25519 key of one attempt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AgreementKey(pub [u8; 32]);

impl std::fmt::Debug for AgreementKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// Why two keys do not agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgreementError {
    /// A key of small order: the result would not depend on the other side's secret.
    #[error("the key is of small order, so whatever is agreed with it is no secret")]
    SmallOrder,
    /// A key that is not the shortest encoding of its point: another merchant's key could hide behind a second encoding.
    #[error("the key is not a number below 2^255 - 19")]
    NotCanonical,
    /// Not encrypted by the dealer for the holder in this session, or changed on the way.
    #[error("the encrypted shares do not open")]
    Sealed,
}

/// Refuses a key of small order or with a second encoding, for those who have no secret to agree with.
///
/// # Errors
/// [`AgreementError::SmallOrder`], [`AgreementError::NotCanonical`].
pub fn check_public(key: &AgreementKey) -> Result<(), AgreementError> {
    // Clamped scalars are multiples of the cofactor: any of them takes a small-order point to zero.
    SecretKey(StaticSecret::from([1; 32])).agree(key).map(|_| ())
}

/// A secret X25519 key of one attempt. Does not print, is not serialisable, is wiped on drop.
pub struct SecretKey(StaticSecret);

impl SecretKey {
    /// From 32 uniform secret bytes (clamped as RFC 7748 says when it is used).
    pub fn from_bytes(secret: &Zeroizing<[u8; 32]>) -> Self {
        SecretKey(StaticSecret::from(**secret))
    }

    /// The public half.
    pub fn public(&self) -> AgreementKey {
        AgreementKey(PublicKey::from(&self.0).to_bytes())
    }

    /// The secret bytes, to be dealt in shares.
    pub(crate) fn to_secret(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    fn agree(&self, peer: &AgreementKey) -> Result<Zeroizing<[u8; 32]>, AgreementError> {
        if !is_canonical(&peer.0) {
            return Err(AgreementError::NotCanonical);
        }
        let shared = self.0.diffie_hellman(&PublicKey::from(peer.0));
        if !shared.was_contributory() {
            return Err(AgreementError::SmallOrder);
        }
        Ok(Zeroizing::new(shared.to_bytes()))
    }

    /// The key that a dealer's shares for one holder are encrypted with. Both sides derive the same.
    ///
    /// # Errors
    /// [`AgreementError::SmallOrder`], [`AgreementError::NotCanonical`].
    pub fn share_key(&self, peer: &AgreementKey, route: &Route<'_>) -> Result<ShareKey, AgreementError> {
        let Route { sid, roster, dealer, holder } = route;
        let shared = self.agree(peer)?;
        let info: [&[u8]; 5] = [SHARE_KEY, &sid.0, &roster.0, &index(*dealer), &index(*holder)];
        Ok(ShareKey(expand(&shared, &info)))
    }

    /// The key of the mask between two merchants. Both sides derive the same, and nobody else who saw another U1 or U2.
    ///
    /// # Errors
    /// [`AgreementError::SmallOrder`], [`AgreementError::NotCanonical`].
    pub fn pair_mask(
        &self,
        peer: &AgreementKey,
        transcript: &Transcript,
        one: MerchantIndex,
        other: MerchantIndex,
    ) -> Result<MaskKey, AgreementError> {
        let Transcript { sid, roster, members } = transcript;
        let shared = self.agree(peer)?;
        let (low, high) = (one.min(other), one.max(other));
        let info: [&[u8]; 6] = [PAIR_MASK, &sid.0, &roster.0, &members.0, &index(low), &index(high)];
        Ok(MaskKey::from_secret(expand(&shared, &info)))
    }
}

/// Whether a public key is below 2^255 − 19. X25519 reads others as if they were, so one point would have several names and
/// the search for repeated keys would miss them.
fn is_canonical(key: &[u8; 32]) -> bool {
    let [lowest, middle @ .., highest] = key;
    let above = *highest == 0x7f && middle.iter().all(|byte| *byte == 0xff) && *lowest >= 0xed;
    *highest < 0x80 && !above
}

/// The key of a merchant's own mask, from its seed.
pub fn self_mask(seed: &[u8; 32], sid: &Digest, merchant: MerchantIndex) -> MaskKey {
    MaskKey::from_secret(expand(seed, &[SELF_MASK, &sid.0, &index(merchant)]))
}

fn expand(secret: &[u8; 32], info: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(None, secret)
        .expand_multi_info(info, &mut *key)
        .expect("32 bytes are less than HKDF's limit of 255 blocks");
    key
}

/// From whom to whom, in which session.
#[derive(Clone, Copy, Debug)]
pub struct Route<'a> {
    /// The attempt.
    pub sid: &'a Digest,
    /// T1.
    pub roster: &'a Digest,
    /// Who deals.
    pub dealer: MerchantIndex,
    /// Who holds.
    pub holder: MerchantIndex,
}

/// One dealer's two shares for one holder: of its mask key and of its self-mask seed.
pub struct SharePair {
    /// Share of the mask key.
    pub mask_key: Zeroizing<[u8; 32]>,
    /// Share of the self-mask seed.
    pub seed: Zeroizing<[u8; 32]>,
}

/// A key for exactly one message: sealing and opening consume it.
pub struct ShareKey(Zeroizing<[u8; 32]>);

impl ShareKey {
    /// Encrypts a pair of shares. The nonce is zero: the key is used once.
    pub fn seal(self, route: &Route<'_>, shares: &SharePair) -> SealedShares {
        let mut text = Zeroizing::new([0; 64]);
        text[..32].copy_from_slice(&*shares.mask_key);
        text[32..].copy_from_slice(&*shares.seed);
        let cipher = ChaCha20Poly1305::new((&*self.0).into());
        let tag = cipher
            .encrypt_inout_detached(&Nonce::default(), &associated(route), (&mut text[..]).into())
            .expect("64 bytes are less than the cipher's limit");
        let mut sealed = SealedShares { mask_key: [0; 32], seed: [0; 32], tag: tag.into() };
        sealed.mask_key.copy_from_slice(&text[..32]);
        sealed.seed.copy_from_slice(&text[32..]);
        sealed
    }

    /// Decrypts a pair of shares.
    ///
    /// # Errors
    /// [`AgreementError::Sealed`] unless this very dealer sealed it for this very holder in this session.
    pub fn open(self, route: &Route<'_>, sealed: &SealedShares) -> Result<SharePair, AgreementError> {
        let mut text = Zeroizing::new([0; 64]);
        text[..32].copy_from_slice(&sealed.mask_key);
        text[32..].copy_from_slice(&sealed.seed);
        ChaCha20Poly1305::new((&*self.0).into())
            .decrypt_inout_detached(
                &Nonce::default(),
                &associated(route),
                (&mut text[..]).into(),
                &Tag::from(sealed.tag),
            )
            .map_err(|_| AgreementError::Sealed)?;
        let mut pair = SharePair { mask_key: Zeroizing::new([0; 32]), seed: Zeroizing::new([0; 32]) };
        pair.mask_key.copy_from_slice(&text[..32]);
        pair.seed.copy_from_slice(&text[32..]);
        Ok(pair)
    }
}

fn associated(route: &Route<'_>) -> Vec<u8> {
    let Route { sid, roster, dealer, holder } = route;
    let parts: [&[u8]; 5] = [SHARE_DATA, &sid.0, &roster.0, &index(*dealer), &index(*holder)];
    parts.concat()
}

#[cfg(test)]
mod tests;
