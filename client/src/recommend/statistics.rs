//! Which items go together, in shoppers. [core]

use guildhall_shared::job::JobSpec;
use guildhall_shared::model_spec::{Architecture, Diagonal, ItemStatistics};
use guildhall_shared::model_state::ModelState;

use crate::data::sequences::Sequences;

/// What a round of an item statistics job adds up.
pub enum Stage {
    /// How many shoppers have each item.
    Popularity,
    /// How many have both of two items, among those kept.
    Cooccurrence {
        /// The items kept, the most popular first.
        kept: Vec<u32>,
        /// The place of every item among them, or `u32::MAX`.
        places: Vec<u32>,
    },
}

impl Stage {
    const LEFT_OUT: u32 = u32::MAX;

    /// What the round that trains from these weights adds up: the popularity while none is released, then the co-occurrence.
    pub fn next(model: &ItemStatistics, weights: &[f64]) -> Self {
        let popularity = &weights[..model.items];
        if popularity.iter().all(|w| *w == 0.0) {
            return Stage::Popularity;
        }
        let kept = most_popular(popularity, model.items_kept);
        let mut places = vec![Self::LEFT_OUT; model.items];
        kept.iter().zip(0..).for_each(|(item, place)| places[*item as usize] = place);
        Stage::Cooccurrence { kept, places }
    }

    /// The L2 norm of the largest contribution that is not scaled down, where every entry is 1.
    pub fn full_norm(&self, model: &ItemStatistics) -> f64 {
        let entries = match self {
            Stage::Popularity => model.popularity_items,
            Stage::Cooccurrence { .. } => model.cooccurrence_pairs,
        };
        (entries as f64).sqrt()
    }

    /// Where a shopper's statistic is 1, ascending. `items` are its items in any order; they are used up.
    pub fn indices(&self, model: &ItemStatistics, items: &mut Vec<u32>, indices: &mut Vec<u32>) {
        indices.clear();
        items.retain(|item| (*item as usize) < model.items);
        match self {
            Stage::Popularity => {
                items.sort_unstable();
                items.dedup();
                indices.extend_from_slice(items);
            }
            Stage::Cooccurrence { places, .. } => {
                items.iter_mut().for_each(|item| *item = places[*item as usize]);
                items.retain(|place| *place != Self::LEFT_OUT);
                items.sort_unstable();
                items.dedup();
                let from = usize::from(model.diagonal == Diagonal::Popularity);
                for (index, row) in items.iter().enumerate() {
                    let start = model.items + triangle_row(*row as usize, model.items_kept);
                    indices.extend(items[index + from..].iter().map(|column| start as u32 + column - row));
                }
            }
        }
    }
}

/// Where row `row` of an upper triangle of `size` items begins: at its diagonal.
fn triangle_row(row: usize, size: usize) -> usize {
    row * size - row * row.saturating_sub(1) / 2
}

/// The numbers of the `count` greatest values, greatest first, the lower number first among equals.
fn most_popular(values: &[f64], count: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    order.sort_by(|a, b| values[*b as usize].total_cmp(&values[*a as usize]).then(a.cmp(b)));
    order.truncate(count);
    order
}

/// How many shoppers have an item, and how many both of two.
#[derive(Clone)]
pub struct Statistics {
    /// Shoppers with each item of the catalogue.
    pub popularity: Vec<f64>,
    /// The items of `cooccurrence`, the most popular first.
    pub kept: Vec<u32>,
    /// `kept` × `kept`, row-major and symmetric: shoppers with both, weighted down where they have very many items.
    pub cooccurrence: Vec<f64>,
    /// Standard deviation of the noise of one entry of `cooccurrence`; 0 without noise.
    pub cooccurrence_deviation: f64,
    /// Standard deviation of the noise of one entry of `popularity`; 0 without noise.
    pub popularity_deviation: f64,
}

impl Statistics {
    /// Reads a released version of an item statistics job; `None` for other jobs and before the first round.
    ///
    /// # Units
    /// `noise_steps`: standard deviation of a round's noise on the sum, in integer steps; 0 without noise.
    pub fn released(job: &JobSpec, state: &ModelState, noise_steps: f64) -> Option<Self> {
        let Architecture::ItemStatistics(model) = &job.architecture else {
            return None;
        };
        let rounds = f64::from(state.step.checked_sub(1)?);
        let stage = Stage::next(model, &state.weights);
        let Stage::Cooccurrence { kept, .. } = &stage else { return None };
        // A step moved a weight by rate·γ·z / W, and an entry of 1 was contributed as C / √entries = γ·B / √entries.
        let shoppers =
            job.round.expected_shoppers as f64 / (job.optimizer.learning_rate * job.clipping.norm_l2);
        let deviation = |stage: &Stage, rounds: f64| {
            noise_steps / job.clipping.bound as f64 * stage.full_norm(model) / rounds.max(1.0).sqrt()
        };
        let popularity_scale = shoppers * Stage::Popularity.full_norm(model);
        let (popularity, triangle) = state.weights.split_at(model.items);
        let scale = shoppers * stage.full_norm(model) / rounds.max(1.0);
        let size = kept.len();
        let mut cooccurrence = vec![0.0; size * size];
        for row in 0..size {
            let start = triangle_row(row, size);
            for column in row..size {
                let value = triangle[start + column - row] * scale;
                cooccurrence[row * size + column] = value;
                cooccurrence[column * size + row] = value;
            }
        }
        let popularity: Vec<f64> = popularity.iter().map(|w| w * popularity_scale).collect();
        if model.diagonal == Diagonal::Popularity {
            for (place, item) in kept.iter().enumerate() {
                cooccurrence[place * size + place] = popularity[*item as usize].max(0.0);
            }
        }
        Some(Statistics {
            popularity,
            kept: kept.clone(),
            cooccurrence,
            popularity_deviation: deviation(&Stage::Popularity, 1.0),
            cooccurrence_deviation: deviation(&stage, rounds),
        })
    }

    /// A merchant's own, exact and without any clip: of the `kept` items.
    pub fn local(catalogue: usize, kept: Vec<u32>, sequences: &Sequences) -> Self {
        let mut popularity = vec![0.0; catalogue];
        let mut places = vec![Stage::LEFT_OUT; catalogue];
        kept.iter().zip(0..).for_each(|(item, place)| places[*item as usize] = place);
        let size = kept.len();
        let mut cooccurrence = vec![0.0; size * size];
        for (_, items) in sequences.iter() {
            let mut own: Vec<u32> =
                items.iter().copied().filter(|item| (*item as usize) < catalogue).collect();
            own.sort_unstable();
            own.dedup();
            own.iter().for_each(|item| popularity[*item as usize] += 1.0);
            let own: Vec<usize> = own
                .iter()
                .map(|i| places[*i as usize])
                .filter(|p| *p != Stage::LEFT_OUT)
                .map(|p| p as usize)
                .collect();
            for a in &own {
                own.iter().for_each(|b| cooccurrence[a * size + b] += 1.0);
            }
        }
        Statistics { popularity, kept, cooccurrence, cooccurrence_deviation: 0.0, popularity_deviation: 0.0 }
    }

    /// The items of a merchant's own shoppers, the most popular first, at most `count`.
    pub fn popular(catalogue: usize, sequences: &Sequences, count: usize) -> Vec<u32> {
        let own = Self::local(catalogue, vec![], sequences).popularity;
        let mut kept = most_popular(&own, count);
        kept.retain(|item| own[*item as usize] > 0.0);
        kept
    }

    /// M.
    pub fn size(&self) -> usize {
        self.kept.len()
    }
}

#[cfg(test)]
mod tests;
