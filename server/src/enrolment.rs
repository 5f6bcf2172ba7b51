//! Enrolment: an invitation is exchanged, once, for a certificate.
//!
//! The token is used up and the merchant kept in one durable batch before the reply. A request whose reply was lost may
//! be repeated unchanged and gets the same certificate; any other use of a used token is refused.

use guildhall_shared::digest::Digest;
use guildhall_shared::id::Name;
use guildhall_shared::identity::{MERCHANTS_MAX, SignatureError};
use guildhall_shared::message::{EnrolRequest, Invitation};
use guildhall_shared::wire;

use crate::authority::{Authority, SigningRequestError};
use crate::store::StoreError;
use crate::store::records::{InvitationRecord, MerchantRecord, Records};

/// An enrolment that is refused. Never names a token.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EnrolmentError {
    /// The sender does not hold the identity key.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The token was never given out.
    #[error("the invitation is unknown here: ask the federation's operator for a new one")]
    Unknown,
    /// The token was used by another request.
    #[error(
        "the invitation for {0} was used already, by another request: ask the federation's operator for a new one"
    )]
    Used(Name),
    /// The token is somebody else's.
    #[error("expected a request from {expected}, whom the invitation names, found {found}")]
    Merchant {
        /// Whom the invitation names.
        expected: Name,
        /// Who asks.
        found: Name,
    },
    /// The roster is closed.
    #[error("the roster is closed: no merchant can be enrolled any more")]
    Closed,
    /// The roster is full.
    #[error("expected at most {MERCHANTS_MAX} merchants, found one more")]
    Full,
    /// The name, identity or TLS key is enrolled already.
    #[error("{what} of {found} is enrolled already, for {holder}")]
    Duplicate {
        /// Name, identity or TLS key.
        what: &'static str,
        /// Who asks.
        found: Name,
        /// Whose it is.
        holder: Name,
    },
    /// The signing request is bad.
    #[error(transparent)]
    SigningRequest(#[from] SigningRequestError),
    /// The server's own fault.
    #[error("the server could not record the enrolment: {0}")]
    Store(#[from] StoreError),
}

/// What enrolment made.
#[derive(Debug, PartialEq, Eq)]
pub enum Enrolment {
    /// A new merchant.
    New(MerchantRecord),
    /// The same request again: the same answer.
    Repeated(MerchantRecord),
}

/// Checks a request and enrols the merchant; durable on return.
///
/// # Errors
/// [`EnrolmentError`]; nothing has changed then.
pub fn enrol(
    records: &Records,
    authority: &Authority,
    request: &EnrolRequest,
) -> Result<Enrolment, EnrolmentError> {
    request.verify()?;
    let token = Invitation::token_digest(&request.token);
    let invitation = records.invitation(&token)?.ok_or(EnrolmentError::Unknown)?;
    if invitation.merchant != request.merchant {
        let (expected, found) = (invitation.merchant, request.merchant.clone());
        return Err(EnrolmentError::Merchant { expected, found });
    }
    let digest = request_digest(request);
    if let Some(used_by) = invitation.used_by {
        let merchant = records.merchant(&request.merchant)?;
        return match merchant.filter(|_| used_by == digest) {
            Some(merchant) => Ok(Enrolment::Repeated(merchant)),
            None => Err(EnrolmentError::Used(request.merchant.clone())),
        };
    }
    if records.roster()?.is_some() {
        return Err(EnrolmentError::Closed);
    }
    let issued = authority.issue(&request.merchant, &request.signing_request)?;
    let merchant = MerchantRecord {
        name: request.merchant.clone(),
        region: request.region.clone(),
        identity: request.identity,
        certificate: issued.certificate,
        key: issued.key,
    };
    refuse_duplicates(&records.merchants()?, &merchant)?;
    let used = InvitationRecord { used_by: Some(digest), ..invitation };
    records.enrol(&token, &used, &merchant)?;
    Ok(Enrolment::New(merchant))
}

fn refuse_duplicates(enrolled: &[MerchantRecord], new: &MerchantRecord) -> Result<(), EnrolmentError> {
    if enrolled.len() >= MERCHANTS_MAX {
        return Err(EnrolmentError::Full);
    }
    for other in enrolled {
        let what = if other.name == new.name {
            "the name"
        } else if other.identity == new.identity {
            "the identity"
        } else if other.key == new.key {
            "the TLS key"
        } else {
            continue;
        };
        return Err(EnrolmentError::Duplicate { what, found: new.name.clone(), holder: other.name.clone() });
    }
    Ok(())
}

/// Everything a request says; its signature may differ between repetitions.
fn request_digest(request: &EnrolRequest) -> Digest {
    let EnrolRequest { merchant, region, token, identity, signing_request, signature: _ } = request;
    let parts = wire::encode(&(merchant, region, token, identity, signing_request)).unwrap_or_default();
    Digest::of("guildhall enrolment request digest v1", &[&parts])
}

#[cfg(test)]
mod tests;
