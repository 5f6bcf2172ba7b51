//! Carries out an operator's command on an open federation. Everything is durable before the reply.

mod measured;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::{MerchantIndex, Name};
use guildhall_shared::identity::{Roster, RosterEntry, Signature, SignedRoster};
use guildhall_shared::job::JobSpec;
use guildhall_shared::message::{ENROLMENT_TOKEN_BYTES, Invitation, Job, RollBack, ServerMessage};
use guildhall_shared::model_state::ModelState;
use guildhall_shared::round_parameters::RoundParameters;

use super::{AdminCommand, AdminReply, JobStatus, MerchantStatus, Status, VersionInfo};
use crate::error::ServerError;
use crate::federation::{Federation, unix_time_ms};
use crate::store::records::{Change, InvitationRecord, JobRecord, VersionRecord};

/// What only a running server knows.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// Where it listens.
    pub address: Option<SocketAddr>,
    /// Who is connected.
    pub connected: BTreeSet<Name>,
}

/// Carries out a command.
///
/// # Errors
/// Failures of the server's own; what the operator can mend is an [`AdminReply::Refused`].
pub fn apply(federation: &Federation, command: AdminCommand, live: &Live) -> Result<AdminReply, ServerError> {
    match command {
        AdminCommand::Invite { merchant } => invite(federation, merchant, live),
        AdminCommand::RosterClose => close_roster(federation),
        AdminCommand::JobSubmit { spec } => submit(federation, spec),
        AdminCommand::Status => status(federation, live),
        AdminCommand::RollBack { version } => roll_back(federation, version),
        AdminCommand::Versions => versions(federation),
    }
}

fn refused(reason: impl Into<String>) -> Result<AdminReply, ServerError> {
    Ok(AdminReply::Refused(reason.into()))
}

fn invite(federation: &Federation, merchant: Name, live: &Live) -> Result<AdminReply, ServerError> {
    if federation.records.roster()?.is_some() {
        return refused("the roster is closed: nobody can be invited any more");
    }
    if federation.records.merchant(&merchant)?.is_some() {
        return refused(format!("{merchant} is enrolled already"));
    }
    let address = federation.config.public_address.or(live.address).unwrap_or(federation.config.address);
    if address.port() == 0 {
        return refused(
            "the configured port is 0, so the address is known only while the server runs: start it first",
        );
    }
    if address.ip().is_unspecified() {
        return refused(format!(
            "the server listens on {address}, which merchants cannot connect to: set public_address in server.toml"
        ));
    }
    let mut token = [0u8; ENROLMENT_TOKEN_BYTES];
    getrandom::fill(&mut token).map_err(ServerError::Randomness)?;
    let authority = federation.authority.fingerprint();
    let invitation = Invitation { merchant: merchant.clone(), address, authority, token };
    let record = InvitationRecord { merchant, used_by: None };
    federation.records.put_invitation(&Invitation::token_digest(&invitation.token), &record)?;
    Ok(AdminReply::Invitation(invitation.to_text()))
}

fn close_roster(federation: &Federation) -> Result<AdminReply, ServerError> {
    if federation.records.roster()?.is_some() {
        return refused("the roster is closed already");
    }
    let entry = |merchant: crate::store::records::MerchantRecord| RosterEntry {
        certificate: merchant.certificate_digest(),
        name: merchant.name,
        region: merchant.region,
        identity: merchant.identity,
    };
    let entries: Vec<RosterEntry> = federation.records.merchants()?.into_iter().map(entry).collect();
    let roster = Roster { federation: federation.id, entries };
    let signed = match SignedRoster::sign(roster, &federation.key) {
        Ok(signed) => signed,
        Err(error) => return refused(error.to_string()),
    };
    federation.records.put_roster(&signed)?;
    Ok(AdminReply::RosterClosed {
        digest: signed.roster.digest().to_string(),
        merchants: signed.roster.entries.into_iter().map(|entry| entry.name).collect(),
    })
}

/// Rounds of a job that settled: results in its history.
pub fn settled_rounds(history: &[VersionRecord]) -> u32 {
    history.iter().filter(|record| matches!(record.change, Change::Result(_))).count() as u32
}

fn submit(federation: &Federation, spec: JobSpec) -> Result<AdminReply, ServerError> {
    let Some(signed) = federation.records.roster()? else {
        return refused("the roster is open: close it first, a job is for a fixed list of merchants");
    };
    if let Err(error) = spec.check() {
        return refused(error.to_string());
    }
    let merchants = signed.roster.len() as u32;
    let parameters = match RoundParameters::derive(&spec, merchants) {
        Ok(parameters) => parameters,
        Err(error) => return refused(error.to_string()),
    };
    if parameters.quorum > merchants {
        let quorum = parameters.quorum;
        return refused(format!(
            "expected a quorum of at most the {merchants} merchants of the roster, found {quorum}"
        ));
    }
    let jobs = federation.records.jobs()?;
    if jobs.iter().any(|job| job.spec.name == spec.name) {
        return refused(format!("there was a job {} already: give this one another name", spec.name));
    }
    if let Some(last) = jobs.last() {
        let settled = settled_rounds(&federation.records.versions(last.number)?);
        if settled < last.spec.rounds {
            let (name, rounds) = (&last.spec.name, last.spec.rounds);
            return refused(format!("job {name} is at round {settled} of {rounds}: one job runs at a time"));
        }
    }
    if let Some(reason) = measured::mistake(federation, &spec, &jobs)? {
        return refused(reason);
    }
    if let Some(reason) = too_large(&spec) {
        return refused(reason);
    }
    let reply = AdminReply::JobSubmitted {
        job: spec.name.clone(),
        digest: spec.digest().to_string(),
        parameters: parameters.parameters,
        label: spec.privacy.label(),
    };
    federation.records.put_job(&JobRecord { number: jobs.len() as u32, spec })?;
    Ok(reply)
}

