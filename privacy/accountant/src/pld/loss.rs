//! The loss of the Poisson-sampled Gaussian at a point, and the point of a loss. [core]
//!
//! With t = x/z standard normal where the unit is absent, and m = 1/z: w(t) = m·t − m²/2 is the loss of the Gaussian
//! mechanism, l(t) = ln(1 − q + q·e^w) that of "remove", −l(t) that of "add". Both are monotone in t.

use super::fft::UNIT;
use crate::mechanism::SampledGaussian;

/// What the functions of one mechanism need.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loss {
    /// m, the reciprocal of the noise multiplier.
    pub(super) shift: f64,
    /// q.
    pub(super) rate: f64,
}

impl Loss {
    pub(super) fn new(mechanism: SampledGaussian) -> Self {
        Loss { shift: mechanism.noise_multiplier().recip(), rate: mechanism.sampling_rate() }
    }

    /// w(t).
    pub(super) fn unsampled(self, t: f64) -> f64 {
        self.shift * (t - self.shift / 2.0)
    }

    /// l(t).
    pub(super) fn at(self, t: f64) -> f64 {
        let w = self.unsampled(t);
        if self.rate == 1.0 {
            return w;
        }
        if w > 30.0 {
            return w + self.rate.ln() + ((1.0 - self.rate) / self.rate * (-w).exp()).ln_1p();
        }
        let change = self.rate * w.exp_m1();
        // 1 − q is exact from q = ½ on, and only there can the change come near −1.
        if change > -0.5 { change.ln_1p() } else { (1.0 - self.rate + self.rate * w.exp()).ln() }
    }

    /// The t with l(t) = `loss`; −∞ at and below the smallest loss, ln(1 − q).
    pub(super) fn point(self, loss: f64) -> f64 {
        self.unsampled_of(loss) / self.shift + self.shift / 2.0
    }

    fn unsampled_of(self, loss: f64) -> f64 {
        if self.rate == 1.0 {
            return loss;
        }
        if loss > 30.0 {
            return loss - self.rate.ln() + (-(1.0 - self.rate) * (-loss).exp()).ln_1p();
        }
        let change = loss.exp_m1() / self.rate;
        if change > -0.5 || self.rate < 0.5 {
            return if change > -1.0 { change.ln_1p() } else { f64::NEG_INFINITY };
        }
        ((loss.exp() - (1.0 - self.rate)) / self.rate).max(0.0).ln()
    }

    /// How far the loss at [`Loss::point`] of `loss` may be from `loss`, by rounding: that of the loss and its exponential,
    /// and that of w(t), which counts by dl/dw = q·e^(w − l).
    pub(super) fn error_at(self, loss: f64, t: f64) -> f64 {
        let w = self.unsampled(t);
        let slope = (self.rate.ln() + w - loss).min(0.0).exp();
        let arguments = if slope == 0.0 { 0.0 } else { 1.0 + w.abs() + self.shift * (self.shift + t.abs()) };
        // The branch that takes 1 − q from e^l is right to a unit of e^l ≥ 1 − q, so of one in the loss.
        let taken = if self.rate < 0.5 { 0.0 } else { 1.0 };
        16.0 * UNIT * (2.0 * loss.abs() + taken + slope * arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn point_inverts_loss_within_the_error() {
        for (z, q) in
            [(1.0, 1.0), (1.0, 0.1), (0.3, 0.01), (5.0, 1e-4), (0.02, 0.3), (100.0, 0.999), (1.0, 0.75)]
        {
            let loss = Loss::new(SampledGaussian::new(z, q).expect("a mechanism"));
            for step in -900..900 {
                let t = f64::from(step) * 0.01 + if step > 0 { 1.0 / z } else { 0.0 };
                let value = loss.at(t);
                let back = loss.at(loss.point(value));
                let allowed = loss.error_at(value, t);
                assert!((back - value).abs() <= allowed, "z {z} q {q} t {t}: {value} {back} {allowed:e}");
                assert!(loss.at(t + 1e-3) >= value, "z {z} q {q} t {t}");
            }
            if q < 1.0 {
                assert_eq!(loss.point((-q).ln_1p() - 1e-9), f64::NEG_INFINITY);
            }
        }
    }

    /// The two branches of every function meet.
    #[test]
    fn no_seams() {
        for q in [0.1, 0.6, 0.9] {
            let loss = Loss::new(SampledGaussian::new(1.0, q).expect("a mechanism"));
            for t in [30.5, (1.0 - 0.5 / q).max(1e-9).ln() + 0.5] {
                let (below, above) = (loss.at(t - 1e-9), loss.at(t + 1e-9));
                assert!(above >= below && above - below < 3e-9, "q {q} t {t}: {below} {above}");
            }
            for value in [30.0, (-0.5 * q).ln_1p()] {
                let (below, above) = (loss.point(value - 1e-9), loss.point(value + 1e-9));
                assert!(above >= below && above - below < 1e-7, "q {q} l {value}: {below} {above}");
            }
        }
    }
}
