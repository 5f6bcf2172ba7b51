//! Pauses between attempts to connect: doubling, with jitter so that merchants do not come back all at once.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct BackOff {
    failures: u32,
}

impl BackOff {
    /// The last session was a good one.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// How long to wait now.
    pub fn next_pause(&mut self) -> Duration {
        let uniform = getrandom::u64().map_or(0.5, |word| (word >> 11) as f64 / (1u64 << 53) as f64);
        let pause = pause(self.failures, uniform);
        self.failures = self.failures.saturating_add(1);
        pause
    }
}

/// Between half and the whole of 100 ms · 2^failures, at most 5 s.
fn pause(failures: u32, uniform: f64) -> Duration {
    let whole = FIRST.saturating_mul(1 << failures.min(16)).min(LONGEST);
    whole.mul_f64(0.5 + uniform / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_jitter_stays_within_half() {
        for failures in [0, 1, 5, 6, 40, u32::MAX] {
            let (least, most) = (pause(failures, 0.0), pause(failures, 1.0));
            assert_eq!(least * 2, most);
            assert!(most <= LONGEST);
        }
        assert_eq!(pause(1, 1.0), pause(0, 1.0) * 2);
        assert_eq!(pause(u32::MAX, 1.0), LONGEST);
    }
}
