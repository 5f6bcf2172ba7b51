//! Merchants watch each other's ledgers: one that was put back to an older state neither trains nor is signed for.

use guildhall_shared::identity::Verifier;
use guildhall_shared::message::{ClientMessage, DeclineReason, Shares};
use guildhall_shared::secagg::client::Breach;
use guildhall_shared::tree_head::TreeHead;

use super::server::identity;
use super::*;

fn shares(shell: &Shell) -> Shares {
    let dealt = |message: &ClientMessage| match message {
        ClientMessage::Shares(shares) => Some(shares.clone()),
        _ => None,
    };
    shell.said(dealt).expect("dealt")
}

/// An attempt of which this client signed the survivors and no more, and the next one.
fn after_one_attempt() -> (Server, Shell, MaskedRound, MaskedRound) {
    let (server, mut shell, _, mut first) = advertised();
    go_on(&mut first, &mut shell, 3);
    assert_eq!((shell.count("Certify"), shell.count("Unmask")), (1, 0));
    let (_, next) = offer(&server, &mut shell, round(0, 1));
    (server, shell, first, next)
}

#[test]
fn what_was_seen_is_kept_before_it_is_signed_and_told_to_every_holder() {
    let (server, mut shell, first, _) = after_one_attempt();
    assert!(shares(&shell).shares.iter().all(|dealt| dealt.seen.is_none()), "nothing was seen before");
    for merchant in (0..5).map(MerchantIndex) {
        let seen = shell.witness.newest(merchant).expect("every survivor's");
        assert_eq!(seen.head.size, first.head.size, "{merchant}");
        assert_eq!(seen.verify(&Verifier::new(identity(merchant).public())), Ok(()));
    }
    shell.restart(&server);
    go_on(&mut offer(&server, &mut shell, round(0, 2)).1, &mut shell, 1);
    for dealt in shares(&shell).shares {
        assert_eq!(dealt.seen, shell.witness.newest(dealt.peer), "also after a restart");
    }
}

#[test]
fn the_ledger_is_compared_with_what_dealers_saw_before_anything_is_trained() {
    let (_, mut shell, _, mut next) = after_one_attempt();
    let own = shell.witness.newest(server::OWN).expect("its own is among the survivors'");
    next.witness = shell.witness.clone();
    go_on(&mut next, &mut shell, 2);
    assert_eq!(shell.heads, vec![own; 4], "every dealer says the same");
    assert_eq!(shell.trains.len(), 2);
}

#[test]
fn a_ledger_that_was_put_back_trains_nothing_and_says_so() {
    let (_, mut shell, _, mut next) = after_one_attempt();
    shell.objection = Some("the ledger was put back".into());
    go_on(&mut next, &mut shell, 2);
    let (trained, committed) = (shell.trains.len(), shell.committed.len());
    assert_eq!((trained, committed, shell.refunded.len()), (1, 1, 1), "the first attempt's only");
    assert_eq!(shell.last_decline(), Some(DeclineReason::Policy));
    let told = |report: &Report| matches!(report, Report::AttemptEnded { reason, .. } if reason == "the ledger was put back");
    assert!(shell.reports.iter().any(told));
}

#[test]
fn survivors_among_whom_is_a_ledger_that_was_put_back_are_not_signed() {
    for behind in [0, 1] {
        let (_, mut shell, first, mut next) = after_one_attempt();
        next.head = TreeHead { size: first.head.size - behind, root: next.head.root };
        go_on(&mut next, &mut shell, 2);
        let survivors = next.next(&shell).expect("M6");
        match shell.hear(survivors) {
            Err(Refused::Breach(Breach::Ledger { source, .. })) => {
                assert_eq!((source.seen, source.found), (first.head.size, first.head.size - behind));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(shell.count("Certify"), 1, "the first attempt's");
        assert_eq!(shell.settled.last().map(|(_, outcome)| *outcome), Some(Outcome::Aborted));
    }
}
