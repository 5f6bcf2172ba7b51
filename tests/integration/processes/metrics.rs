//! Figures of a released model, from the rows of real processes: masked sums alone leave a merchant, and what is read of them is what
//! the merchants measure themselves.
//!
//! The model is made without noise, so that every run measures the same one. A figure of a noised sum is further than 6 standard
//! errors from the exact one with probability below 2e-9.

use serde_json::Value;

use super::PATIENCE;
use super::federation::{Federation, Member};

/// Items of the catalogue.
const ITEMS: u64 = 30;
/// Shoppers of every merchant.
const SHOPPERS: u64 = 70;

fn task() -> String {
    let items: Vec<String> = (0..ITEMS).map(|item| format!("\"item {item}\"")).collect();
    format!("[task]\nkind = \"next_item\"\nhistory_max = 20\ncatalogue = [{}]\n", items.join(", "))
}

fn job(name: &str, rounds: u32, privacy: &str, model: &str) -> String {
    format!(
        "name = \"{name}\"\npurpose = \"a test\"\nseed = 1\nrounds = {rounds}\nunit = \"shopper\"\n{privacy}\n{}{model}\n\
         [round]\nquorum = 1\naccept_deadline_ms = 20000\nupdate_deadline_ms = 20000\n\
         expected_shoppers = 210\nshoppers_per_merchant_max = 1000\n",
        task()
    )
}

const UNNOISED: &str = "privacy = \"none\"";

fn measured() -> String {
    let model = "[model]\nkind = \"item_statistics\"\nitems_kept = 30\npopularity_items = 12\ncooccurrence_pairs = 78\n\
        diagonal = \"cooccurrence\"\nranking = { kind = \"ease\", ridge = 5.0 }\n\
        [optimizer]\nkind = \"sgd\"\nlearning_rate = 1.0\nmomentum = 0.0\n[clipping]\nnorm_l2 = 1.0\n";
    job("measured", 2, UNNOISED, model)
}

fn metrics(name: &str, privacy: &str, of_job: &str, of_model: &Value) -> String {
    let model = format!(
        "[model]\nkind = \"metrics\"\nof_job = \"{of_job}\"\nof_model = {of_model}\nk = 10\ngroups = [0, 5]\n"
    );
    job(name, 1, privacy, &model)
}

/// Shoppers of one merchant: an item is often followed by the next one, now and then by any.
fn rows(merchant: u64) -> String {
    let mut state = merchant + 1;
    let mut draw = |end: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % end
    };
    let mut text = String::from("shopper,item,time\n");
    for shopper in 0..SHOPPERS {
        let mut item = draw(ITEMS);
        for time in 0..2 + draw(7) {
            text += &format!("m{merchant}s{shopper},item {item},{time}\n");
            item = if draw(3) == 0 { draw(ITEMS) } else { (item + 1) % ITEMS };
        }
    }
    text
}

fn give_rows(federation: &Federation, merchant: &str, number: u64) {
    std::fs::write(federation.path(merchant).join("rows.csv"), rows(number)).expect("written");
    let path = federation.path(merchant).join("client.toml");
    let config = std::fs::read_to_string(&path).expect("a configuration");
    let data = "\n[data]\npath = \"rows.csv\"\n[data.schema]\nshopper = \"shopper\"\nitem = \"item\"\ntime = \"time\"\n";
    std::fs::write(&path, config + data).expect("written");
}

fn submit(federation: &Federation, text: &str) -> String {
    std::fs::write(federation.path("metrics.toml"), text).expect("written");
    let submitted = federation.run(&["server", "--dir", "server", "job", "submit", "metrics.toml"]);
    String::from_utf8_lossy(if submitted.status.success() { &submitted.stdout } else { &submitted.stderr })
        .into_owned()
}

/// Everybody has finished the job of this name; what the first of them then says.
fn finish(federation: &mut Federation, name: &str, merchants: &[&str]) -> Value {
    federation.wait(PATIENCE, |e| e["event"] == "job_finished" && e["job"] == name);
    let finished = |e: &Value| e["event"] == "finished" && e["job"] == name;
    let all: Vec<Value> =
        merchants.iter().map(|merchant| federation.wait_client(merchant, PATIENCE, finished)).collect();
    all[0].clone()
}

