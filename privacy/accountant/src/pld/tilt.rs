//! Where to look: the tilt, the grid and the window for a question about a composition. [core]
//!
//! Multiplying a loss distribution by e^(θl) moves it to where δ is decided, and convolving commutes with that. So the
//! transform's rounding is relative to δ and not to 1, and the window need only cover the tilted sum (the saddle point:
//! Alghamdi et al. 2023, ICML). Nothing here needs to be exact: every tilt, grid and window gives an upper bound.

use super::fft::UNIT;
use super::loss::Loss;
use super::one_step::{Atoms, Direction};
use crate::mechanism::Mechanism;

/// Points at which a mechanism's loss is sampled.
const NODES: usize = 2_000;

/// Exponent by which what is left out above is rarer than δ.
const ABOVE: f64 = 25.0;

/// Exponent by which the tilted mass that is laid over the window from outside is less than one.
const ALIASED: f64 = 32.0;

/// Grid step over the standard deviation of one tilted step: widens the variance by at most (1/300)²/4.
const STEP: f64 = 1.0 / 300.0;

/// The same over the standard deviation of one step as it is, where tails are so heavy that the tilted one says little.
const BULK_STEP: f64 = 1.0 / 64.0;

/// 2^14 to 2^19 points.
const BITS: std::ops::RangeInclusive<u32> = 14..=19;

/// For a first look.
const COARSE_BITS: u32 = 16;

/// No δ that floats can hold is rarer than this exponent.
const RAREST: f64 = 650.0;

/// Points left free at the window's ends, and steps up to which every step's own rounding to the grid has room there.
const MARGIN: f64 = 8.0;
const FEW_STEPS: f64 = 64.0;

/// The most grid points of one step.
const ONE_STEP_MAX: f64 = (1 << 18) as f64;

/// Range of tilts searched.
const LOG_TILTS: (f64, f64) = (-28.0, 35.0);

/// How fine a grid to look with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resolution {
    /// Few points: an upper bound a little too large, in a fraction of the time.
    Coarse,
    /// As many as it takes.
    Fine,
}

impl Resolution {
    fn bits(self) -> std::ops::RangeInclusive<u32> {
        match self {
            Resolution::Coarse => COARSE_BITS..=COARSE_BITS,
            Resolution::Fine => BITS,
        }
    }
}

/// Tilt, grid and window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Frame {
    /// θ.
    pub(super) tilt: f64,
    /// Larger ones, for bounding what lies above the window.
    pub(super) tilts_above: [f64; 2],
    /// h.
    pub(super) h: f64,
    /// The window starts at this multiple of h.
    pub(super) bottom: i64,
    /// It has 2^bits points.
    pub(super) bits: u32,
}

/// Losses of the mechanisms composed, sampled: (ln weight, loss) of each, and steps.
pub(super) struct Sketch {
    parts: Vec<(Vec<(f64, f64)>, f64)>,
}

/// K(θ) = Σ steps·ln E[e^(θl)] and two derivatives.
#[derive(Clone, Copy, Debug, Default)]
struct Cumulants {
    value: f64,
    slope: f64,
    curvature: f64,
}

impl Sketch {
    pub(super) fn new(parts: &[(Mechanism, u64)], direction: Direction, reach: f64) -> Self {
        let part = |(mechanism, steps): &(Mechanism, u64)| {
            let nodes = match mechanism {
                Mechanism::Gaussian(gaussian) => normal_nodes(Loss::new(*gaussian), direction, reach),
                Mechanism::Discrete(discrete) => atom_nodes(&Atoms::new(*discrete, reach)),
            };
            (nodes, *steps as f64)
        };
        Sketch { parts: parts.iter().map(part).collect() }
    }

    fn cumulants(&self, tilt: f64) -> Cumulants {
        let mut total = Cumulants::default();
        for (nodes, steps) in &self.parts {
            let largest =
                nodes.iter().map(|(weight, loss)| weight + tilt * loss).fold(f64::NEG_INFINITY, f64::max);
            let (mut mass, mut first, mut second) = (0.0, 0.0, 0.0);
            for (weight, loss) in nodes {
                let tilted = (weight + tilt * loss - largest).exp();
                mass += tilted;
                first += tilted * loss;
                second += tilted * loss * loss;
            }
            let mean = first / mass;
            total.value += steps * (largest + mass.ln());
            total.slope += steps * mean;
            total.curvature += steps * (second / mass - mean * mean).max(0.0);
        }
        total
    }

