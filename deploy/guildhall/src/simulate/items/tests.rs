//! The sample jobs of items, shortened, on the real data where they are there.

use std::path::{Path, PathBuf};

use crate::federated::NoiseMode;
use crate::simulate::{self, Overrides, SimulatedRanking, Simulation};

const SAMPLES: [(&str, &str, &str); 2] = [
    (
        "amazon_beauty_ease",
        include_str!("../../../../samples/jobs/amazon_beauty_ease.toml"),
        "amazon_beauty_sequences",
    ),
    ("xmarket_ease", include_str!("../../../../samples/jobs/xmarket_ease.toml"), "xmarket_electronics"),
];

const AS_IT_IS: Overrides = Overrides { epsilon: None, seed: None, rounds: None };

/// A twentieth of the shoppers, few items, three rounds.
fn shortened(text: &str) -> String {
    ["items_kept = 350", "items_kept = 1500", "items_kept = 6000"]
        .into_iter()
        .fold(text.to_string(), |text, kept| text.replace(kept, "items_kept = 60"))
        .replace("rounds = 8", "rounds = 3")
        .replace("[simulation]\n", "[simulation]\ntrain_share = 0.05\n")
}

fn run(text: &str, data: &Path, mode: NoiseMode, overrides: Overrides) -> SimulatedRanking {
    let folder = tempfile::tempdir().expect("a folder");
    let job = folder.path().join("job.toml");
    std::fs::write(&job, text).expect("written");
    match simulate::run(&job, data, mode, overrides).map_err(|e| e.to_string()).expect("a simulation") {
        Simulation::Ranking(result) => *result,
        Simulation::Labels(_) => panic!("an item job"),
    }
}

#[test]
fn the_sample_jobs_run_on_their_folders() {
    let folder = std::env::var_os("GUILDHALL_TEST_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    for (name, text, data) in SAMPLES {
        let data = folder.join(data);
        if !data.is_dir() {
            eprintln!(
                "SKIPPED the_sample_jobs_run_on_their_folders, {name}: no test data; set GUILDHALL_TEST_DATA"
            );
            continue;
        }
        let found = run(&shortened(text), &data, NoiseMode::Masked, AS_IT_IS);
        assert!(found.merchants >= 5 && found.shoppers > 500, "{name}");
        assert!(found.ndcg_at_10.federated_private.is_some() && found.verdict.is_some(), "{name}");
        for table in [&found.ndcg_at_10, &found.hr_at_10] {
            assert_eq!(table.local_only.per_merchant.len(), found.merchants);
            assert!(table.local_only.micro > Some(0.0) && table.pooled.micro > Some(0.0), "{name}");
        }
        let text = found.to_text();
        assert!(text.contains("full ranking") && text.contains("planner"), "{text}");
    }
}

/// Shoppers of three merchants each follow one of four chains of items.
fn made_up() -> String {
    let mut rows = String::from("who,what,when,where\n");
    for shopper in 0..240u32 {
        for step in 0..5 {
            let item = (shopper % 4) * 5 + (shopper / 4 + step) % 5;
            rows += &format!("s{shopper},i{item},{step},{}\n", shopper % 3);
        }
    }
    rows
}

const SMALL: &str = r#"
name = "chains"
purpose = "What goes together?"
seed = 1
rounds = 4
unit = "shopper"
[task]
kind = "next_item"
history_max = 9
[model]
kind = "item_statistics"
items_kept = 20
popularity_items = 3
cooccurrence_pairs = 3
diagonal = "cooccurrence"
ranking = { kind = "ease", ridge = 5.0 }
[optimizer]
kind = "sgd"
learning_rate = 1.0
momentum = 0.0
[clipping]
norm_l2 = 1.0
[privacy]
epsilon = 1000.0
delta = 1e-6
[round]
quorum = 3
update_deadline_ms = 1000
expected_shoppers = 240
shoppers_per_merchant_max = 240
[simulation]
file = "rows.csv"
merchant_column = "where"
merchant_prefix = "shop-"
[simulation.schema]
shopper = "who"
item = "what"
time = "when"
"#;

#[test]
fn a_federation_finds_what_goes_together() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("rows.csv"), made_up()).expect("written");
    let data = folder.path().to_path_buf();
    let found = run(SMALL, &data, NoiseMode::Masked, AS_IT_IS);
    // A chain has five items, three are trained on, the fourth is the last history item: one is left.
    assert!(found.hr_at_10.federated_private.as_ref().and_then(|t| t.micro) > Some(0.99));
    assert!(found.ndcg_at_10.federated_plain.micro > Some(0.9), "{:?}", found.ndcg_at_10);
    assert!(found.ndcg_at_10.federated_private.as_ref().and_then(|t| t.micro) > Some(0.9));
    assert_eq!((found.merchants, found.shoppers, found.items), (3, 240, 20));
    // What drowns in noise does not help, and the blend leaves it alone.
    let drowned = run(SMALL, &data, NoiseMode::Masked, Overrides { epsilon: Some(0.01), ..AS_IT_IS });
    let private = drowned.ndcg_at_10.federated_private.as_ref().and_then(|t| t.micro);
    assert!(private < found.ndcg_at_10.local_only.micro, "{private:?}");
    assert!(drowned.ndcg_at_10.blend.micro >= Some(0.9), "{:?}", drowned.ndcg_at_10.blend);
    let open = run(SMALL, &data, NoiseMode::None, AS_IT_IS);
    assert!(open.ndcg_at_10.federated_private.is_none() && open.privacy.contains("NO PRIVACY"));
}
