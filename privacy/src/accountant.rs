//! Accountants: what a release costs, and what a cost means. Rounding is always towards more loss.

pub mod observer;
pub mod zcdp;
