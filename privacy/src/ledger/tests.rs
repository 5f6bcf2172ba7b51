mod recovery;

use std::sync::{Arc, Mutex};

use guildhall_shared::id::MerchantIndex;
use guildhall_shared::job::{ClippingSpec, Unit};
use guildhall_shared::ring::{RingWidth, Sign};
use guildhall_shared::secagg::MaskGenerator;
use guildhall_shared::secagg::agreement::self_mask;
use guildhall_shared::secagg::mask::MaskSet;
use proptest::prelude::*;

use super::*;
use crate::accountant::zcdp::calibrate_local;
use crate::ledger::journal::JOURNAL_FILE;
use crate::noise::{NoiseError, NoiseShare, NoiseSource};
use crate::parameter::{ClippingParameters, Travel};
use crate::update::{
    ClippedSum, DangerousPolicy, ExplicitlyUnprotectedUpdate, NoisedUpdate, UnprotectedPermit,
};
use guildhall_ledger::entry::ENTRY_VERSION;
use guildhall_ledger::journal::Journal;
use guildhall_ledger::merkle::leaf_hash;

const LIMIT: BudgetLimit = BudgetLimit { epsilon: 4.0, delta: 1e-6 };
const BOUND: u64 = 1 << 20;

struct Silent;
impl NoiseSource for Silent {
    fn fill(&mut self, _: u64, _: &mut [i64]) -> Result<(), NoiseError> {
        Ok(())
    }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("legal")
}

fn sid(number: u64) -> Digest {
    Digest::of("sid", &[&number.to_le_bytes()])
}

fn gaussian(sigma: u64) -> Protection {
    Protection::Gaussian {
        bound: BOUND,
        noise_standard_deviation_local: sigma,
        honest_shares: 1,
        delta: 1e-6,
    }
}

const RELEASED: Outcome =
    Outcome::Released { version: 1, model: Digest([1; 32]), survivors: 2, certificate: None };

/// A reservation of job `job` for round `round`, its session named after both.
fn ask(job: &str, round: u32, protection: Protection) -> Reservation {
    Reservation {
        job: name(job),
        job_digest: Digest::of("job", &[job.as_bytes()]),
        sid: Digest::of("sid", &[job.as_bytes(), &round.to_le_bytes()]),
        round: RoundId { round, attempt: 0 },
        unit: Unit::Shopper,
        protection,
        travel: Travel::Plain,
        survivors_min: 0,
        parameters: Digest([4; 32]),
        model: Digest([5; 32]),
        charge: protection.charge(),
        purpose: "p".into(),
        label: "l".into(),
        program: None,
    }
}

fn clipping() -> ClippingParameters {
    ClippingParameters::new(&ClippingSpec { norm_l2: 1.0, bound: BOUND }, 3).expect("legal")
}

fn update(sigma: u64) -> SealedUpdate {
    noised(sigma).seal(RingWidth::Bits64)
}

/// A reservation of one share among `honest_shares` honest ones, against two colluders.
fn ask_masked(round: u32, sigma: u64, honest_shares: u64) -> Reservation {
    let protection = Protection::Gaussian {
        bound: BOUND,
        noise_standard_deviation_local: sigma,
        honest_shares,
        delta: 1e-6,
    };
    Reservation { travel: Travel::Masked { colluders: 2 }, ..ask("masked", round, protection) }
}

fn masks(sid: Digest, count: u8) -> MaskSet {
    let mut masks = MaskSet::new(sid, MaskGenerator::Aes256Ctr);
    (0..count).for_each(|i| masks.push(self_mask(&[i; 32], &sid, MerchantIndex(0)), Sign::Add));
    masks
}

fn noised(sigma: u64) -> NoisedUpdate {
    let noise = NoiseShare::draw(&mut Silent, sigma, 3).expect("in range");
    ClippedSum::zero(&clipping()).add_noise(noise)
}

fn bare() -> ExplicitlyUnprotectedUpdate {
    let permit =
        UnprotectedPermit::from_policy(DangerousPolicy { allow_privacy_none: true }).expect("allowed");
    ClippedSum::zero(&clipping()).leave_unprotected(&permit)
}

