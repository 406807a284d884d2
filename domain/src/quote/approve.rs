//! Approval: submission by policy, claiming, deciding and escalating steps, withdrawal.

use super::command::*;
use super::decide::*;
use super::event::*;
use super::price::{check_fresh, not_configured, not_priced};
use super::{Approval, ApprovalStep, AuthoritySnapshot, Phase, PricedOffer, Quote, StepStatus};
use crate::approval::{ApprovalLevel, PolicyInputs};
use crate::canonical;
use crate::command::Applied;
use crate::ids::{ApprovalRequestId, TaskId};
use crate::moment::within;
use crate::reference::Approver;
use crate::rejection::{ErrorCode, FieldCode, FieldError, Rejection};

pub(super) fn submit(quote: &Quote, command: &SubmitForApproval, ctx: &Context) -> Decided {
    check_revision(quote, command.quote_revision, ctx)?;
    let (configuration, price) = match &quote.phase {
        Phase::Priced { configuration, price } => (configuration, price),
        Phase::Draft => return Err(not_configured(quote)),
        Phase::Configured { .. } | Phase::ApprovalRejected { .. } => return Err(not_priced(quote)),
        _ => return Err(not_editable(quote, "submitted")),
    };
    check_fresh(quote, price, ctx.now)?;
    let inputs = PolicyInputs {
        effective_discount_percent: price.price.effective_discount_percent,
        total_amount: price.price.total_amount,
        currency: quote.currency,
        margin_percent: price.price.margin_percent,
        term_months: quote.term_months,
        segment: configuration.segment.clone(),
        has_manual_override: !price.request.line_overrides.is_empty(),
    };
    let policy = ctx.policy.evaluate(&inputs);
    let steps = policy.steps();
    let approval_request_id = ApprovalRequestId::of(&quote.quote_id, quote.revision + 1);
    let submitted = QuoteSubmittedForApproval {
        approval_request_id: approval_request_id.clone(),
        requested_by: ctx.meta.claims.actor_id.clone(),
        justification: command.justification.clone(),
        policy,
        steps,
        price_hash: price.price_hash.clone(),
    };
    let mut events = Vec::new();
    if submitted.steps.is_empty() {
        let approval_hash = canonical::hash(&(&submitted.policy, &price.price_hash));
        events.push(QuoteEvent::QuoteSubmittedForApproval(submitted));
        let requested_by = ctx.meta.claims.actor_id.clone();
        events.push(QuoteEvent::QuoteApproved(QuoteApproved { approval_request_id, requested_by, approval_hash }));
    } else {
        events.push(QuoteEvent::QuoteSubmittedForApproval(submitted));
    }
    applied(events, Applied::default())
}

