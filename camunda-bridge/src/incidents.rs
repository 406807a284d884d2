//! Watches where the engine has given up. An incident of a fulfilment step becomes a fallout case of the order;
//! every incident of ours becomes a fact, once when it is raised and once when it is resolved; and what is no
//! step's is an alert.

use crate::bridge::{Bridge, SENDER};
use crate::downstream::System;
use crate::engine::{EngineError, Incident, IncidentQuery, MAX_RESULTS};
use crate::process::Process;
use crate::{FULFILMENT, QUOTE_APPROVAL};
use cpq_domain::ids::{StepId, TenantId};
use cpq_domain::order::OrderCommand;
use cpq_domain::order::command::RecordStepFailed;
use cpq_domain::workflow::{IncidentRaised, IncidentResolved, WorkflowEvent};
use cpq_state_stores::StoreError;
use cpq_state_stores::workflow::{self, INCIDENT_RAISED, INCIDENT_RESOLVED, OpenIncident};
use std::collections::HashSet;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// The engine's type of an external task without tries left.
const FAILED_EXTERNAL_TASK: &str = "failedExternalTask";
/// Incidents that are looked at in one round; more than these would be a broken engine, not single faults.
const MAX_INCIDENTS: u32 = 10 * MAX_RESULTS;
/// Open incidents whose end is looked for in one round.
const MAX_OPEN: i64 = 10_000;
/// Before the step in an external task's error details.
const STEP_MARK: &str = "fulfillmentStepId=";

#[derive(Debug, thiserror::Error)]
enum WatchError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// The error details that name a step, for whoever looks at the incident.
pub fn details(step: Option<&str>) -> String {
    step.map(|step| format!("{STEP_MARK}{step}")).unwrap_or_default()
}

fn step_of(details: &str) -> Option<StepId> {
    details.trim().strip_prefix(STEP_MARK).map(StepId::from)
}

/// Watches until shutdown.
pub async fn run(bridge: Arc<Bridge>, shutdown: CancellationToken) {
    // Of this process: an incident is looked into again after a restart, and then found to be known.
    let mut known = HashSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(bridge.timing.incident_sweep) => {}
        }
        if let Err(error) = round(&bridge, &mut known).await {
            debug!(%error, "incidents were not looked for");
        }
    }
}

async fn round(bridge: &Bridge, known: &mut HashSet<String>) -> Result<(), WatchError> {
    // Read before the engine's, so that one that is raised meanwhile is not taken for resolved.
    let mut tx = bridge.db.begin_system().await?;
    let published = workflow::open_incidents(&mut tx, MAX_OPEN).await?;
    tx.commit().await?;
    let (incidents, complete) = incidents(bridge).await?;
    let open: HashSet<&str> = incidents.iter().map(|incident| incident.id.as_str()).collect();
    metrics::gauge!("cpq_bridge_open_incidents").set(open.len() as f64);
    known.retain(|id| open.contains(id.as_str()));
    for incident in &incidents {
        if !known.contains(&incident.id) {
            raised(bridge, incident).await?;
            known.insert(incident.id.clone());
        }
    }
    // Of a list that was cut, nothing follows for what is not on it.
    for incident in published.into_iter().filter(|_| complete) {
        resolved_unless_open(bridge, &incident, &open).await?;
    }
    Ok(())
}

/// The incidents of our processes, and whether these are all.
async fn incidents(bridge: &Bridge) -> Result<(Vec<Incident>, bool), EngineError> {
    let (mut all, mut complete) = (Vec::new(), true);
    for key in [QUOTE_APPROVAL, FULFILMENT] {
        let process_key = bridge.names.of(key);
        let mut first = 0;
        loop {
            let query = IncidentQuery { process_key: Some(&process_key), first, ..IncidentQuery::default() };
            let page = bridge.engine.incidents(&query).await?;
            let full = page.len() >= MAX_RESULTS as usize;
            all.extend(page);
            first += MAX_RESULTS;
            if !full {
                break;
            }
            if first >= MAX_INCIDENTS {
                complete = false;
                break;
            }
        }
    }
    Ok((all, complete))
}

