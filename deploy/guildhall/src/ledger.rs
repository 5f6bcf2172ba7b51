//! `guildhall ledger`: what an auditor asks of a privacy ledger. The verdicts are those of `guildhall-verify`, from the same
//! library; exit codes are 0 good, 2 tampered, 3 overspent, 4 unverifiable, and 1 for everything else.

mod data;
mod export;
mod prove;
mod report;

use std::path::Path;

use guildhall_ledger::verify::{Verification, verify};

use crate::cli::{LedgerCommand, LedgerVerifyArgs};
use crate::error::{CommandError, Context as _};
use crate::output;

/// Runs one command.
pub fn run(command: LedgerCommand) -> Result<(), CommandError> {
    match command {
        LedgerCommand::Export(arguments) => export::run(&arguments),
        LedgerCommand::Verify(arguments) => verify_export(&arguments),
        LedgerCommand::Prove(arguments) => prove::run(&arguments),
        LedgerCommand::Report(arguments) => report::run(&arguments),
    }
}

fn verify_export(arguments: &LedgerVerifyArgs) -> Result<(), CommandError> {
    let export = read(&arguments.path)?;
    let older = arguments.checkpoint.as_deref().map(read).transpose()?;
    let mut found = verify(&export, older.as_deref());
    if let Some(secret) = &arguments.data_secret {
        found.remarks.push(data::trainings(&found, &arguments.data, secret)?);
    }
    output::print(arguments.json, &found, || found.to_string())?;
    judge(&arguments.path, &found)
}

fn read(path: &Path) -> Result<Vec<u8>, CommandError> {
    std::fs::read(path).context(path.display())
}

/// An error with the verdict's exit code, unless all is well.
fn judge(path: &Path, found: &Verification) -> Result<(), CommandError> {
    match found.exit_code() {
        0 => Ok(()),
        code => {
            let text = format!("{}: {}", path.display(), found.verdict);
            Err(CommandError::message(text).with_exit_code(code))
        }
    }
}