pub(super) fn withdraw(quote: &Quote, command: &WithdrawApproval, ctx: &Context) -> Decided {
    let me = &ctx.meta.claims.actor_id;
    if let Phase::PendingApproval { approval, .. } = &quote.phase
        && approval.requested_by != *me
    {
        return Err(Rejection::new(
            ErrorCode::Forbidden,
            format!("Only {}, who submitted the quote, may withdraw the submission.", approval.requested_by),
        ));
    }
    check_revision(quote, command.quote_revision, ctx)?;
    let (approval, _) = pending(quote)?;
    let withdrawn = QuoteApprovalWithdrawn {
        approval_request_id: approval.approval_request_id.clone(),
        withdrawn_by: me.clone(),
        reason_code: command.reason_code.clone(),
    };
    applied(vec![QuoteEvent::QuoteApprovalWithdrawn(withdrawn)], Applied::default())
}

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
    let (approval, level) = task_step(quote, &command.task_id)?;
    four_eyes(quote, approval, ctx)?;
    if step_at(approval, level)?.status.is_decided() {
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

pub(super) fn claim(quote: &Quote, task: &TaskId, ctx: &Context) -> Decided {
    let (approval, level) = task_step(quote, task)?;
    four_eyes(quote, approval, ctx)?;
    let step = step_at(approval, level)?;
    if step.status.is_decided() {
        return Err(task_completed(task));
    }
    eligible(approval, step, ctx)?;
    ctx.meta.check_precondition(&format!("quote {}", quote.quote_id), quote.revision)?;
    check_alive(quote, ctx.now)?;
    let (approval, _) = running(quote)?;
    match &step.assignee {
        Some(assignee) if *assignee == ctx.meta.claims.actor_id => {
            return applied(Vec::new(), Applied::about(task.as_str()));
        }
        Some(assignee) => return Err(claimed_by(task, assignee.as_str())),
        None => {}
    }
    let claimed = QuoteApprovalStepClaimed {
        approval_request_id: approval.approval_request_id.clone(),
        level,
        assignee: ctx.meta.claims.actor_id.clone(),
    };
    applied(vec![QuoteEvent::QuoteApprovalStepClaimed(claimed)], Applied::about(task.as_str()))
}

pub(super) fn unclaim(quote: &Quote, task: &TaskId, ctx: &Context) -> Decided {
    let (approval, level) = task_step(quote, task)?;
    let step = step_at(approval, level)?;
    if step.status.is_decided() {
        return Err(task_completed(task));
    }
    ctx.meta.check_precondition(&format!("quote {}", quote.quote_id), quote.revision)?;
    check_alive(quote, ctx.now)?;
    let (approval, _) = running(quote)?;
    match &step.assignee {
        None => return applied(Vec::new(), Applied::about(task.as_str())),
        Some(assignee) if *assignee != ctx.meta.claims.actor_id => return Err(claimed_by(task, assignee.as_str())),
        Some(_) => {}
    }
    let released = QuoteApprovalStepReleased {
        approval_request_id: approval.approval_request_id.clone(),
        level,
        released_by: ctx.meta.claims.actor_id.clone(),
    };
    applied(vec![QuoteEvent::QuoteApprovalStepReleased(released)], Applied::about(task.as_str()))
}

/// The bridge reports that the engine runs the approval. Late or repeated reports change nothing.
pub(super) fn started(quote: &Quote, command: &RecordApprovalStarted) -> Decided {
    match &quote.phase {
        Phase::PendingApproval { approval, .. }
            if approval.approval_request_id == command.approval_request_id
                && approval.process_instance_id.is_none() =>
        {
            let started = QuoteApprovalStarted {
                approval_request_id: command.approval_request_id.clone(),
                process_instance_id: command.process_instance_id.clone(),
            };
            applied(vec![QuoteEvent::QuoteApprovalStarted(started)], Applied::default())
        }
        _ => applied(Vec::new(), Applied::default()),
    }
}

/// The engine's timer says that a step's SLA has passed. Late or repeated reports change nothing.
pub(super) fn escalate(quote: &Quote, command: &EscalateApprovalStep) -> Decided {
    let step = match &quote.phase {
        Phase::PendingApproval { approval, .. } if approval.approval_request_id == command.approval_request_id => {
            approval.steps.iter().find(|s| s.level == command.level && s.status.is_open() && !s.escalated)
        }
        _ => None,
    };
    let events = step.map(|step| {
        QuoteEvent::QuoteApprovalEscalated(QuoteApprovalEscalated {
            approval_request_id: command.approval_request_id.clone(),
            level: step.level,
            escalated_to: step.escalate_to,
        })
    });
    applied(events.into_iter().collect(), Applied::default())
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
    quote: &Quote,
    approval: &'a Approval,
    price: &PricedOffer,
    task: Option<&TaskId>,
    ctx: &Context,
) -> Result<(&'a ApprovalStep, AuthoritySnapshot), Rejection> {
    four_eyes(quote, approval, ctx)?;
    let step = match task {
        Some(task) => {
            let (request, level) = task.approval_parts().ok_or_else(|| task_not_found(task))?;
            let level = ApprovalLevel::parse(level).ok_or_else(|| task_not_found(task))?;
            if request != approval.approval_request_id {
                return Err(task_not_found(task));
            }
            step_at(approval, level)?
        }
        None => only_open_step(approval, ctx)?,
    };
    let authority = eligible(approval, step, ctx)?;
    within_limits(price, quote, &authority, step, ctx).map(|authority| (step, authority))
}

/// Where the caller names no task: the one open step they hold or may decide.
fn only_open_step<'a>(approval: &'a Approval, ctx: &Context) -> Result<&'a ApprovalStep, Rejection> {
    let mine: Vec<_> = approval.steps.iter().filter(|s| eligible(approval, s, ctx).is_ok()).collect();
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

/// The caller's authorities for this step: role and validity, an open step, and one step per actor.
fn eligible<'a>(approval: &Approval, step: &ApprovalStep, ctx: &Context<'a>) -> Result<Vec<&'a Approver>, Rejection> {
    let me = &ctx.meta.claims.actor_id;
    let mut levels = vec![step.level];
    if step.escalated {
        levels.push(step.escalate_to);
    }
    let found: Vec<_> = ctx
        .authorities
        .iter()
        .filter(|a| a.actor_id == *me && within(ctx.now, Some(a.valid_from), a.valid_to))
        .filter(|a| a.roles.iter().any(|role| levels.contains(role)))
        .collect();
    if found.is_empty() {
        return Err(not_eligible(&format!("You hold no valid authority as {}.", step.level)));
    }
    if approval.steps.iter().any(|s| s.level != step.level && s.decision.as_ref().is_some_and(|d| d.decided_by == *me))
    {
        return Err(not_eligible("You have decided another step of this approval; one actor decides one step only."));
    }
    if !step.status.is_open() {
        return Err(not_eligible(&format!("The step {} is not open.", step.level)));
    }
    Ok(found)
}

