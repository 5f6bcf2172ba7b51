//! Where a ledger stands: its size and its Merkle root. [core]

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// The head of a ledger's Merkle tree (RFC 9162, section 2.1). Whoever saw it can tell whether the ledger was cut or
/// rewritten below it since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeHead {
    /// Entries.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
}

impl TreeHead {
    /// Of a ledger without entries: the root is SHA-256 of nothing.
    pub const EMPTY: TreeHead = TreeHead {
        size: 0,
        root: Digest([
            0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
            0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
        ]),
    };

    /// As it is signed: size (u64, little endian), root.
    pub fn statement(&self) -> [u8; 40] {
        let mut bytes = [0; 40];
        bytes[..8].copy_from_slice(&self.size.to_le_bytes());
        bytes[8..].copy_from_slice(&self.root.0);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_tree_has_the_hash_of_nothing() {
        assert_eq!(TreeHead::EMPTY.root, Digest::of_bytes(&[]));
    }
}
