//! Ranking figures by activity group: of every shopper [1, hit, NDCG] in the place of its group. [core]

use guildhall_shared::job::ClippingSpec;
use serde::Serialize;

use super::{Estimate, NoisedSum, clip_for};
use crate::evaluate::activity::ActivityGroups;
use crate::evaluate::ranking::RankingFigures;

/// Words of one group.
const WORDS: usize = 3;

/// Where the figures of a shopper stand in the sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RankingLayout {
    /// Public groups by train items.
    pub groups: ActivityGroups,
}

impl RankingLayout {
    /// d.
    pub fn parameters(&self) -> usize {
        WORDS * self.groups.len()
    }

    /// C_f for this B: no contribution is longer than √3, that of a hit at the first place.
    pub fn clipping(&self, bound: u64) -> ClippingSpec {
        clip_for((WORDS as f64).sqrt(), self.parameters(), bound)
    }

    /// What one shopper adds: the words, ascending, and their values, for
    /// [`ShopperSum::add_sparse`](guildhall_privacy::clip::ShopperSum::add_sparse).
    pub fn contribution(&self, train_items: usize, figures: RankingFigures) -> ([u32; WORDS], [f64; WORDS]) {
        let first = (WORDS * self.groups.group_of(train_items)) as u32;
        ([first, first + 1, first + 2], [1.0, figures.hr_at_k, figures.ndcg_at_k])
    }

    /// The figures of every group, and of all together; `None` for a sum of another length.
    pub fn read(&self, sum: &NoisedSum) -> Option<(Vec<ReleasedRanking>, ReleasedRanking)> {
        let of = |group: usize| -> Option<[Estimate; WORDS]> {
            let word = |word| sum.estimate(WORDS * group + word);
            Some([word(0)?, word(1)?, word(2)?])
        };
        if sum.sums.len() != self.parameters() {
            return None;
        }
        let words: Vec<[Estimate; WORDS]> = (0..self.groups.len()).map(of).collect::<Option<_>>()?;
        let all = [0, 1, 2].map(|word| Estimate::sum(words.iter().map(|group| group[word])));
        let groups = words.into_iter().enumerate();
        let groups = groups.map(|(group, words)| ReleasedRanking::new(self.groups.label(group), words));
        Some((groups.collect(), ReleasedRanking::new("all".into(), all)))
    }
}

/// Ranking figures read from a noised sum.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReleasedRanking {
    /// Train items of its shoppers, in words.
    pub group: String,
    /// Shoppers; may come out below zero.
    pub shoppers: Estimate,
    /// Hit rate at the k that contributions were made with; `None` where the shoppers are too few for the noise.
    pub hr_at_k: Option<Estimate>,
    /// NDCG at that k.
    pub ndcg_at_k: Option<Estimate>,
}

impl ReleasedRanking {
    fn new(group: String, [shoppers, hits, gains]: [Estimate; WORDS]) -> Self {
        let (hr_at_k, ndcg_at_k) = (Estimate::ratio(hits, shoppers), Estimate::ratio(gains, shoppers));
        ReleasedRanking { group, shoppers, hr_at_k, ndcg_at_k }
    }
}
