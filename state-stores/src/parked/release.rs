//! How a consumer releases a parked key: which keys are due in a partition, their records in order, and what became
//! of them. Every change holds the consumer's position under its epoch, so that a former owner changes nothing and
//! no batch of the partition runs beside it.

use crate::positions::Fence;
use crate::{StoreError, Tx};
use sqlx::{Row as _, types::Json};

/// A key that its consumer is to release, with its first records.
#[derive(Clone, Debug)]
pub struct Due {
    pub dead_letter_id: String,
    pub message_key: String,
    pub records: Vec<Waiting>,
}

/// A record that waits behind its key.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub offset: i64,
    pub tenant_id: Option<String>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, String)>,
}

/// Topics and partitions in which keys of this consumer are to be released.
pub async fn due_partitions(tx: &mut Tx, consumer: &str) -> Result<Vec<(String, i32)>, StoreError> {
    let rows = sqlx::query(
        "select distinct k.topic, first.partition from cpq.parked_key k, lateral (select partition from cpq.parked_record r \
           where (r.consumer, r.topic, r.message_key) = (k.consumer, k.topic, k.message_key) order by r.record_offset limit 1) first \
         where k.consumer = $1 and k.status = 'REDRIVING'",
    )
    .bind(consumer)
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// The key of the fence's partition that was let go first, with its oldest records: at most so many, and so many
/// bytes where it is more than one.
pub async fn due(tx: &mut Tx, fence: &Fence, max_records: i64, max_bytes: i64) -> Result<Option<Due>, StoreError> {
    let key = sqlx::query(
        "select k.dead_letter_id, k.message_key from cpq.parked_key k \
         where k.consumer = $1 and k.topic = $2 and k.status = 'REDRIVING' \
           and $3 = (select r.partition from cpq.parked_record r \
             where (r.consumer, r.topic, r.message_key) = (k.consumer, k.topic, k.message_key) order by r.record_offset limit 1) \
         order by k.redrive_at, k.message_key limit 1",
    )
    .bind(&fence.consumer)
    .bind(&fence.topic)
    .bind(fence.partition)
    .fetch_optional(tx.connection())
    .await?;
    let Some(key) = key else { return Ok(None) };
    let (dead_letter_id, message_key): (String, String) = (key.try_get(0)?, key.try_get(1)?);
    let records = waiting(tx, fence, &message_key, max_records, max_bytes).await?;
    Ok(Some(Due { dead_letter_id, message_key, records }))
}

async fn waiting(
    tx: &mut Tx,
    fence: &Fence,
    message_key: &str,
    max_records: i64,
    max_bytes: i64,
) -> Result<Vec<Waiting>, StoreError> {
    let rows = sqlx::query(
        "select record_offset, tenant_id, value, headers from ( \
           select *, sum(coalesce(octet_length(value), 0)) over (order by record_offset) - coalesce(octet_length(value), 0) as before \
           from (select * from cpq.parked_record where consumer = $1 and topic = $2 and message_key = $3 and partition = $4 \
             order by record_offset limit $5) first) sized \
         where before < $6 order by record_offset",
    )
    .bind(&fence.consumer)
    .bind(&fence.topic)
    .bind(message_key)
    .bind(fence.partition)
    .bind(max_records)
    .bind(max_bytes)
    .fetch_all(tx.connection())
    .await?;
    rows.iter()
        .map(|row| {
            let Json(headers) = row.try_get(3)?;
            Ok(Waiting { offset: row.try_get(0)?, tenant_id: row.try_get(1)?, value: row.try_get(2)?, headers })
        })
        .collect()
}

/// Holds the consumer's position and then the key until the transaction ends. Says whether the key is still to be
/// released; [`StoreError::Fenced`] where the epoch is no longer the caller's.
pub async fn hold(tx: &mut Tx, fence: &Fence, dead_letter_id: &str) -> Result<bool, StoreError> {
    let owned = sqlx::query(
        "select from cpq.consumer_position where consumer = $1 and topic = $2 and partition = $3 and epoch = $4 for update",
    )
    .bind(&fence.consumer)
    .bind(&fence.topic)
    .bind(fence.partition)
    .bind(fence.epoch)
    .execute(tx.connection())
    .await?;
    if owned.rows_affected() == 0 {
        let Fence { consumer, topic, partition, epoch, .. } = fence;
        return Err(StoreError::Fenced(format!("{topic}[{partition}] of {consumer} (epoch {epoch} is over)")));
    }
    let due = sqlx::query("select from cpq.parked_key where dead_letter_id = $1 and status = 'REDRIVING' for update")
        .bind(dead_letter_id)
        .execute(tx.connection())
        .await?;
    Ok(due.rows_affected() > 0)
}

/// Takes records out that were applied in this transaction. With the last one the key is free, which is returned.
pub async fn released(tx: &mut Tx, fence: &Fence, due: &Due, offsets: &[i64]) -> Result<bool, StoreError> {
    sqlx::query(
        "delete from cpq.parked_record where consumer = $1 and topic = $2 and partition = $3 and record_offset = any($4)",
    )
    .bind(&fence.consumer)
    .bind(&fence.topic)
    .bind(fence.partition)
    .bind(offsets)
    .execute(tx.connection())
    .await?;
    let free = sqlx::query(
        "delete from cpq.parked_key k where k.dead_letter_id = $1 and not exists (select from cpq.parked_record r \
           where (r.consumer, r.topic, r.message_key) = (k.consumer, k.topic, k.message_key))",
    )
    .bind(&due.dead_letter_id)
    .execute(tx.connection())
    .await?
    .rows_affected()
        > 0;
    sqlx::query(
        "update cpq.dead_letter_action set applied = applied + $2, outcome = case when $3 then 'RELEASED' end, \
           finished_at = case when $3 then clock_timestamp() end \
         where dead_letter_id = $1 and outcome is null",
    )
    .bind(&due.dead_letter_id)
    .bind(offsets.len() as i64)
    .bind(free)
    .execute(tx.connection())
    .await?;
    Ok(free)
}

/// The record at this offset, the first of its key, has failed again: the key is parked with the new cause.
pub async fn failed(tx: &mut Tx, fence: &Fence, due: &Due, offset: i64, cause: &str) -> Result<(), StoreError> {
    sqlx::query("update cpq.parked_key set status = 'PARKED', redrive_at = null, cause = $2 where dead_letter_id = $1")
        .bind(&due.dead_letter_id)
        .bind(cause)
        .execute(tx.connection())
        .await?;
    sqlx::query(
        "update cpq.parked_record set attempts = attempts + 1, cause = $5, \
           same_cause = case when cause = $5 then same_cause + 1 else 0 end \
         where consumer = $1 and topic = $2 and partition = $3 and record_offset = $4",
    )
    .bind(&fence.consumer)
    .bind(&fence.topic)
    .bind(fence.partition)
    .bind(offset)
    .bind(cause)
    .execute(tx.connection())
    .await?;
    sqlx::query(
        "update cpq.dead_letter_action set outcome = 'PARKED_AGAIN', outcome_cause = $2, finished_at = clock_timestamp() \
         where dead_letter_id = $1 and outcome is null",
    )
    .bind(&due.dead_letter_id)
    .bind(cause)
    .execute(tx.connection())
    .await?;
    Ok(())
}
