//! Seeded attempts with dropouts: the sum is the plain sum bit for bit, or there is none and nothing was revealed.
//!
//! `GUILDHALL_FULL_COUNTS=1` runs all of them, `GUILDHALL_CASE=N` one of them.

use std::collections::{BTreeMap, BTreeSet};

use guildhall_shared::id::MerchantIndex;
use guildhall_shared::ring::RingWidth;
use guildhall_shared::secagg::server::UnmaskError;
use guildhall_shared::secagg::{Graph, MaskGenerator, SecaggParameters};
use guildhall_tests::secagg::attempt::{Failure, Hooks, Outcome, Step, Undisturbed, run};
use guildhall_tests::secagg::draws::Draws;
use guildhall_tests::secagg::federation::{Federation, Shape};
use guildhall_tests::secagg::{cases, count, single};

/// Who vanishes before which message.
#[derive(Clone, Debug, Default)]
struct Dropouts(BTreeMap<MerchantIndex, Step>);

impl Hooks for Dropouts {
    fn is_gone(&mut self, step: Step, merchant: MerchantIndex) -> bool {
        self.0.get(&merchant) == Some(&step)
    }
}

impl Dropouts {
    fn before(&self, step: Step) -> usize {
        self.0.values().filter(|at| **at <= step).count()
    }

    /// As many as the thresholds allow at most, each before a message of its own. The sparse graph allows no more of them
    /// in all than before M5: every one of them is a holder lost.
    fn allowed(draws: &mut Draws, secagg: &SecaggParameters) -> Self {
        let mut dropouts = Dropouts::default();
        let early = (secagg.merchants - secagg.survivors_min) as usize;
        let all = match secagg.graph {
            Graph::Complete => (secagg.merchants - secagg.threshold) as usize,
            Graph::Sparse { .. } => early,
        };
        let leaving = draws.between(0, all);
        for merchant in draws.subset((0..secagg.merchants as u16).map(MerchantIndex), leaving) {
            let steps = if dropouts.0.values().filter(|step| **step <= Step::Update).count() < early {
                &Step::ALL[..]
            } else {
                &Step::ALL[3..]
            };
            dropouts.0.insert(merchant, *draws.pick(steps));
        }
        dropouts
    }

    /// One more than the thresholds allow at one step, nobody at another.
    fn one_too_many(draws: &mut Draws, secagg: &SecaggParameters, step: Step) -> Self {
        let least = if step <= Step::Update { secagg.survivors_min } else { secagg.threshold };
        let leaving = (secagg.merchants - least) as usize + 1;
        let chosen = draws.subset((0..secagg.merchants as u16).map(MerchantIndex), leaving);
        Dropouts(chosen.into_iter().map(|merchant| (merchant, step)).collect())
    }
}

/// Small federations more often than large ones: the work grows with the square.
fn shape(draws: &mut Draws, largest: usize) -> Shape {
    let cube = (0..3).fold(largest - 2, |size, _| draws.below(size) + 1);
    let merchants = (cube + 2) as u16;
    let ring = *draws.pick(&[RingWidth::Bits32, RingWidth::Bits64]);
    let generator = *draws.pick(&[MaskGenerator::Aes256Ctr, MaskGenerator::ChaCha20]);
    Shape::drawn(merchants, ring, generator)
}

fn assert_plain_sum(case: u64, federation: &Federation, dropouts: &Dropouts, outcome: &Outcome) {
    let unmasked =
        outcome.result.as_ref().unwrap_or_else(|error| panic!("case {case}: {error:?} {dropouts:?}"));
    let survivors: BTreeSet<MerchantIndex> = federation
        .merchants()
        .filter(|merchant| dropouts.0.get(merchant).is_none_or(|step| *step > Step::Update))
        .collect();
    assert_eq!(unmasked.survivors, survivors, "case {case}: {dropouts:?}");
    assert_eq!(unmasked.sum.centred(), federation.plain_sum(survivors), "case {case}: {dropouts:?}");
    assert!(outcome.culprits.is_empty() && outcome.faults.is_empty(), "case {case}: {outcome:?}");
}

#[test]
fn the_sum_is_the_plain_sum_with_dropouts_at_every_stage() {
    let mut steps: BTreeMap<Step, usize> = BTreeMap::new();
    let mut sizes = BTreeSet::new();
    for case in cases(count(100, 10_000)) {
        let mut draws = Draws::new("runs with dropouts", case);
        let federation = Federation::new(case, shape(&mut draws, 40));
        let session = federation.session(case as u32, 0);
        let mut dropouts = Dropouts::allowed(&mut draws, &session.facts().secagg);
        let outcome = run(&session, &mut dropouts);
        assert_plain_sum(case, &federation, &dropouts, &outcome);
        dropouts.0.values().for_each(|step| *steps.entry(*step).or_default() += 1);
        sizes.insert(federation.merchants().count());
    }
    if !single() {
        assert_eq!(steps.len(), Step::ALL.len(), "dropouts at some step were never drawn: {steps:?}");
        assert!(sizes.len() > 12 && sizes.first() == Some(&3) && sizes.last() > Some(&20), "{sizes:?}");
    }
}

