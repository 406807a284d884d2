//! What people ask for: the truth by id, evidence and history of one quote or order, and pages of the views.
//! Every query names the tenant beside the row level security, so that its index serves.

use crate::{StoreError, Tx};
use cpq_domain::ids::{ArtifactId, CustomerAccountId, PriceResultId, QuoteId, TenantId};
use cpq_domain::moment::Moment;
use serde::{Deserialize, de::DeserializeOwned};
use sqlx::postgres::PgRow;
use sqlx::{Row, types::Json};
use time::OffsetDateTime;

/// Which customer accounts a reader may see.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Accounts {
    All,
    These(Vec<String>),
}

impl Accounts {
    /// For a filter of the form `$n::text[] is null or account = any($n)`.
    fn bound(&self) -> Option<&[String]> {
        match self {
            Self::All => None,
            Self::These(accounts) => Some(accounts),
        }
    }
}

/// One transition with what led to it.
#[derive(Clone, Debug)]
pub struct HistoryEntry {
    pub sequence: u64,
    pub revision: u32,
    pub event_id: String,
    pub event_type: String,
    pub from_status: Option<String>,
    pub to_status: String,
    pub actor_id: String,
    pub actor_type: String,
    pub correlation_id: String,
    pub causation_id: String,
    /// The operation of the command that caused it.
    pub operation: Option<String>,
    /// The event's own words.
    pub payload: serde_json::Value,
    pub occurred_at: Moment,
}

/// Transitions of an aggregate after a sequence, in order.
pub async fn history(
    tx: &mut Tx,
    tenant: &TenantId,
    aggregate_id: &str,
    after: u64,
    limit: i64,
) -> Result<Vec<HistoryEntry>, StoreError> {
    let rows = sqlx::query(
        "select l.*, c.operation from cpq.transition_log l \
         left join cpq.command c on c.tenant_id = l.tenant_id and c.command_id = l.causation_id \
         where l.tenant_id = $1 and l.aggregate_id = $2 and l.aggregate_sequence > $3 order by l.aggregate_sequence limit $4",
    )
    .bind(tenant.as_str())
    .bind(aggregate_id)
    .bind(i64::try_from(after).unwrap_or(i64::MAX))
    .bind(limit)
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(history_entry).collect()
}

fn history_entry(row: &PgRow) -> Result<HistoryEntry, StoreError> {
    let Json(event): Json<serde_json::Value> = row.try_get("payload")?;
    Ok(HistoryEntry {
        sequence: row.try_get::<i64, _>("aggregate_sequence")?.unsigned_abs(),
        revision: row.try_get::<i32, _>("aggregate_revision")?.unsigned_abs(),
        event_id: row.try_get("event_id")?,
        event_type: row.try_get("event_type")?,
        from_status: row.try_get("from_status")?,
        to_status: row.try_get("to_status")?,
        actor_id: row.try_get("actor_id")?,
        actor_type: row.try_get("actor_type")?,
        correlation_id: row.try_get("correlation_id")?,
        causation_id: row.try_get("causation_id")?,
        operation: row.try_get("operation")?,
        payload: event.get("payload").cloned().unwrap_or_default(),
        occurred_at: Moment::new(row.try_get("occurred_at")?),
    })
}

/// The stored trace of a price, with its hash.
pub struct StoredTrace {
    /// Canonical JSON.
    pub trace: String,
    pub trace_hash: String,
    pub revision: u32,
}

pub async fn price_trace(
    tx: &mut Tx,
    tenant: &TenantId,
    quote: &QuoteId,
    price: &PriceResultId,
) -> Result<Option<StoredTrace>, StoreError> {
    let row = sqlx::query(
        "select trace, trace_hash, revision from cpq.quote_price_result \
         where tenant_id = $1 and quote_id = $2 and price_result_id = $3",
    )
    .bind(tenant.as_str())
    .bind(quote.as_str())
    .bind(price.as_str())
    .fetch_optional(tx.connection())
    .await?;
    row.map(|row| {
        Ok(StoredTrace {
            trace: row.try_get(0)?,
            trace_hash: row.try_get(1)?,
            revision: row.try_get::<i32, _>(2)?.unsigned_abs(),
        })
    })
    .transpose()
}

