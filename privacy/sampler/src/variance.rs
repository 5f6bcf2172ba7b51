//! σ² as a fraction of whole numbers. [core]

use crate::SamplerError;

/// One more than the largest σ.
pub const STANDARD_DEVIATION_END: u64 = 1 << 53;

/// One more than the largest denominator: with it every product the sampler forms fits its integers.
const DENOMINATOR_END: u32 = 1 << 16;

/// The variance parameter σ² of N_Z(0, σ²), which gives x the weight exp(−x²/(2σ²)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variance {
    numerator: u128,
    denominator: u32,
}

impl Variance {
    /// σ² = numerator / denominator.
    ///
    /// # Errors
    /// [`SamplerError::Variance`] unless 1 ≤ denominator < 2^16 and 1 ≤ σ < 2^53.
    pub fn new(numerator: u128, denominator: u32) -> Result<Self, SamplerError> {
        let end = u128::from(STANDARD_DEVIATION_END).pow(2);
        let wide = u128::from(denominator);
        let legal = (1..DENOMINATOR_END).contains(&denominator) && (wide..end * wide).contains(&numerator);
        if legal {
            Ok(Variance { numerator, denominator })
        } else {
            Err(SamplerError::Variance { numerator, denominator })
        }
    }

    /// σ² for a whole σ.
    ///
    /// # Errors
    /// [`SamplerError::Variance`] unless 1 ≤ σ < 2^53.
    pub fn of_standard_deviation(standard_deviation: u64) -> Result<Self, SamplerError> {
        Variance::new(u128::from(standard_deviation).pow(2), 1)
    }

    /// Below 2^122.
    pub fn numerator(&self) -> u128 {
        self.numerator
    }

    /// From 1 to 2^16 − 1.
    pub fn denominator(&self) -> u32 {
        self.denominator
    }

    /// The least whole number w with 64·w ≥ σ. At most 2^47.
    pub(crate) fn strip_width(&self) -> u64 {
        let reaches =
            |width: u64| (u128::from(width).pow(2) << 12) * u128::from(self.denominator) >= self.numerator;
        let (mut below, mut width) = (0, 1 << 47);
        while width - below > 1 {
            let middle = below + (width - below) / 2;
            if reaches(middle) { width = middle } else { below = middle }
        }
        width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strip_is_the_narrowest_that_64_of_cover_one_deviation() {
        let width =
            |numerator, denominator| Variance::new(numerator, denominator).expect("legal").strip_width();
        assert_eq!([width(1, 1), width(64 * 64, 1), width(64 * 64 + 1, 1)], [1, 1, 2]);
        // 10.5² and 10.5: 64 and 64.0001 deviations of 1/64.
        assert_eq!(
            [width(441, 4), width(64 * 64 * 65535, 65535), width(64 * 64 * 65535 + 1, 65535)],
            [1, 1, 2]
        );
        let whole = |sigma| Variance::of_standard_deviation(sigma).expect("legal").strip_width();
        assert_eq!(
            [whole(1 << 20), whole((1 << 20) + 1), whole((1 << 53) - 1)],
            [1 << 14, (1 << 14) + 1, 1 << 47]
        );
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        let end = 1u128 << 106;
        for (numerator, denominator) in
            [(0, 1), (1, 0), (0, 0), (1, 2), (end, 1), (end * 7, 7), (1 << 16, 1 << 16)]
        {
            let refused = Variance::new(numerator, denominator);
            assert_eq!(refused, Err(SamplerError::Variance { numerator, denominator }));
        }
        assert!(Variance::new(end - 1, 1).is_ok() && Variance::new(end * 65535 - 1, 65535).is_ok());
        for sigma in [0, 1 << 53, u64::MAX] {
            assert!(Variance::of_standard_deviation(sigma).is_err(), "{sigma}");
        }
    }
}
