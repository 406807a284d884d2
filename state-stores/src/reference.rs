//! Reference data as decisions see it: tenants, customers, approvers, catalogs, policies. Rows are read in the
//! decision's own transaction; what is costly to compile is cached by its version and so never stale.

use crate::{Db, StoreError, Tx};
use cpq_domain::approval::{ApprovalPolicy, InvalidPolicy};
use cpq_domain::catalog::{Catalog, CatalogSource};
use cpq_domain::ids::{ActorId, CustomerAccountId, TenantId};
use cpq_domain::reference::{Approver, Customer, Tenant};
use moka::sync::Cache;
use sqlx::postgres::PgRow;
use sqlx::{Row, types::Json};
use std::{collections::HashMap, sync::Arc};
use tokio::sync::{OnceCell, mpsc};
use tracing::debug;

/// Compiled catalogs kept in memory. A catalog of 20,000 offerings takes some 100 MB, a usual one under 1 MB.
const MAX_CATALOGS: u64 = 64;
/// Compiled approval policies kept in memory.
const MAX_POLICIES: u64 = 256;

/// A tenant with what its row points at.
#[derive(Clone)]
pub struct TenantReference {
    pub tenant: Tenant,
    /// The newest published catalog version.
    pub catalog_version: Option<String>,
    pub policy: Arc<ApprovalPolicy>,
}

/// Compiled catalogs and policies, by what they were compiled from.
#[derive(Clone)]
pub struct ReferenceCache {
    catalogs: Cache<(TenantId, String), Arc<OnceCell<Arc<Catalog>>>>,
    policies: Cache<(TenantId, i64), Arc<ApprovalPolicy>>,
    built_in: Arc<ApprovalPolicy>,
}

impl ReferenceCache {
    /// An empty cache; fails only if the built-in policy of this build does not compile.
    pub fn new() -> Result<Self, InvalidPolicy> {
        Ok(Self {
            catalogs: Cache::new(MAX_CATALOGS),
            policies: Cache::new(MAX_POLICIES),
            built_in: Arc::new(ApprovalPolicy::built_in()?),
        })
    }

    /// The tenants among these that exist.
    pub async fn tenants(
        &self,
        tx: &mut Tx,
        ids: &[TenantId],
    ) -> Result<HashMap<TenantId, TenantReference>, StoreError> {
        Ok(self.look_up(tx, &Wanted { tenants: ids, ..Wanted::default() }).await?.tenants)
    }

    /// Whatever exists of what is wanted, in one statement.
    pub async fn look_up(&self, tx: &mut Tx, wanted: &Wanted<'_>) -> Result<Found, StoreError> {
        let mut found = Found::default();
        for row in look_up(tx, wanted).await? {
            let tenant = TenantId::new(row.try_get::<String, _>(1)?);
            match row.try_get::<i32, _>(0)? {
                TENANT => {
                    let Json(document): Json<Tenant> = row.try_get(3)?;
                    let policy = self.policy(&tenant, row.try_get(4)?, row.try_get(6)?)?;
                    let catalog_version = row.try_get(5)?;
                    found.tenants.insert(tenant, TenantReference { tenant: document, catalog_version, policy });
                }
                CUSTOMER => {
                    let Json(customer): Json<Customer> = row.try_get(3)?;
                    found.customers.insert((tenant, customer.customer_account_id.clone()), customer);
                }
                _ => {
                    let key = (tenant, ActorId::new(row.try_get::<String, _>(2)?));
                    let Json(approver): Json<Approver> = row.try_get(3)?;
                    found.approvers.entry(key).or_default().push(approver);
                }
            }
        }
        Ok(found)
    }

    fn policy(&self, tenant: &TenantId, version: i64, dmn: Option<String>) -> Result<Arc<ApprovalPolicy>, StoreError> {
        let Some(dmn) = dmn else { return Ok(self.built_in.clone()) };
        let key = (tenant.clone(), version);
        if let Some(policy) = self.policies.get(&key) {
            return Ok(policy);
        }
        let compiled = ApprovalPolicy::compile(&dmn)
            .map_err(|faults| StoreError::Corrupt(format!("approval policy of {tenant}: {faults:?}")))?;
        let policy = Arc::new(compiled);
        self.policies.insert(key, policy.clone());
        Ok(policy)
    }

