mod interleavings;
mod masked;
pub(crate) mod merchant;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::{Name, RoundId};
use guildhall_shared::identity::{IdentityKey, Roster, RosterEntry, Signature};
use guildhall_shared::message::{Accept, Decline, DeclineReason, UpdateHeader, Verdict};
use guildhall_shared::ring::RingWidth;
use guildhall_shared::round_parameters::{RoundMode, RoundParameters};
use proptest::prelude::*;

use super::*;

const MERCHANTS: u16 = 6;
/// The offer goes to all but the last merchant.
const OFFERED: u16 = 5;
const D: usize = 3;
const QUORUM: usize = 2;
const ACCEPT_MS: u64 = 100;
const UPDATE_MS: u64 = 1_000;

fn key(merchant: u16) -> IdentityKey {
    IdentityKey::from_secret(&[merchant as u8 + 1; 32])
}

fn offer_and_attempt() -> (Offer, Attempt) {
    let entry = |i: u16| RosterEntry {
        name: Name::new(format!("merchant-{i}")).expect("legal"),
        region: Name::new("eu").expect("legal"),
        identity: key(i).public(),
        certificate: Digest([i as u8; 32]),
    };
    let roster = Roster { federation: Digest([9; 32]), entries: (0..MERCHANTS).map(entry).collect() };
    let round = RoundId { round: 4, attempt: 1 };
    let offer = Offer {
        federation: roster.federation,
        job: Digest([1; 32]),
        round,
        version: 4,
        model: Digest([2; 32]),
        parameters: RoundParameters {
            mode: RoundMode::LocalNoise,
            merchants: u32::from(MERCHANTS),
            secagg: None,
            honest_noise_shares: 1,
            parameters: D as u64,
            clipping_bound: 1,
            noise_standard_deviation_local: 1,
            ring: RingWidth::Bits32,
            quorum: QUORUM as u32,
        },
        roster: roster.digest(),
        nonce: [3; 32],
        signature: Signature([[0; 32]; 2]),
    };
    let attempt = Attempt {
        round,
        sid: offer.sid(),
        model: offer.model,
        parameters: Digest([4; 32]),
        ring: RingWidth::Bits32,
        dimension: D,
        quorum: QUORUM,
        accept_deadline_ms: ACCEPT_MS,
        update_deadline_ms: UPDATE_MS,
        offered: (0..OFFERED).map(MerchantIndex).collect(),
        roster: Arc::new(roster.decode()),
    };
    (offer, attempt)
}

fn open(out: &mut Vec<Output>) -> Round {
    let (offer, attempt) = offer_and_attempt();
    Round::open(attempt, &offer, 0, out)
}

fn accept(who: u16) -> Accept {
    let (offer, attempt) = offer_and_attempt();
    Accept::sign(offer.sid(), attempt.model, attempt.parameters, &key(who))
}

