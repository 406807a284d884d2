//! `GET /catalog/offerings` and `/catalog/offerings/{offeringId}`: what is on sale now, out of the tenant's newest
//! catalog. Which segment looks: that of `customerAccountId`, or `segment`, or else every segment of the
//! customers that the caller may read.

use crate::answer::Answer;
use crate::call::Call;
use crate::gateway::Gateway;
use crate::operation::{Parameter, Reply};
use crate::page::{self, Page};
use crate::problem::Problem;
use crate::reading;
use crate::routes::search::{CURSOR, LIMIT};
use cpq_domain::catalog::{Catalog, Offering};
use cpq_domain::ids::{CustomerAccountId, OfferingId};
use cpq_domain::moment::Moment;
use cpq_domain::rejection::{ErrorCode, FieldCode, FieldError};
use cpq_state_stores::offerings::{self, CatalogIdentity};
use cpq_state_stores::{StoreError, Tx, reads, reference};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

const CUSTOMER: Parameter = Parameter {
    name: "customerAccountId",
    describes: "As this customer's segment sees it. Without it and `segment`: as any segment of the caller's customers does.",
    choices: &[],
};
const SEGMENT: Parameter = Parameter { name: "segment", describes: "As this segment sees it.", choices: &[] };
const VERSION: Parameter =
    Parameter { name: "version", describes: "This version; default: the newest on sale.", choices: &[] };

pub static LIST_FILTERS: [Parameter; 4] = [CUSTOMER, SEGMENT, LIMIT, CURSOR];
pub static GET_FILTERS: [Parameter; 3] = [CUSTOMER, SEGMENT, VERSION];

/// An offering on sale.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OfferingView {
    pub id: OfferingId,
    pub version: String,
    pub name: String,
    /// Segments that may see it; empty: all.
    pub segments: Vec<String>,
    pub sellable_from: Moment,
    pub sellable_to: Option<Moment>,
    pub tax_category: String,
    /// What a line may or must say: `{name, type, allowed?, min?, max?, pattern?, default?, required}`.
    #[schema(value_type = Vec<Object>)]
    pub characteristics: serde_json::Value,
    /// What may stand under it: `{offeringId, min, max?}`.
    #[schema(value_type = Vec<Object>)]
    pub children: serde_json::Value,
    /// Fulfilment step types, in order.
    pub fulfilment: Vec<String>,
    pub catalog_version: String,
}

impl OfferingView {
    fn of(offering: &Offering, catalog_version: &str) -> Self {
        Self {
            id: offering.id.clone(),
            version: offering.version.clone(),
            name: offering.name.clone(),
            segments: offering.segments.clone(),
            sellable_from: offering.sellable_from,
            sellable_to: offering.sellable_to,
            tax_category: offering.tax_category.clone(),
            characteristics: serde_json::json!(offering.characteristics),
            children: serde_json::json!(offering.children),
            fulfilment: offering.fulfilment.clone(),
            catalog_version: catalog_version.to_owned(),
        }
    }
}

/// `GET /catalog/offerings`.
pub async fn list(call: Call) -> Reply {
    let limit = page::limit(&call)?;
    let after = page::cursor::<String>(&call)?;
    let now = reading::now();
    let Some((catalog, segments)) = look(&call).await? else {
        return Ok(Answer::ok(&Page::<OfferingView> { items: Vec::new(), next_cursor: None, as_of: Some(now) }).build());
    };
    let mut newest: BTreeMap<&str, &Offering> = BTreeMap::new();
    for offering in &catalog.source().offerings {
        let listed = after.as_deref().is_none_or(|after| offering.id.as_str() > after);
        if listed && let Some(shown) = on_sale(&catalog, &offering.id, &segments, now) {
            newest.insert(offering.id.as_str(), shown);
        }
    }
    let items: Vec<OfferingView> =
        newest.values().take(limit + 1).map(|o| OfferingView::of(o, catalog.version())).collect();
    Ok(Answer::ok(&Page::of(items, limit, Some(now), |last| last.id.to_string())).build())
}