    /// The compiled catalog of that version; `None` if it was never published. Whoever comes while it is being
    /// compiled waits for it, so that many at once cost no more memory than one.
    pub async fn catalog(
        &self,
        tx: &mut Tx,
        tenant: &TenantId,
        version: &str,
    ) -> Result<Option<Arc<Catalog>>, StoreError> {
        let slot = self.catalogs.get_with((tenant.clone(), version.to_owned()), Arc::default);
        match slot.get_or_try_init(|| compiled(tx, tenant, version)).await {
            Ok(catalog) => Ok(Some(catalog.clone())),
            Err(Uncompiled::Unpublished) => Ok(None),
            Err(Uncompiled::Store(error)) => Err(error),
        }
    }

    /// The compiled catalog of that version, if it is at hand.
    pub fn at_hand(&self, tenant: &TenantId, version: &str) -> Option<Arc<Catalog>> {
        self.catalogs.get(&(tenant.clone(), version.to_owned()))?.get().cloned()
    }

    /// Compiles catalogs as soon as it is hinted that they were published, so that nobody who needs one waits for it.
    /// Ends with the hints.
    pub async fn follow(self, db: Db, mut published: mpsc::Receiver<(TenantId, String)>) {
        while let Some((tenant, version)) = published.recv().await {
            let compiled = async {
                let mut tx = db.begin(std::slice::from_ref(&tenant)).await?;
                self.catalog(&mut tx, &tenant, &version).await?;
                tx.commit().await
            };
            match compiled.await {
                Ok(()) => debug!(%tenant, version, "a catalog that was published is at hand"),
                Err(error) => debug!(%tenant, version, %error, "a catalog that was published is not at hand yet"),
            }
        }
    }

    /// Keeps a catalog that was compiled to be published, once it is.
    pub fn keep(&self, tenant: &TenantId, catalog: Catalog) {
        let key = (tenant.clone(), catalog.version().to_owned());
        self.catalogs.insert(key, Arc::new(OnceCell::new_with(Some(Arc::new(catalog)))));
    }
}

/// Why there is no compiled catalog.
enum Uncompiled {
    Unpublished,
    Store(StoreError),
}

/// Reads and compiles a catalog, beside the tasks of others: a large one takes a second.
async fn compiled(tx: &mut Tx, tenant: &TenantId, version: &str) -> Result<Arc<Catalog>, Uncompiled> {
    let row =
        sqlx::query("select document::text from cpq.catalog_version where tenant_id = $1 and catalog_version = $2")
            .bind(tenant.as_str())
            .bind(version)
            .fetch_optional(tx.connection())
            .await
            .map_err(|error| Uncompiled::Store(error.into()))?;
    let document: String =
        row.ok_or(Uncompiled::Unpublished)?.try_get(0).map_err(|error| Uncompiled::Store(error.into()))?;
    let name = format!("catalog {version} of {tenant}");
    let compile = move || {
        let source: CatalogSource = serde_json::from_str(&document).map_err(|e| StoreError::corrupt(&name, e))?;
        Catalog::compile(source).map_err(|faults| StoreError::Corrupt(format!("{name}: {faults:?}")))
    };
    match tokio::task::spawn_blocking(compile).await {
        Ok(compiled) => compiled.map(Arc::new).map_err(Uncompiled::Store),
        Err(panicked) => Err(Uncompiled::Store(StoreError::Corrupt(panicked.to_string()))),
    }
}

/// What is asked for.
#[derive(Default)]
pub struct Wanted<'a> {
    pub tenants: &'a [TenantId],
    pub customers: &'a [(TenantId, CustomerAccountId)],
    pub approvers: &'a [(TenantId, ActorId)],
}

/// What exists of it.
#[derive(Default)]
pub struct Found {
    pub tenants: HashMap<TenantId, TenantReference>,
    pub customers: HashMap<(TenantId, CustomerAccountId), Customer>,
    /// Every authority that an actor holds, valid now or not.
    pub approvers: HashMap<(TenantId, ActorId), Vec<Approver>>,
}

