//! The ledger of engine instances as the reconciler sees it, whether the business still needs each process, and
//! the two repairs. Comparing with the engine is the command line's matter.

use crate::{StoreError, Tx};
use serde::Serialize;
use sqlx::FromRow;

/// Rows of one page.
pub const PAGE: i64 = 1_000;

/// A ledger row.
#[derive(Clone, Debug, PartialEq, FromRow, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LedgerEntry {
    pub tenant_id: String,
    pub process_key: String,
    pub business_key: String,
    pub status: String,
    pub started_instance_id: Option<String>,
    pub admitted_instance_id: Option<String>,
    pub last_error: Option<String>,
    pub attempts: i32,
    /// Since it was asked for, started or admitted, whichever came last.
    pub age_seconds: f64,
    /// Whether the quote or order is in a status that waits for this process.
    pub needed: bool,
}

/// An approval is needed while its quote, at its revision, waits for it (`apr-<number>-r<revision>`); a
/// fulfilment while its order (`<order id>:<plan version>`) is not over.
const ENTRY: &str = "w.tenant_id, w.process_key, w.business_key, w.status, w.started_instance_id, w.admitted_instance_id, w.last_error, \
    w.attempts, extract(epoch from clock_timestamp() - greatest(w.requested_at, w.admitted_at))::float8 as age_seconds, \
    case w.aggregate_type \
      when 'APPROVAL' then exists (select from cpq.quote q where q.tenant_id = w.tenant_id \
        and q.quote_id = 'Q-' || substring(w.business_key from '^apr-(.*)-r[0-9]+$') \
        and q.revision::text = substring(w.business_key from '-r([0-9]+)$') \
        and q.status in ('PENDING_APPROVAL', 'PENDING_APPROVAL_WORKFLOW_START')) \
      when 'FULFILMENT' then exists (select from cpq.orders o where o.tenant_id = w.tenant_id \
        and o.order_id = split_part(w.business_key, ':', 1) and o.status not in ('COMPLETED', 'CANCELLED')) \
      else false end as needed";

/// The next page of rows that have not ended, after the given (tenant, process, business key).
pub async fn open_entries(tx: &mut Tx, after: (&str, &str, &str)) -> Result<Vec<LedgerEntry>, StoreError> {
    let rows = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "select {ENTRY} from cpq.workflow_instance w where w.status <> 'ENDED' \
           and (w.tenant_id, w.process_key, w.business_key) > ($1, $2, $3) \
         order by w.tenant_id, w.process_key, w.business_key limit $4"
    )))
    .bind(after.0)
    .bind(after.1)
    .bind(after.2)
    .bind(PAGE)
    .fetch_all(tx.connection())
    .await?;
    Ok(rows)
}

/// The rows of these business keys of a process, ended or not.
pub async fn entries_of(
    tx: &mut Tx,
    process_key: &str,
    business_keys: &[&str],
) -> Result<Vec<LedgerEntry>, StoreError> {
    let rows = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "select {ENTRY} from cpq.workflow_instance w where w.process_key = $1 and w.business_key = any($2)"
    )))
    .bind(process_key)
    .bind(business_keys)
    .fetch_all(tx.connection())
    .await?;
    Ok(rows)
}

/// Asks for the process again, as the engine has lost the instance that the row names. False if the row has
/// changed since it was read.
pub async fn request_again(tx: &mut Tx, entry: &LedgerEntry) -> Result<bool, StoreError> {
    let result = sqlx::query(
        "update cpq.workflow_instance set status = 'REQUESTED', started_instance_id = null, admitted_instance_id = null, admitted_at = null, \
           attempts = 0, requested_at = clock_timestamp(), not_before = '-infinity', last_error = 'the engine has lost its instance' \
         where tenant_id = $1 and process_key = $2 and business_key = $3 and status = $4 \
           and started_instance_id is not distinct from $5 and admitted_instance_id is not distinct from $6",
    )
    .bind(&entry.tenant_id)
    .bind(&entry.process_key)
    .bind(&entry.business_key)
    .bind(&entry.status)
    .bind(&entry.started_instance_id)
    .bind(&entry.admitted_instance_id)
    .execute(tx.connection())
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Closes a row whose instance is over. False if the row has changed since it was read.
pub async fn close(tx: &mut Tx, entry: &LedgerEntry, reason: &str) -> Result<bool, StoreError> {
    let result = sqlx::query(
        "update cpq.workflow_instance set status = 'ENDED', ended_at = clock_timestamp(), end_reason = $5 \
         where tenant_id = $1 and process_key = $2 and business_key = $3 and status = $4 \
           and admitted_instance_id is not distinct from $6",
    )
    .bind(&entry.tenant_id)
    .bind(&entry.process_key)
    .bind(&entry.business_key)
    .bind(&entry.status)
    .bind(reason)
    .bind(&entry.admitted_instance_id)
    .execute(tx.connection())
    .await?;
    Ok(result.rows_affected() == 1)
}
