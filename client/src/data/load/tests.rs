use guildhall_shared::task::Transform;

use super::*;

fn visits_config(extra: &str) -> DataConfig {
    let text = format!(
        r#"
path = "unused.csv"
{extra}
[schema]
shopper = "id"
label = "bought"
[schema.numeric.value]
min = 0
max = 100
missing = "zero"
[schema.numeric.rate]
min = 0
max = 1
[schema.categorical.month]
vocabulary = ["Feb", "Mar"]
missing = "unknown"
"#
    );
    DataConfig::parse(&text, Path::new(".")).expect("good")
}

fn visits_task() -> Task {
    let feature = |column: &str, transform| FeatureSpec { column: column.into(), transform, scale: 1.0 };
    Task::Tabular {
        features: vec![
            feature("value", Transform::Log1p { max: 50.0 }),
            feature("rate", Transform::Identity { min: 0.0, max: 1.0 }),
            feature("month", Transform::OneHot { vocabulary: vec!["Mar".into()] }),
        ],
    }
}

fn csv(text: &str) -> Table {
    Table::from_csv(text.as_bytes(), "visits.csv", b',').expect("a table")
}

const MESSY: &str = "id,value,rate,month,bought\n\
    a,1,0.5,Feb,TRUE\n\
    b,,0.5,mar,FALSE\n\
    ,1,0.5,Feb,TRUE\n\
    c,1,,Feb,TRUE\n\
    c,1,abc,Feb,TRUE\n\
    c,1,0.5,Feb,\n\
    c,1,0.5,Feb,perhaps\n\
    c,1,0.5\n\
    d,700,2,Apr,no\n\
    a,1,0.5,Feb,TRUE\n\
    e,60,0.5,,1\n";

#[test]
fn every_row_is_used_or_dropped_for_one_reason() {
    let (splits, report) = load_table(&csv(MESSY), &visits_config(""), &visits_task()).expect("loads");
    assert_eq!((report.rows_read, report.rows_used, report.rows_dropped), (11, 5, 6));
    assert_eq!(splits.train.rows(), 5);
    assert_eq!((report.shoppers, report.train.shoppers, report.train.positives), (4, 4, 3));
    let expected = [
        (Problem::FieldCount, 1),
        (Problem::MissingShopper, 1),
        (Problem::MissingLabel, 1),
        (Problem::BadLabel, 1),
        (Problem::NotANumber, 1),
        (Problem::MissingDropped, 1),
        (Problem::DuplicateKept, 1),
        (Problem::MissingZero, 1),
        (Problem::MissingUnknown, 1),
        (Problem::OutOfBounds, 2),
        (Problem::UnknownCategory, 1),
        (Problem::OutOfJobBounds, 2),
        (Problem::UnknownToJob, 2),
    ];
    assert_eq!(expected.map(|(problem, _)| (problem, report.count(problem))), expected);
    let duplicates = report.findings.iter().find(|f| f.problem == Problem::DuplicateKept).expect("found");
    assert_eq!(duplicates.first_places, [11]);
}

#[test]
fn duplicates_are_dropped_where_the_merchant_says_so() {
    let (splits, report) =
        load_table(&csv(MESSY), &visits_config("duplicates = \"drop\""), &visits_task()).expect("loads");
    assert_eq!((report.rows_used, splits.train.rows()), (4, 4));
    assert_eq!((report.count(Problem::DuplicateDropped), report.count(Problem::DuplicateKept)), (1, 0));
}

#[test]
fn the_report_explains_in_words_and_tells_neither_values_nor_shoppers() {
    let text =
        MESSY.replace("abc", "SECRETVALUE").replace("perhaps", "SECRETLABEL").replace("\nc,", "\nSECRETID,");
    let (_, report) = load_table(&csv(&text), &visits_config(""), &visits_task()).expect("loads");
    let words = report.to_string();
    let json = serde_json::to_string(&report).expect("serialises");
    for text in [&words, &json] {
        assert!(!text.contains("SECRET"), "{text}");
        assert!(text.contains("nothing of it is sent"), "{text}");
    }
    assert!(words.contains("column \"rate\": 1 × expected a finite number"), "{words}");
    assert!(words.contains("(line 6)"), "{words}");
    assert!(json.contains("\"problem\":\"not_a_number\""), "{json}");
}

