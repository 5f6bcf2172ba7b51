//! What many releases showed: the noise in them, and whether any noise came twice.

use std::collections::BTreeSet;

use guildhall_privacy::audit::{Check, Claim, never, noise_variance};
use guildhall_shared::digest::Digest;

use super::stage::Release;

/// Noise of many releases, read by somebody who knows what was summed.
#[derive(Default)]
pub struct Observed {
    /// Σ (e/σ)² over the sums.
    squares: f64,
    samples: u64,
    /// Σ (e/σ_local)² over the audited merchant's own updates.
    own_squares: f64,
    own_samples: u64,
    /// One digest for each noise vector seen.
    seen: BTreeSet<Digest>,
    vectors: u64,
}

impl Observed {
    /// Takes in a release over a known sum x.
    pub fn take(&mut self, release: &Release, x: &[i64], claim: &Claim) {
        let scale = claim.noise_standard_deviation();
        let (squares, samples) = squares(&release.sum, x, scale);
        self.squares += squares;
        self.samples += samples;
        for (index, share) in release.shares.iter().enumerate() {
            let nothing = vec![0; x.len()];
            let known = if index == 0 { x } else { &nothing };
            if index == 0 {
                let (squares, samples) =
                    self::squares(share, known, claim.noise_standard_deviation_local as f64);
                self.own_squares += squares;
                self.own_samples += samples;
            }
            let noise: Vec<u8> =
                share.iter().zip(known).flat_map(|(y, x)| y.wrapping_sub(*x).to_le_bytes()).collect();
            self.seen.insert(Digest::of_bytes(&noise));
            self.vectors += 1;
        }
    }

    /// Adds what was seen elsewhere.
    pub fn merge(mut self, other: Observed) -> Self {
        self.squares += other.squares;
        self.samples += other.samples;
        self.own_squares += other.own_squares;
        self.own_samples += other.own_samples;
        self.seen.extend(other.seen);
        self.vectors += other.vectors;
        self
    }

    /// The noise in the sums has the variance that was charged for.
    pub fn on_sums(&self, subject: &str) -> Check {
        noise_variance(subject, self.squares, self.samples)
    }

    /// The audited merchant's own noise is a whole share.
    pub fn own_share(&self, subject: &str) -> Check {
        noise_variance(subject, self.own_squares, self.own_samples)
    }

    /// No two noise vectors are the same, whoever drew them in whichever attempt.
    pub fn never_twice(subject: &str, parts: &[&Observed]) -> Check {
        let vectors: u64 = parts.iter().map(|part| part.vectors).sum();
        let different: BTreeSet<&Digest> = parts.iter().flat_map(|part| &part.seen).collect();
        never(subject, vectors - different.len() as u64, vectors)
    }
}

/// Σ ((y − x)/scale)², and how many terms it has.
pub fn squares(y: &[i64], x: &[i64], scale: f64) -> (f64, u64) {
    let sum = y.iter().zip(x).map(|(y, x)| (y.wrapping_sub(*x) as f64 / scale).powi(2)).sum();
    (sum, y.len() as u64)
}
