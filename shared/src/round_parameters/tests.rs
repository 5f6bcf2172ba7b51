//! The numbers of a round, for every way to aggregate.

use super::*;
use crate::id::Name;
use crate::job::{AdaptiveClip, ClippingSpec, RoundSpec, Unit};
use crate::model_spec::Architecture;
use crate::optimizer::{OptimizerSpec, UpdateRule};
use crate::secagg::{Graph, MaskGenerator};
use crate::task::Task;

const SIGMA: u64 = 1 << 22;

fn job(aggregation: Aggregation) -> JobSpec {
    JobSpec {
        name: Name::new("j").expect("legal"),
        purpose: "p".into(),
        task: Task::Dummy { parameters: 4 },
        architecture: Architecture::Vector,
        seed: 1,
        rounds: 2,
        optimizer: OptimizerSpec {
            rule: UpdateRule::Sgd { momentum: 0.5 },
            learning_rate: 1.0,
            average_last_rounds: 0,
        },
        clipping: ClippingSpec { norm_l2: 1.0, bound: 1 << 20 },
        adaptive_clip: None,
        privacy: PrivacySpec::Gaussian {
            unit: Unit::Shopper,
            epsilon: 1.0,
            delta: 1e-6,
            noise_standard_deviation: SIGMA,
        },
        round: RoundSpec {
            aggregation,
            colluders_min: 0,
            mask_generator: MaskGenerator::Aes256Ctr,
            quorum: 2,
            accept_deadline_ms: 3,
            update_deadline_ms: 4,
            upload_slot_ms: 0,
            expected_shoppers: 5,
            shoppers_per_merchant_max: 6,
            participation_rate: 1.0,
        },
    }
}

fn masked(merchants: u32) -> RoundParameters {
    RoundParameters::derive(&job(Aggregation::Masked), merchants).expect("fits")
}

/// h·s² ≥ σ², and no smaller whole s does: whoever is sure of h shares is sure of the job's noise.
#[test]
fn the_honest_shares_of_the_noise_add_up_to_the_jobs_noise() {
    for merchants in 3..=1000 {
        let found = masked(merchants);
        let shares = found.secagg.as_ref().expect("masked").noise_shares();
        assert_eq!(found.honest_noise_shares, shares);
        let variance = |share: u64| u128::from(share).pow(2) * u128::from(shares);
        let share = found.noise_standard_deviation_local;
        assert!(variance(share) >= u128::from(SIGMA).pow(2), "{merchants}");
        assert!(variance(share - 1) < u128::from(SIGMA).pow(2), "{merchants}");
    }
}

/// Of all n merchants' shares, whatever h they were sized for; in plain mode each adds the job's whole noise.
#[test]
fn the_noise_on_the_sum_is_that_of_every_merchant_s_share() {
    for merchants in [3, 9, 100, 1000] {
        let found = masked(merchants);
        let variance = f64::from(merchants) * (found.noise_standard_deviation_local as f64).powi(2);
        assert!((found.noise_standard_deviation_sum().powi(2) / variance - 1.0).abs() < 1e-12);
        assert!(found.noise_standard_deviation_sum() >= SIGMA as f64);
    }
    let plain = RoundParameters::derive(&job(Aggregation::Plain), 9).expect("fits");
    assert_eq!(plain.noise_standard_deviation_sum(), 3.0 * SIGMA as f64);
}

#[test]
fn noise_shares_are_rounded_up_never_down() {
    for (noise, shares, expected) in [
        (1 << 22, 1, 1 << 22),
        (1 << 22, 4, 1 << 21),
        (10, 3, 6),
        (1000, 1_000_000, 1),
        (3, 2, 3),
        ((1 << 53) - 1, 1, (1 << 53) - 1),
        ((1 << 53) - 1, 2, 6_369_051_672_525_772),
    ] {
        assert_eq!(noise_share(noise, shares), expected, "{noise}, {shares}");
    }
}

#[test]
fn plain_rounds_have_full_noise_and_no_thresholds() {
    for merchants in [1, 2, 3, 1000] {
        let found = RoundParameters::derive(&job(Aggregation::Plain), merchants).expect("fits");
        assert_eq!((found.mode, found.secagg, found.quorum), (RoundMode::LocalNoise, None, 2));
        assert_eq!((found.honest_noise_shares, found.noise_standard_deviation_local), (1, SIGMA));
    }
}

#[test]
fn masked_rounds_need_three_merchants() {
    for merchants in 0..3 {
        let error = RoundParameters::derive(&job(Aggregation::Masked), merchants).expect_err("too few");
        assert_eq!(error, SecaggParametersError::TooFew { found: merchants }.into());
        assert!(error.to_string().contains("aggregation = \"plain\""), "{error}");
    }
    assert_eq!(masked(3).mode, RoundMode::Masked);
}

