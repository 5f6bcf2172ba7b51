//! The rules of a job that measures a released model. [core]

use crate::job::JobSpec;
use crate::job::check::Mistakes;
use crate::model_spec::{MeasuredFigures, Metrics};

/// Most activity groups.
const GROUPS_MAX: usize = 64;

pub(super) fn check(model: &Metrics, spec: &JobSpec, m: &mut Mistakes) {
    m.require(spec.rounds == 1, "rounds", "1, because figures are released once", spec.rounds);
    super::adds_up(spec, m);
    match model.figures {
        MeasuredFigures::Ranking { k } => m.require((1..=1_000).contains(&k), "model.k", "1 to 1,000", k),
        MeasuredFigures::Predictions { bins } => {
            m.require((2..=1_000).contains(&bins), "model.bins", "2 to 1,000", bins);
        }
    }
    let groups = &model.groups;
    let ascend = groups.first() == Some(&0) && groups.windows(2).all(|pair| pair[0] < pair[1]);
    m.require(
        ascend && groups.len() <= GROUPS_MAX,
        "model.groups",
        "numbers that ascend from 0, at most 64",
        groups,
    );
    // A contribution that is cut would say less than the shopper's figures are, and nobody would see it.
    let least = model.clipping(spec.clipping.bound).norm_l2;
    m.require(
        spec.clipping.norm_l2 >= least,
        "clipping.norm_l2",
        &format!("nothing, or at least {least}, the length of a contribution"),
        spec.clipping.norm_l2,
    );
}

#[cfg(test)]
mod tests;
