//! Vectors of `docs/ledger.md`: trees with all their proofs, and an export; a second reader, in Python, agrees with them.
//!
//! `GUILDHALL_WRITE_VECTORS=1 cargo test -p guildhall-ledger --test ledger vectors` writes the files; without it they are
//! compared.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use guildhall_ledger::merkle::{MerkleTree, leaf_hash, verify_consistency, verify_inclusion};
use guildhall_ledger::proof::EntryProof;
use guildhall_ledger::verify::verify;
use guildhall_shared::digest::Digest;

use super::fixture::{DATA_FILE, DATA_SECRET, Fixture, data};

const SIZE_MAX: u64 = 300;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn is_writing() -> bool {
    std::env::var_os("GUILDHALL_WRITE_VECTORS").is_some_and(|value| value == "1")
}

/// Compares a file with what the code makes, or writes it.
fn keep(name: &str, made: &[u8]) {
    let path = repository().join("tests/vectors").join(name);
    if is_writing() {
        fs::write(&path, made).expect("the folder is there");
        return;
    }
    let kept = fs::read(&path).expect(name);
    // A checkout may have changed the ends of lines.
    let lines = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    assert!(
        lines(&kept) == lines(made),
        "{name}: the code makes something else. If that is meant, it is a new version"
    );
}

fn tree() -> MerkleTree {
    let mut tree = MerkleTree::default();
    (0..SIZE_MAX).for_each(|index| tree.push(leaf_hash(format!("entry {index}").as_bytes())));
    tree
}

/// The digest of proofs: of each the number of its hashes, one byte, and the hashes.
fn digest(proofs: impl Iterator<Item = Vec<Digest>>) -> Digest {
    let mut bytes = Vec::new();
    for proof in proofs {
        bytes.push(u8::try_from(proof.len()).expect("few"));
        proof.iter().for_each(|hash| bytes.extend(hash.0));
    }
    Digest::of_bytes(&bytes)
}

fn hashes(proof: &[Digest]) -> String {
    let hashes: Vec<String> = proof.iter().map(|hash| format!("\"{hash}\"")).collect();
    format!("[{}]", hashes.join(", "))
}

fn sizes(tree: &MerkleTree) -> String {
    let lines = (0..=SIZE_MAX).map(|size| {
        let root = tree.root_at(size).expect("inside");
        let inclusion = digest((0..size).map(|index| tree.inclusion_proof(index, size).expect("inside")));
        let consistency = digest((1..=size).map(|old| tree.consistency_proof(old, size).expect("inside")));
        format!("  {{\"size\": {size}, \"root\": \"{root}\", \"inclusion\": \"{inclusion}\", \"consistency\": \"{consistency}\"}}")
    });
    lines.collect::<Vec<_>>().join(",\n")
}

#[test]
fn all_trees_and_proofs_are_as_written_down() {
    let tree = tree();
    let mut text = "{\n \"about\": \"entry i is the text 'entry i'; digests are SHA-256 over all proofs of a size, of each the \
                    number of its hashes (one byte) and the hashes\",\n \"sizes\": [\n"
        .to_owned();
    text += &sizes(&tree);
    text += "\n ],\n \"inclusion\": [\n";
    let places = [(0, 1), (0, 2), (2, 3), (6, 7), (5, 8), (0, 300), (137, 300), (299, 300)];
    let lines = places.map(|(index, size)| {
        let proof = hashes(&tree.inclusion_proof(index, size).expect("inside"));
        format!("  {{\"index\": {index}, \"size\": {size}, \"hashes\": {proof}}}")
    });
    text += &lines.join(",\n");
    text += "\n ],\n \"consistency\": [\n";
    let lines = [(1, 2), (3, 7), (4, 7), (6, 7), (8, 8), (137, 300), (256, 300)].map(|(old, new)| {
        let proof = hashes(&tree.consistency_proof(old, new).expect("inside"));
        format!("  {{\"old\": {old}, \"new\": {new}, \"hashes\": {proof}}}")
    });
    writeln!(text, "{}\n ]\n}}", lines.join(",\n")).expect("a string");
    keep("merkle.json", text.as_bytes());
}

