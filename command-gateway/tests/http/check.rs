//! `POST /quotes/{quoteId}/configuration-check`, and what GET says of a newer catalog.

use super::support::*;
use http::StatusCode;
use rstest::rstest;
use serde_json::{Value, json};

/// A fiber with this service, and a router under it.
fn lines(sla: &str, router: &str) -> Value {
    json!([
        {"lineNumber": "1", "productOfferingId": "fiber", "quantity": "2", "action": "ADD", "characteristics": {"sla": sla}},
        {"lineNumber": "1.1", "parentLineNumber": "1", "productOfferingId": router, "quantity": "2", "action": "ADD"},
    ])
}

fn body(lines: Value) -> Value {
    json!({"quoteRevision": 1, "lines": lines})
}

fn check(world: &World, quote: &str, body: Value) -> Call {
    world.request("POST", &format!("/quotes/{quote}/configuration-check")).token(&world.sales()).json(body)
}

async fn with_bundle() -> (World, String) {
    let world = World::new().await;
    world.publish(bundle("2")).await;
    let quote = world.quote().await;
    (world, quote)
}

async fn configure(world: &World, quote: &str, body: Value) -> Answer {
    world.command("PUT", &format!("/quotes/{quote}/configuration"), body).await
}

async fn read(world: &World, quote: &str) -> Answer {
    let answer = world.request("GET", &format!("/quotes/{quote}")).token(&world.sales()).send().await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer
}

/// What differs from one time to the next.
fn timeless(mut body: Value) -> Value {
    body.as_object_mut().unwrap().remove("updatedAt");
    body
}

#[test]
fn a_check_answers_what_configuring_would_and_stores_nothing() {
    run(async {
        let (world, quote) = with_bundle().await;
        let before =
            (world.count("command").await, world.count("transition_log").await, read(&world, &quote).await.body);
        let checked = check(&world, &quote, body(lines("GOLD", "router-ha"))).send().await;
        assert_eq!(checked.status, 200, "{}", checked.body);
        assert_eq!((checked.header("etag"), &checked.body["revision"]), (Some("\"1\""), &json!(2)));
        assert_eq!(checked.body["lines"][0]["characteristics"], json!({"sla": "GOLD", "ips": 0}));
        let after =
            (world.count("command").await, world.count("transition_log").await, read(&world, &quote).await.body);
        assert_eq!(after, before);
        let configured = configure(&world, &quote, body(lines("GOLD", "router-ha"))).await;
        assert_eq!(configured.status, 200, "{}", configured.body);
        assert_eq!(timeless(checked.body), timeless(configured.body));
    });
}

#[test]
fn a_choice_that_is_ruled_out_is_told_with_its_rule_and_the_choices_that_would_do() {
    run(async {
        let (world, quote) = with_bundle().await;
        let refused = check(&world, &quote, body(lines("GOLD", "router"))).send().await;
        refused.assert_problem(StatusCode::UNPROCESSABLE_ENTITY, "CONFIGURATION_INVALID");
        let fault = &refused.body["errors"][0];
        assert_eq!(
            (&fault["pointer"], &fault["code"], &fault["rule"]),
            (&json!("/lines/0"), &json!("RULE"), &json!("gold-needs-ha"))
        );
        let choices = fault["choices"].as_array().unwrap();
        assert_eq!(
            Value::Array(choices.clone()),
            json!([
                {"op": "replace", "path": "/lines/0/characteristics/sla", "value": "BRONZE"},
                {"op": "replace", "path": "/lines/0/characteristics/sla", "value": "SILVER"},
                {"op": "add", "path": "/lines/-", "value": {"lineNumber": "1.2", "productOfferingId": "router-ha", "quantity": "1",
                    "action": "ADD", "parentLineNumber": "1"}},
            ])
        );
        for choice in choices {
            let mut chosen = body(lines("GOLD", "router"));
            match choice["op"].as_str().unwrap() {
                "add" => chosen["lines"].as_array_mut().unwrap().push(choice["value"].clone()),
                _ => *chosen.pointer_mut(choice["path"].as_str().unwrap()).unwrap() = choice["value"].clone(),
            }
            let answer = check(&world, &quote, chosen).send().await;
            assert_eq!(answer.status, 200, "{choice}: {}", answer.body);
        }
    });
}

