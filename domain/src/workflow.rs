//! What the quote and order processors ask of the processes beside them: the bridge to the engine, and the
//! document role. These are requests to act, never questions about truth.

use crate::approval::{ApprovalLevel, PlannedStep};
use crate::ids::{ActorId, ApprovalRequestId, ArtifactId, OrderId, QuoteId};
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
