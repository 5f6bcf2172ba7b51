//! One entry's proof, for somebody who has nothing else: the entry, its way to the root, and the signed root. [core]
//!
//! # Source
//! C2SP `tlog-proof@v1`; the entry's own bytes travel as its `extra` line.

use guildhall_shared::digest::Digest;
use guildhall_shared::identity::PublicKey;

use crate::Entry;
use crate::export::{Export, ExportError};
use crate::merkle::{MerkleTree, leaf_hash, verify_inclusion};
use crate::note::{self, NoteError, SignedNote, Signer, Witnessed};

const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// Hashes of the largest tree there can be.
const HASHES_MAX: usize = 64;

/// A proof that proves nothing, or cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Not the format.
    #[error("the proof's {part}: expected {expected}")]
    Format {
        /// Which part.
        part: &'static str,
        /// What should be there.
        expected: &'static str,
    },
    /// The checkpoint in it is no good.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The hashes do not lead from the entry to the root.
    #[error("the hashes do not lead from entry {index} to the checkpoint's root")]
    Path {
        /// The entry's number.
        index: u64,
    },
    /// The bytes at this place are no entry with this number.
    #[error("expected an entry with number {index}, found other bytes")]
    Entry {
        /// The number.
        index: u64,
    },
    /// The export is none.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// No checkpoint of the export covers the entry.
    #[error("entry {index}: expected one of the {covered} entries that the export's checkpoints are over")]
    Outside {
        /// Asked for.
        index: u64,
        /// Entries covered.
        covered: u64,
    },
}

/// A proof that an entry is in a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryProof {
    /// The entry's bytes.
    pub entry: Vec<u8>,
    /// Its number.
    pub index: u64,
    /// The way to the root, lowest first.
    pub hashes: Vec<Digest>,
    /// The signed root.
    pub note: SignedNote,
}

impl EntryProof {
    /// The proof of an entry of an export. Verify the export first: this only checks that the proof leads to the root.
    ///
    /// The cosigned checkpoint is preferred where it covers the entry: it convinces those too who do not believe the owner.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn from_export(export: &[u8], index: u64) -> Result<Self, ProofError> {
        let export = Export::parse(export)?;
        let notes = export.notes.iter().rev().map(|note| {
            let text = std::str::from_utf8(note).map_err(|_| format("checkpoint", "text"))?;
            Ok(SignedNote::parse(text)?)
        });
        let notes: Vec<SignedNote> = notes.collect::<Result<_, ProofError>>()?;
        let sizes = || notes.iter().map(|note| note.checkpoint().head.size);
        let outside = ProofError::Outside { index, covered: sizes().max().unwrap_or(0) };
        let place = sizes().position(|size| index < size).ok_or_else(|| outside.clone())?;
        let note = notes.into_iter().nth(place).ok_or_else(|| outside.clone())?;
        let mut tree = MerkleTree::default();
        export.entries.iter().for_each(|entry| tree.push(leaf_hash(entry)));
        let head = note.checkpoint().head;
        let hashes = tree.inclusion_proof(index, head.size).map_err(|_| outside.clone())?;
        let entry = usize::try_from(index).ok().and_then(|index| export.entries.get(index));
        let proof = EntryProof { entry: entry.ok_or(outside)?.to_vec(), index, hashes, note };
        proof.check_path()?;
        Ok(proof)
    }

    /// The proof as text.
    pub fn to_text(&self) -> String {
        let mut lines = vec![HEADER.to_owned(), format!("extra {}", note::encode(&self.entry))];
        lines.push(format!("index {}", self.index));
        lines.extend(self.hashes.iter().map(|hash| note::encode(&hash.0)));
        format!("{}\n\n{}", lines.join("\n"), self.note.to_text())
    }

    /// Reads a proof.
    ///
    /// # Errors
    /// [`ProofError::Format`], [`ProofError::Note`], for anything that [`EntryProof::to_text`] would not have written.
    pub fn parse(text: &str) -> Result<Self, ProofError> {
        let shape = format("shape", "a proof, an empty line, a checkpoint");
        let (before, checkpoint) = text.split_once("\n\n").ok_or(shape)?;
        let mut lines = before.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(format("first line", "c2sp.org/tlog-proof@v1"));
        }
        let extra = lines.next().and_then(|line| line.strip_prefix("extra "));
        let entry =
            extra.and_then(note::decode_all).ok_or(format("extra", "the entry in canonical base64"))?;
        let index = lines.next().and_then(|line| line.strip_prefix("index "));
        let number: Option<u64> = index.and_then(|index| index.parse().ok());
        let number = number.filter(|number| index == Some(number.to_string().as_str()));
        let index = number.ok_or(format("index", "a decimal number"))?;
        let hashes = lines
            .take(HASHES_MAX + 1)
            .map(|line| note::decode::<32>(line).map(Digest))
            .collect::<Option<Vec<Digest>>>()
            .filter(|hashes| hashes.len() <= HASHES_MAX)
            .ok_or(format("hashes", "at most 64 of 32 bytes in canonical base64"))?;
        let proof = EntryProof { entry, index, hashes, note: SignedNote::parse(checkpoint)? };
        if proof.to_text() == text { Ok(proof) } else { Err(format("form", "its one form")) }
    }

    /// Checks the signatures, the way to the root, and that the bytes are an entry of this number. Returns the entry and
    /// who witnessed it.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn verify(
        &self,
        owner: &Signer,
        witnesses: &[Signer],
    ) -> Result<(Entry, Vec<Witnessed>), ProofError> {
        let seen = self.note.verify(owner, witnesses)?;
        self.check_path()?;
        let entry = Entry::from_bytes(&self.entry).ok().filter(|entry| {
            entry.sequence == self.index && entry.to_bytes().ok().as_deref() == Some(&self.entry)
        });
        Ok((entry.ok_or(ProofError::Entry { index: self.index })?, seen))
    }

    /// As [`EntryProof::verify`], for somebody who knows keys only: the owner's and, for a cosigned checkpoint, the
    /// federation's. The names are those in the checkpoint.
    ///
    /// # Errors
    /// [`ProofError`]; a cosignature without a federation key to check it by is one too.
    pub fn verify_by_keys(
        &self,
        owner: PublicKey,
        federation: Option<PublicKey>,
    ) -> Result<(Entry, Vec<Witnessed>), ProofError> {
        let name = self.note.checkpoint().origin.clone();
        let server = name.rsplit_once('/').map(|(server, _)| server.to_owned());
        let server = server.zip(federation).map(|(name, key)| Signer { name, key });
        self.verify(&Signer { name, key: owner }, server.as_slice())
    }

    fn check_path(&self) -> Result<(), ProofError> {
        let head = self.note.checkpoint().head;
        if verify_inclusion(&leaf_hash(&self.entry), self.index, head.size, &self.hashes, &head.root) {
            return Ok(());
        }
        Err(ProofError::Path { index: self.index })
    }
}

fn format(part: &'static str, expected: &'static str) -> ProofError {
    ProofError::Format { part, expected }
}
