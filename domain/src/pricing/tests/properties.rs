//! What holds for every deal, over random catalogs, lines and requests.

use super::*;
use crate::money::{Amount, parse_plain};
use proptest::prelude::*;
use rust_decimal::Decimal;

const OFFERINGS: usize = 3;
/// So that every deal fits numeric(19,6): seven lines at 99,999 a unit, doubled by five adjustments, over sixty months,
/// with as much tax again, stay below 10^13. What does not fit is another test's.
const MAX_QUANTITY: u64 = 3_000;

fn money(max: u64) -> impl Strategy<Value = String> + Clone {
    (0..=max, 0u32..=4).prop_map(|(digits, scale)| Decimal::from_i128_with_scale(i128::from(digits), scale).to_string())
}

fn an_amount() -> impl Strategy<Value = Value> {
    let tiers = (money(99_999), money(99_999), money(99_999), 1..50u32, 1..50u32).prop_map(|(a, b, c, first, width)| {
        json!([{"upTo": first.to_string(), "amount": a}, {"upTo": (first + width).to_string(), "amount": b}, {"upTo": null, "amount": c}])
    });
    prop_oneof![
        money(99_999).prop_map(|amount| json!({"model": "FLAT", "amount": amount})),
        money(99_999).prop_map(|amount| json!({"model": "PER_UNIT", "amount": amount})),
        tiers.clone().prop_map(|tiers| json!({"model": "TIERED", "tiers": tiers})),
        tiers.prop_map(|tiers| json!({"model": "VOLUME", "tiers": tiers})),
    ]
}

fn a_price() -> impl Strategy<Value = Value> {
    (
        0..OFFERINGS,
        prop_oneof![Just("ONE_TIME"), Just("RECURRING"), Just("USAGE")],
        an_amount(),
        proptest::option::of(money(9_999)),
        any::<bool>(),
    )
        .prop_map(|(offering, kind, amount, cost, gold)| {
            let mut price = price_entry("", with(json!({"offeringId": format!("o{offering}"), "kind": kind}), amount));
            if let Some(cost) = cost {
                price["unitCost"] = json!(cost);
            }
            if gold {
                price["when"] = json!({"sla": "GOLD"});
            }
            price
        })
}

fn an_adjustment() -> impl Strategy<Value = Value> {
    let what = prop_oneof![
        (-100i64..100).prop_map(|value| json!({"kind": "PERCENT", "value": value.to_string()})),
        money(999).prop_map(|value| json!({"kind": "AMOUNT_PER_UNIT", "value": value, "currency": "USD"})),
        money(9_999).prop_map(|value| json!({"kind": "OVERRIDE_UNIT", "value": value, "currency": "USD"})),
    ];
    (what, 0..5i64, proptest::option::of(0..OFFERINGS), proptest::option::of(1..40u32)).prop_map(
        |(what, priority, offering, term)| {
            let mut adjustment = adjustment("", with(json!({"priority": priority}), what));
            if let Some(offering) = offering {
                adjustment["appliesTo"] = json!({"offeringId": format!("o{offering}")});
            }
            if let Some(term) = term {
                adjustment["when"] = json!({"termMonths": {"gte": term}});
            }
            adjustment
        },
    )
}

fn a_percent() -> impl Strategy<Value = String> {
    (0..=10_000u32).prop_map(|hundredths| Decimal::new(i64::from(hundredths), 2).to_string())
}

fn a_line() -> impl Strategy<Value = Value> {
    let action = prop_oneof![6 => Just("ADD"), 1 => Just("CHANGE"), 1 => Just("DISCONNECT"), 1 => Just("NO_CHANGE")];
    (0..OFFERINGS, 1..MAX_QUANTITY, 0u32..4, action, any::<bool>()).prop_map(
        |(offering, digits, scale, action, gold)| {
            let quantity = Decimal::from_i128_with_scale(i128::from(digits), scale).to_string();
            let mut line = line("", &format!("o{offering}"), json!({"quantity": quantity, "action": action}));
            if action != "ADD" {
                line["assetId"] = json!("a");
            }
            line["characteristics"] = json!({"sla": if gold { "GOLD" } else { "BRONZE" }});
            line
        },
    )
}

prop_compose! {
    fn a_deal()(
        mut prices in proptest::collection::vec(a_price(), 0..12),
        mut adjustments in proptest::collection::vec(an_adjustment(), 0..5),
        mut lines in proptest::collection::vec((a_line(), proptest::option::of(a_percent())), 1..8),
        quote_discount in proptest::option::of(a_percent()),
        term in 1..61u32,
        (currency, tax) in (prop_oneof![Just("USD"), Just("JPY"), Just("KWD")], a_percent()),
    ) -> Deal {
        let offerings: Vec<Value> = (0..OFFERINGS).map(|i| json!({"id": format!("o{i}"), "version": "1", "name": "O", "sellableFrom": JANUARY,
            "taxCategory": "STANDARD", "characteristics": [{"name": "sla", "type": "STRING"}]})).collect();
        // One plain price each, so that everything has a price, and of the others the first of its kind.
        for i in 0..OFFERINGS {
            prices.insert(i, price_entry("", json!({"offeringId": format!("o{i}"), "unitCost": "10"})));
        }
        let mut seen = std::collections::HashSet::new();
        prices.retain(|price| seen.insert((price["offeringId"].clone(), price["kind"].clone(), price.get("when").cloned())));
        for (i, price) in prices.iter_mut().enumerate() {
            price["id"] = json!(format!("p{i}"));
            price["currency"] = json!(currency);
        }
        for (i, adjustment) in adjustments.iter_mut().enumerate() {
            adjustment["id"] = json!(format!("a{i}"));
            if adjustment.get("currency").is_some() {
                adjustment["currency"] = json!(currency);
            }
        }
        let mut discounts = Vec::new();
        for (i, (line, discount)) in lines.iter_mut().enumerate() {
            line["lineNumber"] = json!(i.to_string());
            if let Some(percent) = discount {
                discounts.push(json!({"lineNumber": i.to_string(), "percent": percent, "reasonCode": "L"}));
            }
        }
        let lines: Vec<Value> = lines.into_iter().map(|(line, _)| line).collect();
        let quote = quote_discount.map(|percent| json!({"percent": percent, "reasonCode": "Q"}));
        let mut deal = Deal::of(json!(prices)).adjusted(json!(adjustments)).lines(json!(lines)).term(term).currency(currency)
            .asking(json!({"quoteDiscount": quote, "lineDiscounts": discounts}));
        deal.catalog["offerings"] = json!(offerings);
        deal.tenant["taxRates"][0]["percent"] = json!(tax);
        deal
    }
}

