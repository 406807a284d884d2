//! Each path of the two processes, played on the real engine by the client that the bridge uses.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod engine_support;

use camunda_bridge::engine::{
    EngineError, ExternalTaskQuery, Failure, IncidentQuery, InstanceQuery, JobQuery, UserTaskQuery, Variables,
};
use engine_support::{Stage, text};
use pretty_assertions::assert_eq;
use rstest::rstest;
use std::time::Duration;
use time::OffsetDateTime;

#[tokio::test]
async fn an_approval_runs_its_groups_in_order_and_the_steps_of_a_group_in_parallel() {
    let stage = Stage::open().await;
    let run = stage.approval(2).await;
    run.done("admit").await;
    run.open_group(&["SALES_MANAGER"]).await;
    assert_eq!(run.open_tasks().await.len(), 1);
    run.decide("SALES_MANAGER", "APPROVE").await;
    run.open_group(&["SALES_DIRECTOR", "FINANCE"]).await;
    assert_eq!(run.open_tasks().await.len(), 2);
    run.decide("FINANCE", "APPROVE").await;
    assert_eq!(run.open_tasks().await.len(), 1);
    run.decide("SALES_DIRECTOR", "APPROVE").await;
    assert_eq!(run.ended_at().await, ["approved"]);
    stage.close().await;
}

#[tokio::test]
async fn a_rejection_ends_the_approval_with_its_other_tasks_and_groups() {
    let stage = Stage::open().await;
    let run = stage.approval(2).await;
    run.done("admit").await;
    run.open_group(&["SALES_DIRECTOR", "FINANCE", "LEGAL"]).await;
    run.decide("FINANCE", "APPROVE").await;
    run.decide("LEGAL", "REJECT").await;
    assert_eq!(run.ended_at().await, ["approval-rejected", "step-rejected"]);
    assert_eq!(run.open_tasks().await, []);
    stage.close().await;
}

#[tokio::test]
async fn a_step_is_a_task_for_its_level_with_our_id_and_its_due_date() {
    let stage = Stage::open().await;
    let run = stage.approval(1).await;
    run.done("admit").await;
    let due = run.open_group(&["FINANCE", "LEGAL"]).await;
    let task = run.task("LEGAL").await;
    assert_eq!(task.task_definition_key, "decide-step");
    assert_eq!(task.due, Some(due));
    let local = run.engine().task_local_variables(&task.id).await.unwrap();
    assert_eq!((local.text("taskId"), local.text("level")), (Some(run.task_id("LEGAL").as_str()), Some("LEGAL")));

    run.engine().set_assignee(&task.id, Some("bob")).await.unwrap();
    let mine =
        UserTaskQuery { business_key: Some(&run.key), candidate_group: Some("LEGAL"), ..UserTaskQuery::default() };
    let found = run.engine().user_tasks(&mine).await.unwrap();
    assert_eq!(found.iter().map(|task| task.assignee.as_deref()).collect::<Vec<_>>(), [Some("bob")]);
    run.engine().set_assignee(&task.id, None).await.unwrap();
    assert_eq!(run.task("LEGAL").await.assignee, None);
    stage.close().await;
}

#[tokio::test]
async fn a_task_is_completed_once_and_only_with_a_decision() {
    let stage = Stage::open().await;
    let run = stage.approval(1).await;
    run.done("admit").await;
    run.open_group(&["FINANCE"]).await;
    let task = run.task("FINANCE").await;
    for without_decision in [Variables::new(), text("decision", "MAYBE")] {
        let error = run.engine().complete_task(&task.id, &without_decision).await.unwrap_err();
        assert!(matches!(error, EngineError::Rejected { status: 500, .. }), "{error}");
    }
    run.decide("FINANCE", "APPROVE").await;
    let error = run.engine().complete_task(&task.id, &text("decision", "APPROVE")).await.unwrap_err();
    assert!(matches!(error, EngineError::NotFound { .. }), "{error}");
    let error = run.engine().set_assignee(&task.id, Some("bob")).await.unwrap_err();
    assert!(matches!(error, EngineError::NotFound { .. }), "{error}");
    stage.close().await;
}

