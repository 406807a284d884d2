//! The OpenAPI 3.1 document, made from the route table, the forms and the types that answers are written from:
//! whole for `/openapi.json`, split by tag for `contracts/openapi`.

use crate::form;
use crate::headers::{MAX_KEY_LENGTH, MAX_WAIT_SECONDS};
use crate::operation::{Content, Kind, Operation, Precondition, Success, Tag, Who, schema};
use crate::problem::{PROBLEM_JSON, ProblemDocument, problem_type, status_and_title};
use crate::routes::OPERATIONS;
use cpq_domain::rejection::ErrorCode;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

const DESCRIPTION: &str = "Commands are decided by stream processors: the answer is the decided outcome, or 202 where it does not \
come within the wait (`Prefer: wait=N`, `respond-async`). Send each command with a new `Idempotency-Key` and its retries with the \
same one. Every answer carries `X-Correlation-Id`; every refusal is `application/problem+json`.";

/// The documents of `contracts/openapi`, each with its tags.
pub const FILES: [(&str, &str, &[Tag]); 4] = [
    ("quote-api.yaml", "Quotes", &[Tag::Quotes, Tag::Catalog, Tag::Customers, Tag::Commands]),
    ("order-api.yaml", "Orders", &[Tag::Orders]),
    ("task-api.yaml", "Tasks", &[Tag::Tasks]),
    ("operations-api.yaml", "Operations", &[Tag::DeadLetters]),
];

static WHOLE: LazyLock<String> = LazyLock::new(|| document("CPQ Streams", &Tag::ALL).to_string());

/// The whole document as JSON text.
pub fn json() -> &'static str {
    &WHOLE
}

/// The document of these tags.
pub fn document(title: &str, tags: &[Tag]) -> Value {
    let mut schemas = Map::new();
    schema::<ProblemDocument>(&mut schemas);
    let mut paths: Map<String, Value> = Map::new();
    for operation in OPERATIONS.iter().filter(|operation| tags.contains(&operation.tag)) {
        let described = describe(operation, &mut schemas);
        paths.entry(operation.path).or_insert_with(|| json!({}))[operation.method.as_str().to_lowercase()] = described;
    }
    let schemas: BTreeMap<String, Value> = schemas.into_iter().collect();
    let tags: Vec<Value> = tags.iter().map(|tag| json!({"name": tag.name(), "description": tag.describes()})).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": title, "version": env!("CARGO_PKG_VERSION"), "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": tags,
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {
                "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                "description": "Claims: sub, tenant_id, roles, customer_accounts (account ids, or `*`), actor_type.",
            }},
            "parameters": parameters(),
            "headers": response_headers(),
            "schemas": schemas,
        },
    })
}

fn describe(operation: &Operation, schemas: &mut Map<String, Value>) -> Value {
    let mut described = json!({
        "operationId": operation.id,
        "tags": [operation.tag.name()],
        "summary": operation.summary,
        "description": who(operation.who),
        "parameters": parameters_of(operation),
        "responses": responses(operation, schemas),
    });
    let (required, schema, example) = match operation.kind {
        Kind::Command { body, .. } => {
            let required = matches!(body, crate::operation::Body::Required(_));
            (required, form::json_schema(body.object(), schemas), body.object().example)
        }
        Kind::Check { body } => (true, form::json_schema(body, schemas), body.example),
        Kind::Document(document) => (true, (document.schema)(schemas), document.example),
        Kind::Read => return described,
    };
    let example: Value = serde_json::from_str(example).unwrap_or_default();
    described["requestBody"] =
        json!({"required": required, "content": {"application/json": {"schema": schema, "example": example}}});
    described
}

fn who(who: Who) -> String {
    match who {
        Who::AnyRole => "For every role, within its customer accounts.".to_owned(),
        Who::Roles(roles) => {
            let names: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
            format!("For the role {}.", names.join(" or "))
        }
    }
}

