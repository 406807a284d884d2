//! External tasks: the work that the engine hands out. A lock is fenced by the worker's id only, so each
//! process draws its own; an expired lock still holds until another worker fetches the task.

use super::client::{NoBody, RetriesBody, Sorting};
use super::{EngineClient, EngineError, Variables, instant};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;
use time::OffsetDateTime;

/// The longest error message: it becomes a string variable where a boundary event keeps it. Longer ones are cut.
pub const MAX_MESSAGE_CHARS: usize = super::MAX_STRING_CHARS;

/// Who locks. Unique per process: two processes with one id would complete each other's tasks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WorkerId(String);

impl WorkerId {
    /// A new id that tells an operator the role and the process.
    pub fn unique(role: &str) -> Self {
        Self(format!("{role}-{}-{}", std::process::id(), uuid::Uuid::new_v4().simple()))
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A request for work.
#[derive(Clone, Debug)]
pub struct FetchAndLock<'a> {
    pub worker: &'a WorkerId,
    pub max_tasks: u32,
    /// How long the engine may wait for a task to come (at most 30 minutes); zero answers at once.
    pub wait: Duration,
    pub topics: Vec<TopicSubscription>,
}

/// One kind of work.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicSubscription {
    pub topic_name: String,
    #[serde(serialize_with = "as_millis")]
    pub lock_duration: Duration,
    /// Which variables to bring; others stay in the engine (it would send loop counters too).
    pub variables: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub business_key: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", rename = "processDefinitionKeyIn")]
    pub process_keys: Vec<String>,
}

impl TopicSubscription {
    pub fn new(topic: impl Into<String>, lock: Duration, variables: &[&str]) -> Self {
        Self {
            topic_name: topic.into(),
            lock_duration: lock,
            variables: variables.iter().map(|name| (*name).to_owned()).collect(),
            business_key: None,
            process_keys: Vec::new(),
        }
    }
}

/// A task that was fetched and is locked, or one that was asked for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalTask {
    pub id: String,
    pub topic_name: String,
    pub activity_id: String,
    pub execution_id: String,
    pub process_instance_id: String,
    pub process_definition_id: String,
    pub process_definition_key: String,
    pub business_key: Option<String>,
    pub worker_id: Option<String>,
    /// `None` until the first failure; 0 means an incident.
    pub retries: Option<i32>,
    #[serde(default, with = "instant::option")]
    pub lock_expiration_time: Option<OffsetDateTime>,
    pub error_message: Option<String>,
    /// Only of fetched tasks.
    #[serde(default)]
    pub variables: Variables,
}

/// What a completion leaves behind.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Completion {
    /// Set in the nearest scope that declares them, else in the instance.
    pub variables: Variables,
    /// Set in the task's own scope: input for its output mapping, gone with it otherwise.
    pub local_variables: Variables,
}

/// A business rejection. One that nothing catches silently ends the activity's scope: [`EngineClient::catches`].
#[derive(Clone, Debug)]
pub struct BpmnError<'a> {
    pub code: &'a str,
    pub message: &'a str,
    pub variables: Variables,
}

/// A technical failure.
#[derive(Clone, Debug)]
pub struct Failure<'a> {
    pub message: &'a str,
    pub details: &'a str,
    /// What is left: the engine counts nothing down by itself. 0 raises an incident.
    pub retries: u32,
    pub retry_after: Duration,
}

