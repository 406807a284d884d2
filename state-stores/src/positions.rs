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

/// A batch of one partition that wants to move its position.
#[derive(Clone, Debug)]
pub struct Move<'a> {
    pub fence: &'a Fence,
    /// The position that the caller has seen committed.
    pub known: i64,
    pub first_offset: i64,
    pub next_offset: i64,
    /// Whose records are in it.
    pub keys: Vec<&'a str>,
}

/// How a position stood when a batch wanted to move it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advance {
    /// It is moved, and its row is held until the transaction ends. These of the given keys are parked.
    Moved { parked: HashSet<String> },
    /// The batch was applied before: a commit whose answer got lost did happen.
    AlreadyApplied,
}

/// Moves the positions of one consumer over these batches, in one statement, and tells which of their keys are
/// parked. [`StoreError::Fenced`] where an epoch is no longer the caller's, or where a position stands before the
/// one known: the server has lost commits, and what they did is to be done again.
pub async fn advance(tx: &mut Tx, moves: &[Move<'_>]) -> Result<Vec<Advance>, StoreError> {
    let rows = sqlx::query(
        "with asked as materialized (select * from unnest( \
           $1::text[], $2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[]) \
           with ordinality as a(consumer, topic, partition, epoch, known, first_offset, next_offset, n)), \
         moved as (update cpq.consumer_position p set next_offset = a.next_offset, updated_at = clock_timestamp() \
           from asked a where p.consumer = a.consumer and p.topic = a.topic and p.partition = a.partition \
             and p.epoch = a.epoch and p.next_offset between a.known and a.first_offset returning a.n) \
         select exists (select from moved m where m.n = a.n), array(select message_key from cpq.parked_key k \
           where k.consumer = a.consumer and k.topic = a.topic and k.message_key = any($8)) from asked a order by a.n",
    )
    .bind(moves.iter().map(|m| m.fence.consumer.as_str()).collect::<Vec<_>>())
    .bind(moves.iter().map(|m| m.fence.topic.as_str()).collect::<Vec<_>>())
    .bind(moves.iter().map(|m| m.fence.partition).collect::<Vec<_>>())
    .bind(moves.iter().map(|m| m.fence.epoch).collect::<Vec<_>>())
    .bind(moves.iter().map(|m| m.known).collect::<Vec<_>>())
    .bind(moves.iter().map(|m| m.first_offset).collect::<Vec<_>>())
    .bind(moves.iter().map(|m| m.next_offset).collect::<Vec<_>>())
    .bind(moves.iter().flat_map(|m| m.keys.iter().copied()).collect::<Vec<_>>())
    .fetch_all(tx.connection())
    .await?;
    let mut advances = Vec::with_capacity(moves.len());
    for (row, asked) in rows.iter().zip(moves) {
        advances.push(if row.try_get::<bool, _>(0)? {
            // Of all the batches' keys, those of this topic: a key has one partition.
            let parked = row.try_get::<Vec<String>, _>(1)?.into_iter();
            Advance::Moved { parked: parked.filter(|key| asked.keys.contains(&key.as_str())).collect() }
        } else {
            unmoved(tx, asked).await?
        });
    }
    Ok(advances)
}

/// Why a position was not moved.
async fn unmoved(tx: &mut Tx, asked: &Move<'_>) -> Result<Advance, StoreError> {
    let Move { fence: Fence { consumer, topic, partition, epoch }, known, first_offset, next_offset, .. } = asked;
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
        Some(stored) if stored >= *next_offset => Ok(Advance::AlreadyApplied),
        Some(stored) if stored < *known => Err(StoreError::Fenced(format!(
            "{topic}[{partition}] of {consumer}: its position has gone back from {known} to {stored}; the server has lost commits"
        ))),
        Some(stored) => Err(StoreError::Corrupt(format!(
            "the position of {consumer} in {topic}[{partition}] is {stored}, inside a batch from {first_offset} to {next_offset}"
        ))),
        None => Err(StoreError::Fenced(format!("{topic}[{partition}] of {consumer} (epoch {epoch} is over)"))),
    }
}
