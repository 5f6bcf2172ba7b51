//! What a verifier finds in ledgers whose owners, or other signers, were dishonest or mistaken.

use guildhall_accountant::PicoRho;
use guildhall_ledger::verify::{Verdict, verify};
use guildhall_ledger::{AuditVerdict, Event, Membership, Outcome, Protection, Reservation, Travel};
use guildhall_shared::digest::Digest;
use guildhall_shared::id::MerchantIndex;
use guildhall_shared::secagg::SurvivorCertificate;
use guildhall_shared::secagg::transcript::SignedUpdate;
use guildhall_shared::tree_head::TreeHead;
use guildhall_shared::wire;
use proptest::prelude::*;

use super::fixture::{Fixture, OWN, policy};

#[track_caller]
fn expect(fixture: &Fixture, code: u8, needle: &str) {
    let found = verify(&fixture.export(), None);
    assert_eq!(found.exit_code(), code, "{found}");
    assert!(found.to_string().contains(needle), "{needle:?} in {found}");
}

/// A reservation with one thing in it that is not right, its charge recomputed.
#[track_caller]
fn expect_reservation(travel: Travel, change: impl FnOnce(&mut Reservation), code: u8, needle: &str) {
    let mut fixture = Fixture::new(4);
    let mut reservation = fixture.reservation("job", travel);
    change(&mut reservation);
    reservation.charge = reservation.protection.charge();
    fixture.force(Event::Reserve { reservation, time_unix_s: 5 });
    expect(&fixture, code, needle);
}

fn set_shares(reservation: &mut Reservation, shares: u64) {
    if let Protection::Gaussian { honest_shares, .. } = &mut reservation.protection {
        *honest_shares = shares;
    }
}

const MASKED: Travel = Travel::Masked { colluders: 1 };

#[test]
fn overspending_is_noticed_wherever_it_happened() {
    let mut fixture = Fixture::new(4);
    fixture.force(policy(1e-3));
    let reservation = fixture.reservation("job", Travel::Plain);
    fixture.force(Event::Reserve { reservation, time_unix_s: 5 });
    expect(&fixture, 3, "budget is exhausted");
    // Even where it fitted again later.
    fixture.force(policy(8.0));
    expect(&fixture, 3, "entry 3: the privacy budget is exhausted");
}

#[test]
fn a_budget_that_was_raised_to_spend_and_lowered_again_is_overspent() {
    let mut fixture = Fixture::new(4);
    fixture.plain();
    expect(&fixture, 0, "");
    fixture.push(policy(0.01));
    expect(&fixture, 3, "the budget in force at the end allows");
    fixture.push(policy(2.0));
    expect(&fixture, 0, "2 changes of the budget");
}

#[test]
fn charges_and_numbers_are_computed_again() {
    let mut fixture = Fixture::new(4);
    let mut reservation = fixture.reservation("job", Travel::Plain);
    reservation.charge = PicoRho::from_pico(reservation.charge.pico() - 1);
    fixture.force(Event::Reserve { reservation, time_unix_s: 5 });
    expect(&fixture, 2, "the charge of this clip and noise is");
    expect_reservation(MASKED, |_| (), 0, "1 reservations are open");
    expect_reservation(MASKED, |r| set_shares(r, 3), 2, "expected m_min = 3 and h = 2");
    // More survivors demanded than there are merchants, and so more honest shares: consistent, and a lie.
    let many = |reservation: &mut Reservation| {
        reservation.survivors_min = 1_001;
        set_shares(reservation, 1_000);
    };
    expect_reservation(MASKED, many, 2, "expected m_min = 3 and h = 2");
    let nobody = |reservation: &mut Reservation| {
        reservation.travel = Travel::Masked { colluders: 0 };
        set_shares(reservation, 3);
    };
    expect_reservation(MASKED, nobody, 2, "no masked rounds of 4 merchants with C = 0");
    expect_reservation(Travel::Plain, |r| set_shares(r, 2), 2, "expected 1 honest share");
    expect_reservation(Travel::Plain, |r| set_shares(r, 0), 3, "exhausted");
    expect_reservation(Travel::Plain, |r| r.survivors_min = 3, 2, "expected no m_min in plain mode");
}

