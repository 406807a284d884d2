//! What publishing accepts and refuses, and what a compiled catalog answers.

use super::condition::{Conditions, Subject};
use super::value::{Facts, Typed, is_date};
use super::*;
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};

/// A sound catalog with something of everything.
pub(super) fn base() -> Value {
    json!({
        "catalogVersion": "2026.11",
        "offerings": [
            {"id": "fiber", "version": "1", "name": "Fiber", "segments": ["ENTERPRISE"], "sellableFrom": "2026-01-01T00:00:00Z",
             "sellableTo": null, "taxCategory": "STANDARD",
             "characteristics": [
                {"name": "sla", "type": "STRING", "allowed": ["BRONZE", "GOLD"], "default": "BRONZE"},
                {"name": "ips", "type": "INTEGER", "min": 0, "max": 64, "default": 0},
                {"name": "speed", "type": "DECIMAL", "min": "0.5", "max": "10"},
                {"name": "managed", "type": "BOOLEAN", "default": false},
                {"name": "start", "type": "DATE", "min": "2026-01-01"},
                {"name": "site", "type": "STRING", "pattern": "[A-Z]{2}[0-9]+", "required": true}],
             "children": [{"offeringId": "router", "min": 1, "max": 2}, {"offeringId": "firewall"}],
             "fulfilment": ["RESERVE_INVENTORY", "ACTIVATE_SERVICE", "START_BILLING"]},
            {"id": "router", "version": "1", "name": "Router", "sellableFrom": "2026-01-01T00:00:00Z", "taxCategory": "EQUIPMENT"},
            {"id": "firewall", "version": "1", "name": "Firewall", "sellableFrom": "2026-01-01T00:00:00Z", "taxCategory": "STANDARD"}],
        "rules": [{"id": "r1", "kind": "REQUIRES", "if": {"offeringId": "fiber", "characteristics": {"sla": "GOLD"}},
                   "then": {"offeringId": "firewall"}, "scope": "CHILDREN"}],
        "prices": [
            {"id": "p1", "offeringId": "fiber", "priceListId": "standard", "currency": "USD", "segment": null, "kind": "RECURRING",
             "model": "PER_UNIT", "amount": "499.00", "unitCost": "210.00", "when": {"sla": "GOLD"}, "validFrom": "2026-01-01T00:00:00Z"},
            {"id": "p2", "offeringId": "router", "priceListId": "standard", "currency": "USD", "kind": "RECURRING", "model": "TIERED",
             "tiers": [{"upTo": "10", "amount": "9.00"}, {"upTo": "20", "amount": "8.00"}, {"upTo": null, "amount": "7.50"}],
             "validFrom": "2026-01-01T00:00:00Z", "validTo": null}],
        "adjustments": [
            {"id": "a1", "priority": 10, "kind": "PERCENT", "value": "-10", "appliesTo": {"offeringId": "fiber", "priceKind": "RECURRING"},
             "when": {"termMonths": {"gte": 36}}, "validFrom": "2026-01-01T00:00:00Z", "validTo": null},
            {"id": "a2", "priority": 10, "kind": "AMOUNT_PER_UNIT", "value": "1.00", "currency": "USD", "validFrom": "2026-01-01T00:00:00Z"}]
    })
}

/// Sets, or with `/-` at the end appends, a value; `null` with a leading `!` in the pointer removes it.
pub(super) fn set(document: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.trim_start_matches('!').rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap();
    match parent {
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
        Value::Object(members) if pointer.starts_with('!') => {
            members.remove(key);
        }
        other => other[key] = value,
    }
}

fn faults(document: Value) -> Vec<(String, FieldCode)> {
    let source: CatalogSource = serde_json::from_value(document).unwrap();
    let errors = Catalog::compile(source).err().unwrap_or_default();
    errors.into_iter().map(|error| (error.pointer, error.code)).collect()
}

pub(super) fn compiled(document: Value) -> Catalog {
    Catalog::compile(serde_json::from_value(document).unwrap()).unwrap()
}

#[test]
fn a_sound_catalog_compiles() {
    assert_eq!(faults(base()), []);
}

use FieldCode::*;

