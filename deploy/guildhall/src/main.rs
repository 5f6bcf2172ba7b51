//! `guildhall`: one binary for operators, merchants, engineers and readers. Data flows from [`cli`] to one module per
//! command; exit codes are 0 (done), 1 (an error that says what to do) and 2 (wrong usage); [`ledger`] has verdicts of its own.

mod audit;
mod bench;
mod card;
mod cli;
mod comparison;
mod data;
mod demo;
mod error;
mod evaluate;
mod federated;
mod fine_tune;
mod folder;
mod job_file;
mod ledger;
mod model;
mod output;
mod privacy;
mod process;
mod ranking;
mod released;
mod shell;
mod simulate;
mod versus;

use std::process::ExitCode;

use cli::{BenchCommand, Command, EvaluateArgs, PrivacyCommand};
use error::{CommandError, Context as _};
use guildhall_privacy::plan::PlanReport;

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("GUILDHALL_LOG").unwrap_or_else(|_| "warn".into()),
        )
        .init();
    let cli = match cli::read() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    if let Err(error) = guildhall_client::threads::start(None) {
        eprintln!("error: {error}");
        return ExitCode::FAILURE;
    }
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(command: Command) -> Result<(), CommandError> {
    match command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Server { dir, command } => shell::server(&dir, command),
        Command::Join(arguments) => shell::join(arguments),
        Command::Client(arguments) => shell::client(arguments),
        Command::Serve(arguments) => shell::serve(arguments),
        Command::Model { command } => model::run(&command),
        Command::Simulate(a) => {
            let overrides = simulate::Overrides { epsilon: a.epsilon, seed: a.seed, rounds: a.rounds };
            let result = simulate::run(&a.job, &a.data, a.mode, overrides)?;
            output::print(a.json, &result, || output::simulated(&result))
        }
        Command::FineTune(a) => {
            let found = fine_tune::run(&a)?;
            output::print(a.json, &found, || found.to_text())
        }
        Command::Evaluate(EvaluateArgs { config, version, against: Some(against), json, .. }) => {
            let found = versus::run(&config, version, against)?;
            output::print(json, &found, || found.to_text())
        }
        Command::Evaluate(a) if a.released => {
            let found = released::run(&a.config, a.version)?;
            output::print(a.json, &found, || found.to_text())
        }
        Command::Evaluate(a) => {
            let found = evaluate::run(&a.config, a.version)?;
            output::print(a.json, &found, || found.to_text())
        }
        Command::Plan(a) => {
            let job = job_file::JobFile::with_items(&a.job, a.data.as_deref(), a.items)?.job;
            let report = PlanReport::new(&job, a.merchants).context(a.job.display())?;
            output::print(a.json, &report, || report.to_string())
        }
        Command::Card(a) => {
            let card = card::run(&a)?;
            output::print(a.json, &card, || card.markdown())
        }
        Command::Privacy { command: PrivacyCommand::Epsilon(arguments) } => {
            let epsilon = privacy::epsilon(&arguments)?;
            output::print(arguments.json, &epsilon, || epsilon.to_string())
        }
        Command::Audit(arguments) => audit::command(&arguments),
        Command::Ledger { command } => ledger::run(command),
        Command::Data { command } => shell::data(command),
        Command::Bench { command: BenchCommand::Round(arguments) } => {
            let result = bench::round(&arguments)?;
            output::print(arguments.json, &result, || result.to_string())
        }
        Command::Bench { command: BenchCommand::Serve(arguments) } => {
            let result = bench::serve(&arguments)?;
            output::print(arguments.json, &result, || result.to_string())?;
            match result.is_right() {
                true => Ok(()),
                false => Err(CommandError::message("an answer failed, or is not that of the full scan")),
            }
        }
        Command::Bench { command: BenchCommand::Aggregation(arguments) } => {
            let result = bench::aggregation(&arguments)?;
            output::print(arguments.json, &result, || result.to_string())?;
            match result.sum_is_right {
                true => Ok(()),
                false => Err(CommandError::message("the unmasked sum is not that of the survivors' vectors")),
            }
        }
    }
}
