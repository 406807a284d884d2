//! The order of judgement, written once for every operation: 401, 429, 415, 413, 400 JSON, 400 key, 403 by role,
//! 422 form, 428. Only then does an operation's handler run; what needs the object is judged behind it, in
//! `decide`. The route itself (404, 405) was judged before.

use crate::aside;
use crate::auth::Caller;
use crate::call::{self, Call};
use crate::exchange::Exchange;
use crate::form;
use crate::gateway::Gateway;
use crate::headers;
use crate::numbers::command_id;
use crate::operation::{Body as BodyRule, Document, Kind, MAX_PARAMETER, Operation, Precondition, Reply, Who};
use crate::problem::Problem;
use axum::body::Body;
use bytes::BytesMut;
use cpq_domain::canonical;
use cpq_domain::json;
use cpq_domain::moment::Moment;
use cpq_domain::rejection::{ErrorCode, FieldCode, FieldError};
use cpq_state_stores::cache::idempotency_key;
use cpq_state_stores::rate_limit::Naming;
use http::header::{CONTENT_LENGTH, EXPECT};
use http::request::Parts;
use http_body_util::BodyExt as _;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::sync::SemaphorePermit;

/// Largest body.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;
/// A body that takes longer is given up.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(15);
/// As [`BODY_TIMEOUT`], of a document, which may be many times as large.
const DOCUMENT_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a document waits for those in hand.
const PLACE_TIMEOUT: Duration = Duration::from_secs(10);
/// Of a body that is refused unread, so much is still taken from the client, so that it can read the answer.
const MAX_DRAINED_BYTES: u64 = 8 * 1024 * 1024;
/// And for so long.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// Judges a request and, if it passes, runs its operation.
pub async fn judge(
    gateway: Arc<Gateway>,
    operation: &'static Operation,
    path: Vec<(String, String)>,
    exchange: Arc<Exchange>,
    parts: Parts,
    body: Body,
) -> Reply {
    let mut body = Some(body);
    match admitted(gateway, operation, path, &exchange, &parts, &mut body).await {
        Ok(call) => (operation.handler)(call).await,
        Err(problem) => Err(leave_readable(problem, &parts, body).await),
    }
}

async fn admitted(
    gateway: Arc<Gateway>,
    operation: &'static Operation,
    path: Vec<(String, String)>,
    exchange: &Arc<Exchange>,
    parts: &Parts,
    body: &mut Option<Body>,
) -> Result<Call, Problem> {
    let received_at = Moment::new(OffsetDateTime::now_utc());
    let caller = gateway.authenticator.authenticate(&parts.headers).await?;
    exchange.set_tenant(&caller.tenant);
    let span = tracing::Span::current();
    span.record("tenant_id", caller.tenant.as_str());
    span.record("actor_id", caller.claims.actor_id.as_str());
    let command_id = command_id();
    let hint = hint(operation, &caller, parts);
    let naming = hint.as_deref().map(|hint| Naming { hint, command: &command_id });
    let admission = gateway.rate_limiter.admit(&caller.tenant, &caller.claims.actor_id, naming);
    let named_before = admission.await.map_err(Problem::rate_limited)?;
    let mut call = Call {
        gateway,
        operation,
        exchange: exchange.clone(),
        caller,
        path,
        query: Vec::new(),
        received_at,
        body: Value::Null,
        fingerprint: [0; 32],
        idempotency_key: String::new(),
        command_id,
        named_before,
        if_match: headers::if_match(&parts.headers),
        wait: headers::wait(&parts.headers),
        place: None,
    };
    match operation.kind {
        Kind::Read => {
            check_role(operation, &call.caller)?;
            call.query = query(operation, parts.uri.query().unwrap_or_default())?;
            name_business_key(&call, &Value::Null);
        }
        Kind::Command { body: rule, if_match } => {
            let sent = read_json(rule, parts, body).await?;
            name_business_key(&call, &sent);
            call.idempotency_key = headers::idempotency_key(&parts.headers)?;
            span.record("idempotency_key", call.idempotency_key.as_str());
            check_role(operation, &call.caller)?;
            call.query = query(operation, parts.uri.query().unwrap_or_default())?;
            call.fingerprint = fingerprint(exchange, &canonical::to_string(&sent));
            call.body = form::check(rule.object(), &sent).map_err(Problem::invalid)?;
            if if_match == Precondition::Required && call.if_match.is_none() {
                let detail = "Send If-Match with the ETag of the revision that you have read, such as \"4\".";
                return Err(Problem::new(ErrorCode::IfMatchRequired, detail));
            }
        }
        Kind::Check { body: object } => {
            let sent = read_json(BodyRule::Required(object), parts, body).await?;
            name_business_key(&call, &sent);
            check_role(operation, &call.caller)?;
            call.query = query(operation, parts.uri.query().unwrap_or_default())?;
            call.body = form::check(object, &sent).map_err(Problem::invalid)?;
        }
        Kind::Document(document) => {
            let allowed = check_role(operation, &call.caller);
            // Who may not send such a document may not send a larger body than others either.
            let max_bytes = if allowed.is_ok() { document.max_bytes } else { MAX_BODY_BYTES };
            check_announced(parts, max_bytes)?;
            call.place = Some(place(document).await?);
            let bytes = read_bytes(body, max_bytes, DOCUMENT_TIMEOUT).await?;
            let hash;
            (call.body, hash) = parse_document(bytes).await?;
            call.idempotency_key = headers::idempotency_key(&parts.headers)?;
            span.record("idempotency_key", call.idempotency_key.as_str());
            allowed?;
            call.query = query(operation, parts.uri.query().unwrap_or_default())?;
            call.fingerprint = fingerprint(exchange, &hash);
        }
    }
    Ok(call)
}

