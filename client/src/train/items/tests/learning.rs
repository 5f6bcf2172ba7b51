//! Models learn what there is to learn, and say it of histories.

use super::*;

/// Every item is followed by the next one, around the catalogue.
fn circle() -> Sequences {
    let mut all = Sequences::default();
    for start in 0..ITEMS as u8 {
        let items: Vec<u32> = (0..5).map(|i| (u32::from(start) + i) % ITEMS as u32).collect();
        all.push(key(start), &items);
    }
    all
}

fn training(epochs: u32, learning_rate: f64) -> OrdinaryTraining {
    OrdinaryTraining { epochs, learning_rate, batch: 4, seed: 3 }
}

fn best(scores: &[f32]) -> usize {
    (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap()
}

#[test]
fn every_network_overfits_a_tiny_set() {
    for encoder in [TRANSFORMER, ItemEncoder::Gru] {
        for negatives in [0, 4] {
            let spec = model(encoder, negatives).with_width(8);
            let start: Vec<f64> = weights(&spec, 1).iter().map(|w| 0.5 * w).collect();
            let trained = trainer(&spec).fit(&start, &circle(), &training(150, 0.02), &mut go_on).unwrap();
            let scorer = trainer(&spec).scorer(&trained).unwrap();
            let right = (0..ITEMS).filter(|item| {
                let history = [*item as u32, ((item + 1) % ITEMS) as u32];
                best(&scorer.scores(&history).unwrap()) == (item + 2) % ITEMS
            });
            let right = right.count();
            // A shopper's own items are never drawn against each other, so counterexamples do not tell all of them apart.
            let least = if negatives == 0 { ITEMS - 1 } else { ITEMS - 4 };
            assert!(right >= least, "{spec:?}: {right} of {ITEMS}");
        }
    }
}

#[test]
fn two_towers_overfit_a_tiny_set() {
    // A mean knows no order: the first item decides here.
    let mut pairs = Sequences::default();
    for item in 0..ITEMS as u8 {
        pairs.push(key(item), &[u32::from(item), (u32::from(item) + 5) % ITEMS as u32]);
    }
    for negatives in [0, 4] {
        let spec = model(ItemEncoder::TwoTower { tags: 3, hidden: 16 }, negatives).with_width(8);
        let trained =
            trainer(&spec).fit(&weights(&spec, 1), &pairs, &training(200, 0.03), &mut go_on).unwrap();
        let scorer = trainer(&spec).scorer(&trained).unwrap();
        let right =
            (0..ITEMS).filter(|item| best(&scorer.scores(&[*item as u32]).unwrap()) == (item + 5) % ITEMS);
        let right = right.count();
        assert!(right >= ITEMS - 1, "{negatives}: {right} of {ITEMS}");
    }
}

#[test]
fn rounds_of_contributions_learn_too() {
    let spec = model(ItemEncoder::Gru, 0).with_width(8);
    let mut weights = weights(&spec, 2);
    let loss = |weights: &[f64]| -> f64 {
        let scorer = trainer(&spec).scorer(weights).unwrap();
        let of = |(_, items): (ShopperKey, &[u32])| {
            let scores = scorer.scores(&items[..4]).unwrap();
            let total: f64 = scores.iter().map(|s| f64::from(*s).exp()).sum();
            total.ln() - f64::from(scores[items[4] as usize])
        };
        circle().iter().map(of).sum::<f64>() / ITEMS as f64
    };
    let before = loss(&weights);
    for round in 0..60 {
        for contribution in contributions::<f32>(&spec, &weights.clone(), &circle(), round) {
            weights.iter_mut().zip(contribution).for_each(|(w, g)| *w -= 2.0 * g / ITEMS as f64);
        }
    }
    assert!(loss(&weights) < 0.7 * before, "{before} {}", loss(&weights));
}

#[test]
fn the_same_seed_gives_the_same_weights() {
    for spec in models() {
        let start = weights(&spec, 3);
        let fit = |training: &OrdinaryTraining| {
            trainer(&spec).fit(&start, &shoppers(20, 4), training, &mut go_on).unwrap()
        };
        let first = fit(&training(2, 0.01));
        assert_eq!(bits(&first), bits(&fit(&training(2, 0.01))));
        assert_ne!(first, fit(&OrdinaryTraining { seed: 4, ..training(2, 0.01) }));
        assert!(first.iter().all(|w| w.is_finite()) && first != start);
    }
}

#[test]
fn a_merchants_update_is_what_its_training_changed() {
    let spec = model(TRANSFORMER, 2);
    let (start, people) = (weights(&spec, 5), shoppers(9, 6));
    let round = RoundId { round: 4, attempt: 0 };
    let clipping = clipping(&spec, 1e4);
    let trainer = trainer(&spec);
    let (sum, tally) = trainer.merchant_update(&start, &people, round, &clipping).unwrap();
    assert_eq!(tally.added, 1);
    let Architecture::NextItem(model) = &spec.architecture else { panic!("a network") };
    let ordinary = merchant_training(&model.training, &[7; 32], round);
    assert_eq!((ordinary.epochs, ordinary.batch), (3, 4));
    let trained = trainer.fit(&start, &people, &ordinary, &mut go_on).unwrap();
    let change: Vec<f64> = start.iter().zip(&trained).map(|(start, end)| 9.0 * (start - end)).collect();
    let mut expected = ShopperSum::new(&clipping);
    expected.add(&change);
    assert_eq!(hash(sum), hash(expected.finish().0));
    let (none, _) = trainer.merchant_update(&start, &Sequences::default(), round, &clipping).unwrap();
    assert_eq!(hash(none), hash(ShopperSum::new(&clipping).finish().0));
}

#[test]
fn a_query_does_not_depend_on_the_others_and_scores_are_its_products() {
    for spec in models() {
        let scorer = trainer(&spec).scorer(&weights(&spec, 7)).unwrap();
        let histories: [&[u32]; 4] = [&[1, 2, 3, 4, 5, 6, 7, 8], &[3], &[], &[9, 99, 4]];
        let together = scorer.queries(&histories).unwrap();
        for (history, query) in histories.iter().zip(together.chunks_exact(scorer.width())) {
            let alone = scorer.query(history).unwrap();
            assert!(alone.iter().zip(query).all(|(a, b)| (a - b).abs() < 1e-5), "{spec:?}");
            let scores = scorer.scores(history).unwrap();
            assert_eq!(scores.len(), scorer.items());
            for (score, vector) in scores.iter().zip(scorer.item_vectors().chunks_exact(scorer.width())) {
                let product: f32 = vector.iter().zip(&alone).map(|(a, b)| a * b).sum();
                assert!((score - product).abs() < 1e-4);
            }
        }
        assert!(scorer.query(&[]).unwrap().iter().all(|x| *x == 0.0));
        assert_eq!(scorer.query(&[9, 4]).unwrap(), scorer.query(&[9, 99, 4]).unwrap(), "unknown items");
    }
}

#[test]
fn shares_of_attention_sum_to_one() {
    let scorer = trainer(&model(TRANSFORMER, 1)).scorer(&weights(&model(TRANSFORMER, 1), 8)).unwrap();
    for history in [&[1, 2, 3][..], &[4], &[1, 2, 3, 4, 5, 6, 7, 8, 9]] {
        let shares = scorer.attention(history).unwrap();
        assert_eq!(shares.len(), history.len().min(POSITIONS));
        assert!(shares.iter().all(|share| *share >= 0.0));
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-5, "{shares:?}");
    }
    assert!(scorer.attention(&[]).unwrap().is_empty());
    let gru = model(ItemEncoder::Gru, 1);
    assert!(trainer(&gru).scorer(&weights(&gru, 8)).unwrap().attention(&[1, 2]).unwrap().is_empty());
}

