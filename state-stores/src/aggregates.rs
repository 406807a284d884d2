//! The head rows of quotes and orders: business truth, loaded and saved by key set.

use crate::evidence::{OrderEvidence, QuoteEvidence};
use crate::{StoreError, Tx};
use cpq_domain::ids::TenantId;
use serde::de::DeserializeOwned;
use sqlx::{Row, types::Json};
use std::collections::HashMap;
use time::OffsetDateTime;

/// A head row's key.
pub type AggregateKey = (TenantId, String);

/// Which table of heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heads {
    Quotes,
    Orders,
}

/// A head row as it is written: the aggregate's JSON, and what is asked by.
pub struct QuoteRow {
    pub tenant_id: String,
    pub quote_id: String,
    pub revision: u32,
    pub sequence: u64,
    pub status: &'static str,
    pub customer_account_id: String,
    pub state: String,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
}

/// As [`QuoteRow`], with the quote revision that the order comes from.
pub struct OrderRow {
    pub tenant_id: String,
    pub order_id: String,
    pub quote_id: String,
    pub quote_revision: u32,
    pub revision: u32,
    pub sequence: u64,
    pub status: &'static str,
    pub customer_account_id: String,
    pub state: String,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
}

const LOAD_QUOTES: &str = "select tenant_id, quote_id as id, state from cpq.quote where (tenant_id, quote_id) in \
    (select * from unnest($1::text[], $2::text[]))";
const LOAD_ORDERS: &str = "select tenant_id, order_id as id, state from cpq.orders where (tenant_id, order_id) in \
    (select * from unnest($1::text[], $2::text[]))";

/// The states of those quotes that exist.
pub async fn load_quotes<S: DeserializeOwned>(
    tx: &mut Tx,
    keys: &[AggregateKey],
) -> Result<HashMap<AggregateKey, S>, StoreError> {
    load(tx, LOAD_QUOTES, keys).await
}

/// The states of those orders that exist.
pub async fn load_orders<S: DeserializeOwned>(
    tx: &mut Tx,
    keys: &[AggregateKey],
) -> Result<HashMap<AggregateKey, S>, StoreError> {
    load(tx, LOAD_ORDERS, keys).await
}

async fn load<S: DeserializeOwned>(
    tx: &mut Tx,
    query: &'static str,
    keys: &[AggregateKey],
) -> Result<HashMap<AggregateKey, S>, StoreError> {
    let tenants: Vec<&str> = keys.iter().map(|(tenant, _)| tenant.as_str()).collect();
    let ids: Vec<&str> = keys.iter().map(|(_, id)| id.as_str()).collect();
    let rows = sqlx::query(query).bind(tenants).bind(ids).fetch_all(tx.connection()).await?;
    let mut states = HashMap::with_capacity(rows.len());
    for row in rows {
        let (tenant, id): (String, String) = (row.try_get("tenant_id")?, row.try_get("id")?);
        let state: Json<S> = row.try_get("state").map_err(|e| StoreError::corrupt(&format!("state of {id}"), e))?;
        states.insert((TenantId::new(tenant), id), state.0);
    }
    Ok(states)
}

const SAVE_QUOTES: &str = "with heads as ( \
    insert into cpq.quote (tenant_id, quote_id, revision, sequence, status, customer_account_id, state, created_at, updated_at) \
    select t, q, r, s, st, c, j::jsonb, ca, ua from unnest($1::text[], $2::text[], $3::int4[], $4::int8[], $5::text[], \
      $6::text[], $7::text[], $8::timestamptz[], $9::timestamptz[]) as u(t, q, r, s, st, c, j, ca, ua) \
    on conflict (tenant_id, quote_id) do update set revision = excluded.revision, sequence = excluded.sequence, \
      status = excluded.status, state = excluded.state, updated_at = excluded.updated_at), \
  revisions as (insert into cpq.quote_revision select * from jsonb_populate_recordset(null::cpq.quote_revision, $10)), \
  lines as (insert into cpq.quote_line select * from jsonb_populate_recordset(null::cpq.quote_line, $11)), \
  prices as (insert into cpq.quote_price_result select * from jsonb_populate_recordset(null::cpq.quote_price_result, $12)), \
  decisions as (insert into cpq.quote_approval_decision \
    select * from jsonb_populate_recordset(null::cpq.quote_approval_decision, $13)) \
  insert into cpq.quote_artifact select * from jsonb_populate_recordset(null::cpq.quote_artifact, $14)";

/// Writes the newest state of each quote, and the evidence of how it came to it, in one statement.
pub async fn save_quotes(tx: &mut Tx, rows: &[QuoteRow], evidence: &QuoteEvidence) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(SAVE_QUOTES)
        .bind(rows.iter().map(|r| r.tenant_id.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.quote_id.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.revision as i32).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.sequence as i64).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.status).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.customer_account_id.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.state.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.created_at).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.updated_at).collect::<Vec<_>>())
        .bind(Json(&evidence.revisions))
        .bind(Json(&evidence.lines))
        .bind(Json(&evidence.prices))
        .bind(Json(&evidence.decisions))
        .bind(Json(&evidence.artifacts))
        .execute(tx.connection())
        .await?;
    Ok(())
}

const SAVE_ORDERS: &str = "with heads as ( \
    insert into cpq.orders (tenant_id, order_id, quote_id, quote_revision, revision, sequence, status, customer_account_id, state, created_at, updated_at) \
    select t, o, q, qr, r, s, st, c, j::jsonb, ca, ua from unnest($1::text[], $2::text[], $3::text[], $4::int4[], $5::int4[], \
      $6::int8[], $7::text[], $8::text[], $9::text[], $10::timestamptz[], $11::timestamptz[]) as u(t, o, q, qr, r, s, st, c, j, ca, ua) \
    on conflict (tenant_id, order_id) do update set revision = excluded.revision, sequence = excluded.sequence, \
      status = excluded.status, state = excluded.state, updated_at = excluded.updated_at), \
  lines as (insert into cpq.order_line select * from jsonb_populate_recordset(null::cpq.order_line, $12)) \
  insert into cpq.fallout_case select * from jsonb_populate_recordset(null::cpq.fallout_case, $13) \
  on conflict (tenant_id, fallout_id) do update set status = excluded.status, resolution = excluded.resolution, \
    resolved_by = excluded.resolved_by, resolved_at = excluded.resolved_at";

/// Writes the newest state of each order, and what belongs to it, in one statement. A second order for the same
/// accepted quote revision is refused by the table.
pub async fn save_orders(tx: &mut Tx, rows: &[OrderRow], evidence: &OrderEvidence) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(SAVE_ORDERS)
        .bind(rows.iter().map(|r| r.tenant_id.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.order_id.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.quote_id.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.quote_revision as i32).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.revision as i32).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.sequence as i64).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.status).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.customer_account_id.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.state.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.created_at).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.updated_at).collect::<Vec<_>>())
        .bind(Json(&evidence.lines))
        .bind(Json(evidence.fallout.values().collect::<Vec<_>>()))
        .execute(tx.connection())
        .await?;
    Ok(())
}
