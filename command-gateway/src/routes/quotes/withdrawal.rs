//! `POST /quotes/{quoteId}/withdrawal`.

use crate::call::Call;
use crate::form::{CODE, Field, Object, REVISION};
use crate::operation::Reply;
use crate::render::Shape;
use crate::submit;
use cpq_domain::quote::QuoteCommand;

pub static BODY: Object = Object {
    name: "WithdrawQuoteRequest",
    describes: "Takes a quote back, wherever it is before acceptance; an open approval ends with it. What the quote \
        had come to stays to be read, and nothing can be done with it any more. A quote past its validUntil has \
        expired instead, by itself: no command on it is answered by anything but QUOTE_EXPIRED.",
    fields: &[
        Field::required("quoteRevision", REVISION, "The revision that the caller has seen."),
        Field::optional("reasonCode", CODE, "Why."),
    ],
    also: None,
    example: r#"{"quoteRevision": 5, "reasonCode": "DEAL_LOST"}"#,
};

pub async fn handle(call: Call) -> Reply {
    let quote = call.quote_id()?;
    let command = call.read()?;
    submit::to_quote(call, quote, QuoteCommand::WithdrawQuote(command), Shape::Quote).await
}
