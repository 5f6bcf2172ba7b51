//! Enrolment: an invitation, a signing request in, a certificate out.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::digest::Digest;
use crate::id::Name;
use crate::identity::{IdentityKey, PublicKey, Signature, SignatureError};
use crate::wire;

/// Bytes of an enrolment token.
pub const ENROLMENT_TOKEN_BYTES: usize = 32;

const PREFIX: &str = "guildhall1-";

/// What `server invite` prints and `join` reads: where the server is, how to know it, and a token for one merchant.
/// The text is a secret until it is used once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// The merchant the token is for.
    pub merchant: Name,
    /// Where the server listens.
    pub address: SocketAddr,
    /// SHA-256 of the federation authority's certificate (DER).
    pub authority: Digest,
    /// One-time secret.
    pub token: [u8; ENROLMENT_TOKEN_BYTES],
}

impl Drop for Invitation {
    fn drop(&mut self) {
        self.token.zeroize();
    }
}

impl Invitation {
    /// The text to hand to the merchant over a channel you trust.
    pub fn to_text(&self) -> String {
        format!("{PREFIX}{}", hex::encode(wire::encode(self).unwrap_or_default()))
    }

    /// What the server keeps instead of the token.
    pub fn token_digest(token: &[u8; ENROLMENT_TOKEN_BYTES]) -> Digest {
        Digest::of("guildhall enrolment token v1", &[token])
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Invitation(for {} at {})", self.merchant, self.address)
    }
}

/// A text that is not an invitation.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "this is not an invitation: expected \"{PREFIX}\" and hex characters, whole and unchanged, as printed by `guildhall server invite`"
)]
pub struct InvitationError;

impl FromStr for Invitation {
    type Err = InvitationError;

    fn from_str(text: &str) -> Result<Self, InvitationError> {
        let digits = text.trim().strip_prefix(PREFIX).ok_or(InvitationError)?;
        let bytes = hex::decode(digits).map_err(|_| InvitationError)?;
        wire::decode(&bytes, 512).map_err(|_| InvitationError)
    }
}

/// A merchant asks to be enrolled.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolRequest {
    /// The merchant the invitation names.
    pub merchant: Name,
    /// Where its rows live.
    pub region: Name,
    /// The invitation's secret.
    pub token: [u8; ENROLMENT_TOKEN_BYTES],
    /// Its new identity.
    pub identity: PublicKey,
    /// PKCS#10 signing request for its new TLS key (RFC 2986, DER).
    pub signing_request: Vec<u8>,
    /// By the identity over all of the above: whoever enrols holds the key.
    pub signature: Signature,
}

const LABEL: &str = "guildhall enrolment request v1";

impl EnrolRequest {
    /// Fills in and signs a request.
    pub fn sign(invitation: &Invitation, region: Name, key: &IdentityKey, signing_request: Vec<u8>) -> Self {
        let mut request = EnrolRequest {
            merchant: invitation.merchant.clone(),
            region,
            token: invitation.token,
            identity: key.public(),
            signing_request,
            signature: Signature([[0; 32]; 2]),
        };
        request.signature = key.sign(LABEL, &request.parts());
        request
    }

    /// Checks that the sender holds the identity key.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify(&self) -> Result<(), SignatureError> {
        self.identity.verify(LABEL, &self.parts(), &self.signature)
    }

    fn parts(&self) -> [&[u8]; 5] {
        let (merchant, region) = (self.merchant.as_str().as_bytes(), self.region.as_str().as_bytes());
        [merchant, region, &self.token, &self.identity.0, &self.signing_request]
    }
}

impl fmt::Debug for EnrolRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnrolRequest(from {} in {})", self.merchant, self.region)
    }
}

/// The server's answer to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnrolReply {
    /// Enrolled.
    Granted(Enrolled),
    /// Not enrolled, and why.
    Refused(String),
}

/// What an enrolled merchant keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// The federation's id.
    pub federation: Digest,
    /// The key that signs rosters, offers and results.
    pub federation_key: PublicKey,
    /// The merchant's TLS certificate (DER).
    pub certificate: Vec<u8>,
    /// The authority's certificate (DER), whose SHA-256 the invitation pinned.
    pub authority: Vec<u8>,
}
