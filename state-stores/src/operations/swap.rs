//! The live views made equal to a rebuild in one transaction. Readers go on throughout and see all of it or
//! none; the projection's batches come wholly before it or wholly after it. Filling the rebuild is the command
//! line's matter, its tables are `rebuild`'s.

use super::rebuild;
use crate::{Db, StoreError, Tx};
use serde::Serialize;
use sqlx::AssertSqlSafe;

/// What the session of a rebuild has on top of every connection's settings.
///
/// Only temporary tables are found by name: were the connection lost and made again, the next statement would find
/// no views at all, rather than the live ones. Comparing millions of rows takes longer than a service's statement
/// may, and hashes of them want more memory than a service's. A plan that was made when the rebuild was empty would read
/// all of it for each batch, for ever: nobody tells the planner that a temporary table grows.
const SESSION: &[(&str, &str)] = &[
    ("search_path", "pg_temp"),
    ("statement_timeout", "15min"),
    ("temp_buffers", "128MB"),
    ("work_mem", "64MB"),
    ("plan_cache_mode", "force_custom_plan"),
];

/// The four views.
pub const VIEWS: [&str; 4] =
    ["quote_workspace_view", "order_operations_view", "approval_worklist_view", "customer_commercial_timeline_view"];

/// Where the rows of a view belong.
struct Columns {
    /// What tells its rows apart within a tenant.
    key: &'static str,
    /// The quote or order that a row is about.
    aggregate: &'static str,
}

fn columns(view: &str) -> Result<Columns, StoreError> {
    match view {
        "quote_workspace_view" => Ok(Columns { key: "quote_id", aggregate: "quote_id" }),
        "order_operations_view" => Ok(Columns { key: "order_id", aggregate: "order_id" }),
        "approval_worklist_view" => Ok(Columns { key: "task_id", aggregate: "coalesce(quote_id, order_id)" }),
        "customer_commercial_timeline_view" => {
            Ok(Columns { key: "aggregate_id, aggregate_sequence", aggregate: "aggregate_id" })
        }
        other => Err(StoreError::Corrupt(format!("{other} is no view"))),
    }
}

/// A session with empty views of its own, which the statements of `views` find instead of the live ones.
pub async fn open(url: &str, application: &str) -> Result<Db, StoreError> {
    let session = Db::connect_session(url, application, SESSION)?;
    let mut tx = session.begin_system().await?;
    rebuild::prepare_session(&mut tx).await?;
    tx.commit().await?;
    Ok(session)
}

/// How far the live projection has come in a partition: the offset of its next event.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Shown {
    pub topic: String,
    pub partition: i32,
    pub next_offset: i64,
}

/// How far the consumer has come, in every partition that it has ever had.
pub async fn shown(tx: &mut Tx, consumer: &str) -> Result<Vec<Shown>, StoreError> {
    let query = "select topic, partition, next_offset from cpq.consumer_position where consumer = $1 \
                 order by topic, partition";
    Ok(sqlx::query_as(query).bind(consumer).fetch_all(tx.connection()).await?)
}

/// Holds the views as they are until the transaction ends, and tells how far they have come. Reading goes on.
///
/// Positions first, as in a batch of the projection (`positions::advance`), so that the two never wait for each
/// other; then the tables, for whoever else would write and for partitions that have had no position yet.
pub async fn hold(tx: &mut Tx, consumer: &str) -> Result<Vec<Shown>, StoreError> {
    sqlx::query("select from cpq.consumer_position where consumer = $1 order by topic, partition for no key update")
        .bind(consumer)
        .execute(tx.connection())
        .await?;
    let tables = VIEWS.map(|view| format!("cpq.{view}")).join(", ");
    let lock = format!("lock table {tables} in share row exclusive mode");
    sqlx::query(AssertSqlSafe(lock)).execute(tx.connection()).await?;
    shown(tx, consumer).await
}

/// What is to become equal to the rebuild.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    pub views: &'a [String],
    /// Only this tenant; the rebuild must hold no other's rows then.
    pub tenant: Option<&'a str>,
    /// Quotes and orders whose rows stay as they are, in every view.
    pub left: &'a [&'a str],
}

