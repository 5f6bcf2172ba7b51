//! The server's ledger: which updates it saw, with the heads of their merchants' ledgers, and what it published. (shell)
//!
//! Nobody's budget is spent in it. It makes the server a witness: a merchant whose ledger was put back to an older state hears
//! of it when it connects.

use guildhall_ledger::book::{Book, Owner, now_unix_s};
use guildhall_ledger::note::{Checkpoint, Signer, merchant_origin};
use guildhall_ledger::{Event, LedgerError, Membership, Release};
use guildhall_shared::digest::Digest;
use guildhall_shared::id::{MerchantIndex, Name};
use guildhall_shared::identity::{IdentityKey, SignedRoster};
use guildhall_shared::message::WitnessedHead;
use guildhall_shared::secagg::LedgerBehind;
use guildhall_shared::secagg::transcript::SignedUpdate;
use guildhall_shared::tree_head::TreeHead;

use crate::error::ServerError;
use crate::federation::Federation;

/// The server's ledger, open.
pub struct Mirror {
    book: Book,
}

impl Mirror {
    /// Opens or creates it.
    ///
    /// # Errors
    /// [`ServerError::Ledger`].
    pub fn open(federation: &Federation) -> Result<Self, ServerError> {
        let (book, _) = Book::open(&federation.ledger())?;
        Ok(Mirror { book })
    }

    /// Records the closed roster, if that is new.
    ///
    /// # Errors
    /// [`ServerError::Ledger`].
    pub fn join(&mut self, federation: &Federation, signed: &SignedRoster) -> Result<(), ServerError> {
        let key = federation.key.public();
        let membership = Membership::of(signed, key, None);
        let owner = Owner {
            signer: Signer::server(&federation.id, key),
            key: IdentityKey::from_secret(&federation.key.to_secret()),
        };
        Ok(self.book.join(membership, signed, owner)?)
    }

    /// Makes durable which updates came, and whose ledger stood where.
    ///
    /// # Errors
    /// [`ServerError::Ledger`].
    pub fn witness(&mut self, sid: Digest, updates: Vec<SignedUpdate>) -> Result<(), ServerError> {
        Ok(self.book.note(Event::Witness { sid, updates, time_unix_s: now_unix_s() })?)
    }

    /// Checks that the ledger an update was signed with is larger than it was ever seen: its COMMIT is a new entry.
    ///
    /// # Errors
    /// [`LedgerBehind`].
    pub fn check(&self, merchant: MerchantIndex, found: &TreeHead) -> Result<(), LedgerBehind> {
        LedgerBehind::check(self.book.state().witnessed(merchant), found)
    }

    /// Makes durable what was published. A result that is there already, from before a crash, is not repeated.
    ///
    /// # Errors
    /// [`ServerError::Ledger`].
    pub fn released(&mut self, release: Release) -> Result<(), ServerError> {
        match self.book.note(Event::Result { release, time_unix_s: now_unix_s() }) {
            Err(LedgerError::StaleRound { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The newest head of a merchant's ledger that this server saw, cosigned now.
    pub fn seen(
        &self,
        federation: &Federation,
        merchant: MerchantIndex,
        name: &Name,
    ) -> Option<WitnessedHead> {
        let head = self.book.state().witnessed(merchant)?;
        let origin = merchant_origin(&federation.id, name);
        let time_unix_s = now_unix_s();
        let cosignature = Checkpoint { origin, head }.cosign(&federation.key, time_unix_s);
        Some(WitnessedHead { head, time_unix_s, cosignature })
    }
}
