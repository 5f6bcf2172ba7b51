//! The page: self-contained, printable, without scripts. Every text is escaped, whoever wrote it. [core]

use std::collections::BTreeMap;

use guildhall_accountant::PicoRho;
use guildhall_accountant::zcdp::epsilon_upper_bound;

use super::Report;
use super::answers::Answer;
use super::charts::{self, Bar};
use super::facts::LedgerFacts;
use super::losses::epsilon;
use super::style::STYLE;

/// What every report says of itself.
pub const DISCLAIMER: &str = "Technical evidence, not legal advice.";
/// More ledgers than this get no charts of their own.
const DETAILED_MAX: usize = 12;
/// More jobs of one ledger than this get no columns of their own.
const JOBS_MAX: usize = 8;
/// A longer text is cut, in characters.
const TEXT_CHARACTERS_MAX: usize = 2_000;

/// Text as HTML, in content and in attributes. Control characters and those that turn the direction of text are shown as
/// a replacement: they could make a page say something else than its source.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars().take(TEXT_CHARACTERS_MAX) {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                out.push('\u{fffd}');
            }
            character if character.is_control() => out.push('\u{fffd}'),
            character => out.push(character),
        }
    }
    out
}

/// The whole page.
pub fn page(report: &Report) -> String {
    let body = [header(report), overview(report), details(report), questions(report), footer()].concat();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <title>Privacy report</title><style>{STYLE}</style></head>\n<body>\n{body}</body></html>\n"
    )
}

