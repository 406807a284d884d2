//! Rules that nobody could ever keep. Only what is certain is refused: rules that two customers could keep in
//! different ways are left to the configuration.

use super::{Faults, Known};
use crate::catalog::condition::{Conditions, Subject};
use crate::catalog::{CatalogSource, Rule, RuleKind, RuleScope};
use crate::ids::OfferingId;
use crate::rejection::FieldCode;
use std::collections::BTreeMap;

pub(super) fn check(source: &CatalogSource, known: &Known, rules: &[(Conditions, Conditions)], faults: &mut Faults) {
    let mut pairs: BTreeMap<(&OfferingId, &OfferingId), Vec<usize>> = BTreeMap::new();
    for (i, rule) in source.rules.iter().enumerate() {
        pairs.entry((&rule.condition.offering_id, &rule.then.offering_id)).or_default().push(i);
        by_bundle(i, rule, &rules[i], known, faults);
    }
    for indexes in pairs.values() {
        for excludes in indexes.iter().filter(|i| source.rules[**i].kind == RuleKind::Excludes) {
            for requires in indexes.iter().filter(|i| source.rules[**i].kind == RuleKind::Requires) {
                let (e, r) = (&source.rules[*excludes], &source.rules[*requires]);
                let whenever = implies(known, &e.condition.offering_id, &rules[*requires].0, &rules[*excludes].0);
                let whatever = implies(known, &e.then.offering_id, &rules[*requires].1, &rules[*excludes].1);
                if whenever && whatever && (e.scope == r.scope || e.scope == RuleScope::Quote) {
                    let detail = format!("{} and {} cannot both be kept", r.id, e.id);
                    faults.add(format!("/rules/{}", excludes.max(requires)), FieldCode::Rule, detail);
                }
            }
        }
    }
}

/// Whether the first set of conditions holds only where the second does: it says all of it, and maybe more.
fn implies(known: &Known, id: &OfferingId, first: &Conditions, second: &Conditions) -> bool {
    second.keys().all(|key| {
        let subject: Option<Subject> = known.characteristic(id, None, key).first().copied();
        subject.is_some_and(|subject| first.signature(key, subject) == second.signature(key, subject))
    })
}

/// A rule against what the `if` offering's bundle allows or demands.
fn by_bundle(i: usize, rule: &Rule, conditions: &(Conditions, Conditions), known: &Known, faults: &mut Faults) {
    let versions = known.versions(&rule.condition.offering_id);
    if versions.is_empty() || known.versions(&rule.then.offering_id).is_empty() {
        return;
    }
    let child = |offering: &&crate::catalog::Offering| {
        offering
            .children
            .iter()
            .find(|child| child.offering_id == rule.then.offering_id)
            .map(|child| (child.min, child.max))
    };
    let at = format!("/rules/{i}/then/offeringId");
    match (rule.kind, rule.scope) {
        (RuleKind::Requires, RuleScope::Children)
            if versions.iter().all(|offering| child(offering).is_none_or(|(_, max)| max == Some(0))) =>
        {
            let detail = format!("{} may not stand under {}", rule.then.offering_id, rule.condition.offering_id);
            faults.add(at, FieldCode::Rule, detail);
        }
        (RuleKind::Excludes, RuleScope::Children | RuleScope::Quote)
            if conditions.0.is_empty()
                && conditions.1.is_empty()
                && versions.iter().all(|offering| child(offering).is_some_and(|(min, _)| min > 0)) =>
        {
            let detail = format!("{} must stand under {}", rule.then.offering_id, rule.condition.offering_id);
            faults.add(at, FieldCode::Rule, detail);
        }
        _ => {}
    }
}
