//! The projection on a real database: what each view shows after each event of a deal, that repeats change
//! nothing, that a gap stops it, that tenants stay apart, and that the views are what the events make them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod aggregate_support;
mod role_support;
#[path = "../../runtime/tests/support/mod.rs"]
mod support;

use aggregate_support::Sent;
use cpq_avro::{Event, Record, topics};
use cpq_domain::approval::ApprovalLevel::{Finance, SalesDirector, SalesManager};
use cpq_domain::command::{Claims, Role};
use cpq_domain::ids::TenantId;
use cpq_runtime::processor::{AfterCommit, Delivery, Processor as _, StepError};
use cpq_state_stores::Tx;
use cpq_state_stores::operations::rebuild;
use pretty_assertions::assert_eq;
use role_support::{ACCOUNT, ACME, CUSTOMER, GLOBEX, Office, STEPS, approver, person, sales};
use rstest::rstest;
use serde_json::json;
use sqlx::{Row as _, types::Json};
use streams::projection::Projection;

const QUOTE: &str = "Q-2026-000001";
const VIEWS: [&str; 4] =
    ["quote_workspace_view", "order_operations_view", "approval_worklist_view", "customer_commercial_timeline_view"];

async fn begin(office: &Office, batch: &[Delivery]) -> Tx {
    let tenants: Vec<TenantId> = batch.iter().map(tenant_of).collect();
    office.world.database.db.begin(&tenants).await.unwrap()
}

fn tenant_of(delivery: &Delivery) -> TenantId {
    match &delivery.record {
        Record::Event(envelope, _) => envelope.tenant_id.clone(),
        other => panic!("{other:?}"),
    }
}

fn name_of(delivery: &Delivery) -> &'static str {
    match &delivery.record {
        Record::Event(_, event) => event.name(),
        other => panic!("{other:?}"),
    }
}

/// Applies a micro-batch as the runtime does: in a transaction of its records' tenants.
async fn apply(office: &Office, batch: &[Delivery]) -> Result<(), StepError> {
    let mut tx = begin(office, batch).await;
    Projection.apply(&mut tx, batch, &mut AfterCommit::default()).await?;
    tx.commit().await.unwrap();
    Ok(())
}

/// Everything that the views hold, as bytes.
async fn views(office: &Office) -> Vec<String> {
    let mut rows = Vec::new();
    let mut connection = office.world.database.connect().await;
    for view in VIEWS {
        let query = format!("select '{view} ' || to_jsonb(v)::text from cpq.{view} v order by 1");
        let query = sqlx::query(sqlx::AssertSqlSafe(query));
        rows.extend(query.fetch_all(&mut connection).await.unwrap().iter().map(|row| row.get::<String, _>(0)));
    }
    rows
}

/// A row of a view, its columns as texts.
async fn columns(office: &Office, query: &'static str) -> Vec<Vec<String>> {
    let rows = office.world.database.rows(query).await;
    let text = |value: serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    rows.iter()
        .map(|row| {
            let Json(columns): Json<Vec<serde_json::Value>> = row.get(0);
            columns.into_iter().map(text).collect()
        })
        .collect()
}

/// What the query gives after each event of a topic, with the event's name in front.
async fn story(office: &Office, topic: &str, query: &'static str) -> Vec<String> {
    let mut story = Vec::new();
    for delivery in office.deliveries(&[topic]).await {
        let name = name_of(&delivery);
        apply(office, &[delivery]).await.unwrap();
        let rows = columns(office, query).await;
        let rows: Vec<String> = rows.iter().map(|row| row.join(" ")).collect();
        story.push(format!("{name}: {}", rows.join(" | ")));
    }
    story
}

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