fn simulated() -> Ledger {
    Ledger::simulated(LIMIT).expect("a budget")
}

#[test]
fn a_calibrated_job_fits_its_budget_exactly_once() {
    let sigma = calibrate_local(LIMIT.epsilon, LIMIT.delta, 60, BOUND, 1).expect("fits");
    let mut ledger = simulated();
    for round in 0..60 {
        let reserved = ledger.reserve(ask("job", round, gaussian(sigma))).expect("there is room");
        let committed = ledger.commit(reserved, update(sigma)).expect("as reserved");
        assert_eq!(committed.hash(), Digest::of_bytes(committed.bytes()));
    }
    assert!(ledger.epsilon_spent_upper_bound() <= 4.0 && ledger.epsilon_spent_upper_bound() > 3.999);
    let refused = ledger.reserve(ask("other", 0, gaussian(sigma))).expect_err("nothing is left");
    let LedgerError::OverBudget { spent, asked, limit, epsilon_after, .. } = &refused else {
        panic!("{refused}");
    };
    assert_eq!((*spent, *asked), (ledger.spent(), gaussian(sigma).charge()));
    assert!(spent.saturating_add(*asked) > *limit && *epsilon_after > 4.0);
    let words = refused.to_string();
    assert!(
        words.contains("exhausted: spent epsilon") && words.contains("the limit is epsilon 4 at"),
        "{words}"
    );
}

#[test]
fn all_jobs_share_one_budget() {
    let sigma = calibrate_local(LIMIT.epsilon, LIMIT.delta, 3, BOUND, 1).expect("fits");
    let mut ledger = simulated();
    let mut kept = Vec::new();
    for job in ["a", "b", "c"] {
        kept.push(ledger.reserve(ask(job, 0, gaussian(sigma))).expect("a third each"));
    }
    assert!(matches!(ledger.reserve(ask("a", 1, gaussian(sigma))), Err(LedgerError::OverBudget { .. })));
    assert_eq!(ledger.spent_for(&name("a")), gaussian(sigma).charge());
    assert_eq!(ledger.spent(), gaussian(sigma).charge().saturating_mul(3));
    ledger.refund(kept.remove(0)).expect("not committed");
    assert_eq!(ledger.spent_for(&name("a")), PicoRho::ZERO);
    assert!(ledger.reserve(ask("a", 1, gaussian(sigma))).is_ok(), "what was refunded can be reserved again");
}

#[test]
fn refusals_change_nothing() {
    let mut ledger = simulated();
    let sigma = BOUND * 20;
    let reserved = ledger.reserve(ask("job", 5, gaussian(sigma))).expect("room");
    let before = ledger.state().tree().size();
    let refused = |ledger: &mut Ledger, change: fn(&mut Reservation)| {
        let mut reservation = ask("job", 6, gaussian(BOUND * 20));
        change(&mut reservation);
        ledger.reserve(reservation).expect_err("refused")
    };
    let stale = refused(&mut ledger, |r| r.round.round = 5);
    assert!(
        matches!(&stale, LedgerError::StaleRound { expected_greater_than, found, .. }
        if expected_greater_than == found),
        "{stale}"
    );
    assert!(matches!(refused(&mut ledger, |r| r.round.round = 4), LedgerError::StaleRound { .. }));
    let known = refused(&mut ledger, |r| r.sid = ask("job", 5, Protection::None).sid);
    assert!(matches!(known, LedgerError::SessionKnown { .. }));
    assert!(matches!(refused(&mut ledger, |r| r.job_digest = sid(9)), LedgerError::JobChanged { .. }));
    let cheap = refused(&mut ledger, |r| r.charge = PicoRho::from_pico(r.charge.pico() - 1));
    assert!(matches!(cheap, LedgerError::ChargeDiffers { .. }));
    let free = refused(&mut ledger, |r| r.protection = Protection::None);
    assert!(matches!(free, LedgerError::ChargeDiffers { .. }), "no charge may be stated for no protection");
    let long = refused(&mut ledger, |r| r.purpose = "x".repeat(1001));
    assert!(matches!(long, LedgerError::TextTooLong { field: "purpose", .. }));
    assert!(matches!(refused(&mut ledger, |r| r.label = "x".repeat(301)), LedgerError::TextTooLong { .. }));
    assert!(matches!(ledger.settle(reserved.sid(), RELEASED), Err(LedgerError::SessionStatus { .. })));
    assert!(matches!(ledger.settle(sid(77), RELEASED), Err(LedgerError::SessionStatus { found: None, .. })));
    assert_eq!(ledger.state().tree().size(), before);
    assert_eq!(ledger.last_round(&name("job")), Some(RoundId { round: 5, attempt: 0 }));
    let retry = Reservation { round: RoundId { round: 5, attempt: 1 }, ..ask("job", 6, gaussian(sigma)) };
    assert!(ledger.reserve(retry).is_ok(), "a new attempt is a new reservation");
    assert_eq!(ledger.spent(), gaussian(sigma).charge().saturating_mul(2), "and is charged");
}

