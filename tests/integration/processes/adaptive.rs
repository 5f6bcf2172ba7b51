//! A job whose clip adapts, between real processes: everybody arrives at the same models and clips, after a kill too.
//!
//! Nobody has rows here, so what moves the clip is the noise alone, drawn by each process for itself: none of it is known
//! beforehand, and one party that computed another clip would stop with another hash.

use std::collections::BTreeMap;

use serde_json::Value;

use super::PATIENCE;
use super::federation::{Federation, Member, masked_job};

const ADAPTIVE: &str = "[clipping]\nnorm_l2 = 1.0\n[clipping.adaptive]\nindicator_share = 0.1\nquantile = 0.5\nrate = 0.5\n\
    norm_min = 0.001\nnorm_max = 1000.0\n";

fn job(rounds: u32, privacy: &str) -> String {
    let constant = masked_job(rounds, privacy, 20_000, 20_000);
    let adaptive = constant.replace("[clipping]\nnorm_l2 = 1.0\n", ADAPTIVE);
    assert_ne!(adaptive, constant);
    adaptive
}

/// The server's versions and hashes.
fn versions(federation: &Federation) -> BTreeMap<u64, Value> {
    let answer = federation.admin(&["versions"]);
    let list = answer["versions"].as_array().expect("a list").clone();
    list.into_iter().enumerate().map(|(version, entry)| (version as u64, entry["model"].clone())).collect()
}

#[test]
fn a_clip_that_adapts_is_the_same_for_everybody_and_outlives_a_kill() {
    let merchants = ["a", "b", "c"];
    let mut federation = Federation::start(&merchants.map(Member::masked));
    federation.begin(&job(5, "privacy = { epsilon = 8.0, delta = 1e-6 }"));
    federation.wait(PATIENCE, |e| e["event"] == "round_settled" && e["version"] == 2);
    // Both come back with what they stored: the clip is part of it, or the next hash is another.
    federation.kill("b");
    federation.kill_server();
    federation.start_server();
    federation.start_client("b");
    let finished = federation.wait(PATIENCE, |e| e["event"] == "job_finished");
    assert_eq!(finished["version"], 5);
    for merchant in merchants {
        let client = federation.wait_client(merchant, PATIENCE, |e| e["event"] == "finished");
        assert_eq!(client["model"], finished["model"], "{merchant} arrives at the same hash");
    }
    let versions = versions(&federation);
    assert_eq!((versions.len(), &versions[&5]), (6, &finished["model"]));
    // A roll-back takes the clip back with the weights.
    federation.admin(&["roll-back", "1"]);
    for merchant in merchants {
        let model =
            federation.wait_client(merchant, PATIENCE, |e| e["event"] == "new_model" && e["version"] == 6);
        assert_eq!(model["model"], versions[&1], "{merchant}");
    }
}
