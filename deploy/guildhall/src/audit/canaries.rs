//! Tier B: one staging run of a whole job with canaries.
//!
//! The canaries' contributions are sixteen times as long as the clip and point along the axes. They enter the sum where
//! every shopper's does; the model is not trained with them, which asks nothing of a job's rows or its model.

use std::sync::Arc;

use guildhall_client::driver::contribution::{ContributionError, Contributor};
use guildhall_privacy::accountant::Calibration;
use guildhall_privacy::audit::{
    AuditResult, Canaries, Claim, Tier, canaries_needed, honest_shares, noise_variance,
};
use guildhall_privacy::clip::ShopperSum;
use guildhall_privacy::parameter::ClippingParameters;
use guildhall_privacy::update::ClippedSum;
use guildhall_shared::id::RoundId;
use guildhall_shared::job::JobSpec;
use guildhall_shared::model_state::ModelState;

use super::CODE;
use super::observed::{Observed, squares};
use super::program::Program;
use super::stage::{Noise, Release, Stage};
use crate::error::{CommandError, Context as _};

/// Length of a canary's contribution in clips.
const CANARY_CLIPS: f64 = 16.0;

/// Ordinary shoppers beside the canaries.
const ORDINARY: usize = 20;

/// Rounds of the staging job where none is given.
const ROUNDS: u32 = 10;

/// Fewest parameters of the staging job: its noise over all rounds is judged by one sample a parameter.
const PARAMETERS_MIN: usize = 512;

/// A job without rows for a staging run: as many parameters as it needs canaries.
pub fn staging_job(epsilon: f64) -> Result<JobSpec, CommandError> {
    let parameters = canaries_needed(epsilon).max(PARAMETERS_MIN);
    let text = format!(
        "name = \"audit\"\npurpose = \"Look for what a whole job might leak.\"\nseed = 1\nrounds = {ROUNDS}\nunit = \"shopper\"\n\
         [task]\nkind = \"dummy\"\nparameters = {parameters}\n[optimizer]\nkind = \"sgd\"\nlearning_rate = 0.1\nmomentum = 0.0\n\
         [clipping]\nnorm_l2 = 1.0\n[privacy]\nepsilon = {epsilon:?}\ndelta = 1e-6\n\
         [round]\nquorum = 1\nupdate_deadline_ms = 1000\nexpected_shoppers = 1000\nshoppers_per_merchant_max = 1000000\n"
    );
    Ok(JobSpec::parse(&text, &Calibration).context("the staging job")?.0)
}

/// How many canaries a job has room for and, up to that, needs.
pub fn canaries_for(job: &JobSpec, claim: &Claim) -> usize {
    canaries_needed(claim.epsilon).min(job.model().parameter_count())
}

/// What tier B is to do.
pub struct CanaryAudit<'a> {
    /// The job to stage.
    pub job: Arc<JobSpec>,
    /// n.
    pub merchants: u32,
    /// Fair coins, one a canary: whether it is in. The claim decides how many are asked for.
    pub draw_coins: &'a dyn Fn(usize) -> Result<Vec<bool>, CommandError>,
}

impl CanaryAudit<'_> {
    /// Audits a program.
    pub fn run(&self, program: &dyn Program) -> Result<AuditResult, CommandError> {
        let mut job = (*self.job).clone();
        // The fewest survivors are looked at, whatever number the job waits for.
        job.round.quorum = 1;
        let stage = Stage::new(program, &Arc::new(job), self.merchants)?;
        let claim = stage.claim(self.job.rounds)?;
        let included = (self.draw_coins)(canaries_for(&self.job, &claim))?;
        let staged = Staged::run(&stage, program, &included, &claim)?;
        let canaries = Canaries {
            scores: &staged.scores,
            included: &included,
            rho: claim.rho,
            delta: claim.delta,
            needed: canaries_needed(claim.epsilon),
        };
        let (over_rounds, dimension) = staged.noise_over_rounds;
        let checks = vec![
            canaries.separation(),
            canaries.outside(),
            honest_shares(
                "honest noise shares counted upon",
                claim.honest_shares,
                u64::from(stage.members().honest),
            ),
            staged.observed.on_sums("noise on the sum"),
            noise_variance("noise added up over all rounds", over_rounds, dimension),
            Observed::never_twice("the same noise twice", &[&staged.observed]),
        ];
        let shown = canaries.lower_bounds();
        Ok(AuditResult::conclude(Tier::B, CODE, claim, checks, shown))
    }
}

