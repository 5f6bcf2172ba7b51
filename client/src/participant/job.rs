//! A job that is followed: its numbers, the versions derived so far, and what is still on its way. [core]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::RoundId;
use guildhall_shared::job::JobSpec;
use guildhall_shared::message::{CatchUp, Ready, RollBack};
use guildhall_shared::model_spec::ModelSpec;
use guildhall_shared::model_state::ModelState;
use guildhall_shared::round_parameters::RoundParameters;

use super::masked::SignedSurvivors;
use super::records::Record;
use super::{Output, Participant, Refused, Report, send};

/// How long a replay that was asked for may stand still before it is asked for again.
const REPLAY_PATIENCE_MS: u64 = 30_000;

/// Whether the models and data of a job are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    Awaited,
    Done,
}

pub(super) struct FollowedJob {
    pub digest: Digest,
    pub spec: Arc<JobSpec>,
    pub model_spec: ModelSpec,
    pub parameters: RoundParameters,
    /// Digest of the parameters, the job and the roster.
    pub parameters_digest: Digest,
    pub opening: Opening,
    /// The newest version derived here.
    pub version: u32,
    pub state: Arc<ModelState>,
    pub model: Digest,
    /// Hashes of all versions derived since the start of the process.
    pub hashes: BTreeMap<u32, Digest>,
    /// The newest version known to exist.
    pub newest: u32,
    /// The newest version when the job was announced last.
    pub announced: u32,
    /// Versions above the next one, verified but not applied.
    pub held: BTreeMap<u32, Record>,
    /// A roll-back that waits for its model to be read.
    pub loading: Option<RollBack>,
    /// Versions that a roll-back names and that are derived anew.
    pub wanted: BTreeSet<u32>,
    /// The round of the last result applied since the start of the process.
    pub settled: Option<RoundId>,
    /// The greatest (round, attempt) decided upon.
    pub seen: Option<RoundId>,
    /// The survivors this client signed, by session, of rounds that are not settled.
    pub signed: BTreeMap<Digest, SignedSurvivors>,
    /// Whether the server knows, in this session, from which version on to send.
    pub asked: bool,
    /// Whether what was asked for is not complete.
    pub replaying: bool,
    /// Since when nothing came although a newer version exists.
    pub waiting_since_ms: Option<u64>,
    /// The version last declared ready in this session.
    pub ready: Option<u32>,
    /// The newest version reported to the merchant.
    pub reported: u32,
    /// Last version and its hash, once the server says that all rounds are done.
    pub end: Option<(u32, Digest)>,
    pub end_reported: bool,
    /// Why this merchant only follows the job.
    pub objection: Option<String>,
    /// Why this client takes part in no further round.
    pub stopped: Option<String>,
}

impl FollowedJob {
    pub fn new(
        digest: Digest,
        spec: Arc<JobSpec>,
        parameters: RoundParameters,
        roster: Digest,
        objection: Option<String>,
        newest: u32,
    ) -> Self {
        let state = Arc::new(ModelState::initial(&spec));
        let model_spec = spec.model();
        FollowedJob {
            digest,
            parameters_digest: parameters.digest(&digest, &roster),
            parameters,
            opening: Opening::Awaited,
            version: 0,
            model: state.hash(&model_spec),
            state,
            model_spec,
            spec,
            hashes: BTreeMap::new(),
            newest,
            announced: newest,
            held: BTreeMap::new(),
            loading: None,
            wanted: BTreeSet::new(),
            settled: None,
            seen: None,
            signed: BTreeMap::new(),
            asked: false,
            replaying: false,
            waiting_since_ms: None,
            ready: None,
            reported: 0,
            end: None,
            end_reported: false,
            objection,
            stopped: None,
        }
    }

    /// The followed job, if it is the one a message names.
    pub fn find<'a>(
        followed: &'a mut Option<FollowedJob>,
        message: &'static str,
        found: &Digest,
    ) -> Result<&'a mut FollowedJob, Refused> {
        let expected = followed.as_ref().map_or("none".to_owned(), |job| job.digest.to_string());
        match followed {
            Some(job) if job.digest == *found => Ok(job),
            _ => Err(Refused::OtherJob { message, expected, found: *found }),
        }
    }

    /// Goes to a version: derived, read back, or read from disk.
    pub fn arrive(&mut self, version: u32, state: Arc<ModelState>, model: Digest) {
        self.version = version;
        self.state = state;
        self.model = model;
        self.newest = self.newest.max(version);
        self.hashes.insert(version, model);
    }

    pub fn forget_session(&mut self) {
        self.held.clear();
        self.loading = None;
        self.asked = false;
        self.replaying = false;
        self.waiting_since_ms = None;
        self.ready = None;
    }

    fn patience_ms(&self) -> u64 {
        if self.replaying { REPLAY_PATIENCE_MS } else { (self.spec.round.accept_deadline_ms / 2).max(1) }
    }

    /// Whether a version exists that is not derived yet.
    fn is_behind(&self) -> bool {
        self.version < self.newest
    }
}

