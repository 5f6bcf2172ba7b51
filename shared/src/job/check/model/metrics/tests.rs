use crate::digest::Digest;
use crate::job::{JobError, JobSpec, NoiseCalibration};
use crate::model_spec::{Architecture, MeasuredFigures, Metrics};
use crate::model_state::ModelState;
use crate::optimizer::UpdateRule;
use crate::wire;

struct Fixed;

impl NoiseCalibration for Fixed {
    fn noise_standard_deviation(&self, _: f64, _: f64, _: u32, bound: u64) -> Result<u64, String> {
        Ok(10 * bound)
    }
}

const ITEMS: &str = "kind = \"next_item\"\nhistory_max = 5\ncatalogue = [\"b\", \"a\", \"c\"]";
const WEEKS: &str = "kind = \"repurchase\"\nhorizon_weeks = 2\ntrain_weeks = [12]\nvalidation_weeks = [40]\ntest_weeks = [44]";

fn of() -> String {
    format!("kind = \"metrics\"\nof_job = \"{}\"\nof_model = \"{}\"", "01".repeat(32), "02".repeat(32))
}

fn parse(rounds: u32, task: &str, model: &str, rest: &str) -> Result<JobSpec, JobError> {
    let text = format!(
        "name = \"how-good\"\npurpose = \"How good is it?\"\nseed = 7\nrounds = {rounds}\nunit = \"shopper\"\n\
         privacy = {{ epsilon = 1.0, delta = 1e-5 }}\n[task]\n{task}\n[model]\n{model}\n{rest}\n\
         [round]\nquorum = 2\nupdate_deadline_ms = 30000\nexpected_shoppers = 1000\nshoppers_per_merchant_max = 1000\n"
    );
    JobSpec::parse(&text, &Fixed).map(|(spec, _)| spec)
}

fn metrics(spec: &JobSpec) -> &Metrics {
    match &spec.architecture {
        Architecture::Metrics(metrics) => metrics,
        other => panic!("metrics, found {other:?}"),
    }
}

#[test]
fn what_a_job_leaves_out_follows_from_the_figures() {
    let spec = parse(1, ITEMS, &of(), "").expect("a good job");
    let expected = Metrics {
        job: Digest([1; 32]),
        model: Digest([2; 32]),
        figures: MeasuredFigures::Ranking { k: 10 },
        groups: vec![0, 1, 2, 5, 10, 20],
    };
    assert_eq!(metrics(&spec), &expected);
    assert_eq!((spec.check(), spec.model().parameter_count()), (Ok(()), 18));
    assert_eq!((spec.optimizer.rule, spec.optimizer.learning_rate), (UpdateRule::Sgd { momentum: 0.0 }, 1.0));
    // √3, and room for half a step in each of 18 words.
    let clip = spec.clipping;
    assert_eq!(clip.bound, 1 << 20);
    assert!(clip.norm_l2 > 3f64.sqrt() && clip.norm_l2 < 3f64.sqrt() * (1.0 + 1e-5));
    assert!(ModelState::initial(&spec).weights.iter().all(|weight| *weight == 0.0));

    let model = of() + "\nbins = 8\ngroups = [0, 7]";
    let spec = parse(1, WEEKS, &model, "").expect("a good job");
    assert_eq!(metrics(&spec).figures, MeasuredFigures::Predictions { bins: 8 });
    assert_eq!((spec.model().parameter_count(), spec.check()), (2 * 8 * 2, Ok(())));
    assert!((spec.clipping.norm_l2 - 1.0).abs() < 1e-5 && spec.clipping.norm_l2 > 1.0);
}

#[test]
fn only_metrics_leave_the_optimiser_and_the_clip_out() {
    let error = parse(1, WEEKS, "kind = \"logistic_regression\"", "").expect_err("two mistakes").to_string();
    assert!(
        error.contains("missing field `optimizer`") && error.contains("missing field `clipping`"),
        "{error}"
    );
}