#[test]
fn noise_that_the_formula_does_not_hold_for_is_refused() {
    let change = |change: fn(&mut u64, &mut u64, &mut f64)| {
        move |reservation: &mut Reservation| {
            if let Protection::Gaussian { bound, noise_standard_deviation_local, delta, .. } =
                &mut reservation.protection
            {
                change(bound, noise_standard_deviation_local, delta);
            }
        }
    };
    let shift = |bound: &mut u64, deviation: &mut u64, _: &mut f64| (*bound, *deviation) = (4, 1_023);
    expect_reservation(Travel::Plain, change(shift), 2, "from 2^10");
    expect_reservation(Travel::Plain, change(|_, deviation, _| *deviation = 1 << 53), 2, "below 2^53");
    expect_reservation(Travel::Plain, change(|bound, _, _| *bound = 0), 2, "a clip of at least 1");
    for delta in [0.0, 1.0, -0.5, f64::NAN, f64::INFINITY] {
        let set = move |reservation: &mut Reservation| {
            if let Protection::Gaussian { delta: found, .. } = &mut reservation.protection {
                *found = delta;
            }
        };
        expect_reservation(Travel::Plain, set, 2, "expected delta in (0, 1)");
    }
    expect_reservation(Travel::Plain, |r| r.protection = Protection::None, 0, "without any noise");
}

/// Above 128 merchants the graph is sparse and noise is sized for fewer shares than m_min − C.
#[test]
fn large_federations_have_fewer_shares_than_honest_survivors() {
    let mut fixture = Fixture::new(150);
    assert!(fixture.numbers.noise_shares() < fixture.numbers.survivors_min - fixture.numbers.colluders);
    fixture.masked();
    expect(&fixture, 0, "");
    let mut fixture = Fixture::new(150);
    let travel = Travel::Masked { colluders: fixture.numbers.colluders };
    let mut reservation = fixture.reservation("job", travel);
    set_shares(&mut reservation, u64::from(fixture.numbers.honest_shares));
    reservation.charge = reservation.protection.charge();
    fixture.force(Event::Reserve { reservation, time_unix_s: 5 });
    expect(&fixture, 2, "expected m_min");
}

#[test]
fn the_membership_is_that_of_the_roster() {
    let with = |change: &dyn Fn(&mut Membership)| {
        let mut fixture = Fixture::empty(4);
        fixture.push(policy(8.0));
        let mut membership = fixture.membership();
        change(&mut membership);
        fixture.force(Event::Roster { membership, time_unix_s: 5 });
        fixture
    };
    expect(&with(&|_| ()), 0, "");
    // A smaller n makes do with fewer signatures.
    expect(&with(&|m| m.merchants = 3), 2, "expected a roster of 3 merchants");
    expect(&with(&|m| m.roster = Digest([1; 32])), 2, "expected the roster with digest");
    expect(&with(&|m| m.federation = Digest([1; 32])), 2, "not of the federation");
    expect(&with(&|m| m.own = Some(MerchantIndex(4))), 2, "whom the roster does not list");
    expect(&with(&|m| m.own = Some(MerchantIndex(0))), 4, "whom nobody here knows");
    expect(&with(&|m| m.own = None), 4, "whom nobody here knows");
}

#[test]
fn the_membership_never_changes_but_for_the_program() {
    let mut fixture = Fixture::new(4);
    let membership = Membership { program: "guildhall 0.2.0".into(), ..fixture.membership() };
    fixture.push(Event::Roster { membership: membership.clone(), time_unix_s: 5 });
    expect(&fixture, 0, "");
    for other in [
        Membership { merchants: 3, ..membership.clone() },
        Membership { roster: Digest([1; 32]), ..membership.clone() },
        Membership { own: None, ..membership },
    ] {
        let mut fixture = Fixture::new(4);
        fixture.force(Event::Roster { membership: other, time_unix_s: 5 });
        expect(&fixture, 2, "expected the membership that was recorded first");
    }
}

#[test]
fn nothing_is_spent_before_it_is_known_whose_ledger_it_is() {
    let mut fixture = Fixture::empty(4);
    fixture.push(policy(8.0));
    fixture.plain();
    expect(&fixture, 4, "expected a ROSTER entry before the first RESERVE");
}

#[test]
fn illegal_steps_are_noticed() {
    let sid = |fixture: &mut Fixture| fixture.plain();
    let after = |event: &dyn Fn(Digest) -> Event| {
        let mut fixture = Fixture::new(4);
        let sid = sid(&mut fixture);
        fixture.force(event(sid));
        fixture
    };
    expect(&after(&|sid| Event::Refund { sid }), 2, "expected it to be Reserved, found Some(Settled)");
    expect(&after(&|sid| Event::Commit { sid, update: None, data: None }), 2, "found Some(Settled)");
    expect(&after(&|sid| Event::Settle { sid, outcome: Outcome::Aborted }), 2, "expected it to be Committed");
    expect(&after(&|_| Event::Refund { sid: Digest([1; 32]) }), 2, "found None");
    expect(&after(&|_| policy(f64::NAN)), 2, "budget: expected epsilon");
    let seen = TreeHead { size: 900, root: Digest([1; 32]) };
    expect(&after(&|_| Event::RollbackAlarm { seen, time_unix_s: 5 }), 2, "it was put back or rewritten");
}

