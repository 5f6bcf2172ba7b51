//! Every bit of what an auditor is given, flipped; and whole entries removed, moved and rewritten.

use std::sync::atomic::{AtomicUsize, Ordering};

use guildhall_ledger::Event;
use guildhall_ledger::account::Account;
use guildhall_ledger::export::MAGIC;
use guildhall_ledger::proof::EntryProof;
use guildhall_ledger::verify::{Severity, Verification, verify};
use guildhall_shared::digest::Digest;

use super::fixture::Fixture;

/// Runs a check for every bit below `bits` on all cores with GUILDHALL_FULL_COUNTS=1, else for every seventh: one or two of
/// every byte, at places that move on from byte to byte.
fn for_every_bit(bits: usize, check: impl Fn(usize) + Sync) {
    let full = std::env::var_os("GUILDHALL_FULL_COUNTS").is_some_and(|value| value == "1");
    let stride = if full { 1 } else { 7 };
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let bit = next.fetch_add(stride, Ordering::Relaxed);
                    if bit >= bits {
                        return;
                    }
                    check(bit);
                }
            });
        }
    });
}

fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[bit / 8] ^= 1 << (bit % 8);
    changed
}

/// What somebody who changes a file does next.
fn with_its_digest(mut bytes: Vec<u8>) -> Vec<u8> {
    let before_end = bytes.len() - 32;
    let digest = Digest::of_bytes(&bytes[..before_end - 5]);
    bytes[before_end..].copy_from_slice(&digest.0);
    bytes
}

fn codes(verification: &Verification) -> Vec<Severity> {
    verification.findings.iter().map(|finding| finding.severity).collect()
}

#[test]
fn the_fixture_is_good() {
    let fixture = Fixture::of_64_entries();
    let found = verify(&fixture.export(), None);
    assert_eq!(found.exit_code(), 0, "{found}");
    assert_eq!((found.entries, found.certificates), (64, 2));
    assert_eq!((found.witnesses.merchants.len(), found.witnesses.merchants_all), (2, 3));
    assert_eq!(found.witnesses.entries_seen_by_server, 8);
    assert_eq!(found.root, fixture.state.head().root);
    assert_eq!(found.spent, fixture.state.spent());
    assert_eq!(verify(&fixture.export(), Some(&fixture.note())).exit_code(), 0);
    assert_ne!(found.account, Account::default());
    assert_eq!(with_its_digest(fixture.export()), fixture.export());
}

#[test]
fn every_flipped_bit_of_an_export_is_noticed() {
    let export = Fixture::of_64_entries().export();
    for_every_bit(export.len() * 8, |bit| {
        let found = verify(&flipped(&export, bit), None);
        assert_ne!(found.exit_code(), 0, "bit {bit}");
    });
}

/// The digest at the end is no protection: whoever changes the file recomputes it.
#[test]
fn every_flipped_bit_is_noticed_although_the_end_digest_is_recomputed() {
    let fixture = Fixture::of_64_entries();
    let export = fixture.export();
    let frame = |content: &Vec<u8>| 5 + content.len();
    let entries = MAGIC.len() + frame(&fixture.roster_bytes());
    let before_rotation = fixture.events.iter().take_while(|event| event.kind() != "KEY_ROTATION").count();
    let rotation = entries + fixture.entries[..before_rotation].iter().map(frame).sum::<usize>();
    let rotation = rotation * 8..(rotation + frame(&fixture.entries[before_rotation])) * 8;
    let entries = entries * 8..(entries + fixture.entries.iter().map(frame).sum::<usize>()) * 8;
    let end = export.len() - 32;
    for_every_bit(end * 8, |bit| {
        let found = verify(&with_its_digest(flipped(&export, bit)), None);
        assert_ne!(found.exit_code(), 0, "bit {bit}");
        // Whatever else an entry turns into, the signed root is not over it.
        let whole = !codes(&found).contains(&Severity::Unverifiable) || found.entries == 64;
        if entries.contains(&bit) && whole {
            // But where nobody can read the entry that names the key of the newest checkpoint.
            let unreadable = rotation.contains(&bit) && codes(&found).contains(&Severity::Unverifiable);
            if !unreadable || codes(&found).contains(&Severity::Tampered) {
                assert_eq!(found.exit_code(), 2, "bit {bit}: {found}");
            } else {
                let named =
                    found.findings.iter().any(|one| one.what.starts_with("entry 14: expected an entry"));
                assert!(named && found.exit_code() == 4, "bit {bit}: {found}");
            }
        }
    });
}

#[test]
fn every_flipped_bit_of_an_older_checkpoint_is_noticed() {
    let mut fixture = Fixture::of_64_entries();
    let export = fixture.export();
    fixture.cosign();
    let older = fixture.cosigned.clone().expect("cosigned");
    assert_eq!(verify(&export, Some(&older)).exit_code(), 0);
    for_every_bit(older.len() * 8, |bit| {
        assert_ne!(verify(&export, Some(&flipped(&older, bit))).exit_code(), 0, "bit {bit}");
    });
}

#[test]
fn every_flipped_bit_of_a_proof_is_noticed() {
    let fixture = Fixture::of_64_entries();
    let server = fixture.server();
    for (index, cosigned) in [(3, true), (0, true), (63, false)] {
        let proof = EntryProof::from_export(&fixture.export(), index).expect("a proof");
        let text = proof.to_text().into_bytes();
        // The key was rotated between the two checkpoints.
        let owner = if cosigned { fixture.first_owner() } else { fixture.owner() };
        let check = |text: &[u8]| {
            let text = std::str::from_utf8(text).ok()?;
            EntryProof::parse(text).ok()?.verify(&owner, std::slice::from_ref(&server)).ok()
        };
        let (entry, seen) = check(&text).expect("good");
        assert_eq!((entry.sequence, seen.len()), (index, usize::from(cosigned)));
        for_every_bit(text.len() * 8, |bit| {
            assert_eq!(check(&flipped(&text, bit)), None, "entry {index}, bit {bit}");
        });
    }
}

