//! The core against schemas made for the purpose: exact round trips, resolution between versions, and bytes
//! that nobody has written.

use super::plan::{RecordType, compile};
use super::read::{MAX_ITEMS, read_record};
use super::write::write_record;
use pretty_assertions::assert_eq;
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};
use std::sync::Arc;

fn record(fields: Value) -> Arc<RecordType> {
    compile(&json!({"type": "record", "name": "R", "namespace": "x", "fields": fields})).unwrap()
}

fn decimal(text: &str) -> Value {
    json!({"type": "bytes", "logicalType": "decimal", "precision": 19, "scale": 6, "cpqText": text})
}

fn written(record: &RecordType, value: &Value) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    write_record(record, value.as_object().unwrap(), &mut out).map(|()| out).map_err(|error| error.to_string())
}

fn read(writer: &RecordType, reader: &RecordType, bytes: &[u8]) -> Result<Value, String> {
    read_record(writer, reader, bytes).map(Value::Object).map_err(|error| error.to_string())
}

/// A bit of everything, with currencies at two depths.
fn everything() -> Arc<RecordType> {
    record(json!([
        {"name": "currency", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "amount", "type": decimal("MONEY")},
        {"name": "lines", "type": {"type": "array", "items": {"type": "record", "name": "Line", "fields": [
            {"name": "net", "type": decimal("MONEY")},
            {"name": "quantity", "type": decimal("SHORTEST")},
            {"name": "margin", "type": ["null", decimal("PERCENT")], "default": null},
            {"name": "values", "type": {"type": "map", "values": ["string", "long", "boolean"]}, "default": {}}]}}},
        {"name": "limit", "type": ["null", {"type": "record", "name": "Limit", "fields": [
            {"name": "currency", "type": "string"},
            {"name": "amount", "type": decimal("MONEY")}]}], "default": null},
        {"name": "tax", "type": decimal("MONEY")}
    ]))
}

fn sample() -> Value {
    json!({
        "currency": "USD", "at": "2026-11-23T05:40:00.000123Z", "amount": "-499.00",
        "lines": [
            {"net": "0.00", "quantity": "2.5", "margin": "16.60", "values": {"sla": "GOLD", "ips": -3, "vip": true}},
            {"net": "0.10", "quantity": "1000", "margin": null, "values": {}}],
        "limit": {"currency": "JPY", "amount": "250000"}, "tax": "8.25",
    })
}

#[test]
fn what_is_written_is_read_to_the_last_digit() {
    let schema = everything();
    assert_eq!(read(&schema, &schema, &written(&schema, &sample()).unwrap()).unwrap(), sample());
}

#[rstest]
#[case("USD", "499.00")]
#[case("JPY", "499")]
#[case("KWD", "499.000")]
#[case("CLF", "499.0000")]
fn money_comes_back_in_its_currencys_minor_units(#[case] currency: &str, #[case] amount: &str) {
    let schema = record(json!([{"name": "currency", "type": "string"}, {"name": "amount", "type": decimal("MONEY")}]));
    let value = json!({"currency": currency, "amount": amount});
    assert_eq!(read(&schema, &schema, &written(&schema, &value).unwrap()).unwrap(), value);
}

#[rstest]
#[case("/lines/1/net", json!("1e3"), "/lines/1/net '1e3' is not a plain decimal")]
#[case("/lines/1/net", json!(5), "/lines/1/net is a number, where the schema has decimal")]
#[case("/lines/0/values/sla", json!([]), "/lines/0/values/sla is an array, where the schema has union")]
#[case("/at", json!("yesterday"), "/at is not an RFC 3339 instant: 'yesterday'")]
#[case("/amount", json!("10000000000000"), "/amount '10000000000000' has more than 13 digits before the point")]
fn a_value_that_does_not_fit_is_refused_with_its_place(#[case] at: &str, #[case] bad: Value, #[case] says: &str) {
    let mut value = sample();
    *value.pointer_mut(at).unwrap() = bad;
    assert_eq!(written(&everything(), &value).unwrap_err(), says);
}

