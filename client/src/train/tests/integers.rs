//! The clipped sum end to end, seen through the digest of its ring words.

use guildhall_privacy::update::{DangerousPolicy, UnprotectedPermit};
use guildhall_shared::digest::Digest;
use guildhall_shared::job::ClippingSpec;
use guildhall_shared::model_spec::Activation;
use guildhall_shared::ring::RingWidth;

use super::*;

pub(super) fn clipping(spec: &ModelSpec) -> ClippingParameters {
    let clip = ClippingSpec { norm_l2: 1.0, bound: 1 << 20 };
    ClippingParameters::new(&clip, spec.parameter_count()).unwrap()
}

pub(super) fn hash(sum: ClippedSum) -> Digest {
    let permit = UnprotectedPermit::from_policy(DangerousPolicy { allow_privacy_none: true }).unwrap();
    sum.leave_unprotected(&permit).seal(RingWidth::Bits64).hash()
}

pub(super) fn sum_hash(
    spec: &ModelSpec,
    weights: &[f64],
    observations: &Observations,
    enters: &(dyn Fn(ShopperKey) -> bool + Sync),
) -> (Digest, ClipTally) {
    let trainer = Trainer::new(spec, &DeviceChoice::Cpu).unwrap();
    let (sum, tally) = trainer.clipped_sum(weights, observations, enters, &clipping(spec)).unwrap();
    (hash(sum), tally)
}

fn hash_of(integers: &[i64]) -> Digest {
    let bytes: Vec<u8> = integers.iter().flat_map(|z| z.to_le_bytes()).collect();
    Digest::of_bytes(&bytes)
}

#[test]
fn small_contributions_are_summed_on_the_grid() {
    // At zero weights the residual is ±1/2; γ = 2^-20.
    let people = [
        Rows { features: vec![0.5, -0.25], labels: vec![1.0] },
        Rows { features: vec![0.25, 0.0, 0.75, 0.125], labels: vec![0.0, 0.0] },
    ];
    let all = observations(2, &people);
    let (found, tally) = sum_hash(&logistic(2), &[0.0; 3], &all, &everybody);
    let unit = 1 << 20;
    // (-0.25, 0.125, -0.5) + (0.25, 0.03125, 0.5)
    assert_eq!(found, hash_of(&[0, unit / 8 + unit / 32, 0]));
    assert_eq!(tally, ClipTally { added: 2, non_finite: 0, over_bound: 0 });
    let second = all.shoppers[1].key;
    let (found, _) = sum_hash(&logistic(2), &[0.0; 3], &all, &|key| key == second);
    assert_eq!(found, hash_of(&[unit / 4, unit / 32, unit / 2]));
}

#[test]
fn a_large_contribution_is_clipped() {
    let people = [Rows { features: vec![3e4, 4e4], labels: vec![0.0] }];
    let (found, _) = sum_hash(&logistic(2), &[0.0; 3], &observations(2, &people), &everybody);
    // B − √3/2 = 1048575.13…, along (0.6, 0.8, 0.00002).
    assert_eq!(found, hash_of(&[629_145, 838_860, 21]));
}

#[test]
fn nobody_sums_to_zero() {
    let spec = mlp(3, &[4], Activation::Tanh);
    let weights = weights(&spec, 1);
    let zero = hash(ClippedSum::zero(&clipping(&spec)));
    let all = observations(3, &shoppers(300, 3, 3, 2));
    assert_eq!(sum_hash(&spec, &weights, &all, &|_| false).0, zero);
    assert_eq!(sum_hash(&spec, &weights, &observations(3, &[Rows::default()]), &everybody).0, zero);
    assert_eq!(
        sum_hash(&spec, &weights, &Observations { inputs: 3, ..Observations::default() }, &everybody).0,
        zero
    );
    assert_ne!(sum_hash(&spec, &weights, &all, &everybody).0, zero);
}

#[test]
fn a_bare_vector_sums_to_zero() {
    let spec = ModelSpec { architecture: Architecture::Vector, inputs: 17 };
    let (found, tally) = sum_hash(&spec, &[], &Observations::default(), &everybody);
    assert_eq!((found, tally), (hash_of(&[0; 17]), ClipTally::default()));
}

#[test]
fn the_sum_is_the_same_in_any_order_and_on_any_number_of_threads() {
    for spec in [mlp(18, &[64], Activation::Relu), mlp(35, &[16], Activation::Tanh), logistic(80)] {
        let weights = weights(&spec, 3);
        let mut people = shoppers(3000, 2, spec.inputs, 4);
        let sum = |people: &[Rows], threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| sum_hash(&spec, &weights, &observations(spec.inputs, people), &everybody))
        };
        let first = sum(&people, 1);
        assert_eq!(first, sum(&people, 3));
        people.reverse();
        assert_eq!(first, sum(&people, 2));
        people.rotate_left(777);
        assert_eq!(first, sum(&people, 1));
        people.pop();
        assert_ne!(first, sum(&people, 1));
    }
}
