//! Process starts: one attempt row each, written before the engine is called. No answer means that the engine
//! is asked first; what runs there is adopted, and only if nothing does is the process started again. While the
//! engine is away, processes stay requested and nothing else waits for them.

use crate::bridge::{Bridge, STARTER};
use crate::engine::{EngineError, InstanceQuery, StartProcess, Variables};
use crate::process::{About, Process};
use crate::workers::groups;
use cpq_domain::canonical;
use cpq_runtime::backoff::Backoff;
use cpq_runtime::telemetry::{TraceContext, join};
use cpq_state_stores::attempts::{self, CallOutcome, NewAttempt};
use cpq_state_stores::{StoreError, Tx, workflow};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info, warn};

/// Starts in flight. The engine serves some 50–110 sequential calls a second.
const CONCURRENCY: usize = 8;
/// How long a start is ours: longer than its calls usually take. One that takes longer may be made twice, and
/// then only one instance is admitted.
const LEASE_SECONDS: f64 = 20.0;
/// Longest pause before a start that failed is tried again.
const LONGEST_PAUSE_SECONDS: f64 = 60.0;
/// Pause before a start whose outcome is unknown is looked into, so that one under way can arrive.
const UNKNOWN_PAUSE_SECONDS: f64 = 1.0;

/// As in `external_call_attempt`.
const SYSTEM: &str = "camunda";
const OPERATION: &str = "start-process";

/// Starts what is requested, until shutdown; then finishes what is in hand.
pub async fn run(bridge: Arc<Bridge>, shutdown: CancellationToken) {
    let wake = bridge.wake.handle(STARTER);
    let permits = Arc::new(Semaphore::new(CONCURRENCY));
    let engine_is_away = Arc::new(AtomicBool::new(false));
    let mut starting = JoinSet::new();
    loop {
        while starting.try_join_next().is_some() {}
        let found = round(&bridge, &permits, &engine_is_away, &mut starting).await;
        let more = match found {
            Ok(more) => more,
            Err(error) => {
                warn!(%error, "requested processes were not read");
                false
            }
        };
        if engine_is_away.load(Ordering::Relaxed) {
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = await_engine(&bridge) => engine_is_away.store(false, Ordering::Relaxed),
            }
        } else if !more {
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = wake.notified() => {}
                () = tokio::time::sleep(bridge.timing.sweep) => {}
            }
        }
        if shutdown.is_cancelled() {
            break;
        }
    }
    while starting.join_next().await.is_some() {}
}

/// Takes as many processes as there is room for; says whether there are probably more.
async fn round(
    bridge: &Arc<Bridge>,
    permits: &Arc<Semaphore>,
    engine_is_away: &Arc<AtomicBool>,
    starting: &mut JoinSet<()>,
) -> Result<bool, StoreError> {
    // Waits for room, so that nothing is claimed that cannot be begun.
    let Ok(first) = permits.clone().acquire_owned().await else { return Ok(false) };
    drop(first);
    let room = permits.available_permits().max(1);
    let mut tx = bridge.db.begin_system().await?;
    let claimed = workflow::claim_requested(&mut tx, LEASE_SECONDS, i64::try_from(room).unwrap_or(i64::MAX)).await?;
    tx.commit().await?;
    let more = claimed.len() == room;
    for row in claimed {
        let process = match Process::read(row) {
            Ok(process) => process,
            Err(error) => {
                tracing::error!(%error, "a requested process cannot be started");
                metrics::counter!("cpq_bridge_alerts_total", "kind" => "unreadable-request").increment(1);
                continue;
            }
        };
        let span = span(&process);
        let (bridge, away) = (bridge.clone(), engine_is_away.clone());
        let Ok(permit) = permits.clone().acquire_owned().await else { return Ok(false) };
        let work = async move {
            match start(&bridge, &process).await {
                Ok(Some(EngineError::Unavailable { .. })) => away.store(true, Ordering::Relaxed),
                Ok(_) => {}
                Err(error) => warn!(%error, "a process start was not recorded; it is looked into again"),
            }
            drop(permit);
        };
        starting.spawn(work.instrument(span));
    }
    Ok(more)
}

fn span(process: &Process) -> tracing::Span {
    let span = tracing::info_span!(
        "process start",
        tenant_id = process.tenant_id.as_str(),
        business_key = process.business_key,
        correlation_id = process.correlation_id.as_str(),
        actor_id = crate::bridge::SENDER,
        trace_id = tracing::field::Empty,
        span_id = tracing::field::Empty,
    );
    join(&span, process.traceparent.as_deref().and_then(TraceContext::parse).as_ref());
    span
}

/// Waits until the engine answers.
async fn await_engine(bridge: &Bridge) {
    let mut backoff = Backoff::default();
    warn!("the engine is not there; processes stay requested");
    while let Err(error) = bridge.engine.version().await {
        tracing::debug!(%error, "the engine is still away");
        tokio::time::sleep(backoff.pause()).await;
    }
    info!("the engine is back");
}

