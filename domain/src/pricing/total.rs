//! Totals: sums of rounded parts, the discount and the margin in percent.

use super::exact::{big, ratio_percent, read};
use super::trace::PriceTrace;
use super::{Price, PriceKind, PriceLine};
use crate::money::{Amount, Currency, Percent, fits};
use bigdecimal::{BigDecimal, Zero};
use rust_decimal::Decimal;

/// What one line costs, for one kind of price, rounded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Amounts {
    pub list: Decimal,
    pub net: Decimal,
    pub tax: Decimal,
}

impl Amounts {
    pub fn zero(currency: Currency) -> Self {
        let zero = nothing(currency);
        Self { list: zero, net: zero, tax: zero }
    }
}

fn nothing(currency: Currency) -> Decimal {
    Decimal::new(0, currency.minor_units())
}

/// The name of a total that does not fit numeric(19,6).
#[derive(Debug)]
pub(super) struct OutOfRange(pub &'static str);

/// A sum that must fit.
struct Sum {
    name: &'static str,
    value: Decimal,
}

impl Sum {
    fn new(name: &'static str, currency: Currency) -> Self {
        Self { name, value: nothing(currency) }
    }
    fn add(&mut self, value: Decimal, times: Decimal) -> Result<(), OutOfRange> {
        let scale = self.value.scale();
        let sum = value.checked_mul(times).and_then(|product| self.value.checked_add(product));
        self.value = sum.filter(|sum| fits(*sum)).ok_or(OutOfRange(self.name))?;
        // A product with zero loses its scale; sums keep the currency's minor units.
        self.value.rescale(scale);
        Ok(())
    }
}

/// The price that these amounts, one for each line of the trace, come to.
pub(super) fn total(trace: &PriceTrace, amounts: &[Amounts]) -> Result<Price, OutOfRange> {
    let sum = |name| Sum::new(name, trace.currency);
    let (mut one_time, mut monthly) = (sum("one-time amount"), sum("recurring monthly amount"));
    let (mut list, mut total, mut tax) = (sum("list amount"), sum("total amount"), sum("tax amount"));
    let mut with_tax = sum("total with tax");
    let mut lines = Vec::with_capacity(amounts.len());
    for (line, amount) in trace.lines.iter().zip(amounts) {
        let times = Decimal::from(trace.times(line.kind));
        match line.kind {
            PriceKind::OneTime => one_time.add(amount.net, Decimal::ONE)?,
            PriceKind::Recurring => monthly.add(amount.net, Decimal::ONE)?,
            PriceKind::Usage => {}
        }
        list.add(amount.list, times)?;
        total.add(amount.net, times)?;
        tax.add(amount.tax, times)?;
        lines.push(PriceLine {
            line_number: line.line_number.clone(),
            kind: line.kind,
            list_amount: Amount(amount.list),
            net_amount: Amount(amount.net),
            tax_amount: Amount(amount.tax),
            unit_rate: line.unit_rate,
        });
    }
    with_tax.add(total.value, Decimal::ONE)?;
    with_tax.add(tax.value, Decimal::ONE)?;
    let discount = list.value - total.value;
    Ok(Price {
        policy_version: trace.policy_version.clone(),
        currency: trace.currency,
        list_amount: Amount(list.value),
        discount_amount: Amount(discount),
        one_time_amount: Amount(one_time.value),
        recurring_monthly_amount: Amount(monthly.value),
        total_amount: Amount(total.value),
        tax_amount: Amount(tax.value),
        total_with_tax: Amount(with_tax.value),
        effective_discount_percent: discount_percent(discount, list.value)?,
        margin_percent: margin_percent(trace, total.value)?,
        lines,
    })
}

/// Nothing off where there is nothing to take it from.
fn discount_percent(discount: Decimal, list: Decimal) -> Result<Percent, OutOfRange> {
    if list.is_zero() {
        return Ok(Percent(Decimal::new(0, 2)));
    }
    ratio_percent(&big(discount), &big(list)).map(Percent).ok_or(OutOfRange("effective discount percent"))
}

/// Known only where every charged price has a cost and there is something to earn.
fn margin_percent(trace: &PriceTrace, total: Decimal) -> Result<Option<Percent>, OutOfRange> {
    let mut cost = BigDecimal::zero();
    for line in trace.lines.iter().filter(|line| line.is_charged()) {
        let (Some(unit), Some(quantity)) = (line.unit_cost, read(&line.quantity)) else { return Ok(None) };
        let once = big(unit.0) * quantity;
        cost += if line.kind == PriceKind::Recurring { once * BigDecimal::from(trace.term_months) } else { once };
    }
    if total.is_zero() {
        return Ok(None);
    }
    let total = big(total);
    ratio_percent(&(&total - cost), &total).map(|percent| Some(Percent(percent))).ok_or(OutOfRange("margin percent"))
}
