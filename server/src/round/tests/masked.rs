//! Masked rounds: every phase, everybody's absence, every refusal.

mod bad_messages;
mod blame;
mod interleavings;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::{MerchantIndex, Name, RoundId};
use guildhall_shared::identity::{IdentityKey, Roster, RosterEntry, Signature};
use guildhall_shared::message::{
    Accept, Decline, DeclineReason, MemberKeys, Offer, Receipt, ServerMessage, UpdateHeader, Verdict,
};
use guildhall_shared::ring::RingWidth;
use guildhall_shared::round_parameters::{RoundMode, RoundParameters};
use guildhall_shared::secagg::transcript::{self, Transcript};
use guildhall_shared::secagg::{MaskGenerator, SecaggParameters};
use proptest::prelude::*;

use super::merchant::{Merchant, Said, value};
use crate::round::*;

const D: usize = 3;
const ACCEPT_MS: u64 = 100;
const UPDATE_MS: u64 = 1_000;
/// Of n = 10: three may collude, seven sign and unmask, eight survive.
const N: u16 = 10;
const THRESHOLD: usize = 7;
const SURVIVORS_MIN: usize = 8;

fn key(merchant: u16) -> IdentityKey {
    IdentityKey::from_secret(&[merchant as u8 + 1; 32])
}

fn offer_and_attempt(merchants: u16) -> (Offer, Attempt) {
    let entry = |i: u16| RosterEntry {
        name: Name::new(format!("merchant-{i}")).expect("legal"),
        region: Name::new("eu").expect("legal"),
        identity: key(i).public(),
        certificate: Digest([i as u8; 32]),
    };
    let roster = Roster { federation: Digest([9; 32]), entries: (0..merchants).map(entry).collect() };
    let secagg = SecaggParameters::derive(u32::from(merchants), 0, MaskGenerator::Aes256Ctr).expect("enough");
    let round = RoundId { round: 4, attempt: 1 };
    let offer = Offer {
        federation: roster.federation,
        job: Digest([1; 32]),
        round,
        version: 4,
        model: Digest([2; 32]),
        parameters: RoundParameters {
            mode: RoundMode::MaskedUnprotected,
            merchants: u32::from(merchants),
            honest_noise_shares: 0,
            parameters: D as u64,
            clipping_bound: 1,
            noise_standard_deviation_local: 0,
            ring: RingWidth::Bits32,
            quorum: secagg.survivors_min,
            secagg: Some(secagg),
        },
        roster: roster.digest(),
        nonce: [3; 32],
        signature: Signature([[0; 32]; 2]),
    };
    let attempt = Attempt {
        round,
        sid: offer.sid(),
        model: offer.model,
        parameters: offer.parameters.digest(&offer.job, &offer.roster),
        ring: RingWidth::Bits32,
        dimension: D,
        quorum: offer.parameters.quorum as usize,
        accept_deadline_ms: ACCEPT_MS,
        update_deadline_ms: UPDATE_MS,
        offered: (0..merchants).map(MerchantIndex).collect(),
        roster: Arc::new(roster.decode()),
    };
    (offer, attempt)
}

/// A round and its merchants.
struct Bench {
    round: Option<Round>,
    merchants: Vec<Merchant>,
    now: u64,
    wake_at: u64,
    /// How many updates were witnessed, each time.
    witnessed: Vec<usize>,
    /// Everything sent: to whom, and the message's name.
    sent: Vec<(u16, &'static str)>,
}

impl Bench {
    fn new(merchants: u16) -> Self {
        let (offer, attempt) = offer_and_attempt(merchants);
        let roster = Arc::clone(&attempt.roster);
        let merchants = (0..merchants).map(|i| Merchant::new(i, key(i), Arc::clone(&roster))).collect();
        let mut bench =
            Bench { round: None, merchants, now: 0, wake_at: 0, witnessed: Vec::new(), sent: Vec::new() };
        let mut out = Vec::new();
        bench.round = Some(Round::open(attempt, &offer, 0, &mut out));
        bench.deliver(out);
        bench
    }

