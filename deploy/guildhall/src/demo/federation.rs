//! The demo's real part: a server and one client for each merchant, all processes, from enrolment to a served model.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use guildhall_client::folder::Folder as ClientFolder;
use guildhall_client::model_store::ModelStore;
use guildhall_shared::id::Name;
use guildhall_shared::job::{Aggregation, JobSpec, PrivacySpec};
use guildhall_shared::model_state::ModelState;
use serde::Serialize;
use serde_json::Value;

use super::kill::Kill;
use super::progress::Progress;
use super::stage::{Stage, epsilon_after};
use super::{question, say};
use crate::error::{CommandError, Context as _};
use crate::process::{Fate, LocalFederation, Report, Terms};

/// How long to wait for one round before giving up.
const ROUND_PATIENCE: Duration = Duration::from_secs(120);

/// How long to wait until the last version is served.
const PREPARATION_PATIENCE: Duration = Duration::from_secs(60);

/// Attempts that the merchants' budgets have room for beyond one in each round: an attempt that is given up late has
/// been paid for.
const ATTEMPTS_SPARE: u32 = 3;

/// What the processes arrived at.
pub struct Outcome {
    /// Every version, from model 0; never empty.
    pub models: Vec<ModelState>,
    /// Hash of the last one.
    pub model_hash: String,
    /// From one settled round to the next.
    pub round_seconds: Vec<f64>,
    /// Attempts that were given up.
    pub aborted: u32,
    /// What became of the merchants that were killed, if any were.
    pub killed: Option<Killed>,
    /// The most that any merchant's ledger says was spent.
    pub epsilon_spent_max: f64,
    /// Where the first merchant serves predictions.
    pub served_at: SocketAddr,
    /// Who was asked.
    asked: Name,
    /// The answer of the served model.
    answer: Value,
}

/// Merchants that were killed, and the round they were killed in.
#[derive(Clone, Debug, Serialize)]
pub struct Killed {
    /// The round, from 0.
    pub round: u32,
    /// How many were killed.
    pub merchants: usize,
    /// Attempts of that round that were given up.
    pub attempts_given_up: u32,
    /// How many merchants are in the sum it settled with.
    pub survivors: usize,
    /// Seconds until it settled.
    pub seconds: f64,
}

impl Outcome {
    /// The last version.
    pub fn model(&self) -> &ModelState {
        // `run` refuses to return without versions.
        &self.models[self.models.len() - 1]
    }