/// Whether the job fits the message that announces it.
fn too_large(spec: &JobSpec) -> Option<String> {
    let zero = Digest([0; 32]);
    let job = Job { spec: spec.clone(), roster: zero, version: 0, signature: Signature([zero.0; 2]) };
    let message = ServerMessage::from(job);
    let limit = ServerMessage::limit(message.kind()).ok()?;
    match message.to_frame() {
        Ok(frame) => {
            let header = guildhall_shared::frame::FrameHeader::of(message.kind(), frame.get(16..)?);
            header.check_length(limit).err().map(|e| format!("the job is too large to announce: {e}"))
        }
        Err(error) => Some(format!("the job is too large to announce: {error}")),
    }
}

fn status(federation: &Federation, live: &Live) -> Result<AdminReply, ServerError> {
    let merchants = federation.records.merchants()?.into_iter().map(|merchant| MerchantStatus {
        connected: live.connected.contains(&merchant.name),
        name: merchant.name,
        region: merchant.region,
    });
    let job = match federation.records.newest_job()? {
        Some(job) => Some(job_status(federation, &job)?),
        None => None,
    };
    Ok(AdminReply::Status(Box::new(Status {
        name: federation.config.name.clone(),
        federation: federation.id.to_string(),
        address: live.address,
        merchants: merchants.collect(),
        roster: federation.records.roster()?.map(|signed| signed.roster.digest().to_string()),
        job,
    })))
}

/// Hash of a version whose history is known.
fn model_hash(spec: &JobSpec, history: &[VersionRecord], version: u32) -> Option<Digest> {
    match version.checked_sub(1) {
        None => Some(ModelState::initial(spec).hash(&spec.model())),
        Some(index) => history.get(index as usize).map(VersionRecord::model),
    }
}

fn job_status(federation: &Federation, job: &JobRecord) -> Result<JobStatus, ServerError> {
    let history = federation.records.versions(job.number)?;
    let (settled, version) = (settled_rounds(&history), history.len() as u32);
    Ok(JobStatus {
        name: job.spec.name.clone(),
        digest: job.spec.digest().to_string(),
        label: job.spec.privacy.label(),
        rounds: job.spec.rounds,
        settled,
        version,
        model: model_hash(&job.spec, &history, version).map(|hash| hash.to_string()).unwrap_or_default(),
        finished: settled >= job.spec.rounds,
    })
}

fn roll_back(federation: &Federation, to: u32) -> Result<AdminReply, ServerError> {
    let Some(job) = federation.records.newest_job()? else {
        return refused("there is no job whose model could be rolled back");
    };
    let history = federation.records.versions(job.number)?;
    let newest = history.len() as u32;
    let Some(model) = model_hash(&job.spec, &history, to).filter(|_| to < newest) else {
        return refused(format!("expected a version before the newest, which is {newest}; found {to}"));
    };
    let unsigned = RollBack {
        job: job.spec.digest(),
        version: newest + 1,
        to,
        model,
        signature: Signature([[0; 32]; 2]),
    };
    let change = Change::RollBack(unsigned.sign(&federation.key));
    federation.records.put_version(
        job.number,
        newest + 1,
        &VersionRecord { at_ms: unix_time_ms(), change },
    )?;
    Ok(AdminReply::RolledBack { version: newest + 1, to, model: model.to_string() })
}

fn versions(federation: &Federation) -> Result<AdminReply, ServerError> {
    let Some(job) = federation.records.newest_job()? else { return Ok(AdminReply::Versions(vec![])) };
    let roster = federation.records.roster()?;
    let name = |index: &MerchantIndex| {
        roster.as_ref().and_then(|signed| signed.roster.entry(*index)).map(|entry| entry.name.clone())
    };
    let initial = ModelState::initial(&job.spec).hash(&job.spec.model()).to_string();
    let mut list = vec![VersionInfo {
        version: 0,
        model: initial,
        round: None,
        equals: None,
        contributors: vec![],
        at_ms: None,
    }];
    for (index, record) in federation.records.versions(job.number)?.iter().enumerate() {
        let (round, equals, contributors) = match &record.change {
            Change::Result(header) => {
                (Some(header.round.round), None, header.contributors.iter().filter_map(name).collect())
            }
            Change::RollBack(roll_back) => (None, Some(roll_back.to), vec![]),
        };
        let (version, model) = (index as u32 + 1, record.model().to_string());
        list.push(VersionInfo { version, model, round, equals, contributors, at_ms: Some(record.at_ms) });
    }
    Ok(AdminReply::Versions(list))
}
