//! Where prices end and begin, the largest and the smallest amounts, currencies without cents: each edge decided.

use super::*;
use crate::money::parse_plain;
use bigdecimal::BigDecimal;
use pretty_assertions::assert_eq;
use proptest::prelude::*;
use rstest::rstest;
use rust_decimal::Decimal;
use std::str::FromStr;

const LARGEST: &str = "9999999999999.999999";

fn manual(unit_amount: &str) -> Value {
    json!({"lineOverrides": [{"lineNumber": "1", "kind": "RECURRING", "unitAmount": unit_amount, "reasonCode": "R"}]})
}

/// Half past noon in Adelaide is three in the morning in Greenwich and still the day before in San Francisco.
#[rstest]
#[case::a_microsecond_before("2026-06-01T02:59:59.999999Z", "before")]
#[case::on_the_instant("2026-06-01T03:00:00Z", "from noon")]
#[case::on_the_instant_by_another_clock("2026-05-31T20:00:00-07:00", "from noon")]
#[case::at_that_time_by_another_clock("2026-06-01T12:30:00+14:00", "before")]
#[case::later_that_day("2026-06-01T12:30:00Z", "from noon")]
fn a_price_that_starts_in_the_middle_of_a_day_starts_at_that_instant_everywhere(
    #[case] at: &'static str,
    #[case] price: &str,
) {
    let deal = Deal::of(json!([
        price_entry("before", json!({})),
        price_entry("from noon", json!({"validFrom": "2026-06-01T12:30:00+09:30"}))
    ]));
    assert_eq!(deal.at(at).trace().lines[0].price_id, price);
}

#[rstest]
#[case::a_microsecond_before("2026-05-31T21:59:59.999999Z", "first")]
#[case::on_the_boundary("2026-05-31T22:00:00Z", "second")]
#[case::a_microsecond_after("2026-05-31T22:00:00.000001Z", "second")]
fn of_two_prices_at_one_boundary_each_instant_has_exactly_one(#[case] at: &'static str, #[case] price: &str) {
    // The same boundary by two clocks; that the first is the more specific one is of no use to it once it has ended.
    let prices = [
        price_entry(
            "first",
            json!({"segment": "SMB", "when": {"quantity": "1"}, "validTo": "2026-06-01T00:00:00+02:00"}),
        ),
        price_entry("second", json!({"validFrom": "2026-05-31T22:00:00Z"})),
    ];
    assert_eq!(Deal::of(json!(prices)).at(at).trace().lines[0].price_id, price);
}

#[test]
fn two_prices_that_leave_a_gap_leave_nothing_to_pay_in_it() {
    let deal = Deal::of(json!([
        price_entry("first", json!({"validTo": "2026-06-01T00:00:00Z"})),
        price_entry("second", json!({"validFrom": "2026-06-01T00:00:00.000001Z"}))
    ]));
    assert_eq!(deal.at("2026-06-01T00:00:00Z").refused().0, ErrorCode::PriceNotFound);
}

/// A thousandth of a unit, which costs 0.025: that is not rounded before the percentage is.
#[rstest]
#[case::model(json!([]), "0.10", "75.00")]
#[case::amount_per_unit(json!([adjustment("a", json!({"kind": "AMOUNT_PER_UNIT", "value": "20", "currency": "USD"}))]), "0.12", "79.17")]
#[case::override_unit(json!([adjustment("a", json!({"kind": "OVERRIDE_UNIT", "value": "50", "currency": "USD"}))]), "0.05", "50.00")]
fn a_fraction_of_a_unit_is_a_fraction_in_every_step(
    #[case] adjustments: Value,
    #[case] total: &str,
    #[case] margin: &str,
) {
    let deal = Deal::of(json!([price_entry("p", json!({"unitCost": "25"}))])).adjusted(adjustments).quantity("0.001");
    let price = deal.price();
    let shown = (price.total_amount.to_string(), price.margin_percent.unwrap().to_string());
    assert_eq!(shown, (total.to_owned(), margin.to_owned()));
}

#[test]
fn the_smallest_quantity_is_priced_and_may_cost_nothing() {
    let deal = Deal::of(json!([price_entry("p", json!({}))])).quantity("0.000001");
    assert_eq!(deal.amounts(), ("0.00".to_owned(), "0.00".to_owned()));
    let dear = Deal::of(json!([price_entry("p", json!({"amount": "5000"}))])).quantity("0.000001");
    assert_eq!(dear.amounts().1, "0.01", "half a cent is a cent");
}

#[rstest]
#[case::yen("JPY", json!({"listAmount": "3000", "discountAmount": "225", "oneTimeAmount": "0", "recurringMonthlyAmount": "925",
    "totalAmount": "2775", "taxAmount": "228", "totalWithTax": "3003", "effectiveDiscountPercent": "7.50"}))]