#[tokio::test]
async fn steps_of_a_group_that_are_decided_at_the_same_time_all_count() {
    let stage = Stage::open().await;
    let run = stage.approval(1).await;
    run.done("admit").await;
    let levels = ["SALES_MANAGER", "SALES_DIRECTOR", "FINANCE", "LEGAL"];
    run.open_group(&levels).await;
    let decide = async |level: &str| {
        let task = run.task(level).await;
        // They meet where the group joins: the engine lets one through and rolls the others back.
        while let Err(error) = run.engine().complete_task(&task.id, &text("decision", "APPROVE")).await {
            assert!(matches!(error, EngineError::Conflict { .. }), "{error:?}");
        }
    };
    futures::future::join_all(levels.map(decide)).await;
    assert_eq!(run.ended_at().await, ["approved"]);
    stage.close().await;
}

#[tokio::test]
async fn a_missed_sla_escalates_its_step_and_leaves_the_task_open() {
    let stage = Stage::open().await;
    let run = stage.approval(1).await;
    run.done("admit").await;
    run.open_group(&["SALES_MANAGER", "FINANCE"]).await;
    let query = JobQuery { process_instance_id: Some(&run.instance), timers: true, ..JobQuery::default() };
    let timers = run.engine().jobs(&query).await.unwrap();
    assert_eq!(timers.len(), 2);
    let in_a_day = OffsetDateTime::now_utc() + Duration::from_secs(24 * 3600);
    let due = timers[0].due_date.unwrap();
    assert!((in_a_day - due).abs() < Duration::from_secs(60), "{due}");
    let yesterday = OffsetDateTime::now_utc() - Duration::from_secs(24 * 3600);
    run.engine().set_job_due_date(&timers[0].id, yesterday).await.unwrap();
    // The engine's own threads may be first.
    let executed = run.engine().execute_job(&timers[0].id).await;
    assert!(
        matches!(executed, Ok(()) | Err(EngineError::NotFound { .. } | EngineError::Conflict { .. })),
        "{executed:?}"
    );

    let escalation = run.take("escalate-approval-step").await;
    let level = escalation.variables.text("level").unwrap();
    assert_eq!(escalation.variables.text("taskId"), Some(run.task_id(level).as_str()));
    assert_eq!(run.open_tasks().await.len(), 2);
    run.complete(&escalation, Variables::new()).await;
    run.decide("SALES_MANAGER", "APPROVE").await;
    run.decide("FINANCE", "APPROVE").await;
    assert_eq!(run.ended_at().await, ["approved", "step-escalated"]);
    stage.close().await;
}

#[tokio::test]
async fn an_ended_approval_leaves_no_task_and_is_ended_once() {
    let stage = Stage::open().await;
    let run = stage.approval(1).await;
    run.done("admit").await;
    run.open_group(&["SALES_MANAGER", "FINANCE"]).await;
    run.message("ApprovalEnded").await.unwrap();
    assert_eq!(run.ended_at().await, ["approval-stopped"]);
    assert_eq!(run.open_tasks().await, []);
    let error = run.message("ApprovalEnded").await.unwrap_err();
    assert!(matches!(error, EngineError::NotCorrelated { .. }), "{error}");
    stage.close().await;
}

#[rstest]
#[case("quote-approval", "groupCount")]
#[case("order-fulfillment", "lineCount")]
#[tokio::test]
async fn an_instance_that_is_not_admitted_ends_before_any_effect(#[case] process: &str, #[case] count: &str) {
    let stage = Stage::open().await;
    let run = stage.start(process, Variables::new().with_long(count, 1)).await;
    let admit = run.take("admit").await;
    assert_eq!(admit.process_instance_id, run.instance);
    run.error(&admit, "NOT_ADMITTED").await;
    assert_eq!(run.ended_at().await, ["lost-start"]);
    let activities = run.reached().await;
    assert_eq!(activities.len(), 4, "start, admit, boundary, end: {activities:?}");
    stage.close().await;
}

