//! Jobs of masked rounds: new attempts after aborts, words that cross the end, who sits out.

use guildhall_shared::message::DeclineReason;

use super::*;
use crate::round::tests::merchant::{Merchant, Said, value};
use crate::round::{Accusation, Blame, Culprit, Misdeed};

/// A coordinator and the merchants of its roster.
struct Market {
    bench: Bench,
    merchants: Vec<Merchant>,
    events: Vec<Event>,
    releases: Vec<Release>,
    offers: Vec<(u16, Offer)>,
    sent: Vec<(u16, &'static str)>,
}

impl Market {
    fn new(merchants: u16, rounds: u32) -> Self {
        let bench = Bench::resumed(merchants, rounds, 1, |mut progress| {
            progress.spec.round.aggregation = Aggregation::Masked;
            progress.parameters =
                RoundParameters::derive(&progress.spec, u32::from(merchants)).expect("enough merchants");
            progress
        });
        let people = (0..merchants).map(|i| Merchant::new(i, key(i), Arc::clone(&bench.roster))).collect();
        let (events, releases, offers, sent) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut market = Market { bench, merchants: people, events, releases, offers, sent };
        market.bench.join_ready(0..merchants);
        market.deliver();
        market
    }

    fn deliver(&mut self) {
        for output in std::mem::take(&mut self.bench.out) {
            let (to, message) = match output {
                Output::Send { to, message } => (BTreeSet::from([to]), message),
                Output::Broadcast { to, message } => (to, message),
                Output::Event(event) => {
                    self.events.push(event);
                    continue;
                }
                Output::Release(release) => {
                    self.releases.push(*release);
                    continue;
                }
                _ => continue,
            };
            for to in to {
                self.sent.push((to.0, message.name()));
                if let ServerMessage::Offer(offer) = &message {
                    self.offers.push((to.0, offer.clone()));
                }
                self.merchants[usize::from(to.0)].hear(message.clone());
            }
        }
    }

    fn say(&mut self, who: u16, message: RoundMessage<'_>) -> Result<(), CoordinatorError> {
        let verdict = self.bench.feed(Input::Message { from: MerchantIndex(who), message });
        self.deliver();
        verdict
    }

    fn next_of(&mut self, who: u16) -> Said {
        self.merchants[usize::from(who)].speak().expect("something to say")
    }

    /// Each of them says one thing, if it has anything to say.
    fn speak(&mut self, who: impl IntoIterator<Item = u16>) {
        for who in who {
            if let Some(said) = self.merchants[usize::from(who)].speak() {
                self.say(who, said.message()).expect("good, or late");
            }
        }
    }

    /// A whole round among these.
    fn settle(&mut self, who: &[u16]) {
        let releases = self.releases.len();
        for _ in 0..8 {
            self.speak(who.iter().copied());
        }
        assert_eq!(self.releases.len(), releases + 1, "{:?}", self.events);
    }

    fn ready(&mut self) {
        (0..self.merchants.len() as u16).for_each(|who| self.bench.ready(who));
        self.deliver();
    }

    /// Goes on until the next attempt is offered; returns to whom, and the offer.
    fn next_offers(&mut self) -> (Vec<u16>, Offer) {
        for _ in 0..3 {
            if self.offers.is_empty() {
                self.bench.wake();
                self.deliver();
            }
        }
        let offers = std::mem::take(&mut self.offers);
        (offers.iter().map(|(to, _)| *to).collect(), offers[0].1.clone())
    }

    fn decline(&mut self, who: u16, sid: Digest) -> Result<(), CoordinatorError> {
        self.say(who, RoundMessage::Decline(Decline { sid, reason: DeclineReason::Policy }))
    }

    fn abort_reason(&self) -> String {
        let reason = |event: &Event| match event {
            Event::RoundAborted { reason, .. } => Some(reason.clone()),
            _ => None,
        };
        self.events.iter().rev().find_map(reason).expect("an abort")
    }

    fn sitting_out(&self) -> Vec<(Vec<String>, String)> {
        let event = |event: &Event| match event {
            Event::SittingOut { merchants, reason, .. } => {
                Some((merchants.iter().map(Name::to_string).collect(), reason.clone()))
            }
            _ => None,
        };
        self.events.iter().filter_map(event).collect()
    }

