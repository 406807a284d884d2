//! Faults 52 and 53: nobody sees what is another tenant's or another account's, over any route.

use super::support::*;
use http::StatusCode;
use serde_json::json;

fn reads(quote: &str) -> Vec<String> {
    ["", "/history", "/price-trace", "/explanation", "/revisions/1/diff/1", "/artifacts/a-1", "/artifacts/a-1/content"]
        .iter()
        .map(|suffix| format!("/quotes/{quote}{suffix}"))
        .collect()
}

#[test]
fn tenant_a_cannot_read_tenant_b_quote() {
    run(async {
        let (ours, theirs) = (World::new().await, World::new().await);
        let quote = theirs.quote().await;
        for token in [ours.sales(), ours.token_for("audrey", &["auditor"], &["*"])] {
            for path in reads(&quote) {
                ours.request("GET", &path)
                    .token(&token)
                    .send()
                    .await
                    .assert_problem(StatusCode::NOT_FOUND, "QUOTE_NOT_FOUND");
            }
        }
        let timeline = ours
            .request("GET", "/customers/acct-9/timeline")
            .token(&ours.token_for("a", &["auditor"], &["*"]))
            .send()
            .await;
        timeline.assert_problem(StatusCode::NOT_FOUND, "CUSTOMER_NOT_FOUND");
    });
}

#[test]
fn fault_52_a_command_on_another_tenant_s_quote_finds_nothing() {
    run(async {
        let (ours, theirs) = (World::new().await, World::new().await);
        let quote = theirs.quote().await;
        let send = async || {
            let call = ours.request("PUT", &format!("/quotes/{quote}/configuration")).token(&ours.sales()).key("k");
            call.json(json!({"quoteRevision": 1, "lines": [line()]})).header("prefer", "wait=0").send().await
        };
        send().await;
        ours.decide().await;
        send().await.assert_problem(StatusCode::NOT_FOUND, "QUOTE_NOT_FOUND");
        assert_eq!((ours.count("quote").await, theirs.count("transition_log").await), (0, 1));
    });
}

#[test]
fn fault_52_another_tenant_s_command_is_not_found() {
    run(async {
        let (ours, theirs) = (World::new().await, World::new().await);
        let call = theirs.request("POST", "/quotes").token(&theirs.sales()).key("k").header("prefer", "respond-async");
        let made = call.json(json!({"customerAccountId": ACCOUNT, "currency": "USD"})).send().await;
        let path = format!("/commands/{}", made.body["commandId"].as_str().unwrap());
        ours.request("GET", &path)
            .token(&ours.sales())
            .send()
            .await
            .assert_problem(StatusCode::NOT_FOUND, "COMMAND_NOT_FOUND");
        assert_eq!(theirs.request("GET", &path).token(&theirs.sales()).send().await.status, 200);
    });
}

#[test]
fn a_quote_of_another_account_is_not_found_but_an_auditor_reads_all_of_its_tenant() {
    run(async {
        let world = World::new().await;
        let quote = world.quote().await;
        let path = format!("/quotes/{quote}");
        for accounts in [&[][..], &[OTHER_ACCOUNT][..]] {
            let token = world.token_for("cus", &["customer"], accounts);
            world
                .request("GET", &path)
                .token(&token)
                .send()
                .await
                .assert_problem(StatusCode::NOT_FOUND, "QUOTE_NOT_FOUND");
        }
        let auditor = world.token_for("audrey", &["auditor"], &[]);
        assert_eq!(world.request("GET", &path).token(&auditor).send().await.status, 200);
        let refused = world.request("PUT", &format!("{path}/configuration")).token(&auditor).key("k");
        refused
            .json(json!({"quoteRevision": 1, "lines": [line()]}))
            .send()
            .await
            .assert_problem(StatusCode::FORBIDDEN, "FORBIDDEN");
    });
}

#[test]
fn fault_53_requests_of_two_tenants_over_the_same_connections_never_mix() {
    run(async {
        let worlds = [World::new().await, World::new().await];
        let quotes = [worlds[0].quote().await, worlds[1].quote().await];
        let look = |index: usize, of: usize| {
            let (world, quote) = (&worlds[index], &quotes[of]);
            async move {
                let answer = world.request("GET", &format!("/quotes/{quote}")).token(&world.sales()).send().await;
                (index == of, answer.status)
            }
        };
        let all = (0..200).map(|n| look(n % 2, n / 2 % 2));
        for (own, status) in futures::future::join_all(all).await {
            assert_eq!(status, if own { 200 } else { 404 });
        }
    });
}