#[tokio::test]
async fn an_approval_that_ends_before_it_is_admitted_has_nothing_left_to_admit() {
    let stage = Stage::open().await;
    let run = stage.approval(1).await;
    let admit = run.take("admit").await;
    run.message("ApprovalEnded").await.unwrap();
    assert_eq!(run.ended_at().await, ["approval-stopped"]);
    let late = run.engine().complete_external_task(&admit.id, &stage.worker, &Default::default()).await.unwrap_err();
    assert!(matches!(late, EngineError::NotFound { .. }), "{late}");
    stage.close().await;
}

#[tokio::test]
async fn an_order_is_fulfilled_line_by_line_with_only_the_steps_that_a_line_has() {
    let stage = Stage::open().await;
    let run = stage.fulfilment(2).await;
    run.done("admit").await;
    let mut lines = run.take_all("plan-line", 2).await;
    lines.sort_by_key(|line| line.variables.long("lineIndex"));
    assert_eq!(lines.iter().map(|l| l.variables.long("lineIndex")).collect::<Vec<_>>(), [Some(0), Some(1)]);
    run.plan(&lines[0], "1", &["reserve-inventory", "activate-service", "start-billing"]).await;
    run.plan(&lines[1], "1.1", &["start-billing"]).await;
    for dependency in run.take_all("await-dependencies", 2).await {
        run.complete(&dependency, Variables::new()).await;
    }
    for topic in ["reserve-inventory", "activate-service"] {
        let task = run.done(topic).await;
        assert_eq!(task.variables.text("fulfillmentStepId"), Some(format!("1-{topic}").as_str()));
    }
    let mut steps = Vec::new();
    for billing in run.take_all("start-billing", 2).await {
        steps.push(billing.variables.text("fulfillmentStepId").unwrap().to_owned());
        run.complete(&billing, Variables::new()).await;
    }
    steps.sort();
    assert_eq!(steps, ["1-start-billing", "1.1-start-billing"]);
    assert_eq!(run.ended_at().await, ["order-fulfilled"]);
    stage.close().await;
}

#[tokio::test]
async fn lines_that_finish_at_the_same_time_all_count() {
    let stage = Stage::open().await;
    const LINES: usize = 8;
    let run = stage.fulfilment(LINES as i64).await;
    run.done("admit").await;
    for line in run.take_all("plan-line", LINES).await {
        run.plan(&line, "1", &["start-billing"]).await;
    }
    for dependency in run.take_all("await-dependencies", LINES).await {
        run.complete(&dependency, Variables::new()).await;
    }
    let tasks = run.take_all("start-billing", LINES).await;
    futures::future::join_all(tasks.iter().map(|task| run.complete(task, Variables::new()))).await;
    assert_eq!(run.ended_at().await, ["order-fulfilled"]);
    stage.close().await;
}

