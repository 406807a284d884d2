//! The read models: loaded by key set, brought forward in memory, written as sets. Lists for people are read
//! in `reads`. Tables are named without their schema, so that the same statements fill a rebuild's tables
//! (`operations::rebuild`), which come first in its search path.

use crate::aggregates::AggregateKey;
use crate::{StoreError, Tx};
use cpq_domain::ids::TenantId;
use serde::{Deserialize, Serialize};
use sqlx::{Row, types::Json};
use std::collections::HashMap;
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

const LOAD_WORKSPACE: &str = "select tenant_id, quote_id, to_jsonb(v) || jsonb_build_object('total_amount', total_amount::text) \
    from quote_workspace_view v where (tenant_id, quote_id) in (select * from unnest($1::text[], $2::text[]))";
const LOAD_OPERATIONS: &str = "select tenant_id, order_id, to_jsonb(v) || jsonb_build_object('total_amount', total_amount::text) \
    from order_operations_view v where (tenant_id, order_id) in (select * from unnest($1::text[], $2::text[]))";
const LOAD_TASKS: &str = "select tenant_id, coalesce(quote_id, order_id), to_jsonb(v) from approval_worklist_view v \
    where (tenant_id, quote_id) in (select * from unnest($1::text[], $2::text[])) \
       or (tenant_id, order_id) in (select * from unnest($1::text[], $2::text[])) order by task_id";

/// The workspace rows of these quotes.
pub async fn workspace(tx: &mut Tx, keys: &[AggregateKey]) -> Result<HashMap<AggregateKey, WorkspaceRow>, StoreError> {
    Ok(load(tx, LOAD_WORKSPACE, keys).await?.into_iter().collect())
}

/// The operations rows of these orders.
pub async fn operations(
    tx: &mut Tx,
    keys: &[AggregateKey],
) -> Result<HashMap<AggregateKey, OperationsRow>, StoreError> {
    Ok(load(tx, LOAD_OPERATIONS, keys).await?.into_iter().collect())
}

/// The tasks of these quotes or orders.
pub async fn tasks(tx: &mut Tx, keys: &[AggregateKey]) -> Result<HashMap<AggregateKey, Vec<TaskRow>>, StoreError> {
    let mut tasks: HashMap<AggregateKey, Vec<TaskRow>> = HashMap::new();
    for (key, task) in load(tx, LOAD_TASKS, keys).await? {
        tasks.entry(key).or_default().push(task);
    }
    Ok(tasks)
}

async fn load<R>(tx: &mut Tx, query: &'static str, keys: &[AggregateKey]) -> Result<Vec<(AggregateKey, R)>, StoreError>
where
    R: for<'de> Deserialize<'de> + Send + Unpin + 'static,
{
    let rows = sqlx::query(query)
        .bind(keys.iter().map(|(tenant, _)| tenant.as_str()).collect::<Vec<_>>())
        .bind(keys.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>())
        .fetch_all(tx.connection())
        .await?;
    rows.iter()
        .map(|row| {
            let key = (TenantId::new(row.try_get::<String, _>(0)?), row.try_get(1)?);
            let Json(value): Json<R> = row.try_get(2)?;
            Ok((key, value))
        })
        .collect()
}

pub async fn save_workspace(tx: &mut Tx, rows: &[&WorkspaceRow]) -> Result<(), StoreError> {
    let statement = "insert into quote_workspace_view select * from jsonb_populate_recordset(null::quote_workspace_view, $1) \
        on conflict (tenant_id, quote_id) do update set current_revision = excluded.current_revision, status = excluded.status, \
          total_amount = excluded.total_amount, approval_status = excluded.approval_status, \
          artifact_status = excluded.artifact_status, order_id = excluded.order_id, updated_at = excluded.updated_at, \
          projection_version = excluded.projection_version";
    save(tx, statement, rows).await
}

pub async fn save_operations(tx: &mut Tx, rows: &[&OperationsRow]) -> Result<(), StoreError> {
    let statement = "insert into order_operations_view select * from jsonb_populate_recordset(null::order_operations_view, $1) \
        on conflict (tenant_id, order_id) do update set current_revision = excluded.current_revision, status = excluded.status, \
          steps_completed = excluded.steps_completed, open_fallout = excluded.open_fallout, detail = excluded.detail, \
          updated_at = excluded.updated_at, projection_version = excluded.projection_version";
    save(tx, statement, rows).await
}

pub async fn save_tasks(tx: &mut Tx, rows: &[&TaskRow]) -> Result<(), StoreError> {
    let statement = "insert into approval_worklist_view select * from jsonb_populate_recordset(null::approval_worklist_view, $1) \
        on conflict (tenant_id, task_id) do update set status = excluded.status, assignee = excluded.assignee, \
          escalated_role = excluded.escalated_role, due_at = excluded.due_at, escalated = excluded.escalated, \
          updated_at = excluded.updated_at, projection_version = excluded.projection_version";
    save(tx, statement, rows).await
}

pub async fn save_timeline(tx: &mut Tx, rows: &[&TimelineRow]) -> Result<(), StoreError> {
    let statement = "insert into customer_commercial_timeline_view \
        select * from jsonb_populate_recordset(null::customer_commercial_timeline_view, $1) on conflict do nothing";
    save(tx, statement, rows).await
}

async fn save<R: Serialize + Sync>(tx: &mut Tx, statement: &'static str, rows: &[&R]) -> Result<(), StoreError> {
    if !rows.is_empty() {
        sqlx::query(statement).bind(Json(rows)).execute(tx.connection()).await?;
    }
    Ok(())
}

/// Notes how far a partition has been shown: the time of its newest event.
pub async fn progress(
    tx: &mut Tx,
    consumer: &str,
    topic: &str,
    partition: i32,
    as_of: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into view_progress as p (consumer, topic, partition, as_of) values ($1, $2, $3, $4) \
         on conflict (consumer, topic, partition) do update set as_of = greatest(p.as_of, excluded.as_of)",
    )
    .bind(consumer)
    .bind(topic)
    .bind(partition)
    .bind(as_of)
    .execute(tx.connection())
    .await?;
    Ok(())
}
