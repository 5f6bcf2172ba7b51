//! ln A(α) of the Poisson-sampled Gaussian, bounded from above at every order. [core]
//!
//! Whole orders: A(α) = Σ_k C(α,k)·(1 − q)^(α−k)·q^k·exp(k(k − 1)/(2z²)), a sum without cancellation.
//!
//! Other orders: the usual pair of series converges slowly or not at all where z is small. We integrate instead. With
//! t = x/z, A(α) = ∫ φ(t)·g(t)^α dt and g(t) = 1 − q + q·exp(t/z − 1/(2z²)). The trapezoidal rule on a grid of step s errs by
//! at most 2·M/(exp(2πa/s) − 1), where M bounds the integral of |φ·g^α| along every line |Im t| < a in which the integrand is
//! analytic (Trefethen and Weideman 2014, Theorem 5.1). Derived here: the first zero of g has Im t = π·z; up to there
//! |g(t)| ≤ g(Re t) and |φ(t)| ≤ φ(Re t)·exp(a²/2), so M ≤ exp(a²/2)·A(α). The error is *relative* to A(α), at every
//! order, and s is chosen to make it less than 2⁻⁵⁰.
//!
//! Points left out are bounded too: left of the grid g ≤ 1, right of it g(t) ≤ g(r)·exp((t − r)/z).

use crate::mechanism::SampledGaussian;

/// How far the grid reaches beyond both peaks of the integrand, in standard deviations.
const REACH: f64 = 9.5;

/// Half the widest strip used: wider ones gain nothing, for their factor exp(a²/2) grows faster.
const STRIP_MAX: f64 = 6.0;

/// ln of the relative error of the trapezoidal rule, negated: e⁻³⁶ < 2⁻⁵⁰.
const RULE_EXPONENT: f64 = 36.0;

/// What lies so far below the largest logarithm is not summed up one by one.
const NEGLIGIBLE: f64 = 60.0;

/// Longest grid: what needs a longer one is interpolated.
const POINTS_MAX: usize = 1 << 18;

/// Everything about one mechanism that does not depend on the order.
pub(super) struct Moments {
    noise_multiplier: f64,
    log_rate: f64,
    log_rest: f64,
    step: f64,
    /// ln g at the points −REACH, −REACH + step, …
    log_ratios: Vec<f64>,
}

impl Moments {
    /// For a sampling rate below 1, and orders of which `fractional_max` is the largest that is not whole.
    pub(super) fn new(mechanism: SampledGaussian, fractional_max: f64) -> Self {
        let (noise_multiplier, rate) = (mechanism.noise_multiplier(), mechanism.sampling_rate());
        let strip = (0.99 * std::f64::consts::PI * noise_multiplier).min(STRIP_MAX);
        let mut moments = Moments {
            noise_multiplier,
            log_rate: rate.ln(),
            log_rest: (-rate).ln_1p(),
            step: std::f64::consts::TAU * strip / (RULE_EXPONENT + 1.0 + strip * strip / 2.0),
            log_ratios: Vec::new(),
        };
        let points = moments.points(fractional_max).min(POINTS_MAX);
        let ratio = |index| log_density_ratio(mechanism, -REACH + index as f64 * moments.step);
        moments.log_ratios = (0..=points).map(ratio).collect();
        moments
    }

    /// ln A(α), rounded up.
    pub(super) fn log_moment_upper_bound(&self, order: f64) -> f64 {
        let log = if order.fract() == 0.0 { self.whole(order) } else { self.fractional(order) };
        // What is not a number bounds nothing.
        if log.is_nan() { f64::INFINITY } else { log.max(0.0) }
    }

    fn whole(&self, order: f64) -> f64 {
        let twice_variance = 2.0 * self.noise_multiplier * self.noise_multiplier;
        let mut log_choose = 0.0;
        let terms = (0..=order as u64).map(|k| {
            let k = k as f64;
            if k > 0.0 {
                log_choose += ((order - k + 1.0) / k).ln();
            }
            let weight = log_choose + (order - k) * self.log_rest + k * self.log_rate;
            weight + k * (k - 1.0) / twice_variance
        });
        let terms: Vec<f64> = terms.collect();
        // Each ln C(α,k) is a sum of at most α logarithms, none of which exceeds ln α.
        let rounding = order * (order.ln() + 1.0) * f64::EPSILON;
        let magnitude = order * (self.log_rest.abs() + self.log_rate.abs()) + order * order / twice_variance;
        log_sum(&terms) + rounding + 4.0 * f64::EPSILON * magnitude
    }

    /// On the grid that all orders share, or, beyond it, on the chord between the whole orders around: ln A is convex
    /// (it is the cumulant generating function of the loss).
    fn fractional(&self, order: f64) -> f64 {
        let points = self.points(order);
        let Some(ratios) = self.log_ratios.get(..=points) else {
            let share = order.fract();
            return (1.0 - share) * self.whole(order.floor()) + share * self.whole(order.ceil());
        };
        let position = |index: usize| -REACH + index as f64 * self.step;
        let log_integrand = |(index, ratio): (usize, &f64)| {
            let t = position(index);
            order * ratio - t * t / 2.0
        };
        let mut terms: Vec<f64> = ratios.iter().enumerate().map(log_integrand).collect();
        // Geometric series of the points left out on both sides, where the logarithm falls by at least REACH per unit.
        let (last, slope) = (position(points), REACH * self.step);
        let rest = -slope - (-(-slope).exp()).ln_1p();
        terms.push(-REACH * REACH / 2.0 + rest);
        terms.push(terms[points] + rest);
        let sum = log_sum(&terms) + (self.step / std::f64::consts::TAU.sqrt()).ln();
        // Rounding of each logarithm and of the sum, and the error of the rule.
        let magnitude = order * (last / self.noise_multiplier + self.log_rate.abs()) + last * last;
        sum + 4.0 * f64::EPSILON * (magnitude + 16.0)
    }

