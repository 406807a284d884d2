//! What the engine is still owed after a decision that was made elsewhere: a user task to complete, an approval
//! or a fulfilment to end. Each duty is settled idempotently and stays until the engine has followed.

use crate::bridge::{Bridge, DUTIES};
use crate::engine::{EngineError, Message, MessageTarget, UserTaskQuery, Variables};
use crate::process::{About, Process};
use crate::workers::compensate::{self, Progress};
use cpq_domain::ids::{TaskId, TenantId};
use cpq_domain::order::OrderCommand;
use cpq_domain::order::command::RecordFulfilmentCancelled;
use cpq_domain::quote::command::Verdict;
use cpq_domain::workflow::{
    CancelFulfilment, CompleteApprovalStep, EndApproval, StartApproval, UserTaskCompleted, WorkflowEvent,
};
use cpq_runtime::telemetry::{TraceContext, join};
use cpq_state_stores::workflow::{self, Duty, InstanceStatus};
use cpq_state_stores::{StoreError, Tx};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info, warn};

/// Body: [`CompleteApprovalStep`].
pub const COMPLETE_USER_TASK: &str = "COMPLETE_USER_TASK";
/// Body: [`EndApproval`].
pub const END_APPROVAL: &str = "END_APPROVAL";
/// Body: [`CancelFulfilment`].
pub const CANCEL_FULFILMENT: &str = "CANCEL_FULFILMENT";
const KINDS: &[&str] = &[COMPLETE_USER_TASK, END_APPROVAL, CANCEL_FULFILMENT];

/// Duties that are settled at once.
const CONCURRENCY: usize = 8;
/// How long a claimed duty is ours. One that takes longer may be settled twice, which changes nothing.
const LEASE_SECONDS: f64 = 20.0;
/// Pause before the engine is looked at again: at first it is only a moment behind.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What has become of a duty.
enum Settled {
    /// The engine has followed, or need not any more.
    Done,
    /// It cannot follow yet.
    NotYet(String),
}

/// Why a duty could not be settled.
#[derive(Debug, thiserror::Error)]
enum DutyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Settles duties until shutdown; then finishes what is in hand.
pub async fn run(bridge: Arc<Bridge>, shutdown: CancellationToken) {
    let wake = bridge.wake.handle(DUTIES);
    while !shutdown.is_cancelled() {
        let claimed = match claim(&bridge).await {
            Ok(duties) => duties,
            Err(error) => {
                warn!(%error, "duties were not read");
                Vec::new()
            }
        };
        if claimed.is_empty() {
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = wake.notified() => {}
                () = tokio::time::sleep(bridge.timing.sweep) => {}
            }
            continue;
        }
        // The next of a business key can only be claimed once this one is settled.
        let mut working = JoinSet::new();
        for duty in claimed {
            let bridge = bridge.clone();
            working.spawn(async move { attend(&bridge, duty).await });
        }
        while working.join_next().await.is_some() {}
    }
}

async fn claim(bridge: &Bridge) -> Result<Vec<Duty>, StoreError> {
    let mut tx = bridge.db.begin_system().await?;
    let limit = i64::try_from(CONCURRENCY).unwrap_or(i64::MAX);
    let duties = workflow::claim_duties(&mut tx, KINDS, None, LEASE_SECONDS, limit).await?;
    tx.commit().await?;
    Ok(duties)
}

async fn attend(bridge: &Bridge, duty: Duty) {
    let span = tracing::info_span!(
        "duty",
        kind = duty.kind,
        duty = duty.duty_id,
        tenant_id = duty.tenant_id,
        business_key = duty.business_key,
        actor_id = crate::bridge::SENDER,
        correlation_id = tracing::field::Empty,
        trace_id = tracing::field::Empty,
        span_id = tracing::field::Empty,
    );
    async {
        let result = settle(bridge, &duty).await;
        let (label, reason) = match result {
            Ok(Settled::Done) => ("done", None),
            Ok(Settled::NotYet(reason)) => ("notYet", Some(reason)),
            Err(error) => ("failed", Some(error.to_string())),
        };
        metrics::counter!("cpq_bridge_duties_total", "kind" => duty.kind.clone(), "outcome" => label).increment(1);
        let Some(reason) = reason else { return };
        let pause = pause(duty.attempts);
        info!(reason, attempts = duty.attempts, seconds = pause.as_secs_f64(), "the duty is put off");
        if let Err(error) = put_off(bridge, &duty, &reason, pause).await {
            warn!(%error, "a duty was not put off; it is due again when its lease ends");
        }
    }
    .instrument(span)
    .await;
}

fn pause(attempts: i32) -> Duration {
    let doublings = u32::try_from(attempts.clamp(1, 16)).unwrap_or(1) - 1;
    (FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE)
}

async fn put_off(bridge: &Bridge, duty: &Duty, reason: &str, pause: Duration) -> Result<(), StoreError> {
    let mut tx = begin(bridge, duty).await?;
    workflow::put_off_duty(&mut tx, duty, reason, pause.as_secs_f64()).await?;
    tx.commit().await
}

