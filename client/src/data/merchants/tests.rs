use std::path::Path;

use guildhall_shared::task::RepurchaseSpec;

use super::*;
use crate::data::observations::ShopperKey;

fn csv(text: &str) -> Table {
    Table::from_csv(text.as_bytes(), "receipts.csv", b',').expect("a table")
}

fn repurchase() -> Task {
    Task::Repurchase(RepurchaseSpec {
        horizon_weeks: 2,
        train_weeks: vec![4, 2],
        validation_weeks: vec![6],
        test_weeks: vec![8],
    })
}

fn simulation(text: &str) -> SimulationConfig {
    SimulationConfig::parse(&toml::from_str(text).expect("TOML"), Path::new("nowhere")).expect("good")
}

#[test]
fn one_file_becomes_many_merchants_and_no_row_is_lost() {
    let mut text = String::from("shop,store,day,hour,lines,spend_cents,discount_cents,coupon_lines\n");
    for (shop, store) in
        [("a", "10"), ("b", "10"), ("c", "10"), ("a", "20"), ("b", "20"), ("a", "30"), ("a", "")]
    {
        text += &format!("{shop},{store},1,9,1,100,0,0\n");
    }
    text += "short\n";
    let config = simulation(
        "file = \"x.csv\"\nmerchant_column = \"store\"\nmerchant_prefix = \"store-\"\nlargest_merchants = 2\n[schema]\nshopper = \"shop\"\n",
    );
    let cut = cut_by_merchant(&csv(&text), &config, &repurchase()).expect("cuts");
    let names: Vec<&str> = cut.merchants.keys().map(Name::as_str).collect();
    assert_eq!(names, ["store-10", "store-20"]);
    let rows: u64 = cut.merchants.values().map(|part| part.report.rows_read).sum();
    assert_eq!((cut.file.rows_read, cut.file.rows_used, rows), (8, 5, 5));
    let counts =
        [Problem::FieldCount, Problem::MissingMerchant, Problem::OtherMerchant].map(|p| cut.file.count(p));
    assert_eq!(counts, [1, 1, 1]);
}

#[test]
fn a_share_trains_on_some_and_tests_on_all() {
    let mut text = String::from("shop,dept,day,hour,lines,spend_cents,discount_cents,coupon_lines\n");
    (0..200).for_each(|i| text += &format!("{i},DRUG GM,1,9,1,100,0,0\n"));
    let config = simulation(
        "file = \"x.csv\"\nmerchant_column = \"dept\"\ntrain_share = 0.3\ndraw = 1\n[schema]\nshopper = \"shop\"\n",
    );
    let cut = cut_by_merchant(&csv(&text), &config, &repurchase()).expect("cuts");
    let name = Name::new("drug-gm").expect("a name");
    let MerchantRows { splits, report } = &cut.merchants[&name];
    assert_eq!((splits.test.rows(), report.shoppers), (200, 200));
    let known: Vec<ShopperKey> = splits.train.shoppers.iter().map(|s| s.key).collect();
    assert!((30..90).contains(&known.len()), "{}", known.len());
    assert!(known.iter().all(|shopper| split::is_known(*shopper, &name, 0.3, 1)));
    assert_eq!(splits.validation.shoppers.len(), known.len());
}

#[test]
fn merchants_that_cannot_be_told_apart_or_found_are_refused() {
    let text = "shop,dept,day,hour,lines,spend_cents,discount_cents,coupon_lines\na,A B,1,9,1,1,0,0\na,a-b,1,9,1,1,0,0\n";
    let config = simulation("file = \"x\"\nmerchant_column = \"dept\"\n[schema]\nshopper = \"shop\"\n");
    let error = cut_by_merchant(&csv(text), &config, &repurchase()).err().expect("refused").to_string();
    assert!(error.contains("two values would both be merchant a-b"), "{error}");
    let config = simulation(
        "file = \"x\"\nmerchant_column = \"dept\"\nmerchants = { Z = \"zebra\" }\n[schema]\nshopper = \"shop\"\n",
    );
    let error = cut_by_merchant(&csv(text), &config, &repurchase()).err().expect("refused").to_string();
    assert!(error.contains("merchant zebra"), "{error}");
}
