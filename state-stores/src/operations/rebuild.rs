//! The views made again beside the live ones: temporary tables of the same form, which the statements of
//! `views` find first, and the comparison of both.

use crate::{StoreError, Tx};
use sqlx::{AssertSqlSafe, FromRow};

/// Differences that are told; the first ones are enough to know that views must be made again.
pub const MAX_DIFFERENCES: i64 = 100;

/// A row of a view that is not what a rebuild gives.
#[derive(Clone, Debug, FromRow)]
pub struct Difference {
    pub view: String,
    /// The row's key within its view.
    pub key: String,
    /// The live row as JSON; `None`: there is none.
    pub live: Option<String>,
    /// The row of the rebuild; `None`: there is none.
    pub rebuilt: Option<String>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.live, &self.rebuilt) {
            (Some(live), Some(rebuilt)) => write!(f, "shows {live}, made again {rebuilt}"),
            (Some(live), None) => write!(f, "shows {live}, made again nothing"),
            (None, rebuilt) => write!(f, "is missing: {}", rebuilt.as_deref().unwrap_or_default()),
        }
    }
}

/// What comparing has shown.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Rows of the rebuild that were compared.
    pub rows: i64,
    /// Aggregates whose live rows show another sequence than the rebuild: the one or the other has gone on
    /// since. They are not compared.
    pub in_motion: i64,
    pub differences: Vec<Difference>,
}

/// A table that the projection writes; `views` names them without their schema.
struct Table {
    name: &'static str,
    key: &'static str,
    /// What the projection looks rows up by besides the key. People's lists ask a rebuild nothing, so it goes without
    /// the indexes that are for them.
    lookups: &'static [&'static str],
}

const TABLES: [Table; 5] = [
    Table { name: "quote_workspace_view", key: "tenant_id, quote_id", lookups: &[] },
    Table { name: "order_operations_view", key: "tenant_id, order_id", lookups: &[] },
    Table {
        name: "approval_worklist_view",
        key: "tenant_id, task_id",
        lookups: &["tenant_id, quote_id", "tenant_id, order_id"],
    },
    Table {
        name: "customer_commercial_timeline_view",
        key: "tenant_id, aggregate_id, aggregate_sequence",
        lookups: &[],
    },
    Table { name: "view_progress", key: "consumer, topic, partition", lookups: &[] },
];

/// Makes the transaction's own, empty views. They are gone with it.
pub async fn prepare(tx: &mut Tx) -> Result<(), StoreError> {
    create(tx, "drop").await
}

/// Makes the session's own, empty views. They outlive the transaction and are gone with the session.
pub(super) async fn prepare_session(tx: &mut Tx) -> Result<(), StoreError> {
    create(tx, "preserve rows").await
}

async fn create(tx: &mut Tx, on_commit: &str) -> Result<(), StoreError> {
    for Table { name, key, lookups } in TABLES {
        let create = format!(
            "create temporary table {name} (like cpq.{name} including all excluding indexes, primary key ({key})) \
             on commit {on_commit}"
        );
        sqlx::query(AssertSqlSafe(create)).execute(tx.connection()).await?;
        for columns in lookups {
            let index = format!("create index on pg_temp.{name} ({columns})");
            sqlx::query(AssertSqlSafe(index)).execute(tx.connection()).await?;
        }
    }
    Ok(())
}

/// Tells the planner how much the rebuild has come to; nobody else does for temporary tables.
pub(super) async fn analyze(tx: &mut Tx) -> Result<(), StoreError> {
    for Table { name, .. } in TABLES {
        sqlx::query(AssertSqlSafe(format!("analyze pg_temp.{name}"))).execute(tx.connection()).await?;
    }
    Ok(())
}

/// Aggregates that both sides show at the same sequence, as `settled`; and the rows of both sides as
/// (view, key, tenant, aggregate, row).
const SIDES: &str = "with live_version as ( \
      select tenant_id, quote_id as id, projection_version as version from cpq.quote_workspace_view \
      union all select tenant_id, order_id, projection_version from cpq.order_operations_view), \
    rebuilt_version as ( \
      select tenant_id, quote_id as id, projection_version as version from pg_temp.quote_workspace_view \
      union all select tenant_id, order_id, projection_version from pg_temp.order_operations_view), \
    settled as (select tenant_id, id from live_version join rebuilt_version using (tenant_id, id, version)), \
    live as ( \
      select 'quote_workspace_view' as view, quote_id as key, tenant_id, quote_id as id, to_jsonb(v)::text as row \
        from cpq.quote_workspace_view v \
      union all select 'order_operations_view', order_id, tenant_id, order_id, to_jsonb(v)::text \
        from cpq.order_operations_view v \
      union all select 'approval_worklist_view', task_id, tenant_id, coalesce(quote_id, order_id), to_jsonb(v)::text \
        from cpq.approval_worklist_view v \
      union all select 'customer_commercial_timeline_view', aggregate_id || '/' || aggregate_sequence, tenant_id, aggregate_id, \
        to_jsonb(v)::text from cpq.customer_commercial_timeline_view v), \
    rebuilt as ( \
      select 'quote_workspace_view' as view, quote_id as key, tenant_id, quote_id as id, to_jsonb(v)::text as row \
        from pg_temp.quote_workspace_view v \
      union all select 'order_operations_view', order_id, tenant_id, order_id, to_jsonb(v)::text \
        from pg_temp.order_operations_view v \
      union all select 'approval_worklist_view', task_id, tenant_id, coalesce(quote_id, order_id), to_jsonb(v)::text \
        from pg_temp.approval_worklist_view v \
      union all select 'customer_commercial_timeline_view', aggregate_id || '/' || aggregate_sequence, tenant_id, aggregate_id, \
        to_jsonb(v)::text from pg_temp.customer_commercial_timeline_view v) ";

/// Compares the live views with those of this transaction.
pub async fn compare(tx: &mut Tx) -> Result<Comparison, StoreError> {
    let counts = format!(
        "{SIDES} select (select count(*) from rebuilt join settled using (tenant_id, id)), \
           (select count(*) from (select tenant_id, id from live_version union select tenant_id, id from rebuilt_version) a \
              where not exists (select from settled s where s.tenant_id = a.tenant_id and s.id = a.id))"
    );
    let (rows, in_motion) = sqlx::query_as(AssertSqlSafe(counts)).fetch_one(tx.connection()).await?;
    let different = format!(
        "{SIDES} select view, tenant_id || ' ' || key as key, l.row as live, r.row as rebuilt \
         from (select * from live join settled using (tenant_id, id)) l \
         full join (select * from rebuilt join settled using (tenant_id, id)) r using (view, tenant_id, id, key) \
         where l.row is distinct from r.row order by view, key limit $1"
    );
    let differences = sqlx::query_as(AssertSqlSafe(different)).bind(MAX_DIFFERENCES).fetch_all(tx.connection()).await?;
    Ok(Comparison { rows, in_motion, differences })
}
