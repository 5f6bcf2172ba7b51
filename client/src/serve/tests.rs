use std::sync::atomic::{AtomicBool, Ordering};

use guildhall_shared::job::{PrivacySpec, Unit};
use guildhall_shared::model_spec::{Activation, Architecture, ModelSpec};
use guildhall_shared::task::{FeatureSpec, RepurchaseSpec, Task, Transform};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::network::probability;
use super::*;
use crate::data::observations::{Observations, ShopperKey, ShopperRows};
use crate::model::DeviceChoice;
use crate::participant::test_job;
use crate::train::Trainer;

pub(super) const BUDGET: Budget = Budget { epsilon: 4.0, delta: 1e-6 };

/// Enough of HTTP/1.1 for one connection that is kept open.
pub(super) struct Caller(TcpStream);

impl Caller {
    pub async fn new(address: SocketAddr) -> Self {
        Caller(TcpStream::connect(address).await.unwrap())
    }

    pub async fn ask(&mut self, method: &str, path: &str, body: &str) -> (u16, String) {
        self.send(method, path, "", body.as_bytes()).await
    }

    /// `headers` are whole lines.
    pub async fn send(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> (u16, String) {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: test\r\n{headers}content-length: {}\r\n\r\n",
            body.len()
        );
        self.0.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
        let mut bytes = vec![];
        loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, rest)) = text.split_once("\r\n\r\n") {
                let length =
                    head.lines().find_map(|l| l.strip_prefix("content-length: ")).unwrap().parse().unwrap();
                if rest.len() >= length {
                    return (head[9..12].parse().unwrap(), rest.to_owned());
                }
            }
            let mut piece = [0; 4096];
            let read = self.0.read(&mut piece).await.unwrap();
            assert!(read > 0, "the connection ended in the middle of an answer");
            bytes.extend(&piece[..read]);
        }
    }

    async fn predict(&mut self, question: &Value) -> (u16, Value) {
        let (status, body) = self.ask("POST", "/v1/predict", &question.to_string()).await;
        (status, serde_json::from_str(&body).unwrap())
    }
}

pub(super) async fn start(service: &Arc<Service>) -> Listening {
    Listening::start(Arc::clone(service), "127.0.0.1:0".parse().unwrap()).await.unwrap()
}

/// A version of the test job whose logit is its own number, whatever is asked.
fn numbered(version: u32) -> ServedModel {
    let spec = Arc::new(test_job());
    let mut state = ModelState::initial(&spec);
    state.weights = vec![0.0, 0.0, f64::from(version)];
    ServedModel::new(&spec, "label", version, Digest::of_bytes(&version.to_le_bytes()), &state)
}

fn serving(task: Task, privacy: PrivacySpec) -> (Arc<Service>, ModelState, ModelSpec) {
    let mut spec = test_job();
    spec.task = task;
    spec.privacy = privacy;
    spec.architecture = Architecture::Mlp { hidden: vec![5], activation: Activation::Tanh };
    let state = ModelState::initial(&spec);
    let model_spec = spec.model();
    let service = Arc::new(Service::new(BUDGET));
    service.publish(ServedModel::new(&Arc::new(spec), "a label", 3, Digest([7; 32]), &state));
    (service, state, model_spec)
}

