//! A shopper whose contribution is zero but in a few places. [core]
//!
//! # Privacy
//! As [`ShopperSum::add`] of the same contribution written out. An index that stands twice would add two integers up after
//! their squares were checked one by one, so the order is checked and not believed.

use super::{ClipOutcome, ShopperSum, quantise};

impl ShopperSum {
    /// Clips, rounds and adds one shopper whose contribution has these values at these indices and is zero elsewhere.
    ///
    /// # Shapes
    /// As many `values` as `indices`; indices strictly ascending, each below d. Empty for a shopper without rows.
    ///
    /// # Privacy
    /// Moves the sum by an integer vector of L2 norm at most B, a function of this contribution alone. Indices that are not
    /// strictly ascending, or not below d, count as a contribution that is not finite: zero.
    ///
    /// # Panics
    /// When there are not as many values as indices, or more than d.
    pub fn add_sparse(&mut self, indices: &[u32], values: &[f64]) -> ClipOutcome {
        assert_eq!(indices.len(), values.len(), "every value has an index");
        if values.is_empty() {
            self.tally.added += 1;
            return ClipOutcome::Added;
        }
        let ascending = indices.windows(2).all(|pair| pair[0] < pair[1]);
        let within = indices.last().is_some_and(|last| (*last as usize) < self.parameters.parameters());
        if !(ascending && within) {
            self.indicate(f64::NAN);
            self.tally.non_finite += 1;
            return ClipOutcome::NonFinite;
        }
        let out = &mut self.scratch[..values.len()];
        let (outcome, norm_steps) = quantise(&self.parameters, values, out);
        match outcome {
            ClipOutcome::Added => {
                self.tally.added += 1;
                for (index, integer) in indices.iter().zip(out.iter()) {
                    let word = &mut self.sum[*index as usize];
                    *word = word.wrapping_add(*integer);
                }
            }
            ClipOutcome::NonFinite => self.tally.non_finite += 1,
            ClipOutcome::OverBound => self.tally.over_bound += 1,
        }
        self.indicate(norm_steps);
        outcome
    }
}

#[cfg(test)]
mod tests;
