//! The one place where tests read their environment.

use std::io::Write as _;
use std::path::PathBuf;

/// A file of the test data folder (GUILDHALL_TEST_DATA, default ../shared/data from the project's root), or a
/// visible line saying that the test is skipped.
pub fn test_data(file: &str) -> Option<PathBuf> {
    let default = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data"));
    let path = std::env::var_os("GUILDHALL_TEST_DATA").map_or_else(default, PathBuf::from).join(file);
    if path.is_file() {
        return Some(path);
    }
    // Straight to standard error: what print macros write is hidden when a test passes.
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED: {} is absent; set GUILDHALL_TEST_DATA to the folder of test data",
        path.display()
    );
    None
}