#[test]
fn a_released_sum_follows_from_the_one_before() {
    let released =
        |version, model, survivors| Outcome::Released { version, model, survivors, certificate: None };
    let settled = |outcomes: &[Outcome]| {
        let mut fixture = Fixture::new(4);
        for outcome in outcomes {
            let sid = fixture.reserve("job", Travel::Plain);
            fixture.commit(sid);
            fixture.force(Event::Settle { sid, outcome: *outcome });
        }
        fixture
    };
    let (trained_from, other) = (Digest([3; 32]), Digest([2; 32]));
    expect(&settled(&[released(1, trained_from, 4), released(2, other, 1)]), 0, "");
    // A version between was made without this merchant.
    expect(&settled(&[released(1, other, 4), released(3, other, 4)]), 0, "");
    expect(&settled(&[released(1, other, 4), released(2, other, 4)]), 2, "expected it to be trained from");
    expect(&settled(&[released(2, trained_from, 4), released(2, other, 4)]), 2, "expected a version after 2");
    expect(&settled(&[released(1, other, 5)]), 2, "expected 1 to 4 merchants in the sum");
    expect(&settled(&[released(1, other, 0)]), 2, "expected 1 to 4 merchants in the sum");
    let certificate = Some(Digest([1; 32]));
    let outcome = Outcome::Released { version: 1, model: other, survivors: 4, certificate };
    expect(&settled(&[outcome]), 2, "a certificate in plain mode");
}

/// One masked sum, with what a test makes of its certificate; the SETTLE names the certificate as it is then.
fn masked(change: impl FnOnce(&mut Fixture, &mut SurvivorCertificate)) -> Fixture {
    let mut fixture = Fixture::new(4);
    fixture.plain();
    let sid = fixture.reserve("masked", MASKED);
    fixture.commit(sid);
    let mut certificate = fixture.certificate(sid, fixture.state.head());
    change(&mut fixture, &mut certificate);
    fixture.settle(sid, certificate.digest());
    fixture.certificates.push(wire::encode(&certificate).expect("encodes"));
    fixture
}

#[test]
fn certificates_hold_or_the_ledger_does_not() {
    expect(&masked(|_, _| ()), 0, "");
    expect(&masked(|_, one| one.signatures.truncate(2)), 2, "expected at least 3 signatures, found 2");
    expect(&masked(|_, one| one.signatures[0].signature.0[0][0] ^= 1), 2, "does not verify");
    expect(&masked(|_, one| one.signatures.swap(0, 1)), 2, "not in ascending order");
    expect(&masked(|_, one| one.signatures[1] = one.signatures[0].clone()), 2, "not in ascending order");
    expect(&masked(|_, one| one.transcript.sid = Digest([1; 32])), 2, "is of session");
    let another = |fixture: &mut Fixture, one: &mut SurvivorCertificate, head: TreeHead| {
        *one = fixture.certificate(one.transcript.sid, head);
    };
    let early = |fixture: &mut Fixture, one: &mut SurvivorCertificate| {
        // A head without the COMMIT.
        let size = fixture.state.tree().size() - 1;
        let root = fixture.state.tree().root_at(size).expect("inside");
        another(fixture, one, TreeHead { size, root });
    };
    expect(&masked(early), 2, "not between COMMIT and SETTLE");
    let forked = |fixture: &mut Fixture, one: &mut SurvivorCertificate| {
        let size = fixture.state.tree().size();
        another(fixture, one, TreeHead { size, root: Digest([1; 32]) });
    };
    expect(&masked(forked), 2, "entries of another root");
    let future = |fixture: &mut Fixture, one: &mut SurvivorCertificate| {
        another(fixture, one, TreeHead { size: 100, root: Digest([1; 32]) });
    };
    expect(&masked(future), 2, "entries of another root");
}

