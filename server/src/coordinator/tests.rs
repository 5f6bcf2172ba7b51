mod masked;

use guildhall_shared::id::Name;
use guildhall_shared::identity::{DecodedRoster, Roster, RosterEntry};
use guildhall_shared::job::{Aggregation, ClippingSpec, JobSpec, PrivacySpec, RoundSpec, Unit};
use guildhall_shared::message::{Accept, Decline, Offer, UpdateHeader};
use guildhall_shared::model_spec::Architecture;
use guildhall_shared::optimizer::{OptimizerSpec, UpdateRule};
use guildhall_shared::ring::RingVector;
use guildhall_shared::round_parameters::RoundParameters;
use guildhall_shared::secagg::MaskGenerator;
use guildhall_shared::task::Task;

use super::*;

const D: usize = 4;
const BACK_OFF_MS: u64 = 10;
const ACCEPT_MS: u64 = 100;
const UPDATE_MS: u64 = 1_000;

fn key(merchant: u16) -> IdentityKey {
    IdentityKey::from_secret(&[merchant as u8 + 1; 32])
}

fn roster(merchants: u16) -> Arc<DecodedRoster> {
    let entry = |i: u16| RosterEntry {
        name: Name::new(format!("merchant-{i}")).expect("legal"),
        region: Name::new("eu").expect("legal"),
        identity: key(i).public(),
        certificate: Digest([i as u8; 32]),
    };
    Arc::new(Roster { federation: Digest([9; 32]), entries: (0..merchants).map(entry).collect() }.decode())
}

fn spec(rounds: u32, quorum: u32) -> JobSpec {
    JobSpec {
        name: Name::new("job").expect("legal"),
        purpose: "test".into(),
        task: Task::Dummy { parameters: D },
        architecture: Architecture::Vector,
        seed: 1,
        rounds,
        optimizer: OptimizerSpec {
            rule: UpdateRule::Sgd { momentum: 0.5 },
            learning_rate: 0.1,
            average_last_rounds: 0,
        },
        clipping: ClippingSpec { norm_l2: 1.0, bound: 1 << 10 },
        adaptive_clip: None,
        privacy: PrivacySpec::None { unit: Unit::Row },
        round: RoundSpec {
            aggregation: Aggregation::Plain,
            colluders_min: 0,
            mask_generator: MaskGenerator::Aes256Ctr,
            quorum,
            accept_deadline_ms: ACCEPT_MS,
            update_deadline_ms: UPDATE_MS,
            upload_slot_ms: 0,
            expected_shoppers: 10,
            shoppers_per_merchant_max: 10,
            participation_rate: 1.0,
        },
    }
}

struct Bench {
    coordinator: Coordinator,
    roster: Arc<DecodedRoster>,
    out: Vec<Output>,
    now: u64,
}

impl Bench {
    fn new(merchants: u16, rounds: u32, quorum: u32) -> Self {
        Self::resumed(merchants, rounds, quorum, |progress| progress)
    }

    fn resumed(merchants: u16, rounds: u32, quorum: u32, change: impl FnOnce(Progress) -> Progress) -> Self {
        let roster = roster(merchants);
        let mut coordinator = Coordinator::new(Setup {
            federation: Digest([9; 32]),
            key: IdentityKey::from_secret(&[99; 32]),
            roster: Arc::clone(&roster),
            nonce_seed: [5; 32],
            back_off_ms: BACK_OFF_MS,
        });
        let spec = spec(rounds, quorum);
        let parameters = RoundParameters::derive(&spec, u32::from(merchants)).expect("fits");
        let state = ModelState::initial(&spec);
        let mut out = Vec::new();
        let progress =
            change(Progress { spec, parameters, version: 0, state, settled: 0, last_attempt: None });
        coordinator.start_job(progress, 0, &mut out);
        Bench { coordinator, roster, out, now: 0 }
    }

    fn feed(&mut self, input: Input<'_>) -> Result<(), CoordinatorError> {
        self.coordinator.handle(self.now, input, &mut self.out)
    }

    fn job(&self) -> &RunningJob {
        self.coordinator.job().expect("a job")
    }

    fn join(&mut self, who: u16) {
        self.feed(Input::Joined(MerchantIndex(who))).expect("good");
    }

    fn ready(&mut self, who: u16) {
        let ready =
            Ready { job: self.job().digest(), version: self.job().version(), model: self.job().model() };
        self.feed(Input::Ready { from: MerchantIndex(who), ready }).expect("good");
    }

