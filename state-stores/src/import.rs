//! Writing reference data: one tenant in one transaction, only what differs. What may be written was validated
//! by the caller; that a published catalog never changes is held here.

use crate::{StoreError, Tx};
use cpq_domain::canonical;
use cpq_domain::catalog::{self, Catalog};
use cpq_domain::rejection::FieldError;
use serde::Serialize;
use serde_json::Value;
use sqlx::{Row, types::Json};

/// One tenant's reference data, validated.
#[derive(Clone, Debug)]
pub struct TenantImport {
    pub tenant_id: String,
    /// The contract's `tenant.json`.
    pub document: Value,
    pub customers: Vec<CustomerRow>,
    pub approvers: Vec<ApproverRow>,
    pub catalog: CatalogRow,
    /// The text of the tenant's own policy; `None`: the built-in one.
    pub approval_policy: Option<String>,
    pub published_by: String,
}

/// A customer; the names are the table's.
#[derive(Clone, Debug, Serialize)]
pub struct CustomerRow {
    pub customer_account_id: String,
    pub name: String,
    pub segment: String,
    pub jurisdiction: String,
    pub sales_owner_id: String,
}

/// One authority of an approver; the names are the table's, amounts and instants are text.
#[derive(Clone, Debug, Serialize)]
pub struct ApproverRow {
    pub actor_id: String,
    /// Counts the authorities of one actor.
    pub entry: i32,
    pub roles: Vec<String>,
    pub max_discount_percent: String,
    pub max_total_amount: String,
    pub currency: String,
    pub valid_from: String,
    pub valid_to: Option<String>,
}

/// A catalog version.
#[derive(Clone, Debug)]
pub struct CatalogRow {
    pub catalog_version: String,
    /// The contract's `catalog.json`, as it was written.
    pub document: Value,
    /// Does not depend on blanks or the order of keys.
    pub content_hash: String,
}

impl CatalogRow {
    /// A catalog that may be published, with what it compiles to; or every fault of it.
    pub fn checked(document: Value) -> Result<(Self, Catalog), Vec<FieldError>> {
        let catalog = catalog::read(&document)?;
        let content_hash = canonical::hash_document(&document);
        Ok((Self { catalog_version: catalog.version().to_owned(), document, content_hash }, catalog))
    }
}

/// What an import changed of one kind of row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changed {
    pub added: u64,
    pub updated: u64,
    pub removed: u64,
}

impl Changed {
    pub fn any(self) -> bool {
        self != Self::default()
    }
}

/// What an import changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    pub tenant: Changed,
    pub customers: Changed,
    pub approvers: Changed,
    pub catalog_published: bool,
    pub policy_changed: bool,
    /// `cpq.tenant.version` after the import.
    pub version: i64,
}

impl Changes {
    pub fn any(&self) -> bool {
        self.catalog_published
            || self.policy_changed
            || [self.tenant, self.customers, self.approvers].into_iter().any(Changed::any)
    }
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// `CATALOG_VERSION_EXISTS`.
    #[error("catalog version {version} is published with other content; versions are immutable: give it a new version")]
    CatalogVersionExists { version: String },
}

/// Writes what differs. Customers that are no longer named stay, as quotes refer to them; authorities that are
/// no longer named go, as that is how they are revoked.
pub async fn import_tenant(tx: &mut Tx, import: &TenantImport) -> Result<Changes, ImportError> {
    let tenant = write_tenant(tx, import).await?;
    let policy_changed = write_policy(tx, import).await?;
    let catalog_published = publish_catalog(tx, &import.tenant_id, &import.catalog, &import.published_by).await?;
    let customers = write_customers(tx, import).await?;
    let approvers = write_approvers(tx, import).await?;
    let mut changes = Changes { tenant, customers, approvers, catalog_published, policy_changed, version: 0 };
    // A new tenant's row is of version 1 already.
    let raise = changes.any() && tenant.added == 0;
    changes.version = raise_version(tx, &import.tenant_id, raise).await?;
    Ok(changes)
}

/// Locks the tenant's row, so that imports of one tenant follow one another.
async fn write_tenant(tx: &mut Tx, import: &TenantImport) -> Result<Changed, StoreError> {
    let added = sqlx::query("insert into cpq.tenant (tenant_id, document) values ($1, $2) on conflict do nothing")
        .bind(&import.tenant_id)
        .bind(Json(&import.document))
        .execute(tx.connection())
        .await?
        .rows_affected();
    sqlx::query("select from cpq.tenant where tenant_id = $1 for update")
        .bind(&import.tenant_id)
        .execute(tx.connection())
        .await?;
    let updated =
        sqlx::query("update cpq.tenant set document = $2 where tenant_id = $1 and document is distinct from $2")
            .bind(&import.tenant_id)
            .bind(Json(&import.document))
            .execute(tx.connection())
            .await?
            .rows_affected();
    Ok(Changed { added, updated, removed: 0 })
}

async fn write_policy(tx: &mut Tx, import: &TenantImport) -> Result<bool, StoreError> {
    let updated = sqlx::query(
        "update cpq.tenant set approval_policy = $2 where tenant_id = $1 and approval_policy is distinct from $2",
    )
    .bind(&import.tenant_id)
    .bind(&import.approval_policy)
    .execute(tx.connection())
    .await?;
    Ok(updated.rows_affected() > 0)
}

