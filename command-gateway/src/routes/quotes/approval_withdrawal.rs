//! `POST /quotes/{quoteId}/approval-withdrawal`.

use crate::call::Call;
use crate::form::{CODE, Field, Object, REVISION};
use crate::operation::Reply;
use crate::render::Shape;
use crate::submit;
use cpq_domain::quote::QuoteCommand;

pub static BODY: Object = Object {
    name: "WithdrawApprovalRequest",
    describes: "Takes a submission back; only its requester may. The quote is PRICED again.",
    fields: &[
        Field::required("quoteRevision", REVISION, "The revision that the caller has seen."),
        Field::optional("reasonCode", CODE, "Why."),
    ],
    also: None,
    example: r#"{"quoteRevision": 4, "reasonCode": "CUSTOMER_CHANGED_MIND"}"#,
};

pub async fn handle(call: Call) -> Reply {
    let quote = call.quote_id()?;
    let command = call.read()?;
    submit::to_quote(call, quote, QuoteCommand::WithdrawApproval(command), Shape::Quote).await
}
