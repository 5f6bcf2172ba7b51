//! The commands of auditors.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use guildhall_shared::id::Name;

/// `ledger …`
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Write everything a third party needs to check a ledger into one file
    Export(LedgerExportArgs),
    /// Check an exported ledger, offline. Exit codes: 0 good, 2 tampered, 3 overspent, 4 unverifiable, 64 wrong usage
    Verify(LedgerVerifyArgs),
    /// Prove that an entry is in a ledger, or check such a proof
    Prove(LedgerProveArgs),
    /// Write report.html, report.json and report.csv. Exit code 1 if a question stays without an answer
    Report(LedgerReportArgs),
}

/// `ledger export`
#[derive(Debug, Args)]
pub struct LedgerExportArgs {
    /// The folder `ledger` of a client or a server, running or not
    pub ledger: PathBuf,
    /// The file to write
    #[arg(long)]
    pub out: PathBuf,
    /// Make the export an entry of the ledger of this client.toml, whose client must not run meanwhile
    #[arg(long, value_name = "CLIENT_TOML")]
    pub record: Option<PathBuf>,
    /// Whom the export is for, and why: text of the entry, at most 300 bytes
    #[arg(long, value_name = "TEXT", requires = "record", default_value = "")]
    pub recipient: String,
}

/// `ledger verify`
#[derive(Debug, Args)]
pub struct LedgerVerifyArgs {
    /// A file that `ledger export` wrote
    pub path: PathBuf,
    /// An older checkpoint of the same ledger, which has to be one of its past states
    #[arg(long)]
    pub checkpoint: Option<PathBuf>,
    /// A merchant's data file, or two: with its list of test rows. Says which trainings read them
    #[arg(long, num_args = 1..=2, value_name = "FILE", requires = "data_secret")]
    pub data: Vec<PathBuf>,
    /// The file data.secret in the merchant's folder: without it nobody can tell which data a training read
    #[arg(long, value_name = "FILE", requires = "data")]
    pub data_secret: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `ledger prove`
#[derive(Debug, Args)]
pub struct LedgerProveArgs {
    /// A file that `ledger export` wrote
    #[arg(required_unless_present = "check", conflicts_with = "check", requires = "entry")]
    pub path: Option<PathBuf>,
    /// The entry's number, from 0
    #[arg(long, requires = "path")]
    pub entry: Option<u64>,
    /// Where to write the proof [default: standard output]
    #[arg(long, requires = "path")]
    pub out: Option<PathBuf>,
    /// Check this proof instead; needs nothing but keys
    #[arg(long, value_name = "FILE", requires = "key")]
    pub check: Option<PathBuf>,
    /// The Ed25519 key of the ledger's owner, in hex
    #[arg(long, value_name = "HEX", requires = "check")]
    pub key: Option<String>,
    /// The federation's key, in hex, if the server cosigned
    #[arg(long, value_name = "HEX", requires = "check")]
    pub federation_key: Option<String>,
    /// Print one JSON object
    #[arg(long, requires = "check")]
    pub json: bool,
}

/// `ledger report`
#[derive(Debug, Args)]
pub struct LedgerReportArgs {
    /// Files that `ledger export` wrote; several make an overview
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// The folder to write to
    #[arg(long)]
    pub out: PathBuf,
    /// The region the server runs in, which no ledger records
    #[arg(long)]
    pub server_region: Option<Name>,
}
