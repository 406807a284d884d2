//! How a quote's state follows from its events. Total: a fact that does not fit the state leaves it as it
//! is but for sequence and revision, since history is never refused.

use super::event::*;
use super::{Acceptance, Approval, ApprovalStatus, ApprovalStep, Artifact, Phase, Quote, StepDecision, StepStatus};
use crate::approval::ApprovalLevel;
use crate::ids::{QuoteId, TenantId};
use crate::moment::Moment;

/// The quote at the end of its events; `None` without any.
pub fn fold<'a>(
    tenant_id: &TenantId,
    quote_id: &QuoteId,
    events: impl IntoIterator<Item = (&'a QuoteEvent, Moment)>,
) -> Option<Quote> {
    events.into_iter().fold(None, |state, (event, at)| evolve(state, tenant_id, quote_id, event, at))
}

/// The quote as it was at the end of a revision, after the technical steps within it; `None` if it has had none
/// such.
pub fn fold_to_revision<'a>(
    tenant_id: &TenantId,
    quote_id: &QuoteId,
    events: impl IntoIterator<Item = (&'a QuoteEvent, Moment)>,
    revision: u32,
) -> Option<Quote> {
    let mut state: Option<Quote> = None;
    for (event, at) in events {
        if event.raises_revision() && state.as_ref().is_some_and(|quote| quote.revision == revision) {
            break;
        }
        state = evolve(state, tenant_id, quote_id, event, at);
    }
    state.filter(|quote| quote.revision == revision)
}

/// The state after one more event.
pub fn evolve(
    state: Option<Quote>,
    tenant_id: &TenantId,
    quote_id: &QuoteId,
    event: &QuoteEvent,
    at: Moment,
) -> Option<Quote> {
    let Some(mut quote) = state else {
        return match event {
            QuoteEvent::QuoteCreated(created) => Some(born(tenant_id, quote_id, created, at)),
            _ => None,
        };
    };
    quote.sequence += 1;
    quote.revision += u32::from(event.raises_revision());
    quote.updated_at = at;
    quote.phase = next(quote.phase, event, at);
    Some(quote)
}

fn born(tenant_id: &TenantId, quote_id: &QuoteId, created: &QuoteCreated, at: Moment) -> Quote {
    Quote {
        quote_id: quote_id.clone(),
        tenant_id: tenant_id.clone(),
        revision: 1,
        sequence: 1,
        customer_account_id: created.customer_account_id.clone(),
        customer_name: created.customer_name.clone(),
        sales_owner_id: created.sales_owner_id.clone(),
        currency: created.currency,
        term_months: created.term_months,
        valid_until: created.valid_until,
        price_list_id: created.price_list_id.clone(),
        external_reference: created.external_reference.clone(),
        created_by: created.created_by.clone(),
        created_at: at,
        updated_at: at,
        phase: Phase::Draft,
    }
}

fn next(phase: Phase, event: &QuoteEvent, at: Moment) -> Phase {
    use QuoteEvent as E;
    match (phase, event) {
        (_, E::QuoteConfigured(e)) => Phase::Configured { configuration: e.configuration.clone() },
        (
            Phase::Approved { configuration, .. } | Phase::ApprovalRejected { configuration, .. },
            E::QuoteReopened(_),
        ) => Phase::Configured { configuration },
        (phase, E::QuoteWithdrawn(_)) => Phase::Withdrawn { was: Box::new(ended(phase)) },
        (phase, E::QuoteExpired(_)) => Phase::Expired { was: Box::new(ended(phase)) },
        (
            Phase::Configured { configuration }
            | Phase::Priced { configuration, .. }
            | Phase::ApprovalRejected { configuration, .. },
            E::QuotePriced(e),
        ) => Phase::Priced { configuration, price: e.price.clone() },
        (Phase::Priced { configuration, price }, E::QuoteSubmittedForApproval(e)) => {
            Phase::PendingApproval { configuration, price, approval: requested(e, at) }
        }
        (Phase::PendingApproval { configuration, price, .. }, E::QuoteApprovalWithdrawn(_)) => {
            Phase::Priced { configuration, price }
        }
        (Phase::PendingApproval { configuration, price, mut approval }, E::QuoteApproved(e)) => {
            approval.status = ApprovalStatus::Approved;
            approval.approval_hash = Some(e.approval_hash.clone());
            Phase::Approved { configuration, price, approval, artifacts: Vec::new() }
        }
        (Phase::PendingApproval { configuration, price, mut approval }, E::QuoteApprovalRejected(_)) => {
            approval.status = ApprovalStatus::Rejected;
            cancel_undecided(&mut approval);
            Phase::ApprovalRejected { configuration, price, approval }
        }
        (Phase::PendingApproval { configuration, price, mut approval }, event) => {
            step(&mut approval, event, at);
            Phase::PendingApproval { configuration, price, approval }
        }
        (Phase::Approved { configuration, price, approval, mut artifacts }, E::QuoteArtifactGenerated(e)) => {
            artifacts.push(e.artifact.clone());
            Phase::Approved { configuration, price, approval, artifacts }
        }
        (Phase::Approved { configuration, price, approval, artifacts }, E::QuoteAccepted(e)) => {
            match artifacts.iter().find(|a| a.artifact_id == e.acceptance_evidence.artifact_id) {
                Some(artifact) => Phase::Accepted {
                    configuration,
                    price,
                    approval,
                    acceptance: Box::new(acceptance(e, artifact, at)),
                },
                // An acceptance always names an artifact of the state it was decided in.
                None => Phase::Approved { configuration, price, approval, artifacts },
            }
        }
        (Phase::Accepted { configuration, price, approval, mut acceptance }, E::QuoteOrderLinked(_)) => {
            acceptance.order_linked = true;
            Phase::Accepted { configuration, price, approval, acceptance }
        }
        (phase, _) => phase,
    }
}

