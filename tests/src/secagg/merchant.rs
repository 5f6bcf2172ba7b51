//! One merchant: its client core, and the stage that is in.

use std::sync::Arc;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::MerchantIndex;
use guildhall_shared::identity::IdentityKey;
use guildhall_shared::message::{
    Advertise, Certificate, Certify, ForwardedShares, RoundRoster, Shares, Survivors, Unmask, UpdateHeader,
};
use guildhall_shared::ring::RingVector;
use guildhall_shared::secagg::Witness;
use guildhall_shared::secagg::client::{self, Advertised, Breach, Certified, Sharing, Uploaded};
use guildhall_shared::tree_head::TreeHead;

use super::federation::Session;

/// Why a merchant does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The message fails a check; the session is over.
    Breach(Breach),
    /// The session is not in a stage that could answer: it answered already, ended, or has not come that far.
    NoStage,
}

/// A masked vector and what is said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// M5.
    pub header: UpdateHeader,
    /// y, little-endian ring words.
    pub words: Vec<u8>,
}

enum Stage {
    Advertised(Box<Advertised>),
    Sharing(Box<Sharing>),
    Uploaded(Box<Uploaded>),
    Certified(Box<Certified>),
    Over,
}

/// A merchant in one session.
pub struct Merchant<'a> {
    identity: &'a IdentityKey,
    input: RingVector,
    stage: Stage,
}

impl<'a> Merchant<'a> {
    /// M1.
    pub fn advertise(session: &Session<'a>, own: MerchantIndex) -> (Self, Advertise) {
        let identity = session.federation.identity(own);
        let (stage, message) =
            client::advertise(Arc::clone(session.facts_of(own)), own, session.seed(own), identity);
        let stage = Stage::Advertised(Box::new(stage));
        (Merchant { identity, input: session.input(own), stage }, message)
    }

    /// M2 in, M3 out.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn share(&mut self, message: &RoundRoster) -> Result<Shares, Refusal> {
        let stage = match self.take() {
            Stage::Advertised(stage) => stage,
            other => return self.not_in_stage(other),
        };
        let (stage, shares) =
            stage.share(message, &Witness::default(), self.identity).map_err(Refusal::Breach)?;
        self.stage = Stage::Sharing(Box::new(stage));
        Ok(shares)
    }

    /// M4 in, M5 out.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn upload(&mut self, message: &ForwardedShares) -> Result<Upload, Refusal> {
        let stage = match self.take() {
            Stage::Sharing(stage) => stage,
            other => return self.not_in_stage(other),
        };
        let masking = stage.receive(message, self.identity).map_err(Refusal::Breach)?;
        let (masks, masked) = masking.masks().map_err(Refusal::Breach)?;
        let mut vector = self.input.clone();
        masks.apply(&mut vector);
        let words = vector.to_bytes();
        let hash = Digest::of_bytes(&words);
        // A ledger is another one after every COMMIT.
        let head = TreeHead { size: 7, root: Digest::of("simulated ledger", &[&hash.0]) };
        let (stage, header) = masked.sign(hash, head, self.identity);
        self.stage = Stage::Uploaded(Box::new(stage));
        Ok(Upload { header, words })
    }

    /// M6 in, M7 out.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn certify(&mut self, message: &Survivors) -> Result<Certify, Refusal> {
        let stage = match self.take() {
            Stage::Uploaded(stage) => stage,
            other => return self.not_in_stage(other),
        };
        let (stage, certify) =
            stage.certify(message, &Witness::default(), self.identity).map_err(Refusal::Breach)?;
        self.stage = Stage::Certified(Box::new(stage));
        Ok(certify)
    }

    /// M8 in, M9 out.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn unmask(&mut self, message: &Certificate) -> Result<Unmask, Refusal> {
        match self.take() {
            Stage::Certified(stage) => {
                stage.unmask(message, self.identity).map(|(unmask, _)| unmask).map_err(Refusal::Breach)
            }
            other => self.not_in_stage(other),
        }
    }

    fn take(&mut self) -> Stage {
        std::mem::replace(&mut self.stage, Stage::Over)
    }

    /// A message of another stage is no message to this one: it stays as it is.
    fn not_in_stage<T>(&mut self, stage: Stage) -> Result<T, Refusal> {
        self.stage = stage;
        Err(Refusal::NoStage)
    }
}
