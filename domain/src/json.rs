//! Strict JSON: no member twice at any level, at most [`MAX_DEPTH`] levels, nothing behind the value, and no
//! U+0000, which Postgres cannot store.

use serde::Deserialize as _;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Arrays and objects within one another.
pub const MAX_DEPTH: usize = 128;

/// Reads one value, or says in a sentence what is wrong with the text.
pub fn parse(bytes: &[u8]) -> Result<Value, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    // The seed below counts the levels itself.
    deserializer.disable_recursion_limit();
    let value = Strict { depth: 0 }.deserialize(&mut deserializer).map_err(|e| e.to_string())?;
    deserializer.end().map_err(|e| e.to_string())?;
    Ok(value)
}

/// Reads a value that stands `depth` levels deep.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format!("more than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

fn text<E: Error>(text: &str) -> Result<String, E> {
    if text.contains('\0') {
        return Err(E::custom("U+0000 is not allowed in text"));
    }
    Ok(text.to_owned())
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        text(value).map(Value::String)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(deeper)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key_seed(Name)? {
            let value = members.next_value_seed(deeper)?;
            if object.contains_key(&name) {
                return Err(A::Error::custom(format!("member {name:?} stands twice in one object")));
            }
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

/// A member's name.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = String;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        text(&String::deserialize(deserializer)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn nested(levels: usize) -> String {
        format!("{}{}", "[".repeat(levels), "]".repeat(levels))
    }

    #[rstest]
    #[case("")]
    #[case("{")]
    #[case("{} {}")]
    #[case("{'a': 1}")]
    #[case(r#"{"a": 01}"#)]
    #[case(r#"{"a": 1, "a": 1}"#)]
    #[case(r#"{"a": {"b": [{"c": 1, "c": 2}]}}"#)]
    #[case(r#"{"a": 1e999}"#)]
    #[case(r#"{"a": NaN}"#)]
    #[case(r#"{"a": "\u0000"}"#)]
    #[case(r#"{"\u0000": 1}"#)]
    #[case(r#"{"a": "\ud800"}"#)]
    fn what_is_not_strict_json_is_refused(#[case] text: &str) {
        assert!(parse(text.as_bytes()).is_err(), "{text}");
    }

    #[test]
    fn depth_is_bounded_at_exactly_128() {
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(parse(nested(MAX_DEPTH + 1).as_bytes()).unwrap_err().contains("128"));
        assert!(parse("[".repeat(1 << 20).as_bytes()).is_err());
    }

    #[test]
    fn bytes_that_are_no_utf8_are_refused() {
        assert!(parse(b"{\"a\": \"\xff\"}").is_err());
    }
}
