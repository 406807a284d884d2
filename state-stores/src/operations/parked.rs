//! Reading what is parked, for operators; parking itself is [`crate::parked`], and what operators do with it is in
//! `act`.

pub mod act;

use super::backlog::MAX_LISTED;
use crate::{StoreError, Tx};
use act::Told;
use serde::Serialize;
use sqlx::{FromRow, types::Json};
use time::OffsetDateTime;

/// A parked key as operators know it, with the record that it stands at.
#[derive(Clone, Debug, PartialEq, FromRow, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    pub dead_letter_id: String,
    pub consumer: String,
    pub topic: String,
    pub message_key: String,
    pub tenant_id: Option<String>,
    /// PARKED or REDRIVING.
    pub status: String,
    pub cause: String,
    #[serde(skip)]
    pub parked_at: OffsetDateTime,
    pub age_seconds: f64,
    /// Records of the key that wait, the first included; of a key that the relay parked, its outbox rows.
    pub records: i64,
    /// Where the first record stands; null where the key's work waits elsewhere (the relay's, the document role's).
    pub partition: Option<i32>,
    pub record_offset: Option<i64>,
    /// CLIENT_COMMAND, OWN_COMMAND (one that our processors sent), OTHER, or HELD where there is no record here.
    pub kind: String,
    /// The command, if one is known by the first record.
    pub command_id: Option<String>,
    /// `ce_type` of the first record.
    pub record_type: Option<String>,
    pub correlation_id: Option<String>,
    /// How often a redrive has failed at the first record, and how often in a row with this cause.
    pub attempts: i32,
    pub same_cause: i32,
}

impl DeadLetter {
    /// Records that wait behind the first.
    pub fn behind(&self) -> i64 {
        if self.record_offset.is_some() { self.records - 1 } else { self.records }
    }
}

/// Which dead letters are looked for; what is not given does not restrict.
#[derive(Clone, Debug, Default)]
pub struct DeadLetterQuery<'a> {
    pub dead_letter_id: Option<&'a str>,
    pub consumer: Option<&'a str>,
    pub topic: Option<&'a str>,
    pub message_key: Option<&'a str>,
    pub tenant: Option<&'a str>,
    /// Those after this one.
    pub after: Option<(OffsetDateTime, &'a str)>,
    /// At most so many; else [`MAX_LISTED`].
    pub limit: Option<i64>,
}

macro_rules! header {
    ($name:literal) => {
        concat!("(select e ->> 1 from jsonb_array_elements(r.headers) e where e ->> 0 = '", $name, "' limit 1)")
    };
}

const DEAD_LETTERS: &str = concat!(
    "select k.dead_letter_id, k.consumer, k.topic, k.message_key, k.tenant_id, k.status, k.cause, k.parked_at, \
       extract(epoch from clock_timestamp() - k.parked_at)::float8 as age_seconds, \
       case when k.consumer = 'relay' \
         then (select count(*) from cpq.outbox_event o where o.topic = k.topic and o.message_key = k.message_key) \
         else (select count(*) from cpq.parked_record r where (r.consumer, r.topic, r.message_key) = (k.consumer, k.topic, k.message_key)) \
       end as records, \
       first.partition, first.record_offset, \
       case when first.record_offset is null then 'HELD' when c.command_id is null then 'OTHER' \
         when c.fingerprint = ''::bytea then 'OWN_COMMAND' else 'CLIENT_COMMAND' end as kind, \
       c.command_id, first.ce_type as record_type, first.correlation_id, \
       coalesce(first.attempts, held.attempts)::int as attempts, coalesce(first.same_cause, held.same_cause)::int as same_cause \
     from cpq.parked_key k \
     left join lateral (select r.partition, r.record_offset, r.attempts, r.same_cause, r.tenant_id, ",
    header!("ce_id"),
    " as ce_id, ",
    header!("ce_type"),
    " as ce_type, ",
    header!("correlation_id"),
    " as correlation_id from cpq.parked_record r \
         where (r.consumer, r.topic, r.message_key) = (k.consumer, k.topic, k.message_key) order by r.record_offset limit 1) first on true \
     left join cpq.command c on c.tenant_id = coalesce(first.tenant_id, k.tenant_id) and c.command_id = first.ce_id \
     left join lateral (select count(*) as attempts, count(*) filter (where a.cause = k.cause) as same_cause \
       from cpq.dead_letter_action a where (a.consumer, a.topic, a.message_key) = (k.consumer, k.topic, k.message_key) \
         and a.record_offset is null and a.action = 'REDRIVE') held on first.record_offset is null \
     where ($1::text is null or k.dead_letter_id = $1) and ($2::text is null or k.consumer = $2) \
       and ($3::text is null or k.topic = $3) and ($4::text is null or k.message_key = $4) \
       and ($5::text is null or k.tenant_id = $5) \
       and ($6::timestamptz is null or (k.parked_at, k.dead_letter_id) > ($6, $7)) \
     order by k.parked_at, k.dead_letter_id limit $8"
);

