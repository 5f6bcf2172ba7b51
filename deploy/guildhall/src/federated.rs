//! A federation in one process: the clients' and the server's own cores without sockets.
//!
//! Every merchant clips, quantises, draws noise, seals and commits exactly as its process would; the sum is made in the
//! ring and every next model by the optimiser that all parties run. Only the ledger is in memory.

use std::collections::BTreeMap;

use guildhall_client::data::observations::Splits;
use guildhall_client::evaluate::AucSummary;
use guildhall_client::evaluate::Scored;
use guildhall_client::model::DeviceChoice;
use guildhall_client::train::Trainer;
use guildhall_client::train::participation::{Participation, ParticipationKey};
use guildhall_privacy::accountant::zcdp::calibrate_local;
use guildhall_privacy::ledger::{BudgetLimit, Ledger, Reservation};
use guildhall_privacy::noise::{NoiseShare, OpenDpNoise};
use guildhall_privacy::parameter::{ClippingParameters, Protection};
use guildhall_privacy::plan::honest_shares_masked;
use guildhall_privacy::update::{CommittedUpdate, DangerousPolicy, UnprotectedPermit};
use guildhall_shared::digest::Digest;
use guildhall_shared::id::{Name, RoundId};
use guildhall_shared::job::{JobSpec, PrivacySpec};
use guildhall_shared::model_state::ModelState;
use guildhall_shared::ring::{RingSum, RingWidth, SumBound};
use rayon::prelude::*;

use crate::error::{CommandError, Context as _};

/// How the merchants' updates are noised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum NoiseMode {
    /// Secure aggregation's noise: every merchant adds a share sized for the honest survivors.
    Masked,
    /// Plain mode: every merchant adds its full noise.
    Plain,
    /// No noise: no formal protection.
    None,
}

/// Merchants by name, with what each may learn from and is tested on.
pub type Merchants = BTreeMap<Name, Splits>;

/// What every merchant does in a round, settled before the first one.
struct Pipeline<'a> {
    job: &'a JobSpec,
    trainer: &'a Trainer,
    clipping: ClippingParameters,
    protection: Protection,
    ring: RingWidth,
}

