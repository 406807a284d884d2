//! External-task workers: one loop per group fetches and locks, each task is worked on by its topic's handler,
//! and what comes of it is told to the engine. A task is done in the ledger before the engine hears of it, so
//! that a crash in between only makes the handler find its work done.

mod admit;
mod approval;
pub mod compensate;
mod plan;
mod report;
mod step;

pub use approval::groups;
pub use step::OUTCOME_UNKNOWN;

use crate::bridge::Bridge;
use crate::engine::{ExternalTask, FetchAndLock, TopicSubscription, Variables, WorkerId};
use cpq_runtime::backoff::Backoff;
use cpq_state_stores::StoreError;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, error, info, warn};

/// Tasks of the quick group that are worked on at once.
const QUICK_CONCURRENCY: usize = 8;
/// Pause before a task whose work met a database that was not there is tried again.
const STORE_PAUSE: Duration = Duration::from_secs(2);

/// What a handler has come to.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The process goes on with these variables.
    Done(Variables),
    /// The business said no, by a code that the model catches.
    Refused { code: &'static str, message: String },
    /// It is not its time yet: nothing is wrong, and no try is used up.
    Later { pause: Duration, reason: String },
    /// A technical failure: one try is used up.
    Failed { message: String },
}

impl Outcome {
    /// Done, with nothing to hand on.
    pub fn done() -> Self {
        Self::Done(Variables::new())
    }
    pub fn later(pause: Duration, reason: impl Into<String>) -> Self {
        Self::Later { pause, reason: reason.into() }
    }
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed { message: message.into() }
    }
}

/// What a task's work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Admit,
    OpenApprovalGroup,
    EscalateApprovalStep,
    PlanLine,
    AwaitDependencies,
    RaiseFallout,
    Step,
    CompensateOrder,
}

/// A topic, its work, and the variables that it needs.
pub struct Topic {
    pub name: &'static str,
    pub work: Work,
    pub variables: &'static [&'static str],
}

const fn topic(name: &'static str, work: Work, variables: &'static [&'static str]) -> Topic {
    Topic { name, work, variables }
}

/// Work that only the database does.
pub const QUICK: &[Topic] = &[
    topic("admit", Work::Admit, &["tenantId"]),
    topic("open-approval-group", Work::OpenApprovalGroup, &["tenantId", "loopCounter"]),
    topic("escalate-approval-step", Work::EscalateApprovalStep, &["tenantId", "level"]),
    topic("plan-line", Work::PlanLine, &["tenantId", "lineIndex"]),
    topic("await-dependencies", Work::AwaitDependencies, &["tenantId", "lineNumber"]),
    topic("raise-fallout", Work::RaiseFallout, &["tenantId", "fulfillmentStepId", "falloutCode"]),
];

/// Work that calls other systems.
pub const SLOW: &[Topic] = &[
    topic("reserve-inventory", Work::Step, &["tenantId", "fulfillmentStepId"]),
    topic("activate-service", Work::Step, &["tenantId", "fulfillmentStepId"]),
    topic("start-billing", Work::Step, &["tenantId", "fulfillmentStepId"]),
    topic("compensate-order", Work::CompensateOrder, &["tenantId"]),
];

/// Runs both groups until shutdown, then finishes what is in hand and gives back what was fetched too late.
pub async fn run(bridge: Arc<Bridge>, shutdown: CancellationToken) {
    let quick = group(bridge.clone(), "control", QUICK, QUICK_CONCURRENCY, shutdown.clone());
    let slow = group(bridge.clone(), "steps", SLOW, bridge.timing.concurrency, shutdown);
    tokio::join!(quick, slow);
}

async fn group(
    bridge: Arc<Bridge>,
    role: &'static str,
    topics: &'static [Topic],
    concurrency: usize,
    shutdown: CancellationToken,
) {
    let worker = WorkerId::unique(&format!("cpq-bridge-{role}"));
    let permits = Arc::new(Semaphore::new(concurrency));
    let mut working = JoinSet::new();
    let mut backoff = Backoff::default();
    info!(%worker, role, "working on external tasks");
    loop {
        let held = tokio::select! {
            () = shutdown.cancelled() => break,
            held = free_permits(&permits, concurrency) => held,
        };
        // Never dropped while it waits: the engine would lock tasks for a poll that nobody hears. It is short, and what
        // it brings during shutdown is given back below.
        let fetched = fetch(&bridge, &worker, topics, held.len()).await;
        if shutdown.is_cancelled() {
            break;
        }
        while working.try_join_next().is_some() {}
        match fetched {
            Ok(tasks) => {
                backoff.reset();
                for (task, permit) in tasks.into_iter().zip(held) {
                    let (bridge, worker) = (bridge.clone(), worker.clone());
                    working.spawn(async move {
                        attend(bridge, worker, task, topics).await;
                        drop(permit);
                    });
                }
            }
            Err(error) => {
                warn!(role, %error, "no work from the engine");
                metrics::counter!("cpq_bridge_engine_errors_total", "call" => "fetchAndLock").increment(1);
                tokio::select! {
                    () = shutdown.cancelled() => break,
                    () = tokio::time::sleep(backoff.pause()) => {}
                }
            }
        }
    }
    while working.join_next().await.is_some() {}
    report::give_back(&bridge, &worker).await;
}

/// At least one permit, and all others that are free.
async fn free_permits(permits: &Arc<Semaphore>, most: usize) -> Vec<OwnedSemaphorePermit> {
    let mut held: Vec<_> = permits.clone().acquire_owned().await.into_iter().collect();
    while held.len() < most
        && let Ok(permit) = permits.clone().try_acquire_owned()
    {
        held.push(permit);
    }
    held
}

async fn fetch(
    bridge: &Bridge,
    worker: &WorkerId,
    topics: &[Topic],
    most: usize,
) -> Result<Vec<ExternalTask>, crate::engine::EngineError> {
    let subscribe =
        |topic: &Topic| TopicSubscription::new(bridge.names.of(topic.name), bridge.timing.lock, topic.variables);
    let fetch = FetchAndLock {
        worker,
        max_tasks: u32::try_from(most).unwrap_or(u32::MAX),
        wait: bridge.timing.long_poll,
        topics: topics.iter().map(subscribe).collect(),
    };
    bridge.engine.fetch_and_lock(&fetch).await
}

/// Works on one task, keeps its lock meanwhile, and tells the engine.
async fn attend(bridge: Arc<Bridge>, worker: WorkerId, task: ExternalTask, topics: &'static [Topic]) {
    let name = bridge.names.ours(&task.topic_name).unwrap_or(&task.topic_name).to_owned();
    let Some(topic) = topics.iter().find(|topic| topic.name == name) else {
        error!(topic = name, "the engine handed out a task that nobody asked for");
        return;
    };
    let span = tracing::info_span!(
        "external task",
        topic = topic.name,
        task = task.id,
        process_instance_id = task.process_instance_id,
        tenant_id = task.variables.text("tenantId"),
        business_key = task.business_key,
        actor_id = crate::bridge::SENDER,
        correlation_id = tracing::field::Empty,
        trace_id = tracing::field::Empty,
        span_id = tracing::field::Empty,
    );
    let began = std::time::Instant::now();
    let keeper = tokio::spawn(report::keep_lock(bridge.clone(), worker.clone(), task.id.clone()));
    let work = {
        let (bridge, task) = (bridge.clone(), task.clone());
        // In a task of its own, so that a panic is a failed try and not a lost task.
        tokio::spawn(async move { handle(&bridge, &task, topic).await }.instrument(span.clone()))
    };
    let outcome = match work.await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => span.in_scope(|| failure(&error)),
        Err(panicked) => {
            span.in_scope(|| error!(%panicked, "a handler panicked"));
            Outcome::failed("the handler panicked")
        }
    };
    keeper.abort();
    metrics::histogram!("cpq_bridge_task_seconds", "topic" => topic.name).record(began.elapsed().as_secs_f64());
    report::tell(&bridge, &worker, &task, topic, &outcome).instrument(span).await;
}

