//! `POST /catalog/versions`: publishes an immutable catalog version for the caller's tenant. Reference data has no
//! processor: the version is decided, recorded and audited here, in one transaction, by the code that imports.

use crate::answer::Answer;
use crate::aside;
use crate::call::Call;
use crate::numbers::command_id;
use crate::operation::{Document, Reply, schema};
use crate::problem::Problem;
use crate::reading;
use crate::submit::REPLAYED;
use cpq_domain::catalog::{Catalog, CatalogSource, MAX_DOCUMENT_BYTES};
use cpq_domain::command::Applied;
use cpq_domain::moment::Moment;
use cpq_domain::rejection::{ErrorCode, FieldError, Rejection};
use cpq_state_stores::commands::{self, Scope, StoredCommand};
use cpq_state_stores::import::CatalogRow;
use cpq_state_stores::publication::{self, Publication, Published};
use cpq_state_stores::{StoreError, Tx};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Semaphore;
use tracing::info;
use utoipa::ToSchema;

/// Documents in hand at once. One takes some 25 times its size in memory while it is checked: the largest a gigabyte.
const MAX_IN_HAND: usize = 2;
/// Faults that one answer tells; its sentence says how many there are.
const MAX_FAULTS_TOLD: usize = 1000;

pub static DOCUMENT: Document = Document {
    schema: schema::<CatalogSource>,
    example: r#"{"catalogVersion": "2026.12",
        "offerings": [{"id": "fiber-1g", "version": "1", "name": "Fiber 1 Gbit/s", "segments": ["ENTERPRISE"], "sellableFrom": "2026-01-01T00:00:00Z", "sellableTo": null, "taxCategory": "STANDARD",
            "characteristics": [{"name": "sla", "type": "STRING", "allowed": ["BRONZE", "GOLD"], "default": "BRONZE"}],
            "children": [{"offeringId": "router", "min": 0, "max": 1}], "fulfilment": ["ACTIVATE_SERVICE", "START_BILLING"]},
            {"id": "router", "version": "1", "name": "Router", "sellableFrom": "2026-01-01T00:00:00Z", "taxCategory": "STANDARD"}],
        "rules": [{"id": "gold-needs-router", "kind": "REQUIRES", "if": {"offeringId": "fiber-1g", "characteristics": {"sla": "GOLD"}}, "then": {"offeringId": "router"}, "scope": "CHILDREN"}],
        "prices": [{"id": "p1", "offeringId": "fiber-1g", "priceListId": "standard", "currency": "USD", "segment": null, "kind": "RECURRING", "model": "PER_UNIT", "amount": "499.00", "unitCost": "210.00", "validFrom": "2026-01-01T00:00:00Z", "validTo": null}],
        "adjustments": [{"id": "term36", "priority": 10, "kind": "PERCENT", "value": "-10", "appliesTo": {"offeringId": "fiber-1g"}, "when": {"termMonths": {"gte": 36}}, "validFrom": "2026-01-01T00:00:00Z", "validTo": null}]}"#,
    max_bytes: MAX_DOCUMENT_BYTES,
    places: Semaphore::const_new(MAX_IN_HAND),
};

/// A published catalog version.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CatalogVersion {
    pub catalog_version: String,
    /// `sha256:` and the hex digest of the document's canonical JSON.
    pub content_hash: String,
    pub published_by: String,
    pub published_at: Moment,
    /// How many of each the version has.
    pub offerings: i64,
    pub rules: i64,
    pub prices: i64,
    pub adjustments: i64,
}

pub async fn publish(mut call: Call) -> Reply {
    if call.if_match.is_some() {
        let detail = "If-Match cannot hold for a version that does not exist yet: leave it out when publishing one.";
        return Err(Problem::new(ErrorCode::PreconditionFailed, detail));
    }
    let scope = Scope {
        tenant_id: call.tenant().clone(),
        actor_id: call.caller.claims.actor_id.clone(),
        operation: call.operation.id,
        key: call.idempotency_key.clone(),
    };
    let mut tx = call.begin().await?;
    if let Some(stored) = sent_before(&mut tx, &scope).await? {
        return answer_again(&call, tx, &stored).await;
    }
    // Checking takes its time; nobody's connection waits for it.
    tx.commit().await?;
    let (row, catalog) = checked(std::mem::take(&mut call.body)).await?;
    call.exchange.set_business_key(publication::aggregate_id(&row.catalog_version));
    decide(&call, &scope, &row, catalog).await
}

