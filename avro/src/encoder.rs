//! From envelopes and the domain's types to the bytes of a message.

use crate::record::{AggregateType, Command, Event, EventEnvelope};
use crate::schemas::{Kind, Schemas};
use crate::wire::write::{WriteError, write_record};
use cpq_domain::command::CommandMeta;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// First byte of every message: the Confluent wire format.
pub const MAGIC: u8 = 0;
/// Largest message value. Topics take 8 MiB with key, headers and batch framing, for which 64 KiB is left.
pub const MAX_RECORD_BYTES: usize = 8 * 1024 * 1024 - 64 * 1024;
/// Room for an ordinary record, so that its buffer does not grow step by step.
const INITIAL_CAPACITY: usize = 1024;

/// Why something cannot be put on a topic.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error("{0} is no record of this build")]
    UnknownRecord(String),
    #[error("{record} has no JSON form: {source}")]
    Json { record: String, source: serde_json::Error },
    #[error("{record} does not fit its schema: {source}")]
    Schema { record: String, source: WriteError },
    #[error("{record} takes {bytes} bytes; a message may have {MAX_RECORD_BYTES}")]
    TooLarge { record: String, bytes: usize },
}

/// Schemas of this build that have no id yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("schemas are not registered: {}; run `cpq schemas register`", subjects.join(", "))]
pub struct UnregisteredSchemas {
    pub subjects: Vec<String>,
}

/// Encodes records by the schemas of this build. Cheap to share; never waits for the registry.
#[derive(Clone, Debug)]
pub struct Encoder {
    schemas: Arc<Schemas>,
    /// The registry's id of each schema, in the order of `schemas`.
    ids: Vec<i32>,
}

impl Encoder {
    /// `ids` maps subjects (`<topic>-<record full name>`) to the registry's ids.
    pub fn new(schemas: Arc<Schemas>, ids: &HashMap<String, i32>) -> Result<Self, UnregisteredSchemas> {
        let subjects: Vec<String> =
            schemas.iter().map(|s| &s.subject).filter(|subject| !ids.contains_key(*subject)).cloned().collect();
        if !subjects.is_empty() {
            return Err(UnregisteredSchemas { subjects });
        }
        let ids = schemas.iter().filter_map(|schema| ids.get(&schema.subject).copied()).collect();
        Ok(Self { schemas, ids })
    }

    /// An event. What it happened to, and at which revision, opens its payload.
    pub fn event(&self, envelope: &EventEnvelope, event: &Event) -> Result<Vec<u8>, EncodeError> {
        let name = event.name();
        let mut payload = match event {
            Event::Quote(event) => payload(name, event)?,
            Event::Order(event) => payload(name, event)?,
            Event::Workflow(event) => payload(name, event)?,
        };
        let subject = match event {
            Event::Quote(_) => Some(("quoteId", "quoteRevision")),
            Event::Order(_) => Some(("orderId", "orderRevision")),
            Event::Workflow(_) => None,
        };
        if let Some((id, revision)) = subject {
            payload.insert(id.to_owned(), json!(envelope.aggregate_id));
            payload.insert(revision.to_owned(), json!(envelope.aggregate_revision));
        }
        let mut members = object(name, envelope)?;
        members.insert("eventType".to_owned(), json!(name));
        members.insert("payload".to_owned(), Value::Object(payload));
        self.record(Kind::Event, name, &members)
    }

    /// A command on the aggregate of that type and id.
    pub fn command(
        &self,
        meta: &CommandMeta,
        aggregate_type: AggregateType,
        aggregate_id: &str,
        command: &Command,
    ) -> Result<Vec<u8>, EncodeError> {
        let name = command.name();
        let payload = match command {
            Command::Quote(command) => payload(name, command)?,
            Command::Order(command) => payload(name, command)?,
            Command::Workflow(command) => payload(name, command)?,
        };
        let mut members = object(name, meta)?;
        members.insert("commandType".to_owned(), json!(name));
        members.insert("aggregateType".to_owned(), json!(aggregate_type.as_str()));
        members.insert("aggregateId".to_owned(), json!(aggregate_id));
        members.insert("payload".to_owned(), Value::Object(payload));
        self.record(Kind::Command, name, &members)
    }

    /// A state record: what GET shows without `allowedActions`, plus `aggregateSequence`. `name` is the
    /// record's full name, `cpq.quote.QuoteState`.
    pub fn state(&self, name: &str, value: &Value) -> Result<Vec<u8>, EncodeError> {
        let short = name.rsplit_once('.').map_or(name, |(_, short)| short);
        match value {
            Value::Object(members) => self.record(Kind::State, short, members),
            _ => Err(EncodeError::Schema {
                record: name.to_owned(),
                source: WriteError { path: "/".to_owned(), cause: "is not an object".to_owned() },
            }),
        }
    }

    fn record(&self, kind: Kind, name: &str, members: &Map<String, Value>) -> Result<Vec<u8>, EncodeError> {
        let (index, schema) =
            self.schemas.by_name(kind, name).ok_or_else(|| EncodeError::UnknownRecord(name.to_owned()))?;
        let id = self.ids.get(index).ok_or_else(|| EncodeError::UnknownRecord(name.to_owned()))?;
        let mut out = Vec::with_capacity(INITIAL_CAPACITY);
        out.push(MAGIC);
        out.extend_from_slice(&id.to_be_bytes());
        write_record(schema.record(), members, &mut out)
            .map_err(|source| EncodeError::Schema { record: schema.full_name.clone(), source })?;
        if out.len() > MAX_RECORD_BYTES {
            return Err(EncodeError::TooLarge { record: schema.full_name.clone(), bytes: out.len() });
        }
        Ok(out)
    }
}

/// The JSON object of a value.
fn object(name: &str, value: &impl Serialize) -> Result<Map<String, Value>, EncodeError> {
    let json = |source| EncodeError::Json { record: name.to_owned(), source };
    match serde_json::to_value(value).map_err(json)? {
        Value::Object(members) => Ok(members),
        _ => Err(json(serde::ser::Error::custom("not an object"))),
    }
}

/// The payload of one of the domain's tagged enums (`{"type", "payload"}`).
fn payload(name: &str, tagged: &impl Serialize) -> Result<Map<String, Value>, EncodeError> {
    match object(name, tagged)?.swap_remove("payload") {
        Some(Value::Object(payload)) => Ok(payload),
        _ => Err(EncodeError::Json { record: name.to_owned(), source: serde::ser::Error::custom("no payload object") }),
    }
}
