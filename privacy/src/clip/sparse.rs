//! A shopper whose contribution is 0 except for some blocks of values: rows of an embedding table, and what is dense. [core]
//!
//! # Privacy
//! As [`ShopperSum::add`] on the vector written out, bit for bit. That blocks neither overlap nor repeat is checked and not
//! believed: an index that came twice would move the sum further than the integers that were checked.

use super::{ClipOutcome, HUGE_SCALE, LANES, ShopperSum, add_wrapping, round_to_integers, within_bound};

/// Consecutive values of a contribution.
#[derive(Clone, Copy, Debug)]
pub struct SparseBlock<'a> {
    /// Index of the first value among all d.
    pub start: usize,
    /// The values.
    pub values: &'a [f64],
}

impl ShopperSum {
    /// Clips, rounds and adds one shopper whose contribution is 0 outside these blocks.
    ///
    /// Blocks come in ascending order and do not overlap; otherwise zero is added and counted as over the bound. No block at all
    /// is a shopper without rows.
    ///
    /// # Privacy
    /// Moves the sum by an integer vector of L2 norm at most B, a function of these blocks alone.
    pub fn add_sparse<'a>(&mut self, blocks: impl Iterator<Item = SparseBlock<'a>> + Clone) -> ClipOutcome {
        if blocks.clone().next().is_none() {
            self.tally.added += 1;
            return ClipOutcome::Added;
        }
        let (outcome, norm_steps) = if are_ascending(blocks.clone(), self.parameters.parameters()) {
            self.quantise_blocks(blocks.clone())
        } else {
            (ClipOutcome::OverBound, f64::NAN)
        };
        self.indicate(norm_steps);
        match outcome {
            ClipOutcome::Added => {
                self.tally.added += 1;
                self.add_blocks(blocks);
            }
            ClipOutcome::NonFinite => self.tally.non_finite += 1,
            ClipOutcome::OverBound => self.tally.over_bound += 1,
        }
        outcome
    }

    /// Writes the shopper's integers to the front of `scratch`, block after block; as [`super::quantise`] in all else.
    fn quantise_blocks<'a>(
        &mut self,
        blocks: impl Iterator<Item = SparseBlock<'a>> + Clone,
    ) -> (ClipOutcome, f64) {
        let d = self.parameters.parameters();
        let (unit, safe) = (self.parameters.steps_per_unit(), self.parameters.safe_norm_steps());
        let norm_steps = norm_l2(blocks.clone(), unit, d);
        let (unit, factor) = if norm_steps.is_finite() {
            (unit, (safe / norm_steps).min(1.0))
        } else {
            let norm = norm_l2(blocks.clone(), HUGE_SCALE, d);
            if !norm.is_finite() {
                return (ClipOutcome::NonFinite, norm_steps);
            }
            (HUGE_SCALE, safe / norm)
        };
        let mut rest: &mut [i64] = &mut self.scratch;
        let mut squares = 0.0;
        for block in blocks {
            let (out, after) = rest.split_at_mut(block.values.len());
            rest = after;
            // Whole numbers, never negative: every partial sum of a total below 2^53 is exact, in any order.
            squares += round_to_integers(block.values, unit, factor, out);
        }
        (within_bound(&self.parameters, squares), norm_steps)
    }

    fn add_blocks<'a>(&mut self, blocks: impl Iterator<Item = SparseBlock<'a>>) {
        let mut written: &[i64] = &self.scratch;
        for SparseBlock { start, values } in blocks {
            let (own, after) = written.split_at(values.len());
            written = after;
            add_wrapping(&mut self.sum[start..start + values.len()], own);
        }
    }
}

/// Whether every index comes at most once, and none is beyond d.
fn are_ascending<'a>(mut blocks: impl Iterator<Item = SparseBlock<'a>>, d: usize) -> bool {
    let end = blocks.try_fold(0, |next, block| {
        let end = block.start.checked_add(block.values.len())?;
        (block.start >= next && end <= d).then_some(end)
    });
    end.is_some()
}

/// ‖g·unit‖₂ with the additions of [`super::norm_l2`] in its order; what is 0 adds nothing there.
fn norm_l2<'a>(blocks: impl Iterator<Item = SparseBlock<'a>>, unit: f64, d: usize) -> f64 {
    let whole = d - d % LANES;
    let mut lanes = [0.0f64; LANES];
    let mut rest = 0.0;
    let square = |value: &f64| (value * unit) * (value * unit);
    for SparseBlock { start, values } in blocks {
        let (body, tail) = values.split_at(whole.saturating_sub(start).min(values.len()));
        let (head, body) = body.split_at((start.wrapping_neg() % LANES).min(body.len()));
        lanes[start % LANES..].iter_mut().zip(head).for_each(|(lane, value)| *lane += square(value));
        let (chunks, last) = body.as_chunks::<LANES>();
        for chunk in chunks {
            lanes.iter_mut().zip(chunk).for_each(|(lane, value)| *lane += square(value));
        }
        lanes.iter_mut().zip(last).for_each(|(lane, value)| *lane += square(value));
        tail.iter().for_each(|value| rest += square(value));
    }
    (lanes.iter().sum::<f64>() + rest).sqrt()
}

#[cfg(test)]
mod tests;
