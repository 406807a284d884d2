//! The bridge's ledger: which processes were asked for, which engine instance is admitted, and what the
//! bridge still owes the engine. Scans run over all tenants (`Db::begin_system`).

use crate::{StoreError, Tx};
use serde_json::Value;
use sqlx::{Row, postgres::PgRow, types::Json};
use time::OffsetDateTime;

/// A process that was asked for.
#[derive(Clone, Debug)]
pub struct Instance {
    pub tenant_id: String,
    pub process_key: String,
    /// Approval request id, or order id and plan version.
    pub business_key: String,
    pub aggregate_type: String,
    /// `REQUESTED`, `STARTED`, `ADMITTED` or `ENDED`.
    pub status: String,
    pub started_instance_id: Option<String>,
    pub admitted_instance_id: Option<String>,
    pub request: Value,
    pub correlation_id: String,
    pub attempts: i32,
}

const INSTANCE: &str = "tenant_id, process_key, business_key, aggregate_type, status, started_instance_id, \
    admitted_instance_id, request, correlation_id, attempts";

fn instance(row: &PgRow) -> Result<Instance, StoreError> {
    Ok(Instance {
        tenant_id: row.try_get("tenant_id")?,
        process_key: row.try_get("process_key")?,
        business_key: row.try_get("business_key")?,
        aggregate_type: row.try_get("aggregate_type")?,
        status: row.try_get("status")?,
        started_instance_id: row.try_get("started_instance_id")?,
        admitted_instance_id: row.try_get("admitted_instance_id")?,
        request: row.try_get::<Json<Value>, _>("request")?.0,
        correlation_id: row.try_get("correlation_id")?,
        attempts: row.try_get("attempts")?,
    })
}

/// Asks for a process. Asked again, nothing changes.
pub async fn request_instance(tx: &mut Tx, instance: &Instance) -> Result<(), StoreError> {
    sqlx::query(
        "insert into cpq.workflow_instance (tenant_id, process_key, business_key, aggregate_type, status, request, correlation_id) \
         values ($1, $2, $3, $4, 'REQUESTED', $5, $6) on conflict do nothing",
    )
    .bind(&instance.tenant_id)
    .bind(&instance.process_key)
    .bind(&instance.business_key)
    .bind(&instance.aggregate_type)
    .bind(Json(&instance.request))
    .bind(&instance.correlation_id)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The ledger's row for a business key.
pub async fn find_instance(tx: &mut Tx, tenant: &str, business_key: &str) -> Result<Option<Instance>, StoreError> {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!(
        "select {INSTANCE} from cpq.workflow_instance where tenant_id = $1 and business_key = $2"
    )))
    .bind(tenant)
    .bind(business_key)
    .fetch_optional(tx.connection())
    .await?;
    row.as_ref().map(instance).transpose()
}

/// Takes up to `limit` requested processes for this transaction; others skip them until it ends. Each has its
/// attempt counted, so that a crash in mid-start is seen.
pub async fn claim_requested(tx: &mut Tx, limit: i64) -> Result<Vec<Instance>, StoreError> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "update cpq.workflow_instance set attempts = attempts + 1, requested_at = clock_timestamp() \
           + make_interval(secs => least(60, power(2, least(attempts, 6))))  where (tenant_id, process_key, business_key) in \
           (select tenant_id, process_key, business_key from cpq.workflow_instance where status = 'REQUESTED' \
              and (attempts = 0 or requested_at <= clock_timestamp()) order by requested_at limit $1 for update skip locked) \
         returning {INSTANCE}"
    )))
    .bind(limit)
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(instance).collect()
}

