//! Checkpoints: where a ledger stands, as a signed note that witnesses cosign. [core]
//!
//! ```text
//! guildhall/<federation>/<merchant>        origin: whose ledger
//! 1234                                     entries
//! <base64 of the root>
//!
//! — guildhall/<federation>/<merchant> <base64 of key id and signature>
//! — guildhall/<federation> <base64 of key id, time and cosignature>
//! ```
//! Parsing is strict: what is not exactly this is refused, and so are signatures by anybody unknown.
//!
//! # Source
//! C2SP signed-note, tlog-checkpoint and tlog-cosignature (`cosignature/v1`); Ed25519 throughout.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use guildhall_shared::digest::Digest;
use guildhall_shared::id::Name;
use guildhall_shared::identity::{IdentityKey, PublicKey, Signature};
use guildhall_shared::tree_head::TreeHead;

#[cfg(test)]
mod tests;

/// The longest note that is read, in bytes.
pub const NOTE_BYTES_MAX: usize = 1 << 18;

const ED25519: u8 = 0x01;
const COSIGNATURE: u8 = 0x04;
const DASH: &str = "— ";

/// The origin of a merchant's ledger, which is its key's name too.
pub fn merchant_origin(federation: &Digest, merchant: &Name) -> String {
    format!("guildhall/{federation}/{merchant}")
}

/// Who signs notes, and with which key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The key's name; of a log's own key its origin.
    pub name: String,
    /// The key.
    pub key: PublicKey,
}

impl Signer {
    /// A merchant: its ledger's origin and its identity.
    pub fn merchant(federation: &Digest, merchant: &Name, key: PublicKey) -> Self {
        Signer { name: merchant_origin(federation, merchant), key }
    }

    /// The server: the federation's key.
    pub fn server(federation: &Digest, key: PublicKey) -> Self {
        Signer { name: format!("guildhall/{federation}"), key }
    }

    /// The first four bytes of SHA-256(name ‖ 0x0A ‖ kind ‖ key).
    fn key_id(&self, kind: u8) -> [u8; 4] {
        let mut bytes = self.name.as_bytes().to_vec();
        bytes.extend_from_slice(&[b'\n', kind]);
        bytes.extend_from_slice(&self.key.0);
        let [a, b, c, d, ..] = Digest::of_bytes(&bytes).0;
        [a, b, c, d]
    }
}

/// A note that is none, or not by whom it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not the format.
    #[error("the checkpoint's {part}: expected {expected}")]
    Format {
        /// Which part.
        part: &'static str,
        /// What should be there.
        expected: &'static str,
    },
    /// A signature by nobody known.
    #[error("the checkpoint has a signature line of {found:?}, whom nobody here knows")]
    Unknown {
        /// The line's name.
        found: String,
    },
    /// A signature that does not verify.
    #[error("the checkpoint's signature of {name} does not verify")]
    Signature {
        /// Whose.
        name: String,
    },
}

fn format(part: &'static str, expected: &'static str) -> NoteError {
    NoteError::Format { part, expected }
}

/// Where a ledger stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose ledger.
    pub origin: String,
    /// Its size and root.
    pub head: TreeHead,
}

impl Checkpoint {
    /// The note's text: what is signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.head.size, STANDARD.encode(self.head.root.0))
    }

    fn parse(text: &str) -> Result<Self, NoteError> {
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root), Some(""), None) =
            (lines.next(), lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(format("text", "three lines: origin, size, root"));
        };
        if origin.is_empty() || origin.contains(|c: char| c.is_whitespace() || c == '+') {
            return Err(format("origin", "a name without blanks and plus signs"));
        }
        let number: Option<u64> = size.parse().ok();
        let size = number.filter(|number| number.to_string() == size);
        let size = size.ok_or_else(|| format("size", "a decimal number without leading zeros"))?;
        let root = decode::<32>(root).ok_or_else(|| format("root", "32 bytes in canonical base64"))?;
        Ok(Checkpoint { origin: origin.into(), head: TreeHead { size, root: Digest(root) } })
    }

    /// Signs it with the ledger's own key.
    pub fn sign(self, key: &IdentityKey) -> SignedNote {
        // A note's text has more than 32 bytes: the root alone has 44.
        let signature = key.sign_text(&self.text()).unwrap_or(Signature([[0; 32]; 2]));
        let signer = Signer { name: self.origin.clone(), key: key.public() };
        let line = Line { key_id: signer.key_id(ED25519), name: signer.name, time_unix_s: None, signature };
        SignedNote { checkpoint: self, lines: vec![line] }
    }

    fn cosigned_text(&self, time_unix_s: u64) -> String {
        format!("cosignature/v1\ntime {time_unix_s}\n{}", self.text())
    }

    /// A witness's signature: it saw this checkpoint at that time, consistent with all it saw before.
    pub fn cosign(&self, witness: &IdentityKey, time_unix_s: u64) -> Signature {
        witness.sign_text(&self.cosigned_text(time_unix_s)).unwrap_or(Signature([[0; 32]; 2]))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    name: String,
    key_id: [u8; 4],
    /// Of a cosignature.
    time_unix_s: Option<u64>,
    signature: Signature,
}

/// A checkpoint with its signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    checkpoint: Checkpoint,
    lines: Vec<Line>,
}