#[case::dinar("KWD", json!({"listAmount": "2998.500", "discountAmount": "224.886", "oneTimeAmount": "0.000",
    "recurringMonthlyAmount": "924.538", "totalAmount": "2773.614", "taxAmount": "228.822", "totalWithTax": "3002.436",
    "effectiveDiscountPercent": "7.50"}))]
fn every_amount_of_a_price_is_in_the_currencys_minor_units(#[case] currency: &'static str, #[case] expected: Value) {
    let deal = Deal::of(json!([price_entry("p", json!({"amount": "999.5", "currency": currency}))]))
        .currency(currency)
        .term(3)
        .asking(json!({"quoteDiscount": {"percent": "7.5", "reasonCode": "Q"}}));
    let price = serde_json::to_value(deal.price()).unwrap();
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(price[name], *value, "{name} in {price}");
    }
}

#[rstest]
#[case::whole_yen("JPY", "101", true)]
#[case::a_part_of_a_yen("JPY", "100.5", false)]
#[case::a_thousandth_of_a_dinar("KWD", "0.001", true)]
#[case::less_than_that("KWD", "0.0005", false)]
fn an_override_is_given_in_the_currencys_minor_units(
    #[case] currency: &'static str,
    #[case] amount: &str,
    #[case] taken: bool,
) {
    let deal =
        Deal::of(json!([price_entry("p", json!({"currency": currency}))])).currency(currency).asking(manual(amount));
    match taken {
        true => assert_eq!(deal.amounts().1, amount),
        false => assert_eq!(deal.refused().0, ErrorCode::ValidationFailed),
    }
}

#[test]
fn a_discount_of_everything_on_line_and_quote_leaves_nothing_to_tax() {
    let all = |who: &str| json!({"lineNumber": "1", "percent": "100", "reasonCode": who});
    let deal = Deal::of(json!([price_entry("p", json!({}))]))
        .asking(json!({"quoteDiscount": {"percent": "100.000000", "reasonCode": "Q"}, "lineDiscounts": [all("L")]}));
    let price = deal.price();
    let shown = [price.list_amount, price.discount_amount, price.total_amount, price.tax_amount].map(|a| a.to_string());
    assert_eq!(shown, ["100.00", "100.00", "0.00", "0.00"]);
}

#[rstest]
#[case::quote(json!({"quoteDiscount": {"percent": "100.000001", "reasonCode": "Q"}}), "/quoteDiscount/percent")]
#[case::line(json!({"lineDiscounts": [{"lineNumber": "1", "percent": "100.000001", "reasonCode": "L"}]}), "/lineDiscounts/0/percent")]
fn a_millionth_of_a_percent_over_100_is_refused(#[case] request: Value, #[case] pointer: &str) {
    let refused = Deal::of(json!([price_entry("p", json!({}))])).asking(request).refused();
    assert_eq!(refused, (ErrorCode::ValidationFailed, vec![(pointer.to_owned(), FieldCode::OutOfRange)]));
}

#[rstest]
#[case::list(json!([price_entry("p", json!({"amount": LARGEST}))]), json!([]), json!({}), LARGEST)]
#[case::list_that_rounds_beyond(json!([price_entry("p", json!({"amount": "9999999999999.995"}))]), json!([]), json!({}), "1")]
#[case::adjusted(json!([price_entry("p", json!({}))]), json!([adjustment("a", json!({"value": LARGEST})), adjustment("b", json!({"value": LARGEST}))]), json!({}), LARGEST)]
#[case::by_hand(json!([price_entry("p", json!({}))]), json!([]), manual("9999999999999.99"), "2")]
#[case::tiers(json!([price_entry("p", json!({"model": "TIERED", "tiers": [{"upTo": "1", "amount": "0"}, {"upTo": null, "amount": LARGEST}]}))]), json!([]), json!({}), LARGEST)]
fn an_amount_beyond_numeric_19_6_is_refused_at_its_line(
    #[case] prices: Value,
    #[case] adjustments: Value,
    #[case] request: Value,
    #[case] quantity: &str,
) {
    let deal = Deal::of(prices).adjusted(adjustments).asking(request).quantity(quantity);
    assert_eq!(deal.refused(), (ErrorCode::AmountOutOfRange, vec![("/lines/0".to_owned(), FieldCode::OutOfRange)]));
}

