//! What may happen to an order: one line per command. Rules longer than a few lines live in the file named
//! after their subject.
//!
//! Order of judgement, as for a quote: object (404), `If-Match` (412), revision, state (409). Reports of our
//! bridge are never refused for coming late or twice: they are recorded and change nothing.

use super::command::*;
use super::event::*;
use super::{FIRST_PLAN, Order, OrderCommand, Phase, cancel, step};
use crate::command::{Applied, CommandMeta, Decision};
use crate::follow_up::FollowUp;
use crate::ids::StepId;
use crate::moment::Moment;
use crate::rejection::{ErrorCode, Rejection};

/// Everything a decision may look at besides state and command.
pub struct Context<'a> {
    pub meta: &'a CommandMeta,
    /// The decision's time.
    pub now: Moment,
    /// The irreversible step that has claimed the order's token, if one has: nothing can be cancelled any more.
    pub point_of_no_return: Option<&'a StepId>,
}

pub(super) type Decided = Result<Decision<OrderEvent, FollowUp>, Rejection>;

/// Judges one command. Pure: the same state, command and context give the same answer.
pub fn decide(state: Option<&Order>, command: &OrderCommand, ctx: &Context) -> Decided {
    use OrderCommand as C;
    let order = match (state, command) {
        (None, C::CreateOrder(c)) => return create(c),
        (None, _) => return Err(not_found()),
        (Some(order), _) if !ctx.meta.claims.may_access(&order.snapshot.customer_account_id) => return Err(not_found()),
        (Some(order), _) => order,
    };
    match command {
        C::CreateOrder(c) => create_again(order, c),
        C::CancelOrder(c) => cancel::cancel(order, c, ctx),
        C::RecordFulfilmentStarted(c) => started(order, c),
        C::RecordFulfilmentCancelled(c) => cancel::fulfilment_cancelled(order, c, ctx),
        C::RecordStepStarted(c) => step::started(order, c),
        C::RecordStepCompleted(c) => step::completed(order, c, ctx),
        C::RecordStepUnknown(c) => step::unknown(order, c),
        C::RecordStepRejected(c) => step::rejected(order, c, ctx),
        C::RecordStepFailed(c) => step::failed(order, c, ctx),
        C::RecordStepCompensated(c) => step::compensated(order, c, ctx),
        C::RecordCompensationFailed(c) => step::compensation_failed(order, c, ctx),
    }
}

fn not_found() -> Rejection {
    Rejection::new(
        ErrorCode::OrderNotFound,
        "There is no such order in this tenant, or its customer account is not one of yours.",
    )
}

pub(super) fn applied(events: Vec<OrderEvent>) -> Decided {
    Ok(Decision::Applied { events, outcome: Applied::default() })
}

/// A report that came late or twice, or found its effect already there.
pub(super) fn unchanged() -> Decided {
    applied(Vec::new())
}

fn create(command: &CreateOrder) -> Decided {
    let created = OrderCreated { order: command.order.clone(), plan_version: FIRST_PLAN };
    Ok(Decision::Applied {
        events: vec![OrderEvent::OrderCreated(created)],
        outcome: Applied { created: true, subject: None },
    })
}

/// One acceptance, one order: the same acceptance again finds its order; another one cannot have reserved
/// this id.
fn create_again(order: &Order, command: &CreateOrder) -> Decided {
    if order.snapshot.quote_id == command.order.quote_id
        && order.snapshot.acceptance_hash == command.order.acceptance_hash
    {
        return Ok(Decision::Applied { events: Vec::new(), outcome: Applied::about(order.order_id.as_str()) });
    }
    Err(Rejection::new(
        ErrorCode::Internal,
        format!(
            "Order {} exists and belongs to another acceptance, of quote {}.",
            order.order_id, order.snapshot.quote_id
        ),
    ))
}

/// The bridge reports that the engine runs the plan. An order without steps is complete at once.
fn started(order: &Order, command: &RecordFulfilmentStarted) -> Decided {
    if order.phase != Phase::AwaitingFulfilment || order.plan_version != command.plan_version {
        return unchanged();
    }
    let mut events = vec![OrderEvent::OrderFulfilmentStarted(OrderFulfilmentStarted {
        plan_version: command.plan_version,
        process_instance_id: command.process_instance_id.clone(),
    })];
    if order.steps().all(|(_, step)| step.status.is_done()) {
        events.push(completed(order));
    }
    applied(events)
}

pub(super) fn completed(order: &Order) -> OrderEvent {
    OrderEvent::OrderCompleted(OrderCompleted { plan_version: order.plan_version })
}