#[test]
fn the_update_must_be_what_was_charged() {
    let mut ledger = simulated();
    let reserved = ledger.reserve(ask("job", 0, gaussian(BOUND * 20))).expect("room");
    let session = reserved.sid();
    let refused = ledger.commit(reserved, update(BOUND * 20 - 1)).err().expect("less noise than charged for");
    assert!(matches!(refused, LedgerError::NotAsReserved { .. }), "{refused}");
    assert_eq!(ledger.state().status(&session), Some(SessionStatus::Reserved), "and stays spent");
    assert_eq!(ledger.spent(), gaussian(BOUND * 20).charge());
}

/// The noise of a share alone is h times less variance than what was charged for.
#[test]
fn a_share_of_the_noise_never_travels_in_plain() {
    let mut ledger = simulated();
    for (round, honest_shares) in [1, 2, 6, 47].into_iter().enumerate() {
        let reservation = ask_masked(round as u32, BOUND * 20, honest_shares);
        let spent = ledger.spent().saturating_add(reservation.charge);
        let reserved = ledger.reserve(reservation).expect("room");
        let session = reserved.sid();
        let refused = ledger.commit(reserved, update(BOUND * 20)).err().expect("plain");
        assert!(matches!(&refused, LedgerError::NotAsReserved { found, .. } if found.contains("no masks")));
        assert_eq!(ledger.state().status(&session), Some(SessionStatus::Reserved), "stays spent");
        assert_eq!(ledger.spent(), spent);
    }
    // Nor can a share be reserved as if it were the whole noise.
    let plain = Reservation { travel: Travel::Plain, ..ask_masked(9, BOUND * 20, 2) };
    assert!(matches!(ledger.reserve(plain), Err(LedgerError::ShareInPlain { found: 2, .. })));
}

#[test]
fn masks_must_be_those_of_the_session() {
    let mut ledger = simulated();
    let mut round = 0;
    let mut try_with = |of: &dyn Fn(Digest) -> MaskSet, sigma: u64| {
        round += 1;
        let reserved = ledger.reserve(ask_masked(round, BOUND * 20, 6)).expect("room");
        let sid = reserved.sid();
        let committed = ledger.commit(reserved, noised(sigma).mask(of(sid), RingWidth::Bits64));
        let spent = ledger.state().status(&sid) != Some(SessionStatus::Refunded);
        assert!(spent, "whatever became of it");
        committed.map(|committed| (committed.sid() == sid, committed.bytes().len()))
    };
    assert_eq!(try_with(&|sid| masks(sid, 2), BOUND * 20).expect("as reserved"), (true, 24));
    let refused = [
        ("another session", try_with(&|_| masks(sid(7), 9), BOUND * 20)),
        ("no masks at all", try_with(&|sid| masks(sid, 0), BOUND * 20)),
        ("only its own mask", try_with(&|sid| masks(sid, 1), BOUND * 20)),
        ("less noise", try_with(&|sid| masks(sid, 9), BOUND * 20 - 1)),
    ];
    for (what, result) in refused {
        assert!(matches!(result, Err(LedgerError::NotAsReserved { .. })), "{what}");
    }
    // What was reserved to travel in plain is not masked either: the record would name an adversary that is not there.
    let reserved = ledger.reserve(ask("job", 0, gaussian(BOUND * 20))).expect("room");
    let masked = noised(BOUND * 20).mask(masks(reserved.sid(), 9), RingWidth::Bits64);
    assert!(matches!(ledger.commit(reserved, masked), Err(LedgerError::NotAsReserved { .. })));
}

