//! Masked attempts: the whole way, wrong contents, refunds before the commitment and debits after it.

use guildhall_shared::message::{
    Abort, Certificate, ClientMessage, DeclineReason, ForwardedShares, RoundRoster, ServerMessage, Survivors,
};
use guildhall_shared::secagg::client::Breach;

use super::masked_round::contribution;
use super::*;

fn roster(attempt: &mut MaskedRound, shell: &Shell) -> RoundRoster {
    match attempt.next(shell) {
        Some(ServerMessage::RoundRoster(roster)) => roster,
        other => panic!("{other:?}"),
    }
}

fn forwarded(attempt: &mut MaskedRound, shell: &Shell) -> ForwardedShares {
    match attempt.next(shell) {
        Some(ServerMessage::ForwardedShares(forwarded)) => forwarded,
        other => panic!("{other:?}"),
    }
}

fn survivors(attempt: &mut MaskedRound, shell: &Shell) -> Survivors {
    match attempt.next(shell) {
        Some(ServerMessage::Survivors(survivors)) => survivors,
        other => panic!("{other:?}"),
    }
}

fn certificate(attempt: &mut MaskedRound, shell: &Shell) -> Certificate {
    match attempt.next(shell) {
        Some(ServerMessage::Certificate(certificate)) => certificate,
        other => panic!("{other:?}"),
    }
}

fn sum_of(merchants: &[MerchantIndex]) -> Vec<i64> {
    let of = |merchant: &MerchantIndex| {
        if *merchant == server::OWN { Shell::CONTRIBUTION } else { contribution(*merchant) }
    };
    (0..3).map(|i| merchants.iter().map(|merchant| of(merchant)[i]).sum()).collect()
}

#[test]
fn a_whole_masked_round_is_one_vector_one_certificate_one_unmasking_and_the_plain_sum() {
    let (mut server, mut shell, offer, mut attempt) = advertised();
    assert_eq!((shell.count("Advertise"), shell.count("Accept")), (1, 0));
    go_on(&mut attempt, &mut shell, 1);
    let forwarded = attempt.next(&shell).unwrap();
    shell.hear(forwarded).unwrap();
    assert_eq!(shell.uploads, vec![], "not before the slot");
    shell.wake_at(shell.now_ms + server.job.round.upload_slot_ms);
    assert_eq!(shell.uploads, vec![offer.sid()]);
    go_on(&mut attempt, &mut shell, 2);
    assert_eq!(shell.stages(), AttemptStage::ALL);
    let (sum, contributors) = attempt.finish(&shell);
    assert_eq!(contributors.len(), 5);
    assert_eq!(sum, sum_of(&contributors));
    let (header, words) = server.settle_with(&offer, &sum, &contributors);
    shell.result(header.clone(), words).unwrap();
    assert_eq!(
        shell.settled,
        vec![(
            offer.sid(),
            Outcome::Contributed {
                version: 1,
                model: header.model,
                survivors: header.contributors.len() as u32
            }
        )]
    );
    assert_eq!(shell.stored.get(&1), Some(&header.model));
    assert_eq!(shell.refunded, vec![]);
}

#[test]
fn a_merchant_that_vanishes_after_the_shares_is_unmasked_by_the_rest() {
    let (_, mut shell, _, mut attempt) = advertised();
    go_on(&mut attempt, &mut shell, 1);
    attempt.gone.insert(MerchantIndex(4));
    go_on(&mut attempt, &mut shell, 3);
    let Some(ClientMessage::Unmask(unmask)) = shell.sent.last() else { panic!("{:?}", shell.sent.last()) };
    assert_eq!((unmask.seeds.len(), unmask.mask_keys.len()), (4, 1));
    let (sum, contributors) = attempt.finish(&shell);
    assert_eq!((contributors.len(), &sum), (4, &sum_of(&contributors)));
}

