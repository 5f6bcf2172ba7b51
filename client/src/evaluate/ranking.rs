//! How good rankings of a whole catalogue are: every item is ranked, none is sampled. [core]
//!
//! One held-out item per shopper: recall at k is then the hit rate, and the ideal discounted gain is 1.

use serde::Serialize;

/// How the figures came about, printed with them.
pub const PROTOCOL: &str =
    "full ranking of the whole catalogue, leave last out, items of the history excluded";

/// The place of a target in a full ranking, from 0: how many items not in the history score higher, ties broken by item
/// number. `None` where the target itself is in the history or its score is not a number: it is never recommended then.
///
/// # Shapes
/// `scores` one per item of the catalogue.
pub fn rank(scores: &[f32], history: &[u32], target: u32) -> Option<u32> {
    let score = *scores.get(target as usize)?;
    if score.is_nan() || history.contains(&target) {
        return None;
    }
    let above = |item: usize, other: f32| other > score || (other == score && item < target as usize);
    let all = scores.iter().enumerate().filter(|(item, other)| above(*item, **other)).count();
    let mut seen: Vec<u32> = history.to_vec();
    seen.sort_unstable();
    seen.dedup();
    let excluded = seen
        .iter()
        .filter(|item| scores.get(**item as usize).is_some_and(|other| above(**item as usize, *other)));
    Some((all - excluded.count()) as u32)
}

/// Figures of one ranking, or their mean over many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct RankingFigures {
    /// Share of shoppers whose held-out item is among the first k: with one such item also recall at k.
    pub hr_at_k: f64,
    /// Normalised discounted cumulative gain at k, 1 / log2(2 + place): Järvelin and Kekäläinen 2002.
    pub ndcg_at_k: f64,
    /// Mean reciprocal rank over the whole catalogue.
    pub mrr: f64,
}

impl RankingFigures {
    /// Of one shopper.
    pub fn of_rank(rank: Option<u32>, k: u32) -> Self {
        let Some(rank) = rank else { return RankingFigures::default() };
        let place = f64::from(rank);
        let within = rank < k;
        RankingFigures {
            hr_at_k: f64::from(u8::from(within)),
            ndcg_at_k: if within { 1.0 / (place + 2.0).log2() } else { 0.0 },
            mrr: 1.0 / (place + 1.0),
        }
    }

    /// The mean over shoppers; `None` of nobody.
    pub fn mean(ranks: &[Option<u32>], k: u32) -> Option<Self> {
        if ranks.is_empty() {
            return None;
        }
        let mut sum = RankingFigures::default();
        for rank in ranks {
            let one = Self::of_rank(*rank, k);
            sum.hr_at_k += one.hr_at_k;
            sum.ndcg_at_k += one.ndcg_at_k;
            sum.mrr += one.mrr;
        }
        let n = ranks.len() as f64;
        Some(RankingFigures { hr_at_k: sum.hr_at_k / n, ndcg_at_k: sum.ndcg_at_k / n, mrr: sum.mrr / n })
    }
}

/// What lists of recommendations are like, whoever likes them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ListFigures {
    /// Share of the catalogue that is recommended to anybody.
    pub coverage: f64,
    /// Mean over lists and pairs of their items of one less the Jaccard similarity of the items' tags; `None` without tags.
    pub diversity: Option<f64>,
    /// Mean over recommended items of −log2 of the share of shoppers who have the item: Castells et al. 2015.
    pub novelty_bits: Option<f64>,
}

impl ListFigures {
    /// Of one list of recommended items per shopper.
    ///
    /// # Shapes
    /// `popularity` one count per item of the catalogue, noised or not: what is not positive counts as one shopper of `shoppers`.
    pub fn of(lists: &[Vec<u32>], popularity: &[f64], shoppers: f64, tags: impl Fn(u32) -> Vec<u32>) -> Self {
        let mut recommended = vec![false; popularity.len()];
        let (mut bits, mut items) = (0.0, 0u64);
        let (mut distance, mut pairs) = (0.0, 0u64);
        for list in lists {
            for item in list {
                if let Some(flag) = recommended.get_mut(*item as usize) {
                    *flag = true;
                    let share = (popularity[*item as usize].max(1.0) / shoppers.max(1.0)).min(1.0);
                    bits -= share.log2();
                    items += 1;
                }
            }
            let tagged: Vec<Vec<u32>> = list.iter().map(|item| tags(*item)).collect();
            for (index, a) in tagged.iter().enumerate() {
                for b in tagged[index + 1..].iter().filter(|b| !a.is_empty() || !b.is_empty()) {
                    let common = a.iter().filter(|tag| b.contains(tag)).count();
                    distance += 1.0 - common as f64 / (a.len() + b.len() - common) as f64;
                    pairs += 1;
                }
            }
        }
        let covered = recommended.iter().filter(|flag| **flag).count();
        ListFigures {
            coverage: covered as f64 / popularity.len().max(1) as f64,
            diversity: (pairs > 0).then(|| distance / pairs as f64),
            novelty_bits: (items > 0).then(|| bits / items as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_count_what_scores_higher_without_the_history() {
        let scores = [0.5, 0.9, 0.1, 0.9, 0.5];
        assert_eq!(rank(&scores, &[], 1), Some(0));
        assert_eq!(rank(&scores, &[], 3), Some(1), "the lower number first among equals");
        assert_eq!(rank(&scores, &[1, 1], 3), Some(0));
        assert_eq!(rank(&scores, &[1], 4), Some(2));
        assert_eq!(rank(&scores, &[4], 4), None);
        assert_eq!(rank(&scores, &[], 9), None);
        assert_eq!(rank(&[f32::NAN, 1.0], &[], 0), None);
        assert_eq!(rank(&[f32::NAN, 1.0], &[], 1), Some(0));
    }

    #[test]
    fn figures_by_hand() {
        let first = RankingFigures::of_rank(Some(0), 10);
        assert_eq!(first, RankingFigures { hr_at_k: 1.0, ndcg_at_k: 1.0, mrr: 1.0 });
        let third = RankingFigures::of_rank(Some(2), 10);
        assert_eq!((third.hr_at_k, third.ndcg_at_k), (1.0, 0.5));
        let beyond = RankingFigures::of_rank(Some(10), 10);
        assert_eq!((beyond.hr_at_k, beyond.ndcg_at_k, beyond.mrr), (0.0, 0.0, 1.0 / 11.0));
        let mean = RankingFigures::mean(&[Some(0), Some(2), Some(10), None], 10).expect("four");
        assert_eq!((mean.hr_at_k, mean.ndcg_at_k), (0.5, 0.375));
        assert_eq!(RankingFigures::mean(&[], 10), None);
    }

    #[test]
    fn lists_by_hand() {
        let popularity = [8.0, 2.0, -3.0, 1.0];
        let tags = |item: u32| if item == 3 { vec![] } else { vec![item % 2, 9] };
        let figures = ListFigures::of(&[vec![0, 1], vec![0, 2]], &popularity, 8.0, tags);
        assert_eq!(figures.coverage, 0.75);
        // {0, 9} and {1, 9} share one of three; {0, 9} and {0, 9} are alike.
        assert!(figures.diversity.is_some_and(|d| (d - 1.0 / 3.0).abs() < 1e-12));
        assert_eq!(figures.novelty_bits, Some((0.0 + 2.0 + 0.0 + 3.0) / 4.0));
        let none = ListFigures::of(&[], &popularity, 8.0, tags);
        assert_eq!((none.coverage, none.diversity, none.novelty_bits), (0.0, None, None));
    }
}