impl Participant {
    pub(super) fn job_opened(
        &mut self,
        now_ms: u64,
        version: u32,
        state: Arc<ModelState>,
        seen: Option<RoundId>,
        objection: Option<String>,
        out: &mut Vec<Output>,
    ) {
        let Some(job) = &mut self.job else { return };
        job.opening = Opening::Done;
        job.seen = job.seen.max(seen);
        job.objection = job.objection.take().or(objection);
        let model = state.hash(&job.model_spec);
        job.arrive(version, state, model);
        job.reported = version;
        out.push(Output::Report(Report::JobAnnounced {
            spec: Arc::clone(&job.spec),
            parameters: job.parameters.clone(),
            objection: job.objection.clone(),
        }));
        self.catch_up_or_get_ready(now_ms, out);
        self.take_up_held_offer(now_ms, out);
    }

    /// Asks for what is missing, or says that nothing is.
    pub(super) fn catch_up_or_get_ready(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        let Some(job) = self.job.as_mut().filter(|job| job.opening == Opening::Done && job.stopped.is_none())
        else {
            return;
        };
        if self.session.is_none() || job.loading.is_some() {
            return;
        }
        let (announced, version) = (job.announced, job.version);
        if !job.asked && announced < version {
            let reason = format!(
                "the server announces version {announced}, but this client derived version {version} from signed results: \
                 the server lost its history, or shows this client another one"
            );
            return self.stop(reason, out);
        }
        let (asked, behind) = (job.asked, job.is_behind());
        if !asked {
            self.ask_for_replay(now_ms, out);
        }
        if !behind {
            self.get_ready(out);
        } else if asked {
            self.wait_for_records(now_ms, out);
        }
    }

    fn get_ready(&mut self, out: &mut Vec<Output>) {
        let Some(job) = &mut self.job else { return };
        job.replaying = false;
        job.waiting_since_ms = None;
        if job.ready != Some(job.version) {
            job.ready = Some(job.version);
            send(Ready { job: job.digest, version: job.version, model: job.model }, out);
        }
        self.report_end(out);
    }

    /// Tells the server from which version on to send: what is missing now, and every later one as it comes.
    pub(super) fn ask_for_replay(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        let Some(job) = &mut self.job else { return };
        job.asked = true;
        job.replaying = true;
        send(CatchUp { job: job.digest, version: job.version }, out);
        if job.is_behind() {
            self.wait_for_records(now_ms, out);
        }
    }

    /// Records follow by themselves once asked for: gives them time before asking again.
    pub(super) fn wait_for_records(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        let Some(job) = &mut self.job else { return };
        job.waiting_since_ms = Some(now_ms);
        out.push(Output::WakeAt { at_ms: now_ms + job.patience_ms() });
    }

    pub(super) fn ask_again_when_due(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        let connected = self.session.is_some();
        let Some(job) = self.job.as_ref().filter(|job| connected && job.stopped.is_none()) else { return };
        let Some(since_ms) = job.waiting_since_ms.filter(|_| job.is_behind() && job.loading.is_none()) else {
            return;
        };
        if now_ms >= since_ms + job.patience_ms() {
            self.ask_for_replay(now_ms, out);
        }
    }

    fn report_end(&mut self, out: &mut Vec<Output>) {
        let Some(job) = &mut self.job else { return };
        let Some((version, model)) =
            job.end.filter(|(version, _)| *version == job.version && !job.end_reported)
        else {
            return;
        };
        if model != job.model {
            let reason = format!(
                "Finished names hash {model} for version {version}, which this client derived as {}",
                job.model
            );
            self.stop(reason, out);
            return;
        }
        job.end_reported = true;
        out.push(Output::Report(Report::Finished { job: job.spec.name.clone(), version, model }));
    }

    /// Takes part in no further round of this job.
    pub(super) fn stop(&mut self, reason: String, out: &mut Vec<Output>) {
        self.end_attempt("the server contradicts what this client derived", out);
        self.held_offer = None;
        let Some(job) = &mut self.job else { return };
        job.forget_session();
        out.push(Output::Report(Report::Stopped { job: job.spec.name.clone(), reason: reason.clone() }));
        job.stopped = Some(reason);
    }
}
