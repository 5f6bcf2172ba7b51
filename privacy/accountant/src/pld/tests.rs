use proptest::prelude::*;

use super::*;
use crate::gaussian;
use crate::mechanism::{DiscreteGaussian, SampledGaussian};
use crate::normal::tail;
use crate::rdp::Rdp;

fn mechanism(z: f64, q: f64) -> SampledGaussian {
    SampledGaussian::new(z, q).expect("a mechanism")
}

fn pld(z: f64, q: f64, steps: u64) -> Pld {
    let mut pld = Pld::default();
    pld.compose(mechanism(z, q), steps);
    pld
}

/// δ(ε) of one step in closed form, the worse of both directions: the loss is monotone, so the set on which it exceeds ε
/// is a half-line.
fn one_step_delta(z: f64, q: f64, epsilon: f64) -> f64 {
    // remove: 1 − q + q·e^w > e^ε.
    let threshold = |ratio: f64| ((ratio - (1.0 - q)) / q).ln() * z + 0.5 / z;
    let with = |t: f64| (1.0 - q) * tail(t) + q * tail(t - 1.0 / z);
    let t = threshold(epsilon.exp());
    let remove = with(t) - epsilon.exp() * tail(t);
    // add: 1 − q + q·e^w < e^(−ε), from −∞ to the threshold.
    let add = match (-epsilon).exp() {
        ratio if ratio <= 1.0 - q => 0.0,
        ratio => {
            let t = threshold(ratio);
            tail(-t) - epsilon.exp() * ((1.0 - q) * tail(-t) + q * tail(1.0 / z - t))
        }
    };
    remove.max(add)
}

#[test]
fn one_sampled_step_is_the_closed_form() {
    for (z, q) in [(1.0, 0.1), (1.0, 0.01), (2.0, 0.5), (0.5, 0.9), (4.0, 0.2), (1.0, 1e-3), (0.3, 0.05)] {
        for epsilon in [0.0, 0.01, 0.1, 0.5, 1.0, 2.0] {
            let truth = one_step_delta(z, q, epsilon);
            if truth < 1e-14 {
                continue;
            }
            let found = pld(z, q, 1).delta_upper_bound(epsilon);
            assert!(found >= truth * (1.0 - 1e-9), "z {z} q {q} ε {epsilon}: {found:e} is below {truth:e}");
            assert!(
                found <= truth * (1.0 + 2e-3),
                "z {z} q {q} ε {epsilon}: {found:e} is far above {truth:e}"
            );
            let back = pld(z, q, 1).epsilon_upper_bound(truth);
            assert!(
                back >= epsilon * (1.0 - 1e-9) && back <= epsilon + 1e-3 * epsilon.max(0.05),
                "z {z} q {q} ε {epsilon}: {back}"
            );
        }
    }
}

/// δ of two and three steps by brute-force integration over the losses of all but the last, which has its closed form.
fn several_steps_delta(z: f64, q: f64, steps: u32, epsilon: f64) -> f64 {
    let step = 0.02;
    let points = ((16.0 + 1.0 / z) / step) as i64;
    let density = |t: f64| (-t * t / 2.0).exp() / std::f64::consts::TAU.sqrt();
    let directions = [1.0, -1.0].map(|sign: f64| {
        let node = |i: i64| {
            let t = -8.0 + i as f64 * step;
            let loss = Loss::new(mechanism(z, q)).at(t);
            let weight = density(t) * step * if sign > 0.0 { loss.exp() } else { 1.0 };
            (sign * loss, weight)
        };
        let nodes: Vec<(f64, f64)> = (0..=points).map(node).collect();
        let last = |epsilon: f64| -> f64 {
            nodes
                .iter()
                .filter(|(loss, _)| *loss > epsilon)
                .map(|(loss, w)| -w * (epsilon - loss).exp_m1())
                .sum()
        };
        match steps {
            2 => nodes.iter().map(|(loss, weight)| weight * last(epsilon - loss)).sum::<f64>(),
            _ => last(epsilon),
        }
    });
    directions[0].max(directions[1])
}

