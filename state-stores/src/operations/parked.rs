//! Reading what is parked; parking itself is [`crate::parked`].

use super::backlog::MAX_LISTED;
use crate::{StoreError, Tx};
use serde::Serialize;
use sqlx::{FromRow, types::Json};
use time::OffsetDateTime;

/// A key that a consumer cannot go on with.
#[derive(Clone, Debug, PartialEq, FromRow, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ParkedKeySummary {
    pub consumer: String,
    pub topic: String,
    pub message_key: String,
    pub tenant_id: Option<String>,
    pub cause: String,
    /// Records that wait behind it, itself included. The relay's keys have none: their rows are in the outbox.
    pub records: i64,
    pub age_seconds: f64,
}

/// The parked keys, oldest first; `consumer` and `tenant` restrict.
pub async fn keys(
    tx: &mut Tx,
    consumer: Option<&str>,
    tenant: Option<&str>,
) -> Result<Vec<ParkedKeySummary>, StoreError> {
    let rows = sqlx::query_as(
        "select k.consumer, k.topic, k.message_key, k.tenant_id, k.cause, \
           case when k.consumer = 'relay' \
             then (select count(*) from cpq.outbox_event o where o.topic = k.topic and o.message_key = k.message_key) \
             else (select count(*) from cpq.parked_record r where (r.consumer, r.topic, r.message_key) = (k.consumer, k.topic, k.message_key)) \
           end as records, \
           extract(epoch from clock_timestamp() - k.parked_at)::float8 as age_seconds \
         from cpq.parked_key k where ($1::text is null or k.consumer = $1) and ($2::text is null or k.tenant_id = $2) \
         order by k.parked_at, k.consumer, k.topic, k.message_key limit $3",
    )
    .bind(consumer)
    .bind(tenant)
    .bind(MAX_LISTED)
    .fetch_all(tx.connection())
    .await?;
    Ok(rows)
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
}

/// The records of a key in their order.
pub async fn records(
    tx: &mut Tx,
    message_key: &str,
    consumer: Option<&str>,
    topic: Option<&str>,
) -> Result<Vec<ParkedRecordDetail>, StoreError> {
    let rows = sqlx::query_as(
        "select consumer, topic, partition, record_offset, message_key, tenant_id, value, headers, cause, parked_at \
         from cpq.parked_record where message_key = $1 and ($2::text is null or consumer = $2) and ($3::text is null or topic = $3) \
         order by consumer, topic, partition, record_offset limit $4",
    )
    .bind(message_key)
    .bind(consumer)
    .bind(topic)
    .bind(MAX_LISTED)
    .fetch_all(tx.connection())
    .await?;
    Ok(rows)
}
