//! What decisions look at besides their quotes and orders, taken from the live database to the shadow as it was:
//! reference data by tenant, the catalog that was the newest, the tokens that steps have claimed.

use crate::{StoreError, Tx};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Row, types::Json};
use time::OffsetDateTime;

/// Reference data that are copied, and how many rows are held at once: a catalog may have 40 MiB.
const TABLES: [(&str, &str, i64); 3] = [
    ("customer", "customer_account_id", 500),
    ("approver", "actor_id || '/' || entry", 500),
    ("catalog_version", "catalog_version", 1),
];

/// What is to be known of a tenant whose reference data were copied.
#[derive(Clone, Debug)]
pub struct Given {
    /// When its reference data were changed last.
    pub updated_at: OffsetDateTime,
    /// Its catalog versions with their time of publication, the oldest first.
    pub catalogs: Vec<(OffsetDateTime, String)>,
}

/// Copies a tenant's reference data, with this approval policy if one is given; `None`: there is no such tenant.
pub async fn copy_tenant(
    live: &mut Tx,
    shadow: &mut Tx,
    tenant: &str,
    approval_policy: Option<&str>,
) -> Result<Option<Given>, StoreError> {
    let row = sqlx::query("select to_jsonb(t), updated_at from cpq.tenant t where tenant_id = $1")
        .bind(tenant)
        .fetch_optional(live.connection())
        .await?;
    let Some(row) = row else { return Ok(None) };
    let Json(mut document): Json<Value> = row.try_get(0)?;
    if let Some(policy) = approval_policy {
        document["approval_policy"] = Value::from(policy);
    }
    insert(shadow, "tenant", &[document]).await?;
    for (table, key, limit) in TABLES {
        copy_table(live, shadow, (table, key, limit), tenant).await?;
    }
    let catalogs = sqlx::query_as(
        "select published_at, catalog_version from cpq.catalog_version where tenant_id = $1 order by published_at",
    )
    .bind(tenant)
    .fetch_all(live.connection())
    .await?;
    Ok(Some(Given { updated_at: row.try_get(1)?, catalogs }))
}

async fn copy_table(
    live: &mut Tx,
    shadow: &mut Tx,
    (table, key, limit): (&str, &str, i64),
    tenant: &str,
) -> Result<(), StoreError> {
    let select = format!(
        "select to_jsonb(t), {key} from cpq.{table} t where tenant_id = $1 and {key} > $2 order by {key} limit $3"
    );
    let mut after = String::new();
    loop {
        let query = sqlx::query(AssertSqlSafe(select.clone())).bind(tenant).bind(&after).bind(limit);
        let found = query.fetch_all(live.connection()).await?;
        let Some(last) = found.last() else { return Ok(()) };
        after = last.try_get(1)?;
        let rows: Vec<Value> =
            found.iter().map(|row| Ok(row.try_get::<Json<Value>, _>(0)?.0)).collect::<Result<_, StoreError>>()?;
        insert(shadow, table, &rows).await?;
    }
}

async fn insert(shadow: &mut Tx, table: &str, rows: &[Value]) -> Result<(), StoreError> {
    let insert = format!("insert into cpq.{table} select * from jsonb_populate_recordset(null::cpq.{table}, $1)");
    sqlx::query(AssertSqlSafe(insert)).bind(Json(rows)).execute(shadow.connection()).await?;
    Ok(())
}

/// Makes this the tenant's newest catalog.
pub async fn set_catalog(shadow: &mut Tx, tenant: &str, version: Option<&str>) -> Result<(), StoreError> {
    sqlx::query("update cpq.tenant set catalog_version = $2 where tenant_id = $1")
        .bind(tenant)
        .bind(version)
        .execute(shadow.connection())
        .await?;
    Ok(())
}

/// Which of these (tenant, quote or order) the shadow has.
pub async fn exists(shadow: &mut Tx, keys: &[(String, String)]) -> Result<Vec<(String, String)>, StoreError> {
    let statement = "select tenant_id, quote_id from cpq.quote \
          where (tenant_id, quote_id) in (select * from unnest($1::text[], $2::text[])) \
        union all select tenant_id, order_id from cpq.orders \
          where (tenant_id, order_id) in (select * from unnest($1::text[], $2::text[]))";
    let (tenants, ids): (Vec<&str>, Vec<&str>) = keys.iter().map(|(t, id)| (t.as_str(), id.as_str())).unzip();
    Ok(sqlx::query_as(statement).bind(tenants).bind(ids).fetch_all(shadow.connection()).await?)
}

/// An order's token that a step has claimed.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Token {
    pub tenant_id: String,
    pub order_id: String,
    pub step_id: String,
}

/// The tokens among those of these orders that steps had claimed by then.
pub async fn tokens(live: &mut Tx, orders: &[(String, String)], at: OffsetDateTime) -> Result<Vec<Token>, StoreError> {
    let statement = "select tenant_id, order_id, step_id from cpq.order_token where holder = 'STEP' and claimed_at <= $3 \
        and (tenant_id, order_id) in (select * from unnest($1::text[], $2::text[]))";
    let (tenants, ids): (Vec<&str>, Vec<&str>) = orders.iter().map(|(t, id)| (t.as_str(), id.as_str())).unzip();
    Ok(sqlx::query_as(statement).bind(tenants).bind(ids).bind(at).fetch_all(live.connection()).await?)
}

/// Claims these tokens for their steps, as far as they are free.
pub async fn claim_tokens(shadow: &mut Tx, tokens: &[Token]) -> Result<(), StoreError> {
    if tokens.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into cpq.order_token (tenant_id, order_id, holder, step_id) \
         select t, o, 'STEP', s from unnest($1::text[], $2::text[], $3::text[]) as u(t, o, s) on conflict do nothing",
    )
    .bind(tokens.iter().map(|t| t.tenant_id.as_str()).collect::<Vec<_>>())
    .bind(tokens.iter().map(|t| t.order_id.as_str()).collect::<Vec<_>>())
    .bind(tokens.iter().map(|t| t.step_id.as_str()).collect::<Vec<_>>())
    .execute(shadow.connection())
    .await?;
    Ok(())
}