#[rstest]
#[case("reserve-inventory", "INVENTORY_NOT_AVAILABLE", "SKIP")]
#[case("activate-service", "ACTIVATION_REJECTED", "COMPLETE_MANUALLY")]
#[case("start-billing", "BILLING_REJECTED", "RETRY")]
#[case("reserve-inventory", "OUTCOME_UNKNOWN", "RETRY")]
#[case("activate-service", "OUTCOME_UNKNOWN", "SKIP")]
#[case("start-billing", "OUTCOME_UNKNOWN", "COMPLETE_MANUALLY")]
#[tokio::test]
async fn a_step_that_cannot_be_done_raises_fallout_and_goes_on_as_it_is_resolved(
    #[case] topic: &str,
    #[case] code: &str,
    #[case] resolution: &str,
) {
    let stage = Stage::open().await;
    let run = stage.fulfilment(1).await;
    run.planned(&[topic]).await;
    let task = run.take(topic).await;
    run.error(&task, code).await;
    let fallout = run.take("raise-fallout").await;
    let step = format!("1-{topic}");
    assert_eq!(fallout.variables.text("fulfillmentStepId"), Some(step.as_str()));
    assert_eq!(fallout.variables.text("falloutCode"), Some(code));
    assert_eq!(fallout.variables.text("falloutMessage"), Some("the simulator said no"));
    run.complete(&fallout, Variables::new()).await;
    run.resolve(&step, resolution).await.unwrap();
    if resolution == "RETRY" {
        run.done(topic).await;
    }
    run.nothing_to_do(topic).await;
    assert_eq!(run.ended_at().await, ["order-fulfilled"]);
    stage.close().await;
}

#[tokio::test]
async fn a_resolution_reaches_only_its_own_step_and_only_once() {
    let stage = Stage::open().await;
    let run = stage.fulfilment(2).await;
    run.done("admit").await;
    for (line, number) in run.take_all("plan-line", 2).await.iter().zip(["1", "2"]) {
        run.plan(line, number, &["start-billing"]).await;
    }
    for dependency in run.take_all("await-dependencies", 2).await {
        run.complete(&dependency, Variables::new()).await;
    }
    for task in run.take_all("start-billing", 2).await {
        run.error(&task, "BILLING_REJECTED").await;
    }
    for fallout in run.take_all("raise-fallout", 2).await {
        run.complete(&fallout, Variables::new()).await;
    }
    let unknown = run.resolve("2-start-billing", "GIVE_UP").await.unwrap_err();
    assert!(matches!(unknown, EngineError::Rejected { .. }), "{unknown}");
    run.resolve("2-start-billing", "RETRY").await.unwrap();
    let again = run.take("start-billing").await;
    assert_eq!(again.variables.text("fulfillmentStepId"), Some("2-start-billing"));
    let twice = run.resolve("2-start-billing", "SKIP").await.unwrap_err();
    assert!(matches!(twice, EngineError::NotCorrelated { .. }), "{twice}");
    // A second fallout of the same step has a cause of its own and is resolved on its own.
    run.error(&again, "OUTCOME_UNKNOWN").await;
    let fallout = run.take("raise-fallout").await;
    assert_eq!(fallout.variables.text("falloutCode"), Some("OUTCOME_UNKNOWN"));
    run.complete(&fallout, Variables::new()).await;
    run.resolve("2-start-billing", "SKIP").await.unwrap();
    run.resolve("1-start-billing", "SKIP").await.unwrap();
    assert_eq!(run.ended_at().await, ["order-fulfilled"]);
    stage.close().await;
}

#[tokio::test]
async fn a_step_that_fails_to_the_last_retry_becomes_an_incident_until_it_gets_new_ones() {
    let stage = Stage::open().await;
    let run = stage.fulfilment(1).await;
    run.planned(&["reserve-inventory"]).await;
    let mut task = run.take("reserve-inventory").await;
    assert_eq!(task.retries, None);
    let incidents = IncidentQuery { process_instance_id: Some(&run.instance), ..IncidentQuery::default() };
    for left in [2, 1, 0] {
        assert_eq!(run.engine().incidents(&incidents).await.unwrap(), []);
        let message = "x".repeat(5000);
        let failure = Failure { message: &message, details: "details", retries: left, retry_after: Duration::ZERO };
        run.engine().handle_failure(&task.id, &stage.worker, &failure).await.unwrap();
        if left > 0 {
            task = run.take("reserve-inventory").await;
            assert_eq!(task.retries, Some(left as i32));
        }
    }
    run.nothing_to_do("reserve-inventory").await;
    let found = run.engine().incidents(&incidents).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].incident_type, "failedExternalTask");
    assert_eq!(found[0].activity_id, "reserve-inventory");
    assert_eq!(found[0].configuration.as_deref(), Some(task.id.as_str()));
    let stuck = ExternalTaskQuery {
        process_instance_id: Some(&run.instance),
        no_retries_left: Some(true),
        ..ExternalTaskQuery::default()
    };
    assert_eq!(run.engine().external_tasks(&stuck).await.unwrap().len(), 1);

    run.engine().set_external_task_retries(&task.id, 1).await.unwrap();
    assert_eq!(run.engine().incidents(&incidents).await.unwrap(), []);
    run.done("reserve-inventory").await;
    assert_eq!(run.ended_at().await, ["order-fulfilled"]);
    stage.close().await;
}

