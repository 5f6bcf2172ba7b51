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
    let sizes: Vec<(&str, usize)> =
        departments().merchants.iter().map(|m| (m.name.as_str(), m.known(1.0, 0).len())).collect();
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
    assert_eq!(sizes, expected);
}

#[test]
fn a_draw_knows_a_tenth_and_is_tested_on_all() {
    let (all, tenth, other) =
        (departments().draw(1.0, 0), departments().draw(0.1, 0), departments().draw(0.1, 1));
    let known: Vec<ShopperKey> = departments().merchants.iter().flat_map(|m| m.known(0.1, 0)).collect();
    // 18,085 coins of a tenth: 1,808.5 ± 40; the draw is fixed.
    assert!((1_650..=1_970).contains(&known.len()), "{}", known.len());
    let distinct: BTreeSet<&ShopperKey> = known.iter().collect();
    assert!(distinct.len() < known.len(), "households overlap");
    for ((all, tenth), other) in all.iter().zip(&tenth).zip(&other) {
        assert!(same(&all.splits.test, &tenth.splits.test));
        assert!(!same(&tenth.splits.train, &other.splits.train));
        let name = &tenth.name;
        for split in [&tenth.splits.train, &tenth.splits.validation] {
            assert!(split.shoppers.iter().all(|s| split::is_known(s.key, name, 0.1, 0)));
        }
    }
}

fn same(a: &Observations, b: &Observations) -> bool {
    let bits =
        |o: &Observations| o.features.iter().chain(&o.labels).map(|v| v.to_bits()).collect::<Vec<u32>>();
    a.shoppers == b.shoppers && bits(a) == bits(b)
}

#[test]
fn a_merchants_file_holds_the_drawn_shoppers_and_trains_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = departments().write_merchants(0.1, 2, folder.path()).expect("writes");
    let drawn = departments().draw(0.1, 2);
    assert_eq!(files.len(), 9);
    for ((file, drawn), merchant) in files.iter().zip(&drawn).zip(&departments().merchants) {
        let (splits, report) = read(file, folder.path());
        let known = merchant.known(0.1, 2);
        assert_eq!((&file.name, report.shoppers as usize), (&merchant.name, known.len()));
        assert!(report.findings.is_empty());
        let rows = merchant.keys.iter().flatten().filter(|key| known.contains(key)).count();
        assert_eq!(report.rows_used as usize, rows);
        assert!(same(&splits.train, &drawn.splits.train), "{}", file.name);
        assert!(same(&splits.validation, &drawn.splits.validation), "{}", file.name);
    }
}

/// A merchant's file as its client reads it.
fn read(file: &MerchantFile, folder: &Path) -> (Splits, guildhall_client::data::DataReport) {
    let name = file.path.file_name().expect("a name");
    let config = DataConfig::new(client_data(name), folder).expect("good");
    load(&config, &Task::Repurchase(weeks())).expect("loads")
}

#[test]
fn stores_see_whole_baskets() {
    let folder = tempfile::tempdir().expect("a folder");
    let stores = Marketplace::embedded(MerchantsBy::Store, 3, &weeks()).expect("loads");
    let files = stores.write_merchants(1.0, 0, folder.path()).expect("writes");
    assert_eq!(files.len(), 3);
    for (file, drawn) in files.iter().zip(stores.draw(1.0, 0)) {
        assert!(file.name.as_str().starts_with("store-"));
        let (splits, report) = read(file, folder.path());
        assert!(report.baskets.expect("baskets") < report.rows_used, "departments are merged");
        assert!(same(&splits.train, &drawn.splits.train) && same(&splits.test, &drawn.splits.test));
    }
}

#[test]
fn as_many_merchants_as_there_are_and_no_more() {
    for (by, merchants) in [
        (MerchantsBy::Department, 0),
        (MerchantsBy::Department, 10),
        (MerchantsBy::Store, 0),
        (MerchantsBy::Store, 500),
    ] {
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
            text +=
                &format!("c{card},2017-{month:02}-{:02},{},3,{},0,0\n", 1 + card % 28, card % 24, 100 * card);
        }
    }
    text += "c1,yesterday,9,1,1,0,0\n";
    write("north.csv", &text);
    write("South.csv", &text);
    write("schema.toml", "shopper = \"card\"\ntime = \"date\"\nfirst_day = \"2017-01-01\"\n");
    let marketplace = Marketplace::from_folder(folder.path(), &weeks()).expect("loads");
    let names: Vec<String> = marketplace.names().iter().map(Name::to_string).collect();
    assert_eq!(names, ["north", "south"]);
    let [all, known] = [1.0, 0.5].map(|share| marketplace.merchants[0].known(share, 0).len());
    assert!(all == 50 && (10..40).contains(&known), "{known} of {all}");
    // What a merchant's process is given: the known shoppers, days counted, the bad row still to be counted by its own report.
    let out = tempfile::tempdir().expect("a folder");
    let files = marketplace.write_merchants(1.0, 0, out.path()).expect("writes");
    let (splits, report) = read(&files[0], out.path());
    assert_eq!((report.rows_read, report.rows_dropped, report.shoppers), (601, 1, 50));
    assert!(same(&splits.train, &marketplace.draw(1.0, 0)[0].splits.train));
    // Two files of one merchant cannot be told apart.
    write("NORTH.csv", &text);
    assert!(Marketplace::from_folder(folder.path(), &weeks()).is_err());
}
