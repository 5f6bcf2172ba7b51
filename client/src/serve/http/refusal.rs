//! What is answered to questions that cannot be: one form, a status below 500 for everything the asker can mend.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::FromRequest;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::BODY_BYTES_MAX;
use crate::serve::question::{QuestionError, error};
use crate::serve::{Service, Vitals};

/// An answer that is none.
pub(super) struct Refusal {
    status: StatusCode,
    problem: Problem,
}

enum Problem {
    Question(QuestionError),
    Sentence(String),
}

impl From<QuestionError> for Refusal {
    fn from(question: QuestionError) -> Self {
        Refusal { status: StatusCode::BAD_REQUEST, problem: Problem::Question(question) }
    }
}

impl Refusal {
    /// The same with another status.
    pub fn with_status(self, status: StatusCode) -> Self {
        Refusal { status, ..self }
    }

    /// No model yet.
    pub fn no_model() -> Self {
        let sentence = "no model yet: this client has not followed a job so far; try again once it has";
        Refusal { status: StatusCode::SERVICE_UNAVAILABLE, problem: Problem::Sentence(sentence.into()) }
    }

    /// The machine cannot do it just now, whatever is asked.
    pub fn unavailable(sentence: String) -> Self {
        Refusal { status: StatusCode::SERVICE_UNAVAILABLE, problem: Problem::Sentence(sentence) }
    }

    /// Nothing is served there.
    pub fn no_route() -> Self {
        let question = error("path", "a path of /openapi.json", "another");
        Refusal::from(question).with_status(StatusCode::NOT_FOUND)
    }

    /// Not by this method.
    pub fn wrong_method() -> Self {
        let question = error("method", "the method of /openapi.json", "another");
        Refusal::from(question).with_status(StatusCode::METHOD_NOT_ALLOWED)
    }

    /// Counts a question that could not be answered, and answers that.
    pub fn counted(self, service: &Service) -> Response {
        if self.status != StatusCode::SERVICE_UNAVAILABLE {
            Vitals::count(&service.vitals().unanswerable);
        }
        self.into_response()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = match &self.problem {
            Problem::Sentence(sentence) => json!({"error": sentence}),
            Problem::Question(question) => {
                let QuestionError { field, expected, found } = question;
                json!({"error": question.to_string(), "field": field, "expected": expected, "found": found})
            }
        };
        (self.status, Json(body)).into_response()
    }
}

/// The body of a question: JSON, as far as its headers say, and not too long.
pub(super) struct Question(pub Bytes);

impl FromRequest<Arc<Service>> for Question {
    type Rejection = Response;

    async fn from_request(
        request: Request<axum::body::Body>,
        service: &Arc<Service>,
    ) -> Result<Self, Self::Rejection> {
        if !says_json(request.headers()) {
            let question = error("content-type", "application/json, or none", "another");
            let refusal = Refusal::from(question).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE);
            return Err(refusal.counted(service));
        }
        match Bytes::from_request(request, service).await {
            Ok(bytes) => Ok(Question(bytes)),
            Err(rejection) => Err(body_refusal(&rejection).counted(service)),
        }
    }
}

fn says_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return true };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    // curl --data says the second unless it is told.
    essence.eq_ignore_ascii_case("application/json")
        || essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

fn body_refusal(rejection: &BytesRejection) -> Refusal {
    let expected = format!("at most {BODY_BYTES_MAX} bytes");
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Refusal::from(error("body", expected, "more")).with_status(StatusCode::PAYLOAD_TOO_LARGE)
        }
        _ => error("body", expected, "a body that ended early").into(),
    }
}
