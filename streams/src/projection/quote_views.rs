//! Quote events into the workspace, the worklist and the timeline.

use super::timeline;
use super::views::View;
use cpq_avro::EventEnvelope;
use cpq_domain::approval::PlannedStep;
use cpq_domain::ids::TaskId;
use cpq_domain::quote::QuoteEvent;
use cpq_domain::quote::QuoteStatus as Status;
use cpq_domain::quote::command::Verdict;
use cpq_domain::quote::event::*;
use cpq_state_stores::views::{TaskRow, TimelineRow, WorkspaceRow};

/// Quotes in the views.
pub struct Quotes;

impl View for Quotes {
    type Event = QuoteEvent;
    type Row = WorkspaceRow;

    fn row(row: Option<&WorkspaceRow>, envelope: &EventEnvelope, event: &QuoteEvent) -> Option<WorkspaceRow> {
        workspace(row, envelope, event)
    }
    fn tasks(
        tasks: &[TaskRow],
        row: &WorkspaceRow,
        envelope: &EventEnvelope,
        event: &QuoteEvent,
    ) -> Option<Vec<TaskRow>> {
        self::tasks(tasks, row, envelope, event)
    }
    fn version(row: &WorkspaceRow) -> u64 {
        row.projection_version
    }
    fn entry(row: &WorkspaceRow, envelope: &EventEnvelope, event: &QuoteEvent) -> TimelineRow {
        timeline::entry(envelope, &row.customer_account_id, event.name(), timeline::quote(row, event))
    }
}

/// The workspace row after an event; `None` if it has none before and this is not the first.
fn workspace(row: Option<&WorkspaceRow>, envelope: &EventEnvelope, event: &QuoteEvent) -> Option<WorkspaceRow> {
    let mut row = match (row, event) {
        (Some(row), _) => row.clone(),
        (None, QuoteEvent::QuoteCreated(created)) => first(envelope, created),
        (None, _) => return None,
    };
    row.current_revision = envelope.aggregate_revision;
    row.updated_at = envelope.occurred_at.to_string();
    row.projection_version = envelope.aggregate_sequence;
    if let Some(status) = status_after(event) {
        row.status = status.to_string();
    }
    evidence_after(&mut row, event);
    Some(row)
}

fn first(envelope: &EventEnvelope, created: &QuoteCreated) -> WorkspaceRow {
    WorkspaceRow {
        tenant_id: envelope.tenant_id.to_string(),
        quote_id: envelope.aggregate_id.clone(),
        current_revision: 1,
        status: Status::Draft.to_string(),
        customer_account_id: created.customer_account_id.to_string(),
        customer_name: created.customer_name.clone(),
        sales_owner_id: created.sales_owner_id.to_string(),
        external_reference: created.external_reference.clone(),
        total_amount: None,
        currency: created.currency.to_string(),
        approval_status: None,
        artifact_status: None,
        order_id: None,
        created_at: envelope.occurred_at.to_string(),
        updated_at: envelope.occurred_at.to_string(),
        projection_version: 1,
    }
}

fn status_after(event: &QuoteEvent) -> Option<Status> {
    use QuoteEvent as E;
    Some(match event {
        E::QuoteCreated(_) => Status::Draft,
        E::QuoteConfigured(_) | E::QuoteReopened(_) => Status::Configured,
        E::QuotePriced(_) | E::QuoteApprovalWithdrawn(_) => Status::Priced,
        E::QuoteSubmittedForApproval(_) => Status::PendingApprovalWorkflowStart,
        E::QuoteApprovalStarted(_) => Status::PendingApproval,
        E::QuoteApproved(_) => Status::Approved,
        E::QuoteApprovalRejected(_) => Status::ApprovalRejected,
        E::QuoteAccepted(_) => Status::AcceptedPendingOrderCreation,
        E::QuoteOrderLinked(_) => Status::Accepted,
        E::QuoteWithdrawn(_) => Status::Withdrawn,
        E::QuoteExpired(_) => Status::Expired,
        E::QuoteApprovalStepClaimed(_)
        | E::QuoteApprovalStepReleased(_)
        | E::QuoteApprovalStepDecided(_)
        | E::QuoteApprovalEscalated(_)
        | E::QuoteArtifactGenerated(_) => return None,
    })
}