/// The metadata of one artifact of a quote, whatever revision it belongs to.
pub async fn artifact(
    tx: &mut Tx,
    tenant: &TenantId,
    quote: &QuoteId,
    artifact: &ArtifactId,
) -> Result<Option<cpq_domain::quote::Artifact>, StoreError> {
    let row = sqlx::query(
        "select json_build_object('artifactId', artifact_id, 'quoteRevision', quote_revision, 'artifactType', artifact_type, \
           'templateId', template_id, 'templateVersion', template_version, 'inputHash', input_hash, 'contentHash', content_hash, \
           'storageUri', storage_uri, 'sizeBytes', size_bytes, 'generatedBy', generated_by, \
           'generatedAt', to_char(generated_at at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')) \
         from cpq.quote_artifact where tenant_id = $1 and quote_id = $2 and artifact_id = $3",
    )
    .bind(tenant.as_str())
    .bind(quote.as_str())
    .bind(artifact.as_str())
    .fetch_optional(tx.connection())
    .await?;
    row.map(|row| Ok(row.try_get::<Json<cpq_domain::quote::Artifact>, _>(0)?.0)).transpose()
}

/// The account that an aggregate belongs to.
pub async fn account_of(
    tx: &mut Tx,
    tenant: &TenantId,
    aggregate_id: &str,
) -> Result<Option<CustomerAccountId>, StoreError> {
    let row = sqlx::query(
        "select customer_account_id from cpq.quote where tenant_id = $1 and quote_id = $2 \
         union all select customer_account_id from cpq.orders where tenant_id = $1 and order_id = $2",
    )
    .bind(tenant.as_str())
    .bind(aggregate_id)
    .fetch_optional(tx.connection())
    .await?;
    row.map(|row| Ok(CustomerAccountId::new(row.try_get::<String, _>(0)?))).transpose()
}

/// The customer segments of these accounts; of all customers, where all may be seen.
pub async fn segments(tx: &mut Tx, tenant: &TenantId, accounts: &Accounts) -> Result<Vec<String>, StoreError> {
    let rows = sqlx::query(
        "select distinct segment from cpq.customer where tenant_id = $1 and ($2::text[] is null or customer_account_id = any($2)) \
         order by segment",
    )
    .bind(tenant.as_str())
    .bind(accounts.bound())
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// How far the views have come: the time of the newest event that they show of these topics. `None` before the
/// first.
pub async fn view_as_of(tx: &mut Tx, topics: &[&str]) -> Result<Option<Moment>, StoreError> {
    let row = sqlx::query("select max(as_of) from cpq.view_progress where topic = any($1)")
        .bind(topics)
        .fetch_one(tx.connection())
        .await?;
    Ok(row.try_get::<Option<OffsetDateTime>, _>(0)?.map(Moment::new))
}

/// What a search for quotes or orders asks for.
#[derive(Clone, Debug)]
pub struct Search<'a> {
    pub tenant: &'a TenantId,
    pub accounts: &'a Accounts,
    pub status: Option<&'a str>,
    pub customer: Option<&'a str>,
    pub owner: Option<&'a str>,
    /// Found in ids, the customer's name or the external reference.
    pub text: Option<&'a str>,
    /// Ids below this one: the last of the page before.
    pub before: Option<&'a str>,
    pub limit: i64,
}

const SEARCH_QUOTES: &str = "select to_jsonb(v) || jsonb_build_object('total_amount', v.total_amount::text) from cpq.quote_workspace_view v \
   where tenant_id = $1 and ($2::text[] is null or customer_account_id = any($2)) and ($3::text is null or status = $3) \
     and ($4::text is null or customer_account_id = $4) and ($5::text is null or sales_owner_id = $5) \
     and ($6::text is null or quote_id ilike $6 or customer_name ilike $6 or customer_account_id ilike $6 or external_reference ilike $6 \
       or order_id ilike $6) \
     and ($7::text is null or quote_id < $7) order by quote_id desc limit $8";
const SEARCH_ORDERS: &str = "select to_jsonb(v) || jsonb_build_object('total_amount', v.total_amount::text) from cpq.order_operations_view v \
   where tenant_id = $1 and ($2::text[] is null or customer_account_id = any($2)) and ($3::text is null or status = $3) \
     and ($4::text is null or customer_account_id = $4) and ($5::text is null or sales_owner_id = $5) \
     and ($6::text is null or order_id ilike $6 or quote_id ilike $6 or customer_name ilike $6 or customer_account_id ilike $6) \
     and ($7::text is null or order_id < $7) order by order_id desc limit $8";