    fn round(&self) -> &Round {
        self.round.as_ref().expect("a round")
    }

    fn stage(&self) -> &'static str {
        match self.round() {
            Round::Settled(_) => "settled",
            Round::Aborted(_) => "aborted",
            running => running.masked_stage().expect("masked").0,
        }
    }

    fn deliver(&mut self, out: Vec<Output>) {
        for output in out {
            let (to, message) = match output {
                Output::Send { to, message } => ([to].into(), message),
                Output::Broadcast { to, message } => (to, message),
                Output::Witness(updates) => {
                    self.witnessed.push(updates.len());
                    continue;
                }
                Output::WakeAt(at) => {
                    self.wake_at = at;
                    continue;
                }
            };
            for to in to {
                let name = match &message {
                    ServerMessage::Receipt(Receipt { verdict: Verdict::Refused(_), .. }) => {
                        "refusing Receipt"
                    }
                    other => other.name(),
                };
                self.sent.push((to.0, name));
                self.merchants[usize::from(to.0)].hear(message.clone());
            }
        }
    }

    fn feed(&mut self, input: Input<'_>) -> Result<(), RoundError> {
        let before = self.round.take().expect("a round");
        let copy = before.clone();
        let mut out = Vec::new();
        let (after, verdict) = before.handle(self.now, input, &mut out);
        if let Err(error) = &verdict {
            assert_eq!(after, copy, "{error}");
            assert_eq!(out, [], "{error}");
        }
        self.round = Some(after);
        self.deliver(out);
        verdict
    }

    fn say(&mut self, who: u16, message: RoundMessage<'_>) -> Result<(), RoundError> {
        self.feed(Input::Message { from: MerchantIndex(who), message })
    }

    /// What a merchant would say next; it is not said.
    fn next_of(&mut self, who: u16) -> Said {
        self.merchants[usize::from(who)].speak().expect("something to say")
    }

    /// Each of them says what comes next for it.
    fn speak(&mut self, who: impl IntoIterator<Item = u16>) {
        for who in who {
            let said = self.next_of(who);
            self.say(who, said.message()).expect("good");
        }
    }

    /// They say whatever they can until nobody has anything left to say, or the attempt has ended.
    fn run(&mut self, who: &[u16]) {
        let mut silent = false;
        while !std::mem::replace(&mut silent, true) {
            for who in who {
                let over = matches!(self.stage(), "settled" | "aborted");
                if let Some(said) = self.merchants[usize::from(*who)].speak().filter(|_| !over) {
                    self.say(*who, said.message()).expect("good");
                    silent = false;
                }
            }
        }
    }

    fn leave(&mut self, who: u16) {
        self.feed(Input::Left(MerchantIndex(who))).expect("no message");
    }

    fn decline(&mut self, who: u16, reason: DeclineReason) -> Result<(), RoundError> {
        let sid = self.round().attempt().sid;
        self.say(who, RoundMessage::Decline(Decline { sid, reason }))
    }

    fn deadline(&mut self) {
        self.now = self.wake_at;
        self.feed(Input::Timeout).expect("no message");
    }

    /// Everybody takes part up to the given stage.
    fn up_to(merchants: u16, stage: &str) -> Self {
        let mut bench = Bench::new(merchants);
        while bench.stage() != stage {
            let here = bench.stage();
            for who in 0..merchants {
                bench.speak([who]);
                if bench.stage() != here {
                    break;
                }
            }
            assert_ne!(bench.stage(), here, "everybody spoke");
        }
        bench
    }

    fn told(&self, name: &str) -> BTreeSet<u16> {
        self.sent.iter().filter(|(_, sent)| *sent == name).map(|(to, _)| *to).collect()
    }

