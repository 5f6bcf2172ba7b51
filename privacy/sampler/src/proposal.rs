//! The proposal for one σ: 2^14 equally likely slots, dealt to strips of equal width under the bell. [core]

use crate::exponential::Bell;
use crate::natural::Natural;
use crate::variance::Variance;

/// Strips of width w, which is σ/64 rounded up: they reach to 3.97 σ and beyond.
pub(crate) const STRIPS: usize = 254;
/// What a slot may hold besides the number of a strip: the tail.
pub(crate) const TAIL: u8 = 254;
/// Nothing.
pub(crate) const EMPTY: u8 = 255;
/// 2^14 slots.
pub(crate) const SLOT_BITS: u32 = 14;
/// A block of the tail is this many strips wide.
pub(crate) const TAIL_BLOCK_STRIPS: u64 = 16;
/// The tail's weights are multiplied by two to this power: 2 for the geometric numbers, 16 for the strips of a block.
pub(crate) const TAIL_DOUBLINGS: u64 = 5;
/// The scale c has this many fraction bits.
pub(crate) const SCALE_FRACTION_BITS: u32 = 16;
/// First bits of the uniform number that decides on acceptance.
pub(crate) const HEAD_BITS: u32 = 17;

/// Fraction bits of a strip's height.
const HEIGHT_BITS: u32 = 40;

/// Slots and strips of one σ.
#[derive(Clone, Debug)]
pub(crate) struct Proposal {
    /// w.
    pub(crate) width: u64,
    /// c, in units of 2^-16. Below 2^31.
    pub(crate) scale: u64,
    /// W_k for every strip, and W of the tail.
    pub(crate) weights: [u32; STRIPS + 1],
    /// Strip k in W_k slots, in order, then the tail, then what is empty.
    pub(crate) slots: Box<[u8; 1 << SLOT_BITS]>,
    /// A head below this accepts every x of the strip. Indexed by what slots hold.
    pub(crate) accepted_heads: [u32; 256],
}

/// ⌈2^40 · exp(−x²/(2σ²))⌉, exactly.
fn height(bell: &Bell, x: u64) -> u64 {
    let fast = bell.bounds(x);
    let ceiling = |bound: u64| bound.div_ceil(1 << (63 - HEIGHT_BITS)).max(1);
    if ceiling(fast.low) == ceiling(fast.high) {
        return ceiling(fast.low);
    }
    height_exact(bell, x)
}

fn height_exact(bell: &Bell, x: u64) -> u64 {
    let mut precision_bits = 128;
    loop {
        let bounds = bell.bounds_precise(x, precision_bits);
        let ceiling =
            |bound: &Natural| bound.shifted_right_up(precision_bits - HEIGHT_BITS as usize).to_u64();
        match (ceiling(&bounds.low), ceiling(&bounds.high)) {
            // What is positive has a ceiling of 1 at least.
            (Some(low), Some(high)) if low.max(1) == high.max(1) => return high.max(1),
            _ => precision_bits *= 2,
        }
    }
}

/// W = ⌈c·F·2^doublings⌉ with c in units of 2^-16 and F in units of 2^-40.
fn weight(scale: u64, height: u64, doublings: u64) -> u64 {
    let product = (u128::from(scale) * u128::from(height)) << doublings;
    product.div_ceil(1 << (SCALE_FRACTION_BITS + HEIGHT_BITS)) as u64
}

fn weights(scale: u64, heights: &[u64; STRIPS + 1]) -> [u64; STRIPS + 1] {
    std::array::from_fn(|k| weight(scale, heights[k], if k == STRIPS { TAIL_DOUBLINGS } else { 0 }))
}

/// The greatest c with which all weights fit into the slots.
fn scale(heights: &[u64; STRIPS + 1]) -> u64 {
    let fits = |scale| weights(scale, heights).iter().sum::<u64>() <= 1 << SLOT_BITS;
    // Strip 0 alone fills the slots at c = 2^30.
    let (mut fitting, mut over) = (1, 1 << 31);
    while over - fitting > 1 {
        let middle = fitting + (over - fitting) / 2;
        if fits(middle) { fitting = middle } else { over = middle }
    }
    fitting
}

impl Proposal {
    pub(crate) fn new(variance: Variance, bell: &Bell) -> Self {
        let width = variance.strip_width();
        let heights = std::array::from_fn(|k| height(bell, k as u64 * width));
        let scale = scale(&heights);
        let weights = weights(scale, &heights);
        let mut slots = Box::new([EMPTY; 1 << SLOT_BITS]);
        let mut start = 0;
        for (k, weight) in weights.iter().enumerate() {
            let end = start + *weight as usize;
            slots[start..end].fill(k as u8);
            start = end;
        }
        let mut accepted_heads = [0; 256];
        for k in 0..STRIPS {
            // The strip's last x is left of the next strip, or is its only x.
            let height = heights[if width == 1 { k } else { k + 1 }];
            accepted_heads[k] = accepted_head(scale, height, weights[k]);
        }
        Proposal { width, scale, weights: weights.map(|w| w as u32), slots, accepted_heads }
    }
}

/// A number of heads V with (V+1)/2^17 ≤ P(x) for every x up to one of this height: 2^40·exp(…) is more than F − 1.
fn accepted_head(scale: u64, height: u64, weight: u64) -> u32 {
    let product = (u128::from(scale) * u128::from(height - 1)) << HEAD_BITS;
    (product / (u128::from(weight) << (SCALE_FRACTION_BITS + HEIGHT_BITS))) as u32
}

#[cfg(test)]
mod tests;
