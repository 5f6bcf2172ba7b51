//! Whether a uniform real number lies below c·exp(−x²/(2σ²)), exactly. [core]
//!
//! The uniform number U is known by its first bits only: it is some number of a *cell* [V/2^n, (V+1)/2^n). If the
//! threshold P is outside the cell, the answer is there. If P is inside, the next 64 bits are drawn. Whether P is inside is a fact
//! about real numbers, so how many bits are drawn does not depend on how P was computed.
//!
//! P is irrational for x ≠ 0 (Lindemann), so bounds that come closer and closer to it decide in the end; for x = 0 it
//! is a fraction and the bounds are equal to it.

use crate::SamplerError;
use crate::exponential::{Bell, Bounds, ONE};
use crate::natural::Natural;
use crate::stream::FurtherWords;

/// Up to here the fast arithmetic fits its integers.
const DOUBLINGS_FAST_MAX: u64 = 20;
/// Bits by which the first precise evaluation is finer than the cell.
const PRECISION_MARGIN_BITS: usize = 128;

/// P = factor · exp(−x²/(2σ²)) / divisor, which is at most 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Threshold {
    pub(crate) x: u64,
    /// Below 2^31.
    pub(crate) factor: u64,
    /// The factor is multiplied by two to this power.
    pub(crate) doublings: u64,
    /// Below 2^31.
    pub(crate) divisor: u64,
}

/// The first `head_bits` + 64·words bits of U.
struct Cell {
    head: u64,
    head_bits: u32,
    words: Vec<u64>,
}

/// Where a threshold lies with respect to a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// U is less than P whatever its further bits.
    Above,
    /// U is at least P.
    Below,
    Inside,
}

/// Where P is, if its bounds tell: below the cell's upper edge or not, and above its lower edge or not.
fn place<N: Ord>(edges: [N; 2], bounds: &Bounds<N>, starts_at_zero: bool) -> Option<Place> {
    let [edge, next_edge] = edges;
    if next_edge <= bounds.low {
        Some(Place::Above)
    } else if edge >= bounds.high {
        Some(Place::Below)
    } else if (starts_at_zero || edge < bounds.low) && next_edge > bounds.high {
        // P is positive, so it is above an edge at zero.
        Some(Place::Inside)
    } else {
        None
    }
}

impl Threshold {
    /// By bounds in words. Both sides are multiplied by divisor · 2^max(n, 63). None where the bounds do not tell or
    /// the products do not fit.
    fn place_fast(&self, bounds: &Bounds<u64>, cell: &Cell) -> Option<Place> {
        let (value, bits) = match *cell.words {
            [] => (u128::from(cell.head), cell.head_bits),
            [word] => (u128::from(cell.head) << 64 | u128::from(word), cell.head_bits + 64),
            _ => return None,
        };
        if self.doublings > DOUBLINGS_FAST_MAX {
            return None;
        }
        let unit = u128::from(self.divisor) << 63u32.saturating_sub(bits);
        let factor = u128::from(self.factor) << self.doublings << bits.saturating_sub(63);
        let edges = [value.checked_mul(unit)?, (value + 1).checked_mul(unit)?];
        let [low, high] = [bounds.low, bounds.high].map(|e| factor.checked_mul(u128::from(e)));
        place(edges, &Bounds { low: low?, high: high? }, value == 0)
    }

    /// By bounds as close as it takes.
    fn place_exact(&self, bell: &Bell, cell: &Cell) -> Place {
        let append = |value: Natural, word: &u64| value.shifted_left(64).plus(&u128::from(*word).into());
        let value = cell.words.iter().fold(u128::from(cell.head).into(), append);
        let bits = cell.head_bits as usize + 64 * cell.words.len();
        let next = value.plus(&Natural::from(1));
        let factor = Natural::from(u128::from(self.factor)).shifted_left(self.doublings as usize + bits);
        let mut precision_bits = bits + PRECISION_MARGIN_BITS;
        loop {
            let unit = Natural::from(u128::from(self.divisor)).shifted_left(precision_bits);
            let bounds = bell.bounds_precise(self.x, precision_bits);
            let bounds = Bounds { low: bounds.low.times(&factor), high: bounds.high.times(&factor) };
            let edges = [value.times(&unit), next.times(&unit)];
            if let Some(place) = place(edges, &bounds, value.is_zero()) {
                return place;
            }
            precision_bits *= 2;
        }
    }
}

/// Decides against the bell of one σ.
#[derive(Clone, Debug)]
pub(crate) struct Judge {
    bell: Bell,
    /// By how much the fast bounds are moved apart: 0, except in tests of the exact path.
    widening: u64,
}

impl Judge {
    pub(crate) fn new(bell: Bell) -> Self {
        Judge { bell, widening: 0 }
    }

    #[cfg(test)]
    pub(crate) fn widened(bell: Bell, widening: u64) -> Self {
        Judge { bell, widening }
    }

    fn place(&self, threshold: &Threshold, cell: &Cell) -> Place {
        let bounds = self.bell.bounds(threshold.x);
        let low = bounds.low.saturating_sub(self.widening);
        let high = bounds.high.saturating_add(self.widening).min(ONE);
        threshold
            .place_fast(&Bounds { low, high }, cell)
            .unwrap_or_else(|| threshold.place_exact(&self.bell, cell))
    }

    /// Whether U < P, for the U that starts with the `head_bits` bits of `head`.
    pub(crate) fn accepts(
        &self,
        threshold: &Threshold,
        head: u64,
        head_bits: u32,
        further: &mut FurtherWords,
    ) -> Result<bool, SamplerError> {
        let mut cell = Cell { head, head_bits, words: vec![] };
        loop {
            match self.place(threshold, &cell) {
                Place::Above => return Ok(true),
                Place::Below => return Ok(false),
                Place::Inside => cell.words.push(further.next()?),
            }
        }
    }
}

#[cfg(test)]
mod tests;
