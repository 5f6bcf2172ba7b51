//! What is sealed in which mode.

use std::sync::Arc;

use guildhall_privacy::update::DangerousPolicy;
use guildhall_shared::digest::Digest;
use guildhall_shared::job::{AdaptiveClip, JobSpec, PrivacySpec, Unit};
use guildhall_shared::model_state::ModelState;
use guildhall_shared::ring::RingVector;
use guildhall_shared::round_parameters::RoundParameters;
use guildhall_shared::secagg::MaskGenerator;
use guildhall_shared::secagg::mask::MaskSet;

use super::round;
use super::scene::{Constant, Contribution};
use crate::driver::contribution::{SealError, seal};
use crate::participant::TrainOrder;
use crate::participant::tests::harness::{job, masked_job};

const SID: Digest = Digest([4; 32]);

enum Masks {
    Given,
    Missing,
}

fn sealed(spec: &JobSpec, masks: Masks, allow_privacy_none: bool) -> Result<Digest, SealError> {
    let order = TrainOrder {
        sid: SID,
        job: spec.digest(),
        round: round(0, 0),
        state: Arc::new(ModelState::initial(spec)),
        parameters: RoundParameters::derive(spec, 5).unwrap(),
        masks: match masks {
            // Masks that hide nothing, so that what they hide can be looked at.
            Masks::Given => Some(MaskSet::new(SID, MaskGenerator::Aes256Ctr)),
            Masks::Missing => None,
        },
    };
    let dangerous = DangerousPolicy { allow_privacy_none };
    seal(&Contribution::Known, &mut Constant(1_000), dangerous, spec, order).map(|sealed| sealed.hash())
}

fn unprotected(mut spec: JobSpec) -> JobSpec {
    spec.privacy = PrivacySpec::None { unit: Unit::Shopper };
    spec
}

fn words(spec: &JobSpec, integers: [i64; 3]) -> Digest {
    let ring = RoundParameters::derive(spec, 5).unwrap().ring;
    Digest::of_bytes(&RingVector::from_integers(ring, &integers).to_bytes())
}

#[test]
fn noise_is_added_in_every_mode_that_has_some() {
    for (spec, masks) in [(masked_job(), Masks::Given), (job(), Masks::Missing)] {
        assert_eq!(sealed(&spec, masks, false).unwrap(), words(&spec, [1512, 744, 1000]));
    }
}

#[test]
fn nothing_without_noise_is_sealed_without_a_permit_masked_or_not() {
    for (spec, masks) in [(masked_job(), Masks::Given), (job(), Masks::Missing)] {
        assert!(matches!(sealed(&unprotected(spec), masks, false), Err(SealError::Permit(_))));
    }
    for (spec, masks) in [(masked_job(), Masks::Given), (job(), Masks::Missing)] {
        let spec = unprotected(spec);
        assert_eq!(sealed(&spec, masks, true).unwrap(), words(&spec, [512, -256, 0]));
    }
}

#[test]
fn a_masked_round_is_not_sealed_without_masks_nor_a_plain_one_with() {
    for spec in [masked_job(), unprotected(masked_job())] {
        assert!(matches!(sealed(&spec, Masks::Missing, true), Err(SealError::Masks { .. })));
    }
    for spec in [job(), unprotected(job())] {
        assert!(matches!(sealed(&spec, Masks::Given, true), Err(SealError::Masks { .. })));
    }
}

/// The clip is that of the version the round trains from, and one word more is noised, masked and sealed, whatever training
/// comes to.
#[test]
fn a_clip_that_adapts_is_the_versions_and_its_word_is_noised_like_all_others() {
    let rule = AdaptiveClip { indicator: 102, quantile: 0.5, rate: 0.2, norm_min: 0.1, norm_max: 10.0 };
    for (spec, masked) in [(masked_job(), true), (job(), false)] {
        let spec = JobSpec { adaptive_clip: Some(rule), ..spec };
        let sealed = |clip, contribution: Contribution| {
            let order = TrainOrder {
                sid: SID,
                job: spec.digest(),
                round: round(0, 0),
                state: Arc::new(ModelState { clip: Some(clip), ..ModelState::initial(&spec) }),
                parameters: RoundParameters::derive(&spec, 5).unwrap(),
                masks: masked.then(|| MaskSet::new(SID, MaskGenerator::Aes256Ctr)),
            };
            let dangerous = DangerousPolicy { allow_privacy_none: false };
            seal(&contribution, &mut Constant(1_000), dangerous, &spec, order).unwrap().hash()
        };
        let words = |integers: [i64; 4]| {
            let ring = RoundParameters::derive(&spec, 5).unwrap().ring;
            Digest::of_bytes(&RingVector::from_integers(ring, &integers).to_bytes())
        };
        assert_eq!(sealed(1.0, Contribution::Known), words([1512, 744, 1000, 1102]));
        assert_eq!(sealed(2.0, Contribution::Known), words([1256, 872, 1000, 1102]));
        // (0.5, −0.25, 0) is longer than half: clipped to b − √3/2 = √(1024² − 102²) − … = 1017.1
        assert_eq!(sealed(0.5, Contribution::Known), words([1910, 545, 1000, 898]));
        for nothing in [Contribution::Fails, Contribution::Panics] {
            assert_eq!(sealed(1.0, nothing), words([1000; 4]));
        }
    }
}
