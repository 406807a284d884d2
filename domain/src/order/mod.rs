//! The order aggregate: its state, in which every phase holds only what is valid there, and the statuses
//! that follow from it. What may happen is in `decide`, `cancel` and `step`, what has happened in `event`,
//! how state follows from events in `evolve`, and what others must do because of it in `react`.
//!
//! A line's steps are its offering's fulfilment, for the actions ADD and CHANGE. Lines that disconnect or keep
//! an installed product have no steps, as there are no assets yet that a step could act on.

mod cancel;
pub mod command;
mod decide;
pub mod event;
mod evolve;
mod react;
pub mod snapshot;
mod step;
pub mod view;

pub use command::OrderCommand;
pub use decide::{Context, decide};
pub use event::OrderEvent;
pub use evolve::{evolve, fold};
pub use react::react;

use crate::ids::{ActorId, FalloutId, LineNumber, OrderId, StepId, TenantId};
use crate::moment::Moment;
use serde::{Deserialize, Serialize};
use snapshot::OrderSnapshot;
use std::fmt;

/// The plan that an order starts with; an amendment makes the next.
pub const FIRST_PLAN: u32 = 1;

/// The steps that downstream systems can undo. Any other is irreversible, so that a step which nobody thought
/// about is not undone by guess.
const COMPENSABLE: [&str; 2] = ["RESERVE_INVENTORY", "ACTIVATE_SERVICE"];

/// Whether a step, once done, stays done: from then on the order cannot be cancelled.
pub fn is_irreversible(step_type: &str) -> bool {
    !COMPENSABLE.contains(&step_type)
}

/// Why a fallout case was raised, where no downstream system gives its own code.
pub mod reason {
    /// The retries are used up.
    pub const TECHNICAL_FAILURE: &str = "TECHNICAL_FAILURE";
    /// Nobody could find out whether the step was done.
    pub const OUTCOME_UNKNOWN: &str = "OUTCOME_UNKNOWN";
    /// The step could not be undone.
    pub const COMPENSATION_FAILED: &str = "COMPENSATION_FAILED";
    /// The engine has ended the cancelled fulfilment, but the step may still hold what it did.
    pub const NOT_COMPENSATED: &str = "NOT_COMPENSATED";
}

/// How a fallout case ended.
pub mod resolution {
    /// The step was done after all.
    pub const COMPLETED: &str = "COMPLETED";
    /// The step was tried again and fell out again, under a case of its own.
    pub const SUPERSEDED: &str = "SUPERSEDED";
    /// What the step did was undone.
    pub const COMPENSATED: &str = "COMPENSATED";
    /// The order was cancelled, and the step holds nothing.
    pub const ORDER_CANCELLED: &str = "ORDER_CANCELLED";
}

/// An order: what was sold, how far its fulfilment is, and what needs a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    pub order_id: OrderId,
    pub tenant_id: TenantId,
    /// Raised by every commercial change; 1 at creation.
    pub revision: u32,
    /// Number of events so far: the `aggregateSequence` of the newest.
    pub sequence: u64,
    pub plan_version: u32,
    pub created_at: Moment,
    pub updated_at: Moment,
    pub snapshot: OrderSnapshot,
    /// The fulfilment of the snapshot's lines, in the same order.
    pub lines: Vec<OrderLine>,
    /// Every case ever raised, in order; at most one open case per step.
    pub fallout: Vec<FalloutCase>,
    pub phase: Phase,
}

/// Where an order is in its life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "SCREAMING_SNAKE_CASE", rename_all_fields = "camelCase")]
pub enum Phase {
    /// The engine does not run the plan yet.
    AwaitingFulfilment,
    Fulfilling {
        process_instance_id: String,
    },
    Cancelling {
        cancellation: Cancellation,
    },
    Completed {
        completed_at: Moment,
    },
    Cancelled {
        cancellation: Cancellation,
        cancelled_at: Moment,
    },
}

/// Who wanted the order cancelled, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cancellation {
    pub reason_code: String,
    pub comment: Option<String>,
    pub requested_by: ActorId,
    pub requested_at: Moment,
}

/// The fulfilment of one line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderLine {
    pub line_number: LineNumber,
    pub steps: Vec<Step>,
}

/// One fulfilment step of a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    pub step_id: StepId,
    pub step_type: String,
    pub status: StepStatus,
    /// Calls that were begun.
    pub attempts: u32,
    /// The downstream system's own name for what it did.
    pub external_reference: Option<String>,
    /// The downstream system's own name for the undoing.
    pub compensation_reference: Option<String>,
}

