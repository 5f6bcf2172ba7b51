//! What the cross-crate tests of Guildhall share: where the repository and the test data are, and sources read as text.
//!
//! The tests themselves lie in `integration/`, one file per subject, each with a `[[test]]` entry in `Cargo.toml`.

pub mod manifest;
pub mod secagg;
pub mod source;

use std::path::{Path, PathBuf};

/// The root of the repository.
///
/// # Panics
/// When the crate was built without Cargo's folders around it.
pub fn repository_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the tests crate lies in a folder of the repository").to_path_buf()
}

/// A folder of the test data, or nothing where it is absent; then a line says that `test` was skipped.
///
/// The data lie in `GUILDHALL_TEST_DATA`, by default `../shared/data` beside the repository.
pub fn test_data(folder: &str, test: &str) -> Option<PathBuf> {
    let data = match std::env::var_os("GUILDHALL_TEST_DATA") {
        Some(path) => PathBuf::from(path),
        None => repository_root().join("../shared/data"),
    };
    let path = data.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("SKIPPED {test}: {} is not there; set GUILDHALL_TEST_DATA", path.display());
    None
}
