//! `guildhall ledger report`: what the ledgers of one or more parties say about privacy, for a compliance officer: one page
//! that prints, one object, one table. Everything comes from verified exports; what they do not say is named.

mod answers;
mod charts;
mod facts;
mod losses;
mod object;
mod page;
mod style;
mod table;
#[cfg(test)]
mod tests;

use guildhall_ledger::verify::verify;
use guildhall_shared::id::Name;

use self::answers::Answer;
use self::facts::LedgerFacts;
use super::read;
use crate::cli::LedgerReportArgs;
use crate::error::{CommandError, Context as _};

/// Everything that is reported.
pub struct Report {
    /// One for each export.
    pub ledgers: Vec<LedgerFacts>,
    /// Questions with what is known.
    pub answers: Vec<Answer>,
    /// Where two of the exports disagree.
    pub contradictions: Vec<String>,
}

impl Report {
    /// From verified exports.
    pub fn new(ledgers: Vec<LedgerFacts>, server_region: Option<&Name>) -> Self {
        let contradictions = contradictions(&ledgers);
        let answers = answers::all(&ledgers, server_region);
        Report { ledgers, answers, contradictions }
    }

    /// What is not answered, as sentences.
    pub fn unanswered(&self) -> Vec<String> {
        let missing = self.answers.iter().flat_map(|answer| {
            answer.missing.iter().map(move |missing| format!("{} {missing}", answer.question))
        });
        missing.collect()
    }

    /// The least bad verdict code that is not 0, 2 for a contradiction, 1 for what is unanswered, else 0.
    pub fn exit_code(&self) -> u8 {
        let verdicts = self.ledgers.iter().map(|ledger| ledger.verification.exit_code());
        let contradicted = (!self.contradictions.is_empty()).then_some(2);
        let worst = verdicts.filter(|code| *code > 0).chain(contradicted).min();
        worst.unwrap_or(u8::from(!self.unanswered().is_empty()))
    }
}

fn contradictions(ledgers: &[LedgerFacts]) -> Vec<String> {
    const SHOWN_MAX: usize = 100;
    let mut found = Vec::new();
    for one in ledgers {
        for other in ledgers {
            for size in one.verification.contradicted_by(&other.verification) {
                if found.len() < SHOWN_MAX {
                    let (one, other) = (&one.name, &other.name);
                    found.push(format!(
                        "{other} saw {one}'s ledger with {size} entries of another root: it was forked"
                    ));
                }
            }
        }
    }
    found
}

/// Reads, verifies, writes the three files, and says what is missing.
pub fn run(arguments: &LedgerReportArgs) -> Result<(), CommandError> {
    let mut ledgers = Vec::new();
    for path in &arguments.paths {
        ledgers.push(LedgerFacts::new(verify(&read(path)?, None)));
    }
    let report = Report::new(ledgers, arguments.server_region.as_ref());
    std::fs::create_dir_all(&arguments.out).context(arguments.out.display())?;
    let object = serde_json::to_string_pretty(&object::object(&report)).context("writing JSON")? + "\n";
    for (name, text) in
        [("report.html", page::page(&report)), ("report.json", object), ("report.csv", table::csv(&report))]
    {
        let path = arguments.out.join(name);
        std::fs::write(&path, text).context(path.display())?;
    }
    println!("{}: report.html, report.json, report.csv", arguments.out.display());
    conclude(&report)
}

fn conclude(report: &Report) -> Result<(), CommandError> {
    let mut lines: Vec<String> = report.contradictions.clone();
    for ledger in &report.ledgers {
        let verification = &ledger.verification;
        if verification.exit_code() > 0 {
            lines.push(format!("{}: {}", ledger.name, verification.verdict));
            lines.extend(verification.findings.iter().take(10).map(|finding| format!("  {}", finding.what)));
        }
    }
    lines.extend(report.unanswered().into_iter().map(|missing| format!("unanswered: {missing}")));
    match report.exit_code() {
        0 => Ok(()),
        code => Err(CommandError::message(format!("the report was written, but\n  {}", lines.join("\n  ")))
            .with_exit_code(code)),
    }
}
