//! Who may decide an approval step: authority by role, time and limits, and four eyes.

use super::decide::Context;
use super::{Approval, ApprovalStep, AuthoritySnapshot, PricedOffer, Quote, StepStatus};
use crate::approval::ApprovalLevel;
use crate::moment::within;
use crate::reference::Approver;
use crate::rejection::{ErrorCode, Rejection};

pub(super) fn four_eyes(quote: &Quote, approval: &Approval, ctx: &Context) -> Result<(), Rejection> {
    let me = &ctx.meta.claims.actor_id;
    if ctx.tenant.four_eyes && (approval.requested_by == *me || quote.sales_owner_id == *me) {
        return Err(Rejection::new(
            ErrorCode::FourEyesViolation,
            "Who requested an approval or owns the quote may not decide it: ask another approver.",
        ));
    }
    Ok(())
}

/// The caller's authorities for this step: role and validity, one step per actor, and no step before its turn.
pub(super) fn eligible<'a>(
    approval: &Approval,
    step: &ApprovalStep,
    ctx: &Context<'a>,
) -> Result<Vec<&'a Approver>, Rejection> {
    let me = &ctx.meta.claims.actor_id;
    let found: Vec<_> = ctx
        .authorities
        .iter()
        .filter(|a| a.actor_id == *me && within(ctx.now, Some(a.valid_from), a.valid_to))
        .filter(|a| role_for(step, a).is_some())
        .collect();
    if found.is_empty() {
        return Err(not_eligible(&format!("You hold no valid authority as {}.", step.level)));
    }
    if approval.steps.iter().any(|s| s.level != step.level && s.decision.as_ref().is_some_and(|d| d.decided_by == *me))
    {
        return Err(not_eligible("You have decided another step of this approval; one actor decides one step only."));
    }
    if step.status == StepStatus::Waiting {
        return Err(not_eligible(&format!("The step {} is not open yet: earlier steps come first.", step.level)));
    }
    Ok(found)
}

/// The role in which an approver may decide the step: its level, or the one it was escalated to.
fn role_for(step: &ApprovalStep, approver: &Approver) -> Option<ApprovalLevel> {
    let escalated = step.escalated.then_some(step.escalate_to);
    [Some(step.level), escalated].into_iter().flatten().find(|level| approver.roles.contains(level))
}

/// The first authority whose limits cover the price. Limits are inclusive.
pub(super) fn within_limits(
    price: &PricedOffer,
    quote: &Quote,
    authorities: &[&Approver],
    step: &ApprovalStep,
    ctx: &Context,
) -> Result<AuthoritySnapshot, Rejection> {
    let covering = authorities.iter().find(|a| {
        a.currency == quote.currency
            && price.price.effective_discount_percent <= a.max_discount_percent
            && price.price.total_amount <= a.max_total_amount
    });
    let Some(authority) = covering else {
        return Err(Rejection::new(
            ErrorCode::ApprovalAuthorityExceeded,
            format!(
                "A discount of {} % on {} {} is beyond your authority as {}: ask an approver with higher limits.",
                price.price.effective_discount_percent, price.price.total_amount, quote.currency, step.level
            ),
        ));
    };
    Ok(AuthoritySnapshot {
        actor_id: ctx.meta.claims.actor_id.clone(),
        role: role_for(step, authority).unwrap_or(step.level),
        max_discount_percent: authority.max_discount_percent,
        max_total_amount: authority.max_total_amount,
        currency: authority.currency,
        valid_from: authority.valid_from,
        valid_to: authority.valid_to,
    })
}

pub(super) fn not_eligible(detail: &str) -> Rejection {
    Rejection::new(ErrorCode::NotEligibleApprover, detail)
}
