use guildhall_shared::model_state::ModelState;
use guildhall_shared::wire;

use super::*;
use crate::folder::{Access, write_durably};
use crate::model_store::{FineTunedCopy, Retention, StoredModel};
use crate::participant::test_job;
use crate::train::fine_tune::{Criterion, FineTuned};

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

    /// Makes a fine-tuned copy of a version, whose weights are these.
    fn fine_tune(&self, version: u32, weights: f64) {
        let (state, model) = self.state(version);
        let weights = vec![weights; state.weights.len()];
        let tuned = FineTuned { epochs: 2, weights, criterion: Criterion::LogLoss, figures: vec![] };
        let copy = FineTunedCopy::new(&self.spec, &StoredModel { version, model, state }, tuned);
        CopyStore::beside(&self.models(), &self.spec).store(&copy).unwrap();
    }

    /// What answers: version, whether it is a copy, label, and the logit of (1, 1).
    fn answers(&self) -> (u32, bool, String, f64) {
        let model = self.service.current().unwrap();
        let logit = crate::serve::logit_of(&model, &[1.0, 1.0]);
        (model.version, model.fine_tuned, model.label.clone(), logit)
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

#[test]
fn a_fine_tuned_copy_is_served_under_its_own_label_and_going_back_is_one_command() {
    let fixture = Fixture::new();
    let config = fixture.config("");
    let released = std::fs::read(fixture.models().join("0000000003.model")).unwrap();
    assert!(matches!(use_fine_tuned(&config, 3), Err(ClientError::NoCopy { version: 3, .. })));
    fixture.fine_tune(3, 10.0);
    let mut steward = fixture.steward("");
    steward.look();
    let of_version = (3, false, "label".to_string(), 9.0);
    assert_eq!(fixture.answers(), of_version, "a copy is not served before somebody says so");
    use_fine_tuned(&config, 3).unwrap();
    steward.look();
    let of_copy = |logit| (3, true, FineTunedCopy::LABEL.to_string(), logit);
    assert_eq!(fixture.answers(), of_copy(30.0));
    assert_eq!(fixture.service.current().unwrap().version_name(), "3-fine-tuned");
    let listed: Vec<(u32, bool, bool)> = kept_versions(&config)
        .unwrap()
        .iter()
        .map(|kept| (kept.version, kept.fine_tuned, kept.pinned))
        .collect();
    assert_eq!(listed, [(1, false, false), (2, false, false), (3, false, false), (3, true, true)]);
    // It holds across restarts; made anew it is served anew; damaged, it changes nothing.
    fixture.steward("").look();
    assert_eq!(fixture.answers(), of_copy(30.0));
    std::thread::sleep(Duration::from_millis(20));
    fixture.fine_tune(3, 20.0);
    steward.look();
    assert_eq!(fixture.answers(), of_copy(60.0));
    std::fs::write(fixture.models().join(CopyStore::file(3)), "torn").unwrap();
    steward.look();
    assert_eq!(fixture.answers(), of_copy(60.0));
    for (version, expected) in [(Some(3), 9.0), (Some(1), 3.0), (None, 9.0)] {
        use_version(&config, version).unwrap();
        steward.look();
        let (served, fine_tuned, label, logit) = fixture.answers();
        assert_eq!((served, fine_tuned, logit), (version.unwrap_or(3), false, expected));
        assert_ne!(label, FineTunedCopy::LABEL);
    }
    assert_eq!(std::fs::read(fixture.models().join("0000000003.model")).unwrap(), released);
}

/// The newest version may be tried against the copy that was made of it, though both have one number.
#[test]
fn a_copy_and_its_version_stand_side_by_side_in_an_experiment() {
    let fixture = Fixture::new();
    fixture.fine_tune(3, 10.0);
    use_fine_tuned(&fixture.config(""), 3).unwrap();
    fixture.steward("[serve.experiment]\nshare = 0.25\n").look();
    let arms: Vec<String> = fixture.service.arms().all().map(|(arm, _)| arm.model.version_name()).collect();
    assert_eq!(arms, ["3-fine-tuned", "3"]);
    let arms = fixture.service.arms();
    assert!(arms.version("3").is_some_and(|arm| !arm.model.fine_tuned));
    assert!(arms.version("3-fine-tuned").is_some_and(|arm| arm.model.fine_tuned));
}
