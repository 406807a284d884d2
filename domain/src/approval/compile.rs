//! From a decision table as written to rules that cannot fail: every input and output is known, every cell is
//! of its column's type, every demand is a level, a bounded number or a reason.

use super::dmn::{Column, DecisionTable, Rule};
use super::feel::{self, Type, UnaryTests, Value};
use super::policy::{ApprovalLevel, MAX_ORDER, MAX_REASON_CODE_LENGTH, MAX_SLA_HOURS, MatchedRule, PolicyInputs};
use rust_decimal::prelude::ToPrimitive;
use std::collections::BTreeSet;

/// One rule: what it asks of the inputs, and what it demands if all of that holds.
#[derive(Clone, Debug)]
pub(super) struct CompiledRule {
    tests: Vec<(Input, UnaryTests)>,
    pub(super) demands: MatchedRule,
}

impl CompiledRule {
    pub(super) fn matches(&self, inputs: &PolicyInputs) -> bool {
        self.tests.iter().all(|(input, test)| test.matches(&input.of(inputs)))
    }
}

/// The contract's inputs, by their names in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    EffectiveDiscountPercent,
    TotalAmount,
    Currency,
    MarginPercent,
    TermMonths,
    Segment,
    HasManualOverride,
}

impl Input {
    const ALL: [(&'static str, Self, Type); 7] = [
        ("effectiveDiscountPercent", Self::EffectiveDiscountPercent, Type::Number),
        ("totalAmount", Self::TotalAmount, Type::Number),
        ("currency", Self::Currency, Type::Text),
        ("marginPercent", Self::MarginPercent, Type::Number),
        ("termMonths", Self::TermMonths, Type::Number),
        ("segment", Self::Segment, Type::Text),
        ("hasManualOverride", Self::HasManualOverride, Type::Boolean),
    ];

    /// What a quote has there.
    pub(super) fn of(self, inputs: &PolicyInputs) -> Value {
        match self {
            Self::EffectiveDiscountPercent => Value::Number(inputs.effective_discount_percent.0),
            Self::TotalAmount => Value::Number(inputs.total_amount.0),
            Self::Currency => Value::Text(inputs.currency.code().to_owned()),
            Self::MarginPercent => inputs.margin_percent.map_or(Value::Null, |percent| Value::Number(percent.0)),
            Self::TermMonths => Value::Number(inputs.term_months.into()),
            Self::Segment => Value::Text(inputs.segment.clone()),
            Self::HasManualOverride => Value::Boolean(inputs.has_manual_override),
        }
    }
}

/// The outputs of a table, each exactly once, in any order.
const OUTPUTS: [(&str, Type); 5] = [
    ("level", Type::Text),
    ("order", Type::Number),
    ("reasonCode", Type::Text),
    ("slaHours", Type::Number),
    ("escalateTo", Type::Text),
];

/// The rules of a table, ready to be evaluated, or every fault in it.
pub(super) fn compile_rules(table: &DecisionTable) -> Result<Vec<CompiledRule>, Vec<String>> {
    let mut faults = Vec::new();
    if table.hit_policy != "COLLECT" {
        faults.push(format!("the hit policy must be COLLECT; it is {}", table.hit_policy));
    }
    let inputs: Vec<Option<(Input, Type)>> = table.inputs.iter().map(|column| input(column, &mut faults)).collect();
    check_outputs(&table.outputs, &mut faults);
    let mut ids = BTreeSet::new();
    faults.extend(
        table
            .rules
            .iter()
            .filter(|rule| !ids.insert(&rule.id))
            .map(|rule| format!("rule id '{}' is used twice", rule.id)),
    );
    let inputs: Option<Vec<(Input, Type)>> = inputs.into_iter().collect();
    let (Some(inputs), true) = (inputs, faults.is_empty()) else {
        return Err(faults);
    };
    let compiled =
        table.rules.iter().filter_map(|rule| compile_rule(rule, &inputs, &table.outputs, &mut faults)).collect();
    if faults.is_empty() { Ok(compiled) } else { Err(faults) }
}

fn input(column: &Column, faults: &mut Vec<String>) -> Option<(Input, Type)> {
    let Some((name, input, type_)) = Input::ALL.into_iter().find(|(name, ..)| *name == column.name) else {
        let known = Input::ALL.map(|(name, ..)| name).join(", ");
        faults.push(format!("unknown input '{}'; known are {known}", column.name));
        return None;
    };
    check_type(name, type_, column, faults);
    Some((input, type_))
}

fn check_outputs(columns: &[Column], faults: &mut Vec<String>) {
    for column in columns {
        match OUTPUTS.into_iter().find(|(name, _)| *name == column.name) {
            Some((name, type_)) => check_type(name, type_, column, faults),
            None => {
                let known = OUTPUTS.map(|(name, _)| name).join(", ");
                faults.push(format!("unknown output '{}'; known are {known}", column.name));
            }
        }
    }
    for (name, _) in OUTPUTS {
        let count = columns.iter().filter(|column| column.name == name).count();
        if count != 1 {
            faults.push(format!("output '{name}' must be there once; it is there {count} times"));
        }
    }
}

/// A declared type must be the column's own, under FEEL's name or under one of the engine's.
fn check_type(name: &str, type_: Type, column: &Column, faults: &mut Vec<String>) {
    let allowed: &[&str] = match type_ {
        Type::Number => &["number", "integer", "long", "double"],
        Type::Text => &["string"],
        Type::Boolean => &["boolean"],
    };
    if let Some(declared) = column.type_ref.as_deref().filter(|declared| !allowed.contains(declared)) {
        faults.push(format!("'{name}' is declared as {declared}; it is a {type_} ({})", allowed.join(", ")));
    }
}

fn compile_rule(
    rule: &Rule,
    inputs: &[(Input, Type)],
    outputs: &[Column],
    faults: &mut Vec<String>,
) -> Option<CompiledRule> {
    let mut tests = Vec::new();
    for (cell, (input, type_)) in rule.input_entries.iter().zip(inputs) {
        match UnaryTests::parse(cell, *type_) {
            Ok(UnaryTests::Any) => {}
            Ok(test) => tests.push((*input, test)),
            Err(fault) => faults.push(format!("{}: {fault}", rule.id)),
        }
    }
    let mut cells = OutputCells { rule, outputs, faults };
    // All are read before any is missed, so that the author learns of every fault at once.
    let level = cells.read("level", LEVELS, as_level);
    let order = cells.read("order", "a whole number from 1 to 100", |value| as_number(value, MAX_ORDER));
    let reason_code = cells.read("reasonCode", "a string of 1 to 64 of A-Z, 0-9 and _", as_reason);
    let sla_hours = cells.read("slaHours", "a whole number from 1 to 8760", |value| as_number(value, MAX_SLA_HOURS));
    let escalate_to = cells.read("escalateTo", LEVELS, as_level);
    let demands = MatchedRule {
        rule_id: rule.id.clone(),
        level: level?,
        order: order?,
        reason_code: reason_code?,
        sla_hours: sla_hours?,
        escalate_to: escalate_to?,
    };
    Some(CompiledRule { tests, demands })
}

const LEVELS: &str = "one of \"SALES_MANAGER\", \"SALES_DIRECTOR\", \"FINANCE\", \"LEGAL\"";

/// The output cells of one rule, read by name.
struct OutputCells<'a> {
    rule: &'a Rule,
    outputs: &'a [Column],
    faults: &'a mut Vec<String>,
}

impl OutputCells<'_> {
    fn read<T>(&mut self, name: &str, expected: &str, convert: impl Fn(Value) -> Option<T>) -> Option<T> {
        let mut columns = self.outputs.iter().zip(&self.rule.output_entries);
        let (_, cell) = columns.find(|(column, _)| column.name == name)?;
        let value = feel::literal(cell).ok().and_then(convert);
        if value.is_none() {
            self.faults.push(format!("{}, {name}: must be {expected}; it is '{cell}'", self.rule.id));
        }
        value
    }
}

fn as_level(value: Value) -> Option<ApprovalLevel> {
    match value {
        Value::Text(name) => ApprovalLevel::parse(&name),
        _ => None,
    }
}

fn as_number(value: Value, most: u32) -> Option<u32> {
    match value {
        Value::Number(number) if number.is_integer() => number.to_u32().filter(|number| (1..=most).contains(number)),
        _ => None,
    }
}

fn as_reason(value: Value) -> Option<String> {
    let allowed = |c: u8| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_';
    match value {
        Value::Text(code) if (1..=MAX_REASON_CODE_LENGTH).contains(&code.len()) && code.bytes().all(allowed) => {
            Some(code)
        }
        _ => None,
    }
}
