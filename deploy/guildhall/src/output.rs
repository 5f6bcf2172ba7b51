//! What commands print: text for people, one JSON object for machines.

use std::io::Write as _;

use guildhall_client::evaluate::FigureSummary;
use guildhall_client::evaluate::paired::Difference;
use serde::Serialize;

use crate::error::{CommandError, Context as _};
use crate::simulate::{Simulated, Simulation};

/// Prints one JSON object, or the text.
pub fn print(json: bool, object: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), CommandError> {
    let line = match json {
        true => serde_json::to_string(object).context("writing JSON")? + "\n",
        false => text(),
    };
    // A reader that closed the pipe has seen enough.
    let _ = std::io::stdout().write_all(line.as_bytes());
    Ok(())
}

/// An AUC with four digits, or a dash.
pub fn figure(auc: Option<f64>) -> String {
    auc.map_or_else(|| "-".into(), |auc| format!("{auc:.4}"))
}

/// A table with a header; columns as wide as their widest cell, the first to the left, the others to the right.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(
                |(i, (cell, width))| {
                    if i == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                },
            )
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A difference and its interval on a line, or nothing.
pub fn difference(what: &str, found: Option<Difference>) -> String {
    let line = |Difference { difference, low, high }| {
        format!("{what}: {difference:+.4} ({low:+.4} to {high:+.4} at 95 %)\n")
    };
    found.map(line).unwrap_or_default()
}

/// The table of `simulate`.
pub fn simulated(result: &Simulation) -> String {
    match result {
        Simulation::Labels(result) => labels(result),
        Simulation::Ranking(result) => result.to_text(),
    }
}

fn labels(result: &Simulated) -> String {
    let row =
        |name: &str, auc: &FigureSummary| vec![name.to_string(), figure(auc.r#macro), figure(auc.micro)];
    let mut rows = vec![vec!["AUC on the test rows".into(), "macro".into(), "micro".into()]];
    rows.push(row("local only, without privacy", &result.auc.local_only));
    rows.push(row("federated, without privacy", &result.auc.federated_plain));
    if let Some(private) = &result.auc.federated_private {
        rows.push(row("federated, with privacy", private));
    }
    rows.push(row("blend of own and federated", &result.auc.blend));
    rows.push(row("pooled (for reference only)", &result.auc.pooled));
    let clip =
        result.clip.map(|[first, last]| format!("clip: {first} at first, {last:.4} after the last round\n"));
    format!(
        "job {}: {} merchants, {} contributions, {} parameters, {} rounds\nmode: {}; {}\n{}\n{}{}{}{}",
        result.job,
        result.merchants,
        result.shoppers,
        result.parameters,
        result.rounds,
        result.mode,
        result.privacy,
        clip.unwrap_or_default(),
        table(&rows),
        difference("macro AUC of the released model less local only", result.released_less_local),
        difference("macro AUC of the blend less local only", result.blend_less_local),
        result
            .verdict
            .as_ref()
            .map(|v| format!("planner, before anything was spent: {v}\n"))
            .unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let text = table(&[vec!["a".into(), "10".into()], vec!["bbb".into(), "1".into()]]);
        assert_eq!(text, "a    10\nbbb   1\n");
    }
}
