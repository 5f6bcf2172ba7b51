//! Item-item recommenders: from statistics, released or a merchant's own, to a score for every item. [core]
//!
//! ```text
//! shoppers' items --train::statistics--> clipped sums --rounds--> released weights --Statistics::released--> Statistics
//! a merchant's own items ------------------------------------------------------------Statistics::local-----> Statistics
//! Statistics --ranking--> ItemItem --scores | similar | reasons--> answers
//! ```
//!
//! # Privacy
//! Everything behind the released weights is post-processing and costs nothing. A merchant's own statistics, and every model
//! that is blended with them, stay in its process.

pub mod blend;
mod ease;
pub mod item_item;
mod neighbours;
pub mod own;
pub mod statistics;
pub mod vectors;

pub use item_item::ItemItem;
pub use statistics::Statistics;