/// Where Redis keeps which command the request's idempotency key names; the key itself is judged later.
fn hint(operation: &Operation, caller: &Caller, parts: &Parts) -> Option<String> {
    let Kind::Command { .. } = operation.kind else { return None };
    let key = headers::idempotency_key(&parts.headers).ok()?;
    Some(idempotency_key(&caller.tenant, operation.id, caller.claims.actor_id.as_str(), &key))
}

/// A place for a document in hand, as soon as there is one.
async fn place(document: &'static Document) -> Result<SemaphorePermit<'static>, Problem> {
    match tokio::time::timeout(PLACE_TIMEOUT, document.places.acquire()).await {
        Ok(Ok(place)) => Ok(place),
        Ok(Err(_)) | Err(_) => Err(Problem::unavailable("Other documents are in hand: try again.")),
    }
}

/// Parses and hashes aside: a large document takes a second.
async fn parse_document(bytes: BytesMut) -> Result<(Value, String), Problem> {
    let work = move || {
        let value = json::parse(&bytes)?;
        drop(bytes);
        let hash = canonical::hash_document(&value);
        Ok((value, hash))
    };
    aside::run(work).await?.map_err(malformed)
}

fn check_role(operation: &Operation, caller: &Caller) -> Result<(), Problem> {
    let claims = &caller.claims;
    match operation.who {
        Who::AnyRole if !claims.roles.is_empty() => Ok(()),
        Who::Roles(roles) if roles.iter().any(|role| claims.has(*role)) => Ok(()),
        Who::AnyRole => Err(Problem::new(ErrorCode::Forbidden, "Your token has none of this product's roles.")),
        Who::Roles(roles) => {
            let names: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
            Err(Problem::new(ErrorCode::Forbidden, format!("This needs the role {}.", names.join(" or "))))
        }
    }
}

/// The body as JSON: 415, 413, then 400.
async fn read_json(rule: BodyRule, parts: &Parts, body: &mut Option<Body>) -> Result<Value, Problem> {
    let is_empty = body.as_ref().is_none_or(axum::body::HttpBody::is_end_stream);
    if let (BodyRule::Optional(_), true) = (rule, is_empty) {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    check_announced(parts, MAX_BODY_BYTES)?;
    let bytes = read_bytes(body, MAX_BODY_BYTES, BODY_TIMEOUT).await?;
    json::parse(&bytes).map_err(malformed)
}

/// What the headers say of the body: 415, 413.
fn check_announced(parts: &Parts, max_bytes: usize) -> Result<(), Problem> {
    if !headers::is_json(&parts.headers) {
        return Err(Problem::new(
            ErrorCode::UnsupportedMediaType,
            "Send the body as Content-Type: application/json in UTF-8.",
        ));
    }
    if content_length(parts).is_some_and(|length| length > max_bytes as u64) {
        return Err(too_large(max_bytes));
    }
    Ok(())
}

/// The body's bytes. One that was read to its end is gone from `body`.
async fn read_bytes(body: &mut Option<Body>, max_bytes: usize, time: Duration) -> Result<BytesMut, Problem> {
    let mut bytes = BytesMut::new();
    let Some(frames) = body.as_mut() else { return Ok(bytes) };
    let read = async {
        while let Some(frame) = frames.frame().await {
            let frame = frame.map_err(|_| {
                Problem::new(ErrorCode::MalformedRequest, "The body ended before its announced end.").closing()
            })?;
            if let Some(data) = frame.data_ref() {
                if bytes.len() + data.len() > max_bytes {
                    return Err(too_large(max_bytes));
                }
                bytes.extend_from_slice(data);
            }
        }
        Ok(())
    };
    match tokio::time::timeout(time, read).await {
        Ok(result) => result?,
        Err(_) => {
            let detail = format!("The body did not arrive within {} s.", time.as_secs());
            return Err(Problem::new(ErrorCode::MalformedRequest, detail).closing());
        }
    }
    *body = None;
    Ok(bytes)
}

fn malformed(error: String) -> Problem {
    Problem::new(ErrorCode::MalformedRequest, format!("The body is not the JSON that is taken here: {error}."))
}

fn content_length(parts: &Parts) -> Option<u64> {
    parts.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(max_bytes: usize) -> Problem {
    Problem::new(ErrorCode::BodyTooLarge, format!("Your body here has at most {max_bytes} bytes."))
}

/// Takes the rest of an unread body from the client, within bounds: most clients look at an answer only once
/// they have sent everything. A client that waits for `100 Continue` has not sent anything.
async fn leave_readable(problem: Problem, parts: &Parts, body: Option<Body>) -> Problem {
    let Some(mut body) = body else { return problem };
    if axum::body::HttpBody::is_end_stream(&body) {
        return problem;
    }
    let too_long = content_length(parts).is_some_and(|length| length > MAX_DRAINED_BYTES);
    if parts.headers.contains_key(EXPECT) || too_long {
        return problem.closing();
    }
    let drain = async {
        let mut taken = 0;
        while let Some(Ok(frame)) = body.frame().await {
            taken += frame.data_ref().map_or(0, |data| data.len() as u64);
            if taken > MAX_DRAINED_BYTES {
                return false;
            }
        }
        true
    };
    match tokio::time::timeout(DRAIN_TIMEOUT, drain).await {
        Ok(true) => problem,
        Ok(false) | Err(_) => problem.closing(),
    }
}

/// What makes two requests with one key the same: method, path, and the canonical body or its hash.
fn fingerprint(exchange: &Exchange, body: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [exchange.method.as_str(), &exchange.path, body] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

/// The query's parameters: known, sent once, of a sane length.
fn query(operation: &Operation, text: &str) -> Result<Vec<(String, String)>, Problem> {
    let mut faults = Vec::new();
    let mut found: Vec<(String, String)> = Vec::new();
    for (name, value) in url::form_urlencoded::parse(text.as_bytes()).into_owned() {
        let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        let mut fault = |code, detail: String| faults.push(FieldError::new(pointer.clone(), code, detail));
        let Some(parameter) = operation.query.iter().find(|parameter| parameter.name == name) else {
            let known: Vec<&str> = operation.query.iter().map(|parameter| parameter.name).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            fault(FieldCode::UnknownField, format!("is no query parameter of this operation; known: {known}"));
            continue;
        };
        if found.iter().any(|(n, _)| *n == name) {
            fault(FieldCode::NotAllowed, "is sent twice".to_owned());
        } else if value.chars().count() > MAX_PARAMETER {
            fault(FieldCode::OutOfRange, format!("has more than {MAX_PARAMETER} characters"));
        } else if value.chars().any(char::is_control) {
            fault(FieldCode::Pattern, "has control characters".to_owned());
        } else if !parameter.choices.is_empty() && !parameter.choices.contains(&value.as_str()) {
            fault(FieldCode::NotAllowed, format!("must be one of {}", parameter.choices.join(", ")));
        }
        found.push((name, value));
    }
    if faults.is_empty() { Ok(found) } else { Err(Problem::invalid(faults)) }
}

/// Says in answers and logs what the request is about, as far as its path and body say it.
fn name_business_key(call: &Call, body: &Value) {
    const SUBJECTS: [(&str, &str); 7] = [
        ("quoteId", "quote"),
        ("orderId", "order"),
        ("taskId", "task"),
        ("customerAccountId", "customer"),
        ("commandId", "command"),
        ("offeringId", "offering"),
        ("deadLetterId", "dead-letter"),
    ];
    let in_path = SUBJECTS.iter().find_map(|(name, kind)| call.usable_segment(name).map(|id| (*kind, id)));
    let subject = in_path.or_else(|| {
        body.get("quoteId").and_then(Value::as_str).filter(|id| call::is_usable(id)).map(|id| ("quote", id))
    });
    let Some((kind, id)) = subject else { return };
    let revision =
        ["quoteRevision", "orderRevision", "observedQuoteRevision"].iter().find_map(|name| body.get(name)?.as_u64());
    let key = match revision {
        Some(revision) => format!("{kind}:{id}:rev:{revision}"),
        None => format!("{kind}:{id}"),
    };
    tracing::Span::current().record("business_key", key.as_str());
    call.exchange.set_business_key(key);
}