    fn settled(&self) -> &Settled {
        match self.round() {
            Round::Settled(settled) => settled,
            other => panic!("settled, found {other:?}"),
        }
    }

    fn aborted(&self) -> &Aborted {
        match self.round() {
            Round::Aborted(aborted) => aborted,
            other => panic!("aborted, found {other:?}"),
        }
    }

    /// The sum is that of exactly these.
    fn assert_sum(&self, contributors: impl IntoIterator<Item = u16>) {
        let contributors: Vec<u16> = contributors.into_iter().collect();
        let settled = self.settled();
        assert!(settled.contributors.iter().map(|m| &m.0).eq(&contributors), "{:?}", settled.contributors);
        let expected: Vec<i64> =
            (0..D).map(|place| contributors.iter().map(|who| value(*who, place)).sum()).collect();
        assert_eq!(settled.sum.centred(), expected);
    }
}

fn set(list: impl IntoIterator<Item = u16>) -> BTreeSet<u16> {
    list.into_iter().collect()
}

fn indices(list: impl IntoIterator<Item = u16>) -> BTreeSet<MerchantIndex> {
    list.into_iter().map(MerchantIndex).collect()
}

#[test]
fn with_everybody_there_no_phase_waits_and_the_last_two_not_even_for_everybody() {
    for n in [3, 5, N] {
        let mut bench = Bench::new(n);
        assert_eq!((bench.stage(), bench.wake_at), ("advertising", ACCEPT_MS));
        bench.now = 5;
        bench.speak(0..n);
        assert_eq!((bench.stage(), bench.wake_at), ("sharing", 5 + ACCEPT_MS));
        bench.speak(0..n);
        assert_eq!((bench.stage(), bench.wake_at), ("collecting", 5 + UPDATE_MS));
        bench.now = 9;
        bench.speak(0..n);
        assert_eq!((bench.stage(), bench.wake_at), ("certifying", 9 + ACCEPT_MS));
        assert_eq!(bench.told("Receipt"), set(0..n));
        let Some(secagg) = offer_and_attempt(n).0.parameters.secagg else { panic!("masked") };
        let threshold = secagg.threshold as u16;
        bench.speak(0..threshold - 1);
        assert_eq!((bench.stage(), bench.told("Certificate").len()), ("certifying", 0));
        bench.speak([threshold - 1]);
        assert_eq!((bench.stage(), bench.wake_at), ("unmasking", 9 + ACCEPT_MS));
        bench.speak(0..threshold - 1);
        assert_eq!(bench.stage(), "unmasking");
        bench.speak([threshold - 1]);
        bench.assert_sum(0..n);
        assert_eq!((&bench.settled().dropped, &bench.settled().blame), (&indices([]), &Blame::default()));
        assert_eq!(bench.told("Abort"), set([]));
        for name in ["Offer", "RoundRoster", "ForwardedShares", "Survivors", "Certificate"] {
            assert_eq!(bench.sent.iter().filter(|(_, sent)| *sent == name).count(), usize::from(n), "{name}");
        }
    }
}

/// Stages in order, with how many of ten may vanish in each.
const ALLOWANCES: [(&str, u16); 5] =
    [("advertising", 2), ("sharing", 2), ("collecting", 2), ("certifying", 3), ("unmasking", 3)];

