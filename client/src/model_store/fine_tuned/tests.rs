use std::os::unix::fs::PermissionsExt as _;

use guildhall_shared::model_state::ModelState;

use super::*;
use crate::model_store::{ModelStore, Retention};
use crate::participant::test_job;
use crate::train::fine_tune::Criterion;

fn tuned(weights: Vec<f64>) -> FineTuned {
    FineTuned { epochs: 3, weights, criterion: Criterion::LogLoss, figures: vec![] }
}

/// A folder with the released version 12, and a copy of it.
fn folder() -> (tempfile::TempDir, JobSpec, StoredModel, FineTunedCopy) {
    let (dir, job) = (tempfile::tempdir().unwrap(), test_job());
    let state = ModelState::initial(&job).next(&job, &[100, -7, 3]).unwrap();
    let released = StoredModel { version: 12, model: state.hash(&job.model()), state };
    let mut store = ModelStore::open(dir.path(), &job).unwrap();
    store.store(12, &released.model, &released.state, Retention::Ordinary).unwrap();
    let copy = FineTunedCopy::new(&job, &released, tuned(vec![0.25, -1.5, 1e-300]));
    (dir, job, released, copy)
}

#[test]
fn a_copy_comes_back_to_the_bit_and_only_its_owner_may_read_it() {
    let (dir, job, released, copy) = folder();
    let store = CopyStore::beside(dir.path(), &job);
    assert!(store.versions().unwrap().is_empty() && store.load(12).unwrap().is_none());
    store.store(&copy).unwrap();
    let found = CopyStore::beside(dir.path(), &job).load(12).unwrap().unwrap();
    assert!(found == copy);
    assert_eq!((found.version(), found.released(), found.epochs()), (12, released.model, 3));
    assert_eq!(fs::metadata(store.path(12)).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(store.versions().unwrap().into_keys().collect::<Vec<_>>(), [12]);
    assert!(store.load(11).unwrap().is_none());
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let (dir, job, _, copy) = folder();
    let store = CopyStore::beside(dir.path(), &job);
    store.store(&copy).unwrap();
    let good = fs::read(store.path(12)).unwrap();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        fs::write(store.path(12), &bad).unwrap();
        assert!(store.load(12).unwrap().is_none(), "bit {bit}");
    }
    for length in 0..good.len() {
        fs::write(store.path(12), &good[..length]).unwrap();
        assert!(store.load(12).unwrap().is_none(), "{length} bytes");
    }
    fs::write(store.path(12), [&good[..], &[0; 8]].concat()).unwrap();
    assert!(store.load(12).unwrap().is_none(), "one weight more");
}

#[test]
fn a_copy_of_another_version_or_job_is_not_believed() {
    let (dir, job, _, copy) = folder();
    let store = CopyStore::beside(dir.path(), &job);
    store.store(&copy).unwrap();
    fs::copy(store.path(12), store.path(13)).unwrap();
    assert!(store.load(13).unwrap().is_none());
    let other = JobSpec { seed: job.seed + 1, ..job };
    assert!(CopyStore::beside(dir.path(), &other).load(12).unwrap().is_none());
}

/// Whatever is done to the file of a copy, it does not become a version: the store of versions neither lists nor reads it, and
/// the released version stays what it was, to the byte.
#[test]
fn a_copy_never_becomes_a_version() {
    let (dir, job, released, copy) = folder();
    let path = dir.path().join("0000000012.model");
    let before = fs::read(&path).unwrap();
    let store = CopyStore::beside(dir.path(), &job);
    store.store(&copy).unwrap();
    let copied = fs::read(store.path(12)).unwrap();
    let newest = |dir: &Path| ModelStore::open(dir, &job).unwrap().newest().unwrap().unwrap();
    assert_eq!(newest(dir.path()), released);
    // Under the name of a later version, as it is, with a version's magic, and with a version's whole head.
    let head = [&b"GHMODEL1"[..], &13u32.to_le_bytes(), &copy.hash().0].concat();
    let weights = &copied[copied.len() - 24..];
    let forgeries =
        [copied.clone(), [b"GHMODEL1", &copied[8..]].concat(), [&head, weights].concat(), before.clone()];
    for forged in forgeries {
        fs::write(dir.path().join("0000000013.model"), forged).unwrap();
        assert_eq!(newest(dir.path()), released);
    }
    assert_eq!(fs::read(&path).unwrap(), before);
    // The hash of a copy is of another kind: a state with the very same weights has another.
    let mut state = released.state.clone();
    state.weights = copy.weights().to_vec();
    assert_ne!(state.hash(&job.model()), copy.hash());
    assert_ne!(FineTunedCopy::new(&job, &released, tuned(released.state.released())).hash(), released.model);
}
