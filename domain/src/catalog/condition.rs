//! `when` conditions: equality or `eq, in, gt, gte, lt, lte`, parsed once when a catalog is compiled and
//! compared by the declared type of what they look at.

use super::value::{Facts, Typed, is_date, written};
use super::{CharacteristicType, When};
use crate::money::parse_plain;
use crate::rejection::FieldCode;
use rust_decimal::Decimal;
use serde_json::Value;
use std::cmp::Ordering;

/// A condition that cannot be: where in the `when` object, why.
#[derive(Debug)]
pub struct Misfit {
    /// The key, and the operator within it.
    pub path: Vec<String>,
    pub code: FieldCode,
    pub detail: String,
}

/// What a `when` key speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Characteristic(CharacteristicType),
    /// The line's quantity: a decimal, written as a string or as a number.
    Quantity,
}

impl Subject {
    fn written(self) -> &'static str {
        match self {
            Self::Characteristic(kind) => written(kind),
            Self::Quantity => "a plain decimal in a JSON string",
        }
    }
    fn is_ordered(self) -> bool {
        self != Self::Characteristic(CharacteristicType::Boolean)
    }
}

/// Conditions that must all hold.
#[derive(Clone, Debug, Default)]
pub struct Conditions(Vec<Condition>);

#[derive(Clone, Debug)]
struct Condition {
    key: String,
    tests: Vec<Test>,
}

#[derive(Clone, Debug)]
struct Test {
    operator: Operator,
    operands: Vec<Operand>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Operator {
    Eq,
    In,
    Gt,
    Gte,
    Lt,
    Lte,
}

#[derive(Clone, Debug)]
enum Operand {
    Text(String, Option<Decimal>),
    Number(Decimal),
    Boolean(bool),
}

impl Conditions {
    /// Reads a `when` object, or gives every fault of its form.
    pub fn parse(when: &When) -> Result<Self, Vec<Misfit>> {
        let mut misfits = Vec::new();
        let mut conditions = Vec::with_capacity(when.len());
        for (key, value) in when {
            let mut tests = tests(key, value, &mut misfits);
            tests.sort_by_key(|test| test.operator);
            conditions.push(Condition { key: key.clone(), tests });
        }
        if misfits.is_empty() { Ok(Self(conditions)) } else { Err(misfits) }
    }

    /// Every condition whose subject is unknown, or whose operands are not of its subject's type. A name may be
    /// declared with several types (by versions, or by several offerings); fitting one is enough.
    pub fn misfits(&self, subjects: &dyn Fn(&str) -> Vec<Subject>) -> Vec<Misfit> {
        let misfit = |condition: &Condition| {
            let known = subjects(&condition.key);
            if known.iter().any(|subject| condition.tests.iter().all(|test| test.fits(*subject))) {
                return None;
            }
            let path = vec![condition.key.clone()];
            Some(match known.first() {
                None => Misfit {
                    path,
                    code: FieldCode::UnknownReference,
                    detail: format!("there is no characteristic {}", condition.key),
                },
                Some(subject) => Misfit {
                    path,
                    code: FieldCode::WrongType,
                    detail: format!(
                        "{} is compared with {}{}",
                        condition.key,
                        subject.written(),
                        if subject.is_ordered() { "" } else { ", by eq or in" }
                    ),
                },
            })
        };
        self.0.iter().filter_map(misfit).collect()
    }

    /// Whether all hold. One that looks at something without a value does not.
    pub fn hold(&self, facts: &Facts) -> bool {
        self.0.iter().all(|condition| {
            facts.get(&condition.key).is_some_and(|actual| condition.tests.iter().all(|test| test.holds(actual)))
        })
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|condition| condition.key.as_str())
    }

    /// A text that two conditions on that key have in common if, and only if, they say the same of the subject.
    pub fn signature(&self, key: &str, subject: Subject) -> Option<String> {
        let condition = self.0.iter().find(|condition| condition.key == key)?;
        let parts = condition.tests.iter().map(|test| {
            let mut operands: Vec<String> = test.operands.iter().map(|operand| operand.signature(subject)).collect();
            operands.sort();
            operands.dedup();
            // One value `in` a list of it is equality.
            let operator = if test.operator == Operator::In { Operator::Eq } else { test.operator };
            format!("{operator:?}{operands:?}")
        });
        Some(parts.collect())
    }
}

