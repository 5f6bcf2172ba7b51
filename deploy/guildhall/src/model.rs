//! `guildhall model`: which version is served.

use guildhall_client::{ClientConfig, KeptVersion, kept_versions, use_version};
use serde::Serialize;

use crate::cli::{ModelCommand, ModelListArgs, ModelUseArgs, Wanted};
use crate::error::{CommandError, Context as _};
use crate::output;

/// What `model list` prints with `--json`.
#[derive(Debug, Serialize)]
struct Versions {
    /// The version that is served in place of the newest, if one is.
    pinned: Option<u32>,
    /// The oldest first.
    versions: Vec<KeptVersion>,
}

/// `guildhall model …`
pub fn run(command: &ModelCommand) -> Result<(), CommandError> {
    match command {
        ModelCommand::List(arguments) => list(arguments),
        ModelCommand::Use(arguments) => pin(arguments),
    }
}

fn list(arguments: &ModelListArgs) -> Result<(), CommandError> {
    let config = ClientConfig::load(&arguments.config).context(arguments.config.display())?;
    let versions = kept_versions(&config).context(arguments.config.display())?;
    let pinned = versions.iter().find(|kept| kept.pinned).map(|kept| kept.version);
    let found = Versions { pinned, versions };
    output::print(arguments.json, &found, || text(&found))
}

fn text(found: &Versions) -> String {
    let mut rows = vec![vec!["version".into(), "bytes".into(), String::new()]];
    let newest = found.versions.last().map(|kept| kept.version);
    for kept in &found.versions {
        let served = kept.pinned || (found.pinned.is_none() && newest == Some(kept.version));
        let mark = match (kept.pinned, served) {
            (true, _) => "pinned: served",
            (false, true) => "newest: served",
            (false, false) => "",
        };
        rows.push(vec![kept.version.to_string(), kept.bytes.to_string(), mark.into()]);
    }
    output::table(&rows)
}

fn pin(arguments: &ModelUseArgs) -> Result<(), CommandError> {
    let config = ClientConfig::load(&arguments.config).context(arguments.config.display())?;
    let version = match arguments.version {
        Wanted::Newest => None,
        Wanted::Version(version) => Some(version),
    };
    use_version(&config, version).context(arguments.config.display())?;
    match version {
        Some(version) => println!("version {version} is served until `guildhall model use newest`"),
        None => println!("the newest version is served"),
    }
    Ok(())
}
