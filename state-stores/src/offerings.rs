//! Offerings of a published catalog version in Redis, for a gateway that has not compiled that catalog: to show one
//! offering it need not read and compile all of them. A version never changes, so nothing has to be taken back; what
//! lies in Redis is bound to the published content by a seal, read within bounds, and left aside when in doubt.

use crate::cache::{Redis, offering_key};
use cpq_domain::canonical;
use cpq_domain::catalog::Offering;
use cpq_domain::ids::{OfferingId, TenantId};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long Redis keeps one.
const TTL: Duration = Duration::from_secs(60 * 60);
/// The largest entry that is written to Redis, or taken from it.
const MAX_ENTRY_BYTES: usize = 256 * 1024;
/// Names what is sealed, so that no other hash of ours can stand for it.
const SEAL: &str = "cpq-catalog-offering-1";

/// A published catalog.
#[derive(Clone, Debug)]
pub struct CatalogIdentity {
    pub tenant: TenantId,
    pub version: String,
    /// Of the document; who can write to Redis does not know it.
    pub content_hash: String,
}

/// As it lies in Redis.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// All versions of the offering, newest first; none if the catalog has no such offering.
    offerings: Vec<Offering>,
    seal: String,
}

fn seal(catalog: &CatalogIdentity, id: &OfferingId, offerings: &[Offering]) -> String {
    canonical::hash(&(SEAL, &catalog.tenant, &catalog.version, &catalog.content_hash, id, offerings))
}

/// All versions of the offering in that catalog, newest first, if Redis has them.
pub async fn find(redis: &Redis, catalog: &CatalogIdentity, id: &OfferingId) -> Option<Vec<Offering>> {
    let key = offering_key(&catalog.tenant, id, &catalog.version);
    let bytes = redis.get_at_most(&key, MAX_ENTRY_BYTES).await?;
    let Entry { offerings, seal: found } = serde_json::from_slice(&bytes).ok()?;
    (found == seal(catalog, id, &offerings)).then_some(offerings)
}

/// Keeps them for other gateways.
pub async fn keep(redis: &Redis, catalog: &CatalogIdentity, id: &OfferingId, offerings: Vec<Offering>) {
    let entry = Entry { seal: seal(catalog, id, &offerings), offerings };
    if let Some(text) = serde_json::to_string(&entry).ok().filter(|text| text.len() <= MAX_ENTRY_BYTES) {
        redis.put(&offering_key(&catalog.tenant, id, &catalog.version), &text, TTL).await;
    }
}
