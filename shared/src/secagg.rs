//! Secure aggregation: the server learns the sum of the survivors' updates and nothing else. [core]
//!
//! Pure state machines: time, bytes and randomness are arguments. [`client`] and [`server`] mirror each other, one file per
//! stage; the messages between them are in [`crate::message`].
//!
//! ```text
//! client                                         server
//! client::advertising   ──M1 Advertise────────▶  server::advertising   U1
//! client::sharing       ◀─M2 RoundRoster───────
//!                       ──M3 Shares───────────▶  server::sharing       U2
//! client::masking       ◀─M4 ForwardedShares───
//!                       ──M5 masked update────▶  server::collecting    U3
//! client::certifying    ◀─M6 Survivors─────────
//!                       ──M7 Certify──────────▶  server::certifying
//! client::unmasking     ◀─M8 Certificate───────
//!                       ──M9 Unmask───────────▶  server::unmasking     Σ (x + e)
//! ```
//!
//! # Privacy
//! The server and up to C merchants may collude and deviate. Each stage consumes the one before: a session signs one
//! survivor set and unmasks once, because the compiler has nothing left to do it with a second time. `docs/protocol.md` is
//! the normative text.
//!
//! # Source
//! Bonawitz et al. 2017 (doi 10.1145/3133956.3133982), malicious-server variant with a consistency round; sparse graph
//! after Bell et al. 2020 (doi 10.1145/3372297.3417885).

pub mod agreement;
mod certificate;
pub mod client;
mod facts;
pub mod graph;
pub mod mask;
pub mod parameters;
pub mod seed;
pub mod server;
pub mod shamir;
pub mod tail;
pub mod transcript;
mod witness;

pub use certificate::{CertificateError, SurvivorCertificate};
pub use facts::Facts;
pub use parameters::{Graph, MaskGenerator, SecaggParameters, SecaggParametersError};
pub use witness::{LedgerBehind, SignedHead, Witness};

#[cfg(test)]
mod tests;
