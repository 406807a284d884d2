//! The contract's pricing semantics, sentence by sentence.

use super::*;
use pretty_assertions::assert_eq;
use rstest::rstest;

#[test]
fn the_contracts_worked_example_holds_to_the_last_digit() {
    let gold = json!({"sla": "GOLD"});
    let deal = Deal::of(json!([price_entry("p1", json!({"amount": "499.00", "unitCost": "210.00", "when": gold}))]))
        .adjusted(json!([adjustment(
            "term36",
            json!({"value": "-10", "appliesTo": {"offeringId": "o", "priceKind": "RECURRING"},
            "when": {"termMonths": {"gte": 36}}})
        )]))
        .lines(json!([line("1", "o", json!({"quantity": "2", "characteristics": gold}))]))
        .asking(json!({"quoteDiscount": {"percent": "2.5", "reasonCode": "Q"},
            "lineDiscounts": [{"lineNumber": "1", "percent": "5", "reasonCode": "L"}]}))
        .term(36);
    let expected = json!({
        "policyVersion": "cpq-pricing-1", "currency": "USD", "listAmount": "35928.00", "discountAmount": "5977.44",
        "oneTimeAmount": "0.00", "recurringMonthlyAmount": "831.96", "totalAmount": "29950.56", "taxAmount": "2471.04",
        "totalWithTax": "32421.60", "effectiveDiscountPercent": "16.64", "marginPercent": "49.52",
        "lines": [{"lineNumber": "1", "kind": "RECURRING", "listAmount": "998.00", "netAmount": "831.96", "taxAmount": "68.64"}]});
    assert_eq!(serde_json::to_value(deal.price()).unwrap(), expected);
    let steps: Vec<_> = deal.trace().lines[0]
        .steps
        .iter()
        .map(|s| {
            (s.step.as_str(), s.rule_id.clone(), s.operand.clone(), s.units.clone(), s.basis.clone(), s.amount.clone())
        })
        .collect();
    let step = |name, rule: &str, operand: &str, units: &str, basis: &str, amount: &str| {
        (name, rule.to_owned(), operand.to_owned(), units.to_owned(), basis.to_owned(), amount.to_owned())
    };
    let expected = [
        step("LIST", "p1", "499", "2", "0", "998"),
        step("PERCENT", "term36", "-10", "1", "998", "898.2"),
        step("LINE_DISCOUNT", "L", "5", "1", "898.2", "853.29"),
        step("QUOTE_DISCOUNT", "Q", "2.5", "1", "853.29", "831.95775"),
        step("ROUND", "USD", "2", "1", "831.95775", "831.96"),
        step("TAX", "STANDARD", "8.25", "1", "831.96", "68.64"),
    ];
    assert_eq!(steps, expected);
}

fn tiers() -> Value {
    json!([{"upTo": "10", "amount": "9.00"}, {"upTo": "20.5", "amount": "8.00"}, {"upTo": null, "amount": "7.50"}])
}

#[rstest]
#[case::flat_ignores_the_quantity(json!({"model": "FLAT", "amount": "9.99"}), "7.5", "9.99")]
#[case::per_unit(json!({"amount": "9.99"}), "7.5", "74.93")]
#[case::per_unit_of_a_fraction(json!({"amount": "0.01"}), "0.5", "0.01")]
#[case::per_unit_of_less_than_half(json!({"amount": "0.01"}), "0.499999", "0.00")]
#[case::tiered_inside_the_first(json!({"model": "TIERED", "tiers": tiers()}), "9.999999", "90.00")]
#[case::tiered_up_to_is_inclusive(json!({"model": "TIERED", "tiers": tiers()}), "10", "90.00")]
#[case::tiered_just_above(json!({"model": "TIERED", "tiers": tiers()}), "10.5", "94.00")]
#[case::tiered_at_the_second(json!({"model": "TIERED", "tiers": tiers()}), "20.5", "174.00")]
#[case::tiered_in_the_last(json!({"model": "TIERED", "tiers": tiers()}), "30.5", "249.00")]
#[case::volume_inside_the_first(json!({"model": "VOLUME", "tiers": tiers()}), "9", "81.00")]
#[case::volume_up_to_is_inclusive(json!({"model": "VOLUME", "tiers": tiers()}), "10", "90.00")]
#[case::volume_just_above(json!({"model": "VOLUME", "tiers": tiers()}), "10.000001", "80.00")]
#[case::volume_at_the_second(json!({"model": "VOLUME", "tiers": tiers()}), "20.5", "164.00")]
#[case::volume_in_the_last(json!({"model": "VOLUME", "tiers": tiers()}), "30", "225.00")]
fn a_model_makes_the_list_amount_of_the_quantity(#[case] price: Value, #[case] quantity: &str, #[case] list: &str) {
    let deal = Deal::of(json!([price_entry("p", price)])).quantity(quantity);
    assert_eq!(deal.amounts(), (list.to_owned(), list.to_owned()));
}

