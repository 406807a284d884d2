//! Prices of which none is more specific than the other (contract, section 6 "Prices"): refused, as nobody
//! could say which one a customer pays.

use super::{Faults, Known};
use crate::catalog::condition::Conditions;
use crate::catalog::{CatalogSource, PriceEntry, PriceKind};
use crate::ids::OfferingId;
use crate::moment::Moment;
use crate::money::Currency;
use crate::rejection::FieldCode;
use std::collections::{BTreeMap, HashMap};

/// What two prices that tie have in common.
type Rank<'a> = (&'a OfferingId, &'a str, Currency, PriceKind, Option<&'a str>, usize, Moment);

pub(super) fn check(source: &CatalogSource, known: &Known, conditions: &[Conditions], faults: &mut Faults) {
    let mut ranks: HashMap<Rank, Vec<usize>> = HashMap::new();
    for (i, price) in source.prices.iter().enumerate() {
        let segment = price.segment.as_deref();
        let rank = (
            &price.offering_id,
            price.price_list_id.as_str(),
            price.currency,
            price.kind,
            segment,
            price.when.len(),
            price.valid_from,
        );
        ranks.entry(rank).or_default().push(i);
    }
    let mut ties: Vec<(usize, usize)> = Vec::new();
    for prices in ranks.values().filter(|prices| prices.len() > 1) {
        among(prices, source, known, conditions, &mut ties);
    }
    ties.sort_unstable();
    for (later, earlier) in ties {
        let other = &source.prices[earlier].id;
        let detail = format!("ties with {other}: both hold for the same line, and neither is more specific");
        faults.add(format!("/prices/{later}"), FieldCode::NotAllowed, detail);
    }
}

/// Finds, for each price of one rank, an earlier one that it ties with. Prices with the same condition keys are
/// compared by hash, so that thousands of prices by one characteristic cost no more than reading them.
fn among(
    prices: &[usize],
    source: &CatalogSource,
    known: &Known,
    conditions: &[Conditions],
    ties: &mut Vec<(usize, usize)>,
) {
    let mut by_keys: BTreeMap<Vec<&str>, Vec<usize>> = BTreeMap::new();
    for i in prices {
        by_keys.entry(conditions[*i].keys().collect()).or_default().push(*i);
    }
    let sets: Vec<(&Vec<&str>, &Vec<usize>)> = by_keys.iter().collect();
    for (n, (keys, own)) in sets.iter().enumerate() {
        for (others_keys, others) in &sets[n..] {
            let shared: Vec<&str> = keys.iter().copied().filter(|key| others_keys.contains(key)).collect();
            let said = |i: usize| -> Vec<Option<String>> {
                let id = &source.prices[i].offering_id;
                let one = |key: &&str| {
                    let subject = known.subjects(Some(id), None, key).first().copied()?;
                    conditions[i].signature(key, subject)
                };
                shared.iter().map(one).collect()
            };
            let mut same: HashMap<Vec<Option<String>>, Vec<usize>> = HashMap::new();
            for i in *own {
                same.entry(said(*i)).or_default().push(*i);
            }
            for j in *others {
                let candidates = same.get(&said(*j)).into_iter().flatten();
                let tied = candidates
                    .filter(|i| *i != j && (others_keys != keys || *i < j))
                    .find(|i| hold_together(&source.prices[**i], &source.prices[*j]));
                if let Some(i) = tied {
                    ties.push((*i.max(j), *i.min(j)));
                }
            }
        }
    }
}

/// Whether there is a version for which, and a time at which, both prices hold.
fn hold_together(a: &PriceEntry, b: &PriceEntry) -> bool {
    let versions = match (&a.offering_version, &b.offering_version) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    };
    let before_end = |from: Moment, to: Option<Moment>| to.is_none_or(|to| from < to);
    versions && before_end(a.valid_from, b.valid_to) && before_end(b.valid_from, a.valid_to)
}
