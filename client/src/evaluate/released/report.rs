//! The figures of a metrics job, from its released sum. [core]

use guildhall_shared::job::JobSpec;
use guildhall_shared::model_spec::{Architecture, MeasuredFigures, Metrics};
use guildhall_shared::model_state::ModelState;
use guildhall_shared::round_parameters::RoundParameters;
use serde::Serialize;

use super::{NoisedSum, RankingLayout, ReleasedRanking, ReleasedScores, ScoreLayout};
use crate::evaluate::activity::ActivityGroups;

/// How the sum of a metrics job is laid out.
pub enum ReleasedLayout {
    /// Of an item task.
    Ranking {
        /// Where the figures of a shopper stand.
        layout: RankingLayout,
        /// Recommendations that are judged.
        k: u32,
    },
    /// Of a task with labels.
    Predictions(ScoreLayout),
}

impl ReleasedLayout {
    /// Of a metrics job; `None` where its groups do not ascend from 0.
    pub fn of(metrics: &Metrics) -> Option<Self> {
        let groups = ActivityGroups::from_first(&metrics.groups)?;
        Some(match metrics.figures {
            MeasuredFigures::Ranking { k } => ReleasedLayout::Ranking { layout: RankingLayout { groups }, k },
            MeasuredFigures::Predictions { bins } => {
                ReleasedLayout::Predictions(ScoreLayout::new(groups, bins as usize))
            }
        })
    }
}

/// The figures of all merchants' shoppers together, and by activity group.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ReleasedFigures {
    /// Of an item task.
    Ranking {
        /// Recommendations that are judged.
        k: u32,
        /// Of all shoppers.
        all: ReleasedRanking,
        /// Of every group.
        groups: Vec<ReleasedRanking>,
    },
    /// Of a task with labels.
    Predictions {
        /// Of all shoppers.
        all: Box<ReleasedScores>,
        /// Of every group.
        groups: Vec<ReleasedScores>,
    },
}

impl ReleasedFigures {
    /// What the released version of a metrics job says, in a federation of so many merchants; `None` for other jobs, before the
    /// round is settled, and where the job has no rounds for so many merchants.
    ///
    /// The error bars are those of a round to which all merchants contributed. Where some dropped out, there is less noise.
    pub fn read(job: &JobSpec, state: &ModelState, merchants: u32) -> Option<Self> {
        let Architecture::Metrics(metrics) = &job.architecture else { return None };
        let parameters = RoundParameters::derive(job, merchants).ok()?;
        // n shares of the noise, whatever h they were sized for.
        let steps = f64::from(merchants).sqrt() * parameters.noise_standard_deviation_local as f64;
        let sum = NoisedSum::released(job, state, steps)?;
        Some(match ReleasedLayout::of(metrics)? {
            ReleasedLayout::Ranking { layout, k } => {
                let (groups, all) = layout.read(&sum)?;
                ReleasedFigures::Ranking { k, all, groups }
            }
            ReleasedLayout::Predictions(layout) => {
                let (groups, all) = layout.read(&sum)?;
                ReleasedFigures::Predictions { all: Box::new(all), groups }
            }
        })
    }
}
