use guildhall_accountant::PicoRho;
use guildhall_accountant::zcdp::epsilon_upper_bound;
use guildhall_ledger::verify::verify;
use guildhall_ledger::{AuditVerdict, Event, Membership, Outcome, Protection, Travel};
use guildhall_shared::digest::Digest;
use guildhall_shared::id::MerchantIndex;
use guildhall_shared::secagg::transcript::SignedUpdate;
use guildhall_shared::tree_head::TreeHead;

use super::facts::LedgerFacts;
use super::losses::epsilon;
use super::*;

#[allow(dead_code, reason = "the ledger's own tests use all of it")]
#[path = "../../../../../privacy/ledger/tests/ledger/fixture.rs"]
mod fixture;

use fixture::{Fixture, policy};

fn facts(fixture: &Fixture) -> LedgerFacts {
    LedgerFacts::new(verify(&fixture.export(), None))
}

fn report(fixture: &Fixture) -> Report {
    Report::new(vec![facts(fixture)], None)
}

/// One masked release at n = 4 (h = 2, s = 4) and one plain release, of ρ = 2⁻⁹ and 2⁻¹⁰.
#[test]
fn losses_are_those_of_the_formulas() {
    let mut fixture = Fixture::new(4);
    fixture.masked();
    fixture.plain();
    fixture.refunded();
    let found = facts(&fixture);
    let rho = |denominator: u128| PicoRho::from_pico(1_000_000_000_000u128.div_ceil(denominator));
    // B²/(2hσ²) = 2^40/(2·2·2^48) = 2^-10 and, with h = 1, 2^-9.
    let (masked, plain) = (rho(1 << 10), rho(1 << 9));
    let sum = |parts: &[PicoRho]| parts.iter().fold(PicoRho::ZERO, |sum, part| sum.saturating_add(*part));
    assert_eq!(found.losses.charged, sum(&[masked, plain]));
    assert_eq!(found.losses.charged, found.verification.spent);
    assert_eq!(found.losses.known_to(1), found.losses.charged);
    assert_eq!(found.losses.known_to(2), sum(&[masked.saturating_mul(4), plain.saturating_mul(2)]));
    assert_eq!(found.losses.known_to(5), sum(&[masked.saturating_mul(25), plain.saturating_mul(5)]));
    // All others collude: one share is left. Outsiders: four. A survivor: three.
    assert_eq!(found.losses.everybody_else, sum(&[rho(1 << 9), plain]));
    assert_eq!(found.losses.outsider, sum(&[rho(1 << 11), plain]));
    assert_eq!(
        found.losses.survivor,
        sum(&[PicoRho::from_pico(1_000_000_000_000u128.div_ceil(3 << 9)), plain])
    );
    assert_eq!((found.counts.reserved, found.counts.refunded, found.counts.committed), (3, 1, 2));
    assert_eq!((found.counts.released, found.counts.aborted), (1, 1));
}

#[test]
fn figures_are_rounded_up() {
    for pico in [1u128, 12_345_678_901, 999_999_999_999_999] {
        let rho = PicoRho::from_pico(pico);
        let shown: f64 = epsilon(rho, 1e-6).parse().expect("a number");
        assert!(shown >= epsilon_upper_bound(rho.rho_upper_bound(), 1e-6), "{pico}");
    }
    assert_eq!(epsilon(PicoRho::UNBOUNDED, 0.0), "unbounded");
}

#[test]
fn a_complete_ledger_leaves_no_question_open() {
    let found = report(&Fixture::of_64_entries());
    assert_eq!(found.unanswered(), Vec::<String>::new());
    assert_eq!(found.exit_code(), 0);
    assert!(found.answers.len() >= 14);
}

#[test]
fn what_is_missing_is_named_and_counts() {
    let mut fixture = Fixture::new(4);
    fixture.plain();
    let found = report(&fixture);
    assert!(found.unanswered().iter().any(|missing| missing.contains("no audit is recorded")));
    assert_eq!(found.exit_code(), 1);
    fixture.audit(AuditVerdict::Inconclusive);
    assert!(report(&fixture).unanswered().iter().any(|missing| missing.contains("INCONCLUSIVE")));
    fixture.audit(AuditVerdict::Broken);
    assert!(report(&fixture).unanswered().iter().any(|missing| missing.contains("BROKEN")));
    fixture.audit(AuditVerdict::Pass);
    assert_eq!(report(&fixture).exit_code(), 0);
    let mut reservation = fixture.reservation("job", Travel::Plain);
    reservation.purpose = " ".into();
    fixture.push(Event::Reserve { reservation, time_unix_s: 5 });
    assert!(report(&fixture).unanswered().iter().any(|missing| missing.contains("names no purpose")));
    // A verdict comes before questions.
    fixture.push(policy(1e-9));
    assert_eq!(report(&fixture).exit_code(), 3);
    assert_eq!(Report::new(vec![LedgerFacts::new(verify(b"nothing", None))], None).exit_code(), 4);
}

#[test]
fn releases_without_noise_are_not_covered_by_any_figure() {
    let mut fixture = Fixture::of_64_entries();
    let mut reservation = fixture.reservation("bare", Travel::Plain);
    reservation.protection = Protection::None;
    reservation.charge = PicoRho::ZERO;
    fixture.push(Event::Reserve { reservation, time_unix_s: 5 });
    let page = page::page(&report(&fixture));
    assert!(page.contains("1 releases had NO NOISE") && page.contains("no ε holds"));
}

