//! A ranker with the public list of what it ranks. [core]

use std::collections::BTreeMap;
use std::sync::Arc;

use guildhall_shared::catalogue::Catalogue;
use guildhall_shared::job::JobSpec;
use guildhall_shared::model_spec::Architecture;
use guildhall_shared::model_state::ModelState;
use guildhall_shared::task::NextItemSpec;

use crate::model::DeviceChoice;
use crate::recommend::ItemItem;
use crate::recommend::item_item::POPULARITY_WEIGHT;
use crate::train::items::{ItemScorer, ItemTrainer};

use super::ranker::{DotRanker, HistoryEncoder, ItemItemRanker, Ranker, RankerError, ReasonKind, Reasons};
use super::top_k::{DotIndex, Precision};

/// Newest items of a history that are looked at where the job does not say.
const HISTORY_MAX: usize = 1_000;

/// What a version ranks, and with what.
pub(super) struct Ranking {
    pub ranker: Arc<dyn Ranker>,
    pub catalogue: Catalogue,
    /// Newest items of a history that count.
    pub history_max: usize,
    /// Numbers of tags by their names.
    tags: BTreeMap<String, u32>,
    /// Items of every tag, ascending.
    items_of_tag: Vec<Vec<u32>>,
}

/// Ranking by the released popularity of an item statistics job: what there is from the first version on, at no cost.
pub(super) fn released_popularity(spec: &JobSpec, state: &ModelState) -> Option<Ranking> {
    let items = spec.task.items()?;
    let Architecture::ItemStatistics(statistics) = &spec.architecture else { return None };
    let popularity = state.weights.get(..statistics.items)?.iter().map(|weight| *weight as f32).collect();
    let ranker = ItemItemRanker::by_popularity(popularity).ok()?;
    Ranking::new(Arc::new(ranker), items.catalogue.clone(), Some(items)).ok()
}

/// Ranking by all that a version releases, in a federation of so many merchants; none for a job that ranks nothing, and before
/// there is more than a popularity. Takes seconds for a thousand items and more.
pub(super) fn released(spec: &JobSpec, state: &ModelState, merchants: u32) -> Option<Ranking> {
    let items = spec.task.items()?;
    let ranker: Arc<dyn Ranker> = match &spec.architecture {
        Architecture::ItemStatistics(_) => Arc::new(item_item(spec, state, merchants)?),
        _ => Arc::new(of_vectors(spec, &state.released())?),
    };
    Ranking::new(ranker, items.catalogue.clone(), Some(items)).ok()
}

/// Ranking by the weights of a network or of a factorisation, whoever made them.
pub(super) fn of_weights(spec: &JobSpec, weights: &[f64]) -> Option<Ranking> {
    let items = spec.task.items()?;
    Ranking::new(Arc::new(of_vectors(spec, weights)?), items.catalogue.clone(), Some(items)).ok()
}

fn item_item(spec: &JobSpec, state: &ModelState, merchants: u32) -> Option<ItemItemRanker> {
    let model = ItemItem::released(spec, state, merchants)?;
    let (kept, weights) = model.weights();
    ItemItemRanker::new(kept, weights, model.popularity().collect(), POPULARITY_WEIGHT).ok()
}

/// Of networks and factorisations: the product of a history's vector with every item's.
fn of_vectors(spec: &JobSpec, weights: &[f64]) -> Option<DotRanker> {
    let catalogue = &spec.task.items()?.catalogue;
    // Nothing is drawn while serving, so the secret is of no use.
    let trainer = ItemTrainer::new(&spec.model(), catalogue, &DeviceChoice::Cpu, [0; 32]).ok()?;
    let scorer = trainer.scorer(weights).ok()?;
    let index = DotIndex::new(scorer.item_vectors().to_vec(), scorer.width(), Precision::Exact).ok()?;
    DotRanker::new(index, Box::new(Encoder(scorer)), vec![]).ok()
}

/// A trained model as the reader of histories.
struct Encoder(ItemScorer);

impl HistoryEncoder for Encoder {
    fn query(&self, history: &[u32], out: &mut [f32]) {
        match self.0.query(history) {
            Ok(query) => out.copy_from_slice(&query),
            // Nothing but the device can fail; then nothing is said of the history.
            Err(_) => out.fill(0.0),
        }
    }

    fn reasons(&self, history: &[u32], _: u32) -> Option<Reasons> {
        let shares = self.0.attention(history).ok().filter(|shares| !shares.is_empty())?;
        let read = &history[history.len().saturating_sub(shares.len())..];
        let mut of_item: BTreeMap<u32, f32> = BTreeMap::new();
        read.iter().zip(shares).for_each(|(item, share)| *of_item.entry(*item).or_default() += share as f32);
        let mut items: Vec<(u32, f32)> = of_item.into_iter().collect();
        items.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        Some(Reasons { kind: ReasonKind::Attention, items })
    }
}

impl Ranking {
    pub fn new(
        ranker: Arc<dyn Ranker>,
        catalogue: Catalogue,
        spec: Option<&NextItemSpec>,
    ) -> Result<Self, RankerError> {
        if ranker.items() != catalogue.len() {
            let (expected, found) = (format!("{} items", catalogue.len()), ranker.items().to_string());
            return Err(RankerError { what: "ranker".into(), expected, found });
        }
        let tags =
            catalogue.tags().iter().enumerate().map(|(number, tag)| (tag.clone(), number as u32)).collect();
        let mut items_of_tag = vec![vec![]; catalogue.tags().len()];
        for item in 0..catalogue.len() as u32 {
            for tag in catalogue.tags_of(item) {
                items_of_tag[*tag as usize].push(item);
            }
        }
        let history_max = spec.map_or(HISTORY_MAX, |spec| spec.history_max);
        Ok(Ranking { ranker, catalogue, history_max, tags, items_of_tag })
    }

    /// Which items have at least one of these tags, or the place of one that does not exist.
    pub fn with_any_tag(&self, tags: &[String]) -> Result<Vec<bool>, usize> {
        let mut filter = vec![false; self.catalogue.len()];
        for (place, tag) in tags.iter().enumerate() {
            let number = self.tags.get(tag).ok_or(place)?;
            self.items_of_tag[*number as usize].iter().for_each(|item| filter[*item as usize] = true);
        }
        Ok(filter)
    }

    /// The newest items that count.
    pub fn newest<'h>(&self, history: &'h [u32]) -> &'h [u32] {
        &history[history.len().saturating_sub(self.history_max)..]
    }
}
