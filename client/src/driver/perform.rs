//! Performs what the participant decides, in order, and feeds the answers back.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use guildhall_privacy::update::DangerousPolicy;
use guildhall_shared::digest::Digest;
use guildhall_shared::id::RoundId;
use guildhall_shared::job::JobSpec;
use guildhall_shared::message::{ServerMessage, UpdateHeader};
use guildhall_shared::model_state::ModelState;

use super::books::blocking;
use super::contribution::{ContributionError, Contributor, seal};
use super::halt::{HaltPoint, step_of_input, step_of_output};
use super::keeper::Keeper;
use super::preparer::{Wanted, publish};
use super::served::merchants;
use super::session::Wire;
use super::{Client, OpenJob, Sealed, report};
use crate::data::load_items;
use crate::error::ClientError;
use crate::event::Event;
use crate::model_store::{ModelStore, Retention, StoredModel, keep_job};
use crate::participant::{Input, Output, Permission, Report, ReserveOrder, TrainOrder};
use crate::serve::ServedModel;

/// What opening a job gives.
struct Opened {
    store: ModelStore,
    newest: Option<StoredModel>,
    contributor: Result<Arc<dyn Contributor>, ContributionError>,
}

impl Client {
    /// Feeds one input, performs everything that follows from it, and leaves nothing unanswered.
    ///
    /// # Errors
    /// What ends the process.
    pub(super) async fn feed(&mut self, input: Input, wire: &mut Option<Wire>) -> Result<(), ClientError> {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let heard = step_of_input(&input);
            if self.halts_at(heard.map(HaltPoint::Before)) {
                return Ok(());
            }
            for output in self.decide(input).await? {
                if let Output::Reserve(order) = &output {
                    self.attempt = order.round;
                }
                let step = step_of_output(&output);
                if self.halts_at(step.map(HaltPoint::Before)) {
                    return Ok(());
                }
                inputs.extend(self.perform(output, wire).await?);
                if self.halts_at(step.map(HaltPoint::After)) {
                    return Ok(());
                }
            }
            if self.halts_at(heard.map(HaltPoint::After)) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether a test asked this client to fall silent at this point, or at one before.
    fn halts_at(&mut self, point: Option<HaltPoint>) -> bool {
        let RoundId { round, attempt } = self.attempt;
        let asked = |point: &HaltPoint| self.sources.halt_at.is_some_and(|halt| halt.is(*point, round));
        let Some(stage) = point.filter(asked).filter(|_| !self.halted) else { return self.halted };
        self.halted = true;
        let label = self.job.as_ref().map_or(String::new(), |job| job.label.clone());
        self.tell(Event::Halted { round, attempt, stage, label });
        true
    }

    /// Asks the participant. Results are hashed and applied, and keys and shares worked on, on a blocking thread.
    async fn decide(&mut self, input: Input) -> Result<Vec<Output>, ClientError> {
        let now_ms = self.now_ms();
        let participant = Arc::clone(&self.participant);
        let heavy = is_heavy(&input);
        let ask = move || {
            let mut out = Vec::new();
            let verdict =
                participant.lock().unwrap_or_else(PoisonError::into_inner).handle(now_ms, input, &mut out);
            (out, verdict)
        };
        let (out, verdict) = if heavy { blocking(ask).await? } else { ask() };
        if let Err(refused) = verdict {
            self.refused(&refused);
        }
        Ok(out)
    }

    async fn perform(
        &mut self,
        output: Output,
        wire: &mut Option<Wire>,
    ) -> Result<Option<Input>, ClientError> {
        match output {
            Output::Send(message) => {
                if let Some(wire) = wire
                    && let Err(error) = wire.control.send(&message).await
                {
                    self.hang_up = Some(error.to_string());
                }
            }
            Output::PinRoster(roster) => {
                self.config.folder.write_roster(&roster)?;
                self.books.join(&self.member, &roster).await?;
            }
            Output::OpenJob { digest, spec } => return self.open_job(digest, spec).await.map(Some),
            Output::LoadModel { version } => return Ok(Some(self.load_model(version).await)),
            Output::StoreModel { version, model, state, keep } => self.new_model(version, model, state, keep),
            Output::Reserve(order) => return self.reserve(&order).await.map(Some),
            Output::Refund { sid } => {
                self.books.refund(sid).await?;
                self.note_epsilon();
            }
            Output::Train(order) => self.train(*order),
            Output::Commit { sid } => {
                let (hash, head) = self.books.commit(sid).await?;
                return Ok(Some(Input::Committed { sid, hash, head }));
            }
            Output::Upload { header } => self.upload(header, wire),
            Output::Settle { sid, outcome, certificate } => {
                self.books.settle(sid, outcome, certificate).await?;
            }
            Output::CompareLedger { seen } => {
                if let Some(alarm) = self.books.compare(&self.member, seen).await? {
                    self.tell(Event::LedgerRolledBack { reason: alarm });
                }
            }
            Output::CompareHeads { sid, seen } => {
                let objection = self.books.compare_heads(&self.member, seen).await?;
                if let Some(reason) = objection.clone() {
                    self.tell(Event::LedgerRolledBack { reason });
                }
                return Ok(Some(Input::LedgerCompared { sid, objection }));
            }
            Output::KeepWitness(witness) => {
                let folder = self.config.folder.clone();
                blocking(move || folder.write_witness(&witness)).await??;
            }
            Output::Report(report) => {
                // Whoever hears of the end may look at the folder.
                if let (Report::Finished { .. }, Some(job)) = (&report, &mut self.job) {
                    job.keeper.flush().await;
                }
                self.report(report);
            }
            Output::WakeAt { at_ms } => {
                self.wakes_ms.insert(at_ms);
            }
        }
        Ok(None)
    }

    async fn open_job(&mut self, digest: Digest, spec: Arc<JobSpec>) -> Result<Input, ClientError> {
        if let Some(job) = &mut self.job {
            job.keeper.flush().await;
        }
        let folder = self.config.folder.clone();
        let open = Arc::clone(&self.sources.contributor);
        let of = Arc::clone(&spec);
        let opened = blocking(move || {
            let mut store = ModelStore::open(&folder.models(&digest), &of)?;
            keep_job(&folder, &of)?;
            let newest = store.newest()?;
            Ok::<_, ClientError>(Opened { store, newest, contributor: open(&of, digest) })
        });
        let Opened { store, newest, contributor } = opened.await??;
        let objection = contributor.as_ref().err().map(ToString::to_string);
        let label = report::label(&spec);
        let (version, model, state) = match newest {
            Some(stored) => (stored.version, stored.model, Arc::new(stored.state)),
            None => {
                let first = ModelState::initial(&spec);
                (0, first.hash(&spec.model()), Arc::new(first))
            }
        };
        let seen = self.books.last_round(&spec.name);
        let contributor = contributor.ok();
        self.books.trains_on(contributor.as_ref().and_then(|one| one.data_digest())).await?;
        self.job =
            Some(OpenJob { spec: Arc::clone(&spec), label, contributor, keeper: Keeper::start(store) });
        self.publish(version, model, &state);
        self.know_shoppers(&spec);
        self.note_epsilon();
        Ok(Input::JobOpened { version, state, seen, objection })
    }

    /// Lets the service know what the shoppers in the merchant's own data have: away from the rounds, for a file may be large.
    fn know_shoppers(&self, spec: &Arc<JobSpec>) {
        let (Some(items), Some(data)) = (spec.task.items().cloned(), self.config.data.clone()) else {
            return;
        };
        let service = Arc::clone(&self.service);
        std::thread::spawn(move || match load_items(&data, &items) {
            Ok((sequences, _)) => {
                let histories = sequences.iter().map(|(key, items)| (key, items.to_vec())).collect();
                service.set_histories(items.catalogue, histories);
            }
            Err(error) => tracing::warn!(%error, "the service knows no histories"),
        });
    }

    async fn load_model(&mut self, version: u32) -> Input {
        let stored = match &mut self.job {
            Some(job) => job.keeper.load(version).await,
            None => None,
        };
        Input::ModelLoaded { version, state: stored.map(|stored| Arc::new(stored.state)) }
    }

    fn new_model(&mut self, version: u32, model: Digest, state: Arc<ModelState>, keep: bool) {
        self.publish(version, model, &state);
        let retention = if keep { Retention::Pinned } else { Retention::Ordinary };
        if let Some(job) = &mut self.job {
            job.keeper.store(version, model, state, retention);
        }
    }

    /// Serves a version; one that takes long to prepare as soon as it is.
    fn publish(&self, version: u32, model: Digest, state: &Arc<ModelState>) {
        let Some(job) = self.answering() else { return };
        // What is to be had at once is served at once where nothing else is.
        if job.spec.task.items().is_none() || self.service.newest().is_none() {
            publish(&self.service, ServedModel::new(&job.spec, &job.label, version, model, state));
        }
        if job.spec.task.items().is_some() {
            self.preparer.prepare(Wanted {
                spec: Arc::clone(&job.spec),
                label: job.label.clone(),
                version,
                model,
                state: Arc::clone(state),
                merchants: merchants(&self.config.folder),
            });
        }
    }

    async fn reserve(&mut self, order: &ReserveOrder) -> Result<Input, ClientError> {
        let sid = order.sid;
        let answer = match self.books.reserve(order).await? {
            // Drawn after the debit is durable, for this attempt alone, and kept nowhere but in its stage.
            Ok(()) => match (self.sources.seed)() {
                Ok(seed) => Input::Reserved { sid, seed },
                Err(error) => {
                    let reason = format!("the operating system gives no random bytes: {error}");
                    Input::Impossible { sid, reason }
                }
            },
            Err(refusal) => Input::ReserveRefused { sid, refusal },
        };
        self.note_epsilon();
        Ok(answer)
    }

    /// Trains on a blocking thread; the sealed update comes back through a channel, whatever became of the session.
    fn train(&mut self, order: TrainOrder) {
        let sid = order.sid;
        let answer = self.sealed_in.clone();
        let Some((contributor, spec)) =
            self.job.as_ref().and_then(|job| Some((job.contributor.clone()?, Arc::clone(&job.spec))))
        else {
            let _ = answer.send(Sealed { sid, update: Err("there is nothing to contribute from".into()) });
            return;
        };
        let open_noise = Arc::clone(&self.sources.noise);
        let allow_privacy_none = self.config.policy.privacy_none == Permission::Allowed;
        tokio::task::spawn_blocking(move || {
            let dangerous = DangerousPolicy { allow_privacy_none };
            let update = seal(&*contributor, &mut *open_noise(), dangerous, &spec, order);
            let _ = answer.send(Sealed { sid, update: update.map_err(|error| error.to_string()) });
        });
    }

    fn upload(&mut self, header: UpdateHeader, wire: &Option<Wire>) {
        let (Some(wire), Some(committed)) = (wire, self.books.committed(header.sid)) else { return };
        let link = wire.link.clone();
        tokio::spawn(async move {
            if let Err(error) = link.upload(&header, committed.bytes()).await {
                tracing::warn!(%error, "an update was not sent whole; its debit stays");
            }
        });
    }

    /// The open job, if its models are what is served.
    fn answering(&self) -> Option<&OpenJob> {
        self.job.as_ref().filter(|job| job.spec.architecture.releases_model())
    }

    fn note_epsilon(&self) {
        // ε is shown beside the model that is served.
        let served = self.service.newest().map(|model| model.job.clone());
        let followed = self.answering().map(|job| &job.spec.name);
        self.books.note_epsilon(&self.service, followed.or(served.as_ref()));
    }
}

/// Whether an input takes milliseconds to seconds to decide upon: signatures, key agreements, whole vectors.
fn is_heavy(input: &Input) -> bool {
    use ServerMessage::{Certificate, ForwardedShares, RoundRoster, Survivors};
    match input {
        Input::Result { .. } | Input::LedgerCompared { .. } => true,
        Input::Message(message) => {
            matches!(message, RoundRoster(_) | ForwardedShares(_) | Survivors(_) | Certificate(_))
        }
        _ => false,
    }
}