#[rstest]
#[case::segment_before_null(json!({"segment": "SMB"}), json!({"when": {"sla": "BRONZE", "quantity": "1"}}), "first")]
#[case::more_when_entries(json!({"when": {"sla": "BRONZE", "quantity": "1"}}), json!({"when": {"sla": "BRONZE"}, "validFrom": "2026-05-01T00:00:00Z"}), "first")]
#[case::later_start(json!({"validFrom": "2026-05-01T00:00:00Z"}), json!({}), "first")]
#[case::another_segment(json!({"segment": "ENTERPRISE"}), json!({}), "second")]
#[case::a_condition_that_fails(json!({"when": {"sla": "GOLD"}}), json!({}), "second")]
#[case::a_condition_on_nothing(json!({"when": {"ips": {"lt": 8}}}), json!({}), "second")]
#[case::not_yet_valid(json!({"validFrom": "2026-06-01T00:00:01Z"}), json!({}), "second")]
#[case::from_is_inside(json!({"validFrom": "2026-06-01T00:00:00Z"}), json!({}), "first")]
#[case::to_is_outside(json!({"segment": "SMB", "validTo": "2026-06-01T00:00:00Z"}), json!({}), "second")]
#[case::in_another_zone(json!({"validFrom": "2026-06-01T02:00:00+02:00"}), json!({}), "first")]
#[case::another_list(json!({"segment": "SMB", "priceListId": "partner"}), json!({}), "second")]
#[case::another_currency(json!({"segment": "SMB", "currency": "EUR"}), json!({}), "second")]
#[case::another_version(json!({"segment": "SMB", "offeringVersion": "1"}), json!({}), "second")]
#[case::its_own_version(json!({"segment": "SMB", "offeringVersion": "2"}), json!({}), "first")]
#[case::overlapping_conditions_by_id(json!({"when": {"quantity": {"gte": 1}}}), json!({"when": {"quantity": {"lte": 1}}}), "first")]
fn the_most_specific_price_wins(#[case] first: Value, #[case] second: Value, #[case] winner: &str) {
    let prices = [price_entry("first", first), price_entry("second", second)];
    for order in [json!([prices[0], prices[1]]), json!([prices[1], prices[0]])] {
        assert_eq!(Deal::of(order).trace().lines[0].price_id, winner);
    }
}

#[rstest]
#[case::characteristic_equal(json!({"sla": "GOLD"}), true)]
#[case::characteristic_in(json!({"sla": {"in": ["SILVER", "GOLD"]}}), true)]
#[case::integer(json!({"ips": {"gte": 8, "lt": 9}}), true)]
#[case::decimal_by_value(json!({"speed": "2.5"}), true)]
#[case::decimal_not_as_text(json!({"speed": {"lt": "10"}}), true)]
#[case::boolean(json!({"managed": true}), true)]
#[case::date(json!({"start": {"gte": "2026-07-01"}}), true)]
#[case::term(json!({"termMonths": {"in": [12, 24]}}), true)]
#[case::quantity_as_string(json!({"quantity": {"gt": "1.4", "lte": "1.5"}}), true)]
#[case::quantity_as_number(json!({"quantity": {"gte": 2}}), false)]
#[case::segment(json!({"segment": "SMB"}), true)]
#[case::all_must_hold(json!({"sla": "GOLD", "managed": false}), false)]
fn a_when_looks_at_characteristics_term_quantity_and_segment(#[case] when: Value, #[case] holds: bool) {
    let characteristics = json!({"sla": "GOLD", "ips": 8, "speed": "2.50", "managed": true, "start": "2026-07-01"});
    let deal = Deal::of(json!([price_entry("p", json!({"kind": "ONE_TIME"}))]))
        .adjusted(json!([adjustment(
            "a",
            json!({"kind": "OVERRIDE_UNIT", "value": "0", "currency": "USD", "when": when})
        )]))
        .lines(json!([line("1", "o", json!({"quantity": "1.5", "characteristics": characteristics}))]))
        .term(24);
    assert_eq!(deal.amounts().1, if holds { "0.00" } else { "150.00" });
}