fn read(federation: &Federation, arguments: &[&str]) -> Value {
    let output = federation.run(arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {errors}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Hit rate, NDCG and number of the shoppers that these merchants measure by themselves.
fn pooled(federation: &Federation, merchants: &[&str]) -> [f64; 3] {
    let mut sums = [0.0; 3];
    for merchant in merchants {
        let config = format!("{merchant}/client.toml");
        let own = read(federation, &["evaluate", "--config", &config, "--json"]);
        let shoppers = own["shoppers"].as_f64().expect("a number");
        let of = |figure: &str| own[figure]["federated_plain"]["micro"].as_f64().expect("a figure");
        for (sum, value) in sums.iter_mut().zip([of("hr_at_10"), of("ndcg_at_10"), 1.0]) {
            *sum += value * shoppers;
        }
    }
    let [hits, gains, shoppers] = sums;
    [hits / shoppers, gains / shoppers, shoppers]
}

fn released(federation: &Federation, name: &str) -> Value {
    let found = read(federation, &["evaluate", "--config", "a/client.toml", "--released", "--json"]);
    let releases = found["releases"].as_array().expect("a list");
    let wanted = releases.iter().find(|release| release["metrics_job"] == name);
    wanted.unwrap_or_else(|| panic!("{name} in {found}")).clone()
}

/// (value, standard error) of hit rate, NDCG and number of shoppers.
fn figures(release: &Value) -> [(f64, f64); 3] {
    let all = &release["figures"]["all"];
    [&all["hr_at_k"], &all["ndcg_at_k"], &all["shoppers"]].map(|figure| {
        let number = |key: &str| figure[key].as_f64().unwrap_or_else(|| panic!("{key} in {release}"));
        (number("value"), number("standard_error"))
    })
}

#[test]
fn released_figures_are_those_the_merchants_measure_themselves() {
    let mut federation = Federation::start(&["a", "b", "c", "d"].map(Member::unnoised));
    for (number, merchant) in ["a", "b", "c", "d"].into_iter().enumerate() {
        give_rows(&federation, merchant, number as u64);
    }
    federation.begin(&measured());
    let finished = finish(&mut federation, "measured", &["a", "b", "c", "d"]);
    let of_job = federation.status()["job"]["digest"].as_str().expect("a digest").to_string();
    let of_model = &finished["model"];

    // One merchant loses what is measured: it follows and says why, and the others go on.
    federation.kill("d");
    std::fs::remove_dir_all(federation.path("d").join("models")).expect("removed");
    let wrong = submit(&federation, &metrics("wrong", UNNOISED, &"0".repeat(64), of_model));
    assert!(wrong.contains("model.of_job") && wrong.contains(&of_job), "{wrong}");
    submit(&federation, &metrics("exact", UNNOISED, &of_job, of_model));
    federation.start_client("d");
    let objects = |e: &Value| e["event"] == "job_announced" && e["objection"].is_string();
    let announced = federation.wait_client("d", PATIENCE, objects);
    let objection = announced["objection"].as_str().expect("a reason");
    assert!(objection.contains("model.of_job") && objection.contains(&of_job), "{objection}");
    finish(&mut federation, "exact", &["a", "b", "c"]);

    let measuring = ["a", "b", "c"];
    let exact = pooled(&federation, &measuring);
    assert!(exact[0] > 0.2 && exact[0] < 1.0, "there is something to measure: {exact:?}");
    let release = released(&federation, "exact");
    assert_eq!(
        (&release["model"], &release["version"], &release["epsilon"]),
        (of_model, &2.into(), &Value::Null)
    );
    for ((found, error), expected) in figures(&release).into_iter().zip(exact) {
        assert!((found - expected).abs() < 1e-4 * expected && error == 0.0, "{found} {expected} {release}");
    }

    // The same with noise, which is charged for.
    let budget = "privacy = { epsilon = 20.0, delta = 1e-6 }";
    submit(&federation, &metrics("noised", budget, &of_job, of_model));
    let finished = finish(&mut federation, "noised", &measuring);
    let spent = finished["epsilon_spent"].as_f64().expect("a number");
    assert!(spent > 19.0 && spent <= 20.0, "one charged release: {finished}");
    let release = released(&federation, "noised");
    for ((found, error), expected) in figures(&release).into_iter().zip(exact) {
        assert!(error > 0.0, "{release}");
        assert!((found - expected).abs() < 6.0 * error, "{found} ± {error}, exactly {expected}: {release}");
    }
    let [_, _, (shoppers, error)] = figures(&release);
    assert!(shoppers != exact[2] && error < exact[2] / 5.0, "noise, and not too much: {release}");

    // What is served and evaluated is what it was, and the card has figures of every origin.
    let card = read(&federation, &["card", "--config", "a/client.toml", "--json"]);
    assert_eq!(card["model"]["job"], "measured");
    let origins = |card: &Value| -> Vec<String> {
        let figures = card["figures"].as_array().expect("a list");
        figures.iter().map(|of| of["origin"]["kind"].as_str().expect("a word").to_string()).collect()
    };
    let mut all = origins(&card);
    all.sort();
    assert_eq!(all, ["own_rows", "released", "released_without_noise"]);
    let card = read(&federation, &["card", "--config", "a/client.toml", "--for-everybody", "--json"]);
    assert_eq!(origins(&card), ["released"]);
}
