//! The routes over real connections.

mod copies;
mod document;
mod fuzz;
mod inference;
mod swaps;

use std::collections::BTreeMap;

use guildhall_shared::catalogue::Catalogue;
use guildhall_shared::digest::Digest;
use guildhall_shared::model_state::ModelState;
use serde_json::{Value, json};

use super::*;
use crate::data::observations::ShopperKey;
use crate::participant::test_job;
use crate::serve::arms::Challenger;
use crate::serve::events::EventLog;
use crate::serve::explain::{Explain, Explanation};
use crate::serve::ranker::ItemItemRanker;
use crate::serve::tests::{BUDGET, Caller, start};
use crate::serve::{Listening, ServedModel};

const LABEL: &str = "masked; epsilon = 1, delta = 1e-6 for one shopper";

fn catalogue() -> Catalogue {
    let text = |list: &[&str]| list.iter().map(|text| (*text).to_string()).collect();
    let items = text(&["bread", "butter", "jam", "tea", "coffee", "milk"]);
    let tags = vec![vec![0], vec![0], vec![0], vec![0, 1], vec![0, 1], vec![1]];
    Catalogue::with_tags(items, text(&["breakfast", "drinks"]), tags)
}

/// All items but milk are in the matrix; whose weights are `factor` times these.
fn ranker(factor: f32) -> Arc<ItemItemRanker> {
    let weights = [
        [0.0, 0.5, 0.25, 0.0, 0.125],
        [0.5, 0.0, 0.25, 0.0, 0.0],
        [0.25, 0.25, 0.0, 0.125, 0.0],
        [0.0, 0.0, 0.125, 0.0, 0.0625],
        [0.125, 0.0, 0.0, 0.0625, 0.0],
    ];
    let weights = weights.concat().into_iter().map(|weight| factor * weight).collect();
    let popularity = vec![8.0, 6.0, 2.0, 4.0, 4.0, 1.0];
    Arc::new(ItemItemRanker::new(vec![0, 1, 2, 3, 4], weights, popularity, 0.125).unwrap())
}

/// Explains logistic regression with the weights 1 and −1 exactly.
struct Terms;

impl Explain for Terms {
    fn explain(&self, inputs: &[f32]) -> Option<Explanation> {
        let attributions = vec![f64::from(inputs[0]), -f64::from(inputs[1])];
        let method = "the terms of a linear model";
        Some(Explanation { method, baseline_logit: 0.5, attributions, error: 0.0 })
    }
}

/// A version that ranks; its weights are its number times a third of the usual ones.
fn version(number: u32) -> ServedModel {
    let spec = Arc::new(test_job());
    let mut state = ModelState::initial(&spec);
    state.weights = vec![1.0, -1.0, 0.5];
    let hash = if number == 3 { Digest([7; 32]) } else { Digest::of_bytes(&number.to_le_bytes()) };
    let model = ServedModel::new(&spec, LABEL, number, hash, &state);
    model.with_ranker(ranker(number as f32 / 3.0), catalogue()).unwrap().with_explainer(Arc::new(Terms))
}

/// Version 3, and a shopper who has bread and butter.
fn service() -> Arc<Service> {
    let service = Service::new(BUDGET);
    service.publish(version(3));
    service.set_histories(catalogue(), histories());
    Arc::new(service)
}

fn histories() -> BTreeMap<ShopperKey, Vec<u32>> {
    [(ShopperKey::of_id("anna"), vec![0, 1])].into()
}

struct Shop {
    service: Arc<Service>,
    listening: Listening,
    caller: Caller,
}

impl Shop {
    async fn open(service: Arc<Service>) -> Self {
        let listening = start(&service).await;
        let caller = Caller::new(listening.address).await;
        Shop { service, listening, caller }
    }

    async fn post(&mut self, path: &str, question: &Value) -> (u16, Value) {
        let (status, body) = self.caller.ask("POST", path, &question.to_string()).await;
        (status, serde_json::from_str(&body).unwrap())
    }

    async fn get(&mut self, path: &str) -> (u16, String) {
        self.caller.ask("GET", path, "").await
    }

    /// Ids of the items recommended.
    async fn recommend(&mut self, question: Value) -> (Vec<String>, Value) {
        let (status, answer) = self.post("/v1/recommend", &question).await;
        assert_eq!(status, 200, "{question} {answer}");
        let items = answer["items"].as_array().unwrap();
        (items.iter().map(|item| item["item"].as_str().unwrap().to_string()).collect(), answer)
    }
}

