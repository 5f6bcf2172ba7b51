//! The ledgers' part of the attempts: reserved, committed, and only then readable. In memory; nothing leaves.

use guildhall_privacy::ledger::{Attempt, BudgetLimit, Ledger, Reservation};
use guildhall_privacy::parameter::Protection;
use guildhall_privacy::update::SealedUpdate;
use guildhall_shared::digest::Digest;
use guildhall_shared::id::{MerchantIndex, RoundId};
use guildhall_shared::job::JobSpec;
use guildhall_shared::round_parameters::RoundParameters;

use crate::error::{CommandError, Context as _};

/// Room for every release of an audit: what is looked at is each of them, not their sum.
const LIMIT: BudgetLimit = BudgetLimit { epsilon: 1e6, delta: 1e-6 };

/// One ledger for each honest merchant, over attempts in rising order.
pub struct Books(Vec<Ledger>);

/// What all attempts at a job reserve alike.
pub struct Terms<'a> {
    /// The job.
    pub job: &'a JobSpec,
    /// Its digest.
    pub digest: Digest,
    /// The numbers of its rounds.
    pub parameters: &'a RoundParameters,
    /// What protects a release.
    pub protection: Protection,
}

impl Books {
    /// Empty ones.
    pub fn new(merchants: u32) -> Result<Self, CommandError> {
        let ledgers = (0..merchants).map(|_| Ledger::simulated(LIMIT).context("the ledger"));
        Ok(Books(ledgers.collect::<Result<_, _>>()?))
    }

    /// The bytes of a merchant's update.
    pub fn commit(
        &mut self,
        merchant: MerchantIndex,
        terms: &Terms<'_>,
        sid: Digest,
        round: RoundId,
        sealed: SealedUpdate,
    ) -> Result<Vec<u8>, CommandError> {
        let ledger = &mut self.0[usize::from(merchant.0)];
        let reserved = ledger.reserve(terms.reservation(sid, round)).context("the reservation")?;
        let committed = ledger.commit(reserved, sealed).context("the commit")?;
        Ok(committed.bytes().to_vec())
    }
}

impl Terms<'_> {
    fn reservation(&self, sid: Digest, round: RoundId) -> Reservation {
        let [roster, model] = [Digest([0; 32]); 2];
        let attempt = Attempt { job: self.digest, sid, round, roster, model };
        Reservation::new(self.job, attempt, self.parameters).protected_by(self.protection)
    }
}
