//! What begins anew from an offer that was made: the same quote, opened again, or another one with its
//! configuration. Price, approval and artifact are never taken along.

use super::command::{CloneQuote, ReopenQuote};
use super::decide::{Context, Decided, applied, check_revision, customer, not_editable, quote_not_found, stale};
use super::event::{QuoteConfigured, QuoteCreated, QuoteEvent, QuoteReopened};
use super::{Phase, Quote};
use crate::command::Applied;

/// Opens an approved or rejected offer again: it must be priced and approved anew.
pub(super) fn reopen(quote: &Quote, command: &ReopenQuote, ctx: &Context) -> Decided {
    check_revision(quote, command.quote_revision, ctx)?;
    if !matches!(quote.phase, Phase::Approved { .. } | Phase::ApprovalRejected { .. }) {
        return Err(not_editable(quote, "reopened"));
    }
    let reopened =
        QuoteReopened { reopened_by: ctx.meta.claims.actor_id.clone(), reason_code: command.reason_code.clone() };
    applied(vec![QuoteEvent::QuoteReopened(reopened)], Applied::default())
}

/// Makes a quote from another one, whatever became of that: same customer, currency, term and price list, and its
/// configuration with the catalog version that it was made with, as a quote keeps it. Validity is not taken along,
/// nor the name that the client gave.
pub(super) fn clone_quote(command: &CloneQuote, ctx: &Context) -> Decided {
    let source = ctx.source.filter(|source| ctx.meta.claims.may_access(&source.customer_account_id));
    let source = source.ok_or_else(quote_not_found)?;
    ctx.meta.check_precondition(&format!("quote {}", source.quote_id), source.revision)?;
    if command.quote_revision != source.revision {
        return Err(stale(source, command.quote_revision, source.revision));
    }
    let customer = customer(ctx)?;
    let created = QuoteEvent::QuoteCreated(QuoteCreated {
        customer_account_id: source.customer_account_id.clone(),
        customer_name: customer.name.clone(),
        sales_owner_id: customer.sales_owner_id.clone(),
        currency: source.currency,
        term_months: source.term_months,
        valid_until: None,
        price_list_id: source.price_list_id.clone(),
        external_reference: None,
        created_by: ctx.meta.claims.actor_id.clone(),
    });
    let configured = source
        .configuration()
        .map(|configuration| QuoteEvent::QuoteConfigured(QuoteConfigured { configuration: configuration.clone() }));
    applied([created].into_iter().chain(configured).collect(), Applied { created: true, subject: None })
}
