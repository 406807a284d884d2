//! From the bytes of a message to envelopes and the domain's types. Bytes come from a topic that others can
//! write to: whatever they hold, the answer is a record or a typed error, never a panic.

use crate::encoder::MAGIC;
use crate::record::{Command, Event, EventEnvelope, Record};
use crate::schemas::{Family, Kind, Schema, Schemas};
use crate::wire::plan::{RecordType, compile};
use crate::wire::read::read_record;
use async_trait::async_trait;
use cpq_domain::command::CommandMeta;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Foreign schemas that are kept compiled. Beyond it they are fetched and compiled each time.
pub const MAX_CACHED_SCHEMAS: usize = 1_000;
/// Bytes before the Avro binary: magic and schema id.
const HEADER_BYTES: usize = 5;

/// Why a message has not become a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The writer's schema could not be asked for. Try again later.
    #[error("the schema registry cannot be asked: {cause}")]
    RegistryUnavailable { cause: String },
    /// These bytes can never be read.
    #[error("undecodable: {cause}")]
    Poison { cause: String },
}

fn poison(cause: impl Into<String>) -> DecodeError {
    DecodeError::Poison { cause: cause.into() }
}

/// Why a schema was not given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The registry answers, and has no schema of that id.
    #[error("schema {0} is not registered")]
    Unknown(i32),
    /// No usable answer.
    #[error("{0}")]
    Unavailable(String),
}

/// Where schemas of other builds come from.
#[async_trait]
pub trait SchemaSource: Send + Sync {
    /// The text of the schema with that id.
    async fn schema(&self, id: i32) -> Result<String, SourceError>;
}

/// The schema of an id, and which of ours it is read as.
#[derive(Clone, Debug)]
struct Writer {
    record: Arc<RecordType>,
    reader: usize,
}

/// Decodes messages of this and of other builds. Each schema is compiled once.
pub struct Decoder {
    schemas: Arc<Schemas>,
    source: Arc<dyn SchemaSource>,
    writers: RwLock<HashMap<i32, Writer>>,
}

impl Decoder {
    /// `ids` maps subjects to the registry's ids, as for the encoder; with other ids `source` is asked.
    pub fn new(schemas: Arc<Schemas>, ids: &HashMap<String, i32>, source: Arc<dyn SchemaSource>) -> Self {
        let known = schemas.iter().enumerate().filter_map(|(reader, schema)| {
            let id = ids.get(&schema.subject)?;
            Some((*id, Writer { record: Arc::clone(schema.record()), reader }))
        });
        let writers = RwLock::new(known.collect());
        Self { schemas, source, writers }
    }

    /// The record in a message's value.
    pub async fn decode(&self, bytes: &[u8]) -> Result<Record, DecodeError> {
        let (id, body) = split(bytes)?;
        let writer = match self.known(id) {
            Some(writer) => writer,
            None => self.fetch(id).await?,
        };
        let schema = self.schemas.get(writer.reader).ok_or_else(|| poison("the reader's schema is gone"))?;
        let members = read_record(&writer.record, schema.record(), body)
            .map_err(|error| poison(format!("{}{error}", schema.full_name)))?;
        record(schema, members)
    }

