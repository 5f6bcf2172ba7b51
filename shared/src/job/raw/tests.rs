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

const ADAPTIVE: &str = "[clipping.adaptive]\nindicator_share = 0.1\nquantile = 0.5\nrate = 0.2\nnorm_min = 0.01\nnorm_max = 100.0\n";

fn adaptive(table: &str) -> Result<JobSpec, JobError> {
    parse(&GOOD.replace("[privacy]\n", &format!("{table}\n[privacy]\n")), &Fixed).map(|(spec, _)| spec)
}

#[test]
fn a_clip_can_adapt() {
    let spec = adaptive(ADAPTIVE).expect("a good job");
    let expected =
        AdaptiveClip { indicator: 104_857, quantile: 0.5, rate: 0.2, norm_min: 0.01, norm_max: 100.0 };
    assert_eq!(spec.adaptive_clip, Some(expected));
    assert_eq!(spec.words(), spec.model().parameter_count() + 1);
    let constant = adaptive("").expect("a good job");
    assert_eq!((constant.adaptive_clip, constant.words()), (None, spec.model().parameter_count()));
    assert_eq!(JobSpec { adaptive_clip: None, ..spec.clone() }, constant);
    assert_ne!(spec.digest(), constant.digest());
    // Without noise as well.
    let text = GOOD
        .replace("[privacy]\nepsilon = 1.0\ndelta = 1e-5\n", ADAPTIVE)
        .replace("unit =", "privacy = \"none\"\nunit =");
    assert_eq!(parse(&text, &Fixed).expect("a good job").0.adaptive_clip, Some(expected));
}

#[test]
fn rules_that_are_none_are_refused_with_the_key_what_was_expected_and_what_was_found() {
    for (key, found, expected) in [
        ("indicator_share", "0.0", "a number in (0, 1), found 0.0"),
        ("indicator_share", "1.0", "a number in (0, 1), found 1.0"),
        ("indicator_share", "nan", "a number in (0, 1), found NaN"),
        ("indicator_share", "1e-9", "1 to 1048576 - 1 steps, found 0"),
        ("quantile", "0.0", "a number in (0, 1), found 0.0"),
        ("quantile", "1.0", "a number in (0, 1), found 1.0"),
        ("quantile", "nan", "a number in (0, 1), found NaN"),
        ("rate", "0.0", "a number in (0, 1], found 0.0"),
        ("rate", "1.5", "a number in (0, 1], found 1.5"),
        ("norm_min", "0.0", "a number from 1e-30 to clipping.norm_l2, 2, found 0.0"),
        ("norm_min", "2.5", "a number from 1e-30 to clipping.norm_l2, 2, found 2.5"),
        ("norm_max", "1.5", "a number from clipping.norm_l2, 2, to 1e30, found 1.5"),
        ("norm_max", "inf", "a number from clipping.norm_l2, 2, to 1e30, found inf"),
        ("norm_max", "nan", "a number from clipping.norm_l2, 2, to 1e30, found NaN"),
    ] {
        let keys = ADAPTIVE.lines().map(|line| match line.starts_with(key) {
            true => format!("{key} = {found}"),
            false => line.to_string(),
        });
        let table: Vec<String> = keys.collect();
        let mistakes = adaptive(&table.join("\n")).expect_err(key).mistakes;
        let [mistake] = &mistakes[..] else { panic!("expected one mistake, found {mistakes:?}") };
        assert!(mistake.starts_with(&format!("clipping.adaptive.{key}: expected")), "{mistake}");
        assert!(mistake.contains(expected), "{mistake}");
    }
    for key in ["indicator_share", "quantile", "rate", "norm_min", "norm_max"] {
        let without: Vec<&str> = ADAPTIVE.lines().filter(|line| !line.starts_with(key)).collect();
        let error = adaptive(&without.join("\n")).expect_err(key).to_string();
        assert!(error.contains(&format!("missing field `{key}`")), "{error}");
    }
    assert!(adaptive(&format!("{ADAPTIVE}start = 1.0")).expect_err("unknown").to_string().contains("start"));
}

/// d = 21 asks for 294 steps: B = 300 holds them, what β = 150 leaves of it does not.
#[test]
fn an_indicator_that_leaves_too_coarse_a_grid_is_refused() {
    let text = GOOD.replace("norm_l2 = 2.0", "norm_l2 = 2.0\nbound = 300");
    let with = |share: &str| {
        let table = ADAPTIVE.replace("indicator_share = 0.1", &format!("indicator_share = {share}"));
        parse(&text.replace("[privacy]\n", &format!("{table}\n[privacy]\n")), &Fixed)
    };
    assert!(with("0.1").is_ok());
    let error = with("0.5").expect_err("too coarse").to_string();
    let expected = "clipping.adaptive.indicator_share: expected a share that leaves at least 64·√d of clipping.bound to the contribution, found 259";
    assert!(error.contains(expected), "{error}");
}

/// What comes over the wire did not go through a share.
#[test]
fn a_rule_over_the_wire_is_checked_like_one_from_a_file() {
    let good = adaptive(ADAPTIVE).expect("a good job");
    let rule = good.adaptive_clip.expect("adapts");
    for bad in [
        AdaptiveClip { indicator: 0, ..rule },
        AdaptiveClip { indicator: 1 << 20, ..rule },
        AdaptiveClip { indicator: u64::MAX, ..rule },
        AdaptiveClip { quantile: f64::NAN, ..rule },
        AdaptiveClip { rate: f64::INFINITY, ..rule },
        AdaptiveClip { norm_min: f64::NAN, ..rule },
        AdaptiveClip { norm_max: 1e31, ..rule },
    ] {
        let refused = JobSpec { adaptive_clip: Some(bad), ..good.clone() }.check();
        assert!(refused.is_err_and(|error| error.to_string().contains("clipping.adaptive.")), "{bad:?}");
    }
}
