//! The read models: loaded by key set, brought forward in memory, written as sets. Lists for people are read
//! in `reads`. Tables are named without their schema, so that the same statements fill a rebuild's tables
//! (`operations::rebuild`), which come first in its search path.

use crate::aggregates::AggregateKey;
use crate::{StoreError, Tx};
use cpq_domain::ids::TenantId;
use serde::{Deserialize, Serialize};
use sqlx::{Row, types::Json};
use std::collections::{BTreeMap, HashMap};
use time::OffsetDateTime;

/// `quote_workspace_view`. Its `projection_version` fences all views of the quote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkspaceRow {
    pub tenant_id: String,
    pub quote_id: String,
    pub current_revision: u32,
    pub status: String,
    pub customer_account_id: String,
    pub customer_name: String,
    pub sales_owner_id: String,
    pub external_reference: Option<String>,
    pub total_amount: Option<String>,
    pub currency: String,
    pub approval_status: Option<String>,
    pub artifact_status: Option<String>,
    pub order_id: Option<String>,
    pub created_at: String,
    pub updated_at: String,
    pub projection_version: u64,
}

/// `order_operations_view`. Its `projection_version` fences all views of the order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationsRow {
    pub tenant_id: String,
    pub order_id: String,
    pub quote_id: String,
    pub current_revision: u32,
    pub status: String,
    pub customer_account_id: String,
    pub customer_name: String,
    pub sales_owner_id: String,
    pub total_amount: String,
    pub currency: String,
    pub steps_total: u32,
    pub steps_completed: u32,
    pub open_fallout: u32,
    pub detail: OperationsDetail,
    pub created_at: String,
    pub updated_at: String,
    pub projection_version: u64,
}

/// What the counts of an operations row are made of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationsDetail {
    pub completed_steps: Vec<String>,
    pub open_fallout: Vec<String>,
}

/// `approval_worklist_view`: one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskRow {
    pub tenant_id: String,
    pub task_id: String,
    pub r#type: String,
    pub status: String,
    pub quote_id: Option<String>,
    pub order_id: Option<String>,
    pub quote_revision: Option<u32>,
    pub customer_account_id: String,
    pub candidate_role: String,
    pub escalated_role: Option<String>,
    pub approval_order: Option<u32>,
    pub assignee: Option<String>,
    pub requested_by: Option<String>,
    pub sla_hours: Option<u32>,
    pub created_at: String,
    pub due_at: Option<String>,
    pub escalated: bool,
    pub updated_at: String,
    pub projection_version: u64,
}

/// `customer_commercial_timeline_view`: one event in a sentence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimelineRow {
    pub tenant_id: String,
    pub customer_account_id: String,
    pub aggregate_type: String,
    pub aggregate_id: String,
    pub aggregate_sequence: u64,
    pub event_type: String,
    pub summary: String,
    pub actor_id: String,
    pub occurred_at: String,
    pub projection_version: u64,
}

/// What the views show of a quote or an order: its row, and its tasks by id.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown<R> {
    pub row: R,
    pub tasks: Vec<TaskRow>,
}

const LOAD_QUOTES: &str = "select tenant_id, quote_id, to_jsonb(v) || jsonb_build_object('total_amount', total_amount::text), \
      (select jsonb_agg(t order by t.task_id) from approval_worklist_view t where t.tenant_id = v.tenant_id and t.quote_id = v.quote_id) \
    from quote_workspace_view v where (tenant_id, quote_id) in (select * from unnest($1::text[], $2::text[]))";
const LOAD_ORDERS: &str = "select tenant_id, order_id, to_jsonb(v) || jsonb_build_object('total_amount', total_amount::text), \
      (select jsonb_agg(t order by t.task_id) from approval_worklist_view t where t.tenant_id = v.tenant_id and t.order_id = v.order_id) \
    from order_operations_view v where (tenant_id, order_id) in (select * from unnest($1::text[], $2::text[]))";

/// What is shown of these quotes.
pub async fn quotes(
    tx: &mut Tx,
    keys: &[AggregateKey],
) -> Result<HashMap<AggregateKey, Shown<WorkspaceRow>>, StoreError> {
    load(tx, LOAD_QUOTES, keys).await
}

/// What is shown of these orders.
pub async fn orders(
    tx: &mut Tx,
    keys: &[AggregateKey],
) -> Result<HashMap<AggregateKey, Shown<OperationsRow>>, StoreError> {
    load(tx, LOAD_ORDERS, keys).await
}

