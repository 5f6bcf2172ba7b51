//! Convolving tilted one-step losses, and reading δ and ε off the result, with every error bounded. [core]
//!
//! The convolution is circular: what lies outside of the window is added to points inside, which can only enlarge δ. What
//! lies above is also counted by Chernoff's inequality. With x_i the tilted masses of part i (sums s_i ≈ 1), T_i its steps and
//! f the transform's relative error, the result is wrong by at most
//! G·(Σ_i T_i·‖x_i‖₂·(f + 6u) + f·‖x_i‖₂) in the 2-norm, G = ∏(s_i + f·√N·‖x_i‖₂)^T_i: the error of a power is at most T
//! times that of its base, powers by squaring add 6u·T, and ‖x^{∗T}‖₂ ≤ ‖x‖₂·‖x‖₁^(T−1). δ weighs the result by less
//! than e^(−θ(l − ε)), so Cauchy and Schwarz turn this into an error of δ, which is added.

use super::fft::{Complex, Transform, UNIT};
use super::one_step::OneStep;
use super::tilt::Frame;

/// Halvings between two grid points.
const HALVINGS: u32 = 60;

/// The tilted sum of all losses on the window, and what has to be added.
pub(super) struct Composed {
    frame: Frame,
    /// Tilted masses, from the window's bottom.
    masses: Vec<f64>,
    /// K(θ): what the masses were scaled by.
    log_scale: f64,
    /// Relative error of everything that is a product.
    relative: f64,
    /// Error of a δ over its scale, from rounding in the transform.
    rounding: f64,
    /// Part of δ that does not depend on ε: infinite losses and those above the window.
    constant: f64,
    /// The real sum of losses may exceed the one on the grid by this much.
    late: f64,
}

/// One part, tilted and laid around the circle.
struct Tilted {
    values: Vec<Complex>,
    log_scale: f64,
    sum: f64,
    norm: f64,
    relative: f64,
}

/// ln Σ mass·e^(θ·loss).
fn log_moment(step: &OneStep, h: f64, tilt: f64) -> f64 {
    let present = step.masses.iter().enumerate().filter(|(_, mass)| **mass > 0.0);
    let exponents: Vec<f64> =
        present.map(|(i, mass)| mass.ln() + tilt * ((step.first + i as i64) as f64 * h)).collect();
    let largest = exponents.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + exponents.iter().map(|exponent| (exponent - largest).exp()).sum::<f64>().ln()
}

impl Tilted {
    fn new(step: &OneStep, frame: &Frame) -> Self {
        let count = 1usize << frame.bits;
        let log_scale = log_moment(step, frame.h, frame.tilt);
        let ends = [step.first, step.first + step.masses.len() as i64].map(|i| (i as f64 * frame.h).abs());
        let exponent_max = frame.tilt * ends[0].max(ends[1]) + log_scale.abs();
        let relative = 8.0 * UNIT * (2.0 + exponent_max);
        let mut values = vec![Complex::default(); count];
        for (i, mass) in step.masses.iter().enumerate() {
            let index = step.first + i as i64;
            let tilted = mass * (frame.tilt * (index as f64 * frame.h) - log_scale).exp();
            values[index.rem_euclid(count as i64) as usize].re += tilted;
        }
        let sum: f64 = values.iter().map(|value| value.re).sum();
        let norm = values.iter().map(|value| value.re * value.re).sum::<f64>().sqrt();
        let roundings = 1.0 + 4.0 * UNIT * (count + step.masses.len()) as f64;
        Tilted { values, log_scale, sum: sum * roundings, norm: norm * roundings, relative }
    }
}

impl Composed {
    pub(super) fn new(parts: &[(OneStep, u64)], frame: Frame) -> Self {
        let transform = Transform::new(frame.bits);
        let count = 1usize << frame.bits;
        let mut product = vec![Complex { re: 1.0, im: 0.0 }; count];
        let (mut log_scale, mut relative, mut gain) = (0.0, 0.0, 1.0f64);
        let (mut spectral, mut narrowest) = (0.0, f64::INFINITY);
        for (step, times) in parts {
            let mut tilted = Tilted::new(step, &frame);
            transform.forward(&mut tilted.values);
            for (total, value) in product.iter_mut().zip(&tilted.values) {
                *total = total.times(value.power(*times));
            }
            let steps = *times as f64;
            log_scale += steps * tilted.log_scale;
            relative += steps * tilted.relative + 8.0 * UNIT * steps * tilted.log_scale.abs();
            gain *=
                (tilted.sum + transform.relative_error() * (count as f64).sqrt() * tilted.norm).powf(steps);
            spectral += steps * tilted.norm * (transform.relative_error() + 6.0 * UNIT);
            narrowest = tilted.norm.min(narrowest);
        }
        transform.inverse(&mut product);
        let error = 1.01 * gain * (spectral + transform.relative_error() * narrowest);
        let weights = (count as f64).min((2.0 * frame.tilt * frame.h).exp_m1().recip()).sqrt();
        let shift = frame.bottom.rem_euclid(count as i64) as usize;
        let masses = (0..count).map(|i| product[(i + shift) % count].re.max(0.0)).collect();
        let steps =
            |weigh: fn(&OneStep) -> f64| parts.iter().map(|(step, t)| *t as f64 * weigh(step)).sum::<f64>();
        let composed = Composed {
            frame,
            masses,
            log_scale,
            relative: (relative + 16.0 * UNIT * count as f64).exp_m1(),
            rounding: error * weights + f64::MIN_POSITIVE,
            constant: steps(|step| step.infinite) * (1.0 + 1e-9),
            late: steps(|step| step.late) * (1.0 + 1e-9),
        };
        Composed { constant: composed.constant + composed.above(parts), ..composed }
    }

