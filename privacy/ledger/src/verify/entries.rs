//! Entries: one encoding each, the chain, and what the ledger's own rules say of every step.

use guildhall_shared::digest::Digest;

use super::{Severity, Verifier};
use crate::entry::{ENTRY_VERSION, Entry};
use crate::merkle::leaf_hash;
use crate::{Event, LedgerError};

/// More budgets and more keys than anybody has: each costs as much work as hundreds of other entries.
const POLICIES_MAX: usize = 1_000;
const ROTATIONS_MAX: usize = 1_000;

impl Verifier {
    pub(super) fn read_entries(&mut self, entries: &[&[u8]]) {
        let (mut understood, mut learns) = (true, true);
        for (place, bytes) in entries.iter().enumerate() {
            let leaf = leaf_hash(bytes);
            self.tree.push(leaf);
            // Without an entry nothing after it can be judged.
            let judged = understood;
            understood = understood && self.read_entry(place, bytes, leaf);
            if !judged && learns {
                learns = self.learn_key(place, bytes);
            }
        }
    }

    /// An entry that cannot be judged still says by whose key the checkpoints over it are, if the owner's keys signed that:
    /// so a changed ledger is not taken for one of an unknown owner. False where the chain of keys ends.
    fn learn_key(&mut self, place: usize, bytes: &[u8]) -> bool {
        let Ok(Entry { event: Event::KeyRotation { rotation, .. }, .. }) = Entry::from_bytes(bytes) else {
            return true;
        };
        let in_force = self.owner_at(u64::MAX).map(|owner| owner.key);
        let holds = self.state.rotations().len() < ROTATIONS_MAX
            && rotation.before.size == place as u64
            && in_force == Some(rotation.old)
            && rotation.verify_signatures(self.membership.as_ref()).is_ok();
        if holds {
            self.state.learn_rotation(rotation);
        }
        holds
    }

    fn read_entry(&mut self, place: usize, bytes: &[u8], leaf: Digest) -> bool {
        let version = bytes.first_chunk().map(|version| u16::from_le_bytes(*version));
        let entry = Entry::from_bytes(bytes).ok().filter(|_| version == Some(ENTRY_VERSION));
        let Some(entry) = entry else {
            let what =
                format!("expected an entry of version {ENTRY_VERSION}; nothing from here on can be judged");
            self.findings.at(place, Severity::Unverifiable, what);
            return false;
        };
        let (found, most) = match entry.event {
            Event::Policy { .. } => (self.account.policies.len(), POLICIES_MAX),
            Event::KeyRotation { .. } => (self.state.rotations().len(), ROTATIONS_MAX),
            _ => (0, 1),
        };
        if found >= most {
            let kind = entry.event.kind();
            let what = format!("expected at most {most} {kind} entries; nothing from here on is judged");
            self.findings.at(place, Severity::Unverifiable, what);
            return false;
        }
        self.check_event(place, &entry.event);
        if let Some(entry) = self.judge(place, entry, bytes) {
            self.state.apply(&entry, leaf);
            self.account.take(place as u64, &entry);
        }
        true
    }

    /// The entry that the rules make of this event, here: it has to be this one, byte by byte.
    fn judge(&mut self, place: usize, entry: Entry, bytes: &[u8]) -> Option<Entry> {
        let Entry { sequence, previous, event, .. } = entry;
        match self.state.decide(event) {
            Ok(expected) => {
                if expected.to_bytes().ok().as_deref() != Some(bytes) {
                    let what = format!(
                        "expected number {} after {}, canonically encoded, found number {sequence} after {previous}",
                        expected.sequence, expected.previous
                    );
                    self.findings.at(place, Severity::Tampered, what);
                }
                Some(expected)
            }
            Err(error) => {
                let severity = match error {
                    LedgerError::OverBudget { .. } => Severity::Overspent,
                    _ => Severity::Tampered,
                };
                self.findings.at(place, severity, error);
                // It happened all the same.
                Entry::from_bytes(bytes).ok()
            }
        }
    }
}
