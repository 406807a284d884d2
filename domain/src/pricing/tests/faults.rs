//! What cannot be priced: code, pointer and field code of each refusal.

use super::*;
use pretty_assertions::assert_eq;
use rstest::rstest;

use FieldCode::*;

fn one() -> Deal {
    Deal::of(json!([price_entry("p", json!({}))]))
}

#[rstest]
#[case::quote_over_100(json!({"quoteDiscount": {"percent": "100.01", "reasonCode": "Q"}}), "/quoteDiscount/percent", OutOfRange)]
#[case::quote_negative(json!({"quoteDiscount": {"percent": "-1", "reasonCode": "Q"}}), "/quoteDiscount/percent", OutOfRange)]
#[case::quote_seven_decimals(json!({"quoteDiscount": {"percent": "1.0000001", "reasonCode": "Q"}}), "/quoteDiscount/percent", OutOfRange)]
#[case::quote_without_reason(json!({"quoteDiscount": {"percent": "1", "reasonCode": " "}}), "/quoteDiscount/reasonCode", Required)]
#[case::reason_with_nul(json!({"quoteDiscount": {"percent": "1", "reasonCode": "a\u{0}"}}), "/quoteDiscount/reasonCode", Pattern)]
#[case::line_over_100(json!({"lineDiscounts": [{"lineNumber": "1", "percent": "101", "reasonCode": "L"}]}), "/lineDiscounts/0/percent", OutOfRange)]
#[case::line_twice(json!({"lineDiscounts": [{"lineNumber": "1", "percent": "1", "reasonCode": "L"}, {"lineNumber": "1", "percent": "1", "reasonCode": "L"}]}),
    "/lineDiscounts/1/lineNumber", NotAllowed)]
#[case::line_unknown(json!({"lineDiscounts": [{"lineNumber": "9", "percent": "1", "reasonCode": "L"}]}), "/lineDiscounts/0/lineNumber", UnknownReference)]
#[case::override_negative(json!({"lineOverrides": [{"lineNumber": "1", "kind": "RECURRING", "unitAmount": "-0.01", "reasonCode": "R"}]}), "/lineOverrides/0/unitAmount", OutOfRange)]
#[case::override_finer_than_the_currency(json!({"lineOverrides": [{"lineNumber": "1", "kind": "RECURRING", "unitAmount": "1.001", "reasonCode": "R"}]}), "/lineOverrides/0/unitAmount", OutOfRange)]
#[case::override_too_large(json!({"lineOverrides": [{"lineNumber": "1", "kind": "RECURRING", "unitAmount": "10000000000000", "reasonCode": "R"}]}), "/lineOverrides/0/unitAmount", OutOfRange)]
#[case::override_of_usage(json!({"lineOverrides": [{"lineNumber": "1", "kind": "USAGE", "unitAmount": "1", "reasonCode": "R"}]}), "/lineOverrides/0/kind", NotAllowed)]
#[case::override_of_no_line(json!({"lineOverrides": [{"lineNumber": "9", "kind": "RECURRING", "unitAmount": "1", "reasonCode": "R"}]}), "/lineOverrides/0/lineNumber", UnknownReference)]
#[case::override_twice(json!({"lineOverrides": [{"lineNumber": "1", "kind": "RECURRING", "unitAmount": "1", "reasonCode": "R"},
    {"lineNumber": "1", "kind": "RECURRING", "unitAmount": "1", "reasonCode": "R"}]}), "/lineOverrides/1/lineNumber", NotAllowed)]
fn what_is_asked_for_is_judged_first(#[case] request: Value, #[case] pointer: &str, #[case] code: FieldCode) {
    assert_eq!(one().asking(request).refused(), (ErrorCode::ValidationFailed, vec![(pointer.to_owned(), code)]));
}

#[test]
fn a_price_in_whole_units_is_in_minor_units_too() {
    let request =
        json!({"lineOverrides": [{"lineNumber": "1", "kind": "RECURRING", "unitAmount": "90.000", "reasonCode": "R"}]});
    assert_eq!(one().asking(request).amounts().1, "90.00");
}

#[test]
fn an_override_of_a_kind_without_a_price_is_refused() {
    let deal = one().asking(
        json!({"lineOverrides": [{"lineNumber": "1", "kind": "ONE_TIME", "unitAmount": "1.00", "reasonCode": "R"}]}),
    );
    assert_eq!(
        deal.refused(),
        (ErrorCode::PriceNotFound, vec![("/lineOverrides/0/kind".to_owned(), UnknownReference)])
    );
}

