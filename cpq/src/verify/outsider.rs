//! Reading events as somebody who has only the topic and the schema registry: with the writer's schema and an
//! Avro library that is not the product's own codec.

use super::sequence::Facts;
use crate::Failure;
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use cpq_avro::{SchemaSource, SourceError};
use std::collections::HashMap;
use tokio::runtime::Handle;

/// Magic byte and schema id.
const FRAME_BYTES: usize = 5;

/// Decodes values; each schema is asked for once. Blocks: not for async threads.
pub struct Outsider<S> {
    source: S,
    runtime: Handle,
    schemas: HashMap<i32, Result<Schema, String>>,
}

impl<S: SchemaSource> Outsider<S> {
    pub fn new(source: S, runtime: Handle) -> Self {
        Self { source, runtime, schemas: HashMap::new() }
    }

    /// What the value says of its place in its aggregate's history; the inner error is the record's fault.
    pub fn facts(&mut self, value: &[u8]) -> Result<Result<Facts, String>, Failure> {
        let Some(([0, id @ ..], body)) = value.split_first_chunk::<FRAME_BYTES>() else {
            return Ok(Err("the value is not in Confluent's wire format".to_owned()));
        };
        let schema = match self.schema(i32::from_be_bytes(*id))? {
            Ok(schema) => schema,
            Err(fault) => return Ok(Err(fault.clone())),
        };
        Ok(decode(schema, body).and_then(facts))
    }

    fn schema(&mut self, id: i32) -> Result<&Result<Schema, String>, Failure> {
        if !self.schemas.contains_key(&id) {
            let schema = match self.runtime.block_on(self.source.schema(id)) {
                Ok(text) => Schema::parse_str(&text).map_err(|error| format!("schema {id} is no Avro schema: {error}")),
                Err(SourceError::Unknown(id)) => Err(format!("schema {id} is not in the registry")),
                Err(SourceError::Unavailable(cause)) => {
                    return Err(Failure::failed(format!("the schema registry cannot be asked: {cause}")));
                }
            };
            self.schemas.insert(id, schema);
        }
        self.schemas.get(&id).ok_or_else(|| Failure::failed("a schema was not kept"))
    }
}

fn decode(schema: &Schema, mut body: &[u8]) -> Result<Value, String> {
    let reader = GenericDatumReader::builder(schema).build().map_err(|error| error.to_string())?;
    let value = reader.read_value(&mut body).map_err(|error| format!("undecodable: {error}"))?;
    if !body.is_empty() {
        return Err(format!("{} bytes follow the record", body.len()));
    }
    Ok(value)
}

fn facts(value: Value) -> Result<Facts, String> {
    let Value::Record(fields) = value else { return Err("the value is no record".to_owned()) };
    let field = |name: &str| {
        fields
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value)
            .ok_or_else(|| format!("the record has no {name}"))
    };
    let text = |name: &str| match field(name)? {
        Value::String(text) | Value::Enum(_, text) => Ok(text.clone()),
        _ => Err(format!("{name} is no text")),
    };
    let aggregate_sequence = match field("aggregateSequence")? {
        Value::Long(number) => *number,
        Value::Int(number) => i64::from(*number),
        _ => return Err("aggregateSequence is no number".to_owned()),
    };
    Ok(Facts {
        aggregate_type: text("aggregateType")?,
        aggregate_id: text("aggregateId")?,
        aggregate_sequence,
        event_id: text("eventId")?,
    })
}
