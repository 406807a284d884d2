//! The gateway as one value: its parts, and the way of a request from its first byte to its answer. Everything
//! that holds for every answer is here: correlation, bounds on headers and concurrency, the log line, metrics.

use crate::artifacts::Artifacts;
use crate::auth::Authenticator;
use crate::exchange::{CORRELATION_HEADER, Exchange, correlation_id};
use crate::numbers::QuoteNumbers;
use crate::outcome::Outcomes;
use crate::problem::Problem;
use crate::router::{Match, Router};
use crate::writer::Writer;
use crate::{judge, system};
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use cpq_avro::Encoder;
use cpq_domain::rejection::ErrorCode;
use cpq_runtime::admin::Readiness;
use cpq_runtime::telemetry::{TraceContext, join};
use cpq_state_stores::Db;
use cpq_state_stores::cache::Redis;
use cpq_state_stores::hints::Hints;
use cpq_state_stores::previews::Previews;
use cpq_state_stores::rate_limit::RateLimiter;
use cpq_state_stores::reference::ReferenceCache;
use http::header::{CACHE_CONTROL, HeaderName, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request};
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;
use tracing::field::Empty;
use tracing::{Instrument as _, error, info, info_span, warn};

/// Request line and headers together.
pub const MAX_HEADER_BYTES: usize = 32 * 1024;

/// The parts of a gateway, each cheap to share.
pub struct Gateway {
    pub db: Db,
    pub redis: Redis,
    pub hints: Hints,
    pub rate_limiter: RateLimiter,
    pub authenticator: Authenticator,
    pub encoder: Encoder,
    pub writer: Writer,
    pub outcomes: Outcomes,
    pub numbers: QuoteNumbers,
    pub references: ReferenceCache,
    pub previews: Previews,
    pub artifacts: Artifacts,
    pub router: Router,
    pub readiness: Readiness,
    pub metrics: PrometheusHandle,
    /// Requests at once; probes are not counted.
    pub in_flight: Arc<Semaphore>,
}

impl Gateway {
    /// Answers a request, whatever happens. The work runs in a task of its own: a client that leaves does not
    /// interrupt it between two awaits.
    pub async fn answer(self: Arc<Self>, request: Request<Body>) -> Response {
        let began = Instant::now();
        let (parts, body) = request.into_parts();
        let correlation_id = correlation_id(&parts.headers);
        let span = info_span!(
            "request",
            correlation_id = correlation_id.as_str(),
            method = parts.method.as_str(),
            path = parts.uri.path(),
            operation = Empty,
            tenant_id = Empty,
            actor_id = Empty,
            business_key = Empty,
            idempotency_key = Empty,
            command_id = Empty,
            trace_id = Empty,
            span_id = Empty,
        );
        let parent = parts.headers.get("traceparent").and_then(|v| v.to_str().ok()).and_then(TraceContext::parse);
        let trace = join(&span, parent.as_ref());
        let exchange =
            Arc::new(Exchange::new(correlation_id, trace, parts.method.clone(), parts.uri.path().to_owned()));
        let (operation, response) = self.work(&exchange, parts, body).instrument(span.clone()).await;
        let response = finish(response, &exchange);
        span.in_scope(|| note(operation, &response, began));
        response
    }

    async fn work(self: &Arc<Self>, exchange: &Arc<Exchange>, parts: Parts, body: Body) -> (&'static str, Response) {
        if header_bytes(&parts) > MAX_HEADER_BYTES {
            let detail = format!("Request line and headers have at most {MAX_HEADER_BYTES} bytes together.");
            let problem = Problem::new(ErrorCode::HeadersTooLarge, detail).closing();
            return ("-", problem.into_response(exchange));
        }
        if let Some(reply) = system::answer(self, &parts).await {
            return ("system", reply.unwrap_or_else(|problem| problem.into_response(exchange)));
        }
        let (operation, path) = match self.router.find(&parts.method, parts.uri.path()) {
            Match::Operation(operation, path) => (operation, path),
            Match::OtherMethods(allowed) => {
                return ("-", Problem::method_not_allowed(&allowed).into_response(exchange));
            }
            Match::Nothing => {
                let problem =
                    Problem::new(ErrorCode::NotFound, "There is no such route: GET /openapi.json lists them.");
                return ("-", problem.into_response(exchange));
            }
        };
        tracing::Span::current().record("operation", operation.id);
        let Ok(permit) = self.in_flight.clone().try_acquire_owned() else {
            let problem = Problem::unavailable("More requests are in hand than can be: try again.");
            return (operation.id, problem.into_response(exchange));
        };
        let judged = judge::judge(self.clone(), operation, path, exchange.clone(), parts, body);
        let task = tokio::spawn(
            async move {
                let reply = judged.await;
                drop(permit);
                reply
            }
            .in_current_span(),
        );
        let response = match task.await {
            Ok(Ok(response)) => response,
            Ok(Err(problem)) => problem.into_response(exchange),
            Err(panicked) => {
                error!(error = %panicked, "a request's task ended without an answer");
                let detail = "The failure is in our log under this correlation id.";
                Problem::new(ErrorCode::Internal, detail).into_response(exchange)
            }
        };
        (operation.id, response)
    }
}

/// What every answer carries.
fn finish(mut response: Response, exchange: &Exchange) -> Response {
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(exchange.correlation_id.as_str()) {
        headers.insert(HeaderName::from_static(CORRELATION_HEADER), value);
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response.into_response()
}

fn note(operation: &'static str, response: &Response, began: Instant) {
    let status = response.status();
    let elapsed = began.elapsed();
    metrics::counter!("cpq_gateway_requests_total", "operation" => operation, "status" => status.as_u16().to_string())
        .increment(1);
    metrics::histogram!("cpq_gateway_request_duration_seconds", "operation" => operation).record(elapsed.as_secs_f64());
    let (status, millis) = (status.as_u16(), elapsed.as_secs_f64() * 1000.0);
    match status {
        // Probes and scrapes come every few seconds and say nothing.
        _ if operation == "system" => {}
        500.. => warn!(status, millis, "answered"),
        _ => info!(status, millis, "answered"),
    }
}

fn header_bytes(parts: &Parts) -> usize {
    let line = parts.uri.path_and_query().map_or(0, |p| p.as_str().len());
    let of_headers = |headers: &HeaderMap| headers.iter().map(|(n, v)| n.as_str().len() + v.len() + 4).sum::<usize>();
    line + of_headers(&parts.headers)
}
