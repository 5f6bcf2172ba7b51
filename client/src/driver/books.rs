//! The privacy ledger, asked from async code: every call is durable when it returns, on a blocking thread.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use guildhall_ledger::note::Signer;
use guildhall_privacy::accountant::zcdp::epsilon_upper_bound;
use guildhall_privacy::ledger::{
    self, Attempt, BudgetLimit, DataDigest, Ledger, LedgerError, Owner, Reservation, Reserved,
};
use guildhall_privacy::parameter::PicoRho;
use guildhall_privacy::update::{CommittedUpdate, SealedUpdate};
use guildhall_shared::digest::Digest;
use guildhall_shared::id::{Name, RoundId};
use guildhall_shared::identity::{IdentityKey, PublicKey, SignedRoster, Verifier};
use guildhall_shared::message::{DeclineReason, WitnessedHead};
use guildhall_shared::secagg::{SignedHead, SurvivorCertificate};
use guildhall_shared::tree_head::TreeHead;

use super::report;
use crate::config::Budget;
use crate::error::ClientError;
use crate::participant::{Outcome, ReserveOrder, ReserveRefusal};
use crate::serve::Service;

/// Whose ledger it is.
pub(super) struct Member {
    /// The merchant.
    pub merchant: Name,
    /// Its identity.
    pub identity: IdentityKey,
    /// The federation.
    pub federation: Digest,
    /// Its key.
    pub federation_key: PublicKey,
}

impl Member {
    fn owner(&self) -> Owner {
        let signer = Signer::merchant(&self.federation, &self.merchant, self.identity.public());
        Owner { signer, key: IdentityKey::from_secret(&self.identity.to_secret()) }
    }

    fn membership(&self, signed: &SignedRoster) -> ledger::Membership {
        let own = signed.roster.find(|entry| entry.name == self.merchant);
        ledger::Membership::of(signed, self.federation_key, own)
    }
}

/// The ledger and the one live reservation.
pub(super) struct Books {
    ledger: Arc<Mutex<Ledger>>,
    budget: Budget,
    /// SHA-256 of the executable file that runs, if it is known.
    program: Option<Digest>,
    reserved: Option<Reserved>,
    sealed: Option<(Digest, SealedUpdate)>,
    committed: Option<Arc<CommittedUpdate>>,
}

impl Books {
    pub async fn open(dir: &Path, budget: Budget, program: Option<Digest>) -> Result<Self, ClientError> {
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
        Ok(Books { ledger, budget, program, reserved: None, sealed: None, committed: None })
    }

    /// Debits the budget. The inner error is a refusal that the server is told; the outer one ends the process.
    pub async fn reserve(&mut self, order: &ReserveOrder) -> Result<Result<(), ReserveRefusal>, ClientError> {
        let reservation = Reservation { program: self.program, ..reservation(order) };
        match self.with_ledger(move |ledger| ledger.reserve(reservation)).await? {
            Ok(reserved) => {
                self.reserved = Some(reserved);
                Ok(Ok(()))
            }
            Err(error) => refusal(error).map(Err),
        }
    }

    /// Says which data later trainings read.
    pub async fn trains_on(&self, data: Option<DataDigest>) -> Result<(), ClientError> {
        self.with_ledger(move |ledger| ledger.trains_on(data)).await
    }

    /// Keeps a sealed update until it is committed or given up.
    pub fn keep(&mut self, sid: Digest, update: SealedUpdate) {
        self.sealed = Some((sid, update));
    }

    /// Forgets a sealed update that nobody asked to commit.
    pub fn forget_sealed(&mut self) {
        self.sealed = None;
    }

