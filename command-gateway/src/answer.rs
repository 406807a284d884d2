//! Good answers: JSON, and what its headers say of the one object that it is about.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

/// A JSON answer in the making.
pub struct Answer {
    response: Response,
}

impl Answer {
    pub fn json<T: Serialize>(status: StatusCode, value: &T) -> Self {
        let (status, body) = match serde_json::to_vec(value) {
            Ok(body) => (status, body),
            Err(error) => {
                tracing::error!(%error, "an answer cannot be written");
                (StatusCode::INTERNAL_SERVER_ERROR, Vec::new())
            }
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self { response }
    }

    pub fn ok<T: Serialize>(value: &T) -> Self {
        Self::json(StatusCode::OK, value)
    }

    /// The quote's or order's revision, for `If-Match`.
    pub fn revision(mut self, revision: u32) -> Self {
        if let Ok(value) = HeaderValue::from_str(&format!("\"{revision}\"")) {
            self.response.headers_mut().insert(ETAG, value);
        }
        self
    }

    /// Where what was made can be read.
    pub fn location(mut self, place: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(place) {
            self.response.headers_mut().insert(LOCATION, value);
        }
        self
    }

    pub fn build(self) -> Response {
        self.response
    }
}
