use guildhall_shared::id::{MerchantIndex, Name, RoundId};
use guildhall_shared::identity::Signature;
use guildhall_shared::job::{Aggregation, ClippingSpec, PrivacySpec, RoundSpec, Unit};
use guildhall_shared::message::RollBack;
use guildhall_shared::model_spec::Architecture;
use guildhall_shared::optimizer::{OptimizerSpec, UpdateRule};
use guildhall_shared::secagg::MaskGenerator;
use guildhall_shared::task::Task;

use super::*;
use crate::init::{InitOptions, init};

const D: usize = 5;

fn spec() -> JobSpec {
    JobSpec {
        name: Name::new("job").expect("legal"),
        purpose: "test".into(),
        task: Task::Dummy { parameters: D },
        architecture: Architecture::Vector,
        seed: 1,
        rounds: 9,
        optimizer: OptimizerSpec {
            rule: UpdateRule::Adam { beta1: 0.9, beta2: 0.99, epsilon: 1e-8 },
            learning_rate: 0.1,
            average_last_rounds: 2,
        },
        clipping: ClippingSpec { norm_l2: 1.0, bound: 1 << 10 },
        adaptive_clip: None,
        privacy: PrivacySpec::None { unit: Unit::Row },
        round: RoundSpec {
            aggregation: Aggregation::Plain,
            colluders_min: 0,
            mask_generator: MaskGenerator::Aes256Ctr,
            quorum: 1,
            accept_deadline_ms: 1,
            update_deadline_ms: 1,
            upload_slot_ms: 0,
            expected_shoppers: 10,
            shoppers_per_merchant_max: 10,
            participation_rate: 1.0,
        },
    }
}

struct Bench {
    federation: Federation,
    spec: JobSpec,
    parameters: RoundParameters,
    states: Vec<ModelState>,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let options = InitOptions {
            name: Name::new("market").expect("legal"),
            address: "127.0.0.1:0".parse().expect("an address"),
        };
        init(&dir.path().join("server"), &options).expect("made");
        let federation = Federation::open(&dir.path().join("server")).expect("opens");
        let spec = spec();
        let parameters = RoundParameters::derive(&spec, 3).expect("fits");
        let states = vec![ModelState::initial(&spec)];
        Bench { federation, spec, parameters, states, _dir: dir }
    }

    fn registry(&self) -> Registry<'_> {
        Registry::new(&self.federation, 0, &self.spec, &self.parameters)
    }

    fn newest(&self) -> (u32, &ModelState) {
        (self.states.len() as u32 - 1, self.states.last().expect("version 0"))
    }

    fn settle(&mut self, value: i64) {
        let (version, state) = self.newest();
        let integers: Vec<i64> = (0..D as i64).map(|i| value * (i - 2)).collect();
        let next = state.next(&self.spec, &integers).expect("the right shape");
        let mut words = Vec::new();
        self.parameters.ring.write(&integers, &mut words);
        let header = ResultHeader {
            job: self.spec.digest(),
            sid: Digest([1; 32]),
            round: RoundId { round: version, attempt: 0 },
            version: version + 1,
            model: next.hash(&self.spec.model()),
            contributors: vec![MerchantIndex(0)],
            sum: Digest::of_bytes(&words),
            signature: Signature([[0; 32]; 2]),
        };
        let frame = result_frame(&header, &words).expect("encodes");
        files::write_durably(&self.federation.result_path(0, version + 1), &frame).expect("written");
        let record = VersionRecord { at_ms: 0, change: Change::Result(header) };
        self.federation.records.put_version(0, version + 1, &record).expect("kept");
        self.states.push(next);
    }

    fn roll_back(&mut self, to: u32) {
        let version = self.newest().0 + 1;
        let state = self.states[to as usize].clone();
        let model = state.hash(&self.spec.model());
        let signature = Signature([[0; 32]; 2]);
        let roll_back = RollBack { job: self.spec.digest(), version, to, model, signature };
        let record = VersionRecord { at_ms: 0, change: Change::RollBack(roll_back) };
        self.federation.records.put_version(0, version, &record).expect("kept");
        self.states.push(state);
    }

    fn derives_every_version(&self) {
        for (version, state) in self.states.iter().enumerate() {
            assert_eq!(&self.registry().derive(version as u32).expect("derived"), state, "version {version}");
        }
    }
}

/// Versions: 1, 2, 3, back to 1, 5 (from 1), back to 4 (which is 1), 7.
fn tangled() -> Bench {
    let mut bench = Bench::new();
    bench.settle(3);
    bench.settle(-5);
    bench.settle(7);
    bench.roll_back(1);
    bench.settle(11);
    bench.roll_back(4);
    bench.settle(-2);
    bench
}

#[test]
fn every_version_is_derived_through_results_and_roll_backs() {
    let bench = tangled();
    bench.derives_every_version();
    let history = bench.federation.records.versions(0).expect("read");
    assert_eq!(lineage(&history, 7, None), Ok((0, vec![1, 7])));
    assert_eq!(lineage(&history, 7, Some(4)), Ok((4, vec![7])));
    assert_eq!(lineage(&history, 3, Some(4)), Ok((0, vec![1, 2, 3])));
    assert!(lineage(&history, 8, None).is_err());
}

#[test]
fn the_cache_shortens_the_way_and_a_wrong_one_is_not_believed() {
    let bench = tangled();
    let (version, newest) = bench.newest();
    bench.registry().cache(version, newest).expect("cached");
    // With the cache, the results before it are not read any more.
    std::fs::remove_file(bench.federation.result_path(0, 1)).expect("removed");
    assert_eq!(&bench.registry().derive(version).expect("derived"), newest);
    assert!(bench.registry().derive(5).is_err(), "not on the way from the cache");
    bench.registry().cache(version, &bench.states[2]).expect("cached");
    assert!(bench.registry().derive(version).is_err(), "a model of another hash is no cache");
    files::write_durably(&bench.federation.model_path(0), b"noise").expect("written");
    assert!(bench.registry().derive(version).is_err());
}

#[test]
fn a_damaged_result_is_named_and_never_applied() {
    let bench = tangled();
    let path = bench.federation.result_path(0, 2);
    let good = files::read(&path).expect("read");
    for (position, change) in [(0, "magic"), (40, "control"), (good.len() - 1, "words")] {
        let mut bad = good.clone();
        bad[position] ^= 1;
        files::write_durably(&path, &bad).expect("written");
        let error = bench.registry().derive(3).expect_err(change).to_string();
        assert!(error.contains("version 2"), "{error}");
    }
    files::write_durably(&path, &good[..20]).expect("written");
    assert!(bench.registry().derive(2).is_err());
    assert!(bench.registry().derive(1).is_ok());
}
