//! Results and roll-backs.

use super::*;
use guildhall_shared::message::{CatchUp, DeclineReason};

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
