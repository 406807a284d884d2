//! Approvals through the whole bridge, on the real engine: started once whatever the network does, opened,
//! escalated, completed after the quote's decision, ended.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bridge_support;
mod engine_support;

use bridge_support::deals::{approval, start};
use bridge_support::{Bench, eventually};
use camunda_bridge::engine::{
    EngineError, ExternalTaskQuery, JobQuery, StartProcess, UserTask, UserTaskQuery, Variables,
};
use cpq_avro::{Command, topics};
use cpq_domain::approval::ApprovalLevel::{self, Finance, SalesDirector, SalesManager};
use cpq_domain::ids::TaskId;
use cpq_domain::quote::QuoteCommand;
use cpq_domain::quote::command::Verdict;
use cpq_domain::workflow::{CompleteApprovalStep, EndApproval, StartApproval, WorkflowCommand, WorkflowEvent};
use pretty_assertions::assert_eq;
use std::time::Duration;

fn key(approval: &StartApproval) -> &str {
    approval.approval_request_id.as_str()
}

async fn task(bench: &Bench, approval: &StartApproval, level: ApprovalLevel) -> UserTask {
    let id = TaskId::approval(&approval.approval_request_id, level.as_str());
    eventually(&format!("a user task for {level}"), || async {
        let query = UserTaskQuery { task_id: Some(id.as_str()), ..UserTaskQuery::default() };
        bench.stage.engine.user_tasks(&query).await.unwrap().pop()
    })
    .await
}

fn decided(approval: &StartApproval, level: ApprovalLevel, decision: Verdict) -> WorkflowCommand {
    WorkflowCommand::CompleteApprovalStep(CompleteApprovalStep {
        quote_id: approval.quote_id.clone(),
        approval_request_id: approval.approval_request_id.clone(),
        level,
        decision,
    })
}

fn ended(approval: &StartApproval) -> WorkflowCommand {
    WorkflowCommand::EndApproval(EndApproval {
        quote_id: approval.quote_id.clone(),
        approval_request_id: approval.approval_request_id.clone(),
        reason: "WITHDRAWN".to_owned(),
    })
}

