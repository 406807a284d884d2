//! What the bridge and the document role have to do outside after a decision was committed.

use crate::{StoreError, Tx};
use serde_json::Value;
use sqlx::{Row, types::Json};
use time::OffsetDateTime;

/// Something the bridge or the document role has to do outside, after a decision was committed.
#[derive(Clone, Debug)]
pub struct Duty {
    pub tenant_id: String,
    pub business_key: String,
    /// Unique within the business key; the order of duties of one business key.
    pub duty_id: String,
    pub kind: String,
    pub body: Value,
    pub attempts: i32,
    pub created_at: OffsetDateTime,
}

/// Adds a duty. Added again, nothing changes.
pub async fn add_duty(
    tx: &mut Tx,
    tenant: &str,
    business_key: &str,
    duty_id: &str,
    kind: &str,
    body: &Value,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into cpq.workflow_duty (tenant_id, business_key, duty_id, kind, body) values ($1, $2, $3, $4, $5) on conflict do nothing",
    )
    .bind(tenant)
    .bind(business_key)
    .bind(duty_id)
    .bind(kind)
    .bind(Json(body))
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Takes up to `limit` due duties of these kinds: the oldest of each business key, nobody else's. They are due
/// again after `lease_seconds` unless they are finished or put off before, so that a crash loses none. A duty whose
/// key `parked_by` has parked waits until the key is let go.
pub async fn claim_duties(
    tx: &mut Tx,
    kinds: &[&str],
    parked_by: Option<&str>,
    lease_seconds: f64,
    limit: i64,
) -> Result<Vec<Duty>, StoreError> {
    // By ctid, and the first of a key by a subquery: without statistics the planner joins by reading all rows for each.
    let rows = sqlx::query(
        "with due as materialized (select ctid from cpq.workflow_duty o \
           where kind = any($1) and not_before <= statement_timestamp() and duty_id = (select min(e.duty_id) \
             from cpq.workflow_duty e where e.tenant_id = o.tenant_id and e.business_key = o.business_key and e.kind = any($1)) \
             and not exists (select from cpq.parked_key p where p.consumer = $4 and p.message_key = o.business_key \
               and p.tenant_id = o.tenant_id) \
           order by not_before limit $3 for update skip locked) \
         update cpq.workflow_duty d set attempts = attempts + 1, not_before = clock_timestamp() + make_interval(secs => $2) \
         from due where d.ctid = due.ctid returning tenant_id, business_key, duty_id, kind, body, attempts, created_at",
    )
    .bind(kinds)
    .bind(lease_seconds)
    .bind(limit)
    .bind(parked_by)
    .fetch_all(tx.connection())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Duty {
                tenant_id: row.try_get(0)?,
                business_key: row.try_get(1)?,
                duty_id: row.try_get(2)?,
                kind: row.try_get(3)?,
                body: row.try_get::<Json<Value>, _>(4)?.0,
                attempts: row.try_get(5)?,
                created_at: row.try_get(6)?,
            })
        })
        .collect()
}

/// The duty is done.
pub async fn finish_duty(tx: &mut Tx, duty: &Duty) -> Result<(), StoreError> {
    sqlx::query("delete from cpq.workflow_duty where tenant_id = $1 and business_key = $2 and duty_id = $3")
        .bind(&duty.tenant_id)
        .bind(&duty.business_key)
        .bind(&duty.duty_id)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// The duty is due again after `seconds`.
pub async fn put_off_duty(tx: &mut Tx, duty: &Duty, error: &str, seconds: f64) -> Result<(), StoreError> {
    sqlx::query(
        "update cpq.workflow_duty set last_error = $4, not_before = clock_timestamp() + make_interval(secs => $5) \
         where tenant_id = $1 and business_key = $2 and duty_id = $3",
    )
    .bind(&duty.tenant_id)
    .bind(&duty.business_key)
    .bind(&duty.duty_id)
    .bind(error)
    .bind(seconds)
    .execute(tx.connection())
    .await?;
    Ok(())
}
