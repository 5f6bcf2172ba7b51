//! A score for every item from the items a shopper has. [core]

use guildhall_shared::job::JobSpec;
use guildhall_shared::model_spec::{Architecture, ItemRanking};
use guildhall_shared::model_state::ModelState;
use guildhall_shared::round_parameters::RoundParameters;

use super::ease::{self, Ease};
use super::neighbours::{self, Similarity};
use super::statistics::Statistics;

/// What popularity adds to a score at most: enough to order items of which nothing else is known.
pub const POPULARITY_WEIGHT: f32 = 1e-3;

/// Not among the items kept.
const LEFT_OUT: u32 = u32::MAX;

/// An item-item model over a catalogue: weights between the items kept, popularity for all others and for new shoppers.
pub struct ItemItem {
    kept: Vec<u32>,
    places: Vec<u32>,
    weights: Vec<f32>,
    popularity: Vec<f32>,
}

impl ItemItem {
    /// What a ranking makes of statistics. Weights that cannot be computed are zero: popularity is left.
    pub fn new(statistics: &Statistics, ranking: ItemRanking) -> Self {
        let size = statistics.size();
        let weights = match ranking {
            ItemRanking::Ease { ridge, ridge_deviations, threshold_deviations } => {
                ease::weights(statistics, Ease { ridge, ridge_deviations, threshold_deviations })
            }
            ItemRanking::Cosine { neighbours, shrinkage } => {
                Some(neighbours::weights(statistics, Similarity::Cosine, neighbours, shrinkage))
            }
            ItemRanking::Jaccard { neighbours, shrinkage } => {
                Some(neighbours::weights(statistics, Similarity::Jaccard, neighbours, shrinkage))
            }
            ItemRanking::Popularity => None,
        };
        let (kept, weights) = match weights {
            Some(weights) => (statistics.kept.clone(), weights),
            None => (vec![], vec![]),
        };
        debug_assert_eq!(weights.len(), kept.len() * kept.len(), "{size} items kept");
        Self::of_weights(kept, weights, &statistics.popularity)
    }

    /// The recommender of a released version of an item statistics job, for a federation of so many merchants; `None` for other
    /// jobs, and before there is more than a popularity.
    pub fn released(job: &JobSpec, state: &ModelState, merchants: u32) -> Option<Self> {
        let Architecture::ItemStatistics(model) = &job.architecture else { return None };
        let parameters = RoundParameters::derive(job, merchants).ok()?;
        let noise_steps = parameters.noise_standard_deviation_sum();
        Some(Self::new(&Statistics::released(job, state, noise_steps)?, model.ranking))
    }

    /// From weights between `kept` items (row the item a shopper has) and the shoppers of every item of the catalogue.
    pub fn of_weights(kept: Vec<u32>, weights: Vec<f32>, popularity: &[f64]) -> Self {
        let mut places = vec![LEFT_OUT; popularity.len()];
        kept.iter().zip(0..).for_each(|(item, place)| places[*item as usize] = place);
        let greatest = popularity.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let popularity = popularity.iter().map(|p| (p / greatest) as f32 * POPULARITY_WEIGHT).collect();
        ItemItem { kept, places, weights, popularity }
    }

    /// N.
    pub fn items(&self) -> usize {
        self.popularity.len()
    }

    /// The items kept, ascending, and the weights between them in that order: row the item a shopper has.
    pub fn weights(&self) -> (Vec<u32>, Vec<f32>) {
        let mut kept = self.kept.clone();
        kept.sort_unstable();
        let places: Vec<usize> = kept.iter().map(|item| self.places[*item as usize] as usize).collect();
        let size = kept.len();
        let rows = places.iter().map(|place| &self.weights[place * size..(place + 1) * size]);
        let weights = rows.flat_map(|row| places.iter().map(|place| row[*place])).collect();
        (kept, weights)
    }

    /// The popularity of every item, as a share of the greatest.
    pub fn popularity(&self) -> impl Iterator<Item = f32> {
        self.popularity.iter().map(|p| p / POPULARITY_WEIGHT)
    }

    /// A score for every item of the catalogue; greater is better. Items that are not in the catalogue are passed over, and an
    /// item that stands twice in a history counts once.
    ///
    /// # Shapes
    /// `out` N.
    pub fn scores(&self, history: &[u32], out: &mut [f32]) {
        out.copy_from_slice(&self.popularity);
        let size = self.kept.len();
        for place in self.distinct_places(history) {
            let row = &self.weights[place * size..(place + 1) * size];
            for (item, weight) in self.kept.iter().zip(row) {
                out[*item as usize] += weight;
            }
        }
    }

    /// What each item of a history adds to the score of `item`, the greatest first; only what adds.
    pub fn reasons(&self, history: &[u32], item: u32) -> Vec<(u32, f32)> {
        let Some(column) = self.place(item) else { return vec![] };
        let size = self.kept.len();
        let mut reasons: Vec<(u32, f32)> = self
            .distinct_places(history)
            .map(|place| (self.kept[place], self.weights[place * size + column]))
            .filter(|(_, weight)| *weight > 0.0)
            .collect();
        reasons.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        reasons
    }

    /// How much having `item` adds to the score of every other; the item itself gets the least.
    ///
    /// # Shapes
    /// `out` N.
    pub fn similar(&self, item: u32, out: &mut [f32]) {
        self.scores(&[item], out);
        if let Some(own) = out.get_mut(item as usize) {
            *own = f32::NEG_INFINITY;
        }
    }

    fn place(&self, item: u32) -> Option<usize> {
        let place = *self.places.get(item as usize)?;
        (place != LEFT_OUT).then_some(place as usize)
    }

    fn distinct_places<'s>(&'s self, history: &'s [u32]) -> impl Iterator<Item = usize> + 's {
        let first = move |index: usize, item: &u32| !history[..index].contains(item);
        let distinct = history.iter().enumerate().filter(move |(index, item)| first(*index, item));
        distinct.filter_map(|(_, item)| self.place(*item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> ItemItem {
        // Items 3 and 1 are kept: having 3 adds .5 to 1, having 1 adds .25 to 3.
        ItemItem::of_weights(vec![3, 1], vec![0.0, 0.5, 0.25, 0.0], &[2.0, 4.0, -1.0, 8.0, 1.0])
    }

    fn scores(history: &[u32]) -> Vec<f32> {
        let mut out = vec![9.0; 5];
        model().scores(history, &mut out);
        out
    }

    #[test]
    fn new_shoppers_get_what_is_popular() {
        assert_eq!(scores(&[]), [0.25e-3, 0.5e-3, -0.125e-3, 1e-3, 0.125e-3]);
        assert_eq!(scores(&[]), scores(&[4]), "an item that is not kept says nothing");
        assert_eq!(scores(&[]), scores(&[77]));
    }

    #[test]
    fn what_a_shopper_has_adds_up_once() {
        assert_eq!(scores(&[3])[1], 0.5e-3 + 0.5);
        assert_eq!(scores(&[3, 1, 3, 4]), {
            let mut expected = scores(&[]);
            expected[1] += 0.5;
            expected[3] += 0.25;
            expected
        });
    }

    #[test]
    fn reasons_are_items_the_shopper_has() {
        assert_eq!(model().reasons(&[4, 3, 3], 1), [(3, 0.5)]);
        assert_eq!(model().reasons(&[4], 1), []);
        assert_eq!(model().reasons(&[1, 3], 0), []);
        let mut out = vec![0.0; 5];
        model().similar(3, &mut out);
        assert_eq!((out[1], out[3]), (0.5e-3 + 0.5, f32::NEG_INFINITY));
    }
}
