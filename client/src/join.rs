//! Joining a federation: keys are made here and stay here; a certificate comes back.
//!
//! ```text
//! folder + keys + signing request, durable ─▶ request over a connection pinned to the authority ─▶ reply checked
//!   ─▶ certificate, authority, federation.toml ─▶ client.toml
//! ```
//! It may be repeated after a crash at any point: the same keys ask again, and a finished part is not done twice.

use std::net::SocketAddr;
use std::path::PathBuf;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::Name;
use guildhall_shared::identity::{IdentityKey, PublicKey};
use guildhall_shared::message::{EnrolReply, EnrolRequest, Enrolled, Invitation};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use zeroize::Zeroizing;

use crate::config::{ClientConfig, Mistakes};
use crate::error::ClientError;
use crate::folder::{Access, Folder, FolderError, Membership, read, read_or_draw_secret, write_durably};
use crate::model::DeviceChoice;
use crate::transport::{self, Credentials, TransportError, check_certificate};

/// What to join with. Everything but the invitation ends up in `client.toml`.
#[derive(Clone, Debug)]
pub struct JoinOptions {
    /// From the federation's operator.
    pub invitation: Invitation,
    /// The new folder.
    pub dir: PathBuf,
    /// Where the merchant's rows live.
    pub region: Name,
    /// ε the merchant's shoppers may lose over all jobs.
    pub budget_epsilon: f64,
    /// δ.
    pub budget_delta: f64,
    /// Names of jobs to take part in; `*` for all.
    pub jobs: Vec<String>,
    /// Whether plain mode is acceptable.
    pub allow_plain_mode: bool,
    /// Whether jobs without privacy are acceptable; goes under `[dangerous]`.
    pub allow_privacy_none: bool,
    /// What computes.
    pub device: DeviceChoice,
    /// Where to serve predictions.
    pub serve_address: SocketAddr,
    /// The text of the `[data]` table without its header; without it the client only follows jobs.
    pub data_table: Option<String>,
    /// Whether `run` ends once a job is finished.
    pub exit_when_finished: bool,
}

/// A merchant that is enrolled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The merchant.
    pub merchant: Name,
    /// Its public identity.
    pub identity: PublicKey,
    /// The federation.
    pub federation: Digest,
    /// Where the configuration lies.
    pub config: PathBuf,
}

/// Joining that failed.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The options cannot make a configuration.
    #[error("these options do not make a configuration: {0}")]
    Options(Mistakes),
    /// The folder belongs to another federation.
    #[error(
        "{} belongs to another federation: its authority has SHA-256 {found}, the invitation names {expected}; \
         join from an empty folder", dir.display()
    )]
    OtherFederation {
        /// The folder.
        dir: PathBuf,
        /// In the invitation.
        expected: Digest,
        /// In the folder.
        found: Digest,
    },
    /// The connection failed, or the server is not the one.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The server says no.
    #[error("the server did not enrol {merchant}: {reason}")]
    Refused {
        /// Who asked.
        merchant: Name,
        /// In the server's words.
        reason: String,
    },
    /// The reply is not what an authority would answer. Nothing of it was kept.
    #[error(
        "the server's answer is not acceptable and was not kept: {0}. Do not go on before the operator explains it"
    )]
    Reply(String),
    /// TLS keys.
    #[error("cannot make TLS keys: {0}")]
    Keys(#[from] rcgen::Error),
    /// Files.
    #[error(transparent)]
    Folder(#[from] FolderError),
}

/// Joins a federation: makes keys, enrols, writes the configuration.
///
/// # Errors
/// [`JoinError`] in [`ClientError`]; repeat the call after removing the cause.
pub async fn join(options: &JoinOptions) -> Result<Joined, ClientError> {
    Ok(join_folder(options).await?)
}

async fn join_folder(options: &JoinOptions) -> Result<Joined, JoinError> {
    let text = config_text(options).map_err(JoinError::Options)?;
    ClientConfig::parse(&text, &options.dir).map_err(JoinError::Options)?;
    let folder = Folder::at(&options.dir);
    folder.create()?;
    let identity = IdentityKey::from_secret(&*read_or_draw_secret(&folder.identity_key())?);
    let membership = if folder.federation().exists() {
        let membership = folder.membership()?;
        let (expected, found) = (options.invitation.authority, Digest::of_bytes(&membership.authority));
        if expected != found {
            return Err(JoinError::OtherFederation { dir: options.dir.clone(), expected, found });
        }
        membership
    } else {
        let membership = enrol(options, &folder, identity).await?;
        folder.write_enrolment(&membership)?;
        membership
    };
    // A configuration that is there may have been edited.
    if !folder.config().exists() {
        write_durably(&folder.config(), text.as_bytes(), Access::Shared)?;
    }
    Ok(Joined {
        merchant: options.invitation.merchant.clone(),
        identity: membership.identity.public(),
        federation: membership.federation,
        config: folder.config(),
    })
}

async fn enrol(
    options: &JoinOptions,
    folder: &Folder,
    identity: IdentityKey,
) -> Result<Membership, JoinError> {
    let invitation = &options.invitation;
    let tls_key = read_or_make_tls_key(folder)?;
    let signing_request = read_or_make_signing_request(folder, &tls_key, &invitation.merchant)?;
    let request = EnrolRequest::sign(invitation, options.region.clone(), &identity, signing_request);
    let enrolled = match transport::enrol(invitation.address, invitation.authority, request).await? {
        EnrolReply::Granted(enrolled) => enrolled,
        EnrolReply::Refused(reason) => {
            return Err(JoinError::Refused {
                merchant: invitation.merchant.clone(),
                reason: printable(&reason),
            });
        }
    };
    check_reply(&enrolled, &invitation.authority, &tls_key).map_err(JoinError::Reply)?;
    let Enrolled { federation, federation_key, certificate, authority } = enrolled;
    Ok(Membership { identity, tls_key, certificate, authority, federation, federation_key })
}

fn read_or_make_tls_key(folder: &Folder) -> Result<Zeroizing<Vec<u8>>, JoinError> {
    let path = folder.tls_key();
    if !path.exists() {
        let key = Zeroizing::new(KeyPair::generate()?.serialize_der());
        write_durably(&path, &key, Access::Private)?;
    }
    Ok(Zeroizing::new(read(&path)?))
}

/// Kept too, because its signature is random: a repeated request must be the same to the byte.
fn read_or_make_signing_request(
    folder: &Folder,
    tls_key: &[u8],
    merchant: &Name,
) -> Result<Vec<u8>, JoinError> {
    let path = folder.signing_request();
    if !path.exists() {
        let key = KeyPair::try_from(tls_key)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, merchant.as_str());
        write_durably(&path, params.serialize_request(&key)?.der(), Access::Shared)?;
    }
    Ok(read(&path)?)
}

