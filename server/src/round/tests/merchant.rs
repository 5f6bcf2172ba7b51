//! An honest merchant of masked rounds, for tests: it takes the server's messages in and says what comes next.

use std::collections::VecDeque;
use std::sync::Arc;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::MerchantIndex;
use guildhall_shared::identity::{DecodedRoster, IdentityKey};
use guildhall_shared::message::{
    Advertise, Certify, Complaint, Offer, ServerMessage, Shares, Unmask, UpdateHeader,
};
use guildhall_shared::ring::{RingVector, RingWidth};
use guildhall_shared::secagg::client::{self, Advertised, Certified, Sharing, Uploaded};
use guildhall_shared::secagg::seed::SessionSeed;
use guildhall_shared::secagg::{Facts, Witness, transcript};

use crate::round::RoundMessage;

/// What a merchant says.
#[derive(Clone, Debug)]
pub enum Said {
    Advertise(Advertise),
    Shares(Shares),
    Update(UpdateHeader, Vec<u8>),
    Certify(Certify),
    Unmask(Unmask),
}

impl Said {
    pub fn message(&self) -> RoundMessage<'_> {
        match self {
            Said::Advertise(message) => RoundMessage::Advertise(message.clone()),
            Said::Shares(message) => RoundMessage::Shares(Box::new(message.clone())),
            Said::Update(header, words) => RoundMessage::Update { header: header.clone(), words },
            Said::Certify(message) => RoundMessage::Certify(message.clone()),
            Said::Unmask(message) => RoundMessage::Unmask(message.clone()),
        }
    }
}

enum State {
    Advertised(Advertised),
    Sharing(Box<Sharing>),
    Uploaded(Uploaded),
    Certified(Certified),
    Over,
}

pub struct Merchant {
    own: MerchantIndex,
    key: IdentityKey,
    roster: Arc<DecodedRoster>,
    state: State,
    inbox: VecDeque<ServerMessage>,
    sid: Option<Digest>,
    shape: (RingWidth, usize),
}

/// What a merchant adds to the sum: small, negative ones among them, different for everybody.
pub fn value(merchant: u16, place: usize) -> i64 {
    i64::from(merchant) * 10 - 20 + place as i64
}

impl Merchant {
    pub fn new(own: u16, key: IdentityKey, roster: Arc<DecodedRoster>) -> Self {
        let own = MerchantIndex(own);
        Merchant {
            own,
            key,
            roster,
            state: State::Over,
            inbox: VecDeque::new(),
            sid: None,
            shape: (RingWidth::Bits32, 0),
        }
    }

    pub fn hear(&mut self, message: ServerMessage) {
        // A new attempt ends the one before.
        if matches!(message, ServerMessage::Offer(_)) {
            self.inbox.clear();
        }
        self.inbox.push_back(message);
    }

    /// What it says next, once what it has heard allows that.
    pub fn speak(&mut self) -> Option<Said> {
        while let Some(message) = self.inbox.pop_front() {
            let state = std::mem::replace(&mut self.state, State::Over);
            let (state, said) = match (state, message) {
                (_, ServerMessage::Offer(offer)) => self.advertise(&offer),
                (_, ServerMessage::Abort(abort)) if Some(abort.sid) == self.sid => (State::Over, None),
                (State::Advertised(state), ServerMessage::RoundRoster(roster)) => {
                    let (state, shares) =
                        state.share(&roster, &Witness::default(), &self.key).expect("a good roster");
                    (State::Sharing(Box::new(state)), Some(Said::Shares(shares)))
                }
                (State::Sharing(state), ServerMessage::ForwardedShares(forwarded)) => {
                    let state = state.receive(&forwarded, &self.key).expect("good shares");
                    let (masks, state) = state.masks().expect("good keys");
                    let mut vector = self.vector();
                    masks.apply(&mut vector);
                    let words = vector.to_bytes();
                    let (state, header) = state.sign(
                        Digest::of_bytes(&words),
                        guildhall_shared::tree_head::TreeHead::EMPTY,
                        &self.key,
                    );
                    (State::Uploaded(state), Some(Said::Update(header, words)))
                }
                (State::Uploaded(state), ServerMessage::Survivors(survivors)) => {
                    let (state, certify) =
                        state.certify(&survivors, &Witness::default(), &self.key).expect("good survivors");
                    (State::Certified(state), Some(Said::Certify(certify)))
                }
                (State::Certified(state), ServerMessage::Certificate(certificate)) => {
                    let (unmask, _) = state.unmask(&certificate, &self.key).expect("a good certificate");
                    (State::Over, Some(Said::Unmask(unmask)))
                }
                (state, _) => (state, None),
            };
            self.state = state;
            if said.is_some() {
                return said;
            }
        }
        None
    }

    /// A signed claim that somebody's shares are unusable.
    pub fn complaint(&self, about: u16) -> Complaint {
        let sid = self.sid.expect("an attempt");
        transcript::sign_complaint(sid, MerchantIndex(about), &self.key)
    }

    fn advertise(&mut self, offer: &Offer) -> (State, Option<Said>) {
        let facts = Facts {
            sid: offer.sid(),
            model: offer.model,
            parameters: offer.parameters.digest(&offer.job, &offer.roster),
            roster: Arc::clone(&self.roster),
            secagg: offer.parameters.secagg.clone().expect("a masked round"),
            ring: offer.parameters.ring,
            dimension: offer.parameters.parameters as usize,
        };
        self.sid = Some(facts.sid);
        self.shape = (facts.ring, facts.dimension);
        let entropy = Digest::of("test entropy", &[&facts.sid.0, &self.own.0.to_le_bytes()]);
        let seed = SessionSeed::from_entropy(entropy.0);
        let (state, message) = client::advertise(Arc::new(facts), self.own, seed, &self.key);
        (State::Advertised(state), Some(Said::Advertise(message)))
    }

    fn vector(&self) -> RingVector {
        let (ring, dimension) = self.shape;
        let integers: Vec<i64> = (0..dimension).map(|place| value(self.own.0, place)).collect();
        RingVector::from_integers(ring, &integers)
    }
}