#[test]
fn a_schema_that_fits_neither_file_nor_job_is_explained_at_once() {
    let error = load_table(&csv("id,bought\na,1\n"), &visits_config(""), &visits_task())
        .err()
        .expect("misfit")
        .to_string();
    for column in ["\"value\"", "\"rate\"", "\"month\""] {
        assert!(error.contains(column), "{error}");
    }
    let mut config = visits_config("");
    config.schema.numeric.remove("value");
    let error = load_table(&csv(MESSY), &config, &visits_task()).err().expect("misfit").to_string();
    assert!(error.contains("[data.schema.numeric.value], found nothing"), "{error}");
}

/// Inputs and label of a row, bit by bit.
type RowBits = (Vec<u32>, u32);

/// Every observation of every shopper in every split.
fn observed(splits: &Splits) -> BTreeMap<(ShopperKey, u8), Vec<RowBits>> {
    let mut all = BTreeMap::new();
    for (split, observations) in [(0, &splits.train), (1, &splits.validation), (2, &splits.test)] {
        for shopper in &observations.shoppers {
            let rows = (shopper.start..shopper.end).map(|row| {
                (
                    observations.row(row).iter().map(|v| v.to_bits()).collect(),
                    observations.labels[row].to_bits(),
                )
            });
            all.insert((shopper.key, split), rows.collect());
        }
    }
    all
}

#[test]
fn removing_a_shopper_leaves_every_other_tabular_row_bit_identical() {
    let mut lines = vec![];
    for shopper in 0..40 {
        for visit in 0..=shopper % 3 {
            let month = ["Feb", "Mar", "Apr", ""][(shopper + visit) % 4];
            lines.push((
                shopper,
                format!("s{shopper},{},{},{month},{}\n", shopper * 7 % 120, visit as f64 / 2.0, shopper % 2),
            ));
        }
    }
    let text = |without: usize| -> String {
        let kept = lines.iter().filter(|(shopper, _)| *shopper != without).map(|(_, line)| line.as_str());
        std::iter::once("id,value,rate,month,bought\n").chain(kept).collect()
    };
    let load =
        |without| load_table(&csv(&text(without)), &visits_config(""), &visits_task()).expect("loads").0;
    let whole = observed(&load(usize::MAX));
    for gone in [0, 17, 39] {
        let mut expected = whole.clone();
        let key = ShopperKey::of_id(&format!("s{gone}"));
        expected.retain(|(shopper, _), _| *shopper != key);
        assert_ne!(expected.len(), whole.len());
        assert_eq!(observed(&load(gone)), expected);
    }
}

fn repurchase() -> Task {
    Task::Repurchase(RepurchaseSpec {
        horizon_weeks: 2,
        train_weeks: vec![4, 2],
        validation_weeks: vec![6],
        test_weeks: vec![8],
    })
}

fn receipts_config() -> DataConfig {
    DataConfig::parse("path = \"unused.csv\"\n[schema]\nshopper = \"shop\"\n", Path::new(".")).expect("good")
}

const RECEIPTS: &str = "shop,day,hour,lines,spend_cents,discount_cents,coupon_lines\n";

#[test]
fn weeks_cut_the_splits() {
    // a: weeks 2 and 5; b: week 7 only.
    let text = format!("{RECEIPTS}a,1,9,1,100,0,0\na,23,9,1,100,0,0\nb,40,9,1,100,0,0\n");
    let (splits, report) = load_table(&csv(&text), &receipts_config(), &repurchase()).expect("loads");
    // Week 2: nothing in weeks 3 and 4. Week 4: week 5 has one.
    assert_eq!(splits.train.labels, [0.0, 1.0]);
    assert_eq!((splits.validation.rows(), splits.test.rows()), (1, 2));
    assert_eq!(splits.train.inputs, guildhall_shared::task::REPURCHASE_INPUTS);
    assert_eq!(report.baskets, Some(3));
    assert!(report.notes[0].contains("ends in week 7"), "{:?}", report.notes);
    assert_eq!(splits.tuning_train(&repurchase()).rows(), splits.train.rows());
}

