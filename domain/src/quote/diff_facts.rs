//! What a quote says, part by part, as named values that can be compared: which fields a comparison of revisions
//! looks at, and what its sentences call them. How they are compared is in `diff`.

use super::{Acceptance, Approval, Artifact, PricedOffer, Quote};
use crate::configuration::ConfiguredLine;
use crate::ids::LineNumber;
use crate::money::Percent;
use crate::pricing::{Price, PriceKind, PriceLine, PricingRequest};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A part of a quote that is there or not, and what it says.
pub(super) struct Part {
    /// How a sentence about it begins.
    pub title: String,
    /// What tells it from others, in a few words.
    pub summary: String,
    pub facts: Facts,
}

/// By place and field name; what is null is not said.
pub(super) type Facts = BTreeMap<(usize, String), Fact>;

/// One value.
pub(super) struct Fact {
    /// What a sentence calls it.
    pub called: String,
    pub value: Value,
}

/// A line's number, in the order that people count in: 2 before 10, 1.2 before 2.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LinePlace {
    counted: Vec<(u64, String)>,
    pub line_number: LineNumber,
}

impl LinePlace {
    fn of(line_number: &LineNumber) -> Self {
        // Line numbers are free text: what is no number comes last.
        let counted = line_number.as_str().split('.').map(|s| (s.parse().unwrap_or(u64::MAX), s.to_owned()));
        Self { counted: counted.collect(), line_number: line_number.clone() }
    }
}

/// Fields in this order, then the named ones by name.
fn facts<const N: usize>(fields: [(&str, &str, Value); N], named: Vec<(String, String, Value)>) -> Facts {
    let fields = fields.into_iter().enumerate().map(|(place, (field, called, value))| {
        let called = called.to_owned();
        ((place, field.to_owned()), Fact { called, value })
    });
    let named = named.into_iter().map(|(field, called, value)| ((N, field), Fact { called, value }));
    fields.chain(named).filter(|(_, fact)| !fact.value.is_null()).collect()
}

/// What the quote itself says.
pub(super) fn quote(quote: &Quote) -> Part {
    let configuration = quote.configuration();
    let fields = [
        ("status", "status", json!(quote.status())),
        ("currency", "currency", json!(quote.currency)),
        ("termMonths", "term in months", json!(quote.term_months)),
        ("validUntil", "end of validity", json!(quote.valid_until)),
        ("priceListId", "price list", json!(quote.price_list_id)),
        ("catalogVersion", "catalog version", json!(configuration.map(|c| &c.catalog_version))),
    ];
    Part { title: "Quote".to_owned(), summary: quote.quote_id.to_string(), facts: facts(fields, Vec::new()) }
}

/// The configured lines.
pub(super) fn lines(quote: &Quote) -> BTreeMap<LinePlace, Part> {
    let lines = quote.configuration().map(|c| c.lines.as_slice()).unwrap_or_default();
    lines.iter().map(|l| (LinePlace::of(&l.line_number), line(l))).collect()
}

fn line(line: &ConfiguredLine) -> Part {
    let fields = [
        ("productOfferingId", "offering", json!(line.product_offering_id)),
        ("productOfferingVersion", "offering version", json!(line.product_offering_version)),
        ("productOfferingName", "offering name", json!(line.product_offering_name)),
        ("quantity", "quantity", json!(line.quantity)),
        ("action", "action", json!(line.action)),
        ("parentLineNumber", "parent line", json!(line.parent_line_number)),
        ("assetId", "asset", json!(line.asset_id)),
        ("requestedDate", "requested date", json!(line.requested_date)),
    ];
    let named = line.characteristics.iter();
    let named = named.map(|(name, value)| (format!("characteristics.{name}"), name.clone(), json!(value)));
    Part {
        title: format!("Line {}", line.line_number),
        summary: format!("{}, quantity {}", line.product_offering_name, line.quantity),
        facts: facts(fields, named.collect()),
    }
}

/// The totals.
pub(super) fn price(offer: &PricedOffer) -> Part {
    let price = &offer.price;
    let fields = [
        ("priceResultId", "price result", json!(offer.price_result_id)),
        ("policyVersion", "pricing policy", json!(price.policy_version)),
        ("listAmount", "list amount", json!(price.list_amount)),
        ("discountAmount", "discount amount", json!(price.discount_amount)),
        ("oneTimeAmount", "one-time amount", json!(price.one_time_amount)),
        ("recurringMonthlyAmount", "recurring monthly amount", json!(price.recurring_monthly_amount)),
        ("totalAmount", "total amount", json!(price.total_amount)),
        ("taxAmount", "tax amount", json!(price.tax_amount)),
        ("totalWithTax", "total with tax", json!(price.total_with_tax)),
        ("effectiveDiscountPercent", "effective discount percent", json!(price.effective_discount_percent)),
        ("marginPercent", "margin percent", json!(price.margin_percent)),
    ];
    Part {
        title: "Price".to_owned(),
        summary: format!("total amount {} {}", price.total_amount, price.currency),
        facts: facts(fields, Vec::new()),
    }
}

