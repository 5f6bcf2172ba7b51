//! The field against its definition, every subset of holders, and what too few of them see.

use super::*;
use crate::secagg::seed::SessionSeed;

/// The definition: polynomials over GF(2) multiplied, then divided by x^8 + x^4 + x^3 + x + 1.
fn slow_product(a: u8, b: u8) -> u8 {
    let mut product = (0..8).filter(|bit| b >> bit & 1 == 1).fold(0u16, |sum, bit| sum ^ u16::from(a) << bit);
    for degree in (8..16).rev() {
        if product >> degree & 1 == 1 {
            product ^= 0x11b << (degree - 8);
        }
    }
    product as u8
}

#[test]
fn products_are_those_of_the_definition() {
    // FIPS 197, sections 4.2 and 4.2.1.
    assert_eq!([multiply(0x57, 0x83), multiply(0x57, 0x13)], [0xc1, 0xfe]);
    for a in 0..=255 {
        for b in 0..=255 {
            assert_eq!(multiply(a, b), slow_product(a, b), "{a:#x}·{b:#x}");
        }
    }
}

#[test]
fn whole_vectors_multiply_as_their_bytes() {
    for factor in 0..=255 {
        let mut bytes: [u8; 256] = std::array::from_fn(|i| i as u8);
        multiply_all(&mut bytes, factor, &mut [7; 256]);
        assert_eq!(bytes, std::array::from_fn(|i| slow_product(i as u8, factor)));
    }
}

#[test]
fn every_byte_but_zero_has_an_inverse() {
    assert_eq!(invert(0), 0);
    assert!((1..=255).all(|a| slow_product(a, invert(a)) == 1));
}

/// Secret 0x2a, coefficients 0x05 and 0x01: the share at x is 0x2a + 5·x + x². Worked out by hand for x = 1, 2, 3.
#[test]
fn shares_worked_out_by_hand() {
    let shares = split(&[0x2a], 4, &[[0x05], [0x01]]);
    let values: Vec<u8> = shares.iter().map(|share| share[0]).collect();
    assert_eq!(values[..3], [0x2a ^ 0x05 ^ 0x01, 0x2a ^ 0x0a ^ 0x04, 0x2a ^ 0x0f ^ 0x05]);
}

/// Shares at all points, as (x, share).
fn deal<const N: usize>(secret: &[u8; N], holders: usize, coefficients: &[[u8; N]]) -> Vec<(u8, [u8; N])> {
    (1..=255).zip(split(secret, holders, coefficients).iter().map(|share| **share)).collect()
}

fn subsets<T: Clone>(items: &[T], size: usize) -> Vec<Vec<T>> {
    if size == 0 {
        return vec![Vec::new()];
    }
    let with = |(i, first): (usize, &T)| {
        let rest = subsets(&items[i + 1..], size - 1);
        rest.into_iter()
            .map(|mut subset| {
                subset.insert(0, first.clone());
                subset
            })
            .collect::<Vec<_>>()
    };
    items.iter().enumerate().flat_map(with).collect()
}

#[test]
fn every_large_enough_subset_gives_the_secret_and_no_smaller_one_does() {
    let seed = SessionSeed::from_entropy([3; 32]);
    let secret: [u8; 64] = std::array::from_fn(|i| (i * 37 + 1) as u8);
    for holders in 1..=7 {
        for threshold in 1..=holders {
            let points = deal(&secret, holders, &seed.coefficients(threshold));
            for size in 1..=holders {
                for subset in subsets(&points, size) {
                    let found = *reconstruct(&subset);
                    // Uniform coefficients: a wrong guess is right by chance with 2^-512.
                    assert_eq!(found == secret, size >= threshold, "{size} of {threshold} of {holders}");
                }
            }
        }
    }
}

#[test]
fn the_order_of_the_points_is_of_no_matter() {
    let points = deal(&[1, 2, 3], 5, &[[9; 3], [8; 3]]);
    let chosen = [points[4], points[0], points[2]];
    assert_eq!(*reconstruct(&chosen), [1, 2, 3]);
}