    /// The grid point from which on the integrand of this order only falls, and REACH further.
    fn points(&self, order: f64) -> usize {
        ((order / self.noise_multiplier + 2.0 * REACH) / self.step).ceil() as usize
    }
}

/// ln g(t), to within a few units in the last place of its largest term.
fn log_density_ratio(mechanism: SampledGaussian, t: f64) -> f64 {
    let (z, rate) = (mechanism.noise_multiplier(), mechanism.sampling_rate());
    let shift = t / z - 0.5 / (z * z);
    if shift.abs() < 1.0 {
        return (rate * shift.exp_m1()).ln_1p();
    }
    let (entered, rest) = (rate.ln() + shift, (-rate).ln_1p());
    entered.max(rest) + (-(entered - rest).abs()).exp().ln_1p()
}

/// ln Σ exp(terms). Terms far below the largest are counted as if they all were that far below.
fn log_sum(terms: &[f64]) -> f64 {
    let largest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let near = terms.iter().filter(|term| **term > largest - NEGLIGIBLE);
    let sum: f64 = near.map(|term| (term - largest).exp()).sum();
    largest + (sum + terms.len() as f64 * (-NEGLIGIBLE).exp()).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From an arbitrary-precision program (30 digits, adaptive quadrature): α, z, q, ln A(α).
    const LOG_MOMENTS: [(f64, f64, f64, f64); 9] = [
        (1.1, 1.0, 0.1, 0.000_809_856_846_807_384_7),
        (1.5, 0.5, 0.1, 0.072_963_544_840_228_07),
        (2.5, 0.5, 0.1, 1.932_926_948_159_319),
        (4.7, 1.0, 0.01, 0.001_613_835_076_226_886_4),
        (10.9, 2.0, 0.1, 0.209_572_451_325_816_42),
        (7.3, 0.5, 0.5, 86.920_025_581_995_4),
        (1.001, 1.0, 0.1, 7.266_016_454_122_197e-6),
        (3.3, 0.2, 0.01, 79.677_938_386_239_28),
        (20.25, 4.0, 0.001, 0.000_012_585_494_936_418_032),
    ];

    fn moments(z: f64, q: f64) -> Moments {
        Moments::new(SampledGaussian::new(z, q).expect("a mechanism"), 40.5)
    }

    #[test]
    fn known_answers() {
        for (order, z, q, expected) in LOG_MOMENTS {
            let found = moments(z, q).log_moment_upper_bound(order);
            assert!(found >= expected, "α {order} z {z} q {q}: {found} is below {expected}");
            assert!(
                found <= expected * (1.0 + 1e-9) + 1e-12,
                "α {order} z {z} q {q}: expected {expected}, found {found}"
            );
        }
    }

    /// Sum and integral are two ways to the same number.
    #[test]
    fn whole_orders_agree_with_the_integral() {
        for (z, q) in [(0.3, 0.1), (0.5, 0.1), (1.0, 0.01), (4.0, 0.5), (50.0, 0.2), (0.5, 1e-6)] {
            let moments = moments(z, q);
            for order in [2.0, 3.0, 7.0, 20.0, 40.0] {
                let (sum, integral) = (moments.whole(order), moments.fractional(order));
                assert!(
                    (sum - integral).abs() < 1e-11 * (1.0 + sum),
                    "z {z} q {q} α {order}: {sum} {integral}"
                );
            }
        }
    }

    #[test]
    fn convex_and_monotone() {
        for (z, q) in [(0.5, 0.1), (2.0, 0.01)] {
            let moments = moments(z, q);
            let logs: Vec<f64> =
                (11..405).map(|i| moments.log_moment_upper_bound(f64::from(i) * 0.1)).collect();
            for three in logs.windows(3) {
                let slack = 1e-10 * (1.0 + three[2]);
                assert!(
                    three[0] + three[2] >= 2.0 * three[1] - slack && three[1] >= three[0] - slack,
                    "{three:?}"
                );
            }
        }
    }

    /// A grid that is too short changes the value little and never to less.
    #[test]
    fn the_chord_lies_above_the_integral() {
        for (z, q) in [(0.5, 0.1), (2.0, 0.01)] {
            let (long, mut short) = (moments(z, q), moments(z, q));
            short.log_ratios.truncate(short.points(10.0));
            for order in [10.5, 20.1, 33.3] {
                let (integral, chord) = (long.fractional(order), short.fractional(order));
                assert!(
                    chord > integral && chord < integral * 1.1,
                    "z {z} q {q} α {order}: {integral} {chord}"
                );
            }
        }
    }
}
