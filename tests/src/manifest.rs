//! The workspace's manifests, and the one way a check fails.

use toml::Table;

use crate::repository_root;
use crate::source::read;

/// A crate's `Cargo.toml`.
///
/// # Panics
/// When it is not there or not TOML.
pub fn manifest(folder: &str) -> Table {
    let path = repository_root().join(folder).join("Cargo.toml");
    read(&path).parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Fails with all violations at once.
///
/// # Panics
/// When there are any.
pub fn assert_none(violations: Vec<String>) {
    let (count, list) = (violations.len(), violations.join("\n  "));
    assert!(violations.is_empty(), "{count} violation(s); see ARCHITECTURE.md\n  {list}");
}