    /// Chernoff's bound on the probability of a loss above the window.
    fn above(&self, parts: &[(OneStep, u64)]) -> f64 {
        let last = |step: &OneStep| (step.first + step.masses.len() as i64) as f64;
        let support: f64 = parts.iter().map(|(step, times)| *times as f64 * last(step)).sum();
        if support <= (self.frame.bottom + self.masses.len() as i64) as f64 {
            return 0.0;
        }
        let end = self.loss(self.masses.len());
        let bound = |tilt: f64| {
            let moments =
                parts.iter().map(|(step, times)| *times as f64 * log_moment(step, self.frame.h, tilt));
            let (sum, size) =
                moments.fold((0.0, 0.0), |(sum, size), moment| (sum + moment, size + moment.abs()));
            (sum - tilt * end + self.relative + 16.0 * UNIT * (size + tilt * end.abs())).exp()
        };
        // A tilt that overflows bounds nothing.
        let [rare, far] = self.frame.tilts_above;
        [self.frame.tilt, rare, far].map(bound).into_iter().fold(1.0, f64::min)
    }

    /// The loss of a point of the window.
    fn loss(&self, point: usize) -> f64 {
        (self.frame.bottom + point as i64) as f64 * self.frame.h
    }

    /// δ from a weighted sum of masses at and above a point, for an ε at or at most one grid step below it.
    fn delta_of(&self, point: usize, weighted: f64) -> f64 {
        let lost = self.frame.tilt * self.loss(point);
        let exponent = self.log_scale - lost + 8.0 * UNIT * (self.log_scale.abs() + lost.abs());
        // Apart, for one factor may leave the floats at either end where the product does not.
        let rounding = self.rounding * (exponent + self.frame.tilt * self.frame.h).exp();
        (exponent.exp() * weighted + rounding) * (1.0 + self.relative) + self.constant
    }

    /// The smallest ε with δ(ε) ≤ `delta`, rounded up. What is not a number keeps no δ.
    pub(super) fn epsilon_upper_bound(&self, delta: f64) -> f64 {
        let mut tails = Tails::new(&self.frame);
        for point in (0..self.masses.len()).rev() {
            let above = tails;
            tails.descend(self.masses[point]);
            let kept = self.delta_of(point, tails.excess) <= delta;
            if !kept {
                return self.between(point, above, delta);
            }
            if self.loss(point) <= 0.0 {
                return self.late;
            }
        }
        self.loss(0).max(0.0) + self.late
    }

    /// ε between a point where δ is exceeded and the next, whose tails are given.
    fn between(&self, point: usize, above: Tails, delta: f64) -> f64 {
        let keeps = |distance| self.delta_of(point + 1, above.excess_below(distance)) <= delta;
        if point + 1 == self.masses.len() || !keeps(0.0) {
            return f64::INFINITY;
        }
        let (mut kept, mut refused) = (0.0, self.frame.h);
        for _ in 0..HALVINGS {
            let middle = (kept + refused) / 2.0;
            if keeps(middle) {
                kept = middle;
            } else {
                refused = middle;
            }
        }
        // The sum of a loss and a distance, rounded once.
        (self.loss(point + 1) - kept).max(0.0).next_up() + self.late
    }

    /// δ(`epsilon`), rounded up.
    pub(super) fn delta_upper_bound(&self, epsilon: f64) -> f64 {
        let epsilon = epsilon - self.late;
        if epsilon >= self.loss(self.masses.len() - 1) {
            return self.constant.min(1.0);
        }
        if epsilon < self.loss(0) {
            return 1.0;
        }
        let mut tails = Tails::new(&self.frame);
        for point in (1..self.masses.len()).rev() {
            tails.descend(self.masses[point]);
            if self.loss(point - 1) <= epsilon {
                let distance = self.loss(point) - epsilon;
                return self.delta_of(point, tails.excess_below(distance.max(0.0))).min(1.0);
            }
        }
        1.0
    }
}

/// Sums over the points i at and above a point j, all terms positive.
#[derive(Clone, Copy)]
struct Tails {
    /// Σ y_i·e^(−θ(l_i − l_j)).
    tilted: f64,
    /// Σ y_i·e^(−(θ + 1)(l_i − l_j)).
    untilted: f64,
    /// Σ y_i·e^(−θ(l_i − l_j))·(1 − e^(−(l_i − l_j))).
    excess: f64,
    decay: f64,
    shrink: f64,
    growth: f64,
}

impl Tails {
    fn new(frame: &Frame) -> Self {
        Tails {
            tilted: 0.0,
            untilted: 0.0,
            excess: 0.0,
            decay: (-frame.tilt * frame.h).exp(),
            shrink: (-frame.h).exp(),
            growth: -(-frame.h).exp_m1(),
        }
    }

    /// To the next lower point.
    fn descend(&mut self, mass: f64) {
        self.excess = self.decay * (self.growth * self.tilted + self.shrink * self.excess);
        self.tilted = mass + self.decay * self.tilted;
        self.untilted = mass + self.decay * self.shrink * self.untilted;
    }

    /// Σ y_i·e^(−θ(l_i − l_j))·(1 − e^(ε − l_i)) for ε = l_j − `distance`.
    fn excess_below(&self, distance: f64) -> f64 {
        self.excess + self.untilted * -(-distance).exp_m1()
    }
}
