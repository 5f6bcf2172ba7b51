//! The demo's real part: a server and one client for each merchant, all processes, from enrolment to a served model.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use guildhall_client::folder::Folder as ClientFolder;
use guildhall_client::model_store::ModelStore;
use guildhall_shared::id::Name;
use guildhall_shared::job::{JobSpec, PrivacySpec};
use guildhall_shared::model_state::ModelState;
use serde_json::Value;

use super::market::Market;
use super::{epsilon_after, question, say};
use crate::error::{CommandError, Context as _};
use crate::process::{LocalFederation, Report, Terms};

/// How long to wait for one round before giving up.
const ROUND_PATIENCE: Duration = Duration::from_secs(120);

/// What the processes arrived at.
pub struct Outcome {
    /// Every version, from model 0; never empty.
    pub models: Vec<ModelState>,
    /// Hash of the last one.
    pub model_hash: String,
    /// From one settled round to the next.
    pub round_seconds: Vec<f64>,
    /// Where the first merchant serves predictions.
    pub served_at: SocketAddr,
    /// Who was asked.
    asked: Name,
    /// The answer of the served model.
    answer: Value,
}

impl Outcome {
    /// The last version.
    pub fn model(&self) -> &ModelState {
        // `run` refuses to return without versions.
        &self.models[self.models.len() - 1]
    }

    /// The question and its answer, for people.
    pub fn question_text(&self) -> String {
        format!(
            "Asked {}'s served model at http://{}/v1/predict about one shopper: {}\n",
            self.asked, self.served_at, self.answer
        )
    }
}

/// Runs the job between real processes.
pub fn run(market: &Market, job: &JobSpec, folder: &Path) -> Result<Outcome, CommandError> {
    let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
    let mut federation = LocalFederation::start(folder)?;
    let names = market.merchants();
    let data_table = market.write_rows(folder, |name| federation.client_folder(name))?;
    for name in &names {
        let (budget_epsilon, budget_delta, allow_privacy_none) = match job.privacy {
            PrivacySpec::Gaussian { epsilon, delta, .. } => (epsilon, delta, false),
            PrivacySpec::None { .. } => (1.0, 1e-6, true),
        };
        let data_table = Some(data_table.clone());
        runtime.block_on(
            federation.enrol(name, Terms { budget_epsilon, budget_delta, allow_privacy_none, data_table }),
        )?;
    }
    federation.begin(job)?;
    say(&format!(
        "{} merchants enrolled, each with its own keys, rows and ledger; starting their processes",
        names.len()
    ));
    for name in &names {
        federation.start_client(name)?;
    }
    let round_seconds = follow_rounds(job, &mut federation)?;
    let model_hash = agreed_hash(&mut federation)?;
    let models = versions(job, &federation)?;
    let asked = names.first().cloned().ok_or_else(|| CommandError::message("the market has no merchant"))?;
    let served_at = served_at(&federation, &asked)?;
    let answer = question::post(served_at, "/v1/predict", &market.question())?;
    Ok(Outcome { models, model_hash, round_seconds, served_at, asked, answer })
}

fn follow_rounds(job: &JobSpec, federation: &mut LocalFederation) -> Result<Vec<f64>, CommandError> {
    let mut seconds = Vec::new();
    let mut last: Option<Instant> = None;
    let mut progress = Progress::new(job.rounds);
    while seconds.len() < job.rounds as usize {
        let wanted = |r: &Report| {
            r.is_server("round_settled") || r.is_server("round_aborted") || r.name() == "stopped"
        };
        let report = federation.wait_for(ROUND_PATIENCE, "the next round", wanted)?;
        if report.name() != "round_settled" {
            progress.line(&format!("{}", report.event));
            if report.name() == "stopped" {
                return Err(CommandError::message(format!(
                    "a client refuses to go on: {}",
                    report.event["reason"]
                )));
            }
            continue;
        }
        // The first round has no predecessor: the server measured it from its offer on.
        let round_seconds = match last {
            Some(last) => (report.at - last).as_secs_f64(),
            None => report.event["seconds"].as_f64().unwrap_or(0.0),
        };
        last = Some(report.at);
        seconds.push(round_seconds);
        let spent = epsilon_after(job, seconds.len() as u32, 1)
            .map_or_else(|| "NO PRIVACY".to_string(), |epsilon| format!("epsilon spent {epsilon:.2}"));
        let merchants = report.event["merchants"].as_array().map_or(0, Vec::len);
        let model: String = report.event["model"].as_str().unwrap_or_default().chars().take(8).collect();
        progress.round(&format!(
            "round {:>3}/{}  {merchants} merchants  {round_seconds:.3} s  {spent}  model {model}",
            seconds.len(),
            job.rounds
        ));
    }
    progress.end();
    Ok(seconds)
}

/// Waits until every client has reported the end and its hash, and compares them with the server's.
fn agreed_hash(federation: &mut LocalFederation) -> Result<String, CommandError> {
    let clients = federation.clients().len();
    let mut expected: Option<String> = None;
    let mut finished = 0;
    while finished < clients || expected.is_none() {
        let wanted =
            |r: &Report| r.is_server("job_finished") || (r.merchant.is_some() && r.name() == "finished");
        let report = federation.wait_for(ROUND_PATIENCE, "every client to finish", wanted)?;
        let found = report.event["model"].as_str().unwrap_or_default().to_string();
        finished += usize::from(report.merchant.is_some());
        match &expected {
            Some(expected) if *expected != found => {
                let who = report.merchant.map_or_else(|| "the server".to_string(), |name| name.to_string());
                return Err(CommandError::message(format!(
                    "{who} arrived at model {found}, the others at {expected}"
                )));
            }
            _ => expected = Some(found),
        }
    }
    expected.ok_or_else(|| CommandError::message("nobody reported a model"))
}

/// Every version as the first client keeps it.
fn versions(job: &JobSpec, federation: &LocalFederation) -> Result<Vec<ModelState>, CommandError> {
    let client = federation.clients().first().ok_or_else(|| CommandError::message("no client is running"))?;
    let folder = ClientFolder::at(&client.folder).models(&job.digest());
    let mut store = ModelStore::open(&folder, job).context(folder.display())?;
    let mut models = vec![ModelState::initial(job)];
    for version in 1..=job.rounds {
        // Only so many bytes are kept: of a large model the oldest versions are gone.
        if let Some(stored) = store.load(version).context(folder.display())? {
            models.push(stored.state);
        }
    }
    Ok(models)
}

fn served_at(federation: &LocalFederation, merchant: &Name) -> Result<SocketAddr, CommandError> {
    let path = ClientFolder::at(&federation.client_folder(merchant)).serve_address();
    let text = std::fs::read_to_string(&path).context(path.display())?;
    text.trim().parse().context(path.display())
}

/// One line that is overwritten on a terminal, every tenth line elsewhere.
struct Progress {
    rounds: u32,
    seen: u32,
    terminal: bool,
}

impl Progress {
    fn new(rounds: u32) -> Self {
        Progress { rounds, seen: 0, terminal: std::io::stderr().is_terminal() }
    }

    fn round(&mut self, text: &str) {
        self.seen += 1;
        if self.terminal {
            eprint!("\r{text}");
        } else if self.seen.is_multiple_of(10) || self.seen == 1 || self.seen == self.rounds {
            eprintln!("{text}");
        }
    }

    fn line(&self, text: &str) {
        if self.terminal {
            eprintln!();
        }
        eprintln!("{text}");
    }

    fn end(&self) {
        if self.terminal {
            eprintln!();
        }
    }
}
