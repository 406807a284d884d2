//! Deciding an approval step, on its own or as a task of the worklist.

use super::approve::{pending, running};
use super::authority::{eligible, four_eyes, not_eligible, within_limits};
use super::command::*;
use super::decide::*;
use super::event::*;
use super::task::{claimed_by, find, submission_over, task_completed};
use super::{Approval, ApprovalStep, AuthoritySnapshot, PricedOffer, Quote, StepStatus};
use crate::canonical;
use crate::command::Applied;
use crate::ids::TaskId;
use crate::rejection::{ErrorCode, FieldCode, FieldError, Rejection};

pub(super) fn decide_approval(quote: &Quote, command: &DecideApproval, ctx: &Context) -> Decided {
    let word = Word { verdict: command.decision, reason_code: &command.reason_code, comment: &command.comment };
    let task = command.task_id.as_ref();
    let judged = pending(quote).and_then(|(approval, price)| judge_step(quote, approval, price, task, ctx));
    if let Err(rejection) = &judged
        && is_forbidden(rejection.code)
    {
        return Err(rejection.clone());
    }
    check_revision(quote, command.quote_revision, ctx)?;
    let (approval, price) = running(quote)?;
    decided(approval, price, judged?, word, ctx)
}

pub(super) fn complete_task(quote: &Quote, command: &CompleteTask, ctx: &Context) -> Decided {
    let Some((approval, step)) = find(quote, &command.task_id)? else {
        check_revision(quote, command.observed_quote_revision, ctx)?;
        return Err(submission_over(quote, &command.task_id));
    };
    four_eyes(quote, approval, ctx)?;
    if step.status.is_decided() {
        return Err(task_completed(&command.task_id));
    }
    let decide = DecideApproval {
        quote_revision: command.observed_quote_revision,
        task_id: Some(command.task_id.clone()),
        decision: command.decision,
        reason_code: command.reason_code.clone(),
        comment: command.comment.clone(),
    };
    decide_approval(quote, &decide, ctx)
}

/// What an approver said.
struct Word<'a> {
    verdict: Verdict,
    reason_code: &'a str,
    comment: &'a Option<String>,
}

fn decided(
    approval: &Approval,
    price: &PricedOffer,
    (step, authority): (&ApprovalStep, AuthoritySnapshot),
    word: Word,
    ctx: &Context,
) -> Decided {
    let me = &ctx.meta.claims.actor_id;
    let request = approval.approval_request_id.clone();
    let requested_by = approval.requested_by.clone();
    let task = step.task_id(&request);
    if let Some(assignee) = step.assignee.as_ref().filter(|assignee| *assignee != me) {
        return Err(claimed_by(&task, assignee.as_str()));
    }
    let mut events = vec![QuoteEvent::QuoteApprovalStepDecided(QuoteApprovalStepDecided {
        approval_request_id: request.clone(),
        level: step.level,
        decision: word.verdict,
        decided_by: me.clone(),
        reason_code: word.reason_code.to_owned(),
        comment: word.comment.clone(),
        authority,
        price_hash: price.price_hash.clone(),
    })];
    let last = approval.steps.iter().all(|s| s.level == step.level || s.status == StepStatus::Approved);
    match word.verdict {
        Verdict::Reject => events.push(QuoteEvent::QuoteApprovalRejected(QuoteApprovalRejected {
            approval_request_id: request,
            requested_by,
            rejected_by: me.clone(),
            level: step.level,
            reason_code: word.reason_code.to_owned(),
        })),
        Verdict::Approve if last => {
            let approval_hash = approval_hash(approval, &events[0]);
            events.push(QuoteEvent::QuoteApproved(QuoteApproved {
                approval_request_id: request,
                requested_by,
                approval_hash,
            }));
        }
        Verdict::Approve => {}
    }
    applied(events, Applied::about(task.as_str()))
}

fn approval_hash(approval: &Approval, last_decision: &QuoteEvent) -> String {
    let decisions: Vec<_> = approval.steps.iter().map(|s| (s.level, &s.decision)).collect();
    canonical::hash(&(&approval.policy, &approval.price_hash, decisions, last_decision))
}

/// The step the caller may decide, with the authority it rests on. Four-eyes is judged first.
fn judge_step<'a>(
    quote: &'a Quote,
    approval: &'a Approval,
    price: &PricedOffer,
    task: Option<&TaskId>,
    ctx: &Context,
) -> Result<(&'a ApprovalStep, AuthoritySnapshot), Rejection> {
    four_eyes(quote, approval, ctx)?;
    let step = match task {
        Some(task) => {
            let (_, step) = find(quote, task)?.ok_or_else(|| submission_over(quote, task))?;
            if step.status.is_decided() {
                return Err(task_completed(task));
            }
            step
        }
        None => only_open_step(approval, ctx)?,
    };
    let authority = eligible(approval, step, ctx)?;
    within_limits(price, quote, &authority, step, ctx).map(|authority| (step, authority))
}

/// Where the caller names no task: the one open step they hold or may decide.
fn only_open_step<'a>(approval: &'a Approval, ctx: &Context) -> Result<&'a ApprovalStep, Rejection> {
    let open = approval.steps.iter().filter(|s| s.status.is_open());
    let mine: Vec<_> = open.filter(|s| eligible(approval, s, ctx).is_ok()).collect();
    let held: Vec<_> = mine.iter().filter(|s| s.assignee.as_ref() == Some(&ctx.meta.claims.actor_id)).collect();
    match (mine.as_slice(), held.as_slice()) {
        (_, [step]) => Ok(step),
        ([step], _) => Ok(step),
        ([], _) => Err(not_eligible("None of the open approval steps is yours to decide.")),
        (several, _) => {
            let tasks: Vec<_> =
                several.iter().map(|s| s.task_id(&approval.approval_request_id).into_string()).collect();
            let detail = format!("several open steps match you: name one of {}", tasks.join(", "));
            Err(Rejection::new(ErrorCode::ValidationFailed, "Say which task you decide.")
                .with_errors(vec![FieldError::new("/taskId", FieldCode::Required, detail)]))
        }
    }
}

fn is_forbidden(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::FourEyesViolation
            | ErrorCode::NotEligibleApprover
            | ErrorCode::ApprovalAuthorityExceeded
            | ErrorCode::TaskNotFound
    )
}
