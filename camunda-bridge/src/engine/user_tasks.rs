//! User tasks as the engine has them. Ours are known by the task-local variable `taskId`; whether someone may
//! complete one was decided before, elsewhere.

use super::client::Sorting;
use super::{EngineClient, EngineError, Variables, instant};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserTask {
    pub id: String,
    pub name: Option<String>,
    pub assignee: Option<String>,
    pub task_definition_key: String,
    pub process_instance_id: String,
    pub process_definition_id: String,
    #[serde(with = "instant")]
    pub created: OffsetDateTime,
    #[serde(default, with = "instant::option")]
    pub due: Option<OffsetDateTime>,
}

/// A user task that is over.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndedUserTask {
    pub id: String,
    /// `completed`, or why it was deleted.
    pub delete_reason: Option<String>,
}

impl EndedUserTask {
    /// Whether somebody completed it; otherwise it was taken away with its scope.
    pub fn was_completed(&self) -> bool {
        self.delete_reason.as_deref() == Some("completed")
    }
}

/// Which tasks; what is `None` does not restrict.
#[derive(Clone, Debug, Default)]
pub struct UserTaskQuery<'a> {
    pub process_instance_id: Option<&'a str>,
    pub business_key: Option<&'a str>,
    pub process_key: Option<&'a str>,
    /// The value of the task-local variable `taskId`.
    pub task_id: Option<&'a str>,
    pub candidate_group: Option<&'a str>,
    /// How many to pass over: a query answers at most [`super::MAX_RESULTS`].
    pub first: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Filter<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    process_instance_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process_instance_business_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process_definition_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    candidate_group: Option<&'a str>,
    /// Without this the engine hides a candidate group's tasks once somebody has them.
    include_assigned_tasks: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    task_variables: Vec<VariableFilter<'a>>,
    sorting: [Sorting; 1],
}

#[derive(Serialize)]
struct VariableFilter<'a> {
    name: &'static str,
    operator: &'static str,
    value: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EndedFilter<'a> {
    process_instance_id: &'a str,
    finished: bool,
    task_variables: [VariableFilter<'a>; 1],
    sorting: [Sorting; 1],
}

#[derive(Serialize)]
struct CompleteBody<'a> {
    variables: &'a Variables,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AssigneeBody<'a> {
    user_id: Option<&'a str>,
}

impl EngineClient {
    pub async fn user_tasks(&self, query: &UserTaskQuery<'_>) -> Result<Vec<UserTask>, EngineError> {
        let by_task_id = |value| VariableFilter { name: "taskId", operator: "eq", value };
        let filter = Filter {
            process_instance_id: query.process_instance_id,
            process_instance_business_key: query.business_key,
            process_definition_key: query.process_key,
            candidate_group: query.candidate_group,
            include_assigned_tasks: query.candidate_group.map(|_| true),
            task_variables: query.task_id.map(by_task_id).into_iter().collect(),
            sorting: [Sorting::ascending("id")],
        };
        self.query(&["task"], query.first, &filter).await
    }

    /// The task of an instance with this `taskId`, once it is over: history knows it.
    pub async fn ended_user_task(
        &self,
        process_instance_id: &str,
        task_id: &str,
    ) -> Result<Option<EndedUserTask>, EngineError> {
        let filter = EndedFilter {
            process_instance_id,
            finished: true,
            task_variables: [VariableFilter { name: "taskId", operator: "eq", value: task_id }],
            sorting: [Sorting::ascending("taskId")],
        };
        let found: Vec<EndedUserTask> = self.query(&["history", "task"], 0, &filter).await?;
        Ok(found.into_iter().next())
    }

    /// The variables of the task itself: `taskId`, `level`.
    pub async fn task_local_variables(&self, id: &str) -> Result<Variables, EngineError> {
        self.get(&["task", id, "localVariables"], &[]).await
    }

    /// Completes a task. A repeat of one that took effect is [`EngineError::NotFound`] (the engine says 500,
    /// "task is null").
    pub async fn complete_task(&self, id: &str, variables: &Variables) -> Result<(), EngineError> {
        self.send(Method::POST, &["task", id, "complete"], &CompleteBody { variables }).await
    }

    /// Sets or removes the assignee, whoever it was.
    pub async fn set_assignee(&self, id: &str, user: Option<&str>) -> Result<(), EngineError> {
        self.send(Method::POST, &["task", id, "assignee"], &AssigneeBody { user_id: user }).await
    }
}
