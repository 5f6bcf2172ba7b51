use chacha20::cipher::StreamCipherSeek as _;

use super::*;

const SCALES: [(u128, u32); 7] = [
    (1, 1),
    (441, 4),
    (1 << 12, 1),
    (9_443_329, 9),
    (1 << 40, 1),
    (1 << 80, 1),
    (((1 << 52) + 1) * ((1 << 52) + 1), 1),
];

fn variance((numerator, denominator): (u128, u32)) -> Variance {
    Variance::new(numerator, denominator).expect("legal")
}

fn seed(number: u32) -> Seed {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    Seed::from_entropy(bytes)
}

fn samples(gaussian: &DiscreteGaussian, number: u32, count: usize) -> Vec<i64> {
    let mut out = vec![0; count];
    gaussian.fill(seed(number), &mut out).expect("draws");
    out
}

/// The same attempts, each in full, without the shortcut.
fn samples_in_full(gaussian: &DiscreteGaussian, number: u32, count: usize) -> Vec<i64> {
    let (mut attempts, mut further) = (Attempts::new(&seed(number)), FurtherWords::new(&seed(number)));
    let mut out = vec![];
    while out.len() < count {
        let (mut word, mut place) = ([0; 4], [0; 8]);
        attempts.fill(&mut word).expect("bytes enough");
        attempts.fill(&mut place).expect("bytes enough");
        let choice = Choice::new(u32::from_le_bytes(word));
        let found = gaussian.attempt(choice, u64::from_le_bytes(place), &mut further);
        out.extend(found.expect("in range"));
    }
    out
}

#[test]
fn the_shortcut_changes_no_sample() {
    for scale in SCALES {
        let gaussian = DiscreteGaussian::new(variance(scale));
        assert!(samples(&gaussian, 1, 20_000) == samples_in_full(&gaussian, 1, 20_000), "{scale:?}");
    }
}

/// With bounds 2^-11 apart one in some hundred decisions is taken by the exact path; the samples stay what they were.
#[test]
fn samples_do_not_depend_on_how_close_the_bounds_are() {
    for scale in SCALES {
        let gaussian = DiscreteGaussian::new(variance(scale));
        let judge = Judge::widened(Bell::new(variance(scale)), 1 << 52);
        let widened = DiscreteGaussian { proposal: gaussian.proposal.clone(), judge };
        assert!(samples(&gaussian, 2, 3000) == samples_in_full(&widened, 2, 3000), "{scale:?}");
    }
}

/// How a seed's first 64 samples come about: in the tail, by a place drawn again, by a decision that took a further word.
#[derive(Default, Debug, PartialEq)]
struct RarePaths {
    tail: bool,
    place_again: bool,
    decided_by_word: bool,
}

fn rare_paths(gaussian: &DiscreteGaussian, number: u32) -> RarePaths {
    let (mut attempts, mut further) = (Attempts::new(&seed(number)), FurtherWords::new(&seed(number)));
    let mut paths = RarePaths::default();
    let mut count = 0;
    while count < 64 {
        let mut bytes = [0; ATTEMPT_BYTES];
        attempts.fill(&mut bytes).expect("bytes enough");
        let before: u64 = further.position();
        count += gaussian.attempt_each(&bytes, &mut further, &mut [0]).expect("in range");
        if further.position() == before {
            continue;
        }
        let word = u32::from_le_bytes(bytes[..4].try_into().expect("four"));
        let place = u64::from_le_bytes(bytes[4..].try_into().expect("eight"));
        let width = gaussian.proposal.width;
        if gaussian.proposal.slots[Choice::new(word).slot] == TAIL {
            paths.tail = true;
        } else if place.wrapping_mul(width) < width.wrapping_neg() % width {
            paths.place_again = true;
        } else {
            paths.decided_by_word = true;
        }
    }
    paths
}

impl FurtherWords {
    fn position(&self) -> u64 {
        self.stream().current_pos()
    }
}