/// What the row says of price, approval, artifact and order; each falls with what it rests on.
fn evidence_after(row: &mut WorkspaceRow, event: &QuoteEvent) {
    use QuoteEvent as E;
    let text = |text: &str| Some(text.to_owned());
    match event {
        E::QuoteConfigured(_) | E::QuoteReopened(_) => {
            row.total_amount = None;
            row.approval_status = None;
            row.artifact_status = None;
        }
        E::QuotePriced(e) => {
            row.total_amount = Some(e.price.price.total_amount.to_string());
            row.approval_status = None;
            row.artifact_status = None;
        }
        E::QuoteSubmittedForApproval(_) => row.approval_status = text("PENDING"),
        E::QuoteApprovalWithdrawn(_) => row.approval_status = None,
        E::QuoteApproved(_) => row.approval_status = text("APPROVED"),
        E::QuoteApprovalRejected(_) => row.approval_status = text("REJECTED"),
        E::QuoteArtifactGenerated(_) => row.artifact_status = text("GENERATED"),
        E::QuoteWithdrawn(QuoteWithdrawn { approval_request_id: Some(_), .. })
        | E::QuoteExpired(QuoteExpired { approval_request_id: Some(_), .. }) => {
            row.approval_status = text("CANCELLED");
        }
        E::QuoteAccepted(e) => {
            row.artifact_status = text("ACCEPTED");
            row.order_id = Some(e.order_id.to_string());
        }
        _ => {}
    }
}

