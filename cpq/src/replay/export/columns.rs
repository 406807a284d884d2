//! Which columns the files of a topic have. Where a record stood comes first, then one column per field of its
//! schemas, then the payload; nested records are spread out, arrays and maps stay JSON. Filling them is `rows`'s
//! matter.

use crate::Failure;
use cpq_avro::wire::plan::{RecordType, Type};
use cpq_avro::{Kind, Schema, Schemas};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::TypePtr;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Columns that every file begins with: where the record stood, and what it is.
const FIRST: &str = "required binary topic (STRING); \
    required int32 partition; \
    required int64 offset; \
    required int64 timestamp (TIMESTAMP(MICROS,true)); \
    optional binary key (STRING); \
    required group headers (MAP) { \
      repeated group key_value { required binary key (STRING); optional binary value (STRING); } } \
    optional int32 schema_id; \
    optional binary record_type (STRING); ";
/// Columns that every file ends with; they are null wherever the record could be decoded.
const LAST: &str = "optional binary undecodable (STRING); optional binary raw_value; ";
/// Names of all of these, which no field may have.
const TAKEN: [&str; 10] = [
    "topic",
    "partition",
    "offset",
    "timestamp",
    "key",
    "headers",
    "schema_id",
    "record_type",
    "undecodable",
    "raw_value",
];
/// The field that events and commands keep as JSON, as each type of them has another.
const PAYLOAD: &str = "payload";

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Text,
    Long,
    Boolean,
    /// Microseconds since the epoch, UTC.
    Timestamp,
    Decimal {
        precision: u32,
        scale: u32,
    },
    /// Whatever it is, as JSON text.
    Json,
}

/// A column that is filled from a field of the record; null where the record has no such field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// Where the field stands in the record; empty: the whole record.
    pub path: Vec<String>,
    pub form: Form,
}

/// The columns of a topic's files.
#[derive(Clone, Debug)]
pub struct Columns {
    pub fields: Vec<Column>,
    pub schema: TypePtr,
}

impl Columns {
    /// The columns for what this build knows of the topic. A topic that it does not know (a dead-letter topic, say) has the
    /// whole record as its payload.
    pub fn of(topic: &str, schemas: &Schemas) -> Result<Self, Failure> {
        let known: Vec<&Schema> = schemas.iter().filter(|schema| schema.topic == topic).collect();
        let mut fields = Vec::new();
        for schema in &known {
            spread(schema.record(), schema.kind, &[], &mut fields);
        }
        if known.is_empty() {
            fields.push(Column { name: PAYLOAD.to_owned(), path: Vec::new(), form: Form::Json });
        }
        // The payload last: a person who looks at a row wants to see the rest, too.
        fields.sort_by_key(|column| column.name == PAYLOAD);
        let mut names = BTreeSet::from(TAKEN.map(str::to_owned));
        if let Some(twice) = fields.iter().find(|column| !names.insert(column.name.clone())) {
            return Err(Failure::failed(format!("{topic} has two columns {}", twice.name)));
        }
        let schema = parse_message_type(&message(&fields)).map_err(Failure::because("this build is broken"))?;
        Ok(Self { fields, schema: schema.into() })
    }
}

