//! What the quote and order processors ask of the processes beside them: the bridge to the engine, and the
//! document role. These are requests to act, never questions about truth.

use crate::approval::{ApprovalLevel, PlannedStep};
use crate::ids::{ActorId, ApprovalRequestId, ArtifactId, OrderId, QuoteId, StepId, TaskId};
use crate::moment::Moment;
use crate::quote::command::{ArtifactType, Verdict};
use serde::{Deserialize, Serialize};

/// A command on `cpq.workflow.commands.v1`. Tagged by name, as on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "payload")]
pub enum WorkflowCommand {
    StartApproval(StartApproval),
    CompleteApprovalStep(CompleteApprovalStep),
    EndApproval(EndApproval),
    StartFulfilment(StartFulfilment),
    CancelFulfilment(CancelFulfilment),
    RenderArtifact(RenderArtifact),
}

impl WorkflowCommand {
    pub fn name(&self) -> &'static str {
        match self {
            Self::StartApproval(_) => "StartApproval",
            Self::CompleteApprovalStep(_) => "CompleteApprovalStep",
            Self::EndApproval(_) => "EndApproval",
            Self::StartFulfilment(_) => "StartFulfilment",
            Self::CancelFulfilment(_) => "CancelFulfilment",
            Self::RenderArtifact(_) => "RenderArtifact",
        }
    }

    /// The aggregate that the command is about, which is its key: one approval's commands stay in order.
    pub fn aggregate_id(&self) -> String {
        match self {
            Self::StartApproval(c) => c.approval_request_id.to_string(),
            Self::CompleteApprovalStep(c) => c.approval_request_id.to_string(),
            Self::EndApproval(c) => c.approval_request_id.to_string(),
            Self::StartFulfilment(c) => fulfilment_id(&c.order_id, c.plan_version),
            Self::CancelFulfilment(c) => fulfilment_id(&c.order_id, c.plan_version),
            Self::RenderArtifact(c) => c.artifact_id.to_string(),
        }
    }

    /// `APPROVAL`, `FULFILMENT` or `ARTIFACT`.
    pub fn aggregate_type(&self) -> &'static str {
        match self {
            Self::StartApproval(_) | Self::CompleteApprovalStep(_) | Self::EndApproval(_) => "APPROVAL",
            Self::StartFulfilment(_) | Self::CancelFulfilment(_) => "FULFILMENT",
            Self::RenderArtifact(_) => "ARTIFACT",
        }
    }
}

/// `O-2026-000045:1`: one plan of one order; the engine's business key and the `FULFILMENT` aggregate's id.
pub fn fulfilment_id(order: &OrderId, plan_version: u32) -> String {
    format!("{order}:{plan_version}")
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StartApproval {
    pub quote_id: QuoteId,
    pub quote_revision: u32,
    pub approval_request_id: ApprovalRequestId,
    pub steps: Vec<PlannedStep>,
}

/// The quote has decided a step; the engine's user task follows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CompleteApprovalStep {
    pub quote_id: QuoteId,
    pub approval_request_id: ApprovalRequestId,
    pub level: ApprovalLevel,
    pub decision: Verdict,
}

/// The approval has ended without a decision; the engine's instance follows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndApproval {
    pub quote_id: QuoteId,
    pub approval_request_id: ApprovalRequestId,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StartFulfilment {
    pub order_id: OrderId,
    pub plan_version: u32,
    pub line_count: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CancelFulfilment {
    pub order_id: OrderId,
    pub plan_version: u32,
    pub reason_code: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RenderArtifact {
    pub quote_id: QuoteId,
    pub quote_revision: u32,
    pub artifact_id: ArtifactId,
    pub artifact_type: ArtifactType,
    pub template_id: String,
    pub template_version: String,
    pub requested_by: ActorId,
}

/// An event on `cpq.workflow.events.v1`: what the engine does for an approval or a fulfilment. Tagged by name,
/// as on the wire. Facts about steps, never business truth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "payload")]
pub enum WorkflowEvent {
    ProcessStarted(ProcessStarted),
    UserTaskCreated(UserTaskCreated),
    UserTaskCompleted(UserTaskCompleted),
    UserTaskEscalated(UserTaskEscalated),
    IncidentRaised(IncidentRaised),
    IncidentResolved(IncidentResolved),
}

impl WorkflowEvent {
    /// The event's name, the same word on topic, schema and log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ProcessStarted(_) => "ProcessStarted",
            Self::UserTaskCreated(_) => "UserTaskCreated",
            Self::UserTaskCompleted(_) => "UserTaskCompleted",
            Self::UserTaskEscalated(_) => "UserTaskEscalated",
            Self::IncidentRaised(_) => "IncidentRaised",
            Self::IncidentResolved(_) => "IncidentResolved",
        }
    }
}

/// An instance was admitted: it is the one that runs for its aggregate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessStarted {
    /// `quote-approval` or `order-fulfillment`.
    pub process_key: String,
    pub business_key: String,
    pub process_instance_id: String,
    /// The quote of an approval.
    pub quote_id: Option<QuoteId>,
    /// The order of a fulfilment.
    pub order_id: Option<OrderId>,
}

/// A step of an approval is open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserTaskCreated {
    pub quote_id: QuoteId,
    pub approval_request_id: ApprovalRequestId,
    pub task_id: TaskId,
    pub level: ApprovalLevel,
    pub process_instance_id: String,
    pub due_at: Option<Moment>,
}

/// The engine's task has followed the quote's decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserTaskCompleted {
    pub quote_id: QuoteId,
    pub approval_request_id: ApprovalRequestId,
    pub task_id: TaskId,
    pub level: ApprovalLevel,
    pub process_instance_id: String,
    pub decision: Verdict,
}

/// A step's SLA has passed. Who may decide it is the quote's to say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserTaskEscalated {
    pub quote_id: QuoteId,
    pub approval_request_id: ApprovalRequestId,
    pub task_id: TaskId,
    pub level: ApprovalLevel,
    pub escalated_to: ApprovalLevel,
    pub process_instance_id: String,
}

/// The engine has given up on an activity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IncidentRaised {
    pub incident_id: String,
    pub incident_type: String,
    pub process_instance_id: String,
    pub activity_id: String,
    pub quote_id: Option<QuoteId>,
    pub order_id: Option<OrderId>,
    /// The fulfilment step that the activity works on.
    pub step_id: Option<StepId>,
    pub message: Option<String>,
}

/// The engine goes on where it had given up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IncidentResolved {
    pub incident_id: String,
    pub incident_type: String,
    pub process_instance_id: String,
    pub activity_id: String,
    pub quote_id: Option<QuoteId>,
    pub order_id: Option<OrderId>,
    pub step_id: Option<StepId>,
}
