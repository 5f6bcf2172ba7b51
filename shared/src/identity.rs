//! Ed25519 identities, signatures and the roster of a federation. [core]
//!
//! A signature always covers `Digest::of(label, parts)`, with a label of its own for every kind of statement.
//!
//! # Source
//! RFC 8032; verification is strict (no small-order keys, no malleable encodings).

use std::collections::BTreeSet;
use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::digest::Digest;
use crate::id::{MerchantIndex, Name};
use crate::wire;

/// The largest roster.
pub const MERCHANTS_MAX: usize = 1_000;

/// A party's secret signing key. Does not print, is not serialisable, is wiped on drop.
pub struct IdentityKey(SigningKey);

impl IdentityKey {
    /// From 32 uniform secret bytes, drawn by the caller from the operating system.
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        IdentityKey(SigningKey::from_bytes(secret))
    }

    /// The secret bytes, for the key file only.
    pub fn to_secret(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs a labelled statement.
    pub fn sign(&self, label: &str, parts: &[&[u8]]) -> Signature {
        let bytes = self.0.sign(&Digest::of(label, parts).0).to_bytes();
        let mut halves = [[0; 32]; 2];
        halves[0].copy_from_slice(&bytes[..32]);
        halves[1].copy_from_slice(&bytes[32..]);
        Signature(halves)
    }
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentityKey(public {:?})", self.public())
    }
}

/// A party's public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PublicKey(pub [u8; 32]);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// An Ed25519 signature, as two halves of 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature(pub [[u8; 32]; 2]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({}…)", hex::encode(&self.0[0][..4]))
    }
}

/// A signature that does not verify.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the signature over {label:?} does not verify under key {key:?}")]
pub struct SignatureError {
    /// What was signed.
    pub label: String,
    /// Who should have.
    pub key: PublicKey,
}

impl PublicKey {
    /// Verifies a labelled statement strictly.
    ///
    /// # Errors
    /// [`SignatureError`] for a wrong signature, and for a key that is not a valid point or of small order.
    pub fn verify(&self, label: &str, parts: &[&[u8]], signature: &Signature) -> Result<(), SignatureError> {
        let error = || SignatureError { label: label.into(), key: *self };
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| error())?;
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&signature.0[0]);
        bytes[32..].copy_from_slice(&signature.0[1]);
        let signature = ed25519_dalek::Signature::from_bytes(&bytes);
        key.verify_strict(&Digest::of(label, parts).0, &signature).map_err(|_| error())
    }
}

/// One merchant of a federation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterEntry {
    /// The merchant.
    pub name: Name,
    /// Where its rows live.
    pub region: Name,
    /// Its Ed25519 identity.
    pub identity: PublicKey,
    /// SHA-256 of its TLS certificate (DER).
    pub certificate: Digest,
}

/// The closed list of a federation's merchants. A merchant's [`MerchantIndex`] is its place here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roster {
    /// The federation.
    pub federation: Digest,
    /// Merchants in order of name.
    pub entries: Vec<RosterEntry>,
}

/// A roster that cannot be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RosterError {
    /// Too few or too many.
    #[error("a roster has 1 to {MERCHANTS_MAX} merchants, found {0}")]
    Size(usize),
    /// A name, key or certificate that stands twice.
    #[error("{what} of merchant {name} stands twice in the roster")]
    Duplicate {
        /// Name, identity or certificate.
        what: &'static str,
        /// Whose.
        name: Name,
    },
    /// Names out of order.
    #[error("the roster is not in order of name at merchant {0}")]
    Order(Name),
    /// Not signed by the federation.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

impl Roster {
    /// Checks size, order and that no name, identity or certificate stands twice.
    ///
    /// # Errors
    /// See [`RosterError`].
    pub fn check(&self) -> Result<(), RosterError> {
        if self.entries.is_empty() || self.entries.len() > MERCHANTS_MAX {
            return Err(RosterError::Size(self.entries.len()));
        }
        let (mut keys, mut certificates) = (BTreeSet::new(), BTreeSet::new());
        let mut previous: Option<&Name> = None;
        for entry in &self.entries {
            let duplicate = |what| RosterError::Duplicate { what, name: entry.name.clone() };
            match previous.map(|name| name.cmp(&entry.name)) {
                Some(std::cmp::Ordering::Equal) => return Err(duplicate("the name")),
                Some(std::cmp::Ordering::Greater) => return Err(RosterError::Order(entry.name.clone())),
                _ => previous = Some(&entry.name),
            }
            if !keys.insert(entry.identity) {
                return Err(duplicate("the identity"));
            }
            if !certificates.insert(entry.certificate) {
                return Err(duplicate("the certificate"));
            }
        }
        Ok(())
    }

