//! Draws of holders, and neighbours from both sides.

use super::super::seed::SessionSeed;
use super::*;

const SPARSE: Graph = Graph::Sparse { holders: 8, share_threshold: 5 };

fn merchants(indices: impl IntoIterator<Item = u16>) -> Vec<MerchantIndex> {
    indices.into_iter().map(MerchantIndex).collect()
}

fn draw(seed: u16, members: &[MerchantIndex], dealer: u16) -> Vec<MerchantIndex> {
    let mut entropy = [0x11; 32];
    entropy[..2].copy_from_slice(&seed.to_le_bytes());
    holders(SPARSE, members, MerchantIndex(dealer), &mut SessionSeed::from_entropy(entropy).holders())
}

#[test]
fn in_the_complete_graph_everybody_holds_the_dealer_included() {
    let members = merchants([1, 4, 5]);
    let mut stream = SessionSeed::from_entropy([1; 32]).holders();
    assert_eq!(holders(Graph::Complete, &members, MerchantIndex(4), &mut stream), members);
}

#[test]
fn a_draw_has_k_others_in_order_each_once() {
    let members = merchants((0..60).map(|i| i * 3));
    for seed in 0..200 {
        let dealer = members[usize::from(seed % 60)];
        let drawn = draw(seed, &members, dealer.0);
        assert_eq!(drawn.len(), 8);
        assert!(drawn.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(drawn.iter().all(|holder| *holder != dealer && members.contains(holder)));
        assert_eq!(drawn, draw(seed, &members, dealer.0), "the same seed draws the same");
    }
}

#[test]
fn no_more_than_all_others_are_drawn() {
    assert_eq!(draw(1, &merchants(0..5), 2), merchants([0, 1, 3, 4]));
}

/// Single others and pairs of others. False-alarm rate, over the choice of seeds: below 1e-7 (6 standard deviations in 30
/// and 435 binomial counts; draws without replacement only make them narrower).
#[test]
fn every_other_is_drawn_equally_often_and_independently_of_the_rest() {
    let members = merchants(0..31);
    let draws = 4_000u16;
    let mut single = [0u32; 31];
    let mut pairs = vec![0u32; 31 * 31];
    for seed in 0..draws {
        let drawn = draw(seed, &members, 17);
        for (i, one) in drawn.iter().enumerate() {
            single[usize::from(one.0)] += 1;
            drawn[i + 1..]
                .iter()
                .for_each(|other| pairs[usize::from(one.0) * 31 + usize::from(other.0)] += 1);
        }
    }
    let near = |count: u32, probability: f64| {
        let (expected, draws) = (f64::from(draws) * probability, f64::from(draws));
        (f64::from(count) - expected).abs() < 6.0 * (draws * probability * (1.0 - probability)).sqrt()
    };
    for one in (0..31).filter(|one| *one != 17) {
        assert!(near(single[one], 8.0 / 30.0), "{one}: {}", single[one]);
        for other in (one + 1..31).filter(|other| *other != 17) {
            let probability = 8.0 * 7.0 / (30.0 * 29.0);
            assert!(
                near(pairs[one * 31 + other], probability),
                "{one}, {other}: {}",
                pairs[one * 31 + other]
            );
        }
    }
    assert_eq!(single[17], 0);
}

#[test]
fn masks_run_along_both_directions_within_the_members() {
    let members: BTreeSet<MerchantIndex> = merchants([0, 1, 2, 3, 4]).into_iter().collect();
    let peers = mask_peers(MerchantIndex(2), &merchants([0, 3, 9]), &merchants([2, 3, 4, 8]), &members);
    assert_eq!(peers.into_iter().collect::<Vec<_>>(), merchants([0, 3, 4]));
}

/// If one side masks and the other does not, the sum is garbage.
#[test]
fn neighbours_are_neighbours_of_each_other() {
    let members = merchants(0..40);
    let all: BTreeSet<MerchantIndex> = members.iter().copied().collect();
    let drawn: Vec<Vec<MerchantIndex>> = (0..40).map(|i| draw(i, &members, i)).collect();
    let peers: Vec<BTreeSet<MerchantIndex>> = members
        .iter()
        .map(|own| {
            let dealers: Vec<MerchantIndex> =
                members.iter().copied().filter(|dealer| drawn[usize::from(dealer.0)].contains(own)).collect();
            mask_peers(*own, &drawn[usize::from(own.0)], &dealers, &all)
        })
        .collect();
    for one in &members {
        assert!(peers[usize::from(one.0)].len() >= 8);
        for other in &peers[usize::from(one.0)] {
            assert!(peers[usize::from(other.0)].contains(one), "{one} and {other}");
        }
    }
}