    fn join_ready(&mut self, who: impl IntoIterator<Item = u16>) {
        for who in who {
            self.join(who);
            self.ready(who);
        }
    }

    /// Offers sent since the last call, by receiver; everything sent so far is forgotten.
    fn offers(&mut self) -> BTreeMap<u16, Offer> {
        let offer = |output| match output {
            Output::Send { to, message: ServerMessage::Offer(offer) } => Some((to.0, offer)),
            _ => None,
        };
        std::mem::take(&mut self.out).into_iter().filter_map(offer).collect()
    }

    fn accept(&mut self, who: u16, offer: &Offer) -> Result<(), CoordinatorError> {
        let parameters = offer.parameters.digest(&offer.job, &self.roster.digest());
        let accept = Accept::sign(offer.sid(), offer.model, parameters, &key(who));
        self.feed(Input::Message { from: MerchantIndex(who), message: RoundMessage::Accept(accept) })
    }

    fn update(&mut self, who: u16, offer: &Offer, values: [i64; D]) -> Result<(), CoordinatorError> {
        let mut words = Vec::new();
        offer.parameters.ring.write(&values, &mut words);
        let header = UpdateHeader::sign(
            offer.sid(),
            Digest::of_bytes(&words),
            guildhall_shared::tree_head::TreeHead::EMPTY,
            &key(who),
        );
        let message = RoundMessage::Update { header, words: &words };
        self.feed(Input::Message { from: MerchantIndex(who), message })
    }

    fn wake(&mut self) {
        self.now = self.coordinator.wake_at().expect("a wish to be woken");
        self.feed(Input::Timeout).expect("good");
    }

    /// One whole round among these merchants; returns the release.
    fn settle(&mut self, who: &[u16]) -> Release {
        let offers = self.offers();
        for who in who {
            self.accept(*who, &offers[who]).expect("accepted");
        }
        for who in who {
            self.update(*who, &offers[who], [i64::from(*who) + 1; D]).expect("added");
        }
        let release = |output| match output {
            Output::Release(release) => Some(*release),
            _ => None,
        };
        let position = self.out.iter().position(|o| matches!(o, Output::Release(_))).expect("a release");
        release(self.out.remove(position)).expect("a release")
    }
}

#[test]
fn the_first_attempt_waits_for_the_whole_roster_but_not_forever() {
    let mut bench = Bench::new(3, 2, 2);
    bench.join_ready([0]);
    assert_eq!(bench.coordinator.wake_at(), None, "no quorum: nothing to wait for");
    bench.join_ready([1]);
    assert!(bench.offers().is_empty(), "the third may be on its way");
    bench.wake();
    assert_eq!(bench.now, ACCEPT_MS);
    assert!(bench.offers().keys().eq(&[0, 1]));

    let mut bench = Bench::new(3, 2, 2);
    bench.join_ready([0, 1, 2]);
    assert!(bench.offers().keys().eq(&[0, 1, 2]), "everybody is here: start at once");
}

#[test]
fn an_attempt_is_recorded_before_its_offer_and_a_release_before_the_next_offer() {
    let mut bench = Bench::new(2, 2, 2);
    bench.join_ready([0, 1]);
    let recorded = bench.out.iter().position(|o| matches!(o, Output::RecordAttempt(_))).expect("recorded");
    let offered = bench
        .out
        .iter()
        .position(|o| matches!(o, Output::Send { message: ServerMessage::Offer(_), .. }))
        .expect("sent");
    assert!(recorded < offered);
    bench.settle(&[0, 1]);
    assert!(bench.offers().is_empty(), "nobody has derived version 1 yet");
    bench.ready(0);
    assert!(bench.offers().is_empty(), "merchant 1 is worth waiting for");
    bench.ready(1);
    assert_eq!(bench.offers().len(), 2);
}

#[test]
fn the_release_is_what_everybody_computes_and_is_signed() {
    let mut bench = Bench::new(3, 2, 2);
    bench.join_ready([0, 1, 2]);
    let release = bench.settle(&[0, 1, 2]);
    let mut sum = RingVector::zero(bench.job().parameters().ring, D);
    sum.add_bytes(&release.words).expect("the right length");
    assert_eq!(sum.centred(), [6; D]);
    let spec = spec(2, 2);
    let expected = ModelState::initial(&spec).next(&spec, &[6; D]).expect("the right length");
    assert_eq!(release.header.model, expected.hash(&spec.model()));
    assert_eq!(release.header.sum, Digest::of_bytes(&release.words));
    assert_eq!(release.header.version, 1);
    assert_eq!(release.header.round, RoundId { round: 0, attempt: 0 });
    assert_eq!(release.header.verify(&IdentityKey::from_secret(&[99; 32]).public()), Ok(()));
    assert!(release.privacy.contains("NO PRIVACY"));
    assert_eq!(bench.job().state(), &expected);
}

