//! Process variables of the few types that the bridge uses: no objects, no JSON, nothing that needs a data
//! format of one engine. Domain data stays in Postgres; these are keys and switches.

use super::EngineError;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

/// The longest string variable: the engine's column is `varchar(4000)`, and a longer value fails the call
/// with a 500 of code 10002.
pub const MAX_STRING_CHARS: usize = 4000;

/// The value of one variable.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(String),
    Long(i64),
    Boolean(bool),
    Null,
    /// A value of a type that the bridge does not use; only ever read.
    Other {
        kind: String,
        value: serde_json::Value,
    },
}

/// Variables by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Variables(BTreeMap<String, Value>);

impl Variables {
    pub fn new() -> Self {
        Self::default()
    }

    /// With a string, which may have at most [`MAX_STRING_CHARS`].
    pub fn with_text(mut self, name: impl Into<String>, value: impl Into<String>) -> Result<Self, EngineError> {
        let (name, value) = (name.into(), value.into());
        let length = value.chars().count();
        if length > MAX_STRING_CHARS {
            let detail = format!("variable {name} has {length} characters; at most {MAX_STRING_CHARS} are kept");
            return Err(EngineError::Invalid { detail });
        }
        self.0.insert(name, Value::Text(value));
        Ok(self)
    }

    pub fn with_long(mut self, name: impl Into<String>, value: i64) -> Self {
        self.0.insert(name.into(), Value::Long(value));
        self
    }

    pub fn with_boolean(mut self, name: impl Into<String>, value: bool) -> Self {
        self.0.insert(name.into(), Value::Boolean(value));
        self
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The string of that name, if it is there and a string.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub fn long(&self, name: &str) -> Option<i64> {
        match self.get(name) {
            Some(Value::Long(long)) => Some(*long),
            _ => None,
        }
    }

    pub fn boolean(&self, name: &str) -> Option<bool> {
        match self.get(name) {
            Some(Value::Boolean(boolean)) => Some(*boolean),
            _ => None,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

#[derive(Serialize, Deserialize)]
struct Wire {
    #[serde(rename = "type")]
    kind: String,
    value: serde_json::Value,
}

impl From<&Value> for Wire {
    fn from(value: &Value) -> Self {
        let (kind, value) = match value {
            Value::Text(text) => ("String", serde_json::json!(text)),
            Value::Long(long) => ("Long", serde_json::json!(long)),
            Value::Boolean(boolean) => ("Boolean", serde_json::json!(boolean)),
            Value::Null => ("Null", serde_json::Value::Null),
            Value::Other { kind, value } => (kind.as_str(), value.clone()),
        };
        Self { kind: kind.to_owned(), value }
    }
}

impl From<Wire> for Value {
    fn from(Wire { kind, value }: Wire) -> Self {
        // The engine's own counters (loopCounter, nrOfInstances) are Integer.
        match (kind.as_str(), &value) {
            (_, serde_json::Value::Null) => Self::Null,
            ("String", serde_json::Value::String(text)) => Self::Text(text.clone()),
            ("Boolean", serde_json::Value::Bool(boolean)) => Self::Boolean(*boolean),
            ("Long" | "Integer" | "Short", serde_json::Value::Number(number)) if number.is_i64() => {
                number.as_i64().map_or(Self::Null, Self::Long)
            }
            _ => Self::Other { kind, value },
        }
    }
}

impl Serialize for Variables {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, &Wire::from(value))?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Variables {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = BTreeMap::<String, Wire>::deserialize(deserializer)?;
        Ok(Self(wire.into_iter().map(|(name, value)| (name, value.into())).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_variable_is_typed_on_the_wire_and_reads_back() {
        let variables = Variables::new().with_text("tenantId", "t").unwrap().with_long("n", 2).with_boolean("b", true);
        let wire = serde_json::to_value(&variables).unwrap();
        assert_eq!(wire["n"], json!({"type": "Long", "value": 2}));
        assert_eq!(serde_json::from_value::<Variables>(wire).unwrap(), variables);
    }

    #[test]
    fn what_the_engine_adds_is_readable() {
        let wire = json!({"loopCounter": {"type": "Integer", "value": 1, "valueInfo": {}}, "d": {"type": "Double", "value": 1.5},
            "n": {"type": "Null", "value": null}});
        let variables: Variables = serde_json::from_value(wire).unwrap();
        assert_eq!(variables.long("loopCounter"), Some(1));
        assert_eq!(variables.get("n"), Some(&Value::Null));
        assert!(matches!(variables.get("d"), Some(Value::Other { kind, .. }) if kind == "Double"));
    }

    #[test]
    fn a_string_that_the_engine_could_not_keep_is_refused_before_it_is_sent() {
        assert!(Variables::new().with_text("s", "ü".repeat(MAX_STRING_CHARS)).is_ok());
        assert!(matches!(
            Variables::new().with_text("s", "x".repeat(MAX_STRING_CHARS + 1)),
            Err(EngineError::Invalid { .. })
        ));
    }
}
