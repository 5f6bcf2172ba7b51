//! `guildhall bench round`: real server and client processes on loopback with dummy training and no rows.

mod deaths;

use std::fmt;
use std::time::{Duration, Instant};

use guildhall_shared::id::Name;
use guildhall_shared::job::JobSpec;
use guildhall_shared::round_parameters::{RoundMode, RoundParameters};
use serde::Serialize;

use super::{Dummy, NO_PRIVACY, Spread};
use crate::cli::BenchRoundArgs;
use crate::error::{CommandError, Context as _};
use crate::process::{Fate, LocalFederation, Report, Terms, Usage};
use deaths::Deaths;

/// What `bench round` prints with `--json`.
#[derive(Debug, Serialize)]
pub struct BenchRound {
    /// Clients.
    pub merchants: usize,
    /// d.
    pub parameters: usize,
    /// Rounds settled.
    pub rounds: u32,
    /// How updates travelled and were protected.
    pub mode: &'static str,
    /// Merchants below which a round does not settle.
    pub quorum: u32,
    /// From one settled round to the next, without the first round and those in which clients were killed.
    pub round_seconds: Spread,
    /// Every counted round, in order.
    pub each_round: Vec<RoundFigures>,
    /// Clients killed in every second round.
    pub killed: usize,
    /// The rounds in which clients were killed: the median.
    pub killed_round_seconds: Option<f64>,
    /// Attempts that ended without a result.
    pub aborted: u32,
    /// Frame bytes the server received in the last round with most merchants.
    pub bytes_up: u64,
    /// Frame bytes the server sent in it.
    pub bytes_down: u64,
    /// [`BenchRound::bytes_up`] for each merchant in it.
    pub bytes_up_per_merchant: u64,
    /// Bytes of one vector of ring words.
    pub vector_bytes: usize,
    /// Of the whole run, start-up included.
    pub server: Usage,
    /// Of one client that lived all along, start-up included.
    pub client: Usage,
    /// Mean over the counted rounds.
    pub server_processor_seconds_per_round: f64,
    /// Mean over the counted rounds, of the same client.
    pub client_processor_seconds_per_round: f64,
}

/// One counted round.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct RoundFigures {
    /// From the settled round before to this one.
    pub seconds: f64,
    /// From the offer to the durable result, as the server measures it.
    pub attempt_seconds: f64,
    /// Merchants in the sum.
    pub merchants: usize,
    /// Clients killed in it.
    pub killed: usize,
    /// Frame bytes the server received.
    pub bytes_up: u64,
    /// Frame bytes the server sent.
    pub bytes_down: u64,
}

/// Runs the benchmark in a folder that is thrown away.
pub fn round(arguments: &BenchRoundArgs) -> Result<BenchRound, CommandError> {
    if arguments.merchants == 0 || arguments.rounds < 2 || arguments.kill >= arguments.merchants {
        return Err(CommandError::message(
            "expected at least 1 merchant, 2 rounds and fewer killed clients than merchants",
        ));
    }
    let job = job(arguments)?;
    let parameters = parameters(arguments, &job)?;
    let folder = crate::folder::Folder::temporary()?;
    let mut federation = LocalFederation::start(folder.path())?;
    let names: Vec<Name> = (0..arguments.merchants)
        .map(|i| Name::new(format!("merchant-{i:03}")).context("a merchant's name"))
        .collect::<Result<_, _>>()?;
    // A dummy job reads no rows: any budget will do, and none of it is spent on anybody.
    let terms = Terms {
        budget_epsilon: 1_000.0,
        budget_delta: 1e-6,
        allow_plain_mode: arguments.plain,
        allow_privacy_none: true,
        data_table: None,
    };
    federation.enrol(&names, &terms)?;
    federation.begin(&job)?;
    let deaths = Deaths::new(&names, arguments.kill, arguments.rounds);
    for name in &names {
        federation.start_client(name, deaths.fate(name, 0))?;
    }
    Measurement::new(arguments, deaths, &names).run(&mut federation, &job, &parameters)
}

