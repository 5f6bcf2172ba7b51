//! A job, a merchant, and a shell that performs outputs and checks their order.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::{Name, RoundId};
use guildhall_shared::identity::IdentityKey;
use guildhall_shared::job::{Aggregation, ClippingSpec, JobSpec, PrivacySpec, RoundSpec, Unit};
use guildhall_shared::message::{
    ClientMessage, DeclineReason, ResultHeader, ServerMessage, UpdateHeader, WitnessedHead,
};
use guildhall_shared::model_spec::{Architecture, ModelSpec};
use guildhall_shared::model_state::ModelState;
use guildhall_shared::optimizer::{OptimizerSpec, UpdateRule};
use guildhall_shared::ring::RingVector;
use guildhall_shared::secagg::MaskGenerator;
use guildhall_shared::secagg::seed::SessionSeed;
use guildhall_shared::secagg::{SignedHead, Witness};
use guildhall_shared::task::{FeatureSpec, Task, Transform};
use guildhall_shared::tree_head::TreeHead;

use super::server::{NONCE, Server};
use crate::participant::{
    AttemptStage, Input, JobPattern, Outcome, Output, Participant, Permission, Policy, Refused, Report,
    ReserveRefusal, Standing, TrainOrder,
};

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// The same in masked rounds.
pub fn masked_job() -> JobSpec {
    let mut job = job();
    job.round.aggregation = Aggregation::Masked;
    job
}

/// Logistic regression on two inputs, three weights; in plain mode.
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
        adaptive_clip: None,
        privacy: PrivacySpec::Gaussian {
            unit: Unit::Shopper,
            epsilon: 1.0,
            delta: 1e-6,
            noise_standard_deviation: 1 << 14,
        },
        round: RoundSpec {
            aggregation: Aggregation::Plain,
            colluders_min: 0,
            mask_generator: MaskGenerator::Aes256Ctr,
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
    /// Model hashes trained from.
    pub trained_from: Vec<Digest>,
    /// The vector of an attempt, as it would be sent.
    pub vectors: BTreeMap<Digest, Vec<u8>>,
    pub headers: BTreeMap<Digest, UpdateHeader>,
    pub settled: Vec<(Digest, Outcome)>,
    pub stored: BTreeMap<u32, Digest>,
    pub kept: BTreeSet<u32>,
    pub over_budget: bool,
    /// The operating system has no randomness.
    pub without_entropy: bool,
    /// Training goes on until [`Shell::finish_training`].
    pub hold_training: bool,
    pub ledger_seen: Option<RoundId>,
    /// What the server said of the ledger.
    pub compared: Vec<WitnessedHead>,
    /// What dealers said of the ledger.
    pub heads: Vec<SignedHead>,
    /// What the ledger says to that.
    pub objection: Option<String>,
    /// What is kept of others' ledgers.
    pub witness: Witness,
    /// Begin times, for the slot.
    begun_ms: BTreeMap<Digest, u64>,
    disk: BTreeMap<u32, Arc<ModelState>>,
    model0: Arc<ModelState>,
    model: ModelSpec,
    slot_ms: u64,
}

impl Shell {
    pub fn new(server: &Server) -> Self {
        Self::with(standing(), server)
    }

    pub fn with(standing: Standing, server: &Server) -> Self {
        Shell {
            participant: Participant::new(standing, None, Witness::default()).unwrap(),
            now_ms: 0,
            sent: vec![],
            reports: vec![],
            pins: 0,
            reserved: vec![],
            refunded: vec![],
            trains: vec![],
            committed: vec![],
            uploads: vec![],
            trained_from: vec![],
            vectors: BTreeMap::new(),
            headers: BTreeMap::new(),
            settled: vec![],
            stored: BTreeMap::new(),
            kept: BTreeSet::new(),
            over_budget: false,
            without_entropy: false,
            hold_training: false,
            ledger_seen: None,
            compared: Vec::new(),
            heads: Vec::new(),
            objection: None,
            witness: Witness::default(),
            begun_ms: BTreeMap::new(),
            disk: BTreeMap::new(),
            model0: Arc::new(ModelState::initial(&server.job)),
            model: server.job.model(),
            slot_ms: server.job.round.upload_slot_ms,
        }
    }

    pub fn connect(&mut self) {
        self.feed(Input::Connected { nonce: NONCE }).unwrap();
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
        self.participant =
            Participant::new(standing(), Some(&server.signed_roster()), self.witness.clone()).unwrap();
        self.ledger_seen = self.reserved.iter().map(|(round, _)| *round).max();
        self.connect();
        self.hear(server.welcome()).unwrap();
        self.hear(server.announcement()).unwrap();
    }

    pub fn forget_versions(&mut self, versions: RangeInclusive<u32>) {
        self.disk.retain(|version, _| !versions.contains(version));
    }

