//! A contribution is the same, bit for bit, whoever else is there.

use super::*;

fn everybody_alone(spec: &ModelSpec, weights: &[f64], people: &Observations) -> Vec<Vec<f64>> {
    let one =
        |key: ShopperKey| contributions::<f32>(spec, weights, &people.restricted_to(|other| other == key));
    people.shoppers.iter().flat_map(|shopper| one(shopper.key)).collect()
}

/// The models, and wide ones, where matrix kernels change with their shape.
fn shapes() -> Vec<ModelSpec> {
    let wide = |encoder| changed(model(encoder, 32), |model| (model.width, model.embedding) = (33, 8));
    models().into_iter().chain([SequenceEncoder::Gru, SequenceEncoder::Lstm, CNN].map(wide)).collect()
}

#[test]
fn contributions_do_not_depend_on_who_else_is_there() {
    for spec in shapes() {
        let weights = weights(&spec, 1);
        // More than a batch of some numbers of rows.
        let people = shoppers(&spec, 150, 7, 2);
        let alone = everybody_alone(&spec, &weights, &people);
        assert_eq!(sorted(&alone), sorted(&contributions::<f32>(&spec, &weights, &people)), "{spec:?}");
        for left in [1, 2, 5] {
            let stays = |key: ShopperKey| key.0[15] % 7 != left;
            let found = contributions::<f32>(&spec, &weights, &people.restricted_to(stays));
            let kept = people.shoppers.iter().zip(&alone).filter(|(shopper, _)| stays(shopper.key));
            let kept: Vec<Vec<f64>> = kept.map(|(_, contribution)| contribution.clone()).collect();
            assert_eq!(sorted(&kept), sorted(&found), "{spec:?}");
        }
    }
}

#[test]
fn contributions_do_not_depend_on_what_others_hold() {
    for spec in shapes() {
        let weights = weights(&spec, 3);
        let people = shoppers(&spec, 80, 5, 4);
        let quiet = |key: ShopperKey| key.0[15].is_multiple_of(2);
        let before = contributions::<f32>(&spec, &weights, &people.restricted_to(quiet));
        let kept: std::collections::BTreeSet<Vec<u64>> = sorted(&before).into_iter().collect();
        for hostile in [f32::NAN, f32::INFINITY, f32::MAX, -1e30, f32::MIN_POSITIVE / 8.0] {
            let mut beside = people.clone();
            for shopper in people.shoppers.iter().filter(|shopper| !quiet(shopper.key)) {
                let rows = shopper.start * spec.inputs..shopper.end * spec.inputs;
                beside.features[rows].fill(hostile);
            }
            let after: std::collections::BTreeSet<Vec<u64>> =
                sorted(&contributions::<f32>(&spec, &weights, &beside)).into_iter().collect();
            assert!(kept.is_subset(&after), "{spec:?}: somebody changed beside {hostile}");
        }
    }
}

#[test]
fn emptying_one_shopper_changes_nobody_else_in_any_round() {
    for spec in models() {
        let people = shoppers(&spec, 30, 6, 3);
        let mut releases = vec![weights(&spec, 4)];
        for _ in 0..3 {
            let mut next = releases[releases.len() - 1].clone();
            for contribution in contributions::<f32>(&spec, &next.clone(), &people) {
                next.iter_mut().zip(contribution).for_each(|(w, g)| *w -= 0.5 * g / 30.0);
            }
            releases.push(next);
        }
        for emptied in [0, 13, 29] {
            let (own, others) = (
                people.restricted_to(|shopper| shopper == key(emptied)),
                people.restricted_to(|shopper| shopper != key(emptied)),
            );
            for model in &releases {
                let mut after = contributions::<f32>(&spec, model, &others);
                after.extend(contributions::<f32>(&spec, model, &own));
                let before = contributions::<f32>(&spec, model, &people);
                assert_eq!(sorted(&before), sorted(&after), "{spec:?}");
            }
        }
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    for spec in [model(SequenceEncoder::Gru, 3), changed(model(CNN, 3), |model| model.dropout = 0.3)] {
        let (weights, people, clipping) =
            (weights(&spec, 6), shoppers(&spec, 250, 7, 7), clipping(&spec, 0.4));
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let (sum, tally) =
                    trainer(&spec).clipped_sum(&weights, &people, &|_| true, ROUND, &clipping).unwrap();
                (hash(sum), tally)
            })
        };
        assert_eq!(on(1), on(3));
    }
}
