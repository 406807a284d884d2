//! Prices by themselves: what they are of, their model with its amounts or tiers, their conditions.

use super::{Faults, Known};
use crate::catalog::condition::Conditions;
use crate::catalog::{CatalogSource, PriceEntry, PriceModel};
use crate::rejection::FieldCode;
use rust_decimal::Decimal;
use std::collections::HashSet;

pub(super) fn check(source: &CatalogSource, known: &Known, faults: &mut Faults) -> Vec<Conditions> {
    let mut seen = HashSet::new();
    let mut conditions = Vec::with_capacity(source.prices.len());
    for (i, price) in source.prices.iter().enumerate() {
        let at = format!("/prices/{i}");
        faults.unique(format!("{at}/id"), &price.id, &mut seen);
        faults.text(format!("{at}/priceListId"), &price.price_list_id);
        faults.window(format!("{at}/validTo"), price.valid_from, price.valid_to);
        if let Some(cost) = price.unit_cost {
            faults.amount(format!("{at}/unitCost"), cost.0);
        }
        match price.model {
            PriceModel::Flat | PriceModel::PerUnit => flat(&at, price, faults),
            PriceModel::Tiered | PriceModel::Volume => tiers(&at, price, faults),
        }
        let before = faults.0.len();
        known.refer(faults, &at, &price.offering_id, price.offering_version.as_deref());
        if faults.0.len() > before {
            conditions.push(Conditions::default());
            continue;
        }
        let subjects = |name: &str| known.subjects(Some(&price.offering_id), price.offering_version.as_deref(), name);
        conditions.push(faults.conditions(&format!("{at}/when"), &price.when, &subjects));
    }
    conditions
}

fn flat(at: &str, price: &PriceEntry, faults: &mut Faults) {
    match price.amount {
        Some(amount) => faults.amount(format!("{at}/amount"), amount.0),
        None => faults.add(format!("{at}/amount"), FieldCode::Required, "FLAT and PER_UNIT have an amount"),
    }
    if !price.tiers.is_empty() {
        faults.add(format!("{at}/tiers"), FieldCode::NotAllowed, "only TIERED and VOLUME have tiers");
    }
}

/// Tiers rise, and the last one has no end: every quantity has exactly one.
fn tiers(at: &str, price: &PriceEntry, faults: &mut Faults) {
    if price.amount.is_some() {
        faults.add(format!("{at}/amount"), FieldCode::NotAllowed, "TIERED and VOLUME have their amounts in tiers");
    }
    if price.tiers.is_empty() {
        faults.add(format!("{at}/tiers"), FieldCode::Required, "TIERED and VOLUME have tiers");
    }
    let mut from = Decimal::ZERO;
    for (k, tier) in price.tiers.iter().enumerate() {
        let at = format!("{at}/tiers/{k}");
        let last = k + 1 == price.tiers.len();
        faults.amount(format!("{at}/amount"), tier.amount.0);
        let at = format!("{at}/upTo");
        match tier.up_to {
            Some(up_to) if last => {
                faults.add(
                    at,
                    FieldCode::OutOfRange,
                    format!("a quantity above {up_to} has no tier: the last has no end"),
                );
            }
            Some(up_to) if up_to.0 <= from => {
                faults.add(
                    at,
                    FieldCode::OutOfRange,
                    format!("{up_to} is not above {}, where the tier begins", from.normalize()),
                );
            }
            Some(up_to) => {
                faults.range(at, up_to.0);
                from = up_to.0;
            }
            None if !last => faults.add(at, FieldCode::OutOfRange, "only the last tier has no end"),
            None => {}
        }
    }
}
