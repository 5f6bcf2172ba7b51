//! The Merkle tree over the ledger's entries: roots, inclusion proofs and consistency proofs. [core]
//!
//! # Source
//! RFC 9162, section 2.1 (the same hashes and proofs as RFC 6962): a leaf is SHA-256(0x00 ‖ entry), a node
//! SHA-256(0x01 ‖ left ‖ right), and a tree of n > 1 entries splits at the largest power of two below n.

use guildhall_shared::digest::Digest;

#[cfg(test)]
mod tests;

/// The hash of an entry's bytes as a leaf.
pub fn leaf_hash(entry: &[u8]) -> Digest {
    Digest::of_bytes_after(&[0], entry)
}

fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let mut both = [0; 64];
    both[..32].copy_from_slice(&left.0);
    both[32..].copy_from_slice(&right.0);
    Digest::of_bytes_after(&[1], &both)
}

/// A tree that grows, with every complete subtree's hash: 64 bytes an entry.
#[derive(Clone, Debug, Default)]
pub struct MerkleTree {
    /// At level k the complete subtrees of 2^k entries, from the left.
    levels: Vec<Vec<Digest>>,
}

/// A proof that cannot be made: of an entry or a size the tree has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a place below {limit}, found {found}")]
pub struct OutsideTree {
    /// One more than the greatest that is.
    pub limit: u64,
    /// Asked for.
    pub found: u64,
}

impl MerkleTree {
    /// The number of entries.
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// Appends an entry by its leaf hash.
    pub fn push(&mut self, leaf: Digest) {
        let mut hash = leaf;
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let hashes = &mut self.levels[level];
            hashes.push(hash);
            let [.., left, right] = hashes.as_slice() else { return };
            if hashes.len() % 2 == 1 {
                return;
            }
            hash = node_hash(left, right);
        }
    }

    /// The root over all entries; of none the hash of nothing.
    pub fn root(&self) -> Digest {
        self.range(0, self.size())
    }

    /// The root when the tree had `size` entries.
    ///
    /// # Errors
    /// [`OutsideTree`] for more than it has.
    pub fn root_at(&self, size: u64) -> Result<Digest, OutsideTree> {
        self.check(size, self.size() + 1)?;
        Ok(self.range(0, size))
    }

    /// The hashes that lead from the entry at `index` to the root over the first `size` entries, lowest first.
    ///
    /// # Errors
    /// [`OutsideTree`].
    pub fn inclusion_proof(&self, index: u64, size: u64) -> Result<Vec<Digest>, OutsideTree> {
        self.check(size, self.size() + 1)?;
        self.check(index, size)?;
        let (mut start, mut end, mut proof) = (0, size, Vec::new());
        while end - start > 1 {
            let middle = start + split(end - start);
            if index < middle {
                proof.push(self.range(middle, end));
                end = middle;
            } else {
                proof.push(self.range(start, middle));
                start = middle;
            }
        }
        proof.reverse();
        Ok(proof)
    }

    /// The hashes that show that the first `old` of `new` entries are those of the root at `old`.
    ///
    /// # Errors
    /// [`OutsideTree`]; `old` is at least one.
    pub fn consistency_proof(&self, old: u64, new: u64) -> Result<Vec<Digest>, OutsideTree> {
        self.check(new, self.size() + 1)?;
        self.check(old, new + 1)?;
        let (mut start, mut end, mut whole, mut proof) = (0, new, true, Vec::new());
        if old == 0 || old == new {
            return Ok(proof);
        }
        while end != old {
            let middle = start + split(end - start);
            if old <= middle {
                proof.push(self.range(middle, end));
                end = middle;
            } else {
                proof.push(self.range(start, middle));
                start = middle;
                whole = false;
            }
        }
        if !whole {
            proof.push(self.range(start, end));
        }
        proof.reverse();
        Ok(proof)
    }

    fn check(&self, found: u64, limit: u64) -> Result<(), OutsideTree> {
        if found < limit { Ok(()) } else { Err(OutsideTree { limit, found }) }
    }

    /// The hash over the entries from `start` to before `end`; `start` is a multiple of the least power of two ≥ the length.
    fn range(&self, start: u64, end: u64) -> Digest {
        let length = end - start;
        if length == 0 {
            return Digest::of_bytes(&[]);
        }
        if length.is_power_of_two() {
            let level = length.trailing_zeros();
            return self.levels[level as usize][(start >> level) as usize];
        }
        let middle = start + split(length);
        node_hash(&self.range(start, middle), &self.range(middle, end))
    }
}

/// The largest power of two below a length of at least two.
fn split(length: u64) -> u64 {
    1 << (63 - (length - 1).leading_zeros())
}

/// Whether a proof leads from a leaf to a root: RFC 9162, section 2.1.3.2.
pub fn verify_inclusion(leaf: &Digest, index: u64, size: u64, proof: &[Digest], root: &Digest) -> bool {
    if index >= size {
        return false;
    }
    let (mut place, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if place % 2 == 1 || place == last {
            hash = node_hash(sibling, &hash);
            while place % 2 == 0 && place != 0 {
                (place, last) = (place >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        (place, last) = (place >> 1, last >> 1);
    }
    last == 0 && hash == *root
}

/// Whether a proof shows that a tree grew out of an older one: RFC 9162, section 2.1.4.2. Nothing is older than every tree.
pub fn verify_consistency(
    (old, old_root): (u64, &Digest),
    (new, new_root): (u64, &Digest),
    proof: &[Digest],
) -> bool {
    if old == 0 {
        return proof.is_empty() && *old_root == Digest::of_bytes(&[]);
    }
    if old >= new {
        return old == new && proof.is_empty() && old_root == new_root;
    }
    let first = if old.is_power_of_two() { Some(old_root) } else { None };
    let mut hashes = first.into_iter().chain(proof);
    let Some(first) = hashes.next() else { return false };
    let (mut place, mut last) = (old - 1, new - 1);
    while place % 2 == 1 {
        (place, last) = (place >> 1, last >> 1);
    }
    let (mut before, mut after) = (*first, *first);
    for hash in hashes {
        if last == 0 {
            return false;
        }
        if place % 2 == 1 || place == last {
            before = node_hash(hash, &before);
            after = node_hash(hash, &after);
            while place % 2 == 0 && place != 0 {
                (place, last) = (place >> 1, last >> 1);
            }
        } else {
            after = node_hash(&after, hash);
        }
        (place, last) = (place >> 1, last >> 1);
    }
    last == 0 && before == *old_root && after == *new_root
}
