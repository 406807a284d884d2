//! The choreography of an order: what others must do because of what happened to it.

use super::event::*;
use super::{Order, OrderEvent};
use crate::follow_up::FollowUp;
use crate::quote::QuoteCommand;
use crate::quote::command::LinkOrder;
use crate::workflow::{CancelFulfilment, StartFulfilment, WorkflowCommand};

/// The commands that follow from one event. `after` is the order once the event has happened.
pub fn react(event: &OrderEvent, after: &Order) -> Vec<FollowUp> {
    match event {
        OrderEvent::OrderCreated(created) => vec![
            FollowUp::Quote(
                created.order.quote_id.clone(),
                QuoteCommand::LinkOrder(LinkOrder { order_id: after.order_id.clone() }),
            ),
            FollowUp::Workflow(WorkflowCommand::StartFulfilment(start(after, created))),
        ],
        OrderEvent::OrderCancellationRequested(requested) => {
            vec![FollowUp::Workflow(WorkflowCommand::CancelFulfilment(CancelFulfilment {
                order_id: after.order_id.clone(),
                plan_version: requested.plan_version,
                reason_code: requested.reason_code.clone(),
            }))]
        }
        _ => Vec::new(),
    }
}

fn start(order: &Order, created: &OrderCreated) -> StartFulfilment {
    StartFulfilment {
        order_id: order.order_id.clone(),
        plan_version: created.plan_version,
        // Bounded by the lines of a configuration.
        line_count: u32::try_from(created.order.lines.len()).unwrap_or(u32::MAX),
    }
}