/// `GET /catalog/offerings/{offeringId}`.
pub async fn get(call: Call) -> Reply {
    let unknown = || Problem::new(ErrorCode::OfferingNotFound, "There is no such offering on sale for you.");
    let id = OfferingId::new(call.usable_segment("offeringId").ok_or_else(unknown)?);
    let now = reading::now();
    let (versions, catalog_version, segments) = versions(&call, &id).await?.ok_or_else(unknown)?;
    let wanted = call.query("version");
    let found = versions.iter().find(|offering| {
        wanted.is_none_or(|version| offering.version == version)
            && offering.is_sellable(now)
            && segments.iter().any(|segment| offering.is_visible(segment))
    });
    Ok(Answer::ok(&OfferingView::of(found.ok_or_else(unknown)?, &catalog_version)).build())
}

/// All versions of the offering in the tenant's newest catalog, newest first, that catalog's version, and who looks.
/// Out of this process, else out of Redis, else out of the catalog as Postgres has it.
async fn versions(call: &Call, id: &OfferingId) -> Result<Option<(Vec<Offering>, String, Vec<String>)>, Problem> {
    let Gateway { references, redis, .. } = &*call.gateway;
    let mut tx = call.begin().await?;
    let segments = segments(call, &mut tx).await?;
    let Some(version) = newest(call, &mut tx).await? else { return Ok(None) };
    if let Some(catalog) = references.at_hand(call.tenant(), &version) {
        tx.commit().await?;
        return Ok(Some((catalog.versions(id).cloned().collect(), version, segments)));
    }
    let content_hash = reference::content_hash(&mut tx, call.tenant(), &version).await?;
    let identity = CatalogIdentity {
        tenant: call.tenant().clone(),
        version: version.clone(),
        content_hash: content_hash.ok_or_else(|| StoreError::Corrupt(format!("catalog {version} is not there")))?,
    };
    let kept = offerings::find(redis, &identity, id).await;
    let found = match kept {
        Some(found) => Some(found),
        None => {
            let catalog = references.catalog(&mut tx, call.tenant(), &version).await?;
            let found: Option<Vec<Offering>> = catalog.map(|catalog| catalog.versions(id).cloned().collect());
            if let Some(found) = &found {
                offerings::keep(redis, &identity, id, found.clone()).await;
            }
            found
        }
    };
    tx.commit().await?;
    Ok(found.map(|found| (found, version, segments)))
}

/// The version of the tenant's newest catalog.
async fn newest(call: &Call, tx: &mut Tx) -> Result<Option<String>, Problem> {
    let tenants = call.gateway.references.tenants(tx, std::slice::from_ref(call.tenant())).await?;
    Ok(tenants.get(call.tenant()).and_then(|tenant| tenant.catalog_version.clone()))
}

/// The newest version on sale for any of these segments.
fn on_sale<'a>(catalog: &'a Catalog, id: &OfferingId, segments: &[String], now: Moment) -> Option<&'a Offering> {
    let of_segments = segments.iter().filter_map(|segment| catalog.newest_sellable(id, segment, now));
    of_segments.max_by_key(|offering| offering.sellable_from)
}

/// The tenant's newest catalog and who looks at it; `None` while nothing was published.
async fn look(call: &Call) -> Result<Option<(Arc<Catalog>, Vec<String>)>, Problem> {
    let mut tx = call.begin().await?;
    let segments = segments(call, &mut tx).await?;
    let catalog = match newest(call, &mut tx).await? {
        Some(version) => call.gateway.references.catalog(&mut tx, call.tenant(), &version).await?,
        None => None,
    };
    tx.commit().await?;
    Ok(catalog.map(|catalog| (catalog, segments)))
}

async fn segments(call: &Call, tx: &mut Tx) -> Result<Vec<String>, Problem> {
    let Some(account) = call.query("customerAccountId").map(CustomerAccountId::from) else {
        return match call.query("segment") {
            Some(segment) => Ok(vec![segment.to_owned()]),
            None => Ok(reads::segments(tx, call.tenant(), &call.readable()).await?),
        };
    };
    let key = (call.tenant().clone(), account);
    let known = reference::customers(tx, std::slice::from_ref(&key)).await?;
    match known.get(&key).filter(|customer| call.may_read(&customer.customer_account_id)) {
        Some(customer) => Ok(vec![customer.segment.clone()]),
        None => {
            let detail = "names no customer account of yours in this tenant";
            Err(Problem::invalid(vec![FieldError::new("/customerAccountId", FieldCode::UnknownReference, detail)]))
        }
    }
}
