//! Characteristics of every type, their values, and random `when` conditions over them. The values are few, so
//! that conditions hold often enough.

use crate::dice::Dice;
use serde_json::{Map, Value, json};

pub const SEGMENTS: [&str; 3] = ["ENTERPRISE", "SMB", "PUBLIC"];
pub const TERMS: [i64; 7] = [1, 2, 12, 24, 36, 37, 60];
/// Where tiers end and quantities lie.
pub const BOUNDARIES: [&str; 10] =
    ["0.000001", "0.5", "1", "2.5", "10", "10.000001", "20.5", "99.999999", "100", "1000"];

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Type {
    Text,
    Integer,
    Decimal,
    Boolean,
    Date,
}

/// What an offering may be described by. `grade` is declared with another type by every offering.
pub const CHARACTERISTICS: [(&str, Type); 5] = [
    ("sla", Type::Text),
    ("ips", Type::Integer),
    ("speed", Type::Decimal),
    ("managed", Type::Boolean),
    ("start", Type::Date),
];
pub const CHANGING: &str = "grade";
pub const TYPES: [Type; 5] = [Type::Text, Type::Integer, Type::Decimal, Type::Boolean, Type::Date];

impl Type {
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "STRING",
            Self::Integer => "INTEGER",
            Self::Decimal => "DECIMAL",
            Self::Boolean => "BOOLEAN",
            Self::Date => "DATE",
        }
    }

    /// A value as the catalog and a quote's line write it.
    pub fn value(self, dice: &mut Dice) -> Value {
        match self {
            Self::Text => json!(dice.pick(&["BRONZE", "SILVER", "GOLD", "gold", "\u{e9}", "2026-07-01", "8"])),
            Self::Integer => json!(dice.pick(&[-1, 0, 1, 8, 9, 64])),
            Self::Decimal => json!(dice.pick(&["-0.5", "0", "2.5", "2.50", "8", "10", "10.000000000001"])),
            Self::Boolean => json!(dice.chance(50)),
            Self::Date => json!(dice.pick(&["2024-02-29", "2026-06-30", "2026-07-01", "2026-07-02", "9999-12-31"])),
        }
    }
}

/// What a condition looks at.
#[derive(Clone, Copy, Debug)]
pub enum Subject {
    Characteristic(&'static str, Type),
    Term,
    Quantity,
    Segment,
}

impl Subject {
    fn name(self) -> &'static str {
        match self {
            Self::Characteristic(name, _) => name,
            Self::Term => "termMonths",
            Self::Quantity => "quantity",
            Self::Segment => "segment",
        }
    }

    fn is_ordered(self) -> bool {
        !matches!(self, Self::Characteristic(_, Type::Boolean))
    }

    fn operand(self, dice: &mut Dice) -> Value {
        match self {
            Self::Characteristic(_, kind) => kind.value(dice),
            Self::Term => json!(dice.pick(&TERMS)),
            // A quantity may be compared with a number, too.
            Self::Quantity if dice.chance(30) => json!(dice.pick(&[1, 2, 10, 100])),
            Self::Quantity => json!(dice.pick(&BOUNDARIES)),
            Self::Segment => json!(dice.pick(&SEGMENTS)),
        }
    }
}

/// Conditions that must all hold; often none.
pub fn when(dice: &mut Dice, characteristics: &[(&'static str, Type)]) -> Value {
    let entries = dice.weighted(&[(45, 0), (35, 1), (15, 2), (5, 3)]);
    let mut when = Map::new();
    for _ in 0..entries {
        let subject = match dice.between(0, 6) {
            0 => Subject::Term,
            1 => Subject::Quantity,
            2 => Subject::Segment,
            _ if characteristics.is_empty() => Subject::Quantity,
            _ => {
                let (name, kind) = dice.pick(characteristics);
                Subject::Characteristic(name, kind)
            }
        };
        let entry = if dice.chance(35) { subject.operand(dice) } else { Value::Object(operators(dice, subject)) };
        when.insert(subject.name().to_owned(), entry);
    }
    Value::Object(when)
}

fn operators(dice: &mut Dice, subject: Subject) -> Map<String, Value> {
    let names: &[&str] = if subject.is_ordered() { &["eq", "in", "gt", "gte", "lt", "lte"] } else { &["eq", "in"] };
    let mut operators = Map::new();
    for _ in 0..dice.weighted(&[(70, 1), (30, 2)]) {
        let name = dice.pick(names);
        let operand = match name {
            "in" => (0..dice.between(1, 3)).map(|_| subject.operand(dice)).collect(),
            _ => subject.operand(dice),
        };
        operators.insert(name.to_owned(), operand);
    }
    operators
}
