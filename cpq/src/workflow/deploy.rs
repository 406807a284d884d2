//! Deploying the models of this build. The engine compares them with what it has: an unchanged file makes no new
//! version.

use super::Engine;
use crate::Failure;
use crate::output::Answer;
use camunda_bridge::models::{DEPLOYMENT, PROCESS_KEYS, resources};
use serde_json::json;

pub async fn run(engine: &Engine) -> Result<Answer, Failure> {
    let deployment = engine.client.deploy(&engine.names.of(DEPLOYMENT), &resources(&engine.names)).await?;
    let new = deployment.new_definitions();
    let mut lines: Vec<String> = new.iter().map(|d| format!("deployed {} version {}", d.key, d.version)).collect();
    if lines.is_empty() {
        lines.push("the models have not changed".to_owned());
    }
    let mut versions = serde_json::Map::new();
    for key in PROCESS_KEYS {
        let newest = engine.client.process_definition(&engine.names.of(key)).await?;
        let newest =
            newest.ok_or_else(|| Failure::failed(format!("the engine took the models but has no process {key}")))?;
        versions.insert(key.to_owned(), newest.version.into());
    }
    let deployed: Vec<_> = new.iter().map(|d| json!({"key": d.key, "version": d.version})).collect();
    Answer::new(&json!({"deploymentId": deployment.id, "deployed": deployed, "newest": versions}), lines.join("\n"))
}