async fn load<R>(
    tx: &mut Tx,
    query: &'static str,
    keys: &[AggregateKey],
) -> Result<HashMap<AggregateKey, Shown<R>>, StoreError>
where
    R: for<'de> Deserialize<'de> + Send + Unpin + 'static,
{
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query(query)
        .bind(keys.iter().map(|(tenant, _)| tenant.as_str()).collect::<Vec<_>>())
        .bind(keys.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>())
        .fetch_all(tx.connection())
        .await?;
    rows.iter()
        .map(|row| {
            let key = (TenantId::new(row.try_get::<String, _>(0)?), row.try_get(1)?);
            let Json(shown): Json<R> = row.try_get(2)?;
            let tasks: Option<Json<Vec<TaskRow>>> = row.try_get(3)?;
            Ok((key, Shown { row: shown, tasks: tasks.map(|Json(tasks)| tasks).unwrap_or_default() }))
        })
        .collect()
}

/// Rows that a batch has changed, and how far it got.
pub struct Changes<'a> {
    pub workspace: Vec<&'a WorkspaceRow>,
    pub operations: Vec<&'a OperationsRow>,
    pub tasks: Vec<&'a TaskRow>,
    pub timeline: Vec<&'a TimelineRow>,
    pub consumer: &'a str,
    /// The time of the newest event in each partition.
    pub progress: BTreeMap<(&'a str, i32), OffsetDateTime>,
}

const SAVE: &str = "with workspace as ( \
    insert into quote_workspace_view select * from jsonb_populate_recordset(null::quote_workspace_view, $1) \
    on conflict (tenant_id, quote_id) do update set current_revision = excluded.current_revision, status = excluded.status, \
      total_amount = excluded.total_amount, approval_status = excluded.approval_status, \
      artifact_status = excluded.artifact_status, order_id = excluded.order_id, updated_at = excluded.updated_at, \
      projection_version = excluded.projection_version), \
  operations as ( \
    insert into order_operations_view select * from jsonb_populate_recordset(null::order_operations_view, $2) \
    on conflict (tenant_id, order_id) do update set current_revision = excluded.current_revision, status = excluded.status, \
      steps_completed = excluded.steps_completed, open_fallout = excluded.open_fallout, detail = excluded.detail, \
      updated_at = excluded.updated_at, projection_version = excluded.projection_version), \
  tasks as ( \
    insert into approval_worklist_view select * from jsonb_populate_recordset(null::approval_worklist_view, $3) \
    on conflict (tenant_id, task_id) do update set status = excluded.status, assignee = excluded.assignee, \
      escalated_role = excluded.escalated_role, due_at = excluded.due_at, escalated = excluded.escalated, \
      updated_at = excluded.updated_at, projection_version = excluded.projection_version), \
  timeline as ( \
    insert into customer_commercial_timeline_view (tenant_id, customer_account_id, aggregate_type, aggregate_id, \
      aggregate_sequence, event_type, summary, actor_id, occurred_at, projection_version) \
    select tenant_id, customer_account_id, aggregate_type, aggregate_id, \
      aggregate_sequence, event_type, summary, actor_id, occurred_at::timestamptz, projection_version \
    from unnest($8::text[], $9::text[], $10::text[], $11::text[], $12::bigint[], $13::text[], $14::text[], $15::text[], \
        $16::text[], $17::bigint[]) \
      as t (tenant_id, customer_account_id, aggregate_type, aggregate_id, aggregate_sequence, event_type, summary, \
        actor_id, occurred_at, projection_version) on conflict do nothing) \
  insert into view_progress as p (consumer, topic, partition, as_of) select $4, r.* from unnest($5::text[], $6::int[], $7::timestamptz[]) r \
  on conflict (consumer, topic, partition) do update set as_of = greatest(p.as_of, excluded.as_of)";

/// Writes the changes, in one statement. The timeline has a row for each event, and goes column by column: that costs
/// less than reading each row out of JSON.
pub async fn save(tx: &mut Tx, changes: &Changes<'_>) -> Result<(), StoreError> {
    let text = |of: fn(&TimelineRow) -> &str| changes.timeline.iter().map(|row| of(row)).collect::<Vec<_>>();
    let number = |of: fn(&TimelineRow) -> u64| changes.timeline.iter().map(|row| of(row) as i64).collect::<Vec<_>>();
    sqlx::query(SAVE)
        .bind(Json(&changes.workspace))
        .bind(Json(&changes.operations))
        .bind(Json(&changes.tasks))
        .bind(changes.consumer)
        .bind(changes.progress.keys().map(|(topic, _)| *topic).collect::<Vec<_>>())
        .bind(changes.progress.keys().map(|(_, partition)| *partition).collect::<Vec<_>>())
        .bind(changes.progress.values().copied().collect::<Vec<_>>())
        .bind(text(|row| &row.tenant_id))
        .bind(text(|row| &row.customer_account_id))
        .bind(text(|row| &row.aggregate_type))
        .bind(text(|row| &row.aggregate_id))
        .bind(number(|row| row.aggregate_sequence))
        .bind(text(|row| &row.event_type))
        .bind(text(|row| &row.summary))
        .bind(text(|row| &row.actor_id))
        .bind(text(|row| &row.occurred_at))
        .bind(number(|row| row.projection_version))
        .execute(tx.connection())
        .await?;
    Ok(())
}
