//! What the outside sees of a quote: the HTTP resource and, without its `allowedActions`, the state record on
//! the compacted topic. Only shapes; every value is the aggregate's.

pub use super::task_view::{TaskStatus, TaskType, TaskView};

use super::command::{AcceptanceMethod, ArtifactType, Verdict};
use super::{
    Acceptance, Approval, ApprovalStatus, ApprovalStep, Artifact, Phase, PricedOffer, Quote, QuoteStatus, StepDecision,
    StepStatus,
};
use crate::approval::ApprovalLevel;
use crate::catalog::changes::CatalogChanged;
use crate::command::{Claims, Role};
use crate::configuration::{CharacteristicValue, ConfiguredLine, LineAction};
use crate::ids::{
    ActorId, ApprovalRequestId, ArtifactId, AssetId, CustomerAccountId, LineNumber, OfferingId, OrderId, PriceResultId,
    QuoteId, TaskId, TenantId,
};
use crate::moment::Moment;
use crate::money::{Currency, Quantity};
use crate::pricing::Price;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The contract's Quote resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct QuoteView {
    pub quote_id: QuoteId,
    pub tenant_id: TenantId,
    pub revision: u32,
    pub status: QuoteStatus,
    pub customer_account_id: CustomerAccountId,
    pub customer_name: String,
    pub sales_owner_id: ActorId,
    pub currency: Currency,
    pub term_months: u32,
    pub valid_until: Option<Moment>,
    pub price_list_id: String,
    pub external_reference: Option<String>,
    /// The catalog that the lines were configured with.
    pub catalog_version: Option<String>,
    pub configuration_hash: Option<String>,
    pub lines: Vec<QuoteLineView>,
    pub price: Option<PriceView>,
    pub approval: Option<ApprovalView>,
    pub artifact: Option<ArtifactView>,
    pub acceptance: Option<AcceptanceView>,
    /// The order that acceptance has reserved; it exists once the status is ACCEPTED.
    pub order_id: Option<OrderId>,
    pub created_by: ActorId,
    pub created_at: Moment,
    pub updated_at: Moment,
    /// A newer catalog changes what the quote uses; absent where none does, and where only an outcome is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog_changed: Option<CatalogChanged>,
    /// What this caller could do now; absent where nobody asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_actions: Option<Vec<QuoteAction>>,
}

impl QuoteView {
    /// The quote as it is at `now`, for the caller with these claims, or for nobody in particular.
    pub fn of(quote: &Quote, now: Moment, claims: Option<&Claims>) -> Self {
        let configuration = quote.configuration();
        Self {
            quote_id: quote.quote_id.clone(),
            tenant_id: quote.tenant_id.clone(),
            revision: quote.revision,
            status: quote.status(),
            customer_account_id: quote.customer_account_id.clone(),
            customer_name: quote.customer_name.clone(),
            sales_owner_id: quote.sales_owner_id.clone(),
            currency: quote.currency,
            term_months: quote.term_months,
            valid_until: quote.valid_until,
            price_list_id: quote.price_list_id.clone(),
            external_reference: quote.external_reference.clone(),
            catalog_version: configuration.map(|c| c.catalog_version.clone()),
            configuration_hash: configuration.map(|c| c.configuration_hash.clone()),
            lines: configuration.map(|c| c.lines.iter().map(QuoteLineView::of).collect()).unwrap_or_default(),
            price: quote.price().map(|offer| PriceView::of(offer, now)),
            approval: quote.approval().map(ApprovalView::of),
            artifact: quote.artifact().map(ArtifactView::of),
            acceptance: quote.acceptance().map(AcceptanceView::of),
            order_id: quote.acceptance().map(|a| a.order_id.clone()),
            created_by: quote.created_by.clone(),
            created_at: quote.created_at,
            updated_at: quote.updated_at,
            catalog_changed: None,
            allowed_actions: claims.map(|claims| allowed_actions(quote, now, claims)),
        }
    }
}

/// A client's operations on a quote, by their OpenAPI operation ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub enum QuoteAction {
    ConfigureQuote,
    PriceQuote,
    SubmitForApproval,
    WithdrawApproval,
    DecideApproval,
    GenerateArtifact,
    AcceptQuote,
    ReopenQuote,
    WithdrawQuote,
    CreateOrder,
}

