//! The facts that were published of a process, each once.

use crate::{StoreError, Tx};
use serde_json::Value;
use sqlx::{Row, types::Json};

/// A fact that was published of a process.
#[derive(Clone, Debug)]
pub struct Fact {
    pub fact: String,
    pub event: Value,
}

/// The facts published of a process so far, in order.
pub async fn facts(tx: &mut Tx, tenant: &str, business_key: &str) -> Result<Vec<Fact>, StoreError> {
    let rows = sqlx::query(
        "select fact, event from cpq.workflow_fact where tenant_id = $1 and business_key = $2 order by sequence",
    )
    .bind(tenant)
    .bind(business_key)
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(|row| Ok(Fact { fact: row.try_get(0)?, event: row.try_get::<Json<Value>, _>(1)?.0 })).collect()
}

/// Records a fact that is about to be published and gives its sequence; the ledger row's lock keeps sequences
/// gapless. `None`: it was published before.
pub async fn record_fact(
    tx: &mut Tx,
    tenant: &str,
    business_key: &str,
    fact: &str,
    event: &Value,
) -> Result<Option<u64>, StoreError> {
    // In a statement of its own: the next one must see what the former holder of the lock has published.
    sqlx::query("select 1 from cpq.workflow_instance where tenant_id = $1 and business_key = $2 for update")
        .bind(tenant)
        .bind(business_key)
        .execute(tx.connection())
        .await?;
    let row = sqlx::query(
        "update cpq.workflow_instance i set sequence = sequence + 1 where tenant_id = $1 and business_key = $2 \
           and not exists (select from cpq.workflow_fact f where f.tenant_id = $1 and f.business_key = $2 and f.fact = $3) \
         returning sequence",
    )
    .bind(tenant)
    .bind(business_key)
    .bind(fact)
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let sequence: i64 = row.try_get(0)?;
    sqlx::query(
        "insert into cpq.workflow_fact (tenant_id, business_key, fact, sequence, event) values ($1, $2, $3, $4, $5)",
    )
    .bind(tenant)
    .bind(business_key)
    .bind(fact)
    .bind(sequence)
    .bind(Json(event))
    .execute(tx.connection())
    .await?;
    Ok(Some(sequence.unsigned_abs()))
}

/// An incident that was published as raised and not yet as resolved.
#[derive(Clone, Debug)]
pub struct OpenIncident {
    pub tenant_id: String,
    pub business_key: String,
    /// The event `IncidentRaised`, as published.
    pub event: Value,
}

/// Prefix of the fact that an incident was raised; its id follows.
pub const INCIDENT_RAISED: &str = "IncidentRaised/";
/// As [`INCIDENT_RAISED`], for its end.
pub const INCIDENT_RESOLVED: &str = "IncidentResolved/";

/// The open incidents of all tenants, at most `limit`.
pub async fn open_incidents(tx: &mut Tx, limit: i64) -> Result<Vec<OpenIncident>, StoreError> {
    let rows = sqlx::query(
        "select tenant_id, business_key, event from cpq.workflow_fact r \
         where fact like 'Incident%' and starts_with(fact, $1) and not exists (select from cpq.workflow_fact d \
           where d.tenant_id = r.tenant_id and d.business_key = r.business_key and d.fact = $2 || substr(r.fact, length($1) + 1)) \
         order by recorded_at limit $3",
    )
    .bind(INCIDENT_RAISED)
    .bind(INCIDENT_RESOLVED)
    .bind(limit)
    .fetch_all(tx.connection())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(OpenIncident {
                tenant_id: row.try_get(0)?,
                business_key: row.try_get(1)?,
                event: row.try_get::<Json<Value>, _>(2)?.0,
            })
        })
        .collect()
}
