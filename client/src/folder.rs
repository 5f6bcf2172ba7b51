//! A client's folder: what lies where, secret files only its owner can read, and writes that survive a crash.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use guildhall_shared::digest::Digest;
use guildhall_shared::identity::{IdentityKey, PublicKey, SignedRoster};
use guildhall_shared::secagg::Witness;
use guildhall_shared::wire;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A file or folder that could not be read or written, or that holds something else than it should.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The operating system says no.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Not what belongs there.
    #[error(
        "{path}: expected {expected}: restore this file from a backup, or join again with a new invitation"
    )]
    Content {
        /// Where.
        path: PathBuf,
        /// What belongs there.
        expected: &'static str,
    },
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only the owner: keys.
    Private,
    /// Whoever may read the folder.
    Shared,
}

/// A client's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder(PathBuf);

/// What an enrolled merchant knows of its federation, beside its keys. Written once, by `join`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FederationFile {
    federation: String,
    federation_key: String,
}

/// Keys and certificates of an enrolled merchant.
pub struct Membership {
    /// Signs acceptances and updates.
    pub identity: IdentityKey,
    /// The TLS key (PKCS#8, DER).
    pub tls_key: Zeroizing<Vec<u8>>,
    /// The TLS certificate (DER).
    pub certificate: Vec<u8>,
    /// The federation authority's certificate (DER).
    pub authority: Vec<u8>,
    /// The federation.
    pub federation: Digest,
    /// The key that signs rosters, jobs, offers and results.
    pub federation_key: PublicKey,
}

impl Folder {
    /// The folder at a path, which need not exist yet.
    pub fn at(path: &Path) -> Self {
        Folder(path.to_path_buf())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The configuration, TOML.
    pub fn config(&self) -> PathBuf {
        self.0.join("client.toml")
    }

    /// The secret Ed25519 identity, 64 hex characters.
    pub fn identity_key(&self) -> PathBuf {
        self.0.join("identity.key")
    }

    /// The secret TLS key, PKCS#8 in DER.
    pub fn tls_key(&self) -> PathBuf {
        self.0.join("tls.key")
    }

    /// The signing request for the TLS key, PKCS#10 in DER: kept so that a repeated enrolment is the same to the byte.
    pub fn signing_request(&self) -> PathBuf {
        self.0.join("tls.csr.der")
    }

    /// The TLS certificate, DER.
    pub fn certificate(&self) -> PathBuf {
        self.0.join("tls.der")
    }

    /// The federation authority's certificate, DER.
    pub fn authority(&self) -> PathBuf {
        self.0.join("authority.der")
    }

    /// Id and key of the federation, TOML.
    pub fn federation(&self) -> PathBuf {
        self.0.join("federation.toml")
    }

    /// The first closed roster that listed this merchant.
    pub fn roster(&self) -> PathBuf {
        self.0.join("roster.pin")
    }

    /// The secret that shoppers' participation coins are drawn with.
    pub fn participation_key(&self) -> PathBuf {
        self.0.join("participation.key")
    }

    /// The secret under which the ledger's tags name the data. Whoever is to check them is shown it with the data.
    pub fn data_secret(&self) -> PathBuf {
        self.0.join("data.secret")
    }

    /// The privacy ledger's folder.
    pub fn ledger(&self) -> PathBuf {
        self.0.join("ledger")
    }

    /// What this client saw of the other merchants' ledgers.
    pub fn witness(&self) -> PathBuf {
        self.0.join("witness")
    }

    /// The folder with the model versions of a job.
    pub fn models(&self, job: &Digest) -> PathBuf {
        self.all_models().join(job.to_string())
    }

    /// The folder with the folders of all jobs.
    pub fn all_models(&self) -> PathBuf {
        self.0.join("models")
    }

    /// A job that was followed, beside its model versions.
    pub fn kept_job(&self, job: &Digest) -> PathBuf {
        self.models(job).join("job.spec")
    }

    /// What shoppers did since the data were written, appended as they do it.
    pub fn events(&self) -> PathBuf {
        self.0.join("events.log")
    }

    /// The job that is followed, so that its newest model is served again before the server is reached. A metrics job is followed
    /// beside it.
    pub fn followed_job(&self) -> PathBuf {
        self.0.join("job.followed")
    }

    /// The address at which predictions are served just now.
    pub fn serve_address(&self) -> PathBuf {
        self.0.join("serve.address")
    }

    /// Makes the folder, readable by its owner only.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn create(&self) -> Result<(), FolderError> {
        create_private(&self.0)
    }

    /// Keeps what the authority answered. The federation file comes last: its presence means "enrolled".
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn write_enrolment(&self, membership: &Membership) -> Result<(), FolderError> {
        write_durably(&self.certificate(), &membership.certificate, Access::Shared)?;
        write_durably(&self.authority(), &membership.authority, Access::Shared)?;
        let text = format!(
            "# Written by `guildhall join`; do not edit.\nfederation = \"{}\"\nfederation_key = \"{}\"\n",
            membership.federation,
            hex::encode(membership.federation_key.0)
        );
        write_durably(&self.federation(), text.as_bytes(), Access::Shared)
    }

    /// Reads everything `join` wrote.
    ///
    /// # Errors
    /// [`FolderError`] names the file.
    pub fn membership(&self) -> Result<Membership, FolderError> {
        let text = read(&self.federation())?;
        let content = |expected| FolderError::Content { path: self.federation(), expected };
        let text = std::str::from_utf8(&text).map_err(|_| content("TOML text"))?;
        let file: FederationFile =
            toml::from_str(text).map_err(|_| content("the keys federation and federation_key"))?;
        let key: Digest =
            file.federation_key.parse().map_err(|_| content("federation_key as 64 hex characters"))?;
        Ok(Membership {
            identity: self.read_identity()?,
            tls_key: Zeroizing::new(read(&self.tls_key())?),
            certificate: read(&self.certificate())?,
            authority: read(&self.authority())?,
            federation: file.federation.parse().map_err(|_| content("federation as 64 hex characters"))?,
            federation_key: PublicKey(key.0),
        })
    }