/// The engine answered the start with this instance.
pub async fn mark_started(tx: &mut Tx, tenant: &str, business_key: &str, instance_id: &str) -> Result<(), StoreError> {
    sqlx::query(
        "update cpq.workflow_instance set status = case when status = 'REQUESTED' then 'STARTED' else status end, \
           started_instance_id = coalesce(started_instance_id, $3), last_error = null \
         where tenant_id = $1 and business_key = $2",
    )
    .bind(tenant)
    .bind(business_key)
    .bind(instance_id)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The start failed or has no known outcome; it is due again after a growing pause.
pub async fn mark_start_failed(tx: &mut Tx, tenant: &str, business_key: &str, error: &str) -> Result<(), StoreError> {
    sqlx::query("update cpq.workflow_instance set last_error = $3 where tenant_id = $1 and business_key = $2")
        .bind(tenant)
        .bind(business_key)
        .bind(error)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// What the ledger says to an instance that asks to be admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is the one, from now on.
    Admitted,
    /// It was admitted before; asking again changes nothing.
    AlreadyAdmitted,
    /// Another instance is, or the process has ended, or nobody asked for it.
    Refused,
}

/// Claims the ledger row for an engine instance: law 7, at most one instance per business key gets past here.
pub async fn admit(tx: &mut Tx, tenant: &str, business_key: &str, instance_id: &str) -> Result<Admission, StoreError> {
    let claimed = sqlx::query(
        "update cpq.workflow_instance set status = 'ADMITTED', admitted_instance_id = $3, admitted_at = clock_timestamp(), \
           started_instance_id = coalesce(started_instance_id, $3) \
         where tenant_id = $1 and business_key = $2 and admitted_instance_id is null and status <> 'ENDED'",
    )
    .bind(tenant)
    .bind(business_key)
    .bind(instance_id)
    .execute(tx.connection())
    .await?;
    if claimed.rows_affected() == 1 {
        return Ok(Admission::Admitted);
    }
    let held = find_instance(tx, tenant, business_key).await?;
    Ok(match held {
        Some(row) if row.admitted_instance_id.as_deref() == Some(instance_id) && row.status == "ADMITTED" => {
            Admission::AlreadyAdmitted
        }
        _ => Admission::Refused,
    })
}

/// The process is over.
pub async fn mark_ended(tx: &mut Tx, tenant: &str, business_key: &str, reason: &str) -> Result<(), StoreError> {
    sqlx::query(
        "update cpq.workflow_instance set status = 'ENDED', ended_at = clock_timestamp(), end_reason = $3 \
         where tenant_id = $1 and business_key = $2 and status <> 'ENDED'",
    )
    .bind(tenant)
    .bind(business_key)
    .bind(reason)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Reserves the next sequence of a workflow aggregate's events; the row's lock keeps them gapless.
pub async fn next_sequence(tx: &mut Tx, tenant: &str, business_key: &str) -> Result<u64, StoreError> {
    let row = sqlx::query(
        "update cpq.workflow_instance set sequence = sequence + 1 where tenant_id = $1 and business_key = $2 returning sequence",
    )
    .bind(tenant)
    .bind(business_key)
    .fetch_one(tx.connection())
    .await?;
    Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
}

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
pub async fn add_duty(tx: &mut Tx, tenant: &str, business_key: &str, duty_id: &str, kind: &str, body: &Value) -> Result<(), StoreError> {
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
/// again after `lease_seconds` unless they are finished or put off before, so that a crash loses none.
pub async fn claim_duties(tx: &mut Tx, kinds: &[&str], lease_seconds: f64, limit: i64) -> Result<Vec<Duty>, StoreError> {
    let rows = sqlx::query(
        "update cpq.workflow_duty d set attempts = attempts + 1, not_before = clock_timestamp() + make_interval(secs => $2) \
         where (tenant_id, business_key, duty_id) in (select tenant_id, business_key, duty_id from cpq.workflow_duty o \
           where kind = any($1) and not_before <= clock_timestamp() and not exists (select from cpq.workflow_duty e \
             where e.tenant_id = o.tenant_id and e.business_key = o.business_key and e.kind = any($1) and e.duty_id < o.duty_id) \
           order by not_before limit $3 for update skip locked) \
         returning tenant_id, business_key, duty_id, kind, body, attempts, created_at",
    )
    .bind(kinds)
    .bind(lease_seconds)
    .bind(limit)
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
