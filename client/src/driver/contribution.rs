//! From a merchant's data to a sealed update. Whatever happens to rows in here, an update comes out.
//!
//! # Privacy
//! Noise is drawn before any row is read. Training that fails, panics or has nothing to say contributes zero, and the
//! noise is sent all the same: nobody outside can tell. Who enters a round is an independent coin per shopper.

mod measured;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use guildhall_privacy::ledger::DataDigest;
use guildhall_privacy::noise::{NoiseError, NoiseShare, NoiseSource};
use guildhall_privacy::parameter::{ClippingParameters, ParameterError};
use guildhall_privacy::update::{
    ClippedSum, DangerousPolicy, PermitRefused, SealedUpdate, UnprotectedPermit,
};
use guildhall_shared::digest::Digest;
use guildhall_shared::id::RoundId;
use guildhall_shared::job::JobSpec;
use guildhall_shared::model_spec::Architecture;
use guildhall_shared::model_state::ModelState;
use guildhall_shared::round_parameters::RoundMode;
use guildhall_shared::task::Task;

use crate::config::ClientConfig;
use crate::data::observations::ShopperKey;
use crate::data::sequences::Sequences;
use crate::data::{self, DataConfig};
use crate::folder::read_or_draw_secret;
use crate::participant::TrainOrder;
use crate::serve::events::read_events;
use crate::train::participation::{Participation, ParticipationKey};
use crate::train::{JobTrainer, TrainingData};

/// What a merchant adds to a round: the clipped sum over its shoppers.
pub trait Contributor: Send + Sync {
    /// x for this round, with this round's clip.
    ///
    /// # Errors
    /// Anything. The caller sends zero and noise instead, so no error is ever seen outside.
    fn clipped_sum(
        &self,
        weights: &[f64],
        clipping: &ClippingParameters,
        round: RoundId,
    ) -> Result<ClippedSum, ContributionError>;

    /// The digest of the data that is read, for the merchant's own ledger; none where no file is read.
    fn data_digest(&self) -> Option<DataDigest> {
        None
    }
}

/// Why there is no contribution. For the merchant's own log.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ContributionError(pub String);

/// Prepares what a merchant contributes to a job; the error is why it can only follow the job.
pub type OpenContributor =
    Arc<dyn Fn(&Arc<JobSpec>, Digest) -> Result<Arc<dyn Contributor>, ContributionError> + Send + Sync>;

