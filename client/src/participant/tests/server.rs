//! A server that keeps to the rules; tests bend its messages.

use std::collections::BTreeMap;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::{MerchantIndex, Name, RoundId};
use guildhall_shared::identity::{IdentityKey, Roster, RosterEntry, Signature, SignedRoster};
use guildhall_shared::job::{Aggregation, JobSpec};
use guildhall_shared::message::{
    Begin, Hello, Job, Offer, ResultHeader, RollBack, Welcome, WitnessAnswer, WitnessedHead,
};
use guildhall_shared::model_state::ModelState;
use guildhall_shared::round_parameters::RoundParameters;

use super::harness::{FEDERATION, OWN_CERTIFICATE, federation_key, name};

/// What every session's questions about the ledger are asked with.
pub const NONCE: [u8; 32] = [0x4e; 32];

/// Which merchant the client is.
pub const OWN: MerchantIndex = MerchantIndex(1);

/// The identity key of a merchant by its place; the client's own is [`super::harness::OWN_SECRET`].
pub fn identity(merchant: MerchantIndex) -> IdentityKey {
    IdentityKey::from_secret(&[merchant.0 as u8 + 1; 32])
}

/// An honest server: of the merchants a, b (the client) and c, and in masked rounds of d and e too.
pub struct Server {
    pub key: IdentityKey,
    pub roster: Roster,
    pub job: JobSpec,
    history: Vec<ModelState>,
}

impl Server {
    pub fn new(job: JobSpec) -> Self {
        let merchants = match job.round.aggregation {
            Aggregation::Masked => 5,
            Aggregation::Plain => 3,
        };
        let entry = |index: u8| RosterEntry {
            name: name(std::str::from_utf8(&[b'a' + index]).unwrap()),
            region: name("eu"),
            identity: identity(MerchantIndex(index.into())).public(),
            certificate: if index == 1 { OWN_CERTIFICATE } else { Digest([101 + index; 32]) },
        };
        let entries = (0..merchants).map(entry).collect();
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
        self.welcome_with(None)
    }

    /// What it says of b's ledger, signed with whatever key it has now.
    pub fn welcome_with(&self, seen: Option<WitnessedHead>) -> Welcome {
        let hello =
            Hello { federation: FEDERATION, roster: None, software: Name::new("x").unwrap(), nonce: NONCE };
        self.welcome_to(&hello, seen)
    }

    /// The answer to a greeting.
    pub fn welcome_to(&self, hello: &Hello, seen: Option<WitnessedHead>) -> Welcome {
        let merchant = name("b");
        let witness = WitnessAnswer::sign(hello, &merchant, seen, &self.key);
        Welcome { federation: self.roster.federation, roster: Some(self.signed_roster()), witness }
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

    /// The next version from a sum of everybody but a.
    pub fn settle(&mut self, offer: &Offer, sum: &[i64]) -> (ResultHeader, Vec<u8>) {
        let contributors: Vec<MerchantIndex> = (1..self.roster.len() as u16).map(MerchantIndex).collect();
        self.settle_with(offer, sum, &contributors)
    }

    /// The next version from a sum.
    pub fn settle_with(
        &mut self,
        offer: &Offer,
        sum: &[i64],
        contributors: &[MerchantIndex],
    ) -> (ResultHeader, Vec<u8>) {
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
            contributors: contributors.to_vec(),
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