#[test]
fn a_certificate_names_the_committed_update_and_this_merchant() {
    // As everybody would have signed it.
    let signed = |fixture: &Fixture, one: &mut SurvivorCertificate| {
        let digest = guildhall_shared::secagg::transcript::survivors_digest(&one.transcript, &one.updates);
        for signature in &mut one.signatures {
            let key = &fixture.merchants[signature.merchant.0 as usize];
            signature.signature =
                guildhall_shared::secagg::transcript::sign_survivors(&one.transcript.sid, &digest, key);
        }
    };
    let other_update = |fixture: &mut Fixture, one: &mut SurvivorCertificate| {
        one.updates[OWN.0 as usize].hash = Digest([1; 32]);
        signed(fixture, one);
    };
    expect(&masked(other_update), 2, "which was not committed");
    let without_owner = |fixture: &mut Fixture, one: &mut SurvivorCertificate| {
        one.updates.remove(OWN.0 as usize);
        one.signatures.retain(|signature| signature.merchant != OWN);
        let key = &fixture.merchants[3];
        one.signatures.push(guildhall_shared::message::CertificateSignature {
            merchant: MerchantIndex(3),
            signature: guildhall_shared::secagg::transcript::sign_survivors(
                &one.transcript.sid,
                &Digest([0; 32]),
                key,
            ),
        });
        one.updates.push(SignedUpdate {
            merchant: MerchantIndex(9),
            hash: Digest([1; 32]),
            head: TreeHead::EMPTY,
        });
        signed(fixture, one);
    };
    expect(&masked(without_owner), 2, "names survivors who are not in the roster");
}

#[test]
fn certificates_are_all_there_once_and_in_order() {
    let good = || {
        let mut fixture = Fixture::new(4);
        fixture.masked();
        fixture.masked();
        fixture
    };
    expect(&good(), 0, "");
    let with = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut fixture = good();
        change(&mut fixture.certificates);
        fixture
    };
    expect(&with(&|all| drop(all.pop())), 4, "expected the certificate");
    expect(&with(&|all| all.clear()), 4, "expected the certificate");
    expect(&with(&|all| all.push(all[0].clone())), 2, "a certificate twice");
    expect(&with(&|all| all.swap(0, 1)), 2, "not in the order");
    expect(&with(&|all| all[0] = b"nothing".to_vec()), 4, "found something else");
    let stranger = Fixture::new(4).certificate(Digest([1; 32]), TreeHead::EMPTY);
    let stranger = wire::encode(&stranger).expect("encodes");
    expect(&with(&|all| all.push(stranger.clone())), 2, "a certificate that no entry names");
}

#[test]
fn a_masked_sum_whose_certificate_never_arrived_is_said_to_be_one() {
    let mut fixture = Fixture::new(4);
    let sid = fixture.reserve("masked", MASKED);
    fixture.commit(sid);
    let outcome = Outcome::Released { version: 1, model: Digest([1; 32]), survivors: 3, certificate: None };
    fixture.push(Event::Settle { sid, outcome });
    expect(&fixture, 0, "1 masked sums whose certificate never reached this merchant");
}

#[test]
fn checkpoints_are_by_known_people_only() {
    let fixture = Fixture::of_64_entries();
    let code = |notes: &[Vec<u8>]| verify(&fixture.export_with(notes), None).exit_code();
    let (note, cosigned) = (fixture.note(), fixture.cosigned.clone().expect("cosigned"));
    assert_eq!(code(&[note.clone(), cosigned.clone()]), 0);
    assert_eq!(code(&[]), 4);
    assert_eq!(code(&[note.clone(), cosigned.clone(), cosigned.clone()]), 4);
    assert_eq!(code(&[note.clone(), note.clone()]), 4, "a second one that nobody cosigned");
    assert_eq!(code(&[cosigned.clone(), note.clone()]), 2, "the first is not over all entries");
    let text = String::from_utf8(note.clone()).expect("text");
    let line = text.lines().last().expect("a signature");
    let unknown = format!("{text}{}\n", line.replace("guildhall/", "elsewhere/"));
    assert_eq!(code(&[unknown.into_bytes()]), 4);
    let twice = format!("{text}{line}\n");
    assert_eq!(code(&[twice.into_bytes()]), 4);
    assert_eq!(code(&[[&note[..], b"\xff"].concat()]), 4, "not text");
    assert_eq!(code(&[text.replace('\n', "\r\n").into_bytes()]), 4);
    let other = Fixture::new(4);
    assert_eq!(code(&[other.note()]), 2, "of another ledger");
}

