//! What a person types.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use guildhall_shared::id::Name;

mod figures;
mod ledger;
mod read;
mod serving;

pub use figures::{CardArgs, EvaluateArgs, PlanArgs, SimulateArgs};
pub use ledger::{LedgerCommand, LedgerExportArgs, LedgerProveArgs, LedgerReportArgs, LedgerVerifyArgs};
pub use read::read;
pub use serving::{
    BenchServeArgs, FineTuneArgs, ModelCommand, ModelExportArgs, ModelListArgs, ModelUseArgs, Wanted,
};

/// Merchants learn together without pooling their shoppers' data.
#[derive(Debug, Parser)]
#[command(
    name = "guildhall",
    version,
    arg_required_else_help = true,
    after_help = "Start with `guildhall demo`."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// A whole federation on this machine: server, merchants, real rounds, a result table, a served model
    Demo(DemoArgs),
    /// The operator's side: make a federation, invite, close the roster, submit a job, run
    Server {
        /// The federation's folder
        #[arg(long, global = true, default_value = "guildhall-server")]
        dir: PathBuf,
        /// What to do
        #[command(subcommand)]
        command: ServerCommand,
    },
    /// Become a member: make keys, get enrolled, write the client's configuration
    Join(JoinArgs),
    /// Take part in rounds, keep the local model fresh, serve it
    Client(ClientArgs),
    /// Only serve the newest model, take part in nothing
    Serve(ServeArgs),
    /// The versions a client keeps, and which one it serves
    Model {
        /// What to do
        #[command(subcommand)]
        command: ModelCommand,
    },
    /// Train a job with simulated merchants in this process and compare it with what they could do alone
    Simulate(SimulateArgs),
    /// How good a client's released model is on the merchant's own held-out rows; nothing is sent
    Evaluate(EvaluateArgs),
    /// Train a released version on this merchant's own rows, for itself: a copy outside the privacy claim that never leaves
    FineTune(FineTuneArgs),
    /// Before spending anything: noise against signal, shoppers needed, epsilon by rounds
    Plan(PlanArgs),
    /// The card of a job's model: what it is, whom it protects how far, what it is for and what not
    Card(CardArgs),
    /// Privacy arithmetic
    Privacy {
        /// What to compute
        #[command(subcommand)]
        command: PrivacyCommand,
    },
    /// Look for what the mechanism or a whole job leaks. Finds faults, proves nothing
    Audit(AuditArgs),
    /// Privacy ledgers: export one, verify an export, prove an entry, write the audit report
    Ledger {
        /// What to do
        #[command(subcommand)]
        command: LedgerCommand,
    },
    /// Look at data, or get the demo's
    Data {
        /// What to do
        #[command(subcommand)]
        command: DataCommand,
    },
    /// What this machine or network can carry
    Bench {
        /// What to measure
        #[command(subcommand)]
        command: BenchCommand,
    },
}

/// Who the demo's merchants are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum MerchantsBy {
    /// The retailer's largest stores, each knowing all households that shop there
    #[value(alias = "stores")]
    Store,
    /// Nine departments of a retailer, each knowing a tenth of its households
    #[value(alias = "departments")]
    Department,
}

/// What a demo is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DemoTask {
    /// Will a household buy again? On a retailer's receipts
    Repurchase,
    /// What goes together? On MovieLens-100k, fetched with pip, or on --data
    Recommend,
}

/// `demo`
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Who the merchants are
    #[arg(long, value_enum, default_value = "store")]
    pub by: MerchantsBy,
    /// What is learnt: who will buy again, or what goes together
    #[arg(long, value_enum, default_value = "repurchase")]
    pub task: DemoTask,
    /// The reader's own data: a folder with one .csv or .parquet file of baskets per merchant; with --task recommend one such
    /// file of shoppers and items, dealt out to merchants by a hash of the shopper
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// Column with the shopper, of --task recommend on --data
    #[arg(long, default_value = "shopper_id")]
    pub shopper: String,
    /// Column with the item, of --task recommend on --data
    #[arg(long, default_value = "item_id")]
    pub item: String,
    /// Column that orders a shopper's items, of --task recommend on --data; without it the rows are in order
    #[arg(long)]
    pub time: Option<String>,
    /// Share of its households each merchant knows [default: 1.0 for stores, 0.1 for departments]
    #[arg(long)]
    pub share: Option<f64>,
    /// Privacy budget of the whole job for one shopper [default: the job's]
    #[arg(long)]
    pub epsilon: Option<f64>,
    /// Rounds [default: the job's]
    #[arg(long)]
    pub rounds: Option<u32>,
    /// Number of merchants, each a process [default: 100 stores, 9 departments, 10 with --task recommend]
    #[arg(long)]
    pub merchants: Option<usize>,
    /// Kill this many merchants with SIGKILL in the middle of a round, after they dealt their shares and before their
    /// masked update, and bring them back later. Of 100 merchants a round survives the loss of 20; beyond, it is aborted
    /// and tried again when they are back
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub kill: usize,
    /// Plain mode: no masks, every merchant adds its full noise, the server reads each noised update. For fewer than three
    /// merchants, and for comparison
    #[arg(long)]
    pub plain: bool,
    /// Draws the figures are averaged over; the first is the one that runs in processes. A draw is another share of the
    /// households, or, where each merchant knows all of its households, other noise
    #[arg(long, default_value_t = 3)]
    pub draws: u64,
    /// Keep everything (keys, ledgers, models, logs, a picture) in this folder
    #[arg(long)]
    pub keep: Option<PathBuf>,
    /// Print one JSON object at the end
    #[arg(long)]
    pub json: bool,
}