#[rstest]
#[case::dollars("USD", "9999999999999.99", "9999999999999.99")]
#[case::yen("JPY", "9999999999999.499999", "9999999999999")]
#[case::dinars("KWD", "9999999999999.999", "9999999999999.999")]
fn the_largest_amount_of_a_currency_is_priced(
    #[case] currency: &'static str,
    #[case] amount: &str,
    #[case] total: &str,
) {
    let mut deal =
        Deal::of(json!([price_entry("p", json!({"amount": amount, "currency": currency}))])).currency(currency);
    deal.tenant["taxRates"][0]["percent"] = json!("0");
    assert_eq!(deal.price().total_with_tax.to_string(), total);
}

#[rstest]
#[case::of_lines("5000000000000", "0", "one-time amount")]
#[case::of_taxes("4000000000000", "100", "total with tax")]
fn a_sum_beyond_numeric_19_6_is_refused_by_its_name(#[case] amount: &str, #[case] tax: &str, #[case] name: &str) {
    let prices = json!([price_entry("p", json!({"kind": "ONE_TIME", "amount": amount}))]);
    let mut deal = Deal::of(prices).lines(json!([line("1", "o", json!({})), line("2", "o", json!({}))]));
    deal.tenant["taxRates"][0]["percent"] = json!(tax);
    let rejection = deal.try_price().unwrap_err();
    assert_eq!((rejection.code, rejection.errors), (ErrorCode::AmountOutOfRange, vec![]));
    assert!(rejection.detail.contains(name), "{}", rejection.detail);
}

/// What stands in the way of a price that is overridden is told, not that there were none.
#[rstest]
#[case::tax("untaxed", "10.00", "1", ErrorCode::TaxRateNotFound, FieldCode::UnknownReference)]
#[case::amount("o", "9999999999999.99", "2", ErrorCode::AmountOutOfRange, FieldCode::OutOfRange)]
fn an_overridden_price_that_fails_is_no_missing_price(
    #[case] offering: &str,
    #[case] unit: &str,
    #[case] quantity: &str,
    #[case] code: ErrorCode,
    #[case] field: FieldCode,
) {
    let deal = Deal::of(json!([price_entry("p", json!({"offeringId": offering}))]))
        .lines(json!([line("1", offering, json!({"quantity": quantity}))]))
        .asking(manual(unit));
    assert_eq!(deal.refused(), (code, vec![("/lines/0".to_owned(), field)]));
}

#[rstest]
#[case::of_its_own_type(json!({"gte": "2026-07-01"}), "0.00")]
#[case::of_another_type(json!({"lte": "GOLD"}), "100.00")]
fn a_date_is_compared_with_dates_only_even_if_another_offering_means_a_text(#[case] start: Value, #[case] net: &str) {
    let off = adjustment("a", json!({"value": "-100", "when": {"start": start}}));
    let mut deal = Deal::of(json!([price_entry("p", json!({}))])).adjusted(json!([off])).lines(json!([line(
        "1",
        "o",
        json!({"characteristics": {"start": "2026-07-01"}})
    )]));
    // Of two types, publishing lets a condition have either.
    deal.catalog["offerings"][2]["characteristics"] = json!([{"name": "start", "type": "STRING"}]);
    assert_eq!(deal.amounts().1, net);
}

/// The list amount before it is rounded.
fn exact_list(tiers: &Value, quantity: &str) -> BigDecimal {
    let price = price_entry("p", json!({"model": "TIERED", "tiers": tiers}));
    let trace = Deal::of(json!([price])).quantity(quantity).trace();
    let last = trace.lines[0].steps.iter().rfind(|step| step.step == StepKind::List).unwrap();
    BigDecimal::from_str(&last.amount).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn graduated_tiers_are_continuous_at_their_boundaries(
        ends in proptest::collection::btree_set(2..2_000_000_000i64, 1..4),
        amounts in proptest::collection::vec(0..1_000_000_000i64, 4),
    ) {
        let millionths = |units: i64| Decimal::new(units, 6).to_string();
        let mut tiers: Vec<Value> =
            ends.iter().zip(&amounts).map(|(end, amount)| json!({"upTo": millionths(*end), "amount": millionths(*amount)})).collect();
        tiers.push(json!({"upTo": null, "amount": millionths(amounts[ends.len()])}));
        let tiers = json!(tiers);
        for (i, end) in ends.iter().enumerate() {
            let [below, on, above] = [-1, 0, 1].map(|step| exact_list(&tiers, &millionths(end + step)));
            let of_a_millionth = |tier: usize| {
                let amount = parse_plain(tiers[tier]["amount"].as_str().unwrap()).unwrap();
                BigDecimal::from_str(&(amount * Decimal::new(1, 6)).to_string()).unwrap()
            };
            // A boundary belongs to the tier that it ends.
            prop_assert_eq!(&on - &below, of_a_millionth(i));
            prop_assert_eq!(&above - &on, of_a_millionth(i + 1));
        }
    }
}