/// The parked keys, oldest first.
pub async fn dead_letters(tx: &mut Tx, query: &DeadLetterQuery<'_>) -> Result<Vec<DeadLetter>, StoreError> {
    let rows = sqlx::query_as(DEAD_LETTERS)
        .bind(query.dead_letter_id)
        .bind(query.consumer)
        .bind(query.topic)
        .bind(query.message_key)
        .bind(query.tenant)
        .bind(query.after.map(|(at, _)| at))
        .bind(query.after.map(|(_, id)| id))
        .bind(query.limit.unwrap_or(MAX_LISTED))
        .fetch_all(tx.connection())
        .await?;
    Ok(rows)
}

/// How many keys are parked, none of them left out.
pub async fn count(tx: &mut Tx) -> Result<usize, StoreError> {
    let count: i64 = sqlx::query_scalar("select count(*) from cpq.parked_key").fetch_one(tx.connection()).await?;
    usize::try_from(count).map_err(|e| StoreError::corrupt("a count", e))
}

/// A record that waits behind a parked key.
#[derive(Clone, Debug, FromRow)]
pub struct ParkedRecordDetail {
    pub consumer: String,
    pub topic: String,
    pub partition: i32,
    pub record_offset: i64,
    pub message_key: String,
    pub tenant_id: Option<String>,
    pub value: Option<Vec<u8>>,
    pub headers: Json<Vec<(String, String)>>,
    pub cause: String,
    pub parked_at: OffsetDateTime,
    pub attempts: i32,
    pub same_cause: i32,
}

impl ParkedRecordDetail {
    /// The header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// The records of a key in their order.
pub async fn records(
    tx: &mut Tx,
    message_key: &str,
    consumer: Option<&str>,
    topic: Option<&str>,
) -> Result<Vec<ParkedRecordDetail>, StoreError> {
    let rows = sqlx::query_as(
        "select consumer, topic, partition, record_offset, message_key, tenant_id, value, headers, cause, parked_at, attempts, same_cause \
         from cpq.parked_record where message_key = $1 and ($2::text is null or consumer = $2) and ($3::text is null or topic = $3) \
         order by consumer, topic, record_offset limit $4",
    )
    .bind(message_key)
    .bind(consumer)
    .bind(topic)
    .bind(MAX_LISTED)
    .fetch_all(tx.connection())
    .await?;
    Ok(rows)
}

/// A record that waits, without its content.
#[derive(Clone, Debug, PartialEq, FromRow)]
pub struct WaitingRecord {
    pub partition: i32,
    pub record_offset: i64,
    /// `ce_type` and `ce_id`.
    pub record_type: Option<String>,
    pub message_id: Option<String>,
    pub cause: String,
    pub attempts: i32,
    pub parked_at: OffsetDateTime,
}

/// The first records of a dead letter in their order, at most so many.
pub async fn waiting(tx: &mut Tx, letter: &DeadLetter, limit: i64) -> Result<Vec<WaitingRecord>, StoreError> {
    let rows = sqlx::query_as(concat!(
        "select r.partition, r.record_offset, ",
        header!("ce_type"),
        " as record_type, ",
        header!("ce_id"),
        " as message_id, r.cause, r.attempts, r.parked_at from cpq.parked_record r \
         where r.consumer = $1 and r.topic = $2 and r.message_key = $3 order by r.record_offset limit $4"
    ))
    .bind(&letter.consumer)
    .bind(&letter.topic)
    .bind(&letter.message_key)
    .bind(limit)
    .fetch_all(tx.connection())
    .await?;
    Ok(rows)
}

/// What an operator did with a parked key, and what came of it.
#[derive(Clone, Debug, PartialEq, FromRow)]
pub struct PastAction {
    pub action_id: String,
    pub dead_letter_id: String,
    pub consumer: String,
    pub topic: String,
    pub message_key: String,
    pub tenant_id: Option<String>,
    pub partition: Option<i32>,
    pub record_offset: Option<i64>,
    pub action: String,
    pub actor_id: String,
    pub reason: String,
    pub forced: bool,
    /// Why the record was parked when this was done.
    pub cause: String,
    /// Records that waited behind it then.
    pub behind: i64,
    pub requested_at: OffsetDateTime,
    /// Records applied by it.
    pub applied: i64,
    /// RELEASED, PARKED_AGAIN or EDITED; none as long as the consumer is at it.
    pub outcome: Option<String>,
    pub outcome_cause: Option<String>,
    pub finished_at: Option<OffsetDateTime>,
    /// What was answered.
    pub told: Json<Told>,
}

macro_rules! actions {
    ($condition:literal) => {
        concat!(
            "select action_id, dead_letter_id, consumer, topic, message_key, tenant_id, partition, record_offset, action, actor_id, \
               reason, forced, cause, behind, requested_at, applied, outcome, outcome_cause, finished_at, told \
             from cpq.dead_letter_action where ",
            $condition
        )
    };
}

/// What was done with a dead letter, oldest first.
pub async fn actions(tx: &mut Tx, dead_letter_id: &str) -> Result<Vec<PastAction>, StoreError> {
    let rows = sqlx::query_as(actions!("dead_letter_id = $1 order by requested_at, action_id limit $2"))
        .bind(dead_letter_id)
        .bind(MAX_LISTED)
        .fetch_all(tx.connection())
        .await?;
    Ok(rows)
}

/// The action of that id.
pub async fn action(tx: &mut Tx, action_id: &str) -> Result<Option<PastAction>, StoreError> {
    Ok(sqlx::query_as(actions!("action_id = $1")).bind(action_id).fetch_optional(tx.connection()).await?)
}
