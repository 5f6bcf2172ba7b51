//! Rényi differential privacy: losses per order, for mechanisms over Poisson samples. [core]
//!
//! At order α a mechanism has the loss ε(α) = D_α(with ‖ without), the Rényi divergence. Losses of the same order add up
//! over steps, whatever the mechanisms (Mironov 2017, arXiv 1702.07476). For the Poisson-sampled Gaussian
//! (Mironov, Talwar, Zhang 2019, arXiv 1908.10530) the direction "remove" is the larger one and
//! ε(α) = ln A(α)/(α − 1) with A(α) = E[(1 − q + q·exp((2x − 1)/(2z²)))^α], x ~ N(0, z²): how A is bounded is in
//! `moment`. zCDP is the special case ε(α) = ρ·α.
//!
//! From a loss to (ε, δ): ε = ε(α) + ln(1 − 1/α) − ln(δ·α)/(α − 1), the best over the orders (Canonne, Kamath, Steinke 2020,
//! arXiv 2004.00010, Proposition 12; Balle et al. 2020, arXiv 1905.09982), and ε = 0 where the total variation,
//! at most √(1 − e^(−KL)) (Bretagnolle and Huber), is within δ: KL is at most every ε(α).
//!
//! # Which statement this is
//! The schedule may react to what was released, the losses per order may not, unless a filter bounds their sum at one
//! order beforehand: see [`crate::odometer`].

mod moment;

use crate::PicoRho;
use crate::mechanism::Mechanism;
use moment::Moments;

#[cfg(test)]
mod tests;

/// The largest order of the default grid.
const ORDER_MAX: f64 = 4_096.0;

/// Beyond it even whole orders take too long.
const ORDER_LIMIT: f64 = 1e6;

/// Losses of a composition at a grid of orders.
#[derive(Clone, Debug, PartialEq)]
pub struct Rdp {
    orders: Vec<f64>,
    losses: Vec<f64>,
}

/// An ε, and the order that certifies it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Certified {
    /// ε, rounded up.
    pub epsilon: f64,
    /// α.
    pub order: f64,
}

/// No losses yet, at 360 orders from 1.001 to 4096, among them those that other accountants use by default.
impl Default for Rdp {
    fn default() -> Self {
        let near_one = (0..48).map(|step| 1.0 + 1e-3 * 1.1f64.powi(step));
        let twentieths = (1..200).map(|step| 1.0 + f64::from(step) / 20.0);
        let whole = (11..64).map(f64::from);
        let mut orders: Vec<f64> = near_one.chain(twentieths).chain(whole).collect();
        let mut large = 64.0f64;
        while large <= ORDER_MAX {
            orders.push(large);
            large = (large * 1.07).floor();
        }
        orders.extend([128.0, 256.0, 512.0, 1024.0]);
        Self::at_orders(orders)
    }
}

impl Rdp {
    /// No losses yet, at the orders given. Orders of 1 and less, which certify nothing, and above 10⁶ are left out.
    pub fn at_orders(mut orders: Vec<f64>) -> Self {
        orders.retain(|order| *order > 1.0 && *order <= ORDER_LIMIT);
        orders.sort_by(f64::total_cmp);
        orders.dedup();
        let losses = vec![0.0; orders.len()];
        Rdp { orders, losses }
    }

    /// The orders, ascending.
    pub fn orders(&self) -> &[f64] {
        &self.orders
    }

    /// The losses at these orders.
    pub fn losses(&self) -> &[f64] {
        &self.losses
    }

    /// Adds so many steps of a mechanism.
    ///
    /// # Privacy
    /// Rounded up at every order.
    pub fn compose(&mut self, mechanism: impl Into<Mechanism>, steps: u64) {
        match mechanism.into() {
            Mechanism::Gaussian(gaussian) if gaussian.sampling_rate() < 1.0 => {
                let fractional = self.orders.iter().filter(|order| order.fract() > 0.0);
                let moments = Moments::new(gaussian, fractional.copied().fold(1.0, f64::max));
                self.add(steps, |order| moments.log_moment_upper_bound(order) / (order - 1.0));
            }
            Mechanism::Gaussian(gaussian) => {
                let z = gaussian.noise_multiplier();
                self.add(steps, |order| order / (2.0 * z * z));
            }
            Mechanism::Discrete(discrete) => {
                let ratio = f64::from(discrete.sensitivity()) / discrete.noise_standard_deviation();
                self.add(steps, |order| order * (ratio * ratio / 2.0));
            }
        }
    }

    /// Adds a zCDP loss: ρ·α at every order.
    pub fn compose_zcdp(&mut self, rho: PicoRho) {
        let rho = rho.rho_upper_bound();
        self.add(1, |order| order * rho);
    }

    fn add(&mut self, steps: u64, loss: impl Fn(f64) -> f64) {
        for (order, total) in self.orders.iter().zip(&mut self.losses) {
            // A handful of roundings to nearest, undone at once.
            *total = (*total + steps as f64 * loss(*order)) * (1.0 + 8.0 * f64::EPSILON);
        }
    }

    /// The smallest ε that one of the orders certifies at δ.
    ///
    /// # Privacy
    /// Never below the truth. Infinite where no order certifies anything.
    pub fn epsilon_upper_bound(&self, delta: f64) -> f64 {
        self.certify(delta).map_or(f64::INFINITY, |certified| certified.epsilon)
    }

    /// The smallest ε that one of the orders certifies at δ, and that order.
    pub fn certify(&self, delta: f64) -> Option<Certified> {
        if delta.is_nan() || delta <= 0.0 {
            return None;
        }
        let certified = self
            .orders
            .iter()
            .zip(&self.losses)
            .map(|(order, loss)| Certified { epsilon: epsilon_at(*order, *loss, delta), order: *order });
        certified.filter(|c| c.epsilon.is_finite()).min_by(|a, b| a.epsilon.total_cmp(&b.epsilon))
    }
}

/// ε at one order, rounded up.
fn epsilon_at(order: f64, loss: f64, delta: f64) -> f64 {
    if !loss.is_finite() {
        return f64::INFINITY;
    }
    if delta * delta * (1.0 - 4.0 * f64::EPSILON) + (-loss).exp_m1() > 0.0 {
        return 0.0;
    }
    let terms = [loss, (-order.recip()).ln_1p(), -delta.ln() / (order - 1.0), -order.ln() / (order - 1.0)];
    let magnitude: f64 = terms.iter().map(|term| term.abs()).sum();
    (terms.iter().sum::<f64>() + 8.0 * f64::EPSILON * magnitude).max(0.0)
}