#[rstest]
#[case::percent(json!([adjustment("a", json!({"value": "-12.5"}))]), "175.00")]
#[case::percent_up(json!([adjustment("a", json!({"value": "0.005"}))]), "200.01")]
#[case::per_unit(json!([adjustment("a", json!({"kind": "AMOUNT_PER_UNIT", "value": "-2.50", "currency": "USD"}))]), "195.00")]
#[case::override_unit(json!([adjustment("a", json!({"kind": "OVERRIDE_UNIT", "value": "80", "currency": "USD"}))]), "160.00")]
#[case::by_priority(json!([
    adjustment("a", json!({"priority": 20, "value": "-10"})),
    adjustment("b", json!({"priority": 10, "kind": "AMOUNT_PER_UNIT", "value": "10", "currency": "USD"}))]), "198.00")]
#[case::then_by_id(json!([
    adjustment("b", json!({"value": "-10"})),
    adjustment("a", json!({"kind": "AMOUNT_PER_UNIT", "value": "10", "currency": "USD"}))]), "198.00")]
#[case::id_by_code_point(json!([
    adjustment("a", json!({"value": "-10"})),
    adjustment("Z", json!({"kind": "AMOUNT_PER_UNIT", "value": "10", "currency": "USD"}))]), "198.00")]
#[case::an_override_forgets_what_was_before(json!([
    adjustment("a", json!({"value": "-50"})),
    adjustment("b", json!({"kind": "OVERRIDE_UNIT", "value": "80", "currency": "USD"})),
    adjustment("c", json!({"value": "-10"}))]), "144.00")]
#[case::another_currency(json!([adjustment("a", json!({"kind": "OVERRIDE_UNIT", "value": "1", "currency": "EUR"}))]), "200.00")]
#[case::another_offering(json!([adjustment("a", json!({"value": "-10", "appliesTo": {"offeringId": "free"}}))]), "200.00")]
#[case::its_offering(json!([adjustment("a", json!({"value": "-10", "appliesTo": {"offeringId": "o"}}))]), "180.00")]
#[case::another_version(json!([adjustment("a", json!({"value": "-10", "appliesTo": {"offeringId": "o", "offeringVersion": "1"}}))]), "200.00")]
#[case::its_version(json!([adjustment("a", json!({"value": "-10", "appliesTo": {"offeringId": "o", "offeringVersion": "2"}}))]), "180.00")]
#[case::another_kind(json!([adjustment("a", json!({"value": "-10", "appliesTo": {"priceKind": "ONE_TIME"}}))]), "200.00")]
#[case::its_kind(json!([adjustment("a", json!({"value": "-10", "appliesTo": {"priceKind": "RECURRING"}}))]), "180.00")]
#[case::another_list(json!([adjustment("a", json!({"value": "-10", "appliesTo": {"priceListId": "partner"}}))]), "200.00")]
#[case::not_yet_valid(json!([adjustment("a", json!({"value": "-10", "validFrom": "2026-06-01T00:00:00.000001Z"}))]), "200.00")]
#[case::no_longer_valid(json!([adjustment("a", json!({"value": "-10", "validTo": "2026-06-01T00:00:00Z"}))]), "200.00")]
#[case::nothing_left(json!([adjustment("a", json!({"value": "-100"}))]), "0.00")]
fn adjustments_apply_in_order_to_what_they_concern(#[case] adjustments: Value, #[case] net: &str) {
    let deal = Deal::of(json!([price_entry("p", json!({}))])).adjusted(adjustments).quantity("2");
    assert_eq!(deal.amounts(), ("200.00".to_owned(), net.to_owned()));
}