/// What role, object and state allow. A decision's authority limits are judged when it is made; who would break
/// four-eyes is not offered one.
fn allowed_actions(quote: &Quote, now: Moment, claims: &Claims) -> Vec<QuoteAction> {
    use QuoteAction as A;
    let me = &claims.actor_id;
    if !claims.may_access(&quote.customer_account_id) || !(quote.is_alive(now) || quote.acceptance().is_some()) {
        return Vec::new();
    }
    let sales = claims.has(Role::SalesRep);
    let fresh = quote.price().is_some_and(|price| now < price.fresh_until);
    let mut offers = match &quote.phase {
        Phase::Draft => vec![(A::ConfigureQuote, sales)],
        Phase::Configured { .. } => vec![(A::ConfigureQuote, sales), (A::PriceQuote, sales)],
        Phase::ApprovalRejected { .. } => {
            vec![(A::ConfigureQuote, sales), (A::PriceQuote, sales), (A::ReopenQuote, sales)]
        }
        Phase::Priced { .. } => {
            vec![(A::ConfigureQuote, sales), (A::PriceQuote, sales), (A::SubmitForApproval, sales && fresh)]
        }
        Phase::PendingApproval { approval, .. } => vec![
            (A::WithdrawApproval, sales && approval.requested_by == *me),
            (A::DecideApproval, claims.has(Role::Approver) && may_decide(quote, approval, me)),
        ],
        Phase::Approved { artifacts, .. } => vec![
            (A::GenerateArtifact, sales),
            (A::AcceptQuote, (sales || claims.has(Role::Customer)) && fresh && !artifacts.is_empty()),
            (A::ReopenQuote, sales),
        ],
        Phase::Accepted { acceptance, .. } => {
            vec![(A::CreateOrder, claims.has(Role::OrderManager) && !acceptance.order_linked)]
        }
        Phase::Withdrawn { .. } | Phase::Expired { .. } => Vec::new(),
    };
    offers.push((A::WithdrawQuote, sales && quote.is_alive(now)));
    offers.into_iter().filter(|(_, allowed)| *allowed).map(|(action, _)| action).collect()
}

fn may_decide(quote: &Quote, approval: &Approval, me: &ActorId) -> bool {
    let mine = |step: &ApprovalStep| step.status.is_open() && step.assignee.as_ref().is_none_or(|a| a == me);
    let decided = |step: &ApprovalStep| step.decision.as_ref().is_some_and(|d| d.decided_by == *me);
    approval.process_instance_id.is_some()
        && approval.requested_by != *me
        && quote.sales_owner_id != *me
        && approval.steps.iter().any(mine)
        && !approval.steps.iter().any(decided)
}

/// A configured line, defaults filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct QuoteLineView {
    pub line_number: LineNumber,
    pub parent_line_number: Option<LineNumber>,
    pub product_offering_id: OfferingId,
    pub product_offering_version: String,
    pub product_offering_name: String,
    pub quantity: Quantity,
    pub action: LineAction,
    pub characteristics: BTreeMap<String, CharacteristicValue>,
    pub asset_id: Option<AssetId>,
    pub requested_date: Option<String>,
}

impl QuoteLineView {
    fn of(line: &ConfiguredLine) -> Self {
        Self {
            line_number: line.line_number.clone(),
            parent_line_number: line.parent_line_number.clone(),
            product_offering_id: line.product_offering_id.clone(),
            product_offering_version: line.product_offering_version.clone(),
            product_offering_name: line.product_offering_name.clone(),
            quantity: line.quantity,
            action: line.action,
            characteristics: line.characteristics.clone(),
            asset_id: line.asset_id.clone(),
            requested_date: line.requested_date.clone(),
        }
    }
}

/// A price, stored or previewed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct PriceView {
    /// Null for a preview, which is stored nowhere.
    pub price_result_id: Option<PriceResultId>,
    #[serde(flatten)]
    pub price: Price,
    pub pricing_date: Moment,
    /// Whether the price still holds.
    pub fresh: bool,
    /// The price is fresh before this instant.
    pub fresh_until: Moment,
}

impl PriceView {
    pub fn of(offer: &PricedOffer, now: Moment) -> Self {
        Self {
            price_result_id: Some(offer.price_result_id.clone()),
            price: offer.price.clone(),
            pricing_date: offer.pricing_date,
            fresh: now < offer.fresh_until,
            fresh_until: offer.fresh_until,
        }
    }
}

/// Who must approve, why, and how far that is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ApprovalView {
    pub approval_request_id: ApprovalRequestId,
    pub status: ApprovalStatus,
    pub requested_by: ActorId,
    pub requested_at: Moment,
    pub justification: Option<String>,
    pub policy_version: String,
    /// The reasons of all steps, each once.
    pub reasons: Vec<String>,
    pub steps: Vec<ApprovalStepView>,
    /// Hash over the evidence of an approval that was given.
    pub approval_hash: Option<String>,
}

