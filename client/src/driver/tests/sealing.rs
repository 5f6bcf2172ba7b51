//! What is sealed in which mode.

use std::sync::Arc;

use guildhall_privacy::update::DangerousPolicy;
use guildhall_shared::digest::Digest;
use guildhall_shared::job::{JobSpec, PrivacySpec, Unit};
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
