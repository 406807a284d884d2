//! Every call to an external system, written before it is made and settled after it: `external_call_attempt`.
//! No answer is `UNKNOWN`, never a failure.

use crate::{StoreError, Tx};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Row, postgres::PgRow, types::Json};
use std::time::Duration;
use time::OffsetDateTime;
use uuid::Uuid;

/// What is known of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// Written, not answered: in flight, or its caller died.
    Pending,
    Succeeded,
    /// The other side's business said no.
    Rejected,
    /// It surely had no effect.
    Failed,
    /// It may have had its effect: ask by idempotency key.
    Unknown,
}

impl CallOutcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Succeeded => "SUCCEEDED",
            Self::Rejected => "REJECTED",
            Self::Failed => "FAILED",
            Self::Unknown => "UNKNOWN",
        }
    }
    fn parse(text: &str) -> Option<Self> {
        [Self::Pending, Self::Succeeded, Self::Rejected, Self::Failed, Self::Unknown]
            .into_iter()
            .find(|o| o.as_str() == text)
    }
}

/// A call about to be made.
pub struct NewAttempt<'a> {
    pub tenant_id: &'a str,
    pub system: &'a str,
    pub operation: &'a str,
    /// The order and plan, or approval, that the call is for.
    pub business_key: &'a str,
    pub idempotency_key: &'a str,
    pub request_hash: &'a str,
    pub request: &'a Value,
    pub correlation_id: &'a str,
}

/// A call as recorded.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub id: Uuid,
    pub operation: String,
    pub idempotency_key: String,
    pub outcome: CallOutcome,
    pub request: Value,
    pub response: Option<Value>,
    pub external_reference: Option<String>,
    /// How often the call was begun.
    pub attempts: u32,
    pub attempted_at: OffsetDateTime,
    /// How long ago it was begun last, by the database's clock.
    pub age: Duration,
}

const ATTEMPT: &str = "id, operation_name, idempotency_key, outcome, request_payload, response_payload, external_reference, \
    attempts, attempted_at, extract(epoch from clock_timestamp() - attempted_at)::float8 as age";

fn attempt(row: &PgRow) -> Result<Attempt, StoreError> {
    let outcome: String = row.try_get("outcome")?;
    Ok(Attempt {
        id: row.try_get("id")?,
        operation: row.try_get("operation_name")?,
        idempotency_key: row.try_get("idempotency_key")?,
        outcome: CallOutcome::parse(&outcome).ok_or_else(|| StoreError::Corrupt(format!("call outcome {outcome}")))?,
        request: row.try_get::<Json<Value>, _>("request_payload")?.0,
        response: row.try_get::<Option<Json<Value>>, _>("response_payload")?.map(|json| json.0),
        external_reference: row.try_get("external_reference")?,
        attempts: row.try_get::<i32, _>("attempts")?.unsigned_abs(),
        attempted_at: row.try_get("attempted_at")?,
        age: Duration::try_from_secs_f64(row.try_get("age")?).unwrap_or_default(),
    })
}

/// What is known of a call; `None`: it was never begun.
pub async fn find(tx: &mut Tx, call: &NewAttempt<'_>) -> Result<Option<Attempt>, StoreError> {
    let row = sqlx::query(AssertSqlSafe(format!(
        "select {ATTEMPT} from cpq.external_call_attempt \
         where tenant_id = $1 and system_name = $2 and operation_name = $3 and idempotency_key = $4"
    )))
    .bind(call.tenant_id)
    .bind(call.system)
    .bind(call.operation)
    .bind(call.idempotency_key)
    .fetch_optional(tx.connection())
    .await?;
    row.as_ref().map(attempt).transpose()
}

/// Every call for a business key, in the order in which they were begun.
pub async fn of_business_key(tx: &mut Tx, tenant: &str, business_key: &str) -> Result<Vec<Attempt>, StoreError> {
    let rows = sqlx::query(AssertSqlSafe(format!(
        "select {ATTEMPT} from cpq.external_call_attempt where tenant_id = $1 and business_key = $2 order by attempted_at, id"
    )))
    .bind(tenant)
    .bind(business_key)
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(attempt).collect()
}

/// Records that the call is about to be made, or made again; committed before the call. The caller has looked
/// at [`find`] and knows that it may be.
pub async fn begin(tx: &mut Tx, call: &NewAttempt<'_>) -> Result<Attempt, StoreError> {
    let row = sqlx::query(AssertSqlSafe(format!(
        "insert into cpq.external_call_attempt as a (id, tenant_id, system_name, operation_name, business_key, idempotency_key, \
           request_hash, request_payload, outcome, attempted_at, correlation_id) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, 'PENDING', clock_timestamp(), $9) \
         on conflict (tenant_id, system_name, operation_name, idempotency_key) do update set outcome = 'PENDING', \
           attempts = a.attempts + 1, attempted_at = clock_timestamp(), completed_at = null returning {ATTEMPT}"
    )))
    .bind(Uuid::now_v7())
    .bind(call.tenant_id)
    .bind(call.system)
    .bind(call.operation)
    .bind(call.business_key)
    .bind(call.idempotency_key)
    .bind(call.request_hash)
    .bind(Json(call.request))
    .bind(call.correlation_id)
    .fetch_one(tx.connection())
    .await?;
    attempt(&row)
}

/// Records what became of the call. That it succeeded stands: whoever comes later with less knows less.
pub async fn settle(
    tx: &mut Tx,
    id: Uuid,
    outcome: CallOutcome,
    response: Option<&Value>,
    external_reference: Option<&str>,
) -> Result<(), StoreError> {
    sqlx::query(
        "update cpq.external_call_attempt set outcome = $2, response_payload = $3, \
           external_reference = coalesce($4, external_reference), \
           completed_at = case when $2 in ('SUCCEEDED', 'REJECTED', 'FAILED') then clock_timestamp() end \
         where id = $1 and (outcome <> 'SUCCEEDED' or $2 = 'SUCCEEDED')",
    )
    .bind(id)
    .bind(outcome.as_str())
    .bind(response.map(Json))
    .bind(external_reference)
    .execute(tx.connection())
    .await?;
    Ok(())
}