async fn raised(bridge: &Bridge, incident: &Incident) -> Result<(), WatchError> {
    let mut tx = bridge.db.begin_system().await?;
    let row = workflow::find_admitted(&mut tx, &incident.process_instance_id).await?;
    tx.commit().await?;
    let Some(row) = row else {
        alert(incident, "an incident of an instance that was never admitted");
        return Ok(());
    };
    let process = Process::read(row)?;
    let step_id = step(bridge, incident).await?;
    let mut work = bridge.begin(&process.tenant_id).await?;
    let event = IncidentRaised {
        incident_id: incident.id.clone(),
        incident_type: incident.incident_type.clone(),
        process_instance_id: incident.process_instance_id.clone(),
        activity_id: incident.activity_id.clone(),
        quote_id: process.quote_id().cloned(),
        order_id: process.order_id().cloned(),
        step_id: step_id.clone(),
        message: incident.incident_message.clone(),
    };
    let fact = format!("{INCIDENT_RAISED}{}", incident.id);
    let is_new = work.publish(&process, &cause(&incident.id), &fact, WorkflowEvent::IncidentRaised(event)).await?;
    if let Some(step_id) = &step_id {
        let detail = incident.incident_message.clone().unwrap_or_else(|| "the retries are used up".to_owned());
        let failed = RecordStepFailed { step_id: step_id.clone(), detail, incident_id: Some(incident.id.clone()) };
        let once = format!("incident:{}", incident.id);
        work.tell_order(&process, &cause(&incident.id), once, OrderCommand::RecordStepFailed(failed))?;
    }
    work.commit().await?;
    if is_new {
        metrics::counter!("cpq_bridge_incidents_total", "activity" => incident.activity_id.clone()).increment(1);
        match step_id {
            Some(step) => info!(incident = incident.id, %step, "an incident becomes a fallout case"),
            None => alert(incident, "an incident that is no step's"),
        }
    }
    Ok(())
}

fn alert(incident: &Incident, what: &str) {
    warn!(
        actor_id = SENDER,
        incident = incident.id,
        process_instance_id = incident.process_instance_id,
        activity = incident.activity_id,
        cause = incident.incident_message,
        "ALERT: {what}"
    );
    metrics::counter!("cpq_bridge_alerts_total", "kind" => "incident").increment(1);
}

fn cause(incident: &str) -> String {
    format!("incident-{incident}")
}

/// The fulfilment step that an incident is about: the worker named it when it reported the failure.
async fn step(bridge: &Bridge, incident: &Incident) -> Result<Option<StepId>, EngineError> {
    let is_step = System::ALL.iter().any(|system| system.topic == incident.activity_id);
    let (FAILED_EXTERNAL_TASK, true, Some(task)) =
        (incident.incident_type.as_str(), is_step, incident.configuration.as_deref())
    else {
        return Ok(None);
    };
    Ok(bridge.engine.external_task_error_details(task).await?.as_deref().and_then(step_of))
}

async fn resolved_unless_open(bridge: &Bridge, known: &OpenIncident, open: &HashSet<&str>) -> Result<(), WatchError> {
    let event = serde_json::from_value(known.event.clone());
    let WorkflowEvent::IncidentRaised(raised) = event.map_err(|e| StoreError::corrupt("a published incident", e))?
    else {
        return Ok(());
    };
    if open.contains(raised.incident_id.as_str()) {
        return Ok(());
    }
    let Some(process) = bridge.process(&TenantId::from(known.tenant_id.as_str()), &known.business_key).await? else {
        return Ok(());
    };
    let event = IncidentResolved {
        incident_id: raised.incident_id.clone(),
        incident_type: raised.incident_type,
        process_instance_id: raised.process_instance_id,
        activity_id: raised.activity_id,
        quote_id: raised.quote_id,
        order_id: raised.order_id,
        step_id: raised.step_id,
    };
    let mut work = bridge.begin(&process.tenant_id).await?;
    let fact = format!("{INCIDENT_RESOLVED}{}", raised.incident_id);
    let cause = cause(&raised.incident_id);
    work.publish(&process, &cause, &fact, WorkflowEvent::IncidentResolved(event)).await?;
    work.commit().await?;
    info!(incident = raised.incident_id, "the engine goes on after an incident");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_details_of_a_failure_lead_back_to_its_step() {
        assert_eq!(step_of(&details(Some("1.2:START_BILLING"))), Some(StepId::from("1.2:START_BILLING")));
        assert_eq!(step_of(&details(None)), None);
        assert_eq!(step_of("java.lang.NullPointerException"), None);
    }
}
