//! A published catalog version, compiled: what offerings there are, which versions are on sale, what they cost.
//! Publishing refuses what selling and pricing could not rest on (`check`); choosing is `configuration`'s,
//! computing is `pricing`'s.

pub mod changes;
mod check;
pub mod condition;
mod read;
mod source;
pub mod value;

pub use read::{MAX_DOCUMENT_BYTES, read};
pub use source::*;

use crate::configuration::CharacteristicValue;
use crate::ids::OfferingId;
use crate::moment::{Moment, within};
use crate::money::Currency;
use crate::rejection::{FieldCode, FieldError};
use condition::Conditions;
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, HashMap, HashSet};
use value::Patterns;

/// An immutable catalog version, indexed by offering, so that its size does not matter to a quote.
#[derive(Debug)]
pub struct Catalog {
    source: CatalogSource,
    patterns: Patterns,
    /// Versions of an offering, newest first.
    versions: HashMap<OfferingId, Vec<usize>>,
    prices: HashMap<OfferingId, Vec<PriceGroup>>,
    price_conditions: Vec<Conditions>,
    adjustments: AdjustmentIndex,
    adjustment_conditions: Vec<Conditions>,
    /// Rules by their `if` offering.
    rules: HashMap<OfferingId, Vec<CompiledRule>>,
    price_lists: HashSet<String>,
}

/// The prices of one offering under one list, in one currency, of one kind; the most specific first.
#[derive(Debug)]
struct PriceGroup {
    price_list_id: String,
    currency: Currency,
    kind: PriceKind,
    ranked: Vec<usize>,
}

/// Adjustments by offering, each list in the order in which they apply.
#[derive(Debug, Default)]
struct AdjustmentIndex {
    /// All of them, by priority, then id.
    ranked: Vec<usize>,
    /// Positions in `ranked`.
    of_offering: HashMap<OfferingId, Vec<usize>>,
    of_all: Vec<usize>,
}

/// A rule with both sides' conditions parsed.
#[derive(Debug)]
pub struct CompiledRule {
    index: usize,
    pub condition: Conditions,
    pub then: Conditions,
}

impl Catalog {
    /// Compiles a catalog, or gives every fault with its pointer.
    pub fn compile(source: CatalogSource) -> Result<Self, Vec<FieldError>> {
        let checked = check::check(&source)?;
        let mut rules: HashMap<OfferingId, Vec<CompiledRule>> = HashMap::new();
        for (index, ((condition, then), rule)) in checked.rules.into_iter().zip(&source.rules).enumerate() {
            let compiled = CompiledRule { index, condition, then };
            rules.entry(rule.condition.offering_id.clone()).or_default().push(compiled);
        }
        Ok(Self {
            patterns: checked.patterns,
            versions: versions(&source.offerings),
            prices: price_groups(&source.prices),
            price_conditions: checked.prices,
            adjustments: adjustment_index(&source.adjustments),
            adjustment_conditions: checked.adjustments,
            rules,
            price_lists: source.prices.iter().map(|price| price.price_list_id.clone()).collect(),
            source,
        })
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
    /// All versions of an offering, newest first.
    pub fn versions(&self, id: &OfferingId) -> impl Iterator<Item = &Offering> {
        self.versions.get(id).into_iter().flatten().map(|i| &self.source.offerings[*i])
    }
    pub fn offering(&self, id: &OfferingId, version: &str) -> Option<&Offering> {
        self.versions(id).find(|offering| offering.version == version)
    }
    /// The newest version that this segment may see and buy at that moment.
    pub fn newest_sellable(&self, id: &OfferingId, segment: &str, at: Moment) -> Option<&Offering> {
        self.versions(id).find(|offering| offering.is_visible(segment) && offering.is_sellable(at))
    }
    /// Every offering version that this segment may see and buy at that moment, in the catalog's order.
    pub fn visible_offerings(&self, segment: &str, at: Moment) -> impl Iterator<Item = &Offering> {
        self.source.offerings.iter().filter(move |offering| offering.is_visible(segment) && offering.is_sellable(at))
    }
    /// What is wrong with a value by its definition, if anything.
    pub fn value_fault(&self, definition: &Characteristic, value: &CharacteristicValue) -> Option<(FieldCode, String)> {
        value::fault(definition, value, &self.patterns)
    }
    /// The prices of that kind, the most specific first.
    pub fn prices<'a>(
        &'a self,
        id: &OfferingId,
        price_list_id: &str,
        currency: Currency,
        kind: PriceKind,
    ) -> impl Iterator<Item = (&'a PriceEntry, &'a Conditions)> {
        let groups = self.prices.get(id).map(Vec::as_slice).unwrap_or_default();
        let group = groups
            .iter()
            .find(|group| group.kind == kind && group.currency == currency && group.price_list_id == price_list_id);
        group.into_iter().flat_map(|group| &group.ranked).map(|i| (&self.source.prices[*i], &self.price_conditions[*i]))
    }
    /// The adjustments that may concern an offering, by priority, then id.
    pub fn adjustments(&self, id: &OfferingId) -> impl Iterator<Item = (&Adjustment, &Conditions)> {
        let own = self.adjustments.of_offering.get(id).map(Vec::as_slice).unwrap_or_default();
        merge(own, &self.adjustments.of_all).map(|position| {
            let i = self.adjustments.ranked[position];
            (&self.source.adjustments[i], &self.adjustment_conditions[i])
        })
    }
    /// The rules that lines of this offering set off.
    pub fn rules(&self, id: &OfferingId) -> impl Iterator<Item = (&Rule, &CompiledRule)> {
        self.rules.get(id).into_iter().flatten().map(|rule| (&self.source.rules[rule.index], rule))
    }
}

