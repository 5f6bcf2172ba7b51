//! A masked attempt of an honest server, with everybody but the client under test: the cores of secure aggregation against
//! each other. Whoever is named in `gone` says nothing more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::{MerchantIndex, RoundId};
use guildhall_shared::message::{
    Advertise, Certificate, Certify, ClientMessage, ForwardedShares, Offer, RoundRoster, ServerMessage,
    Shares, Survivors, Unmask, UpdateHeader,
};
use guildhall_shared::ring::RingVector;
use guildhall_shared::secagg::client::{self, Advertised, Certified, Sharing, Uploaded};
use guildhall_shared::secagg::seed::SessionSeed;
use guildhall_shared::secagg::{Facts, Witness, server};
use guildhall_shared::tree_head::TreeHead;

use super::harness::Shell;
use super::server::{OWN, Server, identity};

/// What another merchant adds.
pub fn contribution(merchant: MerchantIndex) -> [i64; 3] {
    [i64::from(merchant.0) * 1_000, -3, 11]
}

enum Stage {
    Advertising(server::Advertising, BTreeMap<MerchantIndex, Advertised>),
    Sharing(server::Sharing, BTreeMap<MerchantIndex, Sharing>),
    Collecting(Box<server::Collecting>, BTreeMap<MerchantIndex, Uploaded>),
    Certifying(Box<server::Certifying>, BTreeMap<MerchantIndex, Certified>),
    Unmasking(Box<server::Unmasking>),
    Over,
}

/// The attempt, as the server and the others see it.
pub struct MaskedRound {
    pub facts: Arc<Facts>,
    /// Others that say nothing more.
    pub gone: BTreeSet<MerchantIndex>,
    stage: Stage,
    /// Where everybody's ledger stands with this attempt's COMMIT.
    pub head: TreeHead,
    /// What everybody else saw of the ledgers before.
    pub witness: Witness,
}

impl MaskedRound {
    /// Everybody else has advertised.
    pub fn open(server: &Server, offer: &Offer) -> Self {
        let parameters = &offer.parameters;
        let facts = Arc::new(Facts {
            sid: offer.sid(),
            model: offer.model,
            parameters: parameters.digest(&offer.job, &offer.roster),
            roster: Arc::new(server.roster.clone().decode()),
            secagg: parameters.secagg.clone().unwrap(),
            ring: parameters.ring,
            dimension: parameters.parameters as usize,
        });
        let mut advertising = server::Advertising::new(Arc::clone(&facts));
        let mut others = BTreeMap::new();
        for merchant in (0..server.roster.len() as u16).map(MerchantIndex).filter(|m| *m != OWN) {
            let seed = SessionSeed::from_entropy(Digest::of("peer", &[&facts.sid.0, &[merchant.0 as u8]]).0);
            let (state, message) = client::advertise(Arc::clone(&facts), merchant, seed, &identity(merchant));
            advertising.receive(merchant, &message).unwrap();
            others.insert(merchant, state);
        }
        let RoundId { round, attempt } = offer.round;
        let head = TreeHead { size: u64::from(10 + round * 100 + attempt), root: facts.sid };
        let stage = Stage::Advertising(advertising, others);
        MaskedRound { facts, gone: BTreeSet::new(), stage, head, witness: Witness::default() }
    }

    fn present<T>(&self, others: BTreeMap<MerchantIndex, T>) -> Vec<(MerchantIndex, T)> {
        others.into_iter().filter(|(merchant, _)| !self.gone.contains(merchant)).collect()
    }

    fn take(&mut self) -> Stage {
        std::mem::replace(&mut self.stage, Stage::Over)
    }

    /// M2.
    pub fn roster(&mut self, own: Option<&Advertise>) -> RoundRoster {
        let Stage::Advertising(mut advertising, others) = self.take() else { panic!("M2 follows M1") };
        if let Some(own) = own {
            advertising.receive(OWN, own).unwrap();
        }
        let (mut sharing, roster) = advertising.close().unwrap();
        let mut dealt = BTreeMap::new();
        for (merchant, state) in self.present(others) {
            let (state, message) = state.share(&roster, &self.witness, &identity(merchant)).unwrap();
            sharing.receive(merchant, message).unwrap();
            dealt.insert(merchant, state);
        }
        self.stage = Stage::Sharing(sharing, dealt);
        roster
    }

