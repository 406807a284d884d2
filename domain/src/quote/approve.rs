//! The life of an approval: submission by policy, the engine's reports, withdrawal.

use super::command::*;
use super::decide::*;
use super::event::*;
use super::price::{check_fresh, not_configured, not_priced};
use super::{Approval, Phase, PricedOffer, Quote};
use crate::approval::PolicyInputs;
use crate::canonical;
use crate::command::Applied;
use crate::ids::ApprovalRequestId;
use crate::rejection::{ErrorCode, Rejection};

pub(super) fn submit(quote: &Quote, command: &SubmitForApproval, ctx: &Context) -> Decided {
    check_revision(quote, command.quote_revision, ctx)?;
    let (configuration, price) = match &quote.phase {
        Phase::Priced { configuration, price } => (configuration, price),
        Phase::Draft => return Err(not_configured(quote)),
        Phase::Configured { .. } | Phase::ApprovalRejected { .. } => return Err(not_priced(quote)),
        _ => return Err(not_editable(quote, "submitted")),
    };
    check_fresh(quote, price, ctx.now)?;
    let inputs = PolicyInputs {
        effective_discount_percent: price.price.effective_discount_percent,
        total_amount: price.price.total_amount,
        currency: quote.currency,
        margin_percent: price.price.margin_percent,
        term_months: quote.term_months,
        segment: configuration.segment.clone(),
        has_manual_override: !price.request.line_overrides.is_empty(),
    };
    let policy = ctx.policy.evaluate(&inputs);
    let steps = policy.steps();
    let approval_request_id = ApprovalRequestId::of(&quote.quote_id, quote.revision + 1);
    let submitted = QuoteSubmittedForApproval {
        approval_request_id: approval_request_id.clone(),
        requested_by: ctx.meta.claims.actor_id.clone(),
        justification: command.justification.clone(),
        policy,
        steps,
        price_hash: price.price_hash.clone(),
    };
    let mut events = Vec::new();
    if submitted.steps.is_empty() {
        let approval_hash = canonical::hash(&(&submitted.policy, &price.price_hash));
        events.push(QuoteEvent::QuoteSubmittedForApproval(submitted));
        let requested_by = ctx.meta.claims.actor_id.clone();
        events.push(QuoteEvent::QuoteApproved(QuoteApproved { approval_request_id, requested_by, approval_hash }));
    } else {
        events.push(QuoteEvent::QuoteSubmittedForApproval(submitted));
    }
    applied(events, Applied::default())
}

pub(super) fn withdraw(quote: &Quote, command: &WithdrawApproval, ctx: &Context) -> Decided {
    let me = &ctx.meta.claims.actor_id;
    if let Phase::PendingApproval { approval, .. } = &quote.phase
        && approval.requested_by != *me
    {
        return Err(Rejection::new(
            ErrorCode::Forbidden,
            format!("Only {}, who submitted the quote, may withdraw the submission.", approval.requested_by),
        ));
    }
    check_revision(quote, command.quote_revision, ctx)?;
    let (approval, _) = pending(quote)?;
    let withdrawn = QuoteApprovalWithdrawn {
        approval_request_id: approval.approval_request_id.clone(),
        withdrawn_by: me.clone(),
        reason_code: command.reason_code.clone(),
    };
    applied(vec![QuoteEvent::QuoteApprovalWithdrawn(withdrawn)], Applied::default())
}

/// The bridge reports that the engine runs the approval. Late or repeated reports change nothing.
pub(super) fn started(quote: &Quote, command: &RecordApprovalStarted) -> Decided {
    match &quote.phase {
        Phase::PendingApproval { approval, .. }
            if approval.approval_request_id == command.approval_request_id
                && approval.process_instance_id.is_none() =>
        {
            let started = QuoteApprovalStarted {
                approval_request_id: command.approval_request_id.clone(),
                process_instance_id: command.process_instance_id.clone(),
            };
            applied(vec![QuoteEvent::QuoteApprovalStarted(started)], Applied::default())
        }
        _ => applied(Vec::new(), Applied::default()),
    }
}

/// The engine's timer says that a step's SLA has passed. Late or repeated reports change nothing.
pub(super) fn escalate(quote: &Quote, command: &EscalateApprovalStep) -> Decided {
    let step = match &quote.phase {
        Phase::PendingApproval { approval, .. } if approval.approval_request_id == command.approval_request_id => {
            approval.steps.iter().find(|s| s.level == command.level && s.status.is_open() && !s.escalated)
        }
        _ => None,
    };
    let events = step.map(|step| {
        QuoteEvent::QuoteApprovalEscalated(QuoteApprovalEscalated {
            approval_request_id: command.approval_request_id.clone(),
            level: step.level,
            escalated_to: step.escalate_to,
        })
    });
    applied(events.into_iter().collect(), Applied::default())
}

/// The open approval and the price it rests on.
pub(super) fn pending(quote: &Quote) -> Result<(&Approval, &PricedOffer), Rejection> {
    let refuse = |detail: String| Rejection::new(ErrorCode::QuoteNotPendingApproval, detail);
    match &quote.phase {
        Phase::PendingApproval { approval, price, .. } => Ok((approval, price)),
        _ => Err(refuse(format!("Quote {} is {} and has no open approval.", quote.quote_id, quote.status()))),
    }
}

/// As [`pending`], once the engine runs the approval.
pub(super) fn running(quote: &Quote) -> Result<(&Approval, &PricedOffer), Rejection> {
    let (approval, price) = pending(quote)?;
    if approval.process_instance_id.is_none() {
        return Err(Rejection::new(
            ErrorCode::QuoteNotPendingApproval,
            format!("The approval workflow of quote {} has not started yet: try again shortly.", quote.quote_id),
        )
        .retryable());
    }
    Ok((approval, price))
}
