//! From an approved quote to what its proposal shows.

use super::input::{ApprovalStepSummary, PriceTotals, RenderInput, RenderLine};
use cpq_domain::configuration::{CharacteristicValue, ConfiguredLine};
use cpq_domain::pricing::{Price, PriceKind, PriceLine};
use cpq_domain::quote::{Approval, Quote};
use cpq_domain::workflow::RenderArtifact;

/// The proposal's content; `None` if the quote has no price.
pub fn render_input(quote: &Quote, tenant_name: &str, request: &RenderArtifact) -> Option<RenderInput> {
    let configuration = quote.configuration()?;
    let price = &quote.price()?.price;
    Some(RenderInput {
        template_id: request.template_id.clone(),
        template_version: request.template_version.clone(),
        tenant_id: quote.tenant_id.to_string(),
        tenant_name: tenant_name.to_owned(),
        quote_id: quote.quote_id.to_string(),
        quote_revision: u64::from(quote.revision),
        customer_account_id: quote.customer_account_id.to_string(),
        customer_name: quote.customer_name.clone(),
        sales_owner_id: quote.sales_owner_id.to_string(),
        currency: quote.currency.to_string(),
        term_months: quote.term_months,
        valid_until: quote.valid_until.map(|at| at.to_string()),
        lines: configuration.lines.iter().map(|line| render_line(line, price)).collect(),
        totals: totals(price),
        approval_steps: quote.approval().map(steps).unwrap_or_default(),
    })
}

fn render_line(line: &ConfiguredLine, price: &Price) -> RenderLine {
    let of_kind = |kind: PriceKind| -> Option<&PriceLine> {
        price.lines.iter().find(|p| p.line_number == line.line_number && p.kind == kind)
    };
    RenderLine {
        line_number: line.line_number.to_string(),
        parent_line_number: line.parent_line_number.as_ref().map(ToString::to_string),
        product_offering_id: line.product_offering_id.to_string(),
        product_offering_version: line.product_offering_version.clone(),
        product_offering_name: line.product_offering_name.clone(),
        quantity: line.quantity.to_string(),
        action: line.action.as_str().to_owned(),
        characteristics: line.characteristics.iter().map(|(name, value)| (name.clone(), shown(value))).collect(),
        one_time_amount: of_kind(PriceKind::OneTime).map(|p| p.net_amount.to_string()),
        recurring_monthly_amount: of_kind(PriceKind::Recurring).map(|p| p.net_amount.to_string()),
        unit_rate: of_kind(PriceKind::Usage).and_then(|p| p.unit_rate).map(|rate| rate.to_string()),
    }
}

fn shown(value: &CharacteristicValue) -> String {
    match value {
        CharacteristicValue::Text(text) => text.clone(),
        CharacteristicValue::Integer(number) => number.to_string(),
        CharacteristicValue::Boolean(true) => "yes".to_owned(),
        CharacteristicValue::Boolean(false) => "no".to_owned(),
    }
}

fn totals(price: &Price) -> PriceTotals {
    PriceTotals {
        list_amount: price.list_amount.to_string(),
        discount_amount: price.discount_amount.to_string(),
        effective_discount_percent: price.effective_discount_percent.to_string(),
        one_time_amount: price.one_time_amount.to_string(),
        recurring_monthly_amount: price.recurring_monthly_amount.to_string(),
        total_amount: price.total_amount.to_string(),
        tax_amount: price.tax_amount.to_string(),
        total_with_tax: price.total_with_tax.to_string(),
    }
}

fn steps(approval: &Approval) -> Vec<ApprovalStepSummary> {
    approval
        .steps
        .iter()
        .map(|step| ApprovalStepSummary {
            level: step.level.as_str().to_owned(),
            status: if step.status.is_decided() { "APPROVED" } else { "NOT_NEEDED" }.to_owned(),
            decided_by: step.decision.as_ref().map(|d| d.decided_by.to_string()),
            decided_at: step.decision.as_ref().map(|d| d.decided_at.to_string()),
        })
        .collect()
}
