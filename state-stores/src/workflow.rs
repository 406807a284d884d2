//! The bridge's ledger: which processes were asked for, and which engine instance is admitted. What was published
//! of them is in `facts`, what the bridge still owes the engine in `duties`. Scans run over all tenants
//! (`Db::begin_system`).

mod duties;
mod facts;

pub use duties::{Duty, add_duty, claim_duties, finish_duty, put_off_duty};
pub use facts::{Fact, INCIDENT_RAISED, INCIDENT_RESOLVED, OpenIncident, facts, open_incidents, record_fact};

use crate::{StoreError, Tx};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Row, postgres::PgRow, types::Json};
use time::OffsetDateTime;

/// How far a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceStatus {
    /// Asked for; the engine has not answered a start yet.
    Requested,
    /// The engine has an instance, which has not been admitted yet.
    Started,
    /// One instance was admitted and runs.
    Admitted,
    Ended,
}

impl InstanceStatus {
    const ALL: [Self; 4] = [Self::Requested, Self::Started, Self::Admitted, Self::Ended];
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "REQUESTED",
            Self::Started => "STARTED",
            Self::Admitted => "ADMITTED",
            Self::Ended => "ENDED",
        }
    }
    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// A process that was asked for.
#[derive(Clone, Debug)]
pub struct Instance {
    pub tenant_id: String,
    pub process_key: String,
    /// Approval request id, or order id and plan version.
    pub business_key: String,
    /// `APPROVAL` or `FULFILMENT`.
    pub aggregate_type: String,
    pub status: InstanceStatus,
    pub started_instance_id: Option<String>,
    pub admitted_instance_id: Option<String>,
    pub request: Value,
    pub correlation_id: String,
    pub attempts: i32,
    /// Whether what it did is being undone.
    pub stopping: bool,
    pub requested_at: OffsetDateTime,
    pub admitted_at: Option<OffsetDateTime>,
}

const INSTANCE: &str = "tenant_id, process_key, business_key, aggregate_type, status, started_instance_id, \
    admitted_instance_id, request, correlation_id, attempts, stopping_at is not null as stopping, requested_at, admitted_at";

fn instance(row: &PgRow) -> Result<Instance, StoreError> {
    let status: String = row.try_get("status")?;
    Ok(Instance {
        tenant_id: row.try_get("tenant_id")?,
        process_key: row.try_get("process_key")?,
        business_key: row.try_get("business_key")?,
        aggregate_type: row.try_get("aggregate_type")?,
        status: InstanceStatus::parse(&status)
            .ok_or_else(|| StoreError::Corrupt(format!("status {status} of a workflow instance")))?,
        started_instance_id: row.try_get("started_instance_id")?,
        admitted_instance_id: row.try_get("admitted_instance_id")?,
        request: row.try_get::<Json<Value>, _>("request")?.0,
        correlation_id: row.try_get("correlation_id")?,
        attempts: row.try_get("attempts")?,
        stopping: row.try_get("stopping")?,
        requested_at: row.try_get("requested_at")?,
        admitted_at: row.try_get("admitted_at")?,
    })
}

/// What is asked for.
pub struct NewInstance<'a> {
    pub tenant_id: &'a str,
    pub process_key: &'a str,
    pub business_key: &'a str,
    pub aggregate_type: &'a str,
    pub request: &'a Value,
    pub correlation_id: &'a str,
}

/// Asks for a process. Asked again, nothing changes.
pub async fn request_instance(tx: &mut Tx, new: &NewInstance<'_>) -> Result<(), StoreError> {
    sqlx::query(
        "insert into cpq.workflow_instance (tenant_id, process_key, business_key, aggregate_type, status, request, correlation_id) \
         values ($1, $2, $3, $4, 'REQUESTED', $5, $6) on conflict do nothing",
    )
    .bind(new.tenant_id)
    .bind(new.process_key)
    .bind(new.business_key)
    .bind(new.aggregate_type)
    .bind(Json(new.request))
    .bind(new.correlation_id)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Whether a row that is read may be changed by others before this transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    No,
    /// Nobody changes it meanwhile; others may hold it too.
    Shared,
    /// Nobody else holds or changes it meanwhile.
    Exclusive,
}

/// The ledger's row for a business key.
pub async fn find_instance(
    tx: &mut Tx,
    tenant: &str,
    business_key: &str,
    hold: Hold,
) -> Result<Option<Instance>, StoreError> {
    let lock = match hold {
        Hold::No => "",
        Hold::Shared => "for share",
        Hold::Exclusive => "for update",
    };
    let row = sqlx::query(AssertSqlSafe(format!(
        "select {INSTANCE} from cpq.workflow_instance where tenant_id = $1 and business_key = $2 {lock}"
    )))
    .bind(tenant)
    .bind(business_key)
    .fetch_optional(tx.connection())
    .await?;
    row.as_ref().map(instance).transpose()
}

/// The ledger's row whose admitted instance has this id.
pub async fn find_admitted(tx: &mut Tx, instance_id: &str) -> Result<Option<Instance>, StoreError> {
    let row = sqlx::query(AssertSqlSafe(format!(
        "select {INSTANCE} from cpq.workflow_instance where admitted_instance_id = $1"
    )))
    .bind(instance_id)
    .fetch_optional(tx.connection())
    .await?;
    row.as_ref().map(instance).transpose()
}