    /// n.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it lists nobody.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// A merchant by its place.
    pub fn entry(&self, index: MerchantIndex) -> Option<&RosterEntry> {
        self.entries.get(usize::from(index.0))
    }

    /// The place of the merchant that a predicate picks.
    pub fn find(&self, wanted: impl Fn(&RosterEntry) -> bool) -> Option<MerchantIndex> {
        self.entries.iter().position(wanted).map(|i| MerchantIndex(i as u16))
    }

    /// The digest that clients pin.
    pub fn digest(&self) -> Digest {
        Digest::of("guildhall roster v1", &[&wire::encode(self).unwrap_or_default()])
    }
}

/// A roster with the federation's signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedRoster {
    /// The roster.
    pub roster: Roster,
    /// By the federation key over the roster's digest.
    pub signature: Signature,
}

const ROSTER_LABEL: &str = "guildhall signed roster v1";

impl SignedRoster {
    /// Signs a checked roster.
    ///
    /// # Errors
    /// See [`Roster::check`].
    pub fn sign(roster: Roster, federation_key: &IdentityKey) -> Result<Self, RosterError> {
        roster.check()?;
        let signature = federation_key.sign(ROSTER_LABEL, &[&roster.digest().0]);
        Ok(SignedRoster { roster, signature })
    }

    /// Checks the roster and its signature.
    ///
    /// # Errors
    /// See [`RosterError`].
    pub fn verify(&self, federation_key: &PublicKey) -> Result<(), RosterError> {
        self.roster.check()?;
        Ok(federation_key.verify(ROSTER_LABEL, &[&self.roster.digest().0], &self.signature)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, byte: u8) -> RosterEntry {
        RosterEntry {
            name: Name::new(name).expect("legal"),
            region: Name::new("eu").expect("legal"),
            identity: IdentityKey::from_secret(&[byte; 32]).public(),
            certificate: Digest([byte; 32]),
        }
    }

    fn roster(entries: Vec<RosterEntry>) -> Roster {
        Roster { federation: Digest([9; 32]), entries }
    }

    #[test]
    fn signatures_bind_label_parts_and_key() {
        let key = IdentityKey::from_secret(&[1; 32]);
        let signature = key.sign("a", &[b"x", b"y"]);
        assert_eq!(key.public().verify("a", &[b"x", b"y"], &signature), Ok(()));
        assert!(key.public().verify("b", &[b"x", b"y"], &signature).is_err());
        assert!(key.public().verify("a", &[b"xy", b""], &signature).is_err());
        let other = IdentityKey::from_secret(&[2; 32]).public();
        assert!(other.verify("a", &[b"x", b"y"], &signature).is_err());
    }

    #[test]
    fn a_small_order_key_verifies_nothing() {
        let identity_point = PublicKey({
            let mut bytes = [0; 32];
            bytes[0] = 1;
            bytes
        });
        let forged = Signature([identity_point.0, [0; 32]]);
        assert!(identity_point.verify("a", &[b"x"], &forged).is_err());
    }

    #[test]
    fn rosters_with_duplicates_or_disorder_are_refused() {
        assert_eq!(roster(vec![entry("a", 1), entry("b", 2)]).check(), Ok(()));
        assert!(roster(vec![]).check().is_err());
        assert!(roster(vec![entry("b", 1), entry("a", 2)]).check().is_err());
        assert!(roster(vec![entry("a", 1), entry("a", 2)]).check().is_err());
        assert!(roster(vec![entry("a", 1), entry("b", 1)]).check().is_err());
    }

    #[test]
    fn a_signed_roster_cannot_be_changed() {
        let key = IdentityKey::from_secret(&[7; 32]);
        let mut signed = SignedRoster::sign(roster(vec![entry("a", 1), entry("b", 2)]), &key).expect("signs");
        assert_eq!(signed.verify(&key.public()), Ok(()));
        signed.roster.entries.pop();
        assert!(signed.verify(&key.public()).is_err());
    }

    #[test]
    fn secrets_do_not_print() {
        let key = IdentityKey::from_secret(&[0xAB; 32]);
        assert!(!format!("{key:?}").contains("abab"));
    }
}
