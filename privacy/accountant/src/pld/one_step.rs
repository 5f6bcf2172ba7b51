//! The loss of one step on a grid, no better than the real one. [core]
//!
//! A loss l between the grid points a and b = a + h is split: b gets the share (e^(−a) − e^(−l))/(e^(−a) − e^(−b)), a the
//! rest, so that the mean of e^(−l) stays. The composed δ(ε) = E[max(0, 1 − e^ε·∏ e^(−l_i))] is convex in every
//! e^(−l_i), so by Jensen's inequality no δ gets smaller, whatever else is composed. This is the pessimistic estimate of
//! Doroshenko, Ghazi, Kamath, Kumar and Manurangsi 2022 (arXiv 2207.04380), who show it is the best on a grid.
//! It widens a step's variance by no more than h²/4, where rounding up would move its mean by h/2.
//!
//! Rounding: all masses are upper bounds. What a share may be wrong by is added to both sides; that a point may lie on the
//! wrong side of a grid point by η is answered by [`OneStep::late`], which is added to ε for every step.

use super::fft::UNIT;
use super::loss::Loss;
use crate::mechanism::DiscreteGaussian;
use crate::normal::{TAIL_ERROR, tail};

/// Nodes and weights of Gauss and Legendre on (−1, 1). The rule with five points on a panel of length L errs by
/// at most L^10·f⁽¹⁰⁾/2.5·10¹² of its value. f⁽ⁿ⁾/f of a normal density is at most (|t| + 2)ⁿ for n ≤ 10, so [`PANEL`]
/// keeps the error under 8u.
const RULE: [(f64, f64); 5] = [
    (-0.906_179_845_938_664, 0.236_926_885_056_189_1),
    (-0.538_469_310_105_683_1, 0.478_628_670_499_366_5),
    (0.0, 0.568_888_888_888_888_9),
    (0.538_469_310_105_683_1, 0.478_628_670_499_366_5),
    (0.906_179_845_938_664, 0.236_926_885_056_189_1),
];

/// Length of a panel times the rate at which the density may change on it.
const PANEL: f64 = 0.5;

/// Losses beyond which e^(−l) leaves the floats and everything is rounded up to the next grid point.
const SPLIT_MAX: f64 = 600.0;

/// How far the masses, all of them upper bounds, may be from one by adding them up.
const WHOLE_ERROR: f64 = 1e-9;

/// Which of the two neighbours is the real one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// With the unit against without.
    Remove,
    /// Without against with.
    Add,
}

/// The loss of one step on the points `first`·h, (`first` + 1)·h, …
#[derive(Clone, Debug)]
pub(super) struct OneStep {
    pub(super) first: i64,
    pub(super) masses: Vec<f64>,
    /// Probability that the loss counts as infinite.
    pub(super) infinite: f64,
    /// The real loss may exceed the one on the grid by so much.
    pub(super) late: f64,
}

/// One bin's mass without the unit, and what the unit changes of it, with bounds on their errors.
struct BinMass {
    absent: f64,
    change: f64,
    absent_error: f64,
    change_error: f64,
}

/// One bin, in terms of the loss in question: its lower end, mass under either neighbour, and errors.
struct Bin {
    lower: f64,
    top: i64,
    mass: f64,
    mass_error: f64,
    /// mass − e^lower·(mass under the other neighbour), without cancellation.
    excess: f64,
    excess_error: f64,
}

impl OneStep {
    fn empty(first: i64, last: i64) -> Self {
        let count = usize::try_from(last - first + 1).unwrap_or(0);
        OneStep { first, masses: vec![0.0; count], infinite: 0.0, late: 0.0 }
    }

    fn add(&mut self, index: i64, mass: f64) {
        if let Some(slot) = usize::try_from(index - self.first).ok().and_then(|i| self.masses.get_mut(i)) {
            *slot += mass * (1.0 + 4.0 * UNIT);
        } else {
            // Off the grid by rounding at its ends.
            self.infinite += mass;
        }
    }

