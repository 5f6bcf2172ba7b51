//! Session messages: from connection to readiness.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::Name;
use crate::identity::{IdentityKey, PublicKey, Signature, SignatureError, SignedRoster};
use crate::job::JobSpec;

/// First message of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The federation it belongs to.
    pub federation: Digest,
    /// The roster it pinned, if any.
    pub roster: Option<Digest>,
    /// Its software version, for the operator's log.
    pub software: Name,
}

/// First message of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The federation.
    pub federation: Digest,
    /// The closed roster; `None` while it is still open (the server sends another welcome when it closes).
    pub roster: Option<SignedRoster>,
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
