//! A scripted server and a scripted shell around the participant: every rule of the module's head has a test here.

pub(crate) mod harness;
mod properties;

use super::*;
use guildhall_shared::id::RoundId;
use guildhall_shared::message::{Abort, Begin, CatchUp, DeclineReason, Finished, Welcome};
use harness::{Server, Shell, job, standing};

fn round(round: u32, attempt: u32) -> RoundId {
    RoundId { round, attempt }
}

/// A shell whose participant is ready at version 0.
fn ready() -> (Server, Shell) {
    let server = Server::new(job());
    let mut shell = Shell::new(&server);
    shell.connect();
    shell.hear(server.welcome()).unwrap();
    shell.hear(server.announcement()).unwrap();
    (server, shell)
}

/// … and has accepted the offer of (0, 0).
fn accepted() -> (Server, Shell, Offer) {
    let (server, mut shell) = ready();
    let offer = server.offer(round(0, 0));
    shell.hear(offer.clone()).unwrap();
    (server, shell, offer)
}

#[test]
fn a_session_leads_from_hello_to_ready() {
    let (server, shell) = ready();
    let digest = server.job.digest();
    let names: Vec<&str> = shell.sent.iter().map(|sent| sent.name()).collect();
    assert_eq!(names, ["Hello", "CatchUp", "Ready"]);
    assert_eq!(shell.sent[1], CatchUp { job: digest, version: 0 }.into());
    assert_eq!(shell.pins, 1, "the roster is pinned before anything about it is said");
}

#[test]
fn a_whole_round_is_one_upload_and_a_version_that_everybody_derives() {
    let (mut server, mut shell, offer) = accepted();
    shell.hear(server.begin(&offer)).unwrap();
    assert_eq!(shell.uploads, vec![], "not before the slot");
    shell.wake_at(server.job.round.upload_slot_ms);
    assert_eq!(shell.uploads, vec![offer.sid()]);
    let (header, words) = server.settle(&offer, &[5, -7, 100]);
    shell.result(header.clone(), words).unwrap();
    assert_eq!(shell.settled, vec![(offer.sid(), Outcome::Contributed { version: 1, model: header.model })]);
    assert_eq!(shell.stored.get(&1), Some(&header.model));
    assert!(shell.reports.iter().any(|r| matches!(r, Report::NewModel { version: 1, .. })));
    assert!(matches!(shell.sent.last(), Some(ClientMessage::Ready(ready)) if ready.version == 1));
}

#[test]
fn an_update_is_uploaded_at_once_when_training_took_longer_than_the_slot() {
    let (server, mut shell, offer) = accepted();
    shell.hold_training = true;
    shell.hear(server.begin(&offer)).unwrap();
    shell.now_ms += 10 * server.job.round.upload_slot_ms;
    shell.finish_training();
    assert_eq!(shell.uploads, vec![offer.sid()]);
}

#[test]
fn a_rosters_pin_is_for_ever() {
    let (mut server, mut shell) = ready();
    server.roster.entries.remove(0);
    let refused = shell.hear(server.welcome());
    assert!(matches!(refused, Err(Refused::RosterChanged { .. })), "{refused:?}");
    assert!(refused.unwrap_err().ends_session());
    // … also over a restart of the process.
    let pinned = Server::new(job()).signed_roster();
    let mut participant = Participant::new(standing(), Some(&pinned)).unwrap();
    let mut out = vec![];
    let other: guildhall_shared::message::ServerMessage = server.welcome().into();
    assert!(participant.handle(0, Input::Message(other), &mut out).is_err());
    assert!(out.is_empty());
}

