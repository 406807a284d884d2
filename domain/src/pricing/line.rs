//! One line's price: which prices hold, the list amount by model, adjustments or an override, discounts,
//! rounding, tax (the contract's steps 1 to 6).

use super::exact::{big, kept, plain};
use super::request::Asked;
use super::total::Amounts;
use super::trace::{LineTrace, StepKind, TraceStep, follow};
use super::{Faults, PriceKind, PricingInput};
use crate::catalog::value::{Facts, Typed};
use crate::catalog::{AdjustmentKind, PriceEntry, PriceModel};
use crate::configuration::ConfiguredLine;
use crate::moment::within;
use crate::money::Amount;
use crate::rejection::{ErrorCode, FieldCode};
use bigdecimal::{BigDecimal, One, Signed, Zero};
use rust_decimal::Decimal;

/// A line to be priced, with what its conditions may look at.
pub(super) struct Pricer<'a> {
    input: &'a PricingInput<'a>,
    asked: &'a Asked<'a>,
    index: usize,
    line: &'a ConfiguredLine,
    facts: Facts<'a>,
}

impl<'a> Pricer<'a> {
    pub fn of(input: &'a PricingInput<'a>, asked: &'a Asked<'a>, index: usize, line: &'a ConfiguredLine) -> Self {
        let offering = input.catalog.offering(&line.product_offering_id, &line.product_offering_version);
        let facts = offering
            .map(|offering| Facts::of(offering, &line.characteristics))
            .unwrap_or_default()
            .with("termMonths", Typed::Number(input.term_months.into()))
            .with("quantity", Typed::Number(line.quantity.0))
            .with("segment", Typed::Text(&input.customer.segment));
        Self { input, asked, index, line, facts }
    }

    /// The prices of the line, one per kind at most. A line that sells nothing costs nothing and needs no price.
    pub fn prices(&self, faults: &mut Faults) -> Vec<&'a PriceEntry> {
        let prices: Vec<&PriceEntry> = PriceKind::ALL.into_iter().filter_map(|kind| self.select(kind)).collect();
        if prices.is_empty() && self.line.action.is_charged() {
            let detail = format!(
                "{} has no price in list {} in {} for this customer at {}",
                self.line.product_offering_id, self.input.price_list_id, self.input.currency, self.input.pricing_date
            );
            self.fault(faults, ErrorCode::PriceNotFound, FieldCode::UnknownReference, detail);
        }
        prices
    }

    /// What the line costs by these prices, where that can be said.
    pub fn price(&self, prices: Vec<&PriceEntry>, faults: &mut Faults) -> Vec<(LineTrace, Amounts)> {
        prices.into_iter().filter_map(|price| self.by_price(price, faults)).collect()
    }

    /// Step 1: the most specific price of that kind that holds.
    fn select(&self, kind: PriceKind) -> Option<&'a PriceEntry> {
        let input = self.input;
        let holds = |price: &PriceEntry| {
            within(input.pricing_date, Some(price.valid_from), price.valid_to)
                && price.segment.as_ref().is_none_or(|segment| *segment == input.customer.segment)
                && price.offering_version.as_ref().is_none_or(|v| *v == self.line.product_offering_version)
        };
        input
            .catalog
            .prices(&self.line.product_offering_id, input.price_list_id, input.currency, kind)
            .find(|(price, conditions)| holds(price) && conditions.hold(&self.facts))
            .map(|(price, _)| price)
    }

    fn by_price(&self, price: &PriceEntry, faults: &mut Faults) -> Option<(LineTrace, Amounts)> {
        let charged = self.line.action.is_charged() && price.kind != PriceKind::Usage;
        let quantity = big(self.line.quantity.0);
        let mut trace = LineTrace {
            line_number: self.line.line_number.clone(),
            kind: price.kind,
            action: self.line.action,
            quantity: plain(&quantity),
            price_id: price.id.clone(),
            model: price.model,
            unit_cost: price.unit_cost,
            unit_rate: (price.kind == PriceKind::Usage).then(|| rate(price, &quantity)),
            steps: Vec::new(),
        };
        if !charged {
            return Some((trace, Amounts::zero(self.input.currency)));
        }
        let mut run = Run { minor: self.input.currency.minor_units(), amount: BigDecimal::zero(), steps: Vec::new() };
        match self.steps(price, quantity, &mut run) {
            Ok(amounts) => {
                trace.steps = run.steps;
                Some((trace, amounts))
            }
            Err(Refused(code, field, detail)) => {
                self.fault(faults, code, field, detail);
                None
            }
        }
    }

    /// Steps 2 to 6.
    fn steps(&self, price: &PriceEntry, quantity: BigDecimal, run: &mut Run) -> Result<Amounts, Refused> {
        let line = self.line;
        for (units, unit_amount) in list(price, &quantity) {
            run.step(StepKind::List, &price.id, big(unit_amount), units)?;
        }
        let list = run.kept("list amount")?;
        match self.asked.manual(&line.line_number, price.kind) {
            Some(manual) => {
                run.step(StepKind::LineOverride, &manual.reason_code, big(manual.unit_amount.0), quantity)?;
            }
            None => self.adjust(price.kind, &quantity, run)?,
        }
        if let Some(discount) = self.asked.discount(&line.line_number) {
            run.step(StepKind::LineDiscount, &discount.reason_code, big(discount.percent.0), BigDecimal::one())?;
        }
        if let Some(discount) = &self.asked.request.quote_discount {
            run.step(StepKind::QuoteDiscount, &discount.reason_code, big(discount.percent.0), BigDecimal::one())?;
        }
        let minor = BigDecimal::from(run.minor);
        run.step(StepKind::Round, self.input.currency.code(), minor, BigDecimal::one())?;
        let net = run.kept("net amount")?;
        let (category, jurisdiction) = (&line.tax_category, &self.input.customer.jurisdiction);
        let rate = self.input.tenant.tax_percent(category, jurisdiction).ok_or_else(|| {
            let detail = format!("there is no tax rate for {category} in {jurisdiction}");
            Refused(ErrorCode::TaxRateNotFound, FieldCode::UnknownReference, detail)
        })?;
        run.step(StepKind::Tax, category, big(rate.0), BigDecimal::one())?;
        let tax = run.kept("tax")?;
        Ok(Amounts { list, net, tax })
    }

    /// Step 3: every adjustment that concerns this price, in order.
    fn adjust(&self, kind: PriceKind, quantity: &BigDecimal, run: &mut Run) -> Result<(), Refused> {
        let input = self.input;
        for (adjustment, conditions) in input.catalog.adjustments(&self.line.product_offering_id) {
            let to = &adjustment.applies_to;
            let concerned = to.offering_version.as_ref().is_none_or(|v| *v == self.line.product_offering_version)
                && to.price_kind.is_none_or(|concerned| concerned == kind)
                && to.price_list_id.as_ref().is_none_or(|list| list == input.price_list_id)
                && adjustment.currency.is_none_or(|currency| currency == input.currency)
                && within(input.pricing_date, Some(adjustment.valid_from), adjustment.valid_to)
                && conditions.hold(&self.facts);
            if !concerned {
                continue;
            }
            let (step, units) = match adjustment.kind {
                AdjustmentKind::Percent => (StepKind::Percent, BigDecimal::one()),
                AdjustmentKind::AmountPerUnit => (StepKind::AmountPerUnit, quantity.clone()),
                AdjustmentKind::OverrideUnit => (StepKind::OverrideUnit, quantity.clone()),
            };
            run.step(step, &adjustment.id, big(adjustment.value.0), units)?;
        }
        Ok(())
    }

    fn fault(&self, faults: &mut Faults, code: ErrorCode, field: FieldCode, detail: String) {
        faults.add(code, format!("/lines/{}", self.index), field, detail);
    }
}