#[test]
fn a_job_ends_after_its_rounds_and_late_merchants_hear_of_it() {
    let mut bench = Bench::new(2, 2, 1);
    bench.join_ready([0, 1]);
    for _ in 0..2 {
        bench.settle(&[0, 1]);
        let version = bench.job().version();
        let finished = bench
            .out
            .iter()
            .filter(|o| matches!(o, Output::Send { message: ServerMessage::Finished(_), .. }))
            .count();
        assert_eq!(finished, if version == 2 { 2 } else { 0 });
        bench.ready(0);
        bench.ready(1);
    }
    assert!(bench.out.iter().any(|o| matches!(o, Output::Event(Event::JobFinished { version: 2, .. }))));
    assert!(bench.offers().is_empty());
    assert_eq!(bench.coordinator.wake_at(), None);
    bench.feed(Input::Left(MerchantIndex(1))).expect("good");
    bench.join_ready([1]);
    let told =
        |o: &Output| matches!(o, Output::Send { to: MerchantIndex(1), message: ServerMessage::Finished(_) });
    assert_eq!(bench.out.iter().filter(|o| told(o)).count(), 1);
}

#[test]
fn an_abort_is_followed_by_a_growing_pause_and_the_next_attempt() {
    let mut bench = Bench::new(2, 1, 2);
    bench.join_ready([0, 1]);
    for attempt in 0..3u32 {
        let offers = bench.offers();
        assert_eq!(offers[&0].round, RoundId { round: 0, attempt });
        bench.accept(0, &offers[&0]).expect("accepted");
        bench.wake();
        assert!(bench.out.iter().any(|o| matches!(o, Output::Event(Event::RoundAborted { .. }))));
        let aborted_at = bench.now;
        bench.wake();
        assert_eq!(bench.now - aborted_at, BACK_OFF_MS << attempt);
    }
    let offers = bench.offers();
    for who in [0, 1] {
        bench.accept(who, &offers[&who]).expect("accepted");
    }
    for who in [0, 1] {
        bench.update(who, &offers[&who], [1; D]).expect("added");
    }
    assert!(bench.job().is_finished());
}

#[test]
fn attempts_of_one_round_have_distinct_sessions_and_increasing_numbers_across_restarts() {
    let last = RoundId { round: 0, attempt: 6 };
    let mut bench = Bench::resumed(1, 1, 1, |progress| Progress { last_attempt: Some(last), ..progress });
    bench.join_ready([0]);
    let offer = bench.offers().remove(&0).expect("an offer");
    assert_eq!(offer.round, RoundId { round: 0, attempt: 7 });
    bench.wake();
    bench.wake();
    let second = bench.offers().remove(&0).expect("an offer");
    assert_eq!(second.round.attempt, 8);
    assert_ne!(offer.nonce, second.nonce);
    assert_ne!(offer.sid(), second.sid());
}

#[test]
fn who_derived_another_model_is_refused_and_gets_no_offer() {
    let mut bench = Bench::new(2, 1, 1);
    bench.join(0);
    let (job, model) = (bench.job().digest(), bench.job().model());
    let from = MerchantIndex(0);
    let verdict = bench.feed(Input::Ready { from, ready: Ready { job, version: 0, model: Digest([1; 32]) } });
    assert!(matches!(verdict, Err(CoordinatorError::Diverged { .. })));
    assert!(verdict.expect_err("diverged").to_string().contains("merchant-0"));
    let verdict = bench.feed(Input::Ready { from, ready: Ready { job, version: 1, model } });
    assert!(matches!(verdict, Err(CoordinatorError::Version { expected: 0, found: 1, .. })));
    let verdict = bench.feed(Input::Ready { from, ready: Ready { job: Digest([1; 32]), version: 0, model } });
    assert!(matches!(verdict, Err(CoordinatorError::Job { .. })));
    assert_eq!(bench.coordinator.wake_at(), None);
    assert!(bench.offers().is_empty());
}

