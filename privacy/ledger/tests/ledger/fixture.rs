//! A ledger with real keys, a real roster and real certificates, that an honest or a dishonest owner writes.

use guildhall_ledger::data_tag::{DataDigest, DataTag};
use guildhall_ledger::export::Export;
use guildhall_ledger::merkle::leaf_hash;
use guildhall_ledger::note::{Checkpoint, SignedNote, Signer};
use guildhall_ledger::rotation::KeyRotation;
use guildhall_ledger::{
    AuditFinding, AuditVerdict, BudgetLimit, Entry, Event, Handover, LedgerState, Membership, Outcome,
    Protection, Reservation, Travel,
};
use guildhall_shared::digest::Digest;
use guildhall_shared::id::{MerchantIndex, Name, RoundId};
use guildhall_shared::identity::{IdentityKey, Roster, RosterEntry, SignedRoster};
use guildhall_shared::job::Unit;
use guildhall_shared::message::CertificateSignature;
use guildhall_shared::secagg::transcript::{self, SignedUpdate, Transcript};
use guildhall_shared::secagg::{SecaggParameters, SurvivorCertificate};
use guildhall_shared::tree_head::TreeHead;
use guildhall_shared::wire;

/// The owner's place in the roster.
pub const OWN: MerchantIndex = MerchantIndex(1);

pub fn name(text: &str) -> Name {
    Name::new(text).expect("legal")
}

pub fn policy(epsilon: f64) -> Event {
    Event::Policy { limit: BudgetLimit { epsilon, delta: 1e-6 }, time_unix_s: 1_700_000_000 }
}

/// The digest of the data that every training reads.
pub const DATA_SECRET: [u8; 32] = [0x5E; 32];
pub const DATA_FILE: Digest = Digest([0xDA; 32]);

/// The data that trainings read, under the merchant's secret.
pub fn data() -> DataDigest {
    DataDigest::of_files(&DATA_SECRET, &[DATA_FILE])
}

/// A secret of one byte's choice, and another for each place.
fn key(kind: u8, place: usize) -> IdentityKey {
    let mut secret = [kind; 32];
    secret[..8].copy_from_slice(&(place as u64).to_le_bytes());
    IdentityKey::from_secret(&secret)
}

pub struct Fixture {
    pub merchants: Vec<IdentityKey>,
    pub federation: IdentityKey,
    pub roster: SignedRoster,
    pub state: LedgerState,
    pub events: Vec<Event>,
    pub entries: Vec<Vec<u8>>,
    pub certificates: Vec<Vec<u8>>,
    pub cosigned: Option<Vec<u8>>,
    /// Signatures in each certificate; t unless a test says otherwise.
    pub signatures: usize,
    pub numbers: SecaggParameters,
    pub round: u32,
    model: Digest,
}

impl Fixture {
    /// POLICY (ε = 8) and ROSTER of n merchants.
    pub fn new(n: usize) -> Self {
        let mut fixture = Fixture::empty(n);
        fixture.push(policy(8.0));
        let membership = fixture.membership();
        fixture.push(Event::Roster { membership, time_unix_s: 1_700_000_001 });
        fixture
    }

    pub fn empty(n: usize) -> Self {
        let merchants: Vec<IdentityKey> = (0..n).map(|place| key(1, place)).collect();
        let federation = key(2, 0);
        let entry = |(place, key): (usize, &IdentityKey)| RosterEntry {
            name: name(&format!("merchant{place:03}")),
            region: name(["eu", "us", "cn"][place % 3]),
            identity: key.public(),
            certificate: Digest::of("certificate", &[&(place as u64).to_le_bytes()]),
        };
        let entries = merchants.iter().enumerate().map(entry).collect();
        let roster = Roster { federation: Digest([9; 32]), entries };
        let numbers =
            SecaggParameters::derive(n.max(3) as u32, 0, Default::default()).expect("there are rounds");
        Fixture {
            roster: SignedRoster::sign(roster, &federation).expect("a roster"),
            merchants,
            federation,
            state: LedgerState::default(),
            events: Vec::new(),
            entries: Vec::new(),
            certificates: Vec::new(),
            cosigned: None,
            signatures: numbers.threshold as usize,
            numbers,
            round: 0,
            model: Digest([3; 32]),
        }
    }

    /// 64 entries: two masked sums with certificates, plain sums, refunds, an audit, exports and a rotation of the key;
    /// cosigned after the second masked sum.
    pub fn of_64_entries() -> Self {
        let mut fixture = Fixture::new(4);
        fixture.masked();
        fixture.masked();
        fixture.cosign();
        fixture.audit(AuditVerdict::Pass);
        fixture.refunded();
        fixture.refunded();
        fixture.hand_out("the auditors");
        fixture.rotate();
        fixture.hand_out("");
        while fixture.entries.len() < 64 {
            fixture.plain();
        }
        assert_eq!(fixture.entries.len(), 64);
        fixture
    }

