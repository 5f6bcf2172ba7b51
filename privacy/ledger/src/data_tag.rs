//! Which data a training read, in a form that says nothing to whoever does not know the data. [core]
//!
//! A tag is D(`guildhall dataset tag v1`; salt, digest of the data) with a fresh salt beside it. Whoever is shown the data, or
//! told their digest, can test it; two tags of the same data cannot be linked by anybody else. *Privacy*: this hides as much
//! as the digest is hard to guess. Somebody who can write down the whole file can test the guess.

use std::fmt;

use guildhall_shared::digest::Digest;
use serde::{Deserialize, Serialize};

const LABEL: &str = "guildhall dataset tag v1";
const FILES_LABEL: &str = "guildhall data files v1";

/// The digest of a merchant's data. It stays at the merchant: it does not print and is not serialisable.
#[derive(Clone, PartialEq, Eq)]
pub struct DataDigest(Digest);

impl fmt::Debug for DataDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataDigest(not shown)")
    }
}

impl DataDigest {
    /// Of the SHA-256 of each file, in the order of the configuration. A single file's is the digest itself.
    pub fn of_files(files: &[Digest]) -> Self {
        match files {
            [one] => DataDigest(*one),
            several => {
                let parts: Vec<&[u8]> = several.iter().map(|file| &file.0[..]).collect();
                DataDigest(Digest::of(FILES_LABEL, &parts))
            }
        }
    }
}

/// What a COMMIT says of the data that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataTag {
    /// Uniform, drawn for this entry alone.
    pub salt: [u8; 32],
    /// D(label; salt, digest of the data).
    pub tag: Digest,
}

impl DataTag {
    /// The tag of some data under a fresh salt.
    pub fn new(salt: [u8; 32], data: &DataDigest) -> Self {
        DataTag { salt, tag: Digest::of(LABEL, &[&salt, &data.0.0]) }
    }

    /// Whether it is of these data.
    pub fn is_of(&self, data: &DataDigest) -> bool {
        *self == DataTag::new(self.salt, data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(byte: u8) -> DataDigest {
        DataDigest::of_files(&[Digest([byte; 32])])
    }

    #[test]
    fn a_tag_is_of_its_data_alone_and_two_are_never_alike() {
        let tag = DataTag::new([1; 32], &data(7));
        assert!(tag.is_of(&data(7)) && !tag.is_of(&data(8)));
        let other = DataTag::new([2; 32], &data(7));
        assert!(other.is_of(&data(7)));
        assert_ne!(tag.tag, other.tag, "the salt is in the tag");
        assert!(!DataTag { salt: other.salt, ..tag }.is_of(&data(7)), "a salt of another entry");
    }

    #[test]
    fn several_files_are_told_apart_from_one_and_from_another_order() {
        let [a, b] = [1, 2].map(|byte| Digest([byte; 32]));
        let all = [vec![a], vec![b], vec![a, b], vec![b, a], vec![]];
        for (i, one) in all.iter().enumerate() {
            for (j, other) in all.iter().enumerate() {
                let same = DataDigest::of_files(one) == DataDigest::of_files(other);
                assert_eq!(same, i == j, "{i} and {j}");
            }
        }
    }

    #[test]
    fn the_digest_of_data_does_not_print() {
        assert!(!format!("{:?}", data(0xAB)).contains("ab"));
    }
}
