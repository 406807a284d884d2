//! Pricing policy `cpq-pricing-1` (contract, section 5): exact to the last digit, rounded once, every step kept.

use crate::catalog::condition::{Typed, holds};
pub use crate::catalog::PriceKind;
use crate::catalog::{AdjustmentKind, Catalog, PriceEntry, PriceModel};
use crate::configuration::{Configuration, ConfiguredLine, LineAction};
use crate::ids::LineNumber;
use crate::moment::{Moment, within};
use crate::money::{Amount, Currency, Percent, fits};
use crate::reference::{Customer, Tenant};
use crate::rejection::{ErrorCode, FieldCode, FieldError, Rejection};
use bigdecimal::{BigDecimal, RoundingMode, Zero};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::str::FromStr;

pub const POLICY_VERSION: &str = "cpq-pricing-1";

/// A percentage off, with why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Discount {
    pub percent: Percent,
    pub reason_code: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LineDiscount {
    pub line_number: LineNumber,
    pub percent: Percent,
    pub reason_code: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LineOverride {
    pub line_number: LineNumber,
    pub kind: PriceKind,
    pub unit_amount: Amount,
    pub reason_code: String,
}

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

pub struct PricingInput<'a> {
    pub catalog: &'a Catalog,
    pub tenant: &'a Tenant,
    pub customer: &'a Customer,
    pub price_list_id: &'a str,
    pub currency: Currency,
    pub term_months: u32,
    pub configuration: &'a Configuration,
    pub pricing_date: Moment,
    pub request: &'a PricingRequest,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct PriceLine {
    pub line_number: LineNumber,
    pub kind: PriceKind,
    pub list_amount: Amount,
    pub net_amount: Amount,
    pub tax_amount: Amount,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_rate: Option<Amount>,
}

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
    pub margin_percent: Option<Percent>,
    pub lines: Vec<PriceLine>,
}

/// One step of a line's price: `amount` follows from `basis` by `operation` with `operand`. Exact decimals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceStep {
    pub step: StepKind,
    /// The price, adjustment or reason that it comes from.
    pub rule_id: String,
    pub operand: String,
    pub basis: String,
    pub amount: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StepKind {
    List,
    AdjustPercent,
    AdjustPerUnit,
    OverrideUnit,
    LineOverride,
    LineDiscount,
    QuoteDiscount,
    Round,
    Tax,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LineTrace {
    pub line_number: LineNumber,
    pub kind: PriceKind,
    pub action: LineAction,
    pub quantity: String,
    pub price: PriceEntry,
    pub steps: Vec<TraceStep>,
}

/// Everything a price rests on; [`replay`] makes the price again from it alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PriceTrace {
    pub policy_version: String,
    pub catalog_version: String,
    pub configuration_hash: String,
    pub price_list_id: String,
    pub currency: Currency,
    pub term_months: u32,
    pub pricing_date: Moment,
    pub segment: String,
    pub jurisdiction: String,
    pub lines: Vec<LineTrace>,
}

fn refuse(code: ErrorCode, pointer: String, field: FieldCode, detail: String) -> Rejection {
    Rejection::new(code, detail.clone()).with_errors(vec![FieldError::new(pointer, field, detail)])
}
fn big(value: Decimal) -> BigDecimal {
    BigDecimal::from_str(&value.to_string()).unwrap_or_default()
}
fn plain(value: &BigDecimal) -> String {
    value.normalized().to_plain_string()
}
fn hundred() -> BigDecimal {
    BigDecimal::from(100)
}
fn off(percent: &BigDecimal) -> BigDecimal {
    BigDecimal::from(1) - percent / hundred()
}

/// Rounds half away from zero, and refuses what numeric(19,6) cannot hold.
fn rounded(value: &BigDecimal, scale: u32) -> Result<Decimal, Rejection> {
    let text = value.with_scale_round(i64::from(scale), RoundingMode::HalfUp).to_plain_string();
    Decimal::from_str_exact(&text)
        .ok()
        .filter(|d| fits(*d))
        .map(|mut d| {
            d.rescale(scale);
            d
        })
        .ok_or_else(out_of_range)
}
fn out_of_range() -> Rejection {
    Rejection::new(
        ErrorCode::AmountOutOfRange,
        "An amount does not fit numeric(19,6), or is negative: check quantities, overrides and adjustments.",
    )
}

