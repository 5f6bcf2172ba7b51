use std::path::Path;

use super::*;
use crate::data::config::DataConfig;
use crate::data::read_csv;

fn read(text: &str, schema: &str) -> (Sequences, crate::data::DataReport) {
    let table = read_csv::read(text.as_bytes(), "items.csv", b',').expect("a table");
    let config = DataConfig::parse(&format!("path = \"x.csv\"\n[schema]\n{schema}"), Path::new("."))
        .expect("a configuration");
    let catalogue = Catalogue::of_items(["10", "11", "12", "13"].map(String::from).to_vec());
    let mut tally = Tally::new(&table, table.records());
    let reader = ItemReader::new(&table, &config.schema).map_err(|m| m.join("; ")).expect("it fits");
    let rows: Vec<usize> = (0..table.rows()).collect();
    let sequences = reader.sequences(&rows, &catalogue, &mut tally);
    (sequences, tally.finish())
}

fn items_of<'s>(sequences: &'s Sequences, id: &str) -> &'s [u32] {
    let found = sequences.iter().find(|(key, _)| *key == ShopperKey::of_id(id));
    found.map_or(&[], |(_, items)| items)
}

const COLUMNS: &str = "shopper = \"who\"\nitem = \"what\"\n";

#[test]
fn items_are_put_in_order_of_time_and_repetitions_counted() {
    let text = "who,what,when\na,12,2020-03-01\na,10,2019-12-31\nb,13,2020-01-01\na,11,2020-03-01\na,10,2021-01-01\n";
    let (sequences, report) = read(text, &format!("{COLUMNS}time = \"when\""));
    assert_eq!(items_of(&sequences, "a"), [0, 2, 1], "equal times in the order of rows");
    assert_eq!(items_of(&sequences, "b"), [3]);
    assert_eq!((report.count(Problem::RepeatedItem), report.rows_used, report.shoppers), (1, 4, 2));
}

#[test]
fn without_a_time_the_order_of_rows_counts() {
    let (sequences, _) = read("who,what\na,12\na,10\na,11\n", COLUMNS);
    assert_eq!(items_of(&sequences, "a"), [2, 0, 1]);
}

#[test]
fn numbers_compare_as_numbers_and_other_times_as_texts() {
    let numbered = read("who,what,when\na,12,10\na,10,9\n", &format!("{COLUMNS}time = \"when\"")).0;
    assert_eq!(items_of(&numbered, "a"), [0, 2]);
    let text = "who,what,when\na,12,2020-01-01T10:00\na,10,2020-01-01T09:00\n";
    assert_eq!(items_of(&read(text, &format!("{COLUMNS}time = \"when\"")).0, "a"), [0, 2]);
}

#[test]
fn rows_that_cannot_be_used_are_counted_and_never_shown() {
    let text = "who,what,when\n,12,1\na,,1\na,secret,1\na,11,\na,13,2\n";
    let (sequences, report) = read(text, &format!("{COLUMNS}time = \"when\""));
    assert_eq!(items_of(&sequences, "a"), [3]);
    for problem in [Problem::MissingShopper, Problem::MissingItem, Problem::UnknownItem, Problem::MissingTime]
    {
        assert_eq!(report.count(problem), 1, "{problem:?}");
    }
    assert_eq!((report.rows_read, report.rows_used), (5, 1));
    assert!(!report.to_string().contains("secret"));
}

#[test]
fn a_schema_without_an_item_says_what_is_missing() {
    let table = read_csv::read("who,what\n".as_bytes(), "items.csv", b',').expect("a table");
    let config = DataConfig::parse("path = \"x.csv\"\n[schema]\nshopper = \"nobody\"\n", Path::new("."))
        .expect("a configuration");
    let mistakes = ItemReader::new(&table, &config.schema).err().expect("does not fit");
    assert_eq!(mistakes.len(), 2, "{mistakes:?}");
    assert!(mistakes[1].contains("data.schema.item"), "{mistakes:?}");
}
