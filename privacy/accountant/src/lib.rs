//! What a private release costs, and what a cost means. Rounding is always towards more loss, and names say so.

pub mod gaussian;
pub mod mechanism;
mod normal;
pub mod observer;
pub mod odometer;
mod pico_rho;
pub mod pld;
pub mod rdp;
pub mod zcdp;

pub use pico_rho::PicoRho;

/// The smallest standard deviation of a noise share, in integer units. From 3 on the sum of discrete Gaussians is
/// one to within 10⁻³⁷ (Kairouz, Liu, Steinke 2021); 2^10 leaves no room for doubt.
pub const NOISE_STANDARD_DEVIATION_MIN: u64 = 1 << 10;

/// One more than the largest standard deviation: below 2^53 the ends of i64 are 1,024 standard deviations away.
pub const NOISE_STANDARD_DEVIATION_END: u64 = 1 << 53;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod test_environment;
