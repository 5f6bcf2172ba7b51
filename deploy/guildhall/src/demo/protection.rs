//! Against whom the demo's model is private, and how much.

use std::collections::BTreeMap;

use guildhall_privacy::plan::PlanReport;
use guildhall_shared::job::{Aggregation, JobSpec};
use serde::Serialize;

use crate::error::{CommandError, Context as _};

/// ε of the whole job for one shopper, by who looks.
#[derive(Clone, Debug, Serialize)]
pub struct ProtectionReport {
    /// Against the server together with up to C merchants; in plain mode against everybody else together. It is what the
    /// ledgers are charged.
    pub epsilon: f64,
    /// Against whoever sees the models and nothing else, with m_min merchants in every sum; masked rounds only.
    pub epsilon_outsider: Option<f64>,
    /// If all other merchants collude with the server.
    pub epsilon_if_all_others_collude: f64,
    /// The first, for a shopper known to so many merchants.
    pub epsilon_by_merchants: BTreeMap<u32, f64>,
    /// What failures of the graph add to δ, from above.
    pub delta_addition: f64,
    /// h, honest noise shares surely in the sum.
    pub honest_shares: u64,
    /// Masked rounds only.
    pub thresholds: Option<Thresholds>,
}

/// The numbers of secure aggregation.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Thresholds {
    /// C, merchants that may collude with the server.
    pub colluders: u32,
    /// t, merchants it takes to sign the survivors and to open a mask.
    pub threshold: u32,
    /// m_min, survivors below which nothing is unmasked.
    pub survivors_min: u32,
}

impl ProtectionReport {
    /// Of a job between so many merchants; nothing where the job has no privacy.
    pub fn of(job: &JobSpec, merchants: usize) -> Result<Option<Self>, CommandError> {
        let plan = PlanReport::new(job, merchants as u32).context("the job's privacy")?;
        let mode = plan.noise.and_then(|noise| match job.round.aggregation {
            Aggregation::Masked => noise.masked,
            Aggregation::Plain => noise.plain,
        });
        let Some(mode) = mode else { return Ok(None) };
        let known = mode.epsilon_by_merchants.iter().filter(|(k, _)| *k as usize <= merchants).copied();
        Ok(Some(ProtectionReport {
            epsilon: mode.epsilon,
            epsilon_outsider: mode.masked.as_ref().map(|masked| masked.epsilon_outsider),
            epsilon_if_all_others_collude: mode.epsilon_local,
            epsilon_by_merchants: known.collect(),
            delta_addition: mode
                .masked
                .as_ref()
                .and_then(|masked| masked.sparse.as_ref())
                .map_or(0.0, |sparse| sparse.delta_addition),
            honest_shares: mode.honest_shares,
            thresholds: mode.masked.map(|masked| Thresholds {
                colluders: masked.colluders,
                threshold: masked.threshold,
                survivors_min: masked.survivors_min,
            }),
        }))
    }

    /// Sentences for people.
    pub fn to_text(&self, merchants: usize, delta: f64, unit: &str) -> String {
        let known: Vec<String> = self
            .epsilon_by_merchants
            .iter()
            .filter(|(merchants, _)| **merchants > 1)
            .map(|(merchants, epsilon)| format!("{epsilon:.2} at {merchants}"))
            .collect();
        let known = match known.is_empty() {
            true => String::new(),
            false => format!("A shopper known to more merchants: epsilon {}.\n", known.join(", ")),
        };
        let Some(Thresholds { colluders, threshold, survivors_min }) = self.thresholds else {
            return format!(
                "Privacy: epsilon {:.3} at delta {delta:e} for {unit}, against everybody, from each merchant's own noise.\n{known}",
                self.epsilon
            );
        };
        let graph = match self.delta_addition > 0.0 {
            true => format!(" (and {:e} for the graph of shares)", self.delta_addition),
            false => String::new(),
        };
        format!(
            "Privacy: epsilon {:.3} at delta {delta:e}{graph} for {unit}, against the server together with up to {colluders} of the {merchants} merchants.\n\
             Against whoever sees the models alone: epsilon {:.3}; if all other merchants collude with the server: epsilon {:.2}.\n{known}\
             Rounds: C = {colluders} may collude, t = {threshold} open a mask, m_min = {survivors_min} must survive, h = {} shares of the noise are surely honest.\n",
            self.epsilon,
            self.epsilon_outsider.unwrap_or(f64::NAN),
            self.epsilon_if_all_others_collude,
            self.honest_shares
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use guildhall_privacy::accountant::Calibration;

    fn stores() -> JobSpec {
        let text = include_str!("../../../samples/jobs/repurchase_stores.toml");
        JobSpec::parse(text, &Calibration).expect("a sample").0
    }

    #[test]
    fn a_hundred_stores_are_protected_as_the_job_says() {
        let protection = ProtectionReport::of(&stores(), 100).expect("rounds").expect("noise");
        assert!(protection.epsilon <= 1.0 && protection.epsilon > 0.99, "{protection:?}");
        assert!(protection.epsilon_outsider.is_some_and(|outsider| outsider < protection.epsilon));
        assert!(protection.epsilon_if_all_others_collude > 5.0, "h = 47 shares are gone: {protection:?}");
        let text = protection.to_text(100, 1e-6, "a shopper");
        for part in ["33 of the 100", "C = 33", "t = 67", "m_min = 80", "h = 47", "at 2", "at 5"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn plain_rounds_have_no_thresholds_and_say_nothing_of_colluders() {
        let mut job = stores();
        job.round.aggregation = Aggregation::Plain;
        let protection = ProtectionReport::of(&job, 2).expect("rounds").expect("noise");
        assert!(protection.thresholds.is_none() && protection.epsilon_outsider.is_none());
        assert_eq!(protection.epsilon, protection.epsilon_if_all_others_collude);
        let text = protection.to_text(2, 1e-6, "a shopper");
        assert!(text.contains("own noise") && !text.contains("m_min"), "{text}");
    }
}