    /// What the served model answered.
    pub fn answer(&self) -> &Value {
        &self.answer
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
pub fn run(market: &dyn Stage, kill: Option<Kill>, folder: &Path) -> Result<Outcome, CommandError> {
    let job = market.job();
    let mut federation = LocalFederation::start(folder)?;
    let names = market.merchants();
    let data_table = market.write_rows(folder, &|name| federation.client_folder(name))?;
    federation.enrol(&names, &terms(market, data_table))?;
    federation.begin(job)?;
    say(&format!(
        "{} merchants enrolled, each with its own keys, rows and ledger; starting their processes",
        names.len()
    ));
    if let Some(kill) = &kill {
        say(&kill.announcement());
    }
    for name in &names {
        federation.start_client(name, Kill::fate(kill.as_ref(), name))?;
    }
    let mut rounds = Rounds::new(market, kill);
    while rounds.seconds.len() < job.rounds as usize {
        rounds.follow(&mut federation)?;
    }
    rounds.progress.end();
    let (model_hash, epsilon_spent_max) = agreed_end(&mut federation)?;
    let models = versions(job, &federation)?;
    let asked = names.first().cloned().ok_or_else(|| CommandError::message("the market has no merchant"))?;
    let served_at = served_at(&federation, &asked)?;
    let (path, question) = market.question();
    let answer = answer_of_the_last(served_at, path, &question, job.rounds)?;
    Ok(Outcome {
        models,
        model_hash,
        round_seconds: rounds.seconds,
        aborted: rounds.aborted,
        killed: rounds.killed,
        epsilon_spent_max,
        served_at,
        asked,
        answer,
    })
}

/// Asks until the last version answers: a model of many items is prepared behind the rounds' back.
fn answer_of_the_last(
    address: SocketAddr,
    path: &str,
    question: &Value,
    version: u32,
) -> Result<Value, CommandError> {
    let asked = Instant::now();
    loop {
        let answer = question::post(address, path, question)?;
        if answer["model"]["version"] == version || asked.elapsed() > PREPARATION_PATIENCE {
            return Ok(answer);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn terms(market: &dyn Stage, data_table: String) -> Terms {
    let job = market.job();
    let spare = epsilon_after(market, job.rounds + ATTEMPTS_SPARE);
    let (budget_epsilon, budget_delta, allow_privacy_none) = match job.privacy {
        PrivacySpec::Gaussian { epsilon, delta, .. } => (spare.unwrap_or(epsilon), delta, false),
        PrivacySpec::None { .. } => (1.0, 1e-6, true),
    };
    Terms {
        budget_epsilon,
        budget_delta,
        allow_plain_mode: job.round.aggregation == Aggregation::Plain,
        allow_privacy_none,
        data_table: Some(data_table),
    }
}

/// The rounds as they come.
struct Rounds<'a> {
    market: &'a dyn Stage,
    kill: Option<Kill>,
    /// Who is dead now.
    dead: Vec<Name>,
    killed: Option<Killed>,
    seconds: Vec<f64>,
    aborted: u32,
    last: Option<Instant>,
    progress: Progress,
}

impl<'a> Rounds<'a> {
    fn new(market: &'a dyn Stage, kill: Option<Kill>) -> Self {
        Rounds {
            market,
            kill,
            dead: vec![],
            killed: None,
            seconds: vec![],
            aborted: 0,
            last: None,
            progress: Progress::new(market.job().rounds),
        }
    }

    /// Waits for the next thing that happens and acts on it.
    fn follow(&mut self, federation: &mut LocalFederation) -> Result<(), CommandError> {
        const NAMES: [&str; 6] =
            ["round_settled", "round_aborted", "round_stage", "stage", "halted", "stopped"];
        let wanted = |r: &Report| NAMES.contains(&r.name());
        let report = federation.wait_for(ROUND_PATIENCE, "the next round", wanted)?;
        match report.name() {
            "round_stage" | "stage" => self.progress.stage(&report),
            "halted" => self.kill(&report, federation),
            "round_aborted" => {
                self.aborted += 1;
                self.progress.line(&format!(
                    "attempt {} of round {} was given up: {}",
                    report.event["attempt"],
                    self.seconds.len() + 1,
                    report.event["reason"]
                ));
                if let Some(killed) = &mut self.killed {
                    killed.attempts_given_up += 1;
                }
                self.revive(federation)?;
            }
            "round_settled" => {
                self.settled(&report);
                self.revive(federation)?;
            }
            _ => {
                let reason = &report.event["reason"];
                return Err(CommandError::message(format!("a client refuses to go on: {reason}")));
            }
        }
        Ok(())
    }

    /// All victims at once, as soon as the last of them has come to where it shall die.
    fn kill(&mut self, report: &Report, federation: &mut LocalFederation) {
        let (Some(kill), Some(merchant)) = (&self.kill, &report.merchant) else { return };
        self.dead.push(merchant.clone());
        if self.dead.len() < kill.victims.len() {
            return;
        }
        federation.kill(&self.dead);
        self.progress.line(&format!(
            "round {}: {} merchant(s) killed with SIGKILL; their shares are dealt, their masked updates never left",
            kill.round + 1,
            self.dead.len()
        ));
        self.killed = Some(Killed {
            round: kill.round,
            merchants: self.dead.len(),
            attempts_given_up: 0,
            survivors: 0,
            seconds: 0.0,
        });
    }

    /// The dead come back: they go on with what their disks hold, and never mask again what they masked.
    fn revive(&mut self, federation: &mut LocalFederation) -> Result<(), CommandError> {
        if self.killed.is_none() || self.dead.is_empty() {
            return Ok(());
        }
        self.progress.line(&format!("{} merchant(s) are started again", self.dead.len()));
        std::mem::take(&mut self.dead)
            .iter()
            .try_for_each(|name| federation.start_client(name, Fate::Healthy))
    }

    fn settled(&mut self, report: &Report) {
        // The first round has no predecessor: the server measured it from its offer on.
        let seconds = match self.last.replace(report.at) {
            Some(last) => (report.at - last).as_secs_f64(),
            None => report.event["seconds"].as_f64().unwrap_or(0.0),
        };
        self.seconds.push(seconds);
        let settled = self.seconds.len() as u32;
        let spent = epsilon_after(self.market, settled)
            .map_or_else(|| "NO PRIVACY".to_string(), |epsilon| format!("epsilon spent {epsilon:.2}"));
        let merchants = report.event["merchants"].as_array().map_or(0, Vec::len);
        let model: String = report.event["model"].as_str().unwrap_or_default().chars().take(8).collect();
        let line = format!(
            "round {settled:>3}/{}  {merchants} merchants  {seconds:.3} s  {spent}  model {model}",
            self.market.job().rounds
        );
        match &mut self.killed {
            Some(killed) if killed.round + 1 == settled => {
                killed.survivors = merchants;
                killed.seconds = seconds;
                self.progress.round(&line);
                self.progress.line(&match killed.attempts_given_up {
                    0 => format!(
                        "round {settled} ended with the sum of {merchants} survivors; the masks of the dead were taken off with the shares they had dealt"
                    ),
                    _ => format!(
                        "round {settled} ended with the sum of {merchants} merchants, in a new attempt with new keys"
                    ),
                });
            }
            _ => self.progress.round(&line),
        }
    }
}

/// Waits until every client has reported the end, its model's hash and what it spent; compares the hashes with the server's.
fn agreed_end(federation: &mut LocalFederation) -> Result<(String, f64), CommandError> {
    let clients = federation.clients().len();
    let mut expected: Option<String> = None;
    let (mut finished, mut spent) = (0, 0.0f64);
    while finished < clients || expected.is_none() {
        let wanted =
            |r: &Report| r.is_server("job_finished") || (r.merchant.is_some() && r.name() == "finished");
        let report = federation.wait_for(ROUND_PATIENCE, "every client to finish", wanted)?;
        let found = report.event["model"].as_str().unwrap_or_default().to_string();
        finished += usize::from(report.merchant.is_some());
        spent = spent.max(report.event["epsilon_spent"].as_f64().unwrap_or(0.0));
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
    let expected = expected.ok_or_else(|| CommandError::message("nobody reported a model"))?;
    Ok((expected, spent))
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
