//! Faults of the engine and of the way to it, in mid-work: it is slow, loses its lock, its answers or its memory, or
//! does not know what it is told. Each effect happens once, and nothing ends unnoticed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bridge_support;
mod engine_support;

use bridge_support::deals::{Deal, approval, start};
use bridge_support::proxy::Fault;
use bridge_support::{Bench, eventually};
use camunda_bridge::engine::{EngineError, ExternalTaskQuery, InstanceQuery, UserTaskQuery};
use cpq_domain::approval::ApprovalLevel::SalesManager;
use cpq_domain::order::{OrderStatus, StepStatus};
use cpq_domain::quote::command::Verdict;
use cpq_domain::workflow::{CompleteApprovalStep, StartApproval, WorkflowCommand};
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::json;
use std::time::{Duration, Instant};

/// The most calls to the engine of one bridge, requests for work apart: the client's default.
const CALLS_AT_ONCE: usize = 16;
/// A lock that runs out in mid-work.
const SHORT_LOCK: Duration = Duration::from_secs(1);
/// Work that takes longer than the lock, in milliseconds.
const LONG_WORK: u64 = 3_500;

/// What a new version of the fulfilment changes.
const NAME: &str = "name=\"Order fulfilment\"";

const RESERVE: &[&str] = &["RESERVE_INVENTORY"];

fn once(step: &str, effect: &str) -> (String, String, u64) {
    (step.to_owned(), effect.to_owned(), 1)
}

fn count(events: &[&str], name: &str) -> usize {
    events.iter().filter(|event| **event == name).count()
}

/// Fault 37: commands are taken as fast as ever, and the engine gets no more at once than it can bear.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_engine_slows_neither_commands_nor_is_it_flooded() {
    const APPROVALS: usize = 24;
    let bench = Bench::open().await;
    bench.proxy.fault("", Fault::Late(Duration::from_millis(400)), None);
    let approvals: Vec<_> = (0..APPROVALS).map(|_| approval(&[(SalesManager, 1)])).collect();
    let began = Instant::now();
    for approval in &approvals {
        bench.command(start(approval)).await;
    }
    let taken = began.elapsed();
    assert!(taken < Duration::from_secs(3), "commands waited for the engine: {taken:?}");
    for approval in &approvals {
        bench.admitted(approval.approval_request_id.as_str()).await;
    }
    assert!(bench.proxy.hits("") > 2 * APPROVALS, "the engine was never slow");
    let most = bench.proxy.most_in_flight();
    assert!((2..=CALLS_AT_ONCE).contains(&most), "{most} calls at once");
    assert_eq!(bench.proxy.starts(), APPROVALS, "each was started once");
    bench.proxy.heal();
    bench.close().await;
}

/// Fault 36, at its worst: the start arrives when it was given up and made again.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_arrives_late_makes_an_instance_that_has_no_effect() {
    let bench = Bench::open().await;
    bench.proxy.fault("/start", Fault::Late(Duration::from_secs(5)), Some(1));
    let approval = approval(&[(SalesManager, 1)]);
    let key = approval.approval_request_id.as_str();
    bench.command(start(&approval)).await;
    bench.admitted(key).await;
    eventually("the late start arrives", || async { (bench.proxy.starts() == 2).then_some(()) }).await;
    let process_key = bench.stage.process("quote-approval");
    let query = InstanceQuery { business_key: Some(key), process_key: Some(&process_key), ..InstanceQuery::default() };
    eventually("only the admitted instance runs", || async {
        (bench.stage.engine.process_instances(&query).await.unwrap().len() == 1).then_some(())
    })
    .await;
    bench.until_facts_are(key, &["ProcessStarted", "UserTaskCreated"]).await;
    let open = UserTaskQuery { business_key: Some(key), ..UserTaskQuery::default() };
    assert_eq!(bench.stage.engine.user_tasks(&open).await.unwrap().len(), 1);
    bench.close().await;
}

/// Fault 38, where the lock can be kept: whoever works on the task keeps it to the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_extended_for_as_long_as_the_work_takes() {
    let mut bench = Bench::still().await;
    bench.timing.lock = SHORT_LOCK;
    bench.downstream_timeout = Duration::from_secs(8);
    // A second bridge would take what is not kept.
    bench.run();
    bench.run();
    bench.faults("inventory", json!([{"kind": "DELAY", "delayMs": LONG_WORK}])).await;
    let mut deal = Deal::create(&bench, &[("1", None, RESERVE)]).await;
    deal.until_status(OrderStatus::Completed).await;
    assert_eq!(deal.effects("inventory").await, [once("1:RESERVE_INVENTORY", "RESERVED")]);
    assert_eq!(count(&deal.events, "OrderStepStarted"), 1, "{:?}", deal.events);
    assert_eq!(count(&deal.events, "OrderStepOutcomeUnknown"), 0, "nobody else asked: {:?}", deal.events);
    let done = ("reserve".to_owned(), "SUCCEEDED".to_owned(), 1);
    assert!(bench.database.attempts().await.contains(&done), "it was called for once");
    bench.close().await;
}

