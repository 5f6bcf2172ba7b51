//! The budget of one merchant, durable before anything depends on it. \[shell around a core\]
//!
//! ```text
//! reserve (durable) → train → commit{H(y)} (durable) → first byte → settle
//!        └─ refund: only without a commit
//! ```
//! The truth is the journal ([`journal`]); the budget is a pure function of its entries ([`LedgerState`]): `decide` judges
//! a command, the journal makes the entry durable, `apply` takes it in. A reservation counts as spent from the
//! moment it is made. A commit is spent for ever, whatever the server says later.
//!
//! On open, a RESERVE without a COMMIT is refunded, because no byte can have left. But where the end of the
//! journal was torn while a RESERVE was open, the torn frame may have been its COMMIT: then it counts as committed.
//! Neither depends on anybody's rows.

use std::path::Path;

use guildhall_ledger::book::now_unix_s;
pub use guildhall_ledger::book::{Book, Owner, Recovery};
pub use guildhall_ledger::data_tag::{DataDigest, DataTag};
pub use guildhall_ledger::{
    Attempt, BudgetLimit, Entry, Event, LedgerError, LedgerState, Membership, Outcome, Reservation,
    SessionStatus, journal,
};
use guildhall_shared::digest::Digest;
use guildhall_shared::id::{Name, RoundId};

use crate::accountant::zcdp::epsilon_upper_bound;
use crate::parameter::{PicoRho, Protection, Travel};
use crate::update::{CommittedUpdate, SealedUpdate};

#[cfg(test)]
mod tests;

/// A durable reservation: the right to train once, and to commit or refund once. Names its session.
///
/// Not `Clone`; consumed by [`Ledger::commit`] and [`Ledger::refund`]. One that is dropped stays reserved, and so
/// counts as spent, until the ledger is opened again.
#[must_use = "a reservation is spent budget until it is committed or refunded"]
#[derive(Debug)]
pub struct Reserved {
    sid: Digest,
    round: RoundId,
    protection: Protection,
    travel: Travel,
    charge: PicoRho,
}

impl Reserved {
    /// The session.
    pub fn sid(&self) -> Digest {
        self.sid
    }

    /// The round and attempt.
    pub fn round(&self) -> RoundId {
        self.round
    }

    /// What was charged for.
    pub fn protection(&self) -> Protection {
        self.protection
    }

    /// How the update is to travel.
    pub fn travel(&self) -> Travel {
        self.travel
    }

    /// What it costs.
    pub fn charge(&self) -> PicoRho {
        self.charge
    }
}

/// A merchant's open ledger.
pub struct Ledger {
    book: Book,
    /// What trainings read, if they read files of rows.
    data: Option<DataDigest>,
}

impl Ledger {
    /// Opens or creates the ledger in a folder, takes its lock, recovers, and records the budget if it changed.
    ///
    /// # Errors
    /// [`LedgerError::Locked`], [`LedgerError::Corrupt`], [`LedgerError::Limit`] or a storage error.
    pub fn open(dir: &Path, limit: BudgetLimit) -> Result<(Self, Recovery), LedgerError> {
        LedgerState::default().decide(Event::Policy { limit, time_unix_s: 0 })?;
        let (book, recovery) = Book::open(dir)?;
        let mut ledger = Ledger { book, data: None };
        ledger.adopt(limit)?;
        Ok((ledger, recovery))
    }

    /// A ledger that lives in memory, for simulations in one process where nothing leaves: same rules, no file.
    ///
    /// # Errors
    /// [`LedgerError::Limit`].
    pub fn simulated(limit: BudgetLimit) -> Result<Self, LedgerError> {
        let mut ledger = Ledger { book: Book::simulated(), data: None };
        ledger.adopt(limit)?;
        Ok(ledger)
    }

    /// Says which data the trainings of all later commits read. Each COMMIT has a tag of them under a fresh salt.
    ///
    /// # Privacy
    /// The digest is kept in memory alone.
    pub fn trains_on(&mut self, data: Option<DataDigest>) {
        self.data = data;
    }