/// Takes up to `limit` processes whose start is due, each for `lease_seconds`: within these nobody else takes
/// it, and after them it is due again, so that a crash in mid-start loses none.
pub async fn claim_requested(tx: &mut Tx, lease_seconds: f64, limit: i64) -> Result<Vec<Instance>, StoreError> {
    let rows = sqlx::query(AssertSqlSafe(format!(
        "with due as materialized (select ctid from cpq.workflow_instance \
           where status = 'REQUESTED' and not_before <= statement_timestamp() \
           order by not_before, requested_at limit $2 for update skip locked) \
         update cpq.workflow_instance i \
         set attempts = attempts + 1, not_before = clock_timestamp() + make_interval(secs => $1) \
         from due where i.ctid = due.ctid returning {INSTANCE}"
    )))
    .bind(lease_seconds)
    .bind(limit)
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(instance).collect()
}

/// Takes up to `limit` processes that the engine runs and that are due to be looked after. Each is due again
/// after a tenth of its age, within these bounds: what is young ends soon, what is old ends some day.
pub async fn claim_running(
    tx: &mut Tx,
    least_seconds: f64,
    most_seconds: f64,
    limit: i64,
) -> Result<Vec<Instance>, StoreError> {
    let rows = sqlx::query(AssertSqlSafe(format!(
        "with due as materialized (select ctid from cpq.workflow_instance \
           where status in ('STARTED', 'ADMITTED') and not_before <= statement_timestamp() \
           order by not_before limit $3 for update skip locked) \
         update cpq.workflow_instance i set not_before = clock_timestamp() + make_interval(secs => \
           least($2, greatest($1, extract(epoch from clock_timestamp() - requested_at)::float8 / 10))) \
         from due where i.ctid = due.ctid returning {INSTANCE}"
    )))
    .bind(least_seconds)
    .bind(most_seconds)
    .bind(limit)
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(instance).collect()
}

/// Makes a process due to be looked after at once: it has probably ended.
pub async fn look_soon(tx: &mut Tx, tenant: &str, business_key: &str) -> Result<(), StoreError> {
    sqlx::query(
        "update cpq.workflow_instance set not_before = clock_timestamp() where tenant_id = $1 and business_key = $2",
    )
    .bind(tenant)
    .bind(business_key)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The engine runs this instance for the process.
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

/// The start failed or has no known outcome; it is due again after `seconds`.
pub async fn put_off_start(
    tx: &mut Tx,
    tenant: &str,
    business_key: &str,
    error: &str,
    seconds: f64,
) -> Result<(), StoreError> {
    sqlx::query(
        "update cpq.workflow_instance set last_error = $3, not_before = clock_timestamp() + make_interval(secs => $4) \
         where tenant_id = $1 and business_key = $2 and status = 'REQUESTED'",
    )
    .bind(tenant)
    .bind(business_key)
    .bind(error)
    .bind(seconds)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The started instance is gone before it was admitted, so that it has done nothing: the process is to be
/// started anew. Says whether that was still so.
pub async fn request_again(tx: &mut Tx, tenant: &str, business_key: &str) -> Result<bool, StoreError> {
    let changed = sqlx::query(
        "update cpq.workflow_instance set status = 'REQUESTED', started_instance_id = null, not_before = clock_timestamp() \
         where tenant_id = $1 and business_key = $2 and status = 'STARTED' and admitted_instance_id is null",
    )
    .bind(tenant)
    .bind(business_key)
    .execute(tx.connection())
    .await?;
    Ok(changed.rows_affected() == 1)
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

/// An admitted process is not looked after before it can have ended.
const FIRST_LOOK_SECONDS: f64 = 2.0;

/// Claims the ledger row for an engine instance: law 7, at most one instance per business key gets past here.
pub async fn admit(tx: &mut Tx, tenant: &str, business_key: &str, instance_id: &str) -> Result<Admission, StoreError> {
    let claimed = sqlx::query(
        "update cpq.workflow_instance set status = 'ADMITTED', admitted_instance_id = $3, admitted_at = clock_timestamp(), \
           started_instance_id = $3, last_error = null, not_before = clock_timestamp() + make_interval(secs => $4) \
         where tenant_id = $1 and business_key = $2 and admitted_instance_id is null and status <> 'ENDED'",
    )
    .bind(tenant)
    .bind(business_key)
    .bind(instance_id)
    .bind(FIRST_LOOK_SECONDS)
    .execute(tx.connection())
    .await?;
    if claimed.rows_affected() == 1 {
        return Ok(Admission::Admitted);
    }
    let held = find_instance(tx, tenant, business_key, Hold::No).await?;
    Ok(match held {
        Some(row)
            if row.admitted_instance_id.as_deref() == Some(instance_id) && row.status == InstanceStatus::Admitted =>
        {
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

/// Ends a process that no instance was admitted for; none will be. Says whether that was so.
pub async fn end_unadmitted(tx: &mut Tx, tenant: &str, business_key: &str, reason: &str) -> Result<bool, StoreError> {
    let ended = sqlx::query(
        "update cpq.workflow_instance set status = 'ENDED', ended_at = clock_timestamp(), end_reason = $3 \
         where tenant_id = $1 and business_key = $2 and status <> 'ENDED' and admitted_instance_id is null",
    )
    .bind(tenant)
    .bind(business_key)
    .bind(reason)
    .execute(tx.connection())
    .await?;
    Ok(ended.rows_affected() == 1)
}

/// From the commit of this on, no step of the process begins a call: one that holds the row meanwhile is
/// waited for.
pub async fn stop(tx: &mut Tx, tenant: &str, business_key: &str) -> Result<(), StoreError> {
    sqlx::query(
        "update cpq.workflow_instance set stopping_at = coalesce(stopping_at, clock_timestamp()) \
         where tenant_id = $1 and business_key = $2",
    )
    .bind(tenant)
    .bind(business_key)
    .execute(tx.connection())
    .await?;
    Ok(())
}