fn job(arguments: &BenchRoundArgs) -> Result<JobSpec, CommandError> {
    Dummy {
        parameters: arguments.parameters,
        rounds: arguments.rounds,
        merchants: arguments.merchants,
        // Masked rounds have a quorum of their own.
        quorum: if arguments.plain { arguments.merchants - arguments.kill } else { 1 },
        deadline_ms: arguments.deadline_ms,
        privacy: if arguments.noise { "privacy = { epsilon = 8.0, delta = 1e-6 }" } else { NO_PRIVACY },
        aggregation: if arguments.plain { "plain" } else { "masked" },
    }
    .job()
}

fn parameters(arguments: &BenchRoundArgs, job: &JobSpec) -> Result<RoundParameters, CommandError> {
    let parameters = RoundParameters::derive(job, arguments.merchants as u32)
        .context("masked rounds (without masks: --plain)")?;
    let spare = arguments.merchants as u32 - parameters.quorum;
    if arguments.kill as u32 > spare {
        return Err(CommandError::message(format!(
            "--kill: of {} merchants a masked round survives the loss of {spare} at most, found {}",
            arguments.merchants, arguments.kill
        )));
    }
    Ok(parameters)
}

struct Measurement {
    rounds: u32,
    patience: Duration,
    deaths: Deaths,
    /// Whose processor time is measured: a merchant that lives all along.
    observed: Option<Name>,
    settled_at: Option<Instant>,
    settled: u32,
    /// Killed in the running round.
    dead: Vec<Name>,
    /// The round after that in which they died.
    next_round: u32,
    aborted: u32,
    counted: Vec<RoundFigures>,
    first: (Usage, Usage),
    last: (Usage, Usage),
}

impl Measurement {
    fn new(arguments: &BenchRoundArgs, deaths: Deaths, names: &[Name]) -> Self {
        Measurement {
            rounds: arguments.rounds,
            patience: Duration::from_secs(60) + Duration::from_millis(3 * arguments.deadline_ms),
            observed: names.iter().find(|name| deaths.fate(name, 0) == Fate::Healthy).cloned(),
            deaths,
            settled_at: None,
            settled: 0,
            dead: vec![],
            next_round: 0,
            aborted: 0,
            counted: vec![],
            first: Default::default(),
            last: Default::default(),
        }
    }

    fn run(
        mut self,
        federation: &mut LocalFederation,
        job: &JobSpec,
        parameters: &RoundParameters,
    ) -> Result<BenchRound, CommandError> {
        while self.settled < self.rounds {
            let wanted = |r: &Report| {
                matches!(r.name(), "round_settled" | "round_aborted")
                    || r.name() == "halted"
                    || r.name() == "stopped"
            };
            let report = federation.wait_for(self.patience, "the next round", wanted)?;
            match report.name() {
                "halted" => self.kill(&report, federation),
                "stopped" => {
                    let reason = &report.event["reason"];
                    return Err(CommandError::message(format!("a client refuses to go on: {reason}")));
                }
                "round_aborted" => {
                    self.aborted += 1;
                    self.revive(federation)?;
                }
                _ => self.settle(&report, federation)?,
            }
        }
        Ok(self.figures(job, parameters))
    }

    /// Its keys and shares are out, its update is not: that is where it dies.
    fn kill(&mut self, report: &Report, federation: &mut LocalFederation) {
        if let Some(merchant) = &report.merchant {
            federation.kill(std::slice::from_ref(merchant));
            self.dead.push(merchant.clone());
            self.next_round = report.event["round"].as_u64().map_or(0, |round| round as u32 + 1);
        }
    }

