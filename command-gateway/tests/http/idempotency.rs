//! Idempotency keys: faults 2, 34 and 58 as far as they are the gateway's.

use super::support::*;
use futures::future::join_all;
use http::StatusCode;
use serde_json::{Value, json};

fn create(world: &World, key: &str, term: u32) -> Call {
    let body = json!({"customerAccountId": ACCOUNT, "currency": "USD", "termMonths": term});
    world.request("POST", "/quotes").token(&world.sales()).key(key).json(body)
}

#[test]
fn fault_58_the_same_key_with_another_body_is_refused() {
    run(async {
        let world = World::new().await;
        let first = create(&world, "k", 1).header("prefer", "respond-async").send().await;
        assert_eq!(first.status, 202);
        let other = create(&world, "k", 2).header("prefer", "respond-async").send().await;
        other.assert_problem(StatusCode::UNPROCESSABLE_ENTITY, "IDEMPOTENCY_KEY_REUSED");
        assert_eq!(world.count("command").await, 1);
    });
}

#[test]
fn the_order_of_members_and_white_space_do_not_make_another_request() {
    run(async {
        let world = World::new().await;
        let send = async |body: &str| {
            let call =
                world.request("POST", "/quotes").token(&world.sales()).key("k").header("prefer", "respond-async");
            call.text(body).send().await
        };
        let first = send(r#"{"customerAccountId":"acct-1","currency":"USD"}"#).await;
        let second = send(r#" { "currency" : "USD", "customerAccountId" : "acct-1" } "#).await;
        assert_eq!(first.body["commandId"], second.body["commandId"]);
    });
}

#[test]
fn fault_58_concurrent_requests_with_one_key_have_one_effect_and_get_one_answer() {
    run(async {
        let world = World::new().await;
        let sent = (0..16).map(|_| create(&world, "k", 1).send());
        let answers = async {
            let all = join_all(sent);
            let decide = async {
                while world.decide().await == 0 {
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                }
            };
            tokio::join!(all, decide).0
        };
        let answers = answers.await;
        let first = &answers[0];
        assert_eq!(first.status, 201, "{}", first.body);
        for answer in &answers {
            assert_eq!((answer.status, &answer.body), (201, &first.body));
        }
        assert_eq!((world.count("command").await, world.count("quote").await), (1, 1));
    });
}

#[test]
fn the_same_key_of_another_actor_or_for_another_operation_is_another_key() {
    run(async {
        let world = World::new().await;
        let quote = world.quote().await;
        let other = world.token("sam", &["sales-rep"]);
        let body = json!({"customerAccountId": ACCOUNT, "currency": "USD"});
        let send =
            async |call: Call| call.key("k").header("prefer", "respond-async").send().await.body["commandId"].clone();
        let ids = [
            send(world.request("POST", "/quotes").token(&world.sales()).json(body.clone())).await,
            send(world.request("POST", "/quotes").token(&other).json(body)).await,
            send(
                world
                    .request("POST", &format!("/quotes/{quote}/approval-submission"))
                    .token(&world.sales())
                    .json(json!({"quoteRevision": 1})),
            )
            .await,
        ];
        assert!(ids[0].is_string() && ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
    });
}

#[test]
fn fault_2_a_retry_of_an_undecided_command_joins_it_and_of_a_decided_one_gets_the_same_answer() {
    run(async {
        let world = World::new().await;
        let first = create(&world, "k", 12).header("prefer", "respond-async").send().await;
        let joined = create(&world, "k", 12).header("prefer", "wait=0").send().await;
        assert_eq!((first.status, joined.status), (202, 202));
        assert_eq!(first.body, joined.body);
        assert_eq!(joined.header("idempotency-replayed"), None);
        world.decide().await;
        let made = create(&world, "k", 12).send().await;
        assert_eq!((made.status, made.header("idempotency-replayed")), (201, Some("true")));
        // Whatever happens since.
        let quote = made.body["quoteId"].as_str().unwrap();
        let configure = world.request("PUT", &format!("/quotes/{quote}/configuration")).token(&world.sales()).key("c");
        configure.json(json!({"quoteRevision": 7, "lines": [line()]})).header("prefer", "respond-async").send().await;
        world.decide().await;
        let again = create(&world, "k", 12).send().await;
        assert_eq!((again.status, &again.body), (201, &made.body));
        assert_eq!(again.header("etag"), Some("\"1\""));
        assert_eq!(again.header("location"), Some(format!("/quotes/{quote}").as_str()));
        assert_eq!(world.count("quote").await, 1);
    });
}

#[test]
fn a_refusal_is_replayed_too() {
    run(async {
        let world = World::new().await;
        let quote = world.quote().await;
        let send = async || {
            let call = world.request("POST", &format!("/quotes/{quote}/pricing")).token(&world.sales()).key("p");
            call.json(json!({"quoteRevision": 1})).header("prefer", "wait=0").send().await
        };
        assert_eq!(send().await.status, 202);
        world.decide().await;
        let refused = send().await;
        refused.assert_problem(StatusCode::CONFLICT, "QUOTE_NOT_CONFIGURED");
        assert_eq!(refused.header("idempotency-replayed"), Some("true"));
    });
}

#[test]
fn fault_34_without_redis_the_answers_are_the_same() {
    run(async {
        let world = World::new().await;
        let stage = world.stage;
        let alone = gateway(&[
            ("CPQ_DATABASE_URL", &stage.database_url),
            ("CPQ_OIDC_JWKS", &stage.jwks_path),
            ("CPQ_REDIS_URL", "redis://127.0.0.1:1"),
        ])
        .await;
        let send = async |key: &str, term: u32| {
            let body = json!({"customerAccountId": ACCOUNT, "currency": "USD", "termMonths": term});
            let call = Call::new(alone.clone(), "POST", "/quotes").token(&world.sales()).key(key);
            call.json(body).header("prefer", "wait=1").send().await
        };
        let first = send("k", 1).await;
        assert_eq!(first.status, 202);
        assert_eq!(send("k", 1).await.body, first.body);
        send("k", 2).await.assert_problem(StatusCode::UNPROCESSABLE_ENTITY, "IDEMPOTENCY_KEY_REUSED");
        world.decide().await;
        assert_eq!(send("k", 1).await.status, 201);
        let ready = Call::new(alone.clone(), "GET", "/readyz").send().await;
        assert_eq!(ready.status, 200);
        assert!(ready.body["checks"]["redis"]["detail"].as_str().unwrap().contains("DEGRADED"));
    });
}

#[test]
fn a_hint_in_redis_that_points_elsewhere_decides_nothing() {
    run(async {
        let world = World::new().await;
        let other = create(&world, "other", 1).header("prefer", "respond-async").send().await;
        let id = other.body["commandId"].as_str().unwrap();
        let tenant = cpq_domain::ids::TenantId::new(world.tenant.as_str());
        let hint = cpq_state_stores::cache::idempotency_key(&tenant, "createQuote", "sue", "k");
        world.stage.gateway.redis.hint_command(&hint, id).await;
        let answer = create(&world, "k", 1).header("prefer", "respond-async").send().await;
        assert_eq!(answer.status, 202);
        assert_ne!(answer.body["commandId"], Value::from(id));
    });
}

#[test]
fn a_key_whose_first_request_was_refused_is_soon_hinted_right() {
    run(async {
        let world = World::new().await;
        let tenant = cpq_domain::ids::TenantId::new(world.tenant.as_str());
        let hint = cpq_state_stores::cache::idempotency_key(&tenant, "createQuote", "sue", "k");
        let hinted = async || world.stage.gateway.redis.get(&hint).await;
        assert_eq!(create(&world, "k", 0).header("prefer", "respond-async").send().await.status, 422);
        let of_refused = hinted().await.unwrap();
        let answer = create(&world, "k", 1).header("prefer", "respond-async").send().await;
        let id = answer.body["commandId"].as_str().unwrap();
        assert_ne!(of_refused, id);
        while hinted().await.as_deref() != Some(id) {
            tokio::task::yield_now().await;
        }
    });
}
