use guildhall_client::data::cell::Cell;

use super::super::extract::embedded;
use super::*;

const PRODUCTS: &str = "product_id,department\n1,GROCERY\n2,DELI\n";
const HEADER: &str = "household_id,store_id,basket_id,product_id,quantity,sales_value,retail_disc,coupon_disc,coupon_match_disc,week,transaction_timestamp\n";
/// 2017-01-02T16:30:00 UTC, in microseconds: a Monday, half past eleven in New York.
const MONDAY: i64 = 1_483_374_600_000_000;

fn table(text: &str) -> Table {
    Table::from_csv(text.as_bytes(), "source.csv", b',').expect("a table")
}

fn summed(lines: &str) -> Result<Vec<Vec<i32>>, DataCommandError> {
    let departments = departments(&table(PRODUCTS))?;
    let columns = columns(&sum_lines(&table(&format!("{HEADER}{lines}")), &departments)?)?;
    let rows = columns[0].values.len();
    Ok((0..rows).map(|row| columns.iter().map(|column| column.values[row]).collect()).collect())
}

#[test]
fn lines_are_summed_by_basket_and_department() {
    let lines = format!(
        "7,300,99,1,1,1.29,0.10,0.0,0.0,2,{MONDAY}\n7,300,99,2,1,0.005,0.0,0.0,0.0,2,{MONDAY}\n7,300,99,1,2,2.00,0.0,0.55,0.45,2,{MONDAY}\n7,300,99,5,1,9.99,0,0,0,2,{MONDAY}\n3,301,98,1,1,1.00,0,0,0,2,{MONDAY}\n"
    );
    let rows = summed(&lines).expect("derives");
    // household, basket, department, store, day, hour, lines, spend, discount, coupon lines
    let expected = [
        vec![3, 1, 15, 301, 1, 11, 1, 100, 0, 0],
        vec![7, 2, 0, 300, 1, 11, 1, 999, 0, 0],
        vec![7, 2, 7, 300, 1, 11, 1, 1, 0, 0],
        vec![7, 2, 15, 300, 1, 11, 2, 329, 110, 1],
    ];
    assert_eq!(rows, expected);
}

#[test]
fn a_source_that_is_not_the_expected_one_is_refused() {
    let line = |week: i64, time: i64, store: i64, sales: &str| {
        format!("7,{store},99,1,1,{sales},0,0,0,{week},{time}\n")
    };
    let good = line(2, MONDAY, 300, "1.0");
    assert!(summed(&good).is_ok());
    for (bad, expected) in [
        (line(1, MONDAY, 300, "1.0"), "the week"),
        (line(2, 0, 300, "1.0"), "times of 2017"),
        (line(2, MONDAY, 300, "-1.0"), "amounts of money"),
        (line(2, MONDAY, 301, "1.0"), "one household, time and store"),
        ("x,300,99,1,1,1.0,0,0,0,2,1\n".into(), "whole numbers"),
    ] {
        let error = summed(&format!("{good}{bad}")).expect_err(expected).to_string();
        assert!(error.contains(expected) && error.contains("row 2"), "{error}");
    }
    assert!(departments(&table("product_id,department\n1,WEAPONS\n")).is_err());
    assert!(departments(&table("product_id,department\n1,DELI\n1,DELI\n")).is_err());
    assert!(departments(&table("product_id\n1\n")).is_err());
}

#[test]
fn the_same_rows_give_the_same_bytes_and_are_read_back() {
    let column = |name, layout, values: &[i32]| IntegerColumn { name, layout, values: values.to_vec() };
    let columns = || {
        vec![
            column("a", Layout::Delta, &[1, 1, 2, 500]),
            column("b", Layout::Dictionary, &[7, 7, 0, 7]),
            column("c", Layout::Plain, &[i32::MAX, 0, 3, 4]),
        ]
    };
    let bytes = encode(&columns(), ZSTD_LEVEL).expect("encodes");
    assert_eq!(bytes, encode(&columns(), ZSTD_LEVEL).expect("encodes"));
    let table = Table::from_parquet(Box::leak(bytes.into_boxed_slice()), "t.parquet").expect("reads");
    for (position, column) in columns().iter().enumerate() {
        let read: Vec<Cell<'_>> = (0..4).map(|row| table.cell(position, row)).collect();
        let written: Vec<Cell<'_>> = column.values.iter().map(|v| Cell::Integer(i64::from(*v))).collect();
        assert!(read == written, "column {}", column.name);
    }
}

/// Encoding the embedded extract's own columns again gives its own bytes: whoever has the rows can rebuild the file.
#[test]
fn the_embedded_extract_is_rebuilt_bit_by_bit_from_its_rows() {
    let table = Table::from_parquet(embedded(), "complete_journey.parquet").expect("reads");
    let mut layouts = columns(&BTreeMap::new()).expect("no rows");
    for column in &mut layouts {
        let position = table.position(column.name).expect(column.name);
        let value =
            |row| table.cell(position, row).whole().ok().flatten().and_then(|v| i32::try_from(v).ok());
        column.values = (0..table.rows()).map(|row| value(row).expect("a small whole number")).collect();
    }
    assert_eq!(table.rows(), 391_326);
    assert!(encode(&layouts, ZSTD_LEVEL).expect("encodes") == embedded(), "the bytes differ");
}
