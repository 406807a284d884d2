//! `application/problem+json` (RFC 9457): the one match from error code to HTTP status and title, and how a
//! refusal is written.

use crate::exchange::Exchange;
use axum::body::Body;
use axum::response::Response;
use cpq_domain::rejection::{ErrorCode, FieldError, Rejection};
use cpq_state_stores::StoreError;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use tracing::error;

/// What a client should wait after a 503, in seconds.
pub const RETRY_AFTER_SECONDS: u64 = 1;
/// The media type of every refusal.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// HTTP status and title of every code there is.
pub fn status_and_title(code: ErrorCode) -> (StatusCode, &'static str) {
    use ErrorCode as E;
    use StatusCode as S;
    match code {
        E::MalformedRequest => (S::BAD_REQUEST, "The request is not well formed"),
        E::IdempotencyKeyRequired => (S::BAD_REQUEST, "An Idempotency-Key is required"),
        E::Unauthenticated => (S::UNAUTHORIZED, "A valid access token is required"),
        E::Forbidden => (S::FORBIDDEN, "Your role does not allow this"),
        E::CustomerAccessDenied => (S::FORBIDDEN, "The customer account is not one of yours"),
        E::NotEligibleApprover => (S::FORBIDDEN, "You may not decide this step"),
        E::FourEyesViolation => (S::FORBIDDEN, "Somebody else must approve"),
        E::ApprovalAuthorityExceeded => (S::FORBIDDEN, "The quote exceeds your approval authority"),
        E::NotFound => (S::NOT_FOUND, "There is no such route"),
        E::OfferingNotFound => (S::NOT_FOUND, "Offering not found"),
        E::QuoteNotFound => (S::NOT_FOUND, "Quote not found"),
        E::OrderNotFound => (S::NOT_FOUND, "Order not found"),
        E::TaskNotFound => (S::NOT_FOUND, "Task not found"),
        E::CommandNotFound => (S::NOT_FOUND, "Command not found"),
        E::ArtifactNotFound => (S::NOT_FOUND, "Artifact not found"),
        E::CustomerNotFound => (S::NOT_FOUND, "Customer not found"),
        E::FalloutNotFound => (S::NOT_FOUND, "Fallout case not found"),
        E::DeadLetterNotFound => (S::NOT_FOUND, "Dead letter not found"),
        E::QuoteRevisionStale => (S::CONFLICT, "The quote has changed"),
        E::OrderRevisionStale => (S::CONFLICT, "The order has changed"),
        E::QuoteNotConfigured => (S::CONFLICT, "The quote is not configured"),
        E::QuoteNotPriced => (S::CONFLICT, "The quote is not priced"),
        E::PriceStale => (S::CONFLICT, "The price is no longer valid"),
        E::QuoteNotPendingApproval => (S::CONFLICT, "The quote does not wait for approval"),
        E::QuoteNotApproved => (S::CONFLICT, "The quote is not approved"),
        E::ArtifactMismatch => (S::CONFLICT, "The artifact is not the current one"),
        E::QuoteNotEditable => (S::CONFLICT, "The quote cannot be changed now"),
        E::QuoteNotAccepted => (S::CONFLICT, "The quote is not accepted"),
        E::QuoteAlreadyAccepted => (S::CONFLICT, "The quote is accepted already"),
        E::QuoteExpired => (S::CONFLICT, "The quote has expired"),
        E::OrderPastPointOfNoReturn => (S::CONFLICT, "The order can no longer be undone"),
        E::OrderNotAmendable => (S::CONFLICT, "The order cannot be amended now"),
        E::OrderNotCancellable => (S::CONFLICT, "The order cannot be cancelled now"),
        E::AmendmentNeedsQuote => (S::CONFLICT, "The amendment needs a new quote"),
        E::TaskAlreadyCompleted => (S::CONFLICT, "The task is completed already"),
        E::TaskClaimed => (S::CONFLICT, "Somebody else has claimed the task"),
        E::QuoteWithdrawn => (S::CONFLICT, "The quote is withdrawn"),
        E::CatalogVersionExists => (S::CONFLICT, "The catalog version exists already"),
        E::DeadLetterBusy => (S::CONFLICT, "The dead letter's records are being applied"),
        E::DeadLetterNeedsForce => (S::CONFLICT, "This is done by force only"),
        E::DeadLetterNotDiscardable => (S::CONFLICT, "This dead letter cannot be given up"),
        E::MethodNotAllowed => (S::METHOD_NOT_ALLOWED, "The route does not take this method"),
        E::PreconditionFailed => (S::PRECONDITION_FAILED, "If-Match does not name the current revision"),
        E::BodyTooLarge => (S::PAYLOAD_TOO_LARGE, "The body is too large"),
        E::UnsupportedMediaType => (S::UNSUPPORTED_MEDIA_TYPE, "The body must be application/json"),
        E::ValidationFailed => (S::UNPROCESSABLE_ENTITY, "The request is not valid"),
        E::ConfigurationInvalid => (S::UNPROCESSABLE_ENTITY, "The configuration is not valid"),
        E::OfferingNotVisible => (S::UNPROCESSABLE_ENTITY, "An offering is not on sale for this customer"),
        E::PriceNotFound => (S::UNPROCESSABLE_ENTITY, "A price is missing"),
        E::TaxRateNotFound => (S::UNPROCESSABLE_ENTITY, "A tax rate is missing"),
        E::AmountOutOfRange => (S::UNPROCESSABLE_ENTITY, "An amount is out of range"),
        E::CatalogInvalid => (S::UNPROCESSABLE_ENTITY, "The catalog is not valid"),
        E::IdempotencyKeyReused => (S::UNPROCESSABLE_ENTITY, "The Idempotency-Key was used for another request"),
        E::IfMatchRequired => (S::PRECONDITION_REQUIRED, "If-Match is required"),
        E::RateLimited => (S::TOO_MANY_REQUESTS, "Too many requests"),
        E::HeadersTooLarge => (S::REQUEST_HEADER_FIELDS_TOO_LARGE, "The request's headers are too large"),
        E::Internal => (S::INTERNAL_SERVER_ERROR, "Something went wrong on our side"),
        E::TemporarilyUnavailable => (S::SERVICE_UNAVAILABLE, "The service is not available now"),
    }
}