#[test]
fn a_roster_without_this_client_or_with_another_key_or_certificate_is_refused() {
    for change in 0..4 {
        let mut server = Server::new(job());
        let own = &mut server.roster.entries[1];
        match change {
            0 => own.identity = IdentityKey::from_secret(&[77; 32]).public(),
            1 => own.certificate = Digest([77; 32]),
            2 => own.name = Name::new("b2").unwrap(),
            _ => server.roster.federation = Digest([1; 32]),
        }
        let mut shell = Shell::new(&server);
        shell.connect();
        let refused = shell.hear(server.welcome());
        let expected = match change {
            3 => matches!(refused, Err(Refused::Federation { .. })),
            _ => matches!(refused, Err(Refused::NotListed { .. })),
        };
        assert!(expected, "{change}: {refused:?}");
        assert_eq!(shell.pins, 0);
    }
}

#[test]
fn forged_signatures_change_nothing() {
    let (mut server, mut shell) = ready();
    let honest = std::mem::replace(&mut server.key, IdentityKey::from_secret(&[66; 32]));
    let offer = server.offer(round(0, 0));
    assert!(matches!(shell.hear(offer.clone()), Err(Refused::Signature(_))));
    assert!(matches!(shell.hear(server.announcement()), Err(Refused::Signature(_))));
    let welcome = Welcome { federation: server.roster.federation, roster: Some(server.signed_roster()) };
    assert!(matches!(shell.hear(welcome), Err(Refused::Roster(_))));
    let (header, words) = server.settle(&offer, &[1, 2, 3]);
    assert!(matches!(shell.result(header, words), Err(Refused::Signature(_))));
    assert_eq!(shell.sent.len(), 3, "nothing was answered");
    // The honest server is still welcome.
    let mut server = Server::new(job());
    server.key = honest;
    shell.hear(server.offer(round(0, 0))).unwrap();
    assert_eq!(shell.accepts(), 1);
}

#[test]
fn offers_that_differ_from_what_was_derived_are_declined() {
    type Change = fn(&mut Offer);
    let changes: [(&str, Change); 6] = [
        ("model", |o| o.model = Digest([9; 32])),
        ("federation", |o| o.federation = Digest([9; 32])),
        ("roster", |o| o.roster = Digest([9; 32])),
        ("numbers: noise", |o| o.parameters.noise_standard_deviation_local /= 2),
        ("numbers: merchants", |o| o.parameters.merchants += 1),
        ("numbers: quorum", |o| o.parameters.quorum -= 1),
    ];
    for (what, change) in changes {
        let (server, mut shell) = ready();
        let mut offer = server.offer(round(0, 0));
        change(&mut offer);
        shell.hear(offer.sign(&server.key)).unwrap();
        assert_eq!(shell.last_decline(), Some(DeclineReason::Mismatch), "{what}");
        assert_eq!(shell.reserved.len(), 0, "{what}");
        // A good offer of a later attempt is accepted all the same.
        shell.hear(server.offer(round(0, 1))).unwrap();
        assert_eq!(shell.accepts(), 1, "{what}");
    }
}

#[test]
fn stale_and_repeated_offers_are_declined_and_do_not_disturb_the_live_attempt() {
    let (server, mut shell) = ready();
    let offer = server.offer(round(1, 1));
    shell.hear(offer.clone()).unwrap();
    for stale in [offer.clone(), server.offer(round(1, 0)), server.offer(round(0, 7))] {
        shell.hear(stale).unwrap();
        assert_eq!(shell.last_decline(), Some(DeclineReason::Stale));
    }
    shell.hear(server.begin(&offer)).unwrap();
    shell.wake_at(server.job.round.upload_slot_ms);
    assert_eq!(shell.uploads, vec![offer.sid()]);
    assert_eq!(shell.reserved.len(), 1);
}

#[test]
fn what_the_ledger_saw_in_an_earlier_life_is_stale() {
    let server = Server::new(job());
    let mut shell = Shell::new(&server);
    shell.ledger_seen = Some(round(3, 0));
    shell.connect();
    shell.hear(server.welcome()).unwrap();
    shell.hear(server.announcement()).unwrap();
    shell.hear(server.offer(round(3, 0))).unwrap();
    assert_eq!(shell.last_decline(), Some(DeclineReason::Stale));
    shell.hear(server.offer(round(3, 1))).unwrap();
    assert_eq!(shell.accepts(), 1);
}

