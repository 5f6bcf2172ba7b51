//! What a federation of processes is to run: a job, its merchants, and the rows each of them gets.

use std::path::{Path, PathBuf};

use guildhall_privacy::accountant::zcdp::epsilon_upper_bound;
use guildhall_privacy::parameter::Protection;
use guildhall_shared::id::Name;
use guildhall_shared::job::{JobSpec, PrivacySpec};
use guildhall_shared::round_parameters::RoundParameters;
use serde_json::Value;

use crate::error::CommandError;

/// A marketplace that processes can be started for.
pub trait Stage {
    /// The job.
    fn job(&self) -> &JobSpec;
    /// The numbers of its rounds.
    fn parameters(&self) -> &RoundParameters;
    /// The merchants' names.
    fn merchants(&self) -> Vec<Name>;
    /// Writes what each merchant knows into its own client's folder; gives the text of the `[data]` table.
    fn write_rows(
        &self,
        folder: &Path,
        client_folder: &dyn Fn(&Name) -> PathBuf,
    ) -> Result<String, CommandError>;
    /// What the first merchant's served model is asked: a path and a body.
    fn question(&self) -> (&'static str, Value);
}

/// ε of so many rounds for a shopper of one merchant, against whom the mode charges for.
pub fn epsilon_after(stage: &dyn Stage, rounds: u32) -> Option<f64> {
    let PrivacySpec::Gaussian { delta, .. } = stage.job().privacy else { return None };
    let per_round = Protection::of(stage.parameters(), &stage.job().privacy).charge();
    let rho = per_round.saturating_mul(u64::from(rounds)).rho_upper_bound();
    Some(epsilon_upper_bound(rho, delta))
}