    pub fn membership(&self) -> Membership {
        Membership {
            federation: self.roster.roster.federation,
            federation_key: self.federation.public(),
            roster: self.roster.roster.digest(),
            merchants: self.merchants.len() as u32,
            own: Some(OWN),
            program: "guildhall 0.1.0".into(),
        }
    }

    /// What an honest owner records.
    pub fn push(&mut self, event: Event) {
        let entry = self.state.decide(event).expect("legal");
        self.take(entry);
    }

    /// What a dishonest owner records, whatever the rules say.
    pub fn force(&mut self, event: Event) {
        let previous = self.entries.last().map_or(Digest([0; 32]), |bytes| leaf_hash(bytes));
        let sequence = self.entries.len() as u64;
        self.take(Entry { version: guildhall_ledger::entry::ENTRY_VERSION, sequence, previous, event });
    }

    fn take(&mut self, entry: Entry) {
        let bytes = entry.to_bytes().expect("encodes");
        self.state.apply(&entry, leaf_hash(&bytes));
        self.entries.push(bytes);
        self.events.push(entry.event);
    }

    /// The same owner, writing other events into a ledger of its own making, with chain, numbers, rotations and checkpoint to
    /// match.
    pub fn rewritten(&self, events: impl IntoIterator<Item = Event>) -> Fixture {
        let mut other = Fixture::empty(self.merchants.len());
        for event in events {
            match event {
                Event::KeyRotation { .. } => other.rotate(),
                Event::Export { handover, .. } => other.hand_out(&handover.recipient),
                event => other.force(event),
            }
        }
        other.certificates.clone_from(&self.certificates);
        other
    }

    pub fn reservation(&mut self, job: &str, travel: Travel) -> Reservation {
        self.round += 1;
        let (honest_shares, survivors_min) = match travel {
            Travel::Plain => (1, 0),
            Travel::Masked { .. } => (u64::from(self.numbers.noise_shares()), self.numbers.survivors_min),
        };
        let protection = Protection::Gaussian {
            bound: 1 << 20,
            noise_standard_deviation_local: 1 << 24,
            honest_shares,
            delta: 1e-6,
        };
        Reservation {
            job: name(job),
            job_digest: Digest::of("job", &[job.as_bytes()]),
            sid: Digest::of("sid", &[&self.round.to_le_bytes()]),
            round: RoundId { round: self.round, attempt: 0 },
            unit: Unit::Shopper,
            protection,
            travel,
            survivors_min,
            parameters: Digest([5; 32]),
            model: self.model,
            charge: protection.charge(),
            purpose: "Predict <repeat> purchases".into(),
            label: "epsilon 8 & delta".into(),
            program: self.round.is_multiple_of(2).then_some(Digest([0xC0; 32])),
        }
    }

    pub fn reserve(&mut self, job: &str, travel: Travel) -> Digest {
        let reservation = self.reservation(job, travel);
        let sid = reservation.sid;
        self.push(Event::Reserve { reservation, time_unix_s: 1_700_000_000 + 60 * u64::from(self.round) });
        sid
    }

    pub fn update(&self, sid: &Digest, merchant: u16) -> Digest {
        Digest::of("update", &[&sid.0, &merchant.to_le_bytes()])
    }

    pub fn commit(&mut self, sid: Digest) {
        let update = Some(self.update(&sid, OWN.0));
        let salt = Digest::of("salt", &[&sid.0]).0;
        let data = (!self.round.is_multiple_of(3)).then(|| DataTag::new(salt, &data()));
        self.push(Event::Commit { sid, update, data });
    }

    /// Hands the ledger out as it stands.
    pub fn hand_out(&mut self, recipient: &str) {
        let handover =
            Handover { recipient: recipient.into(), head: self.state.head(), file: Digest([0xEE; 32]) };
        self.force(Event::Export { handover, time_unix_s: 1_700_000_600 });
    }

    /// The owner's key in force.
    pub fn own_key(&self) -> IdentityKey {
        match self.state.rotations().len() {
            0 => key(1, OWN.0 as usize),
            number => key(3, number),
        }
    }

    /// To the owner's next key.
    pub fn rotation(&self) -> KeyRotation {
        let new = key(3, self.state.rotations().len() + 1);
        let membership = self.state.membership().expect("a ROSTER entry");
        KeyRotation::sign(membership, self.state.head(), &self.own_key(), &new).expect("a merchant")
    }

    pub fn rotate(&mut self) {
        let rotation = self.rotation();
        self.force(Event::KeyRotation { rotation, time_unix_s: 1_700_000_700 });
    }

