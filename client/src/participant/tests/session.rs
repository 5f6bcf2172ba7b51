//! Greeting, roster, announcement, end.

use super::*;
use guildhall_shared::message::{CatchUp, Finished};

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
fn a_rosters_pin_is_for_ever() {
    let (mut server, mut shell) = ready();
    server.roster.entries.remove(0);
    let refused = shell.hear(server.welcome());
    assert!(matches!(refused, Err(Refused::RosterChanged { .. })), "{refused:?}");
    assert!(refused.unwrap_err().ends_session());
    // … also over a restart of the process.
    let pinned = Server::new(job()).signed_roster();
    let mut participant = Participant::new(standing(), Some(&pinned), Default::default()).unwrap();
    let mut out = vec![];
    let other: guildhall_shared::message::ServerMessage = server.welcome().into();
    let nonce = server::NONCE;
    participant.handle(0, Input::Connected { nonce }, &mut out).expect("greets");
    out.clear();
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
    assert!(matches!(shell.hear(server.welcome()), Err(Refused::Signature(_))), "its word about the ledger");
    let mut welcome = server.welcome();
    let forger = std::mem::replace(&mut server.key, honest);
    welcome.witness = server.welcome().witness;
    let honest = std::mem::replace(&mut server.key, forger);
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
