//! `/workflow-tasks` and `/worklist`.

use super::support::*;
use http::StatusCode;
use rstest::rstest;
use serde_json::json;

#[rstest]
#[case("/workflow-tasks/nonsense/claim")]
#[case("/workflow-tasks/fallout-O-2026-000045.1/claim")]
#[case("/workflow-tasks/apr-2026-000123-rx.FINANCE/unclaim")]
fn what_has_not_the_form_of_a_task_s_id_is_not_found(#[case] path: &str) {
    run(async {
        let world = World::new().await;
        let answer = world.request("POST", path).token(&world.token("bob", &["approver"])).key("k").send().await;
        answer.assert_problem(StatusCode::NOT_FOUND, "TASK_NOT_FOUND");
    });
}

#[test]
fn a_claim_needs_no_body_but_takes_an_empty_object() {
    run(async {
        let world = World::new().await;
        let bob = world.token("bob", &["approver"]);
        let claim = |key: &str| {
            let call = world.request("POST", "/workflow-tasks/apr-2026-000123-r4.FINANCE/claim").token(&bob);
            call.key(key).header("prefer", "respond-async")
        };
        assert_eq!(claim("a").send().await.status, 202);
        assert_eq!(claim("b").json(json!({})).send().await.status, 202);
        claim("c")
            .json(json!({"x": 1}))
            .send()
            .await
            .assert_problem(StatusCode::UNPROCESSABLE_ENTITY, "VALIDATION_FAILED");
        let mixed = claim("a").json(json!({})).send().await;
        assert_eq!(mixed.status, 202, "no body and an empty object are the same request");
    });
}

#[test]
fn the_worklist_of_a_new_tenant_is_empty() {
    run(async {
        let world = World::new().await;
        let answer = world
            .request("GET", "/worklist/tasks?assignee=me&type=APPROVAL")
            .token(&world.token("bob", &["approver"]))
            .send()
            .await;
        assert_eq!((answer.status, &answer.body["items"]), (200, &json!([])));
        let wrong = world
            .request("GET", "/worklist/tasks?assignee=carol")
            .token(&world.token("bob", &["approver"]))
            .send()
            .await;
        assert!(wrong.has_fault("/assignee", "NOT_ALLOWED"), "{}", wrong.body);
    });
}
