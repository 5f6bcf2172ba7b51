//! The questions of an audit report, and what the ledgers answer. Where they do not, that is said and counted. [core]

mod claim;
mod conduct;
mod evidence;

use guildhall_shared::id::Name;

use super::facts::LedgerFacts;

/// More lines than this of one kind belong into the table file.
pub(super) const ROWS_MAX: usize = 60;

/// A question with its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The question.
    pub question: &'static str,
    /// Sentences.
    pub sentences: Vec<String>,
    /// A table with its header, or nothing.
    pub rows: Vec<Vec<String>>,
    /// What is not known.
    pub missing: Vec<String>,
}

impl Answer {
    fn to(question: &'static str) -> Self {
        Answer { question, ..Answer::default() }
    }

    fn say(mut self, sentence: impl Into<String>) -> Self {
        self.sentences.push(sentence.into());
        self
    }

    fn header(mut self, cells: &[&str]) -> Self {
        self.rows.push(cells.iter().map(|cell| (*cell).to_owned()).collect());
        self
    }

    /// A line of the table, as long as there is room.
    fn row(&mut self, cells: Vec<String>) {
        if self.rows.len() <= ROWS_MAX {
            self.rows.push(cells);
        } else if self.rows.len() == ROWS_MAX + 1 {
            self.rows.push(vec!["more: see report.csv".into()]);
        }
    }

    fn lacks(&mut self, what: impl Into<String>) {
        if self.missing.len() < ROWS_MAX {
            self.missing.push(what.into());
        }
    }
}

/// All questions, in the order in which they are read.
pub fn all(ledgers: &[LedgerFacts], server_region: Option<&Name>) -> Vec<Answer> {
    vec![
        evidence::whose(ledgers),
        claim::unit(ledgers),
        claim::loss(ledgers),
        claim::budget(ledgers),
        evidence::releases(ledgers),
        conduct::purpose(ledgers),
        claim::mechanism(ledgers),
        claim::trust(ledgers),
        conduct::side_channels(),
        claim::arithmetic(ledgers),
        conduct::utility(ledgers),
        conduct::keys(ledgers),
        evidence::programs(ledgers),
        evidence::audit(ledgers),
        evidence::exports(ledgers),
        conduct::regions(ledgers, server_region),
    ]
}

/// The ledgers that spend somebody's budget.
fn merchants(ledgers: &[LedgerFacts]) -> impl Iterator<Item = &LedgerFacts> {
    ledgers.iter().filter(|ledger| !ledger.is_server)
}

/// Words in a line, of a bounded number.
fn list(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<String> = items.into_iter().take(ROWS_MAX).collect();
    if items.is_empty() { "none".into() } else { items.join("; ") }
}
