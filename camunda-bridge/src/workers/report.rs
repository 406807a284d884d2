//! Where a task stands, and telling the engine what came of it: races are tried again, a task that somebody
//! else has or that is gone is left alone.

use super::{Outcome, Topic};
use crate::bridge::Bridge;
use crate::engine::{
    BpmnError, Completion, EngineError, ExternalTask, ExternalTaskQuery, Failure, Variables, WorkerId,
};
use crate::incidents;
use crate::process::Process;
use cpq_domain::ids::TenantId;
use cpq_runtime::backoff::Backoff;
use cpq_runtime::telemetry::{TraceContext, join};
use cpq_state_stores::StoreError;
use std::sync::Arc;
use std::time::Duration;
use tracing::{Span, error, info, warn};

/// How often the engine is told before the task is left to its lock's end.
const TELL_TRIES: u32 = 12;
/// The pause between tries grows threefold at most so many times.
const MAX_PAUSE_STEPS: u32 = 6;

/// A task with its process.
pub struct Place<'a> {
    pub task: &'a ExternalTask,
    pub process: Process,
    /// Whether a failure now would use up the last try.
    pub last_try: bool,
}

impl Place<'_> {
    /// What commands and facts name as their cause.
    pub fn cause(&self) -> String {
        format!("task-{}", self.task.id)
    }
}

/// The process that a task belongs to, as the ledger has it.
pub async fn place<'a>(bridge: &Bridge, task: &'a ExternalTask) -> Result<Option<Place<'a>>, StoreError> {
    let (Some(tenant), Some(key)) = (task.variables.text("tenantId"), task.business_key.as_deref()) else {
        return Ok(None);
    };
    let Some(process) = bridge.process(&TenantId::from(tenant), key).await? else { return Ok(None) };
    let span = Span::current();
    span.record("correlation_id", process.correlation_id.as_str());
    join(&span, process.traceparent.as_deref().and_then(TraceContext::parse).as_ref());
    let last_try = left(bridge, task) == 0;
    Ok(Some(Place { task, process, last_try }))
}

/// The tries that are left after this one fails.
fn left(bridge: &Bridge, task: &ExternalTask) -> u32 {
    tries(bridge, task).saturating_sub(1)
}

fn tries(bridge: &Bridge, task: &ExternalTask) -> u32 {
    task.retries.and_then(|retries| u32::try_from(retries).ok()).unwrap_or(bridge.timing.attempts)
}

/// The pause before the next try: three times as long after each.
fn retry_pause(bridge: &Bridge, task: &ExternalTask) -> Duration {
    let failed_before = bridge.timing.attempts.saturating_sub(tries(bridge, task));
    bridge.timing.retry_pause * 3_u32.pow(failed_before.min(MAX_PAUSE_STEPS))
}

/// Tells the engine what came of a task.
pub async fn tell(bridge: &Bridge, worker: &WorkerId, task: &ExternalTask, topic: &Topic, outcome: &Outcome) {
    log(task, outcome);
    let label = match outcome {
        Outcome::Done(_) => "done",
        Outcome::Refused { .. } => "refused",
        Outcome::Later { .. } => "later",
        Outcome::Failed { .. } => "failed",
    };
    metrics::counter!("cpq_bridge_tasks_total", "topic" => topic.name, "outcome" => label).increment(1);
    let mut backoff = Backoff::default();
    for _ in 0..TELL_TRIES {
        match send(bridge, worker, task, outcome).await {
            Ok(()) => return,
            // Completed before, interrupted, or its instance has ended; or another worker has it now.
            Err(EngineError::NotFound { .. } | EngineError::LockLost { .. }) => {
                info!("the task is no longer ours; what was done is recorded");
                return;
            }
            Err(error) if error.is_transient() => {
                metrics::counter!("cpq_bridge_engine_errors_total", "call" => "task").increment(1);
                tokio::time::sleep(backoff.pause()).await;
            }
            Err(error) if matches!(outcome, Outcome::Later { .. }) => {
                warn!(%error, "the task is left to the end of its lock");
                return;
            }
            Err(error) => {
                error!(%error, "the engine refuses the outcome of a task");
                let refused = format!("the engine refused the outcome: {error}");
                let failed = Outcome::Failed { message: refused };
                if let Err(error) = send(bridge, worker, task, &failed).await {
                    warn!(%error, "the task is left to the end of its lock");
                }
                return;
            }
        }
    }
    warn!("the engine could not be told; the task is left to the end of its lock");
}

