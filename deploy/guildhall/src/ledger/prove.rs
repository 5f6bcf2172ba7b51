//! `guildhall ledger prove`: one entry's proof, made from an export or checked by somebody who has two keys and no export.

use std::path::Path;

use guildhall_ledger::note::NoteError;
use guildhall_ledger::proof::{EntryProof, ProofError};
use guildhall_ledger::verify::{Verdict, utc, verify};
use guildhall_ledger::{Entry, Event};
use guildhall_shared::identity::PublicKey;
use serde::Serialize;

use super::read;
use crate::cli::LedgerProveArgs;
use crate::error::{CommandError, Context as _};
use crate::output;

/// Makes a proof, or checks one.
pub fn run(arguments: &LedgerProveArgs) -> Result<(), CommandError> {
    match (&arguments.check, &arguments.path, arguments.entry) {
        (Some(proof), ..) => check(proof, arguments),
        (None, Some(export), Some(entry)) => make(export, entry, arguments.out.as_deref()),
        _ => Err(CommandError::message("expected PATH and --entry N, or --check FILE and --key HEX")),
    }
}

fn make(path: &Path, entry: u64, out: Option<&Path>) -> Result<(), CommandError> {
    let export = read(path)?;
    let found = verify(&export, None);
    if found.verdict == Verdict::Tampered {
        super::judge(path, &found)?;
    }
    let proof = EntryProof::from_export(&export, entry).context(path.display())?;
    let text = proof.to_text();
    match out {
        Some(out) => std::fs::write(out, &text).context(out.display())?,
        None => print!("{text}"),
    }
    let key = |key: Option<String>| key.unwrap_or_else(|| "unknown".into());
    eprintln!(
        "whoever gets this proof checks it with\n  guildhall ledger prove --check FILE --key {} --federation-key {}\n\
         and should know these keys from somebody else than the ledger's owner",
        key(found.owner_key_at(proof.note.checkpoint().head.size)),
        key(found.federation_key)
    );
    Ok(())
}

/// What a proof shows.
#[derive(Serialize)]
struct Shown<'a> {
    /// Whose ledger.
    origin: &'a str,
    /// The entry's number.
    index: u64,
    /// Entries in the checkpoint that it leads to.
    entries: u64,
    /// The checkpoint's root.
    root: String,
    /// Who cosigned the checkpoint, and when.
    witnesses: Vec<(String, u64)>,
    /// The entry's kind.
    kind: &'static str,
    /// What it says.
    event: &'a Event,
}

fn check(path: &Path, arguments: &LedgerProveArgs) -> Result<(), CommandError> {
    let owner = public_key("--key", arguments.key.as_deref().unwrap_or_default())?;
    let federation =
        arguments.federation_key.as_deref().map(|text| public_key("--federation-key", text)).transpose()?;
    let text = String::from_utf8(read(path)?).context(path.display());
    let text = text.map_err(|error| error.with_exit_code(4))?;
    let failed = |error: ProofError| {
        let code = exit_code(&error);
        CommandError::message(format!("{}: {error}", path.display())).with_exit_code(code)
    };
    let proof = EntryProof::parse(&text).map_err(failed)?;
    let (entry, seen) = proof.verify_by_keys(owner, federation).map_err(failed)?;
    let checkpoint = proof.note.checkpoint();
    let Entry { sequence, event, .. } = &entry;
    let shown = Shown {
        origin: &checkpoint.origin,
        index: *sequence,
        entries: checkpoint.head.size,
        root: checkpoint.head.root.to_string(),
        witnesses: seen.into_iter().map(|one| (one.name, one.time_unix_s)).collect(),
        kind: event.kind(),
        event,
    };
    output::print(arguments.json, &shown, || shown.text())
}

impl Shown<'_> {
    fn text(&self) -> String {
        let witnesses: Vec<String> =
            self.witnesses.iter().map(|(name, time)| format!("{name} at {}", utc(*time))).collect();
        let witnesses = if witnesses.is_empty() { "nobody".into() } else { witnesses.join(", ") };
        // Debug formatting escapes whatever a text may hold.
        format!(
            "good\nentry         {} of {}, root {}\nledger        {:?}\nwitnessed by  {witnesses}\n{}\n{:#?}\n",
            self.index, self.entries, self.root, self.origin, self.kind, self.event
        )
    }
}

fn exit_code(error: &ProofError) -> u8 {
    match error {
        ProofError::Path { .. }
        | ProofError::Entry { .. }
        | ProofError::Note(NoteError::Signature { .. }) => 2,
        _ => 4,
    }
}

fn public_key(option: &str, text: &str) -> Result<PublicKey, CommandError> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| {
        CommandError::message(format!("{option}: expected 64 hex characters of an Ed25519 key"))
    })?;
    Ok(PublicKey(bytes))
}
