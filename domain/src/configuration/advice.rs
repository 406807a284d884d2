//! For a choice that is ruled out: which others would do. Each is tried by configuring with it, so that what is
//! offered holds, whatever the rules are.

use super::lines::Judge;
use super::{CharacteristicValue, LineAction, LineRequest, check_form, configure};
use crate::catalog::{Catalog, CharacteristicType, Rule, RuleKind, RuleScope, RuleSide};
use crate::ids::{LineNumber, OfferingId};
use crate::moment::Moment;
use crate::money::Quantity;
use crate::pointer::token;
use crate::reference::Customer;
use crate::rejection::{Choice, ChoiceOp, FieldCode, FieldError, Rejection};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};

/// Choices that are named for one fault.
const MAX_CHOICES: usize = 20;
/// Lines that are configured for trial on one request, all trials together.
const MAX_TRIED_LINES: usize = 100_000;

/// Adds to a refused configuration's faults the choices that would do.
pub fn advise(
    catalog: &Catalog,
    customer: &Customer,
    at: Moment,
    lines: &[LineRequest],
    mut rejection: Rejection,
) -> Rejection {
    let before = rejection.errors.iter().map(|error| Fault::of(error, lines)).collect();
    let judge = Judge { catalog, segment: &customer.segment, at };
    let mut adviser = Adviser { judge, customer, lines, before, budget: MAX_TRIED_LINES };
    for error in &mut rejection.errors {
        error.choices = adviser.choices(error);
    }
    rejection
}

/// A fault by what does not change when lines come or go: the line's number instead of its place.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Fault {
    line: Option<LineNumber>,
    field: String,
    code: FieldCode,
    detail: String,
}

impl Fault {
    fn of(error: &FieldError, lines: &[LineRequest]) -> Self {
        let (line, field) = place(&error.pointer)
            .and_then(|(index, field)| Some((lines.get(index)?.line_number.clone(), field)))
            .map_or((None, error.pointer.as_str()), |(number, field)| (Some(number), field));
        Self { line, field: field.to_owned(), code: error.code, detail: error.detail.clone() }
    }
}

/// The index of the line and the pointer below it.
fn place(pointer: &str) -> Option<(usize, &str)> {
    let rest = pointer.strip_prefix("/lines/")?;
    let end = rest.find('/').unwrap_or(rest.len());
    Some((rest[..end].parse().ok()?, &rest[end..]))
}

/// One change of the lines.
enum Change {
    Set { line: usize, name: String, value: CharacteristicValue },
    Add(LineRequest),
    Remove(usize),
}

struct Adviser<'a> {
    judge: Judge<'a>,
    customer: &'a Customer,
    lines: &'a [LineRequest],
    before: HashSet<Fault>,
    /// Lines that may still be tried.
    budget: usize,
}