#[test]
fn an_exhausted_budget_is_declined_and_said() {
    let (server, mut shell) = ready();
    shell.over_budget = true;
    shell.hear(server.offer(round(0, 0))).unwrap();
    assert_eq!(shell.last_decline(), Some(DeclineReason::OverBudget));
    let said = shell
        .reports
        .iter()
        .any(|r| matches!(r, Report::Declined { reason, .. } if reason.contains("budget")));
    assert!(said, "{:?}", shell.reports);
    assert_eq!(shell.accepts(), 0);
}

#[test]
fn an_abort_before_the_commit_refunds_and_after_it_does_not() {
    let (server, mut shell, offer) = accepted();
    shell.hold_training = true;
    shell.hear(server.begin(&offer)).unwrap();
    shell.hear(Abort { sid: offer.sid(), reason: "quorum".into() }).unwrap();
    assert_eq!(shell.refunded, vec![offer.sid()]);
    // Training that ends later is of no use to anybody.
    shell.finish_training();
    assert_eq!((shell.committed.len(), shell.uploads.len()), (0, 0));

    let second = server.offer(round(0, 1));
    shell.hear(second.clone()).unwrap();
    shell.hear(server.begin(&second)).unwrap();
    shell.finish_training();
    shell.hear(Abort { sid: second.sid(), reason: "quorum".into() }).unwrap();
    assert_eq!(shell.refunded, vec![offer.sid()], "a commitment is spent for ever");
    assert_eq!(shell.settled, vec![(second.sid(), Outcome::Aborted)]);
    shell.wake_at(1_000_000);
    assert_eq!(shell.uploads, vec![], "an aborted attempt uploads nothing");
}

#[test]
fn losing_the_link_before_the_commit_refunds() {
    let (server, mut shell, offer) = accepted();
    shell.disconnect();
    assert_eq!(shell.refunded, vec![offer.sid()]);
    // It comes back and takes part in the next attempt.
    shell.connect();
    shell.hear(server.welcome()).unwrap();
    shell.hear(server.announcement()).unwrap();
    shell.hear(server.offer(round(0, 1))).unwrap();
    assert_eq!(shell.accepts(), 2);
}

#[test]
fn noise_that_cannot_be_drawn_gives_the_budget_back() {
    let (server, mut shell, offer) = accepted();
    shell.hold_training = true;
    shell.hear(server.begin(&offer)).unwrap();
    shell.feed(Input::TrainingImpossible { sid: offer.sid(), reason: "no entropy".into() }).unwrap();
    assert_eq!(shell.refunded, vec![offer.sid()]);
    assert_eq!(shell.last_decline(), Some(DeclineReason::Storage), "the server need not wait");
}

#[test]
fn a_start_without_this_merchant_refunds_and_a_garbled_one_is_refused() {
    let (server, mut shell, offer) = accepted();
    let garbled = Begin { sid: offer.sid(), participants: vec![MerchantIndex(1), MerchantIndex(0)] };
    assert!(matches!(shell.hear(garbled), Err(Refused::Participants { .. })));
    let strangers = Begin { sid: offer.sid(), participants: vec![MerchantIndex(1), MerchantIndex(3)] };
    assert!(shell.hear(strangers).is_err());
    assert!(shell.trains.is_empty());
    let others = Begin { sid: offer.sid(), participants: vec![MerchantIndex(0), MerchantIndex(2)] };
    shell.hear(others).unwrap();
    assert_eq!(shell.refunded, vec![offer.sid()]);
    assert!(matches!(shell.hear(server.begin(&offer)), Err(Refused::OtherAttempt { .. })));
}

