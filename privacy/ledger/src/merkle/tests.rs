use super::*;

fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

fn tree(size: u64) -> MerkleTree {
    let mut tree = MerkleTree::default();
    (0..size).for_each(|index| tree.push(leaf_hash(&entry(index))));
    tree
}

/// RFC 9162's definition, word for word, over all the entries.
fn root_by_definition(entries: &[Vec<u8>]) -> Digest {
    match entries {
        [] => Digest::of_bytes(&[]),
        [one] => leaf_hash(one),
        _ => {
            let (left, right) = entries.split_at(split(entries.len() as u64) as usize);
            node_hash(&root_by_definition(left), &root_by_definition(right))
        }
    }
}

/// The inputs and roots of the certificate-transparency test suites (eight leaves of growing length).
#[test]
fn known_answers() {
    let leaves =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let mut tree = MerkleTree::default();
    assert_eq!(tree.root().to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (leaf, root) in leaves.iter().zip(roots) {
        let bytes: Vec<u8> = (0..leaf.len() / 2)
            .map(|i| u8::from_str_radix(&leaf[2 * i..2 * i + 2], 16).expect("hex"))
            .collect();
        tree.push(leaf_hash(&bytes));
        assert_eq!(tree.root().to_string(), root);
    }
}

#[test]
fn roots_are_those_of_the_definition() {
    let entries: Vec<Vec<u8>> = (0..130).map(entry).collect();
    let whole = tree(130);
    for size in 0..=130 {
        let expected = root_by_definition(&entries[..size]);
        assert_eq!(whole.root_at(size as u64), Ok(expected), "{size}");
        assert_eq!(tree(size as u64).root(), expected, "{size}");
    }
    assert_eq!(whole.root_at(131), Err(OutsideTree { limit: 131, found: 131 }));
}

/// Every proof of every tree of up to 64 entries verifies, and stops verifying with any other place, size, hash or root.
#[test]
fn inclusion_proofs_hold_for_their_place_only() {
    let whole = tree(64);
    for size in 1..=64 {
        let root = whole.root_at(size).expect("inside");
        for index in 0..size {
            let leaf = leaf_hash(&entry(index));
            let proof = whole.inclusion_proof(index, size).expect("inside");
            assert!(verify_inclusion(&leaf, index, size, &proof, &root), "{index} of {size}");
            for other in (0..=size).filter(|other| *other != index) {
                assert!(!verify_inclusion(&leaf, other, size, &proof, &root), "{index} as {other} of {size}");
            }
            let mut longer = proof.clone();
            longer.push(root);
            assert!(!verify_inclusion(&leaf, index, size, &longer, &root));
            if let Some((_, shorter)) = proof.split_last() {
                assert!(!verify_inclusion(&leaf, index, size, shorter, &root));
            }
            for changed in 0..proof.len() {
                let mut proof = proof.clone();
                proof[changed].0[changed % 32] ^= 1;
                assert!(!verify_inclusion(&leaf, index, size, &proof, &root));
            }
            assert!(!verify_inclusion(&leaf_hash(b"else"), index, size, &proof, &root));
        }
    }
    assert_eq!(whole.inclusion_proof(3, 3), Err(OutsideTree { limit: 3, found: 3 }));
}

#[test]
fn consistency_proofs_hold_for_their_roots_only() {
    let whole = tree(64);
    let root = |size| whole.root_at(size).expect("inside");
    for new in 1..=64 {
        for old in 0..=new {
            let proof = whole.consistency_proof(old, new).expect("inside");
            assert!(verify_consistency((old, &root(old)), (new, &root(new)), &proof), "{old} to {new}");
            let wrong = leaf_hash(b"else");
            assert!(!verify_consistency((old, &wrong), (new, &root(new)), &proof), "{old} to {new}");
            if old > 0 {
                assert!(!verify_consistency((old, &root(old)), (new, &wrong), &proof), "{old} to {new}");
            }
            for changed in 0..proof.len() {
                let mut proof = proof.clone();
                proof[changed].0[7] ^= 0x10;
                assert!(!verify_consistency((old, &root(old)), (new, &root(new)), &proof));
            }
            if old > 0 && old < new {
                let mut longer = proof.clone();
                longer.push(root(new));
                assert!(!verify_consistency((old, &root(old)), (new, &root(new)), &longer));
                assert!(!verify_consistency((new, &root(new)), (old, &root(old)), &proof), "backwards");
            }
        }
    }
}

/// An entry changed below an old root: no proof, whatever its hashes, was made for it.
#[test]
fn a_rewritten_history_has_no_consistency_with_the_old_root() {
    let old_root = tree(20).root();
    let mut rewritten = MerkleTree::default();
    (0..40).for_each(|index| rewritten.push(leaf_hash(&entry(if index == 11 { 99 } else { index }))));
    let proof = rewritten.consistency_proof(20, 40).expect("inside");
    assert!(!verify_consistency((20, &old_root), (40, &rewritten.root()), &proof));
}