#[test]
fn a_member_that_the_schema_does_not_know_is_refused_rather_than_lost() {
    let mut value = sample();
    value["lines"][0]["colour"] = json!("red");
    assert_eq!(written(&everything(), &value).unwrap_err(), "/lines/0/colour is not a field of x.Line");
}

#[test]
fn a_missing_member_is_its_default_or_refused() {
    let mut value = sample();
    value.as_object_mut().unwrap().shift_remove("limit");
    assert!(written(&everything(), &value).is_ok());
    value.as_object_mut().unwrap().shift_remove("tax");
    assert_eq!(written(&everything(), &value).unwrap_err(), "/tax is missing");
}

#[test]
fn versions_read_each_other_by_name_with_defaults() {
    let old = record(json!([{"name": "a", "type": "string"}, {"name": "gone", "type": "long", "default": 7}]));
    let new = record(json!([
        {"name": "added", "type": ["null", "string"], "default": null},
        {"name": "a", "type": ["null", "string"], "default": null}]));
    let from_old = written(&old, &json!({"a": "x", "gone": 1})).unwrap();
    assert_eq!(read(&old, &new, &from_old).unwrap(), json!({"a": "x", "added": null}));
    let from_new = written(&new, &json!({"added": "y", "a": "x"})).unwrap();
    assert_eq!(read(&new, &old, &from_new).unwrap(), json!({"a": "x", "gone": 7}));
    let nothing = written(&new, &json!({"added": null, "a": null})).unwrap();
    assert_eq!(read(&new, &old, &nothing).unwrap_err(), "/a was written as null, which is not what is read here");
}

#[test]
fn a_field_without_default_cannot_be_missing() {
    let old = record(json!([]));
    let new = record(json!([{"name": "a", "type": "string"}]));
    assert_eq!(read(&old, &new, &[]).unwrap_err(), "/a was not written, and has no default");
}

#[rstest]
#[case::recursive(json!({"type": "record", "name": "R", "fields": [{"name": "r", "type": ["null", "R"]}]}))]
#[case::not_a_record(json!("string"))]
#[case::number(json!(5))]
#[case::float(json!({"type": "record", "name": "R", "fields": [{"name": "r", "type": "float"}]}))]
#[case::wide_decimal(json!({"type": "record", "name": "R", "fields":
    [{"name": "r", "type": {"type": "bytes", "logicalType": "decimal", "precision": 39, "scale": 2}}]}))]
fn a_schema_that_is_not_used_here_is_refused(#[case] schema: Value) {
    assert!(compile(&schema).is_err());
}

#[test]
fn a_schema_that_nests_without_end_is_refused() {
    let mut ty = json!("string");
    for _ in 0..200 {
        ty = json!({"type": "array", "items": ty});
    }
    let schema = json!({"type": "record", "name": "R", "fields": [{"name": "r", "type": ty}]});
    assert!(compile(&schema).unwrap_err().cause.contains("nest"));
}

#[test]
fn a_count_without_items_behind_it_is_refused_before_memory_is_taken() {
    let schema = record(json!([{"name": "a", "type": {"type": "array", "items": {
        "type": "record", "name": "Empty", "fields": []}}}]));
    let mut bytes = Vec::new();
    super::primitive::write_long(&mut bytes, i64::MAX);
    assert_eq!(read(&schema, &schema, &bytes).unwrap_err(), format!("/a has more than {MAX_ITEMS} items"));
}

#[test]
fn bytes_after_the_record_are_refused() {
    let schema = everything();
    let mut bytes = written(&schema, &sample()).unwrap();
    bytes.push(0);
    assert_eq!(read(&schema, &schema, &bytes).unwrap_err(), " has 1 bytes after its end");
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let schema = everything();
        let _ = read_record(&schema, &schema, &bytes);
    }

    #[test]
    fn a_damaged_record_never_makes_reading_panic(index in 0_usize..200, byte: u8, length in 0_usize..200) {
        let schema = everything();
        let mut bytes = written(&schema, &sample()).unwrap();
        let at = index % bytes.len();
        bytes[at] = byte;
        bytes.truncate(length.max(1));
        let _ = read_record(&schema, &schema, &bytes);
    }
}