#[test]
fn all_255_points_can_be_dealt() {
    let seed = SessionSeed::from_entropy([4; 32]);
    let secret = [0xa5; 64];
    let points = deal(&secret, HOLDERS_MAX, &seed.coefficients(HOLDERS_MAX));
    assert_eq!(points.last().map(|(x, _)| *x), Some(255));
    assert_eq!(*reconstruct(&points), secret);
    assert_ne!(*reconstruct(&points[1..]), secret);
}

#[test]
fn impossible_thresholds_are_refused() {
    for (holders, coefficients) in [(2, 2), (0, 0), (256, 1)] {
        let dealt = std::panic::catch_unwind(|| split(&[1u8], holders, &vec![[1u8]; coefficients]));
        assert!(dealt.is_err(), "{coefficients} coefficients, {holders} holders");
    }
}

/// Perfect secrecy, not sampled but counted: over all coefficients, t − 1 shares take every value exactly once, whatever the
/// secret. So each of the 256 secrets is equally likely after t − 1 shares are seen.
#[test]
fn fewer_shares_than_the_threshold_say_nothing_at_all() {
    for secret in [0u8, 1, 0x2a, 0xff] {
        // t = 2: one share.
        for holder in 0..3 {
            let mut seen = [0; 256];
            (0..=255).for_each(|a: u8| seen[usize::from(split(&[secret], 3, &[[a]])[holder][0])] += 1);
            assert_eq!(seen, [1; 256]);
        }
        // t = 3: a pair of shares.
        for [one, other] in [[0, 1], [2, 4]] {
            let mut seen = vec![0u8; 1 << 16];
            for pair in 0..=u16::MAX {
                let [a, b] = pair.to_le_bytes();
                let shares = split(&[secret], 5, &[[a], [b]]);
                seen[usize::from(u16::from_le_bytes([shares[one][0], shares[other][0]]))] += 1;
            }
            assert!(seen.iter().all(|count| *count == 1));
        }
    }
}

/// RUSTSEC-2024-0398: coefficients that are never zero let t − 1 holders rule secrets out. Here zeros come at their rate in
/// every coefficient, the highest included, and all values come equally often.
///
/// False-alarm rate, over the choice of seeds: below 1e-8 (6 standard deviations for a count of about 1,000, chi-square
/// above 415 with 255 degrees of freedom; ten of each).
#[test]
fn rustsec_2024_0398_biased_shamir_coefficients() {
    let mut counts = vec![[0u32; 256]; 5];
    let attempts = 4_000u16;
    for attempt in 0..attempts {
        let mut entropy = [0x5a; 32];
        entropy[..2].copy_from_slice(&attempt.to_le_bytes());
        let coefficients = SessionSeed::from_entropy(entropy).coefficients(6);
        for (count, coefficient) in counts.iter_mut().zip(coefficients.iter()) {
            coefficient.iter().for_each(|byte| count[usize::from(*byte)] += 1);
        }
    }
    let expected = f64::from(attempts) * 64.0 / 256.0;
    for (degree, count) in counts.iter().enumerate() {
        let deviation = (f64::from(count[0]) - expected) / expected.sqrt();
        assert!(deviation.abs() < 6.0, "x^{}: {} zeros, expected {expected}", degree + 1, count[0]);
        let chi_square: f64 = count.iter().map(|n| (f64::from(*n) - expected).powi(2) / expected).sum();
        assert!(chi_square < 415.0, "x^{}: {chi_square}", degree + 1);
    }
    // What the bias would have given away: with a highest coefficient that is never zero, one share rules out a secret.
    let share = 0x77;
    let explained = |biased: bool| {
        (0..=255u8)
            .filter(|secret| (u8::from(biased)..=255).any(|a| split(&[*secret], 2, &[[a]])[0][0] == share))
            .count()
    };
    assert_eq!([explained(false), explained(true)], [256, 255]);
}

#[test]
fn a_zero_highest_coefficient_is_an_ordinary_one() {
    let points = deal(&[0x11, 0x22], 4, &[[7, 8], [0, 0]]);
    for subset in subsets(&points, 3) {
        assert_eq!(*reconstruct(&subset), [0x11, 0x22]);
    }
}