/// `server …`
#[derive(Debug, Subcommand)]
pub enum ServerCommand {
    /// Make a federation: authority key, certificates, configuration
    Init {
        /// The federation's name
        #[arg(long, default_value = "guildhall")]
        name: Name,
        /// Where merchants will reach the server
        #[arg(long, default_value = "127.0.0.1:4433")]
        address: SocketAddr,
    },
    /// Print a one-time invitation for a merchant
    Invite {
        /// The merchant's name
        merchant: Name,
    },
    /// The list of merchants
    Roster {
        /// What to do
        #[command(subcommand)]
        command: RosterCommand,
    },
    /// Jobs
    Job {
        /// What to do
        #[command(subcommand)]
        command: JobCommand,
    },
    /// The model's versions
    Versions,
    /// Go back to an earlier version; every client follows
    RollBack {
        /// The version
        version: u32,
    },
    /// What the federation is doing
    Status,
    /// Run the server
    Run {
        /// Print one JSON object per event on standard output
        #[arg(long)]
        events: bool,
    },
}

/// `server roster …`
#[derive(Debug, Subcommand)]
pub enum RosterCommand {
    /// Pin the list of merchants; nobody can join after
    Close,
}

/// `server job …`
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// Submit a job file; its rounds begin once a quorum is connected
    Submit {
        /// The job file
        file: PathBuf,
    },
}

/// `join`
#[derive(Debug, Args)]
pub struct JoinArgs {
    /// The text that `guildhall server invite` printed
    pub invitation: String,
    /// The client's folder
    #[arg(long, default_value = "guildhall-client")]
    pub dir: PathBuf,
    /// Where the merchant's rows live
    #[arg(long, default_value = "local")]
    pub region: Name,
    /// Privacy budget of one shopper over all jobs
    #[arg(long)]
    pub budget_epsilon: f64,
    /// Delta of the budget
    #[arg(long)]
    pub budget_delta: f64,
    /// TOML file with a `data` table, as `guildhall data check FILE` suggests; without it the client only follows jobs
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// Take part in plain rounds too, in which no masks hide the noised update from the server
    #[arg(long)]
    pub allow_plain_mode: bool,
}

/// `client`
#[derive(Debug, Args)]
pub struct ClientArgs {
    /// The configuration that `guildhall join` wrote
    #[arg(long, default_value = "guildhall-client/client.toml")]
    pub config: PathBuf,
    /// Print one JSON object per event on standard output
    #[arg(long)]
    pub events: bool,
    /// End when the job is finished
    #[arg(long)]
    pub exit_when_finished: bool,
}

/// `serve`
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The configuration that `guildhall join` wrote
    #[arg(long, default_value = "guildhall-client/client.toml")]
    pub config: PathBuf,
}

/// How deep an audit looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum AuditTier {
    /// The mechanism: thousands of releases of a small model at the audit's own noise; seconds
    A,
    /// Canaries: one staging run of a whole job at the job's own noise
    B,
}

