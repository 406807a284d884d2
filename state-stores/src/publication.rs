//! Publishing a catalog version over HTTP: idempotency record, version, outcome and audit in one transaction.
//! That versions never change is `import`'s; that a catalog may be published was judged by the caller.

use crate::commands::Scope;
use crate::decisions::{AuditEntry, OutcomeRow, Records, append};
use crate::import::{CatalogRow, ImportError, publish_catalog, raise_version};
use crate::{StoreError, Tx};
use cpq_domain::command::{Applied, Claims};
use cpq_domain::ids::{CommandId, CorrelationId, TenantId};
use cpq_domain::moment::Moment;
use cpq_domain::rejection::{ErrorCode, Rejection};
use sqlx::Row;

/// What such a command is about.
pub const AGGREGATE_TYPE: &str = "CATALOG";

/// The id of a catalog version in outcomes, audit and logs.
pub fn aggregate_id(catalog_version: &str) -> String {
    format!("catalog:{catalog_version}")
}

/// A catalog to be published, and who wants it.
pub struct Publication<'a> {
    pub scope: &'a Scope,
    pub command_id: &'a CommandId,
    /// SHA-256 of method, path and canonical body.
    pub fingerprint: [u8; 32],
    pub claims: &'a Claims,
    pub correlation_id: &'a CorrelationId,
    pub received_at: Moment,
    pub catalog: &'a CatalogRow,
}

/// What became of a publication.
#[derive(Debug)]
pub enum Published {
    /// Decided now: the version is there, or it is refused.
    Now(Result<Applied, Rejection>),
    /// The idempotency key names a command that was sent before.
    Before,
    /// There is no such tenant.
    UnknownTenant,
}

/// Publishes the catalog. A version that is there with the same content is left alone; with other content it is
/// `CATALOG_VERSION_EXISTS`, which is recorded like every decision.
pub async fn publish(tx: &mut Tx, publication: &Publication<'_>, now: Moment) -> Result<Published, StoreError> {
    let tenant = publication.scope.tenant_id.as_str();
    if !lock_tenant(tx, tenant).await? {
        return Ok(Published::UnknownTenant);
    }
    if !accept(tx, publication).await? {
        return Ok(Published::Before);
    }
    let (catalog, actor) = (publication.catalog, publication.scope.actor_id.as_str());
    let result = match publish_catalog(tx, tenant, catalog, actor).await {
        Ok(created) => Ok(Applied { created, subject: Some(catalog.catalog_version.clone()) }),
        Err(ImportError::CatalogVersionExists { version }) => Err(Rejection::new(
            ErrorCode::CatalogVersionExists,
            format!(
                "Catalog version {version} is published with other content; versions never change: give this one a new version."
            ),
        )),
        Err(ImportError::Store(error)) => return Err(error),
    };
    if result.as_ref().is_ok_and(|applied| applied.created) {
        raise_version(tx, tenant, true).await?;
    }
    record(tx, publication, &result, now).await?;
    Ok(Published::Now(result))
}

/// Imports and publications of one tenant follow one another.
async fn lock_tenant(tx: &mut Tx, tenant: &str) -> Result<bool, StoreError> {
    let locked = sqlx::query("select from cpq.tenant where tenant_id = $1 for update")
        .bind(tenant)
        .execute(tx.connection())
        .await?;
    Ok(locked.rows_affected() > 0)
}

/// Writes the command row; says whether its idempotency key is new.
async fn accept(tx: &mut Tx, publication: &Publication<'_>) -> Result<bool, StoreError> {
    let scope = publication.scope;
    let inserted = sqlx::query(
        "insert into cpq.command (tenant_id, command_id, operation, actor_id, idempotency_key, fingerprint, aggregate_type, \
           aggregate_id, correlation_id, received_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         on conflict on constraint command_idempotency do nothing",
    )
    .bind(scope.tenant_id.as_str())
    .bind(publication.command_id.as_str())
    .bind(scope.operation)
    .bind(scope.actor_id.as_str())
    .bind(&scope.key)
    .bind(publication.fingerprint.as_slice())
    .bind(AGGREGATE_TYPE)
    .bind(aggregate_id(&publication.catalog.catalog_version))
    .bind(publication.correlation_id.as_str())
    .bind(publication.received_at.into_inner())
    .execute(tx.connection())
    .await?;
    Ok(inserted.rows_affected() > 0)
}