/// Why no update could be sealed. None of it depends on rows.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// No noise.
    #[error("the noise could not be drawn: {0}")]
    Noise(#[from] NoiseError),
    /// The clip of the job.
    #[error("the job's clip cannot be used: {0}")]
    Clipping(#[from] ParameterError),
    /// No permit.
    #[error(transparent)]
    Permit(#[from] PermitRefused),
    /// Masks without a masked round, or the other way round.
    #[error("expected masks exactly in a masked round; the round is \"{mode}\"")]
    Masks {
        /// The label of the round's mode.
        mode: &'static str,
    },
}

/// Contributions from the merchant's own data.
pub fn from_data(config: &ClientConfig) -> OpenContributor {
    let config = config.clone();
    Arc::new(move |spec, job| {
        // Whether the clip can be used at all is known before the first round.
        ClippingParameters::of_round(spec, &ModelState::initial(spec))
            .map_err(|error| ContributionError(error.to_string()))?;
        let contributor: Arc<dyn Contributor> = match (&spec.task, &config.data) {
            (Task::Dummy { .. }, _) => Arc::new(Dummy),
            (_, Some(data)) => Arc::new(FromData::open(&config, data, spec, job)?),
            (_, None) => {
                let reason =
                    "client.toml has no [data] table: this merchant follows the job and contributes nothing";
                return Err(ContributionError(reason.into()));
            }
        };
        Ok(contributor)
    })
}

/// A dummy task has no rows: its contribution is zero.
struct Dummy;

impl Contributor for Dummy {
    fn clipped_sum(
        &self,
        _: &[f64],
        clipping: &ClippingParameters,
        _: RoundId,
    ) -> Result<ClippedSum, ContributionError> {
        Ok(ClippedSum::zero(clipping))
    }
}

struct FromData {
    trainer: JobTrainer,
    train: TrainingData,
    /// Where the service records what shoppers do.
    events: PathBuf,
    digest: DataDigest,
    key: ParticipationKey,
    spec: Arc<JobSpec>,
    job: Digest,
}

impl FromData {
    fn open(
        config: &ClientConfig,
        data: &DataConfig,
        spec: &Arc<JobSpec>,
        job: Digest,
    ) -> Result<Self, ContributionError> {
        let error = |error: &dyn std::fmt::Display| ContributionError(error.to_string());
        let secret = read_or_draw_secret(&config.folder.data_secret()).map_err(|e| error(&e))?;
        let files = std::iter::once(data.path.as_path()).chain(data.test_rows.as_deref());
        let digest = data::digest(files, &secret).map_err(|e| error(&e))?;
        let key = read_or_draw_secret(&config.folder.participation_key()).map_err(|e| error(&e))?;
        let (events, spec) = (config.folder.events(), Arc::clone(spec));
        if let Architecture::Metrics(metrics) = &spec.architecture {
            let trainer = measured::trainer(config, &spec, metrics)?;
            let train = measured::held_out(data, &spec.task)?;
            let key = ParticipationKey::from_bytes(*key);
            return Ok(FromData { trainer, train, events, digest, key, spec, job });
        }
        let train = match spec.task.items() {
            Some(items) => {
                TrainingData::Items(data::load_items(data, items).map_err(|e| error(&e))?.0.train())
            }
            None => TrainingData::Observations(data::load(data, &spec.task).map_err(|e| error(&e))?.0.train),
        };
        Ok(FromData {
            trainer: JobTrainer::new(&spec, &config.device, training_secret(&key)).map_err(|e| error(&e))?,
            train,
            events,
            digest,
            key: ParticipationKey::from_bytes(*key),
            spec,
            job,
        })
    }
}

impl FromData {
    /// The merchant's own items, and behind them what shoppers did since, as the service has recorded it by now. None for other
    /// tasks, and where nothing is recorded.
    fn with_events(&self) -> Result<Option<TrainingData>, ContributionError> {
        let (TrainingData::Items(sequences), Some(items)) = (&self.train, self.spec.task.items()) else {
            return Ok(None);
        };
        let events = read_events(&self.events).map_err(|e| ContributionError(e.to_string()))?;
        if events.events.is_empty() {
            return Ok(None);
        }
        let mut histories: BTreeMap<ShopperKey, Vec<u32>> =
            sequences.iter().map(|(key, items)| (key, items.to_vec())).collect();
        events.append_to(&mut histories, &items.catalogue);
        let mut all = Sequences::default();
        histories.iter().for_each(|(key, items)| all.push(*key, items));
        Ok(Some(TrainingData::Items(all)))
    }
}

/// What shoppers draw follows from it; nobody outside can tell it from their coins' key.
fn training_secret(key: &[u8; 32]) -> [u8; 32] {
    Digest::of("guildhall training secret v1", &[key]).0
}

impl Contributor for FromData {
    fn clipped_sum(
        &self,
        weights: &[f64],
        clipping: &ClippingParameters,
        round: RoundId,
    ) -> Result<ClippedSum, ContributionError> {
        let rate = self.spec.round.participation_rate;
        let coins = Participation::new(&self.key, self.job, round, rate);
        let enters = |shopper| coins.enters(shopper);
        let recorded = self.with_events()?;
        let train = recorded.as_ref().unwrap_or(&self.train);
        let (sum, tally) = self
            .trainer
            .clipped_sum(weights, train, &enters, round, clipping)
            .map_err(|error| ContributionError(error.to_string()))?;
        if tally.added > self.spec.round.shoppers_per_merchant_max {
            // Local, and no reason to hold anything back: a wrapped sum costs utility, never privacy.
            tracing::warn!(
                "more shoppers entered than the job's ring is sized for; tell the operator to raise round.shoppers_per_merchant_max"
            );
        }
        Ok(sum)
    }

    fn data_digest(&self) -> Option<DataDigest> {
        Some(self.digest.clone())
    }
}

/// Draws noise, then trains, then masks, then seals. [`ClippedSum::zero`] stands in for training that fails.
///
/// # Privacy
/// In a masked round the noise is this merchant's share of it, and protects nobody without the masks: a sum is masked in
/// the same expression that noises it. A sum that wraps around the ring costs utility, and stops nothing.
///
/// # Errors
/// [`SealError`], before any row is read.
pub fn seal(
    contributor: &dyn Contributor,
    noise: &mut dyn NoiseSource,
    dangerous: DangerousPolicy,
    spec: &JobSpec,
    mut order: TrainOrder,
) -> Result<SealedUpdate, SealError> {
    let masks = order.masks.take();
    let parameters = &order.parameters;
    let (ring, dimension) = (parameters.ring, parameters.parameters as usize);
    let clipping = ClippingParameters::of_round(spec, &order.state)?;
    let mut share = || NoiseShare::draw(noise, parameters.noise_standard_deviation_local, dimension);
    let sum = || contribution(contributor, &clipping, &order);
    match (parameters.mode, masks) {
        (RoundMode::Masked, Some(masks)) => {
            let share = share()?;
            Ok(sum().add_noise(share).mask(masks, ring))
        }
        (RoundMode::MaskedUnprotected, Some(masks)) => {
            let permit = UnprotectedPermit::from_policy(dangerous)?;
            Ok(sum().leave_unprotected(&permit).mask(masks, ring))
        }
        (RoundMode::LocalNoise, None) => {
            let share = share()?;
            Ok(sum().add_noise(share).seal(ring))
        }
        (RoundMode::Unprotected, None) => {
            let permit = UnprotectedPermit::from_policy(dangerous)?;
            Ok(sum().leave_unprotected(&permit).seal(ring))
        }
        (mode, _) => Err(SealError::Masks { mode: mode.label() }),
    }
}

fn contribution(
    contributor: &dyn Contributor,
    clipping: &ClippingParameters,
    order: &TrainOrder,
) -> ClippedSum {
    let trained = catch_unwind(AssertUnwindSafe(|| {
        contributor.clipped_sum(&order.state.weights, clipping, order.round)
    }));
    match trained {
        Ok(Ok(sum)) => sum,
        Ok(Err(error)) => {
            tracing::error!(%error, "training failed; zero is sent with its noise");
            ClippedSum::zero(clipping)
        }
        Err(_) => {
            tracing::error!("training panicked; zero is sent with its noise");
            ClippedSum::zero(clipping)
        }
    }
}
