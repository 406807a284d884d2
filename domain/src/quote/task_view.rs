//! The worklist's task as the outside sees it: an approval step that is somebody's to decide, or a fallout case.

use super::{Approval, ApprovalStep, Quote, StepStatus};
use crate::ids::{ActorId, OrderId, QuoteId, TaskId};
use crate::moment::Moment;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TaskType {
    Approval,
    Fallout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TaskStatus {
    Open,
    Claimed,
    Completed,
    Cancelled,
}

/// The contract's worklist task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskView {
    pub task_id: TaskId,
    #[serde(rename = "type")]
    pub task_type: TaskType,
    pub status: TaskStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote_id: Option<QuoteId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
    /// The revision that is to be decided.
    pub quote_revision: Option<u32>,
    /// An approval level, or the role that handles fallout.
    pub candidate_role: String,
    pub assignee: Option<ActorId>,
    pub requested_by: Option<ActorId>,
    pub created_at: Moment,
    pub due_at: Option<Moment>,
    pub escalated: bool,
}

impl TaskView {
    /// The task of an approval step, from the quote itself; `None` while earlier steps must be decided first,
    /// and for anything that is no task of this quote's approval.
    pub fn of(quote: &Quote, task: &TaskId) -> Option<Self> {
        let approval = quote.approval()?;
        let step = approval.steps.iter().find(|step| step.task_id(&approval.approval_request_id) == *task)?;
        let status = match step.status {
            StepStatus::Waiting => return None,
            StepStatus::Open => TaskStatus::Open,
            StepStatus::Claimed => TaskStatus::Claimed,
            StepStatus::Approved | StepStatus::Rejected => TaskStatus::Completed,
            StepStatus::Cancelled => TaskStatus::Cancelled,
        };
        Some(Self::approval(quote, approval, step, status))
    }

    fn approval(quote: &Quote, approval: &Approval, step: &ApprovalStep, status: TaskStatus) -> Self {
        Self {
            task_id: step.task_id(&approval.approval_request_id),
            task_type: TaskType::Approval,
            status,
            quote_id: Some(quote.quote_id.clone()),
            order_id: None,
            quote_revision: approval.approval_request_id.quote_revision(),
            candidate_role: step.level.as_str().to_owned(),
            assignee: step.assignee.clone(),
            requested_by: Some(approval.requested_by.clone()),
            created_at: approval.requested_at,
            due_at: step.due_at,
            escalated: step.escalated,
        }
    }
}