fn sum(lines: &[PriceLine], kind: PriceKind, amount: fn(&PriceLine) -> Amount) -> Decimal {
    lines.iter().filter(|line| line.kind == kind).map(|line| amount(line).0).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    // `Deal::price` also asserts that the trace replays and that both survive their JSON.
    #[test]
    fn totals_are_the_sums_of_their_parts(deal in a_deal()) {
        let price = deal.price();
        let term = Decimal::from(deal.term);
        let over_the_term = |amount: fn(&PriceLine) -> Amount| {
            sum(&price.lines, PriceKind::OneTime, amount) + sum(&price.lines, PriceKind::Recurring, amount) * term
        };
        prop_assert_eq!(price.one_time_amount.0, sum(&price.lines, PriceKind::OneTime, |l| l.net_amount));
        prop_assert_eq!(price.recurring_monthly_amount.0, sum(&price.lines, PriceKind::Recurring, |l| l.net_amount));
        prop_assert_eq!(price.total_amount.0, over_the_term(|l| l.net_amount));
        prop_assert_eq!(price.list_amount.0, over_the_term(|l| l.list_amount));
        prop_assert_eq!(price.tax_amount.0, over_the_term(|l| l.tax_amount));
        prop_assert_eq!(price.total_with_tax.0, price.total_amount.0 + price.tax_amount.0);
        prop_assert_eq!(price.discount_amount.0, price.list_amount.0 - price.total_amount.0);
        let minor = price.currency.minor_units();
        let amounts = [price.list_amount, price.discount_amount, price.one_time_amount, price.recurring_monthly_amount, price.total_amount, price.tax_amount, price.total_with_tax];
        prop_assert!(amounts.iter().all(|amount| amount.0.scale() == minor), "all in minor units: {:?}", price);
        prop_assert_eq!(price.effective_discount_percent.0.scale(), 2);
    }

    #[test]
    fn the_waterfall_of_a_price_ends_at_its_total_and_at_its_total_with_tax(deal in a_deal()) {
        let price = deal.price();
        let amount = |bar: Option<&Bar>| bar.map_or(Decimal::ZERO, |bar| bar.amount.parse().unwrap());
        let bars = waterfall(&deal.trace());
        prop_assert_eq!(amount(bars.iter().rfind(|bar| bar.step != StepKind::Tax)), price.total_amount.0);
        prop_assert_eq!(amount(bars.last()), price.total_with_tax.0);
    }

    #[test]
    fn the_order_of_lines_does_not_matter(deal in a_deal(), turn in 0..8usize) {
        let forward = deal.price();
        let mut lines = deal.lines.as_array().unwrap().clone();
        let turn = turn % lines.len();
        lines.rotate_left(turn);
        lines.reverse();
        let mut turned = deal.lines(Value::Array(lines)).price();
        let by_line = |line: &PriceLine| (line.line_number.clone(), line.kind);
        turned.lines.sort_by_key(by_line);
        let mut forward = forward;
        forward.lines.sort_by_key(by_line);
        prop_assert_eq!(turned, forward);
    }

    #[test]
    fn adding_a_discount_never_raises_a_price(deal in a_deal(), percent in a_percent()) {
        let before = deal.price();
        let mut request = deal.request.clone();
        let more = match request["quoteDiscount"]["percent"].as_str().and_then(parse_plain) {
            Some(given) => given.max(parse_plain(&percent).unwrap()),
            None => parse_plain(&percent).unwrap(),
        };
        request["quoteDiscount"] = json!({"percent": more.to_string(), "reasonCode": "Q"});
        let after = deal.asking(request).price();
        prop_assert!(after.total_amount <= before.total_amount);
        prop_assert!(after.lines.iter().zip(&before.lines).all(|(a, b)| a.net_amount <= b.net_amount && a.list_amount == b.list_amount));
    }

    #[test]
    fn a_tiered_price_never_jumps(amounts in (money(99_999), money(99_999)), boundary in 1..1000u32) {
        let tiers = json!([{"upTo": boundary.to_string(), "amount": amounts.0}, {"upTo": null, "amount": amounts.1}]);
        let listed = |quantity: String| {
            let price = price_entry("p", json!({"model": "TIERED", "tiers": tiers, "kind": "ONE_TIME"}));
            Deal::of(json!([price])).quantity(&quantity).price().list_amount.0
        };
        let step = listed(format!("{boundary}.000001")) - listed(boundary.to_string());
        // A millionth of a unit more costs a millionth of the next tier's amount, and a cent of rounding.
        let most = parse_plain(&amounts.1).unwrap() * Decimal::new(1, 6) + Decimal::new(1, 2);
        prop_assert!(step <= most, "{step}");
    }
}
