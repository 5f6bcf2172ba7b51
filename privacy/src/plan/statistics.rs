//! Whether what goes together will stand out of the noise of a statistics job. [core]
//!
//! The rule is made of public numbers alone: items as popular as Zipf's law says, shoppers with as many items as the
//! popularity clip allows for, chosen independently. Real items attract each other, so the rule is coarse; it puts the data
//! sets of `docs/benchmarks.md` in the right order.

use guildhall_shared::job::JobSpec;
use guildhall_shared::model_spec::ItemStatistics;
use serde::Serialize;

use super::Verdict;

/// Standard deviations of the noise that a pair has to reach to be told from it.
const STANDS_OUT_DEVIATIONS: f64 = 3.0;
/// Share of all pairs of shoppers' items that has to stand out for released statistics to beat merchants' own.
const SHARE_WORKS: f64 = 0.4;
/// Share below which released statistics have hardly moved a blend with merchants' own models.
const SHARE_HOPELESS: f64 = 0.22;

/// The noise of a statistics job, in shoppers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatisticsPlan {
    /// Standard deviation of the noise of an item's popularity.
    pub popularity_deviation_shoppers: f64,
    /// Standard deviation of the noise of a pair, over all its rounds together.
    pub pair_deviation_shoppers: f64,
    /// Share of all pairs of shoppers' items that stand out of the noise, by the rule above.
    pub share_standing_out: f64,
}

impl StatisticsPlan {
    /// For noise of `noise_steps` on a round's sum.
    pub(super) fn new(job: &JobSpec, model: &ItemStatistics, noise_steps: f64) -> Self {
        let unit = noise_steps / job.clipping.bound as f64;
        let rounds = f64::from(job.rounds.saturating_sub(1).max(1));
        let full = (model.cooccurrence_pairs as f64).sqrt();
        let pair_deviation_shoppers = unit * full / rounds.sqrt();
        let typical = model.popularity_items as f64;
        let pairs = typical * (typical - 1.0) / 2.0;
        let weight = (full / pairs.max(1.0).sqrt()).min(1.0);
        let harmonic: f64 = (1..=model.items).map(|i| 1.0 / i as f64).sum();
        // Shoppers with both the i-th and the j-th item: strength / (i·j).
        let strength = 2.0 * pairs * job.round.expected_shoppers as f64 * weight / (harmonic * harmonic);
        let limit = strength / (STANDS_OUT_DEVIATIONS * pair_deviation_shoppers);
        StatisticsPlan {
            popularity_deviation_shoppers: unit * typical.sqrt(),
            pair_deviation_shoppers,
            share_standing_out: pair_mass(model.items_kept, limit)
                / pair_mass(model.items, f64::INFINITY).max(1e-300),
        }
    }

    pub(super) fn verdict(&self) -> Verdict {
        let share = 100.0 * self.share_standing_out;
        let ways = "more shoppers, fewer items kept, a larger epsilon; blended with a merchant's own model it cannot harm";
        match self.share_standing_out {
            share if share >= SHARE_WORKS => Verdict::Works,
            out if out >= SHARE_HOPELESS => Verdict::Marginal {
                advice: format!(
                    "{share:.0} % of what goes together stands out of the noise: it may help in a blend, and loses by itself to merchants with many shoppers. Better with {ways}"
                ),
            },
            _ => Verdict::Hopeless {
                advice: format!(
                    "{share:.0} % of what goes together stands out of the noise: by itself it loses to merchants' own models. Better with {ways}"
                ),
            },
        }
    }
}

/// Σ 1/(i·j) over pairs i < j of the first `items` with i·j below the limit.
fn pair_mass(items: usize, limit: f64) -> f64 {
    let mut tail = vec![0.0; items + 1];
    for j in 1..=items {
        tail[j] = tail[j - 1] + 1.0 / j as f64;
    }
    let mass = |i: usize| {
        let last = (limit / i as f64).min(items as f64) as usize;
        if last > i { (tail[last] - tail[i]) / i as f64 } else { 0.0 }
    };
    (1..=items).map(mass).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mass_of_pairs_by_hand() {
        // 1·2, 1·3, 2·3
        assert!((pair_mass(3, f64::INFINITY) - (0.5 + 1.0 / 3.0 + 1.0 / 6.0)).abs() < 1e-12);
        assert!((pair_mass(3, 3.0) - (0.5 + 1.0 / 3.0)).abs() < 1e-12);
        assert_eq!(pair_mass(3, 1.0), 0.0);
        assert_eq!(pair_mass(0, 9.0), 0.0);
    }
}
