use std::fmt::Write as _;
use std::fs;

use guildhall_client::model_store::{ModelStore, Retention};
use guildhall_client::{kept_versions, use_fine_tuned, use_version};
use guildhall_privacy::accountant::Calibration;
use guildhall_shared::catalogue::Catalogue;
use guildhall_shared::job::Aggregation;
use guildhall_shared::model_spec::{
    Architecture, Diagonal, ItemRanking, ItemStatistics, MatrixFactorization,
};
use guildhall_shared::model_state::ModelState;
use guildhall_shared::task::{FeatureSpec, NextItemSpec, Task, Transform};
use guildhall_shared::wire;

use super::*;
use crate::evaluate;
use crate::evaluate::Figures;
use crate::versus;

const ITEMS: usize = 9;

const CLIENT: &str = "merchant = \"grocery\"\nregion = \"eu\"\nserver = \"127.0.0.1:4433\"\nbudget_epsilon = 4.0\n\
    budget_delta = 1e-6\ndevice = \"cpu\"\n[policy]\njobs = [\"*\"]\nallow_plain_mode = false\n";

/// A client's folder as it is after two rounds of a job.
struct Shop {
    dir: tempfile::TempDir,
    job: JobSpec,
}

impl Shop {
    fn new(task: Task, architecture: Architecture, data: &str, files: &[(&str, String)]) -> Self {
        let text = include_str!("../../../samples/jobs/repurchase_stores.toml");
        let (sample, _) = JobSpec::parse(text, &Calibration).expect("a sample");
        let mut job = JobSpec { task, architecture, ..sample };
        // No roster is pinned here, so the merchant counts as the only one.
        (job.round.aggregation, job.round.colluders_min) = (Aggregation::Plain, 0);
        let shop = Shop { dir: tempfile::tempdir().expect("a folder"), job };
        shop.write("client.toml", &format!("{CLIENT}{data}"));
        files.iter().for_each(|(name, text)| shop.write(name, text));
        let config = ClientConfig::load(shop.dir.path()).expect("a configuration");
        fs::write(config.folder.followed_job(), wire::encode(&shop.job).expect("a job")).expect("written");
        let models = config.folder.models(&shop.job.digest());
        let mut store = ModelStore::open(&models, &shop.job).expect("a store");
        let mut state = ModelState::initial(&shop.job);
        for version in 1..=2 {
            let sum: Vec<i64> = (0..state.weights.len()).map(|i| if i % 2 == 0 { 9 } else { -5 }).collect();
            state = state.next(&shop.job, &sum).expect("as long as the weights");
            let hash = state.hash(&shop.job.model());
            store.store(version, &hash, &state, Retention::Ordinary).expect("stored");
        }
        shop
    }

    /// Rows whose first column decides; a third are only tested on.
    fn of_labels() -> Self {
        let mut rows = String::from("x,y,bought\n");
        for row in 0..300 {
            let (x, y) = (((row * 37) % 101) as f64 / 50.0 - 1.0, ((row * 53) % 97) as f64 / 48.0 - 1.0);
            writeln!(rows, "{x},{y},{}", u8::from(x + 0.2 * y > 0.1)).expect("into a text");
        }
        let test: String = (0..300).step_by(3).map(|row| format!("{row}\n")).collect();
        let feature = |column: &str| FeatureSpec {
            column: column.into(),
            transform: Transform::Identity { min: -1.0, max: 1.0 },
            scale: 1.0,
        };
        let data = "[data]\npath = \"rows.csv\"\ntest_rows = \"test.csv\"\n[data.schema]\nlabel = \"bought\"\n\
            [data.schema.numeric]\nx = { min = -1, max = 1, missing = \"zero\" }\n\
            y = { min = -1, max = 1, missing = \"zero\" }\n";
        let task = Task::Tabular { features: vec![feature("x"), feature("y")] };
        let files = [("rows.csv", rows), ("test.csv", format!("row\n{test}"))];
        Self::new(task, Architecture::LogisticRegression, data, &files)
    }

