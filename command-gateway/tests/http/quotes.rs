//! `/quotes`, with the processor played by the test.

use super::judgement::acceptance;
use super::support::*;
use http::StatusCode;
use rstest::rstest;
use serde_json::{Value, json};

async fn decided(world: &World, call: impl Fn() -> Call) -> Answer {
    let pending = call().header("prefer", "respond-async").send().await;
    assert_eq!(pending.status, 202, "{}", pending.body);
    world.decide().await;
    call().send().await
}

#[test]
fn an_undecided_command_is_202_with_its_place_and_the_quote_s_id() {
    run(async {
        let world = World::new().await;
        let call = world.request("POST", "/quotes").token(&world.sales()).key("k").header("prefer", "respond-async");
        let answer = call.json(json!({"customerAccountId": ACCOUNT, "currency": "USD"})).send().await;
        assert_eq!(answer.status, 202);
        let command = answer.body["commandId"].as_str().unwrap();
        assert_eq!(answer.body["status"], "PENDING");
        assert_eq!(answer.body["aggregateType"], "QUOTE");
        assert!(answer.body["aggregateId"].as_str().unwrap().starts_with("Q-"));
        assert_eq!(answer.header("location"), Some(format!("/commands/{command}").as_str()));
        assert_eq!(answer.header("preference-applied"), Some("respond-async"));
        assert_eq!(answer.header("etag"), None);
        let pending = world.request("GET", &format!("/commands/{command}")).token(&world.sales()).send().await;
        assert_eq!((pending.status, &pending.body["status"]), (200, &json!("PENDING")));
        world.decide().await;
        let applied = world.request("GET", &format!("/commands/{command}")).token(&world.sales()).send().await;
        assert_eq!((&applied.body["status"], &applied.body["revision"]), (&json!("APPLIED"), &json!(1)));
        assert_eq!((&applied.body["operation"], &applied.body["problem"]), (&json!("createQuote"), &Value::Null));
    });
}

