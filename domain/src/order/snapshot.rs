//! What was sold, frozen at acceptance: everything that fulfilment and billing need, so that neither reads a
//! quote that may change. `QuoteAccepted` and `OrderCreated` carry the same one.

use crate::configuration::{CharacteristicValue, Configuration, ConfiguredLine, LineAction};
use crate::ids::{ActorId, AssetId, CustomerAccountId, LineNumber, OfferingId, PriceResultId, QuoteId, StepId};
use crate::money::{Amount, Currency, Quantity};
use crate::pricing::{Price, PriceKind};
use crate::quote::{PricedOffer, Quote};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The accepted quote as an order needs it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderSnapshot {
    pub quote_id: QuoteId,
    /// The approved revision that was accepted.
    pub quote_revision: u32,
    pub customer_account_id: CustomerAccountId,
    pub customer_name: String,
    pub sales_owner_id: ActorId,
    pub currency: Currency,
    pub term_months: u32,
    pub total_amount: Amount,
    pub one_time_amount: Amount,
    pub recurring_monthly_amount: Amount,
    pub tax_amount: Amount,
    pub total_with_tax: Amount,
    pub price_result_id: PriceResultId,
    /// What the order rests on.
    pub acceptance_hash: String,
    pub lines: Vec<OrderLineSnapshot>,
}

/// One line as it was sold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderLineSnapshot {
    pub line_number: LineNumber,
    pub parent_line_number: Option<LineNumber>,
    pub action: LineAction,
    pub product_offering_id: OfferingId,
    pub product_offering_version: String,
    pub product_offering_name: String,
    pub quantity: Quantity,
    pub characteristics: BTreeMap<String, CharacteristicValue>,
    pub asset_id: Option<AssetId>,
    pub requested_date: Option<String>,
    /// The offering's fulfilment steps by type, in order.
    pub fulfilment: Vec<String>,
    pub charges: Vec<Charge>,
}

/// What a line costs, per kind of price.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Charge {
    pub kind: PriceKind,
    pub net_amount: Amount,
    pub tax_amount: Amount,
    /// For USAGE, whose amounts are 0: what one unit costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_rate: Option<Amount>,
}

impl OrderSnapshot {
    /// What this quote has sold, priced as accepted.
    pub fn of(quote: &Quote, configuration: &Configuration, offer: &PricedOffer, acceptance_hash: &str) -> Self {
        let price = &offer.price;
        Self {
            quote_id: quote.quote_id.clone(),
            quote_revision: quote.revision,
            customer_account_id: quote.customer_account_id.clone(),
            customer_name: quote.customer_name.clone(),
            sales_owner_id: quote.sales_owner_id.clone(),
            currency: quote.currency,
            term_months: quote.term_months,
            total_amount: price.total_amount,
            one_time_amount: price.one_time_amount,
            recurring_monthly_amount: price.recurring_monthly_amount,
            tax_amount: price.tax_amount,
            total_with_tax: price.total_with_tax,
            price_result_id: offer.price_result_id.clone(),
            acceptance_hash: acceptance_hash.to_owned(),
            lines: configuration.lines.iter().map(|line| OrderLineSnapshot::of(line, price)).collect(),
        }
    }
}

impl OrderLineSnapshot {
    fn of(line: &ConfiguredLine, price: &Price) -> Self {
        let priced = price.lines.iter().filter(|priced| priced.line_number == line.line_number);
        Self {
            line_number: line.line_number.clone(),
            parent_line_number: line.parent_line_number.clone(),
            action: line.action,
            product_offering_id: line.product_offering_id.clone(),
            product_offering_version: line.product_offering_version.clone(),
            product_offering_name: line.product_offering_name.clone(),
            quantity: line.quantity,
            characteristics: line.characteristics.clone(),
            asset_id: line.asset_id.clone(),
            requested_date: line.requested_date.clone(),
            fulfilment: line.fulfilment.clone(),
            charges: priced
                .map(|priced| Charge {
                    kind: priced.kind,
                    net_amount: priced.net_amount,
                    tax_amount: priced.tax_amount,
                    unit_rate: priced.unit_rate,
                })
                .collect(),
        }
    }

    /// The steps of the line's first plan, each with its type; a type that is named twice is one step.
    pub fn steps(&self) -> impl Iterator<Item = (StepId, &str)> {
        let fulfilled = matches!(self.action, LineAction::Add | LineAction::Change);
        let types = if fulfilled { self.fulfilment.as_slice() } else { &[] };
        let first = |index: &usize| !types[..*index].contains(&types[*index]);
        let once = (0..types.len()).filter(first).map(|index| &types[index]);
        once.map(|step_type| (StepId::of(&self.line_number, step_type), step_type.as_str()))
    }
}
