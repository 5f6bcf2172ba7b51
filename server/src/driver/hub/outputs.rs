//! Carrying out what the coordinator wants, in its order.

use std::sync::Arc;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::{MerchantIndex, RoundId};
use guildhall_shared::message::ResultHeader;
use guildhall_shared::model_state::ModelState;
use guildhall_shared::secagg::transcript::SignedUpdate;

use super::super::outgoing::Head;
use super::{Hub, heavy};
use crate::coordinator::{Coordinator, Output, Release};
use crate::error::ServerError;
use crate::event::Event;
use crate::federation::unix_time_ms;
use crate::registry::{Registry, result_frame};
use crate::store::records::{Change, VersionRecord};
use crate::store::{StoreError, files};

/// The newest model is cached every this many versions, at the job's end and at shutdown.
const CACHE_EVERY_VERSIONS: u32 = 16;

impl Hub {
    pub(super) fn perform(&mut self, outputs: Vec<Output>) -> Result<(), ServerError> {
        // First of all: whoever is told to begin may answer at once.
        self.publish_expected();
        for output in outputs {
            match output {
                Output::Send { to, message } => self.send(to, message),
                Output::Broadcast { to, message } => self.broadcast(&to, &message)?,
                Output::Witness { sid, updates } => self.witness(sid, updates)?,
                Output::RecordAttempt(attempt) => self.record_attempt(attempt)?,
                Output::Release(release) => self.release(*release)?,
                Output::PublishVersion(version) => self.publish(version, None),
                Output::Event(event) => self.announce(event)?,
            }
        }
        Ok(())
    }

    /// Makes the heads of the merchants' ledgers durable, then tells each of them that its own was seen, cosigned.
    fn witness(&mut self, sid: Digest, updates: Vec<SignedUpdate>) -> Result<(), ServerError> {
        let merchants: Vec<MerchantIndex> = updates.iter().map(|update| update.merchant).collect();
        heavy(|| self.mirror.witness(sid, updates))?;
        for merchant in merchants {
            let name = self.by_index.get(&merchant).and_then(|number| self.sessions.get(number));
            let Some(name) = name.map(|session| session.merchant.clone()) else { continue };
            if let Some(seen) = self.mirror.seen(&self.federation, merchant, &name) {
                self.send(merchant, seen.into());
            }
        }
        Ok(())
    }

    /// Lets sessions know which updates are awaited now.
    fn publish_expected(&self) {
        let expected = self.coordinator.as_ref().and_then(Coordinator::expected_update);
        self.expected.send_if_modified(|current| {
            let changed = current.as_ref().map(|e| e.sid) != expected.as_ref().map(|e| e.sid);
            if changed {
                *current = expected.map(Arc::new);
            }
            changed
        });
    }

    fn record_attempt(&mut self, attempt: RoundId) -> Result<(), ServerError> {
        self.traffic_at_offer = self.traffic.read();
        if let Some(job) = self.job {
            self.federation.records.put_attempt(job, attempt)?;
        }
        Ok(())
    }

    /// The result's file first, then its record, then the world.
    fn release(&mut self, release: Release) -> Result<(), ServerError> {
        let Some(job) = self.job else { return Ok(()) };
        let Release { header, words, merchants, dropped, offered_at, privacy } = release;
        let frame = result_frame(&header, &words).map_err(StoreError::from)?;
        drop(words);
        let version = header.version;
        let path = self.federation.result_path(job, version);
        heavy(|| files::write_durably(&path, &frame))?;
        let record = VersionRecord { at_ms: unix_time_ms(), change: Change::Result(header.clone()) };
        self.federation.records.put_version(job, version, &record)?;
        self.mirror_release(job, &header)?;
        let followers = self.sessions.values().filter(|session| session.follows).count();
        let (up, down) = self.traffic.read();
        let event = Event::RoundSettled {
            round: header.round.round,
            attempt: header.round.attempt,
            version,
            model: header.model.to_string(),
            merchants,
            dropped,
            seconds: self.now().saturating_sub(offered_at) as f64 / 1_000.0,
            bytes_up: up - self.traffic_at_offer.0,
            bytes_down: down - self.traffic_at_offer.1 + (followers * frame.len()) as u64,
            privacy,
        };
        self.publish(version, Some(Arc::new(frame)));
        self.events.emit(event);
        if version % CACHE_EVERY_VERSIONS == 0 { self.cache_model() } else { Ok(()) }
    }

    /// The server's ledger says what was published, from which model to which.
    fn mirror_release(&mut self, number: u32, header: &ResultHeader) -> Result<(), ServerError> {
        let Some(job) = self.coordinator.as_ref().and_then(Coordinator::job) else { return Ok(()) };
        let spec = job.spec();
        let before = match header.version {
            0 | 1 => None,
            version => self.federation.records.version(number, version - 1)?,
        };
        let model_in =
            before.map_or_else(|| ModelState::initial(spec).hash(&spec.model()), |record| record.model());
        let release = guildhall_ledger::Release {
            job: spec.name.clone(),
            job_digest: header.job,
            sid: header.sid,
            round: header.round,
            version: header.version,
            model_in,
            model_out: header.model,
            survivors: header.contributors.len() as u32,
        };
        heavy(|| self.mirror.released(release))
    }

    fn publish(&mut self, version: u32, frame: Option<Arc<Vec<u8>>>) {
        self.head.send_replace(Head { job: self.job, version, frame });
    }

    fn announce(&mut self, event: Event) -> Result<(), ServerError> {
        let finished = matches!(event, Event::JobFinished { .. });
        self.events.emit(event);
        if finished { self.cache_model() } else { Ok(()) }
    }

    /// Keeps the newest model, so that the next start is quick. The history alone would do.
    pub(super) fn cache_model(&mut self) -> Result<(), ServerError> {
        let (Some(number), Some(job)) = (self.job, self.coordinator.as_ref().and_then(Coordinator::job))
        else {
            return Ok(());
        };
        if job.version() == self.cached_version {
            return Ok(());
        }
        let registry = Registry::new(&self.federation, number, job.spec(), job.parameters());
        heavy(|| registry.cache(job.version(), job.state()))?;
        self.cached_version = job.version();
        Ok(())
    }
}