fn header(report: &Report) -> String {
    let names: Vec<&str> =
        report.ledgers.iter().take(DETAILED_MAX).map(|ledger| ledger.name.as_str()).collect();
    let more = report.ledgers.len().saturating_sub(DETAILED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let mut out = format!(
        "<header><h1>Privacy report</h1><p class=\"soft\">{}{more}. {DISCLAIMER}</p>\n",
        escape(&names.join(", "))
    );
    for ledger in &report.ledgers {
        let found = &ledger.verification;
        let class = if found.exit_code() == 0 { "good" } else { "bad" };
        out += &format!(
            "<p><span class=\"verdict {class}\">{}</span> {}: {}</p>\n",
            found.verdict,
            escape(&ledger.name),
            escape(&found.witnessed())
        );
        for finding in found.findings.iter().take(20) {
            out += &format!("<p class=\"missing\">{}</p>\n", escape(&finding.what));
        }
    }
    for contradiction in &report.contradictions {
        out += &format!("<p class=\"missing\">{}</p>\n", escape(contradiction));
    }
    let unanswered = report.unanswered();
    if !unanswered.is_empty() {
        out += "<h2>Not answered</h2>\n";
        unanswered.iter().for_each(|what| out += &format!("<p class=\"missing\">{}</p>\n", escape(what)));
    }
    out + "</header>\n"
}

fn spending(ledger: &LedgerFacts) -> Bar {
    let delta = ledger.delta();
    let value = epsilon_upper_bound(ledger.losses.charged.rho_upper_bound(), delta);
    let limit = ledger.verification.budget.map(|budget| budget.epsilon);
    let allowed = limit.map_or_else(String::new, |limit| format!(" of {:.4}", (limit * 1e4).floor() / 1e4));
    let text = format!("ε {}{allowed}", epsilon(ledger.losses.charged, delta));
    Bar { name: ledger.name.clone(), value, text, limit }
}

/// The most that any merchant of a region spent: losses of different shoppers do not add up.
fn by_region(report: &Report) -> Vec<Bar> {
    let mut regions: BTreeMap<&str, (usize, Bar)> = BTreeMap::new();
    for ledger in report.ledgers.iter().filter(|ledger| !ledger.is_server) {
        let region = ledger.region.as_deref().unwrap_or("unknown");
        let bar = spending(ledger);
        match regions.get_mut(region) {
            Some((count, most)) => {
                *count += 1;
                if bar.value > most.value {
                    *most = bar;
                }
            }
            None => {
                regions.insert(region, (1, bar));
            }
        }
    }
    let bars = regions.into_iter().map(|(region, (count, bar))| {
        let merchants = if count == 1 { "1 merchant".into() } else { format!("{count} merchants") };
        Bar { name: format!("{region} ({merchants})"), ..bar }
    });
    bars.collect()
}

fn overview(report: &Report) -> String {
    let merchants: Vec<Bar> =
        report.ledgers.iter().filter(|ledger| !ledger.is_server).map(spending).collect();
    if merchants.is_empty() {
        return String::new();
    }
    format!(
        "<section><h2>Spent, by merchant</h2><p class=\"soft\">ε at each merchant's δ, with its budget; the largest first.</p>\n{}\
         <h2>Spent, by region</h2><p class=\"soft\">The most that any merchant of the region spent. Losses of different \
         merchants' shoppers do not add up.</p>\n{}</section>\n",
        charts::bars("Spent, by merchant", merchants),
        charts::bars("Most spent, by region", by_region(report))
    )
}

fn details(report: &Report) -> String {
    let merchants = report.ledgers.iter().filter(|ledger| !ledger.is_server);
    merchants.take(DETAILED_MAX).map(detail).collect()
}

fn detail(ledger: &LedgerFacts) -> String {
    let delta = ledger.delta();
    let of = |rho: &PicoRho| epsilon_upper_bound(rho.rho_upper_bound(), delta);
    // A curve of a million points is drawn from as many as can be seen.
    let share = ledger.curve.len().div_ceil(120).max(1);
    let curve: Vec<f64> = ledger.curve.chunks(share).filter_map(|chunk| chunk.last().map(of)).collect();
    let limit = ledger.verification.budget.map(|budget| budget.epsilon);
    let jobs = ledger.jobs.iter().map(|(name, job)| Bar {
        name: name.clone(),
        value: job.losses.charged.rho_upper_bound(),
        text: format!("alone ε {}", epsilon(job.losses.charged, delta)),
        limit: None,
    });
    let name = escape(&ledger.name);
    let mut out = format!(
        "<section><h2>{name}</h2><h3>Spent so far, after each release</h3>\n{}<h3>Spent, by job</h3>\n{}",
        charts::curve(&format!("{}: spent so far", ledger.name), "ε, release after release", &curve, limit),
        charts::bars(&format!("{}: spent, by job", ledger.name), jobs.collect())
    );
    for (job, facts) in ledger.jobs.iter().take(JOBS_MAX) {
        let rounds: Vec<f64> = facts.rounds.values().map(|rho| rho.rho_upper_bound()).collect();
        let (first, last) = (facts.rounds.keys().next(), facts.rounds.keys().next_back());
        let unit = first
            .zip(last)
            .map_or("no rounds".into(), |(first, last)| format!("ρ, rounds {first} to {last}"));
        let title = format!("{}: {job}, spent by round", ledger.name);
        out += &format!(
            "<h3>{}: spent by round, all attempts</h3>\n{}",
            escape(job),
            charts::columns(&title, &unit, &rounds)
        );
    }
    out + "</section>\n"
}

fn questions(report: &Report) -> String {
    report.answers.iter().map(question).collect()
}

fn question(answer: &Answer) -> String {
    let mut out = format!("<section><h2>{}</h2>\n", escape(answer.question));
    answer.missing.iter().for_each(|what| {
        out += &format!("<p class=\"missing\">Not answered. {}</p>\n", escape(what));
    });
    answer.sentences.iter().for_each(|sentence| out += &format!("<p>{}</p>\n", escape(sentence)));
    if answer.rows.len() > 1 {
        out += "<div class=\"scroll\"><table>\n";
        for (place, row) in answer.rows.iter().enumerate() {
            let tag = if place == 0 { "th" } else { "td" };
            let cells: String = row.iter().map(|text| cell(tag, text)).collect();
            out += &format!("<tr>{cells}</tr>\n");
        }
        out += "</table></div>\n";
    }
    out + "</section>\n"
}

fn cell(tag: &str, text: &str) -> String {
    // Hashes and keys may break anywhere, words may not.
    let is_long = text.split_whitespace().any(|word| word.len() > 24);
    let class = if is_long { " class=\"long\"" } else { "" };
    format!("<{tag}{class}>{}</{tag}>", escape(text))
}

fn footer() -> String {
    format!(
        "<footer><p class=\"soft\">{DISCLAIMER} Figures are upper bounds; what is rounded is rounded towards more loss.</p></footer>\n"
    )
}