/// Fault 38, where the lock is lost: another worker takes the task while the first is still in its call.
#[rstest]
#[case::before_the_effect(json!([{"kind": "DELAY", "delayMs": LONG_WORK, "times": 1}]))]
#[case::after_the_effect(json!([{"kind": "APPLY_THEN_TIMEOUT", "delayMs": LONG_WORK, "times": 1}]))]
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_expires_in_mid_work_doubles_no_effect(#[case] faults: serde_json::Value) {
    let mut bench = Bench::still().await;
    bench.timing.lock = SHORT_LOCK;
    bench.downstream_timeout = Duration::from_secs(8);
    bench.run();
    bench.run();
    bench.proxy.fault("/extendLock", Fault::Lost, None);
    bench.faults("inventory", faults).await;
    let mut deal = Deal::create(&bench, &[("1", None, RESERVE)]).await;
    deal.until_status(OrderStatus::Completed).await;
    // The first worker's call ends only now, and it learns that the task is no longer its own.
    tokio::time::sleep(Duration::from_millis(LONG_WORK)).await;
    deal.catch_up().await;
    assert!(bench.proxy.hits("/extendLock") > 0, "the lock was never to be extended");
    assert_eq!(deal.effects("inventory").await, [once("1:RESERVE_INVENTORY", "RESERVED")]);
    assert_eq!(count(&deal.events, "OrderStepCompleted"), 1, "{:?}", deal.events);
    assert_eq!(deal.order().status(), OrderStatus::Completed);
    assert_eq!(bench.fact_names(&deal.key).await, ["ProcessStarted"], "no incident");
    bench.close().await;
}

/// Fault 39: the engine has followed and its answer is lost, so that it is told a second time.
#[tokio::test(flavor = "multi_thread")]
async fn completions_whose_answers_are_lost_make_one_transition_each() {
    let bench = Bench::open().await;
    bench.proxy.fault("/complete", Fault::AnswerLost, Some(4));
    let mut deal = Deal::create(&bench, &[("1", None, RESERVE)]).await;
    deal.until_status(OrderStatus::Completed).await;
    bench.until_ledger_is(&deal.key, "ENDED").await;
    assert_eq!(bench.proxy.hits("/complete"), 4);
    assert_eq!(deal.effects("inventory").await, [once("1:RESERVE_INVENTORY", "RESERVED")]);
    assert_eq!(count(&deal.events, "OrderStepCompleted"), 1, "{:?}", deal.events);
    assert_eq!(bench.fact_names(&deal.key).await, ["ProcessStarted"]);
    bench.close().await;
}

/// Fault 41: nothing catches the error in the version that runs, and the work does not pass for done.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_the_model_does_not_know_becomes_an_incident_and_waits() {
    let bench = Bench::open().await;
    bench.stage.deploy_with("order-fulfillment", "INVENTORY_NOT_AVAILABLE", "SOMETHING_ELSE").await;
    bench.faults("inventory", json!([{"kind": "REJECT"}])).await;
    let mut deal = Deal::create(&bench, &[("1", None, &["RESERVE_INVENTORY", "ACTIVATE_SERVICE"])]).await;
    deal.until_status(OrderStatus::Fallout).await;
    bench.until_facts_are(&deal.key, &["ProcessStarted", "IncidentRaised"]).await;
    deal.catch_up().await;
    assert_eq!(deal.step("1:RESERVE_INVENTORY"), StepStatus::Rejected);
    assert_eq!(deal.order().open_cases().count(), 1, "one fault, one case");
    assert_eq!(bench.ledger(&deal.key).await.0, "ADMITTED", "the process does not end as if all were well");
    assert_eq!(deal.effects("activation").await, []);

    // A version that knows the error: the instance moves there, and the task is told again.
    bench.stage.deploy_with("order-fulfillment", NAME, "name=\"Mended\"").await;
    let instance = bench.admitted(&deal.key).await;
    move_to_newest(&bench, "order-fulfillment", &instance).await.unwrap();
    let stuck = ExternalTaskQuery {
        process_instance_id: Some(&instance),
        no_retries_left: Some(true),
        ..ExternalTaskQuery::default()
    };
    let task = bench.stage.engine.external_tasks(&stuck).await.unwrap().remove(0);
    bench.stage.engine.set_external_task_retries(&task.id, 1).await.unwrap();
    bench.until_facts_are(&deal.key, &["ProcessStarted", "IncidentRaised", "IncidentResolved"]).await;
    deal.catch_up().await;
    assert_eq!(deal.order().open_cases().count(), 1, "the case waits for a person");
    assert_eq!(bench.ledger(&deal.key).await.0, "ADMITTED");
    bench.close().await;
}

