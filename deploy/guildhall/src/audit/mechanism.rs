//! Tier A: the mechanism, at small d and noise small enough to be seen through.
//!
//! Two kinds of evidence. *Exact*: with no noise at all, every shopper is emptied in turn over several rounds, and nothing
//! may change but by its own integers. *Statistical*: with the program's noise, many releases with and without the worst
//! shopper, and retries of some of them.

use std::path::Path;
use std::sync::Arc;

use guildhall_client::driver::contribution::Contributor;
use guildhall_privacy::audit::{
    AuditResult, Check, Claim, LowerBounds, Tier, honest_shares, never, reach, sensitivity, separation,
};
use guildhall_shared::id::RoundId;
use guildhall_shared::job::JobSpec;
use guildhall_shared::model_state::ModelState;

use super::CODE;
use super::observed::Observed;
use super::program::Program;
use super::shop::{self, Shop, Shopper, WORST};
use super::stage::{Noise, Stage};
use crate::error::CommandError;
use crate::folder::Folder;

/// Rounds over which every shopper is emptied: state that a merchant keeps shows from the second on.
const REPLAYED_ROUNDS: u32 = 3;

/// One run in so many is retried.
const RETRIED_OF: u32 = 4;

/// What tier A is to do.
#[derive(Clone, Copy, Debug)]
pub struct MechanismAudit {
    /// R, runs with and as many without the worst shopper.
    pub runs: usize,
    /// n.
    pub merchants: u32,
}

impl MechanismAudit {
    /// Audits a program.
    pub fn run(self, program: &dyn Program) -> Result<AuditResult, CommandError> {
        self.run_job(program, &Arc::new(shop::job()?))
    }

    /// Audits a program with a job over the shop's rows.
    pub fn run_job(self, program: &dyn Program, job: &Arc<JobSpec>) -> Result<AuditResult, CommandError> {
        let folder = Folder::temporary()?;
        let stage = Stage::new(program, job, self.merchants)?;
        let scene = Scene { stage: &stage, program, folder: folder.path() };
        let claim = stage.claim(1)?;
        let mut checks = vec![honest_shares(
            "honest noise shares counted upon",
            claim.honest_shares,
            u64::from(stage.members().honest),
        )];
        checks.extend(scene.replay()?);
        let arms = scene.arms(self.runs, &claim)?;
        checks.extend(arms.checks(&claim));
        let shown = LowerBounds::of_arms(&arms.present, &arms.empty, claim.delta);
        Ok(AuditResult::conclude(Tier::A, CODE, claim, checks, shown))
    }
}

struct Scene<'s> {
    stage: &'s Stage<'s>,
    program: &'s dyn Program,
    folder: &'s Path,
}

/// Projections on the worst shopper's axis, and the noise beside them.
struct Arms {
    present: Vec<f64>,
    empty: Vec<f64>,
    /// How far apart the arms are before noise.
    length: f64,
    first: Observed,
    retries: Observed,
}

impl Arms {
    fn checks(&self, claim: &Claim) -> Vec<Check> {
        vec![
            reach("the worst shopper fills the clip", self.length, claim.bound),
            separation("worst shopper present or empty", &self.present, &self.empty, claim.rho),
            self.first.on_sums("noise on the sum"),
            self.first.own_share("the merchant's own noise share"),
            self.retries.on_sums("noise on the sum of a retry"),
            Observed::never_twice("the same noise twice", &[&self.first, &self.retries]),
        ]
    }
}

/// What one arm, or a part of it, showed.
#[derive(Default)]
struct Arm {
    projections: Vec<f64>,
    first: Observed,
    retries: Observed,
}

impl Arm {
    fn followed_by(mut self, next: Arm) -> Self {
        self.projections.extend(next.projections);
        Arm {
            first: self.first.merge(next.first),
            retries: self.retries.merge(next.retries),
            projections: self.projections,
        }
    }
}