/// Each costs as much work as hundreds of other entries.
#[test]
fn nobody_sets_endless_budgets() {
    let mut fixture = Fixture::new(4);
    (0..999).for_each(|_| fixture.force(policy(8.0)));
    expect(&fixture, 0, "999 changes of the budget");
    fixture.force(policy(8.0));
    expect(&fixture, 4, "entry 1001: expected at most 1000 POLICY entries");
}

/// A newer program's entries, properly signed, are no tampering.
#[test]
fn entries_of_another_version_are_not_judged() {
    let mut fixture = Fixture::new(4);
    let mut newer = fixture.entries[1].clone();
    newer[0] += 1;
    let entry = guildhall_ledger::Entry::from_bytes(&newer).expect("same layout");
    fixture.state.apply(&entry, guildhall_ledger::merkle::leaf_hash(&newer));
    fixture.entries.push(newer);
    expect(&fixture, 4, "expected an entry of version");
}

#[test]
fn the_worst_finding_decides_however_many_others_there_are() {
    let mut fixture = Fixture::new(4);
    fixture.plain();
    fixture.force(policy(1e-6));
    for _ in 0..200 {
        let reservation = fixture.reservation("job", Travel::Plain);
        fixture.force(Event::Reserve { reservation, time_unix_s: 5 });
    }
    let found = verify(&fixture.export(), None);
    assert_eq!((found.exit_code(), found.verdict), (3, Verdict::Overspent));
    assert!(found.findings.len() < 100 && found.findings_left_out > 100, "bounded");
    fixture.certificates.push(b"nothing".to_vec());
    assert_eq!(verify(&fixture.export(), None).exit_code(), 3, "3 before 4");
    fixture.force(Event::Refund { sid: Digest([1; 32]) });
    assert_eq!(verify(&fixture.export(), None).exit_code(), 2, "2 before 3");
}

#[test]
fn a_broken_audit_is_said() {
    let mut fixture = Fixture::new(4);
    fixture.audit(AuditVerdict::Broken);
    expect(&fixture, 0, "1 audits found the claim BROKEN");
}

/// The server's ledger: nobody's budget, heads of others.
#[test]
fn the_servers_ledger_is_held_against_what_it_saw() {
    let with = |heads: &[(u64, u8)]| {
        let mut fixture = Fixture::empty(4);
        let membership = Membership { own: None, ..fixture.membership() };
        fixture.push(Event::Roster { membership, time_unix_s: 5 });
        for (size, root) in heads {
            let head = TreeHead { size: *size, root: Digest([*root; 32]) };
            let update = SignedUpdate { merchant: MerchantIndex(2), hash: Digest([1; 32]), head };
            let event = Event::Witness { sid: Digest([1; 32]), updates: vec![update], time_unix_s: 5 };
            fixture.push(event);
        }
        let origin = fixture.server().name;
        let checkpoint = guildhall_ledger::note::Checkpoint { origin, head: fixture.state.head() };
        let note = checkpoint.sign(&fixture.federation).to_text().into_bytes();
        verify(&fixture.export_with(&[note]), None).exit_code()
    };
    assert_eq!(with(&[(5, 1), (5, 1), (9, 2)]), 0);
    assert_eq!(with(&[(5, 1), (4, 2)]), 2, "a ledger that shrank");
    assert_eq!(with(&[(5, 1), (5, 2)]), 2, "a ledger that forked");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        prop_assert_ne!(verify(&bytes, None).exit_code(), 0);
        let with_magic = [guildhall_ledger::export::MAGIC, &bytes].concat();
        prop_assert_ne!(verify(&with_magic, Some(&bytes)).exit_code(), 0);
    }

    /// Well-formed frames around nonsense, and nonsense within good frames.
    #[test]
    fn no_contents_make_it_panic(
        entry in proptest::collection::vec(any::<u8>(), 0..400),
        certificate in proptest::collection::vec(any::<u8>(), 0..400),
        note in "\\PC{0,300}",
        place in 0usize..8,
        cut in 0usize..300,
    ) {
        let mut fixture = Fixture::new(4);
        fixture.masked();
        fixture.masked();
        let place = place % fixture.entries.len();
        let kept = cut.min(fixture.entries[place].len());
        fixture.entries[place].truncate(kept);
        fixture.entries[place].extend(&entry);
        fixture.certificates.push(certificate);
        let found = verify(&fixture.export_with(&[note.clone().into_bytes()]), Some(note.as_bytes()));
        prop_assert_ne!(found.exit_code(), 0);
        prop_assert!(found.to_string().len() < 200_000);
    }
}
