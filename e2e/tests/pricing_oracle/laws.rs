//! What holds of every price by itself, and of two prices of nearly the same quote.

use crate::product::{Asked, Shop};
use cpq_domain::money::{Amount, MAX_SCALE, Percent};
use cpq_domain::pricing::{Discount, POLICY_VERSION, Price, PriceKind, PriceLine, PriceTrace, replay};
use rust_decimal::Decimal;

/// Laws that do not hold of a price.
#[derive(Default)]
pub struct Broken(pub Vec<&'static str>);

impl Broken {
    fn unless(&mut self, holds: bool, law: &'static str) {
        if !holds {
            self.0.push(law);
        }
    }
}

/// The trace replays, and totals are the sums of their parts.
pub fn of_one(price: &Price, trace: &PriceTrace, broken: &mut Broken) {
    broken.unless(price.policy_version == POLICY_VERSION, "the policy has its name");
    broken.unless(replay(trace).as_ref() == Ok(price), "the trace replays to the price");
    let sum = |amount: fn(&PriceLine) -> Amount, kind: PriceKind| -> Decimal {
        price.lines.iter().filter(|line| line.kind == kind).map(|line| amount(line).0).sum()
    };
    let over_term = |amount: fn(&PriceLine) -> Amount| {
        sum(amount, PriceKind::OneTime) + sum(amount, PriceKind::Recurring) * Decimal::from(trace.term_months)
    };
    let monthly = sum(|line| line.net_amount, PriceKind::Recurring);
    broken.unless(price.one_time_amount.0 == sum(|line| line.net_amount, PriceKind::OneTime), "oneTimeAmount is a sum");
    broken.unless(price.recurring_monthly_amount.0 == monthly, "recurringMonthlyAmount is a sum");
    broken.unless(price.total_amount.0 == over_term(|line| line.net_amount), "totalAmount is a sum");
    broken.unless(price.list_amount.0 == over_term(|line| line.list_amount), "listAmount is a sum");
    broken.unless(price.tax_amount.0 == over_term(|line| line.tax_amount), "taxAmount is a sum");
    broken.unless(price.total_with_tax.0 == price.total_amount.0 + price.tax_amount.0, "totalWithTax is a sum");
    broken
        .unless(price.discount_amount.0 == price.list_amount.0 - price.total_amount.0, "discountAmount is what is off");
}

/// The order of lines does not matter, and more off the quote or off a line never makes anything dearer.
pub fn of_neighbours(shop: &Shop, asked: &Asked, price: &Price, broken: &mut Broken) {
    let mut turned = asked.clone();
    turned.configuration.lines.reverse();
    let by_line = |price: &Price| {
        let mut price = price.clone();
        price.lines.sort_by(|a, b| (&a.line_number, a.kind).cmp(&(&b.line_number, b.kind)));
        price
    };
    let same = shop.price(&turned).is_ok_and(|(turned, _)| by_line(&turned) == by_line(price));
    broken.unless(same, "the order of lines does not matter");

    let mut less = asked.clone();
    let given = less.request.quote_discount.take().map(|discount| discount.percent).unwrap_or_default();
    less.request.quote_discount = Some(Discount { percent: more(given), reason_code: "MORE".to_owned() });
    broken.unless(is_no_dearer(shop, &less, price), "more off the quote never raises a price");

    let mut less = asked.clone();
    less.request.line_discounts.iter_mut().for_each(|discount| discount.percent = more(discount.percent));
    broken.unless(is_no_dearer(shop, &less, price), "more off a line never raises a price");
}

/// Half of what is left goes, too.
fn more(percent: Percent) -> Percent {
    Percent(((percent.0 + Decimal::ONE_HUNDRED) / Decimal::TWO).trunc_with_scale(MAX_SCALE))
}

/// What cannot be priced, as its margin no longer fits, is not dearer.
fn is_no_dearer(shop: &Shop, less: &Asked, price: &Price) -> bool {
    shop.price(less).map_or(true, |(after, _)| {
        let lines = after.lines.iter().zip(&price.lines);
        after.total_amount <= price.total_amount
            && after.lines.len() == price.lines.len()
            && lines.into_iter().all(|(a, b)| a.net_amount <= b.net_amount && a.list_amount == b.list_amount)
    })
}