async fn begin(bridge: &Bridge, duty: &Duty) -> Result<Tx, StoreError> {
    bridge.db.begin(&[TenantId::from(duty.tenant_id.as_str())]).await
}

async fn finish(bridge: &Bridge, duty: &Duty) -> Result<Settled, StoreError> {
    let mut tx = begin(bridge, duty).await?;
    workflow::finish_duty(&mut tx, duty).await?;
    workflow::look_soon(&mut tx, &duty.tenant_id, &duty.business_key).await?;
    tx.commit().await?;
    Ok(Settled::Done)
}

async fn settle(bridge: &Bridge, duty: &Duty) -> Result<Settled, DutyError> {
    let Some(process) = bridge.process(&TenantId::from(duty.tenant_id.as_str()), &duty.business_key).await? else {
        // Commands of one key come in order, so that the start was here before: it was never asked for.
        warn!("a duty of a process that nobody asked for is dropped");
        return Ok(finish(bridge, duty).await?);
    };
    let span = tracing::Span::current();
    span.record("correlation_id", process.correlation_id.as_str());
    join(&span, process.traceparent.as_deref().and_then(TraceContext::parse).as_ref());
    match duty.kind.as_str() {
        COMPLETE_USER_TASK => complete_user_task(bridge, duty, &process).await,
        END_APPROVAL => end_approval(bridge, duty, &process).await,
        _ => cancel_fulfilment(bridge, duty, &process).await,
    }
}

fn body<T: DeserializeOwned>(duty: &Duty) -> Result<T, StoreError> {
    serde_json::from_value(duty.body.clone()).map_err(|e| StoreError::corrupt(&format!("duty {}", duty.duty_id), e))
}

fn cause(duty: &Duty) -> &str {
    &duty.duty_id
}

