//! One value of a record on its way into its column: taken out of the record, and brought into the column's form
//! without losing a digit, or refused.

use super::columns::{Column, Form, decimal_bytes};
use rust_decimal::Decimal;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A value as its column takes it.
pub enum Cell {
    Number(i64),
    Boolean(bool),
    Bytes(Vec<u8>),
    Fixed(Vec<u8>),
}

/// Takes what stands there out of the record; an empty path takes it all.
pub fn take(members: &mut Map<String, Value>, path: &[String]) -> Option<Value> {
    match path {
        [] => Some(Value::Object(std::mem::take(members))),
        [name] => members.get_mut(name).map(Value::take),
        [name, rest @ ..] => take(members.get_mut(name)?.as_object_mut()?, rest),
    }
}

/// Whether everything in it was taken.
pub fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(members) => members.values().all(is_empty),
        _ => false,
    }
}

/// The value in its column's form; null is none.
pub fn cell(column: &Column, value: Option<Value>) -> Result<Option<Cell>, String> {
    let value = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value,
    };
    let cell = match (column.form, &value) {
        (Form::Text, Value::String(text)) => Some(Cell::Bytes(text.clone().into_bytes())),
        (Form::Long, Value::Number(number)) => number.as_i64().map(Cell::Number),
        (Form::Boolean, Value::Bool(boolean)) => Some(Cell::Boolean(*boolean)),
        (Form::Timestamp, Value::String(text)) => micros(text).map(Cell::Number),
        (Form::Decimal { precision, scale }, Value::String(text)) => fixed(text, precision, scale).map(Cell::Fixed),
        (Form::Json, value) => Some(Cell::Bytes(value.to_string().into_bytes())),
        _ => None,
    };
    cell.map(Some).ok_or_else(|| format!("{} is not what its column takes: {value}", column.name))
}

fn micros(text: &str) -> Option<i64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(at.unix_timestamp_nanos() / 1_000).ok()
}

/// The number without its point, in two's complement, big-endian; `None` where it would lose digits.
fn fixed(text: &str, precision: u32, scale: u32) -> Option<Vec<u8>> {
    let number: Decimal = text.parse().ok()?;
    let mut scaled = number;
    scaled.rescale(scale);
    let digits = scaled.mantissa();
    let fits = scaled == number && scaled.scale() == scale && digits.unsigned_abs() < 10_u128.checked_pow(precision)?;
    fits.then(|| digits.to_be_bytes()[size_of::<i128>() - decimal_bytes(precision)..].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("419.00", Some(419_000_000))]
    #[case("-0.000001", Some(-1))]
    #[case("9999999999999.999999", Some(9_999_999_999_999_999_999))]
    #[case("10000000000000", None)]
    #[case("0.0000001", None)]
    #[case("much", None)]
    fn a_decimal_is_kept_to_its_last_digit_or_refused(#[case] text: &str, #[case] unscaled: Option<i128>) {
        let bytes = fixed(text, 19, 6);
        let number = bytes.map(|bytes| {
            assert_eq!(bytes.len(), 9);
            let sign = if bytes[0] & 0x80 == 0 { 0 } else { 0xff };
            let mut whole = [sign; 16];
            whole[7..].copy_from_slice(&bytes);
            i128::from_be_bytes(whole)
        });
        assert_eq!(number, unscaled);
    }

    #[rstest]
    #[case("1970-01-01T00:00:00.000001Z", Some(1))]
    #[case("2026-11-01T01:00:00+01:00", Some(1_793_491_200_000_000))]
    #[case("soon", None)]
    fn a_time_is_microseconds_utc(#[case] text: &str, #[case] expected: Option<i64>) {
        assert_eq!(micros(text), expected);
    }
}
