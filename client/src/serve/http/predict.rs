//! `POST /v1/predict`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::items::Origin;
use super::refusal::{Question, Refusal};
use crate::serve::network::probability;
use crate::serve::question::{self, QuestionError, error};
use crate::serve::{ServedModel, Service, Vitals};

pub(super) async fn predict(State(service): State<Arc<Service>>, Question(body): Question) -> Response {
    let arms = service.arms();
    let visitor = match question::visitor_of(&body) {
        Ok(visitor) => visitor,
        Err(error) => return Refusal::from(error).counted(&service),
    };
    let Some(arm) = arms.of(visitor) else { return Refusal::no_model().into_response() };
    let model = &arm.model;
    let answer = question::inputs(&body, &model.spec).and_then(|inputs| answer(model, &inputs));
    match answer {
        Ok(answer) => {
            Vitals::count(&service.vitals().answered);
            arm.counts.count_shown(0);
            answer
        }
        Err(error) => Refusal::from(error).counted(&service),
    }
}

fn answer(model: &ServedModel, inputs: &[f32]) -> Result<Response, QuestionError> {
    let logit = logit(model, inputs)?;
    let body = json!({"probability": probability(logit), "logit": logit, "model": Origin::of(model)});
    Ok(Json(body).into_response())
}

/// The logit of inputs that fit the model.
pub(super) fn logit(model: &ServedModel, inputs: &[f32]) -> Result<f64, QuestionError> {
    debug_assert_eq!(inputs.len(), model.network.inputs());
    let logit = model.network.logit(inputs).filter(|logit| logit.is_finite());
    logit.ok_or_else(|| {
        error("inputs", "inputs for which the model has a finite logit", "numbers out of its range")
    })
}
