//! The projection on a real database: what each view shows after each event of a deal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod aggregate_support;
mod projection_support;
mod role_support;
#[path = "../../runtime/tests/support/mod.rs"]
mod support;

use aggregate_support::Sent;
use cpq_avro::topics;
use cpq_domain::approval::ApprovalLevel::{Finance, SalesDirector, SalesManager};
use cpq_domain::command::{Claims, Role};
use pretty_assertions::assert_eq;
use projection_support::{QUOTE, apply, columns, name_of, story};
use role_support::{ACCOUNT, ACME, CUSTOMER, Office, STEPS, approver, person, sales};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn the_workspace_follows_a_quote_from_draft_to_order() {
    let mut office = Office::open().await;
    let order = office.accepted(ACME, QUOTE).await;
    let query = "select jsonb_build_array(current_revision, status, total_amount::text, approval_status, \
        artifact_status, order_id is not null, projection_version) from cpq.quote_workspace_view";
    assert_eq!(
        story(&office, topics::QUOTE_EVENTS, query).await,
        [
            "QuoteCreated: 1 DRAFT null null null false 1",
            "QuoteConfigured: 2 CONFIGURED null null null false 2",
            "QuotePriced: 3 PRICED 528.000000 null null false 3",
            "QuoteSubmittedForApproval: 4 PENDING_APPROVAL_WORKFLOW_START 528.000000 PENDING null false 4",
            "QuoteApprovalStarted: 4 PENDING_APPROVAL 528.000000 PENDING null false 5",
            "QuoteApprovalStepDecided: 4 PENDING_APPROVAL 528.000000 PENDING null false 6",
            "QuoteApproved: 5 APPROVED 528.000000 APPROVED null false 7",
            "QuoteArtifactGenerated: 5 APPROVED 528.000000 APPROVED GENERATED false 8",
            "QuoteAccepted: 6 ACCEPTED_PENDING_ORDER_CREATION 528.000000 APPROVED ACCEPTED true 9",
            "QuoteOrderLinked: 6 ACCEPTED 528.000000 APPROVED ACCEPTED true 10",
        ]
    );
    let query = "select jsonb_build_array(tenant_id, quote_id, customer_account_id, customer_name, sales_owner_id, \
        currency, order_id) from cpq.quote_workspace_view";
    let row = [ACME, QUOTE, ACCOUNT, CUSTOMER, "alice", "USD", order.as_str()];
    assert_eq!(columns(&office, query).await, [row]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_configuration_takes_price_and_approval_out_of_the_workspace() {
    let mut office = Office::open().await;
    office.submitted(ACME, QUOTE, "12").await;
    office.approval_started(ACME, QUOTE).await;
    office.complete(ACME, QUOTE, "bob", SalesManager, "REJECT").await;
    let line = json!({"lineNumber": "1", "productOfferingId": "seat", "quantity": "6", "action": "ADD"});
    office.say(ACME, sales(), Sent::quote(QUOTE, "ConfigureQuote", json!({"quoteRevision": 5, "lines": [line]}))).await;
    let query = "select jsonb_build_array(status, total_amount::text, approval_status) from cpq.quote_workspace_view";
    let story = story(&office, topics::QUOTE_EVENTS, query).await;
    assert_eq!(
        story[story.len() - 2..],
        ["QuoteApprovalRejected: APPROVAL_REJECTED 528.000000 REJECTED", "QuoteConfigured: CONFIGURED null null"]
    );
}

const TASKS: &str = "select jsonb_build_array(candidate_role, status, assignee, \
    round(extract(epoch from due_at - created_at) / 3600)) \
    from cpq.approval_worklist_view order by approval_order, candidate_role desc";

#[tokio::test(flavor = "multi_thread")]
async fn the_worklist_opens_a_task_when_those_before_it_have_approved() {
    let mut office = Office::open().await;
    office.submitted(ACME, QUOTE, "25").await;
    office.approval_started(ACME, QUOTE).await;
    for name in ["ClaimTask", "UnclaimTask"] {
        let payload = json!({"taskId": office.task(ACME, QUOTE, SalesManager).await});
        office.say(ACME, approver("bob"), Sent::quote(QUOTE, name, payload)).await;
    }
    office.complete(ACME, QUOTE, "bob", SalesManager, "APPROVE").await;
    office.complete(ACME, QUOTE, "carol", SalesDirector, "APPROVE").await;
    let story = story(&office, topics::QUOTE_EVENTS, TASKS).await;
    let (manager, director) = ("SALES_MANAGER OPEN null 24", "SALES_DIRECTOR WAITING null null");
    assert_eq!(
        story[2..],
        [
            "QuotePriced: ".to_owned(),
            format!("QuoteSubmittedForApproval: {manager} | {director}"),
            format!("QuoteApprovalStarted: {manager} | {director}"),
            format!("QuoteApprovalStepClaimed: SALES_MANAGER CLAIMED bob 24 | {director}"),
            format!("QuoteApprovalStepReleased: {manager} | {director}"),
            "QuoteApprovalStepDecided: SALES_MANAGER COMPLETED bob 24 | SALES_DIRECTOR OPEN null 24".to_owned(),
            "QuoteApprovalStepDecided: SALES_MANAGER COMPLETED bob 24 | SALES_DIRECTOR COMPLETED carol 24".to_owned(),
            "QuoteApproved: SALES_MANAGER COMPLETED bob 24 | SALES_DIRECTOR COMPLETED carol 24".to_owned(),
        ]
    );
    // The director's time counts from the manager's decision.
    let query = "select jsonb_build_array(due_at = created_at + interval '24 hours', due_at > created_at + interval '24 hours') \
        from cpq.approval_worklist_view order by approval_order";
    assert_eq!(columns(&office, query).await, [["true", "false"], ["false", "true"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worklist_opens_parallel_tasks_together_and_what_follows_after_the_last_of_them() {
    let mut office = Office::open().await;
    office.submitted_for(ACME, QUOTE, "500", 61, "25").await;
    office.approval_started(ACME, QUOTE).await;
    for (who, level) in [("bob", SalesManager), ("carol", SalesDirector), ("dave", Finance)] {
        office.complete(ACME, QUOTE, who, level, "APPROVE").await;
    }
    let query = "select jsonb_build_array(candidate_role, status) from cpq.approval_worklist_view \
        order by approval_order, candidate_role desc";
    let story = story(&office, topics::QUOTE_EVENTS, query).await;
    let statuses = [
        ["OPEN", "WAITING", "WAITING", "WAITING"],
        ["OPEN", "WAITING", "WAITING", "WAITING"],
        ["COMPLETED", "OPEN", "OPEN", "WAITING"],
        ["COMPLETED", "COMPLETED", "OPEN", "WAITING"],
        ["COMPLETED", "COMPLETED", "COMPLETED", "OPEN"],
    ];
    for (told, [manager, director, finance, legal]) in story[3..].iter().zip(statuses) {
        let rows = format!("SALES_MANAGER {manager} | SALES_DIRECTOR {director} | FINANCE {finance} | LEGAL {legal}");
        assert_eq!(told.split_once(": ").unwrap().1, rows);
    }
    assert_eq!(story.len(), 3 + statuses.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_takes_the_other_tasks_off_the_worklist() {
    let mut office = Office::open().await;
    office.submitted(ACME, QUOTE, "25").await;
    office.approval_started(ACME, QUOTE).await;
    office.complete(ACME, QUOTE, "bob", SalesManager, "REJECT").await;
    apply(&office, &office.deliveries(&[topics::QUOTE_EVENTS]).await).await.unwrap();
    let query = "select jsonb_build_array(candidate_role, status, requested_by, quote_revision) \
        from cpq.approval_worklist_view order by approval_order";
    let rows = [["SALES_MANAGER", "COMPLETED", "alice", "4"], ["SALES_DIRECTOR", "CANCELLED", "alice", "4"]];
    assert_eq!(columns(&office, query).await, rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overdue_task_says_to_whom_it_went() {
    let mut office = Office::open().await;
    office.submitted(ACME, QUOTE, "12").await;
    office.approval_started(ACME, QUOTE).await;
    let request = office.quote(ACME, QUOTE).await.approval().unwrap().approval_request_id.clone();
    let payload = json!({"approvalRequestId": request, "level": "SALES_MANAGER"});
    office.say(ACME, Claims::system("bridge"), Sent::quote(QUOTE, "EscalateApprovalStep", payload)).await;
    apply(&office, &office.deliveries(&[topics::QUOTE_EVENTS]).await).await.unwrap();
    let query = "select jsonb_build_array(status, escalated, escalated_role) from cpq.approval_worklist_view";
    assert_eq!(columns(&office, query).await, [["OPEN", "true", "SALES_DIRECTOR"]]);
}

const OPERATIONS: &str = "select jsonb_build_array(o.current_revision, o.status, steps_completed, steps_total, \
    open_fallout, (select string_agg(task.status, ',') from cpq.approval_worklist_view task where type = 'FALLOUT')) \
    from cpq.order_operations_view o";

#[tokio::test(flavor = "multi_thread")]
async fn operations_count_the_steps_and_the_fallout_of_an_order() {
    let mut office = Office::open().await;
    let order = office.accepted(ACME, QUOTE).await;
    office.fulfilment_started(ACME, &order).await;
    office.step_done(ACME, &order, STEPS[0]).await;
    let failed = json!({"stepId": STEPS[1], "code": "NO_ACCOUNT", "detail": "unknown account"});
    office.report(ACME, &order, "RecordStepStarted", json!({"stepId": STEPS[1], "attempt": 1})).await;
    office.report(ACME, &order, "RecordStepRejected", failed).await;
    office.report(ACME, &order, "RecordStepStarted", json!({"stepId": STEPS[1], "attempt": 2})).await;
    let done = json!({"stepId": STEPS[1], "externalReference": "ref"});
    office.report(ACME, &order, "RecordStepCompleted", done).await;
    assert_eq!(
        story(&office, topics::ORDER_EVENTS, OPERATIONS).await,
        [
            "OrderCreated: 1 CREATED_PENDING_WORKFLOW_START 0 2 0 null",
            "OrderFulfilmentStarted: 1 IN_PROGRESS 0 2 0 null",
            "OrderStepStarted: 1 IN_PROGRESS 0 2 0 null",
            "OrderStepCompleted: 1 IN_PROGRESS 1 2 0 null",
            "OrderStepStarted: 1 IN_PROGRESS 1 2 0 null",
            "OrderFalloutRaised: 1 FALLOUT 1 2 1 OPEN",
            "OrderStepStarted: 1 FALLOUT 1 2 1 OPEN",
            "OrderStepCompleted: 1 FALLOUT 2 2 1 OPEN",
            "OrderFalloutResolved: 1 IN_PROGRESS 2 2 0 COMPLETED",
            "OrderCompleted: 2 COMPLETED 2 2 0 COMPLETED",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_take_back_what_a_cancellation_undoes() {
    let mut office = Office::open().await;
    let order = office.accepted(ACME, QUOTE).await;
    office.fulfilment_started(ACME, &order).await;
    office.step_done(ACME, &order, STEPS[0]).await;
    let cancel = json!({"orderRevision": 1, "reasonCode": "CUSTOMER_WISH"});
    office.command_order(ACME, person("olga", Role::OrderManager), &order, "CancelOrder", cancel).await;
    let undone = json!({"stepId": STEPS[0], "externalReference": "undo"});
    office.report(ACME, &order, "RecordStepCompensated", undone).await;
    office.report(ACME, &order, "RecordFulfilmentCancelled", json!({"planVersion": 1})).await;
    let story = story(&office, topics::ORDER_EVENTS, OPERATIONS).await;
    assert_eq!(
        story[4..],
        [
            "OrderCancellationRequested: 2 PENDING_CANCELLATION 1 2 0 null",
            "OrderStepCompensated: 2 PENDING_CANCELLATION 0 2 0 null",
            "OrderCancelled: 3 CANCELLED 0 2 0 null",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_timeline_tells_every_event_of_a_customer_once_in_a_sentence() {
    let mut office = Office::open().await;
    let order = office.fulfilled(ACME, QUOTE).await;
    let events = office.events().await;
    let names: Vec<_> = events.iter().map(|e| (e.key.clone(), name_of(e).to_owned())).collect();
    apply(&office, &events).await.unwrap();
    let query = "select jsonb_build_array(aggregate_id, event_type) from cpq.customer_commercial_timeline_view \
        order by aggregate_type desc, aggregate_sequence";
    let told: Vec<_> = columns(&office, query).await.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    assert_eq!((told.len(), told), (names.len(), names));
    let query = "select jsonb_build_array(actor_id, summary) from cpq.customer_commercial_timeline_view \
        where customer_account_id = 'acct-1' and tenant_id = 'tenant-acme' \
          and event_type in ('QuoteCreated', 'QuotePriced', 'QuoteApprovalStepDecided', 'QuoteAccepted', 'OrderCompleted') \
        order by occurred_at, aggregate_sequence";
    let sentences = [
        ["alice".to_owned(), format!("Quote {QUOTE} created by alice in USD")],
        ["alice".to_owned(), format!("Quote {QUOTE} priced at 528.00 USD")],
        ["bob".to_owned(), format!("bob approved quote {QUOTE} as SALES_MANAGER: MY_REASON")],
        ["alice".to_owned(), format!("Quote {QUOTE} accepted by Nora")],
        ["cpq-test".to_owned(), format!("Order {order} completed")],
    ];
    assert_eq!(columns(&office, query).await, sentences);
}
