//! `cpq dlq list|show`: the parked keys, and what waits behind one of them.

use super::edit::Codec;
use super::{Which, find, none};
use crate::output::{Answer, Paint, Style};
use crate::settings::Stack;
use crate::table::{Cell, Table};
use crate::{Failure, span};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cpq_domain::moment::Moment;
use cpq_state_stores::operations::parked::{self, DeadLetter, DeadLetterQuery, ParkedRecordDetail, PastAction};
use serde_json::{Value, json};

/// The parts of a value that are shown in text; JSON has all of it.
const SHOWN_BYTES: usize = 48;

pub async fn list(
    stack: &Stack,
    consumer: Option<&str>,
    tenant: Option<&str>,
    paint: Paint,
) -> Result<Answer, Failure> {
    let mut tx = stack.db()?.begin_system().await?;
    let query = DeadLetterQuery { consumer, tenant, ..DeadLetterQuery::default() };
    let keys = parked::dead_letters(&mut tx, &query).await?;
    tx.commit().await?;
    let mut table =
        Table::new(&["AGE", "STATUS", "CONSUMER", "TOPIC", "KEY", "TENANT", "RECORDS", "REDRIVES", "CAUSE", "ID"]);
    for key in &keys {
        table.row(vec![
            Cell::styled(Style::Yellow, span::shown(key.age_seconds)),
            Cell::styled(status_style(key), key.status.as_str()),
            key.consumer.as_str().into(),
            key.topic.as_str().into(),
            key.message_key.as_str().into(),
            key.tenant_id.as_deref().unwrap_or("?").into(),
            Cell::number(key.records),
            Cell::number(key.attempts),
            Cell::styled(Style::Red, key.cause.as_str()),
            Cell::styled(Style::Dim, key.dead_letter_id.as_str()),
        ]);
    }
    let text = if keys.is_empty() { "nothing is parked".to_owned() } else { table.render(paint) };
    Ok(Answer::new(&keys, text)?.finding_if(!keys.is_empty()))
}

fn status_style(letter: &DeadLetter) -> Style {
    if letter.status == "REDRIVING" { Style::Yellow } else { Style::Red }
}

pub async fn show(stack: &Stack, which: &Which, paint: Paint) -> Result<Answer, Failure> {
    let mut tx = stack.db()?.begin_system().await?;
    let letters = find(&mut tx, which).await?;
    let (mut records, mut actions) = (Vec::new(), Vec::new());
    for letter in &letters {
        let DeadLetter { message_key, consumer, topic, .. } = letter;
        records.extend(parked::records(&mut tx, message_key, Some(consumer), Some(topic)).await?);
        actions.extend(parked::actions(&mut tx, &letter.dead_letter_id).await?);
    }
    if letters.is_empty() {
        // One that was released is known by what was done with it.
        actions = parked::actions(&mut tx, &which.key).await?;
    }
    tx.commit().await?;
    if letters.is_empty() && actions.is_empty() {
        return Err(none(which));
    }
    // What cannot be asked for now is shown as bytes alone.
    let codec = Codec::load(stack).await.ok();
    let mut entries = Vec::new();
    for record in &records {
        entries.push(entry(record, codec.as_ref()).await);
    }
    let mut blocks: Vec<String> = letters.iter().map(|letter| heading(letter, paint)).collect();
    if letters.is_empty() {
        blocks.push(format!("{} is released", which.key));
    }
    blocks.extend(records.iter().map(|record| block(record, paint)));
    blocks.extend(actions.iter().map(past));
    let past: Vec<Value> = actions.iter().map(past_entry).collect();
    Answer::new(&json!({"deadLetters": letters, "records": entries, "actions": past}), blocks.join("\n\n"))
}

fn heading(letter: &DeadLetter, paint: Paint) -> String {
    let DeadLetter { consumer, topic, message_key, status, dead_letter_id, records, attempts, .. } = letter;
    let title = format!("{message_key} of {topic}, parked by {consumer}: {status}");
    let cause = paint.apply(Style::Red, &letter.cause);
    format!(
        "{}\n  id       {dead_letter_id}\n  cause    {cause}\n  waiting  {records} records; the first was redriven {attempts} times",
        paint.apply(Style::Bold, &title)
    )
}

fn past(action: &PastAction) -> String {
    let PastAction { action: what, actor_id, reason, applied, .. } = action;
    let when = Moment::new(action.requested_at);
    let outcome = action.outcome.as_deref().unwrap_or("under way");
    let cause = action.outcome_cause.as_ref().map(|cause| format!(" ({cause})")).unwrap_or_default();
    let place = action.record_offset.map(|offset| format!(" offset {offset}")).unwrap_or_default();
    format!("{when} {what}{place} by {actor_id}: {reason}\n  {outcome}{cause}, {applied} records applied")
}

fn past_entry(action: &PastAction) -> Value {
    json!({
        "actionId": action.action_id,
        "action": action.action,
        "partition": action.partition,
        "offset": action.record_offset,
        "actorId": action.actor_id,
        "reason": action.reason,
        "forced": action.forced,
        "cause": action.cause,
        "behind": action.behind,
        "requestedAt": Moment::new(action.requested_at),
        "applied": action.applied,
        "outcome": action.outcome,
        "outcomeCause": action.outcome_cause,
        "finishedAt": action.finished_at.map(Moment::new),
    })
}

async fn entry(record: &ParkedRecordDetail, codec: Option<&Codec>) -> Value {
    let readable = match (codec, record.value.as_deref()) {
        (Some(codec), Some(value)) => codec.written(value).await,
        _ => None,
    };
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
        "attempts": record.attempts,
        "record": readable,
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