fn words(values: &[i64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    RingWidth::Bits32.write(values, &mut bytes);
    bytes
}

fn update(who: u16, bytes: &[u8]) -> UpdateHeader {
    UpdateHeader::sign(
        offer_and_attempt().0.sid(),
        Digest::of_bytes(bytes),
        guildhall_shared::tree_head::TreeHead::EMPTY,
        &key(who),
    )
}

fn say(
    round: Round,
    now: u64,
    who: u16,
    message: RoundMessage<'_>,
    out: &mut Vec<Output>,
) -> (Round, Result<(), RoundError>) {
    round.handle(now, Input::Message { from: MerchantIndex(who), message }, out)
}

/// A round in which 0, 1 and 2 accepted, 3 declined and 4 left.
fn collecting(out: &mut Vec<Output>) -> Round {
    let mut round = open(out);
    for who in 0..3 {
        let (next, verdict) = say(round, 1, who, RoundMessage::Accept(accept(who)), out);
        assert_eq!(verdict, Ok(()));
        round = next;
    }
    let decline = Decline { sid: accept(3).sid, reason: DeclineReason::OverBudget };
    round = say(round, 1, 3, RoundMessage::Decline(decline), out).0;
    round = round.handle(1, Input::Left(MerchantIndex(4)), out).0;
    assert!(matches!(round, Round::Collecting(_)));
    round
}

fn aborts(out: &[Output]) -> BTreeSet<u16> {
    let told = |output: &Output| match output {
        Output::Send { to, message: ServerMessage::Abort(_) } => Some(to.0),
        _ => None,
    };
    out.iter().filter_map(told).collect()
}

#[test]
fn the_offer_goes_to_everybody_offered_and_training_starts_once_all_have_answered() {
    let mut out = Vec::new();
    let round = collecting(&mut out);
    let offers =
        out.iter().filter(|o| matches!(o, Output::Send { message: ServerMessage::Offer(_), .. })).count();
    assert_eq!(offers, usize::from(OFFERED));
    let begins: Vec<u16> = out
        .iter()
        .filter_map(|o| match o {
            Output::Send { to, message: ServerMessage::Begin(begin) } => {
                assert_eq!(begin.participants, [0, 1, 2].map(MerchantIndex));
                Some(to.0)
            }
            _ => None,
        })
        .collect();
    assert_eq!(begins, [0, 1, 2]);
    assert_eq!(out.last(), Some(&Output::WakeAt(1 + UPDATE_MS)));
    let Round::Collecting(phase) = round else { panic!("collecting") };
    assert_eq!(phase.participants().len(), 3);
}

#[test]
fn the_accept_deadline_starts_training_with_those_who_answered() {
    let mut out = Vec::new();
    let mut round = open(&mut out);
    for who in [0, 3] {
        round = say(round, 5, who, RoundMessage::Accept(accept(who)), &mut out).0;
    }
    let (round, _) = round.handle(ACCEPT_MS - 1, Input::Timeout, &mut out);
    assert!(matches!(round, Round::Selecting(_)), "too early");
    let (round, _) = round.handle(ACCEPT_MS, Input::Timeout, &mut out);
    let Round::Collecting(phase) = &round else { panic!("collecting, found {round:?}") };
    assert_eq!(phase.participants(), &[0, 3].map(MerchantIndex).into());
    // Who was late is told that its reservation is free, and changes nothing.
    out.clear();
    let (after, verdict) = say(round.clone(), ACCEPT_MS + 1, 1, RoundMessage::Accept(accept(1)), &mut out);
    assert!(matches!(verdict, Err(RoundError { fault: Fault::Phase { .. }, .. })));
    assert_eq!((after, aborts(&out)), (round, [1].into()));
}

#[test]
fn too_few_acceptances_abort_and_whoever_may_have_reserved_is_told() {
    let mut out = Vec::new();
    let mut round = open(&mut out);
    round = say(round, 5, 0, RoundMessage::Accept(accept(0)), &mut out).0;
    let decline = Decline { sid: accept(1).sid, reason: DeclineReason::OverBudget };
    round = say(round, 5, 1, RoundMessage::Decline(decline), &mut out).0;
    let (round, _) = round.handle(ACCEPT_MS, Input::Timeout, &mut out);
    let Round::Aborted(aborted) = round else { panic!("aborted") };
    for part in
        ["quorum of 2", "found 1", "merchant-1 declined", "no answer from merchant-2, merchant-3, merchant-4"]
    {
        assert!(aborted.reason.contains(part), "{part}: {}", aborted.reason);
    }
    assert_eq!(aborts(&out), [0, 2, 3, 4].into());
}

#[test]
fn the_update_deadline_settles_with_a_quorum_and_aborts_without() {
    for contributors in 0..3u16 {
        let mut out = Vec::new();
        let mut round = collecting(&mut out);
        for who in 0..contributors {
            let bytes = words(&[1, -2, i64::from(who)]);
            let message = RoundMessage::Update { header: update(who, &bytes), words: &bytes };
            round = say(round, 2, who, message, &mut out).0;
        }
        let (early, _) = round.handle(UPDATE_MS, Input::Timeout, &mut out);
        assert!(matches!(early, Round::Collecting(_)));
        let (round, _) = early.handle(UPDATE_MS + 1, Input::Timeout, &mut out);
        match round {
            Round::Settled(settled) => {
                assert_eq!(usize::from(contributors), QUORUM);
                assert_eq!(settled.sum.centred(), [2, -4, 1]);
                assert_eq!(settled.contributors, [0, 1].map(MerchantIndex).into());
            }
            Round::Aborted(aborted) => {
                assert!(usize::from(contributors) < QUORUM, "{}", aborted.reason);
                assert_eq!(aborts(&out), [0, 1, 2].into());
            }
            other => panic!("an end, found {other:?}"),
        }
    }
}

#[test]
fn a_participant_that_leaves_is_not_awaited_but_may_come_back() {
    let mut out = Vec::new();
    let mut round = collecting(&mut out);
    round = round.handle(2, Input::Left(MerchantIndex(2)), &mut out).0;
    let bytes = words(&[5, 5, 5]);
    for who in [2, 0] {
        let message = RoundMessage::Update { header: update(who, &bytes), words: &bytes };
        let (next, verdict) = say(round, 3, who, message, &mut out);
        assert_eq!(verdict, Ok(()));
        round = next;
    }
    assert!(matches!(round, Round::Collecting(_)), "merchant 1 is still awaited");
    round = round.handle(4, Input::Left(MerchantIndex(1)), &mut out).0;
    let Round::Settled(settled) = round else { panic!("settled") };
    assert_eq!(settled.contributors, [0, 2].map(MerchantIndex).into());
}

#[test]
fn every_refusal_names_merchant_round_expected_and_found() {
    let bytes = words(&[1, 2, 3]);
    let sid = accept(0).sid;
    let forged_key = key(1);
    let good = |who: u16| update(who, &bytes);
    let stale = UpdateHeader { sid: Digest([7; 32]), ..good(0) };
    let cases: Vec<(u16, RoundMessage<'_>, &str)> = vec![
        (5, RoundMessage::Update { header: good(5), words: &bytes }, "merchant-5: expected a message from"),
        (
            77,
            RoundMessage::Update { header: good(0), words: &bytes },
            "merchant #77: expected a message from",
        ),
        (
            3,
            RoundMessage::Update { header: good(3), words: &bytes },
            "expected a message from a merchant that accepted",
        ),
        (0, RoundMessage::Update { header: stale, words: &bytes }, "found 0707"),
        (
            0,
            RoundMessage::Update { header: good(0), words: &bytes[..8] },
            "expected 12 bytes of ring words, found 8",
        ),
        (0, RoundMessage::Update { header: good(0), words: &[0; 12] }, "expected words with SHA-256"),
        (
            0,
            RoundMessage::Update {
                header: UpdateHeader::sign(
                    sid,
                    Digest::of_bytes(&bytes),
                    guildhall_shared::tree_head::TreeHead::EMPTY,
                    &forged_key,
                ),
                words: &bytes,
            },
            "signature",
        ),
        (0, RoundMessage::Accept(accept(0)), "expected an update, found an acceptance"),
    ];
    for (who, message, part) in cases {
        let mut out = Vec::new();
        let round = collecting(&mut out);
        out.clear();
        let (after, verdict) = say(round.clone(), 2, who, message, &mut out);
        let text = verdict.expect_err(part).to_string();
        assert!(
            text.contains(part) && text.contains("round 4 attempt 1") && text.contains("merchant"),
            "{text}"
        );
        assert_eq!(after, round, "{text}");
        assert_eq!(out, [], "{text}");
    }
}

#[test]
fn wrong_model_and_parameters_are_told_apart() {
    let (offer, attempt) = offer_and_attempt();
    let other = Digest([8; 32]);
    let mut out = Vec::new();
    let round = open(&mut out);
    let model = Accept::sign(offer.sid(), other, attempt.parameters, &key(0));
    let parameters = Accept::sign(offer.sid(), attempt.model, other, &key(0));
    let (round, verdict) = say(round, 1, 0, RoundMessage::Accept(model), &mut out);
    assert!(matches!(verdict, Err(RoundError { fault: Fault::Model { .. }, .. })));
    let (_, verdict) = say(round, 1, 0, RoundMessage::Accept(parameters), &mut out);
    assert!(matches!(verdict, Err(RoundError { fault: Fault::Parameters { .. }, .. })));
}

#[test]
fn an_abandoned_attempt_is_aborted_whatever_its_phase() {
    let mut out = Vec::new();
    let round = open(&mut out).abandon("stopping", &mut out);
    assert!(matches!(round, Round::Aborted(_)));
    assert_eq!(aborts(&out).len(), usize::from(OFFERED));
    let mut out = Vec::new();
    let round = collecting(&mut out);
    assert!(matches!(round.abandon("stopping", &mut out), Round::Aborted(_)));
    assert_eq!(aborts(&out), [0, 1, 2].into());
}