#[tokio::test]
async fn an_event_is_reflected_in_the_next_answer_and_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.log");
    let open = || {
        let (log, recorded) = EventLog::open(&path).unwrap();
        let service = Service::new(BUDGET).with_event_log(log, &recorded);
        service.publish(version(3));
        service.set_histories(catalogue(), histories());
        Arc::new(service)
    };
    let mut shop = Shop::open(open()).await;
    let (before, answer) = shop.recommend(json!({"shopper": "ben", "k": 2})).await;
    assert_eq!(
        (before, answer["basis"].as_str()),
        (vec!["bread".into(), "butter".into()], Some("popularity"))
    );
    let event = json!({"events": [{"shopper": "ben", "item": "tea"}, {"shopper": "anna", "item": "jam"}]});
    let (status, recorded) = shop.post("/v1/events", &event).await;
    assert_eq!((status, &recorded["durable"], &recorded["recorded"]), (200, &json!(true), &json!(2)));
    for restarts in 0..2 {
        let (after, answer) = shop.recommend(json!({"shopper": "ben", "k": 2})).await;
        assert_eq!(after, ["jam", "bread"], "after {restarts} restarts: {answer}");
        assert_eq!(answer["basis"], "history");
        // After what the merchant's own data say: bread, butter, then jam.
        let (others, _) = shop.recommend(json!({"shopper": "anna", "k": 6})).await;
        assert_eq!(others, ["tea", "coffee", "milk"], "equal scores in the order of the catalogue");
        shop.listening.stop().await;
        shop = Shop::open(open()).await;
    }
    let rows = crate::serve::events::read_events(&path).unwrap().events;
    let items: Vec<&str> = rows.iter().map(|row| row.item.as_str()).collect();
    assert_eq!(items, ["tea", "jam"], "what the next training reads");
    assert!(rows[0].shopper == ShopperKey::of_id("ben"));
}

#[tokio::test]
async fn events_are_recorded_together_or_not_at_all() {
    let mut shop = Shop::open(service()).await;
    let events = json!({"events": [{"shopper": "ben", "item": "tea"}, {"shopper": "ben", "item": "soap"}]});
    let (status, answer) = shop.post("/v1/events", &events).await;
    assert_eq!((status, answer["field"].as_str()), (400, Some("events[1].item")), "{answer}");
    let (_, answer) = shop.recommend(json!({"shopper": "ben"})).await;
    assert_eq!(answer["basis"], "popularity");
}

#[tokio::test]
async fn what_was_seen_or_excluded_or_filtered_is_not_recommended() {
    let mut shop = Shop::open(service()).await;
    let cases = [
        (json!({"shopper": "anna", "k": 9}), vec!["jam", "coffee", "tea", "milk"]),
        (
            json!({"shopper": "anna", "k": 9, "include_seen": true}),
            vec!["bread", "butter", "jam", "coffee", "tea", "milk"],
        ),
        (json!({"shopper": "anna", "exclude": ["jam", "jam"]}), vec!["coffee", "tea", "milk"]),
        (json!({"shopper": "anna", "filter": {"tags": ["drinks"]}}), vec!["coffee", "tea", "milk"]),
        (json!({"shopper": "anna", "filter": {"tags": ["drinks", "breakfast"]}, "k": 1}), vec!["jam"]),
        (json!({"shopper": "anna", "filter": {"tags": []}}), vec![]),
        (json!({"history": ["bread", "butter"], "k": 1}), vec!["jam"]),
        (json!({"k": 1, "exclude": ["bread"]}), vec!["butter"]),
    ];
    for (question, expected) in cases {
        let (found, answer) = shop.recommend(question.clone()).await;
        assert_eq!(found, expected, "{question} {answer}");
    }
}

#[tokio::test]
async fn reasons_name_items_the_shopper_really_had() {
    let mut shop = Shop::open(service()).await;
    let (_, answer) = shop.recommend(json!({"shopper": "anna", "reasons": true})).await;
    assert_eq!(answer["reasons_are"], "contribution");
    for item in answer["items"].as_array().unwrap() {
        for reason in item["reasons"].as_array().unwrap() {
            assert!(["bread", "butter"].contains(&reason["item"].as_str().unwrap()), "{answer}");
        }
    }
    assert_eq!(answer["items"][0]["reasons"].as_array().unwrap().len(), 2);
    let cold = json!({"shopper": "nobody", "reasons": true});
    let (_, answer) = shop.recommend(cold).await;
    assert!(answer["items"][0].get("reasons").is_none(), "popularity has no reasons: {answer}");
}

