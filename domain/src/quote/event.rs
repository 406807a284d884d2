//! What has happened to a quote: committed facts, one struct per event, complete enough that folding them
//! with `evolve` gives the quote at any sequence.

use super::command::{AcceptanceEvidence, Verdict};
use super::{Artifact, AuthoritySnapshot, PricedOffer};
use crate::approval::{ApprovalLevel, PlannedStep, PolicyEvaluation};
use crate::configuration::Configuration;
use crate::ids::{ActorId, ApprovalRequestId, CustomerAccountId, OrderId};
use crate::moment::Moment;
use crate::money::Currency;
use crate::order::snapshot::OrderSnapshot;
use serde::{Deserialize, Serialize};

/// An event of a quote. Tagged by name, as on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "payload")]
pub enum QuoteEvent {
    QuoteCreated(QuoteCreated),
    QuoteConfigured(QuoteConfigured),
    QuotePriced(QuotePriced),
    QuoteSubmittedForApproval(QuoteSubmittedForApproval),
    QuoteApprovalStarted(QuoteApprovalStarted),
    QuoteApprovalStepClaimed(QuoteApprovalStepClaimed),
    QuoteApprovalStepReleased(QuoteApprovalStepReleased),
    QuoteApprovalStepDecided(QuoteApprovalStepDecided),
    QuoteApprovalEscalated(QuoteApprovalEscalated),
    QuoteApprovalWithdrawn(QuoteApprovalWithdrawn),
    QuoteApproved(QuoteApproved),
    QuoteApprovalRejected(QuoteApprovalRejected),
    QuoteArtifactGenerated(QuoteArtifactGenerated),
    QuoteAccepted(QuoteAccepted),
    QuoteOrderLinked(QuoteOrderLinked),
    QuoteReopened(QuoteReopened),
    QuoteWithdrawn(QuoteWithdrawn),
    QuoteExpired(QuoteExpired),
}