#[test]
fn within_the_allowance_dropouts_at_any_stage_change_nothing_but_the_sum() {
    for (stage, allowance) in ALLOWANCES {
        for silent in [false, true] {
            let mut bench = Bench::up_to(N, stage);
            let gone: Vec<u16> = (0..allowance).map(|i| i * 4).collect();
            if !silent {
                gone.iter().for_each(|who| bench.leave(*who));
            }
            let there: Vec<u16> = (0..N).filter(|who| !gone.contains(who)).collect();
            bench.run(&there);
            while bench.stage() != "settled" {
                assert!(silent, "{stage}: nobody who left is waited for");
                let here = bench.stage();
                bench.deadline();
                assert_ne!(bench.stage(), here, "{stage}: nobody is waited for beyond the deadline");
                bench.run(&there);
            }
            // Those that vanished after their updates are in the sum all the same.
            let early = matches!(stage, "advertising" | "sharing" | "collecting");
            if early {
                bench.assert_sum(there)
            } else {
                bench.assert_sum(0..N)
            }
            let dropped = if stage == "advertising" || !early { vec![] } else { gone.clone() };
            assert_eq!(bench.settled().dropped, indices(dropped), "{stage}");
            let told = if early { set(gone) } else { set([]) };
            assert_eq!(bench.told("Abort"), told, "{stage}: who fell behind is told");
        }
    }
}

#[test]
fn one_too_many_at_any_stage_ends_the_attempt_before_anybody_is_asked_for_more() {
    let forbidden: [(&str, &[&str]); 5] = [
        ("advertising", &["RoundRoster", "ForwardedShares", "Survivors", "Certificate"]),
        ("sharing", &["ForwardedShares", "Survivors", "Certificate"]),
        ("collecting", &["Survivors", "Certificate"]),
        ("certifying", &["Certificate"]),
        ("unmasking", &[]),
    ];
    for ((stage, allowance), (_, forbidden)) in ALLOWANCES.into_iter().zip(forbidden) {
        // They leave: the attempt ends with the one who is one too many, at once.
        let mut bench = Bench::up_to(N, stage);
        for who in 0..=allowance {
            assert_eq!(bench.stage(), stage);
            bench.leave(who);
        }
        let reason = bench.aborted().reason.clone();
        assert!(reason.contains("found") && reason.contains("left: merchant-0"), "{reason}");
        assert!(bench.told("Abort").is_superset(&set(allowance + 1..N)), "{stage}");
        // They are silent: it ends at the deadline.
        let mut silent = Bench::up_to(N, stage);
        for who in allowance + 1..N {
            silent.speak([who]);
        }
        assert_eq!(silent.stage(), stage);
        silent.deadline();
        let reason = silent.aborted().reason.clone();
        assert!(reason.contains("no answer from") && reason.contains("merchant-0"), "{stage}: {reason}");
        assert_eq!(silent.told("Abort"), set(0..N), "{stage}");
        for name in forbidden {
            assert_eq!((bench.told(name), silent.told(name)), (set([]), set([])), "{stage}: {name}");
        }
        assert_eq!(bench.aborted().blame, Blame::default());
    }
}

#[test]
fn nobody_signs_or_unmasks_when_too_few_would_be_left_to_finish() {
    // Four leave after their updates: eight are in the sum, but only six could sign.
    let mut bench = Bench::up_to(N, "collecting");
    bench.speak(0..N - 1);
    (0..3).for_each(|who| bench.leave(who));
    assert_eq!(bench.stage(), "collecting", "the tenth may still sign");
    bench.leave(N - 1);
    assert!(bench.aborted().reason.contains("expected at least 7 merchants to be there to sign"));
    assert_eq!(bench.told("Survivors"), set([]));
    // Six sign, five of whom leave: with the seventh signature there is a certificate, but nobody to unmask.
    let mut bench = Bench::up_to(N, "certifying");
    bench.speak(0..6);
    (0..3).for_each(|who| bench.leave(who));
    assert_eq!(bench.stage(), "certifying");
    bench.leave(3);
    assert!(bench.aborted().reason.contains("to be there to unmask"), "{}", bench.aborted().reason);
    assert_eq!(bench.told("Certificate"), set([]));
}

