//! Keys that are given up, ledgers that are handed out, and data that are shown later.

use guildhall_ledger::book::{Book, Owner};
use guildhall_ledger::data_tag::DataDigest;
use guildhall_ledger::folder::LedgerFolder;
use guildhall_ledger::gather::gather;
use guildhall_ledger::note::SignedNote;
use guildhall_ledger::rotation::{KeyRotation, RotationError};
use guildhall_ledger::verify::{Verification, verify};
use guildhall_ledger::{Event, Handover, LedgerError};
use guildhall_shared::digest::Digest;
use guildhall_shared::identity::IdentityKey;
use guildhall_shared::tree_head::TreeHead;

use super::fixture::{DATA_SECRET, Fixture, OWN, data};

fn text(note: &SignedNote) -> Vec<u8> {
    note.to_text().into_bytes()
}

#[track_caller]
fn expect(found: &Verification, code: u8, needle: &str) {
    assert_eq!(found.exit_code(), code, "{found}");
    assert!(found.to_string().contains(needle), "{needle:?} in {found}");
}

/// A rotation in a ledger whose owner signs its checkpoint with the key that the rotation names.
fn rotated(change: impl FnOnce(&Fixture, &mut KeyRotation)) -> Verification {
    let mut fixture = Fixture::new(4);
    fixture.plain();
    let mut rotation = fixture.rotation();
    change(&fixture, &mut rotation);
    fixture.force(Event::KeyRotation { rotation, time_unix_s: 5 });
    verify(&fixture.export(), None)
}

#[test]
fn a_rotation_is_signed_by_both_keys_for_one_place_of_one_ledger() {
    expect(&rotated(|_, _| ()), 0, "1 rotations of the owner's key");
    expect(&rotated(|_, one| one.by_old.0[1][0] ^= 1), 2, "does not verify");
    expect(&rotated(|_, one| one.by_new.0[0][31] ^= 1), 2, "does not verify");
    expect(&rotated(|_, one| (one.by_old, one.by_new) = (one.by_new, one.by_old)), 2, "does not verify");
    expect(&rotated(|_, one| one.before.size -= 1), 2, "signed over 5 entries, found 4");
    expect(&rotated(|_, one| one.before.root = Digest([1; 32])), 2, "or another root");
    let stranger = IdentityKey::from_secret(&[77; 32]);
    let sign = |fixture: &Fixture, head: TreeHead, old: &IdentityKey, new: &IdentityKey| {
        KeyRotation::sign(&fixture.membership(), head, old, new).expect("a merchant")
    };
    let head = |fixture: &Fixture| fixture.state.head();
    // Somebody who has neither key of the ledger.
    let found = rotated(|f, one| *one = sign(f, head(f), &stranger, &IdentityKey::from_secret(&[78; 32])));
    expect(&found, 2, "expected a rotation from key");
    // The old key's own word is not enough for a key of somebody else's.
    let found = rotated(|f, one| *one = sign(f, head(f), &f.own_key(), &f.merchants[0]));
    expect(&found, 2, "is somebody's");
    let found = rotated(|f, one| *one = sign(f, head(f), &f.own_key(), &f.federation));
    expect(&found, 2, "is somebody's");
    let found = rotated(|f, one| *one = sign(f, head(f), &f.own_key(), &f.own_key()));
    expect(&found, 2, "expected a new key");
    // A statement of another place, federation or owner.
    let found = rotated(|f, one| {
        let early = TreeHead { size: 1, root: f.state.tree().root_at(1).expect("inside") };
        *one = KeyRotation { before: head(f), ..sign(f, early, &f.own_key(), &stranger) };
    });
    expect(&found, 2, "does not verify");
    let found = rotated(|f, one| {
        let mut membership = f.membership();
        membership.own = Some(guildhall_shared::id::MerchantIndex(OWN.0 + 1));
        *one = KeyRotation::sign(&membership, head(f), &f.own_key(), &stranger).expect("a merchant");
    });
    expect(&found, 2, "does not verify");
}

