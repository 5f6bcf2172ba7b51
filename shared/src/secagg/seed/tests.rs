//! Independent parts from one seed, all of its 256 bits at work.

use std::collections::BTreeSet;

use super::*;

/// Everything that is expanded from a seed, byte for byte.
fn parts(entropy: [u8; 32]) -> [Vec<u8>; 5] {
    let seed = SessionSeed::from_entropy(entropy);
    let mut drawn = vec![0; 32];
    seed.holders().fill(&mut drawn);
    [
        seed.encryption_key().to_secret().to_vec(),
        seed.mask_key().to_secret().to_vec(),
        seed.self_mask_seed().to_vec(),
        drawn,
        seed.coefficients(2)[0].to_vec(),
    ]
}

#[test]
fn parts_repeat_for_the_same_seed() {
    assert_eq!(parts([9; 32]), parts([9; 32]));
}

/// A seed of which only 32 bits counted would make masks that can be searched for. Every bit counts, in every part.
#[test]
fn no_32_bit_mask_seeds_every_bit_of_the_seed_changes_every_part() {
    let plain = parts([0x3c; 32]);
    let mut seen = BTreeSet::from(plain.clone());
    for bit in 0..256 {
        let mut entropy = [0x3c; 32];
        entropy[bit / 8] ^= 1 << (bit % 8);
        for (part, before) in parts(entropy).into_iter().zip(&plain) {
            assert_eq!(part.len(), before.len());
            assert!(part.len() >= 32, "256 bits go on");
            // Half of 256 bits change, give or take 8: 48 of them or fewer by chance with a probability below 1e-23.
            let changed: u32 = part.iter().zip(before).map(|(a, b)| (a ^ b).count_ones()).sum();
            assert!(changed > 48, "bit {bit}: {changed} bits changed");
            assert!(seen.insert(part), "bit {bit}: a part came twice");
        }
    }
}

/// One key for two purposes, or the same in two sessions, would let one leak open the other.
#[test]
fn no_shared_keys_between_purposes_or_sessions() {
    let mut secrets = BTreeSet::new();
    let mut publics = BTreeSet::new();
    for session in 0..50 {
        let [encryption, mask, seed, ..] = parts([session; 32]);
        for secret in [encryption, mask, seed] {
            assert!(secrets.insert(secret));
        }
        let seed = SessionSeed::from_entropy([session; 32]);
        assert!(publics.insert(seed.encryption_key().public()) && publics.insert(seed.mask_key().public()));
    }
}

#[test]
fn there_is_one_coefficient_less_than_the_threshold_and_no_two_are_alike() {
    let seed = SessionSeed::from_entropy([1; 32]);
    assert!(seed.coefficients(0).is_empty() && seed.coefficients(1).is_empty());
    let coefficients = seed.coefficients(140);
    assert_eq!(coefficients.len(), 139);
    assert_eq!(coefficients.iter().collect::<BTreeSet<_>>().len(), 139);
    // A smaller threshold takes the same stream from its start: seeds are never used twice, so nobody sees both.
    assert_eq!(seed.coefficients(3)[..], coefficients[..2]);
}

#[test]
fn a_seed_prints_nothing_of_itself() {
    assert_eq!(format!("{:?}", SessionSeed::from_entropy([0xab; 32])), "SessionSeed");
}

#[test]
fn byte_streams_do_not_depend_on_how_they_are_read() {
    let seed = SessionSeed::from_entropy([2; 32]);
    let (mut whole, mut pieces) = ([0; 300], [0; 300]);
    seed.holders().fill(&mut whole);
    let mut stream = seed.holders();
    let (mut from, mut size) = (0, 1);
    while from < 300 {
        let until = (from + size).min(300);
        stream.fill(&mut pieces[from..until]);
        (from, size) = (until, size * 2 + 1);
    }
    assert_eq!(whole, pieces);
}

/// False-alarm rate, over the choice of the seed: below 1e-8 for each bound (8 standard deviations of chi-square, which is
/// right-skewed, with at least 6 degrees of freedom).
#[test]
fn numbers_below_a_bound_are_uniform() {
    for bound in [7u16, 100, 999] {
        let mut stream = SessionSeed::from_entropy([bound as u8; 32]).holders();
        let mut counts = vec![0u32; usize::from(bound)];
        let draws = u32::from(bound) * 200;
        (0..draws).for_each(|_| counts[usize::from(stream.below(bound))] += 1);
        let chi_square: f64 = counts.iter().map(|n| (f64::from(*n) - 200.0).powi(2) / 200.0).sum();
        let freedom = f64::from(bound - 1);
        assert!(chi_square < freedom + 8.0 * (2.0 * freedom).sqrt() + 24.0, "{bound}: {chi_square}");
    }
}

#[test]
fn numbers_below_extreme_bounds() {
    let mut stream = SessionSeed::from_entropy([8; 32]).holders();
    assert!((0..100).all(|_| stream.below(1) == 0));
    assert!((0..100).all(|_| stream.below(u16::MAX) < u16::MAX));
}

mod clear;
