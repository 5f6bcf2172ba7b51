//! Whatever is asked: an answer below 500, in JSON, and the service lives on.

use proptest::prelude::*;

use super::*;

const PATHS: [&str; 6] =
    ["/v1/predict", "/v1/recommend", "/v1/similar", "/v1/explain", "/v1/events", "/v2/models/intent/infer"];

/// Words that mean something, so that questions get past the first check.
fn word() -> impl Strategy<Value = String> {
    let words = [
        "shopper",
        "history",
        "visitor",
        "k",
        "exclude",
        "filter",
        "tags",
        "reasons",
        "include_seen",
        "cold_start",
        "refuse",
        "item",
        "events",
        "time",
        "inputs",
        "row",
        "x",
        "y",
        "baskets",
        "week",
        "bread",
        "tea",
        "anna",
        "drinks",
        "name",
        "shape",
        "datatype",
        "data",
        "parameters",
        "FP32",
        "INT64",
        "BYTES",
        "id",
        "",
    ];
    prop_oneof![9 => prop::sample::select(words.map(String::from).to_vec()), 1 => ".{0,20}"]
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-3i64..12).prop_map(Value::from),
        word().prop_map(Value::from),
    ]
}

fn tree() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(4, 40, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::btree_map(word(), inner, 0..8).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

fn id() -> impl Strategy<Value = Value> {
    let ids =
        [json!("bread"), json!("tea"), json!("anna"), json!("drinks"), json!(7), json!("soap"), json!("")];
    prop_oneof![9 => prop::sample::select(ids[..3].to_vec()), 2 => prop::sample::select(ids.to_vec()), 1 => leaf()]
}

fn list() -> impl Strategy<Value = Value> {
    prop::collection::vec(id(), 0..4).prop_map(Value::from)
}

fn count() -> impl Strategy<Value = Value> {
    prop_oneof![3 => (1..20).prop_map(Value::from), 1 => leaf()]
}

/// Questions with the right keys and right or nearly right values, each with its path.
fn near_miss() -> impl Strategy<Value = (&'static str, Value)> {
    let datatype = prop::sample::select(vec!["BYTES", "INT64", "FP32", "other"]);
    let tensor = (prop::collection::vec(id(), 0..3), 0usize..4, datatype, count());
    let infer = tensor.prop_map(|(data, more, datatype, k)| {
        let shape = [1, if more == 3 { 9 } else { data.len() }];
        let tensor = json!({"name": "history", "shape": shape, "datatype": datatype, "data": data});
        (PATHS[5], json!({"inputs": [tensor], "parameters": {"k": k}}))
    });
    let ask = (id(), list(), list(), count(), any::<bool>(), any::<bool>());
    let recommend = ask.prop_map(|(shopper, history, exclude, k, by_id, reasons)| {
        let question = match by_id {
            true => json!({"shopper": shopper, "k": k, "reasons": reasons}),
            false => json!({"history": history, "exclude": exclude, "k": k, "filter": {"tags": ["drinks"]}}),
        };
        (PATHS[1], question)
    });
    let event = (id(), id(), prop_oneof![Just(json!(5)), leaf()]).prop_map(|(shopper, item, time)| {
        (PATHS[4], json!({"events": [{"shopper": shopper, "item": item, "time": time}]}))
    });
    let similar = (id(), count()).prop_map(|(item, k)| (PATHS[2], json!({"item": item, "k": k})));
    let explain =
        (id(), list()).prop_map(|(item, history)| (PATHS[3], json!({"item": item, "history": history})));
    let number = prop_oneof![(-5i64..5).prop_map(Value::from), leaf()];
    let predict =
        prop::collection::vec(number, 1..4).prop_map(|inputs| (PATHS[0], json!({"inputs": inputs})));
    prop_oneof![infer, recommend, event, similar, explain, predict]
}

fn asked() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let bytes = |value: &Value| value.to_string().into_bytes();
    let path = || prop::sample::select(PATHS.to_vec());
    prop_oneof![
        3 => (path(), tree()).prop_map(move |(path, value)| (path, bytes(&value))),
        6 => near_miss().prop_map(move |(path, value)| (path, bytes(&value))),
        1 => (path(), prop::collection::vec(any::<u8>(), 0..200)),
        // Cut off, or with a byte that does not belong.
        2 => (near_miss(), any::<prop::sample::Index>(), any::<u8>()).prop_map(move |((path, value), at, byte)| {
            let mut bytes = bytes(&value);
            let place = at.index(bytes.len());
            if byte < 128 { bytes.truncate(place) } else { bytes[place] = byte }
            (path, bytes)
        }),
    ]
}

#[test]
fn no_question_is_answered_with_a_status_of_500_or_ends_the_service() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let shop = runtime.block_on(Shop::open(service()));
    let shop = std::cell::RefCell::new(shop);
    let statuses = std::cell::RefCell::new(BTreeMap::new());
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(6_000) };
    let asked = proptest::test_runner::TestRunner::new(config).run(&asked(), |(path, body)| {
        let mut shop = shop.borrow_mut();
        let (status, answer) = runtime.block_on(shop.caller.send("POST", path, "", &body));
        let shown = String::from_utf8_lossy(&body).into_owned();
        prop_assert!(
            status == 200 || (400..500).contains(&status),
            "{} {}: {} {}",
            path,
            shown,
            status,
            answer
        );
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        prop_assert!(answer.is_object(), "{}", answer);
        if status != 200 {
            let words = ["error", "field", "expected", "found"];
            prop_assert!(words.iter().all(|key| answer[key].is_string()), "{}", answer);
        }
        *statuses.borrow_mut().entry((path, status)).or_insert(0) += 1;
        Ok(())
    });
    asked.unwrap();
    let statuses = statuses.into_inner();
    for path in PATHS {
        let count = |status| statuses.get(&(path, status)).copied().unwrap_or(0);
        assert!(count(200) > 0 && count(400) > 0, "{path}: {statuses:?}: the fuzzer reaches one side only");
    }
}