#[test]
fn a_key_that_was_given_up_never_comes_back_and_the_chain_of_keys_has_no_gap() {
    let mut fixture = Fixture::new(4);
    let first = fixture.own_key();
    fixture.rotate();
    let second = fixture.own_key();
    let membership = fixture.membership();
    let sign = |fixture: &Fixture, old: &IdentityKey, new: &IdentityKey| {
        let rotation = KeyRotation::sign(&membership, fixture.state.head(), old, new).expect("a merchant");
        fixture.state.decide(Event::KeyRotation { rotation, time_unix_s: 5 })
    };
    let third = IdentityKey::from_secret(&[77; 32]);
    assert!(sign(&fixture, &second, &third).is_ok());
    let back = sign(&fixture, &second, &first);
    assert!(matches!(back, Err(LedgerError::Rotation(RotationError::Used { .. }))), "{back:?}");
    let skipped = sign(&fixture, &first, &third);
    assert!(matches!(skipped, Err(LedgerError::Rotation(RotationError::Old { .. }))), "{skipped:?}");
    fixture.rotate();
    fixture.plain();
    let found = verify(&fixture.export(), None);
    expect(&found, 0, "2 rotations");
    assert_eq!(found.owner_key, Some(format!("{:?}", fixture.own_key().public())));
}

#[test]
fn each_checkpoint_is_by_the_key_of_its_time() {
    let mut fixture = Fixture::new(4);
    fixture.masked();
    fixture.cosign();
    let (first, early) = (fixture.own_key(), fixture.checkpoint());
    fixture.rotate();
    let (second, late) = (fixture.own_key(), fixture.checkpoint());
    expect(&verify(&fixture.export(), Some(&text(&early))), 0, "");
    expect(&verify(&fixture.export(), Some(&text(&late))), 0, "");
    // The old key over the rotation, and the new one over what was before it.
    let signed_by = |note: &SignedNote, key: &IdentityKey| text(&note.checkpoint().clone().sign(key));
    expect(&verify(&fixture.export(), Some(&signed_by(&late, &first))), 4, "whom nobody here knows");
    expect(&verify(&fixture.export(), Some(&signed_by(&early, &second))), 4, "whom nobody here knows");
    let cosigned = fixture.cosigned.clone().expect("cosigned");
    let by_old = [signed_by(&late, &first), cosigned.clone()];
    expect(&verify(&fixture.export_with(&by_old), None), 4, "whom nobody here knows");
    // Under the right key's name and number, with a signature of the other's.
    let forged = String::from_utf8(text(&late)).expect("text");
    let line = |note: &str| note.trim_end().rsplit(' ').next().expect("base64").to_owned();
    let other = line(&String::from_utf8(signed_by(&late, &first)).expect("text"));
    let (right, wrong) = (line(&forged), other);
    // Key id: the first four bytes, so five characters and a part of the sixth.
    let mixed = forged.replace(&right, &format!("{}{}", &right[..8], &wrong[8..]));
    expect(&verify(&fixture.export_with(&[mixed.into_bytes(), cosigned]), None), 2, "does not verify");
}

/// Whoever saw the new key's checkpoint learns that the ledger without the rotation is not the one it saw.
#[test]
fn a_ledger_that_was_put_back_behind_a_rotation_does_not_verify() {
    let mut fixture = Fixture::new(4);
    fixture.plain();
    let before = fixture.export();
    fixture.rotate();
    expect(&verify(&before, None), 0, "");
    expect(&verify(&before, Some(&fixture.note())), 4, "whom nobody here knows");
}

#[test]
fn more_keys_than_anybody_has_are_not_judged() {
    let mut fixture = Fixture::new(4);
    (0..1_000).for_each(|_| fixture.rotate());
    expect(&verify(&fixture.export(), None), 0, "1000 rotations");
    fixture.rotate();
    expect(&verify(&fixture.export(), None), 4, "expected at most 1000 KEY_ROTATION entries");
}

#[test]
fn a_servers_ledger_has_no_rotations() {
    let mut membership = Fixture::new(4).membership();
    membership.own = None;
    let [old, new] = [1, 2].map(|byte| IdentityKey::from_secret(&[byte; 32]));
    assert_eq!(KeyRotation::sign(&membership, TreeHead::EMPTY, &old, &new), Err(RotationError::NoMerchant));
}

