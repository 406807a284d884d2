//! The immutable evidence rows of quotes and orders, and the order's token. Rows are handed over as JSON
//! objects whose keys are the column names; one statement per table.

use crate::{StoreError, Tx};
use cpq_domain::ids::{OrderId, StepId, TenantId};
use serde_json::Value;
use sqlx::{Row, types::Json};
use std::collections::HashMap;

/// A table whose rows are only ever added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EvidenceTable {
    QuoteRevision,
    QuoteLine,
    QuotePriceResult,
    QuoteApprovalDecision,
    QuoteArtifact,
    OrderLine,
}

impl EvidenceTable {
    fn insert(self) -> &'static str {
        match self {
            Self::QuoteRevision => {
                "insert into cpq.quote_revision select * from jsonb_populate_recordset(null::cpq.quote_revision, $1)"
            }
            Self::QuoteLine => {
                "insert into cpq.quote_line select * from jsonb_populate_recordset(null::cpq.quote_line, $1)"
            }
            Self::QuotePriceResult => {
                "insert into cpq.quote_price_result select * from jsonb_populate_recordset(null::cpq.quote_price_result, $1)"
            }
            Self::QuoteApprovalDecision => {
                "insert into cpq.quote_approval_decision select * from jsonb_populate_recordset(null::cpq.quote_approval_decision, $1)"
            }
            Self::QuoteArtifact => {
                "insert into cpq.quote_artifact select * from jsonb_populate_recordset(null::cpq.quote_artifact, $1)"
            }
            Self::OrderLine => {
                "insert into cpq.order_line select * from jsonb_populate_recordset(null::cpq.order_line, $1)"
            }
        }
    }
}

/// Rows by table, in the order of their foreign keys.
#[derive(Default)]
pub struct Evidence(std::collections::BTreeMap<EvidenceTable, Vec<Value>>);

impl Evidence {
    pub fn add(&mut self, table: EvidenceTable, row: Value) {
        self.0.entry(table).or_default().push(row);
    }
}

/// Adds the rows. The heads they refer to must have been saved before.
pub async fn insert(tx: &mut Tx, evidence: Evidence) -> Result<(), StoreError> {
    for (table, rows) in evidence.0 {
        sqlx::query(table.insert()).bind(Json(rows)).execute(tx.connection()).await?;
    }
    Ok(())
}

/// Opens and closes fallout cases: the newest row of a case wins.
pub async fn upsert_fallout(tx: &mut Tx, rows: Vec<Value>) -> Result<(), StoreError> {
    for row in rows {
        sqlx::query(
            "insert into cpq.fallout_case select * from jsonb_populate_record(null::cpq.fallout_case, $1) \
             on conflict (tenant_id, fallout_id) do update set status = excluded.status, resolution = excluded.resolution, \
               resolved_by = excluded.resolved_by, resolved_at = excluded.resolved_at",
        )
        .bind(Json(row))
        .execute(tx.connection())
        .await?;
    }
    Ok(())
}

/// Who holds an order's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenHolder {
    Step(StepId),
    Cancellation,
}

/// The tokens that are taken among these orders.
pub async fn order_tokens(
    tx: &mut Tx,
    orders: &[(TenantId, String)],
) -> Result<HashMap<(TenantId, String), TokenHolder>, StoreError> {
    let rows = sqlx::query(
        "select tenant_id, order_id, step_id from cpq.order_token where (tenant_id, order_id) in (select * from unnest($1::text[], $2::text[]))",
    )
    .bind(orders.iter().map(|(t, _)| t.as_str()).collect::<Vec<_>>())
    .bind(orders.iter().map(|(_, o)| o.as_str()).collect::<Vec<_>>())
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter()
        .map(|row| {
            let (tenant, order): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let step: Option<String> = row.try_get(2)?;
            let holder = step.map_or(TokenHolder::Cancellation, |s| TokenHolder::Step(StepId::new(s)));
            Ok(((TenantId::new(tenant), order), holder))
        })
        .collect()
}

/// Claims an order's token, or says who has it. Waits for a concurrent claim to commit or roll back, so that
/// exactly one wins.
pub async fn claim_order_token(
    tx: &mut Tx,
    tenant: &TenantId,
    order: &OrderId,
    holder: &TokenHolder,
) -> Result<TokenHolder, StoreError> {
    let (kind, step) = match holder {
        TokenHolder::Step(step) => ("STEP", Some(step.as_str())),
        TokenHolder::Cancellation => ("CANCELLATION", None),
    };
    sqlx::query(
        "insert into cpq.order_token (tenant_id, order_id, holder, step_id) values ($1, $2, $3, $4) on conflict do nothing",
    )
    .bind(tenant.as_str())
    .bind(order.as_str())
    .bind(kind)
    .bind(step)
    .execute(tx.connection())
    .await?;
    let key = (tenant.clone(), order.to_string());
    let mut held = order_tokens(tx, std::slice::from_ref(&key)).await?;
    held.remove(&key).ok_or_else(|| StoreError::Corrupt(format!("the token of {order} is neither free nor taken")))
}
