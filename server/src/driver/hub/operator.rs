//! What operators and newcomers ask of the hub, and what follows from it for the coordinator.

use std::net::SocketAddr;
use std::sync::Arc;

use guildhall_shared::identity::{IdentityKey, SignedRoster};
use guildhall_shared::message::{EnrolReply, EnrolRequest, Enrolled};
use guildhall_shared::round_parameters::RoundParameters;
use tokio::sync::oneshot;

use super::super::outgoing::Head;
use super::{Hub, heavy};
use crate::admin::apply::{self, Live, settled_rounds};
use crate::admin::{AdminCommand, AdminReply};
use crate::coordinator::{Coordinator, Input, Progress, Setup};
use crate::enrolment::{self, Enrolment, EnrolmentError};
use crate::error::ServerError;
use crate::event::Event;
use crate::registry::Registry;
use crate::store::records::{Change, JobRecord, MerchantRecord};

impl Hub {
    pub(super) fn enrol(
        &mut self,
        peer: SocketAddr,
        request: &EnrolRequest,
        reply: oneshot::Sender<EnrolReply>,
    ) -> Result<(), ServerError> {
        let outcome = enrolment::enrol(&self.federation.records, &self.federation.authority, request);
        let merchant: MerchantRecord = match outcome {
            Ok(Enrolment::New(merchant)) => {
                self.events.emit(Event::Enrolled { merchant: merchant.name.clone() });
                merchant
            }
            Ok(Enrolment::Repeated(merchant)) => merchant,
            Err(error) => {
                self.events.refused(format!("{} at {peer}", request.merchant), format!("enrolment: {error}"));
                // Whoever asked may have left: that changes nothing.
                let _ = reply.send(EnrolReply::Refused(error.to_string()));
                return match error {
                    EnrolmentError::Store(error) => Err(error.into()),
                    _ => Ok(()),
                };
            }
        };
        let _ = reply.send(EnrolReply::Granted(Enrolled {
            federation: self.federation.id,
            federation_key: self.federation.key.public(),
            certificate: merchant.certificate,
            authority: self.federation.authority.certificate.clone(),
        }));
        Ok(())
    }

    /// Carries out a command, lets the coordinator know, and answers.
    pub(super) fn operate(
        &mut self,
        command: AdminCommand,
        reply: oneshot::Sender<AdminReply>,
    ) -> Result<(), ServerError> {
        let live =
            Live { address: Some(self.address), connected: self.by_merchant.keys().cloned().collect() };
        let answer = match apply::apply(&self.federation, command, &live) {
            Ok(answer) => answer,
            Err(error) => {
                let _ = reply.send(AdminReply::Refused(error.to_string()));
                return Err(error);
            }
        };
        self.follow_up(&answer)?;
        // The operator may have left: the command is carried out all the same.
        let _ = reply.send(answer);
        Ok(())
    }

    fn follow_up(&mut self, answer: &AdminReply) -> Result<(), ServerError> {
        let records = &self.federation.records;
        match answer {
            AdminReply::RosterClosed { merchants, .. } => {
                let Some(signed) = records.roster()? else { return Ok(()) };
                self.events.emit(Event::RosterClosed { merchants: merchants.clone() });
                self.open_coordinator(&signed)?;
                let numbers: Vec<u64> = self.sessions.keys().copied().collect();
                numbers.into_iter().try_for_each(|number| self.welcome(number))
            }
            AdminReply::JobSubmitted { .. } => match records.newest_job()? {
                Some(job) => self.start_job(job),
                None => Ok(()),
            },
            AdminReply::RolledBack { version, .. } => self.rolled_back(*version),
            _ => Ok(()),
        }
    }

    pub(super) fn open_coordinator(&mut self, signed: &SignedRoster) -> Result<(), ServerError> {
        self.mirror.join(&self.federation, signed)?;
        let mut nonce_seed = [0; 32];
        getrandom::fill(&mut nonce_seed).map_err(ServerError::Randomness)?;
        self.coordinator = Some(Coordinator::new(Setup {
            federation: self.federation.id,
            key: IdentityKey::from_secret(&self.federation.key.to_secret()),
            roster: Arc::new(signed.roster.clone().decode()),
            nonce_seed,
            back_off_ms: self.federation.config.limits.back_off_ms,
        }));
        Ok(())
    }

    /// Goes on with a job from where its history ends.
    pub(super) fn start_job(&mut self, job: JobRecord) -> Result<(), ServerError> {
        let federation = Arc::clone(&self.federation);
        let records = &federation.records;
        let (Some(signed), Some(_)) = (records.roster()?, &self.coordinator) else { return Ok(()) };
        let parameters = RoundParameters::derive(&job.spec, signed.roster.len() as u32)?;
        let history = records.versions(job.number)?;
        let version = history.len() as u32;
        let registry = Registry::new(&federation, job.number, &job.spec, &parameters);
        let state = heavy(|| registry.derive(version))?;
        let progress = Progress {
            parameters: parameters.clone(),
            version,
            state,
            settled: settled_rounds(&history),
            last_attempt: records.last_attempt(job.number)?,
            spec: job.spec.clone(),
        };
        self.job = Some(job.number);
        self.cached_version = 0;
        for session in self.sessions.values_mut() {
            session.follows = false;
        }
        self.head.send_replace(Head { job: self.job, version, frame: None });
        let now = self.now();
        let mut out = Vec::new();
        if let Some(coordinator) = &mut self.coordinator {
            heavy(|| coordinator.start_job(progress, now, &mut out));
        }
        self.perform(out)
    }

    fn rolled_back(&mut self, version: u32) -> Result<(), ServerError> {
        let federation = Arc::clone(&self.federation);
        let (Some(number), Some(job)) = (self.job, self.coordinator.as_ref().and_then(Coordinator::job))
        else {
            return Ok(());
        };
        let Some(Change::RollBack(roll_back)) =
            federation.records.version(number, version)?.map(|r| r.change)
        else {
            return Ok(());
        };
        let registry = Registry::new(&federation, number, job.spec(), job.parameters());
        let state = Box::new(heavy(|| registry.derive(version))?);
        self.feed_and_log(Input::RolledBack { roll_back, state })
    }
}
