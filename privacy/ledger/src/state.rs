//! The budget as a pure function of the entries. [core]

use std::collections::BTreeMap;

use guildhall_accountant::PicoRho;
use guildhall_accountant::zcdp::{epsilon_upper_bound, rho_lower_bound};
use guildhall_shared::digest::Digest;
use guildhall_shared::id::{MerchantIndex, Name, RoundId};
use guildhall_shared::identity::PublicKey;
use guildhall_shared::secagg::transcript::SignedUpdate;
use guildhall_shared::tree_head::TreeHead;

use crate::entry::{
    BudgetLimit, ENTRY_VERSION, Entry, Event, Handover, LABEL_BYTES_MAX, Membership, PURPOSE_BYTES_MAX,
    RECIPIENT_BYTES_MAX, Release, Reservation, SUMMARY_BYTES_MAX,
};
use crate::merkle::MerkleTree;
use crate::rotation::{KeyRotation, RotationError};
use crate::{LedgerError, Travel};

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionStatus {
    /// Reserved: counts as spent, may be refunded.
    Reserved,
    /// Committed: spent for ever.
    Committed,
    /// Committed, and its outcome is known.
    Settled,
    /// Given back.
    Refunded,
}

#[derive(Clone, Debug)]
struct Session {
    job: Name,
    charge: PicoRho,
    status: SessionStatus,
}

#[derive(Clone, Debug)]
struct Job {
    digest: Digest,
    spent: PicoRho,
    last_round: RoundId,
}

/// A job as the server's ledger follows it.
#[derive(Clone, Copy, Debug)]
struct Published {
    digest: Digest,
    round: RoundId,
    version: u32,
    model: Digest,
}

/// All that follows from the entries so far.
#[derive(Clone, Debug, Default)]
pub struct LedgerState {
    tree: MerkleTree,
    previous: Option<Digest>,
    membership: Option<Membership>,
    alarm: Option<TreeHead>,
    rotations: Vec<KeyRotation>,
    published: BTreeMap<Name, Published>,
    witnessed: BTreeMap<MerchantIndex, TreeHead>,
    limit: Option<(BudgetLimit, PicoRho)>,
    spent: PicoRho,
    sessions: BTreeMap<Digest, Session>,
    jobs: BTreeMap<Name, Job>,
}

impl LedgerState {
    /// Judges a command. Pure: asks the budget, changes nothing.
    ///
    /// # Errors
    /// [`LedgerError`] saying what was expected and found.
    pub fn decide(&self, command: Event) -> Result<Entry, LedgerError> {
        match &command {
            Event::Policy { limit, .. } => check_limit(limit)?,
            Event::Reserve { reservation, .. } => self.check_reservation(reservation)?,
            Event::Commit { sid, .. } | Event::Refund { sid } => {
                self.expect_status(sid, SessionStatus::Reserved)?;
            }
            Event::Settle { sid, .. } => self.expect_status(sid, SessionStatus::Committed)?,
            Event::Roster { membership, .. } => self.check_membership(membership)?,
            Event::Result { release, .. } => self.check_release(release)?,
            Event::Audit { finding, .. } => check_text("summary", &finding.summary, SUMMARY_BYTES_MAX)?,
            Event::Export { handover, .. } => self.check_handover(handover)?,
            Event::KeyRotation { rotation, .. } => self.check_rotation(rotation)?,
            Event::Witness { .. } | Event::RollbackAlarm { .. } => {}
        }
        let previous = self.previous.unwrap_or(Digest([0; 32]));
        Ok(Entry { version: ENTRY_VERSION, sequence: self.tree.size(), previous, event: command })
    }

    /// Takes in an entry that [`LedgerState::decide`] made, and its leaf hash. Cannot fail.
    pub fn apply(&mut self, entry: &Entry, leaf: Digest) {
        match &entry.event {
            Event::Policy { limit, .. } => {
                self.limit = Some((*limit, rho_lower_bound(limit.epsilon, limit.delta)));
            }
            Event::Reserve { reservation, .. } => self.apply_reservation(reservation),
            Event::Commit { sid, .. } => self.set_status(sid, SessionStatus::Committed),
            Event::Settle { sid, .. } => self.set_status(sid, SessionStatus::Settled),
            Event::Refund { sid } => self.apply_refund(sid),
            Event::Roster { membership, .. } => self.membership = Some(membership.clone()),
            Event::Result { release, .. } => self.apply_release(release),
            Event::RollbackAlarm { seen, .. } => self.alarm = Some(*seen),
            Event::Witness { updates, .. } => self.apply_witness(updates),
            Event::KeyRotation { rotation, .. } => self.rotations.push(*rotation),
            Event::Audit { .. } | Event::Export { .. } => {}
        }
        self.tree.push(leaf);
        self.previous = Some(leaf);
    }

    /// The Merkle tree over all entries.
    pub fn tree(&self) -> &MerkleTree {
        &self.tree
    }

