//! Checks a body against its table. Every fault of every field is found in one pass; what passes has its
//! defaults filled in and reads into the core's own types.

use super::{Decimal, Field, Kind, Object, Presence, Text};
use cpq_domain::moment::Moment;
use cpq_domain::money::{Currency, fits, parse_plain};
use cpq_domain::rejection::{FieldCode, FieldError};
use serde_json::{Map, Value};

/// The body with its defaults, or every fault.
pub fn check(object: &Object, body: &Value) -> Result<Value, Vec<FieldError>> {
    let mut faults = Faults(Vec::new());
    let checked = faults.object(object, body, "");
    if let Some(also) = object.also {
        let seen: Vec<String> = faults.0.iter().map(|f| f.pointer.clone()).collect();
        faults.0.extend(also(&checked).into_iter().filter(|fault| !seen.contains(&fault.pointer)));
    }
    if faults.0.is_empty() { Ok(checked) } else { Err(faults.0) }
}

/// One step deeper (RFC 6901).
fn pointer(at: &str, member: &str) -> String {
    format!("{at}/{}", member.replace('~', "~0").replace('/', "~1"))
}

struct Faults(Vec<FieldError>);

impl Faults {
    fn add(&mut self, at: &str, code: FieldCode, detail: impl Into<String>) {
        self.0.push(FieldError::new(at, code, detail));
    }

    fn object(&mut self, object: &Object, value: &Value, at: &str) -> Value {
        let Value::Object(members) = value else {
            self.add(at, FieldCode::WrongType, format!("must be an object, not {}", kind_of(value)));
            return Value::Null;
        };
        for name in members.keys().filter(|name| object.fields.iter().all(|field| field.name != name.as_str())) {
            let known: Vec<&str> = object.fields.iter().map(|field| field.name).collect();
            self.add(
                &pointer(at, name),
                FieldCode::UnknownField,
                format!("is not known; known are {}", known.join(", ")),
            );
        }
        let mut checked = Map::new();
        for field in object.fields {
            if let Some(value) = self.field(field, members.get(field.name), &pointer(at, field.name)) {
                checked.insert(field.name.to_owned(), value);
            }
        }
        Value::Object(checked)
    }

    fn field(&mut self, field: &Field, value: Option<&Value>, at: &str) -> Option<Value> {
        match (value.filter(|value| !value.is_null()), field.presence) {
            (Some(value), _) => Some(self.value(&field.kind, value, at)),
            (None, Presence::Required) => {
                self.add(at, FieldCode::Required, "is required");
                None
            }
            (None, Presence::Optional) => None,
            (None, Presence::Default(text)) => serde_json::from_str(text).ok(),
        }
    }

    fn value(&mut self, kind: &Kind, value: &Value, at: &str) -> Value {
        match kind {
            Kind::Object(object) => return self.object(object, value, at),
            Kind::List { of, max } => return self.list(of, *max, value, at),
            Kind::Characteristics => self.characteristics(value, at),
            Kind::Boolean if value.is_boolean() => {}
            Kind::Boolean => self.add(at, FieldCode::WrongType, format!("must be a boolean, not {}", kind_of(value))),
            Kind::Integer { min, max } => self.integer(*min, *max, value, at),
            Kind::Text(text) => self.string(value, at, "text", |faults, given| faults.text(text, given, at)),
            Kind::Decimal(decimal) => {
                self.string(value, at, "a decimal in a string", |faults, given| faults.decimal(decimal, given, at));
            }
            Kind::Instant => self.string(value, at, "an instant in a string", |faults, given| {
                if Moment::parse(given).is_none() {
                    faults.add(at, FieldCode::Pattern, "must be an RFC 3339 instant such as 2026-11-30T12:00:00Z");
                }
            }),
            Kind::Date => self.string(value, at, "a date in a string", |faults, given| {
                if !is_date(given) {
                    faults.add(at, FieldCode::Pattern, "must be a date, YYYY-MM-DD");
                }
            }),
            Kind::Currency => self.string(value, at, "a currency code", |faults, given| faults.currency(given, at)),
            Kind::Choice(choices) => self.string(value, at, "text", |faults, given| {
                if !choices.contains(&given) {
                    faults.add(at, FieldCode::NotAllowed, format!("must be one of {}", choices.join(", ")));
                }
            }),
        }
        value.clone()
    }