#[rstest]
// The catalog and its offerings.
#[case("/catalogVersion", json!(" "), "/catalogVersion", Required)]
#[case("/catalogVersion", json!("a\u{0}"), "/catalogVersion", Pattern)]
#[case("/catalogVersion", json!("9".repeat(129)), "/catalogVersion", OutOfRange)]
#[case("/offerings/2/id", json!(""), "/offerings/2/id", Required)]
#[case("/offerings/0/name", json!(""), "/offerings/0/name", Required)]
#[case("/offerings/0/version", json!(""), "/offerings/0/version", Required)]
#[case("/offerings/0/taxCategory", json!(""), "/offerings/0/taxCategory", Required)]
#[case("/offerings/0/sellableTo", json!("2026-01-01T00:00:00Z"), "/offerings/0/sellableTo", OutOfRange)]
#[case("/offerings/2/id", json!("router"), "/offerings/2/version", NotAllowed)]
#[case("/offerings/0/fulfilment/1", json!("SHIP"), "/offerings/0/fulfilment/1", NotAllowed)]
// Characteristics.
#[case("/offerings/0/characteristics/0/name", json!("termMonths"), "/offerings/0/characteristics/0/name", NotAllowed)]
#[case("/offerings/0/characteristics/0/name", json!("quantity"), "/offerings/0/characteristics/0/name", NotAllowed)]
#[case("/offerings/0/characteristics/0/name", json!("segment"), "/offerings/0/characteristics/0/name", NotAllowed)]
#[case("/offerings/0/characteristics/1/name", json!("sla"), "/offerings/0/characteristics/1/name", NotAllowed)]
#[case("/offerings/0/characteristics/1/name", json!(""), "/offerings/0/characteristics/1/name", Required)]
#[case("/offerings/0/characteristics/0/allowed", json!([]), "/offerings/0/characteristics/0/allowed", Required)]
#[case("/offerings/0/characteristics/0/allowed/1", json!(7), "/offerings/0/characteristics/0/allowed/1", WrongType)]
#[case("/offerings/0/characteristics/0/default", json!("TIN"), "/offerings/0/characteristics/0/default", NotAllowed)]
#[case("/offerings/0/characteristics/0/default", json!(1), "/offerings/0/characteristics/0/default", WrongType)]
#[case("/offerings/0/characteristics/0/min", json!("A"), "/offerings/0/characteristics/0/min", NotAllowed)]
#[case("/offerings/0/characteristics/3/max", json!(true), "/offerings/0/characteristics/3/max", NotAllowed)]
#[case("/offerings/0/characteristics/1/default", json!(65), "/offerings/0/characteristics/1/default", OutOfRange)]
#[case("/offerings/0/characteristics/1/max", json!("64"), "/offerings/0/characteristics/1/max", WrongType)]
#[case("/offerings/0/characteristics/1/max", json!(-1), "/offerings/0/characteristics/1/max", OutOfRange)]
#[case("/offerings/0/characteristics/2/max", json!(10), "/offerings/0/characteristics/2/max", WrongType)]
#[case("/offerings/0/characteristics/2/max", json!("ten"), "/offerings/0/characteristics/2/max", Pattern)]
#[case("/offerings/0/characteristics/2/max", json!("0.49"), "/offerings/0/characteristics/2/max", OutOfRange)]
#[case("/offerings/0/characteristics/4/min", json!("2026-02-30"), "/offerings/0/characteristics/4/min", Pattern)]
#[case("/offerings/0/characteristics/5/pattern", json!("("), "/offerings/0/characteristics/5/pattern", Pattern)]
#[case("/offerings/0/characteristics/1/pattern", json!("x"), "/offerings/0/characteristics/1/pattern", NotAllowed)]
#[case("/offerings/0/characteristics/5/default", json!("nowhere"), "/offerings/0/characteristics/5/default", Pattern)]
// Bundles.
#[case("/offerings/0/children/1/offeringId", json!("ghost"), "/offerings/0/children/1/offeringId", UnknownReference)]
#[case("/offerings/0/children/-", json!({"offeringId": "firewall"}), "/offerings/0/children/2/offeringId", NotAllowed)]
#[case("/offerings/0/children/0/max", json!(0), "/offerings/0/children/0/max", OutOfRange)]
#[case("/offerings/1/children", json!([{"offeringId": "fiber"}]), "/offerings/1/children/0/offeringId", NotAllowed)]
#[case("/offerings/1/children", json!([{"offeringId": "router"}]), "/offerings/1/children/0/offeringId", NotAllowed)]
// Rules.
#[case("/rules/-", json!({"id": "r1", "kind": "EXCLUDES", "if": {"offeringId": "router"}, "then": {"offeringId": "firewall"}, "scope": "QUOTE"}),
    "/rules/1/id", NotAllowed)]