/// Prices a configuration.
pub fn price(input: &PricingInput) -> Result<(Price, PriceTrace), Rejection> {
    check(input)?;
    let mut lines = Vec::new();
    for (index, line) in input.configuration.lines.iter().enumerate() {
        price_line(input, index, line, &mut lines)?;
    }
    let trace = PriceTrace {
        policy_version: POLICY_VERSION.to_owned(),
        catalog_version: input.catalog.version().to_owned(),
        configuration_hash: input.configuration.configuration_hash.clone(),
        price_list_id: input.price_list_id.to_owned(),
        currency: input.currency,
        term_months: input.term_months,
        pricing_date: input.pricing_date,
        segment: input.customer.segment.clone(),
        jurisdiction: input.customer.jurisdiction.clone(),
        lines,
    };
    let price = total(&trace)?;
    Ok((price, trace))
}

/// Judges the discounts and overrides as asked for.
fn check(input: &PricingInput) -> Result<(), Rejection> {
    let known: HashMap<&LineNumber, ()> = input.configuration.lines.iter().map(|l| (&l.line_number, ())).collect();
    let mut errors = Vec::new();
    let percent_ok = |p: Percent| p.0 >= Decimal::ZERO && p.0 <= Decimal::ONE_HUNDRED && fits(p.0);
    if let Some(d) = input.request.quote_discount.as_ref().filter(|d| !percent_ok(d.percent)) {
        errors.push(FieldError::new(
            "/quoteDiscount/percent",
            FieldCode::OutOfRange,
            format!("{} is not between 0 and 100", d.percent),
        ));
    }
    let mut seen = std::collections::HashSet::new();
    for (i, d) in input.request.line_discounts.iter().enumerate() {
        if !known.contains_key(&d.line_number) {
            errors.push(FieldError::new(
                format!("/lineDiscounts/{i}/lineNumber"),
                FieldCode::UnknownReference,
                format!("there is no line {}", d.line_number),
            ));
        }
        if !seen.insert(&d.line_number) {
            errors.push(FieldError::new(
                format!("/lineDiscounts/{i}/lineNumber"),
                FieldCode::NotAllowed,
                "one discount per line",
            ));
        }
        if !percent_ok(d.percent) {
            errors.push(FieldError::new(
                format!("/lineDiscounts/{i}/percent"),
                FieldCode::OutOfRange,
                format!("{} is not between 0 and 100", d.percent),
            ));
        }
    }
    let mut overridden = std::collections::HashSet::new();
    for (i, o) in input.request.line_overrides.iter().enumerate() {
        if !known.contains_key(&o.line_number) {
            errors.push(FieldError::new(
                format!("/lineOverrides/{i}/lineNumber"),
                FieldCode::UnknownReference,
                format!("there is no line {}", o.line_number),
            ));
        } else if o.kind == PriceKind::Usage || !has_price(input, &o.line_number, o.kind) {
            errors.push(FieldError::new(
                format!("/lineOverrides/{i}/kind"),
                FieldCode::NotAllowed,
                "the line has no such price to override",
            ));
        }
        if !overridden.insert((&o.line_number, o.kind)) {
            errors.push(FieldError::new(
                format!("/lineOverrides/{i}"),
                FieldCode::NotAllowed,
                "one override per line and kind",
            ));
        }
        if o.unit_amount.0 < Decimal::ZERO
            || o.unit_amount.0.normalize().scale() > input.currency.minor_units()
            || !fits(o.unit_amount.0)
        {
            errors.push(FieldError::new(
                format!("/lineOverrides/{i}/unitAmount"),
                FieldCode::OutOfRange,
                format!("at least 0, in minor units of {}", input.currency),
            ));
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Rejection::new(ErrorCode::ValidationFailed, "Discounts or overrides cannot be applied: see errors.")
            .with_errors(errors))
    }
}

fn has_price(input: &PricingInput, line: &LineNumber, kind: PriceKind) -> bool {
    input.configuration.lines.iter().find(|l| l.line_number == *line).is_some_and(|l| select(input, l, kind).is_some())
}

