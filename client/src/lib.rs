//! The merchant's side of a federation: its data stays here, and so does every number that is not clipped and noised.
//!
//! ```text
//! join ──▶ folder (identity, certificate, client.toml, ledger, models)
//!                        │
//! config ──▶ driver [shell] ──▶ participant [core] ──▶ what to do next
//!              │  │  │  └─▶ serve        HTTP on loopback: predict, recommend, live events, metrics
//!              │  │  └────▶ model_store  versions on disk, each hash-checked when read
//!              │  └───────▶ contribution data → train → clip → noise → masks → sealed update
//!              └──────────▶ transport    QUIC and mutual TLS, in one file
//! ```
//!
//! [`participant`] decides and does nothing; [`driver`] does and decides nothing. What may leave this process is
//! decided by the types of `guildhall-privacy`: only a committed update can be read as bytes.

pub mod card;
pub mod config;
pub mod data;
pub mod draws;
pub mod driver;
pub mod error;
pub mod evaluate;
pub mod event;
pub mod explain;
pub mod folder;
pub mod join;
pub mod model;
pub mod model_store;
pub mod participant;
pub mod recommend;
pub mod serve;
pub mod threads;
pub mod train;
pub mod transport;

pub use config::ClientConfig;
pub use driver::{
    KeptVersion, kept_versions, record_audit, record_export, run, serve_only, use_fine_tuned, use_version,
};
pub use error::ClientError;
pub use event::Event;
pub use join::{JoinOptions, Joined, join};