/// The contract's order statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OrderStatus {
    CreatedPendingWorkflowStart,
    InProgress,
    Completed,
    Fallout,
    PendingCancellation,
    Cancelled,
}

impl OrderStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreatedPendingWorkflowStart => "CREATED_PENDING_WORKFLOW_START",
            Self::InProgress => "IN_PROGRESS",
            Self::Completed => "COMPLETED",
            Self::Fallout => "FALLOUT",
            Self::PendingCancellation => "PENDING_CANCELLATION",
            Self::Cancelled => "CANCELLED",
        }
    }
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The contract's line statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LineStatus {
    Pending,
    InProgress,
    Completed,
    Fallout,
    Cancelled,
}

/// The contract's step statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = FulfilmentStepStatus))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StepStatus {
    Pending,
    Running,
    /// Called, but no answer came: the effect may or may not be there.
    Unknown,
    Completed,
    /// The downstream system's business said no.
    Rejected,
    /// The retries are used up, and the effect is not there.
    Failed,
    Compensated,
    CompensationFailed,
    /// A person decided that the order needs it no longer.
    Skipped,
}

impl StepStatus {
    /// Nothing is left to do for the order to be complete.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Completed | Self::Skipped)
    }
    /// A downstream system may hold something for the order because of this step.
    pub fn may_hold_effect(self) -> bool {
        matches!(self, Self::Running | Self::Unknown | Self::Completed | Self::CompensationFailed)
    }
}

/// Something that needs a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FalloutCase {
    pub fallout_id: FalloutId,
    pub step_id: StepId,
    pub line_number: LineNumber,
    pub reason_code: String,
    pub detail: String,
    pub incident_id: Option<String>,
    pub status: FalloutStatus,
    pub raised_at: Moment,
    /// Set, like the two below, once the case is resolved.
    pub resolution: Option<String>,
    pub resolved_by: Option<ActorId>,
    pub resolved_at: Option<Moment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FalloutStatus {
    Open,
    Resolved,
}

impl Order {
    pub fn status(&self) -> OrderStatus {
        match &self.phase {
            Phase::AwaitingFulfilment => OrderStatus::CreatedPendingWorkflowStart,
            Phase::Fulfilling { .. } if self.open_cases().next().is_some() => OrderStatus::Fallout,
            Phase::Fulfilling { .. } => OrderStatus::InProgress,
            Phase::Cancelling { .. } => OrderStatus::PendingCancellation,
            Phase::Completed { .. } => OrderStatus::Completed,
            Phase::Cancelled { .. } => OrderStatus::Cancelled,
        }
    }

    /// A line's status follows from its steps, its cases and the order's phase.
    pub fn line_status(&self, line: &OrderLine) -> LineStatus {
        let any = |status: fn(StepStatus) -> bool| line.steps.iter().any(|step| status(step.status));
        match &self.phase {
            Phase::Cancelled { .. } => LineStatus::Cancelled,
            Phase::AwaitingFulfilment if !any(|status| status != StepStatus::Pending) => LineStatus::Pending,
            _ if self.open_cases().any(|case| case.line_number == line.line_number) => LineStatus::Fallout,
            _ if !any(|status| !status.is_done()) => LineStatus::Completed,
            _ if !any(|status| status != StepStatus::Pending) => LineStatus::Pending,
            _ => LineStatus::InProgress,
        }
    }

    /// All steps with the line that each belongs to.
    pub fn steps(&self) -> impl Iterator<Item = (&OrderLine, &Step)> {
        self.lines.iter().flat_map(|line| line.steps.iter().map(move |step| (line, step)))
    }

    pub fn step(&self, id: &StepId) -> Option<(&OrderLine, &Step)> {
        self.steps().find(|(_, step)| step.step_id == *id)
    }

    /// What needs a person now.
    pub fn open_cases(&self) -> impl Iterator<Item = &FalloutCase> {
        self.fallout.iter().filter(|case| case.status == FalloutStatus::Open)
    }

    /// The open case of a step, of which there is at most one.
    pub fn open_case(&self, step: &StepId) -> Option<&FalloutCase> {
        self.open_cases().find(|case| case.step_id == *step)
    }

    /// Whether a cancellation may be asked for, as far as the order itself knows.
    pub fn is_cancellable(&self) -> bool {
        matches!(self.phase, Phase::AwaitingFulfilment | Phase::Fulfilling { .. })
    }
}
