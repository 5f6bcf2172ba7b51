//! The document at /openapi.json describes the routes, and its examples are true.

use std::collections::BTreeSet;

use super::*;

fn document() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

#[test]
fn it_names_every_route_and_no_other() {
    let document = document();
    let described: BTreeSet<(String, String)> = entries(&document["paths"])
        .flat_map(|(path, methods)| entries(methods).map(|(method, _)| (path.clone(), method.clone())))
        .collect();
    let routed =
        routes().iter().map(|(path, method, _)| ((*path).to_string(), (*method).to_string())).collect();
    assert_eq!(described, routed);
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

/// The schema itself, or what it refers to.
fn resolved<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    match schema["$ref"].as_str() {
        Some(name) => document.pointer(&name[1..]).unwrap_or_else(|| panic!("{name} is not in the document")),
        None => schema,
    }
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("the type {other} is not known here"),
    }
}

/// What this document uses of JSON Schema.
fn check(document: &Value, schema: &Value, value: &Value, place: &str) {
    let schema = resolved(document, schema);
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    assert!(types.iter().any(|name| is_of_type(value, name)), "{place}: {value} is none of {types:?}");
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{place}: {value} is none of {words:?}");
    }
    for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        assert!(value.get(key).is_some(), "{place}: {key} is missing in {value}");
    }
    for (key, member) in entries(value) {
        match schema["properties"].get(key) {
            Some(schema) => check(document, schema, member, &format!("{place}.{key}")),
            None => {
                assert!(schema["additionalProperties"] != json!(false), "{place}: {key} is not described")
            }
        }
    }
    if let (Some(elements), Some(schema)) = (value.as_array(), schema.get("items")) {
        elements.iter().for_each(|element| check(document, schema, element, place));
    }
}

/// Equal, numbers up to the last digits.
fn assert_same(found: &Value, expected: &Value, place: &str) {
    match (found, expected) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            assert!((a - b).abs() <= 1e-12 * b.abs(), "{place}: {a} and not {b}");
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{place}: {found} and not {expected}");
            a.iter().zip(b).for_each(|(a, b)| assert_same(a, b, place));
        }
        (Value::Object(a), Value::Object(b)) => {
            assert!(a.keys().eq(b.keys()), "{place}: {found} and not {expected}");
            a.iter().for_each(|(key, a)| assert_same(a, &b[key], &format!("{place}.{key}")));
        }
        _ => assert_eq!(found, expected, "{place}"),
    }
}

/// A path with the example of every parameter.
fn filled(path: &str, operation: &Value) -> String {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    parameters.fold(path.to_string(), |path, parameter| {
        let (name, example) = (parameter["name"].as_str().unwrap(), parameter["example"].as_str().unwrap());
        path.replace(&format!("{{{name}}}"), example)
    })
}

const JSON: &str = "application/json";

/// Sends every example of an operation to a service of its own.
async fn try_examples(document: &Value, path: &str, method: &str, operation: &Value) -> usize {
    let mut tried = 0;
    let question = &operation["requestBody"]["content"][JSON];
    for (status, response) in entries(&operation["responses"]) {
        let answer = &response["content"][JSON];
        for (name, example) in entries(&answer["examples"]) {
            let place = format!("{method} {path}, {name:?}");
            let body = &question["examples"][name]["value"];
            let body = if question.is_null() { String::new() } else { body.to_string() };
            if !question.is_null() {
                check(document, &question["schema"], &question["examples"][name]["value"], &place);
            }
            check(document, &answer["schema"], &example["value"], &place);
            let mut shop = Shop::open(service()).await;
            let (method, path) = (method.to_uppercase(), filled(path, operation));
            let (found, text) = shop.caller.ask(&method, &path, &body).await;
            assert_eq!(found.to_string(), *status, "{place}: {text}");
            let found: Value = serde_json::from_str(&text).unwrap();
            check(document, &answer["schema"], &found, &place);
            assert_same(&found, &example["value"], &place);
            tried += 1;
        }
    }
    tried
}

#[tokio::test]
async fn its_examples_are_answered_as_it_says() {
    let document = document();
    let mut tried = 0;
    for (path, methods) in entries(&document["paths"]) {
        for (method, operation) in entries(methods) {
            let examples = try_examples(&document, path, method, operation).await;
            let plain = ["/healthz", "/metrics", "/openapi.json"].contains(&path.as_str());
            assert!(examples > 0 || plain, "{method} {path} has no example");
            let asked =
                operation["requestBody"]["content"][JSON]["examples"].as_object().map_or(0, |e| e.len());
            assert!(asked == 0 || asked == examples, "{path}: an example of a question has no answer");
            tried += examples;
        }
    }
    assert!(tried >= 25, "{tried} examples only");
}

#[tokio::test]
async fn it_is_served_as_it_is_written() {
    let mut shop = Shop::open(service()).await;
    let (status, body) = shop.get("/openapi.json").await;
    assert_eq!((status, body.as_str()), (200, OPENAPI));
}
