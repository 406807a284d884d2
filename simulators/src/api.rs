//! The HTTP API, the same for each system: create, ask, undo, effects, faults. Reads requests and
//! finds the fault that hits them; leaves acting on them to the site.

use std::sync::{Arc, Mutex};

use axum::extract::rejection::{BytesRejection, JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use crate::fault::{FaultRule, MAX_RULES, Operation};
use crate::ledger::Ledger;
use crate::problem::Problem;
use crate::resource::{CreateRequest, Resource};
use crate::site::{Creation, Site, lock, not_found, unavailable};
use crate::system::System;

/// The largest body that is read.
pub const MAX_BODY_BYTES: usize = 256 * 1024;
/// The longest idempotency key.
pub const MAX_KEY_LENGTH: usize = 255;
/// The longest correlation id that is kept.
pub const MAX_CORRELATION_LENGTH: usize = 128;

/// All routes of all systems.
pub fn router(ledger: Ledger) -> Router {
    let ledger = Arc::new(Mutex::new(ledger));
    let mut router = Router::new().route("/healthz", get(health)).with_state(ledger.clone());
    for system in System::ALL {
        let site = Site { system, ledger: ledger.clone(), faults: Arc::default() };
        router = router.nest(&format!("/{}", system.name()), routes(system).with_state(site));
    }
    router.layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
}

fn routes(system: System) -> Router<Site> {
    let (collection, verb) = (system.collection(), system.compensation());
    Router::new()
        .route(&format!("/{collection}"), post(create).get(query))
        .route(&format!("/{collection}/{{id}}"), get(read))
        .route(&format!("/{collection}/{{id}}/{verb}"), post(compensate))
        .route("/effects", get(effects))
        .route("/faults", get(faults).put(put_faults).delete(clear_faults))
}

async fn health(State(ledger): State<Arc<Mutex<Ledger>>>) -> Response {
    let ledger = lock(&ledger);
    let counts: serde_json::Map<_, _> =
        System::ALL.into_iter().map(|system| (system.name().to_owned(), json!(ledger.count(system)))).collect();
    Json(json!({ "status": "UP", "resources": counts })).into_response()
}

async fn create(State(site): State<Site>, headers: HeaderMap, body: Result<Bytes, BytesRejection>) -> Response {
    let creation = match creation_of(&headers, body) {
        Ok(creation) => creation,
        Err(problem) => {
            tracing::warn!(system = site.system.name(), code = problem.code(), "request refused");
            return problem.into_response();
        }
    };
    let done = lock(&site.ledger).by_key(site.system, &creation.key).is_some();
    let rule = {
        let mut faults = lock(&site.faults);
        faults.note(&creation.key, &creation.request);
        faults.hit(Operation::Create, Some(&creation.request), done)
    };
    // The client may leave, but what has begun goes on: so it is with a real system behind a network.
    finish(tokio::spawn(async move { site.create_under(rule, creation).await })).await
}

/// The answer of work that goes on even if nobody waits for it.
async fn finish(work: tokio::task::JoinHandle<Response>) -> Response {
    work.await.unwrap_or_else(|error| {
        tracing::error!(%error, "request handling failed");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "the request could not be handled").into_response()
    })
}

fn creation_of(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<Creation, Problem> {
    let key = headers.get("idempotency-key").ok_or_else(|| {
        Problem::new(StatusCode::BAD_REQUEST, "IDEMPOTENCY_KEY_REQUIRED", "the header Idempotency-Key is missing")
    })?;
    let key = key.to_str().ok().filter(|key| !key.is_empty() && key.len() <= MAX_KEY_LENGTH).ok_or_else(|| {
        let detail = format!("Idempotency-Key must have 1 to {MAX_KEY_LENGTH} visible ASCII characters");
        Problem::new(StatusCode::BAD_REQUEST, "IDEMPOTENCY_KEY_INVALID", detail)
    })?;
    let body = body.map_err(|rejection| Problem::new(rejection.status(), "BODY_REFUSED", rejection.body_text()))?;
    let value: serde_json::Value = serde_json::from_slice(&body)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "MALFORMED_REQUEST", error.to_string()))?;
    let invalid = |detail| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "VALIDATION_FAILED", detail);
    let request: CreateRequest = serde_json::from_value(value).map_err(|error| invalid(error.to_string()))?;
    let empty = request.empty_members();
    if !empty.is_empty() {
        return Err(invalid(format!("must not be empty: {}", empty.join(", "))));
    }
    Ok(Creation { key: key.to_owned(), request, correlation_id: correlation_of(headers) })
}