#[test]
fn an_open_ledger_changes_its_key_and_only_the_new_one_opens_it_again() {
    let fixture = Fixture::new(4);
    let dir = tempfile::tempdir().expect("a folder");
    let owner = |key: IdentityKey| Owner { signer: fixture.first_owner(), key };
    let second = || IdentityKey::from_secret(&[77; 32]);
    let export = || gather(&LedgerFolder::at(dir.path())).expect("gathers").bytes;
    let join = |key| -> Result<Book, LedgerError> {
        let (mut book, _) = Book::open(dir.path())?;
        book.join(fixture.membership(), &fixture.roster, owner(key))?;
        Ok(book)
    };
    let (mut book, _) = Book::open(dir.path()).expect("opens");
    assert!(book.rotate_key(second()).is_err(), "nobody's ledger yet");
    book.join(fixture.membership(), &fixture.roster, owner(fixture.own_key())).expect("joins");
    let seen = book.head();
    let cosignature = |head: TreeHead| {
        let origin = fixture.first_owner().name;
        guildhall_ledger::note::Checkpoint { origin, head }.cosign(&fixture.federation, 7)
    };
    book.keep_cosignature(seen, &fixture.server(), 7, cosignature(seen)).expect("keeps");
    book.rotate_key(second()).expect("rotates");
    expect(&verify(&export(), None), 0, "1 rotations");
    assert_eq!(verify(&export(), None).witnesses.entries_seen_by_server, 1);
    // What the server saw before needs the old key, which is gone: what is kept stays.
    book.keep_cosignature(seen, &fixture.server(), 8, cosignature(seen)).expect("passes");
    expect(&verify(&export(), None), 0, "");
    let head = book.head();
    book.keep_cosignature(head, &fixture.server(), 7, cosignature(head)).expect("keeps");
    assert_eq!(verify(&export(), None).witnesses.entries_seen_by_server, 2);
    drop(book);
    assert!(matches!(join(fixture.own_key()), Err(LedgerError::OtherKey { .. })));
    drop(join(second()).expect("the new key opens it"));
    expect(&verify(&export(), None), 0, "");
}

#[test]
fn only_a_head_that_was_there_is_handed_out() {
    let mut fixture = Fixture::new(4);
    fixture.plain();
    let early = TreeHead { size: 2, root: fixture.state.tree().root_at(2).expect("inside") };
    let export = |head: TreeHead, recipient: String| {
        let handover = Handover { recipient, head, file: Digest([1; 32]) };
        Event::Export { handover, time_unix_s: 5 }
    };
    let spent = fixture.state.spent();
    fixture.push(export(early, "x".repeat(300)));
    fixture.push(export(fixture.state.head(), String::new()));
    assert_eq!(fixture.state.spent(), spent);
    let found = verify(&fixture.export(), None);
    expect(&found, 0, "");
    assert_eq!(found.account.exports.len(), 2);
    for head in [TreeHead { root: Digest([1; 32]), ..early }, TreeHead { size: 900, ..early }] {
        let mut fixture = Fixture::new(4);
        fixture.plain();
        fixture.force(export(head, String::new()));
        expect(&verify(&fixture.export(), None), 2, "expected a head that this ledger had");
    }
    assert!(fixture.state.decide(export(early, "x".repeat(301))).is_err());
}

#[test]
fn whoever_knows_the_data_finds_the_trainings_that_read_them() {
    let fixture = Fixture::of_64_entries();
    let found = verify(&fixture.export(), None);
    let tags: Vec<_> = found.account.sessions().filter_map(|(_, session)| session.data).collect();
    let committed = found.account.sessions().filter(|(_, session)| session.committed_at.is_some()).count();
    assert!(tags.len() > 8 && tags.len() < committed);
    assert!(tags.iter().all(|tag| tag.is_of(&data())));
    let other = DataDigest::of_files(&DATA_SECRET, &[Digest([0xDB; 32])]);
    assert!(!tags.iter().any(|tag| tag.is_of(&other)));
    for (place, tag) in tags.iter().enumerate() {
        assert!(tags[..place].iter().all(|other| other.tag != tag.tag && other.salt != tag.salt));
    }
}
