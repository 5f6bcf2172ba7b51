use std::path::Path;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::{Name, RoundId};

use super::memory::MemoryStore;
use super::records::{InvitationRecord, Records};
use super::sled::SledStore;
use super::*;

fn put(table: Table, key: &[u8], value: &[u8]) -> Put {
    Put { table, key: key.to_vec(), value: value.to_vec() }
}

/// What every store must do.
fn behaves(store: &dyn Store) {
    assert_eq!(store.get(Table::Job, b"a"), Ok(None));
    store
        .write(&[
            put(Table::Job, b"ab", b"1"),
            put(Table::Job, b"aa", b"2"),
            put(Table::Version, b"ac", b"3"),
        ])
        .expect("written");
    assert_eq!(store.get(Table::Job, b"ab"), Ok(Some(b"1".to_vec())));
    let listed = store.scan(Table::Job, b"a").expect("listed");
    assert_eq!(listed, [(b"aa".to_vec(), b"2".to_vec()), (b"ab".to_vec(), b"1".to_vec())]);
    assert_eq!(store.scan(Table::Job, b"ab").expect("listed").len(), 1);
    assert_eq!(store.last(Table::Job, b""), Ok(Some((b"ab".to_vec(), b"1".to_vec()))));
    assert_eq!(store.last(Table::Job, b"b"), Ok(None));
    store.write(&[put(Table::Job, b"ab", b"4")]).expect("written");
    assert_eq!(store.get(Table::Job, b"ab"), Ok(Some(b"4".to_vec())));
}

#[test]
fn both_stores_behave_alike() {
    behaves(&MemoryStore::default());
    let dir = tempfile::tempdir().expect("a folder");
    behaves(&SledStore::open(dir.path()).expect("opens"));
}

#[test]
fn what_was_written_is_there_after_reopening() {
    let dir = tempfile::tempdir().expect("a folder");
    let open = || Records::new(Box::new(SledStore::open(dir.path()).expect("opens")));
    let record = InvitationRecord { merchant: Name::new("a").expect("legal"), used_by: None };
    let attempt = RoundId { round: 3, attempt: 4 };
    let records = open();
    records.put_invitation(&Digest([1; 32]), &record).expect("kept");
    records.put_attempt(7, attempt).expect("kept");
    drop(records);
    let records = open();
    assert_eq!(records.invitation(&Digest([1; 32])), Ok(Some(record)));
    assert_eq!(records.invitation(&Digest([2; 32])), Ok(None));
    assert_eq!(records.last_attempt(7), Ok(Some(attempt)));
    assert_eq!(records.last_attempt(8), Ok(None));
    assert_eq!(records.newest_version(7), Ok(0));
}

#[test]
fn a_second_opener_is_told_who_holds_the_store() {
    let dir = tempfile::tempdir().expect("a folder");
    let first = SledStore::open(dir.path()).expect("opens");
    let second = SledStore::open(dir.path()).map(|_| ()).expect_err("locked");
    assert_eq!(second, StoreError::Locked(dir.path().to_path_buf()));
    drop(first);
    assert!(SledStore::open(dir.path()).is_ok());
}

#[test]
fn a_file_is_whole_or_not_there() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("blob");
    files::write_durably(&path, b"one").expect("written");
    files::write_durably(&path, b"two").expect("written");
    assert_eq!(files::read(&path).expect("read"), b"two");
    let names: Vec<_> =
        std::fs::read_dir(dir.path()).expect("listed").map(|e| e.expect("an entry").file_name()).collect();
    assert_eq!(names, [Path::new("blob").as_os_str()]);
    assert!(files::read_if_there(&dir.path().join("none")).expect("no error").is_none());
}

#[test]
fn secrets_are_for_their_owner_only_and_never_overwritten() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("key");
    files::write_secret(&path, b"secret").expect("written");
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    assert!(files::write_secret(&path, b"other").is_err());
    assert_eq!(files::read_secret(&path).expect("read").as_slice(), b"secret");
}
