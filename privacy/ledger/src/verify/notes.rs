//! Checkpoints: by the right people, over entries that are still there.

use guildhall_shared::tree_head::TreeHead;

use super::{Severity, Verifier};
use crate::note::{NoteError, SignedNote, Signer, Witnessed};

/// A checkpoint that shows nothing, or shows that the ledger was changed.
type Wrong = (Severity, String);

impl Verifier {
    pub(super) fn read_notes(&mut self, notes: &[&[u8]], older: Option<&[u8]>) {
        if self.owner_at(0).is_none() {
            let what = "expected a ROSTER entry and the roster it names: nobody is known whose checkpoints these could be";
            return self.findings.add(Severity::Unverifiable, what);
        }
        let witnesses = self.cosigners();
        match notes {
            [newest] => self.read_newest(newest, &witnesses),
            [newest, cosigned] => {
                self.read_newest(newest, &witnesses);
                self.read_cosigned(cosigned, &witnesses);
            }
            others => {
                let found = others.len();
                let what =
                    format!("expected one or two checkpoints signed by the ledger's owner, found {found}");
                self.findings.add(Severity::Unverifiable, what);
            }
        }
        if let Some(older) = older
            && let Err((severity, what)) = self.check_note(older, &witnesses)
        {
            self.findings.add(severity, format_args!("the older checkpoint: {what}"));
        }
    }

    /// The server witnesses merchants' ledgers; its own signature on its own ledger would witness nothing.
    fn cosigners(&self) -> Vec<Signer> {
        let own = self.membership.as_ref().and_then(|membership| membership.own);
        let members = self.members.as_ref().filter(|_| own.is_some());
        members.map(|members| Signer::server(&members.roster.federation, members.key)).into_iter().collect()
    }

    fn read_newest(&mut self, note: &[u8], witnesses: &[Signer]) {
        match self.check_note(note, witnesses) {
            Ok((head, seen)) => {
                let expected = self.tree.size();
                if head.size != expected {
                    let found = head.size;
                    let what = format!(
                        "checkpoint: expected one over all {expected} entries, found one over {found}"
                    );
                    self.findings.add(Severity::Tampered, what);
                }
                self.count_witnesses(head, &seen);
            }
            Err((severity, what)) => self.findings.add(severity, format_args!("checkpoint: {what}")),
        }
    }

    fn read_cosigned(&mut self, note: &[u8], witnesses: &[Signer]) {
        match self.check_note(note, witnesses) {
            Ok((_, seen)) if seen.is_empty() => {
                let what = "the second checkpoint: expected a cosignature of the server's, found none";
                self.findings.add(Severity::Unverifiable, what);
            }
            Ok((head, seen)) => self.count_witnesses(head, &seen),
            Err((severity, what)) => {
                self.findings.add(severity, format_args!("the cosigned checkpoint: {what}"))
            }
        }
    }

    fn count_witnesses(&mut self, head: TreeHead, seen: &[Witnessed]) {
        let Some(last) = seen.iter().map(|witness| witness.time_unix_s).max() else { return };
        if self.witnesses.server_unix_s.is_none() || head.size >= self.witnesses.entries_seen_by_server {
            self.witnesses.server_unix_s = Some(last);
            self.witnesses.entries_seen_by_server = head.size;
        }
    }

    /// Format, signatures, and that the ledger's first entries are those it was made over.
    fn check_note(&self, note: &[u8], witnesses: &[Signer]) -> Result<(TreeHead, Vec<Witnessed>), Wrong> {
        let text =
            std::str::from_utf8(note).map_err(|_| (Severity::Unverifiable, "expected text".to_owned()))?;
        let read = SignedNote::parse(text).map_err(of_note)?;
        if read.to_text() != text {
            return Err((Severity::Unverifiable, "expected its one form".into()));
        }
        let head = read.checkpoint().head;
        let unknown = || (Severity::Unverifiable, "expected an owner of this ledger".to_owned());
        let owner = self.owner_at(head.size).ok_or_else(unknown)?;
        let seen = read.verify(&owner, witnesses).map_err(of_note)?;
        match self.tree.root_at(head.size) {
            Err(_) => {
                let (expected, found) = (head.size, self.tree.size());
                Err((Severity::Tampered, format!("expected at least {expected} entries, found {found}")))
            }
            Ok(found) if found != head.root => {
                let (size, expected) = (head.size, head.root);
                Err((
                    Severity::Tampered,
                    format!("the first {size} entries have root {found}, it says {expected}"),
                ))
            }
            Ok(_) => Ok((head, seen)),
        }
    }
}

fn of_note(error: NoteError) -> Wrong {
    let severity = match error {
        NoteError::Signature { .. } => Severity::Tampered,
        NoteError::Format { .. } | NoteError::Unknown { .. } => Severity::Unverifiable,
    };
    (severity, error.to_string())
}
