//! A merchant of the auditor's own making: invented shoppers, a file with their rows, a job for them.

use std::path::Path;

use guildhall_client::ClientConfig;
use guildhall_privacy::accountant::Calibration;
use guildhall_privacy::accountant::zcdp::epsilon_upper_bound;
use guildhall_shared::job::{JobSpec, PrivacySpec};

use crate::error::{CommandError, Context as _};

/// Columns of a row.
pub const INPUTS: usize = 7;

/// ρ of one release of the audit: noise this small shows itself within a thousand runs.
pub const RHO: f64 = 2.0;

/// δ at which the audit's ρ is put into words.
const DELTA: f64 = 1e-6;

/// Values are clamped to ± this.
const VALUE_MAX: f32 = 1_000.0;

/// The shopper whose presence is to be hidden, by its place among all.
pub const WORST: usize = 5;

/// One row of one shopper.
#[derive(Clone, Debug)]
pub struct Row {
    /// Inputs.
    pub inputs: [f32; INPUTS],
    /// 0 or 1.
    pub label: f32,
}

/// An invented shopper.
#[derive(Clone, Debug)]
pub struct Shopper {
    /// What the file calls it.
    pub id: String,
    /// Its rows.
    pub rows: Vec<Row>,
}

/// Twelve ordinary shoppers of one to three rows, and in their midst one whose contribution is as long as the clip allows
/// and a thousand times longer without it.
pub fn shoppers() -> Vec<Shopper> {
    let ordinary = |u: usize| Shopper {
        id: format!("s{u}"),
        rows: (0..1 + u % 3).map(|r| ordinary_row(u * 3 + r)).collect(),
    };
    let mut all: Vec<Shopper> = (0..12).map(ordinary).collect();
    let row =
        Row { inputs: std::array::from_fn(|i| if i % 2 == 0 { VALUE_MAX } else { -VALUE_MAX }), label: 0.0 };
    all.insert(WORST, Shopper { id: "worst".into(), rows: vec![row; 3] });
    all
}

/// Values between −2 and 2 without a pattern; the same in every audit.
fn ordinary_row(number: usize) -> Row {
    let value = |i: usize| ((number * 8 + i) as f32 * 0.618_034).fract() * 4.0 - 2.0;
    Row { inputs: std::array::from_fn(value), label: (number % 2) as f32 }
}

/// A job of [`INPUTS`] + 1 parameters whose rounds cost ρ = 2.
pub fn job() -> Result<JobSpec, CommandError> {
    let features: String = (0..INPUTS)
        .map(|i| format!("{{ column = \"c{i}\", transform = \"identity\", min = -{VALUE_MAX:?}, max = {VALUE_MAX:?} }},\n"))
        .collect();
    let text = format!(
        "name = \"audit\"\npurpose = \"Look for what the mechanism might leak.\"\nseed = 1\nrounds = 1\nunit = \"shopper\"\n\
         [task]\nkind = \"tabular\"\nfeatures = [\n{features}]\n[model]\nkind = \"logistic_regression\"\n\
         [optimizer]\nkind = \"sgd\"\nlearning_rate = 0.1\nmomentum = 0.0\n[clipping]\nnorm_l2 = 1.0\n\
         [privacy]\nepsilon = 8.0\ndelta = {DELTA:e}\n\
         [round]\nquorum = 1\nupdate_deadline_ms = 1000\nexpected_shoppers = 100\nshoppers_per_merchant_max = 10000\n"
    );
    let (mut job, _) = JobSpec::parse(&text, &Calibration).context("the audit's job")?;
    if let PrivacySpec::Gaussian { unit, delta, .. } = job.privacy {
        // ρ = B²/(2σ²) = 2.
        let noise_standard_deviation = job.clipping.bound / 2;
        let epsilon = epsilon_upper_bound(RHO, delta);
        job.privacy = PrivacySpec::Gaussian { unit, epsilon, delta, noise_standard_deviation };
    }
    Ok(job)
}

/// A merchant's file and the configuration that names it.
pub struct Shop {
    config: ClientConfig,
    #[cfg(any(test, feature = "audit-mutants"))]
    shoppers: Vec<Shopper>,
}

impl Shop {
    /// Writes the rows of `shoppers` into `folder`, under a name of their own.
    pub fn new(folder: &Path, name: &str, shoppers: Vec<Shopper>) -> Result<Self, CommandError> {
        let file = folder.join(format!("{name}.csv"));
        std::fs::write(&file, rows(&shoppers)).context(file.display())?;
        Ok(Shop {
            config: config(folder, name)?,
            #[cfg(any(test, feature = "audit-mutants"))]
            shoppers,
        })
    }

    /// A client's configuration.
    pub fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// Whose rows the file holds.
    #[cfg(any(test, feature = "audit-mutants"))]
    pub fn shoppers(&self) -> &[Shopper] {
        &self.shoppers
    }
}

fn rows(shoppers: &[Shopper]) -> String {
    let columns: Vec<String> = (0..INPUTS).map(|i| format!("c{i}")).collect();
    let mut text = format!("shopper,label,{}\n", columns.join(","));
    for shopper in shoppers {
        for row in &shopper.rows {
            let inputs = row.inputs.map(|value| value.to_string()).join(",");
            text += &format!("{},{},{inputs}\n", shopper.id, row.label);
        }
    }
    text
}

/// The configuration of a client in `folder` that trains on the file `name`.csv.
pub fn config(folder: &Path, name: &str) -> Result<ClientConfig, CommandError> {
    let columns: String =
        (0..INPUTS).map(|i| format!("c{i} = {{ min = -{VALUE_MAX:?}, max = {VALUE_MAX:?} }}\n")).collect();
    let text = format!(
        "merchant = \"audited\"\nregion = \"local\"\nserver = \"127.0.0.1:1\"\ndevice = \"cpu\"\n\
         budget_epsilon = 1.0\nbudget_delta = {DELTA:e}\n[policy]\njobs = [\"*\"]\nallow_plain_mode = false\n\
         [data]\npath = \"{name}.csv\"\n[data.schema]\nshopper = \"shopper\"\nlabel = \"label\"\n\
         [data.schema.numeric]\n{columns}"
    );
    ClientConfig::parse(&text, folder).map_err(|mistakes| CommandError::message(mistakes.to_string()))
}
