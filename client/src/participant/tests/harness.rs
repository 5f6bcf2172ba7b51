//! A server that keeps to the rules (tests bend its messages), and a shell that performs outputs and checks their order.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::{MerchantIndex, Name, RoundId};
use guildhall_shared::identity::{IdentityKey, Roster, RosterEntry, Signature, SignedRoster};
use guildhall_shared::job::{ClippingSpec, JobSpec, PrivacySpec, RoundSpec, Unit};
use guildhall_shared::message::{
    Begin, ClientMessage, DeclineReason, Job, Offer, ResultHeader, RollBack, ServerMessage, Welcome,
};
use guildhall_shared::model_spec::Architecture;
use guildhall_shared::model_state::ModelState;
use guildhall_shared::optimizer::{OptimizerSpec, UpdateRule};
use guildhall_shared::round_parameters::RoundParameters;
use guildhall_shared::task::{FeatureSpec, Task, Transform};

use crate::participant::{
    Input, JobPattern, Outcome, Output, Participant, Permission, Policy, Refused, Report, ReserveRefusal,
    Standing,
};

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// Logistic regression on two inputs: three weights.
pub fn job() -> JobSpec {
    let feature =
        |column: &str| FeatureSpec { column: column.into(), transform: Transform::Positive, scale: 1.0 };
    JobSpec {
        name: name("intent"),
        purpose: "a test".into(),
        task: Task::Tabular { features: vec![feature("x"), feature("y")] },
        architecture: Architecture::LogisticRegression,
        seed: 7,
        rounds: 20,
        optimizer: OptimizerSpec {
            rule: UpdateRule::Sgd { momentum: 0.5 },
            learning_rate: 0.1,
            average_last_rounds: 2,
        },
        clipping: ClippingSpec { norm_l2: 1.0, bound: 1 << 10 },
        privacy: PrivacySpec::Gaussian {
            unit: Unit::Shopper,
            epsilon: 1.0,
            delta: 1e-6,
            noise_standard_deviation: 1 << 14,
        },
        round: RoundSpec {
            quorum: 2,
            accept_deadline_ms: 1_000,
            update_deadline_ms: 5_000,
            upload_slot_ms: 100,
            expected_shoppers: 10,
            shoppers_per_merchant_max: 10,
            participation_rate: 1.0,
        },
    }
}

pub const OWN_SECRET: [u8; 32] = [2; 32];
pub const OWN_CERTIFICATE: Digest = Digest([102; 32]);
pub const FEDERATION: Digest = Digest([200; 32]);

pub fn federation_key() -> IdentityKey {
    IdentityKey::from_secret(&[100; 32])
}

pub fn standing() -> Standing {
    Standing {
        merchant: name("b"),
        identity: IdentityKey::from_secret(&OWN_SECRET),
        certificate: OWN_CERTIFICATE,
        federation: FEDERATION,
        federation_key: federation_key().public(),
        policy: Policy {
            jobs: vec![JobPattern::new("*").unwrap()],
            plain_mode: Permission::Allowed,
            privacy_none: Permission::Denied,
        },
        software: name("test"),
    }
}

/// An honest server of three merchants a, b (the client) and c.
pub struct Server {
    pub key: IdentityKey,
    pub roster: Roster,
    pub job: JobSpec,
    history: Vec<ModelState>,
}

impl Server {
    pub fn new(job: JobSpec) -> Self {
        let entry = |text: &str, secret: [u8; 32], certificate| RosterEntry {
            name: name(text),
            region: name("eu"),
            identity: IdentityKey::from_secret(&secret).public(),
            certificate,
        };
        let entries = vec![
            entry("a", [1; 32], Digest([101; 32])),
            entry("b", OWN_SECRET, OWN_CERTIFICATE),
            entry("c", [3; 32], Digest([103; 32])),
        ];
        let roster = Roster { federation: FEDERATION, entries };
        let history = vec![ModelState::initial(&job)];
        Server { key: federation_key(), roster, job, history }
    }

    pub fn version(&self) -> u32 {
        self.history.len() as u32 - 1
    }

    fn hash(&self, version: u32) -> Digest {
        self.history[version as usize].hash(&self.job.model())
    }

    /// Every version from 1 on.
    pub fn hashes(&self) -> BTreeMap<u32, Digest> {
        (1..=self.version()).map(|version| (version, self.hash(version))).collect()
    }

    pub fn parameters(&self) -> RoundParameters {
        RoundParameters::derive(&self.job, self.roster.len() as u32).unwrap()
    }

    pub fn signed_roster(&self) -> SignedRoster {
        SignedRoster::sign(self.roster.clone(), &self.key).unwrap()
    }

    pub fn welcome(&self) -> Welcome {
        Welcome { federation: self.roster.federation, roster: Some(self.signed_roster()) }
    }

