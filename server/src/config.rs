//! `server.toml`: read raw, then validated with every mistake reported at once.

use std::net::SocketAddr;
use std::path::Path;

use guildhall_shared::id::Name;
use serde::Deserialize;

use crate::error::ServerError;

/// The configuration file's name in the server's folder.
pub const CONFIG_FILE: &str = "server.toml";

/// A validated configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// The federation's name.
    pub name: Name,
    /// Where to listen.
    pub address: SocketAddr,
    /// What invitations tell merchants to connect to, where it is not the listen address.
    pub public_address: Option<SocketAddr>,
    /// Bounds on what peers may use.
    pub limits: Limits,
}

/// Bounds on what peers may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Handshakes at once; beyond, addresses must first prove that they can receive (a QUIC retry).
    pub pending_handshakes: usize,
    /// Buffers for uploads; other uploads wait by flow control.
    pub upload_buffers: usize,
    /// An upload slower than this on the whole is cut off, bytes per second.
    pub upload_rate_min_bytes_per_second: u64,
    /// A peer that sends nothing of a begun message for this long is cut off.
    pub stall_ms: u64,
    /// Pause after an aborted attempt; doubles with every abort in a row, up to 64 times this.
    pub back_off_ms: u64,
    /// Refusals after which a session is closed.
    pub refusals_per_session: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 1_100,
            pending_handshakes: 64,
            upload_buffers: 4,
            upload_rate_min_bytes_per_second: 64 << 10,
            stall_ms: 10_000,
            back_off_ms: 1_000,
            refusals_per_session: 32,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    name: String,
    address: String,
    public_address: Option<String>,
    #[serde(default)]
    limits: RawLimits,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    connections: Option<u64>,
    pending_handshakes: Option<u64>,
    upload_buffers: Option<u64>,
    upload_rate_min_bytes_per_second: Option<u64>,
    stall_ms: Option<u64>,
    back_off_ms: Option<u64>,
    refusals_per_session: Option<u64>,
}

impl ServerConfig {
    /// Parses a configuration.
    ///
    /// # Errors
    /// Every mistake: the key, what was expected, what was found.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let raw: RawConfig = toml::from_str(text).map_err(|e| vec![e.to_string().trim_end().to_owned()])?;
        let mut mistakes = Vec::new();
        let name = Name::new(raw.name).map_err(|e| mistakes.push(format!("name: {e}"))).ok();
        let address = address("address", &raw.address, &mut mistakes);
        let public_address = raw.public_address.and_then(|text| {
            let found = self::address("public_address", &text, &mut mistakes)?;
            if found.ip().is_unspecified() || found.port() == 0 {
                mistakes
                    .push(format!("public_address: expected an address merchants can reach, found {found}"));
            }
            Some(found)
        });
        let limits = limits(&raw.limits, &mut mistakes);
        match (name, address) {
            (Some(name), Some(address)) if mistakes.is_empty() => {
                Ok(ServerConfig { name, address, public_address, limits })
            }
            _ => Err(mistakes),
        }
    }

    /// Reads and parses the configuration of a server's folder.
    ///
    /// # Errors
    /// [`ServerError::NoFederation`] without a file, [`ServerError::Config`] with every mistake.
    pub fn load(dir: &Path) -> Result<Self, ServerError> {
        let path = dir.join(CONFIG_FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(ServerError::NoFederation(dir.to_path_buf()));
            }
            Err(source) => return Err(ServerError::File { path, source }),
        };
        Self::parse(&text).map_err(|mistakes| ServerError::Config { path, mistakes })
    }

    /// The file `init` writes: the settings that have no default, and the others with theirs as comments.
    pub fn to_text(&self) -> String {
        let limits = Limits::default();
        format!(
            "# A Guildhall server. Every limit below shows its default.\n\
             name = \"{}\"\n\
             address = \"{}\"\n\
             # What invitations tell merchants to connect to, where it is not the address above:\n\
             # public_address = \"203.0.113.7:4433\"\n\
             \n\
             [limits]\n\
             # connections = {}\n\
             # pending_handshakes = {}\n\
             # upload_buffers = {}\n\
             # upload_rate_min_bytes_per_second = {}\n\
             # stall_ms = {}\n\
             # back_off_ms = {}\n\
             # refusals_per_session = {}\n",
            self.name,
            self.address,
            limits.connections,
            limits.pending_handshakes,
            limits.upload_buffers,
            limits.upload_rate_min_bytes_per_second,
            limits.stall_ms,
            limits.back_off_ms,
            limits.refusals_per_session,
        )
    }
}

