use super::*;

const SCALES: [(u128, u32); 11] = [
    (1, 1),
    (3, 2),
    (9, 1),
    (441, 4),
    (64 * 64 + 1, 1),
    (1 << 20, 1),
    (9_443_329, 9),
    (1 << 40, 1),
    ((1 << 80) + 1, 65535),
    (1 << 104, 1),
    ((1 << 106) - 1, 1),
];

fn proposals() -> Vec<(Bell, Proposal, String)> {
    let make = |(numerator, denominator)| {
        let variance = Variance::new(numerator, denominator).expect("legal");
        let bell = Bell::new(variance);
        let proposal = Proposal::new(variance, &bell);
        (bell, proposal, format!("{numerator}/{denominator}"))
    };
    SCALES.into_iter().map(make).collect()
}

/// c·2^doublings·f(x) ≤ 2^16·W, by the precise upper bound.
fn is_covered(bell: &Bell, scale: u64, x: u64, doublings: usize, weight: u32) -> bool {
    let mass = bell.bounds_precise(x, 256).high.times(&u128::from(scale).into()).shifted_left(doublings);
    mass <= Natural::from(u128::from(weight) << SCALE_FRACTION_BITS).shifted_left(256)
}

#[test]
fn slots_are_dealt_by_weight() {
    for (_, proposal, name) in proposals() {
        let mut counts = [0u32; 256];
        proposal.slots.iter().for_each(|strip| counts[usize::from(*strip)] += 1);
        assert_eq!(counts[..=STRIPS], proposal.weights, "{name}");
        let empty = counts[usize::from(EMPTY)];
        assert!(empty < 1 << 8, "{name}: {empty} empty slots");
        assert!(proposal.slots.is_sorted(), "{name}");
        assert!(proposal.weights.iter().all(|weight| *weight > 0), "{name}: mass that nobody proposes");
    }
}

/// No accept probability is above one: at the highest point of each strip and of the tail's first blocks.
#[test]
fn every_weight_covers_its_strip() {
    for (bell, Proposal { width, scale, weights, .. }, name) in proposals() {
        for (k, weight) in weights[..STRIPS].iter().enumerate() {
            assert!(is_covered(&bell, scale, k as u64 * width, 0, *weight), "{name}: strip {k}");
        }
        for block in 0..12 {
            let x = (STRIPS as u64 + TAIL_BLOCK_STRIPS * block) * width;
            let doublings = (TAIL_DOUBLINGS + block) as usize;
            assert!(
                is_covered(&bell, scale, x, doublings, weights[STRIPS]),
                "{name}: block {block} of the tail"
            );
        }
    }
}

#[test]
fn the_scale_is_the_greatest_that_fits() {
    for (bell, proposal, name) in proposals() {
        let heights = std::array::from_fn(|k| height_exact(&bell, k as u64 * proposal.width));
        let total = |scale| weights(scale, &heights).iter().sum::<u64>();
        assert!(total(proposal.scale) <= 1 << SLOT_BITS, "{name}");
        assert!(total(proposal.scale + 1) > 1 << SLOT_BITS, "{name}");
        assert!(proposal.scale < 1 << 31, "{name}");
    }
}

#[test]
fn heights_of_words_are_the_exact_ones() {
    for (bell, Proposal { width, .. }, name) in proposals() {
        for k in 0..=STRIPS as u64 {
            assert_eq!(height(&bell, k * width), height_exact(&bell, k * width), "{name}: {k}");
        }
        assert_eq!(height(&bell, 0), 1 << HEIGHT_BITS, "{name}");
    }
}

/// (V+1)/2^17 ≤ P(x) for the greatest head V that is accepted unseen, at the lowest point of its strip.
#[test]
fn heads_accepted_unseen_are_accepted_everywhere_in_the_strip() {
    for (bell, proposal, name) in proposals() {
        let Proposal { width, scale, weights, accepted_heads, .. } = proposal;
        for (k, (accepted, weight)) in accepted_heads.iter().zip(&weights[..STRIPS]).enumerate() {
            let lowest = bell.bounds_precise((k as u64 + 1) * width - 1, 256).low;
            let mass = lowest.times(&u128::from(scale).into()).shifted_left(HEAD_BITS as usize);
            let edge = (u128::from(*accepted) * u128::from(*weight)) << SCALE_FRACTION_BITS;
            assert!(Natural::from(edge).shifted_left(256) <= mass, "{name}: strip {k}");
        }
        assert_eq!(
            accepted_heads[STRIPS..],
            [0, 0],
            "{name}: the tail and nothing are never accepted unseen"
        );
        let slots: u64 = (0..STRIPS).map(|k| u64::from(weights[k]) * u64::from(accepted_heads[k])).sum();
        let share = slots as f64 / (f64::from(1 << SLOT_BITS) * f64::from(1 << HEAD_BITS));
        assert!(share > 0.95, "{name}: only {share} of the attempts are accepted unseen");
    }
}