#[case("/rules/0/id", json!(" "), "/rules/0/id", Required)]
#[case("/rules/0/then/characteristics", json!({"colour": "RED"}), "/rules/0/then/characteristics/colour", UnknownReference)]
#[case("/rules/0/if/offeringId", json!("ghost"), "/rules/0/if/offeringId", UnknownReference)]
#[case("/rules/0/then/offeringId", json!("ghost"), "/rules/0/then/offeringId", UnknownReference)]
#[case("/rules/0/if/characteristics", json!({"colour": "RED"}), "/rules/0/if/characteristics/colour", UnknownReference)]
#[case("/rules/0/if/characteristics", json!({"quantity": "1"}), "/rules/0/if/characteristics/quantity", UnknownReference)]
#[case("/rules/0/if/characteristics", json!({"ips": "8"}), "/rules/0/if/characteristics/ips", WrongType)]
#[case("/rules/0/if/characteristics", json!({"ips": {"above": 8}}), "/rules/0/if/characteristics/ips/above", UnknownField)]
// Prices.
#[case("/prices/0/id", json!(""), "/prices/0/id", Required)]
#[case("/prices/1/id", json!("p1"), "/prices/1/id", NotAllowed)]
#[case("/prices/0/offeringId", json!("ghost"), "/prices/0/offeringId", UnknownReference)]
#[case("/prices/0/offeringVersion", json!("9"), "/prices/0/offeringVersion", UnknownReference)]
#[case("/prices/0/priceListId", json!(""), "/prices/0/priceListId", Required)]
#[case("/prices/0/validTo", json!("2025-01-01T00:00:00Z"), "/prices/0/validTo", OutOfRange)]
#[case("!/prices/0/amount", Value::Null, "/prices/0/amount", Required)]
#[case("/prices/0/amount", json!("-0.01"), "/prices/0/amount", OutOfRange)]
#[case("/prices/0/amount", json!("10000000000000"), "/prices/0/amount", OutOfRange)]
#[case("/prices/0/amount", json!("0.0000001"), "/prices/0/amount", OutOfRange)]
#[case("/prices/0/unitCost", json!("-1"), "/prices/0/unitCost", OutOfRange)]
#[case("/prices/0/tiers", json!([{"upTo": null, "amount": "1"}]), "/prices/0/tiers", NotAllowed)]
#[case("/prices/1/amount", json!("1"), "/prices/1/amount", NotAllowed)]
#[case("/prices/1/tiers", json!([]), "/prices/1/tiers", Required)]
#[case("/prices/1/tiers/1/upTo", json!("10"), "/prices/1/tiers/1/upTo", OutOfRange)]
#[case("/prices/1/tiers/0/upTo", json!("0"), "/prices/1/tiers/0/upTo", OutOfRange)]
#[case("/prices/1/tiers/0/upTo", json!("9.0000001"), "/prices/1/tiers/0/upTo", OutOfRange)]
#[case("/prices/1/tiers/0/amount", json!("0.0000001"), "/prices/1/tiers/0/amount", OutOfRange)]
#[case("/prices/1/tiers/1/upTo", Value::Null, "/prices/1/tiers/1/upTo", OutOfRange)]
#[case("/prices/1/tiers/2/upTo", json!("30"), "/prices/1/tiers/2/upTo", OutOfRange)]
#[case("/prices/1/tiers/2/amount", json!("-1"), "/prices/1/tiers/2/amount", OutOfRange)]
#[case("/prices/0/when", json!({"colour": "RED"}), "/prices/0/when/colour", UnknownReference)]
#[case("/prices/0/when", json!({"a/b~c": 1}), "/prices/0/when/a~1b~0c", UnknownReference)]
#[case("/prices/0/when", json!({"sla": 7}), "/prices/0/when/sla", WrongType)]
#[case("/prices/0/when", json!({"sla": null}), "/prices/0/when/sla", WrongType)]
#[case("/prices/0/when", json!({"sla": {}}), "/prices/0/when/sla", Required)]
#[case("/prices/0/when", json!({"sla": {"in": "GOLD"}}), "/prices/0/when/sla/in", WrongType)]
#[case("/prices/0/when", json!({"sla": {"in": []}}), "/prices/0/when/sla/in", Required)]
#[case("/prices/0/when", json!({"sla": {"like": "G"}}), "/prices/0/when/sla/like", UnknownField)]
#[case("/prices/0/when", json!({"managed": {"gt": false}}), "/prices/0/when/managed", WrongType)]
#[case("/prices/0/when", json!({"speed": {"gt": 5}}), "/prices/0/when/speed", WrongType)]
#[case("/prices/0/when", json!({"start": "tomorrow"}), "/prices/0/when/start", WrongType)]
#[case("/prices/0/when", json!({"termMonths": "36"}), "/prices/0/when/termMonths", WrongType)]
#[case("/prices/0/when", json!({"quantity": "many"}), "/prices/0/when/quantity", WrongType)]
// Adjustments.
#[case("/adjustments/0/id", json!(""), "/adjustments/0/id", Required)]
#[case("/adjustments/0/when", json!({"sla": {}}), "/adjustments/0/when/sla", Required)]
#[case("/adjustments/1/id", json!("a1"), "/adjustments/1/id", NotAllowed)]
#[case("!/adjustments/1/currency", Value::Null, "/adjustments/1/currency", Required)]
#[case("/adjustments/0/appliesTo/offeringId", json!("ghost"), "/adjustments/0/appliesTo/offeringId", UnknownReference)]
#[case("/adjustments/0/appliesTo/offeringVersion", json!("9"), "/adjustments/0/appliesTo/offeringVersion", UnknownReference)]
#[case("/adjustments/0/validTo", json!("2026-01-01T00:00:00Z"), "/adjustments/0/validTo", OutOfRange)]
#[case("/adjustments/0/value", json!("99999999999999"), "/adjustments/0/value", OutOfRange)]
#[case("/adjustments/0/when", json!({"colour": "RED"}), "/adjustments/0/when/colour", UnknownReference)]
#[case("/adjustments/1/when", json!({"colour": "RED"}), "/adjustments/1/when/colour", UnknownReference)]
fn publishing_refuses(#[case] at: &str, #[case] value: Value, #[case] pointer: &str, #[case] code: FieldCode) {
    let mut document = base();
    set(&mut document, at, value);
    let found = faults(document);
    assert!(found.contains(&(pointer.to_owned(), code)), "{found:?}");
}

