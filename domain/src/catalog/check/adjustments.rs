//! Adjustments by themselves: what they concern, their currency, their conditions.

use super::{Faults, Known};
use crate::catalog::condition::Conditions;
use crate::catalog::{AdjustmentKind, CatalogSource};
use crate::rejection::FieldCode;
use std::collections::HashSet;

pub(super) fn check(source: &CatalogSource, known: &Known, faults: &mut Faults) -> Vec<Conditions> {
    let mut seen = HashSet::new();
    let mut conditions = Vec::with_capacity(source.adjustments.len());
    for (i, adjustment) in source.adjustments.iter().enumerate() {
        let at = format!("/adjustments/{i}");
        let to = &adjustment.applies_to;
        faults.unique(format!("{at}/id"), &adjustment.id, &mut seen);
        faults.window(format!("{at}/validTo"), adjustment.valid_from, adjustment.valid_to);
        faults.range(format!("{at}/value"), adjustment.value.0);
        if adjustment.kind != AdjustmentKind::Percent && adjustment.currency.is_none() {
            let detail = "AMOUNT_PER_UNIT and OVERRIDE_UNIT name the currency of their value";
            faults.add(format!("{at}/currency"), FieldCode::Required, detail);
        }
        let before = faults.0.len();
        if let Some(id) = &to.offering_id {
            known.refer(faults, &format!("{at}/appliesTo"), id, to.offering_version.as_deref());
        }
        if faults.0.len() > before {
            conditions.push(Conditions::default());
            continue;
        }
        let subjects = |name: &str| known.subjects(to.offering_id.as_ref(), to.offering_version.as_deref(), name);
        conditions.push(faults.conditions(&format!("{at}/when"), &adjustment.when, &subjects));
    }
    conditions
}
