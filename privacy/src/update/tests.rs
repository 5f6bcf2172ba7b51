use super::*;
use crate::clip::ShopperSum;
use crate::noise::{NoiseError, NoiseSource};
use crate::parameter::{Protection, Travel};
use guildhall_shared::id::MerchantIndex;
use guildhall_shared::job::ClippingSpec;
use guildhall_shared::ring::Sign;
use guildhall_shared::secagg::MaskGenerator;
use guildhall_shared::secagg::agreement::self_mask;

struct Scripted(i64);
impl NoiseSource for Scripted {
    fn fill(&mut self, _: u64, out: &mut [i64]) -> Result<(), NoiseError> {
        out.fill(self.0);
        Ok(())
    }
}

fn clipping() -> ClippingParameters {
    ClippingParameters::new(&ClippingSpec { norm_l2: 1.0, bound: 1 << 10 }, 2).expect("legal")
}

#[test]
fn the_noise_that_was_drawn_is_the_noise_that_is_sealed() {
    let mut sum = ShopperSum::new(&clipping());
    sum.add(&[0.5, -0.25]);
    let noise = NoiseShare::draw(&mut Scripted(i64::MAX), 4096, 2).expect("in range");
    let sealed = sum.finish().0.add_noise(noise).seal(RingWidth::Bits64);
    let expected: Vec<u8> =
        [512i64, -256].iter().flat_map(|x| x.wrapping_add(i64::MAX).to_le_bytes()).collect();
    assert_eq!(sealed.bytes, expected);
    assert_eq!(sealed.hash(), Digest::of_bytes(&expected));
    let noise = AppliedNoise::Gaussian { bound: 1 << 10, noise_standard_deviation: 4096 };
    assert_eq!(sealed.applied, Applied { noise, masks: AppliedMasks::None });
}

#[test]
fn a_failed_training_sends_bare_noise() {
    let noise = NoiseShare::draw(&mut Scripted(-3), 4096, 2).expect("in range");
    let sealed = ClippedSum::zero(&clipping()).add_noise(noise).seal(RingWidth::Bits32);
    assert_eq!(sealed.bytes, [253, 255, 255, 255, 253, 255, 255, 255]);
}

#[test]
fn only_the_policy_gives_a_permit() {
    assert_eq!(UnprotectedPermit::from_policy(DangerousPolicy::default()).err(), Some(PermitRefused));
    let permit =
        UnprotectedPermit::from_policy(DangerousPolicy { allow_privacy_none: true }).expect("allowed");
    let sealed = ClippedSum::zero(&clipping()).leave_unprotected(&permit).seal(RingWidth::Bits64);
    assert_eq!(sealed.applied, Applied { noise: AppliedNoise::Nothing, masks: AppliedMasks::None });
}

/// Masks of session 7: the merchant's own, and one shared with a peer who takes the other sign.
fn masks(own: u8, shared: Sign) -> MaskSet {
    let sid = Digest([7; 32]);
    let mut masks = MaskSet::new(sid, MaskGenerator::ChaCha20);
    masks.push(self_mask(&[own; 32], &sid, MerchantIndex(own.into())), Sign::Add);
    masks.push(self_mask(&[99; 32], &sid, MerchantIndex(9)), shared);
    masks
}

fn noised(value: i64) -> NoisedUpdate {
    let mut sum = ShopperSum::new(&clipping());
    sum.add(&[0.5, -0.25]);
    sum.finish().0.add_noise(NoiseShare::draw(&mut Scripted(value), 4096, 2).expect("in range"))
}

