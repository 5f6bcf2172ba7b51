//! The Open Inference Protocol, version 2, over HTTP with JSON: a model is named by its job.
//!
//! ```text
//! predicts   "inputs"  FP32 [n, inputs]          ─▶ "logits" FP32 [n], "probabilities" FP32 [n]
//! ranks      "history" INT64 or BYTES [1, n]     ─▶ "items" of the same kind [1, k], "scores" FP32 [1, k]; parameter "k"
//! ```
//! INT64 names items by their numbers in the catalogue, BYTES by their ids. Items of the history are not recommended.

mod tensor;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::items::{numbers, ranking};
use super::predict::logit;
use super::refusal::{Question, Refusal};
use crate::serve::arms::Arm;
use crate::serve::network::probability;
use crate::serve::question::{QuestionError, error};
use crate::serve::ranker::Eligible;
use crate::serve::ranking::Ranking;
use crate::serve::{ServedModel, Service, Vitals};
use tensor::{Data, Request};

/// Items of an answer where the request does not say.
const K_DEFAULT: usize = 10;
/// Most items of an answer.
const K_MAX: usize = 1_000;

/// What a path names.
type Names = Path<BTreeMap<String, String>>;

pub(super) async fn server() -> Response {
    Json(json!({"name": "guildhall", "version": env!("CARGO_PKG_VERSION"), "extensions": []})).into_response()
}

pub(super) async fn live() -> Response {
    Json(json!({"live": true})).into_response()
}

pub(super) async fn ready(State(service): State<Arc<Service>>) -> Response {
    let ready = service.current().is_some();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({"ready": ready}))).into_response()
}

/// The arm a path names: the champion, or the version in it.
fn named(service: &Service, names: &BTreeMap<String, String>) -> Result<Arm, Refusal> {
    let arms = service.arms();
    let missing = |question: QuestionError| Refusal::from(question).with_status(StatusCode::NOT_FOUND);
    let champion = arms.champion().ok_or_else(Refusal::no_model)?;
    if names.get("name").is_none_or(|name| name != champion.model.job.as_str()) {
        return Err(missing(error("name", "the name of the job that is followed", "another")));
    }
    let Some(version) = names.get("version") else { return Ok(champion.clone()) };
    let arm = arms.version(version);
    arm.cloned().ok_or_else(|| missing(error("version", "a version that is served", "another")))
}

fn answered(service: &Service, answer: Result<Value, Refusal>) -> Response {
    match answer {
        Ok(body) => Json(body).into_response(),
        Err(refusal) => refusal.counted(service),
    }
}

pub(super) async fn model_ready(State(service): State<Arc<Service>>, Path(names): Names) -> Response {
    let ready = named(&service, &names);
    let ready = ready.map(|arm| json!({"name": arm.model.job.as_str(), "ready": true}));
    answered(&service, ready)
}

pub(super) async fn metadata(State(service): State<Arc<Service>>, Path(names): Names) -> Response {
    let described = named(&service, &names).map(|arm| {
        let versions: Vec<String> = service.arms().all().map(|(arm, _)| arm.model.version_name()).collect();
        describe(&arm.model, &versions)
    });
    answered(&service, described)
}

fn describe(model: &ServedModel, versions: &[String]) -> Value {
    let tensor = |name: &str, datatype: &str, shape: &[i64]| json!({"name": name, "datatype": datatype, "shape": shape});
    let (inputs, outputs) = match model.ranking {
        Some(_) => (
            [tensor("history", "BYTES", &[1, -1])],
            [tensor("items", "BYTES", &[1, -1]), tensor("scores", "FP32", &[1, -1])],
        ),
        None => (
            [tensor("inputs", "FP32", &[-1, model.network.inputs() as i64])],
            [tensor("logits", "FP32", &[-1]), tensor("probabilities", "FP32", &[-1])],
        ),
    };
    json!({
        "name": model.job.as_str(),
        "versions": versions,
        "platform": "guildhall",
        "inputs": inputs,
        "outputs": outputs,
        "parameters": {"privacy": model.label, "hash": model.model.to_string()},
    })
}

