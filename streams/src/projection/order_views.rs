//! Order events into operations, fallout tasks and the timeline.

use super::timeline;
use super::views::View;
use cpq_avro::EventEnvelope;
use cpq_domain::command::Role;
use cpq_domain::order::event::*;
use cpq_domain::order::{OrderEvent, OrderStatus as Status};
use cpq_state_stores::views::{OperationsDetail, OperationsRow, TaskRow, TimelineRow};

/// Orders in the views.
pub struct Orders;

impl View for Orders {
    type Event = OrderEvent;
    type Row = OperationsRow;

    fn row(row: Option<&OperationsRow>, envelope: &EventEnvelope, event: &OrderEvent) -> Option<OperationsRow> {
        operations(row, envelope, event)
    }
    fn tasks(
        tasks: &[TaskRow],
        row: &OperationsRow,
        envelope: &EventEnvelope,
        event: &OrderEvent,
    ) -> Option<Vec<TaskRow>> {
        self::tasks(tasks, row, envelope, event)
    }
    fn version(row: &OperationsRow) -> u64 {
        row.projection_version
    }
    fn entry(row: &OperationsRow, envelope: &EventEnvelope, event: &OrderEvent) -> TimelineRow {
        timeline::entry(envelope, &row.customer_account_id, event.name(), timeline::order(row, event))
    }
}

/// The operations row after an event; `None` if it has none before and this is not the first.
fn operations(row: Option<&OperationsRow>, envelope: &EventEnvelope, event: &OrderEvent) -> Option<OperationsRow> {
    let mut row = match (row, event) {
        (Some(row), _) => row.clone(),
        (None, OrderEvent::OrderCreated(created)) => first(envelope, created),
        (None, _) => return None,
    };
    row.current_revision = envelope.aggregate_revision;
    row.updated_at = envelope.occurred_at.to_string();
    row.projection_version = envelope.aggregate_sequence;
    match event {
        OrderEvent::OrderStepCompleted(e) => row.detail.completed_steps.push(e.step_id.to_string()),
        OrderEvent::OrderStepCompensated(e) => row.detail.completed_steps.retain(|step| step != e.step_id.as_str()),
        OrderEvent::OrderFalloutRaised(e) => row.detail.open_fallout.push(e.fallout_id.to_string()),
        OrderEvent::OrderFalloutResolved(e) => row.detail.open_fallout.retain(|id| id != e.fallout_id.as_str()),
        _ => {}
    }
    row.steps_completed = row.detail.completed_steps.len() as u32;
    row.open_fallout = row.detail.open_fallout.len() as u32;
    if let Some(status) = status_after(&row, event) {
        row.status = status.as_str().to_owned();
    }
    Some(row)
}

fn first(envelope: &EventEnvelope, created: &OrderCreated) -> OperationsRow {
    let order = &created.order;
    OperationsRow {
        tenant_id: envelope.tenant_id.to_string(),
        order_id: envelope.aggregate_id.clone(),
        quote_id: order.quote_id.to_string(),
        current_revision: envelope.aggregate_revision,
        status: Status::CreatedPendingWorkflowStart.as_str().to_owned(),
        customer_account_id: order.customer_account_id.to_string(),
        customer_name: order.customer_name.clone(),
        sales_owner_id: order.sales_owner_id.to_string(),
        total_amount: order.total_amount.to_string(),
        currency: order.currency.to_string(),
        steps_total: order.lines.iter().map(|line| line.steps().count() as u32).sum(),
        steps_completed: 0,
        open_fallout: 0,
        detail: OperationsDetail::default(),
        created_at: envelope.occurred_at.to_string(),
        updated_at: envelope.occurred_at.to_string(),
        projection_version: envelope.aggregate_sequence,
    }
}

fn status_after(row: &OperationsRow, event: &OrderEvent) -> Option<Status> {
    let cancelling = row.status == Status::PendingCancellation.as_str();
    match event {
        OrderEvent::OrderCreated(_) => Some(Status::CreatedPendingWorkflowStart),
        OrderEvent::OrderFulfilmentStarted(_) => Some(Status::InProgress),
        OrderEvent::OrderFalloutRaised(_) if !cancelling => Some(Status::Fallout),
        OrderEvent::OrderFalloutResolved(_) if !cancelling && row.open_fallout == 0 => Some(Status::InProgress),
        OrderEvent::OrderCompleted(_) => Some(Status::Completed),
        OrderEvent::OrderCancellationRequested(_) => Some(Status::PendingCancellation),
        OrderEvent::OrderCancelled(_) => Some(Status::Cancelled),
        _ => None,
    }
}

/// The order's fallout tasks after an event; `None` if it does not touch them.
fn tasks(
    tasks: &[TaskRow],
    order: &OperationsRow,
    envelope: &EventEnvelope,
    event: &OrderEvent,
) -> Option<Vec<TaskRow>> {
    let mut rows = tasks.to_vec();
    match event {
        OrderEvent::OrderFalloutRaised(e) => rows.push(task(order, envelope, e)),
        OrderEvent::OrderFalloutResolved(e) => {
            for task in rows.iter_mut().filter(|task| task.task_id == e.fallout_id.as_str()) {
                task.status = "COMPLETED".to_owned();
            }
        }
        OrderEvent::OrderCancelled(_) | OrderEvent::OrderCompleted(_) => {
            for task in rows.iter_mut().filter(|task| task.status == "OPEN") {
                task.status = "CANCELLED".to_owned();
            }
        }
        _ => return None,
    }
    for task in &mut rows {
        task.updated_at = envelope.occurred_at.to_string();
        task.projection_version = envelope.aggregate_sequence;
    }
    Some(rows)
}

fn task(order: &OperationsRow, envelope: &EventEnvelope, raised: &OrderFalloutRaised) -> TaskRow {
    TaskRow {
        tenant_id: order.tenant_id.clone(),
        task_id: raised.fallout_id.to_string(),
        r#type: "FALLOUT".to_owned(),
        status: "OPEN".to_owned(),
        quote_id: None,
        order_id: Some(order.order_id.clone()),
        quote_revision: None,
        customer_account_id: order.customer_account_id.clone(),
        candidate_role: Role::OrderManager.as_str().to_owned(),
        escalated_role: None,
        approval_order: None,
        assignee: None,
        requested_by: None,
        sla_hours: None,
        created_at: envelope.occurred_at.to_string(),
        due_at: None,
        escalated: false,
        updated_at: envelope.occurred_at.to_string(),
        projection_version: envelope.aggregate_sequence,
    }
}
