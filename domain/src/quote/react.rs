//! The choreography of a quote: what others must do because of what happened to it.

use super::Quote;
use super::event::*;
use crate::follow_up::FollowUp;
use crate::ids::ApprovalRequestId;
use crate::order::command::{CreateOrder, OrderCommand};
use crate::workflow::{CompleteApprovalStep, EndApproval, StartApproval, WorkflowCommand};

/// The commands that follow from one event. `after` is the quote once the event has happened.
pub fn react(event: &QuoteEvent, after: &Quote) -> Vec<FollowUp> {
    use QuoteEvent as E;
    match event {
        E::QuoteSubmittedForApproval(e) if !e.steps.is_empty() => {
            vec![FollowUp::Workflow(WorkflowCommand::StartApproval(StartApproval {
                quote_id: after.quote_id.clone(),
                quote_revision: after.revision,
                approval_request_id: e.approval_request_id.clone(),
                steps: e.steps.clone(),
            }))]
        }
        E::QuoteApprovalStepDecided(e) => {
            vec![FollowUp::Workflow(WorkflowCommand::CompleteApprovalStep(CompleteApprovalStep {
                quote_id: after.quote_id.clone(),
                approval_request_id: e.approval_request_id.clone(),
                level: e.level,
                decision: e.decision,
            }))]
        }
        E::QuoteApprovalWithdrawn(e) => vec![end_approval(after, &e.approval_request_id, "WITHDRAWN")],
        E::QuoteWithdrawn(QuoteWithdrawn { approval_request_id: Some(request), .. }) => {
            vec![end_approval(after, request, "QUOTE_WITHDRAWN")]
        }
        E::QuoteExpired(QuoteExpired { approval_request_id: Some(request), .. }) => {
            vec![end_approval(after, request, "QUOTE_EXPIRED")]
        }
        E::QuoteAccepted(e) => {
            vec![FollowUp::Order(e.order_id.clone(), OrderCommand::CreateOrder(CreateOrder { order: e.order.clone() }))]
        }
        _ => Vec::new(),
    }
}

fn end_approval(quote: &Quote, request: &ApprovalRequestId, reason: &str) -> FollowUp {
    FollowUp::Workflow(WorkflowCommand::EndApproval(EndApproval {
        quote_id: quote.quote_id.clone(),
        approval_request_id: request.clone(),
        reason: reason.to_owned(),
    }))
}
