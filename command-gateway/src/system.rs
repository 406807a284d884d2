//! What needs no token: health, readiness, metrics, the OpenAPI document and its page.

use crate::gateway::Gateway;
use crate::operation::Reply;
use crate::problem::Problem;
use crate::{docs, openapi};
use axum::body::Body;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use serde_json::json;

/// The paths that are answered here.
pub const PATHS: [&str; 5] = ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"];

/// The answer, if the path is one of these.
pub async fn answer(gateway: &Gateway, parts: &Parts) -> Option<Reply> {
    let path = PATHS.into_iter().find(|path| *path == parts.uri.path())?;
    if parts.method != Method::GET && parts.method != Method::HEAD {
        return Some(Err(Problem::method_not_allowed("GET, HEAD")));
    }
    Some(Ok(match path {
        "/healthz" => text(StatusCode::OK, "application/json", json!({"status": "UP"}).to_string()),
        "/readyz" => readyz(gateway).await,
        "/metrics" => text(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", gateway.metrics.render()),
        "/openapi.json" => text(StatusCode::OK, "application/json", openapi::json().to_owned()),
        _ => docs(),
    }))
}

async fn readyz(gateway: &Gateway) -> Response {
    let (ready, state) = gateway.readiness.state().await;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    text(status, "application/json", state.to_string())
}

fn docs() -> Response {
    let mut response = text(StatusCode::OK, "text/html; charset=utf-8", docs::html().to_owned());
    // The page is one file: no script, no picture, nothing from anywhere.
    let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
    response.headers_mut().insert(http::header::CONTENT_SECURITY_POLICY, policy);
    response
}

fn text(status: StatusCode, content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
