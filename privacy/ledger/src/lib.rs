//! The tamper-evident ledger of privacy budgets.

pub mod account;
pub mod book;
pub mod data_tag;
mod disk;
pub mod entry;
mod error;
pub mod export;
pub mod folder;
pub mod gather;
pub mod journal;
pub mod merkle;
pub mod note;
pub mod proof;
mod protection;
mod reservation;
pub mod rotation;
pub mod state;
pub mod verify;

#[cfg(test)]
extern crate self as guildhall_ledger;

pub use entry::{
    AuditFinding, AuditVerdict, BudgetLimit, Entry, Event, Handover, Membership, Outcome, Release,
    Reservation,
};
pub use error::LedgerError;
pub use protection::{Protection, Travel};
pub use reservation::Attempt;
pub use state::{LedgerState, SessionStatus};