/// One simulated merchant.
struct Member<'a> {
    name: &'a Name,
    splits: &'a Splits,
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
    let trainer = Trainer::new(&job.model(), &DeviceChoice::Cpu).context("the trainer")?;
    let pipeline = Pipeline::new(job, &trainer, mode, merchants.len())?;
    let limit = match job.privacy {
        PrivacySpec::Gaussian { epsilon, delta, .. } => BudgetLimit { epsilon, delta },
        PrivacySpec::None { .. } => BudgetLimit { epsilon: 1.0, delta: 1e-6 },
    };
    let mut members = Vec::with_capacity(merchants.len());
    for (name, splits) in merchants {
        let key = ParticipationKey::from_bytes(
            Digest::of("guildhall simulated merchant", &[name.as_str().as_bytes()]).0,
        );
        members.push(Member { name, splits, ledger: Ledger::simulated(limit).context("the ledger")?, key });
    }
    let mut model = ModelState::initial(job);
    on_model(&model);
    for round in 0..job.rounds {
        let round = RoundId { round, attempt: 0 };
        let updates: Vec<CommittedUpdate> = members
            .par_iter_mut()
            .map(|member| pipeline.update(member, &model, round))
            .collect::<Result<_, _>>()?;
        let mut sum = RingSum::zero(pipeline.ring, model.weights.len());
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
        trainer: &'a Trainer,
        mode: NoiseMode,
        merchants: usize,
    ) -> Result<Self, CommandError> {
        let parameters = job.model().parameter_count();
        let protection = protection(job, mode, merchants)?;
        let noise = match protection {
            Protection::Gaussian { noise_standard_deviation_local, .. } => noise_standard_deviation_local,
            Protection::None => 0,
        };
        let bound = SumBound {
            merchants: merchants as u64,
            shoppers_per_merchant_max: job.round.shoppers_per_merchant_max,
            clipping_bound: job.clipping.bound,
            noise_standard_deviation_local: noise,
        };
        Ok(Pipeline {
            job,
            trainer,
            clipping: ClippingParameters::new(&job.clipping, parameters).context("the clip")?,
            protection,
            ring: RingWidth::narrowest_for(&bound).context("the ring")?,
        })
    }

    fn update(
        &self,
        member: &mut Member<'_>,
        model: &ModelState,
        round: RoundId,
    ) -> Result<CommittedUpdate, CommandError> {
        let reserved =
            member.ledger.reserve(self.reservation(member.name, round)).context("the reservation")?;
        let participation =
            Participation::new(&member.key, self.job.digest(), round, self.job.round.participation_rate);
        let enters = |shopper| participation.enters(shopper);
        let train = &member.splits.train;
        let sealed = match self.protection {
            Protection::Gaussian { noise_standard_deviation_local: sigma, .. } => {
                let noise =
                    NoiseShare::draw(&mut OpenDpNoise, sigma, model.weights.len()).context("the noise")?;
                let sum = self
                    .trainer
                    .clipped_sum(&model.weights, train, &enters, &self.clipping)
                    .context("training")?;
                sum.0.add_noise(noise).seal(self.ring)
            }
            Protection::None => {
                let permit = UnprotectedPermit::from_policy(DangerousPolicy { allow_privacy_none: true })
                    .context("the policy")?;
                let sum = self
                    .trainer
                    .clipped_sum(&model.weights, train, &enters, &self.clipping)
                    .context("training")?;
                sum.0.leave_unprotected(&permit).seal(self.ring)
            }
        };
        member.ledger.commit(reserved, sealed).context("the commit")
    }

    fn reservation(&self, merchant: &Name, round: RoundId) -> Reservation {
        let sid = Digest::of(
            "guildhall simulated session",
            &[merchant.as_str().as_bytes(), &round.round.to_le_bytes()],
        );
        Reservation {
            job: self.job.name.clone(),
            job_digest: self.job.digest(),
            sid,
            round,
            unit: self.job.privacy.unit(),
            protection: self.protection,
            charge: self.protection.charge(),
            purpose: self.job.purpose.clone(),
            label: self.job.privacy.label(),
        }
    }
}

/// The noise of each merchant: all of it in plain mode, a share sized for h honest survivors under masks.
fn protection(job: &JobSpec, mode: NoiseMode, merchants: usize) -> Result<Protection, CommandError> {
    let PrivacySpec::Gaussian { epsilon, delta, noise_standard_deviation, .. } = job.privacy else {
        return Ok(Protection::None);
    };
    let bound = job.clipping.bound;
    let gaussian = |honest_shares, noise_standard_deviation_local| Protection::Gaussian {
        bound,
        noise_standard_deviation_local,
        honest_shares,
        delta,
    };
    match mode {
        NoiseMode::None => Ok(Protection::None),
        NoiseMode::Plain => Ok(gaussian(1, noise_standard_deviation)),
        NoiseMode::Masked => {
            let honest = honest_shares_masked(merchants as u32).ok_or_else(|| {
                CommandError::message(format!(
                    "masked rounds need at least 3 merchants, found {merchants}: use --mode plain"
                ))
            })?;
            let local = calibrate_local(epsilon, delta, job.rounds, bound, honest).context("the noise")?;
            Ok(gaussian(honest, local))
        }
    }
}

/// Logits of a model on every merchant's test rows.
pub fn score(
    job: &JobSpec,
    weights: &[f64],
    merchants: &Merchants,
) -> Result<BTreeMap<Name, Scored>, CommandError> {
    let trainer = Trainer::new(&job.model(), &DeviceChoice::Cpu).context("the trainer")?;
    let mut scored = BTreeMap::new();
    for (name, splits) in merchants {
        let logits = trainer.logits(weights, &splits.test).context("scoring")?;
        scored.insert(name.clone(), Scored { logits, labels: splits.test.labels.clone() });
    }
    Ok(scored)
}

/// AUC of a model on every merchant's test rows.
pub fn auc(job: &JobSpec, weights: &[f64], merchants: &Merchants) -> Result<AucSummary, CommandError> {
    Ok(AucSummary::of(&score(job, weights, merchants)?))
}
