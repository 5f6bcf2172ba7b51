//! Plain rounds under any order of good and bad messages.

use super::*;

/// What is wrong with a generated message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    None,
    Session,
    Signer,
    Content,
    Length,
}

#[derive(Clone, Debug)]
enum Op {
    Accept(u16, Flaw),
    Decline(u16, Flaw),
    Update(u16, Flaw, [i16; D]),
    Left(u16),
    Wait(u64),
}

fn flaw() -> impl Strategy<Value = Flaw> {
    prop_oneof![
        6 => Just(Flaw::None),
        1 => Just(Flaw::Session),
        1 => Just(Flaw::Signer),
        1 => Just(Flaw::Content),
        1 => Just(Flaw::Length),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    // Merchant 5 was offered nothing, 6 and 7 do not exist.
    let who = 0..MERCHANTS + 2;
    prop_oneof![
        5 => (who.clone(), flaw()).prop_map(|(who, flaw)| Op::Accept(who, flaw)),
        1 => (who.clone(), flaw()).prop_map(|(who, flaw)| Op::Decline(who, flaw)),
        6 => (who.clone(), flaw(), any::<[i16; D]>()).prop_map(|(who, flaw, x)| Op::Update(who, flaw, x)),
        1 => who.prop_map(Op::Left),
        1 => prop_oneof![Just(1u64), Just(30), Just(ACCEPT_MS), Just(UPDATE_MS)].prop_map(Op::Wait),
    ]
}

fn make_accept(who: u16, flaw: Flaw) -> Accept {
    let (offer, attempt) = offer_and_attempt();
    let bad = Digest([0xEE; 32]);
    let sid = if flaw == Flaw::Session { bad } else { offer.sid() };
    let model = if flaw == Flaw::Content { bad } else { attempt.model };
    let parameters = if flaw == Flaw::Length { bad } else { attempt.parameters };
    let signer = if flaw == Flaw::Signer { key(200) } else { key(who) };
    Accept::sign(sid, model, parameters, &signer)
}

fn make_update(who: u16, flaw: Flaw, values: &[i64]) -> (UpdateHeader, Vec<u8>) {
    let mut bytes = words(values);
    let sid = if flaw == Flaw::Session { Digest([0xEE; 32]) } else { accept(who).sid };
    let signer = if flaw == Flaw::Signer { key(200) } else { key(who) };
    if flaw == Flaw::Length {
        bytes.pop();
    }
    let header = UpdateHeader::sign(
        sid,
        Digest::of_bytes(&bytes),
        guildhall_shared::tree_head::TreeHead::EMPTY,
        &signer,
    );
    if flaw == Flaw::Content {
        bytes[0] ^= 1;
    }
    (header, bytes)
}

/// Runs one op; returns the verdict and whether the message was flawless.
fn run_op(
    round: Round,
    now: &mut u64,
    op: &Op,
    out: &mut Vec<Output>,
) -> (Round, Result<(), RoundError>, bool) {
    let (next, verdict, flawless) = match *op {
        Op::Accept(who, flaw) => {
            let (next, verdict) = say(round, *now, who, RoundMessage::Accept(make_accept(who, flaw)), out);
            (next, verdict, flaw == Flaw::None)
        }
        Op::Decline(who, flaw) => {
            let decline = Decline { sid: make_accept(who, flaw).sid, reason: DeclineReason::Policy };
            let (next, verdict) = say(round, *now, who, RoundMessage::Decline(decline), out);
            (next, verdict, flaw != Flaw::Session)
        }
        Op::Update(who, flaw, values) => {
            let (header, bytes) = make_update(who, flaw, &values.map(i64::from));
            let (next, verdict) = say(round, *now, who, RoundMessage::Update { header, words: &bytes }, out);
            (next, verdict, flaw == Flaw::None)
        }
        Op::Left(who) => {
            let (next, verdict) = round.handle(*now, Input::Left(MerchantIndex(who)), out);
            (next, verdict, true)
        }
        Op::Wait(ms) => {
            *now += ms;
            let (next, verdict) = round.handle(*now, Input::Timeout, out);
            (next, verdict, true)
        }
    };
    (next, verdict, flawless)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn any_interleaving_sums_exactly_the_good_updates(ops in prop::collection::vec(op(), 0..80)) {
        let mut out = Vec::new();
        let mut round = open(&mut out);
        let mut now = 0;
        let mut good: BTreeMap<u16, [i16; D]> = BTreeMap::new();
        for op in &ops {
            let before = round.clone();
            let sent = out.len();
            let (next, verdict, flawless) = run_op(round, &mut now, op, &mut out);
            prop_assert!(flawless || verdict.is_err(), "{op:?} was taken");
            if verdict.is_err() {
                prop_assert_eq!(&next, &before, "{:?} changed the state", op);
                // A refused message causes at most one answer, to its sender.
                prop_assert!(out.len() <= sent + 1);
            }
            if let (Op::Update(who, _, values), Round::Collecting(phase)) = (op, &before) {
                let due = flawless && phase.participants().contains(&MerchantIndex(*who)) && !good.contains_key(who);
                prop_assert_eq!(verdict.is_ok(), due, "{:?}", op);
                if due {
                    good.insert(*who, *values);
                }
            }
            round = next;
        }
        // Whatever happened, time ends every round.
        for wait in [ACCEPT_MS, UPDATE_MS] {
            round = run_op(round, &mut now, &Op::Wait(wait), &mut out).0;
        }
        match round {
            Round::Settled(settled) => {
                let mut plain = [0i64; D];
                good.values().for_each(|v| plain.iter_mut().zip(v).for_each(|(sum, x)| *sum += i64::from(*x)));
                prop_assert_eq!(settled.sum.centred(), plain);
                prop_assert!(settled.contributors.iter().map(|m| &m.0).eq(good.keys()));
                prop_assert!(good.len() >= QUORUM);
                let receipts = out.iter().filter(|o| matches!(o, Output::Send { message: ServerMessage::Receipt(r), .. } if r.verdict == Verdict::Added));
                prop_assert_eq!(receipts.count(), good.len());
            }
            Round::Aborted(_) => prop_assert!(good.len() < QUORUM),
            other => prop_assert!(false, "the round did not end: {other:?}"),
        }
    }

    #[test]
    fn the_same_inputs_give_the_same_outputs(ops in prop::collection::vec(op(), 0..40)) {
        let run = || {
            let (mut out, mut now) = (Vec::new(), 0);
            let mut round = open(&mut out);
            for op in &ops {
                round = run_op(round, &mut now, op, &mut out).0;
            }
            (round, out)
        };
        prop_assert_eq!(run(), run());
    }
}

#[test]
fn the_generated_interleavings_settle_and_abort_often_enough_to_mean_something() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut settled, mut aborted, mut refused) = (0, 0, 0);
    for _ in 0..60 {
        let ops = prop::collection::vec(op(), 0..80).new_tree(&mut runner).expect("generates").current();
        let (mut out, mut now) = (Vec::new(), 0);
        let mut round = open(&mut out);
        for op in ops.iter().chain(&[Op::Wait(ACCEPT_MS), Op::Wait(UPDATE_MS)]) {
            let (next, verdict, _) = run_op(round, &mut now, op, &mut out);
            refused += u32::from(verdict.is_err());
            round = next;
        }
        settled += u32::from(matches!(round, Round::Settled(_)));
        aborted += u32::from(matches!(round, Round::Aborted(_)));
    }
    assert!(
        settled >= 6 && aborted >= 6 && refused >= 100,
        "{settled} settled, {aborted} aborted, {refused} refused"
    );
}
