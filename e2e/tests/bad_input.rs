//! What a client may send by mistake, each answered with the right status, code and pointer.
//! Needs the running stack: through `make test`, or `. .stack/env`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use cpq_e2e::operator;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use ulid::Ulid;

fn base() -> String {
    let addr =
        std::env::var("CPQ_HTTP_ADDR").expect("CPQ_HTTP_ADDR is not set: run through `make test` (or `. .stack/env`)");
    format!("http://{addr}")
}

fn token(roles: &[&str]) -> String {
    operator::token("tenant-acme", "alice", roles).unwrap()
}

fn request(method: Method, path: &str, token: &str) -> RequestBuilder {
    Client::new()
        .request(method, format!("{}{path}", base()))
        .bearer_auth(token)
        .header("Idempotency-Key", Ulid::generate().to_string())
        .header("Content-Type", "application/json")
}

async fn problem(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert!(response.headers().contains_key("x-correlation-id"));
    let body: Value = response.json().await.unwrap();
    for member in ["type", "title", "status", "detail", "instance", "errorCode", "correlationId", "retryable"] {
        assert!(!body[member].is_null(), "{member} is missing: {body}");
    }
    (status, body)
}

async fn expect(request: RequestBuilder, status: u16, code: &str, pointer: Option<&str>) {
    let (got, body) = problem(request).await;
    assert_eq!((got, body["errorCode"].as_str().unwrap()), (status, code), "{body}");
    if let Some(pointer) = pointer {
        let errors = body["errors"].as_array().unwrap();
        assert!(errors.iter().any(|e| e["pointer"] == pointer), "{pointer} is not among {errors:?}");
    }
}

/// A new quote's id, at revision 1.
async fn quote() -> String {
    let body = json!({"customerAccountId": "acct-1001", "currency": "USD", "termMonths": 24});
    let answer = request(Method::POST, "/quotes", &token(&["sales-rep"])).body(body.to_string()).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 201);
    answer.json::<Value>().await.unwrap()["quoteId"].as_str().unwrap().to_owned()
}

fn line(quantity: Value) -> Value {
    json!({"lineNumber": "1", "productOfferingId": "fiber-1g", "quantity": quantity, "action": "ADD", "characteristics": {"site": "HQ"}})
}

async fn configure(lines: Value, revision: u64) -> RequestBuilder {
    let path = format!("/quotes/{}/configuration", quote().await);
    request(Method::PUT, &path, &token(&["sales-rep"]))
        .body(json!({"quoteRevision": revision, "lines": lines}).to_string())
}

#[tokio::test]
async fn malformed_json_is_a_bad_request() {
    expect(
        request(Method::POST, "/quotes", &token(&["sales-rep"])).body("{\"currency\":"),
        400,
        "MALFORMED_REQUEST",
        None,
    )
    .await;
}

#[tokio::test]
async fn a_duplicate_key_is_a_bad_request() {
    let body = r#"{"customerAccountId":"acct-1001","currency":"USD","currency":"EUR"}"#;
    expect(request(Method::POST, "/quotes", &token(&["sales-rep"])).body(body), 400, "MALFORMED_REQUEST", None).await;
}

#[tokio::test]
async fn an_unknown_field_is_named() {
    let body = json!({"customerAccountId": "acct-1001", "currency": "USD", "colour": "red"}).to_string();
    expect(
        request(Method::POST, "/quotes", &token(&["sales-rep"])).body(body),
        422,
        "VALIDATION_FAILED",
        Some("/colour"),
    )
    .await;
}

#[tokio::test]
async fn a_wrong_type_is_named() {
    let body = json!({"customerAccountId": "acct-1001", "currency": "USD", "termMonths": "36"}).to_string();
    expect(
        request(Method::POST, "/quotes", &token(&["sales-rep"])).body(body),
        422,
        "VALIDATION_FAILED",
        Some("/termMonths"),
    )
    .await;
}

#[tokio::test]
async fn a_quantity_as_a_number_is_refused() {
    expect(configure(json!([line(json!(2))]), 1).await, 422, "VALIDATION_FAILED", Some("/lines/0/quantity")).await;
}

#[tokio::test]
async fn a_negative_quantity_is_out_of_range() {
    expect(configure(json!([line(json!("-1"))]), 1).await, 422, "VALIDATION_FAILED", Some("/lines/0/quantity")).await;
}

#[tokio::test]
async fn a_quantity_with_seven_decimals_is_out_of_range() {
    expect(configure(json!([line(json!("1.0000001"))]), 1).await, 422, "VALIDATION_FAILED", Some("/lines/0/quantity"))
        .await;
}