/// Fault 42, of external tasks: the engine rolls back what another transaction was faster than.
#[tokio::test(flavor = "multi_thread")]
async fn outcomes_that_lose_a_race_in_the_engine_are_told_again() {
    let bench = Bench::open().await;
    let of_each = 3;
    for path in ["/complete", "/bpmnError", "/failure"] {
        bench.proxy.fault(path, Fault::RolledBack, Some(of_each));
    }
    let faults =
        json!([{"kind": "ERROR_5XX", "times": 1}, {"kind": "REJECT", "match": {"stepId": "2:RESERVE_INVENTORY"}}]);
    bench.faults("inventory", faults).await;
    let mut deal = Deal::create(&bench, &[("1", None, RESERVE), ("2", None, RESERVE)]).await;
    deal.until("one line stands and one fell out", |deal| {
        deal.step("1:RESERVE_INVENTORY") == StepStatus::Completed
            && deal.step("2:RESERVE_INVENTORY") == StepStatus::Rejected
    })
    .await;
    let instance = bench.admitted(&deal.key).await;
    let left = ExternalTaskQuery { process_instance_id: Some(&instance), ..ExternalTaskQuery::default() };
    eventually("the engine waits for a person alone", || async {
        bench.stage.engine.external_tasks(&left).await.unwrap().is_empty().then_some(())
    })
    .await;
    for path in ["/complete", "/bpmnError", "/failure"] {
        assert_eq!(bench.proxy.hits(path), of_each, "{path}");
    }
    deal.catch_up().await;
    assert_eq!(deal.effects("inventory").await, [once("1:RESERVE_INVENTORY", "RESERVED")]);
    assert_eq!(count(&deal.events, "OrderStepCompleted"), 1, "{:?}", deal.events);
    assert_eq!(deal.order().open_cases().count(), 1);
    assert_eq!(bench.fact_names(&deal.key).await, ["ProcessStarted"], "no incident");
    bench.close().await;
}

/// Fault 42, of user tasks.
#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_loses_a_race_in_the_engine_completes_its_task_once() {
    let bench = Bench::open().await;
    let approval = approval(&[(SalesManager, 1)]);
    let key = approval.approval_request_id.as_str();
    bench.command(start(&approval)).await;
    bench.until_facts_are(key, &["ProcessStarted", "UserTaskCreated"]).await;
    bench.proxy.fault("/complete", Fault::RolledBack, Some(3));
    bench.command(approved(&approval)).await;
    bench.until_ledger_is(key, "ENDED").await;
    assert_eq!(bench.proxy.hits("/complete"), 3);
    bench.until_facts_are(key, &["ProcessStarted", "UserTaskCreated", "UserTaskCompleted"]).await;
    bench.close().await;
}

/// Fault 43: what has begun under one version ends under it, beside what begins under the next.
#[tokio::test(flavor = "multi_thread")]
async fn instances_of_two_versions_of_a_model_both_finish() {
    let mut bench = Bench::still().await;
    bench.downstream_timeout = Duration::from_secs(8);
    bench.run();
    let delay = json!([{"kind": "DELAY", "delayMs": 2_500, "times": 1}]);
    bench.faults("inventory", delay).await;
    let mut old = Deal::create(&bench, &[("1", None, &["RESERVE_INVENTORY", "START_BILLING"])]).await;
    old.until("its step is under way", |deal| deal.step("1:RESERVE_INVENTORY") == StepStatus::Running).await;
    bench.stage.deploy_with("order-fulfillment", NAME, "name=\"The next\"").await;
    let mut new = Deal::create(&bench, &[("1", None, &["RESERVE_INVENTORY", "START_BILLING"])]).await;
    new.until_status(OrderStatus::Completed).await;
    old.until_status(OrderStatus::Completed).await;
    for (deal, version) in [(&old, 1), (&new, 2)] {
        assert_eq!(version_of(&bench, &deal.key).await, Some(version));
        assert_eq!(deal.effects("inventory").await, [once("1:RESERVE_INVENTORY", "RESERVED")]);
        assert_eq!(deal.effects("billing").await, [once("1:START_BILLING", "BILLING")]);
    }
    bench.close().await;
}

