//! The product of two vectors in one fixed order of summation.

/// Partial sums that run beside each other.
const LANES: usize = 16;

/// Σ aᵢ·bᵢ in f32: lane l sums the products at l, l + 16, …, one after the other; then lane l takes lane l + 8, l + 4, l + 2, l + 1.
/// No product is fused with a sum, so that every machine comes to the same bits.
///
/// # Shapes
/// `a` and `b` of one length; of different ones the shorter counts.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let (mut a, mut b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    for (a, b) in a.by_ref().zip(b.by_ref()) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    for ((lane, a), b) in lanes.iter_mut().zip(a.remainder()).zip(b.remainder()) {
        *lane += a * b;
    }
    let mut width = LANES / 2;
    while width > 0 {
        let (low, high) = lanes.split_at_mut(width);
        for (low, high) in low.iter_mut().zip(high) {
            *low += *high;
        }
        width /= 2;
    }
    lanes[0]
}
