//! Who is to blame: complaints, wrong shares, bad dealing.

use super::*;

#[test]
fn complaints_let_both_sides_sit_out_and_end_the_complainers_part() {
    let mut bench = Bench::up_to(N, "collecting");
    let complaint = bench.merchants[4].complaint(6);
    let forged = bench.merchants[3].complaint(6);
    bench.say(4, RoundMessage::Complaint(forged)).expect_err("signed by another");
    bench.say(4, RoundMessage::Complaint(complaint.clone())).expect("its right");
    bench.say(4, RoundMessage::Complaint(complaint)).expect_err("once");
    let update = bench.next_of(4);
    bench.say(4, update.message()).expect_err("it takes no further part");
    bench.speak((0..N).filter(|who| *who != 4));
    assert_eq!(bench.stage(), "certifying", "it is not awaited");
    bench.speak((0..N).filter(|who| *who != 4).take(THRESHOLD));
    bench.speak((0..N).filter(|who| *who != 4).take(THRESHOLD));
    bench.assert_sum((0..N).filter(|who| *who != 4));
    let blame = &bench.settled().blame;
    assert_eq!(blame.sitting_out, indices([4, 6]));
    assert_eq!(blame.complaints, [Accusation { about: MerchantIndex(6), by: MerchantIndex(4) }].into());
    // The third complaint puts eight updates out of reach.
    let mut bench = Bench::up_to(N, "collecting");
    for who in 0..3u16 {
        assert_eq!(bench.stage(), "collecting");
        let complaint = bench.merchants[usize::from(who)].complaint(6);
        bench.say(who, RoundMessage::Complaint(complaint)).expect("its right");
    }
    assert!(bench.aborted().reason.contains("merchant-2 declined: it complained"));
    assert_eq!(bench.aborted().blame.sitting_out, indices([0, 1, 2, 6]));
    assert_eq!(bench.told("Survivors"), set([]));
}

#[test]
fn whoever_complained_and_goes_on_all_the_same_is_refused_at_every_later_stage() {
    for stage in ["collecting", "certifying", "unmasking"] {
        let mut bench = Bench::up_to(5, "collecting");
        let complaint = bench.merchants[0].complaint(1);
        bench.say(0, RoundMessage::Complaint(complaint)).expect("its right");
        while bench.stage() != stage {
            let here = bench.stage();
            (1..5).for_each(|who| {
                if bench.stage() == here {
                    bench.speak([who])
                }
            });
            assert_ne!(bench.stage(), here);
        }
        let update = bench.next_of(0);
        let error = bench.say(0, update.message()).expect_err("it said that it does not go on");
        assert!(matches!(error.fault, Fault::Repeated { .. }), "{stage}: {error}");
        bench.run(&[1, 2, 3, 4]);
        bench.assert_sum(1..5);
    }
}

#[test]
fn a_wrong_share_names_its_sender_and_does_not_spoil_the_sum() {
    for (n, settles) in [(N, true), (3, false)] {
        let mut bench = Bench::up_to(n, "unmasking");
        let Said::Unmask(mut unmask) = bench.next_of(1) else { panic!("unmasks") };
        unmask.seeds[0].value[5] ^= 1;
        let digest = survivors_digest(&bench, n);
        unmask.signature =
            transcript::sign_unmask(&unmask.sid, &digest, &unmask.seeds, &unmask.mask_keys, &key(1));
        bench.say(1, RoundMessage::Unmask(unmask)).expect("signed, so it counts as its answer");
        let others: Vec<u16> = (0..n).filter(|who| *who != 1).collect();
        bench.run(&others);
        let blame = match bench.round() {
            Round::Settled(settled) => settled.blame.clone(),
            Round::Aborted(aborted) => aborted.blame.clone(),
            other => panic!("an end, found {other:?}"),
        };
        assert_eq!(bench.stage() == "settled", settles);
        if settles {
            bench.assert_sum(0..n);
        } else {
            let reason = &bench.aborted().reason;
            assert!(reason.contains("3 good shares of merchant merchant-0, found 2"), "{reason}");
        }
        let culprit = Culprit { merchant: MerchantIndex(1), misdeed: Misdeed::WrongShare };
        assert_eq!(blame.culprits, [culprit].into());
    }
}

/// What everybody signs, where everybody survived.
fn survivors_digest(bench: &Bench, n: u16) -> Digest {
    // Rebuilt from a second bench, for this one's merchants have handed their messages over.
    let mut again = Bench::new(n);
    let sid = again.round().attempt().sid;
    let keys: Vec<_> = (0..n)
        .map(|who| {
            let Said::Advertise(message) = again.next_of(who) else { panic!("advertises") };
            again.say(who, RoundMessage::Advertise(message.clone())).expect("good");
            MemberKeys {
                merchant: MerchantIndex(who),
                encryption_key: message.encryption_key,
                mask_key: message.mask_key,
                signature: message.signature,
            }
        })
        .collect();
    again.speak(0..n);
    let members: Vec<MerchantIndex> = (0..n).map(MerchantIndex).collect();
    let transcript = Transcript {
        sid,
        roster: transcript::roster_digest(&sid, &keys),
        members: transcript::members_digest(&sid, &members),
    };
    let updates: Vec<SignedUpdate> = (0..n)
        .map(|who| match again.next_of(who) {
            Said::Update(header, _) => {
                SignedUpdate { merchant: MerchantIndex(who), hash: header.hash, head: header.head }
            }
            other => panic!("an update, found {other:?}"),
        })
        .collect();
    assert_eq!(bench.round().attempt().sid, sid);
    transcript::survivors_digest(&transcript, &updates)
}

#[test]
fn a_dealer_of_something_else_than_it_committed_itself_to_is_named_and_there_is_no_sum() {
    let mut bench = Bench::new(5);
    let mut keys = Vec::new();
    for who in 0..5 {
        let Said::Advertise(message) = bench.next_of(who) else { panic!("advertises") };
        keys.push(MemberKeys {
            merchant: MerchantIndex(who),
            encryption_key: message.encryption_key,
            mask_key: message.mask_key,
            signature: message.signature,
        });
        bench.say(who, RoundMessage::Advertise(message)).expect("good");
    }
    for who in 0..5 {
        let Said::Shares(mut shares) = bench.next_of(who) else { panic!("deals") };
        if who == 3 {
            let sid = shares.sid;
            let roster = transcript::roster_digest(&sid, &keys);
            let wrong = Digest([7; 32]);
            shares = transcript::sign_shares(&sid, &roster, wrong, shares.own, shares.shares, &key(3));
        }
        bench.say(who, RoundMessage::Shares(Box::new(shares))).expect("nobody can tell yet");
    }
    bench.speak(0..5);
    bench.speak(0..4);
    bench.speak(0..4);
    let aborted = bench.aborted();
    assert!(aborted.reason.contains("merchant-3 dealt shares of something else"), "{}", aborted.reason);
    let culprit = Culprit { merchant: MerchantIndex(3), misdeed: Misdeed::BadDealing };
    assert_eq!(aborted.blame.culprits, [culprit].into());
}