    pub fn feed(&mut self, input: Input) -> Result<(), Refused> {
        let mut verdict: Option<Result<(), Refused>> = None;
        let mut inputs = std::collections::VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut out = vec![];
            let said = self.participant.handle(self.now_ms, input, &mut out);
            verdict = Some(verdict.unwrap_or(Ok(())).and(said));
            for output in out {
                inputs.extend(self.perform(output));
            }
        }
        verdict.unwrap()
    }

    /// The attempt reserved for last.
    fn live(&self) -> Option<Digest> {
        self.reserved.last().map(|(_, sid)| *sid)
    }

    fn perform(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Send(message) => {
                self.check_sent(&message);
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
                let sid = order.sid;
                self.train(*order);
                return (!self.hold_training).then_some(Input::Trained { sid });
            }
            Output::Commit { sid } => {
                assert!(self.is_open(&sid) && self.trains.contains(&sid), "a commitment follows training");
                self.committed.push(sid);
                let hash = Digest::of_bytes(&self.vectors[&sid]);
                let (round, _) = self.reserved.iter().find(|(_, of)| *of == sid).expect("reserved");
                let head = TreeHead { size: u64::from(10 + round.round * 100 + round.attempt), root: sid };
                return Some(Input::Committed { sid, hash, head });
            }
            Output::Upload { header } => self.upload(header),
            Output::Settle { sid, outcome, .. } => {
                assert!(self.committed.contains(&sid), "only commitments settle");
                assert!(self.settled.iter().all(|(settled, _)| *settled != sid), "and once");
                self.settled.push((sid, outcome));
            }
            Output::CompareLedger { seen } => self.compared.push(seen),
            Output::CompareHeads { sid, seen } => {
                self.heads.extend(seen);
                return Some(Input::LedgerCompared { sid, objection: self.objection.clone() });
            }
            Output::KeepWitness(witness) => {
                assert!(
                    !self.sent.iter().any(|sent| sent.name() == "Certify" && sid_of(sent) == self.live())
                );
                self.witness = *witness;
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
        if self.without_entropy {
            return Input::Impossible { sid, reason: "no entropy".into() };
        }
        Input::Reserved { sid, seed: SessionSeed::from_entropy(Digest::of("seed", &[&sid.0]).0) }
    }

    /// What the merchant adds: small numbers of its own.
    pub const CONTRIBUTION: [i64; 3] = [512, -256, 7];

    fn train(&mut self, order: TrainOrder) {
        let sid = order.sid;
        assert!(self.is_open(&sid) && !self.trains.contains(&sid), "one training per attempt");
        assert_eq!(order.masks.is_some(), order.parameters.secagg.is_some(), "masks in masked rounds");
        self.trains.push(sid);
        self.begun_ms.insert(sid, self.now_ms);
        self.trained_from.push(order.state.hash(&self.model));
        let mut vector = RingVector::from_integers(order.parameters.ring, &Self::CONTRIBUTION);
        if let Some(masks) = order.masks {
            assert_eq!(masks.sid(), sid);
            masks.apply(&mut vector);
        }
        self.vectors.insert(sid, vector.to_bytes());
    }

    /// What must hold of whatever is sent about an attempt.
    fn check_sent(&self, message: &ClientMessage) {
        let (name, sid) = (message.name(), sid_of(message));
        let earlier = |name: &str| self.sent.iter().any(|sent| sent.name() == name && sid_of(sent) == sid);
        let Some(sid) = sid else { return };
        if !matches!(name, "Decline" | "Complaint") {
            assert!(!earlier(name), "{name} is said once in a session");
            assert!(!self.settled.iter().any(|(settled, _)| *settled == sid), "{name} after the end");
            assert!(!self.refunded.contains(&sid), "{name} after a refund");
        }
        let after = match name {
            "Accept" | "Advertise" => self.is_open(&sid),
            "Shares" => self.is_open(&sid) && earlier("Advertise"),
            "Certify" => self.uploads.contains(&sid),
            "Unmask" => earlier("Certify"),
            "Complaint" => !self.committed.contains(&sid),
            // Also the answer to an offer that is repeated.
            _ => true,
        };
        assert!(after, "{name} out of order");
    }

    fn upload(&mut self, header: UpdateHeader) {
        let sid = header.sid;
        assert_eq!(header.hash, Digest::of_bytes(&self.vectors[&sid]), "what was committed is what is sent");
        self.headers.insert(sid, header);
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
        self.count("Accept") + self.count("Advertise")
    }

    pub fn declines(&self) -> usize {
        self.count("Decline")
    }

    /// Messages of a name that were sent.
    pub fn count(&self, name: &str) -> usize {
        self.sent.iter().filter(|sent| sent.name() == name).count()
    }

    /// The last message that a test picks.
    pub fn said<T>(&self, pick: impl Fn(&ClientMessage) -> Option<T>) -> Option<T> {
        self.sent.iter().rev().find_map(pick)
    }

    /// The stages reported, in order.
    pub fn stages(&self) -> Vec<AttemptStage> {
        let stage = |report: &Report| match report {
            Report::Stage { stage, .. } => Some(*stage),
            _ => None,
        };
        self.reports.iter().filter_map(stage).collect()
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

/// The attempt a message is about.
fn sid_of(message: &ClientMessage) -> Option<Digest> {
    match message {
        ClientMessage::Hello(_) | ClientMessage::CatchUp(_) | ClientMessage::Ready(_) => None,
        ClientMessage::Accept(m) => Some(m.sid),
        ClientMessage::Decline(m) => Some(m.sid),
        ClientMessage::Advertise(m) => Some(m.sid),
        ClientMessage::Shares(m) => Some(m.sid),
        ClientMessage::Complaint(m) => Some(m.sid),
        ClientMessage::Certify(m) => Some(m.sid),
        ClientMessage::Unmask(m) => Some(m.sid),
    }
}