/// Why a line has no price.
struct Refused(ErrorCode, FieldCode, String);

/// A line's running amount, and how it came about.
struct Run {
    minor: u32,
    amount: BigDecimal,
    steps: Vec<TraceStep>,
}

impl Run {
    fn step(&mut self, step: StepKind, rule: &str, operand: BigDecimal, units: BigDecimal) -> Result<(), Refused> {
        let amount = follow(step, &self.amount, &operand, &units, self.minor);
        if amount.is_negative() {
            let detail = format!("{} {rule} makes the amount negative", step.as_str());
            return Err(Refused(ErrorCode::AmountOutOfRange, FieldCode::OutOfRange, detail));
        }
        self.steps.push(TraceStep {
            step,
            rule_id: rule.to_owned(),
            operand: plain(&operand),
            units: plain(&units),
            basis: plain(&self.amount),
            amount: plain(&amount),
        });
        self.amount = amount;
        Ok(())
    }
    /// The running amount as it is kept.
    fn kept(&self, what: &str) -> Result<Decimal, Refused> {
        kept(&self.amount, self.minor).ok_or_else(|| {
            let detail = format!("the {what} has more than 13 digits before the point");
            Refused(ErrorCode::AmountOutOfRange, FieldCode::OutOfRange, detail)
        })
    }
}

/// Step 2: how many units at which amount. Publishing has seen to it that the amounts are there and that the
/// tiers rise without a gap.
fn list(price: &PriceEntry, quantity: &BigDecimal) -> Vec<(BigDecimal, Decimal)> {
    match price.model {
        PriceModel::Flat => price.amount.map(|amount| (BigDecimal::one(), amount.0)).into_iter().collect(),
        PriceModel::PerUnit => price.amount.map(|amount| (quantity.clone(), amount.0)).into_iter().collect(),
        PriceModel::Volume => vec![(quantity.clone(), rate(price, quantity).0)],
        PriceModel::Tiered => {
            let mut parts = Vec::new();
            let mut from = BigDecimal::zero();
            for tier in &price.tiers {
                let end = tier.up_to.map_or_else(|| quantity.clone(), |up_to| big(up_to.0).min(quantity.clone()));
                if end > from {
                    parts.push((&end - &from, tier.amount.0));
                    from = end;
                }
            }
            parts
        }
    }
}

/// The unit amount at that quantity: the price's own, or that of the tier which the quantity reaches.
fn rate(price: &PriceEntry, quantity: &BigDecimal) -> Amount {
    let reached = price.tiers.iter().find(|tier| tier.up_to.is_none_or(|up_to| *quantity <= big(up_to.0)));
    price.amount.or(reached.map(|tier| tier.amount)).unwrap_or_default()
}
