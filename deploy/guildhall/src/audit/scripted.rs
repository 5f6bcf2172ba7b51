//! Noise from a known seed, so that a test repeats itself. Protects nobody.

use guildhall_privacy::noise::{NoiseError, NoiseSource};

/// SplitMix64 (Steele, Lea, Flood 2014) and Box and Muller's transform, rounded: at the standard deviations in use its
/// first two moments are those of the discrete Gaussian to many digits.
pub struct Scripted(u64);

impl Scripted {
    /// A stream of its own for each list of numbers.
    pub fn new(seed: &[u64]) -> Self {
        let mut stream = Scripted(0);
        for part in seed {
            stream.0 = stream.word() ^ part;
        }
        stream
    }

    /// The next 64 bits.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        ((self.word() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }
}

impl NoiseSource for Scripted {
    fn fill(&mut self, standard_deviation: u64, out: &mut [i64]) -> Result<(), NoiseError> {
        for pair in out.chunks_mut(2) {
            let radius = standard_deviation as f64 * (-2.0 * self.unit().ln()).sqrt();
            let (sine, cosine) = (std::f64::consts::TAU * self.unit()).sin_cos();
            for (sample, part) in pair.iter_mut().zip([sine, cosine]) {
                *sample = (radius * part).round() as i64;
            }
        }
        Ok(())
    }
}