#[test]
fn mistakes_name_the_key_and_what_was_expected() {
    let sgd = "[optimizer]\nkind = \"sgd\"\nlearning_rate = 1.0\nmomentum = 0.0";
    let adam = "[optimizer]\nkind = \"adam\"\nlearning_rate = 1.0\nbeta1 = 0.5\nbeta2 = 0.5\nepsilon = 1e-8";
    let clip = |norm_l2| format!("[clipping]\nnorm_l2 = {norm_l2}");
    let adaptive = clip(2.0)
        + "\n[clipping.adaptive]\nindicator_share = 0.1\nquantile = 0.5\nrate = 0.2\nnorm_min = 1.0\nnorm_max = 3.0";
    let dummy = "kind = \"dummy\"\nparameters = 3";
    for (rounds, task, more, rest, expected) in [
        (2, ITEMS, "", sgd, "rounds: expected 1, because figures are released once, found 2"),
        (1, ITEMS, "k = 0", "", "model.k: expected 1 to 1,000"),
        (1, ITEMS, "bins = 4", "", "model.bins: expected nothing"),
        (1, WEEKS, "k = 4", "", "model.k: expected nothing"),
        (1, WEEKS, "bins = 1", "", "model.bins: expected 2 to 1,000"),
        (1, WEEKS, "groups = []", "", "model.groups: expected numbers that ascend from 0"),
        (1, WEEKS, "groups = [1, 2]", "", "model.groups: expected numbers that ascend from 0"),
        (1, WEEKS, "groups = [0, 2, 2]", "", "model.groups: expected numbers that ascend from 0"),
        (1, ITEMS, "", adam, "optimizer: expected \"sgd\""),
        (1, ITEMS, "", &clip(1.7), "clipping.norm_l2: expected nothing, or at least 1.73"),
        (1, WEEKS, "", &clip(0.9), "clipping.norm_l2: expected nothing, or at least 1.00"),
        (1, ITEMS, "", &adaptive, "clipping.adaptive: expected nothing"),
        (1, dummy, "", "", "model: a dummy task has none"),
    ] {
        let error = parse(rounds, task, &(of() + "\n" + more), rest).expect_err(expected).to_string();
        assert!(error.contains(expected), "expected {expected:?} in {error}");
    }
    assert!(parse(1, ITEMS, &of(), &clip(2.0)).is_ok(), "a longer clip cuts nothing either");
    let unnamed = of().replace("of_model", "of_modle");
    assert!(parse(1, ITEMS, &unnamed, "").expect_err("a mistake").to_string().contains("of_mod"));
}

/// What comes over the wire is checked like what comes from a file: figures of another task among it.
#[test]
fn figures_belong_to_their_task() {
    let (items, weeks) =
        (parse(1, ITEMS, &of(), "").expect("good"), parse(1, WEEKS, &of(), "").expect("good"));
    for (task, figures) in [(&items, &weeks), (&weeks, &items)] {
        let mixed = JobSpec { task: task.task.clone(), ..figures.clone() };
        assert!(mixed.check().is_err_and(|error| error.to_string().contains("model.kind")));
    }
    let many =
        Metrics { figures: MeasuredFigures::Predictions { bins: u32::MAX }, ..metrics(&weeks).clone() };
    let mixed = JobSpec { architecture: Architecture::Metrics(many), ..weeks };
    assert!(mixed.check().is_err_and(|error| error.to_string().contains("model.bins")));
}

/// Variant 7, behind all that were there before; then both hashes, what is measured, and the groups.
#[test]
fn metrics_have_one_encoding() {
    let spec = parse(1, WEEKS, &(of() + "\nbins = 8\ngroups = [0, 7]"), "").expect("a good job");
    let bytes = wire::encode(&spec.architecture).expect("encodes");
    let expected = "07000000".to_string()
        + &"01".repeat(32)
        + &"02".repeat(32)
        + "0100000008000000"
        + "02000000000000000000000007000000";
    assert_eq!(hex::encode(&bytes), expected);
    assert_eq!(wire::decode::<Architecture>(&bytes, 1 << 20), Ok(spec.architecture.clone()));
    let job = wire::encode(&spec).expect("encodes");
    assert_eq!(wire::decode::<JobSpec>(&job, 1 << 20), Ok(spec));
}
