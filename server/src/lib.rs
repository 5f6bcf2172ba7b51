//! The aggregation server of a Guildhall federation.
//!
//! ```text
//!  merchants ──QUIC──▶ transport ─▶ driver ─▶ hub (one task) ─▶ coordinator [core] ─▶ round [core]
//!  operator ──unix socket──▶ admin ─────────────▶ │
//!                                                 ▼
//!                              federation: keys, enrolment, records (sled), files (results, models)
//! ```
//!
//! Every decision about rounds is made by [`round`] and [`coordinator`], which read no clock, draw no randomness and
//! touch no file. Whatever they decide is made durable before anybody is told.

pub mod admin;
pub mod config;
pub mod coordinator;
pub mod error;
pub mod event;
pub mod round;

mod authority;
mod driver;
mod enrolment;
mod federation;
mod init;
mod mirror;
mod registry;
mod store;
mod transport;

pub use admin::{AdminCommand, AdminReply, admin};
pub use driver::{RunOptions, run};
pub use error::ServerError;
pub use event::Event;
pub use init::{InitOptions, InitSummary, init};
pub use transport::{ALPN_ENROL, ALPN_SESSION, SERVER_NAME};