fn address(key: &str, text: &str, mistakes: &mut Vec<String>) -> Option<SocketAddr> {
    text.parse()
        .map_err(|_| {
            mistakes.push(format!("{key}: expected ADDRESS:PORT, for example 127.0.0.1:4433, found {text:?}"))
        })
        .ok()
}

fn limits(raw: &RawLimits, mistakes: &mut Vec<String>) -> Limits {
    let default = Limits::default();
    let mut pick = |key: &str, value: Option<u64>, default: u64, low: u64, high: u64| {
        let value = value.unwrap_or(default);
        if !(low..=high).contains(&value) {
            mistakes.push(format!("limits.{key}: expected {low} to {high}, found {value}"));
        }
        value
    };
    Limits {
        connections: pick("connections", raw.connections, default.connections as u64, 1, 10_000) as usize,
        pending_handshakes: pick(
            "pending_handshakes",
            raw.pending_handshakes,
            default.pending_handshakes as u64,
            1,
            4_096,
        ) as usize,
        upload_buffers: pick("upload_buffers", raw.upload_buffers, default.upload_buffers as u64, 1, 64)
            as usize,
        upload_rate_min_bytes_per_second: pick(
            "upload_rate_min_bytes_per_second",
            raw.upload_rate_min_bytes_per_second,
            default.upload_rate_min_bytes_per_second,
            1,
            1 << 40,
        ),
        stall_ms: pick("stall_ms", raw.stall_ms, default.stall_ms, 10, 600_000),
        back_off_ms: pick("back_off_ms", raw.back_off_ms, default.back_off_ms, 1, 600_000),
        refusals_per_session: pick(
            "refusals_per_session",
            raw.refusals_per_session,
            u64::from(default.refusals_per_session),
            1,
            1 << 20,
        ) as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_init_writes_is_what_is_read() {
        let config = ServerConfig {
            name: Name::new("market").expect("legal"),
            address: "127.0.0.1:4433".parse().expect("an address"),
            public_address: None,
            limits: Limits::default(),
        };
        assert_eq!(ServerConfig::parse(&config.to_text()), Ok(config.clone()));
        // The commented defaults are valid settings too.
        let open: String = config
            .to_text()
            .lines()
            .map(|l| l.strip_prefix("# ").filter(|l| l.contains(" = ")).unwrap_or(l).to_owned() + "\n")
            .collect();
        let parsed = ServerConfig::parse(&open).expect("the defaults are valid");
        assert_eq!(parsed.limits, config.limits);
        assert!(parsed.public_address.is_some());
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let text = "name = \"a b\"\naddress = \"here\"\npublic_address = \"0.0.0.0:1\"\n[limits]\nconnections = 0\nback_off_ms = 0\n";
        let mistakes = ServerConfig::parse(text).expect_err("five mistakes");
        assert_eq!(mistakes.len(), 5, "{mistakes:?}");
        for key in ["name", "address", "public_address", "limits.connections", "limits.back_off_ms"] {
            assert!(mistakes.iter().any(|m| m.starts_with(key)), "{key}: {mistakes:?}");
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        let text = "name = \"a\"\naddress = \"127.0.0.1:1\"\nlimit = 3\n";
        assert!(ServerConfig::parse(text).expect_err("unknown")[0].contains("limit"));
    }
}
