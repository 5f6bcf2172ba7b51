//! The auditor's side of the ledger: exports, their verification, and everything that is done to deceive it.

#[path = "ledger/fixture.rs"]
mod fixture;
#[path = "ledger/gathering.rs"]
mod gathering;
#[path = "ledger/rotation.rs"]
mod rotation;
#[path = "ledger/tampering.rs"]
mod tampering;
#[path = "ledger/vectors.rs"]
mod vectors;
#[path = "ledger/verification.rs"]
mod verification;