#[tokio::test]
async fn histories_that_were_numbered_otherwise_mean_the_same_items() {
    let service = service();
    let other = Catalogue::of_items(vec!["soap".into(), "butter".into(), "bread".into()]);
    service.set_histories(other, [(ShopperKey::of_id("anna"), vec![2, 0, 1])].into());
    let mut shop = Shop::open(service).await;
    let (found, _) = shop.recommend(json!({"shopper": "anna", "k": 9})).await;
    assert_eq!(found, ["jam", "coffee", "tea", "milk"]);
}

#[tokio::test]
async fn bad_questions_are_refused_with_the_place_and_never_the_value() {
    let mut shop = Shop::open(service()).await;
    let (recommend, similar, explain, events) = ("/v1/recommend", "/v1/similar", "/v1/explain", "/v1/events");
    let long = "s".repeat(300);
    let cases = [
        (recommend, json!({"shopper": "anna", "k": 0}), "k", "zero"),
        (recommend, json!({"shopper": "anna", "k": 1_001}), "k", "a greater number"),
        (recommend, json!({"shopper": "anna", "k": u64::MAX}), "k", "a greater number"),
        (recommend, json!({"shopper": "anna", "k": 101, "reasons": true}), "k", "a greater number"),
        (recommend, json!({"shopper": "anna", "k": -1}), "k", "a number"),
        (recommend, json!({"shopper": "anna", "k": 1.5}), "k", "a number"),
        (recommend, json!({"shopper": "anna", "k": "secret"}), "k", "a text"),
        (recommend, json!({"shopper": "anna", "history": []}), "history", "both"),
        (recommend, json!({"shopper": ["secret"]}), "shopper", "a list"),
        (recommend, json!({"shopper": 1.5}), "shopper", "a number"),
        (recommend, json!({"shopper": ""}), "shopper", "an empty text"),
        (recommend, json!({"shopper": long}), "shopper", "a longer one"),
        (recommend, json!({"history": ["bread", "secret"]}), "history[1]", "an unknown item"),
        (recommend, json!({"history": ["bread", null]}), "history[1]", "null"),
        (recommend, json!({"history": vec!["bread"; 10_001]}), "history", "10001 entries"),
        (recommend, json!({"history": [], "cold_start": "refuse"}), "history", "an empty history"),
        (recommend, json!({"cold_start": "secret"}), "cold_start", "another text"),
        (recommend, json!({"exclude": ["secret"]}), "exclude[0]", "an unknown item"),
        (recommend, json!({"filter": {"tags": ["secret"]}}), "filter.tags[0]", "an unknown tag"),
        (recommend, json!({"filter": ["secret"]}), "filter", "a list"),
        (recommend, json!({"filter": {}}), "filter.tags", "nothing"),
        (recommend, json!({"reasons": "secret"}), "reasons", "a text"),
        (recommend, json!({"shoper": "secret"}), "shoper", "an unknown key"),
        (recommend, json!(["secret"]), "body", "a list"),
        (similar, json!({}), "item", "nothing"),
        (similar, json!({"item": "secret"}), "item", "an unknown item"),
        (explain, json!({"item": "jam"}), "history", "neither"),
        (explain, json!({"item": "jam", "history": []}), "history", "an empty history"),
        (explain, json!({"item": "secret", "shopper": "anna"}), "item", "an unknown item"),
        (explain, json!({"inputs": [1]}), "inputs", "1 values"),
        (events, json!({}), "events", "nothing"),
        (events, json!({"events": []}), "events", "0 events"),
        (
            events,
            json!({"events": vec![json!({"shopper": 1, "item": "tea"}); 1_001]}),
            "events",
            "1001 events",
        ),
        (events, json!({"events": ["secret"]}), "events[0]", "a text"),
        (events, json!({"events": [{"shopper": "a"}]}), "events[0].item", "nothing"),
        (events, json!({"events": [{"item": "tea"}]}), "events[0].shopper", "nothing"),
        (
            events,
            json!({"events": [{"shopper": "a", "item": "tea", "time": "secret"}]}),
            "events[0].time",
            "a text",
        ),
    ];
    let count = cases.len() as u64;
    for (path, question, field, found) in cases {
        let (status, answer) = shop.post(path, &question).await;
        assert_eq!(status, 400, "{path} {question} {answer}");
        let named = (answer["field"].as_str().unwrap(), answer["found"].as_str().unwrap());
        assert_eq!(named, (field, found), "{path} {question}");
        assert!(!answer["expected"].as_str().unwrap().is_empty());
        assert!(!answer.to_string().contains("secret"), "{answer}");
    }
    let (status, answer) = shop.post(recommend, &json!({"shopper": "secret", "cold_start": "refuse"})).await;
    assert_eq!((status, answer["field"].as_str()), (404, Some("shopper")), "{answer}");
    let (status, answer) = shop.post(explain, &json!({"shopper": "secret", "item": "jam"})).await;
    assert_eq!((status, answer["field"].as_str()), (404, Some("shopper")), "{answer}");
    let unanswerable = shop.service.vitals().unanswerable.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(unanswerable, count + 2);
}

