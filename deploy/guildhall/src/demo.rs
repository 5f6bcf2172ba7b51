//! `guildhall demo`: a whole federation on one machine, on a public data set, in a minute.
//!
//! ```text
//! market (rows of each merchant) ─▶ federation (server and clients, each a process, real rounds) ─▶ the private model
//!        └─▶ baselines, the run without privacy, further draws, the newcomer (in this process) ─▶ report, picture
//! ```

mod federation;
mod market;
mod picture;
mod question;
mod report;

use std::collections::BTreeMap;
use std::time::Instant;

use guildhall_privacy::accountant::zcdp::{charge, epsilon_upper_bound};
use guildhall_shared::id::Name;
use guildhall_shared::job::{JobSpec, PrivacySpec};
use guildhall_shared::model_state::ModelState;
use rayon::prelude::*;

use crate::bench::Spread;
use crate::cli::DemoArgs;
use crate::comparison::{AucTable, Baselines};
use crate::error::{CommandError, Context as _};
use crate::federated::{self, Merchants, NoiseMode};
use crate::folder::Folder;
use crate::output;
use federation::Outcome;
use market::Market;
use picture::Picture;
use report::{DataSource, DemoReport, DrawMacro, Newcomer, mean, mean_table};

/// The merchant that plays the newcomer.
const NEWCOMER: &str = "cosmetics";

/// Fewest merchants that remain when one plays the newcomer.
const NEWCOMER_OTHERS_MIN: usize = 3;

/// Runs the demo and prints its report.
pub fn run(arguments: &DemoArgs) -> Result<(), CommandError> {
    let started = Instant::now();
    if arguments.draws == 0 {
        return Err(CommandError::message("--draws: expected at least 1, found 0"));
    }
    let market = Market::open(arguments)?;
    let folder = match &arguments.keep {
        Some(path) => Folder::kept(path)?,
        None => Folder::temporary()?,
    };
    say(&format!("Guildhall demo: {}", market.describe()));
    let draws: Vec<Merchants> =
        (0..arguments.draws).into_par_iter().map(|draw| market.draw(draw)).collect::<Result<_, _>>()?;
    let job = market.job();
    say(&format!(
        "{} merchants, {} shoppers, {} parameters, {} rounds; {}",
        draws[0].len(),
        shoppers(&draws[0]),
        job.model().parameter_count(),
        job.rounds,
        job.privacy.label()
    ));
    let outcome = federation::run(&market, job, folder.path())?;
    say("comparing with what the merchants could do alone, without privacy, and in other draws …");
    let tables = tables(job, &draws, outcome.model())?;
    let newcomer = newcomer(job, &draws)?;
    let report = report(&market, job, &draws, &tables, newcomer, &outcome, started)?;
    std::fs::write(folder.path().join("auc_and_epsilon.svg"), picture(job, &draws[0], &outcome, &tables[0])?)
        .context("writing the picture")?;
    output::print(arguments.json, &report, || report.to_text() + &outcome.question_text())?;
    if arguments.keep.is_some() {
        say(&format!("everything is kept in {}", folder.path().display()));
    }
    Ok(())
}

/// Progress goes to standard error, so that standard output holds the result alone.
fn say(text: &str) {
    eprintln!("{text}");
}

fn shoppers(merchants: &Merchants) -> usize {
    merchants.values().map(|splits| splits.train.shoppers.len()).sum()
}

fn is_private(job: &JobSpec) -> bool {
    matches!(job.privacy, PrivacySpec::Gaussian { .. })
}

/// The table of each draw; the first draw's federated model came from the processes.
fn tables(
    job: &JobSpec,
    draws: &[Merchants],
    from_processes: &ModelState,
) -> Result<Vec<AucTable>, CommandError> {
    let table = |(draw, merchants): (usize, &Merchants)| {
        let baselines = Baselines::fit(&job.task, merchants);
        let plain = federated::train(job, merchants, NoiseMode::None, &mut |_| ())?;
        let plain = federated::score(job, &plain.released(), merchants)?;
        let private = match (is_private(job), draw) {
            (false, _) => None,
            (true, 0) => Some(federated::score(job, &from_processes.released(), merchants)?),
            (true, _) => {
                let model = federated::train(job, merchants, NoiseMode::Plain, &mut |_| ())?;
                Some(federated::score(job, &model.released(), merchants)?)
            }
        };
        Ok(baselines.compare(&plain, private.as_ref()))
    };
    draws.par_iter().enumerate().map(|(draw, merchants)| table((draw, merchants))).collect()
}