pub(super) async fn infer(
    State(service): State<Arc<Service>>,
    Path(names): Names,
    Question(body): Question,
) -> Response {
    let answer = named(&service, &names).and_then(|arm| {
        let request = Request::parse(&body)?;
        let model = &arm.model;
        let outputs = match &model.ranking {
            Some(_) => ranked(model, &request)?,
            None => predicted(model, &request)?,
        };
        Ok(wrapped(model, request, outputs))
    });
    if answer.is_ok() {
        Vitals::count(&service.vitals().inferred);
    }
    answered(&service, answer)
}

fn wrapped(model: &ServedModel, request: Request, outputs: Vec<Value>) -> Value {
    let mut answer = json!({
        "model_name": model.job.as_str(),
        "model_version": model.version_name(),
        "outputs": outputs,
    });
    if let (Some(id), Value::Object(fields)) = (request.id, &mut answer) {
        fields.insert("id".into(), id.into());
    }
    answer
}

fn output(name: &str, datatype: &str, shape: &[usize], data: Value) -> Value {
    json!({"name": name, "datatype": datatype, "shape": shape, "data": data})
}

fn predicted(model: &ServedModel, request: &Request) -> Result<Vec<Value>, QuestionError> {
    let width = model.network.inputs();
    let input = request.input("inputs")?;
    let Data::Floats(values) = &input.data else {
        return Err(error("inputs[0].datatype", "FP32", "another"));
    };
    if width == 0 || !matches!(input.shape[..], [rows, columns] if columns == width && rows > 0) {
        return Err(error("inputs[0].shape", format!("[n, {width}], n from 1"), "another"));
    }
    let logits: Vec<f64> = values.chunks(width).map(|row| logit(model, row)).collect::<Result<_, _>>()?;
    let probabilities: Vec<f32> = logits.iter().map(|logit| probability(*logit) as f32).collect();
    // A logit beyond f32 is as good as its greatest number.
    let logits: Vec<f32> = logits.iter().map(|logit| (*logit as f32).clamp(f32::MIN, f32::MAX)).collect();
    let shape = [logits.len()];
    Ok(vec![
        output("logits", "FP32", &shape, json!(logits)),
        output("probabilities", "FP32", &shape, json!(probabilities)),
    ])
}

fn ranked(model: &ServedModel, request: &Request) -> Result<Vec<Value>, QuestionError> {
    let ranking = ranking(model)?;
    let k = match request.parameters.get("k") {
        None => K_DEFAULT,
        Some(value) => match value.as_u64().map(|k| k as usize) {
            Some(k @ 1..=K_MAX) => k,
            _ => return Err(error("parameters.k", format!("a whole number from 1 to {K_MAX}"), "another")),
        },
    };
    let input = request.input("history")?;
    if input.shape.len() != 2 || input.shape[0] != 1 {
        return Err(error("inputs[0].shape", "[1, n]", "another"));
    }
    let history = item_numbers(ranking, &input.data)?;
    let mut excluded = history.clone();
    excluded.sort_unstable();
    let eligible = Eligible { excluded: &excluded, filter: None };
    let ranked = ranking.ranker.top(ranking.newest(&history), k, eligible);
    let scores: Vec<f32> = ranked.items.iter().map(|scored| scored.score).collect();
    let items = ranked.items.iter().map(|scored| scored.item);
    let (datatype, items) = match &input.data {
        Data::Texts(_) => ("BYTES", items.map(|item| Value::from(ranking.catalogue.id(item))).collect()),
        _ => ("INT64", items.map(Value::from).collect::<Vec<Value>>()),
    };
    let shape = [1, scores.len()];
    let items = output("items", datatype, &shape, Value::Array(items));
    Ok(vec![items, output("scores", "FP32", &shape, json!(scores))])
}

fn item_numbers(ranking: &Ranking, data: &Data) -> Result<Vec<u32>, QuestionError> {
    let items = ranking.catalogue.len() as u64;
    match data {
        Data::Texts(ids) => numbers(ranking, ids, "inputs[0].data"),
        Data::Integers(values) => values
            .iter()
            .enumerate()
            .map(|(place, value)| {
                let number = u32::try_from(*value).ok().filter(|number| u64::from(*number) < items);
                let field = || format!("inputs[0].data[{place}]");
                number.ok_or_else(|| error(field(), "the number of an item", "another number"))
            })
            .collect(),
        Data::Floats(_) => Err(error("inputs[0].datatype", "INT64 or BYTES", "FP32")),
    }
}