    fn settle(&mut self, report: &Report, federation: &mut LocalFederation) -> Result<(), CommandError> {
        let observed = federation.clients().iter().find(|c| Some(&c.merchant) == self.observed.as_ref());
        let used = (federation.server_usage(), observed.map(|client| client.usage()).unwrap_or_default());
        let count = |key: &str| report.event[key].as_u64().unwrap_or(0);
        if let Some(before) = self.settled_at {
            self.counted.push(RoundFigures {
                seconds: (report.at - before).as_secs_f64(),
                attempt_seconds: report.event["seconds"].as_f64().unwrap_or(0.0),
                merchants: report.event["merchants"].as_array().map_or(0, Vec::len),
                killed: self.dead.len(),
                bytes_up: count("bytes_up"),
                bytes_down: count("bytes_down"),
            });
        } else {
            self.first = used;
        }
        self.last = used;
        self.settled_at = Some(report.at);
        self.settled += 1;
        // Only now, so that the deadline is what ends the round of the dead.
        self.revive(federation)
    }

    fn revive(&mut self, federation: &mut LocalFederation) -> Result<(), CommandError> {
        for name in std::mem::take(&mut self.dead) {
            federation.start_client(&name, self.deaths.fate(&name, self.next_round))?;
        }
        Ok(())
    }

    fn figures(self, job: &JobSpec, parameters: &RoundParameters) -> BenchRound {
        let seconds = |killed: bool| -> Vec<f64> {
            self.counted.iter().filter(|r| (r.killed > 0) == killed).map(|r| r.seconds).collect()
        };
        let killed_rounds = seconds(true);
        let most = self.counted.iter().max_by_key(|round| round.merchants);
        let (bytes_up, bytes_down, present) =
            most.map_or((0, 0, 1), |round| (round.bytes_up, round.bytes_down, round.merchants.max(1)));
        let per_round = |first: Usage, last: Usage| {
            (last.processor_seconds - first.processor_seconds) / self.counted.len().max(1) as f64
        };
        BenchRound {
            merchants: parameters.merchants as usize,
            parameters: parameters.parameters as usize,
            rounds: self.rounds,
            mode: RoundMode::of(job).label(),
            quorum: parameters.quorum,
            round_seconds: Spread::of(&seconds(false)),
            killed: self.deaths.count(),
            killed_round_seconds: (!killed_rounds.is_empty()).then(|| Spread::of(&killed_rounds).median),
            aborted: self.aborted,
            bytes_up,
            bytes_down,
            bytes_up_per_merchant: bytes_up / present as u64,
            vector_bytes: parameters.vector_bytes(),
            server: self.last.0,
            client: self.last.1,
            server_processor_seconds_per_round: per_round(self.first.0, self.last.0),
            client_processor_seconds_per_round: per_round(self.first.1, self.last.1),
            each_round: self.counted,
        }
    }
}

impl fmt::Display for BenchRound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        writeln!(f, "{} merchants x {} parameters, {} rounds", self.merchants, self.parameters, self.rounds)?;
        writeln!(f, "mode: {}; rounds settle with {} merchants or more", self.mode, self.quorum)?;
        writeln!(
            f,
            "seconds per round  median {:.3}  max {:.3}",
            self.round_seconds.median, self.round_seconds.max
        )?;
        if let Some(seconds) = self.killed_round_seconds {
            writeln!(f, "rounds in which {} client(s) were killed  median {seconds:.3} s", self.killed)?;
        }
        if self.aborted > 0 {
            writeln!(f, "{} attempt(s) ended without a result", self.aborted)?;
        }
        writeln!(f, "bytes per round    up {}  down {}", self.bytes_up, self.bytes_down)?;
        writeln!(
            f,
            "bytes up for each merchant  {}, {:.4} times its vector of {} bytes",
            self.bytes_up_per_merchant,
            self.bytes_up_per_merchant as f64 / self.vector_bytes as f64,
            self.vector_bytes
        )?;
        let processes = [
            ("server", self.server, self.server_processor_seconds_per_round),
            ("one client", self.client, self.client_processor_seconds_per_round),
        ];
        for (name, usage, per_round) in processes {
            writeln!(
                f,
                "{name:<11} {per_round:.3} processor-seconds a round, {:.2} in all, peak memory {:.0} MiB",
                usage.processor_seconds,
                mebibytes(usage.peak_memory_bytes)
            )?;
        }
        Ok(())
    }
}