    /// The smallest loss bound by Chernoff's inequality at δ = e^(−`exponent`) is where θ·K' − K = `exponent`.
    pub(super) fn tilt_for(&self, exponent: f64) -> f64 {
        solve(|tilt| {
            let cumulants = self.cumulants(tilt);
            tilt * cumulants.slope - cumulants.value > exponent
        })
    }

    /// Where to look for a δ of e^(−`exponent`) with this tilt, decided `gap` exponents away from where Chernoff's bound is.
    pub(super) fn frame(&self, tilt: f64, exponent: f64, gap: f64, resolution: Resolution) -> Frame {
        let here = self.cumulants(tilt);
        let rare = self.tilt_for(exponent + ABOVE).max(tilt);
        let up = solve(|up| {
            let there = self.cumulants(tilt + up);
            here.value - there.value + up * there.slope > ALIASED + gap
        });
        let down = solve(|down| {
            let there = self.cumulants(tilt - down);
            here.value - there.value - down * there.slope > ALIASED + gap
        });
        let [above, aliased, below] = [rare, tilt + up, tilt - down].map(|tilt| self.cumulants(tilt).slope);
        let window = (below.min(here.slope), above.max(aliased).max(here.slope));
        self.grid([tilt, rare, tilt + up], here.curvature, window, resolution.bits())
    }

    /// How many exponents Chernoff's bound with this tilt is above e^(−`exponent`).
    pub(super) fn gap(&self, tilt: f64, epsilon: f64, exponent: f64) -> f64 {
        self.cumulants(tilt).value - tilt * epsilon + exponent
    }

    /// The tilt at which δ(ε) is decided, or one that shows it to be nothing.
    pub(super) fn tilt_at(&self, epsilon: f64) -> f64 {
        solve(|tilt| {
            let cumulants = self.cumulants(tilt);
            cumulants.slope > epsilon || tilt * epsilon - cumulants.value > RAREST
        })
    }

    fn grid(
        &self,
        [tilt, rare, far]: [f64; 3],
        curvature: f64,
        (bottom, top): (f64, f64),
        bits_allowed: std::ops::RangeInclusive<u32>,
    ) -> Frame {
        let steps: f64 = self.parts.iter().map(|(_, steps)| steps).sum();
        let widest = self.parts.iter().map(|(nodes, _)| {
            let losses = nodes.iter().map(|(_, loss)| *loss);
            losses.clone().fold(f64::MIN, f64::max) - losses.fold(f64::MAX, f64::min)
        });
        let coarse_enough = widest.fold(0.0, f64::max) / ONE_STEP_MAX;
        // Floats must tell grid points apart.
        let told_apart = (top.abs() + bottom.abs()) * 64.0 * UNIT + f64::MIN_POSITIVE;
        let bulk = self.cumulants(0.0).curvature;
        let wanted = (STEP * (curvature / steps).sqrt()).min(BULK_STEP * (bulk / steps).sqrt());
        let span = (top - bottom).max(wanted).max(told_apart);
        let margin = MARGIN + 4.0 * steps.min(FEW_STEPS);
        let bits = (span / wanted.max(told_apart) + margin).log2().ceil().clamp(0.0, 64.0) as u32;
        let bits = bits.clamp(*bits_allowed.start(), *bits_allowed.end());
        let h = (span / (f64::from(1u32 << bits) - margin)).max(coarse_enough).max(told_apart);
        Frame { tilt, tilts_above: [rare, far], h, bottom: (bottom / h).floor() as i64 - 2, bits }
    }
}

/// Bisection of a tilt on a logarithmic scale: the smallest at which `passed` holds.
fn solve(passed: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = LOG_TILTS;
    for _ in 0..48 {
        let middle = (low + high) / 2.0;
        if passed(middle.exp()) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high.exp()
}

fn normal_nodes(loss: Loss, direction: Direction, reach: f64) -> Vec<(f64, f64)> {
    let step = (loss.shift + 2.0 * reach) / NODES as f64;
    let log_step = (step / std::f64::consts::TAU.sqrt()).ln();
    let node = |index: usize| {
        let t = -reach + (index as f64 + 0.5) * step;
        let (value, log_absent) = (loss.at(t), log_step - t * t / 2.0);
        match direction {
            Direction::Remove => (log_absent + value, value),
            Direction::Add => (log_absent, -value),
        }
    };
    (0..NODES).map(node).collect()
}

fn atom_nodes(atoms: &Atoms) -> Vec<(f64, f64)> {
    let stride = (2 * atoms.end as usize / NODES).max(1);
    let node = |k: i64| (atoms.mass(k).ln() + (stride as f64).ln(), atoms.loss(k));
    (-atoms.end..=atoms.end).step_by(stride).map(node).collect()
}