#[test]
fn whoever_declines_is_not_awaited_and_may_at_any_stage() {
    for (stage, allowance) in ALLOWANCES {
        let mut bench = Bench::up_to(N, stage);
        for who in 0..allowance {
            bench.decline(who, DeclineReason::Mismatch).expect("its right");
            let error = bench.decline(who, DeclineReason::Mismatch).expect_err("said already");
            assert!(matches!(error.fault, Fault::Repeated { .. }), "{error}");
        }
        assert_eq!(bench.stage(), stage);
        let there: Vec<u16> = (allowance..N).collect();
        bench.run(&there);
        assert_eq!(bench.stage(), "settled", "{stage}: nobody waits for who declined");
        assert_eq!(bench.told("Abort"), set([]), "they know");
        let mut bench = Bench::up_to(N, stage);
        (0..=allowance).for_each(|who| bench.decline(who, DeclineReason::Mismatch).expect("its right"));
        let reason = &bench.aborted().reason;
        assert!(reason.contains("merchant-0 declined: the offer differs"), "{reason}");
    }
}

#[test]
fn whoever_is_late_is_told_and_not_blamed() {
    let mut bench = Bench::new(N);
    let late = bench.next_of(9);
    bench.speak(0..9);
    bench.deadline();
    assert_eq!((bench.stage(), bench.told("Abort")), ("sharing", set([9])));
    let before = bench.round().clone();
    let also_late = bench.next_of(8);
    bench.say(9, late.message()).expect("slow, not bad");
    bench.speak(0..8);
    bench.deadline();
    assert_eq!((bench.stage(), bench.told("Abort")), ("collecting", set([8, 9])));
    assert_ne!(&before, bench.round());
    let before = bench.round().clone();
    bench.sent.clear();
    bench.say(8, also_late.message()).expect("slow, not bad");
    bench.say(9, late.message()).expect("slow, not bad");
    assert_eq!((bench.sent.as_slice(), bench.round()), (&[(8, "Abort"), (9, "Abort")][..], &before));
    bench.speak(0..8);
    // An update that met the deadline on its way.
    let header = UpdateHeader::sign(
        before.attempt().sid,
        Digest([0; 32]),
        guildhall_shared::tree_head::TreeHead::EMPTY,
        &key(9),
    );
    bench.sent.clear();
    bench.say(9, RoundMessage::Update { header, words: &[] }).expect("slow, not bad");
    assert_eq!(bench.sent, [(9, "refusing Receipt")]);
    // Signatures of those that the certificate did not wait for.
    let slow = bench.next_of(0);
    bench.speak(1..8);
    assert_eq!(bench.stage(), "unmasking");
    bench.sent.clear();
    bench.say(0, slow.message()).expect("slow, not bad");
    assert_eq!(bench.sent, []);
    // The certificate reached merchant 0 too.
    bench.speak(0..7);
    bench.assert_sum(0..8);
}

#[test]
fn an_abandoned_masked_attempt_is_aborted_whatever_its_stage() {
    for (stage, _) in ALLOWANCES {
        let mut bench = Bench::up_to(5, stage);
        let mut out = Vec::new();
        let round = bench.round.take().expect("a round").abandon("stopping", &mut out);
        bench.round = Some(round);
        bench.deliver(out);
        assert_eq!((bench.aborted().reason.as_str(), bench.told("Abort")), ("stopping", set(0..5)));
    }
}

#[test]
fn an_ended_attempt_takes_nothing_any_more() {
    for n in [3, 5] {
        let mut bench = Bench::up_to(n, "unmasking");
        let last = bench.next_of(n - 1);
        bench.leave(n - 1);
        if n == 5 {
            bench.speak(0..4);
        }
        assert!(matches!(bench.stage(), "settled" | "aborted"));
        let error = bench.say(n - 1, last.message()).expect_err("over");
        assert!(matches!(error.fault, Fault::Phase { .. }));
    }
}

#[test]
fn the_numbers_of_these_tests_are_the_numbers_of_the_rule() {
    let secagg = offer_and_attempt(N).0.parameters.secagg.expect("masked");
    assert_eq!((secagg.threshold as usize, secagg.survivors_min as usize), (THRESHOLD, SURVIVORS_MIN));
}