#[test]
fn serving_sees_what_training_sees() {
    // The query after a history in training (at its last position) and when serving.
    use crate::model::sequence::item_encoder::encode;
    use candle_core::Tensor;
    for spec in networks() {
        let weights = weights(&spec, 9);
        let Architecture::NextItem(model) = &spec.architecture else { panic!("a network") };
        let geometry = Geometry::new(model, &spec, &catalogue());
        let streams = PrivateStreams::new(&[7; 32], RoundId { round: 0, attempt: 0 });
        let round = Round::<f32>::new(&geometry, &weights, streams, &Device::Cpu).unwrap();
        let history = [3, 1, 4, 1, 5];
        let mut inputs = vec![0.0; 8 * WIDTH];
        geometry.assemble(&history, &round.source(), &mut inputs);
        // Padding that is not zero must not matter either.
        inputs[5 * WIDTH..].fill(3.5);
        let layers = crate::model::sequence::Layers::load::<f32>(
            &geometry.layout.tensors,
            &weights[geometry.layout.table_values()..],
            1,
            &Device::Cpu,
        )
        .unwrap();
        let inputs = Tensor::from_vec(inputs, (1, 8, WIDTH), &Device::Cpu).unwrap();
        let outputs = encode(&model.encoder, &layers, &inputs, &[]).unwrap().to_dtype(DType::F32).unwrap();
        let last = outputs.narrow(1, 4, 1).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let query = trainer(&spec).scorer(&weights).unwrap().query(&history).unwrap();
        assert!(last.iter().zip(&query).all(|(a, b)| (a - b).abs() < 1e-5), "{spec:?}: {last:?} {query:?}");
    }
}