/// What the run of a job showed.
struct Staged {
    /// S_j in units of √T·σ.
    scores: Vec<f64>,
    observed: Observed,
    /// Σ over the coordinates of (Σ_t e_t / (√T·σ))², and how many coordinates.
    noise_over_rounds: (f64, u64),
}

impl Staged {
    fn run(
        stage: &Stage<'_>,
        program: &dyn Program,
        included: &[bool],
        claim: &Claim,
    ) -> Result<Self, CommandError> {
        let job = stage.job();
        let mut state = Arc::new(ModelState::initial(job));
        let silent = |contributor: &Shoppers<'_>| -> Result<Release, CommandError> {
            let round = RoundId { round: 0, attempt: 0 };
            stage.release(&mut stage.books()?, contributor, round, &state, Noise::Silent)
        };
        let x_real = silent(&Shoppers { program, included: vec![false; included.len()] })?.sum;
        let shoppers = Shoppers { program, included: included.to_vec() };
        let x = silent(&shoppers)?.sum;
        let dimension = x.len();
        let (mut told, mut noise) = (vec![0.0; included.len()], vec![0i64; dimension]);
        let mut observed = Observed::default();
        let mut books = stage.books()?;
        for round in 0..job.rounds {
            let round = RoundId { round, attempt: 0 };
            let released = stage.release(&mut books, &shoppers, round, &state, Noise::OfProgram)?;
            observed.take(&released, &x, claim);
            for (j, score) in told.iter_mut().enumerate() {
                *score += released.sum[j].wrapping_sub(x_real[j]) as f64;
            }
            for (total, (z, x)) in noise.iter_mut().zip(released.sum.iter().zip(&x)) {
                *total = total.wrapping_add(z.wrapping_sub(*x));
            }
            state = Arc::new(state.next(job, &released.sum).context("the next model")?);
        }
        let scale = claim.noise_standard_deviation() * f64::from(job.rounds).sqrt();
        told.iter_mut().for_each(|score| *score /= scale);
        let noise_over_rounds = squares(&noise, &vec![0; dimension], scale);
        Ok(Staged { scores: told, observed, noise_over_rounds })
    }
}

/// Ordinary shoppers and those canaries that are in; canary j points along axis j.
struct Shoppers<'p> {
    program: &'p dyn Program,
    included: Vec<bool>,
}

impl Contributor for Shoppers<'_> {
    fn clipped_sum(
        &self,
        _: &[f64],
        clipping: &ClippingParameters,
        _: RoundId,
    ) -> Result<ClippedSum, ContributionError> {
        // In clips, so that the integers are the same in every round, whatever the clip.
        let (dimension, norm) = (clipping.parameters(), clipping.norm_l2());
        let mut sum = ShopperSum::new(clipping);
        let mut contribution = vec![0.0; dimension];
        for shopper in 0..ORDINARY {
            for (i, value) in contribution.iter_mut().enumerate() {
                *value = norm * (((shopper * dimension + i) as f64 * 0.618_034).fract() - 0.5);
            }
            self.program.add(&mut sum, &contribution);
        }
        contribution.fill(0.0);
        for axis in (0..self.included.len()).filter(|j| self.included[*j]) {
            contribution[axis] = CANARY_CLIPS * norm;
            self.program.add(&mut sum, &contribution);
            contribution[axis] = 0.0;
        }
        Ok(sum.finish().0)
    }
}
