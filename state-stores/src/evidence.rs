//! The rows that belong to a transition of a quote or an order besides its head, and the order's token. Rows are
//! handed over as JSON objects whose keys are the column names, and written together with their heads
//! (`aggregates`).

use crate::{StoreError, Tx};
use cpq_domain::ids::{OrderId, StepId, TenantId};
use serde_json::Value;
use sqlx::Row;
use std::collections::{BTreeMap, HashMap};

/// Immutable rows of quotes, by table.
#[derive(Default)]
pub struct QuoteEvidence {
    pub revisions: Vec<Value>,
    pub lines: Vec<Value>,
    pub prices: Vec<Value>,
    pub decisions: Vec<Value>,
    pub artifacts: Vec<Value>,
}

/// Rows of orders.
#[derive(Default)]
pub struct OrderEvidence {
    pub lines: Vec<Value>,
    /// Fallout cases by id: the newest row of each.
    pub fallout: BTreeMap<String, Value>,
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