/// A value that a `when` may name.
fn lookup(input: &PricingInput, line: &ConfiguredLine, key: &str) -> Option<Typed> {
    match key {
        "termMonths" => Some(Typed::Number(BigDecimal::from(input.term_months))),
        "quantity" => Some(Typed::Number(big(line.quantity.0))),
        "segment" => Some(Typed::Text(input.customer.segment.clone())),
        name => crate::configuration::characteristic(
            input.catalog.offering(&line.product_offering_id, &line.product_offering_version)?,
            line,
            name,
        ),
    }
}

/// Step 1: the most specific price of that kind.
fn select<'a>(input: &PricingInput<'a>, line: &ConfiguredLine, kind: PriceKind) -> Option<&'a PriceEntry> {
    input
        .catalog
        .prices(&line.product_offering_id)
        .filter(|p| p.kind == kind && p.price_list_id == input.price_list_id && p.currency == input.currency)
        .filter(|p| p.offering_version.as_ref().is_none_or(|v| *v == line.product_offering_version))
        .filter(|p| within(input.pricing_date, Some(p.valid_from), p.valid_to))
        .filter(|p| p.segment.as_ref().is_none_or(|s| *s == input.customer.segment))
        .filter(|p| holds(&p.when, &|key| lookup(input, line, key)))
        .max_by_key(|p| (p.segment.is_some(), p.when.len(), p.valid_from))
}

fn price_line(
    input: &PricingInput,
    index: usize,
    line: &ConfiguredLine,
    out: &mut Vec<LineTrace>,
) -> Result<(), Rejection> {
    let before = out.len();
    for kind in [PriceKind::OneTime, PriceKind::Recurring, PriceKind::Usage] {
        if let Some(price) = select(input, line, kind) {
            out.push(trace_line(input, index, line, price)?);
        }
    }
    if out.len() == before && line.action.is_charged() {
        return Err(refuse(
            ErrorCode::PriceNotFound,
            format!("/lines/{index}"),
            FieldCode::UnknownReference,
            format!(
                "{} has no price in list {} in {} for this customer at {}",
                line.product_offering_id, input.price_list_id, input.currency, input.pricing_date
            ),
        ));
    }
    Ok(())
}

fn trace_line(
    input: &PricingInput,
    index: usize,
    line: &ConfiguredLine,
    price: &PriceEntry,
) -> Result<LineTrace, Rejection> {
    let quantity = if line.action.is_charged() { big(line.quantity.0) } else { BigDecimal::zero() };
    let mut run = Run { quantity: quantity.clone(), amount: BigDecimal::zero(), steps: Vec::new() };
    let mut traced = LineTrace {
        line_number: line.line_number.clone(),
        kind: price.kind,
        action: line.action,
        quantity: plain(&quantity),
        price: price.clone(),
        steps: Vec::new(),
    };
    if price.kind == PriceKind::Usage {
        return Ok(traced);
    }
    run.apply(StepKind::List, &price.id, "", list(price, &quantity))?;
    let manual =
        input.request.line_overrides.iter().find(|o| o.line_number == line.line_number && o.kind == price.kind);
    match manual {
        Some(o) => run.operate(StepKind::LineOverride, &o.reason_code, big(o.unit_amount.0))?,
        None => adjust(input, line, price, &mut run)?,
    }
    if let Some(d) = input.request.line_discounts.iter().find(|d| d.line_number == line.line_number) {
        run.operate(StepKind::LineDiscount, &d.reason_code, big(d.percent.0))?;
    }
    if let Some(d) = &input.request.quote_discount {
        run.operate(StepKind::QuoteDiscount, &d.reason_code, big(d.percent.0))?;
    }
    run.operate(StepKind::Round, input.currency.code(), BigDecimal::from(input.currency.minor_units()))?;
    let category = &line.tax_category;
    let tax = input.tenant.tax_percent(category, &input.customer.jurisdiction).ok_or_else(|| {
        refuse(
            ErrorCode::TaxRateNotFound,
            format!("/lines/{index}"),
            FieldCode::UnknownReference,
            format!("there is no tax rate for {category} in {}", input.customer.jurisdiction),
        )
    })?;
    let net = run.amount.clone();
    run.operate(StepKind::Tax, category, big(tax.0))?;
    run.amount = net;
    traced.steps = run.steps;
    Ok(traced)
}

