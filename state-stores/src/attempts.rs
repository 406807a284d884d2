//! Every call to an external system, written before it is made and settled after it: `external_call_attempt`.
//! No answer is `UNKNOWN`, never a failure.

use crate::{StoreError, Tx};
use serde_json::Value;
use sqlx::{Row, postgres::PgRow, types::Json};
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
        [Self::Pending, Self::Succeeded, Self::Rejected, Self::Failed, Self::Unknown].into_iter().find(|o| o.as_str() == text)
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
    pub outcome: CallOutcome,
    pub response: Option<Value>,
    pub external_reference: Option<String>,
    pub attempts: i32,
    pub attempted_at: OffsetDateTime,
}

fn attempt(row: &PgRow) -> Result<Attempt, StoreError> {
    let outcome: String = row.try_get("outcome")?;
    Ok(Attempt {
        id: row.try_get("id")?,
        outcome: CallOutcome::parse(&outcome).ok_or_else(|| StoreError::Corrupt(format!("call outcome {outcome}")))?,
        response: row.try_get::<Option<Json<Value>>, _>("response_payload")?.map(|json| json.0),
        external_reference: row.try_get("external_reference")?,
        attempts: row.try_get("attempts")?,
        attempted_at: row.try_get("attempted_at")?,
    })
}

/// What is known of a call; `None`: it was never begun.
pub async fn find(tx: &mut Tx, call: &NewAttempt<'_>) -> Result<Option<Attempt>, StoreError> {
    let row = sqlx::query(
        "select id, outcome, response_payload, external_reference, attempts, attempted_at from cpq.external_call_attempt \
         where tenant_id = $1 and system_name = $2 and operation_name = $3 and idempotency_key = $4",
    )
    .bind(call.tenant_id)
    .bind(call.system)
    .bind(call.operation)
    .bind(call.idempotency_key)
    .fetch_optional(tx.connection())
    .await?;
    row.as_ref().map(attempt).transpose()
}

/// Records that the call is about to be made (again). Committed before the call.
pub async fn begin(tx: &mut Tx, call: &NewAttempt<'_>) -> Result<Attempt, StoreError> {
    let row = sqlx::query(
        "insert into cpq.external_call_attempt as a (id, tenant_id, system_name, operation_name, business_key, idempotency_key, \
           request_hash, request_payload, outcome, attempted_at, correlation_id) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, 'PENDING', clock_timestamp(), $9) \
         on conflict (tenant_id, system_name, operation_name, idempotency_key) do update set outcome = 'PENDING', \
           attempts = a.attempts + 1, attempted_at = clock_timestamp(), completed_at = null where a.outcome in ('PENDING', 'FAILED', 'UNKNOWN') \
         returning id, outcome, response_payload, external_reference, attempts, attempted_at",
    )
    .bind(Uuid::now_v7())
    .bind(call.tenant_id)
    .bind(call.system)
    .bind(call.operation)
    .bind(call.business_key)
    .bind(call.idempotency_key)
    .bind(call.request_hash)
    .bind(Json(call.request))
    .bind(call.correlation_id)
    .fetch_optional(tx.connection())
    .await?;
    match row {
        Some(row) => attempt(&row),
        // It is settled already; the caller goes by that.
        None => find(tx, call).await?.ok_or_else(|| StoreError::Corrupt("an attempt neither begun nor found".to_owned())),
    }
}

/// Records what became of the call.
pub async fn settle(
    tx: &mut Tx,
    id: Uuid,
    outcome: CallOutcome,
    response: Option<&Value>,
    external_reference: Option<&str>,
) -> Result<(), StoreError> {
    sqlx::query(
        "update cpq.external_call_attempt set outcome = $2, response_payload = $3, external_reference = $4, \
           completed_at = case when $2 in ('SUCCEEDED', 'REJECTED', 'FAILED') then clock_timestamp() end where id = $1",
    )
    .bind(id)
    .bind(outcome.as_str())
    .bind(response.map(Json))
    .bind(external_reference)
    .execute(tx.connection())
    .await?;
    Ok(())
}