#[rstest]
#[case("/prices/0/when", json!({"quantity": {"gte": 10}}))]
#[case("/prices/0/when", json!({"quantity": {"gte": "10.5"}}))]
#[case("/prices/0/when", json!({"segment": {"in": ["A", "B"]}, "ips": {"gt": 1, "lte": 8}, "start": {"lt": "2027-01-01"}}))]
#[case("/prices/0/segment", json!("ENTERPRISE"))]
#[case("/prices/0/tiers", Value::Null)]
#[case("/prices/0/when", Value::Null)]
#[case("/adjustments/0/appliesTo", Value::Null)]
#[case("/adjustments/1/when", json!({"sla": "GOLD"}))]
#[case("/adjustments/0/appliesTo/priceKind", json!("USAGE"))]
#[case("/offerings/0/children/0/max", Value::Null)]
#[case("/prices/-", json!({"id": "u", "offeringId": "fiber", "priceListId": "standard", "currency": "USD", "kind": "USAGE",
    "model": "VOLUME", "tiers": [{"upTo": "5", "amount": "0.012"}, {"upTo": null, "amount": "0.01"}], "validFrom": "2026-01-01T00:00:00Z"}))]
fn publishing_takes(#[case] at: &str, #[case] value: Value) {
    let mut document = base();
    set(&mut document, at, value);
    assert_eq!(faults(document), []);
}

#[test]
fn publishing_tells_all_faults_at_once() {
    let mut document = base();
    set(&mut document, "/offerings/0/name", json!(""));
    set(&mut document, "/offerings/0/children/0/offeringId", json!("ghost"));
    set(&mut document, "/rules/0/if/offeringId", json!("ghost"));
    set(&mut document, "/prices/0/amount", json!("-1"));
    set(&mut document, "/adjustments/0/value", json!("99999999999999"));
    let found: Vec<String> = faults(document).into_iter().map(|(pointer, _)| pointer).collect();
    let expected = [
        "/offerings/0/name",
        "/offerings/0/children/0/offeringId",
        "/rules/0/if/offeringId",
        "/prices/0/amount",
        "/adjustments/0/value",
    ];
    assert_eq!(found, expected);
}