fn adjust(input: &PricingInput, line: &ConfiguredLine, price: &PriceEntry, run: &mut Run) -> Result<(), Rejection> {
    for a in input.catalog.adjustments(&line.product_offering_id) {
        let to = &a.applies_to;
        let concerns = to.offering_version.as_ref().is_none_or(|v| *v == line.product_offering_version)
            && to.price_kind.is_none_or(|k| k == price.kind)
            && to.price_list_id.as_ref().is_none_or(|l| l == input.price_list_id)
            && a.currency.is_none_or(|c| c == input.currency)
            && within(input.pricing_date, Some(a.valid_from), a.valid_to)
            && holds(&a.when, &|key| lookup(input, line, key));
        if concerns {
            let step = match a.kind {
                AdjustmentKind::Percent => StepKind::AdjustPercent,
                AdjustmentKind::AmountPerUnit => StepKind::AdjustPerUnit,
                AdjustmentKind::OverrideUnit => StepKind::OverrideUnit,
            };
            run.operate(step, &a.id, big(a.value.0))?;
        }
    }
    Ok(())
}

/// A line's running amount and how it came about.
struct Run {
    quantity: BigDecimal,
    amount: BigDecimal,
    steps: Vec<TraceStep>,
}

impl Run {
    fn operate(&mut self, step: StepKind, rule: &str, operand: BigDecimal) -> Result<(), Rejection> {
        let amount = operate(step, &self.amount, &operand, &self.quantity);
        self.apply(step, rule, &plain(&operand), amount)
    }
    fn apply(&mut self, step: StepKind, rule: &str, operand: &str, amount: BigDecimal) -> Result<(), Rejection> {
        if amount < BigDecimal::zero() {
            return Err(out_of_range());
        }
        let basis = std::mem::replace(&mut self.amount, amount);
        self.steps.push(TraceStep {
            step,
            rule_id: rule.to_owned(),
            operand: operand.to_owned(),
            basis: plain(&basis),
            amount: plain(&self.amount),
        });
        Ok(())
    }
}

/// What a step makes of the running amount.
fn operate(step: StepKind, amount: &BigDecimal, operand: &BigDecimal, quantity: &BigDecimal) -> BigDecimal {
    let scale = || i64::try_from(operand.as_bigint_and_exponent().0).unwrap_or_default();
    match step {
        StepKind::List => amount.clone(),
        StepKind::AdjustPercent => amount * (BigDecimal::from(1) + operand / hundred()),
        StepKind::AdjustPerUnit => amount + operand * quantity,
        StepKind::OverrideUnit | StepKind::LineOverride => operand * quantity,
        StepKind::LineDiscount | StepKind::QuoteDiscount => amount * off(operand),
        StepKind::Round => amount.with_scale_round(scale(), RoundingMode::HalfUp),
        StepKind::Tax => amount * operand / hundred(),
    }
}

/// Step 2: the list amount by the price's model.
fn list(price: &PriceEntry, quantity: &BigDecimal) -> BigDecimal {
    let amount = big(price.amount.map(|a| a.0).unwrap_or_default());
    if quantity.is_zero() {
        return BigDecimal::zero();
    }
    match price.model {
        PriceModel::Flat => amount,
        PriceModel::PerUnit => amount * quantity,
        PriceModel::Volume => price
            .tiers
            .iter()
            .find(|t| t.up_to.is_none_or(|u| *quantity <= big(u.0)))
            .map_or_else(BigDecimal::zero, |t| big(t.amount.0) * quantity),
        PriceModel::Tiered => {
            let (mut sum, mut from) = (BigDecimal::zero(), BigDecimal::zero());
            for tier in &price.tiers {
                let to = tier.up_to.map_or_else(|| quantity.clone(), |u| big(u.0)).min(quantity.clone());
                if to > from {
                    sum += (&to - &from) * big(tier.amount.0);
                    from = to;
                }
            }
            sum
        }
    }
}