/// What a row of [`LOOK_UP`] is; any other is an approver's authority.
const TENANT: i32 = 1;
const CUSTOMER: i32 = 2;
const LOOK_UP: &str = "select 1, tenant_id, null::text, document, version, catalog_version, approval_policy \
     from cpq.tenant where tenant_id = any($1) \
   union all select 2, tenant_id, customer_account_id, jsonb_build_object('customerAccountId', customer_account_id, \
       'name', name, 'segment', segment, 'jurisdiction', jurisdiction, 'salesOwnerId', sales_owner_id), null, null, null \
     from cpq.customer where (tenant_id, customer_account_id) in (select * from unnest($2::text[], $3::text[])) \
   union all (select 3, tenant_id, actor_id, jsonb_build_object('actorId', actor_id, 'roles', roles, \
       'maxDiscountPercent', trim_scale(max_discount_percent)::text, 'maxTotalAmount', trim_scale(max_total_amount)::text, \
       'currency', currency, 'validFrom', to_char(valid_from at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), \
       'validTo', to_char(valid_to at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')), null, null, null \
     from cpq.approver where (tenant_id, actor_id) in (select * from unnest($4::text[], $5::text[])) order by actor_id, entry)";

async fn look_up(tx: &mut Tx, wanted: &Wanted<'_>) -> Result<Vec<PgRow>, StoreError> {
    let Wanted { tenants, customers, approvers } = wanted;
    let rows = sqlx::query(LOOK_UP)
        .bind(tenants.iter().map(TenantId::as_str).collect::<Vec<_>>())
        .bind(customers.iter().map(|(t, _)| t.as_str()).collect::<Vec<_>>())
        .bind(customers.iter().map(|(_, c)| c.as_str()).collect::<Vec<_>>())
        .bind(approvers.iter().map(|(t, _)| t.as_str()).collect::<Vec<_>>())
        .bind(approvers.iter().map(|(_, a)| a.as_str()).collect::<Vec<_>>());
    Ok(rows.fetch_all(tx.connection()).await?)
}

/// The customers among these that exist.
pub async fn customers(
    tx: &mut Tx,
    keys: &[(TenantId, CustomerAccountId)],
) -> Result<HashMap<(TenantId, CustomerAccountId), Customer>, StoreError> {
    let rows = look_up(tx, &Wanted { customers: keys, ..Wanted::default() }).await?;
    let customer = |row: &PgRow| {
        let Json(customer): Json<Customer> = row.try_get(3)?;
        Ok(((TenantId::new(row.try_get::<String, _>(1)?), customer.customer_account_id.clone()), customer))
    };
    rows.iter().map(customer).collect()
}

/// SHA-256 of that catalog version's document, as it was published.
pub async fn content_hash(tx: &mut Tx, tenant: &TenantId, version: &str) -> Result<Option<String>, StoreError> {
    let statement = "select content_hash from cpq.catalog_version where tenant_id = $1 and catalog_version = $2";
    let hash = sqlx::query_scalar(statement).bind(tenant.as_str()).bind(version);
    Ok(hash.fetch_optional(tx.connection()).await?)
}

/// Every authority that this actor holds, valid now or not.
pub async fn authorities(tx: &mut Tx, tenant: &TenantId, actor: &ActorId) -> Result<Vec<Approver>, StoreError> {
    let key = [(tenant.clone(), actor.clone())];
    let rows = look_up(tx, &Wanted { approvers: &key, ..Wanted::default() }).await?;
    rows.iter().map(|row| Ok(row.try_get::<Json<Approver>, _>(3)?.0)).collect()
}

/// The next `count` order numbers, nobody else's.
pub async fn reserve_order_numbers(tx: &mut Tx, count: usize) -> Result<Vec<i64>, StoreError> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let rows = sqlx::query("select nextval('cpq.order_number') from generate_series(1, $1)")
        .bind(count as i32)
        .fetch_all(tx.connection())
        .await?;
    rows.into_iter().map(|row| Ok(row.try_get(0)?)).collect()
}
