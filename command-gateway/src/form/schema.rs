//! The JSON schema of a form's table, for the OpenAPI document.

use super::{Decimal, Kind, Object, Presence};
use serde_json::{Map, Value, json};

/// The schema of an object; the schemas of objects within it are added to `components`.
pub fn json_schema(object: &Object, components: &mut Map<String, Value>) -> Value {
    let schema = members(object, components);
    components.insert(object.name.to_owned(), schema);
    json!({ "$ref": format!("#/components/schemas/{}", object.name) })
}

fn members(object: &Object, components: &mut Map<String, Value>) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in object.fields {
        let mut schema = kind(&field.kind, components);
        if let Value::Object(members) = &mut schema {
            members.insert("description".to_owned(), json!(field.describes));
            match field.presence {
                Presence::Required => required.push(field.name),
                Presence::Optional => {}
                Presence::Default(text) => {
                    members.insert("default".to_owned(), serde_json::from_str(text).unwrap_or_default());
                }
            }
        }
        properties.insert(field.name.to_owned(), schema);
    }
    let mut schema = json!({
        "type": "object",
        "description": object.describes,
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if let Ok(example) = serde_json::from_str::<Value>(object.example) {
        schema["examples"] = json!([example]);
    }
    schema
}

fn kind(kind: &Kind, components: &mut Map<String, Value>) -> Value {
    match kind {
        Kind::Text(text) => {
            let mut schema = json!({"type": "string", "minLength": text.min, "maxLength": text.max});
            if let Some(pattern) = text.pattern {
                schema["pattern"] = json!(pattern.regex);
            }
            schema
        }
        Kind::Boolean => json!({"type": "boolean"}),
        Kind::Integer { min, max } => json!({"type": "integer", "minimum": min, "maximum": max}),
        Kind::Decimal(Decimal { example, .. }) => json!({
            "type": "string", "format": "decimal", "pattern": r"^-?[0-9]{1,13}(\.[0-9]+)?$", "examples": [example]
        }),
        Kind::Instant => json!({"type": "string", "format": "date-time"}),
        Kind::Date => json!({"type": "string", "format": "date"}),
        Kind::Currency => json!({"type": "string", "pattern": "^[A-Z]{3}$", "examples": ["USD"]}),
        Kind::Choice(choices) => json!({"type": "string", "enum": choices}),
        Kind::Object(object) => json_schema(object, components),
        Kind::List { of, max } => {
            json!({"type": "array", "maxItems": max, "items": json_schema(of, components)})
        }
        Kind::Characteristics => json!({
            "type": "object",
            "additionalProperties": {"oneOf": [{"type": "string"}, {"type": "integer"}, {"type": "boolean"}]}
        }),
    }
}
