//! The privacy ledger, asked from async code: every call is durable when it returns, on a blocking thread.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use guildhall_privacy::accountant::zcdp::epsilon_upper_bound;
use guildhall_privacy::ledger::{self, BudgetLimit, Ledger, LedgerError, Reservation, Reserved};
use guildhall_privacy::parameter::{PicoRho, Protection, Travel};
use guildhall_privacy::update::{CommittedUpdate, SealedUpdate};
use guildhall_shared::digest::Digest;
use guildhall_shared::id::{Name, RoundId};
use guildhall_shared::message::DeclineReason;

use super::report;
use crate::config::Budget;
use crate::error::ClientError;
use crate::participant::{Outcome, ReserveOrder, ReserveRefusal};
use crate::serve::Service;

/// The ledger and the one live reservation.
pub(super) struct Books {
    ledger: Arc<Mutex<Ledger>>,
    budget: Budget,
    reserved: Option<Reserved>,
    sealed: Option<(Digest, SealedUpdate)>,
    committed: Option<Arc<CommittedUpdate>>,
}

impl Books {
    pub async fn open(dir: &Path, budget: Budget) -> Result<Self, ClientError> {
        let dir = dir.to_path_buf();
        let limit = BudgetLimit { epsilon: budget.epsilon, delta: budget.delta };
        let (ledger, recovery) = blocking(move || Ledger::open(&dir, limit)).await??;
        if recovery.torn_bytes > 0 || !recovery.refunded.is_empty() {
            tracing::info!(
                torn_bytes = recovery.torn_bytes,
                refunded = recovery.refunded.len(),
                presumed_committed = recovery.presumed_committed.len(),
                "the ledger was recovered"
            );
        }
        let ledger = Arc::new(Mutex::new(ledger));
        Ok(Books { ledger, budget, reserved: None, sealed: None, committed: None })
    }

    /// Debits the budget. The inner error is a refusal that the server is told; the outer one ends the process.
    pub async fn reserve(&mut self, order: &ReserveOrder) -> Result<Result<(), ReserveRefusal>, ClientError> {
        let reservation = reservation(order);
        match self.with_ledger(move |ledger| ledger.reserve(reservation)).await? {
            Ok(reserved) => {
                self.reserved = Some(reserved);
                Ok(Ok(()))
            }
            Err(error) => refusal(error).map(Err),
        }
    }

    /// Keeps a sealed update until it is committed or given up.
    pub fn keep(&mut self, sid: Digest, update: SealedUpdate) {
        self.sealed = Some((sid, update));
    }

    /// Forgets a sealed update that nobody asked to commit.
    pub fn forget_sealed(&mut self) {
        self.sealed = None;
    }

    /// Makes the commitment durable. Returns H(y).
    pub async fn commit(&mut self, sid: Digest) -> Result<Digest, ClientError> {
        let reserved = self.reserved.take().filter(|reserved| reserved.sid() == sid);
        let sealed = self.sealed.take().filter(|(of, _)| *of == sid);
        let (Some(reserved), Some((_, sealed))) = (reserved, sealed) else {
            return Err(ClientError::Task("a commitment without its reservation or update".into()));
        };
        let committed = self.with_ledger(move |ledger| ledger.commit(reserved, sealed)).await??;
        let hash = committed.hash();
        self.committed = Some(Arc::new(committed));
        Ok(hash)
    }

    /// The update to send.
    pub fn committed(&self, sid: Digest) -> Option<Arc<CommittedUpdate>> {
        self.committed.clone().filter(|committed| committed.sid() == sid)
    }

    pub async fn refund(&mut self, sid: Digest) -> Result<(), ClientError> {
        match self.reserved.take().filter(|reserved| reserved.sid() == sid) {
            Some(reserved) => Ok(self.with_ledger(move |ledger| ledger.refund(reserved)).await??),
            None => Ok(()),
        }
    }

    pub async fn settle(&mut self, sid: Digest, outcome: Outcome) -> Result<(), ClientError> {
        self.committed = None;
        let outcome = match outcome {
            Outcome::Contributed { .. } => ledger::Outcome::Released,
            Outcome::LeftOut | Outcome::Aborted => ledger::Outcome::Aborted,
        };
        Ok(self.with_ledger(move |ledger| ledger.settle(sid, outcome)).await??)
    }

    /// The greatest (round, attempt) reserved under a job's name.
    pub fn last_round(&self, job: &Name) -> Option<RoundId> {
        self.locked(|ledger| ledger.last_round(job))
    }

    /// ε spent over all jobs and on one, at the merchant's δ, rounded up.
    pub fn epsilon(&self, job: Option<&Name>) -> (f64, f64) {
        let (all, one) =
            self.locked(|ledger| (ledger.spent(), job.map_or(PicoRho::ZERO, |job| ledger.spent_for(job))));
        let epsilon = |rho: PicoRho| match rho {
            PicoRho::ZERO => 0.0,
            rho => epsilon_upper_bound(rho.rho_upper_bound(), self.budget.delta),
        };
        (epsilon(all), epsilon(one))
    }

    /// Shows what was spent to whoever asks over HTTP.
    pub fn note_epsilon(&self, service: &Service, job: Option<&Name>) {
        let (all, one) = self.epsilon(job);
        service.vitals().set_epsilon_spent(all, one);
    }

    fn locked<T>(&self, ask: impl FnOnce(&Ledger) -> T) -> T {
        ask(&self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn with_ledger<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Ledger) -> T + Send + 'static,
    ) -> Result<T, ClientError> {
        let ledger = Arc::clone(&self.ledger);
        blocking(move || work(&mut ledger.lock().unwrap_or_else(PoisonError::into_inner))).await
    }
}

/// Runs work that waits for a disk or computes.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ClientError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| ClientError::Task(error.to_string()))
}

/// Charge and record of one attempt, from the numbers this client derived itself.
fn reservation(order: &ReserveOrder) -> Reservation {
    let protection = Protection::of(&order.parameters, &order.spec.privacy);
    Reservation {
        job: order.spec.name.clone(),
        job_digest: order.job,
        sid: order.sid,
        round: order.round,
        unit: order.spec.privacy.unit(),
        protection,
        travel: Travel::of(&order.parameters),
        charge: protection.charge(),
        purpose: order.spec.purpose.clone(),
        label: report::label(&order.spec),
    }
}

/// What the server and the merchant are told; a ledger that cannot be written ends the process instead.
fn refusal(error: LedgerError) -> Result<ReserveRefusal, ClientError> {
    let explanation = error.to_string();
    let (reason, explanation) = match error {
        LedgerError::OverBudget { .. } => (
            DeclineReason::OverBudget,
            format!(
                "{explanation}. This merchant takes part in no further round until budget_epsilon in client.toml is \
                 raised; it still follows the job and serves its models"
            ),
        ),
        LedgerError::StaleRound { .. } | LedgerError::SessionKnown { .. } => {
            (DeclineReason::Stale, explanation)
        }
        LedgerError::JobChanged { .. }
        | LedgerError::TextTooLong { .. }
        | LedgerError::ChargeDiffers { .. }
        | LedgerError::ShareInPlain { .. } => (DeclineReason::Policy, explanation),
        fatal => return Err(fatal.into()),
    };
    Ok(ReserveRefusal { reason, explanation })
}
