//! What has happened to an order: committed facts, complete enough that folding them with `evolve` gives the
//! order at any sequence, and that billing can bill from them alone.

use super::StepStatus;
use super::snapshot::OrderSnapshot;
use crate::ids::{ActorId, FalloutId, LineNumber, StepId};
use serde::{Deserialize, Serialize};

/// An event of an order. Tagged by name, as on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "payload")]
pub enum OrderEvent {
    OrderCreated(OrderCreated),
    OrderFulfilmentStarted(OrderFulfilmentStarted),
    OrderStepStarted(OrderStepStarted),
    OrderStepCompleted(OrderStepCompleted),
    OrderStepOutcomeUnknown(OrderStepOutcomeUnknown),
    OrderStepCompensated(OrderStepCompensated),
    OrderCompensationFailed(OrderCompensationFailed),
    OrderFalloutRaised(OrderFalloutRaised),
    OrderFalloutResolved(OrderFalloutResolved),
    OrderCompleted(OrderCompleted),
    OrderCancellationRequested(OrderCancellationRequested),
    OrderCancelled(OrderCancelled),
}

impl OrderEvent {
    /// The event's name, the same word on topic, schema and log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::OrderCreated(_) => "OrderCreated",
            Self::OrderFulfilmentStarted(_) => "OrderFulfilmentStarted",
            Self::OrderStepStarted(_) => "OrderStepStarted",
            Self::OrderStepCompleted(_) => "OrderStepCompleted",
            Self::OrderStepOutcomeUnknown(_) => "OrderStepOutcomeUnknown",
            Self::OrderStepCompensated(_) => "OrderStepCompensated",
            Self::OrderCompensationFailed(_) => "OrderCompensationFailed",
            Self::OrderFalloutRaised(_) => "OrderFalloutRaised",
            Self::OrderFalloutResolved(_) => "OrderFalloutResolved",
            Self::OrderCompleted(_) => "OrderCompleted",
            Self::OrderCancellationRequested(_) => "OrderCancellationRequested",
            Self::OrderCancelled(_) => "OrderCancelled",
        }
    }

    /// Whether the event is a commercial change, which raises the order's revision; fulfilment's steps do not.
    pub fn raises_revision(&self) -> bool {
        match self {
            Self::OrderCreated(_)
            | Self::OrderCompleted(_)
            | Self::OrderCancellationRequested(_)
            | Self::OrderCancelled(_) => true,
            Self::OrderFulfilmentStarted(_)
            | Self::OrderStepStarted(_)
            | Self::OrderStepCompleted(_)
            | Self::OrderStepOutcomeUnknown(_)
            | Self::OrderStepCompensated(_)
            | Self::OrderCompensationFailed(_)
            | Self::OrderFalloutRaised(_)
            | Self::OrderFalloutResolved(_) => false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderCreated {
    /// The same snapshot as in the quote's `QuoteAccepted`.
    pub order: OrderSnapshot,
    pub plan_version: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderFulfilmentStarted {
    pub plan_version: u32,
    pub process_instance_id: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderStepStarted {
    pub step_id: StepId,
    pub line_number: LineNumber,
    pub step_type: String,
    pub attempt: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderStepCompleted {
    pub step_id: StepId,
    pub line_number: LineNumber,
    pub step_type: String,
    pub external_reference: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderStepOutcomeUnknown {
    pub step_id: StepId,
    pub line_number: LineNumber,
    pub detail: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderStepCompensated {
    pub step_id: StepId,
    pub line_number: LineNumber,
    /// The downstream system's own name for the undoing.
    pub external_reference: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderCompensationFailed {
    pub step_id: StepId,
    pub line_number: LineNumber,
    pub detail: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderFalloutRaised {
    pub fallout_id: FalloutId,
    pub step_id: StepId,
    pub line_number: LineNumber,
    /// The downstream system's code for a refusal, else one of [`super::reason`].
    pub reason_code: String,
    pub detail: String,
    /// The step's status from here on: REJECTED, FAILED, or what it was where the case does not change it.
    pub step_status: StepStatus,
    pub incident_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderFalloutResolved {
    pub fallout_id: FalloutId,
    /// One of [`super::resolution`].
    pub resolution: String,
    pub resolved_by: ActorId,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderCompleted {
    pub plan_version: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderCancellationRequested {
    pub plan_version: u32,
    pub reason_code: String,
    pub comment: Option<String>,
    pub requested_by: ActorId,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderCancelled {
    pub plan_version: u32,
}
