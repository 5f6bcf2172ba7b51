//! What became of a file's rows: counted and explained, for the merchant's own screen. [core]
//!
//! # Privacy
//! A report counts private rows and names line numbers. It never holds a value or a shopper's id, and never leaves the machine.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::observations::{Observations, Splits};
use super::sequences::Sequences;
use super::table::{Flaw, Table};

/// How many line numbers a finding keeps.
const FIRST_PLACES: usize = 5;

/// The sentence every report ends with.
const LOCAL_ONLY: &str =
    "This report is about private rows. It is for your own screen: nothing of it is sent.";

/// Where a record stands in its file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(test, derive(Debug))]
pub struct Place {
    /// Number of the data record, from 0.
    pub record: u64,
    /// What a person looks for: a line of a text file, or a row of a table, from 1.
    pub shown: u64,
}

/// What [`Place::shown`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlaceKind {
    /// Lines of a text file, the header being line 1.
    Line,
    /// Rows of a table, the first being row 1.
    Row,
}

/// Something that was not as the schema says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// More or fewer fields than the header.
    FieldCount,
    /// Not UTF-8.
    NotUtf8,
    /// An exact repetition of an earlier row, dropped.
    DuplicateDropped,
    /// An exact repetition of an earlier row, kept.
    DuplicateKept,
    /// No merchant named (only when one file is cut into merchants).
    MissingMerchant,
    /// Belongs to a merchant that does not take part (only when one file is cut into merchants).
    OtherMerchant,
    /// No shopper named.
    MissingShopper,
    /// No label.
    MissingLabel,
    /// A label that is not true/false, yes/no or 1/0.
    BadLabel,
    /// A value is missing, and the schema says "drop".
    MissingDropped,
    /// A value is missing and 0 took its place, as the schema says.
    MissingZero,
    /// A category is missing and counts as unknown, as the schema says.
    MissingUnknown,
    /// Not a finite number.
    NotANumber,
    /// Not a whole number, or one outside the range that makes sense.
    NotAWholeNumber,
    /// Not a day as the schema describes it.
    BadDay,
    /// A number outside the schema's bounds, moved to the nearest one.
    OutOfBounds,
    /// A category outside the schema's vocabulary.
    UnknownCategory,
    /// A number outside the job's public bounds, moved to the nearest one.
    OutOfJobBounds,
    /// A category of the schema's vocabulary that the job does not know.
    UnknownToJob,
    /// No item named.
    MissingItem,
    /// An item outside the job's catalogue.
    UnknownItem,
    /// An item that the shopper had before.
    RepeatedItem,
    /// No time, where the schema names its column.
    MissingTime,
}

/// What a problem does to its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The row is not used.
    RowDropped,
    /// The row is used with another value.
    ValueReplaced,
    /// The row is used as it is.
    None,
}

impl Problem {
    /// What it does to the row.
    pub fn effect(self) -> Effect {
        use Problem::*;
        match self {
            DuplicateKept => Effect::None,
            MissingZero | MissingUnknown | OutOfBounds | UnknownCategory | OutOfJobBounds | UnknownToJob => {
                Effect::ValueReplaced
            }
            _ => Effect::RowDropped,
        }
    }

    /// In plain words, what was found and what was done.
    pub fn explain(self) -> &'static str {
        use Problem::*;
        match self {
            FieldCount => "more or fewer fields than the header: row dropped",
            NotUtf8 => "not UTF-8 text: row dropped",
            DuplicateDropped => "exactly equal to an earlier row: row dropped (duplicates = \"drop\")",
            DuplicateKept => "exactly equal to an earlier row: kept (duplicates = \"keep\")",
            MissingMerchant => "no merchant named: row dropped",
            OtherMerchant => "of a merchant that does not take part: row not used",
            MissingShopper => "no shopper named: row dropped",
            MissingLabel => "no label: row dropped",
            BadLabel => "expected a label of true/false, yes/no or 1/0, found something else: row dropped",
            MissingDropped => "value missing: row dropped (missing = \"drop\")",
            MissingZero => "value missing: 0 used (missing = \"zero\")",
            MissingUnknown => "value missing: counts as unknown (missing = \"unknown\")",
            NotANumber => "expected a finite number, found something else: row dropped",
            NotAWholeNumber => "expected a whole number in range, found something else: row dropped",
            BadDay => {
                "expected a day (a whole number from 0, or with first_day a date YYYY-MM-DD), found something else: row dropped"
            }
            OutOfBounds => "outside the schema's bounds: the nearest bound used",
            UnknownCategory => "not in the schema's vocabulary: counts as unknown",
            OutOfJobBounds => "outside the job's public bounds: the nearest bound used",
            MissingItem => "no item named: row dropped",
            UnknownItem => "not in the job's catalogue: row dropped",
            RepeatedItem => "the shopper had the item before: row dropped",
            MissingTime => "no time: row dropped",
            UnknownToJob => "in the schema's vocabulary but not in the job's: counts as unknown",
        }
    }
}