#[test]
fn a_broken_round_roster_gives_the_budget_back_and_tells_the_server() {
    type Change = fn(&mut RoundRoster);
    let changes: [(&str, Change); 5] = [
        ("too few", |m| m.members.truncate(2)),
        ("own entry missing", |m| m.members.retain(|member| member.merchant != server::OWN)),
        ("own key changed", |m| m.members[1].mask_key.0[0] ^= 1),
        ("another's key changed", |m| m.members[3].encryption_key.0[0] ^= 1),
        ("a key twice", |m| m.members[3].mask_key = m.members[2].mask_key),
    ];
    for (what, change) in changes {
        let (server, mut shell, offer, mut attempt) = advertised();
        let honest = roster(&mut attempt, &shell);
        let mut broken = honest.clone();
        change(&mut broken);
        let refused = shell.hear(broken).unwrap_err();
        assert!(matches!(refused, Refused::Breach(_)) && !refused.ends_session(), "{what}: {refused:?}");
        assert_eq!(shell.refunded, vec![offer.sid()], "{what}");
        assert_eq!(shell.last_decline(), Some(DeclineReason::Mismatch), "{what}");
        // The keys are gone: the honest message comes too late, and the next attempt has keys of its own.
        assert!(matches!(shell.hear(honest), Err(Refused::OtherAttempt { .. })), "{what}");
        assert_eq!(shell.count("Shares"), 0, "{what}");
        takes_part_in_the_next(&server, &mut shell);
    }
}

fn takes_part_in_the_next(server: &Server, shell: &mut Shell) {
    let (_, mut next) = offer(server, shell, round(0, 1));
    go_on(&mut next, shell, 4);
    assert_eq!(shell.count("Unmask"), 1);
}

#[test]
fn an_unusable_share_is_complained_about_and_the_budget_given_back() {
    type Change = fn(&mut ForwardedShares);
    let changes: [(Change, Option<MerchantIndex>); 5] = [
        (|m| m.shares[0].sealed.seed[0] ^= 1, Some(MerchantIndex(0))),
        (|m| m.shares[3].hashes.seed.0[0] ^= 1, Some(MerchantIndex(4))),
        (|m| m.members.truncate(3), None),
        (|m| m.shares.truncate(3), None),
        (|m| m.members.retain(|member| *member != server::OWN), None),
    ];
    for (index, (change, about)) in changes.into_iter().enumerate() {
        let (server, mut shell, offer, mut attempt) = advertised();
        go_on(&mut attempt, &mut shell, 1);
        let honest = forwarded(&mut attempt, &shell);
        let mut broken = honest.clone();
        change(&mut broken);
        assert!(matches!(shell.hear(broken), Err(Refused::Breach(_))), "{index}");
        assert_eq!(shell.refunded, vec![offer.sid()]);
        match about {
            Some(about) => {
                let Some(ClientMessage::Complaint(complaint)) = shell.sent.last() else { panic!("{index}") };
                assert_eq!(complaint.about, about);
            }
            None => assert_eq!(shell.last_decline(), Some(DeclineReason::Mismatch), "{index}"),
        }
        assert!(matches!(shell.hear(honest), Err(Refused::OtherAttempt { .. })));
        assert_eq!(shell.trains.len(), 0);
        takes_part_in_the_next(&server, &mut shell);
    }
}

#[test]
fn survivors_that_break_the_rules_end_the_attempt_and_its_debit_stays() {
    type Change = fn(&mut Survivors);
    let changes: [(&str, Change); 5] = [
        ("m_min - 1", |m| m.updates.truncate(3)),
        ("without this merchant", |m| m.updates.retain(|update| update.merchant != server::OWN)),
        ("own hash changed", |m| m.updates[1].hash.0[0] ^= 1),
        ("a survivor who sent something else", |m| m.updates[2].hash.0[0] ^= 1),
        ("a forged signature", |m| m.updates[2].signature = m.updates[3].signature),
    ];
    for (what, change) in changes {
        let (server, mut shell, offer, mut attempt) = advertised();
        go_on(&mut attempt, &mut shell, 2);
        let honest = survivors(&mut attempt, &shell);
        let mut broken = honest.clone();
        change(&mut broken);
        let said = shell.sent.len();
        assert!(matches!(shell.hear(broken), Err(Refused::Breach(_))), "{what}");
        assert_eq!(shell.settled, vec![(offer.sid(), Outcome::Aborted)], "{what}");
        assert!(matches!(shell.hear(honest), Err(Refused::OtherAttempt { .. })), "{what}: no second try");
        assert_eq!((shell.sent.len(), shell.refunded.len()), (said, 0), "{what}");
        takes_part_in_the_next(&server, &mut shell);
    }
}