    pub fn announcement(&self) -> Job {
        Job::sign(self.job.clone(), self.roster.digest(), self.version(), &self.key)
    }

    pub fn offer(&self, round: RoundId) -> Offer {
        Offer {
            federation: FEDERATION,
            job: self.job.digest(),
            round,
            version: self.version(),
            model: self.hash(self.version()),
            parameters: self.parameters(),
            roster: self.roster.digest(),
            nonce: [round.round as u8 ^ 0x55; 32],
            signature: Signature([[0; 32]; 2]),
        }
        .sign(&self.key)
    }

    pub fn begin(&self, offer: &Offer) -> Begin {
        Begin { sid: offer.sid(), participants: vec![MerchantIndex(1), MerchantIndex(2)] }
    }

    /// The next version from a sum.
    pub fn settle(&mut self, offer: &Offer, sum: &[i64]) -> (ResultHeader, Vec<u8>) {
        let next = self.history.last().unwrap().next(&self.job, sum).unwrap();
        self.history.push(next);
        let mut words = vec![];
        self.parameters().ring.write(sum, &mut words);
        let header = ResultHeader {
            job: self.job.digest(),
            sid: offer.sid(),
            round: offer.round,
            version: self.version(),
            model: self.hash(self.version()),
            contributors: vec![MerchantIndex(1), MerchantIndex(2)],
            sum: Digest::of_bytes(&words),
            signature: Signature([[0; 32]; 2]),
        };
        (header.sign(&self.key), words)
    }

    pub fn roll_back(&mut self, to: u32) -> RollBack {
        self.history.push(self.history[to as usize].clone());
        RollBack {
            job: self.job.digest(),
            version: self.version(),
            to,
            model: self.hash(to),
            signature: Signature([[0; 32]; 2]),
        }
        .sign(&self.key)
    }
}

/// Performs outputs as the driver does, and asserts on the spot what must hold of every sequence of them.
pub struct Shell {
    pub participant: Participant,
    pub now_ms: u64,
    pub sent: Vec<ClientMessage>,
    pub reports: Vec<Report>,
    pub pins: usize,
    pub reserved: Vec<(RoundId, Digest)>,
    pub refunded: Vec<Digest>,
    pub trains: Vec<Digest>,
    pub committed: Vec<Digest>,
    pub uploads: Vec<Digest>,
    pub settled: Vec<(Digest, Outcome)>,
    pub stored: BTreeMap<u32, Digest>,
    pub kept: BTreeSet<u32>,
    pub over_budget: bool,
    /// Training goes on until [`Shell::finish_training`].
    pub hold_training: bool,
    pub ledger_seen: Option<RoundId>,
    /// Begin times, for the slot.
    begun_ms: BTreeMap<Digest, u64>,
    disk: BTreeMap<u32, Arc<ModelState>>,
    model0: Arc<ModelState>,
    slot_ms: u64,
}

impl Shell {
    pub fn new(server: &Server) -> Self {
        Self::with(standing(), server)
    }

    pub fn with(standing: Standing, server: &Server) -> Self {
        Shell {
            participant: Participant::new(standing, None).unwrap(),
            now_ms: 0,
            sent: vec![],
            reports: vec![],
            pins: 0,
            reserved: vec![],
            refunded: vec![],
            trains: vec![],
            committed: vec![],
            uploads: vec![],
            settled: vec![],
            stored: BTreeMap::new(),
            kept: BTreeSet::new(),
            over_budget: false,
            hold_training: false,
            ledger_seen: None,
            begun_ms: BTreeMap::new(),
            disk: BTreeMap::new(),
            model0: Arc::new(ModelState::initial(&server.job)),
            slot_ms: server.job.round.upload_slot_ms,
        }
    }

    pub fn connect(&mut self) {
        self.feed(Input::Connected).unwrap();
    }

    pub fn disconnect(&mut self) {
        self.feed(Input::Disconnected).unwrap();
    }

    pub fn hear(&mut self, message: impl Into<ServerMessage>) -> Result<(), Refused> {
        self.feed(Input::Message(message.into()))
    }

    pub fn result(&mut self, header: ResultHeader, words: Vec<u8>) -> Result<(), Refused> {
        self.feed(Input::Result { header, words })
    }

    pub fn wake_at(&mut self, at_ms: u64) {
        self.now_ms = self.now_ms.max(at_ms);
        self.feed(Input::Woke).unwrap();
    }

    pub fn finish_training(&mut self) {
        let open: Vec<Digest> = self.trains.clone();
        self.hold_training = false;
        for sid in open {
            self.feed(Input::Trained { sid }).unwrap();
        }
    }

    /// A new process: what was pinned, reserved and stored remains.
    pub fn restart(&mut self, server: &Server) {
        self.disconnect();
        self.participant = Participant::new(standing(), Some(&server.signed_roster())).unwrap();
        self.ledger_seen = self.reserved.iter().map(|(round, _)| *round).max();
        self.connect();
        self.hear(server.welcome()).unwrap();
        self.hear(server.announcement()).unwrap();
    }

