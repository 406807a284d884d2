//! A characteristic's value with its declared type: what conditions compare and what a definition allows.

use super::{Characteristic, CharacteristicType, Offering};
use crate::configuration::CharacteristicValue;
use crate::money::parse_plain;
use crate::rejection::FieldCode;
use regex::{Regex, RegexBuilder};
use rust_decimal::Decimal;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

/// Bytes that one compiled pattern may take.
const MAX_PATTERN_BYTES: usize = 1 << 20;
/// Choices that a refusal names before it says how many more there are.
const MAX_NAMED_CHOICES: usize = 20;

/// A value as its declared type reads it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Typed<'a> {
    Text(&'a str),
    Number(Decimal),
    Boolean(bool),
    /// ISO 8601 calendar date, which orders as text.
    Date(&'a str),
}

impl Typed<'_> {
    /// Orders two values of one type; `None` for values of different types.
    pub fn compare(&self, other: &Typed) -> Option<Ordering> {
        match (self, other) {
            (Typed::Text(a), Typed::Text(b)) | (Typed::Date(a), Typed::Date(b)) => Some(a.cmp(b)),
            (Typed::Number(a), Typed::Number(b)) => Some(a.cmp(b)),
            (Typed::Boolean(a), Typed::Boolean(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}

/// Whether the text is a calendar date `YYYY-MM-DD` that exists.
pub fn is_date(text: &str) -> bool {
    let shape = text.len() == 10
        && text.bytes().enumerate().all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() });
    let number = |from: usize, to: usize| text.get(from..to).and_then(|part| part.parse::<u16>().ok());
    let date = || {
        let month = time::Month::try_from(u8::try_from(number(5, 7)?).ok()?).ok()?;
        time::Date::from_calendar_date(i32::from(number(0, 4)?), month, u8::try_from(number(8, 10)?).ok()?).ok()
    };
    shape && date().is_some()
}

/// Reads a value by its declared type: WRONG_TYPE for another JSON type, PATTERN for text of another form.
pub fn typed(kind: CharacteristicType, value: &CharacteristicValue) -> Result<Typed<'_>, FieldCode> {
    match (kind, value) {
        (CharacteristicType::String, CharacteristicValue::Text(text)) => Ok(Typed::Text(text)),
        (CharacteristicType::Integer, CharacteristicValue::Integer(number)) => Ok(Typed::Number((*number).into())),
        (CharacteristicType::Decimal, CharacteristicValue::Text(text)) => {
            parse_plain(text).map(Typed::Number).ok_or(FieldCode::Pattern)
        }
        (CharacteristicType::Boolean, CharacteristicValue::Boolean(flag)) => Ok(Typed::Boolean(*flag)),
        (CharacteristicType::Date, CharacteristicValue::Text(text)) => {
            if is_date(text) {
                Ok(Typed::Date(text))
            } else {
                Err(FieldCode::Pattern)
            }
        }
        _ => Err(FieldCode::WrongType),
    }
}

/// How a type's values are written, for a person.
pub fn written(kind: CharacteristicType) -> &'static str {
    match kind {
        CharacteristicType::String => "a JSON string",
        CharacteristicType::Integer => "a JSON integer",
        CharacteristicType::Decimal => "a plain decimal in a JSON string",
        CharacteristicType::Boolean => "true or false",
        CharacteristicType::Date => "a date YYYY-MM-DD in a JSON string",
    }
}

/// The catalog's patterns, each compiled once. A pattern must match the whole value.
#[derive(Debug, Default)]
pub struct Patterns(HashMap<String, Regex>);

impl Patterns {
    /// Takes a pattern up; an error says why it is none.
    pub fn add(&mut self, pattern: &str) -> Result<(), String> {
        if self.0.contains_key(pattern) {
            return Ok(());
        }
        let whole = format!(r"\A(?:{pattern})\z");
        let compiled =
            RegexBuilder::new(&whole).size_limit(MAX_PATTERN_BYTES).build().map_err(|cause| cause.to_string())?;
        self.0.insert(pattern.to_owned(), compiled);
        Ok(())
    }
    /// Whether the value matches; a pattern that was not taken up matches nothing.
    fn matches(&self, pattern: &str, value: &str) -> bool {
        self.0.get(pattern).is_some_and(|regex| regex.is_match(value))
    }
}

/// What is wrong with a value by its definition, if anything.
pub fn fault(
    definition: &Characteristic,
    value: &CharacteristicValue,
    patterns: &Patterns,
) -> Option<(FieldCode, String)> {
    let name = &definition.name;
    let value = match typed(definition.kind, value) {
        Ok(value) => value,
        Err(code) => return Some((code, format!("{name} is {}", written(definition.kind)))),
    };
    let against = |bound: &CharacteristicValue| typed(definition.kind, bound).ok().and_then(|b| value.compare(&b));
    if let Some(allowed) = &definition.allowed
        && !allowed.iter().any(|choice| against(choice) == Some(Ordering::Equal))
    {
        return Some((FieldCode::NotAllowed, format!("{name} is one of {}", choices(allowed))));
    }
    if let Some(min) = definition.min.as_ref().filter(|min| against(min) == Some(Ordering::Less)) {
        return Some((FieldCode::OutOfRange, format!("{name} is at least {min}")));
    }
    if let Some(max) = definition.max.as_ref().filter(|max| against(max) == Some(Ordering::Greater)) {
        return Some((FieldCode::OutOfRange, format!("{name} is at most {max}")));
    }
    match (&definition.pattern, value) {
        (Some(pattern), Typed::Text(text)) if !patterns.matches(pattern, text) => {
            Some((FieldCode::Pattern, format!("{name} matches {pattern}")))
        }
        _ => None,
    }
}

fn choices(allowed: &[CharacteristicValue]) -> String {
    let named: Vec<String> = allowed.iter().take(MAX_NAMED_CHOICES).map(ToString::to_string).collect();
    let more = allowed.len().saturating_sub(MAX_NAMED_CHOICES);
    if more == 0 { named.join(", ") } else { format!("{} and {more} more", named.join(", ")) }
}

/// What conditions may look at: a line's characteristics, typed, and what the caller adds.
#[derive(Clone, Debug, Default)]
pub struct Facts<'a>(Vec<(&'a str, Typed<'a>)>);

impl<'a> Facts<'a> {
    /// The characteristics that have a value of their declared type.
    pub fn of(offering: &'a Offering, values: &'a BTreeMap<String, CharacteristicValue>) -> Self {
        let typed = |definition: &'a Characteristic| {
            let value = values.get(&definition.name)?;
            Some((definition.name.as_str(), typed(definition.kind, value).ok()?))
        };
        Self(offering.characteristics.iter().filter_map(typed).collect())
    }
    /// With one more fact.
    pub fn with(mut self, name: &'a str, value: Typed<'a>) -> Self {
        self.0.push((name, value));
        self
    }
    /// The value of that name, if there is one.
    pub fn get(&self, name: &str) -> Option<&Typed<'a>> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}
