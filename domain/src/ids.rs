//! Typed identifiers. Each is the wire's string inside a type of its own, so that a quote id can never be
//! passed where an order id is meant. Parsing rules live here and nowhere else.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            pub fn new(value: impl Into<String>) -> Self {
                Self(value.into())
            }
            pub fn as_str(&self) -> &str {
                &self.0
            }
            pub fn into_string(self) -> String {
                self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl From<&str> for $name {
            fn from(value: &str) -> Self {
                Self(value.to_owned())
            }
        }
        impl From<String> for $name {
            fn from(value: String) -> Self {
                Self(value)
            }
        }
    };
}

id!(/// A tenant: the unit of isolation. First part of every key.
    TenantId);
id!(/// `Q-2026-000123`: a quote, unique over all tenants.
    QuoteId);
id!(/// `O-2026-000045`: an order, unique over all tenants.
    OrderId);
id!(/// A ULID: one accepted command.
    CommandId);
id!(/// A ULID: one committed event.
    EventId);
id!(/// A person or system that acts (`sub` of its token).
    ActorId);
id!(/// A customer account of a tenant.
    CustomerAccountId);
id!(/// A generated document.
    ArtifactId);
id!(/// `apr-2026-000123-r4`: the approval of one submitted quote revision. See [`ApprovalRequestId::of`].
    ApprovalRequestId);
id!(/// `apr-2026-000123-r4.FINANCE`: one step of an approval, or `fallout-O-2026-000045.1`: a fallout case.
    TaskId);
id!(/// A product offering of a catalog.
    OfferingId);
id!(/// One priced result of a quote revision.
    PriceResultId);
id!(/// A line's number within its quote or order, a string ("1", "1.2").
    LineNumber);
id!(/// `cpq:…` key that joins everything one request caused.
    CorrelationId);
id!(/// One fulfilment step of an order line: `<lineNumber>:<STEP_TYPE>`.
    StepId);
id!(/// A fallout case of an order.
    FalloutId);
id!(/// An installed product of a customer.
    AssetId);

/// Digits that the number part of a quote or order id has at least.
pub const ID_MIN_DIGITS: usize = 6;

fn numbered(prefix: &str, year: i32, number: i64) -> String {
    format!("{prefix}-{year}-{number:0width$}", width = ID_MIN_DIGITS)
}

fn is_numbered(prefix: char, value: &str) -> bool {
    let mut parts = value.split('-');
    let (Some(p), Some(year), Some(number), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    p.len() == 1
        && p.starts_with(prefix)
        && year.len() == 4
        && year.bytes().all(|b| b.is_ascii_digit())
        && number.len() >= ID_MIN_DIGITS
        && number.bytes().all(|b| b.is_ascii_digit())
}

impl QuoteId {
    /// The id of the `number`th quote, created in `year` (UTC).
    pub fn numbered(year: i32, number: i64) -> Self {
        Self(numbered("Q", year, number))
    }
    /// Whether the text has the form of a quote id; anything else cannot exist.
    pub fn is_well_formed(&self) -> bool {
        is_numbered('Q', &self.0)
    }
}

impl OrderId {
    /// The id of the `number`th order, reserved in `year` (UTC).
    pub fn numbered(year: i32, number: i64) -> Self {
        Self(numbered("O", year, number))
    }
    /// Whether the text has the form of an order id; anything else cannot exist.
    pub fn is_well_formed(&self) -> bool {
        is_numbered('O', &self.0)
    }
}

impl ApprovalRequestId {
    /// The approval of the given quote revision: derived, so that the quote can be found from it.
    pub fn of(quote: &QuoteId, revision: u32) -> Self {
        Self(format!("apr-{}-r{revision}", quote.as_str().trim_start_matches("Q-")))
    }
    /// The quote that this approval belongs to; `None` if the text is not an approval request's id.
    pub fn quote_id(&self) -> Option<QuoteId> {
        let (number, revision) = self.0.strip_prefix("apr-")?.rsplit_once("-r")?;
        revision.parse::<u32>().ok()?;
        let quote = QuoteId(format!("Q-{number}"));
        quote.is_well_formed().then_some(quote)
    }
    /// The revision that was submitted.
    pub fn quote_revision(&self) -> Option<u32> {
        self.0.rsplit_once("-r")?.1.parse().ok()
    }
}

impl TaskId {
    /// The task of one approval step.
    pub fn approval(request: &ApprovalRequestId, level: &str) -> Self {
        Self(format!("{request}.{level}"))
    }
    /// The approval request and level that an approval task's id names; `None` for anything else.
    pub fn approval_parts(&self) -> Option<(ApprovalRequestId, &str)> {
        let (request, level) = self.0.rsplit_once('.')?;
        let request = ApprovalRequestId::new(request);
        request.quote_id()?;
        Some((request, level))
    }
}

impl StepId {
    pub fn of(line: &LineNumber, step_type: &str) -> Self {
        Self(format!("{line}:{step_type}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("Q-2026-000123", true)]
    #[case("Q-2026-12345678", true)]
    #[case("Q-2026-00012", false)]
    #[case("O-2026-000123", false)]
    #[case("Q-26-000123", false)]
    #[case("Q-2026-00012a", false)]
    #[case("Q-2026-000123-1", false)]
    #[case("", false)]
    fn a_quote_id_has_a_year_and_at_least_six_digits(#[case] text: &str, #[case] valid: bool) {
        assert_eq!(QuoteId::from(text).is_well_formed(), valid);
    }

    #[test]
    fn a_task_id_leads_back_to_its_quote() {
        let request = ApprovalRequestId::of(&"Q-2026-000123".into(), 4);
        let task = TaskId::approval(&request, "FINANCE");
        assert_eq!(task.as_str(), "apr-2026-000123-r4.FINANCE");
        let (parsed, level) = task.approval_parts().unwrap();
        assert_eq!((parsed.quote_id().unwrap().as_str(), level), ("Q-2026-000123", "FINANCE"));
    }

    #[rstest]
    #[case("nonsense")]
    #[case("apr-2026-000123-r4")]
    #[case("apr-2026-1-r4.FINANCE")]
    #[case("apr-2026-000123-rx.FINANCE")]
    fn a_malformed_task_id_leads_nowhere(#[case] text: &str) {
        assert!(TaskId::from(text).approval_parts().is_none());
    }
}
