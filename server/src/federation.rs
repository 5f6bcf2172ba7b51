//! A federation's folder, opened: keys, configuration, records, files. Only one process has it open at a time.
//!
//! ```text
//! server.toml  federation.key  authority.{crt,key}.der  server.{crt,key}.der  admin.sock (while running)
//! ledger/      the mirror of its jobs
//! store/       metadata                results/JOB-VERSION.frame   every result as it was sent
//!                                      models/JOB.model            the newest model, a cache
//! ```

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use guildhall_shared::digest::Digest;
use guildhall_shared::id::Name;
use guildhall_shared::identity::IdentityKey;
use zeroize::Zeroizing;

use crate::authority::Authority;
use crate::config::ServerConfig;
use crate::error::ServerError;
use crate::store::files;
use crate::store::records::Records;
use crate::store::sled::SledStore;

/// The federation's Ed25519 key, 32 secret bytes.
pub const FEDERATION_KEY: &str = "federation.key";

/// An open federation.
pub struct Federation {
    /// Its configuration.
    pub config: ServerConfig,
    /// Its id.
    pub id: Digest,
    /// Signs rosters, jobs, offers and results.
    pub key: IdentityKey,
    /// Issues certificates.
    pub authority: Authority,
    /// Its metadata.
    pub records: Records,
    dir: PathBuf,
}

/// A federation's id: its authority's certificate and its name.
pub fn federation_id(authority_certificate: &[u8], name: &Name) -> Digest {
    Digest::of("guildhall federation v1", &[authority_certificate, name.as_str().as_bytes()])
}

/// Opens the metadata store of a folder.
pub fn open_store(dir: &Path) -> Result<Records, ServerError> {
    Ok(Records::new(Box::new(SledStore::open(&dir.join("store"))?)))
}

impl Federation {
    /// Opens a folder that `init` made.
    ///
    /// # Errors
    /// [`ServerError`]; [`crate::store::StoreError::Locked`] inside where another process has it open.
    pub fn open(dir: &Path) -> Result<Self, ServerError> {
        let config = ServerConfig::load(dir)?;
        let records = open_store(dir)?;
        let key_path = dir.join(FEDERATION_KEY);
        let secret: Zeroizing<[u8; 32]> = match files::read_secret(&key_path)?.as_slice().try_into() {
            Ok(secret) => Zeroizing::new(secret),
            Err(_) => return Err(ServerError::Key { path: key_path, expected: "32 secret bytes" }),
        };
        let authority = Authority::load(dir)?;
        for folder in ["results", "models"] {
            files::make_private_folder(&dir.join(folder))?;
        }
        let id = federation_id(&authority.certificate, &config.name);
        let key = IdentityKey::from_secret(&secret);
        Ok(Federation { config, id, key, authority, records, dir: dir.to_path_buf() })
    }

    /// The server's ledger.
    pub fn ledger(&self) -> PathBuf {
        self.dir.join("ledger")
    }

    /// Where a result is kept, exactly as it is sent.
    pub fn result_path(&self, job: u32, version: u32) -> PathBuf {
        self.dir.join("results").join(format!("{job:05}-{version:08}.frame"))
    }

    /// Where the newest model of a job is cached.
    pub fn model_path(&self, job: u32) -> PathBuf {
        self.dir.join("models").join(format!("{job:05}.model"))
    }
}

/// Milliseconds since 1970, for records that people read; decisions use a monotonic clock.
pub fn unix_time_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