    /// Makes the commitment durable. Returns H(y), and where the ledger stands with it.
    pub async fn commit(&mut self, sid: Digest) -> Result<(Digest, TreeHead), ClientError> {
        let reserved = self.reserved.take().filter(|reserved| reserved.sid() == sid);
        let sealed = self.sealed.take().filter(|(of, _)| *of == sid);
        let (Some(reserved), Some((_, sealed))) = (reserved, sealed) else {
            return Err(ClientError::Task("a commitment without its reservation or update".into()));
        };
        let commit = move |ledger: &mut Ledger| {
            Ok::<_, LedgerError>((ledger.commit(reserved, sealed)?, ledger.state().head()))
        };
        let (committed, head) = self.with_ledger(commit).await??;
        let hash = committed.hash();
        self.committed = Some(Arc::new(committed));
        Ok((hash, head))
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

    pub async fn settle(
        &mut self,
        sid: Digest,
        outcome: Outcome,
        certificate: Option<Box<SurvivorCertificate>>,
    ) -> Result<(), ClientError> {
        self.committed = None;
        let settle = move |ledger: &mut Ledger| {
            let certificate = certificate.map(|one| ledger.book().keep_certificate(&one)).transpose()?;
            let outcome = match outcome {
                Outcome::Contributed { version, model, survivors } => {
                    ledger::Outcome::Released { version, model, survivors, certificate }
                }
                Outcome::LeftOut | Outcome::Aborted => ledger::Outcome::Aborted,
            };
            ledger.settle(sid, outcome)
        };
        Ok(self.with_ledger(settle).await??)
    }

    /// Records whose ledger this is; from now on every entry brings a signed checkpoint.
    pub async fn join(&mut self, member: &Member, roster: &SignedRoster) -> Result<(), ClientError> {
        let (membership, owner) = (member.membership(roster), member.owner());
        let roster = roster.clone();
        Ok(self.with_ledger(move |ledger| ledger.book().join(membership, &roster, owner)).await??)
    }

    /// Holds the server's word about the ledger against the ledger. Returns what is wrong, if anything is: the alarm is in
    /// the ledger then, and nothing more is reserved.
    pub async fn compare(
        &mut self,
        member: &Member,
        seen: WitnessedHead,
    ) -> Result<Option<String>, ClientError> {
        let server = Signer::server(&member.federation, member.federation_key);
        let compare = move |ledger: &mut Ledger| {
            let WitnessedHead { head, time_unix_s, cosignature } = seen;
            let book = ledger.book();
            book.compare(head)?;
            book.keep_cosignature(head, &server, time_unix_s, cosignature)
        };
        alarm(self.with_ledger(compare).await?)
    }

    /// Holds what other merchants say they saw of the ledger against the ledger. A head that the ledger never had counts
    /// only under this merchant's own signature: nobody can raise an alarm with a head that is made up. Returns what is
    /// wrong, if anything is: the alarm is in the ledger then.
    pub async fn compare_heads(
        &mut self,
        member: &Member,
        mut seen: Vec<SignedHead>,
    ) -> Result<Option<String>, ClientError> {
        let own = Verifier::new(member.identity.public());
        let compare = move |ledger: &mut Ledger| {
            let book = ledger.book();
            seen.retain(|one| !book.state().had(&one.head) && one.verify(&own).is_ok());
            let newest = seen.iter().max_by_key(|one| one.head.size);
            newest.map_or(Ok(()), |newest| book.compare(newest.head))
        };
        alarm(self.with_ledger(compare).await?)
    }

    /// Records something that spends nothing; the ledger refuses anything else.
    pub async fn note(&self, note: ledger::Event) -> Result<(), ClientError> {
        Ok(self.with_ledger(move |ledger| ledger.book().note(note)).await??)
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

/// What is wrong with the ledger, if it was put back; other errors end the process.
fn alarm(compared: Result<(), LedgerError>) -> Result<Option<String>, ClientError> {
    match compared {
        Ok(()) => Ok(None),
        Err(error @ LedgerError::RolledBack { .. }) => Ok(Some(error.to_string())),
        Err(fatal) => Err(fatal.into()),
    }
}

/// Charge and record of one attempt, from the numbers this client derived itself.
fn reservation(order: &ReserveOrder) -> Reservation {
    let ReserveOrder { job, sid, round, roster, model, .. } = *order;
    let attempt = Attempt { job, sid, round, roster, model };
    let label = report::label(&order.spec);
    Reservation { label, ..Reservation::new(&order.spec, attempt, &order.parameters) }
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
        | LedgerError::RolledBack { .. }
        | LedgerError::ShareInPlain { .. } => (DeclineReason::Policy, explanation),
        fatal => return Err(fatal.into()),
    };
    Ok(ReserveRefusal { reason, explanation })
}
