//! Why data could not be loaded. Names files, columns, expected and found kinds; never a value, never a shopper.

/// Why data could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The file cannot be opened, or is damaged.
    #[error("{file}: cannot be read: {reason}")]
    Unreadable {
        /// Which file.
        file: String,
        /// In words.
        reason: String,
    },
    /// The name does not say which format the file has.
    #[error("{file}: expected a name ending in .csv or .parquet, found {found:?}")]
    Format {
        /// Which file.
        file: String,
        /// Its ending.
        found: String,
    },
    /// A limit is exceeded.
    #[error("{file}: expected at most {limit} {what}, found more")]
    TooLarge {
        /// Which file.
        file: String,
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        limit: u64,
    },
    /// File, schema and job do not fit together.
    #[error("{file}: file, schema and job do not fit together:\n  - {}", mistakes.join("\n  - "))]
    Misfit {
        /// Which file.
        file: String,
        /// Each names a column, what was expected and what was found.
        mistakes: Vec<String>,
    },
    /// The list of test rows cannot be used.
    #[error("{file}, line {line}: expected {expected}, found {found}")]
    TestRows {
        /// Which file.
        file: String,
        /// Where.
        line: u64,
        /// What should stand there.
        expected: String,
        /// What kind of thing stands there.
        found: &'static str,
    },
    /// The configuration has mistakes.
    #[error(transparent)]
    Config(#[from] super::config::DataConfigError),
}
