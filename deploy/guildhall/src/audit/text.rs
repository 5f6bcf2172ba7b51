//! An audit's result for people.

use guildhall_privacy::audit::{AuditResult, CANNOT_PROVE, Check, Claim};

use crate::output::table;

/// Claim, checks, what was shown at least, and what no audit can show.
pub fn text(result: &AuditResult) -> String {
    let Claim { merchants, colluders, honest_shares, releases, rho, epsilon, delta, .. } = result.claim;
    let mut rows =
        vec![["check", "verdict", "measured", "claimed", "limit", "samples"].map(String::from).to_vec()];
    rows.extend(result.checks.iter().map(row));
    format!(
        "audit tier {:?}: {}\n\nclaim: epsilon {epsilon:.3} at delta {delta:e} (rho {rho:.4}) for {releases} release(s)\n\
         {merchants} merchants, {colluders} may collude, {honest_shares} honest shares of noise\n\n{}\n{}\n{CANNOT_PROVE}\n\
         guildhall {}, result {}\n",
        result.tier,
        result.verdict,
        table(&rows),
        shown(result),
        result.code,
        result.digest(),
    )
}

fn row(check: &Check) -> Vec<String> {
    let Check { subject, verdict, measured, claimed, limit, samples } = check;
    vec![
        subject.clone(),
        verdict.to_string(),
        figure(*measured),
        figure(*claimed),
        figure(*limit),
        samples.to_string(),
    ]
}

/// Four digits behind the point, or none where there is nothing behind it.
fn figure(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 { format!("{value}") } else { format!("{value:.4}") }
}

fn shown(result: &AuditResult) -> String {
    let claimed = result.claim.epsilon;
    let gaussian = result.lower_bounds.epsilon_gaussian;
    let mut text = format!(
        "shown at least: epsilon {gaussian:.3} of {claimed:.3} claimed (95 %, taking the noise for Gaussian)\n"
    );
    if let Some(one_run) = &result.lower_bounds.one_run {
        text += &format!(
            "for information: epsilon {:.3} at least by {} right of {} guesses about {} canaries, assuming nothing; \
             with all of them right it could have shown {:.3}\n",
            one_run.epsilon, one_run.correct, one_run.guesses, one_run.canaries, one_run.ceiling
        );
    }
    text
}