#[test]
fn nothing_is_revealed_without_a_good_certificate() {
    type Change = fn(&mut Certificate);
    let changes: [(&str, Change); 3] = [
        ("t - 1", |m| m.signatures.truncate(3)),
        ("a forged signature", |m| m.signatures[0].signature = m.signatures[2].signature),
        ("one signature twice", |m| m.signatures[1] = m.signatures[0].clone()),
    ];
    for (what, change) in changes {
        let (server, mut shell, offer, mut attempt) = advertised();
        go_on(&mut attempt, &mut shell, 3);
        let honest = certificate(&mut attempt, &shell);
        let mut broken = honest.clone();
        change(&mut broken);
        assert!(matches!(shell.hear(broken), Err(Refused::Breach(_))), "{what}");
        assert_eq!(shell.settled, vec![(offer.sid(), Outcome::Aborted)], "{what}");
        assert!(matches!(shell.hear(honest), Err(Refused::OtherAttempt { .. })), "{what}");
        assert_eq!(shell.count("Unmask"), 0, "{what}");
        takes_part_in_the_next(&server, &mut shell);
    }
}

#[test]
fn a_breach_is_named_to_the_merchant() {
    let (_, mut shell, _, mut attempt) = advertised();
    go_on(&mut attempt, &mut shell, 2);
    let mut broken = survivors(&mut attempt, &shell);
    broken.updates.truncate(3);
    let refused = shell.hear(broken).unwrap_err();
    let named = Refused::Breach(Breach::TooFew { message: "Survivors", expected: 4, found: 3 });
    assert_eq!(refused, named);
    let told = |report: &Report| matches!(report, Report::AttemptEnded { reason, .. } if reason.contains("at least 4 merchants, found 3"));
    assert!(shell.reports.iter().any(told), "{:?}", shell.reports);
}

#[test]
fn aborts_and_lost_links_refund_before_the_commit_and_settle_after_it() {
    for messages in 0..=4 {
        for link in [false, true] {
            let (_, mut shell, offer, mut attempt) = advertised();
            go_on(&mut attempt, &mut shell, messages);
            if link {
                shell.disconnect();
            } else {
                shell.hear(Abort { sid: offer.sid(), reason: "too few".into() }).unwrap();
            }
            let expected: (&[Digest], &[(Digest, Outcome)]) = match messages {
                0 | 1 => (&[offer.sid()], &[]),
                _ => (&[], &[(offer.sid(), Outcome::Aborted)]),
            };
            assert_eq!((&*shell.refunded, &*shell.settled), expected, "{messages} {link}");
            if let (false, Some(late)) = (link, attempt.next(&shell)) {
                assert!(matches!(shell.hear(late), Err(Refused::OtherAttempt { .. })), "{messages}");
            }
        }
    }
}

#[test]
fn an_abort_while_training_refunds_and_uploads_nothing() {
    let (_, mut shell, offer, mut attempt) = advertised();
    shell.hold_training = true;
    go_on(&mut attempt, &mut shell, 2);
    shell.hear(Abort { sid: offer.sid(), reason: "too few".into() }).unwrap();
    shell.finish_training();
    assert_eq!((shell.committed.len(), &*shell.refunded), (0, &[offer.sid()][..]));
}

#[test]
fn without_randomness_the_budget_is_given_back() {
    let (server, mut shell) = ready_for(Server::new(masked_job()));
    shell.without_entropy = true;
    let first = server.offer(round(0, 0));
    shell.hear(first.clone()).unwrap();
    assert_eq!((&*shell.refunded, shell.accepts()), (&[first.sid()][..], 0));
    assert_eq!(shell.last_decline(), Some(DeclineReason::Storage));
    shell.without_entropy = false;
    takes_part_in_the_next(&server, &mut shell);
    // … and where the noise cannot be drawn.
    let (_, mut shell, offer, mut attempt) = advertised();
    shell.hold_training = true;
    go_on(&mut attempt, &mut shell, 2);
    shell.feed(Input::Impossible { sid: offer.sid(), reason: "no entropy".into() }).unwrap();
    assert_eq!(shell.refunded, vec![offer.sid()]);
    assert_eq!(shell.last_decline(), Some(DeclineReason::Storage));
}

#[test]
fn a_new_offer_ends_the_attempt_before_and_its_keys_answer_nothing() {
    for messages in 0..=3 {
        let (server, mut shell, _, mut attempt) = advertised();
        go_on(&mut attempt, &mut shell, messages);
        let pending = attempt.next(&shell).unwrap();
        let (_, mut next) = offer(&server, &mut shell, round(0, 1));
        assert!(matches!(shell.hear(pending), Err(Refused::OtherAttempt { .. })), "{messages}");
        go_on(&mut next, &mut shell, 4);
        assert_eq!(shell.uploads.len(), if messages < 2 { 1 } else { 2 });
        assert_eq!(shell.count("Unmask"), 1);
    }
}