/// Quotes of the workspace view, newest id first.
pub async fn search_quotes<R: DeserializeOwned + Send + Unpin + 'static>(
    tx: &mut Tx,
    search: &Search<'_>,
) -> Result<Vec<R>, StoreError> {
    search_view(tx, SEARCH_QUOTES, search).await
}

/// Orders of the operations view, newest id first.
pub async fn search_orders<R: DeserializeOwned + Send + Unpin + 'static>(
    tx: &mut Tx,
    search: &Search<'_>,
) -> Result<Vec<R>, StoreError> {
    search_view(tx, SEARCH_ORDERS, search).await
}

async fn search_view<R: DeserializeOwned + Send + Unpin + 'static>(
    tx: &mut Tx,
    query: &'static str,
    search: &Search<'_>,
) -> Result<Vec<R>, StoreError> {
    let rows = sqlx::query(query)
        .bind(search.tenant.as_str())
        .bind(search.accounts.bound())
        .bind(search.status)
        .bind(search.customer)
        .bind(search.owner)
        .bind(search.text.map(containing))
        .bind(search.before)
        .bind(search.limit)
        .fetch_all(tx.connection())
        .await?;
    rows.iter().map(|row| Ok(row.try_get::<Json<R>, _>(0)?.0)).collect()
}

/// A LIKE pattern for text anywhere, with LIKE's own characters taken literally.
fn containing(text: &str) -> String {
    format!("%{}%", text.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_"))
}

/// What a look at the worklist asks for.
#[derive(Clone, Debug)]
pub struct TaskSearch<'a> {
    pub tenant: &'a TenantId,
    pub accounts: &'a Accounts,
    /// Candidate roles; `None`: whatever the role.
    pub roles: Option<&'a [String]>,
    pub task_type: Option<&'a str>,
    pub statuses: &'a [&'a str],
    pub assignee: Option<&'a str>,
    pub after: Option<&'a str>,
    pub limit: i64,
}

/// Tasks of the worklist view, by id. A task whose assignee looks for it is shown whatever its role.
pub async fn tasks<R: DeserializeOwned + Send + Unpin + 'static>(
    tx: &mut Tx,
    search: &TaskSearch<'_>,
) -> Result<Vec<R>, StoreError> {
    let rows = sqlx::query(
        "select to_jsonb(v) from cpq.approval_worklist_view v where tenant_id = $1 \
           and ($2::text[] is null or customer_account_id = any($2)) \
           and ($3::text[] is null or candidate_role = any($3) or escalated_role = any($3) or assignee = $6) \
           and ($4::text is null or type = $4) and status = any($5) and ($6::text is null or assignee = $6) \
           and ($7::text is null or task_id > $7) order by task_id limit $8",
    )
    .bind(search.tenant.as_str())
    .bind(search.accounts.bound())
    .bind(search.roles)
    .bind(search.task_type)
    .bind(search.statuses)
    .bind(search.assignee)
    .bind(search.after)
    .bind(search.limit)
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(|row| Ok(row.try_get::<Json<R>, _>(0)?.0)).collect()
}

/// Where a page of the timeline ended.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, Deserialize)]
pub struct TimelinePosition {
    pub occurred_at: Moment,
    pub aggregate_id: String,
    pub aggregate_sequence: u64,
}

/// A customer's commercial timeline, newest first.
pub async fn timeline<R: DeserializeOwned + Send + Unpin + 'static>(
    tx: &mut Tx,
    tenant: &TenantId,
    account: &CustomerAccountId,
    before: Option<&TimelinePosition>,
    limit: i64,
) -> Result<Vec<R>, StoreError> {
    let rows = sqlx::query(
        "select to_jsonb(v) from cpq.customer_commercial_timeline_view v where tenant_id = $1 and customer_account_id = $2 \
           and ($3::timestamptz is null or (occurred_at, aggregate_id, aggregate_sequence) < ($3, $4, $5)) \
         order by occurred_at desc, aggregate_id desc, aggregate_sequence desc limit $6",
    )
    .bind(tenant.as_str())
    .bind(account.as_str())
    .bind(before.map(|p| p.occurred_at.into_inner()))
    .bind(before.map(|p| p.aggregate_id.as_str()))
    .bind(before.map(|p| i64::try_from(p.aggregate_sequence).unwrap_or(i64::MAX)))
    .bind(limit)
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(|row| Ok(row.try_get::<Json<R>, _>(0)?.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_text_is_taken_literally() {
        assert_eq!(containing(r"50%_\"), r"%50\%\_\\%");
    }
}
