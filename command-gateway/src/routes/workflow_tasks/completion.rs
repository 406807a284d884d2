//! `POST /workflow-tasks/{taskId}/completion`.

use crate::call::Call;
use crate::form::{CODE, Field, Object, PROSE, REVISION};
use crate::operation::Reply;
use crate::render::Shape;
use crate::routes::quotes::approval_decisions::VERDICT;
use crate::submit;
use cpq_domain::ids::TaskId;
use cpq_domain::quote::QuoteCommand;
use cpq_domain::quote::command::{CompleteTask, Verdict};
use serde::Deserialize;

pub static BODY: Object = Object {
    name: "CompleteTaskRequest",
    describes: "Decides the step of this task.",
    fields: &[
        Field::required("decision", VERDICT, "One rejection rejects the quote."),
        Field::required("reasonCode", CODE, "Why."),
        Field::optional("comment", PROSE, "In the approver's words."),
        Field::required("observedQuoteRevision", REVISION, "The revision that the approver has looked at."),
    ],
    also: None,
    example: r#"{"decision": "APPROVE", "reasonCode": "DISCOUNT_WITHIN_MANAGER_AUTHORITY", "observedQuoteRevision": 4}"#,
};

/// The body; the task is the path's.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Completion {
    decision: Verdict,
    reason_code: String,
    comment: Option<String>,
    observed_quote_revision: u32,
}

impl Completion {
    fn of(self, task_id: TaskId) -> CompleteTask {
        CompleteTask {
            task_id,
            observed_quote_revision: self.observed_quote_revision,
            decision: self.decision,
            reason_code: self.reason_code,
            comment: self.comment,
        }
    }
}

pub async fn handle(call: Call) -> Reply {
    let (task_id, quote) = call.task_id()?;
    let completion: Completion = call.read()?;
    let command = QuoteCommand::CompleteTask(completion.of(task_id.clone()));
    submit::to_quote(call, quote, command, Shape::CompletedTask(task_id)).await
}
