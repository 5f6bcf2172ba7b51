//! The one place where tests read their environment, and the generator and the job they share.

use guildhall_shared::id::Name;
use guildhall_shared::job::{
    Aggregation, ClippingSpec, JobSpec, NoiseCalibration as _, PrivacySpec, RoundSpec, Unit,
};
use guildhall_shared::model_spec::{Activation, Architecture};
use guildhall_shared::optimizer::{OptimizerSpec, UpdateRule};
use guildhall_shared::secagg::MaskGenerator;
use guildhall_shared::task::{FeatureSpec, Task, Transform};

use crate::accountant::Calibration;

/// `ordinary` samples, or `full` where GUILDHALL_FULL_COUNTS=1.
pub fn sample_count(ordinary: usize, full: usize) -> usize {
    if std::env::var_os("GUILDHALL_FULL_COUNTS").is_some_and(|value| value == "1") { full } else { ordinary }
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

/// A job with an MLP `inputs`-16-1 at δ = 1e-6.
#[derive(Clone, Copy)]
pub struct TabularJob {
    pub inputs: usize,
    pub rounds: u32,
    /// None for `privacy = "none"`.
    pub epsilon: Option<f64>,
    pub shoppers: u64,
    pub aggregation: Aggregation,
    pub colluders_min: u32,
}

impl Default for TabularJob {
    fn default() -> Self {
        TabularJob {
            inputs: 35,
            rounds: 60,
            epsilon: Some(4.0),
            shoppers: 10_000,
            aggregation: Aggregation::Masked,
            colluders_min: 0,
        }
    }
}

impl TabularJob {
    pub fn spec(self) -> JobSpec {
        let TabularJob { inputs, rounds, shoppers, .. } = self;
        let feature =
            |i: usize| FeatureSpec { column: format!("c{i}"), transform: Transform::Positive, scale: 1.0 };
        let clipping = ClippingSpec { norm_l2: 0.6, bound: 1 << 20 };
        JobSpec {
            name: Name::new("plan").expect("legal"),
            purpose: "test".into(),
            task: Task::Tabular { features: (0..inputs).map(feature).collect() },
            architecture: Architecture::Mlp { hidden: vec![16], activation: Activation::Tanh },
            seed: 1,
            rounds,
            optimizer: OptimizerSpec {
                rule: UpdateRule::Sgd { momentum: 0.0 },
                learning_rate: 0.1,
                average_last_rounds: 0,
            },
            clipping,
            adaptive_clip: None,
            privacy: match self.epsilon {
                Some(epsilon) => PrivacySpec::Gaussian {
                    unit: Unit::Shopper,
                    epsilon,
                    delta: 1e-6,
                    noise_standard_deviation: Calibration
                        .noise_standard_deviation(epsilon, 1e-6, rounds, clipping.bound)
                        .expect("fits"),
                },
                None => PrivacySpec::None { unit: Unit::Shopper },
            },
            round: RoundSpec {
                aggregation: self.aggregation,
                colluders_min: self.colluders_min,
                mask_generator: MaskGenerator::Aes256Ctr,
                quorum: 2,
                accept_deadline_ms: 1,
                update_deadline_ms: 1,
                upload_slot_ms: 0,
                expected_shoppers: shoppers,
                shoppers_per_merchant_max: shoppers,
                participation_rate: 1.0,
            },
        }
    }
}
