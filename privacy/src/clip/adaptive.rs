//! A clip that follows the contributions (Andrew, Thakkar, McMahan, Ramaswamy 2021). Not used by any job yet. [core]
//!
//! Each shopper's integer vector carries one more coordinate: β if its contribution was no longer than the clip, −β if it
//! was. Its other coordinates are clipped to √(B² − β²), so the whole stays within B and a release costs what it cost
//! before. The noised sum of these coordinates tells how many were clipped, and the next clip follows from it, which is
//! post-processing. See `docs/design/0005-adaptive-clipping.md`.

/// How the clip follows. All of it is public and part of the job.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaptiveClip {
    /// β, what the extra coordinate of one shopper is, either way.
    indicator: u64,
    /// κ, the share of shoppers whose contribution shall be within the clip.
    quantile: f64,
    /// η, how far one round may move the logarithm of the clip.
    rate: f64,
    /// The clip stays from here …
    norm_min: f64,
    /// … to here.
    norm_max: f64,
}

/// Settings that are no rule.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum AdaptiveClipError {
    /// β = 0 says nothing, and β ≥ B leaves no room for the contribution.
    #[error("indicator: expected from 1 to {bound} - 1, found {found}")]
    Indicator {
        /// B.
        bound: u64,
        /// Found.
        found: u64,
    },
    /// Not a number strictly between.
    #[error("{name}: expected more than {over} and at most {at_most}, found {found}")]
    Number {
        /// Which.
        name: &'static str,
        /// Expected more than this.
        over: f64,
        /// Expected no more than this.
        at_most: f64,
        /// Found.
        found: f64,
    },
}

fn within(name: &'static str, found: f64, over: f64, at_most: f64) -> Result<f64, AdaptiveClipError> {
    if found > over && found <= at_most {
        Ok(found)
    } else {
        Err(AdaptiveClipError::Number { name, over, at_most, found })
    }
}

impl AdaptiveClip {
    /// A rule for the bound B and clips in `norms`, lower end first.
    ///
    /// # Errors
    /// [`AdaptiveClipError`] when a number is out of range.
    pub fn new(
        bound: u64,
        indicator: u64,
        quantile: f64,
        rate: f64,
        norms: [f64; 2],
    ) -> Result<Self, AdaptiveClipError> {
        if !(1..bound).contains(&indicator) {
            return Err(AdaptiveClipError::Indicator { bound, found: indicator });
        }
        let [norm_min, norm_max] = norms;
        Ok(AdaptiveClip {
            indicator,
            quantile: within("quantile", quantile, 0.0, 1.0)?,
            rate: within("rate", rate, 0.0, 1.0)?,
            norm_max: within("largest clip", norm_max, 0.0, 1e30)?,
            norm_min: within("smallest clip", norm_min, 0.0, norm_max)?,
        })
    }

    /// One shopper's extra coordinate. A norm that is not a number counts as clipped, as the contribution counts as zero.
    pub fn coordinate(&self, norm: f64, clip: f64) -> i64 {
        if norm <= clip { self.indicator as i64 } else { -(self.indicator as i64) }
    }

    /// The bound that is left for the other coordinates: the greatest whole b with b² + β² ≤ B².
    pub fn bound_left(&self, bound: u64) -> u64 {
        let squares = u128::from(bound).pow(2) - u128::from(self.indicator).pow(2);
        squares.isqrt() as u64
    }

