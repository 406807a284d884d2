//! Every schema that this build was compiled with: files of `avro/`, made self-contained, checked and compiled
//! once. Add a record by adding its file, its line here and its line in `topics.yaml`.

use crate::inline::self_contained;
use crate::topics;
use crate::wire::plan::{PlanError, RecordType, compile};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Event,
    Command,
    State,
}

/// Whose record it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    Quote,
    Order,
    Workflow,
}

impl Family {
    /// The fields that open an event's payload and repeat the envelope.
    pub fn payload_prefix(self) -> &'static [&'static str] {
        match self {
            Self::Quote => &["quoteId", "quoteRevision"],
            Self::Order => &["orderId", "orderRevision"],
            Self::Workflow => &[],
        }
    }
}

struct File {
    topic: &'static str,
    kind: Kind,
    family: Family,
    name: &'static str,
    text: &'static str,
}

macro_rules! files {
    ($($topic:ident $kind:ident $family:ident $folder:literal: $($name:ident)+;)+) => {
        &[$($(File {
            topic: topics::$topic,
            kind: Kind::$kind,
            family: Family::$family,
            name: stringify!($name),
            text: include_str!(concat!("../", $folder, "/", stringify!($name), ".avsc")),
        },)+)+]
    };
}

macro_rules! types {
    ($($name:ident)+) => { &[$((stringify!($name), include_str!(concat!("../types/", stringify!($name), ".avsc"))),)+] };
}

include!("files.rs");

/// A compiled-in schema that is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("{file} is not JSON: {source}")]
    Json { file: &'static str, source: serde_json::Error },
    #[error("{file} has no namespace and name")]
    Unnamed { file: &'static str },
    #[error("{file} is not a valid Avro schema: {source}")]
    Avro { file: &'static str, source: Box<apache_avro::Error> },
    #[error("{file}: {source}")]
    Plan { file: &'static str, source: PlanError },
}

/// One schema of a record.
#[derive(Debug)]
pub struct Schema {
    pub topic: &'static str,
    pub kind: Kind,
    pub family: Family,
    /// `QuotePriced`.
    pub name: &'static str,
    /// `cpq.quote.QuotePriced`.
    pub full_name: String,
    /// `<topic>-<full name>`: TopicRecordNameStrategy.
    pub subject: String,
    /// The self-contained schema, as it is registered.
    pub json: String,
    /// Hex SHA-256 of `json`: two builds with the same fingerprint have the same schema.
    pub fingerprint: String,
    record: Arc<RecordType>,
}

impl Schema {
    /// The compiled form.
    pub fn record(&self) -> &Arc<RecordType> {
        &self.record
    }
}

/// All schemas of this build.
#[derive(Debug)]
pub struct Schemas {
    entries: Vec<Schema>,
    by_name: HashMap<(Kind, &'static str), usize>,
    by_full_name: HashMap<String, usize>,
}

impl Schemas {
    /// Parses, checks and compiles every schema. Once per process.
    pub fn load() -> Result<Arc<Self>, SchemaError> {
        let types = shared_types()?;
        let entries = FILES.iter().map(|file| load(file, &types)).collect::<Result<Vec<_>, _>>()?;
        let by_name = entries.iter().enumerate().map(|(index, s)| ((s.kind, s.name), index)).collect();
        let by_full_name = entries.iter().enumerate().map(|(index, s)| (s.full_name.clone(), index)).collect();
        Ok(Arc::new(Self { entries, by_name, by_full_name }))
    }

    /// Every schema, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = &Schema> {
        self.entries.iter()
    }
    pub fn len(&self) -> usize {
        self.entries.len()
    }
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
    /// The schema of that full name, with its place.
    pub fn by_full_name(&self, full_name: &str) -> Option<(usize, &Schema)> {
        let index = *self.by_full_name.get(full_name)?;
        Some((index, self.entries.get(index)?))
    }

    pub(crate) fn by_name(&self, kind: Kind, name: &str) -> Option<(usize, &Schema)> {
        let index = *self.by_name.get(&(kind, name))?;
        Some((index, self.entries.get(index)?))
    }
    pub(crate) fn get(&self, index: usize) -> Option<&Schema> {
        self.entries.get(index)
    }
}

fn shared_types() -> Result<HashMap<String, Value>, SchemaError> {
    TYPES
        .iter()
        .map(|(file, text)| {
            let json = parse(file, text)?;
            Ok((full_name(file, &json)?, json))
        })
        .collect()
}

fn load(file: &File, types: &HashMap<String, Value>) -> Result<Schema, SchemaError> {
    let whole = self_contained(&parse(file.name, file.text)?, types);
    let full_name = full_name(file.name, &whole)?;
    apache_avro::Schema::parse(&whole)
        .map_err(|source| SchemaError::Avro { file: file.name, source: Box::new(source) })?;
    let record = compile(&whole).map_err(|source| SchemaError::Plan { file: file.name, source })?;
    let json = whole.to_string();
    Ok(Schema {
        topic: file.topic,
        kind: file.kind,
        family: file.family,
        name: file.name,
        subject: format!("{}-{full_name}", file.topic),
        full_name,
        fingerprint: hex::encode(Sha256::digest(json.as_bytes())),
        json,
        record,
    })
}

fn parse(file: &'static str, text: &str) -> Result<Value, SchemaError> {
    serde_json::from_str(text).map_err(|source| SchemaError::Json { file, source })
}

fn full_name(file: &'static str, schema: &Value) -> Result<String, SchemaError> {
    let part = |name: &str| schema.get(name).and_then(Value::as_str).ok_or(SchemaError::Unnamed { file });
    Ok(format!("{}.{}", part("namespace")?, part("name")?))
}