    /// M4 for the client, if it dealt.
    pub fn forwarded(&mut self, own: Option<&Shares>) -> Option<ForwardedShares> {
        let Stage::Sharing(mut sharing, others) = self.take() else { panic!("M4 follows M3") };
        if let Some(own) = own {
            sharing.receive(OWN, own.clone()).unwrap();
        }
        let (mut collecting, mut forwarded) = sharing.close().unwrap();
        let mut uploaded = BTreeMap::new();
        for (merchant, state) in self.present(others) {
            let key = identity(merchant);
            let (masks, state) = state.receive(&forwarded[&merchant], &key).unwrap().masks().unwrap();
            let mut vector = RingVector::from_integers(self.facts.ring, &contribution(merchant));
            masks.apply(&mut vector);
            let words = vector.to_bytes();
            let (state, header) = state.sign(Digest::of_bytes(&words), self.head, &key);
            collecting.receive(merchant, &header, &words).unwrap();
            uploaded.insert(merchant, state);
        }
        self.stage = Stage::Collecting(Box::new(collecting), uploaded);
        forwarded.remove(&OWN)
    }

    /// M6.
    pub fn survivors(&mut self, own: Option<(&UpdateHeader, &[u8])>) -> Survivors {
        let Stage::Collecting(mut collecting, others) = self.take() else { panic!("M6 follows M5") };
        if let Some((header, words)) = own {
            collecting.receive(OWN, header, words).unwrap();
        }
        let (mut certifying, survivors) = collecting.close().unwrap();
        let mut certified = BTreeMap::new();
        for (merchant, state) in self.present(others) {
            let (state, message) = state.certify(&survivors, &self.witness, &identity(merchant)).unwrap();
            certifying.receive(merchant, &message).unwrap();
            certified.insert(merchant, state);
        }
        self.stage = Stage::Certifying(Box::new(certifying), certified);
        survivors
    }

    /// M8.
    pub fn certificate(&mut self, own: Option<&Certify>) -> Certificate {
        let Stage::Certifying(mut certifying, others) = self.take() else { panic!("M8 follows M7") };
        if let Some(own) = own {
            certifying.receive(OWN, own).unwrap();
        }
        let (mut unmasking, certificate) = certifying.close().unwrap();
        for (merchant, state) in self.present(others) {
            let (message, _) = state.unmask(&certificate, &identity(merchant)).unwrap();
            unmasking.receive(merchant, &message).unwrap();
        }
        self.stage = Stage::Unmasking(Box::new(unmasking));
        certificate
    }

    /// The sum, and whose.
    pub fn sum(&mut self, own: Option<&Unmask>) -> (Vec<i64>, Vec<MerchantIndex>) {
        let Stage::Unmasking(mut unmasking) = self.take() else { panic!("the sum follows M9") };
        if let Some(own) = own {
            unmasking.receive(OWN, own).unwrap();
        }
        assert!(unmasking.culprits().is_empty());
        let unmasked = unmasking.finish().unwrap();
        (unmasked.sum.centred(), unmasked.survivors.into_iter().collect())
    }

    /// Whether only the sum is missing.
    pub fn is_unmasking(&self) -> bool {
        matches!(self.stage, Stage::Unmasking(_))
    }

    /// The next message for the client, from what it has said so far; a stage it said nothing in goes on without it.
    pub fn next(&mut self, shell: &Shell) -> Option<ServerMessage> {
        let sid = self.facts.sid;
        match self.stage {
            Stage::Advertising(..) => Some(self.roster(advertise(shell, sid).as_ref()).into()),
            Stage::Sharing(..) => self.forwarded(shares(shell, sid).as_ref()).map(Into::into),
            Stage::Collecting(..) => {
                let own = shell.headers.get(&sid).map(|header| (header, &*shell.vectors[&sid]));
                Some(self.survivors(own).into())
            }
            Stage::Certifying(..) => Some(self.certificate(certify(shell, sid).as_ref()).into()),
            Stage::Unmasking(_) | Stage::Over => None,
        }
    }

    /// [`MaskedRound::sum`] from what the client has said so far.
    pub fn finish(&mut self, shell: &Shell) -> (Vec<i64>, Vec<MerchantIndex>) {
        let own = unmask(shell, self.facts.sid);
        self.sum(own.as_ref())
    }
}

macro_rules! last_of {
    ($($function:ident, $message:ident;)+) => {
        $(fn $function(shell: &Shell, sid: Digest) -> Option<$message> {
            shell.said(|sent| match sent {
                ClientMessage::$message(message) if message.sid == sid => Some(message.clone()),
                _ => None,
            })
        })+
    };
}

last_of! {
    advertise, Advertise;
    shares, Shares;
    certify, Certify;
    unmask, Unmask;
}
