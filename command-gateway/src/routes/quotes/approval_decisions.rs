//! `POST /quotes/{quoteId}/approval-decisions`.

use crate::call::Call;
use crate::form::{CODE, Field, ID, Kind, Object, PROSE, REVISION};
use crate::operation::Reply;
use crate::render::Shape;
use crate::submit;
use cpq_domain::quote::QuoteCommand;

/// What an approver may say.
pub const VERDICT: Kind = Kind::Choice(&["APPROVE", "REJECT"]);

pub static BODY: Object = Object {
    name: "DecideApprovalRequest",
    describes: "Decides the caller's open step.",
    fields: &[
        Field::required("quoteRevision", REVISION, "The revision that is decided."),
        Field::optional("taskId", ID, "Which step; required where several are the caller's."),
        Field::required("decision", VERDICT, "One rejection rejects the quote."),
        Field::required("reasonCode", CODE, "Why."),
        Field::optional("comment", PROSE, "In the approver's words."),
    ],
    also: None,
    example: r#"{"quoteRevision": 4, "decision": "APPROVE", "reasonCode": "DISCOUNT_WITHIN_MANAGER_AUTHORITY", "comment": "Approved for strategic account renewal."}"#,
};

pub async fn handle(call: Call) -> Reply {
    let quote = call.quote_id()?;
    let command = call.read()?;
    submit::to_quote(call, quote, QuoteCommand::DecideApproval(command), Shape::Quote).await
}
