//! Frames: a 16-byte header and a body. The limit of a type is checked before the body is allocated. [core]
//!
//! ```text
//!  0       4         6      8        12         16
//!  | magic | version | type | length | checksum | body …
//!    GHLD    u16       u16    u32      CRC-32 of the body (ISO-HDLC), all little endian
//! ```

/// Bytes of a header.
pub const HEADER_BYTES: usize = 16;
/// First four bytes of every frame.
pub const MAGIC: [u8; 4] = *b"GHLD";
/// Version of the frame and of everything inside.
pub const PROTOCOL_VERSION: u16 = 1;

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Type code of the message.
    pub kind: u16,
    /// Bytes of the body.
    pub length: u32,
    /// CRC-32 of the body.
    pub checksum: u32,
}

/// A frame that is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FrameError {
    /// Not a Guildhall frame.
    #[error("expected a frame that starts with {MAGIC:?}, found {0:?}")]
    Magic([u8; 4]),
    /// Another version.
    #[error("expected protocol version {PROTOCOL_VERSION}, found {0}: use the same release on both sides")]
    Version(u16),
    /// A type that may not come now.
    #[error("message type {0:#06x} is unknown or not expected here")]
    Type(u16),
    /// Longer than its type may be, or not exactly as long as it must be.
    #[error("message type {kind:#06x}: expected {expected} bytes, found {found}")]
    Length {
        /// Type code.
        kind: u16,
        /// "at most N" or "exactly N".
        expected: LengthRule,
        /// Length in the header.
        found: u32,
    },
    /// Body and checksum differ.
    #[error("message type {kind:#06x}: the checksum of the body does not match")]
    Checksum {
        /// Type code.
        kind: u16,
    },
}

/// How long a body may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthRule {
    /// Any length up to this.
    AtMost(u32),
    /// This length and no other.
    Exactly(u32),
}

impl std::fmt::Display for LengthRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LengthRule::AtMost(n) => write!(f, "at most {n}"),
            LengthRule::Exactly(n) => write!(f, "exactly {n}"),
        }
    }
}

impl FrameHeader {
    /// The header of a body.
    pub fn of(kind: u16, body: &[u8]) -> Self {
        FrameHeader { kind, length: body.len() as u32, checksum: crc32fast::hash(body) }
    }

    /// The 16 bytes.
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[..4].copy_from_slice(&MAGIC);
        out[4..6].copy_from_slice(&PROTOCOL_VERSION.to_le_bytes());
        out[6..8].copy_from_slice(&self.kind.to_le_bytes());
        out[8..12].copy_from_slice(&self.length.to_le_bytes());
        out[12..].copy_from_slice(&self.checksum.to_le_bytes());
        out
    }

    /// Reads a header; magic and version must match.
    ///
    /// # Errors
    /// [`FrameError::Magic`], [`FrameError::Version`].
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, FrameError> {
        let [m0, m1, m2, m3, v0, v1, t0, t1, l0, l1, l2, l3, c0, c1, c2, c3] = *bytes;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(FrameError::Magic([m0, m1, m2, m3]));
        }
        let version = u16::from_le_bytes([v0, v1]);
        if version != PROTOCOL_VERSION {
            return Err(FrameError::Version(version));
        }
        Ok(FrameHeader {
            kind: u16::from_le_bytes([t0, t1]),
            length: u32::from_le_bytes([l0, l1, l2, l3]),
            checksum: u32::from_le_bytes([c0, c1, c2, c3]),
        })
    }

    /// Refuses a length its rule does not allow. Call before allocating the body.
    ///
    /// # Errors
    /// [`FrameError::Length`].
    pub fn check_length(&self, rule: LengthRule) -> Result<(), FrameError> {
        let allowed = match rule {
            LengthRule::AtMost(n) => self.length <= n,
            LengthRule::Exactly(n) => self.length == n,
        };
        if allowed {
            Ok(())
        } else {
            Err(FrameError::Length { kind: self.kind, expected: rule, found: self.length })
        }
    }

    /// Refuses a body that is not the one announced.
    ///
    /// # Errors
    /// [`FrameError::Length`], [`FrameError::Checksum`].
    pub fn check_body(&self, body: &[u8]) -> Result<(), FrameError> {
        if body.len() as u64 != u64::from(self.length) {
            let expected = LengthRule::Exactly(self.length);
            return Err(FrameError::Length { kind: self.kind, expected, found: body.len() as u32 });
        }
        if crc32fast::hash(body) != self.checksum {
            return Err(FrameError::Checksum { kind: self.kind });
        }
        Ok(())
    }
}

/// A whole frame: header and body.
pub fn frame(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES + body.len());
    out.extend(FrameHeader::of(kind, body).to_bytes());
    out.extend(body);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answer() {
        // "123456789" is the check string of CRC-32/ISO-HDLC: cbf43926.
        let bytes = frame(0x0102, b"123456789");
        assert_eq!(
            hex::encode(&bytes),
            "47484c44" /* GHLD */.to_owned() + "0100" /* version 1 */ + "0201" /* type */ + "09000000" /* length */ + "2639f4cb" /* checksum */ + "313233343536373839"
        );
    }

    #[test]
    fn every_flipped_bit_of_a_frame_is_noticed_or_changes_type_or_length() {
        let good = frame(7, b"body");
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let header: [u8; HEADER_BYTES] = bad[..HEADER_BYTES].try_into().expect("16 bytes");
            let verdict =
                FrameHeader::parse(&header).and_then(|h| h.check_body(&bad[HEADER_BYTES..]).map(|()| h.kind));
            assert_ne!(verdict, Ok(7), "bit {bit}");
        }
    }

    #[test]
    fn lengths_are_checked_before_the_body_exists() {
        let header = FrameHeader { kind: 1, length: u32::MAX, checksum: 0 };
        assert!(header.check_length(LengthRule::AtMost(1 << 20)).is_err());
        assert!(header.check_length(LengthRule::Exactly(8)).is_err());
    }
}
