//! Reading the command line, and how the process ends where that fails.

use std::process::ExitCode;

use clap::Parser as _;

use super::Cli;

/// EX_USAGE of `sysexits.h`: 2 would be a verdict of `ledger`.
const LEDGER_WRONG_USAGE: u8 = 64;

/// Reads the command line. Help, versions and wrong usage are printed here, with the code to end with.
pub fn read() -> Result<Cli, ExitCode> {
    Cli::try_parse().map_err(|error| {
        // Whoever closed the pipe has seen enough.
        let _ = error.print();
        let is_ledger = std::env::args_os().nth(1).is_some_and(|first| first == "ledger");
        match error.exit_code() {
            0 => ExitCode::SUCCESS,
            _ if is_ledger => ExitCode::from(LEDGER_WRONG_USAGE),
            _ => ExitCode::from(2),
        }
    })
}