/// Starts one process, or adopts what runs for it already. Gives the engine's error if there was one.
pub async fn start(bridge: &Bridge, process: &Process) -> Result<Option<EngineError>, StoreError> {
    let request = request(process);
    let (key, hash) = (attempt_key(process), canonical::hash(&request));
    let new = new_attempt(process, &key, &hash, &request);
    let mut work = bridge.begin(&process.tenant_id).await?;
    let known = attempts::find(&mut work.tx, &new).await?;
    if known.as_ref().is_some_and(|known| known.outcome != CallOutcome::Failed) {
        work.tx.rollback().await?;
        // It was tried, and may have come to pass.
        match running(bridge, process).await {
            Ok(Some(instance)) => {
                info!(instance, "an instance that runs already is adopted");
                return adopt(bridge, process, &instance).await.map(|()| None);
            }
            Ok(None) => {}
            Err(error) => return put_off(bridge, process, error).await.map(Some),
        }
        work = bridge.begin(&process.tenant_id).await?;
    }
    let attempt = attempts::begin(&mut work.tx, &new).await?;
    work.commit().await?;

    let process_key = bridge.names.of(process.key());
    let variables = match variables(process) {
        Ok(variables) => variables,
        Err(error) => return put_off(bridge, process, error).await.map(Some),
    };
    let start = StartProcess { process_key: &process_key, business_key: &process.business_key, variables };
    match bridge.engine.start_process(&start).await {
        Ok(instance) => {
            info!(instance = instance.id, "process started");
            metrics::counter!("cpq_bridge_processes_started_total", "process" => process.key()).increment(1);
            adopt(bridge, process, &instance.id).await.map(|()| None)
        }
        Err(error) => {
            let outcome = if error.is_without_effect() { CallOutcome::Failed } else { CallOutcome::Unknown };
            let response = json!({ "detail": error.to_string() });
            let mut work = bridge.begin(&process.tenant_id).await?;
            attempts::settle(&mut work.tx, attempt.id, outcome, Some(&response), None).await?;
            work.commit().await?;
            put_off(bridge, process, error).await.map(Some)
        }
    }
}

/// The instance that runs for this process in the engine. One that has ended was never admitted, as the ledger
/// would know; it has done nothing.
async fn running(bridge: &Bridge, process: &Process) -> Result<Option<String>, EngineError> {
    let process_key = bridge.names.of(process.key());
    let query = InstanceQuery {
        business_key: Some(&process.business_key),
        process_key: Some(&process_key),
        ..InstanceQuery::default()
    };
    let mut instances = bridge.engine.process_instances(&query).await?;
    if instances.len() > 1 {
        warn!(instances = instances.len(), "several instances run for one process; one of them is admitted");
    }
    Ok(if instances.is_empty() { None } else { Some(instances.swap_remove(0).id) })
}

async fn adopt(bridge: &Bridge, process: &Process, instance: &str) -> Result<(), StoreError> {
    let mut work = bridge.begin(&process.tenant_id).await?;
    found(&mut work.tx, process, instance).await?;
    workflow::mark_started(&mut work.tx, process.tenant_id.as_str(), &process.business_key, instance).await?;
    work.commit().await
}

/// Records that the start had its effect.
pub async fn found(tx: &mut Tx, process: &Process, instance: &str) -> Result<(), StoreError> {
    let request = request(process);
    let (key, hash) = (attempt_key(process), canonical::hash(&request));
    let known = attempts::find(tx, &new_attempt(process, &key, &hash, &request)).await?;
    if let Some(known) = known {
        attempts::settle(tx, known.id, CallOutcome::Succeeded, None, Some(instance)).await?;
    }
    Ok(())
}

async fn put_off(bridge: &Bridge, process: &Process, error: EngineError) -> Result<EngineError, StoreError> {
    let seconds = match &error {
        EngineError::Unknown { .. } | EngineError::Conflict { .. } => UNKNOWN_PAUSE_SECONDS,
        // Nothing is wrong with the process: it goes on when the engine is back.
        EngineError::Unavailable { .. } => 0.0,
        _ => 2_f64.powi(process.attempts.min(10)).min(LONGEST_PAUSE_SECONDS),
    };
    warn!(%error, seconds, "the process was not started");
    metrics::counter!("cpq_bridge_engine_errors_total", "call" => "start").increment(1);
    let mut work = bridge.begin(&process.tenant_id).await?;
    let (tenant, key) = (process.tenant_id.as_str(), process.business_key.as_str());
    workflow::put_off_start(&mut work.tx, tenant, key, &error.to_string(), seconds).await?;
    work.commit().await?;
    Ok(error)
}

fn attempt_key(process: &Process) -> String {
    format!("{}:{}", process.key(), process.business_key)
}

fn new_attempt<'a>(process: &'a Process, key: &'a str, hash: &'a str, request: &'a Value) -> NewAttempt<'a> {
    NewAttempt {
        tenant_id: process.tenant_id.as_str(),
        system: SYSTEM,
        operation: OPERATION,
        business_key: &process.business_key,
        idempotency_key: key,
        request_hash: hash,
        request,
        correlation_id: process.correlation_id.as_str(),
    }
}

fn request(process: &Process) -> Value {
    json!({ "processKey": process.key(), "businessKey": process.business_key })
}

/// Keys and counts only: everything else is read where it is true.
fn variables(process: &Process) -> Result<Variables, EngineError> {
    let variables = Variables::new()
        .with_text("tenantId", process.tenant_id.as_str())?
        .with_text("correlationId", process.correlation_id.as_str())?;
    Ok(match &process.about {
        About::Approval(start) => variables
            .with_text("quoteId", start.quote_id.as_str())?
            .with_long("quoteRevision", start.quote_revision.into())
            .with_text("approvalRequestId", start.approval_request_id.as_str())?
            .with_long("groupCount", i64::try_from(groups(&start.steps).len()).unwrap_or(i64::MAX)),
        About::Fulfilment(start) => variables
            .with_text("orderId", start.order_id.as_str())?
            .with_long("planVersion", start.plan_version.into())
            .with_long("lineCount", start.line_count.into()),
    })
}