/// The first authority whose limits cover the price. Limits are inclusive.
fn within_limits(
    price: &PricedOffer,
    quote: &Quote,
    authorities: &[&Approver],
    step: &ApprovalStep,
    ctx: &Context,
) -> Result<AuthoritySnapshot, Rejection> {
    let covering = authorities.iter().find(|a| {
        a.currency == quote.currency
            && price.price.effective_discount_percent <= a.max_discount_percent
            && price.price.total_amount <= a.max_total_amount
    });
    let Some(authority) = covering else {
        return Err(Rejection::new(
            ErrorCode::ApprovalAuthorityExceeded,
            format!(
                "A discount of {} % on {} {} is beyond your authority as {}: ask an approver with higher limits.",
                price.price.effective_discount_percent, price.price.total_amount, quote.currency, step.level
            ),
        ));
    };
    Ok(AuthoritySnapshot {
        actor_id: ctx.meta.claims.actor_id.clone(),
        role: step.level,
        max_discount_percent: authority.max_discount_percent,
        max_total_amount: authority.max_total_amount,
        currency: authority.currency,
        valid_from: authority.valid_from,
        valid_to: authority.valid_to,
    })
}

fn four_eyes(quote: &Quote, approval: &Approval, ctx: &Context) -> Result<(), Rejection> {
    let me = &ctx.meta.claims.actor_id;
    if ctx.tenant.four_eyes && (approval.requested_by == *me || quote.sales_owner_id == *me) {
        return Err(Rejection::new(
            ErrorCode::FourEyesViolation,
            "Who requested an approval or owns the quote may not decide it: ask another approver.",
        ));
    }
    Ok(())
}

/// The open approval and the price it rests on.
fn pending(quote: &Quote) -> Result<(&Approval, &PricedOffer), Rejection> {
    let refuse = |detail: String| Rejection::new(ErrorCode::QuoteNotPendingApproval, detail);
    match &quote.phase {
        Phase::PendingApproval { approval, price, .. } => Ok((approval, price)),
        _ => Err(refuse(format!("Quote {} is {} and has no open approval.", quote.quote_id, quote.status()))),
    }
}

/// As [`pending`], once the engine runs the approval.
fn running(quote: &Quote) -> Result<(&Approval, &PricedOffer), Rejection> {
    let (approval, price) = pending(quote)?;
    if approval.process_instance_id.is_none() {
        return Err(Rejection::new(
            ErrorCode::QuoteNotPendingApproval,
            format!("The approval workflow of quote {} has not started yet: try again shortly.", quote.quote_id),
        )
        .retryable());
    }
    Ok((approval, price))
}

/// The approval and level that a task's id names, if this quote's approval is that one.
fn task_step<'a>(quote: &'a Quote, task: &TaskId) -> Result<(&'a Approval, ApprovalLevel), Rejection> {
    let (request, level) = task.approval_parts().ok_or_else(|| task_not_found(task))?;
    let level = ApprovalLevel::parse(level).ok_or_else(|| task_not_found(task))?;
    let approval = quote.approval().filter(|a| a.approval_request_id == request).ok_or_else(|| task_not_found(task))?;
    step_at(approval, level).map_err(|_| task_not_found(task))?;
    Ok((approval, level))
}

fn step_at(approval: &Approval, level: ApprovalLevel) -> Result<&ApprovalStep, Rejection> {
    approval
        .steps
        .iter()
        .find(|step| step.level == level)
        .ok_or_else(|| task_not_found(&TaskId::approval(&approval.approval_request_id, level.as_str())))
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

fn not_eligible(detail: &str) -> Rejection {
    Rejection::new(ErrorCode::NotEligibleApprover, detail)
}

fn claimed_by(task: &TaskId, assignee: &str) -> Rejection {
    Rejection::new(ErrorCode::TaskClaimed, format!("Task {task} is claimed by {assignee}: ask them to unclaim it."))
}

fn task_completed(task: &TaskId) -> Rejection {
    Rejection::new(ErrorCode::TaskAlreadyCompleted, format!("Task {task} has been decided already."))
}

pub(super) fn task_not_found(task: &TaskId) -> Rejection {
    Rejection::new(ErrorCode::TaskNotFound, format!("There is no task {task} in this tenant."))
}