/// All occurrences of one problem in one column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    pub problem: Problem,
    /// What it did to the rows.
    pub effect: Effect,
    /// In which column; `None` for whole rows.
    pub column: Option<String>,
    /// How often.
    pub count: u64,
    /// Where it occurred first.
    pub first_places: Vec<u64>,
    /// In plain words.
    pub explanation: &'static str,
}

/// Size of one split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SplitSize {
    /// Observations.
    pub observations: u64,
    /// Shoppers with at least one of them (unit row: rows).
    pub shoppers: u64,
    /// Observations labelled 1.
    pub positives: u64,
}

impl SplitSize {
    fn of(observations: &Observations) -> Self {
        SplitSize {
            observations: observations.rows() as u64,
            shoppers: observations.shoppers.len() as u64,
            positives: observations.labels.iter().filter(|l| **l > 0.5).count() as u64,
        }
    }
}

/// What became of a file's rows.
#[derive(Clone, Debug, Serialize)]
pub struct DataReport {
    /// The file's name.
    pub file: String,
    /// What line or row numbers count.
    pub places: PlaceKind,
    /// Rows looked at.
    pub rows_read: u64,
    /// Rows that went on.
    pub rows_used: u64,
    /// Rows that did not; each has exactly one finding that says why. `rows_read = rows_used + rows_dropped`.
    pub rows_dropped: u64,
    /// Everything that was not as the schema says, by problem, then column.
    pub findings: Vec<Finding>,
    /// Distinct shoppers among the rows used (unit row: rows).
    pub shoppers: u64,
    /// Baskets the rows used were merged into, for tasks that are about baskets.
    pub baskets: Option<u64>,
    /// What is trained on.
    pub train: SplitSize,
    /// What baselines are tuned on.
    pub validation: SplitSize,
    /// What is reported.
    pub test: SplitSize,
    /// What else a person should know.
    pub notes: Vec<String>,
    /// Whom this report is for.
    pub scope: &'static str,
}

impl DataReport {
    /// Where every merchant has a file of its own, there is nothing between file and merchant to tell.
    pub(crate) fn of_nothing() -> Self {
        DataReport {
            file: String::new(),
            places: PlaceKind::Row,
            rows_read: 0,
            rows_used: 0,
            rows_dropped: 0,
            findings: vec![],
            shoppers: 0,
            baskets: None,
            train: SplitSize::default(),
            validation: SplitSize::default(),
            test: SplitSize::default(),
            notes: vec![],
            scope: LOCAL_ONLY,
        }
    }

    /// Notes the sizes of splits made from the rows used.
    pub(crate) fn describe_splits(&mut self, splits: &Splits) {
        self.train = SplitSize::of(&splits.train);
        self.validation = SplitSize::of(&splits.validation);
        self.test = SplitSize::of(&splits.test);
    }

    /// Notes the sizes of what is trained, tuned and tested on, in items.
    pub(crate) fn describe_sequences(&mut self, sequences: &Sequences) {
        let count = |shoppers: usize, items: usize| SplitSize {
            observations: items as u64,
            shoppers: shoppers as u64,
            positives: 0,
        };
        let train = sequences.train();
        self.train = count(train.len(), train.iter().map(|(_, items)| items.len()).sum());
        let held = sequences.test().count();
        (self.validation, self.test) = (count(held, held), count(held, held));
    }

