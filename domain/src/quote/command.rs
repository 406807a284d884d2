//! The commands that a quote decides. The first group comes from clients, the second from our own processes.

use crate::approval::ApprovalLevel;
use crate::configuration::LineRequest;
use crate::ids::{ApprovalRequestId, ArtifactId, CustomerAccountId, OrderId, QuoteId, TaskId};
use crate::moment::Moment;
use crate::money::Currency;
use crate::pricing::PricingRequest;
use serde::{Deserialize, Serialize};

/// A command on a quote. Tagged by name, as on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "payload")]
pub enum QuoteCommand {
    CreateQuote(CreateQuote),
    ConfigureQuote(ConfigureQuote),
    PriceQuote(PriceQuote),
    SubmitForApproval(SubmitForApproval),
    WithdrawApproval(WithdrawApproval),
    DecideApproval(DecideApproval),
    ClaimTask(ClaimTask),
    UnclaimTask(UnclaimTask),
    CompleteTask(CompleteTask),
    GenerateArtifact(GenerateArtifact),
    AcceptQuote(AcceptQuote),
    RequestOrder(RequestOrder),
    WithdrawQuote(WithdrawQuote),
    ReopenQuote(ReopenQuote),
    CloneQuote(CloneQuote),

    RecordApprovalStarted(RecordApprovalStarted),
    EscalateApprovalStep(EscalateApprovalStep),
    RecordArtifact(RecordArtifact),
    LinkOrder(LinkOrder),
    ExpireQuote(ExpireQuote),
}

impl QuoteCommand {
    /// The command's name, the same word on topic, schema and log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CreateQuote(_) => "CreateQuote",
            Self::ConfigureQuote(_) => "ConfigureQuote",
            Self::PriceQuote(_) => "PriceQuote",
            Self::SubmitForApproval(_) => "SubmitForApproval",
            Self::WithdrawApproval(_) => "WithdrawApproval",
            Self::DecideApproval(_) => "DecideApproval",
            Self::ClaimTask(_) => "ClaimTask",
            Self::UnclaimTask(_) => "UnclaimTask",
            Self::CompleteTask(_) => "CompleteTask",
            Self::GenerateArtifact(_) => "GenerateArtifact",
            Self::AcceptQuote(_) => "AcceptQuote",
            Self::RequestOrder(_) => "RequestOrder",
            Self::WithdrawQuote(_) => "WithdrawQuote",
            Self::ReopenQuote(_) => "ReopenQuote",
            Self::CloneQuote(_) => "CloneQuote",
            Self::RecordApprovalStarted(_) => "RecordApprovalStarted",
            Self::EscalateApprovalStep(_) => "EscalateApprovalStep",
            Self::RecordArtifact(_) => "RecordArtifact",
            Self::LinkOrder(_) => "LinkOrder",
            Self::ExpireQuote(_) => "ExpireQuote",
        }
    }

    /// The subject whose deferred commands get this command's outcome.
    pub fn settles(&self) -> Option<&str> {
        match self {
            Self::RecordArtifact(c) => Some(c.artifact.artifact_id.as_str()),
            Self::LinkOrder(c) => Some(c.order_id.as_str()),
            _ => None,
        }
    }
}

/// `POST /quotes`, form already checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct CreateQuote {
    pub customer_account_id: CustomerAccountId,
    pub currency: Currency,
    /// Months that recurring charges are committed for; at least 1.
    pub term_months: u32,
    pub valid_until: Option<Moment>,
    pub price_list_id: String,
    pub external_reference: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ConfigureQuote {
    pub quote_revision: u32,
    pub lines: Vec<LineRequest>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct PriceQuote {
    pub quote_revision: u32,
    /// `None`: the decision's own time.
    pub pricing_date: Option<Moment>,
    #[serde(flatten)]
    pub request: PricingRequest,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SubmitForApproval {
    pub quote_revision: u32,
    pub justification: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct WithdrawApproval {
    pub quote_revision: u32,
    pub reason_code: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    Approve,
    Reject,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct DecideApproval {
    pub quote_revision: u32,
    /// Required where several open steps match the caller.
    pub task_id: Option<TaskId>,
    pub decision: Verdict,
    pub reason_code: String,
    pub comment: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimTask {
    pub task_id: TaskId,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnclaimTask {
    pub task_id: TaskId,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct CompleteTask {
    pub task_id: TaskId,
    pub observed_quote_revision: u32,
    pub decision: Verdict,
    pub reason_code: String,
    pub comment: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ArtifactType {
    Proposal,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GenerateArtifact {
    pub quote_revision: u32,
    pub artifact_type: ArtifactType,
    pub template_id: String,
    /// The template's current version, which the gateway's build knows; part of the artifact's identity.
    pub template_version: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AcceptanceMethod {
    DigitalSignature,
    EmailConfirmation,
    ManualEntry,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct AcceptanceEvidence {
    pub method: AcceptanceMethod,
    pub accepted_at: Moment,
    pub artifact_id: ArtifactId,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct AcceptQuote {
    pub quote_revision: u32,
    pub accepted_by: String,
    pub acceptance_evidence: AcceptanceEvidence,
}

/// `POST /orders`: a command on the quote. `quote_revision` is the one named in the acceptance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct RequestOrder {
    pub quote_revision: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct WithdrawQuote {
    pub quote_revision: u32,
    pub reason_code: Option<String>,
}

/// Opens an approved or rejected offer again, to be changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ReopenQuote {
    pub quote_revision: u32,
    pub reason_code: Option<String>,
}

/// Makes the quote that the command is sent to from another one. The revision is the other one's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct CloneQuote {
    pub source_quote_id: QuoteId,
    pub quote_revision: u32,
    pub reason_code: Option<String>,
}

/// The engine runs the approval: the bridge's ledger row is admitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordApprovalStarted {
    pub approval_request_id: ApprovalRequestId,
    pub process_instance_id: String,
}

/// A step's SLA has passed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EscalateApprovalStep {
    pub approval_request_id: ApprovalRequestId,
    pub level: ApprovalLevel,
}

/// The document role has rendered and stored an artifact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordArtifact {
    pub artifact: super::Artifact,
}

/// The order that acceptance reserved exists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkOrder {
    pub order_id: OrderId,
}

/// The timer of a quote's validity has fired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExpireQuote {
    /// The end of validity that the timer was set to.
    pub valid_until: Moment,
}