#[test]
fn an_override_by_hand_stands_for_model_and_adjustments_of_its_kind_while_the_list_stays() {
    let deal = Deal::of(json!([price_entry("month", json!({})), price_entry("once", json!({"kind": "ONE_TIME", "model": "FLAT", "amount": "50.00"}))]))
        .adjusted(json!([adjustment("a", json!({"value": "-50"}))]))
        .quantity("2")
        .asking(json!({"lineOverrides": [{"lineNumber": "1", "kind": "RECURRING", "unitAmount": "90.00", "reasonCode": "MATCH"}],
            "lineDiscounts": [{"lineNumber": "1", "percent": "10", "reasonCode": "L"}]}));
    let price = deal.price();
    let amounts: Vec<_> =
        price.lines.iter().map(|l| (l.kind, l.list_amount.to_string(), l.net_amount.to_string())).collect();
    let expected = [
        (PriceKind::OneTime, "50.00".to_owned(), "22.50".to_owned()),
        (PriceKind::Recurring, "200.00".to_owned(), "162.00".to_owned()),
    ];
    assert_eq!(amounts, expected);
}

#[rstest]
#[case::of_zero("0", "0.00")]
#[case::above_the_list("150", "150.00")]
fn an_override_by_hand_may_be_anything_that_is_not_negative(#[case] unit: &str, #[case] net: &str) {
    let deal = Deal::of(json!([price_entry("p", json!({}))])).asking(
        json!({"lineOverrides": [{"lineNumber": "1", "kind": "RECURRING", "unitAmount": unit, "reasonCode": "R"}]}),
    );
    assert_eq!(deal.amounts().1, net);
}

#[test]
fn a_price_above_the_list_is_a_negative_discount() {
    let deal = Deal::of(json!([price_entry("p", json!({}))]))
        .asking(json!({"lineOverrides": [{"lineNumber": "1", "kind": "RECURRING", "unitAmount": "133.335", "reasonCode": "R"}]}))
        .currency("USD");
    assert_eq!(deal.refused().0, ErrorCode::ValidationFailed, "three decimals are none of USD");
    let deal = deal.asking(
        json!({"lineOverrides": [{"lineNumber": "1", "kind": "RECURRING", "unitAmount": "133.33", "reasonCode": "R"}]}),
    );
    let price = deal.price();
    assert_eq!(
        (price.discount_amount.to_string(), price.effective_discount_percent.to_string()),
        ("-33.33".into(), "-33.33".into())
    );
}

#[rstest]
#[case::line(json!({"lineDiscounts": [{"lineNumber": "1", "percent": "7.5", "reasonCode": "L"}]}), "92.50")]
#[case::quote(json!({"quoteDiscount": {"percent": "7.5", "reasonCode": "Q"}}), "92.50")]
#[case::line_then_quote(json!({"quoteDiscount": {"percent": "10", "reasonCode": "Q"}, "lineDiscounts": [{"lineNumber": "1", "percent": "10", "reasonCode": "L"}]}), "81.00")]
#[case::everything(json!({"quoteDiscount": {"percent": "100", "reasonCode": "Q"}}), "0.00")]
#[case::nothing(json!({"quoteDiscount": {"percent": "0", "reasonCode": "Q"}}), "100.00")]
#[case::small(json!({"quoteDiscount": {"percent": "0.000001", "reasonCode": "Q"}}), "100.00")]
fn discounts_take_the_lines_percent_then_the_quotes(#[case] request: Value, #[case] net: &str) {
    let deal = Deal::of(json!([price_entry("p", json!({}))])).asking(request);
    assert_eq!(deal.amounts().1, net);
}

#[test]
fn a_discount_of_everything_leaves_no_total_and_so_no_margin() {
    let deal = Deal::of(json!([price_entry("p", json!({"unitCost": "40"}))]))
        .asking(json!({"quoteDiscount": {"percent": "100", "reasonCode": "Q"}}));
    let price = deal.price();
    assert_eq!(
        (price.total_amount.to_string(), price.effective_discount_percent.to_string(), price.margin_percent),
        ("0.00".into(), "100.00".into(), None)
    );
}

#[rstest]
#[case::usd_half_up("USD", "0.005", "1", "0.01")]
#[case::usd_below_half("USD", "0.004999", "1", "0.00")]
#[case::usd_not_to_even("USD", "0.025", "1", "0.03")]
#[case::yen("JPY", "99.5", "1", "100")]
#[case::yen_below("JPY", "99.499999", "1", "99")]
#[case::dinar("KWD", "0.0005", "1", "0.001")]
#[case::dinar_three("KWD", "1.2345", "1", "1.235")]
#[case::four_decimals("CLF", "1.23455", "1", "1.2346")]
#[case::exact_until_then("USD", "0.333333", "0.333333", "0.11")]
fn a_line_is_rounded_once_half_up_to_the_currencys_minor_units(
    #[case] currency: &'static str,
    #[case] amount: &str,
    #[case] quantity: &str,
    #[case] net: &str,
) {
    let deal = Deal::of(json!([price_entry("p", json!({"amount": amount, "currency": currency}))]))
        .quantity(quantity)
        .currency(currency);
    assert_eq!(deal.amounts().1, net);
}

