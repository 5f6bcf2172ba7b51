//! What a merchant remembers of the others' ledgers, so that none of them can be put back to an older state unnoticed:
//! section 8.17 of `docs/protocol.md`. [core]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::transcript::{self, Transcript};
use crate::digest::Digest;
use crate::id::MerchantIndex;
use crate::identity::{Signature, SignatureError, Verifier};
use crate::message::SurvivingUpdate;
use crate::tree_head::TreeHead;

/// The head of a merchant's ledger as the merchant itself signed it with an update: whoever shows it proves that the ledger
/// was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedHead {
    /// The digest of the attempt and the update it was signed with.
    pub update: Digest,
    /// The head.
    pub head: TreeHead,
    /// The signature of that M5.
    pub signature: Signature,
}

impl SignedHead {
    /// The head in a survivor's M5.
    pub fn of(transcript: &Transcript, update: &SurvivingUpdate) -> Self {
        let SurvivingUpdate { hash, head, signature, .. } = *update;
        SignedHead { update: transcript::update_digest(transcript, &hash), head, signature }
    }

    /// Checks that it was signed by the merchant whose ledger it is said to be of.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify(&self, key: &Verifier) -> Result<(), SignatureError> {
        transcript::verify_head(&self.update, &self.head, key, &self.signature)
    }
}

/// The newest head of every other merchant's ledger that a merchant saw.
///
/// # Privacy
/// A head says how many entries a ledger has, nothing about rows: every attempt adds as many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    heads: BTreeMap<MerchantIndex, SignedHead>,
}

/// An update whose ledger does not go on from where it was seen: its COMMIT would be in a larger one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected more than the {seen} entries it was seen with, found {found}")]
pub struct LedgerBehind {
    /// Entries it had when it was seen last.
    pub seen: u64,
    /// Entries it is said to have now.
    pub found: u64,
}

impl LedgerBehind {
    /// Checks that a ledger is larger than it was seen last.
    ///
    /// # Errors
    /// [`LedgerBehind`].
    pub fn check(seen: Option<TreeHead>, found: &TreeHead) -> Result<(), LedgerBehind> {
        match seen {
            Some(seen) if found.size <= seen.size => Err(LedgerBehind { seen: seen.size, found: found.size }),
            _ => Ok(()),
        }
    }
}

impl Witness {
    /// The newest head of a merchant's ledger that was seen.
    pub fn newest(&self, merchant: MerchantIndex) -> Option<SignedHead> {
        self.heads.get(&merchant).copied()
    }

    /// Remembers a head whose signature was checked, unless a newer one was seen.
    pub fn saw(&mut self, merchant: MerchantIndex, head: SignedHead) {
        let newest = self.heads.entry(merchant).or_insert(head);
        if head.head.size > newest.head.size {
            *newest = head;
        }
    }

    /// Checks that a ledger is larger than it was ever seen: the COMMIT of every update is a new entry.
    ///
    /// # Errors
    /// [`LedgerBehind`].
    pub fn check(&self, merchant: MerchantIndex, found: &TreeHead) -> Result<(), LedgerBehind> {
        LedgerBehind::check(self.heads.get(&merchant).map(|seen| seen.head), found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::IdentityKey;

    const THREE: MerchantIndex = MerchantIndex(3);

    fn head(size: u64) -> TreeHead {
        TreeHead { size, root: Digest([size as u8; 32]) }
    }

    fn signed(size: u64, key: &IdentityKey) -> SignedHead {
        let [sid, roster, members] = [Digest([1; 32]), Digest([2; 32]), Digest([3; 32])];
        let (transcript, hash) = (Transcript { sid, roster, members }, Digest([4; 32]));
        let signature = transcript::sign_update(&transcript, &hash, &head(size), key);
        SignedHead::of(&transcript, &SurvivingUpdate { merchant: THREE, hash, head: head(size), signature })
    }

    #[test]
    fn the_newest_head_is_remembered_and_only_a_larger_ledger_passes() {
        let (mut witness, key) = (Witness::default(), IdentityKey::from_secret(&[9; 32]));
        assert_eq!(witness.check(THREE, &head(0)), Ok(()), "nothing is known yet");
        for size in [5, 9, 7] {
            witness.saw(THREE, signed(size, &key));
        }
        assert_eq!(witness.newest(THREE).map(|seen| seen.head), Some(head(9)));
        assert_eq!(witness.check(THREE, &head(10)), Ok(()));
        for found in [0, 8, 9] {
            assert_eq!(witness.check(THREE, &head(found)), Err(LedgerBehind { seen: 9, found }));
        }
        assert_eq!(witness.check(MerchantIndex(4), &head(1)), Ok(()), "somebody else's");
    }

    #[test]
    fn a_signed_head_is_evidence_and_nobody_can_make_up_another() {
        let key = IdentityKey::from_secret(&[9; 32]);
        let verifier = |key: &IdentityKey| Verifier::new(key.public());
        let good = signed(9, &key);
        assert_eq!(good.verify(&verifier(&key)), Ok(()));
        assert!(good.verify(&verifier(&IdentityKey::from_secret(&[8; 32]))).is_err(), "of somebody else");
        let other = [
            SignedHead { head: head(10), ..good },
            SignedHead { head: TreeHead { root: Digest([0; 32]), ..good.head }, ..good },
            SignedHead { update: Digest([5; 32]), ..good },
        ];
        for made_up in other {
            assert!(made_up.verify(&verifier(&key)).is_err(), "{made_up:?}");
        }
    }
}
