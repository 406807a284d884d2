//! Tasks of the worklist, as a quote knows them: finding the step that a task's id names, claiming it and
//! giving it back.

use super::approve::running;
use super::authority::{eligible, four_eyes};
use super::decide::*;
use super::event::*;
use super::{Approval, ApprovalStep, Quote, StepStatus};
use crate::approval::ApprovalLevel;
use crate::command::Applied;
use crate::ids::TaskId;
use crate::rejection::{ErrorCode, Rejection};

pub(super) fn claim(quote: &Quote, task: &TaskId, ctx: &Context) -> Decided {
    let found = find(quote, task)?;
    if let Some((approval, step)) = found {
        four_eyes(quote, approval, ctx)?;
        if step.status.is_decided() {
            return Err(task_completed(task));
        }
        // Nobody is eligible for a step that nobody decides any more; what the quote has come to is said below.
        if step.status != StepStatus::Cancelled {
            eligible(approval, step, ctx)?;
        }
    }
    let (approval, step) = open(quote, task, found, ctx)?;
    match &step.assignee {
        Some(assignee) if *assignee == ctx.meta.claims.actor_id => {
            return applied(Vec::new(), Applied::about(task.as_str()));
        }
        Some(assignee) => return Err(claimed_by(task, assignee.as_str())),
        None => {}
    }
    let claimed = QuoteApprovalStepClaimed {
        approval_request_id: approval.approval_request_id.clone(),
        level: step.level,
        assignee: ctx.meta.claims.actor_id.clone(),
    };
    applied(vec![QuoteEvent::QuoteApprovalStepClaimed(claimed)], Applied::about(task.as_str()))
}

pub(super) fn unclaim(quote: &Quote, task: &TaskId, ctx: &Context) -> Decided {
    let found = find(quote, task)?;
    if found.is_some_and(|(_, step)| step.status.is_decided()) {
        return Err(task_completed(task));
    }
    let (approval, step) = open(quote, task, found, ctx)?;
    match &step.assignee {
        None => return applied(Vec::new(), Applied::about(task.as_str())),
        Some(assignee) if *assignee != ctx.meta.claims.actor_id => return Err(claimed_by(task, assignee.as_str())),
        Some(_) => {}
    }
    let released = QuoteApprovalStepReleased {
        approval_request_id: approval.approval_request_id.clone(),
        level: step.level,
        released_by: ctx.meta.claims.actor_id.clone(),
    };
    applied(vec![QuoteEvent::QuoteApprovalStepReleased(released)], Applied::about(task.as_str()))
}

/// `If-Match`, then the quote's state: the engine must run the submission that the task belongs to.
fn open<'a>(
    quote: &'a Quote,
    task: &TaskId,
    found: Option<(&'a Approval, &'a ApprovalStep)>,
    ctx: &Context,
) -> Result<(&'a Approval, &'a ApprovalStep), Rejection> {
    ctx.meta.check_precondition(&format!("quote {}", quote.quote_id), quote.revision)?;
    check_alive(quote, ctx.now)?;
    let found = found.ok_or_else(|| submission_over(quote, task))?;
    running(quote)?;
    Ok(found)
}

/// The step that a task's id names; `None` where it belongs to a submission that the quote has left behind.
pub(super) fn find<'a>(quote: &'a Quote, task: &TaskId) -> Result<Option<(&'a Approval, &'a ApprovalStep)>, Rejection> {
    let (request, level) = task.approval_parts().ok_or_else(|| not_found(task))?;
    let level = ApprovalLevel::parse(level).ok_or_else(|| not_found(task))?;
    if let Some(approval) = quote.approval().filter(|a| a.approval_request_id == request) {
        let step = approval.steps.iter().find(|step| step.level == level);
        return step.map(|step| Some((approval, step))).ok_or_else(|| not_found(task));
    }
    let left_behind = request.quote_id().as_ref() == Some(&quote.quote_id)
        && request.quote_revision().is_some_and(|revision| revision <= quote.revision);
    if left_behind { Ok(None) } else { Err(not_found(task)) }
}

/// The caller acts on a task whose submission is over.
pub(super) fn submission_over(quote: &Quote, task: &TaskId) -> Rejection {
    Rejection::new(
        ErrorCode::QuoteNotPendingApproval,
        format!("Task {task} belongs to a submission that is over; quote {} is {}.", quote.quote_id, quote.status()),
    )
}

pub(super) fn claimed_by(task: &TaskId, assignee: &str) -> Rejection {
    Rejection::new(ErrorCode::TaskClaimed, format!("Task {task} is claimed by {assignee}: ask them to unclaim it."))
}

pub(super) fn task_completed(task: &TaskId) -> Rejection {
    Rejection::new(ErrorCode::TaskAlreadyCompleted, format!("Task {task} has been decided already."))
}

pub(super) fn not_found(task: &TaskId) -> Rejection {
    Rejection::new(ErrorCode::TaskNotFound, format!("There is no task {task} in this tenant."))
}