    fn string(&mut self, value: &Value, at: &str, expected: &str, check: impl FnOnce(&mut Self, &str)) {
        match value {
            Value::String(given) => check(self, given),
            other => self.add(at, FieldCode::WrongType, format!("must be {expected}, not {}", kind_of(other))),
        }
    }

    fn text(&mut self, text: &Text, given: &str, at: &str) {
        let length = given.chars().count();
        if length < text.min || length > text.max {
            self.add(at, FieldCode::OutOfRange, format!("must have {} to {} characters", text.min, text.max));
        } else if let Some(pattern) = text.pattern.filter(|pattern| !(pattern.matches)(given)) {
            self.add(at, FieldCode::Pattern, format!("must have the form {}", pattern.regex));
        }
    }

    fn decimal(&mut self, decimal: &Decimal, given: &str, at: &str) {
        if !is_plain(given) {
            return self.add(at, FieldCode::Pattern, "must be a plain decimal such as \"12.5\"");
        }
        let bound = |text: Option<&str>| text.and_then(parse_plain);
        let good = parse_plain(given).is_some_and(|value| {
            let above = bound(decimal.min).is_none_or(|min| value > min || (decimal.min_included && value == min));
            fits(value) && above && bound(decimal.max).is_none_or(|max| value <= max)
        });
        if !good {
            self.add(at, FieldCode::OutOfRange, range(decimal));
        }
    }

    fn currency(&mut self, given: &str, at: &str) {
        if given.len() != 3 || !given.bytes().all(|b| b.is_ascii_uppercase()) {
            self.add(at, FieldCode::Pattern, "must be three capital letters (ISO 4217)");
        } else if Currency::parse(given).is_none() {
            self.add(at, FieldCode::NotAllowed, "is no ISO 4217 currency with minor units");
        }
    }

    fn integer(&mut self, min: i64, max: i64, value: &Value, at: &str) {
        match value {
            Value::Number(number) if number.is_i64() || number.is_u64() => {
                if !number.as_i64().is_some_and(|given| (min..=max).contains(&given)) {
                    self.add(at, FieldCode::OutOfRange, format!("must be {min} to {max}"));
                }
            }
            other => self.add(at, FieldCode::WrongType, format!("must be an integer, not {}", kind_of(other))),
        }
    }

    fn list(&mut self, of: &Object, max: usize, value: &Value, at: &str) -> Value {
        let Value::Array(items) = value else {
            self.add(at, FieldCode::WrongType, format!("must be an array, not {}", kind_of(value)));
            return Value::Array(Vec::new());
        };
        if items.len() > max {
            self.add(at, FieldCode::OutOfRange, format!("must have at most {max} items"));
            return Value::Array(Vec::new());
        }
        let checked = items.iter().enumerate().map(|(index, item)| self.object(of, item, &format!("{at}/{index}")));
        Value::Array(checked.collect())
    }

    fn characteristics(&mut self, value: &Value, at: &str) {
        let Value::Object(members) = value else {
            return self.add(at, FieldCode::WrongType, format!("must be an object, not {}", kind_of(value)));
        };
        for (name, value) in members {
            let good = match value {
                Value::String(_) | Value::Bool(_) => true,
                Value::Number(number) => number.is_i64(),
                _ => false,
            };
            if !good {
                let detail = format!("must be text, a boolean or an integer, not {}", kind_of(value));
                self.add(&pointer(at, name), FieldCode::WrongType, detail);
            }
        }
    }
}

/// The grammar of a plain decimal, whatever its size.
fn is_plain(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(w, f)| (w, Some(f)));
    let numeric = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    numeric(whole) && fraction.is_none_or(numeric)
}

fn range(decimal: &Decimal) -> String {
    let above = match (decimal.min, decimal.min_included) {
        (Some(min), true) => format!("at least {min}, "),
        (Some(min), false) => format!("above {min}, "),
        (None, _) => String::new(),
    };
    let below = decimal.max.map(|max| format!("at most {max}, ")).unwrap_or_default();
    format!("must be {above}{below}with at most 13 digits before and 6 after the point")
}

