//! Where each consumer stands in each partition. The position is moved in the transaction of the effects, and
//! only by the owner of the newest epoch: that is what makes effects happen once.

use crate::{StoreError, Tx};
use sqlx::Row;
use std::collections::HashSet;

/// A partition and where a consumer that has never been there begins.
#[derive(Clone, Debug)]
pub struct Assigned {
    pub topic: String,
    pub partition: i32,
    pub first_offset: i64,
}

/// A partition as its new owner holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    pub topic: String,
    pub partition: i32,
    pub next_offset: i64,
    pub epoch: i64,
}

/// Who moves a position, and under which epoch.
#[derive(Clone, Debug)]
pub struct Fence {
    pub consumer: String,
    pub topic: String,
    pub partition: i32,
    pub epoch: i64,
}

/// Takes the partitions over under new epochs. Waits for a former owner's open transaction, so that the
/// returned offsets are final.
pub async fn take_over(
    tx: &mut Tx,
    consumer: &str,
    owner: &str,
    partitions: &[Assigned],
) -> Result<Vec<Position>, StoreError> {
    let rows = sqlx::query(
        "insert into cpq.consumer_position as p (consumer, topic, partition, next_offset, epoch, owner) \
         select $1, a.topic, a.partition, a.first_offset, 1, $2 \
         from unnest($3::text[], $4::int[], $5::bigint[]) as a(topic, partition, first_offset) \
         order by a.topic, a.partition \
         on conflict (consumer, topic, partition) do update set epoch = p.epoch + 1, owner = excluded.owner, \
           updated_at = clock_timestamp() \
         returning p.topic, p.partition, p.next_offset, p.epoch",
    )
    .bind(consumer)
    .bind(owner)
    .bind(partitions.iter().map(|a| a.topic.as_str()).collect::<Vec<_>>())
    .bind(partitions.iter().map(|a| a.partition).collect::<Vec<_>>())
    .bind(partitions.iter().map(|a| a.first_offset).collect::<Vec<_>>())
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Position {
                topic: row.try_get(0)?,
                partition: row.try_get(1)?,
                next_offset: row.try_get(2)?,
                epoch: row.try_get(3)?,
            })
        })
        .collect()
}

/// How a position stood when a batch wanted to move it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advance {
    /// It is moved, and its row is held until the transaction ends. These of the given keys are parked.
    Moved { parked: HashSet<String> },
    /// The batch was applied before: a commit whose answer got lost did happen.
    AlreadyApplied,
}

/// Moves the position over a batch that begins at `first_offset` to `next_offset`, and tells which of these
/// keys are parked. [`StoreError::Fenced`] where the epoch is no longer the caller's, or where the position stands
/// before `known`, which the caller has seen committed: the server has lost commits, and what they did is to be done
/// again.
pub async fn advance(
    tx: &mut Tx,
    fence: &Fence,
    known: i64,
    first_offset: i64,
    next_offset: i64,
    keys: &[&str],
) -> Result<Advance, StoreError> {
    let row = sqlx::query(
        "with moved as (update cpq.consumer_position set next_offset = $6, updated_at = clock_timestamp() \
           where consumer = $1 and topic = $2 and partition = $3 and epoch = $4 and next_offset between $8 and $5 returning 1) \
         select exists (select from moved), array(select message_key from cpq.parked_key \
           where consumer = $1 and topic = $2 and message_key = any($7))",
    )
    .bind(&fence.consumer)
    .bind(&fence.topic)
    .bind(fence.partition)
    .bind(fence.epoch)
    .bind(first_offset)
    .bind(next_offset)
    .bind(keys)
    .bind(known)
    .fetch_one(tx.connection())
    .await?;
    if row.try_get::<bool, _>(0)? {
        return Ok(Advance::Moved { parked: row.try_get::<Vec<String>, _>(1)?.into_iter().collect() });
    }
    let Fence { consumer, topic, partition, epoch } = fence;
    let row = sqlx::query(
        "select next_offset from cpq.consumer_position \
         where consumer = $1 and topic = $2 and partition = $3 and epoch = $4",
    )
    .bind(consumer)
    .bind(topic)
    .bind(partition)
    .bind(epoch)
    .fetch_optional(tx.connection())
    .await?;
    let stored = row.map(|row| row.try_get::<i64, _>(0)).transpose()?;
    match stored {
        Some(stored) if stored >= next_offset => Ok(Advance::AlreadyApplied),
        Some(stored) if stored < known => Err(StoreError::Fenced(format!(
            "{topic}[{partition}] of {consumer}: its position has gone back from {known} to {stored}; the server has lost commits"
        ))),
        Some(stored) => Err(StoreError::Corrupt(format!(
            "the position of {consumer} in {topic}[{partition}] is {stored}, inside a batch from {first_offset} to {next_offset}"
        ))),
        None => Err(StoreError::Fenced(format!("{topic}[{partition}] of {consumer} (epoch {epoch} is over)"))),
    }
}
