//! The extra coordinate of a shopper where the clip adapts: what its own contribution says about the clip. [core]
//!
//! β where the contribution was no longer than the clip, −β where it was longer or not a number; nothing where the shopper
//! has no rows or does not enter. Its square counts in the check of the whole vector, so all d + 1 coordinates stay within
//! B together. What follows from the noised sum is in [`AdaptiveClip`](guildhall_shared::job::AdaptiveClip).

use crate::parameter::ClippingParameters;

use super::ShopperSum;

/// ±β for a contribution of `norm_steps` integer steps. NaN and infinity are beyond any clip.
fn coordinate(parameters: &ClippingParameters, norm_steps: f64) -> Option<i64> {
    let indicator = parameters.indicator()? as i64;
    // Written so that NaN counts as longer.
    Some(if norm_steps <= parameters.bound() as f64 { indicator } else { -indicator })
}

impl ShopperSum {
    /// Adds one shopper's extra coordinate, if the clip adapts.
    ///
    /// # Privacy
    /// A function of the length of this contribution alone, and never more than β either way.
    pub(super) fn indicate(&mut self, norm_steps: f64) {
        if let (Some(coordinate), Some(word)) =
            (coordinate(&self.parameters, norm_steps), self.sum.last_mut())
        {
            *word = word.wrapping_add(coordinate);
        }
    }
}

#[cfg(test)]
mod tests;