#[test]
fn removing_a_shopper_leaves_every_other_repurchase_row_bit_identical() {
    let text = |without: i64| -> String {
        let mut text = String::from(RECEIPTS);
        for i in (0..600).filter(|i| i % 23 != without) {
            text += &format!(
                "s{},{},{},{},{},{},{}\n",
                i % 23,
                i * 31 % 60,
                i % 24,
                i % 9,
                i * 13 % 5000,
                i % 70,
                i % 2
            );
        }
        text
    };
    let load =
        |without| load_table(&csv(&text(without)), &receipts_config(), &repurchase()).expect("loads").0;
    let whole = observed(&load(-1));
    assert_eq!(whole.len(), 23 * 3);
    for gone in [0, 11, 22] {
        let mut expected = whole.clone();
        let key = ShopperKey::of_id(&format!("s{gone}"));
        expected.retain(|(shopper, _), _| *shopper != key);
        assert_eq!(expected.len(), 22 * 3);
        assert_eq!(observed(&load(gone)), expected);
    }
}

#[test]
fn the_order_of_a_files_rows_says_nothing_about_baskets() {
    let lines =
        ["a,1,9,1,100,5,0\n", "a,1,9,2,7,0,1\n", "a,1,10,1,50,0,0\n", "b,3,9,1,1,0,0\n", "a,9,9,1,2,0,0\n"];
    let forward: String = std::iter::once(RECEIPTS).chain(lines).collect();
    let backward: String = std::iter::once(RECEIPTS).chain(lines.into_iter().rev()).collect();
    let load =
        |text: &str| observed(&load_table(&csv(text), &receipts_config(), &repurchase()).expect("loads").0);
    assert_eq!(load(&forward), load(&backward));
}

#[test]
fn test_rows_are_tested_on_and_never_trained_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut text = String::from("value,rate,month,bought\n");
    (0..100).for_each(|i| text += &format!("{i},0,Feb,{}\n", i % 2));
    std::fs::write(folder.path().join("visits.csv"), &text).expect("writes");
    let config = |list: &str| {
        std::fs::write(folder.path().join("test.csv"), list).expect("writes");
        let text = "path = \"visits.csv\"\ntest_rows = \"test.csv\"\n[schema]\nlabel = \"bought\"\n[schema.numeric.value]\nmin = 0\nmax = 100\n[schema.numeric.rate]\nmin = 0\nmax = 1\n[schema.categorical.month]\nvocabulary = [\"Feb\", \"Mar\"]\n";
        DataConfig::parse(text, folder.path()).expect("good")
    };
    let (splits, _) = load(&config("row\n0\n50\n99\n"), &visits_task()).expect("loads");
    assert_eq!((splits.train.rows(), splits.test.rows()), (97, 3));
    let tested: BTreeSet<ShopperKey> = splits.test.shoppers.iter().map(|s| s.key).collect();
    assert_eq!(tested, [0, 50, 99].map(ShopperKey::of_row).into());
    assert!(splits.train.shoppers.iter().all(|s| !tested.contains(&s.key)));
    // Validation is a part of training; what is left of it is what a baseline is tuned on.
    let tuning = splits.tuning_train(&visits_task());
    assert!(splits.validation.rows() > 5 && splits.validation.rows() < 40, "{}", splits.validation.rows());
    assert_eq!(tuning.rows() + splits.validation.rows(), 97);
    for bad in ["row\n100\n", "row\n-1\n", "row\n3\n3\n", "rows\n1\n", "row\nx\n"] {
        assert!(matches!(load(&config(bad), &visits_task()), Err(DataError::TestRows { .. })), "{bad:?}");
    }
}

#[test]
fn files_that_are_not_there_or_not_known_are_refused() {
    let config = |path: &str| {
        DataConfig::parse(&format!("path = {path:?}\n[schema]\nlabel = \"y\"\n"), Path::new("/nowhere"))
            .expect("good")
    };
    assert!(matches!(load(&config("a.csv"), &visits_task()), Err(DataError::Unreadable { .. })));
    assert!(matches!(load(&config("a.xlsx"), &visits_task()), Err(DataError::Format { .. })));
}

#[test]
fn a_schema_is_checked_without_a_task() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("unused.csv"), MESSY).expect("writes");
    let mut config = visits_config("");
    config.path = folder.path().join("unused.csv");
    let report = check_schema(&config).expect("checks");
    assert_eq!((report.rows_read, report.rows_used, report.count(Problem::OutOfBounds)), (11, 5, 2));
    assert_eq!(report.train.observations, 0);
}
