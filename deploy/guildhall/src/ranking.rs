//! Rankings of whole catalogues by different models, side by side on the same held-out items.

use std::collections::BTreeMap;

use guildhall_client::data::sequences::{Held, Sequences};
use guildhall_client::evaluate::FigureSummary;
use guildhall_client::evaluate::paired::{Difference, mean_difference};
use guildhall_client::evaluate::ranking::{RankingFigures, rank};
use guildhall_client::model::DeviceChoice;
use guildhall_client::recommend::blend::{self, Scale};
use guildhall_client::recommend::own::OwnEase;
use guildhall_client::recommend::{ItemItem, Statistics};
use guildhall_client::train::items::ItemTrainer;
use guildhall_shared::id::Name;
use guildhall_shared::job::JobSpec;
use guildhall_shared::model_spec::{Architecture, ItemRanking};
use guildhall_shared::model_state::ModelState;
use guildhall_shared::round_parameters::RoundParameters;
use rayon::prelude::*;

use crate::comparison::FiguresByMethod;
use crate::error::{CommandError, Context as _};

/// Recommendations that are judged.
pub const K: u32 = 10;

/// λ that a merchant tries for its own model.
const OWN_RIDGES: [f64; 5] = [10.0, 20.0, 50.0, 100.0, 200.0];
/// λ that are tried for the pooled reference.
const POOLED_RIDGES: [f64; 2] = [20.0, 50.0];
/// Items of the pooled reference, the most popular.
const POOLED_ITEMS_MAX: usize = 6_000;

/// A score for every item of a catalogue, given a history.
pub type Score<'m> = dyn Fn(&[u32], &mut [f32]) + Sync + 'm;

/// Places of held-out items, merchant by merchant.
pub type Ranks = BTreeMap<Name, Vec<Option<u32>>>;

/// The places of held-out items in a model's full rankings.
pub fn ranks(held: &[Held<'_>], items: usize, score: &Score<'_>) -> Vec<Option<u32>> {
    let one = |scores: &mut Vec<f32>, held: &Held<'_>| {
        score(held.history, scores);
        rank(scores, held.history, held.target)
    };
    held.par_iter().map_init(|| vec![0.0; items], one).collect()
}

/// Places of every merchant's test items in one model's rankings.
pub fn test_ranks(merchants: &BTreeMap<Name, Sequences>, items: usize, score: &Score<'_>) -> Ranks {
    let of = |sequences: &Sequences| ranks(&sequences.test().collect::<Vec<_>>(), items, score);
    merchants.iter().map(|(name, sequences)| (name.clone(), of(sequences))).collect()
}

/// A released model, ready to score.
pub struct RankedModel {
    /// A score for every item.
    pub score: Box<Score<'static>>,
    /// Whether its scores are of the scale of merchants' own models.
    pub scale: Scale,
}

impl RankedModel {
    /// A released version in a federation of so many merchants.
    pub fn released(job: &JobSpec, state: &ModelState, merchants: u32) -> Result<Self, CommandError> {
        let parameters = RoundParameters::derive(job, merchants).context("the rounds of the job")?;
        Self::of(job, state, parameters.noise_standard_deviation_sum())
    }

    /// A version whose rounds had noise of this standard deviation on the sum, in integer steps.
    pub fn of(job: &JobSpec, state: &ModelState, noise_steps: f64) -> Result<Self, CommandError> {
        match &job.architecture {
            Architecture::ItemStatistics(model) => {
                let statistics = Statistics::released(job, state, noise_steps)
                    .ok_or_else(|| CommandError::message("the statistics are not released yet"))?;
                let model = ItemItem::new(&statistics, model.ranking);
                let score = move |history: &[u32], out: &mut [f32]| model.scores(history, out);
                Ok(RankedModel { score: Box::new(score), scale: Scale::Same })
            }
            Architecture::NextItem(_) | Architecture::MatrixFactorization(_) => {
                Self::of_weights(job, &state.released())
            }
            other => Err(CommandError::message(format!("cannot rank items with {other:?}"))),
        }
    }

