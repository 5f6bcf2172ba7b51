//! What was really done to an update, to be compared with what was reserved for it. [core]

use std::fmt;

use guildhall_shared::digest::Digest;

use crate::parameter::{Protection, Travel};

/// The fewest masks that hide an update: the merchant's own, and one shared with a peer.
const MASKS_MIN: usize = 2;

/// What was done to an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Applied {
    pub noise: AppliedNoise,
    pub masks: AppliedMasks,
}

/// Noise that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AppliedNoise {
    Gaussian { bound: u64, noise_standard_deviation: u64 },
    Nothing,
}

/// Masks that were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AppliedMasks {
    None,
    Of { sid: Digest, count: usize },
}

impl Applied {
    /// Whether the reservation of a session charged for exactly this.
    pub(crate) fn is_what_was_charged(&self, sid: &Digest, protection: &Protection, travel: Travel) -> bool {
        self.noise.is_what_was_charged(protection)
            && match (self.masks, travel) {
                // In plain the server reads this update alone: noise that is only one of several shares is too little.
                (AppliedMasks::None, Travel::Plain) => protection.honest_shares() <= 1,
                (AppliedMasks::Of { sid: of, count }, Travel::Masked { .. }) => {
                    of == *sid && count >= MASKS_MIN
                }
                _ => false,
            }
    }
}

impl AppliedNoise {
    fn is_what_was_charged(self, protection: &Protection) -> bool {
        match (self, *protection) {
            (
                AppliedNoise::Gaussian { bound, noise_standard_deviation },
                Protection::Gaussian { bound: charged_bound, noise_standard_deviation_local, .. },
            ) => bound == charged_bound && noise_standard_deviation == noise_standard_deviation_local,
            (AppliedNoise::Nothing, Protection::None) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.noise {
            AppliedNoise::Gaussian { bound, noise_standard_deviation } => {
                write!(f, "clip {bound} and noise {noise_standard_deviation}")?;
            }
            AppliedNoise::Nothing => f.write_str("no noise")?,
        }
        match self.masks {
            AppliedMasks::None => f.write_str(", no masks"),
            AppliedMasks::Of { sid, count } => write!(f, ", {count} masks of session {sid}"),
        }
    }
}