/// Fault 43: an instance that waits where the newest version has something else stays, and ends as it began.
#[rstest]
#[case::both_have_it("name=\"Quote approval\"", "name=\"The next\"", true, 2)]
#[case::the_task_is_another("\"decide-step\"", "\"judge-step\"", false, 1)]
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_moves_to_the_newest_version_if_it_may(
    #[case] from: &str,
    #[case] to: &str,
    #[case] moves: bool,
    #[case] version: u32,
) {
    let bench = Bench::open().await;
    let approval = approval(&[(SalesManager, 1)]);
    let key = approval.approval_request_id.as_str();
    bench.command(start(&approval)).await;
    bench.until_facts_are(key, &["ProcessStarted", "UserTaskCreated"]).await;
    let open = UserTaskQuery { business_key: Some(key), ..UserTaskQuery::default() };
    eventually("the task is there", || async { bench.stage.engine.user_tasks(&open).await.unwrap().pop() }).await;
    bench.stage.deploy_with("quote-approval", from, to).await;
    let moved = move_to_newest(&bench, "quote-approval", &bench.admitted(key).await).await;
    assert_eq!(moved.is_ok(), moves, "{moved:?}");
    assert!(moves || matches!(moved, Err(EngineError::Rejected { .. })), "{moved:?}");
    bench.command(approved(&approval)).await;
    bench.until_ledger_is(key, "ENDED").await;
    assert_eq!(version_of(&bench, key).await, Some(version));
    bench.until_facts_are(key, &["ProcessStarted", "UserTaskCreated", "UserTaskCompleted"]).await;
    bench.close().await;
}

/// Fault 44: the engine's database is older than the ledger, so that it does not know an instance that has worked.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_the_engine_has_forgotten_is_run_again_and_repeats_no_effect() {
    let bench = Bench::open().await;
    bench.faults("billing", json!([{"kind": "HANG", "delayMs": 60_000}])).await;
    let mut deal = Deal::create(&bench, &[("1", None, &["RESERVE_INVENTORY", "START_BILLING"])]).await;
    deal.until("the first step is done", |deal| deal.step("1:RESERVE_INVENTORY") == StepStatus::Completed).await;
    let forgotten = bench.admitted(&deal.key).await;
    forget(&forgotten).await;
    bench.faults("billing", json!([])).await;

    request_again(&bench, &deal.key).await;
    deal.until_status(OrderStatus::Completed).await;
    assert_ne!(bench.admitted(&deal.key).await, forgotten);
    assert_eq!(deal.effects("inventory").await, [once("1:RESERVE_INVENTORY", "RESERVED")]);
    assert_eq!(deal.effects("billing").await, [once("1:START_BILLING", "BILLING")]);
    assert_eq!(count(&deal.events, "OrderStepCompleted"), 2, "{:?}", deal.events);
    bench.until_ledger_is(&deal.key, "ENDED").await;
    bench.close().await;
}

fn approved(approval: &StartApproval) -> WorkflowCommand {
    WorkflowCommand::CompleteApprovalStep(CompleteApprovalStep {
        quote_id: approval.quote_id.clone(),
        approval_request_id: approval.approval_request_id.clone(),
        level: SalesManager,
        decision: Verdict::Approve,
    })
}

async fn version_of(bench: &Bench, business_key: &str) -> Option<u32> {
    let query = InstanceQuery { business_key: Some(business_key), ..InstanceQuery::default() };
    bench.stage.engine.process_history(&query).await.unwrap().remove(0).process_definition_version
}

/// What `cpq workflow migrate` does with one instance of the version before the newest.
async fn move_to_newest(bench: &Bench, model: &str, instance: &str) -> Result<(), EngineError> {
    let engine = &bench.stage.engine;
    let mut versions = engine.process_definition_versions(&bench.stage.process(model)).await.unwrap();
    let newest = versions.pop().unwrap();
    let plan = engine.migration_plan(&versions.pop().unwrap().id, &newest.id).await.unwrap();
    engine.migrate_instance(&plan, instance).await
}

/// Removes every trace of an instance from the engine.
async fn forget(instance: &str) {
    let http = reqwest::Client::new();
    for path in ["process-instance", "history/process-instance"] {
        let url = format!("{}/{path}/{instance}", engine_support::engine_url());
        // A bridge that extends a lock this moment is in its way.
        eventually(&format!("{path} is gone"), || async {
            http.delete(&url).send().await.unwrap().status().is_success().then_some(())
        })
        .await;
    }
}

/// What `cpq workflow reconcile --repair` does with a process that the engine has lost and the order needs.
async fn request_again(bench: &Bench, business_key: &str) {
    use cpq_state_stores::operations::ledger;
    let mut tx = bench.bridge.db.begin_system().await.unwrap();
    let entries = ledger::open_entries(&mut tx, ("", "", "")).await.unwrap();
    let entry = entries.into_iter().find(|entry| entry.business_key == business_key).unwrap();
    assert!(entry.needed, "{entry:?}");
    assert!(ledger::request_again(&mut tx, &entry).await.unwrap());
    tx.commit().await.unwrap();
}
