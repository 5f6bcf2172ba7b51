use super::*;

const GOOD: &str = r#"
path = "visits.csv"
delimiter = ";"
duplicates = "drop"
[schema]
shopper = "id"
label = "bought"
time = "date"
first_day = "2017-01-01"
[schema.basket]
hour = "h"
[schema.numeric.value]
min = 0
max = 1000
missing = "zero"
[schema.categorical.month]
vocabulary = ["Feb", "Mar"]
missing = "unknown"
"#;

#[test]
fn a_good_table_is_read_in_full() {
    let config = DataConfig::parse(GOOD, Path::new("/merchant")).expect("good");
    assert_eq!(config.path, Path::new("/merchant/visits.csv"));
    assert_eq!((config.delimiter, config.duplicates), (b';', Duplicates::Drop));
    assert_eq!(config.schema.first_day, Some(17_167));
    assert_eq!((config.schema.basket.hour.as_str(), config.schema.basket.lines.as_str()), ("h", "lines"));
    assert_eq!(config.schema.numeric["value"].missing, MissingNumber::Zero);
    assert_eq!(config.schema.categorical["month"].missing, MissingCategory::Unknown);
}

#[test]
fn what_is_written_is_read_back() {
    let raw: RawDataConfig = toml::from_str(GOOD).expect("good");
    let text = toml::to_string(&raw).expect("writes");
    let again = DataConfig::parse(&text, Path::new("/merchant")).expect("reads");
    assert_eq!(
        format!("{again:?}"),
        format!("{:?}", DataConfig::parse(GOOD, Path::new("/merchant")).expect("good"))
    );
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let text = GOOD
        .replace("\";\"", "\";;\"")
        .replace("2017-01-01", "2017-02-30")
        .replace("max = 1000", "max = -1")
        .replace("\"Mar\"", "\"FEB\"")
        .replace("label = \"bought\"", "label = \"value\"");
    let mistakes = DataConfig::parse(&text, Path::new(".")).expect_err("mistakes").mistakes.join("\n");
    for key in ["data.delimiter", "first_day", "numeric.value", "categorical.month", "schema.label"] {
        assert!(mistakes.contains(key), "{key} in {mistakes}");
    }
}

#[test]
fn zero_for_missing_must_lie_within_the_bounds() {
    let text = GOOD.replace("min = 0", "min = 1");
    assert!(DataConfig::parse(&text, Path::new(".")).is_err());
}

#[test]
fn unknown_keys_and_words_are_refused() {
    for (old, new) in [
        ("duplicates = \"drop\"", "duplicates = \"merge\""),
        ("missing = \"zero\"", "missing = \"mean\""),
        ("shopper =", "shoper ="),
    ] {
        assert!(DataConfig::parse(&GOOD.replace(old, new), Path::new(".")).is_err(), "{new}");
    }
}
