//! A ledger in one file, for somebody else: everything a third party needs to check it. [core]
//!
//! `guildhall-ledger-export/1` and a line end, then frames: kind (one byte), length (u32, little endian), bytes. In this
//! order: one roster, all entries, the certificates, one or two checkpoints, the end. `docs/ledger.md` has every byte.

use guildhall_shared::digest::Digest;

/// How an export begins.
pub const MAGIC: &[u8] = b"guildhall-ledger-export/1\n";

const ROSTER: u8 = b'R';
const ENTRY: u8 = b'E';
const CERTIFICATE: u8 = b'C';
const NOTE: u8 = b'N';
const END: u8 = b'Z';

/// What an export holds, undecoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Export<'a> {
    /// Federation key and signed roster.
    pub roster: &'a [u8],
    /// Entries, oldest first.
    pub entries: Vec<&'a [u8]>,
    /// Survivor certificates.
    pub certificates: Vec<&'a [u8]>,
    /// The newest checkpoint, then the newest that was cosigned, if any.
    pub notes: Vec<&'a [u8]>,
}

/// A file that is no whole export.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// Something else.
    #[error(
        "expected a ledger export, which begins with \"guildhall-ledger-export/1\", found something else"
    )]
    Magic,
    /// Cut short or malformed.
    #[error("at byte {offset}: expected {expected}")]
    Frame {
        /// Where.
        offset: usize,
        /// What should be there.
        expected: &'static str,
    },
    /// The bytes are not those that were written.
    #[error("the file was changed: its bytes have SHA-256 {found}, its end says {expected}")]
    Changed {
        /// At its end.
        expected: Digest,
        /// Computed.
        found: Digest,
    },
}

impl<'a> Export<'a> {
    /// Writes the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        frame(ROSTER, self.roster, &mut out);
        self.entries.iter().for_each(|entry| frame(ENTRY, entry, &mut out));
        self.certificates.iter().for_each(|certificate| frame(CERTIFICATE, certificate, &mut out));
        self.notes.iter().for_each(|note| frame(NOTE, note, &mut out));
        let digest = Digest::of_bytes(&out);
        frame(END, &digest.0, &mut out);
        out
    }

    /// Reads the file's frames, and that they are whole, in order and unchanged.
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ExportError> {
        let mut rest = bytes.strip_prefix(MAGIC).ok_or(ExportError::Magic)?;
        let mut export = Export::default();
        let mut before = 0;
        loop {
            let offset = bytes.len() - rest.len();
            let wrong = |expected| ExportError::Frame { offset, expected };
            let (head, body) = rest.split_first_chunk::<5>().ok_or(wrong("a frame"))?;
            let [kind, a, b, c, d] = *head;
            let length = u32::from_le_bytes([a, b, c, d]) as usize;
            let body = body.get(..length).ok_or(wrong("a whole frame"))?;
            rest = &rest[5 + length..];
            let place = [ROSTER, ENTRY, CERTIFICATE, NOTE, END].iter().position(|known| *known == kind);
            let place = place.filter(|place| *place >= before);
            before =
                place.ok_or(wrong("roster, entries, certificates, checkpoints and end, in this order"))?;
            match kind {
                ROSTER => {
                    export.roster = body;
                    before = 1;
                }
                ENTRY => export.entries.push(body),
                CERTIFICATE => export.certificates.push(body),
                NOTE => export.notes.push(body),
                _ => {
                    let expected = <[u8; 32]>::try_from(body).map_err(|_| wrong("32 bytes at the end"))?;
                    if !rest.is_empty() {
                        return Err(wrong("nothing after the end"));
                    }
                    let (expected, found) = (Digest(expected), Digest::of_bytes(&bytes[..offset]));
                    return if expected == found {
                        Ok(export)
                    } else {
                        Err(ExportError::Changed { expected, found })
                    };
                }
            }
        }
    }
}

fn frame(kind: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend((body.len() as u32).to_le_bytes());
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn export() -> Export<'static> {
        Export { roster: b"r", entries: vec![b"one", b"two"], certificates: vec![b"c"], notes: vec![b"n"] }
    }

    #[test]
    fn an_export_survives_its_bytes() {
        let bytes = export().to_bytes();
        assert_eq!(Export::parse(&bytes), Ok(export()));
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_noticed() {
        let bytes = export().to_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(Export::parse(&changed).is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(Export::parse(&bytes[..length]).is_err(), "{length} bytes");
        }
        assert!(Export::parse(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn frames_out_of_order_are_refused() {
        let mut bytes = MAGIC.to_vec();
        frame(ENTRY, b"one", &mut bytes);
        frame(ROSTER, b"r", &mut bytes);
        let digest = Digest::of_bytes(&bytes);
        frame(END, &digest.0, &mut bytes);
        assert!(matches!(Export::parse(&bytes), Err(ExportError::Frame { .. })));
    }
}