#[test]
fn a_result_that_others_would_not_derive_stops_the_job() {
    let (mut server, mut shell, offer) = accepted();
    shell.hear(server.begin(&offer)).unwrap();
    shell.wake_at(server.job.round.upload_slot_ms);
    let (mut header, words) = server.settle(&offer, &[5, 5, 5]);
    header.model = Digest([13; 32]);
    shell.result(header.sign(&server.key), words).unwrap();
    assert!(shell.is_stopped());
    assert!(!shell.stored.contains_key(&1), "the version is not taken");
    shell.hear(server.offer(round(1, 0))).unwrap();
    assert_eq!(shell.last_decline(), Some(DeclineReason::Mismatch));
    assert_eq!(shell.accepts(), 1);
}

#[test]
fn a_second_history_of_a_known_version_stops_the_job() {
    let (mut server, mut shell) = ready();
    let mut fork = Server::new(job());
    let offer = server.offer(round(0, 0));
    let (header, words) = server.settle(&offer, &[1, 0, 0]);
    shell.result(header, words).unwrap();
    let (other, words) = fork.settle(&offer, &[2, 0, 0]);
    shell.result(other, words).unwrap();
    assert!(shell.is_stopped());
}

#[test]
fn results_with_impossible_contributors_or_rounds_stop_the_job() {
    let impossible: [&[u16]; 3] = [&[0], &[1, 0], &[0, 3]];
    for contributors in impossible {
        let (mut server, mut shell) = ready();
        let (mut header, words) = server.settle(&server.offer(round(0, 0)), &[1, 1, 1]);
        header.contributors = contributors.iter().map(|i| MerchantIndex(*i)).collect();
        shell.result(header.sign(&server.key), words).unwrap();
        assert!(shell.is_stopped(), "{contributors:?}");
    }
    let (mut server, mut shell) = ready();
    for (index, at) in [round(1, 0), round(1, 0)].into_iter().enumerate() {
        let (header, words) = server.settle(&server.offer(at), &[1, 1, 1]);
        shell.result(header, words).unwrap();
        assert_eq!(shell.is_stopped(), index == 1, "a round settles once");
    }
}

#[test]
fn words_that_the_header_does_not_name_are_refused() {
    let (mut server, mut shell) = ready();
    let (header, mut words) = server.settle(&server.offer(round(0, 0)), &[1, 1, 1]);
    let whole = words.clone();
    words[0] ^= 1;
    assert!(matches!(shell.result(header.clone(), words), Err(Refused::Words { .. })));
    assert!(!shell.is_stopped());
    shell.result(header, whole).unwrap();
    assert!(shell.stored.contains_key(&1));
}

#[test]
fn a_late_joiner_derives_the_whole_history_itself() {
    let mut server = Server::new(job());
    let records: Vec<_> =
        (0..5).map(|r| server.settle(&server.offer(round(r, 0)), &[i64::from(r) * 10, -3, 8])).collect();
    let mut shell = Shell::new(&server);
    shell.connect();
    shell.hear(server.welcome()).unwrap();
    shell.hear(server.announcement()).unwrap();
    assert_eq!(shell.sent.last(), Some(&CatchUp { job: server.job.digest(), version: 0 }.into()));
    for (header, words) in records {
        shell.result(header, words).unwrap();
    }
    assert_eq!(shell.stored, server.hashes());
    assert!(matches!(shell.sent.last(), Some(ClientMessage::Ready(ready)) if ready.version == 5));
    assert_eq!(shell.sent.iter().filter(|sent| sent.name() == "Ready").count(), 1);
}

