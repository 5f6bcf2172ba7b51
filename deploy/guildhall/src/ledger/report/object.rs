//! The report as one JSON object. [core]

use guildhall_accountant::PicoRho;
use guildhall_accountant::zcdp::epsilon_upper_bound;
use serde_json::{Map, Value, json};

use super::Report;
use super::facts::{Counts, JobFacts, LedgerFacts};
use super::losses::{KNOWN_TO, Losses};
use super::page::DISCLAIMER;

/// More jobs of one ledger than this are in the table only.
const JOBS_MAX: usize = 1_000;

/// The object.
pub fn object(report: &Report) -> Value {
    let answers = report.answers.iter().map(|answer| {
        json!({
            "question": answer.question,
            "answer": answer.sentences,
            "table": answer.rows,
            "missing": answer.missing,
        })
    });
    json!({
        "report": "guildhall privacy report",
        "version": 1,
        "disclaimer": DISCLAIMER,
        "exit_code": report.exit_code(),
        "unanswered": report.unanswered(),
        "contradictions": report.contradictions,
        "ledgers": report.ledgers.iter().map(ledger).collect::<Vec<_>>(),
        "answers": answers.collect::<Vec<_>>(),
    })
}

/// An ε that is not finite is null.
fn epsilon(rho: PicoRho, delta: f64) -> Value {
    let epsilon = epsilon_upper_bound(rho.rho_upper_bound(), delta);
    if epsilon.is_finite() { json!(epsilon) } else { Value::Null }
}

fn ledger(ledger: &LedgerFacts) -> Value {
    let delta = ledger.delta();
    let jobs: Map<String, Value> =
        ledger.jobs.iter().take(JOBS_MAX).map(|(name, facts)| (name.clone(), job(facts, delta))).collect();
    json!({
        "name": ledger.name,
        "region": ledger.region,
        "is_server": ledger.is_server,
        "verification": ledger.verification,
        "delta_added_by_sparse_graphs": ledger.delta_added(),
        "counts": counts(&ledger.counts),
        "losses": losses(&ledger.losses, delta),
        "jobs": jobs,
    })
}

fn job(job: &JobFacts, delta: f64) -> Value {
    json!({
        "counts": counts(&job.counts),
        "losses": losses(&job.losses, delta),
        "rounds": job.rounds.len(),
        "first_unix_s": job.times_unix_s.map(|(first, _)| first),
        "last_unix_s": job.times_unix_s.map(|(_, last)| last),
        "deltas": job.deltas.iter().take(20).collect::<Vec<_>>(),
        "purposes": job.purposes.iter().take(20).collect::<Vec<_>>(),
        "units": job.units,
    })
}

fn counts(counts: &Counts) -> Value {
    json!({
        "reserved": counts.reserved,
        "refunded": counts.refunded,
        "committed": counts.committed,
        "released": counts.released,
        "aborted": counts.aborted,
        "open": counts.open,
        "without_noise": counts.unprotected,
    })
}

fn losses(losses: &Losses, delta: f64) -> Value {
    let known: Map<String, Value> = KNOWN_TO
        .iter()
        .map(|merchants| (merchants.to_string(), epsilon(losses.known_to(*merchants), delta)))
        .collect();
    json!({
        // Exact decimal numbers: floats would round them.
        "rho": losses.charged.to_string(),
        "rho_masked": losses.masked.to_string(),
        "delta": delta,
        "epsilon": epsilon(losses.charged, delta),
        "epsilon_known_to_merchants": known,
        "epsilon_local": epsilon(losses.everybody_else, delta),
        "epsilon_outsider": epsilon(losses.outsider, delta),
        "epsilon_survivor": epsilon(losses.survivor, delta),
    })
}
