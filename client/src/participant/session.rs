//! From a connection to a followed job: greeting, roster, announcement. [core]

use std::sync::Arc;

use guildhall_shared::identity::SignedRoster;
use guildhall_shared::message::{Finished, Hello, Job, Welcome};
use guildhall_shared::round_parameters::RoundParameters;

use super::job::FollowedJob;
use super::{Output, Participant, Pinned, Refused, Report, Standing, send};

/// Checks that a closed roster is the federation's and lists this client as it is.
pub(super) fn check_roster(standing: &Standing, signed: &SignedRoster) -> Result<Pinned, Refused> {
    let (expected, found) = (standing.federation, signed.roster.federation);
    if expected != found {
        return Err(Refused::Federation { expected, found });
    }
    signed.verify(&standing.federation_key)?;
    let own = signed.roster.find(|entry| {
        entry.name == standing.merchant
            && entry.identity == standing.identity.public()
            && entry.certificate == standing.certificate
    });
    let own = own.ok_or_else(|| Refused::NotListed { merchant: standing.merchant.to_string() })?;
    Ok(Pinned { digest: signed.roster.digest(), roster: Arc::new(signed.roster.clone().decode()), own })
}

impl Participant {
    pub(super) fn greet(&mut self, nonce: [u8; 32], out: &mut Vec<Output>) {
        let roster = self.pinned.as_ref().map(|pinned| pinned.digest);
        let Standing { federation, software, .. } = &self.standing;
        let hello = Hello { federation: *federation, roster, software: software.clone(), nonce };
        self.session = Some(hello.clone());
        send(hello, out);
    }

    /// The link is lost: whatever was not committed is given back.
    pub(super) fn part(&mut self, out: &mut Vec<Output>) {
        self.session = None;
        self.held_offer = None;
        self.end_attempt("the connection was lost", out);
        if let Some(job) = &mut self.job {
            job.forget_session();
        }
    }

    pub(super) fn welcome(&mut self, welcome: Welcome, out: &mut Vec<Output>) -> Result<(), Refused> {
        let (expected, found) = (self.standing.federation, welcome.federation);
        if expected != found {
            return Err(Refused::Federation { expected, found });
        }
        let Some(hello) = &self.session else { return Ok(()) };
        welcome.witness.verify(hello, &self.standing.merchant, &self.standing.federation_key)?;
        if let Some(seen) = welcome.witness.seen {
            out.push(Output::CompareLedger { seen });
        }
        let Some(signed) = welcome.roster else { return Ok(()) };
        let roster = check_roster(&self.standing, &signed)?;
        match &self.pinned {
            Some(pinned) if pinned.digest == roster.digest => Ok(()),
            Some(pinned) => Err(Refused::RosterChanged { expected: pinned.digest, found: roster.digest }),
            None => {
                out.push(Output::PinRoster(Box::new(signed)));
                let (digest, merchants) = (roster.digest, roster.merchants());
                self.pinned = Some(roster);
                out.push(Output::Report(Report::RosterPinned { roster: digest, merchants }));
                Ok(())
            }
        }
    }

    pub(super) fn announced(&mut self, now_ms: u64, job: Job, out: &mut Vec<Output>) -> Result<(), Refused> {
        let pinned = self.pinned.as_ref().ok_or(Refused::NoRoster)?;
        let (roster, merchants) = (pinned.digest, pinned.merchants());
        job.verify(&self.standing.federation_key)?;
        if job.roster != roster {
            return Err(Refused::RosterChanged { expected: roster, found: job.roster });
        }
        let digest = job.spec.digest();
        if let Some(followed) = self.job.as_mut().filter(|followed| followed.digest == digest) {
            followed.announced = job.version;
            followed.newest = followed.newest.max(job.version);
            self.catch_up_or_get_ready(now_ms, out);
            return Ok(());
        }
        job.spec.check().map_err(Refused::Job)?;
        let parameters = RoundParameters::derive(&job.spec, merchants)?;
        let objection = self.standing.policy.objection(&job.spec, parameters.mode);
        self.end_attempt("another job was announced", out);
        self.held_offer = None;
        let spec = Arc::new(job.spec);
        let followed =
            FollowedJob::new(digest, Arc::clone(&spec), parameters, roster, objection, job.version);
        self.job = Some(followed);
        out.push(Output::OpenJob { digest, spec });
        Ok(())
    }

    pub(super) fn finished(
        &mut self,
        now_ms: u64,
        end: &Finished,
        out: &mut Vec<Output>,
    ) -> Result<(), Refused> {
        let job = FollowedJob::find(&mut self.job, "Finished", &end.job)?;
        if end.version < job.version {
            return Err(Refused::FinishedEarly { expected: job.version, found: end.version });
        }
        job.newest = job.newest.max(end.version);
        job.end = Some((end.version, end.model));
        self.catch_up_or_get_ready(now_ms, out);
        Ok(())
    }
}