#[test]
fn two_sampled_steps_are_the_integral() {
    for (z, q) in [(1.0, 0.3), (2.0, 0.1), (0.7, 0.05)] {
        for epsilon in [0.1, 0.5, 1.5] {
            let truth = several_steps_delta(z, q, 2, epsilon);
            let found = pld(z, q, 2).delta_upper_bound(epsilon);
            assert!(
                (found / truth - 1.0).abs() < 2e-3,
                "z {z} q {q} ε {epsilon}: {found:e}, integral {truth:e}"
            );
        }
    }
}

/// Where the truth is known for every number of steps: never below, and close.
#[test]
fn without_sampling_it_is_the_analytic_gaussian() {
    for (z, steps) in
        [(1.0, 1), (5.0, 1), (0.2, 1), (1.0, 30), (30.0, 1000), (2.0, 1000), (100.0, 20), (0.05, 3)]
    {
        let mu = (steps as f64).sqrt() / z;
        for digits in [2, 4, 5, 6, 8, 10, 12] {
            let delta = 10f64.powi(-digits);
            let truth = gaussian::epsilon_upper_bound(mu, delta);
            let found = pld(z, 1.0, steps).epsilon_upper_bound(delta);
            assert!(found >= truth * (1.0 - 1e-11), "z {z} T {steps} δ {delta}: {found} is below {truth}");
            assert!(
                found <= truth * (1.0 + 2e-5) + 1e-7,
                "z {z} T {steps} δ {delta}: {found} is far above {truth}"
            );
            if truth > 0.0 {
                let found = pld(z, 1.0, steps).delta_upper_bound(truth);
                assert!(
                    found >= delta * (1.0 - 1e-4) && found <= delta * 1.01,
                    "z {z} T {steps}: δ {delta:e} {found:e}"
                );
            }
        }
    }
}

/// Deep tails: the tilt keeps the accuracy relative to δ.
#[test]
fn tiny_deltas() {
    for delta in [1e-20, 1e-50, 1e-100, 1e-200] {
        let truth = gaussian::epsilon_upper_bound(2.0, delta);
        let found = pld(1.0, 1.0, 4).epsilon_upper_bound(delta);
        assert!(found >= truth && found <= truth * (1.0 + 1e-5), "δ {delta:e}: {found}, {truth}");
    }
    assert_eq!(pld(1.0, 1.0, 4).epsilon_upper_bound(1e-300), f64::INFINITY);
}

/// A mixture of mechanisms without sampling is one Gaussian: √(Σ steps/z²).
#[test]
fn different_mechanisms_add_up() {
    let mut both = Pld::default();
    both.compose(mechanism(1.0, 1.0), 3);
    both.compose(mechanism(4.0, 1.0), 100);
    both.compose(mechanism(1.0, 1.0), 2);
    assert_eq!(both.parts.len(), 2);
    let truth = gaussian::epsilon_upper_bound((5.0f64 + 100.0 / 16.0).sqrt(), 1e-6);
    let found = both.epsilon_upper_bound(1e-6);
    assert!(found >= truth && found <= truth * (1.0 + 2e-5), "{found}, {truth}");
    // Sampled and not, between the analytic parts and the RDP of all.
    both.compose(mechanism(1.0, 0.1), 50);
    let mut rdp = Rdp::default();
    for (mechanism, steps) in &both.parts {
        rdp.compose(*mechanism, *steps);
    }
    let all = both.epsilon_upper_bound(1e-6);
    assert!(all > found && all < rdp.epsilon_upper_bound(1e-6), "{found} {all}");
}

