//! JSON values into types, with faults that name place and code instead of a sentence alone. Which types, and
//! what their values mean, is left to the callers.

use crate::pointer::token;
use crate::rejection::{FieldCode, FieldError};
use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error, Expected, IntoDeserializer, MapAccess};
use serde::de::{SeqAccess, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Value, map};
use std::fmt;
use std::iter::Enumerate;
use std::slice;

/// Faults that are looked for in one value: each costs reading it once more.
const MAX_FAULTS: usize = 20;

/// The value as a `T`, or the first thing that is wrong with it.
pub fn read<T: DeserializeOwned>(value: &Value) -> Result<T, FieldError> {
    T::deserialize(Node(value)).map_err(|fault| fault.below(""))
}

/// What is wrong with a value as a `T`, with pointers below `at`: each fault is found with those before it taken
/// out. A member that must be there and is of another shape is told once.
pub fn faults<T: DeserializeOwned>(value: &Value, at: &str) -> Vec<FieldError> {
    if T::deserialize(Node(value)).is_ok() {
        return Vec::new();
    }
    let mut rest = value.clone();
    let mut faults: Vec<FieldError> = Vec::new();
    let mut taken: Vec<String> = Vec::new();
    while let Err(fault) = T::deserialize(Node(&rest)) {
        if !taken.contains(&fault.pointer()) {
            faults.push(fault.below(at));
        }
        match take_out(&mut rest, &fault) {
            Some(pointer) if faults.len() < MAX_FAULTS => taken.push(pointer),
            _ => break,
        }
    }
    faults
}

/// Takes the innermost member out that is there on the way to a fault, and says which. Elements of arrays stay,
/// as the places of others would shift.
fn take_out(value: &mut Value, fault: &Fault) -> Option<String> {
    let mut way: Vec<&str> = fault.path.iter().rev().map(String::as_str).collect();
    while let Some(name) = way.pop() {
        let parent = pointer(way.iter().copied());
        if let Some(Value::Object(members)) = value.pointer_mut(&parent)
            && members.shift_remove(name).is_some()
        {
            return Some(pointer(way.into_iter().chain([name])));
        }
    }
    None
}

fn pointer<'a>(way: impl Iterator<Item = &'a str>) -> String {
    way.map(|part| format!("/{}", token(part))).collect()
}

/// The first thing that does not fit.
#[derive(Debug)]
struct Fault {
    /// From the inside out.
    path: Vec<String>,
    /// `None` until the value is known that a type refused with words of its own.
    code: Option<FieldCode>,
    detail: String,
}

impl Fault {
    fn new(code: FieldCode, detail: String) -> Self {
        Self { path: Vec::new(), code: Some(code), detail }
    }
    fn under(mut self, part: impl Into<String>) -> Self {
        self.path.push(part.into());
        self
    }
    /// A type's own words are about the form of a text; anything else is of another type altogether.
    fn of(mut self, value: &Value) -> Self {
        if self.code.is_none() {
            let is_text = value.is_string();
            self.code = Some(if is_text { FieldCode::Pattern } else { FieldCode::WrongType });
            if !is_text {
                self.detail = format!("cannot be {}", unexpected(value));
            }
        }
        self
    }
    fn pointer(&self) -> String {
        pointer(self.path.iter().rev().map(String::as_str))
    }
    fn below(&self, at: &str) -> FieldError {
        FieldError::new(format!("{at}{}", self.pointer()), self.code.unwrap_or(FieldCode::Pattern), self.detail.clone())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Fault {}

impl Error for Fault {
    fn custom<T: fmt::Display>(detail: T) -> Self {
        Self { path: Vec::new(), code: None, detail: detail.to_string() }
    }
    fn invalid_type(found: Unexpected, expected: &dyn Expected) -> Self {
        Self::new(FieldCode::WrongType, format!("must be {expected}, not {found}"))
    }
    fn invalid_value(found: Unexpected, expected: &dyn Expected) -> Self {
        Self::new(FieldCode::OutOfRange, format!("must be {expected}, not {found}"))
    }
    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(FieldCode::NotAllowed, format!("{variant} is none of {}", expected.join(", ")))
    }
    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(FieldCode::UnknownField, format!("is not known; known are {}", expected.join(", ")))
    }
    fn missing_field(field: &'static str) -> Self {
        Self::new(FieldCode::Required, "is required".to_owned()).under(field)
    }
}

