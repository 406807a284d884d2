//! Makes a schema self-contained: shared named types are written once, in `types/`, and stand in full at
//! their first use in every schema that is registered, so that a reader needs one schema and no references.

use crate::wire::plan::full_name;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};

/// The schema with every shared type that it uses, directly or through another, in the place of its name.
pub fn self_contained(schema: &Value, types: &HashMap<String, Value>) -> Value {
    Inliner { types, defined: HashSet::new() }.schema(schema, "")
}

struct Inliner<'a> {
    types: &'a HashMap<String, Value>,
    /// Names that stand in full already.
    defined: HashSet<String>,
}

impl Inliner<'_> {
    fn schema(&mut self, schema: &Value, namespace: &str) -> Value {
        match schema {
            Value::String(name) => self.name(name, namespace),
            Value::Array(branches) => branches.iter().map(|branch| self.schema(branch, namespace)).collect(),
            Value::Object(object) => Value::Object(self.object(object, namespace)),
            other => other.clone(),
        }
    }

    fn name(&mut self, name: &str, namespace: &str) -> Value {
        let full_name = full_name(name, namespace);
        match self.types.get(&full_name) {
            Some(shared) if !self.defined.contains(&full_name) => self.schema(shared, ""),
            Some(_) => Value::String(full_name),
            None => Value::String(name.to_owned()),
        }
    }

    fn object(&mut self, object: &Map<String, Value>, namespace: &str) -> Map<String, Value> {
        let own = object.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
        if let Some(name) = object.get("name").and_then(Value::as_str) {
            self.defined.insert(full_name(name, own));
        }
        let inline = |(key, value): (&String, &Value)| {
            let value = match key.as_str() {
                "type" | "items" | "values" => self.schema(value, own),
                "fields" => value.as_array().into_iter().flatten().map(|field| self.field(field, own)).collect(),
                _ => value.clone(),
            };
            (key.clone(), value)
        };
        object.iter().map(inline).collect()
    }

    fn field(&mut self, field: &Value, namespace: &str) -> Value {
        let mut field = field.clone();
        if let Some(ty) = field.get_mut("type") {
            *ty = self.schema(ty, namespace);
        }
        field
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;
    use serde_json::json;

    #[test]
    fn a_shared_type_stands_in_full_once_and_by_name_afterwards() {
        let inner = json!({"type": "record", "name": "Inner", "namespace": "x", "fields": []});
        let outer = json!({"type": "record", "name": "Outer", "namespace": "x",
            "fields": [{"name": "inner", "type": ["null", "Inner"]}]});
        let types = HashMap::from([("x.Inner".to_owned(), inner.clone()), ("x.Outer".to_owned(), outer)]);
        let schema = json!({"type": "record", "name": "Top", "namespace": "y", "fields": [
            {"name": "many", "type": {"type": "array", "items": "x.Outer"}},
            {"name": "one", "type": "x.Inner"}]});
        let whole = self_contained(&schema, &types);
        assert_eq!(whole["fields"][0]["type"]["items"]["fields"][0]["type"][1], inner);
        assert_eq!(whole["fields"][1]["type"], json!("x.Inner"));
    }
}
