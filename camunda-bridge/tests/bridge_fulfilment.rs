//! Fulfilments through the whole bridge, on the real engine, with simulated downstream systems that fail in every
//! way: each effect happens once, and the order learns the truth.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bridge_support;
mod engine_support;

use bridge_support::deals::{ALL_STEPS, Deal};
use bridge_support::{Bench, eventually};
use camunda_bridge::engine::{ExternalTaskQuery, IncidentQuery};
use cpq_domain::order::{OrderStatus, StepStatus};
use cpq_domain::rejection::ErrorCode;
use cpq_domain::workflow::WorkflowEvent;
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::json;
use std::time::Duration;

fn once(step: &str, effect: &str) -> (String, String, u64) {
    (step.to_owned(), effect.to_owned(), 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_fulfilled_from_its_leaves_and_billed_last() {
    let mut bench = Bench::open().await;
    bench.run();
    let lines =
        [("1", None, ALL_STEPS), ("1.1", Some("1"), &["RESERVE_INVENTORY", "START_BILLING"][..]), ("2", None, &[][..])];
    let mut deal = Deal::create(&bench, &lines).await;
    deal.until_status(OrderStatus::Completed).await;
    assert_eq!(deal.effects("inventory").await.len(), 2);
    assert_eq!(deal.effects("activation").await, [once("1:ACTIVATE_SERVICE", "ACTIVE")]);
    let mut billed = deal.effects("billing").await;
    billed.sort();
    assert_eq!(billed, [once("1.1:START_BILLING", "BILLING"), once("1:START_BILLING", "BILLING")]);

    let mut attempts = bench.database.attempts().await;
    attempts.retain(|(operation, ..)| operation != "start-process");
    let operations: Vec<&str> = attempts.iter().map(|(operation, ..)| operation.as_str()).collect();
    assert_eq!(operations, ["reserve", "reserve", "activate", "start", "start"]);
    assert!(attempts.iter().all(|(_, outcome, tries)| outcome == "SUCCEEDED" && *tries == 1), "{attempts:?}");
    bench.until_ledger_is(&deal.key, "ENDED").await;
    assert_eq!(bench.fact_names(&deal.key).await, ["ProcessStarted"]);
    bench.close().await;
}

#[rstest]
#[case("inventory", "1:RESERVE_INVENTORY", "INVENTORY_NOT_AVAILABLE")]
#[case("activation", "1:ACTIVATE_SERVICE", "ACTIVATION_REJECTED")]
#[case("billing", "1:START_BILLING", "BILLING_REJECTED")]
#[tokio::test(flavor = "multi_thread")]
async fn order_fulfillment_handles_bpmn_error_as_fallout(#[case] system: &str, #[case] step: &str, #[case] code: &str) {
    let bench = Bench::open().await;
    bench.faults(system, json!([{"kind": "REJECT"}])).await;
    let mut deal = Deal::create(&bench, &[("1", None, ALL_STEPS)]).await;
    deal.until_status(OrderStatus::Fallout).await;
    assert_eq!(deal.step(step), StepStatus::Rejected);
    let case = deal.order().open_cases().next().unwrap();
    assert_eq!((case.reason_code.as_str(), case.step_id.as_str()), (code, step));
    assert_eq!(deal.effects(system).await, []);
    let instance = bench.admitted(&deal.key).await;
    // The engine waits for the resolution, and nothing of it is an incident.
    let query = IncidentQuery { process_instance_id: Some(&instance), ..IncidentQuery::default() };
    assert_eq!(bench.stage.engine.incidents(&query).await.unwrap(), []);
    let tasks = ExternalTaskQuery { process_instance_id: Some(&instance), ..ExternalTaskQuery::default() };
    eventually("the engine waits for a person", || async {
        bench.stage.engine.external_tasks(&tasks).await.unwrap().is_empty().then_some(())
    })
    .await;
    bench.close().await;
}

/// Fault 40.
#[tokio::test(flavor = "multi_thread")]
async fn external_task_failure_creates_incident_after_retries() {
    let bench = Bench::open().await;
    bench.faults("inventory", json!([{"kind": "ERROR_5XX"}])).await;
    let mut deal = Deal::create(&bench, &[("1", None, &["RESERVE_INVENTORY"])]).await;
    deal.until_status(OrderStatus::Fallout).await;
    assert_eq!(deal.step("1:RESERVE_INVENTORY"), StepStatus::Failed);
    let case = deal.order().open_cases().next().unwrap().clone();
    assert_eq!(deal.order().step(&case.step_id).unwrap().1.attempts, 3);
    bench.until_facts_are(&deal.key, &["ProcessStarted", "IncidentRaised"]).await;
    let facts = bench.facts(&deal.key).await;
    let WorkflowEvent::IncidentRaised(raised) = &facts[1].1 else { panic!("{facts:?}") };
    assert_eq!(raised.step_id.as_ref(), Some(&case.step_id));
    assert_eq!(case.incident_id.as_ref(), Some(&raised.incident_id));

    // The system is back, and an operator gives the task new tries.
    bench.faults("inventory", json!([])).await;
    let instance = bench.admitted(&deal.key).await;
    let stuck = ExternalTaskQuery {
        process_instance_id: Some(&instance),
        no_retries_left: Some(true),
        ..ExternalTaskQuery::default()
    };
    let task = bench.stage.engine.external_tasks(&stuck).await.unwrap().remove(0);
    bench.stage.engine.set_external_task_retries(&task.id, 1).await.unwrap();
    deal.until_status(OrderStatus::Completed).await;
    bench.until_facts_are(&deal.key, &["ProcessStarted", "IncidentRaised", "IncidentResolved"]).await;
    assert_eq!(deal.effects("inventory").await, [once("1:RESERVE_INVENTORY", "RESERVED")]);
    bench.close().await;
}

/// Drill 50.
#[tokio::test(flavor = "multi_thread")]
async fn inventory_that_times_out_after_it_reserved_is_reconciled_by_key() {
    let bench = Bench::open().await;
    bench.faults("inventory", json!([{"kind": "APPLY_THEN_TIMEOUT", "delayMs": 3000}])).await;
    let mut deal = Deal::create(&bench, &[("1", None, &["RESERVE_INVENTORY"])]).await;
    deal.until_status(OrderStatus::Completed).await;
    let events = ["OrderStepStarted", "OrderStepOutcomeUnknown", "OrderStepCompleted"];
    let seen: Vec<_> = deal.events.iter().filter(|name| name.starts_with("OrderStep")).copied().collect();
    assert_eq!(seen, events);
    assert_eq!(deal.effects("inventory").await, [once("1:RESERVE_INVENTORY", "RESERVED")]);
    let attempts = bench.database.attempts().await;
    assert!(attempts.contains(&("reserve".to_owned(), "SUCCEEDED".to_owned(), 1)), "no blind retry: {attempts:?}");
    bench.close().await;
}

/// Drill 50, where the system cannot say either.
#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_nobody_can_find_out_becomes_a_fallout_case() {
    let bench = Bench::open().await;
    let faults = json!([{"kind": "APPLY_THEN_TIMEOUT", "delayMs": 3000, "times": 1}, {"kind": "QUERY_UNAVAILABLE"}]);
    bench.faults("inventory", faults).await;
    let mut deal = Deal::create(&bench, &[("1", None, &["RESERVE_INVENTORY"])]).await;
    deal.until_status(OrderStatus::Fallout).await;
    let case = deal.order().open_cases().next().unwrap();
    assert_eq!(case.reason_code, "OUTCOME_UNKNOWN");
    assert_eq!(deal.step("1:RESERVE_INVENTORY"), StepStatus::Unknown);
    assert_eq!(deal.effects("inventory").await, [once("1:RESERVE_INVENTORY", "RESERVED")]);
    let attempts = bench.database.attempts().await;
    assert!(attempts.contains(&("reserve".to_owned(), "UNKNOWN".to_owned(), 1)), "no blind retry: {attempts:?}");
    bench.close().await;
}

#[rstest]
#[case::hangs(json!([{"kind": "HANG", "delayMs": 1500, "times": 1}]))]
#[case::comes_late(json!([{"kind": "DELAY", "delayMs": 1500, "times": 1}]))]
#[case::comes_twice(json!([{"kind": "APPLY_TWICE_REPLY"}]))]
#[case::is_away_for_a_moment(json!([{"kind": "ERROR_5XX", "times": 2}]))]
#[tokio::test(flavor = "multi_thread")]
async fn a_system_that_stumbles_has_its_effect_once(#[case] faults: serde_json::Value) {
    let bench = Bench::open().await;
    bench.faults("activation", faults).await;
    let mut deal = Deal::create(&bench, &[("1", None, &["ACTIVATE_SERVICE"])]).await;
    deal.until_status(OrderStatus::Completed).await;
    assert_eq!(deal.effects("activation").await, [once("1:ACTIVATE_SERVICE", "ACTIVE")]);
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_that_is_killed_in_mid_call_asks_before_it_calls_again() {
    let mut bench = Bench::open().await;
    bench.faults("inventory", json!([{"kind": "APPLY_THEN_TIMEOUT", "delayMs": 3000}])).await;
    let deal = Deal::create(&bench, &[("1", None, &["RESERVE_INVENTORY"])]).await;
    let key = deal.key.clone();
    // Within the bridge's patience: nothing is known of the call yet.
    while deal.effects("inventory").await.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let state = deal.suspend();
    bench.crash();
    let pending = ("reserve".to_owned(), "PENDING".to_owned(), 1);
    assert!(bench.database.attempts().await.contains(&pending), "the attempt was written before the call");
    bench.run();
    let mut deal = state.resume(&bench);
    deal.until_status(OrderStatus::Completed).await;
    let done = ("reserve".to_owned(), "SUCCEEDED".to_owned(), 1);
    assert!(bench.database.attempts().await.contains(&done), "it was not called again");
    assert_eq!(deal.effects("inventory").await, [once("1:RESERVE_INVENTORY", "RESERVED")]);
    assert_eq!(bench.fact_names(&key).await, ["ProcessStarted"]);
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_order_is_undone_from_the_newest_effect_on() {
    let bench = Bench::open().await;
    bench.faults("billing", json!([{"kind": "REJECT"}])).await;
    bench.faults("activation", json!([{"kind": "REJECT", "match": {"stepId": "2:ACTIVATE_SERVICE"}}])).await;
    let steps = &["RESERVE_INVENTORY", "ACTIVATE_SERVICE", "START_BILLING"];
    let mut deal = Deal::create(&bench, &[("1", None, steps), ("2", None, steps)]).await;
    deal.until("line 1 stands and line 2 fell out", |deal| {
        deal.step("1:ACTIVATE_SERVICE") == StepStatus::Completed
            && deal.step("2:ACTIVATE_SERVICE") == StepStatus::Rejected
    })
    .await;
    deal.cancel().await.unwrap();
    deal.until_status(OrderStatus::Cancelled).await;
    assert_eq!(deal.step("1:RESERVE_INVENTORY"), StepStatus::Compensated);
    assert_eq!(deal.step("1:ACTIVATE_SERVICE"), StepStatus::Compensated);
    assert_eq!(deal.step("2:RESERVE_INVENTORY"), StepStatus::Compensated);
    assert_eq!(deal.step("1:START_BILLING"), StepStatus::Pending);
    let mut released = deal.effects("inventory").await;
    released.retain(|(_, effect, _)| effect == "RELEASED");
    assert_eq!(released.len(), 2, "{released:?}");
    let attempts = bench.database.attempts().await;
    // Two lines go their way side by side: whichever came last is undone first.
    let succeeded = |wanted: [&str; 2]| {
        let of =
            attempts.iter().filter(|(_, outcome, _)| outcome == "SUCCEEDED").map(|(operation, ..)| operation.clone());
        of.filter(|operation| wanted.contains(&operation.as_str())).collect::<Vec<_>>()
    };
    let undo = |operation: &String| if operation == "reserve" { "release" } else { "deactivate" }.to_owned();
    let expected: Vec<_> = succeeded(["reserve", "activate"]).iter().rev().map(undo).collect();
    assert_eq!(succeeded(["release", "deactivate"]), expected, "{attempts:?}");
    bench.until_ledger_is(&deal.key, "ENDED").await;
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_finds_out_what_is_in_flight_before_it_undoes_it() {
    let bench = Bench::open().await;
    // Reserved, but nobody was told so, and for a while nobody can ask.
    let faults = json!([{"kind": "APPLY_THEN_TIMEOUT", "delayMs": 3000, "times": 1}, {"kind": "QUERY_UNAVAILABLE"}]);
    bench.faults("inventory", faults).await;
    let mut deal = Deal::create(&bench, &[("1", None, &["RESERVE_INVENTORY"])]).await;
    deal.until("the outcome is unknown", |deal| deal.step("1:RESERVE_INVENTORY") == StepStatus::Unknown).await;
    deal.cancel().await.unwrap();
    bench.faults("inventory", json!([])).await;
    deal.until_status(OrderStatus::Cancelled).await;
    assert_eq!(deal.effects("inventory").await.iter().filter(|(_, effect, _)| effect == "RELEASED").count(), 1);
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_cancelled_before_its_start_has_nothing_to_undo() {
    let mut bench = Bench::still().await;
    bench.proxy.set_down(true);
    let mut deal = Deal::create(&bench, &[("1", None, ALL_STEPS)]).await;
    deal.cancel().await.unwrap();
    let key = deal.key.clone();
    let order_id = deal.order_id.clone();
    drop(deal);
    bench.run();
    bench.until_ledger_is(&key, "ENDED").await;
    bench.proxy.set_down(false);
    bench.until_sent(cpq_avro::topics::ORDER_COMMANDS, "RecordFulfilmentCancelled").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let url = format!("{}/inventory/effects?orderId={order_id}", bench.simulators.base_url());
    let effects: serde_json::Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    assert_eq!(effects["total"], 0);
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_undone_is_reported_and_the_rest_is_undone() {
    let bench = Bench::open().await;
    bench.faults("inventory", json!([{"kind": "ERROR_5XX", "operation": "COMPENSATE"}])).await;
    bench.faults("billing", json!([{"kind": "REJECT"}])).await;
    bench.faults("activation", json!([{"kind": "REJECT", "match": {"stepId": "2:ACTIVATE_SERVICE"}}])).await;
    let steps = &["RESERVE_INVENTORY", "ACTIVATE_SERVICE"];
    let mut deal = Deal::create(&bench, &[("1", None, steps), ("2", None, &["ACTIVATE_SERVICE"])]).await;
    deal.until("line 1 stands and line 2 fell out", |deal| {
        deal.step("1:ACTIVATE_SERVICE") == StepStatus::Completed && deal.order().status() == OrderStatus::Fallout
    })
    .await;
    deal.cancel().await.unwrap();
    deal.until("the failed undoing is reported", |deal| {
        deal.step("1:RESERVE_INVENTORY") == StepStatus::CompensationFailed
    })
    .await;
    deal.until("the rest is undone", |deal| deal.step("1:ACTIVATE_SERVICE") == StepStatus::Compensated).await;
    assert_eq!(deal.order().status(), OrderStatus::PendingCancellation);
    bench.close().await;
}

/// Fault 51b.
#[tokio::test(flavor = "multi_thread")]
async fn of_cancellation_and_irreversible_step_exactly_one_wins() {
    let bench = Bench::open().await;
    bench.faults("billing", json!([{"kind": "DELAY", "delayMs": 300}])).await;
    for pause in [0, 100, 200, 300, 400, 600, 900, 1300] {
        let mut deal = Deal::create(&bench, &[("1", None, &["START_BILLING"])]).await;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        match deal.cancel().await {
            Ok(()) => {
                deal.until_status(OrderStatus::Cancelled).await;
                assert_eq!(deal.effects("billing").await, [], "after {pause} ms");
            }
            Err(rejection) => {
                assert!(
                    matches!(rejection.code, ErrorCode::OrderPastPointOfNoReturn | ErrorCode::OrderNotCancellable),
                    "{rejection:?}"
                );
                deal.until_status(OrderStatus::Completed).await;
                assert_eq!(deal.effects("billing").await, [once("1:START_BILLING", "BILLING")], "after {pause} ms");
            }
        }
    }
    bench.close().await;
}
