//! The quote aggregate: its state, in which every phase holds only what is valid there. What may happen in
//! it is in `decide`, what has happened in `event`, how state follows from events in `evolve`, and what
//! others must do because of it in `react`.

mod accept;
mod approve;
mod authority;
mod close;
pub mod command;
mod decide;
mod decide_step;
pub mod diff;
mod diff_facts;
pub mod event;
mod evolve;
mod price;
mod react;
mod revise;
mod task;
mod task_view;
pub mod template;
pub mod trial;
pub mod view;

pub use command::QuoteCommand;
pub use decide::{Context, decide};
pub use event::QuoteEvent;
pub use evolve::{evolve, fold, fold_to_revision};
pub use react::react;

use crate::approval::{ApprovalLevel, PolicyEvaluation};
use crate::configuration::Configuration;
use crate::ids::{
    ActorId, ApprovalRequestId, ArtifactId, CustomerAccountId, OrderId, PriceResultId, QuoteId, TaskId, TenantId,
};
use crate::moment::Moment;
use crate::money::{Amount, Currency, Percent};
use crate::pricing::{Price, PricingRequest};
use command::{AcceptanceEvidence, ArtifactType, Verdict};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A quote: what is common to all phases, and the phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quote {
    pub quote_id: QuoteId,
    pub tenant_id: TenantId,
    /// Raised by every commercial change; 1 at creation.
    pub revision: u32,
    /// Number of events so far: the `aggregateSequence` of the newest.
    pub sequence: u64,
    pub customer_account_id: CustomerAccountId,
    /// As it was at creation.
    pub customer_name: String,
    pub sales_owner_id: ActorId,
    pub currency: Currency,
    pub term_months: u32,
    pub valid_until: Option<Moment>,
    pub price_list_id: String,
    pub external_reference: Option<String>,
    pub created_by: ActorId,
    pub created_at: Moment,
    pub updated_at: Moment,
    pub phase: Phase,
}

/// Where a quote is in its life, and the evidence that holds there. A transition that changes what evidence
/// rests on drops it: configuration drops price, approval, artifact; price drops approval, artifact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "SCREAMING_SNAKE_CASE", rename_all_fields = "camelCase")]
pub enum Phase {
    Draft,
    Configured {
        configuration: Configuration,
    },
    Priced {
        configuration: Configuration,
        price: PricedOffer,
    },
    PendingApproval {
        configuration: Configuration,
        price: PricedOffer,
        approval: Approval,
    },
    Approved {
        configuration: Configuration,
        price: PricedOffer,
        approval: Approval,
        artifacts: Vec<Artifact>,
    },
    ApprovalRejected {
        configuration: Configuration,
        price: PricedOffer,
        approval: Approval,
    },
    Accepted {
        configuration: Configuration,
        price: PricedOffer,
        approval: Approval,
        acceptance: Box<Acceptance>,
    },
    /// Taken back by the seller. What it had come to stays as history; nothing can rest on it any more.
    Withdrawn {
        was: Box<Phase>,
    },
    /// As withdrawn, because `valid_until` has passed.
    Expired {
        was: Box<Phase>,
    },
}

/// The contract's quote statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum QuoteStatus {
    Draft,
    Configured,
    Priced,
    PendingApprovalWorkflowStart,
    PendingApproval,
    Approved,
    ApprovalRejected,
    AcceptedPendingOrderCreation,
    Accepted,
    Expired,
    Withdrawn,
}

impl QuoteStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "DRAFT",
            Self::Configured => "CONFIGURED",
            Self::Priced => "PRICED",
            Self::PendingApprovalWorkflowStart => "PENDING_APPROVAL_WORKFLOW_START",
            Self::PendingApproval => "PENDING_APPROVAL",
            Self::Approved => "APPROVED",
            Self::ApprovalRejected => "APPROVAL_REJECTED",
            Self::AcceptedPendingOrderCreation => "ACCEPTED_PENDING_ORDER_CREATION",
            Self::Accepted => "ACCEPTED",
            Self::Expired => "EXPIRED",
            Self::Withdrawn => "WITHDRAWN",
        }
    }
}

