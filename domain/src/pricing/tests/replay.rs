//! A trace that was tampered with does not replay, or not to the same price.

use super::*;
use pretty_assertions::assert_eq;
use rstest::rstest;

fn deal() -> Deal {
    let tiers = json!([{"upTo": "2", "amount": "100"}, {"upTo": null, "amount": "50"}]);
    Deal::of(json!([
        price_entry("p", json!({"model": "TIERED", "tiers": tiers, "unitCost": "10"})),
        price_entry("u", json!({"kind": "USAGE"}))
    ]))
    .adjusted(json!([
        adjustment("a", json!({"value": "-10"})),
        adjustment("b", json!({"kind": "AMOUNT_PER_UNIT", "value": "1", "currency": "USD"}))
    ]))
    .asking(json!({"quoteDiscount": {"percent": "5", "reasonCode": "Q"}}))
    .quantity("3")
}

#[rstest]
#[case::list_amount("/lines/0/steps/0/amount", json!("300"), "LIST does not make 300")]
#[case::list_operand("/lines/0/steps/0/operand", json!("99"), "LIST does not make 200")]
#[case::tier_units("/lines/0/steps/1/units", json!("2"), "LIST does not make 250")]
#[case::percent("/lines/0/steps/2/operand", json!("-20"), "PERCENT does not make")]
#[case::basis("/lines/0/steps/3/basis", json!("1"), "the basis of AMOUNT_PER_UNIT")]
#[case::units("/lines/0/steps/3/units", json!("4"), "AMOUNT_PER_UNIT does not count for the line's quantity")]
#[case::rounding("/lines/0/steps/5/amount", json!("216.61"), "ROUND does not make")]
#[case::tax("/lines/0/steps/6/amount", json!("0"), "TAX does not make")]
#[case::no_number("/lines/0/steps/6/amount", json!("1e3"), "'1e3' is not a plain decimal")]
#[case::a_second_tax("/lines/0/steps/5/step", json!("TAX"), "TAX does not make")]
#[case::another_order("/lines/0/steps/2/step", json!("QUOTE_DISCOUNT"), "QUOTE_DISCOUNT does not make")]
#[case::no_steps("/lines/0/steps", json!([]), "the list amount is not that of the line's quantity")]
#[case::quantity("/lines/0/quantity", json!("4"), "AMOUNT_PER_UNIT does not count")]
#[case::sells_nothing("/lines/0/action", json!("NO_CHANGE"), "has steps, but costs nothing")]
#[case::steps_of_a_rate("/lines/1/kind", json!("RECURRING"), "the list amount is not that of the line's quantity")]
#[case::another_policy("/policyVersion", json!("cpq-pricing-2"), "policy cpq-pricing-2 is not known")]
#[case::another_currency("/currency", json!("JPY"), "ROUND does not make")]
fn a_trace_that_was_changed_does_not_replay(#[case] at: &str, #[case] value: Value, #[case] error: &str) {
    let mut trace = serde_json::to_value(deal().trace()).unwrap();
    *trace.pointer_mut(at).unwrap() = value;
    let changed: PriceTrace = serde_json::from_value(trace).unwrap();
    let found = replay(&changed).unwrap_err();
    assert!(found.contains(error), "{found}");
}

#[test]
fn a_waterfall_has_a_bar_for_each_rule_over_lines_tiers_and_term() {
    let deal = deal().term(12);
    let mut lines = deal.lines.as_array().unwrap().clone();
    lines.push(with(lines[0].clone(), json!({"lineNumber": "2", "quantity": "1"})));
    let bars = waterfall(&deal.lines(Value::Array(lines)).trace());
    let seen: Vec<String> = bars
        .iter()
        .map(|bar| {
            let rule = bar.rule_id.as_deref().unwrap_or("-");
            format!("{} {rule} {} lines: {} = {}", bar.step.as_str(), bar.lines, bar.change, bar.amount)
        })
        .collect();
    // Monthly 100 + 100 + 50 and 100, twelve times; then 10 % off, 1 a unit, 5 % off, rounded per line.
    let expected = [
        "LIST - 2 lines: 4200 = 4200",
        "PERCENT a 2 lines: -420 = 3780",
        "AMOUNT_PER_UNIT b 2 lines: 48 = 3828",
        "QUOTE_DISCOUNT Q 2 lines: -191.4 = 3636.6",
    ];
    assert_eq!(seen[..4], expected);
    assert_eq!(seen.len(), 5, "nothing to round, and one tax: {seen:?}");
}

#[test]
fn a_trace_without_its_tax_does_not_replay() {
    let mut trace = deal().trace();
    trace.lines[0].steps.pop();
    assert_eq!(replay(&trace).unwrap_err(), "line 1 RECURRING: lacks its list amount, its rounding or its tax");
}

#[rstest]
#[case::term("/termMonths", json!(2))]
#[case::cost("/lines/0/unitCost", json!("11"))]
#[case::rate("/lines/1/unitRate", json!("11"))]
#[case::line_number("/lines/0/lineNumber", json!("2"))]
fn a_trace_with_other_inputs_makes_another_price(#[case] at: &str, #[case] value: Value) {
    let (price, trace) = deal().try_price().unwrap();
    let mut trace = serde_json::to_value(trace).unwrap();
    *trace.pointer_mut(at).unwrap() = value;
    let changed: PriceTrace = serde_json::from_value(trace).unwrap();
    assert_ne!(replay(&changed).unwrap(), price);
}
