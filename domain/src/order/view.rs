//! What the outside sees of an order: the HTTP resource and, without its `allowedActions`, the state record on
//! the compacted topic. Only shapes; every value is the aggregate's.

use super::snapshot::{Charge, OrderLineSnapshot};
use super::{
    Cancellation, FalloutCase, FalloutStatus, LineStatus, Order, OrderLine, OrderStatus, Phase, Step, StepStatus,
    is_irreversible,
};
use crate::command::{Claims, Role};
use crate::configuration::{CharacteristicValue, LineAction};
use crate::ids::{
    ActorId, AssetId, CustomerAccountId, FalloutId, LineNumber, OfferingId, OrderId, PriceResultId, QuoteId, StepId,
    TenantId,
};
use crate::moment::Moment;
use crate::money::{Amount, Currency, Quantity};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The contract's Order resource: billing can bill from it alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct OrderView {
    pub order_id: OrderId,
    pub tenant_id: TenantId,
    pub revision: u32,
    pub status: OrderStatus,
    pub quote_id: QuoteId,
    /// The approved revision that was accepted.
    pub quote_revision: u32,
    pub customer_account_id: CustomerAccountId,
    pub customer_name: String,
    pub sales_owner_id: ActorId,
    pub currency: Currency,
    pub term_months: u32,
    pub total_amount: Amount,
    pub one_time_amount: Amount,
    pub recurring_monthly_amount: Amount,
    pub tax_amount: Amount,
    pub total_with_tax: Amount,
    pub price_result_id: PriceResultId,
    pub acceptance_hash: String,
    pub plan_version: u32,
    pub lines: Vec<OrderLineView>,
    pub fallout: Vec<FalloutView>,
    pub cancellation: Option<CancellationView>,
    pub created_at: Moment,
    pub updated_at: Moment,
    /// What this caller could do now; absent where nobody asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_actions: Option<Vec<OrderAction>>,
}

impl OrderView {
    /// The order for the caller with these claims, or for nobody in particular.
    pub fn of(order: &Order, claims: Option<&Claims>) -> Self {
        let sold = &order.snapshot;
        let lines = sold.lines.iter().zip(&order.lines).map(|(sold, line)| OrderLineView::of(order, sold, line));
        Self {
            order_id: order.order_id.clone(),
            tenant_id: order.tenant_id.clone(),
            revision: order.revision,
            status: order.status(),
            quote_id: sold.quote_id.clone(),
            quote_revision: sold.quote_revision,
            customer_account_id: sold.customer_account_id.clone(),
            customer_name: sold.customer_name.clone(),
            sales_owner_id: sold.sales_owner_id.clone(),
            currency: sold.currency,
            term_months: sold.term_months,
            total_amount: sold.total_amount,
            one_time_amount: sold.one_time_amount,
            recurring_monthly_amount: sold.recurring_monthly_amount,
            tax_amount: sold.tax_amount,
            total_with_tax: sold.total_with_tax,
            price_result_id: sold.price_result_id.clone(),
            acceptance_hash: sold.acceptance_hash.clone(),
            plan_version: order.plan_version,
            lines: lines.collect(),
            fallout: order.fallout.iter().map(FalloutView::of).collect(),
            cancellation: CancellationView::of(order),
            created_at: order.created_at,
            updated_at: order.updated_at,
            allowed_actions: claims.map(|claims| allowed_actions(order, claims)),
        }
    }
}

/// A client's operations on an order, by their OpenAPI operation ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub enum OrderAction {
    CancelOrder,
}

/// What role, object and state allow. An irreversible step that has begun is taken as the point of no return;
/// whether it is, the order's token row says when the cancellation is decided.
fn allowed_actions(order: &Order, claims: &Claims) -> Vec<OrderAction> {
    let begun = |step: &Step| is_irreversible(&step.step_type) && step.status.may_hold_effect();
    let may_cancel = claims.may_access(&order.snapshot.customer_account_id)
        && claims.has(Role::OrderManager)
        && order.is_cancellable()
        && !order.steps().any(|(_, step)| begun(step));
    if may_cancel { vec![OrderAction::CancelOrder] } else { Vec::new() }
}