    /// Where the ledger stands.
    pub fn head(&self) -> TreeHead {
        TreeHead { size: self.tree.size(), root: self.tree.root() }
    }

    /// Whose ledger it is, once that was recorded.
    pub fn membership(&self) -> Option<&Membership> {
        self.membership.as_ref()
    }

    /// What a witness saw of this ledger that it is not.
    pub fn alarm(&self) -> Option<TreeHead> {
        self.alarm
    }

    /// All rotations of the owner's key, oldest first.
    pub fn rotations(&self) -> &[KeyRotation] {
        &self.rotations
    }

    /// The key of checkpoints over so many entries; none where it is the one that the roster names.
    pub fn key_at(&self, entries: u64) -> Option<PublicKey> {
        let before = self.rotations.iter().rev().find(|rotation| rotation.before.size < entries);
        // Before the first rotation its old key is in force.
        before.map(|rotation| rotation.new).or_else(|| self.rotations.first().map(|rotation| rotation.old))
    }

    /// Takes in a rotation whose entry cannot be judged, for the keys of later checkpoints alone.
    pub(crate) fn learn_rotation(&mut self, rotation: KeyRotation) {
        self.rotations.push(rotation);
    }

    /// The largest head of a merchant's ledger that was witnessed here.
    pub fn witnessed(&self, merchant: MerchantIndex) -> Option<TreeHead> {
        self.witnessed.get(&merchant).copied()
    }

    /// Whether a head that a witness saw is one that this ledger had.
    pub fn had(&self, seen: &TreeHead) -> bool {
        self.tree.root_at(seen.size) == Ok(seen.root)
    }

    /// The budget in force, once a POLICY was recorded.
    pub fn limit(&self) -> Option<BudgetLimit> {
        self.limit.map(|(limit, _)| limit)
    }

    /// The largest ρ the budget allows; zero before the first POLICY.
    pub fn rho_limit(&self) -> PicoRho {
        self.limit.map_or(PicoRho::ZERO, |(_, rho)| rho)
    }

    /// Committed and still reserved charges of all jobs together.
    pub fn spent(&self) -> PicoRho {
        self.spent
    }

    /// Committed and still reserved charges of one job.
    pub fn spent_for(&self, job: &Name) -> PicoRho {
        self.jobs.get(job).map_or(PicoRho::ZERO, |job| job.spent)
    }

    /// The greatest round and attempt ever reserved for a job.
    pub fn last_round(&self, job: &Name) -> Option<RoundId> {
        self.jobs.get(job).map(|job| job.last_round)
    }

    /// Where a session stands, if it was ever reserved.
    pub fn status(&self, sid: &Digest) -> Option<SessionStatus> {
        self.sessions.get(sid).map(|session| session.status)
    }

    /// Sessions that are reserved and neither committed nor refunded.
    pub fn open_sessions(&self) -> Vec<Digest> {
        let open = self.sessions.iter().filter(|(_, session)| session.status == SessionStatus::Reserved);
        open.map(|(sid, _)| *sid).collect()
    }

    fn check_membership(&self, membership: &Membership) -> Result<(), LedgerError> {
        check_text("program", &membership.program, LABEL_BYTES_MAX)?;
        match &self.membership {
            Some(before) if before.federation != membership.federation => Err(LedgerError::OtherFederation {
                expected: before.federation,
                found: membership.federation,
            }),
            _ => Ok(()),
        }
    }

    fn check_handover(&self, handover: &Handover) -> Result<(), LedgerError> {
        check_text("recipient", &handover.recipient, RECIPIENT_BYTES_MAX)?;
        if self.had(&handover.head) {
            Ok(())
        } else {
            Err(LedgerError::NoSuchHead { found: handover.head.size })
        }
    }

    fn check_rotation(&self, rotation: &KeyRotation) -> Result<(), LedgerError> {
        rotation.verify(self.membership(), self.head())?;
        if let Some(last) = self.rotations.last()
            && last.new != rotation.old
        {
            return Err(RotationError::Old { expected: last.new, found: rotation.old }.into());
        }
        // A key that was given up stays given up.
        if self.rotations.iter().any(|earlier| earlier.old == rotation.new) {
            return Err(RotationError::Used { found: rotation.new }.into());
        }
        Ok(())
    }

    /// The chain of a job's models has no gap. It may step aside to an older version: an operator's roll-back.
    fn check_release(&self, release: &Release) -> Result<(), LedgerError> {
        let Some(before) = self.published.get(&release.job) else { return Ok(()) };
        if before.digest != release.job_digest {
            let (job, expected, found) = (release.job.clone(), before.digest, release.job_digest);
            return Err(LedgerError::JobChanged { job, expected, found });
        }
        if release.round <= before.round {
            let (job, found) = (release.job.clone(), release.round);
            return Err(LedgerError::StaleRound { job, expected_greater_than: before.round, found });
        }
        if release.version == before.version + 1 && release.model_in != before.model {
            let (job, version) = (release.job.clone(), release.version);
            let (expected, found) = (before.model, release.model_in);
            return Err(LedgerError::ModelChain { job, version, expected, found });
        }
        Ok(())
    }