#[test]
fn masked_rounds_without_privacy_are_masked_nevertheless() {
    let mut ledger = simulated();
    let ask = |round| Reservation {
        travel: Travel::Masked { colluders: 2 },
        ..ask("open", round, Protection::None)
    };
    let reserved = ledger.reserve(ask(0)).expect("costs nothing");
    let masked = bare().mask(masks(reserved.sid(), 3), RingWidth::Bits32);
    assert_eq!(ledger.commit(reserved, masked).map(|sent| sent.bytes().len()).ok(), Some(12));
    let reserved = ledger.reserve(ask(1)).expect("costs nothing");
    assert!(ledger.commit(reserved, bare().seal(RingWidth::Bits32)).is_err(), "the server was to read a sum");
    let reserved = ledger.reserve(ask(2)).expect("costs nothing");
    let masked = bare().mask(masks(sid(9), 3), RingWidth::Bits32);
    assert!(ledger.commit(reserved, masked).is_err(), "masks of another session");
}

/// Tags of the same data under fresh salts, for the trainings that read them and no others; the digest is not in them.
#[test]
fn a_commit_says_which_data_were_read_to_whoever_knows_them() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut ledger, _) = Ledger::open(dir.path(), LIMIT).expect("opens");
    let data = |byte| DataDigest::of_files(&[9; 32], &[Digest([byte; 32])]);
    for (round, read) in [None, Some(data(7)), Some(data(7)), Some(data(8)), None].into_iter().enumerate() {
        ledger.trains_on(read);
        let reserved = ledger.reserve(ask("job", round as u32, gaussian(BOUND * 20))).expect("room");
        assert!(ledger.commit(reserved, update(BOUND * 20)).is_ok());
    }
    drop(ledger);
    let bytes = std::fs::read(dir.path().join(JOURNAL_FILE)).expect("a journal");
    assert!(!bytes.windows(32).any(|window| window == [7; 32]), "the digest itself is not in the ledger");
    let entries = Journal::open(dir.path()).expect("opens").1.entries;
    let tags: Vec<Option<DataTag>> = entries
        .iter()
        .filter_map(|(_, entry)| match &entry.event {
            Event::Commit { data, .. } => Some(*data),
            _ => None,
        })
        .collect();
    let is_of =
        |byte| tags.iter().map(|tag| tag.is_some_and(|tag| tag.is_of(&data(byte)))).collect::<Vec<_>>();
    assert_eq!(tags.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, true, true, false]);
    assert_eq!(is_of(7), [false, true, true, false, false]);
    assert_eq!(is_of(8), [false, false, false, true, false]);
    assert_ne!(tags[1], tags[2], "two tags of the same data are not alike");
}

#[test]
fn settling_never_changes_the_sum() {
    let mut ledger = simulated();
    let reserved = ledger.reserve(ask("job", 0, gaussian(BOUND * 20))).expect("room");
    let committed = ledger.commit(reserved, update(BOUND * 20)).expect("as reserved");
    let spent = ledger.spent();
    ledger.settle(committed.sid(), Outcome::Aborted).expect("committed");
    assert_eq!(ledger.spent(), spent);
    assert!(ledger.settle(committed.sid(), RELEASED).is_err(), "once");
    assert_eq!(ledger.spent(), spent);
}

#[test]
fn rounds_without_privacy_are_recorded_and_labelled() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut ledger, _) = Ledger::open(dir.path(), LIMIT).expect("opens");
    let mut reservation = ask("open", 0, Protection::None);
    reservation.label = "NO PRIVACY (privacy = \"none\")".into();
    let reserved = ledger.reserve(reservation).expect("costs nothing, claims nothing");
    assert!(ledger.commit(reserved, bare().seal(RingWidth::Bits64)).is_ok());
    assert_eq!(ledger.spent(), PicoRho::ZERO);
    let reserved = ledger.reserve(ask("noised", 0, gaussian(BOUND * 20))).expect("room");
    let sent = ledger.commit(reserved, bare().seal(RingWidth::Bits64));
    assert!(sent.is_err(), "a charge for noise does not send an update without");
    drop(ledger);
    let entries = Journal::open(dir.path()).expect("opens").1.entries;
    let recorded = entries.iter().find_map(|(_, entry)| match &entry.event {
        Event::Reserve { reservation, .. } => Some((reservation.protection, reservation.label.clone())),
        _ => None,
    });
    assert_eq!(recorded, Some((Protection::None, "NO PRIVACY (privacy = \"none\")".into())));
}

