//! `POST /quotes/{quoteId}/clone`.

use crate::call::Call;
use crate::form::{CODE, Field, Object, REVISION};
use crate::operation::Reply;
use crate::render::Shape;
use crate::submit;
use cpq_domain::quote::QuoteCommand;
use cpq_domain::quote::command::CloneQuote;
use serde::Deserialize;

pub static BODY: Object = Object {
    name: "CloneQuoteRequest",
    describes: "Makes a new quote from this one, whatever has become of it: same customer, currency, term and price \
        list, and the same configuration; never its price, approval, artifact, validity or external reference.",
    fields: &[
        Field::required("quoteRevision", REVISION, "The revision of this quote that the caller has seen."),
        Field::optional("reasonCode", CODE, "Why."),
    ],
    also: None,
    example: r#"{"quoteRevision": 8}"#,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    quote_revision: u32,
    reason_code: Option<String>,
}

pub async fn handle(call: Call) -> Reply {
    let source_quote_id = call.quote_id()?;
    let Body { quote_revision, reason_code } = call.read()?;
    let command = CloneQuote { source_quote_id, quote_revision, reason_code };
    let quote = call.gateway.numbers.next(call.received_at).await?;
    submit::to_quote(call, quote, QuoteCommand::CloneQuote(command), Shape::Quote).await
}