#[test]
fn one_dropout_too_many_ends_cleanly_and_reveals_nothing() {
    for case in cases(count(40, 2_000)) {
        let mut draws = Draws::new("runs with one dropout too many", case);
        let federation = Federation::new(case, shape(&mut draws, 16));
        let session = federation.session(0, case as u32);
        for step in Step::ALL {
            let mut dropouts = Dropouts::one_too_many(&mut draws, &session.facts().secagg, step);
            let outcome = run(&session, &mut dropouts);
            let at = format!("case {case} {step:?}: {outcome:?}");
            match &outcome.result {
                Err(Failure::Shortfall(found, shortfall)) => {
                    assert_eq!(*found, step, "{at}");
                    assert_eq!(shortfall.found + 1, shortfall.expected, "{at}");
                    assert_eq!(outcome.unmask_messages, 0, "{at}");
                }
                Err(Failure::Unmask(UnmaskError::TooFewShares { expected, found, .. })) => {
                    assert_eq!((step, found + 1), (Step::Unmask, *expected), "{at}");
                    let left = federation.merchants().count() - dropouts.before(Step::Unmask);
                    assert_eq!(outcome.unmask_messages, left, "{at}");
                }
                other => panic!("case {case} {step:?}: {other:?}"),
            }
            assert!(outcome.culprits.is_empty() && outcome.breaches.is_empty(), "{at}");
        }
    }
}

#[test]
fn attempts_repeat_to_the_bit_and_other_attempts_share_no_byte_of_a_message() {
    let federation = Federation::new(7, Shape::of(5));
    let (once, again) = (federation.session(3, 0), federation.session(3, 0));
    let (one, same) = (run(&once, &mut Undisturbed), run(&again, &mut Undisturbed));
    assert_eq!(one.sent, same.sent);
    let next = run(&federation.session(3, 1), &mut Undisturbed);
    let sum = |outcome: &Outcome| outcome.result.as_ref().expect("nobody is gone").sum.clone();
    assert_eq!(sum(&one), sum(&next), "the inputs are the same in every attempt");
    for (a, b) in one.sent.iter().zip(&next.sent) {
        // Model, parameters and lists of merchants are public and alike; everything drawn is not.
        let pieces = |bytes: &[u8]| bytes.windows(16).map(<[u8]>::to_vec).collect::<BTreeSet<_>>();
        let public = pieces(&[once.facts().model.0, once.facts().parameters.0].concat());
        let list = |piece: &&Vec<u8>| piece.iter().filter(|byte| **byte == 0).count() > 4;
        let (a, b) = (pieces(a), pieces(b));
        let drawn: Vec<_> =
            a.intersection(&b).filter(|piece| !public.contains(*piece) && !list(piece)).collect();
        assert!(drawn.is_empty(), "{drawn:?}");
    }
}

/// The code of the sparse graph in small federations, where it is cheap: every holder set is drawn, and dropouts may take
/// holders away down to the threshold.
#[test]
fn the_sparse_graph_gives_the_plain_sum_or_nothing() {
    let (mut sums, mut short) = (0, 0);
    for case in cases(count(40, 3_000)) {
        let mut draws = Draws::new("sparse runs", case);
        let merchants = draws.between(8, 14) as u16;
        let shape = Shape::sparse(merchants, 6, 5);
        let federation = Federation::new(case, shape);
        let session = federation.session(1, case as u32);
        let mut dropouts = Dropouts::allowed(&mut draws, &session.facts().secagg);
        let outcome = run(&session, &mut dropouts);
        match &outcome.result {
            Ok(_) => {
                assert_plain_sum(case, &federation, &dropouts, &outcome);
                sums += 1;
            }
            // A merchant whose holders are gone stops before it masks; then others may be too few.
            Err(Failure::Shortfall(..) | Failure::Unmask(UnmaskError::TooFewShares { .. })) => short += 1,
            Err(other) => panic!("case {case}: {other:?}"),
        }
    }
    assert!(single() || (sums > short && short > 0), "{sums} sums, {short} without");
}

/// The sparse graph by the rules: it begins above 128 merchants.
#[test]
fn a_large_federation_gives_the_plain_sum() {
    for case in cases(count(1, 12)) {
        let mut draws = Draws::new("large runs", case);
        let merchants = 129 + if case == 0 { 0 } else { draws.between(0, 21) as u16 };
        let shape = Shape::drawn(merchants, RingWidth::Bits32, MaskGenerator::Aes256Ctr);
        assert!(matches!(shape.secagg.graph, Graph::Sparse { .. }), "{:?}", shape.secagg);
        let federation = Federation::new(case, shape);
        let session = federation.session(0, 0);
        let mut dropouts = Dropouts::allowed(&mut draws, &session.facts().secagg);
        let outcome = run(&session, &mut dropouts);
        assert_plain_sum(case, &federation, &dropouts, &outcome);
    }
}
