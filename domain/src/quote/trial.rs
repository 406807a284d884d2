//! What a command would lead to, for who asks before sending it: judged and computed by the code of `decide`, and
//! nothing happens. Nobody's state changes by this; the processor alone decides.

use super::command::{ConfigureQuote, PriceQuote};
use super::decide::{Context, catalog, check_configurable, customer, quote_not_found};
use super::event::{QuoteConfigured, QuoteEvent};
use super::price::{catalog_gone, fresh_until, to_be_priced};
use super::view::PriceView;
use super::{Quote, evolve};
use crate::catalog::Catalog;
use crate::configuration::{Configuration, advise, configure};
use crate::moment::Moment;
use crate::money::Currency;
use crate::pricing::{self, POLICY_VERSION, Price, PricingInput, PricingRequest, Window};
use crate::reference::{Customer, Tenant};
use crate::rejection::Rejection;
use serde::Serialize;

/// The quote as configuring it would leave it, or why not: with the choices that would do.
pub fn configured(quote: &Quote, command: &ConfigureQuote, ctx: &Context) -> Result<Quote, Rejection> {
    check_access(quote, ctx)?;
    check_configurable(quote, command, ctx)?;
    let (catalog, customer) = (catalog(ctx)?, customer(ctx)?);
    let configuration = configure(catalog, customer, ctx.now, &command.lines)
        .map_err(|rejection| advise(catalog, customer, ctx.now, &command.lines, rejection))?;
    let event = QuoteEvent::QuoteConfigured(QuoteConfigured { configuration });
    evolve(Some(quote.clone()), &quote.tenant_id, &quote.quote_id, &event, ctx.now).ok_or_else(quote_not_found)
}

fn check_access(quote: &Quote, ctx: &Context) -> Result<(), Rejection> {
    if ctx.meta.claims.may_access(&quote.customer_account_id) { Ok(()) } else { Err(quote_not_found()) }
}

/// A price that may be asked for.
pub struct PriceTrial<'a> {
    quote: &'a Quote,
    configuration: &'a Configuration,
    command: &'a PriceQuote,
    tenant: &'a Tenant,
    customer: &'a Customer,
    now: Moment,
}

/// Everything that a price depends on besides the date at which it is asked for.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PriceInputs<'a> {
    policy_version: &'a str,
    /// A version never changes.
    catalog_version: &'a str,
    configuration_hash: &'a str,
    tenant: &'a Tenant,
    customer: &'a Customer,
    price_list_id: &'a str,
    currency: Currency,
    term_months: u32,
    pricing_date: Option<Moment>,
    request: &'a PricingRequest,
}

impl<'a> PriceTrial<'a> {
    /// Judges the command as pricing does. Needs no catalog.
    pub fn of(quote: &'a Quote, command: &'a PriceQuote, ctx: &Context<'a>) -> Result<Self, Rejection> {
        check_access(quote, ctx)?;
        let configuration = to_be_priced(quote, command, ctx)?;
        Ok(Self { quote, configuration, command, tenant: ctx.tenant, customer: customer(ctx)?, now: ctx.now })
    }

    /// The catalog that the price is computed with.
    pub fn catalog_version(&self) -> &'a str {
        &self.configuration.catalog_version
    }
    pub fn pricing_date(&self) -> Moment {
        self.command.pricing_date.unwrap_or(self.now)
    }
    pub fn inputs(&self) -> PriceInputs<'a> {
        PriceInputs {
            policy_version: POLICY_VERSION,
            catalog_version: &self.configuration.catalog_version,
            configuration_hash: &self.configuration.configuration_hash,
            tenant: self.tenant,
            customer: self.customer,
            price_list_id: &self.quote.price_list_id,
            currency: self.quote.currency,
            term_months: self.quote.term_months,
            pricing_date: self.command.pricing_date,
            request: &self.command.request,
        }
    }

    /// The price, and the dates at which the same inputs lead to it. `catalog` is that of `catalog_version`.
    pub fn price(&self, catalog: Option<&Catalog>) -> Result<(Price, Window), Rejection> {
        let input = PricingInput {
            catalog: catalog.ok_or_else(|| catalog_gone(self.configuration))?,
            tenant: self.tenant,
            customer: self.customer,
            price_list_id: &self.quote.price_list_id,
            currency: self.quote.currency,
            term_months: self.quote.term_months,
            configuration: self.configuration,
            pricing_date: self.pricing_date(),
            request: &self.command.request,
        };
        let (price, _) = pricing::price(&input)?;
        Ok((price, Window::of(&input)))
    }

    /// The price as it is shown: of now, stored nowhere.
    pub fn view(&self, price: Price) -> PriceView {
        let until = fresh_until(self.quote.valid_until, self.pricing_date(), self.tenant.price_validity_days);
        PriceView {
            price_result_id: None,
            price,
            pricing_date: self.pricing_date(),
            fresh: self.now < until,
            fresh_until: until,
        }
    }
}
