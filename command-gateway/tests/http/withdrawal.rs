//! `/quotes/{quoteId}/withdrawal`, and what a quote answers once it is withdrawn or past its validity.

use super::support::*;
use http::StatusCode;
use rstest::rstest;
use serde_json::{Value, json};
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

async fn read(world: &World, quote: &str) -> Answer {
    world.request("GET", &format!("/quotes/{quote}")).token(&world.sales()).send().await
}

/// A quote with one line, at revision 2.
async fn configured(world: &World) -> String {
    let quote = world.quote().await;
    let body = json!({"quoteRevision": 1, "lines": [line()]});
    let answer = world.command("PUT", &format!("/quotes/{quote}/configuration"), body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    quote
}

#[test]
fn a_withdrawn_quote_keeps_what_it_had_come_to_and_takes_no_command() {
    run(async {
        let world = World::new().await;
        let quote = configured(&world).await;
        let body = json!({"quoteRevision": 2, "reasonCode": "DEAL_LOST"});
        let withdrawn = world.command("POST", &format!("/quotes/{quote}/withdrawal"), body).await;
        assert_eq!((withdrawn.status, withdrawn.header("etag")), (200, Some("\"3\"")), "{}", withdrawn.body);
        assert_eq!((&withdrawn.body["status"], &withdrawn.body["revision"]), (&json!("WITHDRAWN"), &json!(3)));
        let shown = read(&world, &quote).await;
        assert_eq!((&shown.body["status"], &shown.body["allowedActions"]), (&json!("WITHDRAWN"), &json!([])));
        assert_eq!(shown.body["lines"][0]["productOfferingId"], "fiber");
        for (method, verb, body) in [
            ("PUT", "configuration", json!({"quoteRevision": 3, "lines": [line()]})),
            ("POST", "pricing", json!({"quoteRevision": 3})),
            ("POST", "approval-submission", json!({"quoteRevision": 3})),
            ("POST", "artifacts", json!({"quoteRevision": 3, "artifactType": "PROPOSAL"})),
            ("POST", "withdrawal", json!({"quoteRevision": 3})),
        ] {
            let refused = world.command(method, &format!("/quotes/{quote}/{verb}"), body).await;
            refused.assert_problem(StatusCode::CONFLICT, "QUOTE_WITHDRAWN");
        }
        let preview = world.request("POST", &format!("/quotes/{quote}/price-preview")).token(&world.sales());
        let preview = preview.json(json!({"quoteRevision": 3})).send().await;
        preview.assert_problem(StatusCode::CONFLICT, "QUOTE_WITHDRAWN");
        let history = world.request("GET", &format!("/quotes/{quote}/history")).token(&world.sales()).send().await;
        let last = &history.body["items"][2];
        assert_eq!((&last["eventType"], &last["toStatus"]), (&json!("QuoteWithdrawn"), &json!("WITHDRAWN")));
    });
}

#[test]
fn a_withdrawal_sent_again_is_answered_as_the_first_time() {
    run(async {
        let world = World::new().await;
        let quote = world.quote().await;
        let sales = world.sales();
        let send = || {
            let call = world.request("POST", &format!("/quotes/{quote}/withdrawal")).token(&sales).key("w");
            call.json(json!({"quoteRevision": 1}))
        };
        assert_eq!(send().header("prefer", "respond-async").send().await.status, 202);
        world.decide().await;
        let answers = [send().send().await, send().send().await];
        for answer in &answers {
            assert_eq!((answer.status, answer.header("idempotency-replayed")), (200, Some("true")));
        }
        assert_eq!(answers[0].body, answers[1].body);
    });
}

#[rstest]
#[case::role(&["approver"], json!({"quoteRevision": 1}), 403, "FORBIDDEN")]
#[case::no_revision(&["sales-rep"], json!({}), 422, "VALIDATION_FAILED")]
#[case::unknown_field(&["sales-rep"], json!({"quoteRevision": 1, "comment": "lost"}), 422, "VALIDATION_FAILED")]
fn a_withdrawal_is_for_sales_and_of_good_form(
    #[case] roles: &[&str],
    #[case] body: Value,
    #[case] status: u16,
    #[case] code: &str,
) {
    run(async {
        let world = World::new().await;
        let call = world.request("POST", "/quotes/Q-2026-000001/withdrawal").token(&world.token("sue", roles)).key("k");
        call.json(body).send().await.assert_problem(StatusCode::from_u16(status).unwrap(), code);
        assert_eq!(world.count("command").await, 0);
    });
}

#[test]
fn a_withdrawal_honours_if_match_and_the_revision() {
    run(async {
        let world = World::new().await;
        let quote = world.quote().await;
        let stale = world.command("POST", &format!("/quotes/{quote}/withdrawal"), json!({"quoteRevision": 7})).await;
        stale.assert_problem(StatusCode::CONFLICT, "QUOTE_REVISION_STALE");
        let sales = world.sales();
        let send = |key: &str, tag: &str| {
            let call = world.request("POST", &format!("/quotes/{quote}/withdrawal")).token(&sales).key(key);
            call.header("if-match", tag).json(json!({"quoteRevision": 1}))
        };
        for (key, tag, status) in [("a", "\"7\"", 412), ("b", "\"1\"", 200)] {
            assert_eq!(send(key, tag).header("prefer", "respond-async").send().await.status, 202);
            world.decide().await;
            assert_eq!(send(key, tag).send().await.status, status);
        }
    });
}

#[test]
fn a_quote_past_its_validity_answers_so_before_any_timer_has_run() {
    run(async {
        let world = World::new().await;
        let until = OffsetDateTime::now_utc() + Duration::from_millis(1500);
        let body =
            json!({"customerAccountId": ACCOUNT, "currency": "USD", "validUntil": until.format(&Rfc3339).unwrap()});
        let made = world.command("POST", "/quotes", body).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let quote = made.body["quoteId"].as_str().unwrap().to_owned();
        assert_eq!(read(&world, &quote).await.body["allowedActions"], json!(["configureQuote", "withdrawQuote"]));
        tokio::time::sleep(Duration::from_millis(1600)).await;
        let shown = read(&world, &quote).await;
        assert_eq!((&shown.body["status"], &shown.body["allowedActions"]), (&json!("DRAFT"), &json!([])));
        let body = json!({"quoteRevision": 1, "lines": [line()]});
        let refused = world.command("PUT", &format!("/quotes/{quote}/configuration"), body).await;
        refused.assert_problem(StatusCode::CONFLICT, "QUOTE_EXPIRED");
        let refused = world.command("POST", &format!("/quotes/{quote}/withdrawal"), json!({"quoteRevision": 1})).await;
        refused.assert_problem(StatusCode::CONFLICT, "QUOTE_EXPIRED");
    });
}

#[test]
fn a_newer_catalog_is_not_told_to_a_closed_quote() {
    run(async {
        let world = World::new().await;
        let quote = configured(&world).await;
        let mut newer = catalog("2");
        newer["prices"][0]["amount"] = json!("120.00");
        world.publish(newer).await;
        assert!(read(&world, &quote).await.body.get("catalogChanged").is_some());
        world.command("POST", &format!("/quotes/{quote}/withdrawal"), json!({"quoteRevision": 2})).await;
        assert_eq!(read(&world, &quote).await.body.get("catalogChanged"), None);
    });
}

#[test]
fn nobody_can_expire_a_quote_over_http() {
    run(async {
        let world = World::new().await;
        let described = world.request("GET", "/openapi.json").send().await.body.to_string();
        assert!(described.contains("withdrawQuote") && !described.contains("xpireQuote"), "only the timer may");
    });
}