    pub fn forget_versions(&mut self, versions: RangeInclusive<u32>) {
        self.disk.retain(|version, _| !versions.contains(version));
    }

    pub fn feed(&mut self, input: Input) -> Result<(), Refused> {
        let mut verdict = None;
        let mut inputs = std::collections::VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut out = vec![];
            let said = self.participant.handle(self.now_ms, input, &mut out);
            verdict.get_or_insert(said);
            for output in out {
                inputs.extend(self.perform(output));
            }
        }
        verdict.unwrap()
    }

    fn perform(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Send(message) => {
                if let ClientMessage::Accept(accept) = &message {
                    assert!(self.is_open(&accept.sid), "an acceptance follows a durable reservation");
                }
                self.sent.push(message);
            }
            Output::PinRoster(_) => self.pins += 1,
            Output::OpenJob { .. } => return Some(self.open_job()),
            Output::LoadModel { version } => {
                return Some(Input::ModelLoaded { version, state: self.disk.get(&version).cloned() });
            }
            Output::StoreModel { version, model, state, keep } => {
                if keep {
                    self.kept.insert(version);
                }
                self.disk.insert(version, state);
                self.stored.insert(version, model);
            }
            Output::Reserve(order) => return Some(self.reserve(order.round, order.sid)),
            Output::Refund { sid } => {
                assert!(self.is_open(&sid), "a refund is for an open reservation");
                self.refunded.push(sid);
            }
            Output::Train(order) => {
                assert!(
                    self.is_open(&order.sid) && !self.trains.contains(&order.sid),
                    "one training per attempt"
                );
                self.trains.push(order.sid);
                self.begun_ms.insert(order.sid, self.now_ms);
                return (!self.hold_training).then_some(Input::Trained { sid: order.sid });
            }
            Output::Commit { sid } => {
                assert!(self.is_open(&sid) && self.trains.contains(&sid), "a commitment follows training");
                self.committed.push(sid);
                return Some(Input::Committed { sid, hash: sid });
            }
            Output::Upload { header } => self.upload(header.sid),
            Output::Settle { sid, outcome } => {
                assert!(self.committed.contains(&sid), "only commitments settle");
                assert!(self.settled.iter().all(|(settled, _)| *settled != sid), "and once");
                self.settled.push((sid, outcome));
            }
            Output::Report(report) => self.reports.push(report),
            Output::WakeAt { .. } => {}
        }
        None
    }

    fn open_job(&self) -> Input {
        let newest = self.disk.last_key_value().map(|(version, state)| (*version, Arc::clone(state)));
        let (version, state) = newest.unwrap_or((0, Arc::clone(&self.model0)));
        Input::JobOpened { version, state, seen: self.ledger_seen, objection: None }
    }

    fn reserve(&mut self, round: RoundId, sid: Digest) -> Input {
        assert!(
            self.reserved.iter().all(|(seen, _)| *seen < round),
            "rounds are reserved in order, each once"
        );
        assert!(self.reserved.iter().all(|(_, open)| !self.is_open(open)), "one live attempt");
        assert!(!self.is_stopped(), "nothing after a contradiction");
        if self.over_budget {
            let explanation = "the privacy budget is exhausted".into();
            let refusal = ReserveRefusal { reason: DeclineReason::OverBudget, explanation };
            return Input::ReserveRefused { sid, refusal };
        }
        self.reserved.push((round, sid));
        Input::Reserved { sid }
    }

    fn upload(&mut self, sid: Digest) {
        assert!(self.committed.contains(&sid), "the commitment is durable before the first byte");
        assert!(!self.uploads.contains(&sid), "one upload per session id");
        assert!(self.now_ms >= self.begun_ms[&sid] + self.slot_ms, "not before the slot");
        assert!(!self.refunded.contains(&sid));
        self.uploads.push(sid);
    }

    /// Reserved, neither refunded nor committed.
    pub fn is_open(&self, sid: &Digest) -> bool {
        self.reserved.iter().any(|(_, reserved)| reserved == sid)
            && !self.refunded.contains(sid)
            && !self.committed.contains(sid)
    }

    pub fn accepts(&self) -> usize {
        self.sent.iter().filter(|sent| sent.name() == "Accept").count()
    }

    pub fn declines(&self) -> usize {
        self.sent.iter().filter(|sent| sent.name() == "Decline").count()
    }

    pub fn last_decline(&self) -> Option<DeclineReason> {
        match self.sent.last() {
            Some(ClientMessage::Decline(decline)) => Some(decline.reason),
            _ => None,
        }
    }

    pub fn is_stopped(&self) -> bool {
        self.reports.iter().any(|report| matches!(report, Report::Stopped { .. }))
    }
}
