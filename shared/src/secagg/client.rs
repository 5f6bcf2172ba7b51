//! A merchant's side of one masked attempt. [core]
//!
//! ```text
//! advertise ─▶ Advertised ─share(M2)─▶ Sharing ─receive(M4)─▶ Masking ─▶ (MaskSet, Masked) ─sign(H(y))─▶ Uploaded
//!           ─certify(M6)─▶ Certified ─unmask(M8)─▶ M9, and nothing is left
//! ```
//! Every step consumes the one before, whether it succeeds or not: any message that fails a check ends the session, its
//! secrets are wiped, and the merchant is a dropout of this attempt. There is no way back and no second try with the same
//! keys. So one session leads to at most one masked vector, one signed survivor set and one unmasking.

mod advertising;
mod breach;
mod certifying;
mod masking;
mod sharing;
mod unmasking;

pub use advertising::{Advertised, advertise};
pub use breach::Breach;
pub use certifying::{Masked, Uploaded};
pub use masking::{Masking, pair_sign};
pub use sharing::Sharing;
pub use unmasking::Certified;
