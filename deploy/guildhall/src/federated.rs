//! A federation in one process: the clients' and the server's own cores without sockets.
//!
//! Every merchant clips, quantises, draws noise, masks and commits exactly as its process would; the sum is made in the
//! ring and every next model by the optimiser that all parties run. Only the ledger is in memory, and the masks are not
//! agreed by messages: each merchant adds a mask of its own and takes off its neighbour's, so that all cancel in the sum.

use std::collections::BTreeMap;

use guildhall_client::data::observations::Splits;
use guildhall_client::evaluate::FigureSummary;
use guildhall_client::evaluate::Scored;
use guildhall_client::model::DeviceChoice;
use guildhall_client::train::participation::{Participation, ParticipationKey};
use guildhall_client::train::{JobTrainer, TrainingData};
use guildhall_privacy::ledger::{Attempt, BudgetLimit, Ledger, Reservation};
use guildhall_privacy::noise::{BulkNoise, NoiseShare};
use guildhall_privacy::parameter::{ClippingParameters, Protection};
use guildhall_privacy::update::{
    CommittedUpdate, DangerousPolicy, NoisedUpdate, SealedUpdate, UnprotectedPermit,
};
use guildhall_shared::digest::Digest;
use guildhall_shared::id::{MerchantIndex, Name, RoundId};
use guildhall_shared::job::{Aggregation, JobSpec, PrivacySpec};
use guildhall_shared::model_state::ModelState;
use guildhall_shared::ring::{RingVector, Sign};
use guildhall_shared::round_parameters::{RoundMode, RoundParameters};
use guildhall_shared::secagg::agreement::self_mask;
use guildhall_shared::secagg::mask::MaskSet;
use rayon::prelude::*;

use crate::error::{CommandError, Context as _};

/// How the merchants' updates are noised and travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum NoiseMode {
    /// Secure aggregation: every merchant adds a share of the noise, sized for the honest survivors, and masks.
    Masked,
    /// Plain mode: every merchant adds its full noise, nothing is masked.
    Plain,
    /// No noise and no masks: no formal protection.
    None,
}

impl NoiseMode {
    /// The mode of a job's own rounds.
    pub fn of(job: &JobSpec) -> Self {
        match RoundMode::of(job) {
            RoundMode::Masked => NoiseMode::Masked,
            RoundMode::LocalNoise => NoiseMode::Plain,
            RoundMode::MaskedUnprotected | RoundMode::Unprotected => NoiseMode::None,
        }
    }

    /// The rounds of a job for n merchants as this mode has them.
    ///
    /// # Errors
    /// Where the mode has no rounds for so many merchants.
    pub fn parameters(self, job: &JobSpec, merchants: usize) -> Result<RoundParameters, CommandError> {
        let mut job = job.clone();
        // Nobody is missing in a simulation.
        job.round.quorum = 1;
        job.round.aggregation = match self {
            NoiseMode::Masked => Aggregation::Masked,
            NoiseMode::Plain | NoiseMode::None => Aggregation::Plain,
        };
        if job.round.aggregation == Aggregation::Plain {
            job.round.colluders_min = 0;
        }
        if self == NoiseMode::None {
            job.privacy = PrivacySpec::None { unit: job.privacy.unit() };
        }
        RoundParameters::derive(&job, merchants as u32).context("the rounds of the job")
    }
}

/// Merchants by name, with what each may learn from and is tested on.
pub type Merchants = BTreeMap<Name, Splits>;

/// What every merchant does in a round, settled before the first one.
struct Pipeline<'a> {
    job: &'a JobSpec,
    trainer: &'a JobTrainer,
    parameters: RoundParameters,
    protection: Protection,
}

/// One simulated merchant.
struct Member<'a> {
    index: MerchantIndex,
    train: &'a TrainingData,
    ledger: Ledger,
    key: ParticipationKey,
}

