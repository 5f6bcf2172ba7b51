//! Two models' scores of one shopper on one scale, and the weight between them that suits a merchant best. [core]

use crate::data::sequences::Held;
use crate::evaluate::ranking::{RankingFigures, rank};
use crate::serve::top_k::best_of_scores;

/// Weights of the second model that are tried. 0 is among them: on the rows it was chosen on, a blend is never worse than the
/// merchant's own model.
pub const WEIGHTS: [f32; 9] = [0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0];

/// Items that a ranking is judged by while a weight is chosen.
const K: u32 = 10;

/// Scores less their mean, over their standard deviation: two models then speak alike. Scores that are all equal become zero.
pub fn standardise(scores: &mut [f32]) {
    let n = scores.len().max(1) as f64;
    let mean = scores.iter().map(|s| f64::from(*s)).sum::<f64>() / n;
    let variance = scores.iter().map(|s| (f64::from(*s) - mean).powi(2)).sum::<f64>() / n;
    let scale = if variance > 0.0 { 1.0 / variance.sqrt() } else { 0.0 };
    scores.iter_mut().for_each(|s| *s = ((f64::from(*s) - mean) * scale) as f32);
}

/// Whether two models' scores are of one scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// They are, as those of two item-item models.
    Same,
    /// They are not: both are standardised first.
    Different,
}

/// (1 − weight) · own + weight · other; written to `own`. `other` is used up.
pub fn blend(own: &mut [f32], other: &mut [f32], weight: f32, scale: Scale) {
    if scale == Scale::Different {
        standardise(own);
        standardise(other);
    }
    for (own, other) in own.iter_mut().zip(other) {
        *own = *own * (1.0 - weight) + *other * weight;
    }
}

/// The weight of `other` with the best NDCG on a merchant's held-out items, the smallest among equals.
///
/// # Privacy
/// The weight depends on the merchant's rows: it stays with the merchant's own model.
pub fn choose<'s>(
    held: impl Iterator<Item = Held<'s>>,
    items: usize,
    own: &dyn Fn(&[u32], &mut [f32]),
    other: &dyn Fn(&[u32], &mut [f32]),
    scale: Scale,
) -> f32 {
    let mut gains = [0.0; WEIGHTS.len()];
    let (mut a, mut b, mut mixed) = (vec![0.0; items], vec![0.0; items], vec![0.0; items]);
    for Held { history, target, .. } in held {
        own(history, &mut a);
        other(history, &mut b);
        if scale == Scale::Different {
            standardise(&mut a);
            standardise(&mut b);
        }
        for (gain, weight) in gains.iter_mut().zip(WEIGHTS) {
            for ((mixed, a), b) in mixed.iter_mut().zip(&a).zip(&b) {
                *mixed = *a * (1.0 - weight) + *b * weight;
            }
            *gain += RankingFigures::of_rank(rank(&mixed, history, target), K).ndcg_at_k;
        }
    }
    let best = gains.iter().copied().fold(0.0, f64::max);
    gains.iter().zip(WEIGHTS).find(|(gain, _)| **gain >= best).map_or(0.0, |(_, weight)| weight)
}

/// The first `k` items of a ranking that are not in the history, ties broken by item number.
pub fn top(score: &dyn Fn(&[u32], &mut [f32]), items: usize, history: &[u32], k: usize) -> Vec<u32> {
    let mut scores = vec![0.0; items];
    score(history, &mut scores);
    let best = best_of_scores(&scores, k, |item| !history.contains(&item));
    best.into_iter().map(|scored| scored.item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::observations::ShopperKey;
    use crate::data::sequences::Sequences;

    #[test]
    fn scores_of_any_scale_speak_alike() {
        let (mut own, mut other) = (vec![0.0, 1.0], vec![500.0, 100.0]);
        blend(&mut own, &mut other, 0.5, Scale::Different);
        assert_eq!(own, [0.0, 0.0]);
        let mut equal = vec![7.0; 3];
        standardise(&mut equal);
        assert_eq!(equal, [0.0; 3]);
    }

    #[test]
    fn the_better_model_gets_the_weight() {
        let mut sequences = Sequences::default();
        (0..20u8).for_each(|u| sequences.push(ShopperKey([u; 16]), &[u32::from(u) % 4, 9, 7, 8]));
        let good = |_: &[u32], out: &mut [f32]| {
            out.fill(0.0);
            out[7] = 1.0;
        };
        let bad = |_: &[u32], out: &mut [f32]| (0..out.len()).for_each(|i| out[i] = i as f32 % 7.0);
        assert_eq!(choose(sequences.validation(), 30, &good, &bad, Scale::Same), 0.0);
        assert_eq!(choose(sequences.validation(), 30, &bad, &good, Scale::Same), 0.9);
        assert!(choose(sequences.validation(), 30, &bad, &good, Scale::Different) > 0.0);
        assert_eq!(choose(std::iter::empty(), 30, &bad, &good, Scale::Same), 0.0);
    }
}