async fn tasks_of(bench: &Bench, approval: &StartApproval) -> usize {
    let query = UserTaskQuery { business_key: Some(key(approval)), ..UserTaskQuery::default() };
    bench.stage.engine.user_tasks(&query).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn approval_process_creates_user_task() {
    let bench = Bench::open().await;
    let approval = approval(&[(SalesManager, 1), (Finance, 2)]);
    bench.command(start(&approval)).await;
    let task = task(&bench, &approval, SalesManager).await;
    let instance = bench.admitted(key(&approval)).await;
    assert_eq!(task.process_instance_id, instance);
    assert_eq!(tasks_of(&bench, &approval).await, 1, "the second group waits for the first");

    let facts = bench.facts(key(&approval)).await;
    let [(_, WorkflowEvent::ProcessStarted(started)), (_, WorkflowEvent::UserTaskCreated(created))] = &facts[..] else {
        panic!("{facts:?}")
    };
    assert_eq!((&started.process_instance_id, &started.quote_id), (&instance, &Some(approval.quote_id.clone())));
    assert_eq!(
        (created.level, created.task_id.as_str()),
        (SalesManager, format!("{}.SALES_MANAGER", key(&approval)).as_str())
    );
    let due = created.due_at.unwrap().into_inner();
    assert_eq!(task.due, Some(due.replace_nanosecond(0).unwrap()));
    let sent = bench.sent(topics::QUOTE_COMMANDS).await;
    let [Command::Quote(QuoteCommand::RecordApprovalStarted(report))] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(report.process_instance_id, instance);
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn approval_sla_timer_escalates() {
    let bench = Bench::open().await;
    let approval = approval(&[(SalesManager, 1)]);
    bench.command(start(&approval)).await;
    task(&bench, &approval, SalesManager).await;
    let instance = bench.admitted(key(&approval)).await;
    let engine = &bench.stage.engine;
    let query = JobQuery { process_instance_id: Some(&instance), timers: true, ..JobQuery::default() };
    let timer = engine.jobs(&query).await.unwrap().remove(0);
    engine.set_job_due_date(&timer.id, time::OffsetDateTime::now_utc()).await.unwrap();
    // The engine's own threads may be first.
    let executed = engine.execute_job(&timer.id).await;
    assert!(
        matches!(executed, Ok(()) | Err(EngineError::NotFound { .. } | EngineError::Conflict { .. })),
        "{executed:?}"
    );

    bench.until_sent(topics::QUOTE_COMMANDS, "EscalateApprovalStep").await;
    bench.until_facts_are(key(&approval), &["ProcessStarted", "UserTaskCreated", "UserTaskEscalated"]).await;
    let facts = bench.facts(key(&approval)).await;
    let WorkflowEvent::UserTaskEscalated(escalated) = &facts[2].1 else { panic!("{facts:?}") };
    assert_eq!((escalated.level, escalated.escalated_to), (SalesManager, SalesDirector));
    assert_eq!(tasks_of(&bench, &approval).await, 1, "the step stays open");
    bench.close().await;
}

/// The order of things: the quote's command decides and commits, and the engine's task follows it, never the
/// other way about.
#[tokio::test(flavor = "multi_thread")]
async fn the_engine_s_tasks_follow_what_the_quote_has_decided() {
    let bench = Bench::open().await;
    let approval = approval(&[(SalesManager, 1), (Finance, 2), (SalesDirector, 2)]);
    bench.command(start(&approval)).await;
    task(&bench, &approval, SalesManager).await;
    bench.command(decided(&approval, SalesManager, Verdict::Approve)).await;
    task(&bench, &approval, Finance).await;
    task(&bench, &approval, SalesDirector).await;
    // Both at once: they meet where the group joins.
    bench.command(decided(&approval, Finance, Verdict::Approve)).await;
    bench.command(decided(&approval, SalesDirector, Verdict::Approve)).await;
    bench.until_ledger_is(key(&approval), "ENDED").await;
    let names = bench.fact_names(key(&approval)).await;
    assert_eq!(names.iter().filter(|name| **name == "UserTaskCompleted").count(), 3, "{names:?}");
    let commands: Vec<_> = bench.sent(topics::QUOTE_COMMANDS).await.iter().map(Command::name).collect();
    assert_eq!(commands, ["RecordApprovalStarted"], "the engine's completions tell the quote nothing new");
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_approval_ends_with_its_other_tasks() {
    let bench = Bench::open().await;
    let approval = approval(&[(Finance, 1), (SalesDirector, 1)]);
    bench.command(start(&approval)).await;
    task(&bench, &approval, Finance).await;
    bench.command(decided(&approval, Finance, Verdict::Reject)).await;
    bench.until_ledger_is(key(&approval), "ENDED").await;
    assert_eq!(tasks_of(&bench, &approval).await, 0);
    bench.close().await;
}

/// Fault 39.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_completed_twice_makes_one_transition() {
    let mut bench = Bench::open().await;
    bench.run();
    let approval = approval(&[(SalesManager, 1), (Finance, 2)]);
    bench.command(start(&approval)).await;
    task(&bench, &approval, SalesManager).await;
    let id = bench.command(decided(&approval, SalesManager, Verdict::Approve)).await;
    task(&bench, &approval, Finance).await;
    bench.command_again(&id, decided(&approval, SalesManager, Verdict::Approve)).await;
    bench.command(decided(&approval, Finance, Verdict::Approve)).await;
    bench.until_ledger_is(key(&approval), "ENDED").await;
    // The second task may be seen before the first one's completion is written down.
    let created_and_completed =
        ["ProcessStarted", "UserTaskCompleted", "UserTaskCompleted", "UserTaskCreated", "UserTaskCreated"];
    bench.until_facts_are_among(key(&approval), &created_and_completed).await;
    bench.close().await;
}

/// Fault 35.
#[tokio::test(flavor = "multi_thread")]
async fn an_approval_starts_once_when_the_engine_is_back() {
    let bench = Bench::open().await;
    bench.proxy.set_down(true);
    let approval = approval(&[(SalesManager, 1)]);
    bench.command(start(&approval)).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(bench.ledger(key(&approval)).await, ("REQUESTED".to_owned(), None));
    assert_eq!(bench.sent(topics::QUOTE_COMMANDS).await, []);
    bench.proxy.set_down(false);
    task(&bench, &approval, SalesManager).await;
    bench.until_facts_are(key(&approval), &["ProcessStarted", "UserTaskCreated"]).await;
    assert_eq!(bench.proxy.starts(), 1);
    bench.close().await;
}

/// Fault 36.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_timed_out_after_it_succeeded_is_adopted() {
    let bench = Bench::open().await;
    bench.proxy.swallow_starts(1);
    let approval = approval(&[(SalesManager, 1)]);
    bench.command(start(&approval)).await;
    task(&bench, &approval, SalesManager).await;
    eventually("the start is settled", || async {
        (bench.database.attempts().await == [("start-process".to_owned(), "SUCCEEDED".to_owned(), 1)]).then_some(())
    })
    .await;
    assert_eq!(bench.proxy.starts(), 1, "it was not started again");
    assert_eq!(tasks_of(&bench, &approval).await, 1);
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_that_is_killed_in_mid_start_adopts_what_it_started() {
    let mut bench = Bench::open().await;
    bench.proxy.swallow_starts(1);
    let approval = approval(&[(SalesManager, 1)]);
    bench.command(start(&approval)).await;
    while bench.proxy.starts() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bench.crash();
    bench.run();
    task(&bench, &approval, SalesManager).await;
    bench.until_facts_are(key(&approval), &["ProcessStarted", "UserTaskCreated"]).await;
    assert_eq!(bench.proxy.starts(), 1, "it was not started again");
    assert_eq!(bench.database.attempts().await, [("start-process".to_owned(), "SUCCEEDED".to_owned(), 1)]);
    bench.close().await;
}

/// A start that comes through after the engine was asked: two instances, one of them admitted.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_instances_of_one_approval_only_one_has_effects() {
    let mut bench = Bench::still().await;
    let approval = approval(&[(SalesManager, 1)]);
    bench.command(start(&approval)).await;
    let process_key = bench.stage.process("quote-approval");
    let stray = StartProcess {
        process_key: &process_key,
        business_key: key(&approval),
        variables: Variables::new().with_text("tenantId", bench.tenant.as_str()).unwrap().with_long("groupCount", 1),
    };
    let mut strays = Vec::new();
    for _ in 0..2 {
        strays.push(bench.stage.engine.start_process(&stray).await.unwrap().id);
    }
    bench.run();
    task(&bench, &approval, SalesManager).await;
    let admitted = bench.admitted(key(&approval)).await;
    assert!(strays.contains(&admitted), "what runs already is adopted");
    for lost in strays.iter().filter(|id| **id != admitted) {
        eventually("the other instance ends", || async {
            bench.stage.engine.process_instance(lost).await.unwrap().is_none().then_some(())
        })
        .await;
    }
    assert_eq!(tasks_of(&bench, &approval).await, 1);
    assert_eq!(bench.fact_names(key(&approval)).await, ["ProcessStarted", "UserTaskCreated"]);
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_that_ends_leaves_no_task_locked() {
    let mut bench = Bench::open().await;
    // Its polls wait at the engine by now.
    tokio::time::sleep(Duration::from_millis(100)).await;
    bench.ask_to_end();
    let process_key = bench.stage.process("quote-approval");
    let approval = approval(&[(SalesManager, 1)]);
    let start = StartProcess {
        process_key: &process_key,
        business_key: key(&approval),
        variables: Variables::new().with_text("tenantId", bench.tenant.as_str()).unwrap().with_long("groupCount", 1),
    };
    let instance = bench.stage.engine.start_process(&start).await.unwrap().id;
    bench.ended().await;
    // Long enough for a poll that was left behind to have locked it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let query = ExternalTaskQuery { process_instance_id: Some(&instance), ..ExternalTaskQuery::default() };
    let tasks = bench.stage.engine.external_tasks(&query).await.unwrap();
    assert_eq!(tasks.iter().map(|task| task.lock_expiration_time).collect::<Vec<_>>(), [None]);
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_name_opens_no_process() {
    let bench = Bench::open().await;
    let approval = approval(&[(SalesManager, 1)]);
    let process_key = bench.stage.process("quote-approval");
    let foreign = StartProcess {
        process_key: &process_key,
        business_key: key(&approval),
        variables: Variables::new().with_text("tenantId", "tenant-other").unwrap().with_long("groupCount", 1),
    };
    let foreign = bench.stage.engine.start_process(&foreign).await.unwrap().id;
    eventually("the foreign instance ends", || async {
        bench.stage.engine.process_instance(&foreign).await.unwrap().is_none().then_some(())
    })
    .await;
    assert_eq!(bench.fact_names(key(&approval)).await, Vec::<&str>::new());
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_was_withdrawn_before_its_start_is_never_started() {
    let mut bench = Bench::still().await;
    let approval = approval(&[(SalesManager, 1)]);
    bench.command(start(&approval)).await;
    bench.command(ended(&approval)).await;
    bench.proxy.set_down(true);
    bench.run();
    bench.until_ledger_is(key(&approval), "ENDED").await;
    bench.proxy.set_down(false);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(tasks_of(&bench, &approval).await, 0);
    assert_eq!(bench.sent(topics::QUOTE_COMMANDS).await, []);
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_was_withdrawn_leaves_no_task() {
    let bench = Bench::open().await;
    let approval = approval(&[(SalesManager, 1), (Finance, 1)]);
    bench.command(start(&approval)).await;
    task(&bench, &approval, Finance).await;
    bench.command(ended(&approval)).await;
    bench.until_ledger_is(key(&approval), "ENDED").await;
    assert_eq!(tasks_of(&bench, &approval).await, 0);
    bench.close().await;
}

/// Fault 57: the engine's own user interface is no way around the quote.
#[tokio::test(flavor = "multi_thread")]
async fn a_completion_behind_our_back_changes_no_truth() {
    let bench = Bench::open().await;
    let approval = approval(&[(SalesManager, 1), (Finance, 2)]);
    bench.command(start(&approval)).await;
    let open = task(&bench, &approval, SalesManager).await;
    let approve = Variables::new().with_text("decision", "APPROVE").unwrap();
    bench.stage.engine.complete_task(&open.id, &approve).await.unwrap();
    task(&bench, &approval, Finance).await;
    assert_eq!(bench.sent(topics::QUOTE_COMMANDS).await.len(), 1, "only that the approval has started");
    // The quote decides otherwise, and the engine follows.
    bench.command(decided(&approval, SalesManager, Verdict::Reject)).await;
    bench.until_ledger_is(key(&approval), "ENDED").await;
    assert_eq!(tasks_of(&bench, &approval).await, 0);
    bench.close().await;
}
