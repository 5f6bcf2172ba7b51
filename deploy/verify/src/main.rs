//! `guildhall-verify`: checks an exported privacy ledger, offline, without anything else of Guildhall's. For auditors who
//! want little code between the file and the verdict: hashing, signatures, and the rules of the ledger.
//!
//! Exit codes: 0 good, 2 tampered, 3 overspent, 4 unverifiable; 1 if a file cannot be read, 64 for wrong usage.

mod arguments;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use arguments::{Arguments, USAGE, Wish};
use guildhall_ledger::verify::verify;

/// A file that cannot be read.
const UNREADABLE: u8 = 1;
/// EX_USAGE of `sysexits.h`.
const WRONG_USAGE: u8 = 64;

fn main() -> ExitCode {
    match arguments::parse(std::env::args_os().skip(1)) {
        Ok(Wish::Help) => {
            print(USAGE);
            ExitCode::SUCCESS
        }
        Ok(Wish::Version) => {
            print(concat!("guildhall-verify ", env!("CARGO_PKG_VERSION"), "\n"));
            ExitCode::SUCCESS
        }
        Ok(Wish::Verify(arguments)) => match run(&arguments) {
            Ok(code) => ExitCode::from(code),
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::from(UNREADABLE)
            }
        },
        Err(error) => {
            eprint!("error: {error}\n\n{USAGE}");
            ExitCode::from(WRONG_USAGE)
        }
    }
}

fn run(arguments: &Arguments) -> Result<u8, String> {
    let export = read(&arguments.export)?;
    let older = arguments.checkpoint.as_deref().map(read).transpose()?;
    let found = verify(&export, older.as_deref());
    let text = match arguments.json {
        true => serde_json::to_string(&found).map_err(|error| error.to_string())? + "\n",
        false => found.to_string(),
    };
    print(&text);
    Ok(found.exit_code())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn print(text: &str) {
    // A reader that closed the pipe has seen enough; the exit code still tells.
    let _ = std::io::stdout().write_all(text.as_bytes());
}