/// Below m_min clients do not unmask, so a round with fewer merchants could only end in nothing.
#[test]
fn the_quorum_of_a_masked_round_is_at_least_the_fewest_survivors() {
    assert_eq!(masked(20).quorum, 16);
    let mut job = job(Aggregation::Masked);
    job.round.quorum = 18;
    assert_eq!(RoundParameters::derive(&job, 20).expect("fits").quorum, 18);
    job.round.quorum = 21;
    let error = RoundParameters::derive(&job, 20).expect_err("nobody can reach it");
    assert_eq!(error, RoundParametersError::Quorum { merchants: 20, found: 21 });
}

#[test]
fn the_job_reaches_the_thresholds() {
    let mut job = job(Aggregation::Masked);
    job.round.colluders_min = 9;
    job.round.mask_generator = MaskGenerator::ChaCha20;
    let found = RoundParameters::derive(&job, 20).expect("fits").secagg.expect("masked");
    assert_eq!((found.colluders, found.generator), (9, MaskGenerator::ChaCha20));
    job.round.colluders_min = 20;
    assert!(matches!(RoundParameters::derive(&job, 20), Err(RoundParametersError::Secagg(_))));
}

#[test]
fn masks_without_noise_are_said_to_protect_nobody() {
    let mut job = job(Aggregation::Masked);
    job.privacy = PrivacySpec::None { unit: Unit::Shopper };
    let found = RoundParameters::derive(&job, 9).expect("fits");
    assert_eq!(found.mode, RoundMode::MaskedUnprotected);
    assert_eq!((found.honest_noise_shares, found.noise_standard_deviation_local), (0, 0));
    assert!(found.mode.label().contains("NO PRIVACY"));
    job.round.aggregation = Aggregation::Plain;
    assert_eq!(RoundMode::of(&job), RoundMode::Unprotected);
}

/// Shares too small to add up like one discrete Gaussian: the accountant's formula would not hold.
#[test]
fn noise_too_small_to_be_shared_is_refused() {
    let mut job = job(Aggregation::Masked);
    let mut derive = |noise| {
        if let PrivacySpec::Gaussian { noise_standard_deviation, .. } = &mut job.privacy {
            *noise_standard_deviation = noise;
        }
        RoundParameters::derive(&job, 100).map(|found| found.noise_standard_deviation_local)
    };
    // 47 shares at n = 100.
    assert_eq!(derive(7020), Ok(1024));
    assert_eq!(derive(7000), Err(RoundParametersError::NoiseShare { found: 1022 }));
}

#[test]
fn the_sum_fits_the_ring_with_the_noise_of_everybody() {
    let found = masked(1000);
    let bound = SumBound {
        merchants: 1000,
        shoppers_per_merchant_max: 6,
        clipping_bound: 1 << 20,
        noise_standard_deviation_local: found.noise_standard_deviation_local,
    };
    assert_eq!(Ok(found.ring), RingWidth::narrowest_for(&bound));
    assert_eq!(found.ring, RingWidth::Bits64);
    assert_eq!(masked(3).ring, RingWidth::Bits32);
}

#[test]
fn every_number_is_in_the_digest() {
    let (job, roster) = (Digest([1; 32]), Digest([2; 32]));
    let good = masked(200);
    let mut secagg = good.secagg.clone().expect("masked");
    let Graph::Sparse { holders, share_threshold } = secagg.graph else { panic!("sparse") };
    secagg.graph = Graph::Sparse { holders, share_threshold: share_threshold - 1 };
    let weaker = RoundParameters { secagg: Some(secagg), ..good.clone() };
    let changed = [
        good.digest(&job, &roster),
        weaker.digest(&job, &roster),
        RoundParameters { secagg: None, ..good.clone() }.digest(&job, &roster),
        RoundParameters { mode: RoundMode::LocalNoise, ..good.clone() }.digest(&job, &roster),
        RoundParameters { quorum: good.quorum - 1, ..good.clone() }.digest(&job, &roster),
        good.digest(&roster, &job),
    ];
    let distinct: std::collections::BTreeSet<&Digest> = changed.iter().collect();
    assert_eq!(distinct.len(), changed.len());
}

/// One word more, and not a number else: the ring is wide enough for B in every coordinate, and β < B.
#[test]
fn a_clip_that_adapts_costs_one_word() {
    for aggregation in [Aggregation::Masked, Aggregation::Plain] {
        let constant = job(aggregation);
        let rule = AdaptiveClip { indicator: 1000, quantile: 0.5, rate: 0.2, norm_min: 0.1, norm_max: 10.0 };
        let adaptive = JobSpec { adaptive_clip: Some(rule), ..constant.clone() };
        let derive = |job: &JobSpec| RoundParameters::derive(job, 9).expect("fits");
        let (before, after) = (derive(&constant), derive(&adaptive));
        assert_eq!(after, RoundParameters { parameters: before.parameters + 1, ..before.clone() });
        assert_eq!(before.parameters, constant.model().parameter_count() as u64);
        assert_eq!(after.vector_bytes(), before.vector_bytes() + before.ring.bytes());
    }
}