    /// A network or a factorisation with these weights, whoever made them.
    pub fn of_weights(job: &JobSpec, weights: &[f64]) -> Result<Self, CommandError> {
        let items = job.task.items().ok_or_else(|| CommandError::message("expected an item task"))?;
        let trainer = ItemTrainer::new(&job.model(), &items.catalogue, &DeviceChoice::Cpu, [0; 32]);
        let scorer = trainer.and_then(|trainer| trainer.scorer(weights)).context("the model")?;
        // Nothing but the device can fail: then an item gets no score, and is never recommended.
        let score = move |history: &[u32], out: &mut [f32]| match scorer.scores(history) {
            Ok(scores) => out.copy_from_slice(&scores),
            Err(_) => out.fill(f32::NAN),
        };
        Ok(RankedModel { score: Box::new(score), scale: Scale::Different })
    }
}

fn ndcg(ranks: &[Option<u32>]) -> f64 {
    RankingFigures::mean(ranks, K).map_or(0.0, |figures| figures.ndcg_at_k)
}

/// A merchant's own model, its penalty tuned on its own validation items.
pub fn own_model(sequences: &Sequences, items: usize) -> Option<OwnEase> {
    let train = sequences.train();
    let validation: Vec<Held<'_>> = sequences.validation().collect();
    let mut best: Option<(f64, f64)> = None;
    for ridge in OWN_RIDGES {
        let Some(model) = OwnEase::fit(items, &train, ridge) else { continue };
        let figure = ndcg(&ranks(&validation, items, &|history, out| model.scores(history, out)));
        if best.is_none_or(|(found, _)| figure > found) {
            best = Some((figure, ridge));
        }
    }
    OwnEase::fit(items, &train, best?.1)
}

/// One item-item model of everybody's rows together, for reference only.
pub fn pooled_model(merchants: &BTreeMap<Name, Sequences>, items: usize) -> Option<Box<Score<'static>>> {
    let mut all: BTreeMap<_, Vec<u32>> = BTreeMap::new();
    for sequences in merchants.values() {
        sequences
            .train()
            .iter()
            .for_each(|(key, items)| all.entry(key).or_default().extend_from_slice(items));
    }
    let mut pooled = Sequences::default();
    all.iter().for_each(|(key, items)| pooled.push(*key, items));
    let validation: Vec<Held<'_>> = merchants.values().flat_map(Sequences::validation).collect();
    // The smaller inverse.
    let kept = Statistics::popular(items, &pooled, POOLED_ITEMS_MAX);
    let statistics = (pooled.len() > kept.len()).then(|| Statistics::local(items, kept, &pooled));
    let fit = |ridge| -> Option<Box<Score<'static>>> {
        let Some(statistics) = &statistics else {
            let model = OwnEase::fit(items, &pooled, ridge)?;
            return Some(Box::new(move |history, out| model.scores(history, out)));
        };
        let ranking = ItemRanking::Ease { ridge, ridge_deviations: 0.0, threshold_deviations: 0.0 };
        let model = ItemItem::new(statistics, ranking);
        Some(Box::new(move |history, out| model.scores(history, out)))
    };
    let judged = POOLED_RIDGES.into_iter().filter_map(|ridge| {
        let model = fit(ridge)?;
        Some((ndcg(&ranks(&validation, items, &*model)), model))
    });
    judged.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, model)| model)
}

/// Baselines that need no federation, and each merchant's blend with a released model.
pub struct Baselines<'s> {
    merchants: &'s BTreeMap<Name, Sequences>,
    items: usize,
    own: BTreeMap<Name, OwnEase>,
}

/// What a blend came to.
pub struct Blended {
    /// Places of the test items.
    pub ranks: Ranks,
    /// The released model's weight, by merchant.
    pub weights: BTreeMap<Name, f32>,
}

impl<'s> Baselines<'s> {
    /// Fits every merchant's own model.
    pub fn fit(merchants: &'s BTreeMap<Name, Sequences>, items: usize) -> Self {
        let own = merchants
            .iter()
            .filter_map(|(name, sequences)| own_model(sequences, items).map(|model| (name.clone(), model)))
            .collect();
        Baselines { merchants, items, own }
    }

    /// Places of the test items in the rankings of every merchant's own model.
    pub fn own_ranks(&self) -> Ranks {
        let of = |(name, sequences): (&Name, &Sequences)| {
            let model = self.own.get(name)?;
            let held: Vec<Held<'_>> = sequences.test().collect();
            Some((name.clone(), ranks(&held, self.items, &|history, out| model.scores(history, out))))
        };
        self.merchants.iter().filter_map(of).collect()
    }