/// One merchant sits out; the others' private model scores its shoppers.
fn newcomer(job: &JobSpec, draws: &[Merchants]) -> Result<Option<Newcomer>, CommandError> {
    let merchants = &draws[0];
    let name = merchants.keys().find(|name| name.as_str() == NEWCOMER).or_else(|| merchants.keys().next());
    let Some(name) = name.filter(|_| merchants.len() > NEWCOMER_OTHERS_MIN).cloned() else { return Ok(None) };
    let mode = if is_private(job) { NoiseMode::Plain } else { NoiseMode::None };
    let one = |merchants: &Merchants| -> Result<(Option<f64>, Option<f64>), CommandError> {
        let others: Merchants = merchants.iter().filter(|(other, _)| **other != name).map(pair).collect();
        let alone: Merchants = merchants.iter().filter(|(other, _)| **other == name).map(pair).collect();
        let model = federated::train(job, &others, mode, &mut |_| ())?;
        let federated = federated::auc(job, &model.released(), &alone)?;
        let own = guildhall_client::evaluate::AucSummary::of(&Baselines::fit(&job.task, &alone).local);
        Ok((own.r#macro, federated.r#macro))
    };
    let figures: Vec<_> = draws.par_iter().map(one).collect::<Result<_, _>>()?;
    Ok(Some(Newcomer {
        merchant: name,
        local: mean(figures.iter().map(|(own, _)| *own)),
        federated_private: mean(figures.iter().map(|(_, federated)| *federated)),
    }))
}

fn pair<T: Clone>((name, value): (&Name, &T)) -> (Name, T) {
    (name.clone(), value.clone())
}

/// ε of `rounds` plain rounds for a shopper known to k merchants, each of which releases on its own.
fn epsilon_after(job: &JobSpec, rounds: u32, merchants: u64) -> Option<f64> {
    let PrivacySpec::Gaussian { delta, noise_standard_deviation, .. } = job.privacy else { return None };
    let rho =
        charge(job.clipping.bound, 1, noise_standard_deviation).saturating_mul(u64::from(rounds) * merchants);
    Some(epsilon_upper_bound(rho.rho_upper_bound(), delta))
}

fn report(
    market: &Market,
    job: &JobSpec,
    draws: &[Merchants],
    tables: &[AucTable],
    newcomer: Option<Newcomer>,
    outcome: &Outcome,
    started: Instant,
) -> Result<DemoReport, CommandError> {
    let (epsilon, delta) = match job.privacy {
        PrivacySpec::Gaussian { epsilon, delta, .. } => (Some(epsilon), Some(delta)),
        PrivacySpec::None { .. } => (None, None),
    };
    let merchants = draws[0].len();
    let known_to: BTreeMap<u32, f64> = [1, 2, 5, merchants as u32]
        .into_iter()
        .filter(|k| *k as usize <= merchants)
        .filter_map(|k| Some((k, epsilon_after(job, job.rounds, u64::from(k))?)))
        .collect();
    let auc = mean_table(tables).ok_or_else(|| CommandError::message("no draw was made"))?;
    Ok(DemoReport {
        merchants,
        shoppers: shoppers(&draws[0]),
        parameters: job.model().parameter_count(),
        rounds: job.rounds,
        epsilon,
        delta,
        unit: job.privacy.unit().describe(),
        privacy: job.privacy.label(),
        epsilon_by_merchants: known_to,
        auc,
        draws: tables.iter().map(DrawMacro::of).collect(),
        newcomer,
        round_seconds: Spread::of(&outcome.round_seconds),
        wall_seconds: started.elapsed().as_secs_f64(),
        model_hash: outcome.model_hash.clone(),
        served_at: outcome.served_at.to_string(),
        data: DataSource { source: market.source().to_string(), sha256: market.sha256().to_string() },
    })
}

fn picture(
    job: &JobSpec,
    merchants: &Merchants,
    outcome: &Outcome,
    table: &AucTable,
) -> Result<String, CommandError> {
    let auc: Vec<Option<f64>> = outcome
        .models
        .par_iter()
        .map(|model| federated::auc(job, &model.released(), merchants).map(|auc| auc.r#macro))
        .collect::<Result<_, _>>()?;
    let epsilon: Vec<f64> =
        (0..outcome.models.len() as u32).filter_map(|rounds| epsilon_after(job, rounds, 1)).collect();
    let caption = format!("{}; {}", job.name, job.privacy.label());
    let picture = Picture {
        auc: &auc,
        epsilon: &epsilon,
        local_only: table.local_only.r#macro,
        pooled: table.pooled.r#macro,
        caption: &caption,
    };
    Ok(picture.to_svg())
}
