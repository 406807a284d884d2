//! `POST /workflow-tasks/{taskId}/unclaim`.

use crate::call::Call;
use crate::operation::Reply;
use crate::render::Shape;
use crate::submit;
use cpq_domain::quote::QuoteCommand;
use cpq_domain::quote::command::UnclaimTask;

pub async fn handle(call: Call) -> Reply {
    let (task_id, quote) = call.task_id()?;
    let command = QuoteCommand::UnclaimTask(UnclaimTask { task_id: task_id.clone() });
    submit::to_quote(call, quote, command, Shape::Task(task_id)).await
}
