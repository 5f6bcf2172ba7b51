//! The server's side of one masked attempt. [core]
//!
//! ```text
//! Advertising ─M1…▶ close ─▶ M2, Sharing ─M3…▶ close ─▶ M4…, Collecting ─M5…▶ close ─▶ M6, Certifying
//!           ─M7…▶ close ─▶ M8, Unmasking ─M9…▶ finish ─▶ Σ (x + e)
//! ```
//! A stage takes messages until its caller closes it: when everybody awaited has answered, or at the deadline. A message
//! that is refused changes nothing. The server is not trusted for privacy; what it checks here keeps honest merchants from
//! working in vain, and names who is to blame.

mod advertising;
mod certifying;
mod collecting;
mod fault;
mod sharing;
mod unmasking;

pub use advertising::Advertising;
pub use certifying::Certifying;
pub use collecting::Collecting;
pub use fault::{Fault, Shortfall};
pub use sharing::Sharing;
pub use unmasking::{Culprit, Misdeed, UnmaskError, Unmasked, Unmasking};