    /// Every item is followed by the next one.
    fn of_items(architecture: Architecture) -> Self {
        let mut rows = String::from("shopper_id,item_id,at\n");
        for shopper in 0..60 {
            for place in 0..4 + shopper % 3 {
                writeln!(rows, "s{shopper},i{},{place}", (shopper + place) % ITEMS).expect("into a text");
            }
        }
        let catalogue = Catalogue::of_items((0..ITEMS).map(|item| format!("i{item}")).collect());
        let task = Task::NextItem(NextItemSpec { catalogue, history_max: 6 });
        let data = "[data]\npath = \"items.csv\"\n[data.schema]\nshopper = \"shopper_id\"\nitem = \"item_id\"\ntime = \"at\"\n";
        Self::new(task, architecture, data, &[("items.csv", rows)])
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).expect("written");
    }

    fn config(&self) -> ClientConfig {
        ClientConfig::load(self.dir.path()).expect("a configuration")
    }

    fn models(&self) -> PathBuf {
        self.config().folder.models(&self.job.digest())
    }

    fn arguments(&self) -> FineTuneArgs {
        FineTuneArgs {
            config: self.dir.path().into(),
            version: None,
            epochs: 8,
            learning_rate: 0.05,
            batch: 16,
            seed: 0,
            json: false,
        }
    }

    /// Names and bytes of the released versions.
    fn released(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = fs::read_dir(self.models()).expect("the versions");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let mut files: Vec<PathBuf> = paths.filter(|path| path.extension().is_some()).collect();
        files.sort();
        files.into_iter().map(|path| (path.clone(), fs::read(path).expect("bytes"))).collect()
    }
}

fn factors() -> Architecture {
    Architecture::MatrixFactorization(MatrixFactorization {
        items: ITEMS,
        factors: 4,
        ridge: 0.5,
        negatives: 2,
    })
}

