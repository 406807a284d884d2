//! The commands that an order decides: one from the quote, one from clients, the rest are the bridge's reports
//! of what the engine and the downstream systems did.

use super::snapshot::OrderSnapshot;
use crate::ids::StepId;
use serde::{Deserialize, Serialize};

/// A command on an order. Tagged by name, as on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "payload")]
pub enum OrderCommand {
    CreateOrder(CreateOrder),
    CancelOrder(CancelOrder),

    RecordFulfilmentStarted(RecordFulfilmentStarted),
    RecordStepStarted(RecordStepStarted),
    RecordStepCompleted(RecordStepCompleted),
    RecordStepUnknown(RecordStepUnknown),
    RecordStepRejected(RecordStepRejected),
    RecordStepFailed(RecordStepFailed),
    RecordStepCompensated(RecordStepCompensated),
    RecordCompensationFailed(RecordCompensationFailed),
    RecordFulfilmentCancelled(RecordFulfilmentCancelled),
}

impl OrderCommand {
    /// The command's name, the same word on topic, schema and log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CreateOrder(_) => "CreateOrder",
            Self::CancelOrder(_) => "CancelOrder",
            Self::RecordFulfilmentStarted(_) => "RecordFulfilmentStarted",
            Self::RecordStepStarted(_) => "RecordStepStarted",
            Self::RecordStepCompleted(_) => "RecordStepCompleted",
            Self::RecordStepUnknown(_) => "RecordStepUnknown",
            Self::RecordStepRejected(_) => "RecordStepRejected",
            Self::RecordStepFailed(_) => "RecordStepFailed",
            Self::RecordStepCompensated(_) => "RecordStepCompensated",
            Self::RecordCompensationFailed(_) => "RecordCompensationFailed",
            Self::RecordFulfilmentCancelled(_) => "RecordFulfilmentCancelled",
        }
    }
}

/// An accepted quote becomes the order whose id the acceptance reserved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateOrder {
    pub order: OrderSnapshot,
}

/// `POST /orders/{id}/cancellation`, form already checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct CancelOrder {
    pub order_revision: u32,
    pub reason_code: String,
    pub comment: Option<String>,
}

/// The engine runs the plan: the bridge's ledger row is admitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordFulfilmentStarted {
    pub plan_version: u32,
    pub process_instance_id: String,
}

/// A worker is about to call the downstream system for the `attempt`th time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordStepStarted {
    pub step_id: StepId,
    /// From 1; a report of an attempt that is known already changes nothing.
    pub attempt: u32,
}

/// The downstream system has done it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordStepCompleted {
    pub step_id: StepId,
    /// The downstream system's own name for what it did.
    pub external_reference: String,
}

/// No answer came: the downstream system may or may not have done it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordStepUnknown {
    pub step_id: StepId,
    pub detail: String,
}

/// The downstream system's business said no.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordStepRejected {
    pub step_id: StepId,
    pub code: String,
    pub detail: String,
}

/// The retries are used up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordStepFailed {
    pub step_id: StepId,
    pub detail: String,
    /// The engine's incident, where it raised one.
    pub incident_id: Option<String>,
}

/// What the step did has been undone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordStepCompensated {
    pub step_id: StepId,
    /// The downstream system's own name for the undoing.
    pub external_reference: String,
}

/// What the step did could not be undone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordCompensationFailed {
    pub step_id: StepId,
    pub detail: String,
}

/// The engine's instance has ended after a cancellation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordFulfilmentCancelled {
    pub plan_version: u32,
}