#[rstest]
#[case::no_price_at_all(one().lines(json!([line("1", "free", json!({}))])))]
#[case::another_currency(one().currency("EUR"))]
#[case::before_it_starts(one().at("2025-12-31T23:59:59.999999Z"))]
fn a_line_without_a_price_is_refused(#[case] deal: Deal) {
    assert_eq!(deal.refused(), (ErrorCode::PriceNotFound, vec![("/lines/0".to_owned(), UnknownReference)]));
}

#[test]
fn every_line_without_a_price_is_told() {
    let lines = json!([line("1", "free", json!({})), line("2", "o", json!({})), line("3", "free", json!({}))]);
    let expected = ["/lines/0", "/lines/2"].map(|pointer| (pointer.to_owned(), UnknownReference));
    assert_eq!(one().lines(lines).refused(), (ErrorCode::PriceNotFound, expected.to_vec()));
}

#[test]
fn a_free_part_carries_a_price_of_zero() {
    let deal = Deal::of(json!([price_entry("p", json!({"offeringId": "free", "amount": "0.00"}))]))
        .lines(json!([line("1", "free", json!({}))]));
    assert_eq!(deal.amounts(), ("0.00".to_owned(), "0.00".to_owned()));
}

#[test]
fn a_missing_tax_rate_is_refused() {
    let deal = Deal::of(json!([price_entry("p", json!({"offeringId": "untaxed"}))])).lines(json!([line(
        "1",
        "untaxed",
        json!({})
    )]));
    assert_eq!(deal.refused(), (ErrorCode::TaxRateNotFound, vec![("/lines/0".to_owned(), UnknownReference)]));
}

#[rstest]
#[case::percent_below_nothing(json!([adjustment("a", json!({"value": "-100.01"}))]))]
#[case::amount_below_nothing(json!([adjustment("a", json!({"kind": "AMOUNT_PER_UNIT", "value": "-100.01", "currency": "USD"}))]))]
#[case::override_below_nothing(json!([adjustment("a", json!({"kind": "OVERRIDE_UNIT", "value": "-1", "currency": "USD"}))]))]
#[case::below_nothing_in_between(json!([adjustment("a", json!({"value": "-101"})), adjustment("b", json!({"kind": "OVERRIDE_UNIT", "value": "1", "currency": "USD"}))]))]
fn a_negative_running_amount_is_refused(#[case] adjustments: Value) {
    assert_eq!(
        one().adjusted(adjustments).refused(),
        (ErrorCode::AmountOutOfRange, vec![("/lines/0".to_owned(), OutOfRange)])
    );
}

#[rstest]
#[case::the_largest_amount("9999999999999.99", "1", 1, "0", true)]
#[case::a_list_that_rounds_up("9999999999999.995", "1", 1, "0", false)]
#[case::a_list_too_large("1000000000000", "10", 1, "0", false)]
#[case::a_monthly_total("900000000000", "1", 11, "0", true)]
#[case::a_total_over_the_term("900000000000", "1", 12, "0", false)]
#[case::with_tax("5000000000000", "1", 1, "99.99", true)]
#[case::with_too_much_tax("5000000000000", "1", 1, "100", false)]
#[case::the_largest_term("2328.30", "1", u32::MAX, "0", true)]
#[case::too_large_for_the_largest_term("2328.31", "1", u32::MAX, "0", false)]
fn what_is_kept_fits_numeric_19_6(
    #[case] amount: &str,
    #[case] quantity: &str,
    #[case] term: u32,
    #[case] tax: &str,
    #[case] fits: bool,
) {
    let mut deal = Deal::of(json!([price_entry("p", json!({"amount": amount}))])).quantity(quantity).term(term);
    deal.tenant["taxRates"][0]["percent"] = json!(tax);
    match fits {
        true => assert!(!deal.price().total_amount.0.is_zero()),
        false => assert_eq!(deal.refused().0, ErrorCode::AmountOutOfRange),
    }
}

#[test]
fn what_is_not_kept_may_be_larger() {
    let deal = one()
        .adjusted(json!([
            adjustment("a", json!({"value": "9999999999999"})),
            adjustment("b", json!({"kind": "OVERRIDE_UNIT", "value": "1.00", "currency": "USD"}))
        ]))
        .quantity("9999999");
    assert_eq!(deal.amounts().1, "9999999.00");
}

#[test]
fn a_percentage_that_does_not_fit_is_refused() {
    let deal = Deal::of(json!([price_entry("p", json!({"amount": "0.01"}))]))
        .asking(json!({"lineOverrides": [{"lineNumber": "1", "kind": "RECURRING", "unitAmount": "9999999999999.00", "reasonCode": "R"}]}));
    assert_eq!(deal.refused().0, ErrorCode::AmountOutOfRange);
}