    /// Of a Poisson-sampled Gaussian on a grid of step `h`, whose normal variables count up to `reach`.
    pub(super) fn sampled(loss: Loss, direction: Direction, h: f64, reach: f64) -> Self {
        let (low, high) = (-reach, loss.shift + reach);
        let (first, last) = ((loss.at(low) / h).floor() as i64, (loss.at(high) / h).ceil() as i64);
        let mut step = match direction {
            Direction::Remove => Self::empty(first, last),
            Direction::Add => Self::empty(-last, -first),
        };
        step.infinite = 2.0 * tail(reach) * (1.0 + TAIL_ERROR);
        let mut from = low;
        for index in first..last {
            let edge = (index + 1) as f64 * h;
            let to = if index + 1 == last { high } else { loss.point(edge).clamp(from, high) };
            if to > from {
                let error = loss.error_at(edge, to).max(loss.error_at(edge - h, from));
                step.late = step.late.max(error);
                let bin = bin(loss, direction, index, h, bin_mass(loss, from, to));
                step.split(&bin, h, error);
            }
            from = to;
        }
        step.checked()
    }

    /// Of a discrete Gaussian over one whole number, whose two directions are alike.
    pub(super) fn discrete(mechanism: DiscreteGaussian, h: f64, reach: f64) -> Self {
        let atoms = Atoms::new(mechanism, reach);
        let (first, last) = (atoms.loss(-atoms.end), atoms.loss(atoms.end));
        let mut step = Self::empty((first / h).floor() as i64, (last / h).ceil() as i64 + 1);
        step.infinite = atoms.beyond();
        for k in -atoms.end..=atoms.end {
            let (mass, loss) = (atoms.mass(k), atoms.loss(k));
            let bottom = (loss / h).floor();
            let error = 8.0 * UNIT * (loss.abs() + h);
            step.late = step.late.max(error);
            let bin = Bin {
                lower: 0.0,
                top: bottom as i64 + 1,
                mass,
                mass_error: mass * TAIL_ERROR,
                excess: mass * -(bottom * h - loss).exp_m1(),
                excess_error: 0.0,
            };
            step.split(&bin, h, error);
        }
        step.checked()
    }

    /// All losses count as infinite where some of the mass was lost on the way, which would make δ too small.
    fn checked(mut self) -> Self {
        let total = self.masses.iter().sum::<f64>() + self.infinite;
        let complete = total >= 1.0 - WHOLE_ERROR && total.is_finite();
        if !complete {
            (self.infinite, self.late) = (1.0, 0.0);
        }
        self
    }

    /// Splits a bin's mass between its two ends; its losses may lie outside by `error`.
    fn split(&mut self, bin: &Bin, h: f64, error: f64) {
        let mass = bin.mass + bin.mass_error;
        if bin.lower > SPLIT_MAX {
            return self.add(bin.top, mass);
        }
        let whole = -(-h).exp_m1();
        let share = bin.excess / whole;
        let uncertain = (bin.excess_error + error * mass + 4.0 * UNIT * bin.excess.abs()) / whole;
        self.add(bin.top, (share + uncertain).clamp(0.0, mass));
        self.add(bin.top - 1, (mass - share + uncertain).clamp(0.0, mass));
    }
}

/// The bin between the losses index·h and (index + 1)·h of "remove", as it looks from `direction`.
fn bin(loss: Loss, direction: Direction, index: i64, h: f64, mass: BinMass) -> Bin {
    let BinMass { absent, change, absent_error, change_error } = mass;
    let (moved, moved_error) = (loss.rate * change, loss.rate * change_error);
    match direction {
        Direction::Remove => {
            let lower = index as f64 * h;
            let factor = lower.min(SPLIT_MAX).exp_m1();
            Bin {
                lower,
                top: index + 1,
                mass: (absent + moved).max(0.0),
                mass_error: absent_error + moved_error,
                excess: moved - absent * factor,
                excess_error: moved_error + absent_error * factor.abs(),
            }
        }
        Direction::Add => {
            let lower = -(index + 1) as f64 * h;
            let factor = lower.min(SPLIT_MAX).exp_m1();
            Bin {
                lower,
                top: -index,
                mass: absent,
                mass_error: absent_error,
                excess: -absent * factor - moved * (1.0 + factor),
                excess_error: absent_error * factor.abs() + moved_error * (1.0 + factor),
            }
        }
    }
}

