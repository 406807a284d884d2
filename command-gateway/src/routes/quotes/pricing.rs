//! `POST /quotes/{quoteId}/pricing`.

use super::configuration::MAX_LINES;
use crate::call::Call;
use crate::form::{AMOUNT, CODE, Field, Kind, LINE_NUMBER, Object, PERCENT, REVISION};
use crate::operation::Reply;
use crate::problem::Problem;
use crate::render::Shape;
use crate::submit;
use cpq_domain::command::Role;
use cpq_domain::quote::QuoteCommand;
use cpq_domain::quote::command::PriceQuote;
use cpq_domain::rejection::ErrorCode;

static DISCOUNT: Object = Object {
    name: "DiscountRequest",
    describes: "A percentage off, with why.",
    fields: &[
        Field::required("percent", PERCENT, "0 to 100, a string."),
        Field::required("reasonCode", CODE, "Why it is given."),
    ],
    also: None,
    example: r#"{"percent": "2.5", "reasonCode": "VOLUME"}"#,
};

static LINE_DISCOUNT: Object = Object {
    name: "LineDiscountRequest",
    describes: "A percentage off one line.",
    fields: &[
        Field::required("lineNumber", LINE_NUMBER, "The line."),
        Field::required("percent", PERCENT, "0 to 100, a string."),
        Field::required("reasonCode", CODE, "Why it is given."),
    ],
    also: None,
    example: r#"{"lineNumber": "1", "percent": "5", "reasonCode": "COMPETITION"}"#,
};

static LINE_OVERRIDE: Object = Object {
    name: "LineOverrideRequest",
    describes: "A unit price by hand, in place of list price and adjustments. Needs a director's approval.",
    fields: &[
        Field::required("lineNumber", LINE_NUMBER, "The line."),
        Field::required("kind", Kind::Choice(&["ONE_TIME", "RECURRING", "USAGE"]), "Which of its prices."),
        Field::required("unitAmount", AMOUNT, "Not negative, in the currency's minor units, a string."),
        Field::required("reasonCode", CODE, "Why it is given."),
    ],
    also: None,
    example: r#"{"lineNumber": "1", "kind": "RECURRING", "unitAmount": "450.00", "reasonCode": "STRATEGIC"}"#,
};

pub static BODY: Object = Object {
    name: "PriceQuoteRequest",
    describes: "Prices the configuration. Approval and artifact fall.",
    fields: &[
        Field::required("quoteRevision", REVISION, "The revision that the caller has seen."),
        Field::optional(
            "pricingDate",
            Kind::Instant,
            "Prices as of then; needs the role order-manager too. Default: now.",
        ),
        Field::optional("quoteDiscount", Kind::Object(&DISCOUNT), "A percentage off every line."),
        Field::with_default(
            "lineDiscounts",
            Kind::List { of: &LINE_DISCOUNT, max: MAX_LINES },
            "[]",
            "At most one for a line.",
        ),
        Field::with_default(
            "lineOverrides",
            Kind::List { of: &LINE_OVERRIDE, max: MAX_LINES },
            "[]",
            "At most one for a line and kind.",
        ),
    ],
    also: None,
    example: r#"{"quoteRevision": 2, "quoteDiscount": {"percent": "2.5", "reasonCode": "VOLUME"}, "lineDiscounts": [{"lineNumber": "1", "percent": "5", "reasonCode": "COMPETITION"}]}"#,
};

pub async fn handle(call: Call) -> Reply {
    let command = command(&call)?;
    let quote = call.quote_id()?;
    submit::to_quote(call, quote, QuoteCommand::PriceQuote(command), Shape::Quote).await
}

/// The command, from who may send it.
pub fn command(call: &Call) -> Result<PriceQuote, Problem> {
    let command: PriceQuote = call.read()?;
    if command.pricing_date.is_some() && !call.caller.claims.has(Role::OrderManager) {
        return Err(Problem::new(ErrorCode::Forbidden, "Sending a pricingDate needs the role order-manager too."));
    }
    Ok(command)
}