/// What each line costs, by kind of price.
pub(super) fn price_lines(price: &Price) -> BTreeMap<(LinePlace, PriceKind), Part> {
    price.lines.iter().map(|l| ((LinePlace::of(&l.line_number), l.kind), price_line(l))).collect()
}

fn price_line(line: &PriceLine) -> Part {
    let fields = [
        ("listAmount", "list amount", json!(line.list_amount)),
        ("netAmount", "net amount", json!(line.net_amount)),
        ("taxAmount", "tax amount", json!(line.tax_amount)),
        ("unitRate", "unit rate", json!(line.unit_rate)),
    ];
    Part {
        title: format!("{} price of line {}", line.kind.as_str(), line.line_number),
        summary: format!("net amount {}", line.net_amount),
        facts: facts(fields, Vec::new()),
    }
}

/// The discounts and overrides that were asked for; there always, if only to say nothing.
pub(super) fn asked(request: &PricingRequest) -> Part {
    let mut named = Vec::new();
    let mut say = |field: String, called: String, value: Value| named.push((field, called, value));
    if let Some(discount) = &request.quote_discount {
        say("quoteDiscount.percent".into(), "percent off the quote".into(), percent(discount.percent));
        say("quoteDiscount.reasonCode".into(), "reason of the quote's discount".into(), json!(discount.reason_code));
    }
    for discount in &request.line_discounts {
        let line = &discount.line_number;
        say(format!("lineDiscounts.{line}.percent"), format!("percent off line {line}"), percent(discount.percent));
        let reason = format!("reason of line {line}'s discount");
        say(format!("lineDiscounts.{line}.reasonCode"), reason, json!(discount.reason_code));
    }
    for set in &request.line_overrides {
        let (line, kind) = (&set.line_number, set.kind.as_str());
        let field = |name: &str| format!("lineOverrides.{line}.{kind}.{name}");
        say(field("unitAmount"), format!("{kind} unit amount set for line {line}"), json!(set.unit_amount));
        say(field("reasonCode"), format!("reason of line {line}'s {kind} unit amount"), json!(set.reason_code));
    }
    Part { title: "Asked for".to_owned(), summary: "discounts and overrides".to_owned(), facts: facts([], named) }
}

/// A percentage as it was asked for: 12 and 12.0 ask for the same.
fn percent(asked: Percent) -> Value {
    json!(Percent(asked.0.normalize()))
}

/// Who must approve, and how far that is.
pub(super) fn approval(approval: &Approval) -> Part {
    let fields = [
        ("approvalRequestId", "request", json!(approval.approval_request_id)),
        ("status", "status", json!(approval.status)),
    ];
    let step = |level: &str, status: Value| (format!("steps.{level}"), format!("step {level}"), status);
    let steps = approval.steps.iter().map(|s| step(s.level.as_str(), json!(s.status)));
    Part {
        title: "Approval".to_owned(),
        summary: approval.approval_request_id.to_string(),
        facts: facts(fields, steps.collect()),
    }
}

/// The document.
pub(super) fn artifact(artifact: &Artifact) -> Part {
    let fields = [
        ("artifactId", "id", json!(artifact.artifact_id)),
        ("quoteRevision", "quote revision", json!(artifact.quote_revision)),
        ("templateId", "template", json!(artifact.template_id)),
        ("templateVersion", "template version", json!(artifact.template_version)),
        ("contentHash", "content hash", json!(artifact.content_hash)),
    ];
    let summary = artifact.artifact_id.to_string();
    Part { title: "Artifact".to_owned(), summary, facts: facts(fields, Vec::new()) }
}

/// Who accepted what.
pub(super) fn acceptance(acceptance: &Acceptance) -> Part {
    let fields = [
        ("acceptedBy", "accepted by", json!(acceptance.accepted_by)),
        ("method", "method", json!(acceptance.evidence.method)),
        ("acceptedAt", "accepted at", json!(acceptance.evidence.accepted_at)),
        ("artifactId", "artifact", json!(acceptance.evidence.artifact_id)),
        ("acceptedRevision", "accepted revision", json!(acceptance.accepted_revision)),
        ("orderId", "order", json!(acceptance.order_id)),
    ];
    Part {
        title: "Acceptance".to_owned(),
        summary: format!("by {}", acceptance.accepted_by),
        facts: facts(fields, Vec::new()),
    }
}
