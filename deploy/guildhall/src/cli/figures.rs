//! The commands that print figures: before anything is spent, in a simulation, of a released model.

use std::path::PathBuf;

use clap::Args;

use crate::federated::NoiseMode;

/// `simulate`
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// The job file, with a `simulation` table
    #[arg(long)]
    pub job: PathBuf,
    /// The folder with the data, or the file itself
    #[arg(long)]
    pub data: PathBuf,
    /// How updates are noised and travel [default: as the job's own rounds, masked unless it says otherwise]
    #[arg(long, value_enum)]
    pub mode: Option<NoiseMode>,
    /// Another epsilon than the job's
    #[arg(long)]
    pub epsilon: Option<f64>,
    /// Another public seed than the job's. Noise is never seeded
    #[arg(long)]
    pub seed: Option<u64>,
    /// Another number of rounds than the job's
    #[arg(long)]
    pub rounds: Option<u32>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `evaluate`
#[derive(Debug, Args)]
pub struct EvaluateArgs {
    /// The configuration that `guildhall join` wrote
    #[arg(long, default_value = "guildhall-client/client.toml")]
    pub config: PathBuf,
    /// Another version than the newest
    #[arg(long)]
    pub version: Option<u32>,
    /// Compare it with this version instead, on the same shoppers, with 95 % intervals
    #[arg(long, value_name = "VERSION")]
    pub against: Option<u32>,
    /// Instead: the figures of all merchants' shoppers together, from the noised sums of metrics jobs, with standard errors
    #[arg(long, conflicts_with = "against")]
    pub released: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `plan`
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The job file
    #[arg(long)]
    pub job: PathBuf,
    /// The folder with the data, or the file itself, for an item job that names no catalogue
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// Number of items of an item job that names no catalogue
    #[arg(long, conflicts_with = "data")]
    pub items: Option<u32>,
    /// Number of merchants to plan for
    #[arg(long, default_value_t = 9)]
    pub merchants: u32,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `card`
#[derive(Debug, Args)]
pub struct CardArgs {
    /// The job file, of a model that nothing else is known of
    #[arg(long, required_unless_present = "config", conflicts_with = "config")]
    pub job: Option<PathBuf>,
    /// A client's configuration: the card of the model it keeps, with the figures on its own rows and those that were released
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Another version than the client's newest
    #[arg(long, requires = "config")]
    pub version: Option<u32>,
    /// Leave out what was computed on own rows: the only card that is to leave the merchant
    #[arg(long)]
    pub for_everybody: bool,
    /// Number of merchants of the roster [default: the client's roster; of a job file nothing is said of colluding merchants]
    #[arg(long)]
    pub merchants: Option<u32>,
    /// What the merchants' data are, in plain words
    #[arg(long)]
    pub about_data: Option<String>,
    /// Print one JSON object instead of Markdown
    #[arg(long)]
    pub json: bool,
}