/// Nothing is loaded, nothing runs, and nobody's text becomes markup.
#[test]
fn the_page_is_self_contained_and_its_texts_are_escaped() {
    let mut fixture = Fixture::of_64_entries();
    let mut reservation = fixture.reservation("job", Travel::Plain);
    reservation.purpose =
        "</title><script>alert(1)</script><img src=x onerror='y'>\u{202e}\u{1b}[31m\"&".into();
    reservation.label = "<style>@import 'https://elsewhere'</style>".into();
    fixture.push(Event::Reserve { reservation, time_unix_s: u64::MAX });
    let page = page::page(&report(&fixture));
    let lower = page.to_lowercase();
    for forbidden in [
        "<script",
        "<img",
        "<link",
        "<iframe",
        "<style>@import",
        "src=",
        "href=",
        "url(",
        "\u{202e}",
        "\u{1b}",
    ] {
        let escaped = forbidden == "src=" && lower.contains("&lt;img src=x");
        assert!(escaped || !lower.contains(forbidden), "{forbidden}");
    }
    assert_eq!(
        lower.matches("http").count(),
        lower.matches("http-equiv").count() + lower.matches("&#39;https://elsewhere").count()
    );
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    for claim in ["anonymous", "gdpr compliant", "gdpr-compliant", "zero risk"] {
        assert!(!lower.contains(claim), "{claim}");
    }
    assert!(page.contains(page::DISCLAIMER));
    assert!(
        lower.matches("<svg").count() >= 5
            && lower.contains("prefers-color-scheme:dark")
            && lower.contains("@media print")
    );
}

/// Every opening tag is closed, in order: a small check that the page is well-formed.
#[test]
fn the_page_is_well_formed() {
    let page = page::page(&report(&Fixture::of_64_entries()));
    let mut open: Vec<&str> = Vec::new();
    for tag in page.split('<').skip(1) {
        let inside = tag.split('>').next().unwrap_or_default();
        let name = inside.split([' ', '/']).find(|part| !part.is_empty()).unwrap_or_default();
        if let Some(closing) = inside.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closing), "{tag}");
        } else if !inside.ends_with('/') && !["meta", "!doctype"].contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn the_table_has_one_line_for_each_reservation() {
    let fixture = Fixture::of_64_entries();
    let table = table::csv(&report(&fixture));
    let lines: Vec<&str> = table.lines().collect();
    let columns = lines[0].split(',').count();
    assert!(lines.iter().all(|line| line.split(',').count() == columns), "{table}");
    let reservations = fixture.events.iter().filter(|event| event.kind() == "RESERVE").count();
    assert_eq!(lines.len(), reservations + 1);
    let last = lines.last().expect("a line").split(',').nth(15).expect("the sum so far").to_owned();
    assert_eq!(last, fixture.state.spent().to_string());
}

#[test]
fn the_object_holds_exact_sums() {
    let fixture = Fixture::of_64_entries();
    let object = object::object(&report(&fixture));
    assert_eq!(object["ledgers"][0]["losses"]["rho"], fixture.state.spent().to_string());
    assert_eq!(object["ledgers"][0]["region"], "us");
    assert_eq!(object["exit_code"], 0);
}

/// The server's ledger beside a merchant's: an overview, and a contradiction if the merchant forked.
#[test]
fn ledgers_are_held_against_each_other() {
    let merchant = Fixture::of_64_entries();
    let head = |size| TreeHead { size, root: merchant.state.tree().root_at(size).expect("inside") };
    let server = |seen: TreeHead| {
        let mut fixture = Fixture::empty(4);
        let membership = Membership { own: None, ..fixture.membership() };
        fixture.push(Event::Roster { membership, time_unix_s: 5 });
        let update = SignedUpdate { merchant: fixture::OWN, hash: Digest([1; 32]), head: seen };
        let other = SignedUpdate { merchant: MerchantIndex(2), ..update };
        fixture.push(Event::Witness { sid: Digest([1; 32]), updates: vec![update, other], time_unix_s: 5 });
        let origin = fixture.server().name;
        let checkpoint = guildhall_ledger::note::Checkpoint { origin, head: fixture.state.head() };
        let note = checkpoint.sign(&fixture.federation).to_text().into_bytes();
        LedgerFacts::new(verify(&fixture.export_with(&[note]), None))
    };
    let both = Report::new(vec![facts(&merchant), server(head(30))], None);
    assert_eq!((both.exit_code(), both.contradictions.len()), (0, 0), "{:?}", both.unanswered());
    let forked = TreeHead { size: 30, root: Digest([7; 32]) };
    let both = Report::new(vec![facts(&merchant), server(forked)], None);
    assert_eq!((both.exit_code(), both.contradictions.len()), (2, 1));
    assert!(page::page(&both).contains("it was forked"));
    // Made after the export: nothing can be said.
    let later = TreeHead { size: 65, root: Digest([7; 32]) };
    assert_eq!(Report::new(vec![facts(&merchant), server(later)], None).exit_code(), 0);
    let alone = Report::new(vec![server(head(30))], None);
    assert_eq!(alone.exit_code(), 1, "nobody's budget is in the server's ledger");
}

#[test]
fn reports_of_hostile_ledgers_stay_small() {
    let mut fixture = Fixture::new(4);
    for _ in 0..400 {
        let number = fixture.round;
        let mut reservation = fixture.reservation(&format!("job{number}"), Travel::Plain);
        reservation.purpose = "<".repeat(1_000);
        let sid = reservation.sid;
        fixture.force(Event::Reserve { reservation, time_unix_s: 5 });
        fixture.force(Event::Commit { sid, update: None, data: None });
        let outcome =
            Outcome::Released { version: 9, model: Digest([1; 32]), survivors: u32::MAX, certificate: None };
        fixture.force(Event::Settle { sid, outcome });
    }
    let found = report(&fixture);
    assert_eq!(found.exit_code(), 2);
    assert!(page::page(&found).len() < 2_000_000);
}
