//! The records of a federation, typed, over any [`Store`].

use guildhall_shared::digest::Digest;
use guildhall_shared::id::{Name, RoundId};
use guildhall_shared::identity::{PublicKey, SignedRoster};
use guildhall_shared::job::JobSpec;
use guildhall_shared::message::{ResultHeader, RollBack};
use guildhall_shared::wire;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Put, Store, StoreError, Table};

/// An invitation, found by its token's digest. Used at most once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitationRecord {
    /// Whom it invites.
    pub merchant: Name,
    /// Digest of the request that used it up.
    pub used_by: Option<Digest>,
}

/// An enrolled merchant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MerchantRecord {
    /// Its name.
    pub name: Name,
    /// Where its rows live.
    pub region: Name,
    /// Its Ed25519 identity.
    pub identity: PublicKey,
    /// Its TLS certificate (DER).
    pub certificate: Vec<u8>,
    /// SHA-256 of its TLS public key.
    pub key: Digest,
}

impl MerchantRecord {
    /// SHA-256 of its TLS certificate.
    pub fn certificate_digest(&self) -> Digest {
        Digest::of_bytes(&self.certificate)
    }
}

/// A job that was submitted. Jobs are numbered from 0; only the last can be unfinished.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    /// Its number.
    pub number: u32,
    /// The job.
    pub spec: JobSpec,
}

/// What made a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A round.
    Result(ResultHeader),
    /// A roll-back.
    RollBack(RollBack),
}

/// A version after 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRecord {
    /// Unix time in milliseconds at which it became durable.
    pub at_ms: u64,
    /// What made it.
    pub change: Change,
}

impl VersionRecord {
    /// The version's model hash.
    pub fn model(&self) -> Digest {
        match &self.change {
            Change::Result(header) => header.model,
            Change::RollBack(roll_back) => roll_back.model,
        }
    }
}

/// The records.
pub struct Records(Box<dyn Store>);

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    Ok(wire::decode(bytes, wire::OBJECT_BYTES_MAX)?)
}

fn put<T: Serialize>(table: Table, key: impl Into<Vec<u8>>, value: &T) -> Result<Put, StoreError> {
    Ok(Put { table, key: key.into(), value: wire::encode(value)? })
}

fn version_key(job: u32, version: u32) -> Vec<u8> {
    [job.to_be_bytes(), version.to_be_bytes()].concat()
}

impl Records {
    /// Over a store.
    pub fn new(store: Box<dyn Store>) -> Self {
        Records(store)
    }

    fn get<T: DeserializeOwned>(&self, table: Table, key: &[u8]) -> Result<Option<T>, StoreError> {
        self.0.get(table, key)?.map(|bytes| decode(&bytes)).transpose()
    }

    /// An invitation.
    pub fn invitation(&self, token: &Digest) -> Result<Option<InvitationRecord>, StoreError> {
        self.get(Table::Invitation, &token.0)
    }

    /// Keeps a new invitation.
    pub fn put_invitation(&self, token: &Digest, record: &InvitationRecord) -> Result<(), StoreError> {
        self.0.write(&[put(Table::Invitation, token.0, record)?])
    }

    /// Every merchant, in order of name.
    pub fn merchants(&self) -> Result<Vec<MerchantRecord>, StoreError> {
        self.0.scan(Table::Merchant, &[])?.iter().map(|(_, value)| decode(value)).collect()
    }

    /// A merchant by name.
    pub fn merchant(&self, name: &Name) -> Result<Option<MerchantRecord>, StoreError> {
        self.get(Table::Merchant, name.as_str().as_bytes())
    }

    /// A merchant by the SHA-256 of its certificate.
    pub fn merchant_by_certificate(
        &self,
        certificate: &Digest,
    ) -> Result<Option<MerchantRecord>, StoreError> {
        match self.get::<Name>(Table::Certificate, &certificate.0)? {
            Some(name) => self.merchant(&name),
            None => Ok(None),
        }
    }

    /// Uses up an invitation and keeps the merchant, both or neither.
    pub fn enrol(
        &self,
        token: &Digest,
        used: &InvitationRecord,
        merchant: &MerchantRecord,
    ) -> Result<(), StoreError> {
        self.0.write(&[
            put(Table::Invitation, token.0, used)?,
            put(Table::Merchant, merchant.name.as_str().as_bytes(), merchant)?,
            put(Table::Certificate, merchant.certificate_digest().0, &merchant.name)?,
        ])
    }

    /// The closed roster.
    pub fn roster(&self) -> Result<Option<SignedRoster>, StoreError> {
        self.get(Table::Roster, b"roster")
    }

    /// Keeps the closed roster.
    pub fn put_roster(&self, roster: &SignedRoster) -> Result<(), StoreError> {
        self.0.write(&[put(Table::Roster, *b"roster", roster)?])
    }

    /// Every job, oldest first.
    pub fn jobs(&self) -> Result<Vec<JobRecord>, StoreError> {
        self.0.scan(Table::Job, &[])?.iter().map(|(_, value)| decode(value)).collect()
    }

    /// The job submitted last.
    pub fn newest_job(&self) -> Result<Option<JobRecord>, StoreError> {
        self.0.last(Table::Job, &[])?.map(|(_, value)| decode(&value)).transpose()
    }

    /// Keeps a new job.
    pub fn put_job(&self, job: &JobRecord) -> Result<(), StoreError> {
        self.0.write(&[put(Table::Job, job.number.to_be_bytes(), job)?])
    }

    /// What made a version of a job.
    pub fn version(&self, job: u32, version: u32) -> Result<Option<VersionRecord>, StoreError> {
        self.get(Table::Version, &version_key(job, version))
    }

    /// Every version of a job after version 0, oldest first: entry i made version i + 1.
    pub fn versions(&self, job: u32) -> Result<Vec<VersionRecord>, StoreError> {
        self.0.scan(Table::Version, &job.to_be_bytes())?.iter().map(|(_, value)| decode(value)).collect()
    }

    /// The newest version of a job: 0 before the first result.
    pub fn newest_version(&self, job: u32) -> Result<u32, StoreError> {
        let last = self.0.last(Table::Version, &job.to_be_bytes())?;
        let version = last.and_then(|(key, _)| key.last_chunk::<4>().copied());
        Ok(version.map_or(0, u32::from_be_bytes))
    }

    /// Keeps a new version.
    pub fn put_version(&self, job: u32, version: u32, record: &VersionRecord) -> Result<(), StoreError> {
        self.0.write(&[put(Table::Version, version_key(job, version), record)?])
    }

    /// The last attempt that was offered.
    pub fn last_attempt(&self, job: u32) -> Result<Option<RoundId>, StoreError> {
        self.get(Table::Attempt, &job.to_be_bytes())
    }

    /// Keeps the number of an attempt about to be offered, so that no number is ever offered twice.
    pub fn put_attempt(&self, job: u32, attempt: RoundId) -> Result<(), StoreError> {
        self.0.write(&[put(Table::Attempt, job.to_be_bytes(), &attempt)?])
    }
}
