//! `guildhall ledger export`: a ledger in one file, and the record that it was handed out.

use std::path::Path;

use guildhall_client::ClientConfig;
use guildhall_ledger::Handover;
use guildhall_ledger::folder::LedgerFolder;
use guildhall_ledger::gather::{Gathered, gather};
use guildhall_shared::digest::Digest;

use crate::cli::LedgerExportArgs;
use crate::error::{CommandError, Context as _};

/// Writes the export. Where it is to be recorded, that comes first: no file without its entry.
pub(super) fn run(arguments: &LedgerExportArgs) -> Result<(), CommandError> {
    let found = gather(&LedgerFolder::at(&arguments.ledger)).context("exporting")?;
    if let Some(config) = &arguments.record {
        record(config, &arguments.recipient, &found)?;
    }
    std::fs::write(&arguments.out, &found.bytes).context(arguments.out.display())?;
    println!(
        "{}: {} entries, {} survivor certificates",
        arguments.out.display(),
        found.entries,
        found.certificates
    );
    match &arguments.record {
        Some(_) => println!("recorded: an EXPORT entry, which is not in the file itself"),
        None => println!("not recorded: --record client.toml makes the export an entry of the ledger"),
    }
    for sid in &found.certificates_missing {
        eprintln!("warning: session {sid}: its certificate is not in the folder; a verifier will miss it");
    }
    Ok(())
}

fn record(config: &Path, recipient: &str, found: &Gathered) -> Result<(), CommandError> {
    let client = ClientConfig::load(config).context(config.display())?;
    let (recipient, file) = (recipient.to_owned(), Digest::of_bytes(&found.bytes));
    let handover = Handover { recipient, head: found.head, file };
    let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
    let recorded = runtime.block_on(guildhall_client::record_export(client, handover));
    recorded.context(format!("{}: nothing was recorded, and no file was written", config.display()))
}
