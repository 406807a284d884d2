//! Looks after the processes that the engine runs, each the more rarely the older it is: one that has ended is
//! marked in the ledger, one that was started and is gone before it was admitted is started again, and one that
//! the engine no longer knows is an alert for `cpq workflow reconcile`.

use crate::bridge::Bridge;
use crate::engine::{EngineError, HistoricProcessInstance, InstanceQuery};
use crate::process::Process;
use cpq_state_stores::StoreError;
use cpq_state_stores::workflow::{self, InstanceStatus};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// Processes in one round.
const BATCH: i64 = 50;
/// A process is looked at no more often than this …
const LEAST_SECONDS: f64 = 5.0;
/// … and no more rarely than this.
const MOST_SECONDS: f64 = 600.0;

#[derive(Debug, thiserror::Error)]
enum WatchError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Watches until shutdown.
pub async fn run(bridge: Arc<Bridge>, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        let full = match round(&bridge).await {
            Ok(count) => count == BATCH.unsigned_abs() as usize,
            Err(error) => {
                debug!(%error, "running processes were not looked after");
                false
            }
        };
        if !full {
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(bridge.timing.sweep) => {}
            }
        }
    }
}

/// Looks at the processes that are due; says how many there were.
async fn round(bridge: &Bridge) -> Result<usize, WatchError> {
    let mut tx = bridge.db.begin_system().await?;
    let rows = workflow::claim_running(&mut tx, LEAST_SECONDS, MOST_SECONDS, BATCH).await?;
    tx.commit().await?;
    let count = rows.len();
    for row in rows {
        let key = row.business_key.clone();
        let looked = match Process::read(row) {
            Ok(process) => look(bridge, &process).await,
            Err(error) => Err(error.into()),
        };
        match looked {
            Ok(()) => {}
            // Then the others would fare no better.
            Err(WatchError::Engine(error @ EngineError::Unavailable { .. })) => return Err(error.into()),
            Err(error) => warn!(business_key = key, %error, "a process was not looked after"),
        }
    }
    Ok(count)
}

async fn look(bridge: &Bridge, process: &Process) -> Result<(), WatchError> {
    let instance = process.admitted_instance_id.as_deref().or(process.started_instance_id.as_deref());
    let Some(instance) = instance else { return Ok(()) };
    if bridge.engine.process_instance(instance).await?.is_some() {
        return Ok(());
    }
    let (tenant, key) = (process.tenant_id.as_str(), process.business_key.as_str());
    let mut work = bridge.begin(&process.tenant_id).await?;
    if process.status == InstanceStatus::Started {
        if workflow::request_again(&mut work.tx, tenant, key).await? {
            warn!(
                business_key = key,
                instance, "an instance is gone before it was admitted; the process is started again"
            );
        }
    } else {
        match history(bridge, process, instance).await? {
            Some(ended) => {
                let reason = ended.delete_reason.as_deref().unwrap_or(&ended.state);
                info!(tenant_id = tenant, business_key = key, instance, reason, "process ended");
                workflow::mark_ended(&mut work.tx, tenant, key, reason).await?;
            }
            None => {
                warn!(
                    tenant_id = tenant,
                    business_key = key,
                    instance,
                    "ALERT: the engine does not know an admitted instance"
                );
                metrics::counter!("cpq_bridge_alerts_total", "kind" => "instance-lost").increment(1);
            }
        }
    }
    Ok(work.commit().await?)
}

async fn history(
    bridge: &Bridge,
    process: &Process,
    instance: &str,
) -> Result<Option<HistoricProcessInstance>, EngineError> {
    let query = InstanceQuery { business_key: Some(&process.business_key), ..InstanceQuery::default() };
    let known = bridge.engine.process_history(&query).await?;
    Ok(known.into_iter().find(|known| known.id == instance))
}