impl QuoteEvent {
    /// The event's name, the same word on topic, schema and log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::QuoteCreated(_) => "QuoteCreated",
            Self::QuoteConfigured(_) => "QuoteConfigured",
            Self::QuotePriced(_) => "QuotePriced",
            Self::QuoteSubmittedForApproval(_) => "QuoteSubmittedForApproval",
            Self::QuoteApprovalStarted(_) => "QuoteApprovalStarted",
            Self::QuoteApprovalStepClaimed(_) => "QuoteApprovalStepClaimed",
            Self::QuoteApprovalStepReleased(_) => "QuoteApprovalStepReleased",
            Self::QuoteApprovalStepDecided(_) => "QuoteApprovalStepDecided",
            Self::QuoteApprovalEscalated(_) => "QuoteApprovalEscalated",
            Self::QuoteApprovalWithdrawn(_) => "QuoteApprovalWithdrawn",
            Self::QuoteApproved(_) => "QuoteApproved",
            Self::QuoteApprovalRejected(_) => "QuoteApprovalRejected",
            Self::QuoteArtifactGenerated(_) => "QuoteArtifactGenerated",
            Self::QuoteAccepted(_) => "QuoteAccepted",
            Self::QuoteOrderLinked(_) => "QuoteOrderLinked",
            Self::QuoteReopened(_) => "QuoteReopened",
            Self::QuoteWithdrawn(_) => "QuoteWithdrawn",
            Self::QuoteExpired(_) => "QuoteExpired",
        }
    }

    /// Whether the event is a commercial change, which raises the quote's revision; technical steps do not.
    pub fn raises_revision(&self) -> bool {
        match self {
            Self::QuoteCreated(_)
            | Self::QuoteConfigured(_)
            | Self::QuotePriced(_)
            | Self::QuoteSubmittedForApproval(_)
            | Self::QuoteApprovalWithdrawn(_)
            | Self::QuoteApproved(_)
            | Self::QuoteApprovalRejected(_)
            | Self::QuoteAccepted(_)
            | Self::QuoteReopened(_)
            | Self::QuoteWithdrawn(_)
            | Self::QuoteExpired(_) => true,
            Self::QuoteApprovalStarted(_)
            | Self::QuoteApprovalStepClaimed(_)
            | Self::QuoteApprovalStepReleased(_)
            | Self::QuoteApprovalStepDecided(_)
            | Self::QuoteApprovalEscalated(_)
            | Self::QuoteArtifactGenerated(_)
            | Self::QuoteOrderLinked(_) => false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuoteCreated {
    pub customer_account_id: CustomerAccountId,
    /// The customer's name at creation, for people who read the fact.
    pub customer_name: String,
    /// The customer's sales owner at creation.
    pub sales_owner_id: ActorId,
    pub currency: Currency,
    pub term_months: u32,
    pub valid_until: Option<Moment>,
    pub price_list_id: String,
    pub external_reference: Option<String>,
    pub created_by: ActorId,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuoteConfigured {
    pub configuration: Configuration,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuotePriced {
    pub price: PricedOffer,
    /// Canonical JSON of the price trace; `price.traceHash` is its SHA-256. Replays to the last digit.
    pub trace: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuoteSubmittedForApproval {
    pub approval_request_id: ApprovalRequestId,
    pub requested_by: ActorId,
    pub justification: Option<String>,
    /// Inputs, matched rules and version of the policy: why these steps and no others.
    pub policy: PolicyEvaluation,
    /// Empty where the policy needs nobody.
    pub steps: Vec<PlannedStep>,
    /// Hash of the price that approvers are shown, which the approval rests on.
    pub price_hash: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuoteApprovalStarted {
    pub approval_request_id: ApprovalRequestId,
    pub process_instance_id: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuoteApprovalStepClaimed {
    pub approval_request_id: ApprovalRequestId,
    pub level: ApprovalLevel,
    pub assignee: ActorId,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuoteApprovalStepReleased {
    pub approval_request_id: ApprovalRequestId,
    pub level: ApprovalLevel,
    pub released_by: ActorId,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuoteApprovalStepDecided {
    pub approval_request_id: ApprovalRequestId,
    pub level: ApprovalLevel,
    pub decision: Verdict,
    pub decided_by: ActorId,
    pub reason_code: String,
    pub comment: Option<String>,
    /// The approver's limits at that moment.
    pub authority: AuthoritySnapshot,
    /// Hash of the price that the approver decided on.
    pub price_hash: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuoteApprovalEscalated {
    pub approval_request_id: ApprovalRequestId,
    pub level: ApprovalLevel,
    pub escalated_to: ApprovalLevel,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuoteApprovalWithdrawn {
    pub approval_request_id: ApprovalRequestId,
    pub withdrawn_by: ActorId,
    pub reason_code: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuoteApproved {
    pub approval_request_id: ApprovalRequestId,
    pub requested_by: ActorId,
    /// Hash over the approval's evidence: policy, steps, decisions and the price they rest on.
    pub approval_hash: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuoteApprovalRejected {
    pub approval_request_id: ApprovalRequestId,
    pub requested_by: ActorId,
    pub rejected_by: ActorId,
    pub level: ApprovalLevel,
    pub reason_code: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuoteArtifactGenerated {
    pub artifact: Artifact,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuoteAccepted {
    pub accepted_by: String,
    pub acceptance_evidence: AcceptanceEvidence,
    pub recorded_by: ActorId,
    /// The approved revision that the acceptance names, with the artifact.
    pub accepted_revision: u32,
    /// Content hash of the accepted artifact, which the acceptance rests on.
    pub artifact_hash: String,
    pub acceptance_hash: String,
    /// Reserved here, so that one acceptance can lead to one order only.
    pub order_id: OrderId,
    /// Everything an order needs, so that it never reads a mutable quote.
    pub order: OrderSnapshot,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuoteOrderLinked {
    pub order_id: OrderId,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuoteReopened {
    pub reopened_by: ActorId,
    pub reason_code: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuoteWithdrawn {
    pub withdrawn_by: ActorId,
    pub reason_code: Option<String>,
    /// The open approval that ends with the quote.
    pub approval_request_id: Option<ApprovalRequestId>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuoteExpired {
    pub valid_until: Moment,
    /// Who sells to the customer, and may want to make a new quote.
    pub sales_owner_id: ActorId,
    /// The open approval that ends with the quote.
    pub approval_request_id: Option<ApprovalRequestId>,
}
