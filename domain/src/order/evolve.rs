//! How an order's state follows from its events. Total: a fact that does not fit the state leaves it as it is
//! but for sequence and revision, since history is never refused.

use super::event::*;
use super::{Cancellation, FalloutCase, FalloutStatus, Order, OrderLine, Phase, Step, StepStatus};
use crate::ids::{OrderId, StepId, TenantId};
use crate::moment::Moment;

/// The order at the end of its events; `None` without any.
pub fn fold<'a>(
    tenant_id: &TenantId,
    order_id: &OrderId,
    events: impl IntoIterator<Item = (&'a OrderEvent, Moment)>,
) -> Option<Order> {
    events.into_iter().fold(None, |state, (event, at)| evolve(state, tenant_id, order_id, event, at))
}

/// The state after one more event.
pub fn evolve(
    state: Option<Order>,
    tenant_id: &TenantId,
    order_id: &OrderId,
    event: &OrderEvent,
    at: Moment,
) -> Option<Order> {
    let Some(mut order) = state else {
        return match event {
            OrderEvent::OrderCreated(created) => Some(born(tenant_id, order_id, created, at)),
            _ => None,
        };
    };
    order.sequence += 1;
    order.revision += u32::from(event.raises_revision());
    order.updated_at = at;
    progress(&mut order, event, at);
    order.phase = next(order.phase, event, at);
    Some(order)
}

fn born(tenant_id: &TenantId, order_id: &OrderId, created: &OrderCreated, at: Moment) -> Order {
    let lines = created.order.lines.iter().map(|line| OrderLine {
        line_number: line.line_number.clone(),
        steps: line.steps().map(|(step_id, step_type)| pending(step_id, step_type)).collect(),
    });
    Order {
        order_id: order_id.clone(),
        tenant_id: tenant_id.clone(),
        revision: 1,
        sequence: 1,
        plan_version: created.plan_version,
        created_at: at,
        updated_at: at,
        lines: lines.collect(),
        snapshot: created.order.clone(),
        fallout: Vec::new(),
        phase: Phase::AwaitingFulfilment,
    }
}

fn pending(step_id: StepId, step_type: &str) -> Step {
    Step {
        step_id,
        step_type: step_type.to_owned(),
        status: StepStatus::Pending,
        attempts: 0,
        external_reference: None,
        compensation_reference: None,
    }
}

fn next(phase: Phase, event: &OrderEvent, at: Moment) -> Phase {
    use OrderEvent as E;
    match (phase, event) {
        (Phase::AwaitingFulfilment, E::OrderFulfilmentStarted(e)) => {
            Phase::Fulfilling { process_instance_id: e.process_instance_id.clone() }
        }
        (Phase::Fulfilling { .. }, E::OrderCompleted(_)) => Phase::Completed { completed_at: at },
        (Phase::AwaitingFulfilment | Phase::Fulfilling { .. }, E::OrderCancellationRequested(e)) => {
            Phase::Cancelling { cancellation: requested(e, at) }
        }
        (Phase::Cancelling { cancellation }, E::OrderCancelled(_)) => {
            Phase::Cancelled { cancellation, cancelled_at: at }
        }
        (phase, _) => phase,
    }
}

fn requested(event: &OrderCancellationRequested, at: Moment) -> Cancellation {
    Cancellation {
        reason_code: event.reason_code.clone(),
        comment: event.comment.clone(),
        requested_by: event.requested_by.clone(),
        requested_at: at,
    }
}

/// What the event says of steps and cases.
fn progress(order: &mut Order, event: &OrderEvent, at: Moment) {
    use OrderEvent as E;
    match event {
        E::OrderStepStarted(e) => with_step(order, &e.step_id, |step| {
            step.status = StepStatus::Running;
            step.attempts = e.attempt;
        }),
        E::OrderStepCompleted(e) => with_step(order, &e.step_id, |step| {
            step.status = StepStatus::Completed;
            step.external_reference = Some(e.external_reference.clone());
        }),
        E::OrderStepOutcomeUnknown(e) => with_step(order, &e.step_id, |step| step.status = StepStatus::Unknown),
        E::OrderStepCompensated(e) => with_step(order, &e.step_id, |step| {
            step.status = StepStatus::Compensated;
            step.compensation_reference = Some(e.external_reference.clone());
        }),
        E::OrderCompensationFailed(e) => {
            with_step(order, &e.step_id, |step| step.status = StepStatus::CompensationFailed);
        }
        E::OrderFalloutRaised(e) => {
            with_step(order, &e.step_id, |step| step.status = e.step_status);
            order.fallout.push(case(e, at));
        }
        E::OrderFalloutResolved(e) => {
            let open = order.fallout.iter_mut().find(|case| case.fallout_id == e.fallout_id);
            if let Some(case) = open.filter(|case| case.status == FalloutStatus::Open) {
                case.status = FalloutStatus::Resolved;
                case.resolution = Some(e.resolution.clone());
                case.resolved_by = Some(e.resolved_by.clone());
                case.resolved_at = Some(at);
            }
        }
        E::OrderCreated(_)
        | E::OrderFulfilmentStarted(_)
        | E::OrderCompleted(_)
        | E::OrderCancellationRequested(_)
        | E::OrderCancelled(_) => {}
    }
}

fn case(event: &OrderFalloutRaised, at: Moment) -> FalloutCase {
    FalloutCase {
        fallout_id: event.fallout_id.clone(),
        step_id: event.step_id.clone(),
        line_number: event.line_number.clone(),
        reason_code: event.reason_code.clone(),
        detail: event.detail.clone(),
        incident_id: event.incident_id.clone(),
        status: FalloutStatus::Open,
        raised_at: at,
        resolution: None,
        resolved_by: None,
        resolved_at: None,
    }
}

fn with_step(order: &mut Order, id: &StepId, change: impl FnOnce(&mut Step)) {
    if let Some(step) = order.lines.iter_mut().flat_map(|line| &mut line.steps).find(|step| step.step_id == *id) {
        change(step);
    }
}
