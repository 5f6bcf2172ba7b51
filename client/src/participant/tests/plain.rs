//! Attempts in plain mode.

use super::*;
use guildhall_shared::message::{Abort, Begin, DeclineReason};

#[test]
fn a_whole_round_is_one_upload_and_a_version_that_everybody_derives() {
    let (mut server, mut shell, offer) = accepted();
    shell.hear(server.begin(&offer)).unwrap();
    assert_eq!(shell.uploads, vec![], "not before the slot");
    shell.wake_at(server.job.round.upload_slot_ms);
    assert_eq!(shell.uploads, vec![offer.sid()]);
    let (header, words) = server.settle(&offer, &[5, -7, 100]);
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
    shell.feed(Input::Impossible { sid: offer.sid(), reason: "no entropy".into() }).unwrap();
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
