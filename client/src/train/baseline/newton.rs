//! Newton's method for penalised logistic regression (iteratively reweighted least squares), in f64. [core]

use crate::data::observations::Observations;
use crate::evaluate::{cross_entropy, probability};

/// Penalty on the bias, in rows: small enough to leave it free, enough to keep it finite with a single class.
const BIAS_PENALTY: f64 = 1e-3;
const STEPS_MAX: usize = 50;
const HALVINGS_MAX: usize = 30;
/// Converged when a step promises less than this share of the objective.
const TOLERANCE: f64 = 1e-10;

/// Parameters that minimise a problem, or the point to start from: one weight per input, then the bias.
pub(super) struct Optimum(Vec<f64>);

impl Optimum {
    pub(super) fn at_zero(inputs: usize) -> Self {
        Optimum(vec![0.0; inputs + 1])
    }

    pub(super) fn parameters(&self) -> &[f64] {
        &self.0
    }
}

impl From<Vec<f64>> for Optimum {
    fn from(parameters: Vec<f64>) -> Self {
        Optimum(parameters)
    }
}

/// The rows of a fit.
pub(super) struct Problem {
    /// inputs + 1: the last column is the constant 1.
    columns: usize,
    /// Row-major.
    rows: Vec<f64>,
    labels: Vec<f64>,
}

impl Problem {
    /// Keeps the rows of the right width whose numbers are all finite.
    pub(super) fn new(inputs: usize, parts: &[&Observations]) -> Self {
        let mut problem = Problem { columns: inputs + 1, rows: vec![], labels: vec![] };
        for part in parts.iter().filter(|part| part.inputs == inputs) {
            for (row, label) in part.labels.iter().enumerate() {
                let features = part.row(row);
                if label.is_finite() && features.iter().all(|x| x.is_finite()) {
                    problem.rows.extend(features.iter().map(|x| f64::from(*x)).chain([1.0]));
                    problem.labels.push(f64::from(*label));
                }
            }
        }
        problem
    }

    /// Minimises Σ loss + penalty·|w|²/2 from a starting point.
    pub(super) fn minimise(&self, penalty: f64, start: Optimum) -> Optimum {
        let mut at = start.0;
        let mut objective = self.objective(&at, penalty);
        let mut system = Quadratic::new(self.columns);
        for _ in 0..STEPS_MAX {
            self.expand(&at, penalty, &mut system);
            let Some(step) = system.solve() else { break };
            let promised: f64 = step.iter().zip(&system.gradient).map(|(s, g)| s * g).sum::<f64>() / 2.0;
            if promised.is_nan() || promised <= TOLERANCE * (1.0 + objective) {
                break;
            }
            let Some((next, lower)) = self.descend(&at, &step, objective, penalty) else { break };
            (at, objective) = (next, lower);
        }
        Optimum(at)
    }

    /// Halves the step until the objective falls: the whole step may overshoot where the loss is nearly linear.
    fn descend(&self, at: &[f64], step: &[f64], objective: f64, penalty: f64) -> Option<(Vec<f64>, f64)> {
        let mut rate = 1.0;
        for _ in 0..HALVINGS_MAX {
            let next: Vec<f64> = at.iter().zip(step).map(|(a, s)| a - rate * s).collect();
            let value = self.objective(&next, penalty);
            if value < objective {
                return Some((next, value));
            }
            rate /= 2.0;
        }
        None
    }

    fn objective(&self, at: &[f64], penalty: f64) -> f64 {
        let rows = self.rows.chunks_exact(self.columns).zip(&self.labels);
        let loss: f64 = rows.map(|(row, label)| cross_entropy(dot(row, at), *label)).sum();
        let prior: f64 = at.iter().enumerate().map(|(i, a)| self.penalty_of(i, penalty) * a * a / 2.0).sum();
        loss + prior
    }

    fn penalty_of(&self, column: usize, penalty: f64) -> f64 {
        if column + 1 == self.columns { BIAS_PENALTY } else { penalty }
    }

    /// Gradient and Hessian (lower triangle) of the objective.
    fn expand(&self, at: &[f64], penalty: f64, system: &mut Quadratic) {
        let n = self.columns;
        system.hessian.fill(0.0);
        for (i, a) in at.iter().enumerate() {
            system.gradient[i] = self.penalty_of(i, penalty) * a;
            system.hessian[i * n + i] = self.penalty_of(i, penalty);
        }
        for (row, label) in self.rows.chunks_exact(n).zip(&self.labels) {
            let p = probability(dot(row, at));
            let (slope, curvature) = (p - label, p * (1.0 - p));
            for (i, x) in row.iter().enumerate().filter(|(_, x)| **x != 0.0) {
                system.gradient[i] += slope * x;
                let scaled = curvature * x;
                let line = &mut system.hessian[i * n..=i * n + i];
                line.iter_mut().zip(row).for_each(|(h, x)| *h += scaled * x);
            }
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A quadratic model of the objective, and room to solve it.
struct Quadratic {
    n: usize,
    gradient: Vec<f64>,
    /// Lower triangle, row-major, n × n.
    hessian: Vec<f64>,
    factor: Vec<f64>,
}

impl Quadratic {
    fn new(n: usize) -> Self {
        Quadratic { n, gradient: vec![0.0; n], hessian: vec![0.0; n * n], factor: vec![0.0; n * n] }
    }

    /// H⁻¹·g, with a little added to the diagonal where rounding made H indefinite; none if no amount helps.
    fn solve(&mut self) -> Option<Vec<f64>> {
        let largest = (0..self.n).map(|i| self.hessian[i * self.n + i]).fold(0.0, f64::max);
        let mut ridge = 0.0;
        for _ in 0..12 {
            if self.factorise(ridge) {
                return Some(self.substitute());
            }
            ridge = if ridge == 0.0 { 1e-14 * (largest + 1e-6) } else { ridge * 100.0 };
        }
        None
    }

    /// Cholesky: H + ridge·I = L·Lᵀ. False where a pivot is not a positive finite number.
    fn factorise(&mut self, ridge: f64) -> bool {
        let n = self.n;
        for i in 0..n {
            for j in 0..=i {
                let known = dot(&self.factor[i * n..i * n + j], &self.factor[j * n..j * n + j]);
                let rest = self.hessian[i * n + j] - known;
                if i != j {
                    self.factor[i * n + j] = rest / self.factor[j * n + j];
                    continue;
                }
                let pivot = rest + ridge;
                if !(pivot > 0.0 && pivot.is_finite()) {
                    return false;
                }
                self.factor[i * n + i] = pivot.sqrt();
            }
        }
        true
    }

    fn substitute(&self) -> Vec<f64> {
        let n = self.n;
        let mut x = self.gradient.clone();
        for i in 0..n {
            let known = dot(&self.factor[i * n..i * n + i], &x[..i]);
            x[i] = (x[i] - known) / self.factor[i * n + i];
        }
        for i in (0..n).rev() {
            let known: f64 = (i + 1..n).map(|k| self.factor[k * n + i] * x[k]).sum();
            x[i] = (x[i] - known) / self.factor[i * n + i];
        }
        x
    }
}