impl fmt::Display for QuoteStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A price together with what it rests on and how long it holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PricedOffer {
    pub price_result_id: PriceResultId,
    pub price: Price,
    /// The discounts and overrides that were asked for.
    pub request: PricingRequest,
    pub pricing_date: Moment,
    pub priced_at: Moment,
    /// The price is fresh before this instant.
    pub fresh_until: Moment,
    /// Hash of the configuration that was priced.
    pub configuration_hash: String,
    pub trace_hash: String,
    /// Hash of price, request, trace and configuration hashes: what approval rests on.
    pub price_hash: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ApprovalStatus {
    Pending,
    Approved,
    Rejected,
    /// The quote was withdrawn or expired before it was decided.
    Cancelled,
}

/// The approval of one submitted revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    pub approval_request_id: ApprovalRequestId,
    pub requested_by: ActorId,
    pub requested_at: Moment,
    pub justification: Option<String>,
    pub policy: PolicyEvaluation,
    pub status: ApprovalStatus,
    /// The engine's instance once the workflow runs; steps cannot be decided before.
    pub process_instance_id: Option<String>,
    pub steps: Vec<ApprovalStep>,
    pub price_hash: String,
    pub approval_hash: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ApprovalStepStatus))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StepStatus {
    /// A step of a lower order is not decided yet.
    Waiting,
    Open,
    Claimed,
    Approved,
    Rejected,
    /// Another step rejected, or the quote has ended: nobody needs to decide this one.
    Cancelled,
}

impl StepStatus {
    pub fn is_open(self) -> bool {
        matches!(self, Self::Open | Self::Claimed)
    }
    pub fn is_decided(self) -> bool {
        matches!(self, Self::Approved | Self::Rejected)
    }
}

/// One level's part in an approval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalStep {
    pub level: ApprovalLevel,
    pub order: u32,
    pub reasons: Vec<String>,
    pub sla_hours: u32,
    pub escalate_to: ApprovalLevel,
    pub status: StepStatus,
    pub assignee: Option<ActorId>,
    /// When the SLA ends; set when the step opens.
    pub due_at: Option<Moment>,
    pub escalated: bool,
    pub decision: Option<StepDecision>,
}

impl ApprovalStep {
    pub fn task_id(&self, request: &ApprovalRequestId) -> TaskId {
        TaskId::approval(request, self.level.as_str())
    }
}

/// How a step was decided, on what authority, looking at what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepDecision {
    pub decision: Verdict,
    pub decided_by: ActorId,
    pub decided_at: Moment,
    pub reason_code: String,
    pub comment: Option<String>,
    pub authority: AuthoritySnapshot,
}

/// An approver's authority as it was when they decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthoritySnapshot {
    pub actor_id: ActorId,
    pub role: ApprovalLevel,
    pub max_discount_percent: Percent,
    pub max_total_amount: Amount,
    pub currency: Currency,
    pub valid_from: Moment,
    pub valid_to: Option<Moment>,
}

/// The metadata of a stored document; the bytes are in the object store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    pub artifact_id: ArtifactId,
    /// The revision that the document shows.
    pub quote_revision: u32,
    pub artifact_type: ArtifactType,
    pub template_id: String,
    pub template_version: String,
    /// `sha256:` and the hex digest of the canonical render input, which the document prints.
    pub input_hash: String,
    /// `sha256:` and the hex digest of the stored bytes.
    pub content_hash: String,
    pub storage_uri: String,
    pub size_bytes: u64,
    pub generated_by: ActorId,
    pub generated_at: Moment,
}

/// The acceptance of an approved revision, and the order it reserved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Acceptance {
    pub accepted_by: String,
    pub evidence: AcceptanceEvidence,
    pub recorded_by: ActorId,
    pub recorded_at: Moment,
    /// The approved revision that was accepted.
    pub accepted_revision: u32,
    pub artifact: Artifact,
    pub acceptance_hash: String,
    pub order_id: OrderId,
    /// Whether the order exists.
    pub order_linked: bool,
}