#[test]
fn the_wait_ends_with_the_decision() {
    run(async {
        let world = World::new().await;
        let call = world.request("POST", "/quotes").token(&world.sales()).key("k");
        let sent = call.json(json!({"customerAccountId": ACCOUNT, "currency": "USD"})).send();
        let decide = async {
            while world.decide().await == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        let (answer, ()) = tokio::join!(sent, decide);
        assert_eq!(answer.status, 201, "{}", answer.body);
        assert_eq!(answer.header("etag"), Some("\"1\""));
        assert_eq!(answer.header("idempotency-replayed"), None);
        assert_eq!(answer.body["status"], "DRAFT");
        assert_eq!(answer.body["allowedActions"], json!(["configureQuote", "withdrawQuote"]));
        let quote = answer.body["quoteId"].as_str().unwrap();
        let read = world.request("GET", &format!("/quotes/{quote}")).token(&world.sales()).send().await;
        assert_eq!((read.status, &read.body), (200, &answer.body), "reading one's writes");
        assert_eq!(read.header("etag"), Some("\"1\""));
        assert_eq!(read.header("cache-control"), Some("no-store"));
    });
}

#[test]
fn quote_state_conflict_returns_problem_json() {
    run(async {
        let world = World::new().await;
        let quote = world.quote().await;
        let accept = || {
            let call = world.request("POST", &format!("/quotes/{quote}/acceptance")).token(&world.sales());
            call.key("a").header("if-match", "\"1\"").json({
                let mut body = acceptance();
                body["quoteRevision"] = json!(1);
                body
            })
        };
        let answer = decided(&world, accept).await;
        answer.assert_problem(StatusCode::CONFLICT, "QUOTE_NOT_APPROVED");
        assert_eq!(answer.body["instance"], format!("/quotes/{quote}/acceptance"));
        assert_eq!(answer.body["businessKey"], format!("quote:{quote}:rev:1"));
        assert_eq!(answer.body["tenantId"], world.tenant);
        assert_eq!(answer.body["retryable"], false);
        assert_eq!(answer.body["type"], "urn:problem-type:cpq:quote-not-approved");
    });
}

#[test]
fn fault_59_a_stale_if_match_is_412_and_a_stale_body_409() {
    run(async {
        let world = World::new().await;
        let quote = world.quote().await;
        let configure = |key: &str, if_match: &str, revision: u32| {
            let call = world.request("PUT", &format!("/quotes/{quote}/configuration")).token(&world.sales()).key(key);
            call.header("if-match", if_match).json(json!({"quoteRevision": revision, "lines": [line()]}))
        };
        decided(&world, || configure("a", "\"9\"", 9))
            .await
            .assert_problem(StatusCode::PRECONDITION_FAILED, "PRECONDITION_FAILED");
        decided(&world, || configure("b", "W/\"1\"", 1))
            .await
            .assert_problem(StatusCode::PRECONDITION_FAILED, "PRECONDITION_FAILED");
        decided(&world, || configure("c", "*", 9)).await.assert_problem(StatusCode::CONFLICT, "QUOTE_REVISION_STALE");
    });
}

#[test]
fn actor_without_customer_access_cannot_create_quote() {
    run(async {
        let world = World::new().await;
        let create = |token: String, account: &str, key: &str| {
            let body = json!({"customerAccountId": account, "currency": "USD"});
            world.request("POST", "/quotes").token(&token).key(key).header("prefer", "respond-async").json(body)
        };
        let of_other = || world.token_for("sam", &["sales-rep"], &[OTHER_ACCOUNT]);
        let of_none = || world.token_for("sam", &["sales-rep"], &[]);
        for (token, account) in [(of_other(), ACCOUNT), (of_none(), ACCOUNT), (world.sales(), "acct-9")] {
            let answer = create(token, account, "refused").send().await;
            answer.assert_problem(StatusCode::FORBIDDEN, "CUSTOMER_ACCESS_DENIED");
        }
        assert_eq!(world.count("command").await, 0);
        assert_eq!(create(of_other(), OTHER_ACCOUNT, "taken").send().await.status, 202);
    });
}

#[rstest]
#[case::no_currency(json!({"customerAccountId": "acct-1", "currency": "XAU"}))]
#[case::zero_months(json!({"customerAccountId": "acct-1", "currency": "USD", "termMonths": 0}))]
fn a_quote_of_bad_form_is_refused(#[case] body: Value) {
    run(async {
        let world = World::new().await;
        let answer = world.request("POST", "/quotes").token(&world.sales()).key("k").json(body).send().await;
        answer.assert_problem(StatusCode::UNPROCESSABLE_ENTITY, "VALIDATION_FAILED");
        assert_eq!(world.count("command").await, 0);
    });
}

#[test]
fn an_unknown_template_is_an_unknown_reference() {
    run(async {
        let world = World::new().await;
        let call = world.request("POST", "/quotes/Q-2026-000001/artifacts").token(&world.sales()).key("k");
        let body = json!({"quoteRevision": 1, "artifactType": "PROPOSAL", "templateId": "glossy"});
        let answer = call.json(body).send().await;
        answer.assert_problem(StatusCode::UNPROCESSABLE_ENTITY, "VALIDATION_FAILED");
        assert!(answer.has_fault("/templateId", "UNKNOWN_REFERENCE"), "{}", answer.body);
    });
}

#[test]
fn the_history_is_a_list_with_who_did_what() {
    run(async {
        let world = World::new().await;
        let quote = world.quote().await;
        let answer = world.request("GET", &format!("/quotes/{quote}/history")).token(&world.sales()).send().await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let first = &answer.body["items"][0];
        assert_eq!(
            (&first["sequence"], &first["eventType"], &first["operation"]),
            (&json!(1), &json!("QuoteCreated"), &json!("createQuote"))
        );
        assert_eq!(first["actor"], json!({"actorId": "sue", "actorType": "USER"}));
        assert_eq!(answer.body["nextCursor"], Value::Null);
        assert!(answer.body["asOf"].is_string());
        let explained =
            world.request("GET", &format!("/quotes/{quote}/explanation")).token(&world.sales()).send().await;
        assert_eq!((explained.status, &explained.body["intact"]), (200, &json!(true)));
        let traced = world.request("GET", &format!("/quotes/{quote}/price-trace")).token(&world.sales()).send().await;
        traced.assert_problem(StatusCode::CONFLICT, "QUOTE_NOT_PRICED");
        let artifact =
            world.request("GET", &format!("/quotes/{quote}/artifacts/none")).token(&world.sales()).send().await;
        artifact.assert_problem(StatusCode::NOT_FOUND, "ARTIFACT_NOT_FOUND");
    });
}

#[test]
fn the_catalog_shows_what_is_on_sale_for_the_segment() {
    run(async {
        let world = World::new().await;
        let ids = async |token: &str, query: &str| {
            let answer = world.request("GET", &format!("/catalog/offerings{query}")).token(token).send().await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            let items = answer.body["items"].as_array().unwrap().clone();
            items.into_iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let sales = world.sales();
        assert_eq!(ids(&sales, "").await, ["fiber", "voice"]);
        assert_eq!(ids(&sales, "?customerAccountId=acct-2").await, ["voice"]);
        assert_eq!(ids(&sales, "?segment=SMB").await, ["voice"]);
        assert_eq!(ids(&world.token_for("cus", &["customer"], &[OTHER_ACCOUNT]), "").await, ["voice"]);
        let found = world.request("GET", "/catalog/offerings/fiber").token(&sales).send().await;
        assert_eq!(
            (found.status, &found.body["version"], &found.body["catalogVersion"]),
            (200, &json!("1"), &json!("1"))
        );
        for (path, status) in [
            ("/catalog/offerings/retired", 404),
            ("/catalog/offerings/fiber?segment=SMB", 404),
            ("/catalog/offerings?customerAccountId=acct-9", 422),
        ] {
            assert_eq!(world.request("GET", path).token(&sales).send().await.status, status, "{path}");
        }
    });
}