async fn complete_user_task(bridge: &Bridge, duty: &Duty, process: &Process) -> Result<Settled, DutyError> {
    let decided: CompleteApprovalStep = body(duty)?;
    let About::Approval(start) = &process.about else { return Ok(finish(bridge, duty).await?) };
    let Some(instance) = process.admitted_instance_id.as_deref() else {
        return Ok(match process.status {
            InstanceStatus::Ended => finish(bridge, duty).await?,
            _ => Settled::NotYet("no instance is admitted yet".to_owned()),
        });
    };
    let task_id = TaskId::approval(&start.approval_request_id, decided.level.as_str());
    let query = UserTaskQuery {
        process_instance_id: Some(instance),
        task_id: Some(task_id.as_str()),
        ..UserTaskQuery::default()
    };
    let decision = verdict(decided.decision);
    if let Some(task) = bridge.engine.user_tasks(&query).await?.first() {
        let variables = Variables::new().with_text("decision", decision)?;
        match bridge.engine.complete_task(&task.id, &variables).await {
            // Gone in between: completed by another of us, or ended with its instance.
            Ok(()) | Err(EngineError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        return Ok(completed(bridge, duty, process, start, &decided, instance).await?);
    }
    match bridge.engine.ended_user_task(instance, task_id.as_str()).await? {
        Some(task) if task.was_completed() => {
            report_foreign_completion(bridge, duty, process, &decided, instance).await?;
            Ok(completed(bridge, duty, process, start, &decided, instance).await?)
        }
        Some(_) => Ok(finish(bridge, duty).await?),
        None if bridge.engine.process_instance(instance).await?.is_none() => {
            info!("the instance has ended without this task");
            Ok(finish(bridge, duty).await?)
        }
        None => Ok(Settled::NotYet("the engine has not opened the task yet".to_owned())),
    }
}

fn verdict(decision: Verdict) -> &'static str {
    match decision {
        Verdict::Approve => "APPROVE",
        Verdict::Reject => "REJECT",
    }
}

async fn completed(
    bridge: &Bridge,
    duty: &Duty,
    process: &Process,
    start: &StartApproval,
    decided: &CompleteApprovalStep,
    instance: &str,
) -> Result<Settled, StoreError> {
    let mut work = bridge.begin(&process.tenant_id).await?;
    let event = UserTaskCompleted {
        quote_id: start.quote_id.clone(),
        approval_request_id: start.approval_request_id.clone(),
        task_id: TaskId::approval(&start.approval_request_id, decided.level.as_str()),
        level: decided.level,
        process_instance_id: instance.to_owned(),
        decision: decided.decision,
    };
    let fact = completed_fact(decided);
    work.publish(process, cause(duty), &fact, WorkflowEvent::UserTaskCompleted(event)).await?;
    workflow::finish_duty(&mut work.tx, duty).await?;
    workflow::look_soon(&mut work.tx, process.tenant_id.as_str(), &process.business_key).await?;
    work.commit().await?;
    Ok(Settled::Done)
}

fn completed_fact(decided: &CompleteApprovalStep) -> String {
    format!("UserTaskCompleted/{}", decided.level)
}

/// A task that was completed before we first tried was completed behind our back. That changes no truth, but it
/// is reported, and an instance that goes on where the quote was rejected is ended.
async fn report_foreign_completion(
    bridge: &Bridge,
    duty: &Duty,
    process: &Process,
    decided: &CompleteApprovalStep,
    instance: &str,
) -> Result<(), DutyError> {
    let mut tx = begin(bridge, duty).await?;
    let facts = workflow::facts(&mut tx, process.tenant_id.as_str(), &process.business_key).await?;
    tx.commit().await?;
    let ours = duty.attempts > 1 || facts.iter().any(|known| known.fact == completed_fact(decided));
    if ours {
        return Ok(());
    }
    warn!(level = %decided.level, instance, "ALERT: a user task was completed in the engine behind our back");
    metrics::counter!("cpq_bridge_alerts_total", "kind" => "foreign-completion").increment(1);
    if decided.decision == Verdict::Reject {
        match send(bridge, "ApprovalEnded", instance).await {
            Ok(()) | Err(EngineError::NotCorrelated { .. } | EngineError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn send(bridge: &Bridge, name: &str, instance: &str) -> Result<(), EngineError> {
    let message = Message {
        name,
        target: MessageTarget::Instance(instance),
        local_correlation_keys: Variables::new(),
        variables: Variables::new(),
    };
    bridge.engine.correlate(&message).await
}

async fn end_approval(bridge: &Bridge, duty: &Duty, process: &Process) -> Result<Settled, DutyError> {
    let end: EndApproval = body(duty)?;
    let mut work = bridge.begin(&process.tenant_id).await?;
    let (tenant, key) = (process.tenant_id.as_str(), process.business_key.as_str());
    if process.status == InstanceStatus::Ended
        || workflow::end_unadmitted(&mut work.tx, tenant, key, &end.reason).await?
    {
        // An instance that starts yet is not admitted any more.
        workflow::finish_duty(&mut work.tx, duty).await?;
        work.commit().await?;
        return Ok(Settled::Done);
    }
    work.tx.rollback().await?;
    let Some(instance) = process.admitted_instance_id.as_deref() else {
        return Ok(Settled::NotYet("an instance was admitted this moment".to_owned()));
    };
    match send(bridge, "ApprovalEnded", instance).await {
        Ok(()) => {}
        Err(EngineError::NotCorrelated { .. }) if bridge.engine.process_instance(instance).await?.is_some() => {
            return Ok(Settled::NotYet("the instance does not take the message yet".to_owned()));
        }
        Err(EngineError::NotCorrelated { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let mut work = bridge.begin(&process.tenant_id).await?;
    workflow::mark_ended(&mut work.tx, tenant, key, &end.reason).await?;
    workflow::finish_duty(&mut work.tx, duty).await?;
    work.commit().await?;
    Ok(Settled::Done)
}

async fn cancel_fulfilment(bridge: &Bridge, duty: &Duty, process: &Process) -> Result<Settled, DutyError> {
    let cancel: CancelFulfilment = body(duty)?;
    let mut work = bridge.begin(&process.tenant_id).await?;
    let (tenant, key) = (process.tenant_id.as_str(), process.business_key.as_str());
    if workflow::end_unadmitted(&mut work.tx, tenant, key, &cancel.reason_code).await? {
        // No instance was admitted, and none will be: there is nothing to undo.
        let report = RecordFulfilmentCancelled { plan_version: cancel.plan_version };
        let once = format!("{key}:cancelled");
        work.tell_order(process, cause(duty), once, OrderCommand::RecordFulfilmentCancelled(report))?;
        workflow::finish_duty(&mut work.tx, duty).await?;
        work.commit().await?;
        return Ok(Settled::Done);
    }
    work.tx.rollback().await?;
    let Some(instance) = process.admitted_instance_id.as_deref() else {
        return Ok(Settled::NotYet("an instance was admitted this moment".to_owned()));
    };
    match send(bridge, "OrderCancellationRequested", instance).await {
        Ok(()) => Ok(finish(bridge, duty).await?),
        // A running instance takes the message once: it has it already.
        Err(EngineError::NotCorrelated { .. }) if bridge.engine.process_instance(instance).await?.is_some() => {
            Ok(finish(bridge, duty).await?)
        }
        // It ended before it heard of the cancellation, which had been granted all the same.
        Err(EngineError::NotCorrelated { .. }) => compensate_ended(bridge, duty, process).await,
        Err(error) => Err(error.into()),
    }
}

async fn compensate_ended(bridge: &Bridge, duty: &Duty, process: &Process) -> Result<Settled, DutyError> {
    let last_try = u32::try_from(duty.attempts).unwrap_or(u32::MAX) > bridge.timing.attempts;
    match compensate::run(bridge, process, &duty.duty_id, cause(duty), last_try).await? {
        Progress::Ended => Ok(finish(bridge, duty).await?),
        Progress::Settling(_) => Ok(Settled::NotYet("a call may still take effect".to_owned())),
        Progress::Failed(reason) => Ok(Settled::NotYet(reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_bound() {
        assert_eq!(pause(1), FIRST_PAUSE);
        assert_eq!(pause(2), FIRST_PAUSE * 2);
        assert_eq!(pause(i32::MAX), LONGEST_PAUSE);
    }
}
