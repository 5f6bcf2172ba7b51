//! What is left of a masked attempt for an auditor: who signed that exactly these survivors are in the sum, with which
//! heads of their ledgers. Sections 8.9 and 8.10 of `docs/protocol.md`. [core]

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::transcript::{self, SignedUpdate, Transcript};
use crate::digest::Digest;
use crate::id::MerchantIndex;
use crate::identity::{DecodedRoster, SignatureError};
use crate::message::CertificateSignature;
use crate::tree_head::TreeHead;
use crate::wire;

/// A certified survivor set. Whoever signed it saw the signed heads of all the survivors' ledgers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SurvivorCertificate {
    /// The attempt, T1 and H(U2).
    pub transcript: Transcript,
    /// U3, ascending.
    pub updates: Vec<SignedUpdate>,
    /// t signatures of survivors, ascending.
    pub signatures: Vec<CertificateSignature>,
}

/// A certificate that proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// A list that is not ascending, or names somebody twice.
    #[error("its {0} are not in ascending order")]
    Order(&'static str),
    /// Too few signatures.
    #[error("expected at least {expected} signatures, found {found}")]
    TooFew {
        /// t.
        expected: u32,
        /// Found.
        found: u32,
    },
    /// Signed by somebody who is not among the survivors, or not in the roster.
    #[error("expected a survivor, found merchant {0}")]
    Stranger(MerchantIndex),
    /// A wrong signature.
    #[error("merchant {merchant}: {source}")]
    Signature {
        /// Whose.
        merchant: MerchantIndex,
        /// What is wrong.
        source: SignatureError,
    },
}

impl SurvivorCertificate {
    /// The digest under which a ledger names it.
    pub fn digest(&self) -> Digest {
        Digest::of("guildhall survivor certificate v1", &[&wire::encode(self).unwrap_or_default()])
    }

    /// Checks order and signatures: at least `threshold` (t) survivors signed this very set.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn verify(&self, roster: &DecodedRoster, threshold: u32) -> Result<(), CertificateError> {
        let ascending = |list: &[MerchantIndex]| list.windows(2).all(|pair| pair[0] < pair[1]);
        let survivors: Vec<MerchantIndex> = self.updates.iter().map(|update| update.merchant).collect();
        let signers: Vec<MerchantIndex> = self.signatures.iter().map(|one| one.merchant).collect();
        if !ascending(&survivors) {
            return Err(CertificateError::Order("survivors"));
        }
        if !ascending(&signers) {
            return Err(CertificateError::Order("signatures"));
        }
        let found = signers.len() as u32;
        if found < threshold {
            return Err(CertificateError::TooFew { expected: threshold, found });
        }
        let survivors: BTreeSet<MerchantIndex> = survivors.into_iter().collect();
        let digest = transcript::survivors_digest(&self.transcript, &self.updates);
        for one in &self.signatures {
            let merchant = one.merchant;
            let key = roster.identity(merchant).filter(|_| survivors.contains(&merchant));
            let key = key.ok_or(CertificateError::Stranger(merchant))?;
            transcript::verify_survivors(&self.transcript.sid, &digest, key, &one.signature)
                .map_err(|source| CertificateError::Signature { merchant, source })?;
        }
        Ok(())
    }

    /// What it says of one merchant: H(y) and the head that all signers saw.
    pub fn update_of(&self, merchant: MerchantIndex) -> Option<(Digest, TreeHead)> {
        let place = self.updates.binary_search_by_key(&merchant, |update| update.merchant).ok()?;
        self.updates.get(place).map(|update| (update.hash, update.head))
    }
}
