//! The routes.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;

use super::network::probability;
use super::question::{self, QuestionError};
use super::{ServedModel, Service, Vitals, metrics};

/// A question may have this many bytes: 10,000 baskets fit.
const BODY_BYTES_MAX: usize = 2 << 20;

pub(super) fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/v1/predict", post(predict))
        .route("/v1/model", get(model))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/metrics", get(metrics_text))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(service)
}

async fn predict(State(service): State<Arc<Service>>, body: Bytes) -> Response {
    let Some(model) = service.current() else { return no_model() };
    let answer = question::inputs(&body, &model.spec).and_then(|inputs| answer(&model, &inputs));
    match answer {
        Ok(answer) => {
            Vitals::count(&service.vitals().answered);
            answer
        }
        Err(error) => {
            Vitals::count(&service.vitals().unanswerable);
            let QuestionError { field, expected, found } = &error;
            let body =
                json!({"error": error.to_string(), "field": field, "expected": expected, "found": found});
            (StatusCode::BAD_REQUEST, Json(body)).into_response()
        }
    }
}

fn answer(model: &ServedModel, inputs: &[f32]) -> Result<Response, QuestionError> {
    debug_assert_eq!(inputs.len(), model.network.inputs());
    let logit =
        model.network.logit(inputs).filter(|logit| logit.is_finite()).ok_or_else(|| QuestionError {
            field: "inputs".into(),
            expected: "inputs for which the model has a finite logit".into(),
            found: "numbers out of its range".into(),
        })?;
    let origin = json!({"job": model.job.as_str(), "version": model.version, "hash": model.model.to_string(), "privacy": model.label});
    let body = json!({"probability": probability(logit), "logit": logit, "model": origin});
    Ok(Json(body).into_response())
}

async fn model(State(service): State<Arc<Service>>) -> Response {
    let Some(model) = service.current() else { return no_model() };
    let (vitals, budget) = (service.vitals(), service.budget());
    Json(json!({
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
    }))
    .into_response()
}

fn no_model() -> Response {
    let body =
        json!({"error": "no model yet: this client has not followed a job so far; try again once it has"});
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

async fn metrics_text(State(service): State<Arc<Service>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics::render(&service))
        .into_response()
}
