//! `guildhall demo`: a whole federation on one machine, on a public data set, in two minutes.
//!
//! ```text
//! market (rows of each merchant) ─▶ federation (server and clients, each a process, real rounds) ─▶ the private model
//!        └─▶ baselines, the run without privacy, further draws, the newcomer (in this process) ─▶ report, picture
//! ```

mod federation;
mod kill;
mod market;
mod models;
mod picture;
mod progress;
mod protection;
mod question;
mod recommend;
mod report;
mod stage;

use std::time::Instant;

use guildhall_shared::job::{JobSpec, PrivacySpec};
use guildhall_shared::round_parameters::RoundMode;
use rayon::prelude::*;

use crate::bench::Spread;
use crate::cli::{DemoArgs, DemoTask};
use crate::comparison::FiguresByMethod;
use crate::error::{CommandError, Context as _};
use crate::federated::{self, Merchants};
use crate::folder::Folder;
use crate::output;
use federation::Outcome;
use kill::Kill;
use market::Market;
use models::Draws;
use picture::Picture;
use protection::ProtectionReport;
use report::{DataSource, DemoReport, DrawMacro, mean_table};
use stage::{Stage as _, epsilon_after};

/// Runs the demo and prints its report.
pub fn run(arguments: &DemoArgs) -> Result<(), CommandError> {
    if arguments.task == DemoTask::Recommend {
        return recommend::run(arguments);
    }
    let started = Instant::now();
    if arguments.draws == 0 {
        return Err(CommandError::message("--draws: expected at least 1, found 0"));
    }
    let market = Market::open(arguments)?;
    let kill = Kill::plan(arguments.kill, &market)?;
    let folder = match &arguments.keep {
        Some(path) => Folder::kept(path)?,
        None => Folder::temporary()?,
    };
    say(&format!("Guildhall demo: {}", market.describe()));
    let draws = Draws::of(&market, arguments.draws)?;
    let job = market.job();
    say(&format!(
        "{} merchants, {} shoppers, {} parameters, {} rounds; {}",
        market.merchants().len(),
        draws.shoppers(),
        job.model().parameter_count(),
        job.rounds,
        job.privacy.label()
    ));
    say(&format!("mode: {}", RoundMode::of(job).label()));
    let outcome = federation::run(&market, kill, folder.path())?;
    say("comparing with what the merchants could do alone, without privacy, and in other draws …");
    let tables = draws.tables(job, outcome.model())?;
    let report = report(&market, &draws, &tables, &outcome, started)?;
    std::fs::write(
        folder.path().join("auc_and_epsilon.svg"),
        picture(&market, draws.first(), &outcome, &tables[0])?,
    )
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

fn is_private(job: &JobSpec) -> bool {
    matches!(job.privacy, PrivacySpec::Gaussian { .. })
}

fn report(
    market: &Market,
    draws: &Draws,
    tables: &[FiguresByMethod],
    outcome: &Outcome,
    started: Instant,
) -> Result<DemoReport, CommandError> {
    let job = market.job();
    let (epsilon, delta) = match job.privacy {
        PrivacySpec::Gaussian { epsilon, delta, .. } => (Some(epsilon), Some(delta)),
        PrivacySpec::None { .. } => (None, None),
    };
    let merchants = market.merchants().len();
    let protection = ProtectionReport::of(job, merchants)?;
    Ok(DemoReport {
        merchants,
        shoppers: draws.shoppers(),
        parameters: job.model().parameter_count(),
        rounds: job.rounds,
        mode: RoundMode::of(job).label(),
        epsilon,
        delta,
        unit: job.privacy.unit().describe(),
        privacy: job.privacy.label(),
        epsilon_by_merchants: protection.as_ref().map(|p| p.epsilon_by_merchants.clone()).unwrap_or_default(),
        protection,
        epsilon_spent_max: is_private(job).then_some(outcome.epsilon_spent_max),
        auc: mean_table(tables).ok_or_else(|| CommandError::message("no draw was made"))?,
        draws: tables.iter().map(DrawMacro::of).collect(),
        draw_is: draws.describe(),
        newcomer: draws.newcomer(job)?,
        killed: outcome.killed.clone(),
        aborted: outcome.aborted,
        round_seconds: Spread::of(&outcome.round_seconds),
        wall_seconds: started.elapsed().as_secs_f64(),
        model_hash: outcome.model_hash.clone(),
        served_at: outcome.served_at.to_string(),
        data: DataSource { source: market.source().to_string(), sha256: market.sha256().to_string() },
    })
}

fn picture(
    market: &Market,
    merchants: &Merchants,
    outcome: &Outcome,
    table: &FiguresByMethod,
) -> Result<String, CommandError> {
    let job = market.job();
    let auc: Vec<Option<f64>> = outcome
        .models
        .par_iter()
        .map(|model| federated::auc(job, &model.released(), merchants).map(|auc| auc.r#macro))
        .collect::<Result<_, _>>()?;
    let epsilon: Vec<f64> =
        (0..outcome.models.len() as u32).filter_map(|rounds| epsilon_after(market, rounds)).collect();
    let caption = format!("{}; {}; {}", job.name, RoundMode::of(job).label(), job.privacy.label());
    let picture = Picture {
        auc: &auc,
        epsilon: &epsilon,
        local_only: table.local_only.r#macro,
        pooled: table.pooled.r#macro,
        caption: &caption,
    };
    Ok(picture.to_svg())
}