/// The outcome, and who did it on which claims.
async fn record(
    tx: &mut Tx,
    publication: &Publication<'_>,
    result: &Result<Applied, Rejection>,
    now: Moment,
) -> Result<(), StoreError> {
    let json = |what: &str, value: serde_json::Result<String>| value.map_err(|e| StoreError::corrupt(what, e));
    let aggregate_id = aggregate_id(&publication.catalog.catalog_version);
    let refused = result.as_ref().err();
    let outcome = OutcomeRow {
        tenant_id: publication.scope.tenant_id.to_string(),
        command_id: publication.command_id.to_string(),
        aggregate_type: AGGREGATE_TYPE,
        aggregate_id: aggregate_id.clone(),
        aggregate_revision: None,
        aggregate_sequence: None,
        applied: result.as_ref().ok().map(|a| json("outcome", serde_json::to_string(a))).transpose()?,
        rejection: refused.map(|r| json("rejection", serde_json::to_string(r))).transpose()?,
        decided_at: now.into_inner(),
    };
    let entry = AuditEntry {
        tenant_id: publication.scope.tenant_id.to_string(),
        aggregate_id,
        action: "PublishCatalog",
        outcome: if refused.is_none() { "APPLIED" } else { "REJECTED" },
        error_code: refused.map(|rejection| rejection.code.as_str()),
        actor_id: publication.claims.actor_id.to_string(),
        actor_type: publication.claims.actor_type.as_str(),
        claims: json("claims", serde_json::to_string(publication.claims))?,
        command_id: publication.command_id.to_string(),
        correlation_id: publication.correlation_id.to_string(),
        detail: Some(refused.map_or_else(
            || format!("content {}", publication.catalog.content_hash),
            |rejection| rejection.detail.clone(),
        )),
        recorded_at: now.into_inner(),
    };
    append(tx, &Records { outcomes: vec![outcome], audit: vec![entry], ..Records::default() }).await
}

/// A published catalog version, without its content.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedCatalog {
    pub catalog_version: String,
    pub content_hash: String,
    pub published_by: String,
    pub published_at: Moment,
    pub offerings: i64,
    pub rules: i64,
    pub prices: i64,
    pub adjustments: i64,
}

/// The version, if it is published. A list that the document leaves out, or null, is an empty one.
pub async fn published(tx: &mut Tx, tenant: &TenantId, version: &str) -> Result<Option<PublishedCatalog>, StoreError> {
    let row = sqlx::query(
        "select catalog_version, content_hash, published_by, published_at, \
           jsonb_array_length(document -> 'offerings')::bigint, \
           coalesce(jsonb_array_length(nullif(document -> 'rules', 'null')), 0)::bigint, \
           coalesce(jsonb_array_length(nullif(document -> 'prices', 'null')), 0)::bigint, \
           coalesce(jsonb_array_length(nullif(document -> 'adjustments', 'null')), 0)::bigint \
         from cpq.catalog_version where tenant_id = $1 and catalog_version = $2",
    )
    .bind(tenant.as_str())
    .bind(version)
    .fetch_optional(tx.connection())
    .await?;
    row.map(|row| {
        Ok(PublishedCatalog {
            catalog_version: row.try_get(0)?,
            content_hash: row.try_get(1)?,
            published_by: row.try_get(2)?,
            published_at: Moment::new(row.try_get(3)?),
            offerings: row.try_get(4)?,
            rules: row.try_get(5)?,
            prices: row.try_get(6)?,
            adjustments: row.try_get(7)?,
        })
    })
    .transpose()
}