fn correlation_of(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("x-correlation-id")?.to_str().ok()?;
    (value.len() <= MAX_CORRELATION_LENGTH).then(|| value.to_owned())
}

async fn compensate(State(site): State<Site>, Path(id): Path<String>) -> Response {
    let Some(resource) = lock(&site.ledger).by_id(site.system, &id).cloned() else {
        return not_found(&id).into_response();
    };
    let done = resource.compensated_at.is_some();
    let rule = lock(&site.faults).hit(Operation::Compensate, Some(&resource.request), done);
    finish(tokio::spawn(async move { site.compensate_under(rule, resource).await })).await
}

async fn read(State(site): State<Site>, Path(id): Path<String>) -> Response {
    match lock(&site.ledger).by_id(site.system, &id) {
        Some(resource) => Json(resource).into_response(),
        None => not_found(&id).into_response(),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ByKey {
    idempotency_key: String,
}

async fn query(State(site): State<Site>, asked: Result<Query<ByKey>, QueryRejection>) -> Response {
    let Query(ByKey { idempotency_key: key }) = match asked {
        Ok(asked) => asked,
        Err(rejection) => return bad_query(&rejection).into_response(),
    };
    let found: Vec<Resource> = lock(&site.ledger).by_key(site.system, &key).cloned().into_iter().collect();
    let rule = {
        let mut faults = lock(&site.faults);
        let request = found.first().map(|resource| resource.request.clone()).or_else(|| faults.asked(&key));
        faults.hit(Operation::Query, request.as_ref(), false)
    };
    let system = site.system.name();
    tracing::info!(system, idempotencyKey = key, found = found.len(), unavailable = rule.is_some(), "query");
    match rule {
        Some(_) => unavailable("the query is out of order").into_response(),
        None => Json(found).into_response(),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OfOrder {
    order_id: Option<String>,
}

async fn effects(State(site): State<Site>, asked: Result<Query<OfOrder>, QueryRejection>) -> Response {
    let Query(OfOrder { order_id }) = match asked {
        Ok(asked) => asked,
        Err(rejection) => return bad_query(&rejection).into_response(),
    };
    let items = lock(&site.ledger).effects(site.system, order_id.as_deref());
    let total: usize = items.iter().map(|effect| effect.count).sum();
    let repeated = items.iter().filter(|effect| effect.count > 1).count();
    Json(json!({ "items": items, "total": total, "repeated": repeated })).into_response()
}

async fn faults(State(site): State<Site>) -> Response {
    Json(lock(&site.faults).rules()).into_response()
}

async fn put_faults(State(site): State<Site>, body: Result<Json<Vec<FaultRule>>, JsonRejection>) -> Response {
    let rules = match body {
        Ok(Json(rules)) => rules,
        Err(rejection) => {
            return Problem::new(rejection.status(), "MALFORMED_REQUEST", rejection.body_text()).into_response();
        }
    };
    let invalid = |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "VALIDATION_FAILED", detail);
    if rules.len() > MAX_RULES {
        return invalid(format!("more than {MAX_RULES} rules")).into_response();
    }
    let wrong = rules.iter().enumerate().find_map(|(index, rule)| Some((index, rule.fault_of_form()?)));
    if let Some((index, wrong)) = wrong {
        return invalid(format!("/{index}: {wrong}")).into_response();
    }
    tracing::warn!(system = site.system.name(), rules = rules.len(), "faults set");
    let mut faults = lock(&site.faults);
    faults.replace(rules);
    Json(faults.rules()).into_response()
}

async fn clear_faults(State(site): State<Site>) -> StatusCode {
    tracing::info!(system = site.system.name(), "faults cleared");
    lock(&site.faults).replace(Vec::new());
    StatusCode::NO_CONTENT
}

fn bad_query(rejection: &QueryRejection) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "MALFORMED_REQUEST", rejection.body_text())
}