#[tokio::test]
async fn wrong_bodies_paths_and_methods_are_refused_in_the_same_form() {
    let mut shop = Shop::open(service()).await;
    let text = "content-type: text/plain\r\n";
    let json = "content-type: application/json; charset=utf-8\r\n";
    let question = b"{\"shopper\": \"anna\"}";
    assert_eq!(shop.caller.send("POST", "/v1/recommend", json, question).await.0, 200);
    for (method, path, headers, body, status, field) in [
        ("POST", "/v1/recommend", text, &question[..], 415, "content-type"),
        ("POST", "/v1/recommend", "", b"{\"shopper\": \"anna\"", 400, "body"),
        ("POST", "/v1/recommend", "", b"", 400, "body"),
        ("POST", "/v1/recommend", "", b"\xff\xfe\x00", 400, "body"),
        ("POST", "/v1/recommend", "", b"NaN", 400, "body"),
        ("POST", "/v1/similar", "", b"{\"item\": NaN}", 400, "body"),
        ("GET", "/v1/recommend", "", b"", 405, "method"),
        ("DELETE", "/v1/model", "", b"", 405, "method"),
        ("GET", "/v1/nothing", "", b"", 404, "path"),
    ] {
        let (found, answer) = shop.caller.send(method, path, headers, body).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!((found, answer["field"].as_str()), (status, Some(field)), "{method} {path} {answer}");
        assert!(answer["error"].is_string() && answer["expected"].is_string() && answer["found"].is_string());
    }
}

#[tokio::test]
async fn ten_megabytes_are_refused_before_they_are_read() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let shop = Shop::open(service()).await;
    let body = vec![b'a'; 10 << 20];
    for path in ["/v1/recommend", "/v1/events", "/v1/explain", "/v2/models/intent/infer", "/v1/predict"] {
        let mut stream = tokio::net::TcpStream::connect(shop.listening.address).await.unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nhost: t\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        let _ = stream.write_all(&body).await;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413", "{path}");
    }
}

#[tokio::test]
async fn buckets_are_sticky_and_of_the_wanted_size() {
    let service = service();
    service.publish(version(6));
    service.pin(Some(version(3)));
    service.challenge(Some((Challenger::Newest, 0.25)));
    let arms = service.arms();
    let arm = |key: &str| arms.of(Some(ShopperKey::of_id(key))).unwrap().model.version;
    let tried = (0..4_000).filter(|n| arm(&format!("shopper {n}")) == 6).count();
    // 1,000 expected with a standard deviation of 27.4: six of them; by chance once in 5·10⁸ runs, and the ids are fixed.
    assert!((836..=1_164).contains(&tried), "{tried} of 4,000");
    assert_eq!(arms.of(None).unwrap().model.version, 3, "without a key: the champion");
    // A larger share keeps everybody who was in the smaller.
    service.challenge(Some((Challenger::Newest, 0.5)));
    let wider = service.arms();
    for n in 0..500 {
        let key = format!("shopper {n}");
        if arm(&key) == 6 {
            assert_eq!(wider.of(Some(ShopperKey::of_id(&key))).unwrap().model.version, 6);
        }
    }
    let mut shop = Shop::open(service).await;
    for n in 0..20 {
        let question = json!({"shopper": format!("shopper {n}"), "k": 1});
        let (_, first) = shop.recommend(question.clone()).await;
        let (_, second) = shop.recommend(question).await;
        assert_eq!(first["model"], second["model"]);
        let visitor = json!({"history": [], "visitor": format!("shopper {n}")});
        assert_eq!(shop.recommend(visitor).await.1["model"], first["model"], "by visitor as by shopper");
    }
}

