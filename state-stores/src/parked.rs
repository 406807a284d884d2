//! Keys that a consumer, or the relay, cannot go on with, and the records that wait behind them in order. What a
//! consumer needs to release a key is in `release`; what operators do is in [`crate::operations::parked`].

pub mod release;

use crate::{StoreError, Tx};

/// A record taken out of the way of others.
#[derive(Clone, Debug)]
pub struct ParkedRecord {
    pub consumer: String,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub message_key: String,
    pub tenant_id: Option<String>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, String)>,
    pub cause: String,
}

/// Parks a key. Parked already: the first cause stays. Returns whether it is new.
pub async fn park_key(
    tx: &mut Tx,
    consumer: &str,
    topic: &str,
    message_key: &str,
    tenant_id: Option<&str>,
    cause: &str,
) -> Result<bool, StoreError> {
    let result = sqlx::query(
        "insert into cpq.parked_key (consumer, topic, message_key, tenant_id, cause) values ($1, $2, $3, $4, $5) \
         on conflict do nothing",
    )
    .bind(consumer)
    .bind(topic)
    .bind(message_key)
    .bind(tenant_id)
    .bind(cause)
    .execute(tx.connection())
    .await?;
    Ok(result.rows_affected() > 0)
}

/// Appends records behind their parked keys, in one statement. One that is there already (a replay) stays. A key
/// that an operator has let go in the meantime is parked again, on its way: its records wait their turn.
pub async fn append(tx: &mut Tx, records: &[ParkedRecord]) -> Result<(), StoreError> {
    if records.is_empty() {
        return Ok(());
    }
    let headers: Vec<String> = records
        .iter()
        .map(|r| serde_json::to_string(&r.headers).map_err(|e| StoreError::corrupt("record headers", e)))
        .collect::<Result<_, _>>()?;
    sqlx::query(
        "with r as (select * from unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::text[], $6::text[], \
             $7::bytea[], $8::text[], $9::text[]) \
             as r(consumer, topic, partition, record_offset, message_key, tenant_id, value, headers, cause)), \
           let_go as (insert into cpq.parked_key (consumer, topic, message_key, tenant_id, cause, status, redrive_at) \
             select distinct on (consumer, topic, message_key) consumer, topic, message_key, tenant_id, cause, \
               'REDRIVING', clock_timestamp() from r on conflict (consumer, topic, message_key) do nothing) \
         insert into cpq.parked_record \
           (consumer, topic, partition, record_offset, message_key, tenant_id, value, headers, cause) \
         select consumer, topic, partition, record_offset, message_key, tenant_id, value, headers::jsonb, cause from r \
         on conflict do nothing",
    )
    .bind(records.iter().map(|r| r.consumer.as_str()).collect::<Vec<_>>())
    .bind(records.iter().map(|r| r.topic.as_str()).collect::<Vec<_>>())
    .bind(records.iter().map(|r| r.partition).collect::<Vec<_>>())
    .bind(records.iter().map(|r| r.offset).collect::<Vec<_>>())
    .bind(records.iter().map(|r| r.message_key.as_str()).collect::<Vec<_>>())
    .bind(records.iter().map(|r| r.tenant_id.as_deref()).collect::<Vec<_>>())
    .bind(records.iter().map(|r| r.value.as_deref()).collect::<Vec<_>>())
    .bind(headers)
    .bind(records.iter().map(|r| r.cause.as_str()).collect::<Vec<_>>())
    .execute(tx.connection())
    .await?;
    Ok(())
}