    /// How often a problem occurred, in all columns together.
    pub fn count(&self, problem: Problem) -> u64 {
        self.findings.iter().filter(|f| f.problem == problem).map(|f| f.count).sum()
    }
}

impl fmt::Display for DataReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} rows read, {} used, {} not used",
            self.file, self.rows_read, self.rows_used, self.rows_dropped
        )?;
        let unit = if self.places == PlaceKind::Line { "line" } else { "row" };
        for finding in &self.findings {
            let column = finding.column.as_ref().map(|c| format!("column {c:?}: ")).unwrap_or_default();
            let places: Vec<String> = finding.first_places.iter().map(u64::to_string).collect();
            let more = if finding.count > places.len() as u64 { ", …" } else { "" };
            let plural = if places.len() == 1 { "" } else { "s" };
            writeln!(
                f,
                "  - {column}{} × {} ({unit}{plural} {}{more})",
                finding.count,
                finding.explanation,
                places.join(", ")
            )?;
        }
        if self.findings.is_empty() {
            writeln!(f, "  - every row is as the schema says")?;
        }
        write!(f, "{} shoppers", self.shoppers)?;
        if let Some(baskets) = self.baskets {
            write!(f, ", {baskets} baskets")?;
        }
        writeln!(f)?;
        for (name, split) in [("train", self.train), ("validation", self.validation), ("test", self.test)] {
            if split.observations > 0 {
                writeln!(
                    f,
                    "  {name}: {} observations of {} shoppers, {} labelled 1",
                    split.observations, split.shoppers, split.positives
                )?;
            }
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))?;
        f.write_str(self.scope)
    }
}

/// Counts while rows are looked at.
pub(crate) struct Tally {
    file: String,
    places: PlaceKind,
    rows_read: u64,
    findings: BTreeMap<(Problem, Option<String>), (u64, Vec<u64>)>,
    pub(crate) shoppers: u64,
    pub(crate) baskets: Option<u64>,
    pub(crate) notes: Vec<String>,
}

impl Tally {
    /// Starts to count `rows_read` rows of a table.
    pub(crate) fn new(table: &Table, rows_read: u64) -> Self {
        Tally {
            file: table.file().into(),
            places: table.place_kind(),
            rows_read,
            findings: BTreeMap::new(),
            shoppers: 0,
            baskets: None,
            notes: vec![],
        }
    }

    /// Counts records that are not rows.
    pub(crate) fn flaws(&mut self, table: &Table) {
        for (flaw, place) in table.flaws() {
            let problem = match flaw {
                Flaw::FieldCount => Problem::FieldCount,
                Flaw::NotUtf8 => Problem::NotUtf8,
            };
            self.count(problem, None, *place);
        }
    }

    /// Counts one occurrence. A row may be dropped once only.
    pub(crate) fn count(&mut self, problem: Problem, column: Option<&str>, place: Place) {
        let (count, places) = self.findings.entry((problem, column.map(str::to_string))).or_default();
        *count += 1;
        if places.len() < FIRST_PLACES {
            places.push(place.shown);
        }
    }

    /// The report.
    pub(crate) fn finish(self) -> DataReport {
        let findings: Vec<Finding> = self
            .findings
            .into_iter()
            .map(|((problem, column), (count, first_places))| Finding {
                problem,
                effect: problem.effect(),
                column,
                count,
                first_places,
                explanation: problem.explain(),
            })
            .collect();
        let rows_dropped = findings.iter().filter(|f| f.effect == Effect::RowDropped).map(|f| f.count).sum();
        DataReport {
            file: self.file,
            places: self.places,
            rows_read: self.rows_read,
            rows_used: self.rows_read.saturating_sub(rows_dropped),
            rows_dropped,
            findings,
            shoppers: self.shoppers,
            baskets: self.baskets,
            train: SplitSize::default(),
            validation: SplitSize::default(),
            test: SplitSize::default(),
            notes: self.notes,
            scope: LOCAL_ONLY,
        }
    }
}