impl Scene<'_> {
    /// A program over its own file with these shoppers, as after a fresh start.
    fn open(&self, name: &str, shoppers: Vec<Shopper>) -> Result<Arc<dyn Contributor>, CommandError> {
        let shop = Shop::new(self.folder, name, shoppers)?;
        self.program.contributor(&shop, self.stage.job())
    }

    /// x in every replayed round.
    fn sums(&self, name: &str, shoppers: Vec<Shopper>) -> Result<Vec<Vec<i64>>, CommandError> {
        let contributor = self.open(name, shoppers)?;
        let mut books = self.stage.books()?;
        (0..REPLAYED_ROUNDS)
            .map(|round| {
                let round_id = RoundId { round, attempt: 0 };
                let model = self.model(round);
                Ok(self.stage.release(&mut books, &*contributor, round_id, &model, Noise::Silent)?.sum)
            })
            .collect()
    }

    /// The model released before a round: the first one, then others that the merchant's rows had no part in; with other
    /// clips, where the job's adapts.
    fn model(&self, round: u32) -> Arc<ModelState> {
        let mut state = ModelState::initial(self.stage.job());
        for (i, weight) in state.weights.iter_mut().enumerate() {
            *weight += f64::from(round) * ((i as f64 * 0.37 + f64::from(round) * 0.71).fract() - 0.5);
        }
        state.clip = state.clip.map(|clip| clip * [1.0, 0.25, 3.0][round as usize % 3]);
        Arc::new(state)
    }

    /// Every shopper is emptied in turn; every round is replayed against the same released models.
    fn replay(&self) -> Result<Vec<Check>, CommandError> {
        let everybody = shop::shoppers();
        let whole = self.sums("all", everybody.clone())?;
        let (mut longest, mut moved, mut comparisons) = (0u128, 0u64, 0u64);
        for (place, shopper) in everybody.iter().enumerate() {
            let mut others = everybody.clone();
            others.remove(place);
            let without = self.sums(&format!("without-{place}"), others)?;
            let alone = self.sums(&format!("only-{place}"), vec![shopper.clone()])?;
            for ((whole, without), alone) in whole.iter().zip(&without).zip(&alone) {
                let difference: Vec<i64> =
                    whole.iter().zip(without).map(|(a, b)| a.wrapping_sub(*b)).collect();
                longest = longest.max(squares(&difference));
                moved += u64::from(difference != *alone);
                comparisons += 1;
            }
        }
        let bound = self.stage.job().clipping.bound;
        Ok(vec![
            sensitivity("longest change by one shopper", longest, bound, comparisons),
            never("other shoppers moved when one was emptied", moved, comparisons),
        ])
    }

    fn arms(&self, runs: usize, claim: &Claim) -> Result<Arms, CommandError> {
        let everybody = shop::shoppers();
        let mut others = everybody.clone();
        others.remove(WORST);
        let (present, empty) = (self.open("present", everybody)?, self.open("empty", others)?);
        let model = self.model(0);
        let known = |contributor: &dyn Contributor| {
            let (mut books, first) = (self.stage.books()?, RoundId { round: 0, attempt: 0 });
            Ok::<_, CommandError>(
                self.stage.release(&mut books, contributor, first, &model, Noise::Silent)?.sum,
            )
        };
        let (with, without) = (known(&*present)?, known(&*empty)?);
        let (axis, length) = axis(&with, &without);
        // No round twice, so that nothing excuses the same noise.
        let runs_of = |arm: usize| (arm * runs) as u32..((arm + 1) * runs) as u32;
        let arm = |contributor, x, arm| self.arm(contributor, x, &axis, runs_of(arm), &model, claim);
        let (present, empty) = (arm(&*present, &with, 0)?, arm(&*empty, &without, 1)?);
        Ok(Arms {
            present: present.projections,
            empty: empty.projections,
            length,
            first: present.first.merge(empty.first),
            retries: present.retries.merge(empty.retries),
        })
    }

    fn arm(
        &self,
        contributor: &dyn Contributor,
        x: &[i64],
        axis: &[f64],
        rounds: std::ops::Range<u32>,
        model: &Arc<ModelState>,
        claim: &Claim,
    ) -> Result<Arm, CommandError> {
        let scale = claim.noise_standard_deviation();
        let chunk = |rounds: std::ops::Range<u32>| {
            let mut arm = Arm::default();
            let mut books = self.stage.books()?;
            for round in rounds {
                let mut release = |attempt| {
                    let round = RoundId { round, attempt };
                    self.stage.release(&mut books, contributor, round, model, Noise::OfProgram)
                };
                let released = release(0)?;
                arm.first.take(&released, x, claim);
                // The first attempt was aborted after it had been sent: another one, with a reservation of its own.
                if round % RETRIED_OF == 0 {
                    arm.retries.take(&release(1)?, x, claim);
                }
                arm.projections
                    .push(released.sum.iter().zip(axis).map(|(y, a)| *y as f64 * a).sum::<f64>() / scale);
            }
            Ok(arm)
        };
        in_threads(rounds, &chunk)?
            .into_iter()
            .try_fold(Arm::default(), |arm, part: Result<Arm, CommandError>| Ok(arm.followed_by(part?)))
    }
}

/// Cuts a range among threads of its own: a worker of rayon's pool that waits for the trainer's would begin with the next
/// run on top of the one it waits for, until the stack is full.
fn in_threads<T: Send>(
    range: std::ops::Range<u32>,
    work: &(dyn Fn(std::ops::Range<u32>) -> T + Sync),
) -> Result<Vec<T>, CommandError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(16);
    let step = range.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let spawned: Vec<_> = range
            .clone()
            .step_by(step)
            .map(|start| start..(start + step as u32).min(range.end))
            .map(|part| scope.spawn(move || work(part)))
            .collect();
        let joined = spawned.into_iter().map(|thread| thread.join());
        joined.map(|part| part.map_err(|_| CommandError::message("a run of the audit panicked"))).collect()
    })
}

fn squares(vector: &[i64]) -> u128 {
    vector.iter().map(|x| u128::from(x.unsigned_abs()).pow(2)).fold(0, u128::saturating_add)
}

/// The unit vector along which the worst shopper moves the sum, and how far; nothing and zero where it does not.
fn axis(with: &[i64], without: &[i64]) -> (Vec<f64>, f64) {
    let difference: Vec<f64> = with.iter().zip(without).map(|(a, b)| a.wrapping_sub(*b) as f64).collect();
    let length = difference.iter().map(|x| x * x).sum::<f64>().sqrt();
    let unit = difference.iter().map(|x| if length > 0.0 { x / length } else { 0.0 }).collect();
    (unit, length)
}