/// Which tasks, locked or not; what is `None` does not restrict.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalTaskQuery<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process_instance_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_name: Option<&'a str>,
    /// Only those locked by this worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<&'a str>,
    /// Only those without retries left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_retries_left: Option<bool>,
    /// How many to pass over: a query answers at most [`super::MAX_RESULTS`].
    #[serde(skip)]
    pub first: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FetchBody<'a> {
    worker_id: &'a str,
    max_tasks: u32,
    use_priority: bool,
    async_response_timeout: u64,
    sorting: [Sorting; 1],
    topics: &'a [TopicSubscription],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CompleteBody<'a> {
    worker_id: &'a str,
    #[serde(flatten)]
    completion: &'a Completion,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BpmnErrorBody<'a> {
    worker_id: &'a str,
    error_code: &'a str,
    error_message: String,
    variables: &'a Variables,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FailureBody<'a> {
    worker_id: &'a str,
    error_message: String,
    error_details: &'a str,
    retries: u32,
    retry_timeout: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LockBody<'a> {
    worker_id: &'a str,
    new_duration: u64,
}

impl EngineClient {
    /// Fetches tasks and locks them, waiting for the first. Without an answer, tasks may be locked until their
    /// lock expires; that is all.
    pub async fn fetch_and_lock(&self, fetch: &FetchAndLock<'_>) -> Result<Vec<ExternalTask>, EngineError> {
        let body = FetchBody {
            worker_id: fetch.worker.as_str(),
            max_tasks: fetch.max_tasks,
            use_priority: false,
            async_response_timeout: millis(fetch.wait),
            // Oldest first, which the engine does not do by itself.
            sorting: [Sorting::ascending("createTime")],
            topics: &fetch.topics,
        };
        self.long_poll(&["external-task", "fetchAndLock"], &body, fetch.wait).await
    }

    /// Completes a task. A repeat of one that took effect is [`EngineError::NotFound`]. Where the process cannot
    /// go on (a gateway lacks its variable), the engine answers 500 and the task stays.
    pub async fn complete_external_task(
        &self,
        id: &str,
        worker: &WorkerId,
        completion: &Completion,
    ) -> Result<(), EngineError> {
        let body = CompleteBody { worker_id: worker.as_str(), completion };
        self.send(Method::POST, &["external-task", id, "complete"], &body).await
    }

    pub async fn handle_bpmn_error(
        &self,
        id: &str,
        worker: &WorkerId,
        error: &BpmnError<'_>,
    ) -> Result<(), EngineError> {
        let body = BpmnErrorBody {
            worker_id: worker.as_str(),
            error_code: error.code,
            error_message: cut(error.message),
            variables: &error.variables,
        };
        self.send(Method::POST, &["external-task", id, "bpmnError"], &body).await
    }

    /// Reports a failure, which also unlocks the task after `retry_after`.
    pub async fn handle_failure(&self, id: &str, worker: &WorkerId, failure: &Failure<'_>) -> Result<(), EngineError> {
        let body = FailureBody {
            worker_id: worker.as_str(),
            error_message: cut(failure.message),
            error_details: failure.details,
            retries: failure.retries,
            retry_timeout: millis(failure.retry_after),
        };
        self.send(Method::POST, &["external-task", id, "failure"], &body).await
    }

    /// Makes the lock end `duration` from now.
    pub async fn extend_lock(&self, id: &str, worker: &WorkerId, duration: Duration) -> Result<(), EngineError> {
        let body = LockBody { worker_id: worker.as_str(), new_duration: millis(duration) };
        self.send(Method::POST, &["external-task", id, "extendLock"], &body).await
    }

    /// Gives a task back, whoever locked it.
    pub async fn unlock(&self, id: &str) -> Result<(), EngineError> {
        self.send(Method::POST, &["external-task", id, "unlock"], &NoBody {}).await
    }

    /// Gives a task new retries; more than 0 resolves its incident.
    pub async fn set_external_task_retries(&self, id: &str, retries: u32) -> Result<(), EngineError> {
        self.send(Method::PUT, &["external-task", id, "retries"], &RetriesBody { retries }).await
    }

    pub async fn external_task(&self, id: &str) -> Result<Option<ExternalTask>, EngineError> {
        self.find(&["external-task", id]).await
    }

    /// What the worker said in detail when it reported the task's last failure.
    pub async fn external_task_error_details(&self, id: &str) -> Result<Option<String>, EngineError> {
        self.find_text(&["external-task", id, "errorDetails"]).await
    }

    pub async fn external_tasks(&self, query: &ExternalTaskQuery<'_>) -> Result<Vec<ExternalTask>, EngineError> {
        self.query(&["external-task"], query.first, query).await
    }
}

fn cut(message: &str) -> String {
    message.chars().take(MAX_MESSAGE_CHARS).collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn as_millis<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(millis(*duration))
}