/// Adds the fields of a record that are not columns yet.
fn spread(record: &RecordType, kind: Kind, path: &[String], columns: &mut Vec<Column>) {
    for field in &record.fields {
        let path = [path, std::slice::from_ref(&field.name)].concat();
        let form = match optional(&field.ty) {
            _ if kind != Kind::State && path[0] == PAYLOAD => Form::Json,
            Type::Record(nested) => {
                spread(nested, kind, &path, columns);
                continue;
            }
            Type::String => Form::Text,
            Type::Long => Form::Long,
            Type::Boolean => Form::Boolean,
            Type::Timestamp => Form::Timestamp,
            Type::Decimal { precision, scale, .. } => Form::Decimal { precision: *precision, scale: *scale },
            Type::Null | Type::Array(_) | Type::Map(_) | Type::Union(_) => Form::Json,
        };
        let column = Column { name: name(&path), path, form };
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
}

/// The type beside null.
fn optional(ty: &Type) -> &Type {
    match ty {
        Type::Union(types) => match types.as_slice() {
            [Type::Null, other] | [other, Type::Null] => other,
            _ => ty,
        },
        other => other,
    }
}

/// `["actor", "actorId"]` is `actor_id`: what a name repeats of the one before it is said once.
fn name(path: &[String]) -> String {
    let mut name = String::new();
    for part in path.iter().map(|part| snake(part)) {
        let own = part.strip_prefix(&format!("{name}_")).map(str::to_owned).unwrap_or(part);
        name = if name.is_empty() { own } else { format!("{name}_{own}") };
    }
    name
}

fn snake(camel: &str) -> String {
    let mut snake = String::new();
    for c in camel.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// The schema in Parquet's own language.
fn message(fields: &[Column]) -> String {
    let mut message = format!("message record {{ {FIRST}");
    for Column { name, form, .. } in fields {
        let _ = match form {
            Form::Text | Form::Json => write!(message, "optional binary {name} (STRING); "),
            Form::Long => write!(message, "optional int64 {name}; "),
            Form::Boolean => write!(message, "optional boolean {name}; "),
            Form::Timestamp => write!(message, "optional int64 {name} (TIMESTAMP(MICROS,true)); "),
            Form::Decimal { precision, scale } => {
                let length = decimal_bytes(*precision);
                write!(message, "optional fixed_len_byte_array({length}) {name} (DECIMAL({precision},{scale})); ")
            }
        };
    }
    message + LAST + "}"
}

/// Bytes of a signed number of that many decimal digits.
pub fn decimal_bytes(precision: u32) -> usize {
    let bits = f64::from(precision) * std::f64::consts::LOG2_10 + 1.0;
    (bits / 8.0).ceil() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpq_avro::topics;
    use rstest::rstest;

    fn columns(topic: &str) -> Columns {
        Columns::of(topic, &Schemas::load().unwrap()).unwrap()
    }

    #[test]
    fn every_topic_has_columns() {
        for topic in topics::load().unwrap() {
            let columns = columns(&topic.name);
            assert!(!columns.fields.is_empty(), "{}", topic.name);
        }
    }

    #[test]
    fn an_event_has_its_envelope_and_its_payload() {
        let names: Vec<String> = columns(topics::QUOTE_EVENTS).fields.into_iter().map(|column| column.name).collect();
        let expected = [
            "event_id",
            "event_type",
            "event_version",
            "occurred_at",
            "tenant_id",
            "aggregate_type",
            "aggregate_id",
            "aggregate_revision",
            "aggregate_sequence",
            "correlation_id",
            "causation_id",
            "actor_id",
            "actor_type",
            "payload",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_state_has_its_amounts_as_exact_decimals() {
        let fields = columns(topics::QUOTE_STATE).fields;
        let total = fields.iter().find(|column| column.name == "price_total_amount").unwrap();
        assert_eq!(total.form, Form::Decimal { precision: 19, scale: 6 });
        assert_eq!(fields.iter().find(|column| column.name == "lines").unwrap().form, Form::Json);
    }

    #[rstest]
    #[case(&["actor", "actorId"], "actor_id")]
    #[case(&["claims", "roles"], "claims_roles")]
    #[case(&["price", "totalAmount"], "price_total_amount")]
    fn a_nested_field_is_named_by_its_path(#[case] path: &[&str], #[case] expected: &str) {
        assert_eq!(name(&path.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>()), expected);
    }

    #[rstest]
    #[case(2, 1)]
    #[case(3, 2)]
    #[case(18, 8)]
    #[case(19, 9)]
    fn a_decimal_has_the_fewest_bytes_that_hold_it(#[case] precision: u32, #[case] bytes: usize) {
        assert_eq!(decimal_bytes(precision), bytes);
    }
}