#[test]
fn a_copy_is_made_beside_the_versions_and_measured_beside_them() {
    for shop in [Shop::of_labels(), Shop::of_items(factors())] {
        let before = shop.released();
        assert_eq!(before.len(), 2);
        let outcome = run(&shop.arguments()).expect("a copy");
        let (hash, card) = (outcome.hash.clone().expect("made"), outcome.card.clone().expect("made"));
        assert!(outcome.epochs > 0 && outcome.version == 2, "{outcome:?}");
        assert!(outcome.to_text().contains(FineTunedCopy::LABEL), "{}", outcome.to_text());
        let card = fs::read_to_string(card).expect("a card");
        assert!(card.contains(FineTunedCopy::LABEL) && card.contains(&hash), "{card}");
        // The released versions are what they were, to the byte, and the newest is still the newest.
        assert_eq!(shop.released(), before);
        let found = evaluate::run(shop.dir.path(), None).expect("figures");
        let text = found.to_text();
        assert_eq!(found.version, 2);
        let copy = match found.figures {
            Figures::Labels(found) => found.fine_tuned,
            Figures::Ranking(found) => found.fine_tuned,
        };
        let copy = copy.expect("the copy of version 2");
        assert_eq!((copy.figure, copy.epochs), (copy.against_released.first, outcome.epochs));
        assert!(copy.against_released.difference.is_some() && copy.against_local.difference.is_some());
        assert!(text.contains("fine-tuned copy") && text.contains(FineTunedCopy::LABEL), "{text}");
        // Of another version there is no copy, and nothing is said of one.
        let other = evaluate::run(shop.dir.path(), Some(1)).expect("figures");
        assert!(!other.to_text().contains("fine-tuned"));
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for shop in [Shop::of_labels(), Shop::of_items(factors())] {
        let store = CopyStore::beside(&shop.models(), &shop.job);
        let bytes = |seed: u64| {
            run(&FineTuneArgs { seed, ..shop.arguments() }).expect("a copy");
            fs::read(store.path(2)).expect("bytes")
        };
        let first = bytes(0);
        assert_eq!(first, bytes(0));
        assert_ne!(first, bytes(1));
    }
}

#[test]
fn where_no_epoch_helps_nothing_is_made() {
    let shop = Shop::of_labels();
    let outcome = run(&FineTuneArgs { epochs: 0, ..shop.arguments() }).expect("an answer");
    assert_eq!((outcome.epochs, &outcome.hash, outcome.released), (0, &None, outcome.best));
    assert!(outcome.to_text().contains("the released version stays"), "{}", outcome.to_text());
    assert!(use_fine_tuned(&shop.config(), 2).is_err());
    assert!(!shop.models().join("fine-tuned").exists());
    for wrong in [
        FineTuneArgs { learning_rate: 0.0, ..shop.arguments() },
        FineTuneArgs { batch: 0, ..shop.arguments() },
    ] {
        assert!(run(&wrong).is_err());
    }
}

#[test]
fn a_copy_is_listed_used_and_left_by_command() {
    let shop = Shop::of_labels();
    run(&FineTuneArgs { version: Some(1), ..shop.arguments() }).expect("a copy");
    let listed = || -> Vec<(u32, bool, bool)> {
        let kept = kept_versions(&shop.config()).expect("a list");
        kept.iter().map(|kept| (kept.version, kept.fine_tuned, kept.pinned)).collect()
    };
    assert_eq!(listed(), [(1, false, false), (1, true, false), (2, false, false)]);
    use_fine_tuned(&shop.config(), 1).expect("there is one");
    assert_eq!(listed(), [(1, false, false), (1, true, true), (2, false, false)]);
    // What asks for a version gets the released one.
    assert_eq!(stored(&shop.config(), &shop.job, None).expect("a version").version, 2);
    use_version(&shop.config(), Some(1)).expect("there is one");
    assert_eq!(listed(), [(1, false, true), (1, true, false), (2, false, false)]);
}

#[test]
fn released_statistics_are_not_fine_tuned_and_the_error_says_what_personalises_them() {
    let statistics = ItemStatistics {
        items: ITEMS,
        items_kept: 3,
        popularity_items: 2,
        cooccurrence_pairs: 1,
        diagonal: Diagonal::Popularity,
        ranking: ItemRanking::Popularity,
    };
    let shop = Shop::of_items(Architecture::ItemStatistics(statistics));
    let error = run(&shop.arguments()).map(|_| ()).expect_err("nothing to train").to_string();
    assert!(error.contains("blend"), "{error}");
}

#[test]
fn two_versions_are_compared_on_the_same_shoppers() {
    for (shop, figures) in [
        (Shop::of_labels(), vec!["AUC", "log loss"]),
        (Shop::of_items(factors()), vec!["NDCG@10", "HR@10", "MRR"]),
    ] {
        let found = versus::run(shop.dir.path(), None, 1).expect("figures");
        assert_eq!((found.version, found.against), (2, 1));
        let names: Vec<&str> = found.compared.iter().map(|one| one.figure).collect();
        assert_eq!(names, figures);
        for one in &found.compared {
            let (first, second) = (one.first.expect("a figure"), one.second.expect("a figure"));
            let apart = one.difference.expect("enough shoppers");
            assert!((apart.difference - (first - second)).abs() < 1e-9, "{one:?}");
            assert!(apart.low <= apart.difference && apart.difference <= apart.high, "{one:?}");
        }
        let same = versus::run(shop.dir.path(), Some(1), 1).expect("figures");
        assert!(
            same.compared
                .iter()
                .all(|one| one.difference.is_some_and(|d| d.difference == 0.0 && !d.is_clear()))
        );
        assert!(same.to_text().contains("not clear"), "{}", same.to_text());
        assert!(versus::run(shop.dir.path(), None, 9).is_err());
    }
}
