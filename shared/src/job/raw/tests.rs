use super::*;

struct Fixed;

impl NoiseCalibration for Fixed {
    fn noise_standard_deviation(&self, _: f64, _: f64, _: u32, bound: u64) -> Result<u64, String> {
        Ok(10 * bound)
    }
}

const GOOD: &str = r#"
name = "intent"
purpose = "Which visits end in a purchase?"
seed = 7
rounds = 10
unit = "row"

[task]
kind = "tabular"
[[task.features]]
column = "PageValues"
transform = "log1p"
max = 400.0
scale = 0.25
[[task.features]]
column = "Month"
transform = "one_hot"
vocabulary = ["Feb", "Mar"]

[model]
kind = "mlp"
hidden = [4]
activation = "tanh"

[optimizer]
kind = "adam"
learning_rate = 0.03
beta1 = 0.9
beta2 = 0.99
epsilon = 1e-8
average_last_rounds = 5

[clipping]
norm_l2 = 2.0

[privacy]
epsilon = 1.0
delta = 1e-5

[round]
quorum = 2
update_deadline_ms = 30000
expected_shoppers = 1000
shoppers_per_merchant_max = 1000
"#;

#[test]
fn a_good_job_parses_and_passes_its_own_check() {
    let (spec, simulation) = parse(GOOD, &Fixed).expect("a good job");
    assert_eq!(spec.task.inputs(), 3);
    assert_eq!(spec.model().parameter_count(), 3 * 4 + 4 + 4 + 1);
    assert_eq!(spec.clipping.bound, 1 << 20);
    assert!(simulation.is_none());
    assert_eq!(spec.check(), Ok(()));
}

#[test]
fn privacy_none_is_a_word_and_labelled() {
    let text = GOOD
        .replace("[privacy]\nepsilon = 1.0\ndelta = 1e-5\n", "")
        .replace("unit =", "privacy = \"none\"\nunit =");
    let (spec, _) = parse(&text, &Fixed).expect("a good job");
    assert_eq!(spec.privacy, PrivacySpec::None { unit: Unit::Row });
    assert!(spec.privacy.label().contains("NO PRIVACY"));
}

#[test]
fn privacy_has_no_default() {
    assert!(parse(&GOOD.replace("[privacy]\nepsilon = 1.0\ndelta = 1e-5\n", ""), &Fixed).is_err());
    assert!(parse(&GOOD.replace("delta = 1e-5\n", ""), &Fixed).is_err());
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let text = GOOD
        .replace("rounds = 10", "rounds = 0")
        .replace("delta = 1e-5", "delta = 0.5")
        .replace("max = 400.0\n", "")
        .replace("quorum = 2", "quorum = 0");
    let mistakes = parse(&text, &Fixed).expect_err("four mistakes").mistakes.join("\n");
    for key in ["rounds", "privacy.delta", "PageValues", "round.quorum"] {
        assert!(mistakes.contains(key), "{key} in {mistakes}");
    }
}

#[test]
fn unknown_keys_are_refused() {
    assert!(parse(&GOOD.replace("seed = 7", "seed = 7\nsede = 8"), &Fixed).is_err());
}

#[test]
fn a_grid_too_coarse_for_the_model_is_refused() {
    let error = parse(&GOOD.replace("norm_l2 = 2.0", "norm_l2 = 2.0\nbound = 100"), &Fixed);
    assert!(error.expect_err("too coarse").to_string().contains("64"));
}

fn with_round(keys: &str) -> Result<JobSpec, JobError> {
    let text = GOOD.replace("quorum = 2\n", &format!("quorum = 2\n{keys}\n"));
    parse(&text, &Fixed).map(|(spec, _)| spec)
}

#[test]
fn rounds_are_masked_unless_the_job_says_otherwise() {
    let round = with_round("").expect("a good job").round;
    assert_eq!(round.aggregation, Aggregation::Masked);
    assert_eq!(round.colluders_min, 0);
    assert_eq!(round.mask_generator, MaskGenerator::Aes256Ctr);
    assert_eq!(with_round("aggregation = \"masked\"").expect("a good job").round, round);
    let plain = with_round("aggregation = \"plain\"").expect("a good job").round;
    assert_eq!(plain, RoundSpec { aggregation: Aggregation::Plain, ..round });
}

#[test]
fn a_job_can_ask_for_more_colluders_and_another_generator() {
    let round = with_round("colluders_min = 4\nmask_generator = \"chacha20\"").expect("a good job").round;
    assert_eq!((round.colluders_min, round.mask_generator), (4, MaskGenerator::ChaCha20));
    let round = with_round("mask_generator = \"aes256_ctr\"").expect("a good job").round;
    assert_eq!(round.mask_generator, MaskGenerator::Aes256Ctr);
}

#[test]
fn unknown_ways_to_aggregate_are_refused_with_those_there_are() {
    for (keys, known) in [
        ("aggregation = \"secret\"", "plain"),
        ("aggregation = true", "string"),
        ("mask_generator = \"rc4\"", "chacha20"),
        ("colluders_min = -1", "u32"),
        ("colluders_max = 1", "unknown field"),
    ] {
        let error = with_round(keys).expect_err(keys).to_string();
        assert!(error.contains(known), "{error}");
    }
}

#[test]
fn colluders_are_for_masked_rounds_and_fewer_than_any_roster() {
    let error = with_round("aggregation = \"plain\"\ncolluders_min = 1").expect_err("no masks").to_string();
    assert!(error.contains("round.colluders_min") && error.contains("plain"), "{error}");
    let error = with_round("colluders_min = 1000").expect_err("everybody").to_string();
    assert!(error.contains("round.colluders_min"), "{error}");
    assert!(
        with_round("colluders_min = 999").is_ok(),
        "whether a roster allows it is known when it is closed"
    );
}

#[test]
fn the_way_to_aggregate_is_in_the_jobs_digest() {
    let jobs = ["", "aggregation = \"plain\"", "colluders_min = 1", "mask_generator = \"chacha20\""];
    let digests: std::collections::BTreeSet<_> =
        jobs.iter().map(|keys| with_round(keys).expect("a good job").digest()).collect();
    assert_eq!(digests.len(), jobs.len());
}