fn unexpected(value: &Value) -> Unexpected<'_> {
    match value {
        Value::Null => Unexpected::Other("null"),
        Value::Bool(flag) => Unexpected::Bool(*flag),
        Value::Number(number) => Unexpected::Float(number.as_f64().unwrap_or_default()),
        Value::String(text) => Unexpected::Str(text),
        Value::Array(_) => Unexpected::Other("an array"),
        Value::Object(_) => Unexpected::Other("an object"),
    }
}

/// A value as serde reads it.
#[derive(Clone, Copy)]
struct Node<'de>(&'de Value);

impl<'de> Deserializer<'de> for Node<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(flag) => visitor.visit_bool(*flag),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => visitor.visit_u64(number),
                (None, Some(number)) => visitor.visit_i64(number),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or_default()),
            },
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(items) => visitor.visit_seq(Elements(items.iter().enumerate())),
            Value::Object(members) => visitor.visit_map(Members { rest: members.iter(), next: None }),
        }
    }
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }
    /// An object: serde would take an array of the members' values, too.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.0 {
            Value::Object(_) => self.deserialize_any(visitor),
            other => Err(Fault::invalid_type(unexpected(other), &"an object")),
        }
    }
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.0 {
            Value::String(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            other => Err(Fault::invalid_type(unexpected(other), &"a text")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map identifier ignored_any
    }
}

struct Elements<'de>(Enumerate<slice::Iter<'de, Value>>);

impl<'de> SeqAccess<'de> for Elements<'de> {
    type Error = Fault;
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        let Some((index, value)) = self.0.next() else { return Ok(None) };
        seed.deserialize(Node(value)).map(Some).map_err(|fault| fault.of(value).under(index.to_string()))
    }
    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Members<'de> {
    rest: map::Iter<'de>,
    next: Option<(&'de str, &'de Value)>,
}

impl<'de> MapAccess<'de> for Members<'de> {
    type Error = Fault;
    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        let Some((name, value)) = self.rest.next() else { return Ok(None) };
        self.next = Some((name, value));
        seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some).map_err(|fault: Fault| fault.under(name))
    }
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let Some((name, value)) = self.next.take() else { return Err(Fault::custom("a value without a name")) };
        seed.deserialize(Node(value)).map_err(|fault| fault.of(value).under(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::LineRequest;
    use rstest::rstest;
    use serde_json::json;

    fn pointers(value: Value) -> Vec<(String, FieldCode)> {
        faults::<Vec<LineRequest>>(&value, "/lines").into_iter().map(|fault| (fault.pointer, fault.code)).collect()
    }

    fn line(member: &str, value: Value) -> Value {
        let mut line = json!({"lineNumber": "1", "productOfferingId": "x", "quantity": "1", "action": "ADD"});
        line[member] = value;
        json!([line])
    }

    #[rstest]
    #[case("quantity", json!(1), "/lines/0/quantity", FieldCode::WrongType)]
    #[case("quantity", json!("one"), "/lines/0/quantity", FieldCode::Pattern)]
    #[case("action", json!("REPLACE"), "/lines/0/action", FieldCode::NotAllowed)]
    #[case("action", json!(7), "/lines/0/action", FieldCode::WrongType)]
    #[case("colour", json!("red"), "/lines/0/colour", FieldCode::UnknownField)]
    #[case("characteristics", json!({"a/b": 1.5}), "/lines/0/characteristics/a~1b", FieldCode::WrongType)]
    #[case("characteristics", json!([]), "/lines/0/characteristics", FieldCode::WrongType)]
    fn a_fault_is_named_by_pointer_and_code(
        #[case] member: &str,
        #[case] value: Value,
        #[case] pointer: &str,
        #[case] code: FieldCode,
    ) {
        assert_eq!(pointers(line(member, value)), [(pointer.to_owned(), code)]);
    }

    #[test]
    fn a_fault_does_not_hide_the_others_of_its_value() {
        let mut faulty = line("quantity", json!(1))[0].clone();
        faulty["colour"] = json!("red");
        faulty["characteristics"] = json!({"speed": 1.5});
        let found = faults::<LineRequest>(&faulty, "");
        let mut found: Vec<&str> = found.iter().map(|fault| fault.pointer.as_str()).collect();
        found.sort_unstable();
        assert_eq!(found, ["/characteristics/speed", "/colour", "/quantity"]);
    }

    #[test]
    fn a_value_of_many_faults_is_read_a_bounded_number_of_times() {
        let members: serde_json::Map<String, Value> = (0..1000).map(|i| (format!("x{i}"), json!(i))).collect();
        assert_eq!(faults::<LineRequest>(&Value::Object(members), "").len(), MAX_FAULTS);
    }
}
