//! A contribution is the same, bit for bit, whoever else is there.

use super::*;

fn everybody_alone(spec: &ModelSpec, weights: &[f64], people: &Sequences) -> Vec<Vec<f64>> {
    let one =
        |key: ShopperKey| contributions::<f32>(spec, weights, &people.restricted_to(|other| other == key), 0);
    people.iter().flat_map(|(key, _)| one(key)).collect()
}

#[test]
fn contributions_do_not_depend_on_who_else_is_there() {
    for spec in models()
        .into_iter()
        .chain([model(TRANSFORMER, 1).with_width(64), model(ItemEncoder::Gru, 1).with_width(64)])
    {
        let weights = weights(&spec, 1);
        // More than a batch of every length.
        let people = shoppers(150, 2);
        let alone = everybody_alone(&spec, &weights, &people);
        let together = contributions::<f32>(&spec, &weights, &people, 0);
        assert_eq!(sorted(alone.clone()), sorted(together), "{spec:?}");
        for left in [1, 2, 5] {
            let fewer = people.restricted_to(|key| key.0[15] % 7 != left);
            let found = contributions::<f32>(&spec, &weights, &fewer, 0);
            let kept = people.iter().zip(&alone).filter(|((key, _), _)| key.0[15] % 7 != left);
            assert_eq!(sorted(kept.map(|(_, c)| c.clone()).collect()), sorted(found), "{spec:?}");
        }
    }
}

#[test]
fn emptying_one_shopper_changes_nobody_else_in_any_round() {
    for spec in models() {
        let people = shoppers(30, 3);
        // The released models of four rounds in which everybody took part.
        let mut models = vec![weights(&spec, 4)];
        for round in 0..3 {
            let mut next = models[models.len() - 1].clone();
            for contribution in contributions::<f32>(&spec, &next.clone(), &people, round) {
                next.iter_mut().zip(contribution).for_each(|(w, g)| *w -= 0.5 * g / 30.0);
            }
            models.push(next);
        }
        for emptied in [0, 13, 29] {
            let mut without = Sequences::default();
            let kept = |shopper: ShopperKey| shopper != key(emptied);
            people.iter().for_each(|(key, items)| without.push(key, if kept(key) { items } else { &[] }));
            for (round, model) in models.iter().enumerate() {
                let own = people.restricted_to(|shopper| !kept(shopper));
                let own = contributions::<f32>(&spec, model, &own, round as u32);
                let after = contributions::<f32>(&spec, model, &without, round as u32);
                let before = contributions::<f32>(&spec, model, &people, round as u32);
                let all: Vec<Vec<f64>> = after.into_iter().chain(own).collect();
                assert_eq!(sorted(before), sorted(all), "{spec:?} round {round}");
            }
        }
    }
}

#[test]
fn draws_differ_between_shoppers_rounds_and_secrets_and_repeat_otherwise() {
    for spec in [model(TRANSFORMER, 1), model(TRANSFORMER, 0).with_dropout(0.5), factorization()] {
        let weights = weights(&spec, 5);
        let history = [1, 5, 2, 8, 3];
        let of = |number: u8, round: u32| {
            let mut one = Sequences::default();
            one.push(key(number), &history);
            contributions::<f32>(&spec, &weights, &one, round)
        };
        assert_eq!(of(1, 0), of(1, 0));
        assert_ne!(of(1, 0), of(2, 0));
        assert_ne!(of(1, 0), of(1, 1));
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    for spec in [model(TRANSFORMER, 2).with_dropout(0.2), model(ItemEncoder::Gru, 0), factorization()] {
        let (weights, people, clipping) = (weights(&spec, 6), shoppers(250, 7), clipping(&spec, 0.4));
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let round = RoundId { round: 0, attempt: 0 };
                let (sum, tally) =
                    trainer(&spec).clipped_sum(&weights, &people, &|_| true, round, &clipping).unwrap();
                (hash(sum), tally)
            })
        };
        assert_eq!(on(1), on(3));
    }
}

#[test]
fn only_the_newest_items_count() {
    for spec in networks() {
        let weights = weights(&spec, 8);
        let newest = [1, 4, 2, 8, 5, 7, 3];
        assert_eq!(newest.len(), POSITIONS + 1);
        let of = |items: &[u32]| {
            let mut one = Sequences::default();
            one.push(key(1), items);
            contributions::<f32>(&spec, &weights, &one, 0)
        };
        // Older items are of the same kinds, so that the same counterexamples are drawn.
        let longer: Vec<u32> = [5, 1, 1, 8].into_iter().chain(newest).collect();
        assert_eq!(of(&newest), of(&longer));
    }
}
