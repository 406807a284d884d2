//! Who is told what: one line per event that somebody waits for.

use cpq_avro::EventEnvelope;
use cpq_domain::ids::ActorId;
use cpq_domain::order::OrderEvent;
use cpq_domain::quote::QuoteEvent;
use cpq_domain::workflow::WorkflowEvent;
use cpq_state_stores::notifications::{self, NewNotification};
use cpq_state_stores::{StoreError, Tx};

/// The recipient that stands for the people who mend orders.
pub const ORDER_MANAGERS: &str = "order-managers";

fn message(
    envelope: &EventEnvelope,
    kind: &'static str,
    recipient: &ActorId,
    subject: String,
    body: String,
) -> NewNotification {
    NewNotification {
        tenant_id: envelope.tenant_id.to_string(),
        notification_id: format!("{}-{recipient}", envelope.event_id),
        kind,
        recipient: recipient.to_string(),
        subject,
        body,
        aggregate_id: envelope.aggregate_id.clone(),
        correlation_id: envelope.correlation_id.to_string(),
        created_at: envelope.occurred_at.to_string(),
    }
}

/// Messages that a quote's event calls for.
pub fn quote(envelope: &EventEnvelope, event: &QuoteEvent) -> Vec<NewNotification> {
    let id = &envelope.aggregate_id;
    match event {
        QuoteEvent::QuoteApprovalRejected(e) => {
            let body = format!(
                "{} rejected quote {id} as {}: {}. Change it, price it and submit it again.",
                e.rejected_by, e.level, e.reason_code
            );
            vec![message(envelope, "QUOTE_REJECTED", &e.requested_by, format!("Quote {id} was rejected"), body)]
        }
        QuoteEvent::QuoteApproved(e) => {
            let body = format!(
                "Quote {id} revision {} is approved. Generate the proposal and send it to the customer.",
                envelope.aggregate_revision
            );
            vec![message(envelope, "QUOTE_APPROVED", &e.requested_by, format!("Quote {id} is approved"), body)]
        }
        QuoteEvent::QuoteAccepted(e) => {
            let body = format!("{} accepted quote {id}. Order {} is being created.", e.accepted_by, e.order_id);
            vec![message(envelope, "QUOTE_ACCEPTED", &e.order.sales_owner_id, format!("Quote {id} is accepted"), body)]
        }
        QuoteEvent::QuoteExpired(e) => {
            let body = format!("Quote {id} was valid until {}. Make a new one if it is still wanted.", e.valid_until);
            vec![message(envelope, "QUOTE_EXPIRED", &e.sales_owner_id, format!("Quote {id} has expired"), body)]
        }
        _ => Vec::new(),
    }
}

/// Messages that an order's event calls for.
pub fn order(envelope: &EventEnvelope, event: &OrderEvent) -> Vec<NewNotification> {
    let id = &envelope.aggregate_id;
    match event {
        OrderEvent::OrderFalloutRaised(e) => {
            let body = format!("Step {} of order {id} stopped with {}: {}", e.step_id, e.reason_code, e.detail);
            let subject = format!("Order {id} needs attention");
            vec![message(envelope, "ORDER_FALLOUT", &ActorId::from(ORDER_MANAGERS), subject, body)]
        }
        _ => Vec::new(),
    }
}

/// Messages that a workflow event calls for: a new task goes to everyone who may decide it.
pub async fn workflow(
    tx: &mut Tx,
    envelope: &EventEnvelope,
    event: &WorkflowEvent,
) -> Result<Vec<NewNotification>, StoreError> {
    let WorkflowEvent::UserTaskCreated(task) = event else { return Ok(Vec::new()) };
    let at = envelope.occurred_at.into_inner();
    let approvers = notifications::approvers_of(tx, &envelope.tenant_id, task.level.as_str(), at).await?;
    Ok(approvers
        .iter()
        .map(|approver| {
            let subject = format!("Approval task {}", task.task_id);
            let body = format!("Task {} waits for a decision as {}.", task.task_id, task.level);
            message(envelope, "APPROVAL_TASK", approver, subject, body)
        })
        .collect())
}