/// Trains a job and calls `on_model` with every model version, the first before any round.
///
/// # Privacy
/// The noise is real: two runs never see the same.
pub fn train(
    job: &JobSpec,
    merchants: &Merchants,
    mode: NoiseMode,
    on_model: &mut dyn FnMut(&ModelState),
) -> Result<ModelState, CommandError> {
    let rows: BTreeMap<Name, TrainingData> = merchants
        .iter()
        .map(|(name, splits)| (name.clone(), TrainingData::Observations(splits.train.clone())))
        .collect();
    train_on(job, &rows, mode, on_model)
}

/// [`train`] of any kind of rows.
///
/// # Privacy
/// As [`train`].
pub fn train_on(
    job: &JobSpec,
    merchants: &BTreeMap<Name, TrainingData>,
    mode: NoiseMode,
    on_model: &mut dyn FnMut(&ModelState),
) -> Result<ModelState, CommandError> {
    let secret = Digest::of("guildhall simulated secret", &[&job.seed.to_le_bytes()]).0;
    let trainer = JobTrainer::new(job, &DeviceChoice::Cpu, secret).context("the trainer")?;
    let pipeline = Pipeline::new(job, &trainer, mode, merchants.len())?;
    let limit = match job.privacy {
        PrivacySpec::Gaussian { epsilon, delta, .. } => BudgetLimit { epsilon, delta },
        PrivacySpec::None { .. } => BudgetLimit { epsilon: 1.0, delta: 1e-6 },
    };
    let mut members = Vec::with_capacity(merchants.len());
    for (index, (name, train)) in merchants.iter().enumerate() {
        let index = MerchantIndex(index as u16);
        let key = ParticipationKey::from_bytes(
            Digest::of("guildhall simulated merchant", &[name.as_str().as_bytes()]).0,
        );
        members.push(Member { index, train, ledger: Ledger::simulated(limit).context("the ledger")?, key });
    }
    let mut model = ModelState::initial(job);
    on_model(&model);
    for round in 0..job.rounds {
        let round = RoundId { round, attempt: 0 };
        let updates: Vec<CommittedUpdate> = members
            .par_iter_mut()
            .map(|member| pipeline.update(member, &model, round))
            .collect::<Result<_, _>>()?;
        let mut sum = RingVector::zero(pipeline.parameters.ring, pipeline.words());
        for update in &updates {
            sum.add_bytes(update.bytes()).context("the sum")?;
        }
        model = model.next(job, &sum.centred()).context("the next model")?;
        on_model(&model);
    }
    Ok(model)
}

impl<'a> Pipeline<'a> {
    fn new(
        job: &'a JobSpec,
        trainer: &'a JobTrainer,
        mode: NoiseMode,
        merchants: usize,
    ) -> Result<Self, CommandError> {
        let parameters = mode.parameters(job, merchants)?;
        let privacy = match mode {
            NoiseMode::None => PrivacySpec::None { unit: job.privacy.unit() },
            NoiseMode::Masked | NoiseMode::Plain => job.privacy,
        };
        Ok(Pipeline { job, trainer, protection: Protection::of(&parameters, &privacy), parameters })
    }

    /// Words of a round's vector.
    fn words(&self) -> usize {
        self.parameters.parameters as usize
    }

    fn update(
        &self,
        member: &mut Member<'_>,
        model: &ModelState,
        round: RoundId,
    ) -> Result<CommittedUpdate, CommandError> {
        let sid = session(self.job, round);
        let clipping = ClippingParameters::of_round(self.job, model).context("the clip")?;
        let reserved = member.ledger.reserve(self.reservation(sid, round)).context("the reservation")?;
        // Before any row is read, as a merchant's own process does.
        let noise = match self.protection {
            Protection::Gaussian { noise_standard_deviation_local: sigma, .. } => {
                Some(NoiseShare::draw(&mut BulkNoise, sigma, self.words()).context("the noise")?)
            }
            Protection::None => None,
        };
        let participation =
            Participation::new(&member.key, self.job.digest(), round, self.job.round.participation_rate);
        let enters = |shopper| participation.enters(shopper);
        let (sum, _) = self
            .trainer
            .clipped_sum(&model.weights, member.train, &enters, round, &clipping)
            .context("training")?;
        let sealed = match noise {
            Some(noise) => self.seal(sum.add_noise(noise), sid, member.index),
            None => {
                let permit = UnprotectedPermit::from_policy(DangerousPolicy { allow_privacy_none: true })
                    .context("the policy")?;
                sum.leave_unprotected(&permit).seal(self.parameters.ring)
            }
        };
        member.ledger.commit(reserved, sealed).context("the commit")
    }