fn gaussian() -> PrivacySpec {
    test_job().privacy
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_swaps_under_fire_and_every_answer_is_of_exactly_one_version() {
    let service = Arc::new(Service::new(BUDGET));
    service.publish(numbered(0));
    let listening = start(&service).await;
    let over = Arc::new(AtomicBool::new(false));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (address, over) = (listening.address, Arc::clone(&over));
        callers.spawn(async move {
            let mut caller = Caller::new(address).await;
            let (mut seen, mut answers) = (std::collections::BTreeSet::new(), 0);
            while !over.load(Ordering::Relaxed) || answers == 0 {
                let (status, answer) = caller.predict(&json!({"inputs": [1, 2]})).await;
                assert_eq!(status, 200, "{answer}");
                let version = answer["model"]["version"].as_u64().unwrap();
                assert_eq!(answer["logit"].as_f64().unwrap(), version as f64);
                let hash = Digest::of_bytes(&(version as u32).to_le_bytes()).to_string();
                assert_eq!(answer["model"]["hash"], hash);
                seen.insert(version);
                answers += 1;
            }
            seen
        });
    }
    for version in 1..=1_000 {
        service.publish(numbered(version));
        tokio::task::yield_now().await;
        if version % 10 == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
    over.store(true, Ordering::Relaxed);
    let mut seen = std::collections::BTreeSet::new();
    while let Some(versions) = callers.join_next().await {
        seen.extend(versions.unwrap());
    }
    assert!(seen.len() > 3, "the swaps happened while questions were asked: {}", seen.len());
    assert_eq!(service.vitals().unanswerable.load(Ordering::Relaxed), 0);
    listening.stop().await;
}

#[tokio::test]
async fn rows_become_inputs_as_in_training() {
    let feature = |column: &str, transform| FeatureSpec { column: column.into(), transform, scale: 0.5 };
    let features = vec![
        feature("amount", Transform::Log1p { max: 100.0 }),
        feature("month", Transform::OneHot { vocabulary: vec!["Feb".into(), "3".into(), "true".into()] }),
        feature("weekend", Transform::Identity { min: 0.0, max: 1.0 }),
    ];
    let (service, ..) = serving(Task::Tabular { features }, gaussian());
    let listening = start(&service).await;
    let mut caller = Caller::new(listening.address).await;
    let scaled = 0.5 * 9f64.ln_1p();
    for (month, slots) in [
        (json!("feb"), [0.5, 0.0, 0.0]),
        (json!(3), [0.0, 0.5, 0.0]),
        (json!(true), [0.0, 0.0, 0.5]),
        (Value::Null, [0.0; 3]),
    ] {
        let row = json!({"row": {"amount": 9, "month": month, "weekend": true}});
        let raw = json!({"inputs": [scaled, slots[0], slots[1], slots[2], 0.5]});
        let (status, by_row) = caller.predict(&row).await;
        assert_eq!(status, 200, "{by_row}");
        let (_, by_inputs) = caller.predict(&raw).await;
        let (a, b) = (by_row["logit"].as_f64().unwrap(), by_inputs["logit"].as_f64().unwrap());
        assert!((a - b).abs() < 1e-6, "{month}: {a} {b}");
        let p = by_row["probability"].as_f64().unwrap();
        assert!((p - 1.0 / (1.0 + (-a).exp())).abs() < 1e-12);
    }
}

#[tokio::test]
async fn a_bad_question_names_field_expected_and_found_and_never_the_value() {
    let feature = |column: &str, transform| FeatureSpec { column: column.into(), transform, scale: 1.0 };
    let features = vec![
        feature("amount", Transform::Positive),
        feature("month", Transform::OneHot { vocabulary: vec!["Feb".into()] }),
    ];
    let (service, ..) = serving(Task::Tabular { features }, gaussian());
    let listening = start(&service).await;
    let mut caller = Caller::new(listening.address).await;
    let cases = [
        (json!({"row": {"amount": "secret", "month": "Feb"}}), "row.amount", "a text"),
        (json!({"row": {"amount": null, "month": "Feb"}}), "row.amount", "null"),
        (json!({"row": {"month": "Feb"}}), "row.amount", "nothing"),
        (json!({"row": {"amount": 1, "month": ["secret"]}}), "row.month", "a list"),
        (json!({"row": {"amount": 1, "month": "Feb", "extra": "secret"}}), "extra", "an unknown key"),
        (json!({"row": [1, 2]}), "row", "a list"),
        (json!({}), "row", "nothing"),
        (json!({"inputs": [1]}), "inputs", "1 values"),
        (json!({"inputs": [1, "secret"]}), "inputs[1]", "a text"),
        (json!({"inputs": [1, 1e300]}), "inputs[1]", "a number"),
        (json!({"inputs": [1, 2], "row": {}}), "row", "an unknown key"),
        (json!("secret"), "body", "a text"),
    ];
    for (question, field, found) in cases {
        let (status, answer) = caller.predict(&question).await;
        assert_eq!(status, 400, "{question} {answer}");
        assert_eq!(
            (answer["field"].as_str().unwrap(), answer["found"].as_str().unwrap()),
            (field, found),
            "{question}"
        );
        assert!(!answer["expected"].as_str().unwrap().is_empty());
        assert!(!answer.to_string().contains("secret"), "{answer}");
    }
    let (status, answer) = caller.ask("POST", "/v1/predict", "{\"row\": {").await;
    assert_eq!(status, 400);
    assert!(answer.contains("invalid JSON"), "{answer}");
    assert_eq!(service.vitals().unanswerable.load(Ordering::Relaxed), 13);
    let long = format!("{{\"row\": \"{}\"}}", "x".repeat(3 << 20));
    let mut stream = TcpStream::connect(listening.address).await.unwrap();
    let request = format!("POST /v1/predict HTTP/1.1\r\nhost: t\r\ncontent-length: {}\r\n\r\n", long.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let _ = stream.write_all(long.as_bytes()).await;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn baskets_become_a_history() {
    let weeks = RepurchaseSpec {
        horizon_weeks: 2,
        train_weeks: vec![5],
        validation_weeks: vec![6],
        test_weeks: vec![7],
    };
    let (service, ..) = serving(Task::Repurchase(weeks), gaussian());
    let listening = start(&service).await;
    let mut caller = Caller::new(listening.address).await;
    let basket =
        |day: i64| json!({"day": day, "hour": 18, "lines": 3, "spend_cents": 1250, "with_coupon": true});
    // Order does not matter, later weeks are not looked at.
    let (status, first) = caller.predict(&json!({"baskets": [basket(3), basket(10)], "week": 3})).await;
    assert_eq!(status, 200, "{first}");
    let (_, second) =
        caller.predict(&json!({"baskets": [basket(99), basket(10), basket(3)], "week": 3})).await;
    assert_eq!(first["logit"], second["logit"]);
    let cases = [
        (json!({"baskets": [], "week": 3}), "baskets"),
        (json!({"baskets": [basket(3)], "week": 0}), "week"),
        (json!({"baskets": [basket(3)]}), "week"),
        (json!({"baskets": [basket(90)], "week": 3}), "baskets"),
        (json!({"baskets": [basket(-1)], "week": 3}), "baskets[0].day"),
        (
            json!({"baskets": [basket(3), {"day": 3, "hour": 25, "lines": 1, "spend_cents": 1}], "week": 3}),
            "baskets[1].hour",
        ),
        (
            json!({"baskets": [{"day": 3.5, "hour": 2, "lines": 1, "spend_cents": 1}], "week": 3}),
            "baskets[0].day",
        ),
        (
            json!({"baskets": [{"day": 3, "hour": 2, "lines": 1, "spend_cents": i64::MAX}], "week": 3}),
            "baskets[0].spend_cents",
        ),
        (json!({"baskets": [{"day": 3, "hours": 2}], "week": 3}), "hours"),
        (json!({"baskets": [7], "week": 3}), "baskets[0]"),
    ];
    for (question, field) in cases {
        let (status, answer) = caller.predict(&question).await;
        assert_eq!((status, answer["field"].as_str()), (400, Some(field)), "{question} {answer}");
    }
}

#[tokio::test]
async fn model_health_and_metrics_say_what_they_should_and_label_the_model() {
    let empty = Arc::new(Service::new(BUDGET));
    let listening = start(&empty).await;
    let mut caller = Caller::new(listening.address).await;
    assert_eq!(caller.ask("GET", "/healthz", "").await.0, 200);
    assert_eq!(caller.ask("GET", "/v1/model", "").await.0, 503);
    assert_eq!(caller.predict(&json!({"inputs": [1]})).await.0, 503);

    let feature = FeatureSpec { column: "x".into(), transform: Transform::Positive, scale: 1.0 };
    let task = Task::Tabular { features: vec![feature] };
    let (service, _, model_spec) = serving(task, PrivacySpec::None { unit: Unit::Row });
    service.vitals().set_epsilon_spent(1.25, 0.5);
    let listening = start(&service).await;
    let mut caller = Caller::new(listening.address).await;
    let (status, body) = caller.ask("GET", "/v1/model", "").await;
    let model: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200);
    assert_eq!(model["version"], 3);
    assert_eq!(model["hash"], Digest([7; 32]).to_string());
    assert_eq!(model["privacy"], "a label");
    assert_eq!(model["parameters"], model_spec.parameter_count());
    assert_eq!(
        (model["epsilon_spent"].as_f64(), model["budget"]["epsilon"].as_f64()),
        (Some(1.25), Some(4.0))
    );
    caller.predict(&json!({"row": {"x": 1}})).await;
    let (_, metrics) = caller.ask("GET", "/metrics", "").await;
    for line in [
        "guildhall_client_epsilon_spent 1.25",
        "guildhall_client_epsilon_budget 4",
        "guildhall_client_model_version 3",
        "guildhall_client_predictions_total 1",
        "# TYPE guildhall_client_rounds_accepted_total counter",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in\n{metrics}");
    }
    assert_eq!(caller.ask("GET", "/v2/model", "").await.0, 404);
}

#[tokio::test]
async fn a_bare_vector_predicts_nothing_and_says_so() {
    let mut spec = test_job();
    (spec.task, spec.architecture) = (Task::Dummy { parameters: 3 }, Architecture::Vector);
    let state = ModelState::initial(&spec);
    let service = Arc::new(Service::new(BUDGET));
    service.publish(ServedModel::new(&Arc::new(spec), "label", 1, Digest([1; 32]), &state));
    let listening = start(&service).await;
    let (status, answer) = Caller::new(listening.address).await.predict(&json!({"inputs": [1, 2, 3]})).await;
    assert_eq!(status, 400);
    assert!(answer["error"].as_str().unwrap().contains("bare vector"), "{answer}");
}

#[test]
fn the_loop_agrees_with_the_trainer() {
    let architectures = [
        Architecture::LogisticRegression,
        Architecture::Mlp { hidden: vec![16], activation: Activation::Tanh },
        Architecture::Mlp { hidden: vec![9, 7], activation: Activation::Relu },
    ];
    for architecture in architectures {
        let spec = ModelSpec { architecture, inputs: 12 };
        // A fixed pseudo-random sequence: multiples of the golden ratio modulo 1.
        let unit = |i: usize| (i as f64 * 0.618_033_988_749_894_9).fract() * 2.0 - 1.0;
        let weights: Vec<f64> = (0..spec.parameter_count()).map(unit).collect();
        let rows = 300;
        let features: Vec<f32> = (0..rows * spec.inputs).map(|i| 2.0 * unit(i + 5_000) as f32).collect();
        let observations = Observations {
            inputs: spec.inputs,
            features: features.clone(),
            labels: vec![0.0; rows],
            shoppers: vec![ShopperRows { key: ShopperKey([0; 16]), start: 0, end: rows }],
        };
        let trainer = Trainer::new(&spec, &DeviceChoice::Cpu).unwrap();
        let expected = trainer.logits(&weights, &observations).unwrap();
        let network = Network::new(&spec, &weights);
        for (row, expected) in features.chunks(spec.inputs).zip(expected) {
            let found = network.logit(row).unwrap();
            assert!((found - f64::from(expected)).abs() < 1e-5, "{found} {expected}");
        }
    }
}

#[test]
fn probabilities_do_not_overflow() {
    assert_eq!(probability(0.0), 0.5);
    assert_eq!((probability(1e9), probability(-1e9)), (1.0, 0.0));
    assert!((probability(2.0) + probability(-2.0) - 1.0).abs() < 1e-15);
}
