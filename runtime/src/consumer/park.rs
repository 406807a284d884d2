//! Parking: a record that can never be applied is put aside with its key, and every later record of that key
//! behind it, so that the key is never overtaken and all others flow. Copies go to the consumer's dead-letter
//! topic; the parked records themselves are rows.

use super::partition::RawRecord;
use super::step::{Outcome, Step, advance_one};
use super::store::{Store, StoreTx};
use crate::processor::AfterCommit;
use cpq_domain::ids::TenantId;
use cpq_state_stores::StoreError;
use cpq_state_stores::outbox::OutboxRow;
use cpq_state_stores::parked::ParkedRecord;
use cpq_state_stores::positions::Advance;
use tracing::error;

/// Cause of the records that were well but came behind a parked one.
pub const BEHIND: &str = "behind a parked record of the same key";
/// Longer causes are cut off.
const MAX_CAUSE: usize = 2000;
/// Tenant of copies of records that name none.
const NO_TENANT: &str = "unknown";
/// `aggregate_type` of copies: what they are about is inside, perhaps unreadable.
const DEAD_LETTER: &str = "DEAD_LETTER";

/// The dead-letter topic of a consumer.
pub fn dead_letter_topic(topic: &str, consumer: &str) -> String {
    format!("{topic}.{consumer}.dlq")
}

/// Parks the record's key with the record, and moves on behind it, in one transaction.
pub async fn park<S: Store>(step: &Step<S>, raw: &RawRecord, tenant: Option<&TenantId>, cause: &str) -> Outcome {
    let cause = storable(cause);
    match transaction(step, raw, tenant.map(TenantId::as_str).or_else(|| raw.header("tenant_id")), &cause).await {
        Ok(parked_now) => {
            step.partition.set_applied(raw.offset + 1);
            if parked_now {
                let consumer = step.consumer();
                metrics::counter!("cpq_consumer_parked_total", "consumer" => consumer).increment(1);
                error!(
                    consumer,
                    topic = step.partition.topic,
                    partition = step.partition.partition,
                    offset = raw.offset,
                    business_key = raw.key_text(),
                    tenant_id = raw.header("tenant_id"),
                    correlation_id = raw.header("correlation_id"),
                    cause,
                    "record parked with its key"
                );
                step.host.hint(AfterCommit { outbox: true, ..AfterCommit::default() });
            }
            Outcome::Done
        }
        Err(error) => error.into(),
    }
}

/// Returns whether it was parked now, rather than before.
async fn transaction<S: Store>(
    step: &Step<S>,
    raw: &RawRecord,
    tenant: Option<&str>,
    cause: &str,
) -> Result<bool, StoreError> {
    // The tenant may be unreadable, so that no tenant's policy would let the copy in.
    let mut tx = step.host.db.begin_system().await?;
    if advance_one(&mut tx, step.to(raw.offset, raw.offset + 1)).await? == Advance::AlreadyApplied {
        return Ok(false);
    }
    tx.park_key(step.consumer(), &step.partition.topic, &raw.key_text(), tenant, cause).await?;
    append(step, &mut tx, std::iter::once((raw, tenant)), cause).await?;
    tx.commit().await?;
    Ok(true)
}

/// Appends records behind their parked keys, with their copies for the dead-letter topic.
pub async fn append<'a, S: Store>(
    step: &Step<S>,
    tx: &mut S::Tx,
    records: impl Iterator<Item = (&'a RawRecord, Option<&'a str>)>,
    cause: &str,
) -> Result<(), StoreError> {
    let (rows, copies): (Vec<_>, Vec<_>) =
        records.map(|(raw, tenant)| (row(step, raw, tenant, cause), copy(step, raw, tenant, cause))).unzip();
    tx.append_parked(&rows).await?;
    tx.insert_outbox(&copies).await
}

fn row<S: Store>(step: &Step<S>, raw: &RawRecord, tenant: Option<&str>, cause: &str) -> ParkedRecord {
    ParkedRecord {
        consumer: step.consumer().to_owned(),
        topic: step.partition.topic.clone(),
        partition: step.partition.partition,
        offset: raw.offset,
        message_key: raw.key_text(),
        tenant_id: tenant.map(str::to_owned),
        value: raw.value.clone(),
        headers: raw.headers.clone(),
        cause: cause.to_owned(),
    }
}

fn copy<S: Store>(step: &Step<S>, raw: &RawRecord, tenant: Option<&str>, cause: &str) -> OutboxRow {
    let (topic, partition, consumer) = (&step.partition.topic, step.partition.partition, step.consumer());
    let mut headers = raw.headers.clone();
    let came_from = [
        ("dlq_cause", cause.to_owned()),
        ("dlq_consumer", consumer.to_owned()),
        ("dlq_topic", topic.clone()),
        ("dlq_partition", partition.to_string()),
        ("dlq_offset", raw.offset.to_string()),
    ];
    headers.extend(came_from.map(|(name, value)| (name.to_owned(), value)));
    OutboxRow::new(
        &TenantId::from(tenant.unwrap_or(NO_TENANT)),
        &dead_letter_topic(topic, consumer),
        &raw.key_text(),
        &format!("{consumer}:{topic}:{partition}:{}", raw.offset),
        DEAD_LETTER,
        None,
        headers,
        raw.value.clone().unwrap_or_default(),
    )
}

/// Text that the database takes, of bounded length.
pub fn storable(text: &str) -> String {
    text.chars().filter(|c| *c != '\0').take(MAX_CAUSE).collect()
}
