//! `cpq dlq edit`: a parked command with other bytes or headers, checked against its Avro schema before it is taken.

use super::act::{by, refused};
use super::{Doing, Which, find_one};
use crate::Failure;
use crate::operator;
use crate::output::Answer;
use crate::settings::Stack;
use clap::Args;
use cpq_avro::registry::RegistrySource;
use cpq_avro::{AggregateType, Command, DecodeError, Decoder, Encoder, Record, Schemas};
use cpq_domain::command::CommandMeta;
use cpq_runtime::dead_letters::edit::{self, Edit};
use cpq_state_stores::operations::parked::{self, DeadLetter, ParkedRecordDetail};
use cpq_state_stores::schemas;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use ulid::Ulid;

/// Why an edit is not taken.
const MISFIT: &str = "refused: it does not fit its schema";

/// What is put in the place of what.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = true)]
pub struct Change {
    /// The command as JSON: an object of `meta`, `aggregateType`, `aggregateId` and `command`, as `show -o json` gives
    /// it under `record` for those that can be read.
    #[arg(long, value_name = "FILE", conflicts_with = "value")]
    command: Option<PathBuf>,
    /// The message's value as it stands on a topic: magic byte, schema id, Avro binary.
    #[arg(long, value_name = "FILE")]
    value: Option<PathBuf>,
    /// A header to put in, or in the place of the one of that name.
    #[arg(long, value_name = "NAME=VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// Not the first record of the key but the one at this offset.
    #[arg(long, group = "place")]
    offset: Option<i64>,
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("must be NAME=VALUE".to_owned()),
    }
}

/// A command as people write it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    meta: CommandMeta,
    aggregate_type: AggregateType,
    aggregate_id: String,
    command: Value,
}

pub async fn run(stack: &Stack, which: &Which, doing: &Doing, change: &Change) -> Result<Answer, Failure> {
    let db = stack.db()?;
    let mut tx = db.begin_system().await?;
    let letter = find_one(&mut tx, which).await?;
    let before = record(
        &letter,
        change.offset,
        parked::records(&mut tx, &letter.message_key, Some(&letter.consumer), Some(&letter.topic)).await?,
    )?;
    tx.commit().await?;
    let codec = Codec::load(stack).await?;
    let value = codec.value(change, &before)?;
    let record = codec.read(&value).await?;
    let original = codec.original(before.value.as_deref()).await?;
    let edited =
        Edit { offset: before.record_offset, headers: headers(&before, &change.header), value, record, original };
    edit::judge(&letter, &before, &edited).map_err(refused)?;
    let place = format!("{}[{}] offset {}", letter.topic, before.partition, before.record_offset);
    let name = match &edited.record {
        Record::Command(_, _, _, command) => command.name(),
        Record::Event(..) | Record::State { .. } => "record",
    };
    if !doing.yes {
        let report = json!({"dryRun": true, "action": "EDIT", "deadLetter": letter, "command": name});
        return Answer::new(
            &report,
            format!("{place} would be {name} on {}\nnothing was changed; --yes does it", letter.message_key),
        );
    }
    let (action_id, actor) = (Ulid::generate().to_string(), operator::name(doing.actor.as_deref()));
    let mut tx = db.begin_system().await?;
    let done = edit::carry_out(&mut tx, &letter.dead_letter_id, &edited, &by(&action_id, &actor, doing, false)).await?;
    let letter = done.map_err(refused)?;
    tx.commit().await?;
    let report =
        json!({"dryRun": false, "action": "EDIT", "actionId": action_id, "deadLetter": letter, "command": name});
    let next = format!("`cpq dlq redrive {}` lets it be applied", letter.dead_letter_id);
    Answer::new(&report, format!("{place} is {name} on {} now; what was there is kept\n{next}", letter.message_key))
}

/// The record at that offset, else the first.
fn record(
    letter: &DeadLetter,
    offset: Option<i64>,
    records: Vec<ParkedRecordDetail>,
) -> Result<ParkedRecordDetail, Failure> {
    let mut records = records.into_iter();
    let found = match offset {
        Some(offset) => records.find(|record| record.record_offset == offset),
        None => records.next(),
    };
    found.ok_or_else(|| {
        let hint = format!("`cpq dlq show {}` lists what waits", letter.dead_letter_id);
        Failure::failed(format!("no such record of {} waits here; {hint}", letter.message_key))
    })
}