fn log(task: &ExternalTask, outcome: &Outcome) {
    match outcome {
        Outcome::Done(_) => info!("task done"),
        Outcome::Refused { code, message } => warn!(code, message, "task refused"),
        Outcome::Later { reason, .. } => tracing::debug!(reason, "task put off"),
        Outcome::Failed { message } => warn!(message, retries = task.retries, "task failed"),
    }
}

async fn send(bridge: &Bridge, worker: &WorkerId, task: &ExternalTask, outcome: &Outcome) -> Result<(), EngineError> {
    let engine = &bridge.engine;
    match outcome {
        Outcome::Done(variables) => {
            let completion = Completion { variables: variables.clone(), ..Completion::default() };
            engine.complete_external_task(&task.id, worker, &completion).await
        }
        Outcome::Refused { code, message } => {
            if !engine.catches(&task.process_definition_id, &task.activity_id, code).await? {
                return refuse_uncaught(bridge, worker, task, code, message).await;
            }
            let error = BpmnError { code, message, variables: Variables::new() };
            engine.handle_bpmn_error(&task.id, worker, &error).await
        }
        // Kept for the pause, and handed out again when the lock ends: no try is used, and no failure is recorded.
        Outcome::Later { pause, .. } => engine.extend_lock(&task.id, worker, *pause).await,
        Outcome::Failed { message } => {
            fail(bridge, worker, task, message, left(bridge, task), retry_pause(bridge, task)).await
        }
    }
}

/// An error that this version of the model does not catch would pass for work that is done. It becomes an incident
/// instead, at once: trying again would not help.
async fn refuse_uncaught(
    bridge: &Bridge,
    worker: &WorkerId,
    task: &ExternalTask,
    code: &str,
    message: &str,
) -> Result<(), EngineError> {
    let message = format!("{code}: {message} (the model does not know this error)");
    fail(bridge, worker, task, &message, 0, Duration::ZERO).await?;
    error!(
        code,
        definition = task.process_definition_id,
        activity = task.activity_id,
        "ALERT: the model does not know a BPMN error"
    );
    metrics::counter!("cpq_bridge_alerts_total", "kind" => "unknown-bpmn-error").increment(1);
    Ok(())
}

async fn fail(
    bridge: &Bridge,
    worker: &WorkerId,
    task: &ExternalTask,
    message: &str,
    retries: u32,
    retry_after: Duration,
) -> Result<(), EngineError> {
    let details = incidents::details(task.variables.text("fulfillmentStepId"));
    let failure = Failure { message, details: &details, retries, retry_after };
    bridge.engine.handle_failure(&task.id, worker, &failure).await
}

/// Extends the lock of a task until it is lost or nobody needs it any more.
pub async fn keep_lock(bridge: Arc<Bridge>, worker: WorkerId, task: String) {
    loop {
        tokio::time::sleep(bridge.timing.lock / 2).await;
        match bridge.engine.extend_lock(&task, &worker, bridge.timing.lock).await {
            Ok(()) => {}
            Err(EngineError::NotFound { .. } | EngineError::LockLost { .. }) => return,
            Err(error) => warn!(task, %error, "a lock was not extended"),
        }
    }
}

/// Unlocks what was fetched for this worker and never worked on: a request for work that was given up may have
/// been answered.
pub async fn give_back(bridge: &Bridge, worker: &WorkerId) {
    let query = ExternalTaskQuery { worker_id: Some(worker.as_str()), ..ExternalTaskQuery::default() };
    let tasks = match bridge.engine.external_tasks(&query).await {
        Ok(tasks) => tasks,
        Err(error) => {
            warn!(%error, "what was fetched last stays locked until its lock ends");
            return;
        }
    };
    for task in tasks {
        if let Err(error) = bridge.engine.unlock(&task.id).await {
            warn!(task = task.id, %error, "a task stays locked until its lock ends");
        }
    }
}