    fn known(&self, id: i32) -> Option<Writer> {
        self.writers.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    async fn fetch(&self, id: i32) -> Result<Writer, DecodeError> {
        let text = self.source.schema(id).await.map_err(|error| match error {
            SourceError::Unknown(_) => poison(error.to_string()),
            SourceError::Unavailable(cause) => DecodeError::RegistryUnavailable { cause },
        })?;
        let json: Value =
            serde_json::from_str(&text).map_err(|error| poison(format!("schema {id} is not JSON: {error}")))?;
        let record = compile(&json).map_err(|error| poison(format!("schema {id}: {error}")))?;
        let reader = self.schemas.by_full_name(&record.full_name);
        let (reader, _) = reader.ok_or_else(|| poison(format!("{} is no record of this build", record.full_name)))?;
        let writer = Writer { record, reader };
        let mut writers = self.writers.write().unwrap_or_else(PoisonError::into_inner);
        if writers.len() < MAX_CACHED_SCHEMAS {
            writers.insert(id, writer.clone());
        }
        Ok(writer)
    }
}

/// The schema id and the Avro binary of a message.
fn split(bytes: &[u8]) -> Result<(i32, &[u8]), DecodeError> {
    match bytes.split_first_chunk::<HEADER_BYTES>() {
        Some(([MAGIC, id @ ..], body)) => Ok((i32::from_be_bytes(*id), body)),
        Some(([other, ..], _)) => Err(poison(format!("first byte is {other}, not {MAGIC}"))),
        None => Err(poison(format!("{} bytes are too few for a schema id", bytes.len()))),
    }
}

fn record(schema: &Schema, mut members: Map<String, Value>) -> Result<Record, DecodeError> {
    match schema.kind {
        Kind::State => Ok(Record::State { name: schema.full_name.clone(), value: Value::Object(members) }),
        Kind::Event => {
            let payload = tagged(schema, &mut members, "eventType")?;
            let envelope: EventEnvelope = parsed(schema, Value::Object(members))?;
            Ok(Record::Event(envelope, event(schema, payload)?))
        }
        Kind::Command => {
            let payload = tagged(schema, &mut members, "commandType")?;
            let aggregate_type = parsed(schema, take(schema, &mut members, "aggregateType")?)?;
            let aggregate_id = parsed(schema, take(schema, &mut members, "aggregateId")?)?;
            let meta: CommandMeta = parsed(schema, Value::Object(members))?;
            Ok(Record::Command(meta, aggregate_type, aggregate_id, command(schema, payload)?))
        }
    }
}

fn event(schema: &Schema, tagged: Value) -> Result<Event, DecodeError> {
    Ok(match schema.family {
        Family::Quote => Event::Quote(parsed(schema, tagged)?),
        Family::Order => Event::Order(parsed(schema, tagged)?),
        Family::Workflow => Event::Workflow(parsed(schema, tagged)?),
    })
}

fn command(schema: &Schema, tagged: Value) -> Result<Command, DecodeError> {
    Ok(match schema.family {
        Family::Quote => Command::Quote(parsed(schema, tagged)?),
        Family::Order => Command::Order(parsed(schema, tagged)?),
        Family::Workflow => Command::Workflow(parsed(schema, tagged)?),
    })
}

/// Takes type and payload out of the envelope, in the form of the domain's tagged enums.
fn tagged(schema: &Schema, members: &mut Map<String, Value>, type_field: &str) -> Result<Value, DecodeError> {
    let name = take(schema, members, type_field)?;
    if name != schema.name {
        return Err(poison(format!("{}/{type_field} is {name}", schema.full_name)));
    }
    let mut payload = take(schema, members, "payload")?;
    if let (Kind::Event, Some(payload)) = (schema.kind, payload.as_object_mut()) {
        // These repeat the envelope for readers of the topic; the domain's events do not carry them.
        for field in schema.family.payload_prefix() {
            payload.swap_remove(*field);
        }
    }
    let mut tagged = Map::with_capacity(2);
    tagged.insert("type".to_owned(), name);
    tagged.insert("payload".to_owned(), payload);
    Ok(Value::Object(tagged))
}

fn take(schema: &Schema, members: &mut Map<String, Value>, name: &str) -> Result<Value, DecodeError> {
    members.swap_remove(name).ok_or_else(|| poison(format!("{} has no {name}", schema.full_name)))
}

fn parsed<T: DeserializeOwned>(schema: &Schema, value: Value) -> Result<T, DecodeError> {
    serde_json::from_value(value).map_err(|error| poison(format!("{}: {error}", schema.full_name)))
}