#[test]
fn nothing_is_rounded_before_the_end_however_many_digits_there_are() {
    // 12 adjustments of −1.234567 % and back up: more digits than a 96-bit decimal holds.
    let adjustments: Vec<Value> =
        (0..12).map(|i| adjustment(&format!("a{i:02}"), json!({"value": "-1.234567"}))).collect();
    let deal =
        Deal::of(json!([price_entry("p", json!({"amount": "1234567890.12"}))])).adjusted(Value::Array(adjustments));
    let trace = deal.trace();
    let before_rounding = &trace.lines[0].steps.iter().find(|step| step.step == StepKind::Round).unwrap().basis;
    // Python: Decimal('1234567890.12') * Decimal('0.98765433') ** 12
    assert_eq!(
        before_rounding,
        "1063590971.60956027308095604488895856476004058406002964992394622846776505538669768773477876144345317511107732"
    );
}

#[test]
fn totals_are_sums_of_rounded_parts_over_the_term() {
    let deal = Deal::of(json!([
        price_entry("month", json!({"amount": "0.125", "unitCost": "0.05"})),
        price_entry("once", json!({"kind": "ONE_TIME", "model": "FLAT", "amount": "10.00", "unitCost": "4.00"})),
    ]))
    .lines(json!([line("1", "o", json!({})), line("2", "o", json!({"quantity": "3"}))]))
    .term(12);
    let price = deal.price();
    // Months: 0.125 → 0.13, 0.375 → 0.38. Tax: 0.13 → 0.01, 0.38 → 0.03, 10.00 → 0.83 (twice).
    let shown = [
        price.one_time_amount,
        price.recurring_monthly_amount,
        price.total_amount,
        price.list_amount,
        price.tax_amount,
        price.total_with_tax,
    ];
    assert_eq!(shown.map(|amount| amount.to_string()), ["20.00", "0.51", "26.12", "26.12", "2.14", "28.26"]);
    // Cost: 4 × 0.05 × 12 + 1 × 4 + 3 × 4 = 18.40; margin (26.12 − 18.40) / 26.12.
    assert_eq!(price.margin_percent.unwrap().to_string(), "29.56");
}

#[test]
fn tax_is_of_the_net_amount_rounded_the_same_way() {
    let mut deal = Deal::of(json!([price_entry("p", json!({"amount": "0.10"}))]));
    deal.tenant["taxRates"][0]["percent"] = json!("5");
    assert_eq!(deal.price().tax_amount.to_string(), "0.01");
    deal.tenant["taxRates"][0]["percent"] = json!("4.99");
    assert_eq!(deal.price().tax_amount.to_string(), "0.00");
    deal.tenant["taxRates"][0]["percent"] = json!("0");
    assert_eq!(deal.price().tax_amount.to_string(), "0.00");
}

#[rstest]
#[case::per_unit(json!({"amount": "0.0185"}), "1", "0.0185")]
#[case::the_tier_that_is_reached(json!({"model": "VOLUME", "tiers": tiers()}), "11", "8.00")]
fn usage_is_quoted_as_a_rate_that_nothing_adjusts_and_adds_nothing(
    #[case] price: Value,
    #[case] quantity: &str,
    #[case] rate: &str,
) {
    let deal = Deal::of(json!([price_entry("p", with(json!({"kind": "USAGE", "unitCost": "1"}), price))]))
        .adjusted(json!([adjustment("a", json!({"value": "-50"}))]))
        .quantity(quantity)
        .asking(json!({"quoteDiscount": {"percent": "50", "reasonCode": "Q"}}));
    let price = deal.price();
    let expected = json!([{"lineNumber": "1", "kind": "USAGE", "listAmount": "0.00", "netAmount": "0.00", "taxAmount": "0.00", "unitRate": rate}]);
    assert_eq!(serde_json::to_value(&price.lines).unwrap(), expected);
    assert_eq!(
        (price.total_amount.to_string(), price.effective_discount_percent.to_string(), price.margin_percent),
        ("0.00".into(), "0.00".into(), None)
    );
}

