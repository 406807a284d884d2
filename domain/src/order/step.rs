//! What the bridge reports about a step, judged by what the order knows of it already. A step that was done
//! is never undone by a late report, and no outcome is called a failure while it may still be a success.

use super::command::*;
use super::decide::{Context, Decided, applied, completed as order_completed, unchanged};
use super::event::*;
use super::{FalloutCase, Order, OrderLine, Phase, Step, StepStatus, is_irreversible, reason, resolution};
use crate::ids::{FalloutId, StepId};
use crate::rejection::{ErrorCode, Rejection};

pub(super) fn started(order: &Order, command: &RecordStepStarted) -> Decided {
    let (line, step) = find(order, &command.step_id)?;
    let open = matches!(
        step.status,
        StepStatus::Pending | StepStatus::Running | StepStatus::Unknown | StepStatus::Rejected | StepStatus::Failed
    );
    if is_over(order) || !open || command.attempt <= step.attempts {
        return unchanged();
    }
    applied(vec![OrderEvent::OrderStepStarted(OrderStepStarted {
        step_id: step.step_id.clone(),
        line_number: line.line_number.clone(),
        step_type: step.step_type.clone(),
        attempt: command.attempt,
    })])
}

pub(super) fn completed(order: &Order, command: &RecordStepCompleted, ctx: &Context) -> Decided {
    let (line, step) = find(order, &command.step_id)?;
    let open = matches!(
        step.status,
        StepStatus::Pending | StepStatus::Running | StepStatus::Unknown | StepStatus::Rejected | StepStatus::Failed
    );
    if is_over(order) || !open {
        return unchanged();
    }
    let mut events = vec![OrderEvent::OrderStepCompleted(OrderStepCompleted {
        step_id: step.step_id.clone(),
        line_number: line.line_number.clone(),
        step_type: step.step_type.clone(),
        external_reference: command.external_reference.clone(),
    })];
    events.extend(order.open_case(&step.step_id).map(|case| resolved(case, resolution::COMPLETED, ctx)));
    let last = order.steps().all(|(_, other)| other.step_id == step.step_id || other.status.is_done());
    if last && matches!(order.phase, Phase::Fulfilling { .. }) {
        events.push(order_completed(order));
    }
    applied(events)
}

pub(super) fn unknown(order: &Order, command: &RecordStepUnknown) -> Decided {
    let (line, step) = find(order, &command.step_id)?;
    if is_over(order) || !matches!(step.status, StepStatus::Pending | StepStatus::Running) {
        return unchanged();
    }
    applied(vec![OrderEvent::OrderStepOutcomeUnknown(OrderStepOutcomeUnknown {
        step_id: step.step_id.clone(),
        line_number: line.line_number.clone(),
        detail: command.detail.clone(),
    })])
}

pub(super) fn rejected(order: &Order, command: &RecordStepRejected, ctx: &Context) -> Decided {
    let (line, step) = find(order, &command.step_id)?;
    if is_over(order) || !matches!(step.status, StepStatus::Pending | StepStatus::Running | StepStatus::Unknown) {
        return unchanged();
    }
    let case = raised(order, 0, line, step, &command.code, command.detail.clone());
    fall_out(order, OrderFalloutRaised { step_status: StepStatus::Rejected, ..case }, ctx)
}

/// Retries that are used up without an answer leave the outcome unknown: the step may hold an effect that
/// somebody must look for, so it is not called failed.
pub(super) fn failed(order: &Order, command: &RecordStepFailed, ctx: &Context) -> Decided {
    let (line, step) = find(order, &command.step_id)?;
    let (step_status, code) = match step.status {
        _ if is_over(order) => return unchanged(),
        StepStatus::Pending | StepStatus::Running => (StepStatus::Failed, reason::TECHNICAL_FAILURE),
        StepStatus::Unknown if order.open_case(&step.step_id).is_none() => {
            (StepStatus::Unknown, reason::OUTCOME_UNKNOWN)
        }
        _ => return unchanged(),
    };
    let case = raised(order, 0, line, step, code, command.detail.clone());
    fall_out(order, OrderFalloutRaised { step_status, incident_id: command.incident_id.clone(), ..case }, ctx)
}

