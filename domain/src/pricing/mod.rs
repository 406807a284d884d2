//! Pricing policy `cpq-pricing-1` (contract, section 5): exact to the last digit, rounded once, every step
//! kept. `request` judges what was asked for, `line` prices one line, `total` sums, `trace` keeps the steps and
//! makes a price from them again.

mod exact;
mod line;
mod request;
mod total;
mod trace;
mod waterfall;
mod window;

pub use crate::catalog::PriceKind;
pub use request::check_form;
pub use trace::{LineTrace, PriceTrace, StepKind, TraceStep, replay};
pub use waterfall::{Bar, waterfall};
pub use window::Window;

use crate::catalog::Catalog;
use crate::configuration::Configuration;
use crate::ids::LineNumber;
use crate::moment::Moment;
use crate::money::{Amount, Currency, Percent};
use crate::reference::{Customer, Tenant};
use crate::rejection::{ErrorCode, FieldCode, FieldError, Rejection};
use serde::{Deserialize, Serialize};

/// The rules of this module, as prices name them. They never change under this name.
pub const POLICY_VERSION: &str = "cpq-pricing-1";

/// A percentage off, with why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Discount {
    pub percent: Percent,
    pub reason_code: String,
}

/// A percentage off one line, on every kind of price it has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LineDiscount {
    pub line_number: LineNumber,
    pub percent: Percent,
    pub reason_code: String,
}

/// A unit amount in place of the price and its adjustments, for one kind of price of one line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LineOverride {
    pub line_number: LineNumber,
    pub kind: PriceKind,
    pub unit_amount: Amount,
    pub reason_code: String,
}

/// The discounts and overrides that are asked for. Part of a larger request body, which refuses unknown fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct PricingRequest {
    #[serde(default)]
    pub quote_discount: Option<Discount>,
    #[serde(default)]
    pub line_discounts: Vec<LineDiscount>,
    #[serde(default)]
    pub line_overrides: Vec<LineOverride>,
}

/// Everything a price depends on.
pub struct PricingInput<'a> {
    /// The catalog that the configuration was made with.
    pub catalog: &'a Catalog,
    pub tenant: &'a Tenant,
    pub customer: &'a Customer,
    pub price_list_id: &'a str,
    pub currency: Currency,
    pub term_months: u32,
    pub configuration: &'a Configuration,
    /// Prices and adjustments that hold at this instant count.
    pub pricing_date: Moment,
    pub request: &'a PricingRequest,
}

/// What one line costs, for one kind of price: per month if recurring.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct PriceLine {
    pub line_number: LineNumber,
    pub kind: PriceKind,
    pub list_amount: Amount,
    pub net_amount: Amount,
    pub tax_amount: Amount,
    /// Of USAGE, whose amounts are 0: what one unit costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_rate: Option<Amount>,
}

/// A price. Totals are sums of the lines' rounded amounts, over the term where not said otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Price {
    pub policy_version: String,
    pub currency: Currency,
    pub list_amount: Amount,
    pub discount_amount: Amount,
    pub one_time_amount: Amount,
    pub recurring_monthly_amount: Amount,
    pub total_amount: Amount,
    pub tax_amount: Amount,
    pub total_with_tax: Amount,
    pub effective_discount_percent: Percent,
    /// Null unless every charged price has a cost, or where the total is 0.
    pub margin_percent: Option<Percent>,
    pub lines: Vec<PriceLine>,
}

/// Prices a configuration, or says everything that stands in the way.
pub fn price(input: &PricingInput) -> Result<(Price, PriceTrace), Rejection> {
    let asked = request::Asked::of(input)?;
    let mut faults = Faults::default();
    let mut lines = Vec::with_capacity(input.configuration.lines.len());
    let mut amounts = Vec::with_capacity(lines.capacity());
    let mut offered = Vec::with_capacity(lines.capacity());
    for (index, configured) in input.configuration.lines.iter().enumerate() {
        let pricer = line::Pricer::of(input, &asked, index, configured);
        let prices = pricer.prices(&mut faults);
        offered.extend(prices.iter().map(|price| (&configured.line_number, price.kind)));
        for (trace, amount) in pricer.price(prices, &mut faults) {
            lines.push(trace);
            amounts.push(amount);
        }
    }
    asked.refuse_without_price(offered, &mut faults);
    faults.refuse()?;
    let trace = PriceTrace::of(input, lines);
    let price = total::total(&trace, &amounts).map_err(|total::OutOfRange(what)| {
        Rejection::new(
            ErrorCode::AmountOutOfRange,
            format!("The {what} does not fit 13 digits before the point: check quantities, overrides and the term."),
        )
    })?;
    Ok((price, trace))
}

/// What stands in the way of a price. Pointers `/lines/n` go into the quote's lines.
#[derive(Default)]
struct Faults(Vec<(ErrorCode, FieldError)>);

impl Faults {
    fn add(&mut self, code: ErrorCode, pointer: String, field: FieldCode, detail: String) {
        self.0.push((code, FieldError::new(pointer, field, detail)));
    }
    /// The rejection's code is that of what has to be settled first: prices, then tax rates, then amounts.
    fn refuse(self) -> Result<(), Rejection> {
        let first = [
            (ErrorCode::PriceNotFound, "Something has no price under this price list, currency and date: see errors."),
            (ErrorCode::TaxRateNotFound, "A tax rate is missing: see errors."),
            (
                ErrorCode::AmountOutOfRange,
                "An amount is negative or does not fit 13 digits before the point: see errors.",
            ),
        ]
        .into_iter()
        .find(|(code, _)| self.0.iter().any(|(found, _)| found == code));
        let Some((code, detail)) = first else { return Ok(()) };
        Err(Rejection::new(code, detail).with_errors(self.0.into_iter().map(|(_, error)| error).collect()))
    }
}

#[cfg(test)]
mod tests;
