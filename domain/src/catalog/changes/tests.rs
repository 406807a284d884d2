//! What a newer catalog changes of what a configuration uses.

use super::*;
use crate::catalog::tests::{base, compiled, moment, set};
use crate::configuration::{LineRequest, configure};
use crate::reference::Customer;
use CatalogChangeKind::*;
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};

/// What the newer catalog changes of two lines: an enterprise's fiber with its router.
fn found(at: &str, value: Value) -> Vec<(CatalogChangeKind, String, Vec<String>)> {
    let older = compiled(base());
    let mut document = base();
    document["catalogVersion"] = json!("2026.12");
    set(&mut document, at, value);
    let newer = compiled(document);
    let customer: Customer = serde_json::from_value(json!({"customerAccountId": "a", "name": "N",
        "segment": "ENTERPRISE", "jurisdiction": "US-CA", "salesOwnerId": "s"}))
    .unwrap();
    let lines: Vec<LineRequest> = serde_json::from_value(json!([
        {"lineNumber": "1", "productOfferingId": "fiber", "quantity": "1", "action": "ADD", "characteristics": {"site": "SF1"}},
        {"lineNumber": "2", "parentLineNumber": "1", "productOfferingId": "router", "quantity": "1", "action": "ADD"},
        {"lineNumber": "3", "parentLineNumber": "1", "productOfferingId": "router", "quantity": "1", "action": "ADD"},
    ]))
    .unwrap();
    let at = moment("2026-06-01T00:00:00Z");
    let configuration = configure(&older, &customer, at, &lines).unwrap();
    let usage =
        Use { configuration: &configuration, price_list_id: "standard", currency: Currency::parse("USD").unwrap(), at };
    let Some(changed) = changed(&older, &newer, &usage) else { return Vec::new() };
    assert_eq!(changed.catalog_version, "2026.12");
    let shown = |change: CatalogChange| {
        let lines = change.line_numbers.into_iter().map(|number| number.to_string()).collect();
        (change.kind, change.detail, lines)
    };
    changed.changes.into_iter().map(shown).collect()
}

fn price(difference: Value) -> Value {
    let mut price = json!({"id": "p9", "offeringId": "fiber", "priceListId": "standard", "currency": "USD", "kind": "ONE_TIME",
        "model": "FLAT", "amount": "1", "validFrom": "2026-01-01T00:00:00Z"});
    price.as_object_mut().unwrap().extend(difference.as_object().unwrap().clone());
    price
}

#[rstest]
#[case("/offerings/0/name", json!("Faster"), OfferingChanged, "fiber 1 has other name", &["1"])]
#[case("/offerings/0/characteristics/1/max", json!(8), OfferingChanged, "fiber 1 has other characteristics", &["1"])]
#[case("/offerings/1/taxCategory", json!("OTHER"), OfferingChanged, "router 1 has other taxCategory", &["2", "3"])]
#[case("/offerings/0/sellableTo", json!("2026-05-01T00:00:00Z"), OfferingNotOnSale, "fiber 1 is no longer on sale for this customer", &["1"])]
#[case("/offerings/0/segments", json!(["SMB"]), OfferingNotOnSale, "fiber 1 is no longer on sale for this customer", &["1"])]
#[case("/offerings/-", json!({"id": "router", "version": "2", "name": "Router", "sellableFrom": "2026-05-01T00:00:00Z", "taxCategory": "EQUIPMENT"}),
    NewerVersion, "router is on sale in version 2", &["2", "3"])]
#[case("/prices/1/tiers/1/amount", json!("8.50"), PricesChanged, "router has other prices", &["2", "3"])]
#[case("/prices/-", price(json!({})), PricesChanged, "fiber has other prices", &["1"])]
#[case("/prices/-", price(json!({"segment": "ENTERPRISE"})), PricesChanged, "fiber has other prices", &["1"])]
#[case("/adjustments/0/value", json!("-12"), AdjustmentsChanged, "other adjustments concern fiber", &["1"])]
#[case("/rules/0/scope", json!("QUOTE"), RulesChanged, "fiber has other rules", &["1"])]
fn what_a_quote_uses_is_told(
    #[case] at: &str,
    #[case] value: Value,
    #[case] kind: CatalogChangeKind,
    #[case] detail: &str,
    #[case] lines: &[&str],
) {
    let lines = lines.iter().map(|number| (*number).to_owned()).collect();
    assert_eq!(found(at, value), [(kind, detail.to_owned(), lines)]);
}

#[rstest]
#[case("/catalogVersion", json!("2026.12"))]
#[case("/offerings/2/name", json!("Another firewall"))]
#[case("/offerings/-", json!({"id": "router", "version": "2", "name": "R", "sellableFrom": "2026-07-01T00:00:00Z", "taxCategory": "EQUIPMENT"}))]
#[case("/offerings/-", json!({"id": "router", "version": "2", "name": "R", "segments": ["SMB"], "sellableFrom": "2026-05-01T00:00:00Z", "taxCategory": "EQUIPMENT"}))]
#[case("/prices/-", price(json!({"offeringId": "firewall"})))]
#[case("/prices/-", price(json!({"currency": "EUR"})))]
#[case("/prices/-", price(json!({"priceListId": "partner"})))]
#[case("/prices/-", price(json!({"segment": "SMB"})))]
#[case("/adjustments/-", json!({"id": "a9", "priority": 1, "kind": "OVERRIDE_UNIT", "value": "1", "currency": "EUR", "validFrom": "2026-01-01T00:00:00Z"}))]
#[case("/adjustments/-", json!({"id": "a9", "priority": 1, "kind": "PERCENT", "value": "1", "appliesTo": {"priceListId": "partner"}, "validFrom": "2026-01-01T00:00:00Z"}))]
#[case("/rules/-", json!({"id": "r9", "kind": "EXCLUDES", "if": {"offeringId": "firewall"}, "then": {"offeringId": "router"}, "scope": "CHILDREN"}))]
fn what_it_does_not_use_is_not(#[case] at: &str, #[case] value: Value) {
    assert_eq!(found(at, value), []);
}

#[test]
fn an_adjustment_of_everything_concerns_every_offering() {
    let every =
        json!({"id": "a9", "priority": 1, "kind": "PERCENT", "value": "1", "validFrom": "2026-01-01T00:00:00Z"});
    let found = found("/adjustments/-", every);
    let kinds: Vec<_> = found.iter().map(|(kind, ..)| *kind).collect();
    assert_eq!(kinds, [AdjustmentsChanged, AdjustmentsChanged]);
}

#[test]
fn an_offering_that_is_gone_is_told() {
    let mut newer = base();
    set(&mut newer, "/offerings/1/version", json!("2"));
    let found = found("/offerings", newer["offerings"].clone());
    let told: Vec<_> = found.iter().map(|(kind, detail, _)| (*kind, detail.as_str())).collect();
    let gone = (OfferingNotOnSale, "router 1 is no longer in the catalog");
    assert_eq!(told, [gone, (NewerVersion, "router is on sale in version 2")]);
}
