//! M5 in, M6 out: masked vectors are added and forgotten. Sections 8.9 and 8.14 of `docs/protocol.md`. [core]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Certifying;
use super::fault::{Fault, Shortfall, check_session};
use super::sharing::Sharing;
use crate::digest::Digest;
use crate::id::MerchantIndex;
use crate::message::{Complaint, SurvivingUpdate, Survivors, UpdateHeader};
use crate::ring::RingVector;
use crate::secagg::Facts;
use crate::secagg::transcript::{self, Transcript};

/// Masked vectors come in.
#[derive(Clone, Debug, PartialEq)]
pub struct Collecting {
    pub(super) sharing: Sharing,
    pub(super) transcript: Transcript,
    pub(super) updates: BTreeMap<MerchantIndex, SurvivingUpdate>,
    sum: RingVector,
    complaints: BTreeSet<(MerchantIndex, MerchantIndex)>,
}

impl Collecting {
    pub(super) fn new(sharing: Sharing, members: &[MerchantIndex]) -> Self {
        let facts = &sharing.facts;
        let transcript = Transcript {
            sid: facts.sid,
            roster: sharing.roster,
            members: transcript::members_digest(&facts.sid, members),
        };
        let sum = RingVector::zero(facts.ring, facts.dimension);
        Collecting { sharing, transcript, updates: BTreeMap::new(), sum, complaints: BTreeSet::new() }
    }

    /// The fixed facts.
    pub fn facts(&self) -> &Arc<Facts> {
        &self.sharing.facts
    }

    /// U2.
    pub fn members(&self) -> impl Iterator<Item = MerchantIndex> {
        self.sharing.dealt.keys().copied()
    }

    /// Whose vectors are in the sum.
    pub fn contributors(&self) -> impl Iterator<Item = MerchantIndex> {
        self.updates.keys().copied()
    }

    /// What was added, ascending.
    pub fn updates(&self) -> impl Iterator<Item = &SurvivingUpdate> {
        self.updates.values()
    }

    /// Takes an M5. Its words are added once length, hash and signature are right.
    ///
    /// # Errors
    /// [`Fault`]; nothing changed.
    pub fn receive(&mut self, from: MerchantIndex, header: &UpdateHeader, words: &[u8]) -> Result<(), Fault> {
        let facts = &self.sharing.facts;
        let stranger = Fault::Stranger { expected: "dealt shares" };
        let identity =
            facts.identity(from).filter(|_| self.sharing.dealt.contains_key(&from)).ok_or(stranger)?;
        check_session(facts.sid, header.sid)?;
        if self.updates.contains_key(&from) || self.complained(from) {
            return Err(Fault::Repeated { message: "answer to the shares" });
        }
        let expected = facts.vector_bytes();
        if words.len() != expected {
            return Err(Fault::Length { expected, found: words.len() });
        }
        let found = Digest::of_bytes(words);
        if found != header.hash {
            return Err(Fault::Hash { expected: header.hash, found });
        }
        transcript::verify_update(&self.transcript, &header.hash, &header.head, identity, &header.signature)?;
        self.sum.add_bytes(words).map_err(|error| Fault::Length { expected, found: error.found })?;
        let UpdateHeader { hash, head, signature, .. } = *header;
        let update = SurvivingUpdate { merchant: from, hash, head, signature };
        self.updates.insert(from, update);
        Ok(())
    }

    /// Takes a complaint: the complainer takes no further part in this attempt.
    ///
    /// # Errors
    /// [`Fault`]; nothing changed.
    pub fn complain(&mut self, from: MerchantIndex, complaint: &Complaint) -> Result<(), Fault> {
        let facts = &self.sharing.facts;
        let stranger = Fault::Stranger { expected: "dealt shares" };
        let member = |merchant| self.sharing.dealt.contains_key(&merchant);
        let identity = facts.identity(from).filter(|_| member(from)).ok_or(stranger)?;
        check_session(facts.sid, complaint.sid)?;
        if complaint.about == from || !member(complaint.about) {
            return Err(Fault::About(complaint.about));
        }
        if self.updates.contains_key(&from) || self.complained(from) {
            return Err(Fault::Repeated { message: "answer to the shares" });
        }
        transcript::verify_complaint(complaint, identity)?;
        self.complaints.insert((from, complaint.about));
        Ok(())
    }

    /// The masked sum, once U3 is final.
    pub(super) fn take_sum(&mut self) -> RingVector {
        let width = self.sharing.facts.ring;
        std::mem::replace(&mut self.sum, RingVector::zero(width, 0))
    }

    fn complained(&self, merchant: MerchantIndex) -> bool {
        self.complaints.iter().any(|(by, _)| *by == merchant)
    }

    /// Who should sit out the next attempt for these complaints. Whoever more than C distinct peers name is at fault, for at
    /// least one of them is honest; below that nobody can tell, and both sides of the pair sit out.
    pub fn sitting_out(&self) -> BTreeSet<MerchantIndex> {
        let colluders = self.sharing.facts.secagg.colluders as usize;
        let accusers = |about: MerchantIndex| self.complaints.iter().filter(|(_, of)| *of == about).count();
        let mut out = BTreeSet::new();
        for (by, about) in &self.complaints {
            out.insert(*about);
            if accusers(*about) <= colluders {
                out.insert(*by);
            }
        }
        out
    }

    /// M6: U3 is final.
    ///
    /// # Errors
    /// [`Shortfall`] below m_min.
    pub fn close(self) -> Result<(Certifying, Survivors), Shortfall> {
        let facts = self.facts();
        Shortfall::check("send updates", facts.secagg.survivors_min, self.updates.len())?;
        let message = Survivors { sid: facts.sid, updates: self.updates.values().cloned().collect() };
        Ok((Certifying::new(self), message))
    }
}