#[rstest]
#[case("DISCONNECT")]
#[case("NO_CHANGE")]
fn a_line_that_sells_nothing_costs_nothing_on_the_list_either(#[case] action: &str) {
    let prices = json!([
        price_entry("p", json!({"unitCost": "40.00"})),
        price_entry("flat", json!({"kind": "ONE_TIME", "model": "FLAT"}))
    ]);
    let kept = json!({"action": action, "assetId": "a"});
    let deal = Deal::of(prices).lines(json!([line("1", "o", kept.clone()), line("2", "untaxed", kept)]));
    let price = deal.price();
    let amounts: Vec<_> =
        price.lines.iter().map(|l| [l.list_amount, l.net_amount, l.tax_amount].map(|a| a.to_string())).collect();
    assert_eq!(
        amounts,
        [["0.00", "0.00", "0.00"], ["0.00", "0.00", "0.00"]],
        "one entry per kind; none for the line without a price"
    );
    assert_eq!((price.effective_discount_percent.to_string(), price.margin_percent), ("0.00".into(), None));
}

#[test]
fn a_change_is_priced_as_a_full_new_price() {
    let deal = Deal::of(json!([price_entry("p", json!({}))])).lines(json!([line(
        "1",
        "o",
        json!({"action": "CHANGE", "assetId": "a"})
    )]));
    assert_eq!(deal.amounts().1, "100.00");
}

#[test]
fn a_list_of_zero_has_a_discount_of_zero_percent() {
    let deal = Deal::of(json!([price_entry("p", json!({"amount": "0.00"}))])).asking(
        json!({"lineOverrides": [{"lineNumber": "1", "kind": "RECURRING", "unitAmount": "5.00", "reasonCode": "R"}]}),
    );
    let price = deal.price();
    assert_eq!(
        (price.discount_amount.to_string(), price.effective_discount_percent.to_string()),
        ("-5.00".into(), "0.00".into())
    );
}

#[rstest]
#[case::half_up("200.00", "199.99", "0.01")]
#[case::half("20000.00", "19999.00", "0.01")]
#[case::below_half("20408.17", "20407.15", "0.00")]
fn the_effective_discount_has_two_decimals_half_up(#[case] list: &str, #[case] unit: &str, #[case] percent: &str) {
    let deal = Deal::of(json!([price_entry("p", json!({"amount": list}))])).asking(
        json!({"lineOverrides": [{"lineNumber": "1", "kind": "RECURRING", "unitAmount": unit, "reasonCode": "R"}]}),
    );
    assert_eq!(deal.price().effective_discount_percent.to_string(), percent);
}

#[rstest]
#[case::every_price_has_a_cost(json!({"unitCost": "40"}), json!({"unitCost": "10"}), Some("70.00"))]
#[case::one_has_none(json!({"unitCost": "40"}), json!({}), None)]
#[case::below_cost(json!({"unitCost": "300"}), json!({"unitCost": "0"}), Some("-100.00"))]
#[case::a_flat_price_costs_by_quantity(json!({"unitCost": "0"}), json!({"model": "FLAT", "unitCost": "25"}), Some("90.00"))]
#[case::a_price_that_nets_nothing_counts(json!({"unitCost": "50"}), json!({"amount": "0", "unitCost": "50"}), Some("25.00"))]
fn the_margin_counts_every_charged_price(#[case] month: Value, #[case] once: Value, #[case] margin: Option<&str>) {
    let once = with(json!({"kind": "ONE_TIME"}), once);
    let deal =
        Deal::of(json!([price_entry("m", month), price_entry("o", once), price_entry("u", json!({"kind": "USAGE"}))]))
            .quantity("2")
            .term(2);
    // Totals: 2 × 100 for each of 2 months, and once 200 (100 if flat).
    let price = deal.price();
    assert_eq!(price.margin_percent.map(|m| m.to_string()).as_deref(), margin);
}

#[test]
fn kinds_stand_in_the_order_one_time_recurring_usage() {
    let prices = json!([
        price_entry("u", json!({"kind": "USAGE"})),
        price_entry("r", json!({})),
        price_entry("o", json!({"kind": "ONE_TIME"}))
    ]);
    let kinds: Vec<_> = Deal::of(prices).price().lines.iter().map(|line| line.kind).collect();
    assert_eq!(kinds, PriceKind::ALL);
}