    /// Every merchant's own model blended with a released one, by the weight that suits its validation items best.
    pub fn blended(&self, released: &Score<'_>, scale: Scale) -> Blended {
        let one = |(name, sequences): (&Name, &Sequences)| {
            let model = self.own.get(name)?;
            let own = |history: &[u32], out: &mut [f32]| model.scores(history, out);
            let weight = blend::choose(sequences.validation(), self.items, &own, &released, scale);
            let held: Vec<Held<'_>> = sequences.test().collect();
            let mixed = |history: &[u32], out: &mut [f32]| {
                let mut other = vec![0.0; out.len()];
                own(history, out);
                released(history, &mut other);
                blend::blend(out, &mut other, weight, scale);
            };
            Some((name.clone(), ranks(&held, self.items, &mixed), weight))
        };
        let all: Vec<_> = self.merchants.par_iter().filter_map(one).collect();
        let weights = all.iter().map(|(name, _, weight)| (name.clone(), *weight)).collect();
        Blended { ranks: all.into_iter().map(|(name, ranks, _)| (name, ranks)).collect(), weights }
    }
}

/// All ways to a model.
pub struct RanksByMethod {
    /// Every merchant's own model.
    pub local_only: Ranks,
    /// The federated model without privacy.
    pub federated_plain: Ranks,
    /// The federated model with privacy.
    pub federated_private: Option<Ranks>,
    /// Own and federated.
    pub blend: Ranks,
    /// Everybody's rows together.
    pub pooled: Ranks,
}

impl RanksByMethod {
    /// One figure, by method and merchant.
    pub fn table(&self, pick: fn(&RankingFigures) -> f64) -> FiguresByMethod {
        FiguresByMethod {
            local_only: summary(&self.local_only, pick),
            federated_plain: summary(&self.federated_plain, pick),
            federated_private: self.federated_private.as_ref().map(|ranks| summary(ranks, pick)),
            blend: summary(&self.blend, pick),
            pooled: summary(&self.pooled, pick),
        }
    }

    /// NDCG of the blend less that of the merchants' own models, over all shoppers.
    pub fn blend_less_local(&self) -> Option<Difference> {
        difference(&self.local_only, &self.blend)
    }

    /// NDCG of the released model, with privacy where there is any, less that of the merchants' own models.
    pub fn released_less_local(&self) -> Option<Difference> {
        difference(&self.local_only, self.federated_private.as_ref().unwrap_or(&self.federated_plain))
    }
}

fn summary(ranks: &Ranks, pick: fn(&RankingFigures) -> f64) -> FigureSummary {
    let figure = |ranks: &[Option<u32>]| RankingFigures::mean(ranks, K).map(|figures| pick(&figures));
    let all: Vec<Option<u32>> = ranks.values().flatten().copied().collect();
    let per_merchant = ranks.iter().map(|(name, ranks)| (name.clone(), figure(ranks))).collect();
    FigureSummary::new(per_merchant, figure(&all))
}

/// Second less first, over the shoppers of all merchants.
fn difference(first: &Ranks, second: &Ranks) -> Option<Difference> {
    let gain = |rank: &Option<u32>| RankingFigures::of_rank(*rank, K).ndcg_at_k;
    let pairs = first.iter().filter_map(|(name, first)| Some((first, second.get(name)?)));
    let (first, second): (Vec<f64>, Vec<f64>) =
        pairs.flat_map(|(a, b)| a.iter().zip(b).map(|(a, b)| (gain(a), gain(b)))).unzip();
    mean_difference(&second, &first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(ranks: &[Option<u32>]) -> Ranks {
        BTreeMap::from([(Name::new("shop").expect("a name"), ranks.to_vec())])
    }

    #[test]
    fn differences_come_with_an_interval() {
        let (own, other) = (one(&[None, Some(0), Some(50), None]), one(&[Some(0), Some(0), Some(0), None]));
        let found = difference(&own, &other).expect("four shoppers");
        assert_eq!(found.difference, 0.5);
        assert!((found.high - 0.5 - 1.96 * (1.0f64 / 3.0 / 4.0).sqrt()).abs() < 1e-4);
        assert!(difference(&one(&[None]), &one(&[None])).is_none());
        let table = summary(&other, |figures| figures.hr_at_k);
        assert_eq!((table.r#macro, table.micro), (Some(0.75), Some(0.75)));
    }
}