#[test]
fn a_restart_after_the_commit_never_masks_again() {
    let (server, mut shell, offer, mut attempt) = advertised();
    go_on(&mut attempt, &mut shell, 2);
    assert_eq!(shell.uploads, vec![offer.sid()]);
    shell.restart(&server);
    let said = shell.sent.len();
    let pending = attempt.next(&shell).unwrap();
    assert!(matches!(shell.hear(pending), Err(Refused::OtherAttempt { .. })));
    assert_eq!(shell.sent.len(), said);
    shell.hear(offer).unwrap();
    assert_eq!(shell.last_decline(), Some(DeclineReason::Stale));
    assert_eq!((shell.count("Advertise"), shell.trains.len()), (1, 1));
    takes_part_in_the_next(&server, &mut shell);
}

#[test]
fn a_result_of_other_merchants_than_were_certified_stops_the_job() {
    for live in [true, false] {
        for honest in [true, false] {
            let (mut server, mut shell, offer, mut attempt) = advertised();
            go_on(&mut attempt, &mut shell, 4);
            let (sum, mut contributors) = attempt.finish(&shell);
            if !honest {
                contributors.pop();
            }
            if !live {
                // The attempt is over for this client; it remembers what it signed all the same.
                shell.disconnect();
                shell.connect();
                shell.hear(server.welcome()).unwrap();
                shell.hear(server.announcement()).unwrap();
            }
            let (header, words) = server.settle_with(&offer, &sum, &contributors);
            shell.result(header, words).unwrap();
            assert_eq!(shell.is_stopped(), !honest, "live {live}");
            assert_eq!(shell.stored.contains_key(&1), honest);
        }
    }
}

#[test]
fn a_result_of_fewer_than_m_min_stops_the_job() {
    let (mut server, mut shell) = ready_for(Server::new(masked_job()));
    let offer = server.offer(round(0, 0));
    let (header, words) = server.settle_with(&offer, &[1, 2, 3], &[0, 2, 3].map(MerchantIndex));
    shell.result(header, words).unwrap();
    assert!(shell.is_stopped());
}

#[test]
fn a_round_that_settles_without_the_certificate_reaching_this_merchant_is_a_good_one() {
    let (mut server, mut shell, offer, mut attempt) = advertised();
    go_on(&mut attempt, &mut shell, 2);
    // The others certify and unmask; this merchant is slow.
    let _ = (attempt.next(&shell), attempt.next(&shell));
    let (sum, contributors) = attempt.sum(None);
    assert_eq!(sum, sum_of(&contributors));
    let (header, words) = server.settle_with(&offer, &sum, &contributors);
    shell.result(header, words).unwrap();
    assert!(matches!(shell.settled[..], [(_, Outcome::Contributed { version: 1, .. })]));
}

#[test]
fn what_is_trained_from_is_what_was_offered_whatever_comes_between() {
    let (mut server, mut shell) = ready_for(Server::new(masked_job()));
    for r in 0..2 {
        let (header, words) = server.settle(&server.offer(round(r, 0)), &[700, i64::from(r), -1]);
        shell.result(header, words).unwrap();
    }
    let (offer, mut attempt) = offer(&server, &mut shell, round(2, 0));
    go_on(&mut attempt, &mut shell, 1);
    // Shown to this merchant alone, this would make it train from another model than all others.
    shell.hear(server.roll_back(1)).unwrap();
    go_on(&mut attempt, &mut shell, 1);
    assert_eq!(shell.trained_from, vec![offer.model]);
}

#[test]
fn a_job_that_no_thresholds_exist_for_is_refused_and_said_how_to_mend() {
    let mut server = Server::new(masked_job());
    server.roster.entries.truncate(2);
    let mut shell = Shell::new(&server);
    shell.connect();
    shell.hear(server.welcome()).unwrap();
    let refused = shell.hear(server.announcement()).unwrap_err();
    assert!(matches!(refused, Refused::Parameters(_)), "{refused:?}");
    assert!(refused.to_string().contains("aggregation = \"plain\""), "{refused}");
}
