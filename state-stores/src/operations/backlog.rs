//! What waits and for how long: consumer positions, deferred commands, processes not started, open fallout.
//! Times are ages by the database's clock.

use crate::{StoreError, Tx};
use serde::Serialize;
use sqlx::FromRow;

/// Rows that are listed at most; the counts beside them are whole.
pub const MAX_LISTED: i64 = 10_000;

/// Where a consumer stands in a partition.
#[derive(Clone, Debug, PartialEq, FromRow, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerPosition {
    pub consumer: String,
    pub topic: String,
    pub partition: i32,
    pub next_offset: i64,
    pub owner: String,
    pub seconds_since_update: f64,
}

/// Every position of every consumer.
pub async fn positions(tx: &mut Tx) -> Result<Vec<ConsumerPosition>, StoreError> {
    let rows = sqlx::query_as(
        "select consumer, topic, partition, next_offset, owner, \
           extract(epoch from clock_timestamp() - updated_at)::float8 as seconds_since_update \
         from cpq.consumer_position order by consumer, topic, partition",
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows)
}

/// How many of something wait, and since when the oldest does.
#[derive(Clone, Copy, Debug, PartialEq, FromRow, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    pub count: i64,
    /// 0 where nothing waits.
    pub oldest_seconds: f64,
}

/// Commands that are right but wait for work elsewhere.
pub async fn deferred_commands(tx: &mut Tx) -> Result<Waiting, StoreError> {
    let row = sqlx::query_as(
        "select count(*) as count, coalesce(extract(epoch from clock_timestamp() - min(deferred_at)), 0)::float8 as oldest_seconds \
         from cpq.deferred_command",
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(row)
}

/// Ends of quotes' validity that have come and are not told to the quotes yet.
pub async fn due_timers(tx: &mut Tx) -> Result<Waiting, StoreError> {
    let row = sqlx::query_as(
        "select count(*) as count, coalesce(extract(epoch from clock_timestamp() - min(due_at)), 0)::float8 as oldest_seconds \
         from cpq.quote_timer where due_at <= clock_timestamp()",
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(row)
}

/// Processes that were asked for and have not started.
pub async fn unstarted_instances(tx: &mut Tx) -> Result<Waiting, StoreError> {
    let row = sqlx::query_as(
        "select count(*) as count, \
           greatest(coalesce(extract(epoch from clock_timestamp() - min(requested_at)), 0), 0)::float8 as oldest_seconds \
         from cpq.workflow_instance where status = 'REQUESTED'",
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(row)
}

/// An open fallout case with what it holds up.
#[derive(Clone, Debug, PartialEq, FromRow, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenFallout {
    pub tenant_id: String,
    pub fallout_id: String,
    pub order_id: String,
    pub order_status: Option<String>,
    pub customer_account_id: Option<String>,
    pub line_number: String,
    pub step_id: String,
    pub reason_code: String,
    pub detail: String,
    pub age_seconds: f64,
}

/// The oldest open fallout cases, of one tenant or of all.
pub async fn open_fallout(tx: &mut Tx, tenant: Option<&str>) -> Result<Vec<OpenFallout>, StoreError> {
    let rows = sqlx::query_as(
        "select f.tenant_id, f.fallout_id, f.order_id, o.status as order_status, o.customer_account_id, f.line_number, f.step_id, \
           f.reason_code, f.detail, extract(epoch from clock_timestamp() - f.raised_at)::float8 as age_seconds \
         from cpq.fallout_case f left join cpq.orders o using (tenant_id, order_id) \
         where f.status = 'OPEN' and ($1::text is null or f.tenant_id = $1) order by f.raised_at, f.fallout_id limit $2",
    )
    .bind(tenant)
    .bind(MAX_LISTED)
    .fetch_all(tx.connection())
    .await?;
    Ok(rows)
}
