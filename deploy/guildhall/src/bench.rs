//! `guildhall bench round`: real server and client processes on loopback with dummy training and no rows.

use std::time::{Duration, Instant};

use guildhall_privacy::accountant::zcdp::Calibration;
use guildhall_shared::id::Name;
use guildhall_shared::job::JobSpec;
use serde::Serialize;

use crate::cli::BenchRoundArgs;
use crate::error::{CommandError, Context as _};
use crate::process::{LocalFederation, Report, Terms, Usage};

/// What `bench round` prints with `--json`.
#[derive(Debug, Serialize)]
pub struct BenchRound {
    /// Clients.
    pub merchants: usize,
    /// d.
    pub parameters: usize,
    /// Rounds settled.
    pub rounds: u32,
    /// How updates were protected.
    pub mode: &'static str,
    /// From one settled round to the next, the first round left out.
    pub round_seconds: Spread,
    /// Every counted round.
    pub rounds_seconds: Vec<f64>,
    /// Clients killed in the second round.
    pub killed: usize,
    /// Seconds of the round in which clients were killed.
    pub killed_round_seconds: Option<f64>,
    /// Frame bytes the server received in the last round.
    pub bytes_up: u64,
    /// Frame bytes the server sent in the last round.
    pub bytes_down: u64,
    /// Of the whole run, start-up included.
    pub server: Usage,
    /// Of the whole run, start-up included.
    pub client: Usage,
}

/// Median and greatest.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    /// The middle one; of an even number the lower of the two.
    pub median: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// Of nothing: zeros.
    pub fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let median = sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(0.0);
        Spread { median, max: sorted.last().copied().unwrap_or(0.0) }
    }
}

/// Runs the benchmark in a folder that is thrown away.
pub fn round(arguments: &BenchRoundArgs) -> Result<BenchRound, CommandError> {
    if arguments.merchants == 0 || arguments.rounds < 2 || arguments.kill >= arguments.merchants {
        return Err(CommandError::message(
            "expected at least 1 merchant, 2 rounds and fewer killed clients than merchants",
        ));
    }
    let job = job(arguments)?;
    let folder = crate::folder::Folder::temporary()?;
    let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
    let mut federation = LocalFederation::start(folder.path())?;
    let names: Vec<Name> = (0..arguments.merchants)
        .map(|i| Name::new(format!("merchant-{i:03}")).context("a merchant's name"))
        .collect::<Result<_, _>>()?;
    for name in &names {
        // A dummy job reads no rows: any budget will do, and none of it is spent on anybody.
        let terms =
            Terms { budget_epsilon: 1_000.0, budget_delta: 1e-6, allow_privacy_none: true, data_table: None };
        runtime.block_on(federation.enrol(name, terms))?;
    }
    federation.begin(&job)?;
    for name in &names {
        federation.start_client(name)?;
    }
    measure(arguments, &mut federation)
}

fn measure(arguments: &BenchRoundArgs, federation: &mut LocalFederation) -> Result<BenchRound, CommandError> {
    let patience = Duration::from_secs(60) + Duration::from_millis(2 * arguments.deadline_ms);
    let mut settled: Vec<Instant> = Vec::new();
    let (mut bytes_up, mut bytes_down) = (0, 0);
    let mut killed_round = None;
    let mut last_usage = (Usage::default(), Usage::default());
    while settled.len() < arguments.rounds as usize {
        let wanted = |r: &Report| r.is_server("round_started") || r.is_server("round_settled");
        let report = federation.wait_for(patience, "the next round", wanted)?;
        if report.name() == "round_started" {
            if arguments.kill > 0 && killed_round.is_none() && settled.len() == 1 {
                federation.kill_clients(arguments.kill);
                killed_round = Some(settled.len());
            }
            continue;
        }
        settled.push(report.at);
        bytes_up = report.event["bytes_up"].as_u64().unwrap_or(0);
        bytes_down = report.event["bytes_down"].as_u64().unwrap_or(0);
        let client = federation.clients().first().map(|client| client.usage()).unwrap_or_default();
        last_usage = (federation.server_usage(), client);
    }
    let seconds: Vec<f64> = settled.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    Ok(BenchRound {
        merchants: arguments.merchants,
        parameters: arguments.parameters,
        rounds: arguments.rounds,
        mode: "plain",
        round_seconds: Spread::of(&seconds),
        killed: arguments.kill,
        killed_round_seconds: killed_round.and_then(|round| seconds.get(round - 1).copied()),
        rounds_seconds: seconds,
        bytes_up,
        bytes_down,
        server: last_usage.0,
        client: last_usage.1,
    })
}

fn job(arguments: &BenchRoundArgs) -> Result<JobSpec, CommandError> {
    let privacy = match arguments.noise {
        true => "privacy = { epsilon = 8.0, delta = 1e-6 }",
        false => "privacy = \"none\"",
    };
    let text = format!(
        "name = \"bench\"\npurpose = \"Measuring rounds; no rows\"\nseed = 1\nrounds = {}\nunit = \"shopper\"\n{privacy}\n\
         [task]\nkind = \"dummy\"\nparameters = {}\n[optimizer]\nkind = \"sgd\"\nlearning_rate = 1.0\nmomentum = 0.0\n\
         [clipping]\nnorm_l2 = 1.0\n[round]\nquorum = {}\nupdate_deadline_ms = {}\nexpected_shoppers = {}\nshoppers_per_merchant_max = 1\n",
        arguments.rounds,
        arguments.parameters,
        arguments.merchants - arguments.kill,
        arguments.deadline_ms,
        arguments.merchants,
    );
    JobSpec::parse(&text, &Calibration).map(|(job, _)| job).context("the benchmark's job")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_few() {
        let spread = Spread::of(&[3.0, 1.0, 2.0]);
        assert_eq!((spread.median, spread.max), (2.0, 3.0));
        assert_eq!(Spread::of(&[]).median, 0.0);
    }
}
