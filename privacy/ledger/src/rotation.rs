//! A ledger's owner signs with another key from here on. [core]
//!
//! Both keys sign the same statement: the old one says who comes after it, the new one that it is somebody's. The statement
//! is over the federation, the owner's place and the head of the ledger before this entry, so it fits one place of one ledger.

use guildhall_shared::digest::Digest;
use guildhall_shared::id::MerchantIndex;
use guildhall_shared::identity::{IdentityKey, PublicKey, Signature};
use guildhall_shared::tree_head::TreeHead;
use serde::{Deserialize, Serialize};

use crate::Membership;

const LABEL: &str = "guildhall key rotation v1";

/// From one key to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRotation {
    /// The key whose checkpoints end here.
    pub old: PublicKey,
    /// The key of all checkpoints over this entry.
    pub new: PublicKey,
    /// Where the ledger stood before this entry.
    pub before: TreeHead,
    /// The old key's, over the statement.
    pub by_old: Signature,
    /// The new key's, over the same.
    pub by_new: Signature,
}

/// Why a rotation is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RotationError {
    /// No merchant's ledger.
    #[error("a rotation of keys: expected a ROSTER entry with a merchant's place before it")]
    NoMerchant,
    /// For another place of the ledger.
    #[error(
        "a rotation of keys: expected it to be signed over {expected} entries, found {found} or another root"
    )]
    Head {
        /// Entries before it.
        expected: u64,
        /// Entries signed over.
        found: u64,
    },
    /// From a key that is not in force.
    #[error("a rotation of keys: expected it from key {expected:?}, found {found:?}")]
    Old {
        /// In force.
        expected: PublicKey,
        /// Found.
        found: PublicKey,
    },
    /// To a key that signed this ledger before.
    #[error("a rotation of keys: expected a new key, found {found:?} again")]
    Used {
        /// Found.
        found: PublicKey,
    },
    /// Not signed by both.
    #[error("a rotation of keys: the signature of key {key:?} does not verify")]
    Signature {
        /// Whose.
        key: PublicKey,
    },
}

/// What both keys sign.
struct Statement {
    federation: Digest,
    own: MerchantIndex,
    before: TreeHead,
    old: PublicKey,
    new: PublicKey,
}

impl Statement {
    fn with<T>(&self, use_parts: impl FnOnce(&str, &[&[u8]]) -> T) -> T {
        let (own, size) = (self.own.0.to_le_bytes(), self.before.size.to_le_bytes());
        use_parts(LABEL, &[&self.federation.0, &own, &size, &self.before.root.0, &self.old.0, &self.new.0])
    }
}

impl KeyRotation {
    /// Signs one for the ledger that stands at `before`.
    ///
    /// # Errors
    /// [`RotationError::NoMerchant`] for the server's ledger: its key is the federation's, which signs the roster.
    pub fn sign(
        membership: &Membership,
        before: TreeHead,
        old: &IdentityKey,
        new: &IdentityKey,
    ) -> Result<Self, RotationError> {
        let own = membership.own.ok_or(RotationError::NoMerchant)?;
        let federation = membership.federation;
        let statement = Statement { federation, own, before, old: old.public(), new: new.public() };
        let [by_old, by_new] = [old, new].map(|key| statement.with(|label, parts| key.sign(label, parts)));
        Ok(KeyRotation { old: statement.old, new: statement.new, before, by_old, by_new })
    }

    /// Checks both signatures, for a ledger of this owner that stands at `head`.
    ///
    /// # Errors
    /// [`RotationError`].
    pub fn verify(&self, membership: Option<&Membership>, head: TreeHead) -> Result<(), RotationError> {
        if self.before != head {
            return Err(RotationError::Head { expected: head.size, found: self.before.size });
        }
        self.verify_signatures(membership)
    }

    /// Checks that both keys signed it, for whatever head it names.
    pub(crate) fn verify_signatures(&self, membership: Option<&Membership>) -> Result<(), RotationError> {
        let merchant = membership.and_then(|membership| Some((membership.federation, membership.own?)));
        let (federation, own) = merchant.ok_or(RotationError::NoMerchant)?;
        if self.old == self.new {
            return Err(RotationError::Used { found: self.new });
        }
        let statement = Statement { federation, own, before: self.before, old: self.old, new: self.new };
        for (key, signature) in [(self.old, &self.by_old), (self.new, &self.by_new)] {
            let verified = statement.with(|label, parts| key.verify(label, parts, signature));
            verified.map_err(|_| RotationError::Signature { key })?;
        }
        Ok(())
    }
}
