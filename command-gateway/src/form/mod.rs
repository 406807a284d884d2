//! What a request body may look like, as tables: the same table checks a body, with every fault at once, and
//! writes its JSON schema. What a value means is judged by the core.

mod check;
mod schema;

pub use check::check;
pub use schema::json_schema;

use cpq_domain::rejection::FieldError;
use serde_json::Value;

/// A JSON object.
pub struct Object {
    /// Its name in the OpenAPI document.
    pub name: &'static str,
    pub describes: &'static str,
    pub fields: &'static [Field],
    /// What no single field can say; it sees the body with defaults, and must cope with faulty fields.
    pub also: Option<fn(&Value) -> Vec<FieldError>>,
    /// A body that passes, as JSON text.
    pub example: &'static str,
}

/// One member of an object.
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub presence: Presence,
    pub describes: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Required,
    /// May be left out or null.
    Optional,
    /// As optional; this JSON text takes its place.
    Default(&'static str),
}

impl Field {
    pub const fn required(name: &'static str, kind: Kind, describes: &'static str) -> Self {
        Self { name, kind, presence: Presence::Required, describes }
    }
    pub const fn optional(name: &'static str, kind: Kind, describes: &'static str) -> Self {
        Self { name, kind, presence: Presence::Optional, describes }
    }
    pub const fn with_default(name: &'static str, kind: Kind, default: &'static str, describes: &'static str) -> Self {
        Self { name, kind, presence: Presence::Default(default), describes }
    }
}

/// What a member may hold.
#[derive(Clone, Copy)]
pub enum Kind {
    Text(Text),
    Boolean,
    Integer {
        min: i64,
        max: i64,
    },
    /// A plain decimal in a string that fits numeric(19,6), within these bounds.
    Decimal(Decimal),
    /// RFC 3339.
    Instant,
    /// `YYYY-MM-DD`.
    Date,
    /// ISO 4217, with minor units.
    Currency,
    Choice(&'static [&'static str]),
    Object(&'static Object),
    List {
        of: &'static Object,
        max: usize,
    },
    /// A member per characteristic: text, integer or boolean.
    Characteristics,
}

/// Text of this length in characters.
#[derive(Clone, Copy)]
pub struct Text {
    pub min: usize,
    pub max: usize,
    pub pattern: Option<Pattern>,
}

/// The form of a text: as a regular expression for readers, as a function for the check.
#[derive(Clone, Copy)]
pub struct Pattern {
    pub regex: &'static str,
    pub matches: fn(&str) -> bool,
}

#[derive(Clone, Copy)]
pub struct Decimal {
    pub min: Option<&'static str>,
    /// Whether the value may be the minimum itself.
    pub min_included: bool,
    pub max: Option<&'static str>,
    pub example: &'static str,
}

/// Longest id of another system's object.
const MAX_ID: usize = 128;

fn is_plain_id(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:@/+-".contains(&b))
}
fn is_line_number(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}
fn is_code(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}
fn is_one_line(text: &str) -> bool {
    !text.chars().any(char::is_control) && !text.trim().is_empty()
}
fn is_prose(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
}

/// An id: 1 to 128 of letters, digits and `._:@/+-`.
pub const ID: Kind = Kind::Text(Text {
    min: 1,
    max: MAX_ID,
    pattern: Some(Pattern { regex: r"^[A-Za-z0-9._:@/+-]*$", matches: is_plain_id }),
});
/// A line's number: 1 to 32 of letters, digits and `._-`.
pub const LINE_NUMBER: Kind = Kind::Text(Text {
    min: 1,
    max: 32,
    pattern: Some(Pattern { regex: r"^[A-Za-z0-9._-]*$", matches: is_line_number }),
});
/// A reason code: 1 to 64 of letters, digits and `._-`.
pub const CODE: Kind =
    Kind::Text(Text { min: 1, max: 64, pattern: Some(Pattern { regex: r"^[A-Za-z0-9._-]*$", matches: is_code }) });
/// A name or reference on one line.
pub const NAME: Kind = Kind::Text(Text {
    min: 1,
    max: 200,
    pattern: Some(Pattern { regex: r"^[^\u0000-\u001f\u007f-\u009f]*$", matches: is_one_line }),
});
/// What a person writes, in several lines perhaps.
pub const PROSE: Kind = Kind::Text(Text {
    min: 0,
    max: 2000,
    pattern: Some(Pattern { regex: r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$", matches: is_prose }),
});
/// A revision that the client has seen.
pub const REVISION: Kind = Kind::Integer { min: 1, max: u32::MAX as i64 };
/// A percentage off.
pub const PERCENT: Kind =
    Kind::Decimal(Decimal { min: Some("0"), min_included: true, max: Some("100"), example: "2.5" });
/// Money that is not negative.
pub const AMOUNT: Kind = Kind::Decimal(Decimal { min: Some("0"), min_included: true, max: None, example: "499.00" });
/// A number of units.
pub const QUANTITY: Kind = Kind::Decimal(Decimal { min: Some("0"), min_included: false, max: None, example: "2" });