impl Offering {
    pub fn is_visible(&self, segment: &str) -> bool {
        self.segments.is_empty() || self.segments.iter().any(|known| known == segment)
    }
    pub fn is_sellable(&self, at: Moment) -> bool {
        within(at, Some(self.sellable_from), self.sellable_to)
    }
    pub fn characteristic(&self, name: &str) -> Option<&Characteristic> {
        self.characteristics.iter().find(|characteristic| characteristic.name == name)
    }
}

fn versions(offerings: &[Offering]) -> HashMap<OfferingId, Vec<usize>> {
    let mut versions: HashMap<OfferingId, Vec<usize>> = HashMap::new();
    for (i, offering) in offerings.iter().enumerate() {
        versions.entry(offering.id.clone()).or_default().push(i);
    }
    for list in versions.values_mut() {
        list.sort_by(|a, b| newer(&offerings[*b], &offerings[*a]));
    }
    versions
}

/// Which of two versions is newer: sellable later, else the higher version ("10" is above "9").
fn newer(a: &Offering, b: &Offering) -> Ordering {
    let parts = |offering: &Offering| -> Vec<(Option<u64>, String)> {
        offering.version.split('.').map(|part| (part.parse().ok(), part.to_owned())).collect()
    };
    a.sellable_from.cmp(&b.sellable_from).then_with(|| parts(a).cmp(&parts(b)))
}

fn price_groups(prices: &[PriceEntry]) -> HashMap<OfferingId, Vec<PriceGroup>> {
    let mut by_key: BTreeMap<(&OfferingId, &str, Currency, PriceKind), Vec<usize>> = BTreeMap::new();
    for (i, price) in prices.iter().enumerate() {
        let key = (&price.offering_id, price.price_list_id.as_str(), price.currency, price.kind);
        by_key.entry(key).or_default().push(i);
    }
    // Segment given before null, then more `when` entries, then later `validFrom`. What is left are conditions
    // on one key that overlap; there the id decides, so that a price never depends on the order of a file.
    let rank = |i: &usize| {
        let price = &prices[*i];
        (price.segment.is_none(), Reverse(price.when.len()), Reverse(price.valid_from), &price.id)
    };
    let mut groups: HashMap<OfferingId, Vec<PriceGroup>> = HashMap::new();
    for ((id, price_list_id, currency, kind), mut ranked) in by_key {
        ranked.sort_by(|a, b| rank(a).cmp(&rank(b)));
        let group = PriceGroup { price_list_id: price_list_id.to_owned(), currency, kind, ranked };
        groups.entry(id.clone()).or_default().push(group);
    }
    groups
}

fn adjustment_index(adjustments: &[Adjustment]) -> AdjustmentIndex {
    let mut index = AdjustmentIndex { ranked: (0..adjustments.len()).collect(), ..AdjustmentIndex::default() };
    let rank = |i: &usize| (adjustments[*i].priority, &adjustments[*i].id);
    index.ranked.sort_by(|a, b| rank(a).cmp(&rank(b)));
    for (position, i) in index.ranked.iter().enumerate() {
        match &adjustments[*i].applies_to.offering_id {
            Some(id) => index.of_offering.entry(id.clone()).or_default().push(position),
            None => index.of_all.push(position),
        }
    }
    index
}

/// Two ascending lists as one.
fn merge<'a>(a: &'a [usize], b: &'a [usize]) -> impl Iterator<Item = usize> + use<'a> {
    let (mut a, mut b) = (a.iter().copied().peekable(), b.iter().copied().peekable());
    std::iter::from_fn(move || match (a.peek(), b.peek()) {
        (Some(first), Some(second)) if second < first => b.next(),
        (Some(_), _) => a.next(),
        (None, _) => b.next(),
    })
}

#[cfg(test)]
mod tests;