    /// RESERVE, COMMIT, SETTLE in plain mode.
    pub fn plain(&mut self) -> Digest {
        let sid = self.reserve("plain", Travel::Plain);
        self.commit(sid);
        self.model = Digest([3; 32]);
        self.push(Event::Settle { sid, outcome: Outcome::Aborted });
        sid
    }

    /// RESERVE, REFUND.
    pub fn refunded(&mut self) {
        let sid = self.reserve("plain", Travel::Plain);
        self.push(Event::Refund { sid });
    }

    /// RESERVE, COMMIT, SETTLE of a masked sum of everybody, with its certificate.
    pub fn masked(&mut self) -> Digest {
        self.model = Digest::of("model", &[&self.round.to_le_bytes()]);
        let sid = self.reserve("masked", Travel::Masked { colluders: self.numbers.colluders });
        self.commit(sid);
        let certificate = self.certificate(sid, self.state.head());
        self.settle(sid, certificate.digest());
        self.certificates.push(wire::encode(&certificate).expect("encodes"));
        sid
    }

    pub fn settle(&mut self, sid: Digest, certificate: Digest) {
        let model = Digest::of("model", &[&self.round.to_le_bytes()]);
        let survivors = self.merchants.len() as u32;
        let outcome =
            Outcome::Released { version: self.round, model, survivors, certificate: Some(certificate) };
        self.push(Event::Settle { sid, outcome });
    }

    /// Of everybody, signed by the first so many, who saw this ledger at `head`.
    pub fn certificate(&self, sid: Digest, head: TreeHead) -> SurvivorCertificate {
        let transcript = Transcript { sid, roster: Digest([6; 32]), members: Digest([7; 32]) };
        let update = |merchant: u16| SignedUpdate {
            merchant: MerchantIndex(merchant),
            hash: self.update(&sid, merchant),
            head: if merchant == OWN.0 { head } else { TreeHead { size: 1, root: Digest([8; 32]) } },
        };
        let updates: Vec<SignedUpdate> = (0..self.merchants.len() as u16).map(update).collect();
        let digest = transcript::survivors_digest(&transcript, &updates);
        let sign = |(place, key): (usize, &IdentityKey)| CertificateSignature {
            merchant: MerchantIndex(place as u16),
            signature: transcript::sign_survivors(&sid, &digest, key),
        };
        let signatures = self.merchants.iter().enumerate().take(self.signatures).map(sign).collect();
        SurvivorCertificate { transcript, updates, signatures }
    }

    pub fn audit(&mut self, verdict: AuditVerdict) {
        let summary = "mechanism, 1,000 pairs of runs".into();
        let finding = AuditFinding { tier: 'A', verdict, report: Digest([4; 32]), summary };
        self.push(Event::Audit { finding, time_unix_s: 1_700_000_500 });
    }

    /// Who signs the newest checkpoint.
    pub fn owner(&self) -> Signer {
        Signer { key: self.own_key().public(), ..self.first_owner() }
    }

    /// Who signed before any rotation.
    pub fn first_owner(&self) -> Signer {
        let entry = &self.roster.roster.entries[OWN.0 as usize];
        Signer::merchant(&self.roster.roster.federation, &entry.name, entry.identity)
    }

    pub fn server(&self) -> Signer {
        Signer::server(&self.roster.roster.federation, self.federation.public())
    }

    pub fn checkpoint(&self) -> SignedNote {
        let checkpoint = Checkpoint { origin: self.owner().name, head: self.state.head() };
        checkpoint.sign(&self.own_key())
    }

    pub fn note(&self) -> Vec<u8> {
        self.checkpoint().to_text().into_bytes()
    }

    /// The server witnesses the ledger as it stands.
    pub fn cosign(&mut self) {
        let mut note = self.checkpoint();
        let time_unix_s = 1_700_000_400;
        let signature = note.checkpoint().cosign(&self.federation, time_unix_s);
        note.add_cosignature(&self.server(), time_unix_s, signature);
        self.cosigned = Some(note.to_text().into_bytes());
    }

    pub fn roster_bytes(&self) -> Vec<u8> {
        wire::encode(&(self.federation.public(), &self.roster)).expect("encodes")
    }

    /// The export of what the ledger holds, under a fresh checkpoint of its owner's.
    pub fn export(&self) -> Vec<u8> {
        let mut notes = vec![self.note()];
        notes.extend(self.cosigned.clone());
        self.export_with(&notes)
    }

    pub fn export_with(&self, notes: &[Vec<u8>]) -> Vec<u8> {
        let roster = self.roster_bytes();
        Export {
            roster: &roster,
            entries: self.entries.iter().map(Vec::as_slice).collect(),
            certificates: self.certificates.iter().map(Vec::as_slice).collect(),
            notes: notes.iter().map(Vec::as_slice).collect(),
        }
        .to_bytes()
    }
}
