//! How a merchant's rows become inputs, from public constants only. [core]

pub mod repurchase;
pub mod tabular;
