//! Released sums and roll-backs: every version is derived here and its hash compared. [core]

use std::sync::Arc;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::MerchantIndex;
use guildhall_shared::message::{ResultHeader, RollBack};
use guildhall_shared::model_state::ModelState;
use guildhall_shared::ring::RingVector;

use super::attempt::Attempt;
use super::job::{FollowedJob, Opening};
use super::{Outcome, Output, Participant, Refused, Report};

/// Results held above the next version. They come in order; only a roll-back may be overtaken.
const HELD_RESULTS_MAX: usize = 2;
/// Roll-backs held above the next version.
const HELD_ROLL_BACKS_MAX: usize = 4_096;

/// A verified step from one version to the next.
pub(super) enum Record {
    Result { header: ResultHeader, words: Vec<u8> },
    RollBack(RollBack),
}

impl Record {
    fn version(&self) -> u32 {
        match self {
            Record::Result { header, .. } => header.version,
            Record::RollBack(roll_back) => roll_back.version,
        }
    }

    fn model(&self) -> Digest {
        match self {
            Record::Result { header, .. } => header.model,
            Record::RollBack(roll_back) => roll_back.model,
        }
    }
}

impl Participant {
    pub(super) fn result(
        &mut self,
        now_ms: u64,
        header: ResultHeader,
        words: Vec<u8>,
        out: &mut Vec<Output>,
    ) -> Result<(), Refused> {
        FollowedJob::find(&mut self.job, "Result", &header.job)?;
        header.verify(&self.standing.federation_key)?;
        let found = Digest::of_bytes(&words);
        if found != header.sum {
            return Err(Refused::Words { version: header.version, expected: header.sum, found });
        }
        self.record(now_ms, Record::Result { header, words }, out);
        Ok(())
    }

    pub(super) fn roll_back(
        &mut self,
        now_ms: u64,
        record: RollBack,
        out: &mut Vec<Output>,
    ) -> Result<(), Refused> {
        FollowedJob::find(&mut self.job, "RollBack", &record.job)?;
        record.verify(&self.standing.federation_key)?;
        self.record(now_ms, Record::RollBack(record), out);
        Ok(())
    }

    /// Takes a verified record in: applies it when it is next, holds it when it is early, compares it when it is known.
    fn record(&mut self, now_ms: u64, record: Record, out: &mut Vec<Output>) {
        let Some(job) = self.job.as_mut().filter(|job| job.opening == Opening::Done && job.stopped.is_none())
        else {
            return;
        };
        let version = record.version();
        job.newest = job.newest.max(version);
        if version <= job.version {
            self.compare_known(version, record.model(), out);
            return;
        }
        let same_kind =
            |held: &&Record| matches!(held, Record::Result { .. }) == matches!(record, Record::Result { .. });
        let room = match &record {
            Record::Result { .. } => HELD_RESULTS_MAX,
            Record::RollBack(_) => HELD_ROLL_BACKS_MAX,
        };
        let next = version == job.version + 1 && job.loading.is_none();
        if next || job.held.values().filter(same_kind).count() < room {
            job.held.insert(version, record);
        }
        self.apply_held(now_ms, out);
    }

    /// A record of a version that was derived before must name the same hash.
    fn compare_known(&mut self, version: u32, found: Digest, out: &mut Vec<Output>) {
        let Some(expected) = self.job.as_ref().and_then(|job| job.hashes.get(&version).copied()) else {
            return;
        };
        if expected != found {
            self.stop(
                format!("the server now names hash {found} for version {version}, which this client derived as {expected}"),
                out,
            );
        }
    }

    /// Applies held records as far as they go without a gap.
    pub(super) fn apply_held(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        let mut moved = false;
        while let Some(job) = self.job.as_mut().filter(|job| job.loading.is_none() && job.stopped.is_none()) {
            let Some(record) = job.held.remove(&(job.version + 1)) else { break };
            match record {
                Record::Result { header, words } => self.apply_result(&header, &words, out),
                Record::RollBack(roll_back) => self.apply_roll_back(now_ms, roll_back, out),
            }
            moved = true;
        }
        if let Some(job) = self.job.as_mut().filter(|_| moved) {
            job.waiting_since_ms = None;
        }
        self.catch_up_or_get_ready(now_ms, out);
        self.take_up_held_offer(now_ms, out);
    }

    fn apply_result(&mut self, header: &ResultHeader, words: &[u8], out: &mut Vec<Output>) {
        let Some(job) = &self.job else { return };
        match derive_next(job, header, words) {
            Ok((state, model)) => {
                self.conclude(header, out);
                self.arrive(header.version, Arc::new(state), model, out);
                if let Some(job) = &mut self.job {
                    job.settled = Some(header.round);
                    job.signed.retain(|_, signed| signed.round > header.round);
                }
            }
            Err(reason) => self.stop(reason, out),
        }
    }

    fn apply_roll_back(&mut self, now_ms: u64, roll_back: RollBack, out: &mut Vec<Output>) {
        let Some(job) = &mut self.job else { return };
        let (version, to, found) = (roll_back.version, roll_back.to, roll_back.model);
        if to >= version {
            let reason = format!("roll-back of version {version}: expected an earlier version, found {to}");
            return self.stop(reason, out);
        }
        if let Some(expected) = job.hashes.get(&to).filter(|expected| **expected != found) {
            let reason = format!(
                "roll-back of version {version} names hash {found} for version {to}, which this client derived as {expected}"
            );
            return self.stop(reason, out);
        }
        job.loading = Some(roll_back);
        if to == 0 {
            let first = Arc::new(ModelState::initial(&job.spec));
            self.finish_loading(now_ms, Some(first), out);
        } else {
            out.push(Output::LoadModel { version: to });
        }
    }