/// Sums of rounded parts (contract: "Totals").
fn total(trace: &PriceTrace) -> Result<Price, Rejection> {
    let minor = trace.currency.minor_units();
    let term = Decimal::from(trace.term_months);
    let times = |a: Decimal, kind: PriceKind| if kind == PriceKind::Recurring { a.checked_mul(term) } else { Some(a) };
    let zero = || {
        let mut z = Decimal::ZERO;
        z.rescale(minor);
        z
    };
    let (mut one_time, mut monthly, mut list, mut tax) = (zero(), zero(), zero(), zero());
    let (mut cost, mut costed) = (BigDecimal::zero(), true);
    let mut lines = Vec::with_capacity(trace.lines.len());
    let add = |sum: &mut Decimal, value: Option<Decimal>| -> Result<(), Rejection> {
        *sum = value.and_then(|v| sum.checked_add(v)).filter(|s| fits(*s)).ok_or_else(out_of_range)?;
        Ok(())
    };
    for line in &trace.lines {
        let amount = |kind: StepKind| {
            line.steps
                .iter()
                .find(|s| s.step == kind)
                .and_then(|s| BigDecimal::from_str(&s.amount).ok())
                .unwrap_or_default()
        };
        let (line_list, net, line_tax) = (
            rounded(&amount(StepKind::List), minor)?,
            rounded(&amount(StepKind::Round), minor)?,
            rounded(&amount(StepKind::Tax), minor)?,
        );
        let usage = line.kind == PriceKind::Usage;
        if !usage {
            add(if line.kind == PriceKind::OneTime { &mut one_time } else { &mut monthly }, Some(net))?;
            add(&mut list, times(line_list, line.kind))?;
            add(&mut tax, times(line_tax, line.kind))?;
            if line.action.is_charged() {
                let months = if line.kind == PriceKind::Recurring {
                    BigDecimal::from(trace.term_months)
                } else {
                    BigDecimal::from(1)
                };
                match line.price.unit_cost {
                    Some(unit) => {
                        cost += big(unit.0) * BigDecimal::from_str(&line.quantity).unwrap_or_default() * months
                    }
                    None => costed = false,
                }
            }
        }
        lines.push(PriceLine {
            line_number: line.line_number.clone(),
            kind: line.kind,
            list_amount: Amount(line_list),
            net_amount: Amount(net),
            tax_amount: Amount(line_tax),
            unit_rate: if usage { line.price.amount } else { None },
        });
    }
    let mut sum = one_time;
    add(&mut sum, times(monthly, PriceKind::Recurring))?;
    let mut with_tax = sum;
    add(&mut with_tax, Some(tax))?;
    let discount = list.checked_sub(sum).ok_or_else(out_of_range)?;
    let percent = |part: BigDecimal, whole: Decimal| rounded(&(part * hundred() / big(whole)), 2).map(Percent);
    let signed = |part: BigDecimal, whole: Decimal| {
        if part < BigDecimal::zero() { percent(-part, whole).map(|p| Percent(-p.0)) } else { percent(part, whole) }
    };
    Ok(Price {
        policy_version: trace.policy_version.clone(),
        currency: trace.currency,
        list_amount: Amount(list),
        discount_amount: Amount(discount),
        one_time_amount: Amount(one_time),
        recurring_monthly_amount: Amount(monthly),
        total_amount: Amount(sum),
        tax_amount: Amount(tax),
        total_with_tax: Amount(with_tax),
        effective_discount_percent: if list.is_zero() {
            Percent(Decimal::new(0, 2))
        } else {
            signed(big(discount), list)?
        },
        margin_percent: if costed && !sum.is_zero() { Some(signed(big(sum) - cost, sum)?) } else { None },
        lines,
    })
}

/// Makes the price again from its trace alone; an error names the step that does not follow.
pub fn replay(trace: &PriceTrace) -> Result<Price, String> {
    let exact = |text: &str| BigDecimal::from_str(text).map_err(|e| format!("'{text}': {e}"));
    for line in trace.lines.iter().filter(|l| l.kind != PriceKind::Usage) {
        let quantity = exact(&line.quantity)?;
        let mut amount = BigDecimal::zero();
        for step in &line.steps {
            if exact(&step.basis)? != amount {
                return Err(format!("line {} {:?}: the basis is not the amount before", line.line_number, step.step));
            }
            let operand = if step.operand.is_empty() { BigDecimal::zero() } else { exact(&step.operand)? };
            amount = if step.step == StepKind::List {
                list(&line.price, &quantity)
            } else {
                operate(step.step, &amount, &operand, &quantity)
            };
            if exact(&step.amount)? != amount {
                return Err(format!("line {} {:?}: {} does not follow", line.line_number, step.step, step.amount));
            }
        }
    }
    total(trace).map_err(|r| r.to_string())
}