#[tokio::test]
async fn a_completion_from_which_the_process_cannot_go_on_is_refused_and_the_task_stays() {
    let stage = Stage::open().await;
    let run = stage.fulfilment(1).await;
    run.done("admit").await;
    // A line that was planned without saying what it needs: the gateway cannot decide.
    let line = run.take("plan-line").await;
    run.complete(&line, text("lineNumber", "1")).await;
    let dependencies = run.take("await-dependencies").await;
    let completion = Default::default();
    let error = run.engine().complete_external_task(&dependencies.id, &stage.worker, &completion).await.unwrap_err();
    assert!(matches!(error, EngineError::Rejected { status: 500, .. }), "{error}");
    assert!(run.engine().external_task(&dependencies.id).await.unwrap().is_some());
    stage.close().await;
}

#[tokio::test]
async fn a_cancellation_stops_all_lines_and_compensates() {
    let stage = Stage::open().await;
    let run = stage.fulfilment(2).await;
    run.done("admit").await;
    let lines = run.take_all("plan-line", 2).await;
    run.plan(&lines[0], "1", &["reserve-inventory"]).await;
    run.done("await-dependencies").await;
    let task = run.take("reserve-inventory").await;
    run.error(&task, "INVENTORY_NOT_AVAILABLE").await;
    run.done("raise-fallout").await;
    run.message("OrderCancellationRequested").await.unwrap();
    run.done("compensate-order").await;
    assert_eq!(run.ended_at().await, ["order-compensated"]);
    let twice = run.message("OrderCancellationRequested").await.unwrap_err();
    assert!(matches!(twice, EngineError::NotCorrelated { .. }), "{twice}");
    stage.close().await;
}

#[tokio::test]
async fn a_business_key_finds_every_instance_of_it_running_or_ended() {
    let stage = Stage::open().await;
    let run = stage.approval(1).await;
    let key = Some(run.key.as_str());
    let start = camunda_bridge::engine::StartProcess {
        process_key: &stage.process("quote-approval"),
        business_key: &run.key,
        variables: Variables::new().with_long("groupCount", 1),
    };
    let second = run.engine().start_process(&start).await.unwrap();
    let query = InstanceQuery { business_key: key, ..InstanceQuery::default() };
    assert_eq!(run.engine().process_instances(&query).await.unwrap().len(), 2);
    run.engine().delete_process_instance(&second.id).await.unwrap();
    let gone = run.engine().delete_process_instance(&second.id).await.unwrap_err();
    assert!(matches!(gone, EngineError::NotFound { .. }), "{gone}");
    assert_eq!(run.engine().process_instances(&query).await.unwrap().len(), 1);
    let mut states: Vec<String> =
        run.engine().process_history(&query).await.unwrap().into_iter().map(|instance| instance.state).collect();
    states.sort();
    assert_eq!(states, ["ACTIVE", "EXTERNALLY_TERMINATED"]);
    let process = stage.process("quote-approval");
    let of_process = InstanceQuery { process_key: Some(&process), ..InstanceQuery::default() };
    assert_eq!(run.engine().process_instances(&of_process).await.unwrap().len(), 1);
    assert_eq!(run.engine().process_history(&of_process).await.unwrap().len(), 2);
    stage.close().await;
}
