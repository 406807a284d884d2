//! `POST /orders`: a command on the quote, whose acceptance has reserved the order.

use crate::call::{Call, quote_not_found};
use crate::form::{Field, ID, Object, REVISION};
use crate::operation::Reply;
use crate::render::Shape;
use crate::submit;
use cpq_domain::ids::QuoteId;
use cpq_domain::quote::QuoteCommand;
use serde_json::Value;

pub static BODY: Object = Object {
    name: "CreateOrderRequest",
    describes: "Asks for the order of an accepted quote: 201, or 200 where it exists already. Never a second.",
    fields: &[
        Field::required("quoteId", ID, "The accepted quote."),
        Field::required("quoteRevision", REVISION, "The revision that was accepted."),
    ],
    also: None,
    example: r#"{"quoteId": "Q-2026-000123", "quoteRevision": 5}"#,
};

pub async fn handle(call: Call) -> Reply {
    let quote = QuoteId::new(call.body.get("quoteId").and_then(Value::as_str).unwrap_or_default());
    if !quote.is_well_formed() {
        return Err(quote_not_found());
    }
    let command = call.read()?;
    submit::to_quote(call, quote, QuoteCommand::RequestOrder(command), Shape::OrderOfQuote).await
}
