//! The two ends of a quote that nobody accepts: withdrawal by the seller, and expiry when its validity is over.

use super::command::{ExpireQuote, WithdrawQuote};
use super::decide::{Context, Decided, applied, check_revision};
use super::event::{QuoteEvent, QuoteExpired, QuoteWithdrawn};
use super::{Phase, Quote};
use crate::command::Applied;
use crate::ids::ApprovalRequestId;

/// Takes an offer back, wherever it is before acceptance. Past `validUntil` there is nothing to take back: the
/// answer is QUOTE_EXPIRED, also before the timer has run.
pub(super) fn withdraw_quote(quote: &Quote, command: &WithdrawQuote, ctx: &Context) -> Decided {
    check_revision(quote, command.quote_revision, ctx)?;
    let withdrawn = QuoteWithdrawn {
        withdrawn_by: ctx.meta.claims.actor_id.clone(),
        reason_code: command.reason_code.clone(),
        approval_request_id: open_approval(quote),
    };
    applied(vec![QuoteEvent::QuoteWithdrawn(withdrawn)], Applied::default())
}

/// The timer says that validity is over. A quote that has ended otherwise, or is valid until another time, stays
/// as it is. That the time has come is the sender's clock's word: the clock here may be a little behind it, and
/// no second timer would fire.
pub(super) fn expire(quote: &Quote, command: &ExpireQuote, ctx: &Context) -> Decided {
    let now = ctx.now.max(ctx.meta.received_at);
    let over = quote.expires_at().is_some_and(|until| until == command.valid_until && until <= now);
    let expired = over.then(|| {
        QuoteEvent::QuoteExpired(QuoteExpired {
            valid_until: command.valid_until,
            sales_owner_id: quote.sales_owner_id.clone(),
            approval_request_id: open_approval(quote),
        })
    });
    applied(expired.into_iter().collect(), Applied::default())
}

fn open_approval(quote: &Quote) -> Option<ApprovalRequestId> {
    match &quote.phase {
        Phase::PendingApproval { approval, .. } => Some(approval.approval_request_id.clone()),
        _ => None,
    }
}
