//! `POST /quotes`.

use crate::call::Call;
use crate::form::{Field, ID, Kind, NAME, Object};
use crate::operation::Reply;
use crate::problem::Problem;
use crate::render::Shape;
use crate::submit;
use cpq_domain::quote::QuoteCommand;
use cpq_domain::quote::command::CreateQuote;
use cpq_domain::rejection::ErrorCode;

/// The longest term: a hundred years.
const MAX_TERM_MONTHS: i64 = 1200;

pub static BODY: Object = Object {
    name: "CreateQuoteRequest",
    describes: "A new quote for a customer account.",
    fields: &[
        Field::required("customerAccountId", ID, "The account that buys; one of the token's."),
        Field::required("currency", Kind::Currency, "ISO 4217; every amount of the quote is in it."),
        Field::with_default(
            "termMonths",
            Kind::Integer { min: 1, max: MAX_TERM_MONTHS },
            "1",
            "Months that recurring charges are committed for.",
        ),
        Field::optional(
            "validUntil",
            Kind::Instant,
            "The quote ends before this instant: from then on every command is answered QUOTE_EXPIRED, and the status \
             becomes EXPIRED by itself, unless the quote was accepted or withdrawn before.",
        ),
        Field::with_default("priceListId", ID, "\"standard\"", "The price list that it is priced from."),
        Field::optional("externalReference", NAME, "The client's own name for it."),
    ],
    also: None,
    example: r#"{"customerAccountId": "acct-1001", "currency": "USD", "termMonths": 36, "externalReference": "CRM-4711"}"#,
};

pub async fn handle(call: Call) -> Reply {
    let command: CreateQuote = call.read()?;
    if !call.caller.claims.may_access(&command.customer_account_id) {
        let detail = format!("Your token does not cover customer account {}.", command.customer_account_id);
        return Err(Problem::new(ErrorCode::CustomerAccessDenied, detail));
    }
    let quote = call.gateway.numbers.next(call.received_at).await?;
    submit::to_quote(call, quote, QuoteCommand::CreateQuote(command), Shape::Quote).await
}