    /// Reads the identity key.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn read_identity(&self) -> Result<IdentityKey, FolderError> {
        Ok(IdentityKey::from_secret(&*read_secret(&self.identity_key())?))
    }

    /// Reads the pinned roster, if one was pinned.
    ///
    /// # Errors
    /// [`FolderError`]; a damaged pin is never taken for "no pin".
    pub fn read_roster(&self) -> Result<Option<SignedRoster>, FolderError> {
        let path = self.roster();
        if !path.exists() {
            return Ok(None);
        }
        let expected = "the roster this client pinned";
        let roster = wire::decode(&read(&path)?, wire::OBJECT_BYTES_MAX);
        roster.map(Some).map_err(|_| FolderError::Content { path, expected })
    }

    /// Pins a roster, durably.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn write_roster(&self, roster: &SignedRoster) -> Result<(), FolderError> {
        let bytes = wire::encode(roster).map_err(|_| FolderError::Content {
            path: self.roster(),
            expected: "a roster that can be encoded",
        })?;
        write_durably(&self.roster(), &bytes, Access::Shared)
    }

    /// Reads what this client saw of the others' ledgers; nothing, before its first round. A damaged file is said to be one
    /// and forgotten: the next round brings everything anew, and the others remember too.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn read_witness(&self) -> Result<Witness, FolderError> {
        let path = self.witness();
        if !path.exists() {
            return Ok(Witness::default());
        }
        Ok(wire::decode(&read(&path)?, wire::OBJECT_BYTES_MAX).unwrap_or_else(|_| {
            tracing::warn!(path = %path.display(), "expected what was seen of the others' ledgers: forgotten");
            Witness::default()
        }))
    }

    /// Keeps what this client saw of the others' ledgers, durably.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn write_witness(&self, witness: &Witness) -> Result<(), FolderError> {
        write_durably(&self.witness(), &wire::encode(witness).unwrap_or_default(), Access::Shared)
    }
}

/// Makes a folder and its parents, readable by its owner only.
///
/// # Errors
/// [`FolderError::Io`].
pub fn create_private(path: &Path) -> Result<(), FolderError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| FolderError::Io { path: path.into(), action: "create the folder", source })
}

/// Reads a whole file.
///
/// # Errors
/// [`FolderError::Io`].
pub fn read(path: &Path) -> Result<Vec<u8>, FolderError> {
    fs::read(path).map_err(|source| FolderError::Io { path: path.into(), action: "read the file", source })
}

/// Reads a secret of 32 bytes in hex characters.
///
/// # Errors
/// [`FolderError`].
pub fn read_secret(path: &Path) -> Result<Zeroizing<[u8; 32]>, FolderError> {
    let text = Zeroizing::new(read(path)?);
    let mut secret = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim_ascii(), &mut *secret)
        .map_err(|_| FolderError::Content { path: path.into(), expected: "64 hex characters" })?;
    Ok(secret)
}

/// Reads a secret of 32 bytes, or draws it from the operating system and keeps it durably before returning it.
///
/// # Errors
/// [`FolderError`].
pub fn read_or_draw_secret(path: &Path) -> Result<Zeroizing<[u8; 32]>, FolderError> {
    if path.exists() {
        return read_secret(path);
    }
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *secret).map_err(|error| FolderError::Io {
        path: path.into(),
        action: "draw a key from the operating system",
        source: io::Error::other(error.to_string()),
    })?;
    let text = Zeroizing::new(hex::encode(*secret));
    write_durably(path, text.as_bytes(), Access::Private)?;
    Ok(secret)
}

/// Writes a file so that after a crash either the old or the whole new content is there: temporary file, sync,
/// rename, sync of the folder.
///
/// # Errors
/// [`FolderError::Io`].
pub fn write_durably(path: &Path, bytes: &[u8], access: Access) -> Result<(), FolderError> {
    let error = |source| FolderError::Io { path: path.into(), action: "write the file", source };
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".partial");
    let partial = folder.join(name);
    let write = || -> io::Result<()> {
        let mode = if access == Access::Private { 0o600 } else { 0o644 };
        // A left-over from a crash may have other permissions.
        match fs::remove_file(&partial) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&partial, path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn secrets_are_private_and_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::at(&dir.path().join("a/b"));
        folder.create().unwrap();
        let first = read_or_draw_secret(&folder.identity_key()).unwrap();
        assert_eq!(first, read_or_draw_secret(&folder.identity_key()).unwrap());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(folder.path()), 0o700);
        assert_eq!(mode(&folder.identity_key()), 0o600);
    }

    #[test]
    fn a_left_over_partial_file_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(dir.path().join("key.partial"), b"torn").unwrap();
        write_durably(&path, b"whole", Access::Private).unwrap();
        assert_eq!(read(&path).unwrap(), b"whole");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_pin_is_an_error_and_not_an_absent_pin() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::at(dir.path());
        assert!(folder.read_roster().unwrap().is_none());
        fs::write(folder.roster(), b"garbage").unwrap();
        assert!(matches!(folder.read_roster(), Err(FolderError::Content { .. })));
    }

    #[test]
    fn a_damaged_key_is_named_without_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity.key");
        fs::write(&path, b"secret!").unwrap();
        let error = read_secret(&path).unwrap_err().to_string();
        assert!(error.contains("identity.key") && !error.contains("secret!"), "{error}");
    }
}
