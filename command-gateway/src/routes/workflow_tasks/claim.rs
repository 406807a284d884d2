//! `POST /workflow-tasks/{taskId}/claim`.

use crate::call::Call;
use crate::operation::Reply;
use crate::render::Shape;
use crate::submit;
use cpq_domain::quote::QuoteCommand;
use cpq_domain::quote::command::ClaimTask;

pub async fn handle(call: Call) -> Reply {
    let (task_id, quote) = call.task_id()?;
    let command = QuoteCommand::ClaimTask(ClaimTask { task_id: task_id.clone() });
    submit::to_quote(call, quote, command, Shape::Task(task_id)).await
}
