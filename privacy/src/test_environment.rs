//! The one place where tests read their environment, and the generator they share.

use std::io::Write as _;
use std::path::PathBuf;

/// `ordinary` samples, or `full` where GUILDHALL_FULL_COUNTS=1.
pub fn sample_count(ordinary: usize, full: usize) -> usize {
    if std::env::var_os("GUILDHALL_FULL_COUNTS").is_some_and(|value| value == "1") { full } else { ordinary }
}

/// A file of the test data folder (GUILDHALL_TEST_DATA, default ../shared/data from the project's root), or a
/// visible line saying that the test is skipped.
pub fn test_data(file: &str) -> Option<PathBuf> {
    let default = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data"));
    let path = std::env::var_os("GUILDHALL_TEST_DATA").map_or_else(default, PathBuf::from).join(file);
    if path.is_file() {
        return Some(path);
    }
    // Straight to standard error: what print macros write is hidden when a test passes.
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED: {} is absent; set GUILDHALL_TEST_DATA to the folder of test data",
        path.display()
    );
    None
}

/// SplitMix64: small, repeatable, for tests only.
pub struct TestRandom(pub u64);

impl TestRandom {
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in [-1, 1).
    pub fn signed_unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    /// Uniform in 0..end.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next_u64() % end as u64) as usize
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}
