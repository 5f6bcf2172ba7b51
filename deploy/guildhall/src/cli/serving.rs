//! The commands about what a client serves, and how fast.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use guildhall_client::train::fine_tune::FineTuning;

/// `model …`
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// The versions of the followed job that are on disk, and fine-tuned copies of them
    List(ModelListArgs),
    /// Serve this version from now on, or `newest`. A running client or service follows within two seconds
    Use(ModelUseArgs),
    /// Write the released weights of a version as a safetensors file
    Export(ModelExportArgs),
}

/// `model list`
#[derive(Debug, Args)]
pub struct ModelListArgs {
    /// The configuration that `guildhall join` wrote
    #[arg(long, default_value = "guildhall-client/client.toml")]
    pub config: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `model use`
#[derive(Debug, Args)]
pub struct ModelUseArgs {
    /// The version's number, or `newest`
    #[arg(value_parser = wanted)]
    pub version: Wanted,
    /// Serve this merchant's fine-tuned copy of it; with `newest`, of the newest version that has one
    #[arg(long)]
    pub fine_tuned: bool,
    /// The configuration that `guildhall join` wrote
    #[arg(long, default_value = "guildhall-client/client.toml")]
    pub config: PathBuf,
}

/// `model export`
#[derive(Debug, Args)]
pub struct ModelExportArgs {
    /// The configuration that `guildhall join` wrote
    #[arg(long, default_value = "guildhall-client/client.toml")]
    pub config: PathBuf,
    /// Another version than the newest
    #[arg(long)]
    pub version: Option<u32>,
    /// The file to write
    #[arg(long)]
    pub out: PathBuf,
}

/// `fine-tune`
#[derive(Debug, Args)]
pub struct FineTuneArgs {
    /// The configuration that `guildhall join` wrote
    #[arg(long, default_value = "guildhall-client/client.toml")]
    pub config: PathBuf,
    /// Another version than the newest
    #[arg(long)]
    pub version: Option<u32>,
    /// Most epochs to try; how many are kept is chosen on the validation rows, and may be none
    #[arg(long, default_value_t = FineTuning::default().epochs_max)]
    pub epochs: u32,
    /// Step size of Adam
    #[arg(long, default_value_t = FineTuning::default().learning_rate)]
    pub learning_rate: f64,
    /// Shoppers of one step
    #[arg(long, default_value_t = FineTuning::default().batch)]
    pub batch: usize,
    /// Order and dropout follow from it: the same seed gives the same copy
    #[arg(long, default_value_t = FineTuning::default().seed)]
    pub seed: u64,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Which version to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Whichever is the newest.
    Newest,
    /// This one.
    Version(u32),
}

fn wanted(text: &str) -> Result<Wanted, String> {
    match text {
        "newest" => Ok(Wanted::Newest),
        number => number.parse().map(Wanted::Version).map_err(|_| "expected a number, or newest".into()),
    }
}

/// `bench serve`
#[derive(Debug, Args)]
pub struct BenchServeArgs {
    /// Number of items
    #[arg(long, default_value_t = 2_000)]
    pub items: usize,
    /// Width of the vectors
    #[arg(long, default_value_t = 64)]
    pub dim: usize,
    /// Items of an answer
    #[arg(long, default_value_t = 10)]
    pub k: usize,
    /// Requests a second, sent on schedule whether or not earlier ones are answered
    #[arg(long, default_value_t = 2_000)]
    pub rate: u32,
    /// Seconds of each load over HTTP
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// Connections that are kept open
    #[arg(long, default_value_t = 16)]
    pub connections: usize,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}
