use std::cmp::Ordering;

use super::*;
use crate::stream::Seed;
use crate::variance::Variance;

/// Bounds moved apart by 2^-11, which is 64 cells of 17 bits: these are decided by the exact path.
const WIDE: u64 = 1 << 51;

/// As much widening of exp(…) as moves the bounds of P apart by 2^-11.
fn widening(threshold: &Threshold) -> u64 {
    let factor = u128::from(threshold.factor) << threshold.doublings;
    (u128::from(WIDE) * u128::from(threshold.divisor) / factor) as u64
}

fn bell(numerator: u128, denominator: u32) -> Bell {
    Bell::new(Variance::new(numerator, denominator).expect("legal"))
}

fn further(number: u8) -> FurtherWords {
    FurtherWords::new(&Seed::from_entropy([number; 32]))
}

/// The one whole number V with V/2^bits ≤ P < (V+1)/2^bits, by bounds of 400 bits.
fn floor_of(threshold: &Threshold, bell: &Bell, bits: usize) -> Natural {
    let bounds = bell.bounds_precise(threshold.x, 400);
    let floor = |e: &Natural| {
        let shift = bits + threshold.doublings as usize;
        let product = e.times(&u128::from(threshold.factor).into()).shifted_left(shift);
        product.divided(threshold.divisor.into()).shifted_right(400)
    };
    assert_eq!(floor(&bounds.low), floor(&bounds.high), "400 bits do not tell");
    floor(&bounds.low)
}

/// Bells and thresholds: small and huge σ, whole and not, P near one, in the middle, near zero, and with doublings.
fn cases() -> Vec<(Bell, Threshold)> {
    let case = |numerator, denominator, x, factor, doublings, divisor| {
        (bell(numerator, denominator), Threshold { x, factor, doublings, divisor })
    };
    vec![
        case(1, 1, 1, 1 << 16, 0, 1 << 16),
        case(1, 1, 4, 1 << 29, 0, 1 << 30),
        case(21, 2, 3, 13_500_000, 0, 207 << 16),
        case(441, 4, 30, 13_500_001, 0, 4 << 16),
        case(1 << 20, 1, 17, 13_500_000, 0, 206 << 16),
        case(1 << 80, 1, 1 << 41, 13_500_000, 0, 28 << 16),
        case((1 << 106) - 1, 1, (1 << 55) + 12345, 13_500_000, 0, 1 << 16),
        case(1 << 40, 1, 4 << 20, 13_500_000, 5, 3 << 16),
        case(1 << 40, 1, 6 << 20, 13_500_000, 19, 3 << 16),
    ]
}

/// Every one of the 2^17 heads, against P to 400 bits.
#[test]
fn every_head_is_placed_as_the_real_numbers_say() {
    for (index, (bell, threshold)) in cases().into_iter().enumerate() {
        let own = floor_of(&threshold, &bell, 17).to_u64().expect("P is at most 1");
        assert!(own < 1 << 17, "case {index}: P is not below 1");
        for judge in [Judge::new(bell.clone()), Judge::widened(bell.clone(), widening(&threshold))] {
            for head in 0..1 << 17 {
                let expected = match head.cmp(&own) {
                    Ordering::Less => Place::Above,
                    Ordering::Equal => Place::Inside,
                    Ordering::Greater => Place::Below,
                };
                let cell = Cell { head, head_bits: 17, words: vec![] };
                assert_eq!(judge.place(&threshold, &cell), expected, "case {index}, head {head}");
            }
        }
    }
}

/// In the cell of P the next word decides, compared with the next 64 bits of P; in any other cell none is drawn.
#[test]
fn a_further_word_is_drawn_in_one_cell_only() {
    for (index, (bell, threshold)) in cases().into_iter().enumerate() {
        let own = floor_of(&threshold, &bell, 17).to_u64().expect("P is at most 1");
        let longer = floor_of(&threshold, &bell, 81);
        let judge = Judge::new(bell);
        for number in 0..100 {
            let word = further(number).next().expect("bytes enough");
            for head in own.saturating_sub(1)..=own + 1 {
                let mut words = further(number);
                let found = judge.accepts(&threshold, head, 17, &mut words).expect("bytes enough");
                let value = Natural::from(u128::from(head) << 64 | u128::from(word));
                assert_eq!(found, value < longer, "case {index}, head {head}, word {word}");
                let next = words.next().expect("bytes enough");
                assert_eq!(next != word, head == own, "case {index}, head {head}: further words");
            }
        }
    }
}

/// Cells of 81 and of 145 bits around P: finer than words can tell, so the precise path has to.
#[test]
fn fine_cells_are_placed_by_the_precise_path() {
    for (index, (bell, threshold)) in cases().into_iter().enumerate() {
        let judge = Judge::new(bell.clone());
        for words in [1, 2] {
            let own = floor_of(&threshold, &bell, 17 + 64 * words);
            let one = Natural::from(1);
            for (value, expected) in [
                (own.minus(&one), Place::Above),
                (own.clone(), Place::Inside),
                (own.plus(&one), Place::Below),
            ] {
                let word = |i: usize| {
                    value
                        .shifted_right(64 * i)
                        .minus(&value.shifted_right(64 * (i + 1)).shifted_left(64))
                        .to_u64()
                        .expect("one limb")
                };
                let head = value.shifted_right(64 * words).to_u64().expect("17 bits");
                let cell = Cell { head, head_bits: 17, words: (0..words).rev().map(word).collect() };
                assert_eq!(judge.place(&threshold, &cell), expected, "case {index}, {words} words");
                assert_eq!(threshold.place_exact(&bell, &cell), expected, "case {index}, {words} words");
            }
        }
    }
}

/// At x = 0 the threshold is a fraction, and an edge may be equal to it: U < P holds below, fails from there on.
#[test]
fn an_edge_equal_to_the_threshold_needs_no_further_word() {
    for judge in [Judge::new(bell(9, 1)), Judge::widened(bell(9, 1), WIDE)] {
        for (factor, divisor, edge) in [(1, 1, 1 << 17), (1, 2, 1 << 16), (5, 8, 5 << 14), (1, 1 << 17, 1)] {
            let threshold = Threshold { x: 0, factor, doublings: 0, divisor };
            for head in [0, edge - 1, edge, (1 << 17) - 1].into_iter().filter(|head| *head < 1 << 17) {
                let mut words = further(1);
                let found = judge.accepts(&threshold, head, 17, &mut words).expect("bytes enough");
                assert_eq!(found, head < edge, "{factor}/{divisor} {head}");
                assert_eq!(words.next(), further(1).next(), "{factor}/{divisor} {head}: a word was drawn");
            }
        }
    }
}

/// Far out P is less than any bound can tell from zero, yet positive: a cell at zero holds it.
#[test]
fn a_vanishing_threshold_is_inside_the_first_cell_only() {
    let judge = Judge::new(bell(1, 1));
    for doublings in [0, 5, 20, 30, 64] {
        let threshold = Threshold { x: 300, factor: 1 << 29, doublings, divisor: 1 << 16 };
        let place = |head, words: &[u64]| {
            judge.place(&threshold, &Cell { head, head_bits: 17, words: words.to_vec() })
        };
        assert_eq!(place(0, &[]), Place::Inside);
        assert_eq!(place(1, &[]), Place::Below);
        assert_eq!(place(0, &[0]), Place::Inside);
        assert_eq!(place(0, &[1]), Place::Below);
        assert_eq!(place(0, &[0, 0]), Place::Inside);
        assert_eq!(place(0, &[0, 1]), Place::Below);
    }
}
