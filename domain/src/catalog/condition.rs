//! `when` conditions: equality or `eq, in, gt, gte, lt, lte` over typed values.

use super::source::When;
use crate::configuration::CharacteristicValue;
use crate::money::parse_plain;
use bigdecimal::BigDecimal;
use serde_json::Value;
use std::cmp::Ordering;
use std::str::FromStr;

/// A value with the type its characteristic declares.
#[derive(Clone, Debug, PartialEq)]
pub enum Typed {
    Text(String),
    Number(BigDecimal),
    Boolean(bool),
    /// ISO 8601 calendar date, which orders as text.
    Date(String),
}

/// Whether every condition holds; a key that `lookup` has no value for matches nothing.
pub fn holds(when: &When, lookup: &dyn Fn(&str) -> Option<Typed>) -> bool {
    when.iter().all(|(key, condition)| lookup(key).is_some_and(|actual| one(condition, &actual)))
}

fn one(condition: &Value, actual: &Typed) -> bool {
    match condition {
        Value::Object(operators) => operators.iter().all(|(operator, operand)| {
            let order = || compare(actual, operand);
            match operator.as_str() {
                "eq" => order() == Some(Ordering::Equal),
                "in" => operand
                    .as_array()
                    .is_some_and(|all| all.iter().any(|o| compare(actual, o) == Some(Ordering::Equal))),
                "gt" => order() == Some(Ordering::Greater),
                "gte" => matches!(order(), Some(Ordering::Greater | Ordering::Equal)),
                "lt" => order() == Some(Ordering::Less),
                "lte" => matches!(order(), Some(Ordering::Less | Ordering::Equal)),
                _ => false,
            }
        }),
        operand => compare(actual, operand) == Some(Ordering::Equal),
    }
}

/// Orders a value against an operand of its own type; `None` where they cannot be compared.
pub fn compare(actual: &Typed, operand: &Value) -> Option<Ordering> {
    match actual {
        Typed::Text(text) => operand.as_str().map(|o| text.as_str().cmp(o)),
        Typed::Date(date) => operand.as_str().map(|o| date.as_str().cmp(o)),
        Typed::Boolean(flag) => operand.as_bool().map(|o| flag.cmp(&o)),
        Typed::Number(number) => decimal(operand).map(|o| number.cmp(&o)),
    }
}

fn decimal(value: &Value) -> Option<BigDecimal> {
    match value {
        Value::String(text) => parse_plain(text).and_then(|_| BigDecimal::from_str(text).ok()),
        Value::Number(number) => BigDecimal::from_str(&number.to_string()).ok(),
        _ => None,
    }
}

/// The JSON of a characteristic's value.
pub fn json(value: &CharacteristicValue) -> Value {
    match value {
        CharacteristicValue::Text(text) => Value::String(text.clone()),
        CharacteristicValue::Integer(number) => Value::from(*number),
        CharacteristicValue::Boolean(flag) => Value::Bool(*flag),
    }
}
