//! Canaries: shoppers of our own making with orthogonal contributions, each in or out by a fair coin. [core]
//!
//! S_j = Σ_t ⟨z_t − x_real, v_j⟩ is what T releases tell about canary j to whoever knows everything else. In units of the
//! claimed noise, √T·σ, it is normal with variance one around μ = √(2ρ_total) where the canary is in, and around zero
//! where it is out.

use super::check::{Check, Moments, judge_separation, ratio};
use super::gaussian::epsilon_of_separation;
use super::one_run::{self, Guesses};
use super::quantile::{FALSE_ALARM, Z_95, studentised_upper};
use super::result::{LowerBounds, OneRun};
use super::verdict::Verdict;

/// Fewest canaries on which the normal approximation of any threshold holds.
pub const CANARIES_MIN: usize = 100;

/// Canaries with which noise 1.5 times too small is seen in 99 of 100 audits of a job at this ε.
///
/// With shift 0.5·μ, m ≥ ((4.753·√(2 + μ²/2) + 2.326·√(2 + (1.5·μ)²/2)) / (0.5·μ))²; a fifth more, in round numbers.
pub fn canaries_needed(epsilon: f64) -> usize {
    // A job that was calibrated to a round figure stays a little below it.
    match epsilon * 1.001 {
        e if e >= 8.0 => 400,
        e if e >= 4.0 => 1_000,
        e if e >= 2.0 => 3_000,
        e if e >= 1.0 => 10_000,
        // μ is about proportional to ε there.
        e if e > 0.0 => (10_000.0 / (e * e)).ceil() as usize,
        _ => usize::MAX,
    }
}

/// The statistics of one run with canaries.
#[derive(Clone, Copy, Debug)]
pub struct Canaries<'a> {
    /// S_j in units of the claimed noise √T·σ.
    pub scores: &'a [f64],
    /// Whether canary j was in.
    pub included: &'a [bool],
    /// ρ of the whole job.
    pub rho: f64,
    /// δ of the job.
    pub delta: f64,
    /// How many it takes: see [`canaries_needed`].
    pub needed: usize,
}

impl Canaries<'_> {
    fn arm(&self, included: bool) -> impl Iterator<Item = f64> + Clone {
        self.scores.iter().zip(self.included).filter(move |(_, arm)| **arm == included).map(|(s, _)| *s)
    }

    /// (μ̂, its standard error at a given μ). The mean of those left out is known to be zero, so all m count for the spread
    /// and only those included for the mean.
    fn estimate(&self) -> (f64, impl Fn(f64) -> f64) {
        let inside = Moments::of(self.arm(true));
        let outside: f64 = self.arm(false).map(|s| s * s).sum();
        let degrees = self.scores.len() as f64 - 1.0;
        let spread = ((inside.squares + outside) / degrees).sqrt();
        let error = move |mu: f64| (1.0 / inside.count + mu * mu / (2.0 * degrees)).sqrt();
        (ratio(inside.mean.abs(), spread), error)
    }

    fn enough(&self) -> bool {
        self.scores.len() >= CANARIES_MIN && self.arm(true).count() >= CANARIES_MIN / 4
    }

    /// How far the canaries that are in stand out, against √(2ρ_total): the check that decides.
    pub fn separation(&self) -> Check {
        let claimed = (2.0 * self.rho).sqrt();
        let (measured, _) = self.estimate();
        let (included, degrees) = (self.arm(true).count() as f64, self.scores.len() as f64 - 1.0);
        let limit = studentised_upper(claimed, 1.0 / included, degrees, FALSE_ALARM);
        let mut check =
            judge_separation("canaries that are in stand out", measured, claimed, limit, self.enough());
        check.samples = self.scores.len() as u64;
        if check.verdict == Verdict::Pass && self.scores.len() < self.needed {
            check.verdict = Verdict::Inconclusive;
        }
        check
    }

    /// Whether the canaries that are out leave no trace: else they move other shoppers' contributions.
    pub fn outside(&self) -> Check {
        let outside = Moments::of(self.arm(false));
        let spread = (outside.squares / (outside.count - 1.0)).sqrt();
        let degrees = outside.count - 1.0;
        let limit = studentised_upper(0.0, 1.0 / outside.count, degrees, FALSE_ALARM / 2.0);
        let measured = ratio(outside.mean.abs(), spread);
        let verdict = if !self.enough() || !measured.is_finite() {
            Verdict::Inconclusive
        } else if measured > limit {
            Verdict::Broken
        } else {
            Verdict::Pass
        };
        let subject = "canaries that are out leave no trace".into();
        Check { subject, verdict, measured, claimed: 0.0, limit, samples: outside.count as u64 }
    }

    /// ε that the run shows at least, at 95 % confidence.
    pub fn lower_bounds(&self) -> LowerBounds {
        let (measured, error) = self.estimate();
        let separation = measured - Z_95 * error(measured);
        let guesses = self.guesses();
        let Guesses { canaries, made, correct } = guesses;
        LowerBounds {
            epsilon_gaussian: epsilon_of_separation(separation, self.delta),
            one_run: Some(OneRun {
                canaries,
                guesses: made,
                correct,
                epsilon: one_run::epsilon_lower_bound(guesses, self.delta, 0.05),
                ceiling: one_run::ceiling(canaries, made, self.delta, 0.05),
            }),
        }
    }

    /// Guesses about a tenth of the canaries: the highest twentieth is said to be in, the lowest to be out.
    fn guesses(&self) -> Guesses {
        let m = self.scores.len();
        let each = m / 20;
        let mut order: Vec<usize> = (0..m).collect();
        order.sort_by(|a, b| self.scores[*a].total_cmp(&self.scores[*b]));
        let lowest = order[..each].iter().filter(|j| !self.included[**j]).count();
        let highest = order[m - each..].iter().filter(|j| self.included[**j]).count();
        Guesses { canaries: m as u64, made: 2 * each as u64, correct: (lowest + highest) as u64 }
    }
}