    fn apply_witness(&mut self, updates: &[SignedUpdate]) {
        for update in updates {
            let newest = self.witnessed.entry(update.merchant).or_insert(update.head);
            if update.head.size > newest.size {
                *newest = update.head;
            }
        }
    }

    fn apply_release(&mut self, release: &Release) {
        let Release { job_digest: digest, round, version, model_out: model, .. } = *release;
        self.published.insert(release.job.clone(), Published { digest, round, version, model });
    }

    fn check_reservation(&self, reservation: &Reservation) -> Result<(), LedgerError> {
        if let Some(seen) = self.alarm {
            return Err(LedgerError::RolledBack { seen: seen.size });
        }
        check_text("purpose", &reservation.purpose, PURPOSE_BYTES_MAX)?;
        check_text("label", &reservation.label, LABEL_BYTES_MAX)?;
        if self.sessions.contains_key(&reservation.sid) {
            return Err(LedgerError::SessionKnown { sid: reservation.sid });
        }
        if let Some(job) = self.jobs.get(&reservation.job) {
            if job.digest != reservation.job_digest {
                return Err(LedgerError::JobChanged {
                    job: reservation.job.clone(),
                    expected: job.digest,
                    found: reservation.job_digest,
                });
            }
            if reservation.round <= job.last_round {
                return Err(LedgerError::StaleRound {
                    job: reservation.job.clone(),
                    expected_greater_than: job.last_round,
                    found: reservation.round,
                });
            }
        }
        let shares = reservation.protection.honest_shares();
        if reservation.travel == Travel::Plain && shares > 1 {
            return Err(LedgerError::ShareInPlain { sid: reservation.sid, found: shares });
        }
        let expected = reservation.protection.charge();
        if reservation.charge != expected {
            return Err(LedgerError::ChargeDiffers { expected, found: reservation.charge });
        }
        self.check_budget(reservation.charge)
    }

    fn check_budget(&self, asked: PicoRho) -> Result<(), LedgerError> {
        let Some((limit, rho_limit)) = self.limit else {
            return Err(LedgerError::NoPolicy);
        };
        if asked == PicoRho::ZERO {
            return Ok(());
        }
        let after = self.spent.checked_add(asked).filter(|after| *after <= rho_limit);
        if after.is_some() {
            return Ok(());
        }
        let epsilon = |rho: PicoRho| epsilon_upper_bound(rho.rho_upper_bound(), limit.delta);
        Err(LedgerError::OverBudget {
            spent: self.spent,
            asked,
            limit: rho_limit,
            epsilon_spent: epsilon(self.spent),
            epsilon_after: epsilon(self.spent.saturating_add(asked)),
            epsilon_limit: limit.epsilon,
            delta: limit.delta,
        })
    }

    fn expect_status(&self, sid: &Digest, expected: SessionStatus) -> Result<(), LedgerError> {
        let found = self.status(sid);
        if found == Some(expected) {
            return Ok(());
        }
        Err(LedgerError::SessionStatus { sid: *sid, expected, found })
    }

    fn apply_reservation(&mut self, reservation: &Reservation) {
        self.spent = self.spent.saturating_add(reservation.charge);
        let job = self.jobs.entry(reservation.job.clone()).or_insert(Job {
            digest: reservation.job_digest,
            spent: PicoRho::ZERO,
            last_round: reservation.round,
        });
        job.spent = job.spent.saturating_add(reservation.charge);
        job.last_round = reservation.round;
        let session = Session {
            job: reservation.job.clone(),
            charge: reservation.charge,
            status: SessionStatus::Reserved,
        };
        self.sessions.insert(reservation.sid, session);
    }

    fn apply_refund(&mut self, sid: &Digest) {
        self.set_status(sid, SessionStatus::Refunded);
        let Some(session) = self.sessions.get(sid) else { return };
        let less = |rho: PicoRho| PicoRho::from_pico(rho.pico().saturating_sub(session.charge.pico()));
        self.spent = less(self.spent);
        if let Some(job) = self.jobs.get_mut(&session.job) {
            job.spent = less(job.spent);
        }
    }

    fn set_status(&mut self, sid: &Digest, status: SessionStatus) {
        if let Some(session) = self.sessions.get_mut(sid) {
            session.status = status;
        }
    }
}

fn check_limit(limit: &BudgetLimit) -> Result<(), LedgerError> {
    let BudgetLimit { epsilon, delta } = *limit;
    if epsilon > 0.0 && epsilon.is_finite() && delta > 0.0 && delta < 1.0 {
        return Ok(());
    }
    Err(LedgerError::Limit { epsilon, delta })
}

fn check_text(field: &'static str, text: &str, limit: usize) -> Result<(), LedgerError> {
    if text.len() > limit {
        return Err(LedgerError::TextTooLong { field, limit, found: text.len() });
    }
    Ok(())
}
