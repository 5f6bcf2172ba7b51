//! The one canonical encoding: bincode 2, fixed-width little-endian integers, a byte limit, no trailing bytes.
//!
//! This is the only file that names bincode. Everything hashed, signed or sent goes through here; vectors
//! of ring words do not (see [`crate::ring`]): they are raw little-endian words behind a control part.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// No encoded control object may be larger, in bytes. Frames have tighter limits per type.
pub const OBJECT_BYTES_MAX: usize = 16 << 20;

/// An object that could not be encoded or decoded.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WireError {
    /// Larger than the limit, refused before any allocation.
    #[error("{object}: {found} bytes are more than the limit of {limit}")]
    TooLarge {
        /// What was decoded.
        object: &'static str,
        /// Bytes found.
        found: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Bytes left over after the object.
    #[error("{object}: {found} bytes given, only {used} used")]
    TrailingBytes {
        /// What was decoded.
        object: &'static str,
        /// Bytes found.
        found: usize,
        /// Bytes used.
        used: usize,
    },
    /// Not an encoding of the object.
    #[error("{object}: not a valid encoding")]
    Malformed {
        /// What was decoded.
        object: &'static str,
    },
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard()
        .with_little_endian()
        .with_fixed_int_encoding()
        .with_limit::<OBJECT_BYTES_MAX>()
}

/// Encodes an object canonically.
///
/// # Errors
/// [`WireError::Malformed`] when the object is larger than [`OBJECT_BYTES_MAX`] or holds a sequence without a length.
pub fn encode<T: Serialize + ?Sized>(object: &T) -> Result<Vec<u8>, WireError> {
    let name = std::any::type_name::<T>();
    let bytes =
        bincode::serde::encode_to_vec(object, config()).map_err(|_| WireError::Malformed { object: name })?;
    if bytes.len() > OBJECT_BYTES_MAX {
        return Err(WireError::TooLarge { object: name, found: bytes.len(), limit: OBJECT_BYTES_MAX });
    }
    Ok(bytes)
}

/// Decodes an object of at most `limit` bytes and refuses trailing bytes.
///
/// # Errors
/// See [`WireError`]. A forged inner length cannot allocate more than [`OBJECT_BYTES_MAX`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, WireError> {
    let object = std::any::type_name::<T>();
    if bytes.len() > limit {
        return Err(WireError::TooLarge { object, found: bytes.len(), limit });
    }
    let (value, used) =
        bincode::serde::decode_from_slice(bytes, config()).map_err(|_| WireError::Malformed { object })?;
    if used != bytes.len() {
        return Err(WireError::TrailingBytes { object, found: bytes.len(), used });
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_fixed_width_little_endian() {
        assert_eq!(encode(&(1u32, 2u64)).expect("encodes"), [1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn trailing_truncated_and_oversized_bytes_are_refused() {
        assert!(matches!(decode::<u32>(&[0; 5], 9), Err(WireError::TrailingBytes { used: 4, .. })));
        assert!(matches!(decode::<u32>(&[0; 3], 9), Err(WireError::Malformed { .. })));
        assert!(matches!(decode::<u32>(&[0; 4], 3), Err(WireError::TooLarge { limit: 3, .. })));
    }

    #[test]
    fn a_forged_length_is_refused_without_allocating_it() {
        let mut forged = u64::MAX.to_le_bytes().to_vec();
        forged.extend([0; 8]);
        assert!(decode::<Vec<u8>>(&forged, 64).is_err());
        let mut large = (1u64 << 40).to_le_bytes().to_vec();
        large.extend([0; 8]);
        assert!(decode::<Vec<u64>>(&large, 64).is_err());
    }
}
