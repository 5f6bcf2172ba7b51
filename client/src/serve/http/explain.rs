//! `POST /v1/explain`: why an item is recommended, or what a prediction rests on.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::items::{Origin, Reason, bucket_key, history, number, ranking};
use super::predict::logit;
use super::refusal::{Question, Refusal};
use crate::serve::question::{self, ExplainItem, error, explains_item};
use crate::serve::{ServedModel, Service, Vitals};

pub(super) async fn explain(State(service): State<Arc<Service>>, Question(body): Question) -> Response {
    let answer = if explains_item(&body) { item(&service, &body) } else { prediction(&service, &body) };
    match answer {
        Ok(answer) => {
            Vitals::count(&service.vitals().explained);
            answer
        }
        Err(refusal) => refusal.counted(&service),
    }
}

fn item(service: &Service, body: &Bytes) -> Result<Response, Refusal> {
    let arms = service.arms();
    let question = ExplainItem::parse(body)?;
    let arm = arms.of(bucket_key(&question.ask, question.visitor)).ok_or_else(Refusal::no_model)?;
    let ranking = ranking(&arm.model)?;
    let Some(history) = history(service, &arms, arm, &question.ask)? else {
        let unknown = error("shopper", "a shopper with a history", "a shopper without any");
        return Err(Refusal::from(unknown).with_status(StatusCode::NOT_FOUND));
    };
    if history.is_empty() {
        return Err(error("history", "at least one item", "an empty history").into());
    }
    let asked = number(ranking, &question.item)?;
    let reasons = ranking.ranker.reasons(ranking.newest(&history), asked);
    let id = |item: u32| ranking.catalogue.id(item).unwrap_or_default();
    let named: Vec<Reason<'_>> = reasons
        .items
        .iter()
        .map(|(item, strength)| Reason { item: id(*item), strength: *strength })
        .collect();
    let body = json!({
        "item": id(asked),
        "because": named,
        "reasons_are": reasons.kind.word(),
        "arm": arm.name.word(),
        "model": Origin::of(&arm.model),
    });
    Ok(Json(body).into_response())
}

fn prediction(service: &Service, body: &Bytes) -> Result<Response, Refusal> {
    let model = service.current().ok_or_else(Refusal::no_model)?;
    if model.ranking.is_some() && model.spec.task.items().is_some() {
        let found = "none: this model ranks items, and an item's reasons are asked for by \"item\"";
        return Err(error("item", "the id of an item", found).into());
    }
    let inputs = question::inputs(body, &model.spec)?;
    let Some(explainer) = &model.explainer else {
        return Err(error("job", "a model that explains its predictions", "one that does not").into());
    };
    let logit = logit(&model, &inputs)?;
    let explanation = explainer.explain(&inputs).filter(|explanation| {
        let numbers = explanation.attributions.iter().chain([&explanation.baseline_logit]);
        explanation.attributions.len() == inputs.len() && numbers.into_iter().all(|number| number.is_finite())
    });
    let Some(explanation) = explanation else {
        let expected = "inputs for which the model has a finite logit";
        return Err(error("inputs", expected, "numbers out of its range").into());
    };
    let body = json!({
        "method": explanation.method,
        "logit": logit,
        "baseline_logit": explanation.baseline_logit,
        "attributions": named(&model, &explanation.attributions),
        "error": explanation.error,
        "model": Origin::of(&model),
    });
    Ok(Json(body).into_response())
}

/// Every input's attribution, with its place and, where it has one, its name.
fn named(model: &ServedModel, attributions: &[f64]) -> Vec<Value> {
    let names = question::input_names(&model.spec.task);
    let entry = |(input, value): (usize, &f64)| match names.get(input) {
        Some(name) => json!({"input": input, "name": name, "value": value}),
        None => json!({"input": input, "value": value}),
    };
    attributions.iter().enumerate().map(entry).collect()
}