fn parameters_of(operation: &Operation) -> Vec<Value> {
    let reference = |name: &str| json!({"$ref": format!("#/components/parameters/{name}")});
    let segments = operation.path.split('/').filter_map(|s| s.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = segments
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "maxLength": 128}}))
        .collect();
    parameters.extend(operation.query.iter().map(|parameter| {
        let mut schema = json!({"type": "string"});
        if !parameter.choices.is_empty() {
            schema["enum"] = json!(parameter.choices);
        }
        json!({"name": parameter.name, "in": "query", "description": parameter.describes, "schema": schema})
    }));
    if operation.is_idempotent() {
        parameters.push(reference("IdempotencyKey"));
    }
    match operation.kind {
        Kind::Command { if_match, .. } => {
            parameters.push(reference(if if_match == Precondition::Required { "RequiredIfMatch" } else { "IfMatch" }));
            parameters.push(reference("Prefer"));
        }
        Kind::Check { .. } => parameters.push(reference("IfMatch")),
        Kind::Document(_) | Kind::Read => {}
    }
    parameters.push(reference("CorrelationId"));
    parameters.push(reference("Traceparent"));
    parameters
}

fn parameters() -> Value {
    let header = |name: &str, required: bool, describes: &str, schema: Value, example: &str| json!({"name": name, "in": "header", "required": required, "description": describes, "schema": schema, "example": example});
    let text = || json!({"type": "string"});
    json!({
        "IdempotencyKey": header("Idempotency-Key", true,
            "New for each command, the same for its retries: visible ASCII. The scope is tenant, actor and operation.",
            json!({"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH, "pattern": "^[!-~]+$"}), "01JZ1R6S8T7XK4A5Q9ZQ8Y6T4Q"),
        "RequiredIfMatch": header("If-Match", true, "The ETag of the revision that the caller has read, or `*`.", text(), "\"5\""),
        "IfMatch": header("If-Match", false, "The ETag of the revision that the caller has read, or `*`; honoured where sent.", text(), "\"4\""),
        "Prefer": header("Prefer", false,
            &format!("`wait=N`: wait so many seconds for the outcome (default 5, at most {MAX_WAIT_SECONDS}). `respond-async`: do not wait."),
            text(), "wait=10"),
        "CorrelationId": header("X-Correlation-Id", false, "Joins everything that this request causes; made where none is sent.",
            json!({"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"}), "corr-78e0a"),
        "Traceparent": header("traceparent", false, "W3C trace context; carried through to events and external calls.",
            text(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    })
}

fn response_headers() -> Value {
    let header = |describes: &str, example: &str| json!({"description": describes, "schema": {"type": "string"}, "example": example});
    json!({
        "CorrelationId": header("The correlation id that was taken or made.", "corr-78e0a"),
        "ETag": header("The revision, for If-Match alone.", "\"4\""),
        "Location": header("Where it can be read.", "/quotes/Q-2026-000123"),
        "IdempotencyReplayed": header("`true` where this is the answer to a retry of a decided command.", "true"),
        "PreferenceApplied": header("The preference that was honoured.", "respond-async"),
        "RetryAfter": header("Seconds to wait.", "1"),
        "WWWAuthenticate": header("RFC 6750's challenge.", "Bearer realm=\"cpq\""),
    })
}

fn header_reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/headers/{name}")})
}

fn responses(operation: &Operation, schemas: &mut Map<String, Value>) -> Value {
    let mut by_status: BTreeMap<u16, Value> = BTreeMap::new();
    for status in operation.success.iter().map(|success| success.status).collect::<BTreeSet<_>>() {
        let of_status: Vec<&Success> = operation.success.iter().filter(|success| success.status == status).collect();
        by_status.insert(status, success(&of_status, operation, schemas));
    }
    let mut codes: BTreeMap<u16, Vec<ErrorCode>> = BTreeMap::new();
    for code in operation.codes() {
        codes.entry(status_and_title(code).0.as_u16()).or_default().push(code);
    }
    by_status.extend(codes.into_iter().map(|(status, codes)| (status, problem(status, &codes, operation))));
    json!(by_status.into_iter().map(|(status, response)| (status.to_string(), response)).collect::<Map<_, _>>())
}

fn success(of_status: &[&Success], operation: &Operation, schemas: &mut Map<String, Value>) -> Value {
    let describes: Vec<&str> = of_status.iter().map(|success| success.describes).collect();
    let mut headers = Map::new();
    headers.insert("X-Correlation-Id".to_owned(), header_reference("CorrelationId"));
    if of_status.iter().any(|success| success.etag) {
        headers.insert("ETag".to_owned(), header_reference("ETag"));
    }
    if of_status.iter().any(|success| success.location) {
        headers.insert("Location".to_owned(), header_reference("Location"));
    }
    if operation.is_idempotent() {
        headers.insert("Idempotency-Replayed".to_owned(), header_reference("IdempotencyReplayed"));
    }
    if matches!(operation.kind, Kind::Command { .. }) {
        headers.insert("Preference-Applied".to_owned(), header_reference("PreferenceApplied"));
    }
    let mut bodies = Vec::new();
    let mut media_type = "application/json";
    for success in of_status {
        match success.content {
            Content::Json(schema) => bodies.push(schema(schemas)),
            Content::Pdf => {
                media_type = "application/pdf";
                bodies.push(json!({"type": "string", "format": "binary"}));
            }
        }
    }
    let schema = if bodies.len() == 1 { bodies.remove(0) } else { json!({"oneOf": bodies}) };
    json!({"description": describes.join(" Or: "), "headers": headers, "content": {media_type: {"schema": schema}}})
}

fn problem(status: u16, codes: &[ErrorCode], operation: &Operation) -> Value {
    let mut headers = Map::new();
    headers.insert("X-Correlation-Id".to_owned(), header_reference("CorrelationId"));
    match status {
        401 => headers.insert("WWW-Authenticate".to_owned(), header_reference("WWWAuthenticate")),
        429 | 503 => headers.insert("Retry-After".to_owned(), header_reference("RetryAfter")),
        _ if operation.is_idempotent() => {
            headers.insert("Idempotency-Replayed".to_owned(), header_reference("IdempotencyReplayed"))
        }
        _ => None,
    };
    let names: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
    let examples: Map<String, Value> =
        codes.iter().map(|code| (code.as_str().to_owned(), json!({"value": example(*code, operation)}))).collect();
    json!({
        "description": names.join(", "),
        "headers": headers,
        "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples}},
    })
}

/// A problem document of this code, as this operation could answer it.
fn example(code: ErrorCode, operation: &Operation) -> Value {
    const IDS: [(&str, &str, &str); 10] = [
        ("{quoteId}", "Q-2026-000123", "quote"),
        ("{orderId}", "O-2026-000045", "order"),
        ("{taskId}", "apr-2026-000123-r4.FINANCE", "task"),
        ("{customerAccountId}", "acct-1001", "customer"),
        ("{commandId}", "01JZ1R6S8T7XK4A5Q9ZQ8Y6T4Q", "command"),
        ("{offeringId}", "fiber-1g", "offering"),
        ("{artifactId}", "art-2026-000123-r5-1", "artifact"),
        ("{a}", "3", "revision"),
        ("{b}", "4", "revision"),
        ("{deadLetterId}", "7d0f2c1a-3a3e-4a0e-9a53-0f6f6c1d2b10", "dead-letter"),
    ];
    let (status, title) = status_and_title(code);
    let instance = IDS.iter().fold(operation.path.to_owned(), |path, (name, id, _)| path.replace(name, id));
    let subject = IDS.iter().find(|(name, ..)| operation.path.contains(name));
    let mut example = json!({
        "type": problem_type(code), "title": title, "status": status.as_u16(), "detail": "What is wrong, and what to send instead.",
        "instance": instance, "errorCode": code.as_str(), "correlationId": "corr-78e0a",
        "tenantId": if code == ErrorCode::Unauthenticated { None } else { Some("tenant-acme") },
        "businessKey": subject.map(|(_, id, kind)| format!("{kind}:{id}")),
        "retryable": matches!(code, ErrorCode::RateLimited | ErrorCode::TemporarilyUnavailable),
    });
    if code == ErrorCode::ValidationFailed {
        let pointer = match operation.kind {
            Kind::Command { body, .. } => body.object().fields.first().map_or("", |field| field.name),
            Kind::Check { body } => body.fields.first().map_or("", |field| field.name),
            Kind::Document(_) => "",
            Kind::Read => match operation.query.first() {
                Some(parameter) => parameter.name,
                // Without a query it is the path that can be wrong, in its last segment at least.
                None => operation.path.rsplit('/').find_map(|s| s.strip_prefix('{')?.strip_suffix('}')).unwrap_or(""),
            },
        };
        example["errors"] =
            json!([{"pointer": format!("/{pointer}"), "code": "WRONG_TYPE", "detail": "must have another type"}]);
    }
    example
}