    pub(super) fn model_loaded(
        &mut self,
        now_ms: u64,
        version: u32,
        state: Option<Arc<ModelState>>,
        out: &mut Vec<Output>,
    ) {
        if self.job.as_ref().and_then(|job| job.loading.as_ref()).is_some_and(|awaited| awaited.to == version)
        {
            self.finish_loading(now_ms, state, out);
            self.apply_held(now_ms, out);
        }
    }

    fn finish_loading(&mut self, now_ms: u64, state: Option<Arc<ModelState>>, out: &mut Vec<Output>) {
        let Some(job) = &mut self.job else { return };
        let Some(roll_back) = job.loading.take() else { return };
        let Some(state) = state else { return self.derive_anew(now_ms, roll_back.to, out) };
        let derived = state.hash(&job.model_spec);
        if derived != roll_back.model {
            let reason = format!(
                "roll-back of version {} names hash {} for version {}, which this client derived as {derived}",
                roll_back.version, roll_back.model, roll_back.to
            );
            return self.stop(reason, out);
        }
        self.arrive(roll_back.version, state, derived, out);
    }

    /// The model of a roll-back is not kept any more: starts from model 0 and keeps it when it comes by.
    fn derive_anew(&mut self, now_ms: u64, wanted: u32, out: &mut Vec<Output>) {
        let Some(job) = &mut self.job else { return };
        job.wanted.insert(wanted);
        let first = Arc::new(ModelState::initial(&job.spec));
        let model = first.hash(&job.model_spec);
        job.forget_session();
        job.settled = None;
        job.arrive(0, first, model);
        self.ask_for_replay(now_ms, out);
    }

    fn arrive(&mut self, version: u32, state: Arc<ModelState>, model: Digest, out: &mut Vec<Output>) {
        let Some(job) = &mut self.job else { return };
        if let Some(expected) = job.hashes.get(&version).filter(|expected| **expected != model) {
            let reason =
                format!("version {version} now comes to hash {model}, earlier it came to {expected}");
            return self.stop(reason, out);
        }
        job.arrive(version, Arc::clone(&state), model);
        let keep = job.wanted.contains(&version);
        out.push(Output::StoreModel { version, model, state, keep });
        if version > job.reported {
            job.reported = version;
            out.push(Output::Report(Report::NewModel { job: job.spec.name.clone(), version, model }));
        }
    }

    /// A round settled: the live attempt at it, or at an earlier one, is over.
    fn conclude(&mut self, header: &ResultHeader, out: &mut Vec<Output>) {
        let Some(own) = self.pinned.as_ref().map(|pinned| pinned.own) else { return };
        let Some(attempt) = self.attempt.as_ref().filter(|attempt| attempt.round() <= header.round) else {
            return;
        };
        let within = attempt.sid() == header.sid && header.contributors.contains(&own);
        if within && attempt.is_uploaded() {
            let ResultHeader { sid, version, model, .. } = *header;
            let survivors = header.contributors.len() as u32;
            let outcome = Outcome::Contributed { version, model, survivors };
            let certificate = self.attempt.take().and_then(Attempt::certificate);
            out.push(Output::Settle { sid, outcome, certificate });
        } else {
            self.end_attempt_as(Outcome::LeftOut, "the round settled without this merchant's update", out);
        }
    }
}

/// The next version from a released sum, if the signed header agrees with it in everything.
fn derive_next(
    job: &FollowedJob,
    header: &ResultHeader,
    words: &[u8],
) -> Result<(ModelState, Digest), String> {
    let what = format!("result of version {}", header.version);
    let parameters = &job.parameters;
    if !are_merchants(&header.contributors, parameters.quorum, parameters.merchants) {
        return Err(format!(
            "{what}: expected at least {} contributors below #{} in ascending order",
            parameters.quorum, parameters.merchants
        ));
    }
    if let Some(signed) = job.signed.get(&header.sid).filter(|signed| signed.survivors != header.contributors)
    {
        return Err(format!(
            "{what}: expected the sum of the {} survivors this client signed for the attempt, found the sum of another set \
             of {} merchants",
            signed.survivors.len(),
            header.contributors.len()
        ));
    }
    if job.settled.is_some_and(|settled| header.round <= settled) {
        return Err(format!("{what}: expected a later round than the one before, found {}", header.round));
    }
    let mut sum = RingVector::zero(parameters.ring, parameters.parameters as usize);
    sum.add_bytes(words).map_err(|error| format!("{what}: {error}"))?;
    let next = job.state.next(&job.spec, &sum.centred()).map_err(|error| format!("{what}: {error}"))?;
    let derived = next.hash(&job.model_spec);
    if derived != header.model {
        return Err(format!(
            "{what}: the server names hash {}, this client derives {derived} from the same sum",
            header.model
        ));
    }
    Ok((next, derived))
}

/// Whether a list names at least `least` different merchants of a roster of n, in ascending order.
pub(super) fn are_merchants(list: &[MerchantIndex], least: u32, merchants: u32) -> bool {
    let ascending = list.windows(2).all(|pair| pair[0] < pair[1]);
    let listed = list.last().is_none_or(|last| u32::from(last.0) < merchants);
    ascending && listed && list.len() as u64 >= u64::from(least)
}