#[test]
fn a_budget_that_is_none_is_refused() {
    for (epsilon, delta) in [(0.0, 1e-6), (f64::NAN, 1e-6), (f64::INFINITY, 1e-6), (1.0, 0.0), (1.0, 1.0)] {
        let limit = BudgetLimit { epsilon, delta };
        assert!(matches!(Ledger::simulated(limit), Err(LedgerError::Limit { .. })), "{limit:?}");
    }
    let empty = LedgerState::default();
    let reserve = Event::Reserve { reservation: ask("job", 0, gaussian(BOUND * 20)), time_unix_s: 0 };
    assert!(matches!(empty.decide(reserve), Err(LedgerError::NoPolicy)));
}

#[test]
fn sixty_four_at_once_never_exceed_the_budget() {
    let sigma = calibrate_local(LIMIT.epsilon, LIMIT.delta, 10, BOUND, 1).expect("fits");
    let dir = tempfile::tempdir().expect("a folder");
    let ledger = Arc::new(Mutex::new(Ledger::open(dir.path(), LIMIT).expect("opens").0));
    let threads: Vec<_> = (0..64)
        .map(|i| {
            let ledger = Arc::clone(&ledger);
            std::thread::spawn(move || {
                let job = format!("job{i}");
                let reserved = ledger.lock().expect("no panic").reserve(ask(&job, 0, gaussian(sigma)));
                let Ok(reserved) = reserved else { return 0 };
                ledger.lock().expect("no panic").commit(reserved, update(sigma)).map_or(0, |_| 1)
            })
        })
        .collect();
    let committed: usize = threads.into_iter().map(|t| t.join().expect("no panic")).sum();
    assert_eq!(committed, 10);
    let ledger = ledger.lock().expect("no panic");
    assert!(ledger.spent() <= ledger.rho_limit());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Any sequence of commands: the budget holds at every prefix, the sum is that of what was not refunded, and
    /// replaying the entries gives the same state.
    #[test]
    fn the_budget_is_a_function_of_the_entries(steps in prop::collection::vec((0u8..5, 0u64..12, 1u64..8), 1..80)) {
        let mut ledger = simulated();
        let mut open: Vec<Reserved> = Vec::new();
        let mut expected = 0u128;
        for (step, (kind, which, size)) in steps.into_iter().enumerate() {
            match kind {
                0 | 1 => {
                    let job = format!("job{}", which % 3);
                    let reserved = ledger.reserve(ask(&job, step as u32, gaussian(BOUND * size)));
                    if let Ok(reserved) = reserved {
                        expected += reserved.charge().pico();
                        open.push(reserved);
                    }
                }
                2 if !open.is_empty() => {
                    let reserved = open.remove(which as usize % open.len());
                    let Protection::Gaussian { noise_standard_deviation_local, .. } = reserved.protection() else { continue };
                    prop_assert!(ledger.commit(reserved, update(noise_standard_deviation_local)).is_ok());
                }
                3 if !open.is_empty() => {
                    let reserved = open.remove(which as usize % open.len());
                    expected -= reserved.charge().pico();
                    prop_assert!(ledger.refund(reserved).is_ok());
                }
                _ => {
                    let known: Vec<Digest> = open.iter().map(Reserved::sid).collect();
                    for sid in known {
                        prop_assert!(ledger.settle(sid, RELEASED).is_err(), "not committed");
                    }
                }
            }
            prop_assert_eq!(ledger.spent().pico(), expected);
            prop_assert!(ledger.spent() <= ledger.rho_limit());
        }
        prop_assert_eq!(ledger.state().open_sessions().len(), open.len());
    }
}
