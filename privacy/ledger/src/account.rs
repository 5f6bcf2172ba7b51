//! What a ledger says happened, in order, for reports. [core]

use std::collections::BTreeMap;

use guildhall_accountant::PicoRho;
use guildhall_shared::digest::Digest;
use guildhall_shared::id::{Name, RoundId};
use guildhall_shared::job::Unit;
use guildhall_shared::tree_head::TreeHead;

use crate::data_tag::DataTag;
use crate::entry::{AuditFinding, Entry, Event, Handover, Membership, Outcome, Release};
use crate::rotation::KeyRotation;
use crate::{BudgetLimit, Protection, Travel};

/// What became of a session's commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// What its SETTLE says.
    Settled(Outcome),
    /// The reservation was given back: nothing was spent.
    Refunded,
}

/// One reservation and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// Number of its RESERVE.
    pub reserved_at: u64,
    /// When, in seconds since 1970.
    pub time_unix_s: u64,
    /// The job's name.
    pub job: Name,
    /// Digest of the job.
    pub job_digest: Digest,
    /// Round and attempt.
    pub round: RoundId,
    /// The unit of privacy.
    pub unit: Unit,
    /// What protects the release.
    pub protection: Protection,
    /// How it travelled.
    pub travel: Travel,
    /// m_min.
    pub survivors_min: u32,
    /// What it cost.
    pub charge: PicoRho,
    /// Why the model is made.
    pub purpose: String,
    /// The job's privacy label.
    pub label: String,
    /// Hash of the model that was trained from.
    pub model: Digest,
    /// Number of its COMMIT.
    pub committed_at: Option<u64>,
    /// H(y); absent where a recovery presumed the commit.
    pub update: Option<Digest>,
    /// Which data the training read, for whoever knows their digest.
    pub data: Option<DataTag>,
    /// SHA-256 of the program that reserved; absent where it was not known.
    pub program: Option<Digest>,
    /// How it ended.
    pub settlement: Option<Settlement>,
    /// Number of its SETTLE or REFUND.
    pub settled_at: Option<u64>,
}

/// Everything that happened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    /// Every budget, with the entry that set it and its time in seconds since 1970.
    pub policies: Vec<(u64, BudgetLimit, u64)>,
    /// The last membership.
    pub membership: Option<Membership>,
    /// Audits with their time in seconds since 1970.
    pub audits: Vec<(AuditFinding, u64)>,
    /// What witnesses saw that was not there.
    pub alarms: Vec<(TreeHead, u64)>,
    /// Sums the server published, with their time in seconds since 1970.
    pub releases: Vec<(Release, u64)>,
    /// To whom the ledger was handed, with the time in seconds since 1970.
    pub exports: Vec<(Handover, u64)>,
    /// Rotations of the owner's key, with the entry and its time in seconds since 1970.
    pub rotations: Vec<(u64, KeyRotation, u64)>,
    /// The programs that reserved, by the name in the ROSTER entry and their SHA-256, and how often.
    pub programs: BTreeMap<(String, Option<Digest>), u64>,
    /// In the order of their reservation.
    order: Vec<Digest>,
    sessions: BTreeMap<Digest, Session>,
}

impl Account {
    /// Reservations, oldest first.
    pub fn sessions(&self) -> impl Iterator<Item = (&Digest, &Session)> {
        self.order.iter().filter_map(|sid| self.sessions.get(sid).map(|session| (sid, session)))
    }

    /// One reservation by its session.
    pub fn session(&self, sid: &Digest) -> Option<&Session> {
        self.sessions.get(sid)
    }

    /// Takes the next entry.
    pub(crate) fn take(&mut self, place: u64, entry: &Entry) {
        match &entry.event {
            Event::Policy { limit, time_unix_s } => self.policies.push((place, *limit, *time_unix_s)),
            Event::Reserve { reservation, time_unix_s } => {
                let session = Session {
                    reserved_at: place,
                    time_unix_s: *time_unix_s,
                    job: reservation.job.clone(),
                    job_digest: reservation.job_digest,
                    round: reservation.round,
                    unit: reservation.unit,
                    protection: reservation.protection,
                    travel: reservation.travel,
                    survivors_min: reservation.survivors_min,
                    charge: reservation.charge,
                    purpose: reservation.purpose.clone(),
                    label: reservation.label.clone(),
                    model: reservation.model,
                    committed_at: None,
                    update: None,
                    data: None,
                    program: reservation.program,
                    settlement: None,
                    settled_at: None,
                };
                let name = self.membership.as_ref().map(|membership| membership.program.clone());
                *self.programs.entry((name.unwrap_or_default(), reservation.program)).or_default() += 1;
                if self.sessions.insert(reservation.sid, session).is_none() {
                    self.order.push(reservation.sid);
                }
            }
            Event::Commit { sid, update, data } => self.change(sid, |session| {
                session.committed_at = Some(place);
                session.update = *update;
                session.data = *data;
            }),
            Event::Refund { sid } => {
                self.change(sid, |session| session.settlement = Some(Settlement::Refunded))
            }
            Event::Settle { sid, outcome } => {
                self.change(sid, |session| {
                    session.settlement = Some(Settlement::Settled(*outcome));
                    session.settled_at = Some(place);
                });
            }
            Event::Roster { membership, .. } => self.membership = Some(membership.clone()),
            Event::Result { release, time_unix_s } => self.releases.push((release.clone(), *time_unix_s)),
            Event::Audit { finding, time_unix_s } => self.audits.push((finding.clone(), *time_unix_s)),
            Event::RollbackAlarm { seen, time_unix_s } => self.alarms.push((*seen, *time_unix_s)),
            Event::Export { handover, time_unix_s } => self.exports.push((handover.clone(), *time_unix_s)),
            Event::KeyRotation { rotation, time_unix_s } => {
                self.rotations.push((place, *rotation, *time_unix_s));
            }
            Event::Witness { .. } => {}
        }
    }

    fn change(&mut self, sid: &Digest, change: impl FnOnce(&mut Session)) {
        if let Some(session) = self.sessions.get_mut(sid) {
            change(session);
        }
    }
}
