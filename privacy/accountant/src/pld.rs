//! Privacy loss distributions: the tight accountant, by numerical convolution, as a rigorous upper bound. [core]
//!
//! The loss of a composition is the sum of independent losses, so its distribution is a convolution, and
//! δ(ε) = E[max(0, 1 − e^(ε − L))] (Sommer, Meiser, Mohammadi 2019; Koskela, Jälkö, Honkela 2020, arXiv 1906.03049). Every
//! approximation errs upwards:
//!
//! | step | why δ can only grow | where |
//! | --- | --- | --- |
//! | a loss becomes one on a grid | split between both neighbours so that E[e^(−l)] stays: Jensen | `one_step` |
//! | far tails of one step | count as infinite losses | `one_step` |
//! | a finite window | what leaves it on one side enters on the other; what is above is added by Chernoff | `convolve` |
//! | floats | masses, transform and sums with bounds on their rounding, all added | all, `fft` |
//!
//! Adjacency is "add or remove one": both directions are computed and the worse one counts.
//!
//! # Which statement this is
//! The mechanisms and their numbers are fixed beforehand; what is computed by them may depend on what was released. Stopping a
//! composition by its own distribution, with numbers chosen on the way, is *not* covered: the natural filter of that kind is
//! invalid in general (arXiv 2602.06756). For that there is [`crate::odometer`].

mod convolve;
mod fft;
mod loss;
mod one_step;
mod tilt;

use crate::mechanism::Mechanism;
use crate::normal::reach;
use convolve::Composed;
use loss::Loss;
use one_step::{Direction, OneStep};
use tilt::{Frame, Resolution, Sketch};

#[cfg(test)]
mod tests;

/// What is cut off one step is smaller than δ over the number of steps by this exponent.
const CUT: f64 = 25.0;

/// How often to look for an ε at most.
const LOOKS: u32 = 6;

/// How far, in exponents, a δ commonly is from Chernoff's bound on it, and the most that is asked for.
const GAP: f64 = 6.0;
const GAP_MAX: f64 = 200.0;

/// The furthest that a normal variable is looked at: beyond, probabilities leave the floats.
const REACH_MAX: f64 = 37.0;

/// A composition of mechanisms, whose numbers were fixed beforehand.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pld {
    parts: Vec<(Mechanism, u64)>,
}

impl Pld {
    /// Adds so many steps of a mechanism.
    pub fn compose(&mut self, mechanism: impl Into<Mechanism>, steps: u64) {
        let mechanism = mechanism.into();
        match self.parts.iter_mut().find(|(known, _)| *known == mechanism) {
            Some((_, total)) => *total = total.saturating_add(steps),
            None if steps > 0 => self.parts.push((mechanism, steps)),
            None => {}
        }
    }

    /// The smallest ε of the composition at δ, to about six digits.
    ///
    /// # Privacy
    /// Never below the truth. Infinite where δ is not positive, or below 10⁻²⁵⁰.
    pub fn epsilon_upper_bound(&self, delta: f64) -> f64 {
        if delta.is_nan() || delta < 1e-250 {
            return f64::INFINITY;
        }
        if self.parts.is_empty() || delta >= 1.0 {
            return 0.0;
        }
        let removed = self.epsilon_in(Direction::Remove, delta);
        // The other direction is seldom worse, and asking whether it is takes one look, most often a coarse one.
        let is_enough =
            |resolution| self.delta_in(Direction::Add, removed, self.reach(delta), resolution) <= delta;
        if !self.sampled() || is_enough(Resolution::Coarse) || is_enough(Resolution::Fine) {
            return removed;
        }
        removed.max(self.epsilon_in(Direction::Add, delta))
    }

    /// The largest advantage δ of the composition at ε.
    ///
    /// # Privacy
    /// Never below the truth. 1 for an ε that is not a number ≥ 0.
    pub fn delta_upper_bound(&self, epsilon: f64) -> f64 {
        if epsilon.is_nan() || epsilon < 0.0 {
            return 1.0;
        }
        if self.parts.is_empty() {
            return 0.0;
        }
        let removed = self.delta_in(Direction::Remove, epsilon, REACH_MAX, Resolution::Fine);
        if self.sampled() {
            removed.max(self.delta_in(Direction::Add, epsilon, REACH_MAX, Resolution::Fine))
        } else {
            removed
        }
    }

    /// δ in one direction, with normal variables up to `reach`.
    fn delta_in(&self, direction: Direction, epsilon: f64, reach: f64, resolution: Resolution) -> f64 {
        let sketch = Sketch::new(&self.parts, direction, reach);
        let tilt = sketch.tilt_at(epsilon);
        let exponent = -sketch.gap(tilt, epsilon, 0.0);
        // δ is smaller than Chernoff's bound, commonly by less than GAP exponents.
        let frame = sketch.frame(tilt, exponent.max(0.0) + GAP, GAP, resolution);
        self.convolve(direction, frame, reach).delta_upper_bound(epsilon)
    }

    /// ε in one direction: looks where Chernoff's bound is, and again where that turns out to be far from the answer.
    /// Where to look is found on a coarse grid; what is found there is an upper bound too.
    fn epsilon_in(&self, direction: Direction, delta: f64) -> f64 {
        let exponent = -delta.ln();
        let reach = self.reach(delta);
        let sketch = Sketch::new(&self.parts, direction, reach);
        let (mut tilt, mut gap, mut epsilon) = (sketch.tilt_for(exponent), 0.0, f64::INFINITY);
        for resolution in [Resolution::Coarse, Resolution::Fine] {
            for _ in 0..LOOKS {
                let frame = sketch.frame(tilt, exponent, gap, resolution);
                epsilon = self.convolve(direction, frame, reach).epsilon_upper_bound(delta).min(epsilon);
                let near = epsilon.is_finite() && sketch.gap(tilt, epsilon, exponent) <= gap.max(GAP);
                if epsilon == 0.0 || near {
                    break;
                }
                if epsilon.is_infinite() {
                    // So strong a tilt that one step of the grid left the floats.
                    tilt /= 16.0;
                    continue;
                }
                tilt = tilt.min(sketch.tilt_at(epsilon));
                gap = sketch.gap(tilt, epsilon, exponent).clamp(0.0, GAP_MAX) + 1.0;
            }
        }
        epsilon
    }

    /// How far to look at normal variables so that what is cut off is small beside `delta`.
    fn reach(&self, delta: f64) -> f64 {
        let steps: f64 = self.parts.iter().map(|(_, steps)| *steps as f64).sum();
        reach(delta.ln() - steps.ln() - CUT).min(REACH_MAX)
    }

    fn convolve(&self, direction: Direction, frame: Frame, reach: f64) -> Composed {
        let one_step = |mechanism: &Mechanism| match mechanism {
            Mechanism::Gaussian(gaussian) => {
                OneStep::sampled(Loss::new(*gaussian), direction, frame.h, reach)
            }
            Mechanism::Discrete(discrete) => OneStep::discrete(*discrete, frame.h, reach),
        };
        let parts: Vec<(OneStep, u64)> =
            self.parts.iter().map(|(mechanism, steps)| (one_step(mechanism), *steps)).collect();
        Composed::new(&parts, frame)
    }

    /// Without sampling both directions are alike.
    fn sampled(&self) -> bool {
        self.parts.iter().any(|(mechanism, _)| {
            matches!(mechanism, Mechanism::Gaussian(gaussian) if gaussian.sampling_rate() < 1.0)
        })
    }
}
