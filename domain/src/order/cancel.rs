//! Cancelling an order: the request, and the engine's report that its instance has ended.

use super::command::{CancelOrder, RecordFulfilmentCancelled};
use super::decide::{Context, Decided, applied, unchanged};
use super::event::*;
use super::step::{raised, resolved};
use super::{Order, Phase, reason, resolution};
use crate::rejection::{ErrorCode, Rejection};

pub(super) fn cancel(order: &Order, command: &CancelOrder, ctx: &Context) -> Decided {
    ctx.meta.check_precondition(&format!("order {}", order.order_id), order.revision)?;
    if command.order_revision != order.revision {
        return Err(stale(order, command.order_revision));
    }
    if !order.is_cancellable() {
        return Err(Rejection::new(
            ErrorCode::OrderNotCancellable,
            format!("Order {} is {} and cannot be cancelled.", order.order_id, order.status()),
        ));
    }
    if let Some(step) = ctx.point_of_no_return {
        return Err(Rejection::new(
            ErrorCode::OrderPastPointOfNoReturn,
            format!(
                "Step {step} of order {} has begun and cannot be undone, so the order can no longer be cancelled.",
                order.order_id
            ),
        ));
    }
    let requested = OrderCancellationRequested {
        plan_version: order.plan_version,
        reason_code: command.reason_code.clone(),
        comment: command.comment.clone(),
        requested_by: ctx.meta.claims.actor_id.clone(),
    };
    applied(vec![OrderEvent::OrderCancellationRequested(requested)])
}

fn stale(order: &Order, named: u32) -> Rejection {
    Rejection::new(
        ErrorCode::OrderRevisionStale,
        format!(
            "You sent revision {named}, but order {} is at revision {}: read it again, decide whether you still want to cancel it, and send that revision.",
            order.order_id, order.revision
        ),
    )
}

/// The order is cancelled once no step can hold anything any more; each one that may gets a case instead,
/// and the order stays in PENDING_CANCELLATION.
pub(super) fn fulfilment_cancelled(order: &Order, command: &RecordFulfilmentCancelled, ctx: &Context) -> Decided {
    if !matches!(order.phase, Phase::Cancelling { .. }) || order.plan_version != command.plan_version {
        return unchanged();
    }
    let mut holding = order.steps().filter(|(_, step)| step.status.may_hold_effect()).peekable();
    if holding.peek().is_none() {
        let mut events: Vec<_> =
            order.open_cases().map(|case| resolved(case, resolution::ORDER_CANCELLED, ctx)).collect();
        events.push(OrderEvent::OrderCancelled(OrderCancelled { plan_version: order.plan_version }));
        return applied(events);
    }
    let without_case = holding.filter(|(_, step)| order.open_case(&step.step_id).is_none());
    let cases = without_case.enumerate().map(|(index, (line, step))| {
        let detail = format!("the fulfilment has ended while step {} is {:?}", step.step_id, step.status);
        OrderEvent::OrderFalloutRaised(OrderFalloutRaised {
            step_status: step.status,
            ..raised(order, index, line, step, reason::NOT_COMPENSATED, detail)
        })
    });
    applied(cases.collect())
}
