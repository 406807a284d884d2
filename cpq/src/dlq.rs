//! `cpq dlq list|show`: keys that a consumer, or the relay, cannot go on with, and what waits behind them.

use crate::output::{Answer, Paint, Style};
use crate::settings::Stack;
use crate::table::{Cell, Table};
use crate::{Failure, span};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use cpq_domain::moment::Moment;
use cpq_state_stores::operations::parked::{self, ParkedRecordDetail};
use serde_json::{Value, json};

/// The parts of a value that are shown in text; JSON has all of it.
const SHOWN_BYTES: usize = 48;

/// Look at parked keys: records that could not be applied, and those that wait behind them in order.
#[derive(Args, Clone, Debug)]
pub struct DlqArgs {
    #[command(subcommand)]
    command: DlqCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum DlqCommand {
    /// Lists the parked keys, oldest first; exits 1 if there are any.
    List {
        /// Only this consumer's (`relay` for the outbox relay's).
        #[arg(long)]
        consumer: Option<String>,
        /// Only this tenant's.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Shows the records of one key with their cause, headers and value.
    Show {
        /// The message key: the aggregate's id.
        key: String,
        /// Only those that this consumer parked.
        #[arg(long)]
        consumer: Option<String>,
        /// Only those of this topic.
        #[arg(long)]
        topic: Option<String>,
    },
}

pub async fn run(args: &DlqArgs, stack: &Stack, paint: Paint) -> Result<Answer, Failure> {
    match &args.command {
        DlqCommand::List { consumer, tenant } => list(stack, consumer.as_deref(), tenant.as_deref(), paint).await,
        DlqCommand::Show { key, consumer, topic } => {
            show(stack, key, consumer.as_deref(), topic.as_deref(), paint).await
        }
    }
}

async fn list(stack: &Stack, consumer: Option<&str>, tenant: Option<&str>, paint: Paint) -> Result<Answer, Failure> {
    let mut tx = stack.db()?.begin_system().await?;
    let keys = parked::keys(&mut tx, consumer, tenant).await?;
    tx.commit().await?;
    let mut table = Table::new(&["AGE", "CONSUMER", "TOPIC", "KEY", "TENANT", "RECORDS", "CAUSE"]);
    for key in &keys {
        table.row(vec![
            Cell::styled(Style::Yellow, span::shown(key.age_seconds)),
            key.consumer.as_str().into(),
            key.topic.as_str().into(),
            key.message_key.as_str().into(),
            key.tenant_id.as_deref().unwrap_or("?").into(),
            Cell::number(key.records),
            Cell::styled(Style::Red, key.cause.as_str()),
        ]);
    }
    let text = if keys.is_empty() { "nothing is parked".to_owned() } else { table.render(paint) };
    Ok(Answer::new(&keys, text)?.finding_if(!keys.is_empty()))
}

async fn show(
    stack: &Stack,
    key: &str,
    consumer: Option<&str>,
    topic: Option<&str>,
    paint: Paint,
) -> Result<Answer, Failure> {
    let mut tx = stack.db()?.begin_system().await?;
    let records = parked::records(&mut tx, key, consumer, topic).await?;
    tx.commit().await?;
    if records.is_empty() {
        let hint = "`cpq dlq list` names the parked keys; those of the relay have their rows in the outbox";
        return Err(Failure::failed(format!("no record of {key} is parked; {hint}")));
    }
    let blocks: Vec<String> = records.iter().map(|record| block(record, paint)).collect();
    let report: Vec<Value> = records.iter().map(entry).collect();
    Answer::new(&report, blocks.join("\n\n"))
}

fn entry(record: &ParkedRecordDetail) -> Value {
    let headers: serde_json::Map<String, Value> =
        record.headers.0.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    json!({
        "consumer": record.consumer,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.record_offset,
        "messageKey": record.message_key,
        "tenantId": record.tenant_id,
        "cause": record.cause,
        "parkedAt": Moment::new(record.parked_at),
        "schemaId": record.value.as_deref().and_then(schema_id),
        "headers": headers,
        "valueBase64": record.value.as_deref().map(|value| STANDARD.encode(value)),
    })
}

fn block(record: &ParkedRecordDetail, paint: Paint) -> String {
    let ParkedRecordDetail { consumer, topic, partition, record_offset, message_key, .. } = record;
    let title = format!("{topic}[{partition}] offset {record_offset}, key {message_key}, parked by {consumer}");
    let mut lines = vec![paint.apply(Style::Bold, &title)];
    lines.push(format!("  cause    {}", paint.apply(Style::Red, &record.cause)));
    lines.push(format!("  parked   {}", Moment::new(record.parked_at)));
    for (name, value) in &record.headers.0 {
        lines.push(format!("  header   {name}: {}", value.escape_debug()));
    }
    lines.push(format!("  value    {}", shown_value(record.value.as_deref())));
    lines.join("\n")
}

fn shown_value(value: Option<&[u8]>) -> String {
    let Some(value) = value else { return "none (a tombstone)".to_owned() };
    let start: String = value.iter().take(SHOWN_BYTES).map(|byte| format!("{byte:02x}")).collect();
    let rest = if value.len() > SHOWN_BYTES { "…" } else { "" };
    let schema = schema_id(value).map_or("no schema id".to_owned(), |id| format!("schema id {id}"));
    format!("{} bytes, {schema}: {start}{rest}", value.len())
}

/// The id in the Confluent frame, if the value has one.
fn schema_id(value: &[u8]) -> Option<i32> {
    match value.split_first_chunk::<5>() {
        Some(([0, id @ ..], _)) => Some(i32::from_be_bytes(*id)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(None, "none (a tombstone)")]
    #[case(Some(&[0, 0, 0, 1, 4, 9][..]), "6 bytes, schema id 260: 000000010409")]
    #[case(Some(&b"hello"[..]), "5 bytes, no schema id: 68656c6c6f")]
    fn a_value_shows_its_frame(#[case] value: Option<&[u8]>, #[case] expected: &str) {
        assert_eq!(shown_value(value), expected);
    }
}