/// What a quote had come to when it ended: nobody decides its open approval any more.
fn ended(phase: Phase) -> Phase {
    match phase {
        Phase::PendingApproval { configuration, price, mut approval } => {
            approval.status = ApprovalStatus::Cancelled;
            cancel_undecided(&mut approval);
            Phase::PendingApproval { configuration, price, approval }
        }
        phase => phase,
    }
}

fn acceptance(event: &QuoteAccepted, artifact: &Artifact, at: Moment) -> Acceptance {
    Acceptance {
        accepted_by: event.accepted_by.clone(),
        evidence: event.acceptance_evidence.clone(),
        recorded_by: event.recorded_by.clone(),
        recorded_at: at,
        accepted_revision: event.accepted_revision,
        artifact: artifact.clone(),
        acceptance_hash: event.acceptance_hash.clone(),
        order_id: event.order_id.clone(),
        order_linked: false,
    }
}

fn requested(event: &QuoteSubmittedForApproval, at: Moment) -> Approval {
    let steps = event.steps.iter().map(|planned| ApprovalStep {
        level: planned.level,
        order: planned.order,
        reasons: planned.reasons.clone(),
        sla_hours: planned.sla_hours,
        escalate_to: planned.escalate_to,
        status: StepStatus::Waiting,
        assignee: None,
        due_at: None,
        escalated: false,
        decision: None,
    });
    let mut approval = Approval {
        approval_request_id: event.approval_request_id.clone(),
        requested_by: event.requested_by.clone(),
        requested_at: at,
        justification: event.justification.clone(),
        policy: event.policy.clone(),
        status: ApprovalStatus::Pending,
        process_instance_id: None,
        steps: steps.collect(),
        price_hash: event.price_hash.clone(),
        approval_hash: None,
    };
    open_next(&mut approval, at);
    approval
}

fn step(approval: &mut Approval, event: &QuoteEvent, at: Moment) {
    use QuoteEvent as E;
    match event {
        E::QuoteApprovalStarted(e) => approval.process_instance_id = Some(e.process_instance_id.clone()),
        E::QuoteApprovalStepClaimed(e) => with_step(approval, e.level, |step| {
            step.status = StepStatus::Claimed;
            step.assignee = Some(e.assignee.clone());
        }),
        E::QuoteApprovalStepReleased(e) => with_step(approval, e.level, |step| {
            step.status = StepStatus::Open;
            step.assignee = None;
        }),
        E::QuoteApprovalEscalated(e) => with_step(approval, e.level, |step| step.escalated = true),
        E::QuoteApprovalStepDecided(e) => {
            with_step(approval, e.level, |step| {
                step.status = match e.decision {
                    super::command::Verdict::Approve => StepStatus::Approved,
                    super::command::Verdict::Reject => StepStatus::Rejected,
                };
                step.assignee = Some(e.decided_by.clone());
                step.decision = Some(StepDecision {
                    decision: e.decision,
                    decided_by: e.decided_by.clone(),
                    decided_at: at,
                    reason_code: e.reason_code.clone(),
                    comment: e.comment.clone(),
                    authority: e.authority.clone(),
                });
            });
            open_next(approval, at);
        }
        _ => {}
    }
}

fn with_step(approval: &mut Approval, level: ApprovalLevel, change: impl FnOnce(&mut ApprovalStep)) {
    if let Some(step) = approval.steps.iter_mut().find(|step| step.level == level) {
        change(step);
    }
}

/// Opens the waiting steps of the lowest order, once every step before them has approved.
fn open_next(approval: &mut Approval, at: Moment) {
    let blocked = approval.steps.iter().any(|s| s.status.is_open() || s.status == StepStatus::Rejected);
    let lowest = approval.steps.iter().filter(|s| s.status == StepStatus::Waiting).map(|s| s.order).min();
    if let (false, Some(order)) = (blocked, lowest) {
        for step in approval.steps.iter_mut().filter(|s| s.status == StepStatus::Waiting && s.order == order) {
            step.status = StepStatus::Open;
            step.due_at = Some(at.plus_hours(i64::from(step.sla_hours)));
        }
    }
}

fn cancel_undecided(approval: &mut Approval) {
    for step in approval.steps.iter_mut().filter(|s| !s.status.is_decided()) {
        step.status = StepStatus::Cancelled;
    }
}
