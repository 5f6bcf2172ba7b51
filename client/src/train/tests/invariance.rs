//! A contribution is the same, bit for bit, whoever else is there.

use guildhall_shared::model_spec::Activation;

use super::*;

/// Wide, shallow shapes and one that is deep: those where matrix kernels were seen to change with the batch size.
fn shapes() -> Vec<ModelSpec> {
    use Activation::{Relu, Tanh};
    vec![
        mlp(74, &[64], Relu),
        mlp(35, &[16], Tanh),
        mlp(18, &[64], Relu),
        mlp(80, &[16], Tanh),
        logistic(80),
        logistic(3),
        mlp(1, &[1], Tanh),
        mlp(33, &[31, 17, 5], Relu),
    ]
}

fn fingerprints(spec: &ModelSpec, weights: &[f64], people: &[&Rows]) -> Vec<Vec<u64>> {
    let observations = observations(spec.inputs, people.iter().copied());
    contributions(spec, weights, &observations, &everybody).iter().map(|g| bits(g)).collect()
}

/// Checks that each of `people`, standing at `places` among others, contributes what it did before.
fn assert_same(spec: &ModelSpec, before: &[Vec<u64>], order: &[usize], after: &[Vec<u64>], what: &str) {
    assert_eq!(order.len(), after.len());
    for (place, person) in order.iter().enumerate() {
        assert!(before[*person] == after[place], "{spec:?}: shopper {person} changed when {what}");
    }
}

fn shuffled(count: usize, seed: u64) -> Vec<usize> {
    let mut numbers = Numbers(seed);
    let mut order: Vec<usize> = (0..count).collect();
    (1..count).rev().for_each(|i| order.swap(i, numbers.below(i + 1)));
    order
}

#[test]
fn contributions_do_not_depend_on_who_else_is_there() {
    for spec in shapes() {
        let weights = weights(&spec, 1);
        // About 600 rows: three batches, and shoppers that straddle two of them.
        let people = shoppers(150, 7, spec.inputs, 2);
        let everyone: Vec<&Rows> = people.iter().collect();
        let before = fingerprints(&spec, &weights, &everyone);
        let check = |order: Vec<usize>, what: &str| {
            let chosen: Vec<&Rows> = order.iter().map(|i| &people[*i]).collect();
            assert_same(&spec, &before, &order, &fingerprints(&spec, &weights, &chosen), what);
        };
        check((0..people.len()).collect(), "nothing changed");
        (0..3).for_each(|seed| check(shuffled(people.len(), seed), "shoppers were shuffled"));
        check((0..people.len()).filter(|i| i % 3 != 1).collect(), "a third left");
        // Everybody's place in the batch shifts by the rows of those that left.
        (1..9).for_each(|first| check((first..people.len()).collect(), "the first ones left"));
        (0..people.len()).step_by(7).for_each(|alone| check(vec![alone], "all others left"));
    }
}

#[test]
fn contributions_do_not_depend_on_what_others_hold() {
    for spec in shapes() {
        let weights = weights(&spec, 3);
        let people = shoppers(150, 5, spec.inputs, 4);
        let before = fingerprints(&spec, &weights, &people.iter().collect::<Vec<_>>());
        for hostile in [0.0, -0.0, f32::NAN, f32::INFINITY, f32::MAX, -1e30, f32::MIN_POSITIVE / 8.0] {
            let mut changed = people.clone();
            changed.iter_mut().step_by(2).for_each(|rows| rows.features.fill(hostile));
            let after = fingerprints(&spec, &weights, &changed.iter().collect::<Vec<_>>());
            for person in (1..people.len()).step_by(2) {
                assert!(
                    before[person] == after[person],
                    "{spec:?}: shopper {person} changed beside {hostile}"
                );
            }
        }
    }
}

#[test]
fn contributions_do_not_depend_on_newcomers() {
    for spec in shapes() {
        let weights = weights(&spec, 5);
        let (people, newcomers) = (shoppers(60, 9, spec.inputs, 6), shoppers(200, 4, spec.inputs, 7));
        let before = fingerprints(&spec, &weights, &people.iter().collect::<Vec<_>>());
        let mixed: Vec<&Rows> =
            people.iter().zip(newcomers.chunks(3)).flat_map(|(one, more)| more.iter().chain([one])).collect();
        let after = fingerprints(&spec, &weights, &mixed);
        for (person, fingerprint) in before.iter().enumerate() {
            assert!(
                *fingerprint == after[4 * person + 3],
                "{spec:?}: shopper {person} changed with newcomers"
            );
        }
    }
}

#[test]
fn emptying_one_shopper_changes_nobody_else_in_any_round() {
    for spec in [mlp(35, &[16], Activation::Tanh), mlp(18, &[64], Activation::Relu), logistic(80)] {
        let people = shoppers(120, 7, spec.inputs, 11);
        let all = observations(spec.inputs, &people);
        // The released models of six rounds in which everybody took part.
        let mut models = vec![weights(&spec, 12)];
        for _ in 0..5 {
            let mut next = models[models.len() - 1].clone();
            for contribution in contributions(&spec, &next.clone(), &all, &everybody) {
                next.iter_mut().zip(contribution).for_each(|(w, g)| *w -= 0.5 * g / people.len() as f64);
            }
            models.push(next);
        }
        for emptied in [0, 1, 57, 118, 119] {
            let mut without = people.clone();
            without[emptied] = Rows::default();
            let without = observations(spec.inputs, &without);
            for (round, model) in models.iter().enumerate() {
                let mut before = contributions(&spec, model, &all, &everybody);
                before.remove(emptied);
                let after = contributions(&spec, model, &without, &everybody);
                assert!(
                    before.iter().map(|g| bits(g)).eq(after.iter().map(|g| bits(g))),
                    "{spec:?} round {round}"
                );
            }
        }
    }
}

#[test]
fn contributions_do_not_depend_on_the_number_of_threads_or_on_reuse() {
    let spec = mlp(74, &[64], Activation::Relu);
    let weights = weights(&spec, 13);
    let people = observations(spec.inputs, &shoppers(4000, 2, spec.inputs, 14));
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let trainer = Trainer::new(&spec, &DeviceChoice::Cpu).unwrap();
            let run = || {
                let sinks = trainer.contributions(&weights, &people, &everybody, &Recorder::default).unwrap();
                assert_eq!(sinks.len(), threads);
                sinks.iter().flat_map(|sink| sink.0.iter().map(|g| bits(g))).collect::<Vec<_>>()
            };
            let first = run();
            assert!(first == run(), "a trainer remembers something");
            first
        })
    };
    let one = on(1);
    assert!(one == on(2) && one == on(3));
}
