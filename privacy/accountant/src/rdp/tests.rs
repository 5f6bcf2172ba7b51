use proptest::prelude::*;

use super::*;
use crate::mechanism::{DiscreteGaussian, SampledGaussian};
use crate::zcdp;

fn sampled(z: f64, q: f64, steps: u64) -> Rdp {
    let mut rdp = Rdp::default();
    rdp.compose(SampledGaussian::new(z, q).expect("a mechanism"), steps);
    rdp
}

/// Where the published pair of series fails at fractional orders the best whole order says 236; the tight value is 126.
#[test]
fn fractional_orders_where_series_fail() {
    let certified = sampled(0.5, 0.1, 1_000).certify(1e-5).expect("certified");
    assert!(certified.order < 2.0, "{certified:?}");
    assert!(certified.epsilon > 126.0 && certified.epsilon < 140.0, "{certified:?}");
}

#[test]
fn without_sampling_it_is_zcdp() {
    for (z, steps) in [(1.0, 1), (2.0, 100), (0.5, 7)] {
        let rho = steps as f64 / (2.0 * z * z);
        let gaussian = sampled(z, 1.0, steps);
        let mut charged = Rdp::default();
        charged.compose_zcdp(PicoRho::from_rho_ceiling(rho));
        let mut discrete = Rdp::default();
        discrete.compose(DiscreteGaussian::new(7.0 * z, 7).expect("a mechanism"), steps);
        for delta in [1e-9, 1e-5, 0.1] {
            let best = zcdp::epsilon_upper_bound(rho, delta);
            for rdp in [&gaussian, &charged, &discrete] {
                let found = rdp.epsilon_upper_bound(delta);
                assert!(
                    found >= best * (1.0 - 1e-12) && found <= best * 1.002,
                    "z {z} δ {delta}: {found}, {best}"
                );
            }
        }
    }
}

#[test]
fn different_mechanisms_add_up() {
    let (one, other) = (sampled(1.0, 0.1, 30), sampled(3.0, 0.4, 5));
    let mut both = one.clone();
    both.compose(SampledGaussian::new(3.0, 0.4).expect("a mechanism"), 5);
    for ((total, a), b) in both.losses().iter().zip(one.losses()).zip(other.losses()) {
        assert!(*total >= a + b && *total <= (a + b) * (1.0 + 1e-13), "{total} {a} {b}");
    }
    assert_eq!(both.orders(), one.orders());
}

#[test]
fn edges() {
    let empty = Rdp::default();
    assert_eq!(empty.epsilon_upper_bound(1e-5), 0.0);
    for delta in [0.0, -1.0, f64::NAN] {
        assert_eq!(empty.epsilon_upper_bound(delta), f64::INFINITY);
    }
    assert_eq!(sampled(1.0, 0.5, 0).epsilon_upper_bound(1e-5), 0.0);
    assert_eq!(Rdp::at_orders(vec![1.0, 0.5, f64::NAN, f64::INFINITY]).orders(), [0.0; 0]);
    assert_eq!(Rdp::at_orders(vec![]).epsilon_upper_bound(0.1), f64::INFINITY);
    let mut unbounded = Rdp::default();
    unbounded.compose_zcdp(PicoRho::UNBOUNDED);
    assert!(unbounded.epsilon_upper_bound(1e-5) > 1e20);
}

proptest! {
    #[test]
    fn more_of_anything_costs_more(z in 0.3..20.0f64, q in 1e-4..1.0f64, steps in 1u64..2_000, digits in 1.0..12.0f64) {
        let delta = 10f64.powf(-digits);
        let epsilon = sampled(z, q, steps).epsilon_upper_bound(delta);
        let slack = 1e-9 * (1.0 + epsilon);
        prop_assert!(sampled(z, q, steps + 1).epsilon_upper_bound(delta) >= epsilon);
        prop_assert!(sampled(z * 0.9, q, steps).epsilon_upper_bound(delta) >= epsilon - slack);
        prop_assert!(sampled(z, (q * 1.1).min(1.0), steps).epsilon_upper_bound(delta) >= epsilon - slack);
        prop_assert!(sampled(z, q, steps).epsilon_upper_bound(delta / 2.0) >= epsilon);
        // Sampling never makes it worse than taking everybody.
        prop_assert!(epsilon <= sampled(z, 1.0, steps).epsilon_upper_bound(delta) + slack);
    }
}