/// ∫ φ(t) dt and ∫ φ(t)·(e^w(t) − 1) dt over a bin.
fn bin_mass(loss: Loss, from: f64, to: f64) -> BinMass {
    let rate = from.abs().max(to.abs()) + loss.shift + 2.0;
    let panels = ((to - from) * rate / PANEL).ceil().max(1.0);
    let half = (to - from) / panels / 2.0;
    let (mut absent, mut change) = (0.0, 0.0);
    for panel in 0..panels as u32 {
        let centre = from + half * f64::from(2 * panel + 1);
        for (node, weight) in RULE {
            let t = centre + half * node;
            let density = weight * (-t * t / 2.0).exp();
            let w = loss.unsampled(t);
            absent += density;
            // Apart where e^w would leave the floats before the density has.
            change += if w < 1.0 {
                density * w.exp_m1()
            } else {
                weight * (-(t - loss.shift) * (t - loss.shift) / 2.0).exp() - density
            };
        }
    }
    let scale = half / std::f64::consts::TAU.sqrt();
    (absent, change) = (absent * scale, change * scale);
    // Rounding t² costs t²·u of the density, rounding w at most w·u; the rule 8u.
    let relative = UNIT * (32.0 + 8.0 * rate * rate);
    let both = absent + (absent + change).max(0.0);
    BinMass {
        absent,
        change,
        absent_error: relative * absent + f64::MIN_POSITIVE,
        change_error: relative * (loss.shift * rate).min(1.0) * both + f64::MIN_POSITIVE,
    }
}

/// The values of a discrete Gaussian.
pub(super) struct Atoms {
    variance: f64,
    sensitivity: f64,
    total: f64,
    pub(super) end: i64,
}

impl Atoms {
    /// All within `reach` standard deviations.
    pub(super) fn new(mechanism: DiscreteGaussian, reach: f64) -> Self {
        let sigma = mechanism.noise_standard_deviation();
        let end = (reach * sigma).ceil() as i64 + 1;
        let mut atoms = Atoms {
            variance: sigma * sigma,
            sensitivity: f64::from(mechanism.sensitivity()),
            total: 1.0,
            end,
        };
        // What is left out makes the total too small, and so every mass too large.
        let rounding = TAIL_ERROR + 4.0 * UNIT * end as f64;
        atoms.total = (-end..=end).map(|k| atoms.mass(k)).sum::<f64>() * (1.0 - rounding);
        atoms
    }

    pub(super) fn mass(&self, k: i64) -> f64 {
        (-((k * k) as f64) / (2.0 * self.variance)).exp() / self.total
    }

    /// ln of the ratio between both neighbours at −k.
    pub(super) fn loss(&self, k: i64) -> f64 {
        self.sensitivity * (self.sensitivity + 2.0 * k as f64) / (2.0 * self.variance)
    }

    /// Probability of everything beyond the end on both sides: a geometric series from above.
    fn beyond(&self) -> f64 {
        let ratio = (-(self.end as f64) / self.variance).exp();
        2.0 * self.mass(self.end + 1) / (1.0 - ratio) * (1.0 + TAIL_ERROR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mechanism::SampledGaussian;

    /// Both neighbours' masses stay whole: Σ p = 1 and Σ p·e^(−l) = 1 but for tails, on grids fine and coarse.
    #[test]
    fn mass_and_ratio_are_kept() {
        for (z, q) in [(1.0, 0.1), (0.5, 0.9), (3.0, 1.0), (1.0, 1e-4), (20.0, 0.01)] {
            let loss = Loss::new(SampledGaussian::new(z, q).expect("a mechanism"));
            for (direction, h) in
                [(Direction::Remove, 1e-3), (Direction::Add, 1e-3), (Direction::Remove, 0.3)]
            {
                let step = OneStep::sampled(loss, direction, h * loss.at(1.0 + 1.0 / z).abs(), 8.5);
                let total: f64 = step.masses.iter().sum();
                assert!((0.0..1e-9).contains(&(total + step.infinite - 1.0)), "z {z} q {q}: {total}");
                let h = h * loss.at(1.0 + 1.0 / z).abs();
                let other = |(i, mass): (usize, &f64)| mass * (-((step.first + i as i64) as f64 * h)).exp();
                let ratio: f64 = step.masses.iter().enumerate().map(other).sum();
                assert!((ratio - 1.0).abs() < 1e-8, "z {z} q {q} {direction:?} h {h}: {ratio}");
            }
        }
    }

    #[test]
    fn lost_mass_makes_the_loss_infinite() {
        let loss = Loss::new(SampledGaussian::everybody(1.0).expect("a mechanism"));
        for h in [f64::NAN, f64::INFINITY] {
            assert_eq!(OneStep::sampled(loss, Direction::Remove, h, 8.0).infinite, 1.0, "{h}");
        }
        assert!(OneStep::sampled(loss, Direction::Remove, 0.01, 8.0).infinite < 1e-14);
    }
}
