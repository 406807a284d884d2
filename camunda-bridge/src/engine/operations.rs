//! What goes wrong inside of the engine and what waits there: incidents and jobs (timers, asynchronous steps).

use super::client::{NoBody, RetriesBody};
use super::{EngineClient, EngineError, instant};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// A place where a process cannot go on by itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Incident {
    pub id: String,
    /// `failedExternalTask` or `failedJob`.
    pub incident_type: String,
    pub incident_message: Option<String>,
    pub activity_id: String,
    pub execution_id: String,
    pub process_instance_id: String,
    pub process_definition_id: String,
    /// The external task's or the job's id.
    pub configuration: Option<String>,
    #[serde(with = "instant")]
    pub incident_timestamp: OffsetDateTime,
}

/// Which incidents; what is `None` does not restrict.
#[derive(Clone, Debug, Default)]
pub struct IncidentQuery<'a> {
    pub process_instance_id: Option<&'a str>,
    pub incident_type: Option<&'a str>,
    pub process_key: Option<&'a str>,
    /// How many to pass over: a query answers at most [`super::MAX_RESULTS`].
    pub first: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    pub id: String,
    pub process_instance_id: Option<String>,
    pub execution_id: Option<String>,
    pub retries: i32,
    /// The activity that failed, if the job did.
    pub failed_activity_id: Option<String>,
    pub exception_message: Option<String>,
    #[serde(default, with = "instant::option")]
    pub due_date: Option<OffsetDateTime>,
}

/// Which jobs; what is `None` does not restrict.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobQuery<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process_instance_id: Option<&'a str>,
    /// Only timers. (`false` is no filter: the engine refuses it.)
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub timers: bool,
    /// The activity that the job is to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activity_id: Option<&'a str>,
    /// How many to pass over: a query answers at most [`super::MAX_RESULTS`].
    #[serde(skip)]
    pub first: u32,
}

#[derive(Serialize)]
struct DueDateBody {
    duedate: String,
    cascade: bool,
}

impl EngineClient {
    pub async fn incidents(&self, query: &IncidentQuery<'_>) -> Result<Vec<Incident>, EngineError> {
        // The only query here that the engine has as a GET alone.
        let first = query.first.to_string();
        let max = super::MAX_RESULTS.to_string();
        let mut parameters = vec![("firstResult", first.as_str()), ("maxResults", max.as_str())];
        parameters.extend([("sortBy", "incidentId"), ("sortOrder", "asc")]);
        let restrictions = [
            ("processInstanceId", query.process_instance_id),
            ("incidentType", query.incident_type),
            ("processDefinitionKeyIn", query.process_key),
        ];
        parameters.extend(restrictions.into_iter().filter_map(|(name, value)| Some((name, value?))));
        self.get(&["incident"], &parameters).await
    }

    pub async fn jobs(&self, query: &JobQuery<'_>) -> Result<Vec<Job>, EngineError> {
        self.query(&["job"], query.first, query).await
    }

    /// Moves a timer. The engine's own threads find it only at their next look, which may be a minute away:
    /// [`Self::execute_job`] does not wait for them.
    pub async fn set_job_due_date(&self, id: &str, due: OffsetDateTime) -> Result<(), EngineError> {
        let duedate = instant::format(due).map_err(|error| EngineError::Invalid { detail: error.to_string() })?;
        self.send(Method::PUT, &["job", id, "duedate"], &DueDateBody { duedate, cascade: false }).await
    }

    /// Runs a job now, in this call. One that the engine's own threads took first is [`EngineError::NotFound`].
    pub async fn execute_job(&self, id: &str) -> Result<(), EngineError> {
        self.send(Method::POST, &["job", id, "execute"], &NoBody {}).await
    }

    /// Gives a failed job new retries, which resolves its incident.
    pub async fn set_job_retries(&self, id: &str, retries: u32) -> Result<(), EngineError> {
        self.send(Method::PUT, &["job", id, "retries"], &RetriesBody { retries }).await
    }
}
