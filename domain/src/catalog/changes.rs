//! What a newer catalog changes of what a configuration uses: offerings, their prices and adjustments, the rules
//! that its lines set off. What it changes elsewhere is nobody's concern here.

use super::{Adjustment, Catalog, Offering, PriceEntry, PriceKind, Rule};
use crate::configuration::Configuration;
use crate::ids::{LineNumber, OfferingId};
use crate::moment::Moment;
use crate::money::Currency;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A newer catalog that changes what a quote uses. Configuring again moves the quote to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct CatalogChanged {
    /// The newest version.
    pub catalog_version: String,
    pub changes: Vec<CatalogChange>,
}

/// What is changed about one offering.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct CatalogChange {
    pub kind: CatalogChangeKind,
    pub product_offering_id: OfferingId,
    /// The version that the lines have.
    pub product_offering_version: String,
    pub line_numbers: Vec<LineNumber>,
    /// A sentence for a person.
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CatalogChangeKind {
    /// It cannot be bought any more.
    OfferingNotOnSale,
    OfferingChanged,
    NewerVersion,
    PricesChanged,
    AdjustmentsChanged,
    RulesChanged,
}

/// How a quote looks at a catalog.
pub struct Use<'a> {
    pub configuration: &'a Configuration,
    pub price_list_id: &'a str,
    pub currency: Currency,
    pub at: Moment,
}

/// What `newer` changes of that use of `older`; `None` if nothing.
pub fn changed(older: &Catalog, newer: &Catalog, usage: &Use) -> Option<CatalogChanged> {
    let mut used: BTreeMap<(&OfferingId, &str), Vec<LineNumber>> = BTreeMap::new();
    for line in &usage.configuration.lines {
        let version = (&line.product_offering_id, line.product_offering_version.as_str());
        used.entry(version).or_default().push(line.line_number.clone());
    }
    let mut changes = Vec::new();
    for ((id, version), line_numbers) in used {
        for (kind, detail) in of_offering(older, newer, usage, id, version) {
            changes.push(CatalogChange {
                kind,
                product_offering_id: id.clone(),
                product_offering_version: version.to_owned(),
                line_numbers: line_numbers.clone(),
                detail,
            });
        }
    }
    (!changes.is_empty()).then(|| CatalogChanged { catalog_version: newer.version().to_owned(), changes })
}

fn of_offering(
    older: &Catalog,
    newer: &Catalog,
    usage: &Use,
    id: &OfferingId,
    version: &str,
) -> Vec<(CatalogChangeKind, String)> {
    use CatalogChangeKind as K;
    let mut found = Vec::new();
    let on_sale = |catalog: &Catalog| catalog.offering(id, version).is_some_and(|o| is_on_sale(o, usage));
    match (older.offering(id, version), newer.offering(id, version)) {
        (_, None) => found.push((K::OfferingNotOnSale, format!("{id} {version} is no longer in the catalog"))),
        (Some(_), Some(_)) if on_sale(older) && !on_sale(newer) => {
            found.push((K::OfferingNotOnSale, format!("{id} {version} is no longer on sale for this customer")));
        }
        (Some(before), Some(after)) if before != after => {
            let members = differing(before, after).join(", ");
            found.push((K::OfferingChanged, format!("{id} {version} has other {members}")));
        }
        _ => {}
    }
    let segment = &usage.configuration.segment;
    let newest = |catalog: &'_ Catalog| catalog.newest_sellable(id, segment, usage.at).map(|o| o.version.clone());
    if let Some(newest) = newest(newer).filter(|v| v != version && newest(older).as_ref() != Some(v)) {
        found.push((K::NewerVersion, format!("{id} is on sale in version {newest}")));
    }
    if prices(older, usage, id, version) != prices(newer, usage, id, version) {
        found.push((K::PricesChanged, format!("{id} has other prices")));
    }
    if adjustments(older, usage, id, version) != adjustments(newer, usage, id, version) {
        found.push((K::AdjustmentsChanged, format!("other adjustments concern {id}")));
    }
    if rules(older, id) != rules(newer, id) {
        found.push((K::RulesChanged, format!("{id} has other rules")));
    }
    found
}

fn is_on_sale(offering: &Offering, usage: &Use) -> bool {
    offering.is_visible(&usage.configuration.segment) && offering.is_sellable(usage.at)
}

/// The members in which two versions of an offering differ, as the catalog's file names them.
fn differing(a: &Offering, b: &Offering) -> Vec<&'static str> {
    let members = [
        ("name", a.name == b.name),
        ("segments", a.segments == b.segments),
        ("sellableFrom", a.sellable_from == b.sellable_from),
        ("sellableTo", a.sellable_to == b.sellable_to),
        ("taxCategory", a.tax_category == b.tax_category),
        ("characteristics", a.characteristics == b.characteristics),
        ("children", a.children == b.children),
        ("fulfilment", a.fulfilment == b.fulfilment),
    ];
    members.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
}

/// The prices that may be chosen, in the order in which they are.
fn prices<'a>(catalog: &'a Catalog, usage: &'a Use, id: &'a OfferingId, version: &'a str) -> Vec<&'a PriceEntry> {
    let of_kind = |kind| catalog.prices(id, usage.price_list_id, usage.currency, kind);
    let concerns = |price: &PriceEntry| {
        price.offering_version.as_ref().is_none_or(|v| v == version)
            && price.segment.as_ref().is_none_or(|segment| *segment == usage.configuration.segment)
    };
    PriceKind::ALL.into_iter().flat_map(of_kind).map(|(price, _)| price).filter(|price| concerns(price)).collect()
}

/// The adjustments that may apply, in their order.
fn adjustments<'a>(catalog: &'a Catalog, usage: &'a Use, id: &'a OfferingId, version: &'a str) -> Vec<&'a Adjustment> {
    let concerns = |adjustment: &Adjustment| {
        let to = &adjustment.applies_to;
        to.offering_version.as_ref().is_none_or(|v| v == version)
            && to.price_list_id.as_ref().is_none_or(|list| list == usage.price_list_id)
            && adjustment.currency.is_none_or(|currency| currency == usage.currency)
    };
    catalog.adjustments(id).map(|(adjustment, _)| adjustment).filter(|a| concerns(a)).collect()
}

/// The rules that a line of the offering sets off. Their order does not matter.
fn rules<'a>(catalog: &'a Catalog, id: &OfferingId) -> Vec<&'a Rule> {
    let mut rules: Vec<&Rule> = catalog.rules(id).map(|(rule, _)| rule).collect();
    rules.sort_by(|a, b| a.id.cmp(&b.id));
    rules
}

#[cfg(test)]
mod tests;
