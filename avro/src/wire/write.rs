//! JSON to Avro binary, guided by a compiled schema.

use super::plan::{RecordType, Type};
use super::primitive::{parse_decimal, write_bytes, write_decimal, write_long};
use cpq_domain::moment::Moment;
use serde_json::{Map, Value};

/// A value that does not fit its schema, with the place in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path} {cause}")]
pub struct WriteError {
    pub path: String,
    pub cause: String,
}

impl WriteError {
    fn new(cause: impl Into<String>) -> Self {
        Self { path: String::new(), cause: cause.into() }
    }
    /// Paths are built on the way out of an error only, so that values that fit cost nothing.
    fn at(mut self, segment: &str) -> Self {
        self.path.insert_str(0, segment);
        self.path.insert(0, '/');
        self
    }
}

/// Appends the record. Every member of the JSON must be a field: what the schema does not know would be
/// lost without a word.
pub fn write_record(record: &RecordType, members: &Map<String, Value>, out: &mut Vec<u8>) -> Result<(), WriteError> {
    let mut known = 0;
    for field in &record.fields {
        let value = match members.get(&field.name) {
            Some(value) => {
                known += 1;
                Some(value)
            }
            None => field.default.as_ref(),
        };
        match value {
            Some(value) => write(&field.ty, value, out).map_err(|error| error.at(&field.name))?,
            None => return Err(WriteError::new("is missing").at(&field.name)),
        }
    }
    if known < members.len() {
        let unknown = members.keys().find(|name| record.fields.iter().all(|field| field.name != **name));
        let unknown = unknown.map(String::as_str).unwrap_or_default();
        return Err(WriteError::new(format!("is not a field of {}", record.full_name)).at(unknown));
    }
    Ok(())
}

fn write(ty: &Type, value: &Value, out: &mut Vec<u8>) -> Result<(), WriteError> {
    match (ty, value) {
        (Type::Null, Value::Null) => {}
        (Type::Boolean, Value::Bool(value)) => out.push(u8::from(*value)),
        (Type::Long, Value::Number(number)) => {
            let value = number.as_i64().ok_or_else(|| WriteError::new(format!("is not a 64-bit integer: {number}")))?;
            write_long(out, value);
        }
        (Type::String, Value::String(text)) => write_bytes(out, text.as_bytes()),
        (Type::Timestamp, Value::String(text)) => {
            let at =
                Moment::parse(text).ok_or_else(|| WriteError::new(format!("is not an RFC 3339 instant: '{text}'")))?;
            write_long(out, at.unix_micros());
        }
        (Type::Decimal { precision, scale, .. }, Value::String(text)) => {
            write_decimal(out, parse_decimal(text, *precision, *scale).map_err(WriteError::new)?);
        }
        (Type::Array(items), Value::Array(values)) => {
            block(values.len(), out, |out| {
                values.iter().enumerate().try_for_each(|(index, value)| {
                    write(items, value, out).map_err(|error| error.at(&index.to_string()))
                })
            })?;
        }
        (Type::Map(values), Value::Object(members)) => {
            block(members.len(), out, |out| {
                members.iter().try_for_each(|(name, value)| {
                    write_bytes(out, name.as_bytes());
                    write(values, value, out).map_err(|error| error.at(name))
                })
            })?;
        }
        (Type::Record(record), Value::Object(members)) => write_record(record, members, out)?,
        (Type::Union(branches), value) => {
            let branch = branches.iter().enumerate().find(|(_, branch)| accepts(branch, value));
            let (index, branch) = branch.ok_or_else(|| mismatch(ty, value))?;
            write_long(out, index as i64);
            write(branch, value, out)?;
        }
        _ => return Err(mismatch(ty, value)),
    }
    Ok(())
}

/// One block of items, then the empty block that ends every array and map.
fn block(
    count: usize,
    out: &mut Vec<u8>,
    items: impl FnOnce(&mut Vec<u8>) -> Result<(), WriteError>,
) -> Result<(), WriteError> {
    if count > 0 {
        write_long(out, count as i64);
        items(out)?;
    }
    out.push(0);
    Ok(())
}

/// Whether a JSON value has the form of the branch. Our unions never hold two branches of one JSON form.
fn accepts(branch: &Type, value: &Value) -> bool {
    match value {
        Value::Null => matches!(branch, Type::Null),
        Value::Bool(_) => matches!(branch, Type::Boolean),
        Value::Number(_) => matches!(branch, Type::Long),
        Value::String(_) => matches!(branch, Type::String | Type::Timestamp | Type::Decimal { .. }),
        Value::Array(_) => matches!(branch, Type::Array(_)),
        Value::Object(_) => matches!(branch, Type::Record(_) | Type::Map(_)),
    }
}

fn mismatch(ty: &Type, value: &Value) -> WriteError {
    let given = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    WriteError::new(format!("is {given}, where the schema has {}", ty.kind()))
}