#[test]
fn an_offer_overtaking_its_result_waits_for_it() {
    let (mut server, mut shell, offer) = accepted();
    shell.hear(server.begin(&offer)).unwrap();
    shell.wake_at(server.job.round.upload_slot_ms);
    let (header, words) = server.settle(&offer, &[1, 2, 3]);
    shell.hear(server.offer(round(1, 0))).unwrap();
    assert_eq!((shell.accepts(), shell.declines()), (1, 0), "it waits");
    shell.result(header, words).unwrap();
    assert_eq!(shell.accepts(), 2);
    assert!(matches!(shell.settled[..], [(_, Outcome::Contributed { .. })]), "{:?}", shell.settled);
}

#[test]
fn an_offer_for_a_version_that_never_comes_asks_for_it() {
    let (mut server, mut shell) = ready();
    let (header, words) = server.settle(&server.offer(round(0, 0)), &[1, 2, 3]);
    shell.hear(server.offer(round(1, 0))).unwrap();
    let asked = |shell: &Shell| shell.sent.iter().filter(|sent| sent.name() == "CatchUp").count();
    assert_eq!(asked(&shell), 1);
    shell.now_ms += 1;
    shell.wake_at(shell.now_ms);
    assert_eq!(asked(&shell), 1, "it may still be on its way");
    shell.wake_at(shell.now_ms + server.job.round.accept_deadline_ms);
    assert_eq!(asked(&shell), 2);
    shell.result(header, words).unwrap();
    assert_eq!(shell.accepts(), 1);
}

#[test]
fn a_roll_back_must_name_what_this_client_derived() {
    for (lie, forgotten) in [(false, false), (true, false), (false, true), (true, true)] {
        let (mut server, mut shell) = ready();
        for r in 0..3 {
            let (header, words) = server.settle(&server.offer(round(r, 0)), &[7, i64::from(r), -1]);
            shell.result(header, words).unwrap();
        }
        let mut roll_back = server.roll_back(1);
        if lie {
            roll_back.model = server.hashes()[&2];
            roll_back = roll_back.sign(&server.key);
        }
        if forgotten {
            // A restart: only the disk remembers.
            shell.restart(&server);
        }
        shell.hear(roll_back).unwrap();
        assert_eq!(shell.is_stopped(), lie, "lie {lie}, forgotten {forgotten}");
        if !lie {
            assert_eq!(shell.stored.get(&4), server.hashes().get(&1));
            shell.hear(server.offer(round(3, 0))).unwrap();
            assert_eq!(shell.accepts(), 1);
        }
    }
}

#[test]
fn a_roll_back_to_a_version_that_is_not_kept_derives_it_anew() {
    let (mut server, mut shell) = ready();
    let mut records = vec![];
    for r in 0..4 {
        let (header, words) = server.settle(&server.offer(round(r, 0)), &[7, i64::from(r), -1]);
        records.push((header.clone(), words.clone()));
        shell.result(header, words).unwrap();
    }
    shell.forget_versions(1..=3);
    let roll_back = server.roll_back(2);
    shell.hear(roll_back.clone()).unwrap();
    assert_eq!(shell.sent.last(), Some(&CatchUp { job: server.job.digest(), version: 0 }.into()));
    for (header, words) in records {
        shell.result(header, words).unwrap();
    }
    shell.hear(roll_back).unwrap();
    assert!(!shell.is_stopped());
    assert_eq!(shell.stored.get(&5), server.hashes().get(&2));
    assert!(shell.kept.contains(&2), "the version a roll-back needs is not dropped again");
}

#[test]
fn a_server_that_lost_its_history_is_not_followed() {
    let (mut server, mut shell) = ready();
    let fresh = Server::new(job());
    let (header, words) = server.settle(&server.offer(round(0, 0)), &[1, 2, 3]);
    shell.result(header, words).unwrap();
    shell.disconnect();
    shell.connect();
    shell.hear(fresh.welcome()).unwrap();
    shell.hear(fresh.announcement()).unwrap();
    assert!(shell.is_stopped());
    shell.hear(fresh.offer(round(1, 0))).unwrap();
    assert_eq!(shell.last_decline(), Some(DeclineReason::Mismatch));
}

