use guildhall_shared::model_state::ModelState;

use super::*;
use crate::folder::{Access, write_durably};
use crate::model_store::Retention;
use crate::participant::test_job;

const CONFIG: &str = "merchant = \"grocery\"\nregion = \"eu\"\nserver = \"127.0.0.1:4433\"\nbudget_epsilon = 4.0\n\
                      budget_delta = 1e-6\n[policy]\njobs = [\"*\"]\nallow_plain_mode = true\n";

struct Fixture {
    dir: tempfile::TempDir,
    spec: JobSpec,
    service: Arc<Service>,
}

impl Fixture {
    /// A client's folder with versions 1, 2 and 3 of a job; 3 is served.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let fixture = Fixture { dir, spec: test_job(), service: Arc::new(Service::new(BUDGET)) };
        let bytes = wire::encode(&fixture.spec).unwrap();
        write_durably(&fixture.folder().followed_job(), &bytes, Access::Shared).unwrap();
        (1..=3).for_each(|version| fixture.store(version));
        let (state, hash) = fixture.state(3);
        fixture.service.publish(ServedModel::new(&Arc::new(fixture.spec.clone()), "label", 3, hash, &state));
        fixture
    }

    fn folder(&self) -> Folder {
        Folder::at(self.dir.path())
    }

    fn models(&self) -> std::path::PathBuf {
        self.folder().models(&self.spec.digest())
    }

    fn state(&self, version: u32) -> (ModelState, Digest) {
        let mut state = ModelState::initial(&self.spec);
        state.weights.fill(f64::from(version));
        let hash = state.hash(&self.spec.model());
        (state, hash)
    }

    fn store(&self, version: u32) {
        let (state, hash) = self.state(version);
        let mut store = ModelStore::open(&self.models(), &self.spec).unwrap();
        store.store(version, &hash, &state, Retention::Ordinary).unwrap();
    }

    fn config(&self, more: &str) -> ClientConfig {
        ClientConfig::parse(&format!("{CONFIG}{more}"), self.dir.path()).unwrap()
    }

    fn steward(&self, more: &str) -> Steward {
        Steward::new(&self.config(more), &self.service)
    }

    /// Versions of the arms.
    fn served(&self) -> Vec<u32> {
        self.service.arms().all().map(|(arm, _)| arm.model.version).collect()
    }
}

const BUDGET: crate::config::Budget = crate::config::Budget { epsilon: 4.0, delta: 1e-6 };

#[test]
fn going_back_is_one_command_that_a_running_service_follows() {
    let fixture = Fixture::new();
    let config = fixture.config("");
    let mut steward = fixture.steward("");
    steward.look();
    assert_eq!(fixture.served(), [3]);
    use_version(&config, Some(1)).unwrap();
    steward.look();
    assert_eq!(fixture.served(), [1]);
    let pinned: Vec<(u32, bool)> =
        kept_versions(&config).unwrap().iter().map(|kept| (kept.version, kept.pinned)).collect();
    assert_eq!(pinned, [(1, true), (2, false), (3, false)]);
    // A new version arrives: it is not served while another one is pinned.
    let (state, hash) = fixture.state(4);
    fixture.service.publish(ServedModel::new(&Arc::new(fixture.spec.clone()), "label", 4, hash, &state));
    steward.look();
    assert_eq!(fixture.served(), [1]);
    use_version(&config, None).unwrap();
    steward.look();
    assert_eq!(fixture.served(), [4]);
}

#[test]
fn a_pin_holds_from_the_first_answer_after_a_restart() {
    let fixture = Fixture::new();
    use_version(&fixture.config(""), Some(2)).unwrap();
    fixture.steward("").look();
    assert_eq!(fixture.served(), [2]);
}

#[test]
fn a_version_that_is_not_there_cannot_be_used_and_a_damaged_pin_changes_nothing() {
    let fixture = Fixture::new();
    let config = fixture.config("");
    assert!(matches!(use_version(&config, Some(9)), Err(ClientError::NotKept { version: 9, .. })));
    use_version(&config, Some(1)).unwrap();
    let mut steward = fixture.steward("");
    steward.look();
    std::fs::write(pin_path(&fixture.models()), "twelve").unwrap();
    steward.look();
    assert_eq!(fixture.served(), [1]);
    assert!(kept_versions(&config).unwrap_err().to_string().contains("served.pin"));
    use_version(&config, None).unwrap();
    steward.look();
    assert_eq!(fixture.served(), [3]);
    let empty = tempfile::tempdir().unwrap();
    let config = ClientConfig::parse(CONFIG, empty.path()).unwrap();
    assert!(matches!(use_version(&config, None), Err(ClientError::NothingToServe { .. })));
}

#[test]
fn a_challenger_is_a_named_version_or_the_newest() {
    let fixture = Fixture::new();
    fixture.steward("[serve.experiment]\nchallenger_version = 1\nshare = 0.25\n").look();
    assert_eq!(fixture.served(), [3, 1]);
    let shares: Vec<f64> = fixture.service.arms().all().map(|(_, share)| share).collect();
    assert_eq!(shares, [0.75, 0.25]);
    // The newest against a pinned one; without a pin it would be tried against itself.
    let mut steward = fixture.steward("[serve.experiment]\nshare = 0.25\n");
    steward.look();
    assert_eq!(fixture.served(), [3]);
    use_version(&fixture.config(""), Some(2)).unwrap();
    steward.look();
    assert_eq!(fixture.served(), [2, 3]);
}

#[test]
fn a_challenger_that_comes_later_is_tried_when_it_is_there() {
    let fixture = Fixture::new();
    let mut steward = fixture.steward("[serve.experiment]\nchallenger_version = 5\nshare = 0.5\n");
    steward.look();
    assert_eq!(fixture.served(), [3]);
    fixture.store(5);
    steward.look();
    assert_eq!(fixture.served(), [3, 5]);
}