#[rstest]
// The catalog's own members.
#[case("!/catalogVersion", Value::Null, "/catalogVersion", Required)]
#[case("/catalogVersion", json!(2026), "/catalogVersion", WrongType)]
#[case("!/offerings", Value::Null, "/offerings", Required)]
#[case("/offerings", json!({}), "/offerings", WrongType)]
#[case("/colour", json!("red"), "/colour", UnknownField)]
// Offerings.
#[case("/offerings/0", json!("fiber"), "/offerings/0", WrongType)]
#[case("!/offerings/0/id", Value::Null, "/offerings/0/id", Required)]
#[case("/offerings/0/id", json!(7), "/offerings/0/id", WrongType)]
#[case("/offerings/0/colour", json!("red"), "/offerings/0/colour", UnknownField)]
#[case("/offerings/0/sellableFrom", json!("2026-01-01"), "/offerings/0/sellableFrom", Pattern)]
#[case("/offerings/0/segments", json!("SMB"), "/offerings/0/segments", WrongType)]
#[case("/offerings/0/segments/0", json!(1), "/offerings/0/segments/0", WrongType)]
#[case("/offerings/0/characteristics/0/type", json!("COLOUR"), "/offerings/0/characteristics/0/type", NotAllowed)]
#[case("/offerings/0/characteristics/1/default", json!(1.5), "/offerings/0/characteristics/1/default", WrongType)]
#[case("/offerings/0/characteristics/1/default", json!([]), "/offerings/0/characteristics/1/default", WrongType)]
#[case("/offerings/0/characteristics/1/required", json!("yes"), "/offerings/0/characteristics/1/required", WrongType)]
#[case("/offerings/0/children/0/min", json!(-1), "/offerings/0/children/0/min", OutOfRange)]
#[case("/offerings/0/children/0/max", json!(1.5), "/offerings/0/children/0/max", WrongType)]
// Rules.
#[case("/rules/0/kind", json!("PREFERS"), "/rules/0/kind", NotAllowed)]
#[case("/rules/0/scope", json!("TENANT"), "/rules/0/scope", NotAllowed)]
#[case("!/rules/0/if", Value::Null, "/rules/0/if", Required)]
#[case("!/rules/0/then/offeringId", Value::Null, "/rules/0/then/offeringId", Required)]
// Prices.
#[case("/prices/0/currency", json!("XAU"), "/prices/0/currency", Pattern)]
#[case("/prices/0/currency", json!("usd"), "/prices/0/currency", Pattern)]
#[case("/prices/0/kind", json!("YEARLY"), "/prices/0/kind", NotAllowed)]
#[case("/prices/0/model", json!("AUCTION"), "/prices/0/model", NotAllowed)]
#[case("/prices/0/amount", json!(499.0), "/prices/0/amount", WrongType)]
#[case("/prices/0/amount", json!("1e3"), "/prices/0/amount", Pattern)]
#[case("/prices/0/when", json!([]), "/prices/0/when", WrongType)]
#[case("/prices/1/tiers/0/amount", Value::Null, "/prices/1/tiers/0/amount", WrongType)]
#[case("!/prices/1/tiers/0/amount", Value::Null, "/prices/1/tiers/0/amount", Required)]
#[case("!/prices/0/validFrom", Value::Null, "/prices/0/validFrom", Required)]
// Adjustments.
#[case("/adjustments/0/priority", json!("10"), "/adjustments/0/priority", WrongType)]
#[case("/adjustments/0/priority", json!(9223372036854775808u64), "/adjustments/0/priority", OutOfRange)]
#[case("/adjustments/0/kind", json!("BONUS"), "/adjustments/0/kind", NotAllowed)]
#[case("/adjustments/0/value", json!(-10), "/adjustments/0/value", WrongType)]
#[case("/adjustments/0/appliesTo/colour", json!("red"), "/adjustments/0/appliesTo/colour", UnknownField)]
fn a_catalog_of_another_shape_is_no_catalog(
    #[case] at: &str,
    #[case] value: Value,
    #[case] pointer: &str,
    #[case] code: FieldCode,
) {
    let mut document = base();
    set(&mut document, at, value);
    let found: Vec<_> = read(&document).unwrap_err().into_iter().map(|fault| (fault.pointer, fault.code)).collect();
    assert_eq!(found, [(pointer.to_owned(), code)]);
}

#[test]
fn the_faults_of_all_entries_are_told_at_once_and_several_of_one() {
    let mut document = base();
    set(&mut document, "/colour", json!("red"));
    set(&mut document, "/offerings/0/name", json!(7));
    set(&mut document, "/offerings/0/children/1/min", json!("none"));
    set(&mut document, "/offerings/2/colour", json!("red"));
    set(&mut document, "/prices/1/tiers/0/amount", json!(9));
    set(&mut document, "!/adjustments/1/id", Value::Null);
    let mut found: Vec<String> = read(&document).unwrap_err().into_iter().map(|fault| fault.pointer).collect();
    found.sort();
    let expected = [
        "/adjustments/1/id",
        "/colour",
        "/offerings/0/children/1/min",
        "/offerings/0/name",
        "/offerings/2/colour",
        "/prices/1/tiers/0/amount",
    ];
    assert_eq!(found, expected);
}

#[rstest]
#[case(json!(null))]
#[case(json!([]))]
#[case(json!("catalog"))]
fn what_is_no_object_is_no_catalog(#[case] document: Value) {
    let found: Vec<_> = read(&document).unwrap_err().into_iter().map(|fault| (fault.pointer, fault.code)).collect();
    assert_eq!(found, [(String::new(), WrongType)]);
}

#[test]
fn a_document_with_the_shape_of_a_catalog_is_judged_and_compiled() {
    assert_eq!(read(&base()).unwrap().version(), "2026.11");
    let mut document = base();
    set(&mut document, "/prices/0/offeringId", json!("ghost"));
    assert_eq!(read(&document).unwrap_err()[0].pointer, "/prices/0/offeringId");
}

#[test]
fn a_source_survives_its_json() {
    let source: CatalogSource = serde_json::from_value(base()).unwrap();
    let again: CatalogSource = serde_json::from_value(serde_json::to_value(&source).unwrap()).unwrap();
    assert_eq!(source, again);
}

#[test]
fn a_bundle_that_contains_itself_by_others_is_refused_once_with_its_circle() {
    let mut document = base();
    set(&mut document, "/offerings/1/children", json!([{"offeringId": "firewall"}]));
    set(&mut document, "/offerings/2/children", json!([{"offeringId": "fiber"}]));
    let source: CatalogSource = serde_json::from_value(document).unwrap();
    let faults = Catalog::compile(source).unwrap_err();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].detail.ends_with("fiber > router > firewall > fiber"), "{faults:?}");
}

