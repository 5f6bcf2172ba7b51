//! Ed25519 identities, signatures and the roster of a federation. [core]
//!
//! A signature always covers `Digest::of(label, parts)`, with a label of its own for every kind of statement.
//!
//! # Source
//! RFC 8032; verification is strict (no small-order keys, no malleable encodings).

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Deref;

use ed25519_dalek::{Signer as _, SigningKey, Verifier as _, VerifyingKey};
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
        self.sign_message(&Digest::of(label, parts).0)
    }

    /// Signs a text whose format is fixed elsewhere (signed notes). It is longer than a digest, so that no signature over
    /// the one is a signature over the other.
    ///
    /// # Errors
    /// [`TextTooShort`].
    pub fn sign_text(&self, text: &str) -> Result<Signature, TextTooShort> {
        check_text(text)?;
        Ok(self.sign_message(text.as_bytes()))
    }

    fn sign_message(&self, message: &[u8]) -> Signature {
        let bytes = self.0.sign(message).to_bytes();
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

/// A text that could be taken for the digest of a labelled statement.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected a text of more than 32 bytes to sign, found {0}")]
pub struct TextTooShort(usize);

fn check_text(text: &str) -> Result<(), TextTooShort> {
    if text.len() > 32 { Ok(()) } else { Err(TextTooShort(text.len())) }
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
        Verifier::new(*self).verify(label, parts, signature)
    }

    /// Verifies a signature over a text whose format is fixed elsewhere, as strictly.
    ///
    /// # Errors
    /// [`SignatureError`], for a text of 32 bytes or fewer too.
    pub fn verify_text(&self, text: &str, signature: &Signature) -> Result<(), SignatureError> {
        let error = || SignatureError { label: "signed note".into(), key: *self };
        check_text(text).map_err(|_| error())?;
        if Verifier::new(*self).accepts(text.as_bytes(), signature) { Ok(()) } else { Err(error()) }
    }
}

/// A public key decoded once, for those who check many signatures under it: decoding is a tenth of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    key: PublicKey,
    /// None for what is not a point, or of small order: nothing verifies under it.
    point: Option<VerifyingKey>,
}

impl Verifier {
    /// Decodes a key.
    pub fn new(key: PublicKey) -> Self {
        let point = VerifyingKey::from_bytes(&key.0).ok().filter(|point| !point.is_weak());
        Verifier { key, point }
    }

    /// Verifies a labelled statement strictly: what `ed25519_dalek::VerifyingKey::verify_strict` accepts and nothing else,
    /// without decoding R. The equation is compared by bytes, so R is the shortest encoding of a point, and of small order
    /// just if it is one of `SMALL_ORDER`.
    ///
    /// # Errors
    /// [`SignatureError`] for a wrong signature, and for a key that is not a valid point or of small order.
    pub fn verify(&self, label: &str, parts: &[&[u8]], signature: &Signature) -> Result<(), SignatureError> {
        if self.accepts(&Digest::of(label, parts).0, signature) {
            return Ok(());
        }
        Err(SignatureError { label: label.into(), key: self.key })
    }

    fn accepts(&self, message: &[u8], signature: &Signature) -> bool {
        let [r, s] = signature.0;
        let point = self.point.as_ref().filter(|_| !SMALL_ORDER.contains(&r));
        let signature = ed25519_dalek::Signature::from_components(r, s);
        point.is_some_and(|point| point.verify(message, &signature).is_ok())
    }
}

