//! A ledger's journal and state together: judged, made durable, then taken in; checkpoints signed as it grows. \[shell\]

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use guildhall_shared::digest::Digest;
use guildhall_shared::identity::{IdentityKey, Signature, SignedRoster};
use guildhall_shared::secagg::SurvivorCertificate;
use guildhall_shared::tree_head::TreeHead;

use crate::folder::LedgerFolder;
use crate::journal::Journal;
use crate::merkle::leaf_hash;
use crate::note::{Checkpoint, Signer};
use crate::rotation::{KeyRotation, RotationError};
use crate::{Entry, Event, LedgerError, LedgerState, Membership};

/// What opening a ledger found and put in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Entries found.
    pub entries: u64,
    /// Bytes of a torn last frame that were cut.
    pub torn_bytes: u64,
    /// Sessions refunded: reserved, never committed.
    pub refunded: Vec<Digest>,
    /// Sessions counted as committed, because the torn frame may have been their COMMIT.
    pub presumed_committed: Vec<Digest>,
}

/// An open ledger: a merchant's under the rules of its budget, or the server's, in which nobody's budget is spent.
pub struct Book {
    state: LedgerState,
    /// Absent only in a simulation.
    journal: Option<Journal>,
    folder: Option<LedgerFolder>,
    /// Who signs checkpoints, once the ledger has an owner.
    owner: Option<Owner>,
}

/// Who signs a ledger's checkpoints. Does not print, is not serialisable.
pub struct Owner {
    /// The name of the ledger and of the key.
    pub signer: Signer,
    /// The key.
    pub key: IdentityKey,
}

impl Book {
    /// Opens or creates the ledger in a folder, takes its lock, and recovers.
    ///
    /// # Errors
    /// [`LedgerError::Locked`], [`LedgerError::Corrupt`] or a storage error.
    pub fn open(dir: &Path) -> Result<(Self, Recovery), LedgerError> {
        let (journal, found) = Journal::open(dir)?;
        let state = replay(found.entries, journal.path())?;
        let folder = Some(LedgerFolder::at(dir));
        let mut book = Book { state, journal: Some(journal), folder, owner: None };
        let recovery = book.recover(found.torn_bytes)?;
        Ok((book, recovery))
    }

    /// One that lives in memory, for simulations in one process where nothing leaves: same rules, no file.
    pub fn simulated() -> Self {
        Book { state: LedgerState::default(), journal: None, folder: None, owner: None }
    }

    /// Records whose ledger it is and with whom, if that is new, and signs checkpoints from now on.
    ///
    /// # Errors
    /// [`LedgerError::OtherFederation`]; [`LedgerError::OtherKey`] for a key that was given up; storage errors.
    pub fn join(
        &mut self,
        membership: Membership,
        roster: &SignedRoster,
        owner: Owner,
    ) -> Result<(), LedgerError> {
        if let Some(folder) = &self.folder {
            folder.write_roster(&membership.federation_key, roster)?;
        }
        let found = owner.key.public();
        if let Some(expected) = self.state.key_at(u64::MAX)
            && expected != found
        {
            return Err(LedgerError::OtherKey { expected, found });
        }
        self.owner = Some(owner);
        if self.state.membership() != Some(&membership) {
            return self.record(vec![Event::Roster { membership, time_unix_s: now_unix_s() }]);
        }
        self.write_checkpoint()
    }

    /// Holds what a witness saw of this ledger against the ledger itself.
    ///
    /// # Errors
    /// [`LedgerError::RolledBack`], after the alarm was recorded, if the ledger never was what the witness saw.
    pub fn compare(&mut self, seen: TreeHead) -> Result<(), LedgerError> {
        if self.state.had(&seen) {
            return Ok(());
        }
        if self.state.alarm() != Some(seen) {
            self.record(vec![Event::RollbackAlarm { seen, time_unix_s: now_unix_s() }])?;
        }
        Err(LedgerError::RolledBack { seen: seen.size })
    }

    /// The checkpoint that a witness cosigns: where the ledger stood at a size.
    ///
    /// # Errors
    /// [`LedgerError::RolledBack`] if it never stood there.
    pub fn keep_cosignature(
        &self,
        head: TreeHead,
        witness: &Signer,
        time_unix_s: u64,
        cosignature: Signature,
    ) -> Result<(), LedgerError> {
        let (Some(owner), Some(folder)) = (&self.owner, &self.folder) else { return Ok(()) };
        if !self.state.had(&head) {
            return Err(LedgerError::RolledBack { seen: head.size });
        }
        if self.state.key_at(head.size) != self.state.key_at(u64::MAX) {
            // The key that signed there was given up. The next head that is witnessed is the new key's.
            return Ok(());
        }
        let mut note = Checkpoint { origin: owner.signer.name.clone(), head }.sign(&owner.key);
        note.add_cosignature(witness, time_unix_s, cosignature);
        // One that does not verify is worth nothing, and is not kept.
        match note.verify(&owner.signer, std::slice::from_ref(witness)) {
            Ok(_) => folder.write_witnessed(&note),
            Err(_) => Ok(()),
        }
    }