    /// Takes the charge of one attempt at one round out of the budget, durably.
    ///
    /// # Errors
    /// [`LedgerError::OverBudget`], [`LedgerError::StaleRound`] and others; nothing is recorded then.
    pub fn reserve(&mut self, reservation: Reservation) -> Result<Reserved, LedgerError> {
        let Reservation { sid, round, protection, travel, charge, .. } = reservation;
        self.book.record(vec![Event::Reserve { reservation, time_unix_s: now_unix_s() }])?;
        Ok(Reserved { sid, round, protection, travel, charge })
    }

    /// Records the update's hash durably and only then gives its bytes free.
    ///
    /// # Errors
    /// [`LedgerError::NotAsReserved`] when clip or noise differ from what was charged, when a share of the noise or
    /// anything else of a masked round is not masked, or masked for another session; storage errors. Either way the
    /// reservation stays spent, and the update is gone.
    pub fn commit(
        &mut self,
        reserved: Reserved,
        update: SealedUpdate,
    ) -> Result<CommittedUpdate, LedgerError> {
        let Reserved { sid, protection, travel, .. } = reserved;
        if !update.applied().is_what_was_charged(&sid, &protection, travel) {
            let found = update.applied().to_string();
            return Err(LedgerError::NotAsReserved { sid, expected: protection, travel, found });
        }
        let data = self.data_tag();
        self.book.record(vec![Event::Commit { sid, update: Some(update.hash()), data }])?;
        Ok(CommittedUpdate::after_durable_commit(update, sid))
    }

    /// Gives a reservation back. Decide on this for reasons that have nothing to do with rows.
    ///
    /// # Errors
    /// Storage errors.
    pub fn refund(&mut self, reserved: Reserved) -> Result<(), LedgerError> {
        self.book.record(vec![Event::Refund { sid: reserved.sid }])
    }

    /// Records what became of a committed update. Never changes the sum.
    ///
    /// # Errors
    /// [`LedgerError::SessionStatus`] unless the session is committed and not settled.
    pub fn settle(&mut self, sid: Digest, outcome: Outcome) -> Result<(), LedgerError> {
        self.book.record(vec![Event::Settle { sid, outcome }])
    }

    /// Committed and still reserved charges of all jobs together.
    pub fn spent(&self) -> PicoRho {
        self.state().spent()
    }

    /// Committed and still reserved charges of one job.
    pub fn spent_for(&self, job: &Name) -> PicoRho {
        self.state().spent_for(job)
    }

    /// ε of everything spent, at the budget's δ, rounded up.
    pub fn epsilon_spent_upper_bound(&self) -> f64 {
        let delta = self.state().limit().map_or(0.0, |limit| limit.delta);
        epsilon_upper_bound(self.spent().rho_upper_bound(), delta)
    }

    /// The most ρ the budget allows.
    pub fn rho_limit(&self) -> PicoRho {
        self.state().rho_limit()
    }

    /// The greatest round and attempt ever reserved for a job.
    pub fn last_round(&self, job: &Name) -> Option<RoundId> {
        self.state().last_round(job)
    }

    /// Everything that follows from the entries.
    pub fn state(&self) -> &LedgerState {
        self.book.state()
    }

    /// Whose ledger it is, what witnesses saw of it, and who certified its sums: what spends nothing.
    pub fn book(&mut self) -> &mut Book {
        &mut self.book
    }

    /// None where the operating system gives no salt: a tag without one would link entries.
    fn data_tag(&self) -> Option<DataTag> {
        let mut salt = [0; 32];
        let data = self.data.as_ref()?;
        getrandom::fill(&mut salt).ok().map(|()| DataTag::new(salt, data))
    }

    fn adopt(&mut self, limit: BudgetLimit) -> Result<(), LedgerError> {
        if self.state().limit() == Some(limit) {
            return Ok(());
        }
        self.book.record(vec![Event::Policy { limit, time_unix_s: now_unix_s() }])
    }
}
