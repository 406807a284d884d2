//! A typed client of a Camunda-7-compatible engine over `/engine-rest` (Camunda 7.24, Operaton, CIB seven):
//! bounded in time and number, with errors that say whether a call may have taken effect. It knows the
//! engine, not quotes or orders: what to start, complete or report is the rest of the bridge's.

mod caught;
mod client;
mod deployments;
mod error;
mod external_tasks;
mod instant;
mod migrations;
mod operations;
mod processes;
mod user_tasks;
mod variables;

pub use caught::Caught;
pub use client::{EngineClient, EngineConfig, MAX_RESULTS};
pub use deployments::{DeployedDefinition, Deployment, Resource};
pub use error::EngineError;
pub use external_tasks::{
    BpmnError, Completion, ExternalTask, ExternalTaskQuery, Failure, FetchAndLock, MAX_MESSAGE_CHARS,
    TopicSubscription, WorkerId,
};
pub use migrations::MigrationPlan;
pub use operations::{Incident, IncidentQuery, Job, JobQuery};
pub use processes::{
    HistoricProcessInstance, InstanceQuery, Message, MessageTarget, ProcessDefinition, ProcessInstance, StartProcess,
};
pub use user_tasks::{EndedUserTask, UserTask, UserTaskQuery};
pub use variables::{MAX_STRING_CHARS, Value, Variables};
