//! Tails of the hypergeometric distribution, for the sparse graph. [core]
//!
//! Every party derives the same graph from these numbers, so they must come out alike on every machine: additions,
//! multiplications and divisions of IEEE 754 only, in a fixed order, and no logarithms or powers of the platform's library.
//!
//! # Bounds
//! Weights follow the ratio of neighbouring terms from the mode in both directions. Of at most 255 steps with four roundings
//! each, what is summed is off by less than 2^-40 of itself; a factor of 1 + 2^-30 makes every tail an upper bound. Terms
//! below 2^-1000 of the mode may vanish; 2^-900 covers them all.

/// A factor above every rounding error.
const ROUNDING: f64 = 1.0 + 1.0 / (1u64 << 30) as f64;
/// More than all terms together that are too small for f64: about 2^-900.
const VANISHED: f64 = 1e-271;

/// How many marked items are in a draw without replacement.
#[derive(Clone, Debug)]
pub struct Hypergeometric {
    /// Fewest that can be drawn.
    least: u32,
    /// `tails[j]`: P\[X ≥ least + j\], from above.
    tails: Vec<f64>,
}

impl Hypergeometric {
    /// Draws `drawn` of `population` items, `marked` of which are marked. More than all are all.
    ///
    /// # Shapes
    /// Time and memory: proportional to `drawn`.
    pub fn new(population: u32, marked: u32, drawn: u32) -> Self {
        let (marked, drawn) = (marked.min(population), drawn.min(population));
        let least = (marked + drawn).saturating_sub(population);
        let most = marked.min(drawn);
        let ratio = |j: u32| {
            let above = f64::from(marked - j) * f64::from(drawn - j);
            above / (f64::from(j + 1) * f64::from(population - marked + j + 1 - drawn))
        };
        let mode = (least..most).find(|j| ratio(*j) < 1.0).unwrap_or(most);
        let mut weights = vec![1.0; (most - least + 1) as usize];
        for j in mode..most {
            weights[(j + 1 - least) as usize] = weights[(j - least) as usize] * ratio(j);
        }
        for j in (least..mode).rev() {
            weights[(j - least) as usize] = weights[(j + 1 - least) as usize] / ratio(j);
        }
        Hypergeometric { least, tails: tails(&weights) }
    }

    /// An upper bound of the probability of drawing at least so many marked items: 1 and 0 where it is certain or impossible.
    pub fn at_least(&self, count: u32) -> f64 {
        match count.checked_sub(self.least) {
            None | Some(0) => 1.0,
            Some(place) => self.tails.get(place as usize).copied().unwrap_or(0.0),
        }
    }

    /// The smallest count that is reached with a probability below `bound`, by the upper bound.
    pub fn rarely_reached(&self, bound: f64) -> u32 {
        let place = self.tails.iter().position(|tail| *tail < bound).unwrap_or(self.tails.len());
        self.least + place as u32
    }
}

/// Sums from the far end, smallest terms first, over the sum of all.
fn tails(weights: &[f64]) -> Vec<f64> {
    let mut sums: Vec<f64> = weights.to_vec();
    for place in (0..sums.len().saturating_sub(1)).rev() {
        sums[place] += sums[place + 1];
    }
    let all = sums[0];
    sums.iter().map(|sum| (sum / all * ROUNDING + VANISHED).min(1.0)).collect()
}

#[cfg(test)]
pub(super) mod tests;