#[test]
fn an_update_without_an_attempt_is_refused_with_a_receipt() {
    let mut bench = Bench::new(1, 2, 1);
    bench.join_ready([0]);
    let offer = bench.offers().remove(&0).expect("an offer");
    bench.accept(0, &offer).expect("accepted");
    bench.update(0, &offer, [1; D]).expect("added");
    bench.out.clear();
    let verdict = bench.update(0, &offer, [1; D]);
    assert!(matches!(verdict, Err(CoordinatorError::NoAttempt { .. })));
    let refused = |o: &Output| matches!(o, Output::Send { message: ServerMessage::Receipt(r), .. } if matches!(r.verdict, Verdict::Refused(_)));
    assert_eq!(bench.out.iter().filter(|o| refused(o)).count(), 1);
    assert_eq!(bench.out.len(), 1);
}

#[test]
fn updates_are_expected_only_while_they_are_collected() {
    let mut bench = Bench::new(2, 1, 2);
    bench.join_ready([0, 1]);
    assert_eq!(bench.coordinator.expected_update(), None, "still selecting");
    let offers = bench.offers();
    for who in [0, 1] {
        bench.accept(who, &offers[&who]).expect("accepted");
    }
    let expected = bench.coordinator.expected_update().expect("collecting");
    assert_eq!(
        (expected.sid, expected.vector_bytes),
        (offers[&0].sid(), D * offers[&0].parameters.ring.bytes())
    );
    assert_eq!(expected.participants.len(), 2);
    bench.now = UPDATE_MS + 1;
    bench.feed(Input::Timeout).expect("good");
    assert_eq!(bench.coordinator.expected_update(), None);
}

#[test]
fn a_roll_back_ends_the_attempt_and_becomes_the_next_version() {
    let mut bench = Bench::new(1, 3, 1);
    bench.join_ready([0]);
    bench.settle(&[0]);
    bench.ready(0);
    let offer = bench.offers().remove(&0).expect("an offer");
    bench.accept(0, &offer).expect("accepted");
    let spec = spec(3, 1);
    let state = ModelState::initial(&spec);
    let model = state.hash(&spec.model());
    let roll_back = RollBack {
        job: spec.digest(),
        version: 2,
        to: 0,
        model,
        signature: guildhall_shared::identity::Signature([[0; 32]; 2]),
    };
    bench.out.clear();
    bench.feed(Input::RolledBack { roll_back, state: Box::new(state) }).expect("good");
    assert!(bench.out.iter().any(|o| matches!(o, Output::Send { message: ServerMessage::Abort(_), .. })));
    assert!(bench.out.contains(&Output::PublishVersion(2)));
    assert_eq!((bench.job().version(), bench.job().settled(), bench.job().model()), (2, 1, model));
    bench.ready(0);
    let offer = bench.offers().remove(&0).expect("an offer");
    assert_eq!((offer.version, offer.model, offer.round), (2, model, RoundId { round: 1, attempt: 1 }));
}

#[test]
fn shutdown_tells_the_participants() {
    let mut bench = Bench::new(2, 1, 2);
    bench.join_ready([0, 1]);
    bench.out.clear();
    bench.feed(Input::Shutdown).expect("good");
    let aborts = bench
        .out
        .iter()
        .filter(|o| matches!(o, Output::Send { message: ServerMessage::Abort(_), .. }))
        .count();
    assert_eq!(aborts, 2);
    assert_eq!(bench.coordinator.wake_at(), None);
}

#[test]
fn whoever_is_late_with_the_newest_version_is_left_out_unless_it_is_needed() {
    for (quorum, expected) in [(1, vec![0]), (2, vec![0, 1])] {
        let mut bench = Bench::new(2, 2, quorum);
        bench.join_ready([0, 1]);
        bench.settle(&[0, 1]);
        bench.ready(0);
        assert!(bench.offers().is_empty());
        bench.wake();
        assert_eq!(bench.now, ACCEPT_MS, "the patience of one accept deadline");
        assert_eq!(bench.offers().into_keys().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_silent_merchant_is_waited_for_once_until_it_is_ready_again() {
    let mut bench = Bench::new(3, 5, 2);
    bench.join_ready([0, 1, 2]);
    bench.settle(&[0, 1, 2]);
    bench.ready(0);
    bench.ready(1);
    bench.wake();
    let waited_until = bench.now;
    assert_eq!(waited_until, ACCEPT_MS);
    bench.settle(&[0, 1]);
    bench.ready(0);
    bench.ready(1);
    assert!(bench.out.iter().any(|o| matches!(o, Output::Send { message: ServerMessage::Offer(_), .. })));
    bench.settle(&[0, 1]);
    assert_eq!(bench.now, waited_until, "nobody waited for merchant 2 a second time");
    bench.ready(2);
    bench.ready(0);
    bench.ready(1);
    assert!(bench.offers().keys().eq(&[0, 1, 2]), "ready again, it takes part again");
}