impl Quote {
    pub fn status(&self) -> QuoteStatus {
        match &self.phase {
            Phase::Draft => QuoteStatus::Draft,
            Phase::Configured { .. } => QuoteStatus::Configured,
            Phase::Priced { .. } => QuoteStatus::Priced,
            Phase::PendingApproval { approval, .. } if approval.process_instance_id.is_none() => {
                QuoteStatus::PendingApprovalWorkflowStart
            }
            Phase::PendingApproval { .. } => QuoteStatus::PendingApproval,
            Phase::Approved { .. } => QuoteStatus::Approved,
            Phase::ApprovalRejected { .. } => QuoteStatus::ApprovalRejected,
            Phase::Accepted { acceptance, .. } if !acceptance.order_linked => QuoteStatus::AcceptedPendingOrderCreation,
            Phase::Accepted { .. } => QuoteStatus::Accepted,
            Phase::Withdrawn { .. } => QuoteStatus::Withdrawn,
            Phase::Expired { .. } => QuoteStatus::Expired,
        }
    }

    pub fn configuration(&self) -> Option<&Configuration> {
        self.phase.configuration()
    }

    pub fn price(&self) -> Option<&PricedOffer> {
        self.phase.price()
    }

    pub fn approval(&self) -> Option<&Approval> {
        self.phase.approval()
    }

    pub fn acceptance(&self) -> Option<&Acceptance> {
        match &self.phase {
            Phase::Accepted { acceptance, .. } => Some(acceptance.as_ref()),
            _ => None,
        }
    }

    /// The newest artifact of the current revision, or the accepted one.
    pub fn artifact(&self) -> Option<&Artifact> {
        self.phase.artifact()
    }

    /// Whether commands may still change what is offered: neither accepted nor at an end.
    pub fn is_open(&self) -> bool {
        !matches!(self.phase, Phase::Accepted { .. } | Phase::Withdrawn { .. } | Phase::Expired { .. })
    }

    /// Open, and valid at this moment: an end of validity counts whether or not its timer has run.
    pub fn is_alive(&self, now: Moment) -> bool {
        self.is_open() && self.valid_until.is_none_or(|until| now < until)
    }

    /// When the quote expires by itself, unless something happens to it before.
    pub fn expires_at(&self) -> Option<Moment> {
        self.valid_until.filter(|_| self.is_open())
    }
}

impl Phase {
    fn configuration(&self) -> Option<&Configuration> {
        match self {
            Phase::Draft => None,
            Phase::Configured { configuration }
            | Phase::Priced { configuration, .. }
            | Phase::PendingApproval { configuration, .. }
            | Phase::Approved { configuration, .. }
            | Phase::ApprovalRejected { configuration, .. }
            | Phase::Accepted { configuration, .. } => Some(configuration),
            Phase::Withdrawn { was } | Phase::Expired { was } => was.configuration(),
        }
    }

    fn price(&self) -> Option<&PricedOffer> {
        match self {
            Phase::Draft | Phase::Configured { .. } => None,
            Phase::Priced { price, .. }
            | Phase::PendingApproval { price, .. }
            | Phase::Approved { price, .. }
            | Phase::ApprovalRejected { price, .. }
            | Phase::Accepted { price, .. } => Some(price),
            Phase::Withdrawn { was } | Phase::Expired { was } => was.price(),
        }
    }

    fn approval(&self) -> Option<&Approval> {
        match self {
            Phase::Draft | Phase::Configured { .. } | Phase::Priced { .. } => None,
            Phase::PendingApproval { approval, .. }
            | Phase::Approved { approval, .. }
            | Phase::ApprovalRejected { approval, .. }
            | Phase::Accepted { approval, .. } => Some(approval),
            Phase::Withdrawn { was } | Phase::Expired { was } => was.approval(),
        }
    }

    fn artifact(&self) -> Option<&Artifact> {
        match self {
            Phase::Approved { artifacts, .. } => artifacts.last(),
            Phase::Accepted { acceptance, .. } => Some(&acceptance.artifact),
            Phase::Withdrawn { was } | Phase::Expired { was } => was.artifact(),
            _ => None,
        }
    }
}
