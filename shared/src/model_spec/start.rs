//! Item vectors that a model starts from, in place of random ones. [core]
//!
//! They are public: made of statistics that an earlier job released, or of nothing but a seed. A job carries them whole, so that
//! everybody starts from the same bits.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Most bytes of the steps of all vectors: a job has to fit its message.
pub const START_BYTES_MAX: usize = 3 << 20;

/// Vectors on a grid. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Encoded", into = "Encoded")]
pub struct ItemVectors(Arc<Encoded>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Encoded {
    /// The value of one step.
    scale: f64,
    /// Items × width, row-major.
    steps: Vec<i16>,
}

impl From<Encoded> for ItemVectors {
    fn from(encoded: Encoded) -> Self {
        ItemVectors(Arc::new(encoded))
    }
}

impl From<ItemVectors> for Encoded {
    fn from(vectors: ItemVectors) -> Self {
        vectors.0.as_ref().clone()
    }
}

impl ItemVectors {
    /// The nearest vectors on a grid of 2^15 steps either way; values that are not finite become zero.
    ///
    /// # Shapes
    /// `values` items × width, row-major.
    pub fn nearest(values: &[f64]) -> Self {
        let greatest = values.iter().copied().filter(|v| v.is_finite()).fold(0.0, |m: f64, v| m.max(v.abs()));
        let scale = if greatest > 0.0 { greatest / f64::from(i16::MAX) } else { 1.0 };
        // A cast of what is not a number gives zero, one of what is too large the nearest step.
        let steps = values.iter().map(|v| (v / scale).round() as i16).collect();
        Encoded { scale, steps }.into()
    }

    /// The values, items × width, row-major.
    pub fn values(&self) -> impl ExactSizeIterator<Item = f64> {
        self.0.steps.iter().map(|step| f64::from(*step) * self.0.scale)
    }

    /// Whether these are vectors for a model of so many values, small enough to travel.
    pub fn fits(&self, values: usize) -> bool {
        let Encoded { scale, steps } = &*self.0;
        steps.len() == values && 2 * steps.len() <= START_BYTES_MAX && scale.is_finite() && *scale > 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    #[test]
    fn vectors_lie_on_their_grid_and_survive_the_wire() {
        let values = [1.0, -0.5, 0.0, f64::NAN, 1e-9, -1.0];
        let vectors = ItemVectors::nearest(&values);
        for (found, expected) in vectors.values().zip([1.0, -0.5, 0.0, 0.0, 0.0, -1.0]) {
            assert!((found - expected).abs() < 1e-4, "{found} {expected}");
        }
        let bytes = wire::encode(&vectors).expect("encodes");
        assert_eq!(wire::decode::<ItemVectors>(&bytes, 1 << 10).expect("decodes"), vectors);
        assert!(vectors.fits(6) && !vectors.fits(5));
        assert!(ItemVectors::nearest(&[]).fits(0));
        assert!(!ItemVectors::nearest(&vec![0.1; 1 + START_BYTES_MAX / 2]).fits(1 + START_BYTES_MAX / 2));
        let wrong = Encoded { scale: f64::INFINITY, steps: vec![1] };
        assert!(!ItemVectors::from(wrong).fits(1));
    }
}