/// Publishes the catalog, unless the same is published. A version that is new becomes the tenant's newest. The
/// caller holds the lock on the tenant's row.
pub(crate) async fn publish_catalog(
    tx: &mut Tx,
    tenant_id: &str,
    catalog: &CatalogRow,
    published_by: &str,
) -> Result<bool, ImportError> {
    let added = sqlx::query(
        "insert into cpq.catalog_version (tenant_id, catalog_version, document, content_hash, published_by) \
         values ($1, $2, $3, $4, $5) on conflict do nothing",
    )
    .bind(tenant_id)
    .bind(&catalog.catalog_version)
    .bind(Json(&catalog.document))
    .bind(&catalog.content_hash)
    .bind(published_by)
    .execute(tx.connection())
    .await
    .map_err(StoreError::from)?
    .rows_affected();
    if added == 0 {
        let row =
            sqlx::query("select content_hash from cpq.catalog_version where tenant_id = $1 and catalog_version = $2")
                .bind(tenant_id)
                .bind(&catalog.catalog_version)
                .fetch_one(tx.connection())
                .await
                .map_err(StoreError::from)?;
        let published: String = row.try_get(0).map_err(StoreError::from)?;
        return match published == catalog.content_hash {
            true => Ok(false),
            false => Err(ImportError::CatalogVersionExists { version: catalog.catalog_version.clone() }),
        };
    }
    sqlx::query("update cpq.tenant set catalog_version = $2 where tenant_id = $1")
        .bind(tenant_id)
        .bind(&catalog.catalog_version)
        .execute(tx.connection())
        .await
        .map_err(StoreError::from)?;
    Ok(true)
}

async fn write_customers(tx: &mut Tx, import: &TenantImport) -> Result<Changed, StoreError> {
    let written: Vec<bool> = sqlx::query_scalar(
        "insert into cpq.customer as c (tenant_id, customer_account_id, name, segment, jurisdiction, sales_owner_id) \
         select $1, r.* from jsonb_to_recordset($2) \
           as r(customer_account_id text, name text, segment text, jurisdiction text, sales_owner_id text) \
         on conflict (tenant_id, customer_account_id) do update set name = excluded.name, segment = excluded.segment, \
           jurisdiction = excluded.jurisdiction, sales_owner_id = excluded.sales_owner_id, updated_at = now() \
         where (c.name, c.segment, c.jurisdiction, c.sales_owner_id) \
           is distinct from (excluded.name, excluded.segment, excluded.jurisdiction, excluded.sales_owner_id) \
         returning c.xmax = 0",
    )
    .bind(&import.tenant_id)
    .bind(Json(&import.customers))
    .fetch_all(tx.connection())
    .await?;
    Ok(counted(&written, 0))
}

async fn write_approvers(tx: &mut Tx, import: &TenantImport) -> Result<Changed, StoreError> {
    let removed = sqlx::query(
        "delete from cpq.approver a where a.tenant_id = $1 and not exists (select from jsonb_to_recordset($2) \
           as r(actor_id text, entry integer) where (r.actor_id, r.entry) = (a.actor_id, a.entry))",
    )
    .bind(&import.tenant_id)
    .bind(Json(&import.approvers))
    .execute(tx.connection())
    .await?
    .rows_affected();
    let written: Vec<bool> = sqlx::query_scalar(
        "insert into cpq.approver as a (tenant_id, actor_id, entry, roles, max_discount_percent, max_total_amount, currency, \
           valid_from, valid_to) \
         select $1, r.* from jsonb_to_recordset($2) as r(actor_id text, entry integer, roles text[], max_discount_percent numeric, \
           max_total_amount numeric, currency text, valid_from timestamptz, valid_to timestamptz) \
         on conflict (tenant_id, actor_id, entry) do update set roles = excluded.roles, \
           max_discount_percent = excluded.max_discount_percent, max_total_amount = excluded.max_total_amount, \
           currency = excluded.currency, valid_from = excluded.valid_from, valid_to = excluded.valid_to \
         where (a.roles, a.max_discount_percent, a.max_total_amount, a.currency, a.valid_from, a.valid_to) is distinct from \
           (excluded.roles, excluded.max_discount_percent, excluded.max_total_amount, excluded.currency, excluded.valid_from, \
            excluded.valid_to) \
         returning a.xmax = 0",
    )
    .bind(&import.tenant_id)
    .bind(Json(&import.approvers))
    .fetch_all(tx.connection())
    .await?;
    Ok(counted(&written, removed))
}

/// `written` says of each row whether it is new.
fn counted(written: &[bool], removed: u64) -> Changed {
    let added = written.iter().filter(|new| **new).count() as u64;
    Changed { added, updated: written.len() as u64 - added, removed }
}

/// Tells caches of what a tenant's row points at that it has changed; gives the version it has then.
pub(crate) async fn raise_version(tx: &mut Tx, tenant: &str, raise: bool) -> Result<i64, StoreError> {
    let row = sqlx::query(
        "update cpq.tenant set version = version + case when $2 then 1 else 0 end, updated_at = case when $2 then now() else updated_at end \
         where tenant_id = $1 returning version",
    )
    .bind(tenant)
    .bind(raise)
    .fetch_one(tx.connection())
    .await?;
    Ok(row.try_get(0)?)
}