impl Adviser<'_> {
    /// The choices of which each by itself takes this fault away and brings no other.
    fn choices(&mut self, error: &FieldError) -> Vec<Choice> {
        let fault = Fault::of(error, self.lines);
        let mut choices = Vec::new();
        for change in self.changes(error) {
            if choices.len() == MAX_CHOICES || self.budget < self.lines.len() + 1 {
                break;
            }
            self.budget -= self.lines.len() + 1;
            if self.would_do(&change, &fault) {
                choices.push(self.shown(change));
            }
        }
        choices
    }

    /// A part that is added may lack what only the customer knows; whoever adds it is told so then.
    fn would_do(&self, change: &Change, fault: &Fault) -> bool {
        let mut lines = self.lines.to_vec();
        let mut added = None;
        match change {
            Change::Set { line, name, value } => {
                lines[*line].characteristics.insert(name.clone(), value.clone());
            }
            Change::Add(line) => {
                added = Some(&line.line_number);
                lines.push(line.clone());
            }
            Change::Remove(line) => {
                lines.remove(*line);
            }
        }
        let mut errors = check_form(&lines);
        if errors.is_empty() {
            let configured = configure(self.judge.catalog, self.customer, self.judge.at, &lines);
            errors = configured.err().map(|rejection| rejection.errors).unwrap_or_default();
        }
        errors.iter().map(|error| Fault::of(error, &lines)).all(|after| {
            let to_fill_in = after.code == FieldCode::Required && added.is_some() && after.line.as_ref() == added;
            to_fill_in || (after != *fault && self.before.contains(&after))
        })
    }

    /// The change as a client applies it to the body that it sent.
    fn shown(&self, change: Change) -> Choice {
        match change {
            Change::Set { line, name, value } => {
                let given = &self.lines[line].characteristics;
                let path = format!("/lines/{line}/characteristics");
                if given.is_empty() {
                    // The body may not have the object at all; `add` puts it there or in its place.
                    return Choice { op: ChoiceOp::Add, path, value: Some(json!({ name: value })) };
                }
                let op = if given.contains_key(&name) { ChoiceOp::Replace } else { ChoiceOp::Add };
                Choice { op, path: format!("{path}/{}", token(&name)), value: Some(json!(value)) }
            }
            Change::Add(line) => {
                Choice { op: ChoiceOp::Add, path: "/lines/-".to_owned(), value: Some(shown_line(&line)) }
            }
            Change::Remove(line) => Choice { op: ChoiceOp::Remove, path: format!("/lines/{line}"), value: None },
        }
    }

    /// What could be chosen instead, before it is tried.
    fn changes(&self, error: &FieldError) -> Vec<Change> {
        let Some((line, field)) = place(&error.pointer).filter(|(line, _)| *line < self.lines.len()) else {
            return Vec::new();
        };
        match error.code {
            FieldCode::Rule => {
                let id = &self.lines[line].product_offering_id;
                let rule = self.judge.catalog.rules(id).map(|(rule, _)| rule);
                let rule = rule.into_iter().find(|rule| Some(&rule.id) == error.rule.as_ref());
                rule.map(|rule| self.around_rule(line, rule)).unwrap_or_default()
            }
            FieldCode::Cardinality => self.of_children(line),
            FieldCode::NotAllowed => {
                let offering = self.judge.offering(&self.lines[line]);
                let named = offering.into_iter().flat_map(|offering| &offering.characteristics);
                let named = named.filter(|c| field == format!("/characteristics/{}", token(&c.name)));
                named.flat_map(|c| self.other_values(line, &c.name)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Out of the rule's condition, or into what it asks for.
    fn around_rule(&self, line: usize, rule: &Rule) -> Vec<Change> {
        let mut changes: Vec<Change> =
            rule.condition.characteristics.keys().flat_map(|name| self.other_values(line, name)).collect();
        let number = &self.lines[line].line_number;
        let place = match rule.scope {
            RuleScope::Children => Some(number),
            RuleScope::SameParent => self.lines[line].parent_line_number.as_ref(),
            RuleScope::Quote => None,
        };
        for (other, candidate) in self.lines.iter().enumerate() {
            let in_scope = rule.scope == RuleScope::Quote || candidate.parent_line_number.as_ref() == place;
            let itself = other == line;
            if itself || !in_scope || candidate.product_offering_id != rule.then.offering_id {
                continue;
            }
            changes.extend(rule.then.characteristics.keys().flat_map(|name| self.other_values(other, name)));
            if rule.kind == RuleKind::Excludes && !self.has_children(other) {
                changes.push(Change::Remove(other));
            }
        }
        if rule.kind == RuleKind::Requires {
            changes.push(Change::Add(self.part(&rule.then.offering_id, place, wanted(&rule.then))));
        }
        changes
    }

    /// One more where children are missing, one less where there are too many.
    fn of_children(&self, line: usize) -> Vec<Change> {
        let number = &self.lines[line].line_number;
        let mut changes = Vec::new();
        for child in self.judge.offering(&self.lines[line]).into_iter().flat_map(|offering| &offering.children) {
            let own = |candidate: &LineRequest| {
                candidate.parent_line_number.as_ref() == Some(number)
                    && candidate.product_offering_id == child.offering_id
                    && candidate.action != LineAction::Disconnect
            };
            let there: Vec<usize> = (0..self.lines.len()).filter(|i| own(&self.lines[*i])).collect();
            if (there.len() as u64) < u64::from(child.min) {
                changes.push(Change::Add(self.part(&child.offering_id, Some(number), BTreeMap::new())));
            } else if child.max.is_some_and(|max| there.len() as u64 > u64::from(max)) {
                changes.extend(there.into_iter().filter(|i| !self.has_children(*i)).map(Change::Remove));
            }
        }
        changes
    }

    /// Every other value of a characteristic that has a list of them.
    fn other_values(&self, line: usize, name: &str) -> Vec<Change> {
        let definition = self.judge.offering(&self.lines[line]).and_then(|offering| offering.characteristic(name));
        let Some(definition) = definition else { return Vec::new() };
        let both = || vec![CharacteristicValue::Boolean(false), CharacteristicValue::Boolean(true)];
        let values = match (&definition.allowed, definition.kind) {
            (Some(allowed), _) => allowed.clone(),
            (None, CharacteristicType::Boolean) => both(),
            (None, _) => Vec::new(),
        };
        let now = self.lines[line].characteristics.get(name).or(definition.default.as_ref());
        let others = values.into_iter().filter(|value| Some(value) != now);
        others.map(|value| Change::Set { line, name: name.to_owned(), value }).collect()
    }

    fn has_children(&self, line: usize) -> bool {
        let number = Some(&self.lines[line].line_number);
        self.lines.iter().any(|candidate| candidate.parent_line_number.as_ref() == number)
    }

    /// A new line with a number that no other has.
    fn part(
        &self,
        offering: &OfferingId,
        parent: Option<&LineNumber>,
        characteristics: BTreeMap<String, CharacteristicValue>,
    ) -> LineRequest {
        let taken: HashSet<&str> = self.lines.iter().map(|line| line.line_number.as_str()).collect();
        let prefix = parent.map(|parent| format!("{parent}.")).unwrap_or_default();
        let free = (1..).map(|n: u64| format!("{prefix}{n}")).find(|number| !taken.contains(number.as_str()));
        LineRequest {
            line_number: LineNumber::new(free.unwrap_or_default()),
            parent_line_number: parent.cloned(),
            product_offering_id: offering.clone(),
            product_offering_version: None,
            quantity: Quantity(Decimal::ONE),
            action: LineAction::Add,
            characteristics,
            asset_id: None,
            requested_date: None,
        }
    }
}

/// The values that a rule's side names by equality, or first in its list.
fn wanted(side: &RuleSide) -> BTreeMap<String, CharacteristicValue> {
    let named = |condition: &Value| {
        let value = match condition {
            Value::Object(operators) => operators.get("eq").or_else(|| operators.get("in")?.get(0))?,
            value => value,
        };
        serde_json::from_value(value.clone()).ok()
    };
    side.characteristics.iter().filter_map(|(name, condition)| Some((name.clone(), named(condition)?))).collect()
}

/// A line without the members that may be left out.
fn shown_line(line: &LineRequest) -> Value {
    let mut shown = json!({
        "lineNumber": line.line_number, "productOfferingId": line.product_offering_id, "quantity": line.quantity,
        "action": line.action,
    });
    if let Some(parent) = &line.parent_line_number {
        shown["parentLineNumber"] = json!(parent);
    }
    if !line.characteristics.is_empty() {
        shown["characteristics"] = json!(line.characteristics);
    }
    shown
}
