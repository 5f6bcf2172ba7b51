//! What an operator tells a server, and what it answers.
//!
//! A running server is asked through the unix socket `admin.sock` in its folder (mode 0600, one JSON line each way); the
//! folder of a stopped server is opened directly. Both ways end in the same function, so both mean the same.

pub(crate) mod apply;
pub(crate) mod socket;

use std::net::SocketAddr;
use std::path::Path;

use guildhall_shared::id::Name;
use guildhall_shared::job::JobSpec;
use serde::{Deserialize, Serialize};

use crate::error::ServerError;
use crate::federation::Federation;
use crate::store::StoreError;

/// An operator's command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "command")]
#[allow(clippy::large_enum_variant, reason = "one lives at a time")]
pub enum AdminCommand {
    /// Makes a one-time invitation for a merchant.
    Invite {
        /// Whom.
        merchant: Name,
    },
    /// Pins the list of merchants; nobody can be enrolled afterwards.
    RosterClose,
    /// Starts a job.
    JobSubmit {
        /// The job.
        #[serde(with = "canonical")]
        spec: JobSpec,
    },
    /// Tells how things stand.
    Status,
    /// Makes an earlier version the newest again.
    RollBack {
        /// Which.
        version: u32,
    },
    /// Lists the newest job's versions.
    Versions,
}

/// The server's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdminReply {
    /// The text to hand to the merchant. A secret until it is used.
    Invitation(String),
    /// The roster is closed.
    RosterClosed {
        /// The roster's digest, in hex.
        digest: String,
        /// Its merchants.
        merchants: Vec<Name>,
    },
    /// The job is recorded and starts once a quorum is connected.
    JobSubmitted {
        /// Its name.
        job: Name,
        /// Its digest, in hex.
        digest: String,
        /// d.
        parameters: u64,
        /// What protects its shoppers.
        label: String,
    },
    /// How things stand.
    Status(Box<Status>),
    /// The versions, oldest first.
    Versions(Vec<VersionInfo>),
    /// The model went back.
    RolledBack {
        /// The version this made.
        version: u32,
        /// The version it equals.
        to: u32,
        /// That version's hash, in hex.
        model: String,
    },
    /// Not done, and why. Nothing changed.
    Refused(String),
}

/// How things stand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The federation's name.
    pub name: Name,
    /// Its id, in hex.
    pub federation: String,
    /// Where the server listens; `None` while it is stopped.
    pub address: Option<SocketAddr>,
    /// Everybody enrolled.
    pub merchants: Vec<MerchantStatus>,
    /// The closed roster's digest, in hex.
    pub roster: Option<String>,
    /// The job submitted last.
    pub job: Option<JobStatus>,
}

/// One merchant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MerchantStatus {
    /// Its name.
    pub name: Name,
    /// Where its rows live.
    pub region: Name,
    /// Whether it has a session now.
    pub connected: bool,
}

/// One job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobStatus {
    /// Its name.
    pub name: Name,
    /// Its digest, in hex.
    pub digest: String,
    /// What protects its shoppers.
    pub label: String,
    /// T.
    pub rounds: u32,
    /// Rounds settled.
    pub settled: u32,
    /// The newest version.
    pub version: u32,
    /// Its hash, in hex.
    pub model: String,
    /// Whether all rounds are settled.
    pub finished: bool,
}

/// One version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionInfo {
    /// The version.
    pub version: u32,
    /// Its model hash, in hex.
    pub model: String,
    /// The round that made it; `None` for version 0 and roll-backs.
    pub round: Option<u32>,
    /// The earlier version it equals, for a roll-back.
    pub equals: Option<u32>,
    /// Whose updates it is made of.
    pub contributors: Vec<Name>,
    /// Unix time in milliseconds; `None` for version 0.
    pub at_ms: Option<u64>,
}

/// Gives a command to the server of a folder, running or stopped. Blocks; call it outside of async code.
///
/// # Errors
/// [`ServerError`] when the command could not be given; a command that was understood and not carried out is an
/// [`AdminReply::Refused`].
pub fn admin(dir: &Path, command: AdminCommand) -> Result<AdminReply, ServerError> {
    if let Some(reply) = socket::ask(dir, &command)? {
        return Ok(reply);
    }
    match Federation::open(dir) {
        Ok(federation) => apply::apply(&federation, command, &apply::Live::default()),
        // The server may have started, or come up, in the meantime.
        Err(ServerError::Store(StoreError::Locked(path))) => match socket::ask(dir, &command)? {
            Some(reply) => Ok(reply),
            None => Err(ServerError::Admin {
                path: socket::path(dir),
                reason: format!(
                    "{} is in use by another process, but nobody answers the socket: if a server is starting or stopping, try again in a moment",
                    path.display()
                ),
            }),
        },
        Err(error) => Err(error),
    }
}

/// A job as hex of its canonical encoding: JSON numbers would not keep every float's bits, nor so the job's digest.
mod canonical {
    use guildhall_shared::job::JobSpec;
    use guildhall_shared::wire;
    use serde::de::Error as _;
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(spec: &JobSpec, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = wire::encode(spec).map_err(S::Error::custom)?;
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<JobSpec, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = hex::decode(text).map_err(D::Error::custom)?;
        wire::decode(&bytes, wire::OBJECT_BYTES_MAX).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
