//! Whether a job's noise leaves its signal alone, and what to change. [core]

use std::fmt;

use guildhall_shared::job::JobSpec;
use serde::Serialize;

use super::{NOISE_OVER_CLIP_HOPELESS, NOISE_OVER_CLIP_WORKS};

/// What to expect.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The noise is small beside the signal.
    Works,
    /// It may learn; simulate it first.
    Marginal {
        /// What would help.
        advice: String,
    },
    /// The noise drowns the signal.
    Hopeless {
        /// What has to change.
        advice: String,
    },
}

impl Verdict {
    /// For noise over clip `ratio` on the mean, and `noise` on the sum.
    pub(super) fn new(job: &JobSpec, ratio: f64, noise: f64) -> Self {
        if ratio <= NOISE_OVER_CLIP_WORKS {
            return Verdict::Works;
        }
        if ratio <= NOISE_OVER_CLIP_HOPELESS {
            let advice = format!(
                "the noise on the mean is {ratio:.2} times the clip. Simulate the job on public data first; {} expected contributions a round would make it comfortable",
                (noise / NOISE_OVER_CLIP_WORKS).ceil()
            );
            return Verdict::Marginal { advice };
        }
        let excess = ratio / NOISE_OVER_CLIP_HOPELESS;
        let rounds = (f64::from(job.rounds) / (excess * excess)).floor();
        let parameters = (job.model().parameter_count() as f64 / (excess * excess)).floor();
        let mut ways = vec![format!(
            "at least {} expected contributions a round",
            (noise / NOISE_OVER_CLIP_HOPELESS).ceil()
        )];
        if rounds >= 1.0 {
            ways.push(format!("at most {rounds} rounds"));
        }
        if parameters >= 1.0 {
            ways.push(format!("at most {parameters} parameters"));
        }
        let advice = format!(
            "the noise on the mean is {ratio:.1} times the clip and drowns it. Before it is worth trying it needs one of: {}; or a larger epsilon",
            ways.join(", ")
        );
        Verdict::Hopeless { advice }
    }

    /// Of metrics: noise over clip on the mean is the error of the number of all shoppers, as a share of those expected. Figures are
    /// read where it is at most a fifth.
    pub(super) fn of_figures(ratio: f64, noise: f64) -> Self {
        if ratio <= NOISE_OVER_CLIP_WORKS {
            return Verdict::Works;
        }
        Verdict::Hopeless {
            advice: format!(
                "the noise on the number of shoppers is {ratio:.2} times those expected, and no figure is read above {NOISE_OVER_CLIP_WORKS}. Before it is worth trying it needs one of: at least {} expected contributions, fewer groups or bins, or a larger epsilon",
                (noise / NOISE_OVER_CLIP_WORKS).ceil()
            ),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Works => f.write_str("works"),
            Verdict::Marginal { advice } => write!(f, "marginal: {advice}"),
            Verdict::Hopeless { advice } => write!(f, "hopeless: {advice}"),
        }
    }
}
