//! Why the business said no: one code, one sentence that says what to do, and the fields at fault.
//! HTTP status and problem+json are the gateway's; here are only reasons.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident => $text:literal,)*) => {
        /// The contract's error codes. The name on the wire is the SCREAMING_SNAKE_CASE text.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum ErrorCode { $($(#[$doc])* #[serde(rename = $text)] $variant,)* }
        impl ErrorCode {
            /// Every code, in the contract's order.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$variant,)*];
            pub fn as_str(self) -> &'static str {
                match self { $(ErrorCode::$variant => $text,)* }
            }
        }
    };
}

codes! {
    MalformedRequest => "MALFORMED_REQUEST",
    IdempotencyKeyRequired => "IDEMPOTENCY_KEY_REQUIRED",
    Unauthenticated => "UNAUTHENTICATED",
    Forbidden => "FORBIDDEN",
    CustomerAccessDenied => "CUSTOMER_ACCESS_DENIED",
    NotEligibleApprover => "NOT_ELIGIBLE_APPROVER",
    FourEyesViolation => "FOUR_EYES_VIOLATION",
    ApprovalAuthorityExceeded => "APPROVAL_AUTHORITY_EXCEEDED",
    NotFound => "NOT_FOUND",
    OfferingNotFound => "OFFERING_NOT_FOUND",
    QuoteNotFound => "QUOTE_NOT_FOUND",
    OrderNotFound => "ORDER_NOT_FOUND",
    TaskNotFound => "TASK_NOT_FOUND",
    CommandNotFound => "COMMAND_NOT_FOUND",
    ArtifactNotFound => "ARTIFACT_NOT_FOUND",
    CustomerNotFound => "CUSTOMER_NOT_FOUND",
    FalloutNotFound => "FALLOUT_NOT_FOUND",
    DeadLetterNotFound => "DEAD_LETTER_NOT_FOUND",
    QuoteRevisionStale => "QUOTE_REVISION_STALE",
    OrderRevisionStale => "ORDER_REVISION_STALE",
    QuoteNotConfigured => "QUOTE_NOT_CONFIGURED",
    QuoteNotPriced => "QUOTE_NOT_PRICED",
    PriceStale => "PRICE_STALE",
    QuoteNotPendingApproval => "QUOTE_NOT_PENDING_APPROVAL",
    QuoteNotApproved => "QUOTE_NOT_APPROVED",
    ArtifactMismatch => "ARTIFACT_MISMATCH",
    QuoteNotEditable => "QUOTE_NOT_EDITABLE",
    QuoteNotAccepted => "QUOTE_NOT_ACCEPTED",
    QuoteAlreadyAccepted => "QUOTE_ALREADY_ACCEPTED",
    QuoteExpired => "QUOTE_EXPIRED",
    OrderPastPointOfNoReturn => "ORDER_PAST_POINT_OF_NO_RETURN",
    OrderNotAmendable => "ORDER_NOT_AMENDABLE",
    OrderNotCancellable => "ORDER_NOT_CANCELLABLE",
    AmendmentNeedsQuote => "AMENDMENT_NEEDS_QUOTE",
    TaskAlreadyCompleted => "TASK_ALREADY_COMPLETED",
    TaskClaimed => "TASK_CLAIMED",
    QuoteWithdrawn => "QUOTE_WITHDRAWN",
    CatalogVersionExists => "CATALOG_VERSION_EXISTS",
    DeadLetterBusy => "DEAD_LETTER_BUSY",
    DeadLetterNeedsForce => "DEAD_LETTER_NEEDS_FORCE",
    DeadLetterNotDiscardable => "DEAD_LETTER_NOT_DISCARDABLE",
    MethodNotAllowed => "METHOD_NOT_ALLOWED",
    PreconditionFailed => "PRECONDITION_FAILED",
    BodyTooLarge => "BODY_TOO_LARGE",
    UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
    ValidationFailed => "VALIDATION_FAILED",
    ConfigurationInvalid => "CONFIGURATION_INVALID",
    OfferingNotVisible => "OFFERING_NOT_VISIBLE",
    PriceNotFound => "PRICE_NOT_FOUND",
    TaxRateNotFound => "TAX_RATE_NOT_FOUND",
    AmountOutOfRange => "AMOUNT_OUT_OF_RANGE",
    CatalogInvalid => "CATALOG_INVALID",
    IdempotencyKeyReused => "IDEMPOTENCY_KEY_REUSED",
    IfMatchRequired => "IF_MATCH_REQUIRED",
    RateLimited => "RATE_LIMITED",
    HeadersTooLarge => "HEADERS_TOO_LARGE",
    Internal => "INTERNAL",
    TemporarilyUnavailable => "TEMPORARILY_UNAVAILABLE",
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is wrong with one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FieldCode {
    Required,
    UnknownField,
    WrongType,
    OutOfRange,
    NotAllowed,
    Pattern,
    Cardinality,
    Rule,
    UnknownReference,
}

/// One fault of one field: RFC 6901 pointer into the request body, code, and a plain sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldError {
    pub pointer: String,
    pub code: FieldCode,
    pub detail: String,
    /// The catalog's rule that rules the choice out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Changes of the body that would do, each by itself: with it this fault is gone and no other has come. Only
    /// where somebody asks before sending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Choice>,
}

impl FieldError {
    pub fn new(pointer: impl Into<String>, code: FieldCode, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code, detail: detail.into(), rule: None, choices: Vec::new() }
    }
    pub fn by_rule(mut self, rule: &str) -> Self {
        self.rule = Some(rule.to_owned());
        self
    }
}

/// A change of a request body: one operation of JSON Patch (RFC 6902).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Choice {
    pub op: ChoiceOp,
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ChoiceOp {
    Add,
    Remove,
    Replace,
}

/// A business refusal. Recorded, acknowledged, answered; never retried by the runtime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {detail}")]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    pub code: ErrorCode,
    /// What is wrong and what to send instead, for a person.
    pub detail: String,
    /// All field-level faults at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Whether the same request may succeed later without anybody changing it.
    #[serde(default)]
    pub retryable: bool,
}

impl Rejection {
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), retryable: false }
    }
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }
}