/// The known answers in tests/vectors/discrete_gaussian.json have these seeds among others, so that they cover every path.
#[test]
fn seeds_of_the_known_answers_take_the_rare_paths() {
    let huge = ((1 << 52) + 1) * ((1 << 52) + 1);
    for ((numerator, denominator, number), expected) in [
        ((4096, 1, 0), RarePaths { tail: true, ..RarePaths::default() }),
        ((1 << 40, 1, 18), RarePaths { tail: true, ..RarePaths::default() }),
        ((1, 1, 132), RarePaths { decided_by_word: true, ..RarePaths::default() }),
        ((441, 4, 1857), RarePaths { decided_by_word: true, ..RarePaths::default() }),
        ((9_443_329, 9, 2092), RarePaths { decided_by_word: true, ..RarePaths::default() }),
        ((huge, 1, 634), RarePaths { decided_by_word: true, ..RarePaths::default() }),
        ((huge, 1, 540), RarePaths { place_again: true, ..RarePaths::default() }),
    ] {
        let gaussian = DiscreteGaussian::new(variance((numerator, denominator)));
        assert_eq!(rare_paths(&gaussian, number), expected, "{numerator}/{denominator} {number}");
    }
}

/// The tail alone, at σ = 64, where its strips are single numbers: each value as often as its weight says.
/// χ² over 40 cells; a false alarm once in a million seeds.
#[test]
fn the_tail_is_the_bell() {
    let gaussian = DiscreteGaussian::new(variance((1 << 12, 1)));
    let first = gaussian.proposal.slots.iter().position(|strip| *strip == TAIL).expect("a tail");
    let start = (STRIPS as u64 * gaussian.proposal.width) as i64;
    let (mut attempts, mut further) = (Attempts::new(&seed(3)), FurtherWords::new(&seed(3)));
    let mut counts = [0f64; 40];
    for _ in 0..400_000 {
        let (mut word, mut place) = ([0; 4], [0; 8]);
        attempts.fill(&mut word).expect("bytes enough");
        attempts.fill(&mut place).expect("bytes enough");
        let mut choice = Choice::new(u32::from_le_bytes(word));
        choice.slot = first;
        if let Some(x) = gaussian.attempt(choice, u64::from_le_bytes(place), &mut further).expect("in range")
        {
            assert!(x.abs() >= start && (x < 0) == choice.is_negative, "{x}");
            counts[((x.abs() - start) as usize).min(39)] += 1.0;
        }
    }
    let weight = |x: i64| (-((x * x) as f64) / 8192.0).exp();
    let weights: Vec<f64> =
        (0..39).map(|i| weight(start + i)).chain([(39..800).map(|i| weight(start + i)).sum()]).collect();
    let (total, mass): (f64, f64) = (counts.iter().sum(), weights.iter().sum());
    assert!(total > 10_000.0, "{total}");
    let statistic = |counts: &[f64]| -> f64 {
        counts.iter().zip(&weights).map(|(n, w)| (n - total * w / mass).powi(2) / (total * w / mass)).sum()
    };
    // R: qchisq(1 - 1e-6, 39) = 93.9
    assert!(statistic(&counts) < 93.9, "{} {counts:?}", statistic(&counts));
    let mut shifted = counts;
    shifted.rotate_left(2);
    assert!(statistic(&shifted) > 93.9, "the test would not see a tail in the wrong place");
}

#[test]
fn places_are_uniform_and_need_a_further_word_only_for_the_surplus() {
    // 2^64 mod 5 is 1: of the 2^64 words exactly word 0 is surplus.
    let (mut further, mut untouched) = (FurtherWords::new(&seed(4)), FurtherWords::new(&seed(4)));
    for (word, expected) in [(1, 0), (u64::MAX / 5, 0), (u64::MAX / 5 + 1, 1), (u64::MAX, 4)] {
        assert_eq!(uniform_below(5, word, &mut further), Ok(expected), "{word}");
    }
    let next = untouched.next().expect("bytes enough");
    assert_eq!(uniform_below(5, 0, &mut further), Ok(((u128::from(next) * 5) >> 64) as u64));
    // In a small analogue every result is counted: all surplus words are those with a low product.
    for end in 1..=255u16 {
        let mut counts = vec![0; usize::from(end)];
        for word in 0..=255u16 {
            if word * end % 256 >= 256 % end {
                counts[usize::from(word * end / 256)] += 1;
            }
        }
        assert!(counts.iter().all(|count| *count == 256 / end), "{end}: {counts:?}");
    }
}
