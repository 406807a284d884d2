//! The line tree and the rules between lines: children that their parents allow, how many of them, REQUIRES
//! and EXCLUDES in their scopes. DISCONNECT lines are neither counted nor asked. Linear in the lines.

use super::lines::Resolved;
use super::{Faults, LineAction, LineRequest};
use crate::catalog::value::Facts;
use crate::catalog::{Catalog, CompiledRule, Rule, RuleKind, RuleScope};
use crate::ids::{LineNumber, OfferingId};
use crate::rejection::FieldCode;
use std::collections::HashMap;

pub(super) fn check(catalog: &Catalog, lines: &[LineRequest], resolved: &[Option<Resolved>], faults: &mut Faults) {
    let tree = Tree::of(lines, resolved);
    for i in 0..lines.len() {
        tree.check_parent(i, faults);
        tree.check_children(i, faults);
    }
    for (offering, own) in &tree.by_offering {
        for (rule, compiled) in catalog.rules(offering) {
            tree.check_rule(rule, compiled, own, faults);
        }
    }
}

/// The lines by what others ask of them.
struct Tree<'a> {
    lines: &'a [LineRequest],
    resolved: &'a [Option<Resolved<'a>>],
    parents: Vec<Option<usize>>,
    /// How many counted lines of an offering stand under a line.
    children: HashMap<(usize, &'a OfferingId), u32>,
    /// Counted lines by offering.
    by_offering: HashMap<&'a OfferingId, Vec<usize>>,
    /// What conditions may look at, by line.
    facts: Vec<Facts<'a>>,
}

impl<'a> Tree<'a> {
    fn of(lines: &'a [LineRequest], resolved: &'a [Option<Resolved<'a>>]) -> Self {
        let index: HashMap<&LineNumber, usize> = lines.iter().enumerate().map(|(i, l)| (&l.line_number, i)).collect();
        let parent =
            |line: &LineRequest| line.parent_line_number.as_ref().and_then(|number| index.get(number)).copied();
        let facts = |line: &'a Option<Resolved<'a>>| {
            line.as_ref().map(|r| Facts::of(r.offering, &r.line.characteristics)).unwrap_or_default()
        };
        let mut tree = Self {
            lines,
            resolved,
            parents: lines.iter().map(parent).collect(),
            children: HashMap::new(),
            by_offering: HashMap::new(),
            facts: resolved.iter().map(facts).collect(),
        };
        for (i, line) in lines.iter().enumerate().filter(|(_, line)| line.action != LineAction::Disconnect) {
            tree.by_offering.entry(&line.product_offering_id).or_default().push(i);
            if let Some(parent) = tree.parents[i] {
                *tree.children.entry((parent, &line.product_offering_id)).or_default() += 1;
            }
        }
        tree
    }

    /// A child that its parent does not allow.
    fn check_parent(&self, i: usize, faults: &mut Faults) {
        let Some(parent) = self.parents[i].and_then(|p| self.resolved[p].as_ref()) else { return };
        let id = &self.lines[i].product_offering_id;
        if self.resolved[i].is_some() && !parent.offering.children.iter().any(|child| child.offering_id == *id) {
            let detail = format!("{id} cannot stand under {}", parent.offering.id);
            faults.add(i, "/productOfferingId", FieldCode::NotAllowed, detail);
        }
    }

    /// Too few or too many lines of a child offering under one line.
    fn check_children(&self, i: usize, faults: &mut Faults) {
        let Some(parent) = &self.resolved[i] else { return };
        if parent.line.action == LineAction::Disconnect {
            return;
        }
        for child in &parent.offering.children {
            let count = self.children.get(&(i, &child.offering_id)).copied().unwrap_or_default();
            if count >= child.min && child.max.is_none_or(|max| count <= max) {
                continue;
            }
            let takes = match child.max {
                Some(max) if max == child.min => format!("exactly {max}"),
                Some(max) => format!("{} to {max}", child.min),
                None => format!("at least {}", child.min),
            };
            let detail = format!("{} takes {takes} of {}, not {count}", parent.offering.id, child.offering_id);
            faults.add(i, "", FieldCode::Cardinality, detail);
        }
    }

    /// One rule against every line that sets it off. The `then` lines are found once and counted by scope, so
    /// that a rule costs each line once, however many lines there are.
    fn check_rule(&self, rule: &Rule, compiled: &CompiledRule, own: &[usize], faults: &mut Faults) {
        let candidates = self.by_offering.get(&rule.then.offering_id).map(Vec::as_slice).unwrap_or_default();
        let meant = |i: &usize| self.resolved[*i].is_some() && compiled.then.hold(&self.facts[*i]);
        let mut found: HashMap<Option<usize>, usize> = HashMap::new();
        let mut is_then =
            vec![false; if rule.condition.offering_id == rule.then.offering_id { self.lines.len() } else { 0 }];
        for then in candidates.iter().copied().filter(meant) {
            let place = match rule.scope {
                RuleScope::Children | RuleScope::SameParent => self.parents[then],
                RuleScope::Quote => None,
            };
            *found.entry(place).or_default() += 1;
            if let Some(flag) = is_then.get_mut(then) {
                *flag = true;
            }
        }
        for i in own.iter().copied().filter(|i| self.resolved[*i].is_some()) {
            if !compiled.condition.hold(&self.facts[i]) {
                continue;
            }
            let place = match rule.scope {
                RuleScope::Children => Some(i),
                RuleScope::SameParent => self.parents[i],
                RuleScope::Quote => None,
            };
            // A line is no other line than itself.
            let itself = rule.scope != RuleScope::Children && is_then.get(i).copied().unwrap_or_default();
            let others = found.get(&place).copied().unwrap_or_default() - usize::from(itself);
            if (others > 0) == (rule.kind == RuleKind::Excludes) {
                faults.add_broken(i, &rule.id, self.broken(rule));
            }
        }
    }

    fn broken(&self, rule: &Rule) -> String {
        let verb = match rule.kind {
            RuleKind::Requires => "requires",
            RuleKind::Excludes => "excludes",
        };
        let place = match rule.scope {
            RuleScope::Children => "under it",
            RuleScope::SameParent => "beside it",
            RuleScope::Quote => "in the quote",
        };
        let side = |side: &crate::catalog::RuleSide| {
            let with: Vec<String> =
                side.characteristics.iter().map(|(name, value)| format!("{name} {value}")).collect();
            if with.is_empty() {
                side.offering_id.to_string()
            } else {
                format!("{} with {}", side.offering_id, with.join(", "))
            }
        };
        format!("rule {}: {} {verb} {} {place}", rule.id, side(&rule.condition), side(&rule.then))
    }
}