/// The record's headers with these in their places.
fn headers(before: &ParkedRecordDetail, changes: &[(String, String)]) -> Vec<(String, String)> {
    let mut headers = before.headers.0.clone();
    for (name, value) in changes {
        match headers.iter_mut().find(|(n, _)| n == name) {
            Some(header) => header.1.clone_from(value),
            None => headers.push((name.clone(), value.clone())),
        }
    }
    headers
}

/// Reads and writes messages by the schemas of this build.
pub struct Codec {
    encoder: Encoder,
    decoder: Decoder,
}

impl Codec {
    pub async fn load(stack: &Stack) -> Result<Self, Failure> {
        let schemas = Schemas::load().map_err(Failure::because("the schemas of this build"))?;
        let ids = schemas::load_schema_ids(&stack.db()?, &schemas).await?;
        let source =
            RegistrySource::new(&stack.schema_registry_url()?).map_err(Failure::because("the schema registry"))?;
        let encoder = Encoder::new(schemas.clone(), &ids).map_err(|error| Failure::failed(error.to_string()))?;
        Ok(Self { encoder, decoder: Decoder::new(schemas, &ids, Arc::new(source)) })
    }

    async fn read(&self, value: &[u8]) -> Result<Record, Failure> {
        self.decoder.decode(value).await.map_err(|error| match error {
            DecodeError::Poison { cause } => Failure::failed(format!("{MISFIT}: {cause}")),
            DecodeError::RegistryUnavailable { .. } => Failure::failed(error.to_string()),
        })
    }

    /// What stood there before, if it can be read.
    async fn original(&self, value: Option<&[u8]>) -> Result<Option<Record>, Failure> {
        let Some(value) = value else { return Ok(None) };
        match self.decoder.decode(value).await {
            Ok(record) => Ok(Some(record)),
            Err(DecodeError::Poison { .. }) => Ok(None),
            Err(error) => Err(Failure::failed(error.to_string())),
        }
    }

    /// A readable command in the form in which `edit` takes it.
    pub async fn written(&self, value: &[u8]) -> Option<Value> {
        let Record::Command(meta, aggregate_type, aggregate_id, command) = self.decoder.decode(value).await.ok()?
        else {
            return None;
        };
        let command = match command {
            Command::Quote(command) => serde_json::to_value(command),
            Command::Order(command) => serde_json::to_value(command),
            Command::Workflow(command) => serde_json::to_value(command),
        };
        let aggregate_type = aggregate_type.as_str();
        Some(
            json!({"meta": meta, "aggregateType": aggregate_type, "aggregateId": aggregate_id, "command": command.ok()?}),
        )
    }

    fn value(&self, change: &Change, before: &ParkedRecordDetail) -> Result<Vec<u8>, Failure> {
        match (&change.command, &change.value) {
            (Some(file), _) => self.encoded(file),
            (None, Some(file)) => std::fs::read(file).map_err(Failure::because(file.display())),
            (None, None) => {
                before.value.clone().ok_or_else(|| Failure::failed("the record has no value: give one with --command"))
            }
        }
    }

    fn encoded(&self, file: &Path) -> Result<Vec<u8>, Failure> {
        let text = std::fs::read_to_string(file).map_err(Failure::because(file.display()))?;
        let written: Written = serde_json::from_str(&text).map_err(Failure::because(file.display()))?;
        let Written { meta, aggregate_type, aggregate_id, command } = written;
        let command = match aggregate_type {
            AggregateType::Quote => serde_json::from_value(command).map(Command::Quote),
            AggregateType::Order => serde_json::from_value(command).map(Command::Order),
            _ => serde_json::from_value(command).map(Command::Workflow),
        };
        let command = command.map_err(Failure::because(MISFIT))?;
        self.encoder.command(&meta, aggregate_type, &aggregate_id, &command).map_err(Failure::because(MISFIT))
    }
}
