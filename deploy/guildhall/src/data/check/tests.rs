use std::path::PathBuf;

use super::*;

const VISITS: &str = "id,value,ratio,month,when,bought,gone\n\
    a,1,0.5,Feb,2017-01-01,TRUE,\n\
    b,700,,Mar,2017-01-02,FALSE,\n\
    b,700,,Mar,2017-01-02,FALSE,\n\
    c,-3,12.25,,2017-01-03,TRUE,\n\
    d,1\n";

fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, text).expect("writes");
    path
}

fn described(text: &str) -> Description {
    let folder = tempfile::tempdir().expect("a folder");
    match check(&file(&folder, "visits.csv", text), None).expect("describes") {
        Checked::Description(description) => description,
        Checked::Report(_) => panic!("without a schema it is described"),
    }
}

#[test]
fn columns_are_described() {
    let description = described(VISITS);
    assert_eq!((description.rows_read, description.wrong_field_count, description.duplicates), (5, 1, 1));
    assert_eq!(description.first_bad_lines, [6]);
    let kinds: Vec<Kind> = description.columns.iter().map(|column| column.kind).collect();
    let expected =
        [Kind::Text, Kind::WholeNumber, Kind::Number, Kind::Text, Kind::Date, Kind::Boolean, Kind::Empty];
    assert_eq!(kinds, expected);
    let [_, value, ratio, month, ..] = &description.columns[..] else { panic!("seven columns") };
    assert_eq!((value.min, value.max, value.distinct), (Some(-3.0), Some(700.0), Some(3)));
    assert_eq!((ratio.missing, ratio.max), (2, Some(12.25)));
    assert_eq!((month.missing, month.distinct, month.max), (1, Some(2), None));
    let words = description.to_string();
    assert!(words.contains("from -3 to 700") && words.contains("nothing of it is sent"), "{words}");
}

#[test]
fn distinct_values_are_counted_up_to_fifty() {
    let column = |rows: i32| (0..rows).fold(String::from("x,y\n"), |text, row| text + &format!("v{row},1\n"));
    assert_eq!(described(&column(50)).columns[0].distinct, Some(50));
    assert_eq!(described(&column(51)).columns[0].distinct, None);
}

#[test]
fn the_suggested_schema_is_valid_and_fits_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(&folder, "visits.csv", VISITS);
    let suggested = described(VISITS).suggested_schema;
    assert!(suggested.contains("label = \"bought\"") && suggested.contains("replace them"), "{suggested}");
    let schema = file(&folder, "client.toml", &format!("merchant = \"x\"\n{suggested}\n[serve]\nport = 1\n"));
    let Checked::Report(report) = check(&path, Some(&schema)).expect("checks") else { panic!("a report") };
    // Two rows without a ratio and the short one.
    assert_eq!((report.rows_read, report.rows_used, report.rows_dropped), (5, 2, 3));
}

#[test]
fn receipts_get_a_schema_of_their_own() {
    let text = "household,day,hour,lines,spend_cents,discount_cents,coupon_lines\n1,2,3,4,5,6,7\n";
    let suggested = described(text).suggested_schema;
    assert!(suggested.contains("shopper = \"household\"") && !suggested.contains("numeric"), "{suggested}");
}

#[test]
fn a_bound_is_the_next_power_of_ten() {
    assert_eq!(
        [0.0, -4.0, 0.2, 1.0, 7.0, 705.0, 1000.0].map(round_up),
        [0.0, 0.0, 1.0, 1.0, 10.0, 1000.0, 1000.0]
    );
}

#[test]
fn a_configuration_without_data_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(&folder, "visits.csv", VISITS);
    for (text, expected) in [
        ("x = 1\n", "a [data] table"),
        ("[data\n", "a [data] table"),
        ("[data]\npath = 3\n", "a [data] table"),
    ] {
        let error = check(&path, Some(&file(&folder, "client.toml", text))).expect_err("refused").to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert!(check(&path, Some(&folder.path().join("absent.toml"))).is_err());
    assert!(check(&folder.path().join("absent.csv"), None).is_err());
}
