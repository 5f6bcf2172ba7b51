//! M1 in, M2 out: who takes part, and their keys. [core]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Sharing;
use super::fault::{Fault, Shortfall, check_session};
use crate::id::MerchantIndex;
use crate::message::{Advertise, MemberKeys, RoundRoster};
use crate::secagg::agreement::AgreementKey;
use crate::secagg::{Facts, agreement, transcript};

/// Keys come in.
#[derive(Clone, Debug, PartialEq)]
pub struct Advertising {
    facts: Arc<Facts>,
    members: BTreeMap<MerchantIndex, MemberKeys>,
    keys: BTreeSet<AgreementKey>,
}

impl Advertising {
    /// Nobody yet.
    pub fn new(facts: Arc<Facts>) -> Self {
        Advertising { facts, members: BTreeMap::new(), keys: BTreeSet::new() }
    }

    /// Takes an M1.
    ///
    /// # Errors
    /// [`Fault`]; nothing changed.
    pub fn receive(&mut self, from: MerchantIndex, message: &Advertise) -> Result<(), Fault> {
        let facts = &self.facts;
        let stranger = Fault::Stranger { expected: "is in the roster" };
        let identity = facts.identity(from).ok_or(stranger)?;
        check_session(facts.sid, message.sid)?;
        if self.members.contains_key(&from) {
            return Err(Fault::Repeated { message: "Advertise" });
        }
        let (expected, found) = (facts.model, message.model);
        if expected != found {
            return Err(Fault::Model { expected, found });
        }
        let (expected, found) = (facts.parameters, message.parameters);
        if expected != found {
            return Err(Fault::Parameters { expected, found });
        }
        let keys = [message.encryption_key, message.mask_key];
        for key in keys {
            agreement::check_public(&key)?;
        }
        if keys[0] == keys[1] || keys.iter().any(|key| self.keys.contains(key)) {
            return Err(Fault::DuplicateKey);
        }
        let entry = MemberKeys {
            merchant: from,
            encryption_key: message.encryption_key,
            mask_key: message.mask_key,
            signature: message.signature,
        };
        transcript::verify_advertise(facts, &entry, identity)?;
        self.keys.extend(keys);
        self.members.insert(from, entry);
        Ok(())
    }

    /// Takes a merchant back out that left before M2.
    pub fn remove(&mut self, merchant: MerchantIndex) {
        if let Some(keys) = self.members.remove(&merchant) {
            self.keys.remove(&keys.encryption_key);
            self.keys.remove(&keys.mask_key);
        }
    }

    /// Who advertised so far.
    pub fn members(&self) -> impl Iterator<Item = MerchantIndex> {
        self.members.keys().copied()
    }

    /// How many advertised so far.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody has yet.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// M2: U1 is final.
    ///
    /// # Errors
    /// [`Shortfall`] below m_min.
    pub fn close(self) -> Result<(Sharing, RoundRoster), Shortfall> {
        let facts = self.facts;
        Shortfall::check("advertise keys", facts.secagg.survivors_min, self.members.len())?;
        let members: Vec<MemberKeys> = self.members.into_values().collect();
        let message = RoundRoster { sid: facts.sid, members: members.clone() };
        Ok((Sharing::new(facts, members), message))
    }
}