fn failure(error: &StoreError) -> Outcome {
    if error.is_transient() {
        warn!(%error, "the database was not there; the task is tried again");
        return Outcome::later(STORE_PAUSE, error.to_string());
    }
    error!(%error, "a task could not be worked on");
    Outcome::failed(error.to_string())
}

async fn handle(bridge: &Bridge, task: &ExternalTask, topic: &Topic) -> Result<Outcome, StoreError> {
    let Some(at) = report::place(bridge, task).await? else {
        return Ok(match topic.work {
            Work::Admit => admit::refuse("nobody asked for this process"),
            _ => Outcome::failed("the ledger knows no process of this tenant and business key"),
        });
    };
    if topic.work != Work::Admit && at.process.admitted_instance_id.as_deref() != Some(&task.process_instance_id) {
        return Ok(Outcome::failed("this instance was never admitted"));
    }
    debug!(attempt = task.retries, "working");
    match topic.work {
        Work::Admit => admit::admit(bridge, &at).await,
        Work::OpenApprovalGroup => approval::open_group(bridge, &at).await,
        Work::EscalateApprovalStep => approval::escalate(bridge, &at).await,
        Work::PlanLine => plan::plan_line(bridge, &at).await,
        Work::AwaitDependencies => plan::await_dependencies(bridge, &at).await,
        Work::RaiseFallout => {
            // The order has raised its case already, by the report that came before the BPMN error; from here
            // the engine waits for the resolution.
            info!(step = task.variables.text("fulfillmentStepId"), "waiting for a fallout to be resolved");
            Ok(Outcome::done())
        }
        Work::Step => step::run(bridge, &at).await,
        Work::CompensateOrder => compensate::task(bridge, &at).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_of_the_models_has_its_worker_and_every_worker_its_topic() {
        let models =
            [include_str!("../../models/quote-approval.bpmn"), include_str!("../../models/order-fulfillment.bpmn")];
        let mut modelled: Vec<&str> = models
            .iter()
            .flat_map(|model| model.split("camunda:topic=\"").skip(1))
            .filter_map(|rest| rest.split('"').next())
            .collect();
        modelled.sort_unstable();
        modelled.dedup();
        let mut worked: Vec<&str> = QUICK.iter().chain(SLOW).map(|topic| topic.name).collect();
        worked.sort_unstable();
        assert_eq!(modelled, worked);
    }

    #[test]
    fn every_step_topic_has_its_system() {
        for topic in SLOW.iter().filter(|topic| topic.work == Work::Step) {
            assert!(crate::downstream::System::of_topic(topic.name).is_some(), "{}", topic.name);
        }
    }
}