    fn misbehaved(&self) -> Vec<String> {
        let event = |event: &Event| match event {
            Event::Misbehaved { merchant, .. } => Some(merchant.to_string()),
            _ => None,
        };
        self.events.iter().filter_map(event).collect()
    }
}

#[test]
fn a_masked_round_goes_through_its_stages_and_is_released_like_any_other() {
    let mut market = Market::new(5, 2);
    market.settle(&[0, 1, 2, 3, 4]);
    let stages: Vec<(&str, u32)> = market
        .events
        .iter()
        .filter_map(|event| match event {
            Event::RoundStage { round: 0, attempt: 0, stage, merchants } => Some((*stage, *merchants)),
            _ => None,
        })
        .collect();
    let expected =
        ["advertising", "sharing", "collecting", "certifying", "unmasking"].map(|stage| (stage, 5));
    assert_eq!(stages, expected);
    assert!(
        market
            .events
            .iter()
            .any(|e| matches!(e, Event::RoundStarted { participants, .. } if participants.len() == 5))
    );
    assert_eq!(market.events.iter().filter(|e| matches!(e, Event::UpdateAdded { .. })).count(), 5);
    let release = &market.releases[0];
    let mut sum = RingVector::zero(market.bench.job().parameters().ring, D);
    sum.add_bytes(&release.words).expect("the right length");
    let plain: Vec<i64> = (0..D).map(|place| (0..5).map(|who| value(who, place)).sum()).collect();
    assert_eq!(sum.centred(), plain);
    assert_eq!((release.merchants.len(), release.dropped.len()), (5, 0));
    assert_eq!(release.header.verify(&IdentityKey::from_secret(&[99; 32]).public()), Ok(()));
    assert!(release.privacy.contains("NO PRIVACY: masked sum"), "{}", release.privacy);
}

#[test]
fn updates_of_a_masked_attempt_are_expected_of_its_dealers() {
    let mut market = Market::new(5, 1);
    market.speak(0..5);
    assert_eq!(market.bench.coordinator.expected_update(), None, "no shares yet");
    market.speak(0..4);
    market.bench.wake();
    market.deliver();
    let expected = market.bench.coordinator.expected_update().expect("collecting");
    assert_eq!(expected.participants.len(), 4);
    assert_eq!(expected.vector_bytes, D * market.bench.job().parameters().ring.bytes());
    market.settle(&[0, 1, 2, 3]);
    assert_eq!(market.releases[0].dropped, [Name::new("merchant-4").expect("legal")]);
    assert_eq!(market.bench.coordinator.expected_update(), None);
}

#[test]
fn every_masked_attempt_has_a_session_of_its_own_and_the_third_abort_is_explained() {
    let mut market = Market::new(3, 1);
    let mut sessions = BTreeSet::new();
    for attempt in 0..4 {
        let (to, offer) = market.next_offers();
        assert_eq!((to.len(), offer.round), (3, RoundId { round: 0, attempt }));
        assert!(sessions.insert(offer.nonce) && sessions.insert(offer.sid().0));
        market.speak([0, 1]);
        market.decline(2, offer.sid()).expect("its right");
        let reason = market.abort_reason();
        assert!(reason.contains("found 2; merchant-2 declined"), "{reason}");
        assert_eq!(reason.contains("attempts of this round so far"), attempt >= 2, "{reason}");
    }
    market.next_offers();
    market.settle(&[0, 1, 2]);
    assert_eq!(market.releases[0].header.round.attempt, 4);
}

#[test]
fn words_that_cross_the_end_of_an_attempt_are_no_fault() {
    let mut market = Market::new(5, 3);
    let (_, first) = market.next_offers();
    market.speak(0..5);
    market.speak(0..5);
    market.speak(0..5);
    market.speak(0..4);
    let slow = market.next_of(4);
    market.speak(0..4);
    assert_eq!(market.releases.len(), 1, "four of five are enough to sign and to unmask");
    market.sent.clear();
    market.say(4, slow.message()).expect("its signature is late");
    let unmask = market.next_of(4);
    market.say(4, unmask.message()).expect("its shares are late");
    market.decline(4, first.sid()).expect("no matter");
    // While the next attempt runs, too.
    market.ready();
    let (_, second) = market.next_offers();
    assert_ne!(first.sid(), second.sid());
    market.sent.clear();
    market.say(4, unmask.message()).expect("its shares are late");
    assert_eq!(market.sent, []);
    // Who may wait for an answer gets one.
    let late = market.next_of(4);
    market.speak(0..4);
    (0..2).for_each(|who| {
        market.bench.feed(Input::Left(MerchantIndex(who))).expect("no message");
    });
    market.deliver();
    market.sent.clear();
    market.say(4, late.message()).expect("late");
    assert_eq!(market.sent, [(4, "Abort")]);
    let update =
        |sid| UpdateHeader::sign(sid, Digest([0; 32]), guildhall_shared::tree_head::TreeHead::EMPTY, &key(4));
    let late = RoundMessage::Update { header: update(second.sid()), words: &[] };
    market.say(4, late).expect("late");
    assert_eq!(market.sent, [(4, "Abort"), (4, "Receipt")]);
    // An attempt nobody knows is another matter.
    market.decline(4, Digest([1; 32])).expect_err("no such attempt");
    let unknown = RoundMessage::Update { header: update(Digest([1; 32])), words: &[] };
    market.say(4, unknown).expect_err("no such attempt");
}

/// Everybody deals; these complain about others; the rest go on as far as they can.
fn complain(market: &mut Market, complaints: &[(u16, u16)]) {
    let everybody = 0..market.merchants.len() as u16;
    market.speak(everybody.clone());
    market.speak(everybody.clone());
    for (by, about) in complaints {
        let complaint = market.merchants[usize::from(*by)].complaint(*about);
        market.say(*by, RoundMessage::Complaint(complaint)).expect("its right, even late");
    }
    let others: Vec<u16> = everybody.filter(|who| complaints.iter().all(|(by, _)| by != who)).collect();
    for _ in 0..8 {
        // Once the attempt has ended there is nothing to go on with.
        if matches!(market.bench.coordinator.phase, Phase::Running { .. }) {
            market.speak(others.iter().copied());
        }
    }
}

#[test]
fn complaints_let_both_sides_sit_out_one_attempt() {
    let mut market = Market::new(10, 3);
    market.next_offers();
    complain(&mut market, &[(4, 6)]);
    assert_eq!(market.releases.len(), 1, "the round settles without the complainer");
    market.ready();
    let (to, _) = market.next_offers();
    assert_eq!(to, [0, 1, 2, 3, 5, 7, 8, 9]);
    let (names, reason) = market.sitting_out().remove(0);
    assert_eq!(
        (names.join(" "), reason.contains("should sit out too")),
        ("merchant-4 merchant-6".into(), false)
    );
    market.settle(&to);
    market.ready();
    let (to, _) = market.next_offers();
    assert_eq!(to.len(), 10, "back again");
    assert_eq!((market.sitting_out().len(), market.misbehaved().len()), (1, 0));
}

#[test]
fn where_not_everybody_can_be_spared_the_most_accused_sits_out_first() {
    let mut market = Market::new(10, 3);
    market.next_offers();
    complain(&mut market, &[(0, 6), (1, 6), (2, 6)]);
    assert!(market.abort_reason().contains("merchant-1 declined: it complained"));
    let (to, _) = market.next_offers();
    assert_eq!(to, [0, 1, 2, 3, 4, 5, 7, 8, 9]);
    let (names, reason) = market.sitting_out().remove(0);
    assert_eq!(names, ["merchant-6"]);
    assert!(reason.contains("merchant-0, merchant-1, merchant-2 should sit out too"), "{reason}");
    // Of three merchants nobody can be spared, whatever they did.
    let mut market = Market::new(3, 1);
    market.next_offers();
    let culprit = Culprit { merchant: MerchantIndex(1), misdeed: Misdeed::WrongShare };
    let blame = Blame { culprits: [culprit].into(), ..Blame::default() };
    market.bench.coordinator.blame(RoundId { round: 0, attempt: 0 }, &blame, &mut market.bench.out);
    complain(&mut market, &[(0, 2)]);
    let (to, _) = market.next_offers();
    assert_eq!(to.len(), 3);
    let (names, reason) = market.sitting_out().remove(0);
    assert_eq!(names, Vec::<String>::new());
    assert!(reason.contains("merchant-0, merchant-1, merchant-2 should sit out too"), "{reason}");
    assert_eq!(market.misbehaved(), ["merchant-1"]);
}

#[test]
fn whoever_more_peers_complain_about_than_may_collude_stays_out_and_its_accusers_do_not() {
    let mut market = Market::new(10, 3);
    market.next_offers();
    // Three may collude. The third complaint ends the attempt, the fourth crosses its end and convicts.
    complain(&mut market, &[(0, 6), (1, 6), (2, 6)]);
    assert_eq!(market.misbehaved(), Vec::<String>::new());
    let forged = market.merchants[3].complaint(6);
    market.say(5, RoundMessage::Complaint(forged.clone())).expect("ignored: another signed it");
    assert_eq!(market.misbehaved(), Vec::<String>::new());
    market.say(3, RoundMessage::Complaint(forged)).expect("late");
    assert_eq!(market.misbehaved(), ["merchant-6"]);
    let others = [0, 1, 2, 3, 4, 5, 7, 8, 9];
    for _ in 0..3 {
        let (to, _) = market.next_offers();
        assert_eq!(to, others);
        market.settle(&others);
        market.ready();
    }
    assert_eq!(market.misbehaved().len(), 1, "said once");
}

#[test]
fn the_bound_of_what_may_collude_is_not_reached_by_one_merchant_alone() {
    let mut market = Market::new(5, 3);
    let blame = |by: u16| Blame {
        complaints: [Accusation { about: MerchantIndex(2), by: MerchantIndex(by) }].into(),
        ..Blame::default()
    };
    // One may collude: the same accuser again and again convicts nobody, a second one does.
    for _ in 0..5 {
        market.bench.coordinator.blame(RoundId { round: 0, attempt: 0 }, &blame(0), &mut market.bench.out);
    }
    market.deliver();
    assert_eq!(market.misbehaved(), Vec::<String>::new());
    market.bench.coordinator.blame(RoundId { round: 0, attempt: 0 }, &blame(4), &mut market.bench.out);
    market.deliver();
    assert_eq!(market.misbehaved(), ["merchant-2"]);
}
