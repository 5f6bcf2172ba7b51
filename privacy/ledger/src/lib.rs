//! The tamper-evident ledger of privacy budgets.

pub mod entry;
mod error;
pub mod journal;
mod protection;
pub mod state;

pub use entry::{BudgetLimit, Entry, Event, Outcome, Reservation};
pub use error::LedgerError;
pub use protection::{Protection, Travel};
pub use state::{LedgerState, SessionStatus};
