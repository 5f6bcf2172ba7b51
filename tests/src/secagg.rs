//! Whole masked attempts, simulated: the client cores of `guildhall_shared::secagg` against its server core, or against an
//! adversary in the server's place.
//!
//! Everything follows from one number: identities, session seeds, inputs and every choice of an adversary. A failing run
//! names its number; the same number fails again.
//!
//! ```text
//! federation   who takes part: identities, facts, inputs
//! merchant     one client core and the stage it is in
//! attempt      an honest server core, with hooks that may change, withhold or replace any message
//! attack       an adversarial server with colluding merchants, in random compositions of named moves
//! knowledge    what an adversary can work out from all it saw; the judge of every attack
//! ```
//!
//! # One shot
//! A client that answered has nothing left to answer a second time with:
//!
//! ```compile_fail,E0382
//! use guildhall_shared::{identity::IdentityKey, message::Survivors, secagg::client::Uploaded};
//!
//! fn certify_twice(session: Uploaded, one: &Survivors, other: &Survivors, key: &IdentityKey) {
//!     let _ = session.certify(one, key);
//!     let _ = session.certify(other, key);
//! }
//! ```
//! ```compile_fail,E0382
//! use guildhall_shared::{identity::IdentityKey, message::Certificate, secagg::client::Certified};
//!
//! fn unmask_twice(session: Certified, one: &Certificate, other: &Certificate, key: &IdentityKey) {
//!     let _ = session.unmask(one, key);
//!     let _ = session.unmask(other, key);
//! }
//! ```
//! ```compile_fail,E0382
//! use guildhall_shared::{digest::Digest, identity::IdentityKey, secagg::client::Masked};
//!
//! fn sign_two_vectors(session: Masked, one: Digest, other: Digest, key: &IdentityKey) {
//!     let _ = session.sign(one, key);
//!     let _ = session.sign(other, key);
//! }
//! ```
//! ```compile_fail,E0382
//! use guildhall_shared::secagg::client::Masking;
//!
//! fn mask_twice(session: Masking) {
//!     let _ = session.masks();
//!     let _ = session.masks();
//! }
//! ```
//! ```compile_fail,E0599
//! use guildhall_shared::{identity::IdentityKey, message::Certificate, secagg::client::Uploaded};
//!
//! fn unmask_without_certifying(session: Uploaded, certificate: &Certificate, key: &IdentityKey) {
//!     let _ = session.unmask(certificate, key);
//! }
//! ```
//! ```compile_fail,E0599
//! use guildhall_shared::secagg::client::{Certified, Uploaded};
//!
//! fn copy(session: &Uploaded) -> Uploaded {
//!     session.clone()
//! }
//! ```

pub mod attack;
pub mod attempt;
pub mod colluders;
pub mod draws;
pub mod federation;
pub mod knowledge;
pub mod merchant;

/// How many of a sampled test to run: `ordinary`, or `full` where GUILDHALL_FULL_COUNTS=1.
pub fn count(ordinary: u64, full: u64) -> u64 {
    if std::env::var_os("GUILDHALL_FULL_COUNTS").is_some_and(|value| value == "1") { full } else { ordinary }
}

/// The one case of a sampled test to run again, from GUILDHALL_CASE, or all of `0..count`.
pub fn cases(count: u64) -> std::ops::Range<u64> {
    let one = std::env::var("GUILDHALL_CASE").ok().and_then(|text| text.parse::<u64>().ok());
    one.map_or(0..count, |case| case..case + 1)
}

/// Whether only one case runs, so that nothing can be said about all of them.
pub fn single() -> bool {
    std::env::var_os("GUILDHALL_CASE").is_some()
}