/// The authority must be the pinned one, and the certificate issued by it, for this client's key.
fn check_reply(enrolled: &Enrolled, pinned: &Digest, tls_key: &Zeroizing<Vec<u8>>) -> Result<(), String> {
    let found = Digest::of_bytes(&enrolled.authority);
    if found != *pinned {
        return Err(format!(
            "expected the authority with SHA-256 {pinned}, found {found}: someone may be in the middle"
        ));
    }
    let credentials = Credentials {
        authority: enrolled.authority.clone(),
        certificate: enrolled.certificate.clone(),
        key: tls_key.clone(),
    };
    check_certificate(&credentials).map_err(|error| format!("the certificate is not ours to use ({error})"))
}

/// A stranger's text, made safe for a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect()
}

/// Writes a configuration with everything spelt out.
fn config_text(options: &JoinOptions) -> Result<String, Mistakes> {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let jobs = toml::Value::Array(options.jobs.iter().map(|job| toml::Value::String(job.clone())).collect());
    let data = options.data_table.as_deref().map(data_section).transpose()?.unwrap_or_default();
    Ok(format!(
        "merchant = {merchant}\nregion = {region}\nserver = \"{server}\"\n\n\
         # What one shopper (or row) may lose over all jobs together. When it is used up, the client declines and says so.\n\
         budget_epsilon = {epsilon:?}\nbudget_delta = {delta:e}\n\n\
         device = \"{device}\"\nexit_when_finished = {exit}\n\n\
         [policy]\njobs = {jobs}\n# Rounds are masked, which needs no permission. Plain mode does: full local noise, no masks; the server reads each\n\
         # noised update.\n\
         allow_plain_mode = {plain}\n\n\
         [dangerous]\n# Jobs with privacy = \"none\" protect nobody.\nallow_privacy_none = {none}\n\n\
         [serve]\naddress = \"{serve}\"\n{data}",
        merchant = quoted(options.invitation.merchant.as_str()),
        region = quoted(options.region.as_str()),
        server = options.invitation.address,
        epsilon = options.budget_epsilon,
        delta = options.budget_delta,
        device = options.device,
        exit = options.exit_when_finished,
        plain = options.allow_plain_mode,
        none = options.allow_privacy_none,
        serve = options.serve_address,
    ))
}

/// The `[data]` table, from its text with or without that header.
fn data_section(text: &str) -> Result<String, Mistakes> {
    let mistake = |error: &dyn std::fmt::Display| Mistakes(vec![format!("[data]: {error}")]);
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| mistake(&error))?;
    let whole = match table.get("data") {
        Some(toml::Value::Table(_)) if table.len() == 1 => table,
        _ => toml::Table::from_iter([("data".to_owned(), toml::Value::Table(table))]),
    };
    toml::to_string(&whole).map(|text| format!("\n{text}")).map_err(|error| mistake(&error))
}

#[cfg(test)]
mod tests;
