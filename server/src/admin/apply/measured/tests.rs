use guildhall_shared::digest::Digest;
use guildhall_shared::id::Name;
use guildhall_shared::identity::Signature;
use guildhall_shared::job::NoiseCalibration;
use guildhall_shared::message::RollBack;
use guildhall_shared::model_state::ModelState;

use super::*;
use crate::init::{InitOptions, init};
use crate::store::records::{Change, VersionRecord};

struct Unused;

impl NoiseCalibration for Unused {
    fn noise_standard_deviation(&self, _: f64, _: f64, _: u32, _: u64) -> Result<u64, String> {
        Ok(1 << 10)
    }
}

fn job(name: &str, weeks: &str, model: &str) -> JobSpec {
    let text = format!(
        "name = \"{name}\"\npurpose = \"test\"\nseed = 1\nrounds = 1\nunit = \"shopper\"\nprivacy = \"none\"\n[task]\nkind = \"repurchase\"\n\
         horizon_weeks = 2\ntrain_weeks = [12]\nvalidation_weeks = [40]\ntest_weeks = {weeks}\n[model]\n{model}\n\
         [optimizer]\nkind = \"sgd\"\nlearning_rate = 1.0\nmomentum = 0.0\n[clipping]\nnorm_l2 = 2.0\n\
         [round]\nquorum = 2\nupdate_deadline_ms = 30000\nexpected_shoppers = 10\nshoppers_per_merchant_max = 10\n"
    );
    JobSpec::parse(&text, &Unused).unwrap_or_else(|error| panic!("{error}")).0
}

#[test]
fn a_job_version_or_task_that_is_not_the_federation_s_is_told_at_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("server");
    let name = Name::new("market").expect("legal");
    init(&folder, &InitOptions { name, address: "127.0.0.1:4433".parse().expect("an address") })
        .expect("made");
    let federation = Federation::open(&folder).expect("opens");
    let measured = job("measured", "[44]", "kind = \"logistic_regression\"");
    let (of_job, released) = (measured.digest(), Digest([9; 32]));
    let change = Change::RollBack(RollBack {
        job: of_job,
        version: 1,
        to: 0,
        model: released,
        signature: Signature([[0; 32]; 2]),
    });
    federation.records.put_version(0, 1, &VersionRecord { at_ms: 1, change }).expect("kept");
    let jobs = [JobRecord { number: 0, spec: measured.clone() }];

    let told = |weeks: &str, of_job: Digest, of_model: Digest| {
        let model = format!("kind = \"metrics\"\nof_job = \"{of_job}\"\nof_model = \"{of_model}\"");
        mistake(&federation, &job("how-good", weeks, &model), &jobs).expect("readable")
    };
    let first = ModelState::initial(&measured).hash(&measured.model());
    assert_eq!((told("[44]", of_job, released), told("[44]", of_job, first)), (None, None));
    assert_eq!(mistake(&federation, &measured, &jobs).expect("readable"), None);

    let other = Digest([1; 32]);
    let expect = |found: Option<String>, parts: [&str; 2]| {
        let found = found.expect("a mistake");
        assert!(parts.iter().all(|part| found.contains(part)), "{parts:?} in {found}");
    };
    expect(told("[44]", other, released), ["model.of_job", &format!("{of_job} of measured")]);
    expect(told("[44]", of_job, other), ["model.of_model", &released.to_string()]);
    expect(told("[45]", of_job, released), ["task", "measured"]);
}