#[tokio::test]
async fn an_unknown_offering_is_not_visible() {
    let mut unknown = line(json!("1"));
    unknown["productOfferingId"] = json!("warp-drive");
    unknown["characteristics"] = json!({});
    expect(configure(json!([unknown]), 1).await, 422, "OFFERING_NOT_VISIBLE", Some("/lines/0/productOfferingId")).await;
}

#[tokio::test]
async fn a_missing_required_characteristic_is_named() {
    let mut bare = line(json!("1"));
    bare["characteristics"] = json!({});
    expect(configure(json!([bare]), 1).await, 422, "CONFIGURATION_INVALID", Some("/lines/0/characteristics/site"))
        .await;
}

#[tokio::test]
async fn a_body_of_two_megabytes_is_too_large() {
    let body = json!({"customerAccountId": "x".repeat(2 << 20)}).to_string();
    expect(request(Method::POST, "/quotes", &token(&["sales-rep"])).body(body), 413, "BODY_TOO_LARGE", None).await;
}

#[tokio::test]
async fn no_token_is_unauthenticated() {
    let bare = Client::new().post(format!("{}/quotes", base())).body("{}");
    expect(bare, 401, "UNAUTHENTICATED", None).await;
}

#[tokio::test]
async fn a_wrong_role_is_forbidden() {
    let body = json!({"customerAccountId": "acct-1001", "currency": "USD"}).to_string();
    expect(request(Method::POST, "/quotes", &token(&["auditor"])).body(body), 403, "FORBIDDEN", None).await;
}

#[tokio::test]
async fn another_tenants_quote_is_not_found() {
    let path = format!("/quotes/{}", quote().await);
    let other = operator::token("tenant-globex", "gina", &["sales-rep"]).unwrap();
    expect(request(Method::GET, &path, &other), 404, "QUOTE_NOT_FOUND", None).await;
}

#[tokio::test]
async fn a_stale_revision_is_a_conflict() {
    expect(configure(json!([line(json!("1"))]), 7).await, 409, "QUOTE_REVISION_STALE", None).await;
}

#[tokio::test]
async fn an_acceptance_without_if_match_is_refused() {
    let path = format!("/quotes/{}/acceptance", quote().await);
    let evidence = json!({"method": "MANUAL_ENTRY", "acceptedAt": "2026-11-01T00:00:00Z", "artifactId": "art-1"});
    let body = json!({"quoteRevision": 1, "acceptedBy": "Nora", "acceptanceEvidence": evidence}).to_string();
    expect(request(Method::POST, &path, &token(&["sales-rep"])).body(body), 428, "IF_MATCH_REQUIRED", None).await;
}

#[tokio::test]
async fn a_command_without_an_idempotency_key_is_refused() {
    let body = json!({"customerAccountId": "acct-1001", "currency": "USD"}).to_string();
    let bare = Client::new()
        .post(format!("{}/quotes", base()))
        .bearer_auth(token(&["sales-rep"]))
        .header("Content-Type", "application/json")
        .body(body);
    expect(bare, 400, "IDEMPOTENCY_KEY_REQUIRED", None).await;
}

#[tokio::test]
async fn an_idempotency_key_answers_again_and_refuses_another_body() {
    let key = Ulid::generate().to_string();
    let send = |currency: &str| {
        request(Method::POST, "/quotes", &token(&["sales-rep"]))
            .header("Idempotency-Key", "")
            .body(json!({"customerAccountId": "acct-1001", "currency": currency}).to_string())
    };
    let keyed = |currency: &str| {
        let mut built = send(currency).build().unwrap();
        built.headers_mut().insert("Idempotency-Key", key.parse().unwrap());
        built
    };
    let first = Client::new().execute(keyed("USD")).await.unwrap();
    assert_eq!(first.status().as_u16(), 201);
    let first: Value = first.json().await.unwrap();
    let again = Client::new().execute(keyed("USD")).await.unwrap();
    assert_eq!(again.status().as_u16(), 201);
    assert_eq!(again.headers()["Idempotency-Replayed"], "true");
    assert_eq!(again.json::<Value>().await.unwrap(), first);
    let other = Client::new().execute(keyed("EUR")).await.unwrap();
    assert_eq!(other.status().as_u16(), 422);
    assert_eq!(other.json::<Value>().await.unwrap()["errorCode"], "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test]
async fn an_unknown_route_is_not_found_and_a_wrong_method_says_what_is_allowed() {
    expect(request(Method::GET, "/nowhere", &token(&["sales-rep"])), 404, "NOT_FOUND", None).await;
    let (status, body) = problem(request(Method::PATCH, "/quotes", &token(&["sales-rep"]))).await;
    assert_eq!((status, body["errorCode"].as_str().unwrap()), (405, "METHOD_NOT_ALLOWED"));
}
