//! What a person types. [core]

use std::ffi::OsString;
use std::path::PathBuf;

/// How the program is used.
pub const USAGE: &str = "\
Checks an exported privacy ledger: hashes, chain, signatures, every charge and every sum.

Usage: guildhall-verify PATH [--checkpoint FILE] [--json]

  PATH               a file that `guildhall ledger export` wrote
  --checkpoint FILE  an older checkpoint of the same ledger, which has to be one of its past states
  --json             print one JSON object
  --help, --version

Exit codes: 0 good, 2 tampered, 3 overspent, 4 unverifiable; 1 a file cannot be read, 64 wrong usage.
";

/// What is to be verified.
#[derive(Debug, PartialEq, Eq)]
pub struct Arguments {
    /// The export.
    pub export: PathBuf,
    /// An older checkpoint.
    pub checkpoint: Option<PathBuf>,
    /// One JSON object instead of text.
    pub json: bool,
}

/// What a person wants.
#[derive(Debug, PartialEq, Eq)]
pub enum Wish {
    /// To read how it is used.
    Help,
    /// To know which version this is.
    Version,
    /// A verdict.
    Verify(Arguments),
}

/// Reads the arguments after the program's name.
///
/// # Errors
/// A sentence about the first wrong one.
pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Wish, String> {
    let (mut export, mut checkpoint, mut json) = (None, None, false);
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--help" | "-h") => return Ok(Wish::Help),
            Some("--version" | "-V") => return Ok(Wish::Version),
            Some("--json") => json = true,
            Some("--checkpoint") => {
                let file = arguments.next().ok_or("--checkpoint: expected a file")?;
                if checkpoint.replace(PathBuf::from(file)).is_some() {
                    return Err("--checkpoint: expected once".into());
                }
            }
            Some(option) if option.starts_with("--") => {
                return Err(format!("unknown option {option:?}"));
            }
            _ => {
                if export.replace(PathBuf::from(argument)).is_some() {
                    return Err("expected one PATH, found two".into());
                }
            }
        }
    }
    let export = export.ok_or("expected the PATH of an export")?;
    Ok(Wish::Verify(Arguments { export, checkpoint, json }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Wish, String> {
        parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn arguments_come_in_any_order() {
        let expected =
            Wish::Verify(Arguments { export: "a".into(), checkpoint: Some("b".into()), json: true });
        assert_eq!(parsed(&["--checkpoint", "b", "a", "--json"]), Ok(expected));
        let plain = Wish::Verify(Arguments { export: "a".into(), checkpoint: None, json: false });
        assert_eq!(parsed(&["a"]), Ok(plain));
        assert_eq!(parsed(&["--help", "whatever"]), Ok(Wish::Help));
        assert_eq!(parsed(&["-V"]), Ok(Wish::Version));
    }

    #[test]
    fn wrong_usage_is_refused() {
        for wrong in [
            &[][..],
            &["a", "b"],
            &["a", "--checkpoint"],
            &["a", "--nonsense"],
            &["a", "--checkpoint", "b", "--checkpoint", "c"],
            &["--json"],
        ] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }
}
