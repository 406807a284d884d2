//! Stored evidence, page by page, for whoever proves it: audit chains, price results, outcomes.

use crate::{StoreError, Tx};
use sqlx::{FromRow, types::Json};
use time::OffsetDateTime;

/// Rows of one page.
pub const PAGE: i64 = 1_000;

/// An audit entry as stored.
#[derive(Clone, Debug, FromRow)]
pub struct StoredAudit {
    pub tenant_id: String,
    pub aggregate_id: String,
    pub entry: i64,
    pub action: String,
    pub outcome: String,
    pub error_code: Option<String>,
    pub actor_id: String,
    pub actor_type: String,
    pub claims: Json<serde_json::Value>,
    pub command_id: String,
    pub correlation_id: String,
    pub detail: Option<String>,
    pub recorded_at: OffsetDateTime,
    pub previous_hash: String,
    pub entry_hash: String,
}

/// The next page of audit entries after the given (tenant, aggregate, entry), in that order.
pub async fn audit_page(tx: &mut Tx, after: (&str, &str, i64)) -> Result<Vec<StoredAudit>, StoreError> {
    let rows = sqlx::query_as(
        "select tenant_id, aggregate_id, entry, action, outcome, error_code, actor_id, actor_type, claims, command_id, correlation_id, \
           detail, recorded_at, previous_hash, entry_hash \
         from cpq.audit where (tenant_id, aggregate_id, entry) > ($1, $2, $3) order by tenant_id, aggregate_id, entry limit $4",
    )
    .bind(after.0)
    .bind(after.1)
    .bind(after.2)
    .bind(PAGE)
    .fetch_all(tx.connection())
    .await?;
    Ok(rows)
}

/// Decided commands (tenant, command) without an audit entry: the end of a chain was cut off. At most a page.
pub async fn unaudited_outcomes(tx: &mut Tx) -> Result<Vec<(String, String, String)>, StoreError> {
    let rows = sqlx::query_as(
        "select o.tenant_id, o.aggregate_id, o.command_id from cpq.command_outcome o \
         where not exists (select from cpq.audit a where a.tenant_id = o.tenant_id and a.aggregate_id = o.aggregate_id \
           and a.command_id = o.command_id) \
         order by o.decided_at limit $1",
    )
    .bind(PAGE)
    .fetch_all(tx.connection())
    .await?;
    Ok(rows)
}

/// A price result as stored.
#[derive(Clone, Debug, FromRow)]
pub struct StoredPrice {
    pub tenant_id: String,
    pub quote_id: String,
    pub revision: i32,
    pub pricing_policy_version: String,
    /// `{price, request, hashes}`.
    pub offer: Json<serde_json::Value>,
    pub trace: String,
    pub trace_hash: String,
}

/// The next page of price results after the given (tenant, quote, revision), in that order.
pub async fn price_page(tx: &mut Tx, after: (&str, &str, i32)) -> Result<Vec<StoredPrice>, StoreError> {
    let rows = sqlx::query_as(
        "select tenant_id, quote_id, revision, pricing_policy_version, offer, trace, trace_hash from cpq.quote_price_result \
         where (tenant_id, quote_id, revision) > ($1, $2, $3) order by tenant_id, quote_id, revision limit $4",
    )
    .bind(after.0)
    .bind(after.1)
    .bind(after.2)
    .bind(PAGE)
    .fetch_all(tx.connection())
    .await?;
    Ok(rows)
}

/// What the log records of a transition, without its evidence.
#[derive(Clone, Debug, FromRow)]
pub struct StoredTransition {
    pub tenant_id: String,
    pub aggregate_type: String,
    pub aggregate_id: String,
    pub aggregate_sequence: i64,
    pub event_id: String,
    pub payload: Json<serde_json::Value>,
}

/// The next page of transitions after the given (tenant, aggregate, sequence), in that order.
pub async fn transition_page(tx: &mut Tx, after: (&str, &str, i64)) -> Result<Vec<StoredTransition>, StoreError> {
    let rows = sqlx::query_as(
        "select tenant_id, aggregate_type, aggregate_id, aggregate_sequence, event_id, payload from cpq.transition_log \
         where (tenant_id, aggregate_id, aggregate_sequence) > ($1, $2, $3) \
         order by tenant_id, aggregate_id, aggregate_sequence limit $4",
    )
    .bind(after.0)
    .bind(after.1)
    .bind(after.2)
    .bind(PAGE)
    .fetch_all(tx.connection())
    .await?;
    Ok(rows)
}

/// Messages that wait in the outbox.
pub async fn pending_messages(tx: &mut Tx) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar("select count(*) from cpq.outbox_event").fetch_one(tx.connection()).await?)
}

/// A revision that was priced.
#[derive(Clone, Debug, FromRow)]
pub struct PricedRevision {
    pub tenant_id: String,
    pub quote_id: String,
    pub revision: i32,
}

/// The next page of priced revisions after the given (tenant, quote, revision), in that order; of one tenant or
/// all, made since then or ever.
pub async fn priced_since(
    tx: &mut Tx,
    tenant: Option<&str>,
    since: Option<OffsetDateTime>,
    after: (&str, &str, i32),
) -> Result<Vec<PricedRevision>, StoreError> {
    let rows = sqlx::query_as(
        "select tenant_id, quote_id, revision from cpq.quote_price_result \
         where (tenant_id, quote_id, revision) > ($1, $2, $3) and ($4::text is null or tenant_id = $4) \
           and ($5::timestamptz is null or created_at >= $5) order by tenant_id, quote_id, revision limit $6",
    )
    .bind(after.0)
    .bind(after.1)
    .bind(after.2)
    .bind(tenant)
    .bind(since)
    .bind(PAGE)
    .fetch_all(tx.connection())
    .await?;
    Ok(rows)
}
