//! `guildhall model`: which version is served.

use std::collections::HashMap;

use guildhall_client::model::exchange::to_safetensors;
use guildhall_client::model_store::FineTunedCopy;
use guildhall_client::{ClientConfig, KeptVersion, kept_versions, use_fine_tuned, use_version};
use serde::Serialize;

use crate::cli::{ModelCommand, ModelExportArgs, ModelListArgs, ModelUseArgs, Wanted};
use crate::error::{CommandError, Context as _};
use crate::evaluate::{followed_job, stored};
use crate::output;

/// What `model list` prints with `--json`.
#[derive(Debug, Serialize)]
struct Versions {
    /// The version that is served in place of the newest, if one is; or whose fine-tuned copy is.
    pinned: Option<u32>,
    /// The oldest first.
    versions: Vec<KeptVersion>,
}

/// `guildhall model …`
pub fn run(command: &ModelCommand) -> Result<(), CommandError> {
    match command {
        ModelCommand::List(arguments) => list(arguments),
        ModelCommand::Use(arguments) => pin(arguments),
        ModelCommand::Export(arguments) => export(arguments),
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
    let newest = found.versions.iter().rfind(|kept| !kept.fine_tuned).map(|kept| kept.version);
    for kept in &found.versions {
        let is_newest = !kept.fine_tuned && newest == Some(kept.version);
        let served = kept.pinned || (found.pinned.is_none() && is_newest);
        let mark = match (kept.pinned, served) {
            (true, _) => "pinned: served",
            (false, true) => "newest: served",
            (false, false) => "",
        };
        let copy = if kept.fine_tuned { " fine-tuned" } else { "" };
        rows.push(vec![format!("{}{copy}", kept.version), kept.bytes.to_string(), mark.into()]);
    }
    output::table(&rows)
}

fn pin(arguments: &ModelUseArgs) -> Result<(), CommandError> {
    let config = ClientConfig::load(&arguments.config).context(arguments.config.display())?;
    if arguments.fine_tuned {
        return pin_copy(&config, arguments);
    }
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

fn pin_copy(config: &ClientConfig, arguments: &ModelUseArgs) -> Result<(), CommandError> {
    let kept = kept_versions(config).context(arguments.config.display())?;
    let newest = || kept.iter().rfind(|kept| kept.fine_tuned).map(|kept| kept.version);
    let version = match arguments.version {
        Wanted::Version(version) => version,
        Wanted::Newest => newest().ok_or_else(|| {
            CommandError::message("no version has a fine-tuned copy: `guildhall fine-tune` makes one")
        })?,
    };
    use_fine_tuned(config, version).context(arguments.config.display())?;
    println!(
        "the copy of version {version} is served until `guildhall model use newest`: {}",
        FineTunedCopy::LABEL
    );
    Ok(())
}

/// The weights that are released, averaged where the job says so, with what protects them in the file's metadata.
fn export(arguments: &ModelExportArgs) -> Result<(), CommandError> {
    let config = ClientConfig::load(&arguments.config).context(arguments.config.display())?;
    let job = followed_job(&config)?;
    let stored = stored(&config, &job, arguments.version)?;
    let facts = HashMap::from([
        ("job".to_string(), job.name.to_string()),
        ("version".to_string(), stored.version.to_string()),
        ("model".to_string(), stored.model.to_string()),
        ("privacy".to_string(), job.privacy.label()),
    ]);
    let bytes = to_safetensors(&job.model(), &stored.state.released(), facts).context("the weights")?;
    std::fs::write(&arguments.out, bytes).context(arguments.out.display())?;
    println!("version {} is written to {}", stored.version, arguments.out.display());
    Ok(())
}
