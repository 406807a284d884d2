//! `POST /quotes/{quoteId}/approval-submission`.

use crate::call::Call;
use crate::form::{Field, Object, PROSE, REVISION};
use crate::operation::Reply;
use crate::render::Shape;
use crate::submit;
use cpq_domain::quote::QuoteCommand;

pub static BODY: Object = Object {
    name: "SubmitForApprovalRequest",
    describes: "Asks for the approval that the policy requires; approved at once where it requires nobody.",
    fields: &[
        Field::required("quoteRevision", REVISION, "The revision that the caller has seen."),
        Field::optional("justification", PROSE, "What approvers should know."),
    ],
    also: None,
    example: r#"{"quoteRevision": 3, "justification": "Strategic account, three sites to follow."}"#,
};

pub async fn handle(call: Call) -> Reply {
    let quote = call.quote_id()?;
    let command = call.read()?;
    submit::to_quote(call, quote, QuoteCommand::SubmitForApproval(command), Shape::Quote).await
}
