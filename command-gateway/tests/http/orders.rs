//! `/orders`.

use super::support::*;
use http::StatusCode;
use serde_json::json;

#[test]
fn an_order_of_a_quote_that_is_not_accepted_is_refused() {
    run(async {
        let world = World::new().await;
        let quote = world.quote().await;
        let manager = world.token("olga", &["order-manager"]);
        let send = async || {
            let call = world.request("POST", "/orders").token(&manager).key("o").header("prefer", "wait=0");
            call.json(json!({"quoteId": quote, "quoteRevision": 1})).send().await
        };
        let pending = send().await;
        assert_eq!((pending.status, &pending.body["aggregateId"]), (202, &json!(quote)));
        world.decide().await;
        send().await.assert_problem(StatusCode::CONFLICT, "QUOTE_NOT_ACCEPTED");
    });
}

#[test]
fn a_cancellation_needs_if_match_and_an_order_manager() {
    run(async {
        let world = World::new().await;
        let (manager, sales) = (world.token("olga", &["order-manager"]), world.sales());
        let cancel = |token: &str| {
            let call = world.request("POST", "/orders/O-2026-000001/cancellation").token(token).key("c");
            call.json(json!({"orderRevision": 1, "reasonCode": "CUSTOMER_REQUEST"}))
        };
        cancel(&sales).send().await.assert_problem(StatusCode::FORBIDDEN, "FORBIDDEN");
        cancel(&manager).send().await.assert_problem(StatusCode::PRECONDITION_REQUIRED, "IF_MATCH_REQUIRED");
        let pending = cancel(&manager).header("if-match", "\"1\"").header("prefer", "respond-async").send().await;
        assert_eq!((pending.status, &pending.body["aggregateType"]), (202, &json!("ORDER")));
    });
}

#[test]
fn what_has_not_the_form_of_an_order_s_id_is_not_found() {
    run(async {
        let world = World::new().await;
        let manager = world.token("olga", &["order-manager"]);
        for path in ["/orders/O-1", "/orders/Q-2026-000001", "/orders/O-2026-000001"] {
            let answer = world.request("GET", path).token(&manager).send().await;
            answer.assert_problem(StatusCode::NOT_FOUND, "ORDER_NOT_FOUND");
        }
        let answer = world.request("GET", "/orders").token(&manager).send().await;
        assert_eq!((answer.status, &answer.body["items"]), (200, &json!([])));
    });
}