impl ApprovalView {
    pub fn of(approval: &Approval) -> Self {
        let mut reasons: Vec<String> = Vec::new();
        for reason in approval.steps.iter().flat_map(|step| &step.reasons) {
            if !reasons.contains(reason) {
                reasons.push(reason.clone());
            }
        }
        let steps = approval.steps.iter().map(|step| ApprovalStepView::of(step, &approval.approval_request_id));
        Self {
            approval_request_id: approval.approval_request_id.clone(),
            status: approval.status,
            requested_by: approval.requested_by.clone(),
            requested_at: approval.requested_at,
            justification: approval.justification.clone(),
            policy_version: approval.policy.policy_version.clone(),
            reasons,
            steps: steps.collect(),
            approval_hash: approval.approval_hash.clone(),
        }
    }
}

/// One level's part in an approval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ApprovalStepView {
    pub task_id: TaskId,
    pub level: ApprovalLevel,
    pub order: u32,
    pub status: StepStatus,
    pub reasons: Vec<String>,
    pub assignee: Option<ActorId>,
    pub due_at: Option<Moment>,
    pub escalated: bool,
    pub decision: Option<StepDecisionView>,
}

impl ApprovalStepView {
    fn of(step: &ApprovalStep, request: &ApprovalRequestId) -> Self {
        Self {
            task_id: step.task_id(request),
            level: step.level,
            order: step.order,
            status: step.status,
            reasons: step.reasons.clone(),
            assignee: step.assignee.clone(),
            due_at: step.due_at,
            escalated: step.escalated,
            decision: step.decision.as_ref().map(StepDecisionView::of),
        }
    }
}

/// How a step was decided. The authority it rests on is in the event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct StepDecisionView {
    pub decision: Verdict,
    pub decided_by: ActorId,
    pub decided_at: Moment,
    pub reason_code: String,
    pub comment: Option<String>,
}

impl StepDecisionView {
    fn of(decision: &StepDecision) -> Self {
        Self {
            decision: decision.decision,
            decided_by: decision.decided_by.clone(),
            decided_at: decision.decided_at,
            reason_code: decision.reason_code.clone(),
            comment: decision.comment.clone(),
        }
    }
}

/// A generated document; its bytes are at `…/artifacts/{artifactId}/content`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ArtifactView {
    pub artifact_id: ArtifactId,
    pub quote_revision: u32,
    pub artifact_type: ArtifactType,
    pub template_id: String,
    pub template_version: String,
    pub input_hash: String,
    pub content_hash: String,
    pub storage_uri: String,
    pub size_bytes: u64,
    pub generated_by: ActorId,
    pub generated_at: Moment,
}

impl ArtifactView {
    pub fn of(artifact: &Artifact) -> Self {
        Self {
            artifact_id: artifact.artifact_id.clone(),
            quote_revision: artifact.quote_revision,
            artifact_type: artifact.artifact_type,
            template_id: artifact.template_id.clone(),
            template_version: artifact.template_version.clone(),
            input_hash: artifact.input_hash.clone(),
            content_hash: artifact.content_hash.clone(),
            storage_uri: artifact.storage_uri.clone(),
            size_bytes: artifact.size_bytes,
            generated_by: artifact.generated_by.clone(),
            generated_at: artifact.generated_at,
        }
    }
}

/// Who accepted what, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct AcceptanceView {
    pub accepted_by: String,
    pub method: AcceptanceMethod,
    pub accepted_at: Moment,
    pub artifact_id: ArtifactId,
    /// The approved revision that was accepted.
    pub accepted_revision: u32,
    pub recorded_by: ActorId,
    pub recorded_at: Moment,
    pub acceptance_hash: String,
}

impl AcceptanceView {
    pub fn of(acceptance: &Acceptance) -> Self {
        Self {
            accepted_by: acceptance.accepted_by.clone(),
            method: acceptance.evidence.method,
            accepted_at: acceptance.evidence.accepted_at,
            artifact_id: acceptance.evidence.artifact_id.clone(),
            accepted_revision: acceptance.accepted_revision,
            recorded_by: acceptance.recorded_by.clone(),
            recorded_at: acceptance.recorded_at,
            acceptance_hash: acceptance.acceptance_hash.clone(),
        }
    }
}
