//! Pricing a configured quote.

use super::command::PriceQuote;
use super::decide::{Context, Decided, applied, check_revision, customer, not_editable, require_role};
use super::event::{QuoteEvent, QuotePriced};
use super::{Phase, PricedOffer, Quote};
use crate::canonical;
use crate::command::{Applied, Role};
use crate::configuration::Configuration;
use crate::ids::PriceResultId;
use crate::moment::Moment;
use crate::pricing::{self, PricingInput};
use crate::rejection::{ErrorCode, Rejection};

pub(super) fn price_quote(quote: &Quote, command: &PriceQuote, ctx: &Context) -> Decided {
    let configuration = to_be_priced(quote, command, ctx)?;
    let event = priced(quote, configuration, command, ctx)?;
    applied(vec![QuoteEvent::QuotePriced(event)], Applied::default())
}

/// The configuration that the command asks a price for, if it may.
pub(super) fn to_be_priced<'a>(
    quote: &'a Quote,
    command: &PriceQuote,
    ctx: &Context,
) -> Result<&'a Configuration, Rejection> {
    if command.pricing_date.is_some() {
        require_role(ctx, &[Role::OrderManager], "Sending a pricingDate")?;
    }
    check_revision(quote, command.quote_revision, ctx)?;
    match &quote.phase {
        Phase::Configured { configuration }
        | Phase::Priced { configuration, .. }
        | Phase::ApprovalRejected { configuration, .. } => Ok(configuration),
        Phase::Draft => Err(not_configured(quote)),
        _ => Err(not_editable(quote, "priced")),
    }
}

pub(super) fn catalog_gone(configuration: &Configuration) -> Rejection {
    Rejection::new(
        ErrorCode::PriceNotFound,
        format!("Catalog {} is no longer known: configure the quote again.", configuration.catalog_version),
    )
}

fn priced(
    quote: &Quote,
    configuration: &Configuration,
    command: &PriceQuote,
    ctx: &Context,
) -> Result<QuotePriced, Rejection> {
    let pricing_date = command.pricing_date.unwrap_or(ctx.now);
    let (price, trace) = pricing::price(&PricingInput {
        catalog: ctx.configured_catalog.ok_or_else(|| catalog_gone(configuration))?,
        tenant: ctx.tenant,
        customer: customer(ctx)?,
        price_list_id: &quote.price_list_id,
        currency: quote.currency,
        term_months: quote.term_months,
        configuration,
        pricing_date,
        request: &command.request,
    })?;
    let trace = canonical::to_string(&trace);
    let trace_hash = canonical::sha256(trace.as_bytes());
    let price_hash =
        canonical::hash(&(&price, &command.request, pricing_date, &trace_hash, &configuration.configuration_hash));
    let offer = PricedOffer {
        price_result_id: price_result_id(quote),
        price,
        request: command.request.clone(),
        pricing_date,
        priced_at: ctx.now,
        fresh_until: fresh_until(quote.valid_until, pricing_date, ctx.tenant.price_validity_days),
        configuration_hash: configuration.configuration_hash.clone(),
        trace_hash,
        price_hash,
    };
    Ok(QuotePriced { price: offer, trace })
}

/// Derived, so that it names its quote and revision wherever it is met.
fn price_result_id(quote: &Quote) -> PriceResultId {
    PriceResultId::new(format!("price-{}-r{}", quote.quote_id.as_str().trim_start_matches("Q-"), quote.revision + 1))
}

/// A price holds until the quote's own end or the tenant's validity from the pricing time, whichever is first.
pub(super) fn fresh_until(valid_until: Option<Moment>, pricing_date: Moment, validity_days: u32) -> Moment {
    let by_tenant = pricing_date.plus_days(i64::from(validity_days));
    valid_until.map_or(by_tenant, |until| until.min(by_tenant))
}

pub(super) fn not_configured(quote: &Quote) -> Rejection {
    Rejection::new(
        ErrorCode::QuoteNotConfigured,
        format!(
            "Quote {} has no configuration yet: PUT /quotes/{}/configuration first.",
            quote.quote_id, quote.quote_id
        ),
    )
}

pub(super) fn not_priced(quote: &Quote) -> Rejection {
    Rejection::new(
        ErrorCode::QuoteNotPriced,
        format!(
            "Quote {} is {} and has no price to rely on: POST /quotes/{}/pricing first.",
            quote.quote_id,
            quote.status(),
            quote.quote_id
        ),
    )
}

/// Refuses a price that is no longer fresh.
pub(super) fn check_fresh(quote: &Quote, price: &PricedOffer, now: Moment) -> Result<(), Rejection> {
    if now < price.fresh_until {
        return Ok(());
    }
    Err(Rejection::new(
        ErrorCode::PriceStale,
        format!("The price of quote {} was good until {}: price the quote again.", quote.quote_id, price.fresh_until),
    ))
}