#[rstest]
#[case::rule(lines("GOLD", "router"))]
#[case::value(lines("TIN", "router"))]
#[case::range(json!([{"lineNumber": "1", "productOfferingId": "fiber", "quantity": "1", "action": "ADD", "characteristics": {"ips": 65, "x": 1}}]))]
#[case::hidden(json!([{"lineNumber": "1", "productOfferingId": "retired", "quantity": "1", "action": "ADD"}]))]
#[case::cardinality(json!([
    {"lineNumber": "1", "productOfferingId": "fiber", "quantity": "1", "action": "ADD"},
    {"lineNumber": "2", "parentLineNumber": "1", "productOfferingId": "router-ha", "quantity": "1", "action": "ADD"},
    {"lineNumber": "3", "parentLineNumber": "1", "productOfferingId": "router-ha", "quantity": "1", "action": "ADD"},
    {"lineNumber": "4", "parentLineNumber": "1", "productOfferingId": "voice", "quantity": "1", "action": "ADD"}]))]
fn a_check_tells_the_faults_that_configuring_tells(#[case] lines: Value) {
    run(async {
        let (world, quote) = with_bundle().await;
        let told = |answer: Answer| {
            let mut faults = answer.body["errors"].clone();
            faults
                .as_array_mut()
                .unwrap()
                .iter_mut()
                .for_each(|fault| drop(fault.as_object_mut().unwrap().remove("choices")));
            (answer.status, answer.code().to_owned(), answer.body["detail"].clone(), faults)
        };
        let asked = told(check(&world, &quote, body(lines.clone())).send().await);
        assert_eq!(asked, told(configure(&world, &quote, body(lines)).await));
    });
}

#[test]
fn a_check_is_judged_like_the_command_without_a_key() {
    run(async {
        let (world, quote) = with_bundle().await;
        let good = || body(lines("BRONZE", "router"));
        let stale = json!({"quoteRevision": 7, "lines": lines("BRONZE", "router")});
        let path = format!("/quotes/{quote}/configuration-check");
        let by = |token: String, body: Value| world.request("POST", &path).token(&token).json(body).send();
        let elsewhere = World::new().await;
        let cases = [
            (by(world.token("bob", &["approver"]), json!({})).await, 403, "FORBIDDEN"),
            (by(world.sales(), json!({})).await, 422, "VALIDATION_FAILED"),
            (by(world.sales(), stale).await, 409, "QUOTE_REVISION_STALE"),
            (check(&world, &quote, good()).header("if-match", "\"7\"").send().await, 412, "PRECONDITION_FAILED"),
            (by(world.token_for("sam", &["sales-rep"], &[OTHER_ACCOUNT]), good()).await, 404, "QUOTE_NOT_FOUND"),
            (by(elsewhere.sales(), good()).await, 404, "QUOTE_NOT_FOUND"),
            (check(&world, "Q-2026-999999", good()).send().await, 404, "QUOTE_NOT_FOUND"),
            (world.request("POST", &path).token(&world.sales()).text("{").send().await, 400, "MALFORMED_REQUEST"),
            (
                world.request("POST", &path).token(&world.sales()).text(&" ".repeat(2 << 20)).send().await,
                413,
                "BODY_TOO_LARGE",
            ),
            (
                world.request("POST", &path).token(&world.sales()).raw(b"{}".to_vec()).send().await,
                415,
                "UNSUPPORTED_MEDIA_TYPE",
            ),
        ];
        for (answer, status, code) in cases {
            answer.assert_problem(StatusCode::from_u16(status).unwrap(), code);
        }
        assert_eq!(check(&world, &quote, good()).header("if-match", "\"1\"").send().await.status, 200);
    });
}

#[test]
fn a_quote_says_what_a_newer_catalog_changes_of_it_until_it_is_configured_again() {
    run(async {
        let (world, quote) = with_bundle().await;
        let configured = configure(&world, &quote, body(lines("GOLD", "router-ha"))).await;
        assert_eq!(read(&world, &quote).await.body, configured.body, "nothing is newer");

        let mut elsewhere = bundle("3");
        elsewhere["offerings"][1]["name"] = json!("Voice, which the quote does not use");
        world.publish(elsewhere).await;
        assert_eq!(read(&world, &quote).await.body, configured.body);

        let mut newer = bundle("4");
        newer["prices"][0]["amount"] = json!("120.00");
        newer["rules"] = json!([]);
        world.publish(newer).await;
        let changed = &read(&world, &quote).await.body["catalogChanged"];
        assert_eq!(changed["catalogVersion"], "4");
        let told: Vec<_> =
            changed["changes"].as_array().unwrap().iter().map(|c| (&c["kind"], &c["lineNumbers"])).collect();
        let line = json!(["1"]);
        assert_eq!(told, [(&json!("PRICES_CHANGED"), &line), (&json!("RULES_CHANGED"), &line)]);

        let again = configure(&world, &quote, json!({"quoteRevision": 2, "lines": lines("GOLD", "router")})).await;
        assert_eq!((again.status, &again.body["catalogVersion"]), (200, &json!("4")), "{}", again.body);
        assert_eq!(read(&world, &quote).await.body, again.body);
    });
}