    /// The next clip: C·exp(−η(b̄ − κ)), where b̄ = (1 + z/(β·W))/2 is the share that was within, z the noised sum of the
    /// extra coordinates, and W the public number of expected shoppers. b̄ is held to [0, 1] and the clip to its ends, so noise moves
    /// it by a factor of e^η at most.
    ///
    /// Everybody computes it from public numbers, with floats; the result is rounded to single precision, so that the last
    /// bits of an exponential function do not tell machines apart, and parties compare the clip they use by hash.
    pub fn next(&self, clip: f64, noised_sum: i64, expected_shoppers: u64) -> f64 {
        let scale = self.indicator as f64 * expected_shoppers.max(1) as f64;
        let within = (0.5 + 0.5 * noised_sum as f64 / scale).clamp(0.0, 1.0);
        let next = clip * (-self.rate * (within - self.quantile)).exp();
        f64::from(next as f32).clamp(self.norm_min, self.norm_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: u64 = 1 << 20;

    fn rule() -> AdaptiveClip {
        AdaptiveClip::new(BOUND, BOUND / 10, 0.5, 0.2, [1e-3, 1e3]).expect("legal")
    }

    #[test]
    fn the_whole_vector_stays_within_the_bound() {
        for bound in [2, 3, 1000, BOUND, u64::from(u32::MAX), 1 << 53] {
            for indicator in [1, bound / 3, bound / 2, bound - 1].into_iter().filter(|i| *i > 0) {
                let rule = AdaptiveClip::new(bound, indicator, 0.5, 0.2, [0.1, 10.0]).expect("legal");
                let square = |n: u64| u128::from(n).pow(2);
                let left = rule.bound_left(bound);
                for coordinate in [rule.coordinate(0.0, 1.0), rule.coordinate(2.0, 1.0)] {
                    assert!(
                        square(left) + square(coordinate.unsigned_abs()) <= square(bound),
                        "{bound} {indicator}"
                    );
                }
                assert!(
                    square(left + 1) + square(indicator) > square(bound),
                    "{bound} {indicator}: room was wasted"
                );
            }
        }
    }

    /// Without noise, from 100 times too small and too large, the clip comes to the median of the norms and stays there.
    #[test]
    fn the_clip_comes_to_its_quantile() {
        let norms: Vec<f64> = (1..=1000).map(|i| f64::from(i) / 500.0).collect();
        for start in [0.01, 100.0] {
            let mut clip = start;
            for round in 0..150 {
                let sum: i64 = norms.iter().map(|norm| rule().coordinate(*norm, clip)).sum();
                clip = rule().next(clip, sum, 1000);
                assert!(round < 120 || (0.98..1.02).contains(&clip), "round {round}: {clip}");
            }
        }
    }

    #[test]
    fn hostile_sums_move_the_clip_one_step_and_never_out_of_its_range() {
        for sum in [i64::MIN, -1, 0, 1, i64::MAX] {
            let next = rule().next(1.0, sum, 1000);
            assert!((-0.1001..=0.1001).contains(&next.ln()), "{sum}: {next}");
        }
        assert_eq!(rule().next(1e-3, i64::MAX, 0), 1e-3);
        assert_eq!(rule().next(1e3, i64::MIN, 0), 1e3);
    }

    #[test]
    fn what_is_not_a_number_counts_as_clipped() {
        assert_eq!(rule().coordinate(f64::NAN, 1.0), -(BOUND as i64 / 10));
        assert_eq!(rule().coordinate(f64::INFINITY, 1.0), -(BOUND as i64 / 10));
        assert_eq!(rule().coordinate(1.0, 1.0), BOUND as i64 / 10);
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for indicator in [0, BOUND, u64::MAX] {
            let refused = AdaptiveClip::new(BOUND, indicator, 0.5, 0.2, [0.1, 1.0]).err();
            assert_eq!(refused, Some(AdaptiveClipError::Indicator { bound: BOUND, found: indicator }));
        }
        for (quantile, rate, norms) in [
            (0.0, 0.2, [0.1, 1.0]),
            (f64::NAN, 0.2, [0.1, 1.0]),
            (0.5, 1.5, [0.1, 1.0]),
            (0.5, 0.2, [0.0, 1.0]),
            (0.5, 0.2, [2.0, 1.0]),
            (0.5, 0.2, [0.1, f64::INFINITY]),
        ] {
            assert!(
                AdaptiveClip::new(BOUND, 1, quantile, rate, norms).is_err(),
                "{quantile} {rate} {norms:?}"
            );
        }
    }
}