/// The shortest encodings of the eight points of small order.
const SMALL_ORDER: [[u8; 32]; 8] = {
    const OF_ORDER_8: [u8; 32] = [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ];
    const OTHER_OF_ORDER_8: [u8; 32] = [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ];
    const fn ends(first: u8, middle: u8, last: u8) -> [u8; 32] {
        let mut bytes = [middle; 32];
        bytes[0] = first;
        bytes[31] = last;
        bytes
    }
    const fn negative(mut bytes: [u8; 32]) -> [u8; 32] {
        bytes[31] |= 0x80;
        bytes
    }
    [
        ends(1, 0, 0),
        ends(0xec, 0xff, 0x7f),
        ends(0, 0, 0),
        negative(ends(0, 0, 0)),
        OF_ORDER_8,
        negative(OF_ORDER_8),
        OTHER_OF_ORDER_8,
        negative(OTHER_OF_ORDER_8),
    ]
};

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

    /// With everybody's identity decoded.
    pub fn decode(self) -> DecodedRoster {
        let identities = self.entries.iter().map(|entry| Verifier::new(entry.identity)).collect();
        DecodedRoster { roster: self, identities }
    }

    /// The digest that clients pin.
    pub fn digest(&self) -> Digest {
        Digest::of("guildhall roster v1", &[&wire::encode(self).unwrap_or_default()])
    }
}

/// A roster whose identities are decoded once for all the signatures of its rounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedRoster {
    roster: Roster,
    identities: Vec<Verifier>,
}

impl DecodedRoster {
    /// A merchant's identity, if the roster lists it.
    pub fn identity(&self, merchant: MerchantIndex) -> Option<&Verifier> {
        self.identities.get(usize::from(merchant.0))
    }
}

impl Deref for DecodedRoster {
    type Target = Roster;

    fn deref(&self) -> &Roster {
        &self.roster
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

    /// Every listed encoding is a point of small order, shortest and different from the others; there are only eight.
    #[test]
    fn the_points_of_small_order_are_all_listed() {
        let listed: BTreeSet<[u8; 32]> = SMALL_ORDER.into();
        assert_eq!(listed.len(), 8);
        for bytes in listed {
            let point = VerifyingKey::from_bytes(&bytes).expect("a point");
            assert!(point.is_weak(), "{bytes:?}");
            assert_eq!(point.as_ref(), &bytes);
            let high = bytes[31] & 0x7f == 0x7f && bytes[1..31].iter().all(|byte| *byte == 0xff);
            assert!(!(high && bytes[0] >= 0xed), "{bytes:?} is not the shortest encoding");
        }
    }

    /// Whatever is done to a signature: accepted by `verify_strict` if and only if accepted here.
    #[test]
    fn verification_is_that_of_the_library_strictly() {
        let accepts = |key: &[u8; 32], message: &Digest, signature: &Signature| {
            let [r, s] = signature.0;
            let signature = ed25519_dalek::Signature::from_components(r, s);
            VerifyingKey::from_bytes(key).is_ok_and(|key| key.verify_strict(&message.0, &signature).is_ok())
        };
        let message = Digest::of("a", &[b"x"]);
        let identity = IdentityKey::from_secret(&[3; 32]);
        let honest = identity.sign("a", &[b"x"]);
        let one = SMALL_ORDER[0];
        let mut cases = vec![(identity.public().0, honest)];
        // A small R with S = 0 satisfies the equation for a small key whenever the hash is a multiple of eight; a key of
        // the first kind always.
        for key in SMALL_ORDER.into_iter().chain([identity.public().0]) {
            for r in SMALL_ORDER.into_iter().chain([honest.0[0]]) {
                for s in [[0; 32], one, honest.0[1]] {
                    cases.push((key, Signature([r, s])));
                }
            }
        }
        for bit in 0..512 {
            let mut changed = honest;
            changed.0[bit / 256][bit % 256 / 8] ^= 1 << (bit % 8);
            cases.push((identity.public().0, changed));
        }
        for bit in 0..256 {
            let mut key = identity.public().0;
            key[bit / 8] ^= 1 << (bit % 8);
            cases.push((key, honest));
        }
        let mut accepted = 0;
        for (key, signature) in cases {
            let found = PublicKey(key).verify("a", &[b"x"], &signature).is_ok();
            assert_eq!(found, accepts(&key, &message, &signature), "{key:?} {signature:?}");
            accepted += usize::from(found);
        }
        // The honest one stands twice.
        assert_eq!(accepted, 2);
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