#[tokio::test]
async fn predictions_know_visitors_too() {
    let service = service();
    service.challenge(Some((Challenger::Version(Arc::new(version(6))), 0.5)));
    let arms = service.arms();
    let mut shop = Shop::open(service).await;
    for n in 0..12 {
        let visitor = format!("visitor {n}");
        let expected = arms.of(Some(ShopperKey::of_id(&visitor))).unwrap().model.version;
        let question = json!({"inputs": [1, 2], "visitor": visitor});
        let (status, answer) = shop.post("/v1/predict", &question).await;
        assert_eq!((status, &answer["model"]["version"]), (200, &json!(expected)), "{answer}");
    }
    let (status, answer) = shop.post("/v1/predict", &json!({"inputs": [1, 2], "visitor": []})).await;
    assert_eq!((status, answer["field"].as_str()), (400, Some("visitor")));
}

#[tokio::test]
async fn every_arm_counts_its_requests_items_and_clicks() {
    let service = service();
    service.challenge(Some((Challenger::Version(Arc::new(version(6))), 0.5)));
    let arms = service.arms();
    let key = |wanted: u32| {
        let keys = (0..).map(|n| format!("shopper {n}"));
        let mut of_arm =
            keys.filter(|key| arms.of(Some(ShopperKey::of_id(key))).unwrap().model.version == wanted);
        of_arm.next().unwrap()
    };
    let (old, new) = (key(3), key(6));
    let mut shop = Shop::open(service).await;
    shop.recommend(json!({"shopper": old, "k": 2})).await;
    shop.recommend(json!({"shopper": new, "k": 3})).await;
    shop.recommend(json!({"shopper": new, "k": 4})).await;
    // bread was shown to both; soap is not sold; milk was not shown to the first.
    let event = |shopper: &str, item: &str| json!({"shopper": shopper, "item": item});
    let events = json!({"events": [event(&new, "bread"), event(&new, "bread"), event(&new, "butter"), event(&old, "milk")]});
    assert_eq!(shop.post("/v1/events", &events).await.0, 200);
    let (_, body) = shop.get("/v1/experiments").await;
    let found: Value = serde_json::from_str(&body).unwrap();
    let counts: Vec<Vec<u64>> = found["arms"]
        .as_array()
        .unwrap()
        .iter()
        .map(|arm| {
            ["version", "requests", "shown", "clicks"].map(|name| arm[name].as_u64().unwrap()).to_vec()
        })
        .collect();
    assert_eq!(counts, [[3, 1, 2, 0], [6, 2, 7, 2]], "{found}");
    let (_, metrics) = shop.get("/metrics").await;
    for line in [
        "guildhall_client_arm_requests_total{arm=\"challenger\",version=\"6\"} 2",
        "guildhall_client_arm_items_shown_total{arm=\"champion\",version=\"3\"} 2",
        "guildhall_client_arm_clicks_total{arm=\"challenger\",version=\"6\"} 2",
        "guildhall_client_events_total 4",
        "guildhall_client_recommendations_total 3",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in\n{metrics}");
    }
    // Another champion begins anew; the challenger's counters go on.
    shop.service.publish(version(9));
    let (_, body) = shop.get("/v1/experiments").await;
    let found: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&found["arms"][0]["requests"], &found["arms"][1]["requests"]), (&json!(0), &json!(2)));
}

#[tokio::test]
async fn a_model_that_only_predicts_ranks_nothing_and_explains_its_predictions() {
    let spec = Arc::new(test_job());
    let service = Arc::new(Service::new(BUDGET));
    let mut shop = Shop::open(Arc::clone(&service)).await;
    for path in ["/v1/recommend", "/v1/similar", "/v1/events", "/v1/explain"] {
        let (status, answer) = shop.post(path, &json!({"inputs": [1, 2], "item": "a"})).await;
        assert!(status == 503 || status == 400, "{path} {answer}");
    }
    service.publish(ServedModel::new(&spec, LABEL, 1, Digest([1; 32]), &ModelState::initial(&spec)));
    for (path, question) in [
        ("/v1/recommend", json!({"shopper": "a"})),
        ("/v1/similar", json!({"item": "a"})),
        ("/v1/events", json!({"events": [{"shopper": "a", "item": "b"}]})),
    ] {
        let (status, answer) = shop.post(path, &question).await;
        assert_eq!((status, answer["field"].as_str()), (400, Some("job")), "{path} {answer}");
    }
    let (status, answer) = shop.post("/v1/explain", &json!({"item": "a", "shopper": "b"})).await;
    assert_eq!(status, 400, "{answer}");
    let (status, answer) = shop.post("/v1/explain", &json!({"inputs": vec![1; spec.task.inputs()]})).await;
    assert_eq!((status, answer["method"].as_str()), (200, Some("integrated gradients")), "{answer}");
}