#[tokio::test(flavor = "multi_thread")]
async fn every_record_delivered_twice_leaves_the_views_as_once() {
    let mut office = Office::open().await;
    office.fulfilled(ACME, QUOTE).await;
    apply(&office, &office.events().await).await.unwrap();
    let once = views(&office).await;

    let twice = Office::open().await;
    for (first, second) in office.events().await.into_iter().zip(office.events().await) {
        apply(&twice, &[first, second]).await.unwrap();
    }
    assert_eq!(views(&twice).await, once, "twice in one batch");
    for again in office.events().await {
        apply(&twice, &[again]).await.unwrap();
    }
    assert_eq!(views(&twice).await, once, "again after all others");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_event_does_not_turn_a_view_back() {
    let mut office = Office::open().await;
    office.approved(ACME, QUOTE).await;
    apply(&office, &office.events().await).await.unwrap();
    let newest = views(&office).await;
    for older in office.events().await {
        apply(&office, &[older]).await.unwrap();
        assert_eq!(views(&office).await, newest);
    }
}

/// Where the sequence begins too late, or leaves one out.
#[rstest]
#[case::of_an_unknown_quote(0, 1, "jumps from sequence 0 to 2")]
#[case::after_a_gap(2, 3, "jumps from sequence 2 to 4")]
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_others_must_come_before_is_refused_and_changes_nothing(
    #[case] applied: usize,
    #[case] next: usize,
    #[case] cause: &str,
) {
    let mut office = Office::open().await;
    office.submitted(ACME, QUOTE, "12").await;
    let mut events = office.events().await;
    let rest = events.split_off(next);
    events.truncate(applied);
    if !events.is_empty() {
        apply(&office, &events).await.unwrap();
    }
    let before = views(&office).await;
    let refused = apply(&office, &rest).await.unwrap_err();
    let StepError::Poison { offset, cause: told } = refused else { panic!("{refused:?}") };
    assert_eq!((offset, told.as_str()), (next as i64, format!("{QUOTE} {cause}").as_str()));
    assert_eq!(views(&office).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_does_not_begin_with_its_creation_is_refused() {
    let mut office = Office::open().await;
    let order = office.accepted(ACME, QUOTE).await;
    office.fulfilment_started(ACME, &order).await;
    let mut events = office.deliveries(&[topics::ORDER_EVENTS]).await;
    let Record::Event(envelope, _) = &mut events[1].record else { panic!("{events:?}") };
    envelope.aggregate_sequence = 1;
    let refused = apply(&office, &events[1..]).await.unwrap_err();
    assert!(refused.to_string().contains(&format!("{order} starts without OrderCreated")), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_views_of_two_tenants_stay_apart_in_one_batch() {
    let mut office = Office::open().await;
    let theirs = "Q-2026-000002";
    office.accepted(ACME, QUOTE).await;
    office.submitted(GLOBEX, theirs, "25").await;
    let events = office.events().await;
    assert!(
        events.iter().any(|e| tenant_of(e).as_str() == ACME) && events.iter().any(|e| tenant_of(e).as_str() == GLOBEX)
    );
    apply(&office, &events).await.unwrap();

    for (tenant, quote, rows) in [(ACME, QUOTE, [1, 1, 1, 11]), (GLOBEX, theirs, [1, 0, 2, 4])] {
        // As the gateway reads: the tenant's role, and nothing in the statement says whose rows.
        let mut seen = Vec::new();
        for view in VIEWS {
            seen.push(visible(&office, tenant, view).await);
        }
        assert_eq!(seen, rows, "{tenant}");
        let query = sqlx::query("select tenant_id from cpq.quote_workspace_view where quote_id = $1").bind(quote);
        let row = query.fetch_one(&mut office.world.database.connect().await).await.unwrap();
        assert_eq!(row.get::<&str, _>(0), tenant);
    }
}

async fn visible(office: &Office, tenant: &str, view: &str) -> i64 {
    use sqlx::{Connection as _, Executor as _};
    let mut connection = sqlx::PgConnection::connect(&office.world.database.url).await.unwrap();
    let tenants = format!("set cpq.tenants = '{{{tenant}}}'");
    connection.execute(sqlx::AssertSqlSafe(tenants)).await.unwrap();
    let query = format!("select count(*) from cpq.{view}");
    sqlx::query(sqlx::AssertSqlSafe(query)).fetch_one(&mut connection).await.unwrap().get(0)
}

/// The tenants' events with the very same ids: only the tenant tells them apart.
#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_quote_of_the_same_id_is_another_quote() {
    let mut office = Office::open().await;
    office.submitted(ACME, QUOTE, "12").await;
    let mut theirs = office.events().await;
    theirs.truncate(2);
    for delivery in &mut theirs {
        let Record::Event(envelope, Event::Quote(_)) = &mut delivery.record else { panic!("{delivery:?}") };
        envelope.tenant_id = GLOBEX.into();
    }
    let mut batch = office.events().await;
    batch.extend(theirs);
    apply(&office, &batch).await.unwrap();
    let query = "select jsonb_build_array(tenant_id, status, projection_version) from cpq.quote_workspace_view order by tenant_id";
    let rows = [[ACME, "PENDING_APPROVAL_WORKFLOW_START", "4"], [GLOBEX, "CONFIGURED", "2"]];
    assert_eq!(columns(&office, query).await, rows);
}

/// Fills the views in batches of this size, then makes them again from offset 0 in one.
#[rstest]
#[case(1)]
#[case(3)]
#[case(1000)]
#[tokio::test(flavor = "multi_thread")]
async fn the_views_equal_a_rebuild_from_offset_0(#[case] batch: usize) {
    let mut office = Office::open().await;
    office.fulfilled(ACME, QUOTE).await;
    office.submitted(GLOBEX, "Q-2026-000002", "25").await;
    let mut events = office.events().await.into_iter().peekable();
    while events.peek().is_some() {
        apply(&office, &events.by_ref().take(batch).collect::<Vec<_>>()).await.unwrap();
    }
    let compared = rebuilt(&office).await;
    assert_eq!(compared.rows, views(&office).await.len() as i64);
    assert_eq!((compared.in_motion, compared.differences.len()), (0, 0), "{:?}", compared.differences);

    // A row that is not what the events say is found.
    office
        .world
        .database
        .execute("update cpq.approval_worklist_view set assignee = 'mallory' where status = 'OPEN'")
        .await;
    office
        .world
        .database
        .execute("delete from cpq.customer_commercial_timeline_view where event_type = 'QuotePriced'")
        .await;
    let found: Vec<String> = rebuilt(&office).await.differences.into_iter().map(|d| d.view).collect();
    let timeline = "customer_commercial_timeline_view";
    assert_eq!(found, ["approval_worklist_view", timeline, timeline]);
}

async fn rebuilt(office: &Office) -> rebuild::Comparison {
    let mut tx = office.world.database.db.begin_system().await.unwrap();
    rebuild::prepare(&mut tx).await.unwrap();
    Projection.apply(&mut tx, &office.events().await, &mut AfterCommit::default()).await.unwrap();
    let compared = rebuild::compare(&mut tx).await.unwrap();
    tx.rollback().await.unwrap();
    compared
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_says_the_time_of_the_newest_event_that_it_shows() {
    let mut office = Office::open().await;
    office.submitted(ACME, QUOTE, "12").await;
    let events = office.events().await;
    let newest = match &events.last().unwrap().record {
        Record::Event(envelope, _) => envelope.occurred_at.into_inner(),
        other => panic!("{other:?}"),
    };
    apply(&office, &events).await.unwrap();
    // A repeat of an older one does not turn the clock back.
    apply(&office, &office.events().await[..1]).await.unwrap();
    let rows = office.world.database.rows("select as_of from cpq.view_progress where consumer = 'projection'").await;
    let shown: Vec<time::OffsetDateTime> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(shown, [newest]);
}
