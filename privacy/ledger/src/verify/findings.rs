//! What is wrong with a ledger, and how bad it is.

use std::fmt;

use serde::Serialize;

/// More findings than this of one severity help nobody.
const FINDINGS_MAX: usize = 50;
/// A longer finding is cut, in characters.
const FINDING_CHARACTERS_MAX: usize = 600;

/// How bad a finding is; also the exit code of `guildhall ledger verify`, and the least of them wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Changed, cut, reordered, forked or forged.
    Tampered = 2,
    /// More was spent than the budget allowed.
    Overspent = 3,
    /// Something that should prove it is missing or not understood.
    Unverifiable = 4,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// Where, what was expected, what was found.
    pub what: String,
}

/// Findings as they come: a bounded number of each severity, so that many of one kind never hide a worse one.
#[derive(Default)]
pub(super) struct Findings {
    found: Vec<Finding>,
    left_out: u64,
}

impl Findings {
    pub(super) fn add(&mut self, severity: Severity, what: impl fmt::Display) {
        if self.found.iter().filter(|finding| finding.severity == severity).count() >= FINDINGS_MAX {
            self.left_out += 1;
            return;
        }
        let what = what.to_string().chars().take(FINDING_CHARACTERS_MAX).collect();
        self.found.push(Finding { severity, what });
    }

    pub(super) fn at(&mut self, place: usize, severity: Severity, what: impl fmt::Display) {
        self.add(severity, format_args!("entry {place}: {what}"));
    }

    /// The worst first, and how many more there were.
    pub(super) fn sorted(mut self) -> (Vec<Finding>, u64) {
        self.found.sort_by_key(|finding| finding.severity);
        (self.found, self.left_out)
    }
}
