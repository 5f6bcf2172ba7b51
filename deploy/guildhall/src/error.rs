//! One error for all commands: what happened, to what, and what to do next. Exit codes are in the README.

use std::fmt;

/// A command that could not do its work.
#[derive(Debug)]
pub struct CommandError {
    text: String,
    exit_code: u8,
}

/// An error that says what to do.
const FAILURE: u8 = 1;

impl CommandError {
    /// From a sentence.
    pub fn message(text: impl Into<String>) -> Self {
        CommandError { text: text.into(), exit_code: FAILURE }
    }

    /// The same, with a verdict's exit code.
    pub fn with_exit_code(self, exit_code: u8) -> Self {
        CommandError { exit_code, ..self }
    }

    /// What the process ends with.
    pub fn exit_code(&self) -> u8 {
        self.exit_code
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for CommandError {}

/// Says what was being done when something failed, keeping the whole chain of causes.
pub trait Context<T> {
    /// Adds what was being done.
    fn context(self, what: impl fmt::Display) -> Result<T, CommandError>;
}

impl<T, E: std::error::Error> Context<T> for Result<T, E> {
    fn context(self, what: impl fmt::Display) -> Result<T, CommandError> {
        self.map_err(|error| {
            let mut text = format!("{what}: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                let cause_text = cause.to_string();
                // Transparent errors repeat their cause; once is enough.
                if !text.contains(&cause_text) {
                    text.push_str(": ");
                    text.push_str(&cause_text);
                }
                source = cause.source();
            }
            CommandError::message(text)
        })
    }
}