#[test]
fn a_bundle_may_nest_deeper_than_a_stack() {
    const DEPTH: usize = 50_000;
    let offering = |i: usize| {
        json!({"id": format!("o{i}"), "version": "1", "name": "x", "sellableFrom": "2026-01-01T00:00:00Z", "taxCategory": "S",
            "children": if i + 1 < DEPTH { json!([{"offeringId": format!("o{}", i + 1)}]) } else { json!([]) }})
    };
    let offerings: Vec<Value> = (0..DEPTH).map(offering).collect();
    assert_eq!(faults(json!({"catalogVersion": "1", "offerings": offerings})), []);
}

/// Two prices for the same offering, list, currency and kind, with these differences.
#[rstest]
#[case::equal(json!({}), json!({}), true)]
#[case::same_condition(json!({"when": {"sla": "GOLD"}}), json!({"when": {"sla": "GOLD"}}), true)]
#[case::same_condition_said_differently(json!({"when": {"sla": "GOLD"}}), json!({"when": {"sla": {"in": ["GOLD"]}}}), true)]
#[case::same_decimal(json!({"when": {"speed": "1.5"}}), json!({"when": {"speed": {"eq": "1.50"}}}), true)]
#[case::same_quantity(json!({"when": {"quantity": {"gte": 10}}}), json!({"when": {"quantity": {"gte": "10.0"}}}), true)]
#[case::other_value(json!({"when": {"sla": "GOLD"}}), json!({"when": {"sla": "BRONZE"}}), false)]
#[case::different_keys_of_one_number(json!({"when": {"sla": "GOLD"}}), json!({"when": {"ips": 8}}), true)]
#[case::shared_key_differs(json!({"when": {"sla": "GOLD", "ips": 8}}), json!({"when": {"sla": "BRONZE", "managed": true}}), false)]
#[case::shared_key_agrees(json!({"when": {"sla": "GOLD", "ips": 8}}), json!({"when": {"sla": "GOLD", "managed": true}}), true)]
#[case::more_conditions(json!({"when": {"sla": "GOLD"}}), json!({"when": {"sla": "GOLD", "ips": 8}}), false)]
#[case::segment_against_null(json!({"segment": "SMB"}), json!({}), false)]
#[case::two_segments(json!({"segment": "SMB"}), json!({"segment": "ENTERPRISE"}), false)]
#[case::one_segment(json!({"segment": "SMB"}), json!({"segment": "SMB"}), true)]
#[case::later_start(json!({"validFrom": "2026-06-01T00:00:00Z"}), json!({}), false)]
#[case::same_start_in_another_zone(json!({"validFrom": "2026-01-01T01:00:00+01:00"}), json!({}), true)]
#[case::other_list(json!({"priceListId": "partner"}), json!({}), false)]
#[case::other_currency(json!({"currency": "EUR"}), json!({}), false)]
#[case::other_kind(json!({"kind": "ONE_TIME"}), json!({}), false)]
#[case::other_versions(json!({"offeringVersion": "1"}), json!({"offeringVersion": "2"}), false)]
#[case::one_version_against_all(json!({"offeringVersion": "1"}), json!({}), true)]
fn two_prices_of_which_none_is_more_specific_are_refused(
    #[case] first: Value,
    #[case] second: Value,
    #[case] tie: bool,
) {
    let mut document = base();
    let mut second_version = document["offerings"][0].clone();
    second_version["version"] = json!("2");
    set(&mut document, "/offerings/-", second_version);
    document["prices"] = json!([]);
    for (id, difference) in [("first", first), ("second", second)] {
        let mut price = json!({"id": id, "offeringId": "fiber", "priceListId": "standard", "currency": "USD", "kind": "RECURRING",
            "model": "FLAT", "amount": "1", "validFrom": "2026-01-01T00:00:00Z"});
        price.as_object_mut().unwrap().extend(difference.as_object().unwrap().clone());
        set(&mut document, "/prices/-", price);
    }
    let expected = if tie { vec![("/prices/1".to_owned(), NotAllowed)] } else { vec![] };
    assert_eq!(faults(document), expected);
}

