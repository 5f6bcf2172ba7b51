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
