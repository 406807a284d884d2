//! Rules by themselves: ids, the offerings and characteristics they name.

use super::{Faults, Known};
use crate::catalog::condition::Conditions;
use crate::catalog::{CatalogSource, RuleSide};
use std::collections::HashSet;

pub(super) fn check(source: &CatalogSource, known: &Known, faults: &mut Faults) -> Vec<(Conditions, Conditions)> {
    let mut seen = HashSet::new();
    let side = |at: String, side: &RuleSide, faults: &mut Faults| {
        known.refer(faults, &at, &side.offering_id, None);
        if known.versions(&side.offering_id).is_empty() {
            return Conditions::default();
        }
        let subjects = |name: &str| known.characteristic(&side.offering_id, None, name);
        faults.conditions(&format!("{at}/characteristics"), &side.characteristics, &subjects)
    };
    let mut conditions = Vec::with_capacity(source.rules.len());
    for (i, rule) in source.rules.iter().enumerate() {
        faults.unique(format!("/rules/{i}/id"), &rule.id, &mut seen);
        let condition = side(format!("/rules/{i}/if"), &rule.condition, faults);
        let then = side(format!("/rules/{i}/then"), &rule.then, faults);
        conditions.push((condition, then));
    }
    conditions
}
