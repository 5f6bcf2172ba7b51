//! What is served, and how it fares.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::OPENAPI;
use super::refusal::Refusal;
use crate::serve::arms::Arm;
use crate::serve::{ServedModel, Service, metrics};

pub(super) async fn model(State(service): State<Arc<Service>>) -> Response {
    let Some(model) = service.current() else { return Refusal::no_model().into_response() };
    let (vitals, budget) = (service.vitals(), service.budget());
    let described = json!({
        "job": model.job.as_str(),
        "purpose": model.spec.purpose,
        "version": model.version,
        "hash": model.model.to_string(),
        "parameters": model.parameters,
        "privacy": model.label,
        "unit": model.unit,
        "epsilon_spent": vitals.epsilon_spent(),
        "epsilon_spent_on_job": vitals.epsilon_spent_on_job(),
        "budget": {"epsilon": budget.epsilon, "delta": budget.delta},
    });
    Json(marked(described, &model)).into_response()
}

/// Says of a fine-tuned copy that it is one.
fn marked(mut described: Value, model: &ServedModel) -> Value {
    if let (true, Value::Object(fields)) = (model.fine_tuned, &mut described) {
        fields.insert("fine_tuned".into(), true.into());
    }
    described
}

pub(super) async fn experiments(State(service): State<Arc<Service>>) -> Response {
    let arms = service.arms();
    let newest = service.newest().map(|model| model.version);
    let listed: Vec<Value> = arms.all().map(|(arm, share)| described(arm, share)).collect();
    Json(json!({"newest_version": newest, "arms": listed})).into_response()
}

fn described(arm: &Arm, share: f64) -> Value {
    let counts = &arm.counts;
    let described = json!({
        "arm": arm.name.word(),
        "version": arm.model.version,
        "hash": arm.model.model.to_string(),
        "share": share,
        "requests": counts.requests.load(Relaxed),
        "shown": counts.shown.load(Relaxed),
        "clicks": counts.clicks.load(Relaxed),
    });
    marked(described, &arm.model)
}

pub(super) async fn metrics_text(State(service): State<Arc<Service>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics::render(&service))
        .into_response()
}

pub(super) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}
