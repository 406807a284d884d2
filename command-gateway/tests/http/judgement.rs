//! The order of judgement, and the form of refusals.

use super::support::*;
use http::StatusCode;
use rstest::rstest;
use serde_json::json;

/// Each request has several faults; the first in the contract's order is answered.
#[test]
fn the_first_fault_in_the_contract_s_order_is_answered() {
    run(async {
        let world = World::new().await;
        let (sales, approver) = (world.sales(), world.token("bob", &["approver"]));
        let path = "/quotes/Q-2026-000001/acceptance";
        let refused = async |call: Call| {
            let answer = call.send().await;
            (answer.status, answer.code().to_owned())
        };
        let post = |path: &str| world.request("POST", path);
        let cases = [
            (refused(post("/nowhere").text("{")).await, (404, "NOT_FOUND")),
            (refused(world.request("PATCH", path).text("{")).await, (405, "METHOD_NOT_ALLOWED")),
            (refused(post(path).raw(b"{".to_vec())).await, (401, "UNAUTHENTICATED")),
            (
                refused(post(path).token(&approver).header("content-type", "text/plain").raw(vec![b' '; 2 << 20]))
                    .await,
                (415, "UNSUPPORTED_MEDIA_TYPE"),
            ),
            (refused(post(path).token(&approver).text(&" ".repeat(2 << 20))).await, (413, "BODY_TOO_LARGE")),
            (refused(post(path).token(&approver).text("{")).await, (400, "MALFORMED_REQUEST")),
            (refused(post(path).token(&approver).text("{}")).await, (400, "IDEMPOTENCY_KEY_REQUIRED")),
            (refused(post(path).token(&approver).key("k").text("{}")).await, (403, "FORBIDDEN")),
            (refused(post(path).token(&sales).key("k").text("{}")).await, (422, "VALIDATION_FAILED")),
            (refused(post(path).token(&sales).key("k").json(acceptance())).await, (428, "IF_MATCH_REQUIRED")),
        ];
        for ((status, code), expected) in cases {
            assert_eq!((status, code.as_str()), expected);
        }
        assert_eq!(world.count("command").await, 0, "what is refused here leaves the key free");
    });
}

pub fn acceptance() -> serde_json::Value {
    json!({
        "quoteRevision": 5, "acceptedBy": "Jane",
        "acceptanceEvidence": {"method": "MANUAL_ENTRY", "acceptedAt": "2026-11-30T12:00:00Z", "artifactId": "a-1"},
    })
}

#[test]
fn accept_quote_requires_idempotency_key() {
    run(async {
        let world = World::new().await;
        let call =
            world.request("POST", "/quotes/Q-2026-000001/acceptance").token(&world.sales()).header("if-match", "\"5\"");
        call.json(acceptance()).send().await.assert_problem(StatusCode::BAD_REQUEST, "IDEMPOTENCY_KEY_REQUIRED");
    });
}

#[test]
fn accept_quote_requires_if_match() {
    run(async {
        let world = World::new().await;
        let call = world.request("POST", "/quotes/Q-2026-000001/acceptance").token(&world.sales()).key("k");
        call.json(acceptance()).send().await.assert_problem(StatusCode::PRECONDITION_REQUIRED, "IF_MATCH_REQUIRED");
    });
}

#[test]
fn validation_errors_expose_field_level_details() {
    run(async {
        let world = World::new().await;
        let body = json!({"currency": "usd", "termMonths": "36", "validUntil": 7, "colour": "red"});
        let answer = world.request("POST", "/quotes").token(&world.sales()).key("k").json(body).send().await;
        answer.assert_problem(StatusCode::UNPROCESSABLE_ENTITY, "VALIDATION_FAILED");
        for (pointer, code) in [
            ("/customerAccountId", "REQUIRED"),
            ("/currency", "PATTERN"),
            ("/termMonths", "WRONG_TYPE"),
            ("/validUntil", "WRONG_TYPE"),
            ("/colour", "UNKNOWN_FIELD"),
        ] {
            assert!(answer.has_fault(pointer, code), "{pointer} {code}: {}", answer.body);
        }
    });
}

#[rstest]
#[case::malformed("{\"a\":", 400)]
#[case::twice("{\"customerAccountId\":\"a\",\"customerAccountId\":\"b\"}", 400)]
#[case::nul("{\"customerAccountId\":\"\\u0000\"}", 400)]
#[case::empty("", 400)]
#[case::no_object("[]", 422)]
fn a_body_that_cannot_be_read_is_refused(#[case] body: &str, #[case] status: u16) {
    run(async {
        let world = World::new().await;
        let answer = world.request("POST", "/quotes").token(&world.sales()).key("k").text(body).send().await;
        assert_eq!(answer.status, status, "{}", answer.body);
    });
}

#[rstest]
#[case::no_parameter("/quotes?colour=red", "/colour", "UNKNOWN_FIELD")]
#[case::twice("/quotes?limit=1&limit=2", "/limit", "NOT_ALLOWED")]
#[case::too_many("/quotes?limit=201", "/limit", "OUT_OF_RANGE")]
#[case::no_number("/quotes?limit=many", "/limit", "WRONG_TYPE")]
#[case::no_status("/orders?status=DRAFT", "/status", "NOT_ALLOWED")]
#[case::made_up_cursor("/quotes?cursor=abc", "/cursor", "PATTERN")]
#[case::control("/quotes?text=%00", "/text", "PATTERN")]
fn a_query_is_checked_like_a_body(#[case] path: &str, #[case] pointer: &str, #[case] code: &str) {
    run(async {
        let world = World::new().await;
        let answer = world.request("GET", path).token(&world.sales()).send().await;
        answer.assert_problem(StatusCode::UNPROCESSABLE_ENTITY, "VALIDATION_FAILED");
        assert!(answer.has_fault(pointer, code), "{}", answer.body);
    });
}

#[test]
fn every_answer_carries_a_correlation_id_and_a_good_one_is_kept() {
    run(async {
        let world = World::new().await;
        for path in ["/nowhere", "/quotes", "/healthz"] {
            let kept = world.request("GET", path).header("x-correlation-id", "corr-1").send().await;
            assert_eq!(kept.header("x-correlation-id"), Some("corr-1"), "{path}");
            let replaced = world.request("GET", path).header("x-correlation-id", "two words").send().await;
            assert!(replaced.header("x-correlation-id").is_some_and(|id| id.starts_with("corr-")), "{path}");
        }
    });
}

#[test]
fn a_405_says_what_the_route_takes() {
    run(async {
        let world = World::new().await;
        let answer = world.request("DELETE", "/orders").send().await;
        answer.assert_problem(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED");
        assert_eq!(answer.header("allow"), Some("GET, HEAD, POST"));
    });
}