fn tests(key: &str, value: &Value, misfits: &mut Vec<Misfit>) -> Vec<Test> {
    let mut fault = |path: Vec<String>, code, detail: String| misfits.push(Misfit { path, code, detail });
    let Value::Object(operators) = value else {
        return match operand(value) {
            Some(operand) => vec![Test { operator: Operator::Eq, operands: vec![operand] }],
            None => {
                let detail = format!("{key} is compared with a string, a number, a boolean or an object of operators");
                fault(vec![key.to_owned()], FieldCode::WrongType, detail);
                Vec::new()
            }
        };
    };
    if operators.is_empty() {
        fault(vec![key.to_owned()], FieldCode::Required, "name one of eq, in, gt, gte, lt, lte".to_owned());
    }
    let mut tests = Vec::with_capacity(operators.len());
    for (name, value) in operators {
        let path = vec![key.to_owned(), name.clone()];
        let operator = match name.as_str() {
            "eq" => Operator::Eq,
            "in" => Operator::In,
            "gt" => Operator::Gt,
            "gte" => Operator::Gte,
            "lt" => Operator::Lt,
            "lte" => Operator::Lte,
            _ => {
                fault(path, FieldCode::UnknownField, format!("{name} is none of eq, in, gt, gte, lt, lte"));
                continue;
            }
        };
        let operands: Option<Vec<Operand>> = match (operator, value) {
            (Operator::In, Value::Array(values)) => values.iter().map(operand).collect(),
            (Operator::In, _) => None,
            (_, value) => operand(value).map(|operand| vec![operand]),
        };
        match operands {
            Some(operands) if operands.is_empty() => {
                fault(path, FieldCode::Required, "name at least one value".to_owned());
            }
            Some(operands) => tests.push(Test { operator, operands }),
            None => {
                let what = if operator == Operator::In { "an array of values" } else { "one value" };
                fault(path, FieldCode::WrongType, format!("{name} takes {what}"));
            }
        }
    }
    tests
}

fn operand(value: &Value) -> Option<Operand> {
    match value {
        Value::String(text) => Some(Operand::Text(text.clone(), parse_plain(text))),
        Value::Number(number) => parse_plain(&number.to_string()).map(Operand::Number),
        Value::Bool(flag) => Some(Operand::Boolean(*flag)),
        _ => None,
    }
}

impl Test {
    fn fits(&self, subject: Subject) -> bool {
        let ordered = subject.is_ordered() || matches!(self.operator, Operator::Eq | Operator::In);
        ordered && self.operands.iter().all(|operand| operand.fits(subject))
    }
    fn holds(&self, actual: &Typed) -> bool {
        self.operands.iter().any(|operand| {
            operand.compare(actual).is_some_and(|order| match self.operator {
                Operator::Eq | Operator::In => order == Ordering::Equal,
                Operator::Gt => order == Ordering::Greater,
                Operator::Gte => order != Ordering::Less,
                Operator::Lt => order == Ordering::Less,
                Operator::Lte => order != Ordering::Greater,
            })
        })
    }
}

impl Operand {
    fn fits(&self, subject: Subject) -> bool {
        match (subject, self) {
            (Subject::Quantity, Operand::Number(_) | Operand::Text(_, Some(_))) => true,
            (Subject::Characteristic(CharacteristicType::String), Operand::Text(..)) => true,
            (Subject::Characteristic(CharacteristicType::Integer), Operand::Number(number)) => number.fract().is_zero(),
            (Subject::Characteristic(CharacteristicType::Decimal), Operand::Text(_, number)) => number.is_some(),
            (Subject::Characteristic(CharacteristicType::Boolean), Operand::Boolean(_)) => true,
            (Subject::Characteristic(CharacteristicType::Date), Operand::Text(text, _)) => is_date(text),
            _ => false,
        }
    }
    /// How the actual value orders against this one; `None` where the types differ.
    fn compare(&self, actual: &Typed) -> Option<Ordering> {
        match (actual, self) {
            (Typed::Text(actual), Operand::Text(text, _)) => Some((*actual).cmp(text.as_str())),
            // Another offering may declare the name as a STRING: a text that is no date is none of a date's type.
            (Typed::Date(actual), Operand::Text(text, _)) if is_date(text) => Some((*actual).cmp(text.as_str())),
            (Typed::Number(actual), Operand::Number(number) | Operand::Text(_, Some(number))) => {
                Some(actual.cmp(number))
            }
            (Typed::Boolean(actual), Operand::Boolean(flag)) => Some(actual.cmp(flag)),
            _ => None,
        }
    }
    fn signature(&self, subject: Subject) -> String {
        let by_number = matches!(
            subject,
            Subject::Quantity | Subject::Characteristic(CharacteristicType::Decimal | CharacteristicType::Integer)
        );
        match self {
            Operand::Number(number) => number.normalize().to_string(),
            Operand::Text(_, Some(number)) if by_number => number.normalize().to_string(),
            Operand::Text(text, _) => text.clone(),
            Operand::Boolean(flag) => flag.to_string(),
        }
    }
}