async fn sent_before(tx: &mut Tx, scope: &Scope) -> Result<Option<StoredCommand>, StoreError> {
    Ok(commands::by_scope(tx, &[scope]).await?.remove(scope))
}

/// The catalog, checked and compiled aside; or every fault.
async fn checked(document: Value) -> Result<(CatalogRow, Catalog), Problem> {
    aside::run(move || CatalogRow::checked(document)).await?.map_err(invalid)
}

fn invalid(mut faults: Vec<FieldError>) -> Problem {
    let detail = match faults.len() {
        count if count > MAX_FAULTS_TOLD => {
            format!("The catalog has {count} faults; the first {MAX_FAULTS_TOLD} are in errors. Nothing was published.")
        }
        count => format!("The catalog has {count} faults: see errors. Nothing was published."),
    };
    faults.truncate(MAX_FAULTS_TOLD);
    Rejection::new(ErrorCode::CatalogInvalid, detail).with_errors(faults).into()
}

async fn decide(call: &Call, scope: &Scope, row: &CatalogRow, catalog: Catalog) -> Reply {
    let command_id = command_id();
    tracing::Span::current().record("command_id", command_id.as_str());
    let publication = Publication {
        scope,
        command_id: &command_id,
        fingerprint: call.fingerprint,
        claims: &call.caller.claims,
        correlation_id: &call.exchange.correlation_id,
        received_at: call.received_at,
        catalog: row,
    };
    let mut tx = call.begin().await?;
    match publication::publish(&mut tx, &publication, reading::now()).await? {
        Published::UnknownTenant => Err(Problem::new(
            ErrorCode::ValidationFailed,
            "This tenant is not set up yet: load its reference data with `cpq import`.",
        )),
        Published::Before => {
            tx.rollback().await?;
            let mut tx = call.begin().await?;
            match sent_before(&mut tx, scope).await? {
                Some(stored) => answer_again(call, tx, &stored).await,
                None => Err(StoreError::Corrupt("a command's key is taken by no command".to_owned()).into()),
            }
        }
        Published::Now(Err(rejection)) => {
            tx.commit().await?;
            Err(rejection.into())
        }
        Published::Now(Ok(applied)) => {
            let answer = version(&mut tx, call, &applied).await?;
            tx.commit().await?;
            info!(catalog_version = row.catalog_version, created = applied.created, "catalog published");
            call.gateway.hints.catalog(call.tenant(), &row.catalog_version);
            call.gateway.references.keep(call.tenant(), catalog);
            Ok(answer.build())
        }
    }
}

/// The answer to a retry, as it was.
async fn answer_again(call: &Call, mut tx: Tx, stored: &StoredCommand) -> Reply {
    tracing::Span::current().record("command_id", stored.command_id.as_str());
    if stored.fingerprint != call.fingerprint {
        let detail = "This Idempotency-Key was sent before with another catalog: use a new key for a new command.";
        return Err(Problem::new(ErrorCode::IdempotencyKeyReused, detail));
    }
    call.exchange.set_business_key(stored.aggregate_id.clone());
    let (_, outcome) = commands::load(&mut tx, call.tenant(), &stored.command_id).await?.unzip();
    let outcome = outcome.flatten().ok_or_else(|| StoreError::Corrupt("a publication has no outcome".to_owned()))?;
    let mut response = match &outcome.result {
        Ok(applied) => version(&mut tx, call, applied).await?.build(),
        Err(rejection) => Problem::from(rejection.clone()).into_response(&call.exchange),
    };
    tx.commit().await?;
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

/// The version that an applied publication is about.
async fn version(tx: &mut Tx, call: &Call, applied: &Applied) -> Result<Answer, Problem> {
    let version = applied.subject.clone().unwrap_or_default();
    let found = publication::published(tx, call.tenant(), &version).await?;
    let found = found.ok_or_else(|| StoreError::Corrupt(format!("catalog {version} is published and not there")))?;
    let body = CatalogVersion {
        catalog_version: found.catalog_version,
        content_hash: found.content_hash,
        published_by: found.published_by,
        published_at: found.published_at,
        offerings: found.offerings,
        rules: found.rules,
        prices: found.prices,
        adjustments: found.adjustments,
    };
    Ok(Answer::json(if applied.created { StatusCode::CREATED } else { StatusCode::OK }, &body))
}