/// The discrete Gaussian's δ by summing over its values; and composed, against the continuous one of the same ρ.
#[test]
fn the_discrete_gaussian_over_one_number() {
    for (sigma, sensitivity) in [(1.0, 1), (2.0, 1), (3.0, 5), (40.0, 40)] {
        let discrete = DiscreteGaussian::new(sigma, sensitivity).expect("a mechanism");
        let mut pld = Pld::default();
        pld.compose(discrete, 1);
        let range = 40 * sigma as i64;
        let pmf = |k: i64| (-((k * k) as f64) / (2.0 * sigma * sigma)).exp();
        let total: f64 = (-range..=range).map(pmf).sum();
        for epsilon in [0.05, 0.3, 1.0, 2.5] {
            let other = |k: i64| pmf(k - i64::from(sensitivity));
            let truth: f64 =
                (-range..=range).map(|k| ((pmf(k) - f64::exp(epsilon) * other(k)) / total).max(0.0)).sum();
            if truth > 1e-14 {
                let found = pld.delta_upper_bound(epsilon);
                assert!(
                    found >= truth * (1.0 - 1e-12),
                    "σ {sigma} ε {epsilon}: {found:e} is below {truth:e}"
                );
                assert!(
                    found <= truth * 1.005 + 1e-13,
                    "σ {sigma} ε {epsilon}: {found:e} is far above {truth:e}"
                );
            }
        }
    }
}

#[test]
fn edges() {
    assert_eq!(Pld::default().epsilon_upper_bound(1e-5), 0.0);
    assert_eq!(Pld::default().delta_upper_bound(0.0), 0.0);
    assert_eq!(pld(1.0, 0.5, 0), Pld::default());
    let one = pld(1.0, 0.5, 10);
    for delta in [0.0, -1.0, f64::NAN] {
        assert_eq!(one.epsilon_upper_bound(delta), f64::INFINITY);
    }
    assert_eq!(one.epsilon_upper_bound(1.0), 0.0);
    assert_eq!((one.delta_upper_bound(f64::NAN), one.delta_upper_bound(-1.0)), (1.0, 1.0));
    // ε beyond any loss of the window, and δ so large that ε = 0 will do.
    assert!(one.delta_upper_bound(1e6) < 1e-100, "{}", one.delta_upper_bound(1e6));
    assert!(pld(1e3, 0.01, 1).epsilon_upper_bound(0.01) < 1e-6);
}

/// Corners of the allowed range: sound, and no more than RDP says.
#[test]
fn corners() {
    for (z, q, steps) in [
        (1e6, 1.0, 1),
        (1e6, 1e-6, 1_000_000),
        (0.01, 1.0, 1),
        (0.01, 1e-6, 3),
        (0.05, 0.5, 10_000),
        (50.0, 1e-3, 1_000_000),
        (1.0, 1e-6, 100_000),
        (1.0, 0.999_999, 5),
        (0.3, 0.05, 1),
    ] {
        for delta in [1e-9, 1e-5] {
            let mut rdp = Rdp::default();
            rdp.compose(mechanism(z, q), steps);
            let (found, above) =
                (pld(z, q, steps).epsilon_upper_bound(delta), rdp.epsilon_upper_bound(delta));
            assert!(
                found >= 0.0 && found <= above * (1.0 + 1e-3) + 1e-9,
                "z {z} q {q} T {steps} δ {delta}: {found}, RDP {above}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn more_of_anything_costs_more(z in 0.5..8.0f64, q in 1e-3..1.0f64, steps in 1u64..300, digits in 2.0..10.0f64) {
        let delta = 10f64.powf(-digits);
        let epsilon = pld(z, q, steps).epsilon_upper_bound(delta);
        let slack = 1e-4 * (epsilon + 1e-3);
        prop_assert!(pld(z, q, steps + steps.div_ceil(20)).epsilon_upper_bound(delta) >= epsilon - slack);
        prop_assert!(pld(z * 0.95, q, steps).epsilon_upper_bound(delta) >= epsilon - slack);
        prop_assert!(pld(z, (q * 1.05).min(1.0), steps).epsilon_upper_bound(delta) >= epsilon - slack);
        // RDP is never below, and one Gaussian without sampling bounds both.
        let mut rdp = Rdp::default();
        rdp.compose(mechanism(z, q), steps);
        prop_assert!(rdp.epsilon_upper_bound(delta) >= epsilon - slack);
        prop_assert!(epsilon <= gaussian::epsilon_upper_bound((steps as f64).sqrt() / z, delta) + slack);
        // And back: δ at that ε is the δ asked for, or less where the window's bottom was the answer.
        if epsilon > 0.0 {
            let back = pld(z, q, steps).delta_upper_bound(epsilon);
            prop_assert!(back <= delta * 1.01, "{back:e} of {delta:e}");
        }
    }
}