#[test]
fn late_words_about_an_attempt_that_is_over_do_no_harm() {
    let (mut server, mut shell, offer) = accepted();
    shell.hear(server.begin(&offer)).unwrap();
    shell.wake_at(server.job.round.upload_slot_ms);
    let (header, words) = server.settle(&offer, &[1, 2, 3]);
    shell.result(header, words).unwrap();
    let added = guildhall_shared::message::Receipt {
        sid: offer.sid(),
        verdict: guildhall_shared::message::Verdict::Added,
    };
    shell.hear(added).unwrap();
    shell.hear(Abort { sid: offer.sid(), reason: "late".into() }).unwrap();
    assert_eq!((shell.refunded.len(), shell.settled.len(), shell.uploads.len()), (0, 1, 1));
}

#[test]
fn the_end_is_reported_once_and_with_the_hash_derived_here() {
    let (mut server, mut shell) = ready();
    let (header, words) = server.settle(&server.offer(round(0, 0)), &[1, 2, 3]);
    let end = Finished { job: server.job.digest(), version: 1, model: header.model };
    shell.hear(end.clone()).unwrap();
    let ends = |shell: &Shell| shell.reports.iter().filter(|r| matches!(r, Report::Finished { .. })).count();
    assert_eq!(ends(&shell), 0, "the last version is not derived yet");
    shell.result(header, words).unwrap();
    shell.hear(end.clone()).unwrap();
    assert_eq!(ends(&shell), 1);
    let (_, mut shell) = ready();
    shell.hear(Finished { version: 0, ..end }).unwrap();
    assert!(shell.is_stopped(), "another hash at the end");
}

#[test]
fn the_policy_decides_whatever_the_server_asks() {
    type ChangePolicy = fn(&mut Policy);
    type ChangeJob = fn(&mut guildhall_shared::job::JobSpec);
    let refusals: [(ChangePolicy, ChangeJob); 3] = [
        (|p| p.jobs = vec![JobPattern::new("other*").unwrap()], |_| {}),
        (|p| p.plain_mode = Permission::Denied, |_| {}),
        (
            |_| {},
            |job| {
                job.privacy =
                    guildhall_shared::job::PrivacySpec::None { unit: guildhall_shared::job::Unit::Row }
            },
        ),
    ];
    for (index, (policy, change)) in refusals.into_iter().enumerate() {
        let mut spec = job();
        change(&mut spec);
        let mut server = Server::new(spec);
        let mut own = standing();
        policy(&mut own.policy);
        let mut shell = Shell::with(own, &server);
        shell.connect();
        shell.hear(server.welcome()).unwrap();
        shell.hear(server.announcement()).unwrap();
        let offer = server.offer(round(0, 0));
        shell.hear(offer.clone()).unwrap();
        assert_eq!(shell.last_decline(), Some(DeclineReason::Policy), "{index}");
        assert_eq!(shell.reserved.len(), 0);
        // It follows all the same.
        let (header, words) = server.settle(&offer, &[1, 2, 3]);
        shell.result(header, words).unwrap();
        assert!(shell.stored.contains_key(&1));
    }
}

#[test]
fn jobs_that_break_the_rules_are_refused() {
    let mut spec = job();
    spec.clipping.bound = 3;
    let server = Server::new(spec);
    let mut shell = Shell::new(&server);
    shell.connect();
    assert!(matches!(shell.hear(server.announcement()), Err(Refused::NoRoster)));
    shell.hear(server.welcome()).unwrap();
    assert!(matches!(shell.hear(server.announcement()), Err(Refused::Job(_))));
}

#[test]
fn job_patterns() {
    for good in ["*", "intent", "intent-*", "a.b*"] {
        assert!(JobPattern::new(good).is_some(), "{good}");
    }
    for bad in ["", "**", "a b", "*x", "a/*"] {
        assert!(JobPattern::new(bad).is_none(), "{bad}");
    }
}