/// `audit`
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// How deep to look
    #[arg(long, value_enum, default_value = "a")]
    pub tier: AuditTier,
    /// Tier A: runs with the worst shopper, and as many without; below 200 nothing can be concluded
    #[arg(long, default_value_t = 1_000)]
    pub runs: usize,
    /// Number of merchants of the audited federation
    #[arg(long, default_value_t = 5)]
    pub merchants: u32,
    /// Tier B: the job to stage [default: one without rows, with room for enough canaries]
    #[arg(long)]
    pub job: Option<PathBuf>,
    /// Tier B: epsilon of the staged job where none is given
    #[arg(long, default_value_t = 4.0, conflicts_with = "job")]
    pub epsilon: f64,
    /// Record the result in the ledger of this client, which must not be running
    #[arg(long, value_name = "CLIENT_TOML")]
    pub record: Option<PathBuf>,
    /// Audit a program with this fault instead, which must be found
    #[cfg(feature = "audit-mutants")]
    #[arg(long, value_enum)]
    pub mutant: Option<crate::audit::mutants::Mutant>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `privacy …`
#[derive(Debug, Subcommand)]
pub enum PrivacyCommand {
    /// Epsilon of a zCDP rho, or of a noise multiplier over rounds
    Epsilon(EpsilonArgs),
}

/// How losses are added up and turned into epsilon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Accountant {
    /// What ledgers charge: exact sums, no amplification by sampling
    Zcdp,
    /// Renyi losses: fast, knows Poisson sampling
    Rdp,
    /// The distribution of the loss: tight, knows Poisson sampling
    Pld,
}

/// `privacy epsilon`
#[derive(Debug, Args)]
pub struct EpsilonArgs {
    /// The accountant
    #[arg(long, value_enum, default_value = "zcdp")]
    pub accountant: Accountant,
    /// Total rho. With pld it is taken as that of Gaussian noise
    #[arg(long, required_unless_present = "noise_multiplier", conflicts_with = "noise_multiplier")]
    pub rho: Option<f64>,
    /// Standard deviation of the noise over the clip
    #[arg(long, requires = "rounds")]
    pub noise_multiplier: Option<f64>,
    /// Rounds
    #[arg(long, requires = "noise_multiplier")]
    pub rounds: Option<u32>,
    /// Probability with which every shopper enters a round, by an independent secret coin; rdp and pld only [default: 1]
    #[arg(long, requires = "noise_multiplier")]
    pub sampling_rate: Option<f64>,
    /// Delta
    #[arg(long)]
    pub delta: f64,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `data …`
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Explain what a CSV or Parquet file holds, or what a client's schema makes of it
    Check {
        /// The file
        file: PathBuf,
        /// A client.toml whose `data` table describes the file
        #[arg(long)]
        schema: Option<PathBuf>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Get a public data set and derive the demo's extract from it
    Fetch {
        /// Which: complete-journey or movielens
        name: String,
        /// Where to put the extract
        #[arg(long, default_value = "deploy/samples/data")]
        out: PathBuf,
    },
}

/// `bench …`
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Rounds of real processes on loopback, with dummy training: masked, unless --plain
    Round(BenchRoundArgs),
    /// The arithmetic of one masked attempt in this process: keys, shares, masks, certificates; no network, no noise
    Aggregation(BenchAggregationArgs),
    /// Recommendations: inside the process and over HTTP on loopback, from invented vectors
    Serve(BenchServeArgs),
}

/// `bench round`
#[derive(Debug, Args)]
pub struct BenchRoundArgs {
    /// Number of client processes
    #[arg(long, default_value_t = 10)]
    pub merchants: usize,
    /// Parameters of the model
    #[arg(long, default_value_t = 1_000_000)]
    pub parameters: usize,
    /// Rounds; the first is not counted
    #[arg(long, default_value_t = 6)]
    pub rounds: u32,
    /// Plain rounds: no masks, the server reads each update
    #[arg(long)]
    pub plain: bool,
    /// Kill this many clients in every second round, after keys and shares are exchanged and before their masked vector is
    /// sent; they are started again after the round
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub kill: usize,
    /// Milliseconds until missing updates are no longer awaited
    #[arg(long, default_value_t = 30_000)]
    pub deadline_ms: u64,
    /// Draw noise too. Without it the rounds protect nobody and say so
    #[arg(long)]
    pub noise: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `bench aggregation`
#[derive(Debug, Args)]
pub struct BenchAggregationArgs {
    /// Number of merchants; from 129 on with the sparse graph
    #[arg(long, default_value_t = 100)]
    pub merchants: usize,
    /// Parameters of the model
    #[arg(long, default_value_t = 1 << 20)]
    pub parameters: usize,
    /// Merchants that vanish after their shares and before their masked vector
    #[arg(long, default_value_t = 0)]
    pub dropouts: usize,
    /// Threads that the clients share [default: one for each core]
    #[arg(long)]
    pub threads: Option<usize>,
    /// Words of 64 bits, as jobs with noise need them, instead of the narrowest that hold the sum
    #[arg(long)]
    pub wide: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}