/// The quote's tasks after an event; `None` if it does not touch them.
fn tasks(
    tasks: &[TaskRow],
    quote: &WorkspaceRow,
    envelope: &EventEnvelope,
    event: &QuoteEvent,
) -> Option<Vec<TaskRow>> {
    use QuoteEvent as E;
    let mut rows = tasks.to_vec();
    match event {
        E::QuoteSubmittedForApproval(e) if !e.steps.is_empty() => {
            rows.extend(e.steps.iter().map(|step| task(quote, envelope, e, step)));
            open_next(&mut rows, envelope);
        }
        E::QuoteApprovalStepClaimed(e) => {
            with_task(&mut rows, TaskId::approval(&e.approval_request_id, e.level.as_str()), |task| {
                task.status = "CLAIMED".to_owned();
                task.assignee = Some(e.assignee.to_string());
            });
        }
        E::QuoteApprovalStepReleased(e) => {
            with_task(&mut rows, TaskId::approval(&e.approval_request_id, e.level.as_str()), |task| {
                task.status = "OPEN".to_owned();
                task.assignee = None;
            });
        }
        E::QuoteApprovalEscalated(e) => {
            with_task(&mut rows, TaskId::approval(&e.approval_request_id, e.level.as_str()), |task| {
                task.escalated = true;
                task.escalated_role = Some(e.escalated_to.as_str().to_owned());
            });
        }
        E::QuoteApprovalStepDecided(e) => {
            with_task(&mut rows, TaskId::approval(&e.approval_request_id, e.level.as_str()), |task| {
                task.status = "COMPLETED".to_owned();
                task.assignee = Some(e.decided_by.to_string());
            });
            if e.decision == Verdict::Approve {
                open_next(&mut rows, envelope);
            }
        }
        E::QuoteApprovalWithdrawn(_)
        | E::QuoteApprovalRejected(_)
        | E::QuoteWithdrawn(QuoteWithdrawn { approval_request_id: Some(_), .. })
        | E::QuoteExpired(QuoteExpired { approval_request_id: Some(_), .. }) => {
            for task in rows.iter_mut().filter(|t| matches!(t.status.as_str(), "WAITING" | "OPEN" | "CLAIMED")) {
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

fn task(
    quote: &WorkspaceRow,
    envelope: &EventEnvelope,
    submitted: &QuoteSubmittedForApproval,
    step: &PlannedStep,
) -> TaskRow {
    TaskRow {
        tenant_id: quote.tenant_id.clone(),
        task_id: TaskId::approval(&submitted.approval_request_id, step.level.as_str()).into_string(),
        r#type: "APPROVAL".to_owned(),
        // Not on the list before the steps of lower order have approved.
        status: "WAITING".to_owned(),
        quote_id: Some(quote.quote_id.clone()),
        order_id: None,
        quote_revision: Some(envelope.aggregate_revision),
        customer_account_id: quote.customer_account_id.clone(),
        candidate_role: step.level.as_str().to_owned(),
        escalated_role: None,
        approval_order: Some(step.order),
        assignee: None,
        requested_by: Some(submitted.requested_by.to_string()),
        sla_hours: Some(step.sla_hours),
        created_at: envelope.occurred_at.to_string(),
        due_at: None,
        escalated: false,
        updated_at: envelope.occurred_at.to_string(),
        projection_version: envelope.aggregate_sequence,
    }
}

fn with_task(rows: &mut [TaskRow], id: TaskId, change: impl FnOnce(&mut TaskRow)) {
    if let Some(task) = rows.iter_mut().find(|task| task.task_id == id.as_str()) {
        change(task);
    }
}

/// Puts the waiting tasks of the lowest order on the list, once nothing before them is open.
fn open_next(rows: &mut [TaskRow], envelope: &EventEnvelope) {
    let busy = rows.iter().any(|t| matches!(t.status.as_str(), "OPEN" | "CLAIMED"));
    let lowest = rows.iter().filter(|t| t.status == "WAITING").filter_map(|t| t.approval_order).min();
    let (false, Some(order)) = (busy, lowest) else { return };
    for task in rows.iter_mut().filter(|t| t.status == "WAITING" && t.approval_order == Some(order)) {
        let hours = i64::from(task.sla_hours.unwrap_or_default());
        task.status = "OPEN".to_owned();
        task.due_at = Some(envelope.occurred_at.plus_hours(hours).to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projection::views::Views;
    use cpq_avro::AggregateType;
    use cpq_domain::command::{Actor, ActorType};
    use cpq_domain::moment::Moment;
    use cpq_domain::money::Currency;

    fn envelope(sequence: u64) -> EventEnvelope {
        EventEnvelope {
            event_id: format!("event-{sequence}").into(),
            event_version: 1,
            occurred_at: Moment::parse("2026-11-23T10:00:00Z").unwrap(),
            tenant_id: "tenant-acme".into(),
            aggregate_type: AggregateType::Quote,
            aggregate_id: "Q-2026-000001".to_owned(),
            aggregate_revision: 1,
            aggregate_sequence: sequence,
            correlation_id: "c".into(),
            causation_id: None,
            actor: Actor { actor_id: "alice".into(), actor_type: ActorType::User },
        }
    }

    fn created() -> QuoteEvent {
        QuoteEvent::QuoteCreated(QuoteCreated {
            customer_account_id: "acct-1001".into(),
            customer_name: "Northwind".to_owned(),
            sales_owner_id: "alice".into(),
            currency: Currency::parse("USD").unwrap(),
            term_months: 12,
            valid_until: None,
            price_list_id: "standard".to_owned(),
            external_reference: None,
            created_by: "alice".into(),
        })
    }

    fn withdrawn() -> QuoteEvent {
        QuoteEvent::QuoteApprovalWithdrawn(QuoteApprovalWithdrawn {
            approval_request_id: "apr-2026-000001-r4".into(),
            withdrawn_by: "alice".into(),
            reason_code: None,
        })
    }

    fn views() -> Views<Quotes> {
        Views::new(Default::default())
    }

    fn row(views: &Views<Quotes>) -> WorkspaceRow {
        views.rows().next().unwrap().clone()
    }

    #[test]
    fn an_event_that_is_shown_already_changes_nothing() {
        let mut views = views();
        views.apply(&envelope(1), &created()).unwrap();
        let once = row(&views);
        views.apply(&envelope(1), &created()).unwrap();
        assert_eq!(row(&views), once);
        assert_eq!(views.timeline().len(), 1);
    }

    #[test]
    fn an_older_event_changes_nothing() {
        let mut views = views();
        views.apply(&envelope(1), &created()).unwrap();
        views.apply(&envelope(2), &withdrawn()).unwrap();
        let newest = row(&views);
        views.apply(&envelope(1), &created()).unwrap();
        assert_eq!(row(&views), newest);
        assert_eq!((newest.status.as_str(), newest.projection_version), ("PRICED", 2));
    }

    #[test]
    fn a_gap_in_the_sequence_is_told_and_changes_nothing() {
        let mut views = views();
        views.apply(&envelope(1), &created()).unwrap();
        let refused = views.apply(&envelope(3), &withdrawn()).unwrap_err();
        assert!(refused.contains("jumps from sequence 1 to 3"), "{refused}");
        assert_eq!(row(&views).projection_version, 1);
    }

    #[test]
    fn a_history_that_does_not_begin_with_its_creation_is_told() {
        assert!(views().apply(&envelope(1), &withdrawn()).unwrap_err().contains("without its creation"));
    }
}