/// Every proof of every size leads to its roots, and to no others.
#[test]
fn all_proofs_hold() {
    let tree = tree();
    let root = |size| tree.root_at(size).expect("inside");
    for size in 1..=SIZE_MAX {
        for index in 0..size {
            let leaf = leaf_hash(format!("entry {index}").as_bytes());
            let proof = tree.inclusion_proof(index, size).expect("inside");
            assert!(verify_inclusion(&leaf, index, size, &proof, &root(size)), "{index} of {size}");
            assert!(!verify_inclusion(&leaf, index, size, &proof, &root(size - 1)), "{index} of {size}");
            let old = index + 1;
            let proof = tree.consistency_proof(old, size).expect("inside");
            assert!(verify_consistency((old, &root(old)), (size, &root(size)), &proof), "{old} to {size}");
            assert!(!verify_consistency((old, &root(index)), (size, &root(size)), &proof), "{old} to {size}");
        }
    }
}

#[test]
fn an_export_and_a_proof_are_as_written_down() {
    let fixture = Fixture::of_64_entries();
    let export = fixture.export();
    keep("ledger_64.export.hex", hex(&export).as_bytes());
    let proof = EntryProof::from_export(&export, 5).expect("a proof").to_text();
    keep("ledger_64.entry_5.proof", proof.as_bytes());
    let found = verify(&export, None);
    let budget = found.budget.expect("a budget");
    let epsilon = found.epsilon_spent;
    let text = format!(
        "{{\n \"entries\": {},\n \"root\": \"{}\",\n \"origin\": \"{}\",\n \"owner_key\": \"{}\",\n \"first_owner_key\": \"{}\",\n \"rotations\": {},\n \
         \"data_secret\": \"{}\",\n \"data_file\": \"{}\",\n \"trainings_of_the_data\": {},\n \"federation_key\": \"{}\",\n \
         \"pico_rho_spent\": \"{}\",\n \"epsilon_spent\": {epsilon},\n \"budget_epsilon\": {},\n \"budget_delta\": {:e},\n \
         \"certificates\": {},\n \"merchants_that_saw_it\": {},\n \"server_saw_it_unix_s\": {}\n}}\n",
        found.entries,
        found.root,
        found.origin,
        found.owner_key.expect("known"),
        Digest(fixture.first_owner().key.0),
        found.account.rotations.len(),
        Digest(DATA_SECRET),
        DATA_FILE,
        found.account.sessions().filter(|(_, one)| one.data.is_some_and(|tag| tag.is_of(&data()))).count(),
        found.federation_key.expect("known"),
        found.spent.pico(),
        budget.epsilon,
        budget.delta,
        found.certificates,
        found.witnesses.merchants.len(),
        found.witnesses.server_unix_s.expect("cosigned"),
    );
    keep("ledger_64.json", text.as_bytes());
}

/// Bytes as lines of 64 hex characters: a file that no checkout changes.
fn hex(bytes: &[u8]) -> String {
    let line = |line: &[u8]| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n";
    bytes.chunks(32).map(line).collect()
}

/// A Python with the package the reader needs: `GUILDHALL_VECTORS_PYTHON`, else `python3`.
fn python() -> Option<PathBuf> {
    let named = std::env::var_os("GUILDHALL_VECTORS_PYTHON").map(PathBuf::from);
    let python = named.unwrap_or_else(|| PathBuf::from("python3"));
    let found = Command::new(&python).args(["-c", "import cryptography"]).output();
    found.is_ok_and(|output| output.status.success()).then_some(python)
}

#[test]
fn the_independent_reader_of_ledgers_agrees() {
    if is_writing() {
        println!(
            "SKIPPED the_independent_reader_of_ledgers_agrees: the files are being written; run it again"
        );
        return;
    }
    let Some(python) = python() else {
        println!(
            "SKIPPED the_independent_reader_of_ledgers_agrees: no python3 with the package cryptography; \
             set GUILDHALL_VECTORS_PYTHON"
        );
        return;
    };
    let output = Command::new(python).arg(repository().join("tests/read_ledger.py")).output().expect("runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    println!("{}", text(&output.stdout));
}