/// A line as it was sold, and how far its fulfilment is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct OrderLineView {
    pub line_number: LineNumber,
    pub parent_line_number: Option<LineNumber>,
    pub action: LineAction,
    pub status: LineStatus,
    pub product_offering_id: OfferingId,
    pub product_offering_version: String,
    pub product_offering_name: String,
    pub quantity: Quantity,
    pub characteristics: BTreeMap<String, CharacteristicValue>,
    pub asset_id: Option<AssetId>,
    pub requested_date: Option<String>,
    pub charges: Vec<Charge>,
    pub steps: Vec<StepView>,
}

impl OrderLineView {
    fn of(order: &Order, sold: &OrderLineSnapshot, line: &OrderLine) -> Self {
        Self {
            line_number: sold.line_number.clone(),
            parent_line_number: sold.parent_line_number.clone(),
            action: sold.action,
            status: order.line_status(line),
            product_offering_id: sold.product_offering_id.clone(),
            product_offering_version: sold.product_offering_version.clone(),
            product_offering_name: sold.product_offering_name.clone(),
            quantity: sold.quantity,
            characteristics: sold.characteristics.clone(),
            asset_id: sold.asset_id.clone(),
            requested_date: sold.requested_date.clone(),
            charges: sold.charges.clone(),
            steps: line.steps.iter().map(StepView::of).collect(),
        }
    }
}

/// One fulfilment step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct StepView {
    pub step_id: StepId,
    #[serde(rename = "type")]
    pub step_type: String,
    pub status: StepStatus,
    pub attempts: u32,
    pub external_reference: Option<String>,
    pub compensation_reference: Option<String>,
}

impl StepView {
    fn of(step: &Step) -> Self {
        Self {
            step_id: step.step_id.clone(),
            step_type: step.step_type.clone(),
            status: step.status,
            attempts: step.attempts,
            external_reference: step.external_reference.clone(),
            compensation_reference: step.compensation_reference.clone(),
        }
    }
}

/// Something that needs, or needed, a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct FalloutView {
    pub fallout_id: FalloutId,
    pub step_id: StepId,
    pub line_number: LineNumber,
    pub reason_code: String,
    pub detail: String,
    pub status: FalloutStatus,
    pub raised_at: Moment,
    pub resolution: Option<String>,
    pub resolved_by: Option<ActorId>,
    pub resolved_at: Option<Moment>,
}

impl FalloutView {
    fn of(case: &FalloutCase) -> Self {
        Self {
            fallout_id: case.fallout_id.clone(),
            step_id: case.step_id.clone(),
            line_number: case.line_number.clone(),
            reason_code: case.reason_code.clone(),
            detail: case.detail.clone(),
            status: case.status,
            raised_at: case.raised_at,
            resolution: case.resolution.clone(),
            resolved_by: case.resolved_by.clone(),
            resolved_at: case.resolved_at,
        }
    }
}

/// Who wanted the order cancelled, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct CancellationView {
    pub reason_code: String,
    pub comment: Option<String>,
    pub requested_by: ActorId,
    pub requested_at: Moment,
    pub cancelled_at: Option<Moment>,
}

impl CancellationView {
    fn of(order: &Order) -> Option<Self> {
        let (cancellation, cancelled_at): (&Cancellation, _) = match &order.phase {
            Phase::Cancelling { cancellation } => (cancellation, None),
            Phase::Cancelled { cancellation, cancelled_at } => (cancellation, Some(*cancelled_at)),
            Phase::AwaitingFulfilment | Phase::Fulfilling { .. } | Phase::Completed { .. } => return None,
        };
        Some(Self {
            reason_code: cancellation.reason_code.clone(),
            comment: cancellation.comment.clone(),
            requested_by: cancellation.requested_by.clone(),
            requested_at: cancellation.requested_at,
            cancelled_at,
        })
    }
}
