//! Which offers are taken up.

use super::*;
use guildhall_shared::job::{Aggregation, JobSpec, PrivacySpec, Unit};
use guildhall_shared::message::DeclineReason;
use guildhall_shared::round_parameters::{RoundMode, RoundParameters};

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
fn masked_offers_with_other_thresholds_or_another_mode_are_declined() {
    type Change = fn(&mut RoundParameters);
    let changes: [(&str, Change); 8] = [
        ("m_min", |p| p.secagg.as_mut().unwrap().survivors_min -= 1),
        ("t", |p| p.secagg.as_mut().unwrap().threshold -= 1),
        ("C", |p| p.secagg.as_mut().unwrap().colluders = 0),
        ("h", |p| p.secagg.as_mut().unwrap().honest_shares += 1),
        ("n", |p| p.secagg.as_mut().unwrap().merchants += 1),
        ("noise shares", |p| p.honest_noise_shares += 1),
        ("unmasked", |p| (p.mode, p.secagg) = (RoundMode::LocalNoise, None)),
        ("without noise", |p| p.mode = RoundMode::MaskedUnprotected),
    ];
    for (what, change) in changes {
        let (server, mut shell) = ready_for(Server::new(masked_job()));
        let mut offer = server.offer(round(0, 0));
        change(&mut offer.parameters);
        shell.hear(offer.sign(&server.key)).unwrap();
        assert_eq!(shell.last_decline(), Some(DeclineReason::Mismatch), "{what}");
        assert_eq!((shell.reserved.len(), shell.accepts()), (0, 0), "{what}");
        let mut other = server.offer(round(0, 1));
        other.model = Digest([9; 32]);
        shell.hear(other.sign(&server.key)).unwrap();
        assert_eq!(shell.last_decline(), Some(DeclineReason::Mismatch), "another model");
        shell.hear(server.offer(round(0, 2))).unwrap();
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
fn the_policy_decides_whatever_the_server_asks() {
    type ChangePolicy = fn(&mut Policy);
    const ANY: ChangePolicy = |_| {};
    const NO_PLAIN: ChangePolicy = |p| p.plain_mode = Permission::Denied;
    const NONE: ChangePolicy = |p| p.privacy_none = Permission::Allowed;
    const NONE_NO_PLAIN: ChangePolicy =
        |p| (p.privacy_none, p.plain_mode) = (Permission::Allowed, Permission::Denied);
    let unprotected = |mut job: JobSpec| {
        job.privacy = PrivacySpec::None { unit: Unit::Row };
        job
    };
    let cases: [(ChangePolicy, JobSpec, bool); 12] = [
        (|p| p.jobs = vec![JobPattern::new("other*").unwrap()], job(), false),
        (|p| p.jobs = vec![JobPattern::new("other*").unwrap()], masked_job(), false),
        (ANY, job(), true),
        (NO_PLAIN, job(), false),
        // Masked rounds need no permission of their own …
        (ANY, masked_job(), true),
        (NO_PLAIN, masked_job(), true),
        // … but masks do not protect from a model without noise.
        (ANY, unprotected(masked_job()), false),
        (NONE, unprotected(masked_job()), true),
        (NONE_NO_PLAIN, unprotected(masked_job()), true),
        (ANY, unprotected(job()), false),
        (NONE, unprotected(job()), true),
        (NONE_NO_PLAIN, unprotected(job()), false),
    ];
    for (index, (policy, spec, allowed)) in cases.into_iter().enumerate() {
        let masked = spec.round.aggregation == Aggregation::Masked;
        let mut server = Server::new(spec);
        let mut own = standing();
        policy(&mut own.policy);
        let mut shell = Shell::with(own, &server);
        shell.connect();
        shell.hear(server.welcome()).unwrap();
        shell.hear(server.announcement()).unwrap();
        let offer = server.offer(round(0, 0));
        shell.hear(offer.clone()).unwrap();
        assert_eq!(shell.count(if masked { "Advertise" } else { "Accept" }), usize::from(allowed), "{index}");
        if !allowed {
            assert_eq!(shell.last_decline(), Some(DeclineReason::Policy), "{index}");
            assert_eq!(shell.reserved.len(), 0);
        }
        // It follows all the same.
        let (header, words) = server.settle(&offer, &[1, 2, 3]);
        shell.result(header, words).unwrap();
        assert!(shell.stored.contains_key(&1));
    }
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
