use super::super::config::Mistakes;
use super::super::config::{RawSchema, schema};
use super::*;

fn read(text: &str, toml: &str) -> (Histories, super::super::DataReport) {
    let table = Table::from_csv(text.as_bytes(), "t.csv", b',').expect("a table");
    let raw: RawSchema = toml::from_str(toml).expect("a schema");
    let schema = schema(raw, &mut Mistakes(vec![]));
    let reader = BasketReader::new(&table, &schema).expect("fits");
    let rows: Vec<usize> = (0..table.rows()).collect();
    let mut tally = Tally::new(&table, table.records());
    let histories = reader.histories(&rows, &mut tally);
    (histories, tally.finish())
}

const HEADER: &str = "shop,day,hour,lines,spend_cents,discount_cents,coupon_lines\n";

#[test]
fn rows_of_the_same_hour_are_one_basket() {
    let text = format!("{HEADER}a,3,9,2,100,10,0\na,3,9,1,50,0,1\na,3,10,1,5,0,0\nb,3,9,1,1,1,0\n");
    let (histories, report) = read(&text, "shopper = \"shop\"");
    let a = &histories[&ShopperKey::of_id("a")];
    assert_eq!(a.len(), 2);
    assert_eq!(
        a[0],
        Basket { day: 3, hour: 9, lines: 3, spend_cents: 150, discount_cents: 10, with_coupon: true }
    );
    assert_eq!((report.rows_used, report.shoppers, report.baskets), (4, 2, Some(3)));
}

#[test]
fn a_basket_id_decides_before_the_hour() {
    let text = "shop,basket,day,hour,lines,spend_cents,discount_cents,coupon_lines\na,1,3,9,2,100,10,0\na,2,3,9,1,50,0,0\na,2,3,9,1,7,0,0\n";
    let (histories, _) = read(text, "shopper = \"shop\"");
    let spends: Vec<i64> = histories[&ShopperKey::of_id("a")].iter().map(|b| b.spend_cents).collect();
    assert_eq!(spends, [57, 100]);
}

#[test]
fn bad_rows_are_dropped_once_each_and_counted() {
    let text = format!(
        "{HEADER},3,9,2,100,10,0\na,x,9,2,100,10,0\na,-1,9,2,100,10,0\na,3,24,2,100,10,0\na,3,9,2.5,100,10,0\na,3,9,2,,10,0\na,3,9,2,100,-1,0\nc,,,,,,\na,3,9,2,100,10,0\n"
    );
    let (histories, report) = read(&text, "shopper = \"shop\"");
    assert_eq!((histories.len(), report.rows_read, report.rows_used, report.rows_dropped), (1, 9, 1, 8));
    let counts =
        [Problem::MissingShopper, Problem::BadDay, Problem::NotAWholeNumber, Problem::MissingDropped];
    assert_eq!(counts.map(|p| report.count(p)), [1, 3, 3, 1]);
}

#[test]
fn dates_count_from_the_first_day() {
    let text = format!("{HEADER}a,2017-01-08,9,2,100,10,0\na,7,9,2,100,10,0\n");
    let (histories, report) = read(&text, "shopper = \"shop\"\nfirst_day = \"2017-01-01\"");
    assert_eq!(histories[&ShopperKey::of_id("a")][0].day, 7);
    assert_eq!(report.count(Problem::BadDay), 1, "a bare number is no date");
}

#[test]
fn columns_that_are_not_there_are_all_named() {
    let table = Table::from_csv(b"a,day\n1,2\n", "t.csv", b',').expect("a table");
    let schema = schema(RawSchema::default(), &mut Mistakes(vec![]));
    let mistakes = BasketReader::new(&table, &schema).err().expect("misfit").join("\n");
    for column in ["hour", "lines", "spend_cents", "discount_cents", "coupon_lines", "data.schema.shopper"] {
        assert!(mistakes.contains(column), "{column} in {mistakes}");
    }
}
