//! What the topics hold of a story: every record with its correlation id in the headers.

use super::step::{Place, Step, Tone};
use crate::Failure;
use crate::kafka::Reader;
use crate::output::Progress;
use crate::settings::Stack;
use cpq_avro::topics::{self, CleanupPolicy};
use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Headers};
use serde_json::json;
use std::collections::HashMap;
use time::OffsetDateTime;

/// Records between two lines of progress.
const PROGRESS_EVERY: u64 = 20_000;

/// Reads the topics from `since` on.
pub async fn read(
    stack: &Stack,
    correlation: &str,
    tenant: Option<&str>,
    since: Option<OffsetDateTime>,
) -> Result<Vec<Step>, Failure> {
    let (brokers, correlation) = (stack.kafka_brokers()?, correlation.to_owned());
    let tenant = tenant.map(str::to_owned);
    let since = since.map(|at| (at.unix_timestamp_nanos() / 1_000_000) as i64);
    tokio::task::spawn_blocking(move || scan(&brokers, &correlation, tenant.as_deref(), since))
        .await
        .map_err(Failure::because("the topics' reader was cut off"))?
}

fn scan(brokers: &str, correlation: &str, tenant: Option<&str>, since: Option<i64>) -> Result<Vec<Step>, Failure> {
    let reader = Reader::connect(brokers)?;
    let there = reader.topics()?;
    let known = topics::load().map_err(Failure::because("this build is broken"))?;
    // State records carry no correlation id: they are tables, not history.
    let history = known.iter().filter(|topic| topic.cleanup_policy == CleanupPolicy::Delete);
    let asked: Vec<(String, i32)> =
        history.filter_map(|topic| Some((topic.name.clone(), *there.get(&topic.name)?))).collect();
    let stretches = reader.stretches(&asked, since)?;
    let all: i64 = stretches.iter().map(|stretch| (stretch.end - stretch.start).max(0)).sum();
    let progress = Progress::start();
    let (mut steps, mut read) = (Vec::new(), 0_u64);
    reader.read(&stretches, |message| {
        read += 1;
        if read.is_multiple_of(PROGRESS_EVERY) {
            progress.say(&format!("reading topics: {read} of {all} records"));
        }
        let headers = headers(message);
        let ours = headers.get("correlation_id").is_some_and(|id| id == correlation);
        if ours && tenant.is_none_or(|tenant| headers.get("tenant_id").is_some_and(|id| id == tenant)) {
            steps.push(step(message, &headers));
        }
        Ok(())
    })?;
    Ok(steps)
}

fn headers(message: &BorrowedMessage<'_>) -> HashMap<String, String> {
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    headers
        .filter_map(|header| Some((header.key.to_owned(), std::str::from_utf8(header.value?).ok()?.to_owned())))
        .collect()
}

fn step(message: &BorrowedMessage<'_>, headers: &HashMap<String, String>) -> Step {
    let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
    let millis = message.timestamp().to_millis().unwrap_or_default();
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000);
    let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
    let key = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
    let dead = topic.ends_with(".dlq");
    Step {
        at: at.unwrap_or(OffsetDateTime::UNIX_EPOCH),
        place: Place::Kafka,
        tenant_id: header("tenant_id"),
        subject: key.clone(),
        what: record_name(&header("ce_type")).to_owned(),
        result: if dead { "dead letter" } else { "published" }.to_owned(),
        tone: if dead { Tone::Bad } else { Tone::Good },
        evidence: format!("{topic}[{partition}]@{offset}"),
        detail: json!({
            "topic": topic, "partition": partition, "offset": offset, "key": key, "messageId": header("ce_id"),
            "type": header("ce_type"), "bytes": message.payload_len(),
        }),
    }
}

/// `QuotePriced` of `cpq.quote.QuotePriced.v1`.
fn record_name(ce_type: &str) -> &str {
    let unversioned = ce_type.rsplit_once(".v").map_or(ce_type, |(name, _)| name);
    unversioned.rsplit_once('.').map_or(unversioned, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("cpq.quote.QuotePriced.v1", "QuotePriced")]
    #[case("QuotePriced", "QuotePriced")]
    #[case("", "")]
    fn a_record_is_named_without_namespace_and_version(#[case] ce_type: &str, #[case] expected: &str) {
        assert_eq!(record_name(ce_type), expected);
    }
}
