use std::sync::OnceLock;

use guildhall_client::data::load;
use guildhall_client::data::observations::Observations;

use super::*;

fn weeks() -> RepurchaseSpec {
    RepurchaseSpec {
        horizon_weeks: 2,
        train_weeks: vec![12, 16, 20, 24, 28, 32, 36],
        validation_weeks: vec![40],
        test_weeks: vec![44, 47, 50],
    }
}

fn departments() -> &'static Marketplace {
    static MARKETPLACE: OnceLock<Marketplace> = OnceLock::new();
    MARKETPLACE.get_or_init(|| Marketplace::embedded(MerchantsBy::Department, 9, &weeks()).expect("loads"))
}

#[test]
fn nine_departments_with_all_their_households() {
    let merchants = departments().draw(1.0, 0);
    let sizes: Vec<(&str, usize, usize)> = merchants.iter().map(|m| (m.name.as_str(), m.shoppers, m.shoppers_known)).collect();
    let expected = [
        ("grocery", 2458),
        ("drug-gm", 2404),
        ("produce", 2350),
        ("meat-pckgd", 2228),
        ("meat", 2175),
        ("deli", 2019),
        ("pastry", 2053),
        ("nutrition", 1420),
        ("cosmetics", 978),
    ];
    assert_eq!(sizes, expected.map(|(name, households)| (name, households, households)));
    assert!(departments().reports().all(|(_, report)| report.findings.is_empty() && report.notes.is_empty()));
}

#[test]
fn a_draw_knows_a_tenth_and_is_tested_on_all() {
    let (all, tenth, other) = (departments().draw(1.0, 0), departments().draw(0.1, 0), departments().draw(0.1, 1));
    let known: usize = tenth.iter().map(|m| m.shoppers_known).sum();
    // 18,085 coins of a tenth: 1,808.5 ± 40; the draw is fixed.
    assert!((1_650..=1_970).contains(&known), "{known}");
    assert!(departments().distinct_shoppers_known(0.1, 0) < known, "households overlap");
    for ((all, tenth), other) in all.iter().zip(&tenth).zip(&other) {
        assert!(same(&all.splits.test, &tenth.splits.test));
        assert!(!same(&tenth.splits.train, &other.splits.train));
        let name = &tenth.name;
        for split in [&tenth.splits.train, &tenth.splits.validation] {
            assert!(split.shoppers.iter().all(|s| split::is_known(s.key, name, 0.1, 0)));
        }
        assert!(tenth.splits.train.shoppers.len() <= tenth.shoppers_known);
    }
}

fn same(a: &Observations, b: &Observations) -> bool {
    let bits = |o: &Observations| o.features.iter().chain(&o.labels).map(|v| v.to_bits()).collect::<Vec<u32>>();
    a.shoppers == b.shoppers && bits(a) == bits(b)
}

#[test]
fn a_merchants_file_holds_the_drawn_shoppers_and_trains_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = departments().write_merchants(0.1, 2, folder.path()).expect("writes");
    let drawn = departments().draw(0.1, 2);
    assert_eq!(files.len(), 9);
    for (file, merchant) in files.iter().zip(&drawn) {
        assert_eq!((&file.name, file.shoppers_known), (&merchant.name, merchant.shoppers_known));
        let config = DataConfig::new(file.data.clone(), folder.path()).expect("good");
        let (splits, report) = load(&config, &Task::Repurchase(weeks())).expect("loads");
        assert_eq!((report.shoppers as usize, report.rows_used as usize), (merchant.shoppers_known, file.rows));
        assert!(same(&splits.train, &merchant.splits.train), "{}", file.name);
        assert!(same(&splits.validation, &merchant.splits.validation), "{}", file.name);
    }
}

#[test]
fn stores_see_whole_baskets() {
    let stores = Marketplace::embedded(MerchantsBy::Store, 3, &weeks()).expect("loads");
    assert_eq!(stores.merchants.len(), 3);
    for (name, report) in stores.reports() {
        assert!(name.as_str().starts_with("store-"));
        assert!(report.baskets.expect("baskets") < report.rows_used, "departments are merged");
    }
}

#[test]
fn as_many_merchants_as_there_are_and_no_more() {
    for (by, merchants) in [(MerchantsBy::Department, 0), (MerchantsBy::Department, 10), (MerchantsBy::Store, 0), (MerchantsBy::Store, 500)] {
        assert!(Marketplace::embedded(by, merchants, &weeks()).is_err(), "{by:?} {merchants}");
    }
}

#[test]
fn a_folder_of_ones_own_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("writes");
    assert!(Marketplace::from_folder(folder.path(), &weeks()).is_err(), "nothing in it");
    let mut text = String::from("card,date,hour,lines,spend_cents,discount_cents,coupon_lines\n");
    for card in 0..50 {
        for month in 1..=12 {
            text += &format!("c{card},2017-{month:02}-{:02},{},3,{},0,0\n", 1 + card % 28, card % 24, 100 * card);
        }
    }
    text += "c1,yesterday,9,1,1,0,0\n";
    write("north.csv", &text);
    write("South.csv", &text);
    write("schema.toml", "shopper = \"card\"\ntime = \"date\"\nfirst_day = \"2017-01-01\"\n");
    let marketplace = Marketplace::from_folder(folder.path(), &weeks()).expect("loads");
    let names: Vec<String> = marketplace.names().iter().map(Name::to_string).collect();
    assert_eq!(names, ["south", "north"]);
    let merchants = marketplace.draw(0.5, 0);
    assert_eq!(merchants[0].shoppers, 50);
    assert!((10..40).contains(&merchants[0].shoppers_known));
    // What a merchant's process is given: the known shoppers, days counted, the bad row still to be counted by its own report.
    let out = tempfile::tempdir().expect("a folder");
    let files = marketplace.write_merchants(1.0, 0, out.path()).expect("writes");
    let config = DataConfig::new(files[1].data.clone(), out.path()).expect("good");
    let (splits, report) = load(&config, &Task::Repurchase(weeks())).expect("loads");
    assert_eq!((report.rows_read, report.rows_dropped, report.shoppers), (601, 1, 50));
    assert!(same(&splits.train, &marketplace.draw(1.0, 0)[1].splits.train));
}