/// A witness that saw a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Witnessed {
    /// Whose cosignature.
    pub name: String,
    /// When it says it saw it, in seconds since 1970.
    pub time_unix_s: u64,
}

impl SignedNote {
    /// What is signed.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Adds a witness's signature. [`SignedNote::verify`] checks it.
    pub fn add_cosignature(&mut self, witness: &Signer, time_unix_s: u64, signature: Signature) {
        let key_id = witness.key_id(COSIGNATURE);
        self.lines.push(Line {
            name: witness.name.clone(),
            key_id,
            time_unix_s: Some(time_unix_s),
            signature,
        });
    }

    /// Checks the ledger's own signature and every witness's. The owner's comes first, once; no witness counts twice.
    ///
    /// # Errors
    /// [`NoteError`]; an unknown signer is one too.
    pub fn verify(&self, owner: &Signer, witnesses: &[Signer]) -> Result<Vec<Witnessed>, NoteError> {
        let mut lines = self.lines.iter();
        let own = lines.next().ok_or_else(|| format("signatures", "the owner's first"))?;
        if self.checkpoint.origin != owner.name || own.name != owner.name || own.time_unix_s.is_some() {
            return Err(NoteError::Unknown { found: own.name.clone() });
        }
        own.check(owner, ED25519, &self.checkpoint.text())?;
        let mut seen: Vec<Witnessed> = Vec::new();
        for line in lines {
            let unknown = || NoteError::Unknown { found: line.name.clone() };
            let time_unix_s = line.time_unix_s.ok_or_else(unknown)?;
            let witness = witnesses.iter().find(|witness| witness.name == line.name).ok_or_else(unknown)?;
            line.check(witness, COSIGNATURE, &self.checkpoint.cosigned_text(time_unix_s))?;
            if seen.iter().any(|other| other.name == line.name) {
                return Err(format("signatures", "one of each witness"));
            }
            seen.push(Witnessed { name: line.name.clone(), time_unix_s });
        }
        Ok(seen)
    }

    /// The note as text.
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n", self.checkpoint.text());
        for line in &self.lines {
            let mut blob = line.key_id.to_vec();
            blob.extend(line.time_unix_s.iter().flat_map(|time| time.to_be_bytes()));
            blob.extend(line.signature.0.concat());
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{DASH}{} {}", line.name, STANDARD.encode(blob));
        }
        text
    }

    /// Reads a note. Signatures are checked by [`SignedNote::verify`].
    ///
    /// # Errors
    /// [`NoteError::Format`] for anything that [`SignedNote::to_text`] would not have written.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        if text.len() > NOTE_BYTES_MAX {
            return Err(format("length", "at most 262144 bytes"));
        }
        let split =
            text.split_once("\n\n").ok_or_else(|| format("shape", "a text, an empty line, signatures"))?;
        let (before, signatures) = split;
        let checkpoint = Checkpoint::parse(&format!("{before}\n"))?;
        let signatures =
            signatures.strip_suffix('\n').ok_or_else(|| format("signatures", "a line end after each"))?;
        let lines = signatures.split('\n').map(Line::parse).collect::<Result<_, _>>()?;
        Ok(SignedNote { checkpoint, lines })
    }
}

impl Line {
    fn parse(line: &str) -> Result<Self, NoteError> {
        let wrong = || format("signature line", "an em dash, a name and canonical base64");
        let (name, blob) = line.strip_prefix(DASH).and_then(|line| line.split_once(' ')).ok_or_else(wrong)?;
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '+') {
            return Err(wrong());
        }
        if let Some(blob) = decode::<68>(blob) {
            return Ok(Line::from_parts(name, &blob, None));
        }
        let blob = decode::<76>(blob).ok_or_else(wrong)?;
        let (head, signature) = blob.split_at(12);
        let [a, b, c, d, time @ ..] = head else { return Err(wrong()) };
        let time = <[u8; 8]>::try_from(time).map(u64::from_be_bytes).map_err(|_| wrong())?;
        Ok(Line::from_parts(name, &[&[*a, *b, *c, *d], signature].concat(), Some(time)))
    }

    /// From a key id and a signature, 68 bytes.
    fn from_parts(name: &str, blob: &[u8], time_unix_s: Option<u64>) -> Self {
        let (mut key_id, mut halves) = ([0; 4], [[0; 32]; 2]);
        let (id, signature) = blob.split_at(4);
        key_id.copy_from_slice(id);
        halves[0].copy_from_slice(&signature[..32]);
        halves[1].copy_from_slice(&signature[32..]);
        Line { name: name.into(), key_id, time_unix_s, signature: Signature(halves) }
    }

    fn check(&self, signer: &Signer, kind: u8, text: &str) -> Result<(), NoteError> {
        if self.key_id != signer.key_id(kind) {
            return Err(NoteError::Unknown { found: self.name.clone() });
        }
        let wrong = |_| NoteError::Signature { name: self.name.clone() };
        signer.key.verify_text(text, &self.signature).map_err(wrong)
    }
}

/// Canonical base64 of exactly N bytes: with its padding, and without stray bits.
pub(crate) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let bytes = STANDARD.decode(text).ok()?;
    let array = <[u8; N]>::try_from(bytes).ok()?;
    (STANDARD.encode(array) == text).then_some(array)
}

/// Canonical base64 of any length.
pub(crate) fn decode_all(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok().filter(|bytes| STANDARD.encode(bytes) == text)
}

/// Canonical base64.
pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