/// A refusal on its way to the client.
#[derive(Clone, Debug)]
pub struct Problem {
    pub rejection: Rejection,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether the connection cannot be used again: part of the request was not read.
    closes: bool,
}

/// The members of a problem document; all but `errors` are always there.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Problem)]
pub struct ProblemDocument {
    /// `urn:problem-type:cpq:` and the error code in lower case.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    /// What is wrong and what to do about it.
    pub detail: String,
    /// The path that was asked for.
    pub instance: String,
    pub error_code: ErrorCode,
    pub correlation_id: String,
    pub tenant_id: Option<String>,
    /// `quote:Q-2026-000123:rev:4`: what the request was about.
    pub business_key: Option<String>,
    /// Whether the same request may succeed later without anybody changing it.
    pub retryable: bool,
    /// Every fault of every field, where fields are at fault.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

impl Problem {
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Rejection::new(code, detail).into()
    }

    /// The form is at fault (422), with every fault at once.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [only] => format!("{}: {}.", shown(&only.pointer), only.detail),
            _ => format!("{} fields are at fault: see errors.", errors.len()),
        };
        Rejection::new(ErrorCode::ValidationFailed, detail).with_errors(errors).into()
    }

    /// 503: nothing was done, or nobody knows yet; the same request with the same key is safe.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Rejection::new(ErrorCode::TemporarilyUnavailable, detail).retryable().into()
    }

    /// 405 with what the route does take.
    pub fn method_not_allowed(allowed: &str) -> Self {
        Self::new(ErrorCode::MethodNotAllowed, format!("This route takes {allowed}.")).with(ALLOW, allowed)
    }

    /// 401 with RFC 6750's challenge.
    pub fn unauthenticated(detail: &str, invalid_token: bool) -> Self {
        let challenge = if invalid_token {
            // Quoted text: the sentences are ours and have no quotation marks.
            format!("Bearer realm=\"cpq\", error=\"invalid_token\", error_description=\"{detail}\"")
        } else {
            "Bearer realm=\"cpq\"".to_owned()
        };
        Self::new(ErrorCode::Unauthenticated, format!("{detail}.")).with(WWW_AUTHENTICATE, &challenge)
    }

    /// 429 with how long to wait, rounded up to whole seconds.
    pub fn rate_limited(wait: std::time::Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let problem: Self =
            Rejection::new(ErrorCode::RateLimited, format!("Wait {seconds} s, then go on more slowly."))
                .retryable()
                .into();
        problem.with(RETRY_AFTER, &seconds.to_string())
    }

    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// Ends the connection with this answer.
    pub fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    /// The document as this exchange shows it.
    pub fn document(rejection: &Rejection, exchange: &Exchange) -> ProblemDocument {
        let (status, title) = status_and_title(rejection.code);
        ProblemDocument {
            kind: problem_type(rejection.code),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: rejection.detail.clone(),
            instance: exchange.path.clone(),
            error_code: rejection.code,
            correlation_id: exchange.correlation_id.to_string(),
            tenant_id: exchange.tenant().map(ToString::to_string),
            business_key: exchange.business_key(),
            retryable: rejection.retryable,
            errors: rejection.errors.clone(),
        }
    }

    pub fn into_response(self, exchange: &Exchange) -> Response {
        let (status, _) = status_and_title(self.rejection.code);
        let document = Self::document(&self.rejection, exchange);
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        if self.closes {
            headers.insert(http::header::CONNECTION, HeaderValue::from_static("close"));
        }
        headers.extend(self.headers);
        response
    }
}

/// The problem type of a code: a name, not a place.
pub fn problem_type(code: ErrorCode) -> String {
    format!("urn:problem-type:cpq:{}", code.as_str().to_lowercase().replace('_', "-"))
}

fn shown(pointer: &str) -> &str {
    if pointer.is_empty() { "the body" } else { pointer }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        Self { rejection, headers: Vec::new(), closes: false }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if error.is_transient() {
            tracing::warn!(%error, "the database is not available");
            return Self::unavailable("The database does not answer: try again with the same Idempotency-Key.");
        }
        error!(%error, "the store failed");
        Self::new(ErrorCode::Internal, "The failure is in our log under this correlation id.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn every_code_has_an_error_status_and_a_title() {
        for code in ErrorCode::ALL {
            let (status, title) = status_and_title(*code);
            assert!(status.is_client_error() || status.is_server_error(), "{code}");
            assert!(!title.is_empty(), "{code}");
        }
    }

    #[rstest]
    #[case(ErrorCode::QuoteNotApproved, "urn:problem-type:cpq:quote-not-approved")]
    fn a_problem_type_is_named_after_its_code(#[case] code: ErrorCode, #[case] expected: &str) {
        assert_eq!(problem_type(code), expected);
    }

    #[test]
    fn a_wait_is_rounded_up_to_whole_seconds() {
        let problem = Problem::rate_limited(std::time::Duration::from_millis(1));
        assert_eq!(problem.headers[0].1, "1");
    }
}
