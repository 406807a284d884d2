//! `POST /quotes/{quoteId}/revision`.

use crate::call::Call;
use crate::form::{CODE, Field, Object, REVISION};
use crate::operation::Reply;
use crate::render::Shape;
use crate::submit;
use cpq_domain::quote::QuoteCommand;

pub static BODY: Object = Object {
    name: "ReopenQuoteRequest",
    describes: "Opens an approved or rejected offer again, to be changed. It is CONFIGURED then: price, approval and \
        artifact stay in its history and no longer count.",
    fields: &[
        Field::required("quoteRevision", REVISION, "The revision that the caller has seen."),
        Field::optional("reasonCode", CODE, "Why."),
    ],
    also: None,
    example: r#"{"quoteRevision": 6, "reasonCode": "CUSTOMER_WANTS_MORE_SITES"}"#,
};

pub async fn handle(call: Call) -> Reply {
    let quote = call.quote_id()?;
    let command = call.read()?;
    submit::to_quote(call, quote, QuoteCommand::ReopenQuote(command), Shape::Quote).await
}