    fn seal(&self, update: NoisedUpdate, sid: Digest, merchant: MerchantIndex) -> SealedUpdate {
        let Some(secagg) = &self.parameters.secagg else { return update.seal(self.parameters.ring) };
        let next = MerchantIndex((merchant.0 + 1) % secagg.merchants as u16);
        let mut masks = MaskSet::new(sid, secagg.generator);
        for (whose, sign) in [(merchant, Sign::Add), (next, Sign::Subtract)] {
            // No secret: all merchants are in this process.
            masks.push(self_mask(&sid.0, &sid, whose), sign);
        }
        update.mask(masks, self.parameters.ring)
    }

    fn reservation(&self, sid: Digest, round: RoundId) -> Reservation {
        let [roster, model] = [Digest([0; 32]); 2];
        let attempt = Attempt { job: self.job.digest(), sid, round, roster, model };
        Reservation::new(self.job, attempt, &self.parameters).protected_by(self.protection)
    }
}

/// One for all merchants of a round, each of which has a ledger of its own.
fn session(job: &JobSpec, round: RoundId) -> Digest {
    Digest::of("guildhall simulated session", &[&job.digest().0, &round.round.to_le_bytes()])
}

/// Logits of a model on every merchant's test rows.
pub fn score(
    job: &JobSpec,
    weights: &[f64],
    merchants: &Merchants,
) -> Result<BTreeMap<Name, Scored>, CommandError> {
    let trainer = JobTrainer::new(job, &DeviceChoice::Cpu, [0; 32]).context("the trainer")?;
    let mut scored = BTreeMap::new();
    for (name, splits) in merchants {
        let logits = trainer.logits(weights, &splits.test).context("scoring")?;
        scored.insert(name.clone(), Scored { logits, labels: splits.test.labels.clone() });
    }
    Ok(scored)
}

/// AUC of a model on every merchant's test rows.
pub fn auc(job: &JobSpec, weights: &[f64], merchants: &Merchants) -> Result<FigureSummary, CommandError> {
    Ok(FigureSummary::of(&score(job, weights, merchants)?))
}

#[cfg(test)]
mod tests {
    mod every_model;

    use super::*;
    use crate::data::{Marketplace, MerchantsBy};
    use guildhall_privacy::accountant::Calibration;
    use guildhall_shared::job::{AdaptiveClip, NoiseCalibration as _};
    use guildhall_shared::optimizer::{OptimizerSpec, UpdateRule};
    use guildhall_shared::task::Task;

    /// Three stores, two rounds, and noise that is next to none.
    fn small() -> (JobSpec, Merchants) {
        let text = include_str!("../../samples/jobs/repurchase_stores.toml")
            .replace("epsilon = 1.0", "epsilon = 1000.0");
        let text = text
            .replace("rounds = 20\n", "rounds = 2\n")
            .replace("average_last_rounds = 5", "average_last_rounds = 0");
        let (mut job, _) = JobSpec::parse(&text, &Calibration).expect("a sample");
        // Adam would turn next to no noise into whole steps where there is no gradient.
        let rule = UpdateRule::Sgd { momentum: 0.0 };
        job.optimizer = OptimizerSpec { rule, learning_rate: 1.0, average_last_rounds: 0 };
        let Task::Repurchase(weeks) = &job.task else { panic!("the sample is a repurchase task") };
        let market = Marketplace::embedded(MerchantsBy::Store, 3, weeks).expect("the extract");
        let merchants = market.draw(1.0, 0).into_iter().map(|m| (m.name, m.splits)).collect();
        (job, merchants)
    }

