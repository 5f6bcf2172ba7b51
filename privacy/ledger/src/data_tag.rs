//! Which data a training read, in a form that says nothing to whoever does not know the data. [core]
//!
//! A tag is D(`guildhall dataset tag v1`; salt, d) with a fresh salt beside it, and d a digest of the files under a secret of the
//! merchant's. Whoever is shown the files and told the secret can test it; nobody else learns anything from it, nor can link two.
//!
//! # Privacy
//! Without the secret, whoever knows every row but one shopper's could try that shopper present and absent: the very
//! question that differential privacy leaves open. So an export alone answers it to nobody.

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
    /// Of the SHA-256 of each file, in the order of the configuration, under the merchant's secret.
    pub fn of_files(secret: &[u8; 32], files: &[Digest]) -> Self {
        let parts: Vec<&[u8]> =
            std::iter::once(&secret[..]).chain(files.iter().map(|file| &file.0[..])).collect();
        DataDigest(Digest::of(FILES_LABEL, &parts))
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
        DataDigest::of_files(&[9; 32], &[Digest([byte; 32])])
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
                let same = DataDigest::of_files(&[9; 32], one) == DataDigest::of_files(&[9; 32], other);
                assert_eq!(same, i == j, "{i} and {j}");
            }
        }
    }

    #[test]
    fn whoever_knows_the_files_but_not_the_secret_cannot_test_a_tag() {
        let files = [Digest([7; 32])];
        let tag = DataTag::new([1; 32], &DataDigest::of_files(&[9; 32], &files));
        for secret in [[0; 32], [8; 32], [1; 32]] {
            assert!(!tag.is_of(&DataDigest::of_files(&secret, &files)));
        }
        assert!(!tag.is_of(&DataDigest(files[0])), "nor with the file's digest itself");
    }

    #[test]
    fn the_digest_of_data_does_not_print() {
        assert!(!format!("{:?}", data(0xAB)).contains("ab"));
    }
}
