//! What is to be sent to people, and what was: the `notification` table.

use crate::operations::backlog::MAX_LISTED;
use crate::{StoreError, Tx};
use cpq_domain::ids::{ActorId, TenantId};
use serde::Serialize;
use sqlx::{FromRow, Row, types::Json};
use time::OffsetDateTime;

/// A message to be sent. Its id is derived from its cause and recipient, so that it is written once.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NewNotification {
    pub tenant_id: String,
    pub notification_id: String,
    pub kind: &'static str,
    /// The actor it is for.
    pub recipient: String,
    pub subject: String,
    pub body: String,
    pub aggregate_id: String,
    pub correlation_id: String,
    pub created_at: String,
}

/// A message on its way out.
#[derive(Clone, Debug)]
pub struct Notification {
    pub tenant_id: String,
    pub notification_id: String,
    pub kind: String,
    pub recipient: String,
    pub subject: String,
    pub body: String,
    pub aggregate_id: String,
    pub correlation_id: String,
    pub attempts: i32,
}

/// Adds messages; one that is there already stays as it is.
pub async fn insert(tx: &mut Tx, rows: &[NewNotification]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into cpq.notification (tenant_id, notification_id, kind, recipient, subject, body, aggregate_id, correlation_id, status, created_at) \
         select tenant_id, notification_id, kind, recipient, subject, body, aggregate_id, correlation_id, 'PENDING', created_at \
         from jsonb_populate_recordset(null::cpq.notification, $1) on conflict do nothing",
    )
    .bind(Json(rows))
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Takes up to `limit` messages that are due; nobody else takes them before `lease_seconds` have passed, so a
/// crash in mid-send repeats and does not lose.
pub async fn claim(tx: &mut Tx, lease_seconds: f64, limit: i64) -> Result<Vec<Notification>, StoreError> {
    let rows = sqlx::query(
        "with due as materialized (select ctid from cpq.notification \
           where status = 'PENDING' and due_at <= statement_timestamp() order by due_at limit $2 for update skip locked) \
         update cpq.notification n set attempts = attempts + 1, due_at = clock_timestamp() + make_interval(secs => $1) \
         from due where n.ctid = due.ctid returning tenant_id, notification_id, kind, recipient, subject, body, aggregate_id, correlation_id, attempts",
    )
    .bind(lease_seconds)
    .bind(limit)
    .fetch_all(tx.connection())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Notification {
                tenant_id: row.try_get(0)?,
                notification_id: row.try_get(1)?,
                kind: row.try_get(2)?,
                recipient: row.try_get(3)?,
                subject: row.try_get(4)?,
                body: row.try_get(5)?,
                aggregate_id: row.try_get(6)?,
                correlation_id: row.try_get(7)?,
                attempts: row.try_get(8)?,
            })
        })
        .collect()
}

/// The message has been handed over.
pub async fn sent(tx: &mut Tx, notification: &Notification) -> Result<(), StoreError> {
    sqlx::query(
        "update cpq.notification set status = 'SENT', sent_at = clock_timestamp(), last_error = null \
         where tenant_id = $1 and notification_id = $2",
    )
    .bind(&notification.tenant_id)
    .bind(&notification.notification_id)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The message could not be sent: due again after `retry_seconds`, or given up where that is `None`.
pub async fn not_sent(
    tx: &mut Tx,
    notification: &Notification,
    error: &str,
    retry_seconds: Option<f64>,
) -> Result<(), StoreError> {
    sqlx::query(
        "update cpq.notification set last_error = $3, status = case when $4::float8 is null then 'FAILED' else status end, \
           due_at = clock_timestamp() + make_interval(secs => coalesce($4, 0)) where tenant_id = $1 and notification_id = $2",
    )
    .bind(&notification.tenant_id)
    .bind(&notification.notification_id)
    .bind(error)
    .bind(retry_seconds)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// A message that has not been sent, as an operator sees it.
#[derive(Clone, Debug, PartialEq, FromRow, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unsent {
    pub tenant_id: String,
    pub notification_id: String,
    pub kind: String,
    pub recipient: String,
    pub subject: String,
    pub aggregate_id: String,
    pub correlation_id: String,
    /// `PENDING`: it is tried again by itself; `FAILED`: it was given up.
    pub status: String,
    pub attempts: i32,
    pub last_error: Option<String>,
    pub age_seconds: f64,
}

/// Which messages that have not been sent; what is `None` does not restrict.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnsentQuery<'a> {
    pub id: Option<&'a str>,
    pub tenant: Option<&'a str>,
    /// Only those that were given up.
    pub failed: bool,
}

/// The messages that have not been sent, oldest first, at most [`MAX_LISTED`]; not those that were discarded.
pub async fn unsent(tx: &mut Tx, query: UnsentQuery<'_>) -> Result<Vec<Unsent>, StoreError> {
    let rows = sqlx::query_as(
        "select tenant_id, notification_id, kind, recipient, subject, aggregate_id, correlation_id, status, attempts, last_error, \
           extract(epoch from clock_timestamp() - created_at)::float8 as age_seconds from cpq.notification \
         where (status = 'FAILED' or status = 'PENDING' and not $3) and due_at < 'infinity' \
           and ($1::text is null or notification_id = $1) and ($2::text is null or tenant_id = $2) \
         order by created_at, tenant_id, notification_id limit $4",
    )
    .bind(query.id)
    .bind(query.tenant)
    .bind(query.failed)
    .bind(MAX_LISTED)
    .fetch_all(tx.connection())
    .await?;
    Ok(rows)
}

/// Lets a message that was given up be tried again, as often as a new one. False if it is no longer given up.
pub async fn retry(tx: &mut Tx, tenant: &str, id: &str) -> Result<bool, StoreError> {
    let result = sqlx::query(
        "update cpq.notification set status = 'PENDING', attempts = 0, due_at = clock_timestamp() \
         where tenant_id = $1 and notification_id = $2 and status = 'FAILED' and due_at < 'infinity'",
    )
    .bind(tenant)
    .bind(id)
    .execute(tx.connection())
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Puts a message that was given up away for good: it stays, failed and never due, so that its cause delivered
/// again writes no other. False if it is no longer given up.
pub async fn discard(tx: &mut Tx, tenant: &str, id: &str, reason: &str) -> Result<bool, StoreError> {
    let result = sqlx::query(
        "update cpq.notification set due_at = 'infinity', last_error = concat_ws('; ', last_error, 'discarded: ' || $3) \
         where tenant_id = $1 and notification_id = $2 and status = 'FAILED' and due_at < 'infinity'",
    )
    .bind(tenant)
    .bind(id)
    .bind(reason)
    .execute(tx.connection())
    .await?;
    Ok(result.rows_affected() == 1)
}

/// The actors of a tenant who may decide a step of this level at that moment.
pub async fn approvers_of(
    tx: &mut Tx,
    tenant: &TenantId,
    level: &str,
    at: OffsetDateTime,
) -> Result<Vec<ActorId>, StoreError> {
    let rows = sqlx::query(
        "select distinct actor_id from cpq.approver where tenant_id = $1 and $2 = any(roles) and valid_from <= $3 \
           and (valid_to is null or $3 < valid_to) order by actor_id",
    )
    .bind(tenant.as_str())
    .bind(level)
    .bind(at)
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(|row| Ok(ActorId::new(row.try_get::<String, _>(0)?))).collect()
}
