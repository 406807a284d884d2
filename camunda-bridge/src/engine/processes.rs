//! Process definitions, instances at run time and in history, and messages to them.

use super::client::Sorting;
use super::{EngineClient, EngineError, Variables, instant};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessDefinition {
    pub id: String,
    pub key: String,
    pub version: u32,
    pub deployment_id: String,
}

/// A start of the newest version of a definition.
#[derive(Clone, Debug)]
pub struct StartProcess<'a> {
    pub process_key: &'a str,
    /// Not unique in the engine: a start that is repeated makes a second instance.
    pub business_key: &'a str,
    pub variables: Variables,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessInstance {
    pub id: String,
    pub definition_id: String,
    pub business_key: Option<String>,
    pub ended: bool,
    pub suspended: bool,
}

/// An instance as history has it, running or ended.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoricProcessInstance {
    pub id: String,
    pub business_key: Option<String>,
    pub process_definition_key: String,
    pub process_definition_version: Option<u32>,
    /// `ACTIVE`, `SUSPENDED`, `COMPLETED`, `EXTERNALLY_TERMINATED` (deleted over REST), `INTERNALLY_TERMINATED`.
    pub state: String,
    #[serde(with = "instant")]
    pub start_time: OffsetDateTime,
    #[serde(default, with = "instant::option")]
    pub end_time: Option<OffsetDateTime>,
    pub delete_reason: Option<String>,
}

/// Which instances; what is `None` does not restrict.
#[derive(Clone, Debug, Default)]
pub struct InstanceQuery<'a> {
    pub business_key: Option<&'a str>,
    pub process_key: Option<&'a str>,
    /// How many to pass over: a query answers at most [`super::MAX_RESULTS`].
    pub first: u32,
}

/// To whom a message goes.
#[derive(Clone, Copy, Debug)]
pub enum MessageTarget<'a> {
    Instance(&'a str),
    BusinessKey(&'a str),
}

/// A message to a waiting instance.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    pub name: &'a str,
    pub target: MessageTarget<'a>,
    /// Variables that the waiting activity itself has (its input parameters), to tell it from its siblings.
    pub local_correlation_keys: Variables,
    /// Set in the nearest scope that declares them, else in the instance.
    pub variables: Variables,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StartBody<'a> {
    business_key: &'a str,
    variables: &'a Variables,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MessageBody<'a> {
    message_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    process_instance_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    business_key: Option<&'a str>,
    local_correlation_keys: &'a Variables,
    process_variables: &'a Variables,
}

const BY_INSTANCE: [Sorting; 1] = [Sorting::ascending("instanceId")];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RuntimeFilter<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    business_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process_definition_key: Option<&'a str>,
    sorting: [Sorting; 1],
}

// The same filter has another name here.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HistoryFilter<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    process_instance_business_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process_definition_key: Option<&'a str>,
    sorting: [Sorting; 1],
}

impl EngineClient {
    /// The newest version of a definition, if one is deployed.
    pub async fn process_definition(&self, key: &str) -> Result<Option<ProcessDefinition>, EngineError> {
        self.find(&["process-definition", "key", key]).await
    }

    /// Starts an instance. After [`EngineError::Unknown`] it may exist, or come to exist yet: the process's
    /// `admit` lets only one instance of a ledger row go on.
    pub async fn start_process(&self, start: &StartProcess<'_>) -> Result<ProcessInstance, EngineError> {
        let body = StartBody { business_key: start.business_key, variables: &start.variables };
        self.post(&["process-definition", "key", start.process_key, "start"], &body).await
    }

    pub async fn process_instance(&self, id: &str) -> Result<Option<ProcessInstance>, EngineError> {
        self.find(&["process-instance", id]).await
    }

    /// Running instances.
    pub async fn process_instances(&self, query: &InstanceQuery<'_>) -> Result<Vec<ProcessInstance>, EngineError> {
        let filter = RuntimeFilter {
            business_key: query.business_key,
            process_definition_key: query.process_key,
            sorting: BY_INSTANCE,
        };
        self.query(&["process-instance"], query.first, &filter).await
    }

    /// Running and ended instances.
    pub async fn process_history(
        &self,
        query: &InstanceQuery<'_>,
    ) -> Result<Vec<HistoricProcessInstance>, EngineError> {
        let filter = HistoryFilter {
            process_instance_business_key: query.business_key,
            process_definition_key: query.process_key,
            sorting: BY_INSTANCE,
        };
        self.query(&["history", "process-instance"], query.first, &filter).await
    }

    /// Ends an instance without running its listeners; history keeps it as `EXTERNALLY_TERMINATED`.
    pub async fn delete_process_instance(&self, id: &str) -> Result<(), EngineError> {
        let query = [("skipCustomListeners", "true"), ("skipIoMappings", "true")];
        self.delete(&["process-instance", id], &query).await
    }

    /// Sends a message. [`EngineError::NotCorrelated`] means that nobody waits for it: not yet, no longer (a
    /// repeat of an earlier one), or that the instance has ended.
    pub async fn correlate(&self, message: &Message<'_>) -> Result<(), EngineError> {
        let (process_instance_id, business_key) = match message.target {
            MessageTarget::Instance(id) => (Some(id), None),
            MessageTarget::BusinessKey(key) => (None, Some(key)),
        };
        let body = MessageBody {
            message_name: message.name,
            process_instance_id,
            business_key,
            local_correlation_keys: &message.local_correlation_keys,
            process_variables: &message.variables,
        };
        self.send(Method::POST, &["message"], &body).await
    }
}