    #[test]
    fn masks_cancel_and_every_mode_learns_the_same() {
        let (job, merchants) = small();
        let weights = |mode| train(&job, &merchants, mode, &mut |_| ()).expect("a model").released().to_vec();
        let none = weights(NoiseMode::None);
        for mode in [NoiseMode::Masked, NoiseMode::Plain] {
            for (found, expected) in weights(mode).iter().zip(&none) {
                assert!((found - expected).abs() < 0.02, "{mode:?}: expected {expected}, found {found}");
            }
        }
    }

    #[test]
    fn masked_rounds_need_three() {
        let (job, mut merchants) = small();
        merchants.pop_first();
        assert!(train(&job, &merchants, NoiseMode::Masked, &mut |_| ()).is_err());
        assert!(train(&job, &merchants, NoiseMode::Plain, &mut |_| ()).is_ok());
    }

    fn adaptive(norm_l2: f64) -> (JobSpec, Merchants) {
        let (mut job, merchants) = small();
        let shoppers: usize = merchants.values().map(|splits| splits.train.shoppers.len()).sum();
        job.rounds = 24;
        if let PrivacySpec::Gaussian { epsilon, delta, noise_standard_deviation, .. } = &mut job.privacy {
            *noise_standard_deviation = Calibration
                .noise_standard_deviation(*epsilon, *delta, job.rounds, job.clipping.bound)
                .expect("fits");
        }
        job.round.expected_shoppers = shoppers as u64;
        job.clipping.norm_l2 = norm_l2;
        let indicator = job.clipping.bound / 10;
        let rule = AdaptiveClip { indicator, quantile: 0.5, rate: 0.8, norm_min: 1e-4, norm_max: 1e4 };
        job.adaptive_clip = Some(rule);
        job.check().expect("good");
        (job, merchants)
    }

    /// Started 100 times too small and 100 times too large, in every mode: the clip comes to where half of the shoppers are
    /// within and stays there, and whoever reads a version back from its bytes has its hash.
    #[test]
    fn a_clip_that_adapts_comes_to_its_quantile_from_either_side() {
        let mut ends = vec![];
        for (norm_l2, mode) in [
            (0.006, NoiseMode::None),
            (60.0, NoiseMode::None),
            (0.006, NoiseMode::Masked),
            (60.0, NoiseMode::Masked),
            (60.0, NoiseMode::Plain),
        ] {
            let (job, merchants) = adaptive(norm_l2);
            let rule = job.adaptive_clip.expect("adapts");
            let mut clips = vec![];
            let last = train(&job, &merchants, mode, &mut |state| {
                let read = ModelState::from_bytes(&state.to_bytes(), &job).expect("a version of this job");
                assert_eq!(read.hash(&job.model()), state.hash(&job.model()));
                clips.extend(state.clip);
            })
            .expect("a model");
            assert_eq!((clips.len(), clips[0], last.clip), (25, norm_l2, clips.last().copied()));
            // What the last rounds saw, from how far the clip moved.
            for pair in clips[20..].windows(2) {
                let within = rule.quantile - (pair[1] / pair[0]).ln() / rule.rate;
                assert!((within - 0.5).abs() < 0.15, "{norm_l2} {mode:?}: {within} in {clips:?}");
            }
            ends.push(clips[24]);
        }
        let (least, most) =
            (ends.iter().copied().fold(f64::INFINITY, f64::min), ends.iter().copied().fold(0.0, f64::max));
        assert!(most / least < 1.5, "where a clip starts does not decide where it ends: {ends:?}");
    }
}
