//! The routes.

mod explain;
mod infer;
mod items;
mod predict;
mod refusal;
mod status;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{MethodRouter, get, post};

use super::Service;
use refusal::Refusal;

/// A question may have this many bytes: 10,000 baskets fit.
const BODY_BYTES_MAX: usize = 2 << 20;

/// The document that describes every route.
const OPENAPI: &str = include_str!("http/openapi.json");

type Route = MethodRouter<Arc<Service>>;

/// Every route: path, method, and what answers.
fn routes() -> Vec<(&'static str, &'static str, Route)> {
    vec![
        ("/v1/predict", "post", post(predict::predict)),
        ("/v1/recommend", "post", post(items::recommend)),
        ("/v1/similar", "post", post(items::similar)),
        ("/v1/explain", "post", post(explain::explain)),
        ("/v1/events", "post", post(items::events)),
        ("/v1/experiments", "get", get(status::experiments)),
        ("/v1/model", "get", get(status::model)),
        ("/v2", "get", get(infer::server)),
        ("/v2/health/live", "get", get(infer::live)),
        ("/v2/health/ready", "get", get(infer::ready)),
        ("/v2/models/{name}", "get", get(infer::metadata)),
        ("/v2/models/{name}/versions/{version}", "get", get(infer::metadata)),
        ("/v2/models/{name}/ready", "get", get(infer::model_ready)),
        ("/v2/models/{name}/versions/{version}/ready", "get", get(infer::model_ready)),
        ("/v2/models/{name}/infer", "post", post(infer::infer)),
        ("/v2/models/{name}/versions/{version}/infer", "post", post(infer::infer)),
        ("/openapi.json", "get", get(status::openapi)),
        ("/healthz", "get", get(|| async { "ok\n" })),
        ("/metrics", "get", get(status::metrics_text)),
    ]
}

pub(super) fn router(service: Arc<Service>) -> Router {
    let routes =
        routes().into_iter().fold(Router::new(), |router, (path, _, route)| router.route(path, route));
    routes
        .fallback(|| async { Refusal::no_route() })
        .method_not_allowed_fallback(|| async { Refusal::wrong_method() })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(service)
}

#[cfg(test)]
mod tests;
