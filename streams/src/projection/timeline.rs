//! What happened, in a sentence for a person: the customer's commercial timeline.

use cpq_avro::EventEnvelope;
use cpq_domain::order::OrderEvent;
use cpq_domain::quote::QuoteEvent;
use cpq_domain::quote::command::Verdict;
use cpq_state_stores::views::{OperationsRow, TimelineRow, WorkspaceRow};

pub fn entry(envelope: &EventEnvelope, customer: &str, event_type: &str, summary: String) -> TimelineRow {
    TimelineRow {
        tenant_id: envelope.tenant_id.to_string(),
        customer_account_id: customer.to_owned(),
        aggregate_type: envelope.aggregate_type.as_str().to_owned(),
        aggregate_id: envelope.aggregate_id.clone(),
        aggregate_sequence: envelope.aggregate_sequence,
        event_type: event_type.to_owned(),
        summary,
        actor_id: envelope.actor.actor_id.to_string(),
        occurred_at: envelope.occurred_at.to_string(),
        projection_version: envelope.aggregate_sequence,
    }
}

pub fn quote(row: &WorkspaceRow, event: &QuoteEvent) -> String {
    use QuoteEvent as E;
    let id = &row.quote_id;
    match event {
        E::QuoteCreated(e) => format!("Quote {id} created by {} in {}", e.created_by, e.currency),
        E::QuoteConfigured(e) => format!("Quote {id} configured with {} lines", e.configuration.lines.len()),
        E::QuotePriced(e) => format!("Quote {id} priced at {} {}", e.price.price.total_amount, row.currency),
        E::QuoteSubmittedForApproval(e) => format!("Quote {id} submitted for approval by {}", e.requested_by),
        E::QuoteApprovalStarted(_) => format!("Approval of quote {id} started"),
        E::QuoteApprovalStepClaimed(e) => format!("{} took the {} step of quote {id}", e.assignee, e.level),
        E::QuoteApprovalStepReleased(e) => format!("{} gave back the {} step of quote {id}", e.released_by, e.level),
        E::QuoteApprovalStepDecided(e) => {
            let verb = match e.decision {
                Verdict::Approve => "approved",
                Verdict::Reject => "rejected",
            };
            format!("{} {verb} quote {id} as {}: {}", e.decided_by, e.level, e.reason_code)
        }
        E::QuoteApprovalEscalated(e) => {
            format!("The {} step of quote {id} is overdue and went to {}", e.level, e.escalated_to)
        }
        E::QuoteApprovalWithdrawn(e) => format!("{} withdrew the submission of quote {id}", e.withdrawn_by),
        E::QuoteApproved(_) => format!("Quote {id} approved"),
        E::QuoteApprovalRejected(e) => format!("Quote {id} rejected by {}: {}", e.rejected_by, e.reason_code),
        E::QuoteArtifactGenerated(e) => format!("Proposal {} generated for quote {id}", e.artifact.artifact_id),
        E::QuoteAccepted(e) => format!("Quote {id} accepted by {}", e.accepted_by),
        E::QuoteOrderLinked(e) => format!("Order {} created from quote {id}", e.order_id),
        E::QuoteReopened(e) => format!("{} opened quote {id} again", e.reopened_by),
        E::QuoteWithdrawn(e) => format!("{} withdrew quote {id}", e.withdrawn_by),
        E::QuoteExpired(e) => format!("Quote {id} expired: it was valid until {}", e.valid_until),
    }
}

pub fn order(row: &OperationsRow, event: &OrderEvent) -> String {
    use OrderEvent as E;
    let id = &row.order_id;
    match event {
        E::OrderCreated(_) => format!("Order {id} created for {} {}", row.total_amount, row.currency),
        E::OrderFulfilmentStarted(_) => format!("Fulfilment of order {id} started"),
        E::OrderStepStarted(e) => format!("Order {id}: step {} started", e.step_id),
        E::OrderStepCompleted(e) => format!("Order {id}: step {} completed", e.step_id),
        E::OrderStepOutcomeUnknown(e) => format!("Order {id}: the outcome of step {} is not known", e.step_id),
        E::OrderStepCompensated(e) => format!("Order {id}: step {} undone", e.step_id),
        E::OrderCompensationFailed(e) => format!("Order {id}: step {} could not be undone", e.step_id),
        E::OrderFalloutRaised(e) => format!("Order {id}: step {} needs a person: {}", e.step_id, e.reason_code),
        E::OrderFalloutResolved(e) => format!("Order {id}: case {} resolved", e.fallout_id),
        E::OrderCompleted(_) => format!("Order {id} completed"),
        E::OrderCancellationRequested(e) => format!("Cancellation of order {id} requested: {}", e.reason_code),
        E::OrderCancelled(_) => format!("Order {id} cancelled"),
    }
}