#[test]
fn a_proof_needs_keys_only_and_the_right_ones() {
    let fixture = Fixture::of_64_entries();
    let export = fixture.export();
    let (own, federation) = (fixture.first_owner().key, fixture.federation.public());
    let newest_key = fixture.owner().key;
    let cosigned = EntryProof::from_export(&export, 7).expect("a proof");
    assert!(cosigned.verify_by_keys(own, Some(federation)).is_ok());
    assert!(cosigned.verify_by_keys(own, None).is_err(), "a cosignature that nobody can check");
    assert!(cosigned.verify_by_keys(federation, Some(federation)).is_err());
    assert!(cosigned.verify_by_keys(own, Some(own)).is_err());
    let newest = EntryProof::from_export(&export, 8).expect("a proof");
    assert!(newest.verify_by_keys(newest_key, None).is_ok());
    assert!(newest.verify_by_keys(own, None).is_err(), "the key that was given up");
    assert!(EntryProof::from_export(&export, 64).is_err());
    assert!(EntryProof::from_export(&export, u64::MAX).is_err());
    let moved = EntryProof { index: 9, ..newest };
    assert!(moved.verify_by_keys(newest_key, None).is_err());
}

/// A dishonest owner rewrites its own ledger with numbers, chain, digest and checkpoint to match, and leaves out what the
/// server cosigned. `without` is good by itself; an older checkpoint tells.
fn rewritten_after_the_witnesses(change: impl FnOnce(&mut Vec<Event>)) {
    let honest = Fixture::of_64_entries();
    let older = honest.note();
    let mut events = honest.events.clone();
    change(&mut events);
    let dishonest = honest.rewritten(events);
    let alone = verify(&dishonest.export(), None);
    assert_eq!(alone.exit_code(), 0, "nobody saw what was changed: {alone}");
    let told = verify(&dishonest.export(), Some(&older));
    assert_eq!(told.exit_code(), 2, "{told}");
}

/// Of the events of three plain sums in a row, from the entry at `start`.
const SUM: usize = 3;
const AFTER_WITNESSES: usize = 16;

#[test]
fn deleted_entries_are_missed_by_whoever_has_an_older_checkpoint() {
    rewritten_after_the_witnesses(|events| drop(events.drain(AFTER_WITNESSES..AFTER_WITNESSES + SUM)));
}

#[test]
fn a_cut_ledger_is_noticed_by_whoever_has_an_older_checkpoint() {
    rewritten_after_the_witnesses(|events| events.truncate(64 - 2 * SUM));
}

#[test]
fn a_forked_ledger_is_noticed_by_whoever_has_an_older_checkpoint() {
    rewritten_after_the_witnesses(|events| {
        let Some(Event::Commit { update, .. }) = events.get_mut(AFTER_WITNESSES + 1) else {
            panic!("a COMMIT")
        };
        *update = Some(Digest([0xAA; 32]));
    });
}

#[test]
fn a_ledger_in_another_order_is_noticed_by_whoever_has_an_older_checkpoint() {
    // An audit may stand anywhere.
    rewritten_after_the_witnesses(|events| {
        let audit = events.remove(8);
        events.insert(23, audit);
    });
}

/// The same crimes below a head that merchants certified or the server cosigned: no older checkpoint is needed.
#[test]
fn what_witnesses_saw_cannot_be_rewritten() {
    let honest = Fixture::of_64_entries();
    for change in [0, 1, 2, 3] {
        let mut events = honest.events.clone();
        match change {
            0 => events.insert(2, events[8].clone()),
            1 => events[0] = super::fixture::policy(7.5),
            2 => events.swap(0, 1),
            _ => {
                let Event::Reserve { reservation, .. } = &mut events[2] else { panic!("a RESERVE") };
                reservation.purpose.clear();
            }
        }
        let dishonest = honest.rewritten(events);
        let found = verify(&dishonest.export(), None);
        assert_eq!(found.exit_code(), 2, "change {change}: {found}");
        let mut without = dishonest;
        without.certificates.clear();
        let found = verify(&without.export(), None);
        assert_eq!(found.exit_code(), 4, "change {change}, certificates withheld: {found}");
        without.cosigned.clone_from(&honest.cosigned);
        let found = verify(&without.export(), None);
        assert_eq!(found.exit_code(), 2, "change {change}, cosigned checkpoint there: {found}");
    }
}

/// Entries moved within the file, without the owner's key.
#[test]
fn without_the_owners_key_nothing_can_be_moved() {
    let fixture = Fixture::of_64_entries();
    let notes = [fixture.note()];
    let changed = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut fixture = Fixture::of_64_entries();
        change(&mut fixture.entries);
        verify(&fixture.export_with(&notes), None).exit_code()
    };
    assert_eq!(changed(&|_| ()), 0);
    assert_eq!(changed(&|entries| drop(entries.remove(20))), 2);
    assert_eq!(changed(&|entries| drop(entries.pop())), 2);
    assert_eq!(changed(&|entries| entries.swap(20, 21)), 2);
    assert_eq!(changed(&|entries| entries.insert(20, entries[20].clone())), 2);
    assert_eq!(changed(&|entries| entries.clear()), 2);
}
