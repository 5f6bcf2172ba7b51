use super::*;

const BOUND: u64 = 1 << 20;

fn rule() -> AdaptiveClip {
    AdaptiveClip { indicator: BOUND / 10, quantile: 0.5, rate: 0.2, norm_min: 1e-3, norm_max: 1e3 }
}

#[test]
fn the_bound_that_is_left_wastes_no_room() {
    let square = |n: u64| u128::from(n).pow(2);
    for bound in [2, 3, 1000, BOUND, u64::from(u32::MAX), 1 << 53] {
        for indicator in [1, bound / 3, bound / 2, bound - 1].into_iter().filter(|i| *i > 0) {
            let left = AdaptiveClip { indicator, ..rule() }.bound_left(bound);
            assert!(square(left) + square(indicator) <= square(bound), "{bound} {indicator}");
            assert!(square(left + 1) + square(indicator) > square(bound), "{bound} {indicator}");
        }
        for indicator in [bound, u64::MAX] {
            assert_eq!(AdaptiveClip { indicator, ..rule() }.bound_left(bound), 0);
        }
    }
}

/// Against the library's, which is right to less than one last bit.
#[test]
fn the_exponential_is_right_to_15_digits() {
    let mut worst = 0.0f64;
    for i in -500_000..=500_000 {
        let x = f64::from(i) / 500_000.0;
        worst = worst.max((exponential(x) / x.exp() - 1.0).abs());
    }
    assert!(worst < 1e-15, "{worst:e}");
}

/// Bits from another implementation, in Python. They are part of the protocol: whoever gets others forks every job whose
/// clip adapts.
#[test]
fn the_exponential_has_the_same_bits_everywhere() {
    for (x, bits) in [
        (0.0, 0x3ff0_0000_0000_0000),
        (1.0, 0x4005_bf0a_8b14_5769),
        (-1.0, 0x3fd7_8b56_362c_ef38),
        (0.1, 0x3ff1_aec7_b35a_00d4),
        (-0.1, 0x3fec_f46d_99d5_2b3a),
        (-0.37, 0x3fe6_1a7e_e209_faff),
        (1.0 / f64::from(1 << 30), 0x3ff0_0000_0040_0000_u64),
    ] {
        assert_eq!(exponential(x).to_bits(), bits, "{x}: {:#x}", exponential(x).to_bits());
    }
}

/// Without noise, from 100 times too small and too large, the clip comes to the median of the norms and stays there.
#[test]
fn the_clip_comes_to_its_quantile() {
    let norms: Vec<f64> = (1..=1000).map(|i| f64::from(i) / 500.0).collect();
    let indicator = rule().indicator as i64;
    for start in [0.01, 100.0] {
        let mut clip = start;
        for round in 0..150 {
            let sum = norms.iter().map(|norm| if *norm <= clip { indicator } else { -indicator }).sum();
            clip = rule().next(clip, sum, 1000);
            assert!(round < 120 || (0.98..1.02).contains(&clip), "round {round}: {clip}");
        }
    }
}

#[test]
fn hostile_sums_move_the_clip_one_step_and_never_out_of_its_range() {
    for sum in [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX] {
        for shoppers in [0, 1, 1000, u64::MAX] {
            let next = rule().next(1.0, sum, shoppers);
            assert!((-0.1001..=0.1001).contains(&next.ln()), "{sum} {shoppers}: {next}");
        }
        for rate in [1e-9, 0.2, 1.0] {
            for quantile in [1e-9, 0.5, 1.0 - 1e-9] {
                let rule = AdaptiveClip { rate, quantile, ..rule() };
                let mut clip = 1.0f64;
                for _ in 0..100 {
                    let next = rule.next(clip, sum, 10);
                    assert!((1e-3..=1e3).contains(&next), "{rule:?} {sum}: {next}");
                    assert!((next / clip).ln().abs() <= rate + 1e-6, "{rule:?} {sum}: {clip} to {next}");
                    clip = next;
                }
            }
        }
    }
    assert_eq!(rule().next(1e-3, i64::MAX, 0), 1e-3);
    assert_eq!(rule().next(1e3, i64::MIN, 0), 1e3);
}

/// A rule that nobody checked gives a useless clip, and no panic.
#[test]
fn nonsense_does_not_panic() {
    for odd in [f64::NAN, f64::INFINITY, -1.0, 0.0] {
        let rule = AdaptiveClip { indicator: 0, quantile: odd, rate: odd, norm_min: odd, norm_max: -odd };
        let _ = (rule.next(odd, 3, 0), rule.next(1.0, i64::MIN, 1), rule.bound_left(0));
    }
}

/// From the same other implementation.
#[test]
fn the_next_clip_has_the_same_bits_everywhere() {
    let other = AdaptiveClip { quantile: 0.75, rate: 0.3, ..rule() };
    let steep = AdaptiveClip { quantile: 0.9, rate: 1.0, ..rule() };
    for (rule, clip, sum, bits) in [
        (rule(), 1.0, 0, 0x3ff0_0000_0000_0000),
        (rule(), 1.0, 52_428_500, 0x3fee_7078_c000_0000),
        (other, 2.5, -12_345_678, 0x4005_f119_2000_0000),
        (rule(), 1.0, i64::MIN, 0x3ff1_aec7_c000_0000),
        (steep, 0.3, i64::MAX, 0x3fd1_5f75_0000_0000_u64),
    ] {
        let next = rule.next(clip, sum, 1000);
        assert_eq!(next.to_bits(), bits, "{rule:?} {clip} {sum}: {next}");
    }
}
