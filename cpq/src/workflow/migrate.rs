//! Moving running instances to the newest version of their model, where the engine allows it.

use super::Engine;
use crate::Failure;
use crate::output::{Answer, Paint, Style};
use crate::table::{Cell, Table};
use camunda_bridge::engine::{EngineError, InstanceQuery, MAX_RESULTS, ProcessDefinition, ProcessInstance};
use camunda_bridge::models::PROCESS_KEYS;
use clap::Args;
use serde::Serialize;
use std::collections::HashMap;

/// Move running instances to the newest version of their model. Shows what would be moved; `--apply` moves.
///
/// An instance that waits at an activity which the newest version does not have stays and is reported.
#[derive(Args, Clone, Debug)]
pub struct MigrateArgs {
    /// Moves them; without it nothing is changed.
    #[arg(long)]
    apply: bool,
    /// Only instances of this process; without it, of all our processes.
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(PROCESS_KEYS))]
    process: Option<String>,
}

/// Instances of one old version.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Move {
    process: String,
    from_version: u32,
    to_version: u32,
    instances: usize,
    moved: usize,
    refused: Vec<Refusal>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Refusal {
    instance_id: String,
    business_key: Option<String>,
    why: String,
}

pub async fn run(args: &MigrateArgs, engine: &Engine, paint: Paint) -> Result<Answer, Failure> {
    let mut moves = Vec::new();
    for key in PROCESS_KEYS.into_iter().filter(|key| args.process.as_deref().is_none_or(|only| only == *key)) {
        moves.extend(migrate(engine, key, args.apply).await?);
    }
    let refused = moves.iter().any(|m| !m.refused.is_empty());
    Ok(Answer::new(&moves, text(&moves, args.apply, paint))?.finding_if(refused))
}

async fn migrate(engine: &Engine, key: &str, apply: bool) -> Result<Vec<Move>, Failure> {
    let mut versions = engine.client.process_definition_versions(&engine.names.of(key)).await?;
    let Some(newest) = versions.pop() else {
        return Err(Failure::failed(format!("the engine has no process {key}; `cpq workflow deploy` puts it there")));
    };
    let mut by_definition: HashMap<String, Vec<ProcessInstance>> = HashMap::new();
    for instance in running(engine, key).await? {
        by_definition.entry(instance.definition_id.clone()).or_default().push(instance);
    }
    let mut moves = Vec::new();
    for old in versions {
        if let Some(instances) = by_definition.remove(&old.id) {
            moves.push(move_all(engine, key, (&old, &newest), &instances, apply).await?);
        }
    }
    Ok(moves)
}

/// Every running instance of a process.
pub(super) async fn running(engine: &Engine, key: &str) -> Result<Vec<ProcessInstance>, Failure> {
    let (mut all, name) = (Vec::new(), engine.names.of(key));
    loop {
        let first = u32::try_from(all.len()).map_err(|_| Failure::failed("too many running instances to list"))?;
        let page = engine
            .client
            .process_instances(&InstanceQuery { business_key: None, process_key: Some(&name), first })
            .await?;
        let last = page.len() < MAX_RESULTS as usize;
        all.extend(page);
        if last {
            return Ok(all);
        }
    }
}

async fn move_all(
    engine: &Engine,
    key: &str,
    (old, newest): (&ProcessDefinition, &ProcessDefinition),
    instances: &[ProcessInstance],
    apply: bool,
) -> Result<Move, Failure> {
    let plan = engine.client.migration_plan(&old.id, &newest.id).await?;
    let (mut moved, mut refused) = (0, Vec::new());
    for instance in instances.iter().filter(|_| apply) {
        match engine.client.migrate_instance(&plan, &instance.id).await {
            Ok(()) => moved += 1,
            Err(EngineError::Rejected { message, .. } | EngineError::NotFound { message }) => refused.push(Refusal {
                instance_id: instance.id.clone(),
                business_key: instance.business_key.clone(),
                why: message,
            }),
            Err(other) => return Err(other.into()),
        }
    }
    let (from_version, to_version) = (old.version, newest.version);
    Ok(Move { process: key.to_owned(), from_version, to_version, instances: instances.len(), moved, refused })
}

fn text(moves: &[Move], apply: bool, paint: Paint) -> String {
    if moves.is_empty() {
        return "every running instance is of the newest version".to_owned();
    }
    let mut table = Table::new(&["PROCESS", "FROM", "TO", "INSTANCES", if apply { "MOVED" } else { "WOULD MOVE" }]);
    for m in moves {
        let moved = if apply { m.moved } else { m.instances };
        table.row(vec![
            m.process.as_str().into(),
            Cell::number(m.from_version),
            Cell::number(m.to_version),
            Cell::number(m.instances),
            Cell::number(moved),
        ]);
    }
    let mut lines = vec![table.render(paint)];
    for refusal in moves.iter().flat_map(|m| &m.refused) {
        let key = refusal.business_key.as_deref().unwrap_or("no business key");
        lines.push(paint.apply(Style::Red, &format!("stays: {key} ({}): {}", refusal.instance_id, refusal.why)));
    }
    if !apply {
        lines.push("nothing was changed; --apply moves them".to_owned());
    }
    lines.join("\n")
}
