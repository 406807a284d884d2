//! Offerings by themselves: ids, windows, characteristics, children, fulfilment steps.

use super::{Faults, Known, RESERVED_NAMES};
use crate::catalog::value::{self, Patterns, typed, written};
use crate::catalog::{CatalogSource, Characteristic, CharacteristicType, Offering};
use crate::configuration::CharacteristicValue;
use crate::rejection::FieldCode;
use std::cmp::Ordering;
use std::collections::HashSet;

/// The fulfilment steps that there are workers for.
pub const FULFILMENT_STEPS: [&str; 3] = ["RESERVE_INVENTORY", "ACTIVATE_SERVICE", "START_BILLING"];

pub(super) fn check(source: &CatalogSource, known: &Known, faults: &mut Faults) -> Patterns {
    let mut patterns = Patterns::default();
    let mut seen = HashSet::new();
    for (i, offering) in source.offerings.iter().enumerate() {
        let at = format!("/offerings/{i}");
        faults.text(format!("{at}/id"), offering.id.as_str());
        faults.text(format!("{at}/version"), &offering.version);
        faults.text(format!("{at}/name"), &offering.name);
        faults.text(format!("{at}/taxCategory"), &offering.tax_category);
        faults.window(format!("{at}/sellableTo"), offering.sellable_from, offering.sellable_to);
        if !seen.insert((&offering.id, &offering.version)) {
            let detail = format!("version {} of {} is there twice", offering.version, offering.id);
            faults.add(format!("{at}/version"), FieldCode::NotAllowed, detail);
        }
        for (k, step) in offering.fulfilment.iter().enumerate() {
            if !FULFILMENT_STEPS.contains(&step.as_str()) {
                let detail = format!("{step} is none of {}", FULFILMENT_STEPS.join(", "));
                faults.add(format!("{at}/fulfilment/{k}"), FieldCode::NotAllowed, detail);
            }
        }
        characteristics(&at, offering, &mut patterns, faults);
        children(&at, offering, known, faults);
    }
    patterns
}

fn children(at: &str, offering: &Offering, known: &Known, faults: &mut Faults) {
    let mut seen = HashSet::new();
    for (k, child) in offering.children.iter().enumerate() {
        let at = format!("{at}/children/{k}");
        known.refer(faults, &at, &child.offering_id, None);
        if !seen.insert(&child.offering_id) {
            let detail = format!("{} is there twice", child.offering_id);
            faults.add(format!("{at}/offeringId"), FieldCode::NotAllowed, detail);
        }
        if let Some(max) = child.max.filter(|max| *max < child.min) {
            faults.add(format!("{at}/max"), FieldCode::OutOfRange, format!("{max} is below the minimum {}", child.min));
        }
    }
}

fn characteristics(at: &str, offering: &Offering, patterns: &mut Patterns, faults: &mut Faults) {
    let mut seen = HashSet::new();
    for (k, definition) in offering.characteristics.iter().enumerate() {
        let at = format!("{at}/characteristics/{k}");
        faults.unique(format!("{at}/name"), &definition.name, &mut seen);
        if RESERVED_NAMES.contains(&definition.name.as_str()) {
            let detail = format!("{} means something else in conditions", definition.name);
            faults.add(format!("{at}/name"), FieldCode::NotAllowed, detail);
        }
        let before = faults.0.len();
        allowed(&at, definition, faults);
        bounds(&at, definition, faults);
        pattern(&at, definition, patterns, faults);
        // A value is judged only by a definition that is sound itself.
        if faults.0.len() == before
            && let Some((code, detail)) =
                definition.default.as_ref().and_then(|default| value::fault(definition, default, patterns))
        {
            faults.add(format!("{at}/default"), code, detail);
        }
    }
}

/// Refuses a value that is not of the characteristic's type.
fn of_type(at: String, definition: &Characteristic, value: &CharacteristicValue, faults: &mut Faults) {
    if let Err(code) = typed(definition.kind, value) {
        faults.add(at, code, format!("a value of {} is {}", definition.name, written(definition.kind)));
    }
}

fn allowed(at: &str, definition: &Characteristic, faults: &mut Faults) {
    let Some(allowed) = &definition.allowed else { return };
    if allowed.is_empty() {
        faults.add(format!("{at}/allowed"), FieldCode::Required, "name at least one value");
    }
    for (k, value) in allowed.iter().enumerate() {
        of_type(format!("{at}/allowed/{k}"), definition, value, faults);
    }
}

fn bounds(at: &str, definition: &Characteristic, faults: &mut Faults) {
    let ordered = !matches!(definition.kind, CharacteristicType::String | CharacteristicType::Boolean);
    for (name, bound) in [("min", &definition.min), ("max", &definition.max)] {
        match bound {
            Some(_) if !ordered => {
                let detail = format!("{} has no smallest or largest value", definition.name);
                faults.add(format!("{at}/{name}"), FieldCode::NotAllowed, detail);
            }
            Some(bound) => of_type(format!("{at}/{name}"), definition, bound, faults),
            None => {}
        }
    }
    if let (Some(min), Some(max)) = (&definition.min, &definition.max)
        && let (Ok(low), Ok(high)) = (typed(definition.kind, min), typed(definition.kind, max))
        && low.compare(&high) == Some(Ordering::Greater)
    {
        faults.add(format!("{at}/max"), FieldCode::OutOfRange, format!("{max} is below the minimum {min}"));
    }
}

fn pattern(at: &str, definition: &Characteristic, patterns: &mut Patterns, faults: &mut Faults) {
    let Some(pattern) = &definition.pattern else { return };
    let at = format!("{at}/pattern");
    if definition.kind != CharacteristicType::String {
        faults.add(at, FieldCode::NotAllowed, "only a STRING has a pattern");
    } else if let Err(cause) = patterns.add(pattern) {
        faults.add(at, FieldCode::Pattern, cause);
    }
}
