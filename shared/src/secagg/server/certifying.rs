//! M7 in, M8 out: a survivor set that enough survivors signed. [core]

use std::collections::BTreeMap;

use super::Unmasking;
use super::collecting::Collecting;
use super::fault::{Fault, Shortfall, check_session};
use crate::digest::Digest;
use crate::id::MerchantIndex;
use crate::message::{Certificate, CertificateSignature, Certify, SurvivingUpdate};
use crate::secagg::transcript::{self, SignedUpdate};

/// Signatures over U3 come in.
#[derive(Clone, Debug, PartialEq)]
pub struct Certifying {
    pub(super) collected: Collecting,
    /// Digest of U3.
    pub(super) survivors: Digest,
    signatures: BTreeMap<MerchantIndex, CertificateSignature>,
}

impl Certifying {
    pub(super) fn new(collected: Collecting) -> Self {
        let list: Vec<SignedUpdate> = collected.updates.values().map(SurvivingUpdate::statement).collect();
        let survivors = transcript::survivors_digest(&collected.transcript, &list);
        Certifying { collected, survivors, signatures: BTreeMap::new() }
    }

    /// U3.
    pub fn survivors(&self) -> impl Iterator<Item = MerchantIndex> {
        self.collected.contributors()
    }

    /// Takes an M7.
    ///
    /// # Errors
    /// [`Fault`]; nothing changed.
    pub fn receive(&mut self, from: MerchantIndex, message: &Certify) -> Result<(), Fault> {
        let facts = self.collected.facts();
        let stranger = Fault::Stranger { expected: "sent an update in time" };
        let survivor = self.collected.updates.contains_key(&from);
        let identity = facts.identity(from).filter(|_| survivor).ok_or(stranger)?;
        check_session(facts.sid, message.sid)?;
        if self.signatures.contains_key(&from) {
            return Err(Fault::Repeated { message: "Certify" });
        }
        transcript::verify_survivors(&facts.sid, &self.survivors, identity, &message.signature)?;
        self.signatures.insert(from, CertificateSignature { merchant: from, signature: message.signature });
        Ok(())
    }

    /// Whether there are enough signatures.
    pub fn is_complete(&self) -> bool {
        self.signatures.len() >= self.collected.facts().secagg.threshold as usize
    }

    /// M8, with exactly t signatures: more prove nothing more.
    ///
    /// # Errors
    /// [`Shortfall`] below t.
    pub fn close(self) -> Result<(Unmasking, Certificate), Shortfall> {
        let facts = self.collected.facts();
        let threshold = facts.secagg.threshold;
        Shortfall::check("sign the survivors", threshold, self.signatures.len())?;
        let signatures = self.signatures.into_values().take(threshold as usize).collect();
        let message = Certificate { sid: facts.sid, signatures };
        Ok((Unmasking::new(self.collected, self.survivors), message))
    }
}
