//! Random interleavings of everything that can happen in a masked round.

use super::*;

#[derive(Clone, Copy, Debug)]
enum Op {
    /// Says what comes next for it, if anything does.
    Speak(u16),
    /// Says again what it said last.
    Repeat(u16),
    /// Says what somebody else said last.
    Copy(u16, u16),
    Decline(u16),
    Complain(u16, u16),
    Left(u16),
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let who = 0..5u16;
    prop_oneof![
        60 => who.clone().prop_map(Op::Speak),
        3 => who.clone().prop_map(Op::Repeat),
        3 => (who.clone(), who.clone()).prop_map(|(who, of)| Op::Copy(who, of)),
        1 => who.clone().prop_map(Op::Decline),
        1 => (who.clone(), who.clone()).prop_map(|(who, about)| Op::Complain(who, about)),
        1 => who.prop_map(Op::Left),
        1 => prop_oneof![Just(1u64), Just(ACCEPT_MS), Just(UPDATE_MS)].prop_map(Op::Wait),
    ]
}

/// Runs ops on a round of five until time ends it; returns how many were refused.
fn run(ops: &[Op]) -> (Bench, usize) {
    let mut bench = Bench::new(5);
    let mut last: BTreeMap<u16, Said> = BTreeMap::new();
    let mut refused = 0;
    for op in ops {
        let verdict = match *op {
            Op::Speak(who) => match bench.merchants[usize::from(who)].speak() {
                Some(said) => {
                    let verdict = bench.say(who, said.message());
                    last.insert(who, said);
                    verdict
                }
                None => Ok(()),
            },
            Op::Repeat(who) => last.get(&who).cloned().map_or(Ok(()), |said| bench.say(who, said.message())),
            Op::Copy(who, of) => last.get(&of).cloned().map_or(Ok(()), |said| bench.say(who, said.message())),
            Op::Decline(who) => bench.decline(who, DeclineReason::Policy),
            Op::Complain(who, about) if last.contains_key(&who) => {
                let complaint = bench.merchants[usize::from(who)].complaint(about);
                bench.say(who, RoundMessage::Complaint(complaint))
            }
            Op::Complain(..) => Ok(()),
            Op::Left(who) => bench.feed(Input::Left(MerchantIndex(who))),
            Op::Wait(ms) => {
                bench.now += ms;
                bench.feed(Input::Timeout)
            }
        };
        refused += usize::from(verdict.is_err());
    }
    for _ in 0..5 {
        bench.now += UPDATE_MS;
        bench.feed(Input::Timeout).expect("no message");
    }
    (bench, refused)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_interleaving_ends_with_exactly_the_updates_that_were_added_or_with_nothing(
        ops in prop::collection::vec(op(), 0..120),
    ) {
        let (bench, _) = run(&ops);
        match bench.round() {
            Round::Settled(settled) => {
                let added: Vec<u16> = bench.told("Receipt").into_iter().collect();
                prop_assert!(settled.contributors.iter().map(|m| &m.0).eq(&added));
                prop_assert!(added.len() >= 4);
                bench.assert_sum(added);
            }
            Round::Aborted(aborted) => prop_assert!(!aborted.reason.is_empty()),
            other => prop_assert!(false, "the round did not end: {other:?}"),
        }
        // Nobody is asked to unmask without a certificate, and that never goes to fewer than could finish.
        let certified = bench.told("Certificate").len();
        prop_assert!(certified == 0 || certified >= 4);
    }
}

#[test]
fn the_generated_masked_interleavings_settle_and_abort_often_enough_to_mean_something() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut settled, mut aborted, mut refused) = (0, 0, 0);
    for _ in 0..60 {
        let ops = prop::collection::vec(op(), 0..120).new_tree(&mut runner).expect("generates").current();
        let (bench, refusals) = run(&ops);
        refused += refusals;
        settled += u32::from(bench.stage() == "settled");
        aborted += u32::from(bench.stage() == "aborted");
    }
    assert!(
        settled >= 5 && aborted >= 5 && refused >= 30,
        "{settled} settled, {aborted} aborted, {refused} refused"
    );
}