#[rstest]
#[case::require_and_exclude("REQUIRES", json!({}), "EXCLUDES", json!({}), "CHILDREN", "CHILDREN", &["/rules/1", "/rules/1/then/offeringId"])]
#[case::exclude_more_generally("REQUIRES", json!({"sla": "GOLD"}), "EXCLUDES", json!({}), "CHILDREN", "QUOTE", &["/rules/1", "/rules/1/then/offeringId"])]
#[case::same_condition("REQUIRES", json!({"sla": "GOLD"}), "EXCLUDES", json!({"sla": "GOLD"}), "QUOTE", "QUOTE", &["/rules/1"])]
#[case::other_condition("REQUIRES", json!({"sla": "GOLD"}), "EXCLUDES", json!({"sla": "BRONZE"}), "QUOTE", "QUOTE", &[])]
#[case::exclude_less_generally("REQUIRES", json!({}), "EXCLUDES", json!({"sla": "GOLD"}), "QUOTE", "QUOTE", &[])]
#[case::exclude_elsewhere("REQUIRES", json!({}), "EXCLUDES", json!({"sla": "GOLD"}), "QUOTE", "CHILDREN", &[])]
fn rules_that_nobody_could_keep_are_refused(
    #[case] first: &str,
    #[case] first_if: Value,
    #[case] second: &str,
    #[case] second_if: Value,
    #[case] first_scope: &str,
    #[case] second_scope: &str,
    #[case] expected: &[&str],
) {
    let rule = |id: &str, kind: &str, condition: Value, scope: &str| json!({"id": id, "kind": kind, "if": {"offeringId": "fiber", "characteristics": condition}, "then": {"offeringId": "router"}, "scope": scope});
    let mut document = base();
    document["rules"] = json!([rule("a", first, first_if, first_scope), rule("b", second, second_if, second_scope)]);
    let mut found: Vec<String> = faults(document).into_iter().map(|(pointer, _)| pointer).collect();
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn requiring_a_child_that_may_not_stand_there_is_refused() {
    let mut document = base();
    set(&mut document, "/rules/0/if/offeringId", json!("router"));
    set(&mut document, "/rules/0/if/characteristics", json!({}));
    assert_eq!(faults(document), [("/rules/0/then/offeringId".to_owned(), Rule)]);
}

pub(super) fn moment(text: &str) -> Moment {
    Moment::parse(text).unwrap()
}

fn versioned(versions: &[(&str, &str, Option<&str>)]) -> Catalog {
    let offerings: Vec<Value> = versions
        .iter()
        .map(|(version, from, to)| {
            json!({"id": "o", "version": version, "name": "O", "segments": ["SMB"], "sellableFrom": from, "sellableTo": to, "taxCategory": "S"})
        })
        .collect();
    compiled(json!({"catalogVersion": "1", "offerings": offerings}))
}

#[rstest]
#[case::latest_start(&[("1", "2026-01-01T00:00:00Z", None), ("2", "2026-06-01T00:00:00Z", None)], "2026-07-01T00:00:00Z", Some("2"))]
#[case::not_yet_on_sale(&[("1", "2026-01-01T00:00:00Z", None), ("2", "2026-06-01T00:00:00Z", None)], "2026-05-31T23:59:59Z", Some("1"))]
#[case::from_is_inside(&[("1", "2026-01-01T00:00:00Z", None), ("2", "2026-06-01T00:00:00Z", None)], "2026-06-01T00:00:00Z", Some("2"))]
#[case::to_is_outside(&[("1", "2026-01-01T00:00:00Z", Some("2026-06-01T00:00:00Z"))], "2026-06-01T00:00:00Z", None)]
#[case::a_lower_number_sold_later(&[("2", "2026-01-01T00:00:00Z", None), ("1", "2026-06-01T00:00:00Z", None)], "2026-07-01T00:00:00Z", Some("1"))]
#[case::ten_is_above_nine(&[("1.10", "2026-01-01T00:00:00Z", None), ("1.9", "2026-01-01T00:00:00Z", None)], "2026-07-01T00:00:00Z", Some("1.10"))]
#[case::a_window_in_another_zone(&[("1", "2026-06-01T00:00:00+02:00", None)], "2026-05-31T22:00:00Z", Some("1"))]
fn the_newest_version_on_sale_is_the_one_sold_latest(
    #[case] versions: &[(&str, &str, Option<&str>)],
    #[case] at: &str,
    #[case] expected: Option<&str>,
) {
    let catalog = versioned(versions);
    let found = catalog.newest_sellable(&"o".into(), "SMB", moment(at));
    assert_eq!(found.map(|offering| offering.version.as_str()), expected);
}

#[test]
fn a_segment_sees_what_is_for_it_and_what_is_for_all() {
    let catalog = compiled(base());
    let seen = |segment: &str| -> Vec<String> {
        catalog
            .visible_offerings(segment, moment("2026-06-01T00:00:00Z"))
            .map(|offering| offering.id.to_string())
            .collect()
    };
    assert_eq!(seen("ENTERPRISE"), ["fiber", "router", "firewall"]);
    assert_eq!(seen("SMB"), ["router", "firewall"]);
    assert!(catalog.newest_sellable(&"fiber".into(), "SMB", moment("2026-06-01T00:00:00Z")).is_none());
}

#[test]
fn adjustments_of_an_offering_and_of_all_stand_in_one_order() {
    let adjustment = |id: &str, priority: i64, offering: Option<&str>| {
        json!({"id": id, "priority": priority, "kind": "PERCENT", "value": "1", "appliesTo": offering.map(|id| json!({"offeringId": id})),
            "validFrom": "2026-01-01T00:00:00Z"})
    };
    let mut document = base();
    document["adjustments"] = json!([
        adjustment("z", 5, Some("fiber")),
        adjustment("b", 10, None),
        adjustment("a", 10, Some("fiber")),
        adjustment("B", 10, Some("fiber")),
        adjustment("y", -1, None),
        adjustment("other", 0, Some("router")),
    ]);
    let catalog = compiled(document);
    let ids: Vec<&str> = catalog.adjustments(&"fiber".into()).map(|(adjustment, _)| adjustment.id.as_str()).collect();
    assert_eq!(ids, ["y", "z", "B", "a", "b"]);
}

fn decimal(text: &str) -> Typed<'static> {
    Typed::Number(crate::money::parse_plain(text).unwrap())
}