    /// Keeps a survivor certificate durably, before the SETTLE that names it. Returns its digest.
    ///
    /// # Errors
    /// Storage errors.
    pub fn keep_certificate(&self, certificate: &SurvivorCertificate) -> Result<Digest, LedgerError> {
        match &self.folder {
            Some(folder) => folder.write_certificate(certificate),
            None => Ok(certificate.digest()),
        }
    }

    /// Records something that spends nothing: what the server saw and published, what an audit found, who got the ledger.
    ///
    /// # Errors
    /// What [`LedgerState::decide`] refuses; storage errors. An event that spends or settles is refused.
    pub fn note(&mut self, event: Event) -> Result<(), LedgerError> {
        match event {
            Event::Witness { .. } | Event::Result { .. } | Event::Audit { .. } | Event::Export { .. } => {
                self.record(vec![event])
            }
            other => Err(LedgerError::NotANote { kind: other.kind() }),
        }
    }

    /// Gives the owner's key up for another, which signs every checkpoint from here on. Keep the new key durably first:
    /// after this nobody else opens the ledger. When that is legal in a federation is in `docs/ledger.md`.
    ///
    /// # Errors
    /// [`LedgerError::Rotation`] before the ledger has an owner, and for a key that signed it before; storage errors.
    pub fn rotate_key(&mut self, new: IdentityKey) -> Result<(), LedgerError> {
        let (Some(owner), Some(membership)) = (&self.owner, self.state.membership()) else {
            return Err(RotationError::NoMerchant.into());
        };
        let rotation = KeyRotation::sign(membership, self.head(), &owner.key, &new)?;
        let signer = Signer { name: owner.signer.name.clone(), key: new.public() };
        self.make_durable(vec![Event::KeyRotation { rotation, time_unix_s: now_unix_s() }])?;
        self.owner = Some(Owner { signer, key: new });
        self.write_checkpoint()
    }

    /// Where the ledger stands.
    pub fn head(&self) -> TreeHead {
        self.state.head()
    }

    /// Everything that follows from the entries.
    pub fn state(&self) -> &LedgerState {
        &self.state
    }

    /// Judges commands one after the other, makes their entries durable in this order, then takes them in.
    ///
    /// # Errors
    /// What [`LedgerState::decide`] refuses; storage errors.
    pub fn record(&mut self, commands: Vec<Event>) -> Result<(), LedgerError> {
        self.make_durable(commands)?;
        self.write_checkpoint()
    }

    fn make_durable(&mut self, commands: Vec<Event>) -> Result<(), LedgerError> {
        let (mut entries, mut leaves) = (Vec::with_capacity(commands.len()), Vec::new());
        for command in commands {
            let mut entry = self.state.decide(command)?;
            entry.sequence += entries.len() as u64;
            if let Some(previous) = leaves.last() {
                entry.previous = *previous;
            }
            leaves.push(leaf(&entry));
            entries.push(entry);
        }
        if let Some(journal) = &mut self.journal {
            journal.append(&entries)?;
        }
        entries.iter().zip(leaves).for_each(|(entry, leaf)| self.state.apply(entry, leaf));
        Ok(())
    }

    fn write_checkpoint(&self) -> Result<(), LedgerError> {
        let (Some(owner), Some(folder)) = (&self.owner, &self.folder) else { return Ok(()) };
        let checkpoint = Checkpoint { origin: owner.signer.name.clone(), head: self.head() };
        folder.write_checkpoint(&checkpoint.sign(&owner.key))
    }

    /// Closes what a crash left open. The torn bytes are overwritten by the entries that answer for them, so a
    /// crash during recovery finds either the old tear or the answer.
    fn recover(&mut self, torn_bytes: u64) -> Result<Recovery, LedgerError> {
        let open = self.state.open_sessions();
        let mut recovery = Recovery { entries: self.state.tree().size(), torn_bytes, ..Recovery::default() };
        if torn_bytes > 0 {
            self.record(
                open.iter().map(|sid| Event::Commit { sid: *sid, update: None, data: None }).collect(),
            )?;
            recovery.presumed_committed = open;
        } else if !open.is_empty() {
            self.record(open.iter().map(|sid| Event::Refund { sid: *sid }).collect())?;
            recovery.refunded = open;
        }
        Ok(recovery)
    }
}

/// All entries through the same rules that made them: an illegal history is damage.
fn replay(entries: Vec<(u64, Entry)>, path: &Path) -> Result<LedgerState, LedgerError> {
    let mut state = LedgerState::default();
    for (offset, entry) in entries {
        let corrupt = |reason| LedgerError::Corrupt { path: path.to_path_buf(), offset, reason };
        let expected =
            state.decide(entry.event.clone()).map_err(|e| corrupt(format!("an illegal entry: {e}")))?;
        if expected != entry {
            return Err(corrupt(format!(
                "expected entry {} of version {}, found entry {} of version {}",
                expected.sequence, expected.version, entry.sequence, entry.version
            )));
        }
        let leaf = leaf(&entry);
        state.apply(&entry, leaf);
    }
    Ok(state)
}

/// An entry that was decided or read back encodes: its texts are bounded.
fn leaf(entry: &Entry) -> Digest {
    leaf_hash(&entry.to_bytes().unwrap_or_default())
}

/// Seconds since 1970, by the system's clock.
pub fn now_unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
