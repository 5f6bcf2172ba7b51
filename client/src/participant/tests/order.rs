//! Messages of another session, of the other mode, or out of order: refused by name, and nothing changes.

use guildhall_shared::digest::Digest;
use guildhall_shared::message::{Begin, ServerMessage};

use super::*;

/// The four messages of an honest attempt, in order. Seeds are a function of the session here, so a second client in the
/// same session is in the same state.
fn honest_messages() -> [ServerMessage; 4] {
    let (_, mut shell, _, mut attempt) = advertised();
    [(); 4].map(|()| {
        let message = attempt.next(&shell).unwrap();
        shell.hear(message.clone()).unwrap();
        shell.wake_at(shell.now_ms + 1_000);
        message
    })
}

#[test]
fn the_messages_of_a_masked_attempt_are_taken_in_their_order_and_no_other() {
    let messages = honest_messages();
    // After so many messages, with training held back in the third place and the slot awaited in the fourth.
    for place in 0..=6 {
        let (_, mut shell, offer, _) = advertised();
        shell.hold_training = true;
        let mut awaited = 0;
        for step in 0..place {
            match step {
                2 => shell.finish_training(),
                3 => shell.wake_at(shell.now_ms + 1_000),
                _ => {
                    shell.hear(messages[awaited].clone()).unwrap();
                    awaited += 1;
                }
            }
        }
        let waits = !matches!(place, 2 | 3);
        let said = shell.sent.len();
        for (index, message) in messages.iter().enumerate().filter(|(i, _)| !waits || *i != awaited) {
            let refused = shell.hear(message.clone()).unwrap_err();
            let expected =
                matches!(refused, Refused::OutOfOrder { message: name, .. } if name == message.name());
            assert!(expected, "place {place}, message {index}: {refused:?}");
        }
        let begin = Begin { sid: offer.sid(), participants: vec![server::OWN] };
        assert!(matches!(shell.hear(begin), Err(Refused::OtherMode { message: "Begin", .. })));
        assert_eq!(shell.sent.len(), said, "place {place}: nothing is said");
        // … and the attempt goes on as if nothing had happened.
        shell.finish_training();
        shell.wake_at(shell.now_ms + 1_000);
        for message in &messages[awaited..] {
            shell.hear(message.clone()).unwrap();
            shell.finish_training();
            shell.wake_at(shell.now_ms + 1_000);
        }
        assert_eq!((shell.count("Certify"), shell.count("Unmask")), (1, 1), "place {place}");
    }
}

#[test]
fn a_second_set_of_survivors_is_not_signed_and_a_second_unmasking_not_made() {
    let [roster, forwarded, survivors, certificate] = honest_messages();
    let (_, mut shell, _, _) = advertised();
    for message in [roster, forwarded, survivors.clone()] {
        shell.hear(message).unwrap();
        shell.wake_at(shell.now_ms + 1_000);
    }
    let ServerMessage::Survivors(mut others) = survivors.clone() else { panic!("not survivors") };
    others.updates.pop();
    for _ in 0..2 {
        assert!(matches!(shell.hear(others.clone()), Err(Refused::OutOfOrder { .. })));
        assert!(matches!(shell.hear(survivors.clone()), Err(Refused::OutOfOrder { .. })));
        assert_eq!(shell.count("Certify"), 1);
        // The first time it is awaited.
        let _ = shell.hear(certificate.clone());
        assert_eq!(shell.count("Unmask"), 1);
    }
}

#[test]
fn messages_of_another_session_are_refused_and_change_nothing() {
    let messages = honest_messages();
    for other in [true, false] {
        let (server, mut shell) = ready_for(Server::new(masked_job()));
        if other {
            shell.hear(server.offer(round(0, 1))).unwrap();
        }
        let said = shell.sent.len();
        for message in &messages {
            let refused = shell.hear(message.clone()).unwrap_err();
            assert!(matches!(refused, Refused::OtherAttempt { message: name, .. } if name == message.name()));
        }
        assert_eq!(shell.sent.len(), said);
        assert_eq!((shell.refunded.len(), shell.settled.len()), (0, 0));
    }
}

#[test]
fn masked_messages_have_no_place_in_plain_mode() {
    let (server, mut shell, offer) = accepted();
    let sid = offer.sid();
    for message in honest_messages() {
        let message = with_sid(message, sid);
        let refused = shell.hear(message.clone()).unwrap_err();
        assert!(matches!(refused, Refused::OtherMode { message: name, .. } if name == message.name()));
        assert!(refused.to_string().contains("plain mode"), "{refused}");
    }
    shell.hear(server.begin(&offer)).unwrap();
    let again = shell.hear(server.begin(&offer)).unwrap_err();
    assert!(matches!(again, Refused::OutOfOrder { message: "Begin", .. }), "{again:?}");
    shell.wake_at(server.job.round.upload_slot_ms);
    assert_eq!((shell.uploads, shell.trains.len()), (vec![sid], 1));
}

fn with_sid(message: ServerMessage, sid: Digest) -> ServerMessage {
    match message {
        ServerMessage::RoundRoster(m) => guildhall_shared::message::RoundRoster { sid, ..m }.into(),
        ServerMessage::ForwardedShares(m) => guildhall_shared::message::ForwardedShares { sid, ..m }.into(),
        ServerMessage::Survivors(m) => guildhall_shared::message::Survivors { sid, ..m }.into(),
        ServerMessage::Certificate(m) => guildhall_shared::message::Certificate { sid, ..m }.into(),
        other => other,
    }
}
