//! A merchant's data: from a file to observations, with everything that was left out counted and explained.
//!
//! ```text
//! file --read_csv | read_parquet--> Table --records | baskets--> checked values --features--> Observations --split--> Splits
//!                                     |                             |
//!                                     +--------- DataReport --------+   local: never sent
//! ```
//!
//! # Privacy
//! Inputs are computed from public constants and the shopper's own rows, never from other shoppers' (no fitted
//! normaliser, no vocabulary learnt from rows): removing one shopper leaves all other observations bit-identical.
//! The [`DataReport`] counts private rows. It is for the merchant's own screen and goes nowhere else.

mod baskets;
pub mod calendar;
pub mod cell;
pub mod config;
mod digest;
mod error;
pub mod features;
mod items;
mod load;
mod merchants;
pub mod observations;
mod read_csv;
mod read_parquet;
mod records;
pub mod report;
pub mod sequences;
pub mod simulation;
pub mod split;
pub mod table;

pub use config::{DataConfig, RawDataConfig};
pub use digest::digest;
pub use error::DataError;
pub use load::{check_schema, histories, load, load_items, load_table};
pub use merchants::{
    MerchantCut, MerchantRows, catalogue_of, cut_by_merchant, items_by_merchant, load_by_merchant,
    rows_by_merchant,
};
pub use report::DataReport;
pub use simulation::SimulationConfig;
pub use table::Table;
