//! What the engine itself has of a story: the instances of its processes, running or ended.

use super::step::{Place, Step, Tone};
use crate::Failure;
use crate::settings::Stack;
use camunda_bridge::engine::{HistoricProcessInstance, InstanceQuery};
use serde_json::json;

/// A process of the story, as the ledger names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub tenant_id: String,
    pub process_key: String,
    pub business_key: String,
    pub admitted_instance_id: Option<String>,
}

pub async fn read(stack: &Stack, processes: &[Process]) -> Result<Vec<Step>, Failure> {
    if processes.is_empty() {
        return Ok(Vec::new());
    }
    let (engine, names) = (stack.engine()?, stack.engine_names()?);
    let mut steps = Vec::new();
    for process in processes {
        let name = names.of(&process.process_key);
        let query = InstanceQuery { business_key: Some(&process.business_key), process_key: Some(&name), first: 0 };
        let instances = engine.process_history(&query).await?;
        steps.extend(instances.iter().flat_map(|instance| of_instance(process, instance)));
    }
    Ok(steps)
}

fn of_instance(process: &Process, instance: &HistoricProcessInstance) -> Vec<Step> {
    let step = |at, word: &str, result: String, tone| Step {
        at,
        place: Place::Camunda,
        tenant_id: process.tenant_id.clone(),
        subject: process.business_key.clone(),
        what: format!("{} {word}", process.process_key),
        result,
        tone,
        evidence: format!("instance {}", instance.id),
        detail: json!({
            "instanceId": instance.id, "processKey": process.process_key, "state": instance.state,
            "definitionVersion": instance.process_definition_version,
        }),
    };
    let version = instance.process_definition_version.unwrap_or_default();
    let admitted = process.admitted_instance_id.as_deref() == Some(instance.id.as_str());
    let begun = if admitted { format!("version {version}, admitted") } else { format!("version {version}") };
    let mut steps = vec![step(instance.start_time, "instance started", begun, Tone::Good)];
    if let Some(end) = instance.end_time {
        let tone = if instance.state == "COMPLETED" { Tone::Good } else { Tone::Waiting };
        let why = instance.delete_reason.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        steps.push(step(end, "instance ended", format!("{}{why}", instance.state), tone));
    }
    steps
}
