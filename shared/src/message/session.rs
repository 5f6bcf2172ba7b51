//! Session messages: from connection to readiness.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::Name;
use crate::identity::{IdentityKey, PublicKey, Signature, SignatureError, SignedRoster};
use crate::job::JobSpec;
use crate::tree_head::TreeHead;

/// First message of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The federation it belongs to.
    pub federation: Digest,
    /// The roster it pinned, if any.
    pub roster: Option<Digest>,
    /// Its software version, for the operator's log.
    pub software: Name,
    /// Fresh from the operating system: what the server remembers of this merchant's ledger is signed over it.
    pub nonce: [u8; 32],
}

/// First message of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The federation.
    pub federation: Digest,
    /// The closed roster; `None` while it is still open (the server sends another welcome when it closes).
    pub roster: Option<SignedRoster>,
    /// What the server remembers of the merchant's ledger.
    pub witness: WitnessAnswer,
}

/// A head of a merchant's ledger that the server saw, cosigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WitnessedHead {
    /// The head.
    pub head: TreeHead,
    /// When the server cosigned it, in seconds since 1970.
    pub time_unix_s: u64,
    /// `cosignature/v1` by the federation key over the merchant's checkpoint with this head.
    pub cosignature: Signature,
}

/// The newest head of a merchant's ledger that a witness saw: a ledger that is older, or has another root there, was put
/// back or rewritten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WitnessAnswer {
    /// The newest head; `None` if it saw none.
    pub seen: Option<WitnessedHead>,
    /// By the federation key over the nonce of [`Hello`], the federation, the merchant and the head.
    pub signature: Signature,
}

const WITNESS_LABEL: &str = "guildhall ledger witness v1";

impl WitnessAnswer {
    /// Signs what is remembered of a merchant's ledger.
    pub fn sign(
        hello: &Hello,
        merchant: &Name,
        seen: Option<WitnessedHead>,
        federation_key: &IdentityKey,
    ) -> Self {
        let signature = federation_key.sign(WITNESS_LABEL, &witness_parts(hello, merchant, &statement(seen)));
        WitnessAnswer { seen, signature }
    }

    /// Checks that it answers this very question.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify(
        &self,
        hello: &Hello,
        merchant: &Name,
        federation_key: &PublicKey,
    ) -> Result<(), SignatureError> {
        let statement = statement(self.seen);
        federation_key.verify(WITNESS_LABEL, &witness_parts(hello, merchant, &statement), &self.signature)
    }
}

fn statement(seen: Option<WitnessedHead>) -> Vec<u8> {
    seen.map_or_else(Vec::new, |seen| seen.head.statement().to_vec())
}

fn witness_parts<'a>(hello: &'a Hello, merchant: &'a Name, head: &'a [u8]) -> [&'a [u8]; 4] {
    [&hello.nonce, &hello.federation.0, merchant.as_str().as_bytes(), head]
}

/// The job that runs now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The whole job.
    pub spec: JobSpec,
    /// The roster it is for.
    pub roster: Digest,
    /// The newest model version: how many results and roll-backs there are.
    pub version: u32,
    /// By the federation key over the job's and the roster's digest.
    pub signature: Signature,
}

const JOB_LABEL: &str = "guildhall job announcement v1";

impl Job {
    /// Signs an announcement.
    pub fn sign(spec: JobSpec, roster: Digest, version: u32, federation_key: &IdentityKey) -> Self {
        let signature = federation_key.sign(JOB_LABEL, &[&spec.digest().0, &roster.0]);
        Job { spec, roster, version, signature }
    }

    /// Checks the federation's signature. `version` is a hint and not covered.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify(&self, federation_key: &PublicKey) -> Result<(), SignatureError> {
        federation_key.verify(JOB_LABEL, &[&self.spec.digest().0, &self.roster.0], &self.signature)
    }
}

/// Asks for every result after a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatchUp {
    /// The job.
    pub job: Digest,
    /// The newest version the client derived itself.
    pub version: u32,
}

/// The client can take part from this version on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// The job.
    pub job: Digest,
    /// The version it derived.
    pub version: u32,
    /// That version's hash.
    pub model: Digest,
}

/// All rounds are done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// The job.
    pub job: Digest,
    /// The last version.
    pub version: u32,
    /// Its hash.
    pub model: Digest,
}

/// The server ends or refuses the session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What happened and what to do.
    pub reason: String,
}
