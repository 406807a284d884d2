//! The cells of a decision table: S-FEEL unary tests and literals (DMN 1.3, chapter 9) over exact decimals,
//! strings and booleans. Anything outside of this subset is refused when a table is compiled, never guessed
//! at when a quote is judged.

use crate::money::parse_plain;
use rust_decimal::Decimal;
use std::cmp::Ordering;
use std::fmt;

/// A value of a column, or of a quote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Number(Decimal),
    Text(String),
    Boolean(bool),
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Number,
    Text,
    Boolean,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Number => "number",
            Self::Text => "string",
            Self::Boolean => "boolean",
        })
    }
}

/// What one input entry asks of its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum UnaryTests {
    /// `-` or empty.
    Any,
    /// One of these holds.
    OneOf(Vec<Test>),
    /// `not(…)`: none of these holds.
    NoneOf(Vec<Test>),
}

/// One positive unary test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Equal(Value),
    Compare(Comparison, Decimal),
    Between { low: Decimal, low_included: bool, high: Decimal, high_included: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl UnaryTests {
    /// Compiles a cell whose input is of the given type. The error is a sentence for the author of the table.
    pub(super) fn parse(cell: &str, input: Type) -> Result<Self, String> {
        let text = cell.trim();
        if text.is_empty() || text == "-" {
            return Ok(Self::Any);
        }
        let mut scanner = Scanner { rest: text, whole: text };
        let negated = scanner.word("not");
        if negated {
            scanner.expect('(')?;
        }
        let mut tests = vec![scanner.test(input)?];
        while scanner.symbol(',') {
            tests.push(scanner.test(input)?);
        }
        if negated {
            scanner.expect(')')?;
        }
        scanner.end()?;
        Ok(if negated { Self::NoneOf(tests) } else { Self::OneOf(tests) })
    }

    /// Whether the cell matches. An unknown (null) input matches only `-` and tests for null itself: neither
    /// `< 15` nor `not(< 15)` holds for a margin that nobody knows.
    pub(super) fn matches(&self, input: &Value) -> bool {
        let any = |tests: &[Test]| tests.iter().any(|test| test.holds(input));
        match self {
            Self::Any => true,
            Self::OneOf(tests) => any(tests),
            Self::NoneOf(tests) => *input != Value::Null && !any(tests),
        }
    }
}

impl Test {
    fn holds(&self, input: &Value) -> bool {
        match (self, input) {
            (Self::Equal(value), input) => value == input,
            (Self::Compare(comparison, bound), Value::Number(input)) => comparison.holds(input.cmp(bound)),
            (Self::Between { low, low_included, high, high_included }, Value::Number(input)) => {
                let above = if *low_included { input >= low } else { input > low };
                let below = if *high_included { input <= high } else { input < high };
                above && below
            }
            _ => false,
        }
    }
}

impl Comparison {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

/// Compiles an output entry: one literal.
pub(super) fn literal(cell: &str) -> Result<Value, String> {
    let text = cell.trim();
    let mut scanner = Scanner { rest: text, whole: text };
    let value = scanner.value()?;
    scanner.end()?;
    Ok(value)
}

/// Reads a cell from the left.
struct Scanner<'a> {
    rest: &'a str,
    whole: &'a str,
}

impl Scanner<'_> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn symbol(&mut self, symbol: char) -> bool {
        self.skip_space();
        self.rest.strip_prefix(symbol).map(|rest| self.rest = rest).is_some()
    }

    /// A keyword, not merely the beginning of a longer name.
    fn word(&mut self, word: &str) -> bool {
        self.skip_space();
        match self.rest.strip_prefix(word) {
            Some(rest) if !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_') => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn expect(&mut self, symbol: char) -> Result<(), String> {
        if self.symbol(symbol) { Ok(()) } else { Err(self.fault(&format!("'{symbol}'"))) }
    }

    fn end(&mut self) -> Result<(), String> {
        self.skip_space();
        if self.rest.is_empty() { Ok(()) } else { Err(self.fault("the end of the cell")) }
    }

    fn fault(&self, expected: &str) -> String {
        let found = if self.rest.is_empty() { "the end" } else { self.rest };
        format!("'{}' is not in the supported subset of FEEL (S-FEEL): expected {expected} at '{found}'", self.whole)
    }

    fn test(&mut self, input: Type) -> Result<Test, String> {
        if let Some(comparison) = self.comparison() {
            self.ordered(input)?;
            return Ok(Test::Compare(comparison, self.number()?));
        }
        if let Some(low_included) = self.interval_start() {
            self.ordered(input)?;
            return self.interval(low_included);
        }
        let value = self.value()?;
        let fits = matches!(
            (&value, input),
            (Value::Null, _)
                | (Value::Number(_), Type::Number)
                | (Value::Text(_), Type::Text)
                | (Value::Boolean(_), Type::Boolean)
        );
        if fits { Ok(Test::Equal(value)) } else { Err(format!("'{}' tests an input of type {input}", self.whole)) }
    }

    fn ordered(&self, input: Type) -> Result<(), String> {
        match input {
            Type::Number => Ok(()),
            _ => Err(format!("'{}' compares by size, but the input is of type {input}", self.whole)),
        }
    }

    fn comparison(&mut self) -> Option<Comparison> {
        self.skip_space();
        // The longer symbol first.
        let symbols = [
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        let (symbol, comparison) = symbols.into_iter().find(|(symbol, _)| self.rest.starts_with(symbol))?;
        self.rest = &self.rest[symbol.len()..];
        Some(comparison)
    }

    /// `[` includes the end, `(` and `]` exclude it.
    fn interval_start(&mut self) -> Option<bool> {
        if self.symbol('[') {
            return Some(true);
        }
        (self.symbol('(') || self.symbol(']')).then_some(false)
    }

    fn interval(&mut self, low_included: bool) -> Result<Test, String> {
        let low = self.number()?;
        if !(self.symbol('.') && self.rest.starts_with('.') && self.symbol('.')) {
            return Err(self.fault("'..'"));
        }
        let high = self.number()?;
        let high_included = self.symbol(']');
        if !high_included && !self.symbol(')') && !self.symbol('[') {
            return Err(self.fault("']' or ')'"));
        }
        if low > high {
            return Err(format!("'{}' is empty: {low} is greater than {high}", self.whole));
        }
        Ok(Test::Between { low, low_included, high, high_included })
    }

    fn number(&mut self) -> Result<Decimal, String> {
        match self.value()? {
            Value::Number(number) => Ok(number),
            _ => Err(format!("'{}' needs a number there", self.whole)),
        }
    }

    fn value(&mut self) -> Result<Value, String> {
        self.skip_space();
        for (word, value) in [("null", Value::Null), ("true", Value::Boolean(true)), ("false", Value::Boolean(false))] {
            if self.word(word) {
                return Ok(value);
            }
        }
        match self.rest.strip_prefix('"') {
            Some(rest) => self.text(rest),
            None => self.decimal(),
        }
    }

    fn text(&mut self, quoted: &str) -> Result<Value, String> {
        let mut text = String::new();
        let mut characters = quoted.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = &self.rest[at + 2..];
                    return Ok(Value::Text(text));
                }
                '\\' => match characters.next() {
                    Some((_, escaped @ ('"' | '\\'))) => text.push(escaped),
                    _ => return Err(format!("'{}' has an escape other than \\\" and \\\\", self.whole)),
                },
                other => text.push(other),
            }
        }
        Err(self.fault("a closing '\"'"))
    }

    fn decimal(&mut self) -> Result<Value, String> {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let sign = usize::from(self.rest.starts_with('-'));
        let mut length = sign + digits(&self.rest[sign..]);
        // A point belongs to the number only before a digit: `1..2` is an interval.
        if self.rest[length..].starts_with('.') {
            let fraction = digits(&self.rest[length + 1..]);
            length += if fraction > 0 { 1 + fraction } else { 0 };
        }
        let (number, rest) = self.rest.split_at(length);
        let number = parse_plain(number).ok_or_else(|| self.fault("a number, a \"string\", true, false or null"))?;
        self.rest = rest;
        Ok(Value::Number(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn number(text: &str) -> Value {
        parse_plain(text).map_or(Value::Null, Value::Number)
    }

    #[rstest]
    #[case("-", "1", true)]
    #[case("", "1", true)]
    #[case("> 10", "10", false)]
    #[case("> 10", "10.01", true)]
    #[case(">10", "10.000000000000000000001", true)]
    #[case(">= 10", "10.00", true)]
    #[case("< 15", "14.99", true)]
    #[case("< 15", "15", false)]
    #[case("<= -1.5", "-1.50", true)]
    #[case("7", "7.0", true)]
    #[case("1, 2,3", "3", true)]
    #[case("1, 2,3", "4", false)]
    #[case("[1..2]", "2", true)]
    #[case("[1..2)", "2", false)]
    #[case("]1.5..2[", "1.5", false)]
    #[case("(1.5 .. 2]", "1.6", true)]
    #[case("< 1, > 9", "10", true)]
    #[case("not(1, > 9)", "5", true)]
    #[case("not(1, > 9)", "10", false)]
    #[case("not(null)", "5", true)]
    fn a_number_is_tested_exactly(#[case] cell: &str, #[case] input: &str, #[case] matches: bool) {
        assert_eq!(
            UnaryTests::parse(cell, Type::Number).unwrap().matches(&number(input)),
            matches,
            "{cell} on {input}"
        );
    }

    #[rstest]
    #[case("-", true)]
    #[case("null", true)]
    #[case("> 1, null", true)]
    #[case("< 15", false)]
    #[case("[0..100]", false)]
    #[case("not(< 15)", false)]
    #[case("not(null)", false)]
    fn nothing_but_a_test_for_null_matches_an_unknown_value(#[case] cell: &str, #[case] matches: bool) {
        assert_eq!(UnaryTests::parse(cell, Type::Number).unwrap().matches(&Value::Null), matches, "{cell}");
    }

    #[rstest]
    #[case(r#""SMB""#, "SMB", true)]
    #[case(r#""SMB","ENTERPRISE""#, "ENTERPRISE", true)]
    #[case(r#"not("SMB","ENTERPRISE")"#, "SMB", false)]
    #[case(r#""a \"quoted\" \\""#, "a \"quoted\" \\", true)]
    #[case(r#""Straße""#, "Straße", true)]
    fn a_string_is_tested_for_equality(#[case] cell: &str, #[case] input: &str, #[case] matches: bool) {
        assert_eq!(UnaryTests::parse(cell, Type::Text).unwrap().matches(&Value::Text(input.to_owned())), matches);
    }

    #[rstest]
    #[case("> ", Type::Number)]
    #[case("10 20", Type::Number)]
    #[case("[2..1]", Type::Number)]
    #[case("[1...2]", Type::Number)]
    #[case("[1..2", Type::Number)]
    #[case("> 1e3", Type::Number)]
    #[case("> x", Type::Number)]
    #[case("> 10 and < 20", Type::Number)]
    #[case("? > 10", Type::Number)]
    #[case("not(1", Type::Number)]
    #[case("nothing", Type::Number)]
    #[case("\"10\"", Type::Number)]
    #[case("> 99999999999999999999999999999999999999999", Type::Number)]
    #[case("> \"A\"", Type::Text)]
    #[case("SMB", Type::Text)]
    #[case("\"SMB", Type::Text)]
    #[case("\"a\\n\"", Type::Text)]
    #[case("yes", Type::Boolean)]
    #[case("> true", Type::Boolean)]
    #[case("1", Type::Boolean)]
    #[case("ß", Type::Boolean)]
    fn a_cell_outside_of_the_subset_is_refused(#[case] cell: &str, #[case] input: Type) {
        assert!(UnaryTests::parse(cell, input).is_err(), "{cell}");
    }
}
