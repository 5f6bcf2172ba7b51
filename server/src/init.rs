//! Making a federation: keys, certificates, configuration, store.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use guildhall_shared::digest::Digest;
use guildhall_shared::id::Name;
use guildhall_shared::identity::IdentityKey;
use zeroize::Zeroizing;

use crate::authority::Authority;
use crate::config::{CONFIG_FILE, Limits, ServerConfig};
use crate::error::ServerError;
use crate::federation::{FEDERATION_KEY, federation_id, open_store};
use crate::store::files;

/// What a new federation needs to know.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// The federation's name.
    pub name: Name,
    /// Where the server will listen. Port 0 lets the system choose at every start.
    pub address: SocketAddr,
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitSummary {
    /// The federation's id.
    pub federation: Digest,
    /// SHA-256 of the authority's certificate.
    pub authority: Digest,
    /// The configuration file.
    pub config: PathBuf,
}

/// Makes a federation in a folder: its Ed25519 key, its certificate authority, the server's TLS certificate,
/// `server.toml` and an empty store. The configuration is written last, so a folder where `init` was cut short is no
/// federation; it is refused all the same, for keys are never overwritten.
///
/// # Errors
/// [`ServerError::Exists`] where one stands already; file, randomness and certificate failures.
pub fn init(dir: &Path, options: &InitOptions) -> Result<InitSummary, ServerError> {
    let config_path = dir.join(CONFIG_FILE);
    if config_path.exists() || dir.join(FEDERATION_KEY).exists() {
        return Err(ServerError::Exists(dir.to_path_buf()));
    }
    files::make_private_folder(dir)?;
    let mut secret = Zeroizing::new([0u8; 32]);
    getrandom::fill(secret.as_mut_slice()).map_err(ServerError::Randomness)?;
    files::write_secret(&dir.join(FEDERATION_KEY), IdentityKey::from_secret(&secret).to_secret().as_slice())?;
    let authority = Authority::create(dir, &options.name)?;
    drop(open_store(dir)?);
    let config = ServerConfig {
        name: options.name.clone(),
        address: options.address,
        public_address: None,
        limits: Limits::default(),
    };
    files::write_durably(&config_path, config.to_text().as_bytes())?;
    Ok(InitSummary {
        federation: federation_id(&authority.certificate, &options.name),
        authority: authority.fingerprint(),
        config: config_path,
    })
}