#[test]
fn masked_updates_hide_and_add_up_to_the_noised_sum() {
    for width in [RingWidth::Bits32, RingWidth::Bits64] {
        let one = noised(1_000).mask(masks(1, Sign::Add), width);
        let two = noised(-3_000).mask(masks(2, Sign::Subtract), width);
        assert_eq!(one.hash(), Digest::of_bytes(&one.bytes));
        assert_eq!(one.bytes.len(), 2 * width.bytes());
        let mut sum = RingVector::zero(width, 2);
        for sealed in [&one, &two] {
            // Each word by itself is that of the plain update with a chance of 2^-32 at most.
            let plain = noised(if std::ptr::eq(sealed, &one) { 1_000 } else { -3_000 }).seal(width);
            assert!(sealed.bytes.chunks(4).zip(plain.bytes.chunks(4)).all(|(masked, bare)| masked != bare));
            sum.add_bytes(&sealed.bytes).expect("the right length");
        }
        // The server takes the own masks off; the shared one has cancelled.
        let sid = Digest([7; 32]);
        let mut own = MaskSet::new(sid, MaskGenerator::ChaCha20);
        for merchant in [1u8, 2] {
            let mask = self_mask(&[merchant; 32], &sid, MerchantIndex(merchant.into()));
            own.push(mask, Sign::Subtract);
        }
        own.apply(&mut sum);
        assert_eq!(sum.centred(), [2 * 512 - 2_000, -2 * 256 - 2_000]);
    }
}

#[test]
fn a_masked_update_says_whose_masks_it_wears() {
    let noise = AppliedNoise::Gaussian { bound: 1 << 10, noise_standard_deviation: 4096 };
    let masks_of_seven = AppliedMasks::Of { sid: Digest([7; 32]), count: 2 };
    let sealed = noised(5).mask(masks(1, Sign::Add), RingWidth::Bits64);
    assert_eq!(sealed.applied, Applied { noise, masks: masks_of_seven });
    let permit =
        UnprotectedPermit::from_policy(DangerousPolicy { allow_privacy_none: true }).expect("allowed");
    let bare = ClippedSum::zero(&clipping()).leave_unprotected(&permit);
    let sealed = bare.mask(masks(1, Sign::Add), RingWidth::Bits64);
    assert_eq!(sealed.applied, Applied { noise: AppliedNoise::Nothing, masks: masks_of_seven });
}

/// Every combination of what was charged and what was done: exactly those that agree pass.
#[test]
fn an_update_stands_only_for_the_charge_it_was_made_for() {
    let (here, elsewhere) = (Digest([1; 32]), Digest([2; 32]));
    let gaussian = |bound, sigma, honest_shares| Protection::Gaussian {
        bound,
        noise_standard_deviation_local: sigma,
        honest_shares,
        delta: 1e-6,
    };
    let noise = |bound, noise_standard_deviation| AppliedNoise::Gaussian { bound, noise_standard_deviation };
    let noises = [AppliedNoise::Nothing, noise(1 << 10, 4096), noise(1 << 11, 4096), noise(1 << 10, 4095)];
    let masks = |sid, count| AppliedMasks::Of { sid, count };
    let all_masks = [
        AppliedMasks::None,
        masks(here, 2),
        masks(here, 9),
        masks(here, 1),
        masks(here, 0),
        masks(elsewhere, 9),
    ];
    let masked = Travel::Masked { colluders: 3 };
    // What was charged, and where in the two lists the only right answers are.
    let charged: [(Protection, Travel, usize, &[usize]); 6] = [
        (gaussian(1 << 10, 4096, 1), Travel::Plain, 1, &[0]),
        (gaussian(1 << 10, 4096, 5), Travel::Plain, 1, &[]),
        (gaussian(1 << 10, 4096, 1), masked, 1, &[1, 2]),
        (gaussian(1 << 10, 4096, 5), masked, 1, &[1, 2]),
        (Protection::None, Travel::Plain, 0, &[0]),
        (Protection::None, masked, 0, &[1, 2]),
    ];
    for (protection, travel, right_noise, right_masks) in charged {
        for (i, noise) in noises.into_iter().enumerate() {
            for (j, masks) in all_masks.into_iter().enumerate() {
                let applied = Applied { noise, masks };
                let expected = i == right_noise && right_masks.contains(&j);
                let found = applied.is_what_was_charged(&here, &protection, travel);
                assert_eq!(found, expected, "{applied} for {protection:?} as {travel:?}");
            }
        }
    }
}
