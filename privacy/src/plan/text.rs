//! The plan in words.

use std::fmt::{self, Display, Formatter};

use guildhall_shared::job::Aggregation;

use super::{Amplified, MaskedPlan, ModePlan, NoisePlan, PlanReport, SettingPlan, SparsePlan};

/// Honest shares above which the ε against all others together says little.
const HONEST_SHARES_LARGE: u64 = 10;

impl Display for PlanReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.label)?;
        writeln!(
            f,
            "{} merchants, {} parameters, {} rounds, {} expected contributions a round",
            self.merchants, self.parameters, self.rounds, self.shoppers_per_round
        )?;
        if let Some(obstacle) = &self.obstacle {
            writeln!(f, "  THIS JOB HAS NO ROUNDS with {} merchants: {obstacle}", self.merchants)?;
        }
        if let Some(adaptive) = &self.adaptive_clip {
            write!(f, "{adaptive}")?;
        }
        let Some(noise) = &self.noise else {
            return writeln!(f, "  no noise: nothing protects a shopper from whoever reads the model");
        };
        by_rounds(noise, f)?;
        let both = [&noise.masked, &noise.plain];
        for plan in both.into_iter().flatten() {
            let chosen = if plan.mode == self.aggregation { ", as this job runs" } else { "" };
            write!(f, "{}", Chosen(plan, chosen))?;
        }
        settings(noise, f)
    }
}

/// One line of figures behind a name.
fn line(name: &str, figures: impl Iterator<Item = String>, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "    {name:<28}")?;
    for figure in figures {
        write!(f, "{figure:>9}")?;
    }
    writeln!(f)
}

/// ε by rounds for each accountant.
fn by_rounds(noise: &NoisePlan, f: &mut Formatter<'_>) -> fmt::Result {
    writeln!(f, "  noise over clip of one release {:.2}", noise.noise_over_bound)?;
    let table = &noise.by_rounds;
    line("epsilon after rounds", table.iter().map(|row| row.rounds.to_string()), f)?;
    line("charged (zCDP)", table.iter().map(|row| format!("{:.2}", row.charged)), f)?;
    line("tight (analytic Gaussian)", table.iter().map(|row| format!("{:.2}", row.tight)), f)?;
    let amplified: Vec<Amplified> = table.iter().filter_map(|row| row.amplified).collect();
    if amplified.len() < table.len() || amplified.is_empty() {
        return Ok(());
    }
    line("amplified (RDP)", amplified.iter().map(|row| format!("{:.2}", row.rdp)), f)?;
    line("amplified (PLD, tight)", amplified.iter().map(|row| format!("{:.2}", row.pld)), f)?;
    writeln!(
        f,
        "    amplified: if every shopper enters each round by an independent secret coin of {}, against an adversary that does not see who took part; never charged",
        noise.participation_rate
    )
}

/// What half or twice of something would change.
fn settings(noise: &NoisePlan, f: &mut Formatter<'_>) -> fmt::Result {
    let Some(first) = noise.settings.first() else { return Ok(()) };
    writeln!(f, "  other settings: epsilon charged, and noise over clip on the mean")?;
    let same_noise = |row: &&SettingPlan| row.noise_factor == first.noise_factor;
    let rounds = noise.settings.iter().take_while(same_noise);
    let names = rounds.clone().map(|row| row.rounds.to_string());
    let count = names.clone().count();
    line("rounds", names.chain(["noise".to_string()]), f)?;
    for row in noise.settings.chunks(count) {
        let name = format!("noise of the job times {}", row[0].noise_factor);
        let figures = row.iter().map(|setting| format!("{:.2}", setting.epsilon));
        line(&name, figures.chain([format!("{:.3}", row[0].noise_over_clip)]), f)?;
    }
    Ok(())
}

/// A mode, and words behind its name.
struct Chosen<'a>(&'a ModePlan, &'static str);

impl Display for Chosen<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Chosen(plan, chosen) = self;
        match plan.mode {
            Aggregation::Masked => {
                writeln!(f, "  masked{chosen}: the noise shares add up under secure aggregation")
            }
            Aggregation::Plain => writeln!(f, "  plain{chosen}: every merchant adds its full noise"),
        }?;
        if let Some(masked) = &plan.masked {
            thresholds(masked, plan.honest_shares, f)?;
        }
        writeln!(
            f,
            "    noise over central noise     {:.2} when all take part to the end",
            plan.noise_over_central
        )?;
        match &plan.statistics {
            Some(statistics) => writeln!(
                f,
                "    noise in shoppers            {:.2} of an item, {:.2} of a pair; {:.0} % of what goes together stands out",
                statistics.popularity_deviation_shoppers,
                statistics.pair_deviation_shoppers,
                100.0 * statistics.share_standing_out
            )?,
            None => {
                writeln!(f, "    noise over clip on the mean  {:.3}", plan.noise_over_clip)?;
                writeln!(f, "    contributions a round needed {}", plan.shoppers_needed)?;
            }
        }
        epsilons(plan, f)?;
        writeln!(f, "    {}", plan.verdict)
    }
}

fn thresholds(masked: &MaskedPlan, shares: u64, f: &mut Formatter<'_>) -> fmt::Result {
    let MaskedPlan { colluders, threshold, survivors_min, .. } = masked;
    writeln!(
        f,
        "    colluders tolerated C {colluders}, threshold t {threshold}, survivors at least {survivors_min}, honest shares h {shares}"
    )?;
    let Some(sparse) = &masked.sparse else { return Ok(()) };
    let SparsePlan { holders, share_threshold, privacy_failure, liveness_failure, delta_addition } = sparse;
    writeln!(f, "    sparse graph: {holders} holders each, {share_threshold} of them reconstruct")?;
    writeln!(
        f,
        "    an attempt fails to protect somebody with probability below {privacy_failure:.1e}, to finish below {liveness_failure:.1e}"
    )?;
    writeln!(f, "    that adds {delta_addition:.1e} to delta with one attempt a round")
}

fn epsilons(plan: &ModePlan, f: &mut Formatter<'_>) -> fmt::Result {
    match &plan.masked {
        Some(masked) => {
            let MaskedPlan { colluders, epsilon_outsider, epsilon_survivor, survivors_min, .. } = masked;
            writeln!(
                f,
                "    epsilon against the server and {colluders} colluding merchants {:.2}",
                plan.epsilon
            )?;
            writeln!(
                f,
                "    epsilon against another merchant alone {epsilon_survivor:.2}, whoever sees the models only {epsilon_outsider:.2} (with {survivors_min} survivors)"
            )?;
        }
        None => writeln!(f, "    epsilon against everybody else together {:.2}", plan.epsilon)?,
    }
    f.write_str("    epsilon for a shopper known to")?;
    for (merchants, epsilon) in plan.epsilon_by_merchants {
        write!(f, "  {merchants}: {epsilon:.2}")?;
    }
    writeln!(f, " merchants")?;
    write!(f, "    epsilon if all others collude {:.2}", plan.epsilon_local)?;
    if plan.honest_shares > HONEST_SHARES_LARGE {
        f.write_str(
            " (large: each merchant adds a small part of the noise, so against all others together it protects little)",
        )?;
    }
    writeln!(f)
}
