//! What comes when all is over: reports on quotes and orders in a final state are recorded and change nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod aggregate_support;
mod role_support;
#[path = "../../runtime/tests/support/mod.rs"]
mod support;

use aggregate_support::Sent;
use cpq_avro::{AggregateType, Command};
use cpq_domain::command::{Claims, Role};
use pretty_assertions::assert_eq;
use role_support::{ACME, Office, STEPS, person, sales};
use rstest::rstest;
use serde_json::{Value, json};
use sqlx::Row as _;

const QUOTE: &str = "Q-2026-000001";
const BRIDGE: &str = "cpq-bridge";

/// Everything that a report could have changed.
async fn truth(office: &Office) -> Vec<String> {
    let mut rows = Vec::new();
    for table in ["quote", "orders", "transition_log", "fallout_case", "workflow_instance", "outbox_event"] {
        let query = format!("select '{table} ' || to_jsonb(t)::text from cpq.{table} t order by 1");
        let query = sqlx::query(sqlx::AssertSqlSafe(query));
        let found = query.fetch_all(&mut office.world.database.connect().await).await.unwrap();
        rows.extend(found.iter().map(|row| row.get::<String, _>(0)));
    }
    rows
}

/// The report is decided, is not refused, stands in the audit, and has changed nothing.
async fn is_recorded_and_changes_nothing(office: &Office, mut report: Sent) {
    report.meta.tenant_id = ACME.into();
    report.meta.claims = Claims::system(BRIDGE);
    let before = truth(office).await;
    let mut tx = office.world.database.db.begin(&[ACME.into()]).await.unwrap();
    office.world.apply(&mut tx, &report).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(office.world.outcome(&report).await, Some(Ok(())));
    assert_eq!(truth(office).await, before);
    let query = sqlx::query("select outcome, actor_id from cpq.audit where command_id = $1");
    let query = query.bind(report.meta.command_id.as_str());
    let row = query.fetch_one(&mut office.world.database.connect().await).await.unwrap();
    assert_eq!((row.get::<&str, _>(0), row.get::<&str, _>(1)), ("APPLIED", BRIDGE));
}

#[rstest]
#[case::started("RecordFulfilmentStarted", json!({"planVersion": 1, "processInstanceId": "process-9"}))]
#[case::step_started("RecordStepStarted", json!({"stepId": STEPS[0], "attempt": 2}))]
#[case::step_completed("RecordStepCompleted", json!({"stepId": STEPS[1], "externalReference": "late"}))]
#[case::step_unknown("RecordStepUnknown", json!({"stepId": STEPS[1], "detail": "no answer"}))]
#[case::step_rejected("RecordStepRejected", json!({"stepId": STEPS[1], "code": "NO", "detail": "late"}))]
#[case::step_failed("RecordStepFailed", json!({"stepId": STEPS[1], "detail": "late", "incidentId": "i-1"}))]
#[case::fulfilment_cancelled("RecordFulfilmentCancelled", json!({"planVersion": 1}))]
#[tokio::test(flavor = "multi_thread")]
async fn fault_48_a_late_report_on_a_completed_order_is_recorded_and_changes_nothing(
    #[case] name: &str,
    #[case] payload: Value,
) {
    let mut office = Office::open().await;
    let order = office.fulfilled(ACME, QUOTE).await;
    assert_eq!(office.order(ACME, &order).await.status().to_string(), "COMPLETED");
    let command = Command::Order(serde_json::from_value(json!({"type": name, "payload": payload})).unwrap());
    let report = Sent::quote("", "RequestOrder", json!({"quoteRevision": 0}));
    let report = Sent { aggregate_type: AggregateType::Order, id: order.to_string(), command, ..report };
    is_recorded_and_changes_nothing(&office, report).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_48_a_late_report_on_a_cancelled_order_is_recorded_and_changes_nothing() {
    let mut office = Office::open().await;
    let order = office.accepted(ACME, QUOTE).await;
    office.fulfilment_started(ACME, &order).await;
    let revision = office.order(ACME, &order).await.revision;
    let cancel = json!({"orderRevision": revision, "reasonCode": "CUSTOMER"});
    office.command_order(ACME, person("olga", Role::OrderManager), &order, "CancelOrder", cancel).await;
    office.report(ACME, &order, "RecordFulfilmentCancelled", json!({"planVersion": 1})).await;
    assert_eq!(office.order(ACME, &order).await.status().to_string(), "CANCELLED");
    for (name, payload) in [
        ("RecordFulfilmentCancelled", json!({"planVersion": 1})),
        ("RecordFulfilmentStarted", json!({"planVersion": 1, "processInstanceId": "process-9"})),
        ("RecordStepStarted", json!({"stepId": STEPS[0], "attempt": 1})),
    ] {
        let command = Command::Order(serde_json::from_value(json!({"type": name, "payload": payload})).unwrap());
        let report = Sent::quote("", "RequestOrder", json!({"quoteRevision": 0}));
        let report = Sent { aggregate_type: AggregateType::Order, id: order.to_string(), command, ..report };
        is_recorded_and_changes_nothing(&office, report).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_48_a_late_report_on_a_withdrawn_quote_is_recorded_and_changes_nothing() {
    let mut office = Office::open().await;
    office.submitted(ACME, QUOTE, "12").await;
    let quote = office.quote(ACME, QUOTE).await;
    let request = quote.approval().unwrap().approval_request_id.clone();
    let withdraw = json!({"quoteRevision": quote.revision});
    office.say(ACME, sales(), Sent::quote(QUOTE, "WithdrawQuote", withdraw)).await;
    assert_eq!(office.quote(ACME, QUOTE).await.status().to_string(), "WITHDRAWN");
    for (name, payload) in [
        ("RecordApprovalStarted", json!({"approvalRequestId": request, "processInstanceId": "process-9"})),
        ("EscalateApprovalStep", json!({"approvalRequestId": request, "level": "SALES_MANAGER"})),
    ] {
        is_recorded_and_changes_nothing(&office, Sent::quote(QUOTE, name, payload)).await;
    }
}
