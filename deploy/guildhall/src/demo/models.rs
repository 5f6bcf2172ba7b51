//! What is trained in this process: baselines, the run without privacy, further draws, the newcomer's comparison.

use std::collections::BTreeMap;

use guildhall_client::evaluate::{FigureSummary, Scored};
use guildhall_shared::id::Name;
use guildhall_shared::job::JobSpec;
use guildhall_shared::model_state::ModelState;
use rayon::prelude::*;

use super::is_private;
use super::market::Market;
use super::report::{Newcomer, mean};
use crate::comparison::{Baselines, FiguresByMethod};
use crate::error::CommandError;
use crate::federated::{self, Merchants, NoiseMode};

/// The merchant that plays the newcomer.
const NEWCOMER: &str = "cosmetics";

/// Fewest merchants that remain when one plays the newcomer.
const NEWCOMER_OTHERS_MIN: usize = 3;

/// Repetitions of the experiment. Where each merchant knows all of its households there is one set of rows, and a draw is
/// other noise; else it is another share of the households, and other noise.
pub struct Draws {
    rows: Vec<Merchants>,
    count: usize,
}

/// What one set of rows gives without privacy.
struct Reference {
    baselines: Baselines,
    without_privacy: BTreeMap<Name, Scored>,
}

impl Draws {
    /// Draws the rows.
    pub fn of(market: &Market, count: u64) -> Result<Self, CommandError> {
        let different = if market.everybody_is_known() { 1 } else { count };
        let rows = (0..different).into_par_iter().map(|draw| market.draw(draw)).collect::<Result<_, _>>()?;
        Ok(Draws { rows, count: count as usize })
    }

    /// The merchants of the first draw, which runs in processes.
    pub fn first(&self) -> &Merchants {
        &self.rows[0]
    }

    /// Shoppers with training rows, all merchants together, first draw.
    pub fn shoppers(&self) -> usize {
        self.first().values().map(|splits| splits.train.shoppers.len()).sum()
    }

    /// What a draw is.
    pub fn describe(&self) -> &'static str {
        if self.rows.len() < self.count || self.rows.len() == 1 {
            "all households of each merchant, other noise in each draw"
        } else {
            "another share of each merchant's households, and other noise, in each draw"
        }
    }

    /// The table of each draw; the first draw's federated model came from the processes.
    pub fn tables(
        &self,
        job: &JobSpec,
        from_processes: &ModelState,
    ) -> Result<Vec<FiguresByMethod>, CommandError> {
        let references: Vec<Reference> =
            self.rows.par_iter().map(|merchants| Reference::of(job, merchants)).collect::<Result<_, _>>()?;
        let table = |draw: usize| {
            let place = draw.min(self.rows.len() - 1);
            let (merchants, reference) = (&self.rows[place], &references[place]);
            let private = match (is_private(job), draw) {
                (false, _) => None,
                (true, 0) => Some(federated::score(job, &from_processes.released(), merchants)?),
                (true, _) => {
                    let model = federated::train(job, merchants, NoiseMode::of(job), &mut |_| ())?;
                    Some(federated::score(job, &model.released(), merchants)?)
                }
            };
            Ok(reference.baselines.compare(&reference.without_privacy, private.as_ref()))
        };
        (0..self.count).into_par_iter().map(table).collect()
    }

    /// One merchant sits out; the others' private model scores its shoppers.
    pub fn newcomer(&self, job: &JobSpec) -> Result<Option<Newcomer>, CommandError> {
        let merchants = self.first();
        let name =
            merchants.keys().find(|name| name.as_str() == NEWCOMER).or_else(|| merchants.keys().next());
        let Some(name) = name.filter(|_| merchants.len() > NEWCOMER_OTHERS_MIN).cloned() else {
            return Ok(None);
        };
        let one = |merchants: &Merchants| -> Result<(Option<f64>, Option<f64>), CommandError> {
            let (alone, others): (Merchants, Merchants) =
                merchants.iter().map(pair).partition(|(other, _)| *other == name);
            let model = federated::train(job, &others, NoiseMode::of(job), &mut |_| ())?;
            let federated = federated::auc(job, &model.released(), &alone)?;
            let own = FigureSummary::of(&Baselines::fit(&job.task, &alone).local);
            Ok((own.r#macro, federated.r#macro))
        };
        let figures: Vec<_> = self.rows.par_iter().map(one).collect::<Result<_, _>>()?;
        Ok(Some(Newcomer {
            merchant: name,
            local: mean(figures.iter().map(|(own, _)| *own)),
            federated_private: mean(figures.iter().map(|(_, federated)| *federated)),
        }))
    }
}

impl Reference {
    fn of(job: &JobSpec, merchants: &Merchants) -> Result<Self, CommandError> {
        let plain = federated::train(job, merchants, NoiseMode::None, &mut |_| ())?;
        Ok(Reference {
            baselines: Baselines::fit(&job.task, merchants),
            without_privacy: federated::score(job, &plain.released(), merchants)?,
        })
    }
}

fn pair<T: Clone>((name, value): (&Name, &T)) -> (Name, T) {
    (name.clone(), value.clone())
}