#[rstest]
#[case(Typed::Text("GOLD"), json!("GOLD"), true)]
#[case(Typed::Text("GOLD"), json!("gold"), false)]
#[case(Typed::Text("GOLD"), json!({"in": ["SILVER", "GOLD"]}), true)]
#[case(Typed::Text("10"), json!({"lt": "9"}), true)]
#[case(decimal("10"), json!({"lt": 9}), false)]
#[case(decimal("36"), json!({"gte": 36}), true)]
#[case(decimal("36"), json!({"gt": 36}), false)]
#[case(decimal("36"), json!({"gt": 35, "lt": 37}), true)]
#[case(decimal("36"), json!({"gt": 35, "lt": 36}), false)]
#[case(decimal("36"), json!({"lte": 36}), true)]
#[case(decimal("2.50"), json!("2.5"), true)]
#[case(decimal("2.50"), json!({"in": ["2", "2.5"]}), true)]
#[case(Typed::Boolean(true), json!(true), true)]
#[case(Typed::Boolean(true), json!({"eq": false}), false)]
#[case(Typed::Boolean(true), json!("true"), false)]
#[case(Typed::Date("2026-02-01"), json!({"gte": "2026-01-31"}), true)]
#[case(Typed::Date("2026-02-01"), json!({"lt": "2026-02-01"}), false)]
fn a_condition_compares_by_declared_type(#[case] actual: Typed, #[case] condition: Value, #[case] holds: bool) {
    let conditions = Conditions::parse(&When::from([("key".to_owned(), condition)])).unwrap();
    assert_eq!(conditions.hold(&Facts::default().with("key", actual)), holds);
}

#[test]
fn a_condition_on_what_has_no_value_never_holds() {
    for condition in [json!("x"), json!({"lt": 1}), json!({"in": ["x"]})] {
        let conditions = Conditions::parse(&When::from([("key".to_owned(), condition)])).unwrap();
        assert!(!conditions.hold(&Facts::default()));
    }
    assert!(Conditions::default().hold(&Facts::default()));
}

#[test]
fn conditions_say_the_same_only_by_the_type_they_speak_of() {
    let parse = |value: &str| Conditions::parse(&When::from([("key".to_owned(), json!(value))])).unwrap();
    let same = |kind| {
        let subject = Subject::Characteristic(kind);
        parse("1.0").signature("key", subject) == parse("1.00").signature("key", subject)
    };
    assert!(same(CharacteristicType::Decimal));
    assert!(!same(CharacteristicType::String));
}

#[rstest]
#[case("2024-02-29", true)]
#[case("2026-02-29", false)]
#[case("2026-13-01", false)]
#[case("2026-00-10", false)]
#[case("2026-1-01", false)]
#[case("+026-01-01", false)]
#[case("2026-01-01T00:00:00Z", false)]
#[case("２026-01-0", false)]
#[case("", false)]
fn a_date_is_a_day_that_exists(#[case] text: &str, #[case] exists: bool) {
    assert_eq!(is_date(text), exists);
}

#[test]
fn thousands_of_prices_by_one_characteristic_are_checked_for_ties_without_comparing_each_with_each() {
    const PRICES: usize = 20_000;
    let mut document = base();
    let price = |i: usize| {
        json!({"id": format!("p{i}"), "offeringId": "fiber", "priceListId": "standard", "currency": "USD", "kind": "RECURRING",
            "model": "FLAT", "amount": "1", "when": {"ips": i}, "validFrom": "2026-01-01T00:00:00Z"})
    };
    document["prices"] = (0..PRICES).map(price).collect();
    document["prices"][PRICES - 1]["when"]["ips"] = json!(0);
    assert_eq!(faults(document), [(format!("/prices/{}", PRICES - 1), NotAllowed)]);
}