fn is_date(text: &str) -> bool {
    time::Date::parse(text, time::macros::format_description!("[year]-[month]-[day]")).is_ok()
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a number with a fraction or exponent",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use super::check;
    use cpq_domain::rejection::FieldCode as C;
    use rstest::rstest;
    use serde_json::json;

    const INNER: Object = Object {
        name: "Inner",
        describes: "",
        fields: &[Field::required("percent", PERCENT, ""), Field::optional("when", Kind::Instant, "")],
        also: None,
        example: "{}",
    };
    const OUTER: Object = Object {
        name: "Outer",
        describes: "",
        fields: &[
            Field::required("revision", REVISION, ""),
            Field::with_default("term", Kind::Integer { min: 1, max: 12 }, "1", ""),
            Field::optional("currency", Kind::Currency, ""),
            Field::optional("quantity", QUANTITY, ""),
            Field::optional("verdict", Kind::Choice(&["YES", "NO"]), ""),
            Field::optional("inner", Kind::List { of: &INNER, max: 2 }, ""),
            Field::optional("facts", Kind::Characteristics, ""),
            Field::optional("code", CODE, ""),
            Field::with_default("sure", Kind::Boolean, "false", ""),
        ],
        also: None,
        example: "{}",
    };

    #[test]
    fn defaults_are_filled_in_and_null_counts_as_left_out() {
        let checked = check(&OUTER, &json!({"revision": 3, "term": null, "currency": null})).unwrap();
        assert_eq!(checked, json!({"revision": 3, "term": 1, "sure": false}));
    }

    #[rstest]
    #[case(json!([]), "", C::WrongType)]
    #[case(json!({}), "/revision", C::Required)]
    #[case(json!({"revision": null}), "/revision", C::Required)]
    #[case(json!({"revision": "3"}), "/revision", C::WrongType)]
    #[case(json!({"revision": 3.0}), "/revision", C::WrongType)]
    #[case(json!({"revision": 0}), "/revision", C::OutOfRange)]
    #[case(json!({"revision": 18446744073709551615u64}), "/revision", C::OutOfRange)]
    #[case(json!({"revision": 1, "x/~y": 1}), "/x~1~0y", C::UnknownField)]
    #[case(json!({"revision": 1, "currency": "usd"}), "/currency", C::Pattern)]
    #[case(json!({"revision": 1, "currency": "XAU"}), "/currency", C::NotAllowed)]
    #[case(json!({"revision": 1, "quantity": 2}), "/quantity", C::WrongType)]
    #[case(json!({"revision": 1, "quantity": "two"}), "/quantity", C::Pattern)]
    #[case(json!({"revision": 1, "quantity": "-1"}), "/quantity", C::OutOfRange)]
    #[case(json!({"revision": 1, "quantity": "0"}), "/quantity", C::OutOfRange)]
    #[case(json!({"revision": 1, "quantity": "0.0000001"}), "/quantity", C::OutOfRange)]
    #[case(json!({"revision": 1, "quantity": "10000000000000"}), "/quantity", C::OutOfRange)]
    #[case(json!({"revision": 1, "quantity": "99999999999999999999999999999999999999999999"}), "/quantity", C::OutOfRange)]
    #[case(json!({"revision": 1, "verdict": "MAYBE"}), "/verdict", C::NotAllowed)]
    #[case(json!({"revision": 1, "inner": {}}), "/inner", C::WrongType)]
    #[case(json!({"revision": 1, "inner": [{"percent": "1"}, {"percent": "101"}]}), "/inner/1/percent", C::OutOfRange)]
    #[case(json!({"revision": 1, "inner": [{"percent": "1", "when": "today"}]}), "/inner/0/when", C::Pattern)]
    #[case(json!({"revision": 1, "inner": [1]}), "/inner/0", C::WrongType)]
    #[case(json!({"revision": 1, "inner": [{}, {}, {}]}), "/inner", C::OutOfRange)]
    #[case(json!({"revision": 1, "facts": {"sla": 1.5}}), "/facts/sla", C::WrongType)]
    #[case(json!({"revision": 1, "sure": "true"}), "/sure", C::WrongType)]
    #[case(json!({"revision": 1, "code": ""}), "/code", C::OutOfRange)]
    #[case(json!({"revision": 1, "code": "two words"}), "/code", C::Pattern)]
    fn a_fault_is_named_by_pointer_and_code(#[case] body: serde_json::Value, #[case] pointer: &str, #[case] code: C) {
        let faults = check(&OUTER, &body).unwrap_err();
        assert!(faults.iter().any(|f| f.pointer == pointer && f.code == code), "{faults:?}");
    }

    #[test]
    fn all_faults_are_found_at_once() {
        let body = json!({"term": 13, "unknown": 1, "inner": [{"percent": 5}]});
        let pointers: Vec<_> = check(&OUTER, &body).unwrap_err().into_iter().map(|f| f.pointer).collect();
        assert_eq!(pointers, ["/unknown", "/revision", "/term", "/inner/0/percent"]);
    }
}