/// Only a cancellation undoes steps, and only those that can be undone.
pub(super) fn compensated(order: &Order, command: &RecordStepCompensated, ctx: &Context) -> Decided {
    let (line, step) = find(order, &command.step_id)?;
    if !is_compensable(order, step) {
        return unchanged();
    }
    let mut events = vec![OrderEvent::OrderStepCompensated(OrderStepCompensated {
        step_id: step.step_id.clone(),
        line_number: line.line_number.clone(),
        external_reference: command.external_reference.clone(),
    })];
    events.extend(order.open_case(&step.step_id).map(|case| resolved(case, resolution::COMPENSATED, ctx)));
    applied(events)
}

pub(super) fn compensation_failed(order: &Order, command: &RecordCompensationFailed, ctx: &Context) -> Decided {
    let (line, step) = find(order, &command.step_id)?;
    if !is_compensable(order, step) || step.status == StepStatus::CompensationFailed {
        return unchanged();
    }
    let failed = OrderEvent::OrderCompensationFailed(OrderCompensationFailed {
        step_id: step.step_id.clone(),
        line_number: line.line_number.clone(),
        detail: command.detail.clone(),
    });
    let case = raised(order, 0, line, step, reason::COMPENSATION_FAILED, command.detail.clone());
    let mut events = vec![failed];
    events.extend(falls_out(order, OrderFalloutRaised { step_status: StepStatus::CompensationFailed, ..case }, ctx));
    applied(events)
}

fn is_compensable(order: &Order, step: &Step) -> bool {
    let touched = !matches!(step.status, StepStatus::Pending | StepStatus::Compensated | StepStatus::Skipped);
    matches!(order.phase, Phase::Cancelling { .. }) && touched && !is_irreversible(&step.step_type)
}

fn is_over(order: &Order) -> bool {
    matches!(order.phase, Phase::Completed { .. } | Phase::Cancelled { .. })
}

fn find<'a>(order: &'a Order, id: &StepId) -> Result<(&'a OrderLine, &'a Step), Rejection> {
    order.step(id).ok_or_else(|| {
        Rejection::new(ErrorCode::ValidationFailed, format!("Order {} has no step {id} in its plan.", order.order_id))
    })
}

fn fall_out(order: &Order, raised: OrderFalloutRaised, ctx: &Context) -> Decided {
    applied(falls_out(order, raised, ctx))
}

/// A step has at most one open case: one from an earlier attempt ends with the new one.
fn falls_out(order: &Order, raised: OrderFalloutRaised, ctx: &Context) -> Vec<OrderEvent> {
    let earlier = order.open_case(&raised.step_id).map(|case| resolved(case, resolution::SUPERSEDED, ctx));
    earlier.into_iter().chain([OrderEvent::OrderFalloutRaised(raised)]).collect()
}

/// The `index`th new case of a decision; the step's status stays as it is unless the caller says otherwise.
pub(super) fn raised(
    order: &Order,
    index: usize,
    line: &OrderLine,
    step: &Step,
    reason_code: &str,
    detail: String,
) -> OrderFalloutRaised {
    let number = order.fallout.len() + index + 1;
    OrderFalloutRaised {
        fallout_id: FalloutId::new(format!("fallout-{}.{number}", order.order_id)),
        step_id: step.step_id.clone(),
        line_number: line.line_number.clone(),
        reason_code: reason_code.to_owned(),
        detail,
        step_status: step.status,
        incident_id: None,
    }
}

pub(super) fn resolved(case: &FalloutCase, resolution: &str, ctx: &Context) -> OrderEvent {
    OrderEvent::OrderFalloutResolved(OrderFalloutResolved {
        fallout_id: case.fallout_id.clone(),
        resolution: resolution.to_owned(),
        resolved_by: ctx.meta.claims.actor_id.clone(),
    })
}
