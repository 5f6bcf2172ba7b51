use super::*;
use crate::participant::test_job;

/// A history of versions, from 0.
fn history(versions: usize) -> (JobSpec, Vec<ModelState>) {
    let spec = test_job();
    let mut states = vec![ModelState::initial(&spec)];
    for z in 1..versions as i64 {
        states.push(states.last().unwrap().next(&spec, &[100 * z, -z, 7]).unwrap());
    }
    (spec, states)
}

fn store(store: &mut ModelStore, version: u32, state: &ModelState, retention: Retention) {
    let model = state.hash(&store.spec.model());
    store.store(version, &model, state, retention).unwrap();
}

#[test]
fn the_newest_version_comes_back_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (spec, states) = history(5);
    let mut first = ModelStore::open(dir.path(), &spec).unwrap();
    assert_eq!(first.newest().unwrap(), None);
    for (version, state) in states.iter().enumerate() {
        store(&mut first, version as u32, state, Retention::Ordinary);
    }
    let mut second = ModelStore::open(dir.path(), &spec).unwrap();
    let newest = second.newest().unwrap().unwrap();
    assert_eq!((newest.version, &newest.state), (4, &states[4]));
    assert_eq!(newest.model, states[4].hash(&spec.model()));
    assert_eq!(second.load(2).unwrap().unwrap().state, states[2]);
    assert_eq!(second.load(9).unwrap(), None);
}

#[test]
fn every_flipped_bit_is_noticed_and_the_file_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let (spec, states) = history(3);
    let mut whole = ModelStore::open(dir.path(), &spec).unwrap();
    for (version, state) in states.iter().enumerate() {
        store(&mut whole, version as u32, state, Retention::Ordinary);
    }
    let path = whole.path(2);
    let good = fs::read(&path).unwrap();
    for bit in (0..good.len() * 8).step_by(7) {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bad).unwrap();
        let mut store = ModelStore::open(dir.path(), &spec).unwrap();
        assert_eq!(store.newest().unwrap().unwrap().version, 1, "bit {bit}");
        assert!(!path.exists() && path.with_extension("damaged").exists());
    }
    for length in [0, 8, HEAD_BYTES, good.len() - 1] {
        fs::write(&path, &good[..length]).unwrap();
        assert_eq!(ModelStore::open(dir.path(), &spec).unwrap().newest().unwrap().unwrap().version, 1);
    }
}

#[test]
fn a_file_under_another_versions_name_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let (spec, states) = history(2);
    let mut whole = ModelStore::open(dir.path(), &spec).unwrap();
    store(&mut whole, 1, &states[1], Retention::Ordinary);
    fs::rename(whole.path(1), whole.path(5)).unwrap();
    assert_eq!(ModelStore::open(dir.path(), &spec).unwrap().newest().unwrap(), None);
}

#[test]
fn a_version_of_another_job_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let (spec, states) = history(2);
    store(&mut ModelStore::open(dir.path(), &spec).unwrap(), 1, &states[1], Retention::Ordinary);
    let mut wider = spec.clone();
    wider.optimizer.rule =
        guildhall_shared::optimizer::UpdateRule::Adam { beta1: 0.9, beta2: 0.99, epsilon: 1e-8 };
    assert_eq!(ModelStore::open(dir.path(), &wider).unwrap().newest().unwrap(), None);
}

#[test]
fn old_versions_make_room_but_three_and_the_pinned_stay() {
    let dir = tempfile::tempdir().unwrap();
    let (spec, states) = history(10);
    let mut small = ModelStore::open(dir.path(), &spec).unwrap();
    small.kept_bytes_max = 1;
    for (version, state) in states.iter().enumerate() {
        let retention = if version == 2 { Retention::Pinned } else { Retention::Ordinary };
        store(&mut small, version as u32, state, retention);
    }
    let kept: Vec<u32> = ModelStore::open(dir.path(), &spec).unwrap().sizes.into_keys().collect();
    assert_eq!(kept, [2, 8, 9]);
    // With room enough all are kept.
    let dir = tempfile::tempdir().unwrap();
    let mut roomy = ModelStore::open(dir.path(), &spec).unwrap();
    for (version, state) in states.iter().enumerate() {
        store(&mut roomy, version as u32, state, Retention::Ordinary);
    }
    assert_eq!(roomy.sizes.len(), 10);
}

#[test]
fn the_version_the_merchant_pinned_stays_across_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let (spec, states) = history(10);
    for (version, state) in states.iter().enumerate() {
        let mut small = ModelStore::open(dir.path(), &spec).unwrap();
        small.kept_bytes_max = 1;
        store(&mut small, version as u32, state, Retention::Ordinary);
        if version == 1 {
            write_pin(dir.path(), Some(Pin::Released(1))).unwrap();
        }
    }
    assert_eq!(read_pin(dir.path()).unwrap(), Some(Pin::Released(1)));
    let kept: Vec<u32> = ModelStore::open(dir.path(), &spec).unwrap().versions().map(|(v, _)| v).collect();
    assert_eq!(kept, [1, 8, 9]);
    write_pin(dir.path(), None).unwrap();
    write_pin(dir.path(), None).unwrap();
    assert_eq!(read_pin(dir.path()).unwrap(), None);
}

#[test]
fn left_overs_of_a_crash_are_no_versions() {
    let dir = tempfile::tempdir().unwrap();
    let (spec, _) = history(1);
    for name in ["0000000003.model.partial", "notes.txt", "x.model", "0000000004.damaged"] {
        fs::write(dir.path().join(name), b"torn").unwrap();
    }
    assert_eq!(ModelStore::open(dir.path(), &spec).unwrap().newest().unwrap(), None);
}

#[test]
fn a_version_is_found_by_its_hash_and_nothing_else_is() {
    let dir = tempfile::tempdir().unwrap();
    let (spec, states) = history(4);
    let mut kept = ModelStore::open(dir.path(), &spec).unwrap();
    for (version, state) in states.iter().enumerate().skip(1) {
        store(&mut kept, version as u32, state, Retention::Ordinary);
    }
    // A roll-back: version 4 is version 2 again.
    store(&mut kept, 4, &states[2], Retention::Ordinary);
    let hash = |state: &ModelState| state.hash(&spec.model());
    let found = kept.find(&hash(&states[1])).unwrap().expect("is kept");
    assert_eq!((found.version, &found.state), (1, &states[1]));
    assert_eq!(kept.find(&hash(&states[2])).unwrap().expect("is kept").version, 4);
    assert_eq!(kept.find(&hash(&states[0])).unwrap(), None);

    // Other weights under a released version's hash, and a file that is not a version by its name.
    let mut bytes = std::fs::read(kept.path(3)).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(kept.path(3), &bytes).unwrap();
    assert_eq!(kept.find(&hash(&states[3])).unwrap(), None);
    std::fs::write(kept.path(1), b"GHMO").unwrap();
    assert_eq!(kept.find(&hash(&states[1])).unwrap(), None);
}
