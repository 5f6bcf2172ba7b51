//! `guildhall bench`: what this machine can carry, with dummy work and no rows.

mod aggregation;
mod round;
mod serve;

use guildhall_privacy::accountant::Calibration;
use guildhall_shared::job::JobSpec;
use serde::Serialize;

use crate::error::{CommandError, Context as _};

pub use aggregation::aggregation;
pub use round::round;
pub use serve::serve;

/// Median and greatest.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    /// The middle one; of an even number the lower of the two.
    pub median: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// Of nothing: zeros.
    pub fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let median = sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(0.0);
        Spread { median, max: sorted.last().copied().unwrap_or(0.0) }
    }
}

/// What a benchmark's job asks for.
struct Dummy {
    parameters: usize,
    rounds: u32,
    merchants: usize,
    quorum: usize,
    deadline_ms: u64,
    /// The `privacy` of the job file.
    privacy: &'static str,
    /// The `aggregation` of the job file.
    aggregation: &'static str,
}

const NO_PRIVACY: &str = "privacy = \"none\"";

impl Dummy {
    /// A job whose training reads nothing and contributes zeros.
    fn job(&self) -> Result<JobSpec, CommandError> {
        let Dummy { parameters, rounds, merchants, quorum, deadline_ms, privacy, aggregation } = self;
        let text = format!(
            "name = \"bench\"\npurpose = \"Measuring rounds; no rows\"\nseed = 1\nrounds = {rounds}\nunit = \"shopper\"\n\
             {privacy}\n[task]\nkind = \"dummy\"\nparameters = {parameters}\n\
             [optimizer]\nkind = \"sgd\"\nlearning_rate = 1.0\nmomentum = 0.0\n[clipping]\nnorm_l2 = 1.0\n\
             [round]\naggregation = \"{aggregation}\"\nquorum = {quorum}\naccept_deadline_ms = {deadline_ms}\n\
             update_deadline_ms = {deadline_ms}\nexpected_shoppers = {merchants}\nshoppers_per_merchant_max = 1\n"
        );
        JobSpec::parse(&text, &Calibration).map(|(job, _)| job).context("the benchmark's job")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_few() {
        let spread = Spread::of(&[3.0, 1.0, 2.0]);
        assert_eq!((spread.median, spread.max), (2.0, 3.0));
        assert_eq!(Spread::of(&[]).median, 0.0);
    }
}
