//! What can stand on a topic, as the rest of the product sees it: envelopes with the domain's own types.

use cpq_domain::command::{Actor, CommandMeta};
use cpq_domain::ids::{CorrelationId, EventId, TenantId};
use cpq_domain::moment::Moment;
use cpq_domain::order::{OrderCommand, OrderEvent};
use cpq_domain::quote::{QuoteCommand, QuoteEvent};
use cpq_domain::workflow::{WorkflowCommand, WorkflowEvent};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// The kinds of aggregate that records are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AggregateType {
    Quote,
    Order,
    /// One approval request; workflow records only.
    Approval,
    /// One plan of an order; workflow records only.
    Fulfilment,
    /// A document to render; workflow records only.
    Artifact,
}

impl AggregateType {
    /// Every type.
    pub const ALL: [Self; 5] = [Self::Quote, Self::Order, Self::Approval, Self::Fulfilment, Self::Artifact];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quote => "QUOTE",
            Self::Order => "ORDER",
            Self::Approval => "APPROVAL",
            Self::Fulfilment => "FULFILMENT",
            Self::Artifact => "ARTIFACT",
        }
    }
    /// The type of that name on the wire.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }
    /// The aggregate that a workflow command is about.
    pub fn of_workflow(command: &WorkflowCommand) -> Self {
        match command {
            WorkflowCommand::StartApproval(_)
            | WorkflowCommand::CompleteApprovalStep(_)
            | WorkflowCommand::EndApproval(_) => Self::Approval,
            WorkflowCommand::StartFulfilment(_) | WorkflowCommand::CancelFulfilment(_) => Self::Fulfilment,
            WorkflowCommand::RenderArtifact(_) => Self::Artifact,
        }
    }
    /// The namespace of its records.
    pub fn namespace(self) -> &'static str {
        match self {
            Self::Quote => "cpq.quote",
            Self::Order => "cpq.order",
            Self::Approval | Self::Fulfilment | Self::Artifact => "cpq.workflow",
        }
    }
}

impl fmt::Display for AggregateType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What every event says besides what happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventEnvelope {
    pub event_id: EventId,
    /// Counts compatible changes of the event's schema.
    pub event_version: u32,
    pub occurred_at: Moment,
    pub tenant_id: TenantId,
    pub aggregate_type: AggregateType,
    /// The message's key.
    pub aggregate_id: String,
    pub aggregate_revision: u32,
    /// 1, 2, 3 … per aggregate, without a gap.
    pub aggregate_sequence: u64,
    pub correlation_id: CorrelationId,
    /// The command or event that caused it.
    pub causation_id: Option<String>,
    pub actor: Actor,
}

/// A committed fact.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Quote(QuoteEvent),
    Order(OrderEvent),
    Workflow(WorkflowEvent),
}

impl Event {
    /// `QuotePriced`: the record's name without its namespace.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Quote(event) => event.name(),
            Self::Order(event) => event.name(),
            Self::Workflow(event) => event.name(),
        }
    }
}

/// An accepted command.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Quote(QuoteCommand),
    Order(OrderCommand),
    Workflow(WorkflowCommand),
}

impl Command {
    /// `PriceQuote`: the record's name without its namespace.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Quote(command) => command.name(),
            Self::Order(command) => command.name(),
            Self::Workflow(command) => command.name(),
        }
    }
}

/// One decoded message.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    Event(EventEnvelope, Event),
    /// The command's meta data, its aggregate's type and id, and what is asked.
    Command(CommandMeta, AggregateType, String, Command),
    /// The newest state of an aggregate, as its GET shows it, with `aggregateSequence`. `name` is the
    /// record's full name.
    State {
        name: String,
        value: Value,
    },
}