/// What became of a view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Swapped {
    pub view: String,
    /// Rows that the rebuild has.
    pub rows: i64,
    /// Live rows that it does not have, or not like that.
    pub removed: u64,
    /// Rows of the rebuild that were not there, or not like that.
    pub written: u64,
}

/// Makes the live views equal to the rebuild, to the last byte; rows that are equal are not touched, so that a
/// second time nothing is written. Must be held ([`hold`]) and at the same positions.
///
/// Where not all views are swapped, quotes and orders that the live views show at another sequence stay as they are:
/// half of their views would be ahead of the rest. Returns how many.
pub async fn swap(tx: &mut Tx, consumer: &str, scope: &Scope<'_>) -> Result<(Vec<Swapped>, i64), StoreError> {
    rebuild::analyze(tx).await?;
    let whole = VIEWS.iter().all(|view| scope.views.iter().any(|wanted| wanted == view));
    let in_motion = leave(tx, scope, whole).await?;
    let mut swapped = Vec::new();
    for view in scope.views {
        swapped.push(swap_view(tx, view, scope.tenant).await?);
    }
    if whole && scope.tenant.is_none() {
        let statement = "insert into cpq.view_progress as p select * from pg_temp.view_progress where consumer = $1 \
            on conflict (consumer, topic, partition) do update set as_of = excluded.as_of where p.as_of < excluded.as_of";
        sqlx::query(statement).bind(consumer).execute(tx.connection()).await?;
    }
    Ok((swapped, in_motion))
}

/// Collects what stays as it is in `pg_temp.left_as_is`; returns how many of it another sequence has left.
async fn leave(tx: &mut Tx, scope: &Scope<'_>, whole: bool) -> Result<i64, StoreError> {
    let create = "create temporary table left_as_is (id text primary key) on commit drop";
    sqlx::query(create).execute(tx.connection()).await?;
    let insert = "insert into left_as_is select distinct unnest($1::text[])";
    sqlx::query(insert).bind(scope.left).execute(tx.connection()).await?;
    if whole {
        return Ok(0);
    }
    let insert = "insert into left_as_is select distinct id from ( \
          select tenant_id, quote_id as id, projection_version as live from cpq.quote_workspace_view \
          union all select tenant_id, order_id, projection_version from cpq.order_operations_view) l \
        full join ( \
          select tenant_id, quote_id as id, projection_version as rebuilt from pg_temp.quote_workspace_view \
          union all select tenant_id, order_id, projection_version from pg_temp.order_operations_view) r \
          using (tenant_id, id) \
        where live is distinct from rebuilt and ($1::text is null or tenant_id = $1) on conflict do nothing";
    Ok(sqlx::query(insert).bind(scope.tenant).execute(tx.connection()).await?.rows_affected() as i64)
}

async fn swap_view(tx: &mut Tx, view: &str, tenant: Option<&str>) -> Result<Swapped, StoreError> {
    let Columns { key, aggregate } = columns(view)?;
    let on = key.split(", ").map(|column| format!("l.{column} = r.{column}")).collect::<Vec<_>>().join(" and ");
    let on = format!("l.tenant_id = r.tenant_id and {on}");
    let counted = format!("select count(*) from pg_temp.{view}");
    let rows: i64 = sqlx::query_scalar(AssertSqlSafe(counted)).fetch_one(tx.connection()).await?;
    // `*=` compares bytes: to it, 1.0 is not 1.00.
    let delete = format!(
        "delete from cpq.{view} l where ($1::text is null or l.tenant_id = $1) \
           and {aggregate} not in (select id from pg_temp.left_as_is) \
           and not exists (select from pg_temp.{view} r where {on} and l *= r)"
    );
    let removed = sqlx::query(AssertSqlSafe(delete)).bind(tenant).execute(tx.connection()).await?.rows_affected();
    let insert = format!(
        "insert into cpq.{view} select r.* from pg_temp.{view} r \
         where {aggregate} not in (select id from pg_temp.left_as_is) \
           and not exists (select from cpq.{view} l where {on})"
    );
    let written = sqlx::query(AssertSqlSafe(insert)).execute(tx.connection()).await?.rows_affected();
    Ok(Swapped { view: view.to_owned(), rows, removed, written })
}
