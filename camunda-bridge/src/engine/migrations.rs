//! Versions of a process definition, and moving running instances from one to another.

use super::{EngineClient, EngineError, ProcessDefinition};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How each activity of one version continues in another, as the engine generated it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MigrationPlan {
    pub source_process_definition_id: String,
    pub target_process_definition_id: String,
    pub instructions: Vec<Value>,
    /// Variables to set on the way; the engine's generator gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variables: Option<Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GenerateBody<'a> {
    source_process_definition_id: &'a str,
    target_process_definition_id: &'a str,
    update_event_triggers: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExecuteBody<'a> {
    migration_plan: &'a MigrationPlan,
    process_instance_ids: [&'a str; 1],
    skip_custom_listeners: bool,
    skip_io_mappings: bool,
}

impl EngineClient {
    /// Every deployed version of a definition, oldest first.
    pub async fn process_definition_versions(&self, key: &str) -> Result<Vec<ProcessDefinition>, EngineError> {
        let max = super::MAX_RESULTS.to_string();
        let query = [("key", key), ("sortBy", "version"), ("sortOrder", "asc"), ("maxResults", max.as_str())];
        self.get(&["process-definition"], &query).await
    }

    /// A plan that maps the activities which both versions have.
    pub async fn migration_plan(&self, from: &str, to: &str) -> Result<MigrationPlan, EngineError> {
        let body = GenerateBody {
            source_process_definition_id: from,
            target_process_definition_id: to,
            update_event_triggers: true,
        };
        self.post(&["migration", "generate"], &body).await
    }

    /// Moves one instance, in one transaction of the engine. An instance that waits where the plan has no
    /// mapping is [`EngineError::Rejected`] with the reason, and stays as it was.
    pub async fn migrate_instance(&self, plan: &MigrationPlan, instance_id: &str) -> Result<(), EngineError> {
        let body = ExecuteBody {
            migration_plan: plan,
            process_instance_ids: [instance_id],
            skip_custom_listeners: true,
            skip_io_mappings: true,
        };
        self.send(Method::POST, &["migration", "execute"], &body).await
    }
}
