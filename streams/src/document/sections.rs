//! What a proposal says, section by section: band, parties, lines, totals, approval, terms, signatures.
//! Leaves page breaks to the flow and the order of child lines to `tree`.

use super::flow::{Flow, Style};
use super::format::{decimal, instant, months, words};
use super::input::{PriceTotals, RenderInput, RenderLine};
use super::render::RenderError;
use super::table::{Align, Cell, Column, Table};
use super::template::Rgb;
use super::text::Weight;
use super::tree::{Placed, in_tree_order};

/// Font size of the tenant's name in the band.
const NAME_SIZE: f32 = 20.0;
/// Font size of a section's heading.
const HEADING_SIZE: f32 = 11.0;
/// Space between sections.
const SECTION_GAP: f32 = 18.0;
/// Space inside a tinted box.
const BOX_PADDING: f32 = 8.0;
/// Part of the band's width that the tenant's name may take.
const NAME_SHARE: f32 = 0.6;
/// Width of the box of totals.
const TOTALS_WIDTH: f32 = 270.0;
/// Height of the area for two signatures.
const SIGNATURES_HEIGHT: f32 = 96.0;
/// Levels after which child lines are not indented further, so that their text keeps a column.
const MAX_INDENT_LEVELS: usize = 6;
/// Text on the accent colour.
const WHITE: Rgb = Rgb(255, 255, 255);

/// Writes the whole proposal.
pub(super) fn write(flow: &mut Flow<'_>, input: &RenderInput) -> Result<(), RenderError> {
    band(flow, input);
    parties(flow, input);
    facts(flow, input)?;
    lines(flow, input)?;
    totals(flow, &input.totals, input)?;
    approval(flow, input)?;
    terms(flow, input)?;
    signatures(flow, input);
    Ok(())
}

fn heading(flow: &mut Flow<'_>, text: &str, keep_with: f32) {
    let style = flow.style(HEADING_SIZE, Weight::Bold, flow.template.accent);
    let height = flow.line_height(style) + 4.0;
    flow.y += SECTION_GAP;
    flow.keep_together(height + keep_with);
    flow.text(flow.template.margin, flow.y, style, text);
    flow.y += height;
}

fn band(flow: &mut Flow<'_>, input: &RenderInput) {
    let template = flow.template;
    let name_style = flow.style(NAME_SIZE, Weight::Bold, WHITE);
    let name = flow.wrap(name_style, &input.tenant_name, template.content_width() * NAME_SHARE);
    let text_height = name.len() as f32 * flow.line_height(name_style);
    let height = template.band_height.max(text_height + 2.0 * BOX_PADDING);
    flow.area(0.0, 0.0, template.page_width, height, template.accent);
    flow.put_lines(template.margin, (height - text_height) / 2.0, name_style, name);

    let right = template.page_width - template.margin;
    let small = Style { color: WHITE, ..flow.label() };
    let number = flow.style(HEADING_SIZE + 2.0, Weight::Bold, WHITE);
    let mut y = (height - flow.line_height(number) - 2.0 * flow.line_height(small)) / 2.0;
    flow.text_to(right, y, small, "PROPOSAL");
    y += flow.line_height(small);
    flow.text_to(right, y, number, &input.quote_id);
    y += flow.line_height(number);
    flow.text_to(right, y, small, &format!("Revision {}", input.quote_revision));
    flow.y = height + SECTION_GAP;
}

fn parties(flow: &mut Flow<'_>, input: &RenderInput) {
    let half = flow.template.content_width() / 2.0;
    let columns = [
        ("Prepared for", input.customer_name.as_str(), format!("Account {}", input.customer_account_id)),
        ("Prepared by", input.tenant_name.as_str(), format!("Your contact: {}", input.sales_owner_id)),
    ];
    let (label, body) = (flow.label(), flow.body());
    let name_style = flow.style(HEADING_SIZE, Weight::Bold, flow.template.ink);
    let mut lowest = flow.y;
    for (index, (title, name, detail)) in columns.into_iter().enumerate() {
        let x = flow.template.margin + index as f32 * half;
        let width = half - SECTION_GAP;
        flow.text(x, flow.y, label, title);
        let y = flow.y + flow.line_height(label);
        let wrapped = flow.wrap(name_style, name, width);
        let y = flow.put_lines(x, y, name_style, wrapped);
        let wrapped = flow.wrap(body, &detail, width);
        lowest = lowest.max(flow.put_lines(x, y, body, wrapped));
    }
    flow.y = lowest + SECTION_GAP;
}

fn facts(flow: &mut Flow<'_>, input: &RenderInput) -> Result<(), RenderError> {
    let valid = match &input.valid_until {
        Some(until) => instant("validUntil", until)?,
        None => "No end date".to_owned(),
    };
    let facts =
        [("Valid until", valid), ("Contract term", months(input.term_months)), ("Currency", input.currency.clone())];
    let (label, strong) = (flow.label(), flow.strong());
    let template = flow.template;
    let height = flow.line_height(label) + flow.line_height(strong) + 2.0 * BOX_PADDING;
    flow.area(template.margin, flow.y, template.content_width(), height, template.tint);
    let width = template.content_width() / facts.len() as f32;
    for (index, (title, value)) in facts.into_iter().enumerate() {
        let x = template.margin + BOX_PADDING + index as f32 * width;
        flow.text(x, flow.y + BOX_PADDING, label, title);
        flow.text(x, flow.y + BOX_PADDING + flow.line_height(label), strong, &value);
    }
    flow.y += height;
    Ok(())
}

fn lines(flow: &mut Flow<'_>, input: &RenderInput) -> Result<(), RenderError> {
    let rows = in_tree_order(&input.lines)?
        .into_iter()
        .map(|placed| line_row(flow, &placed, &input.currency))
        .collect::<Result<Vec<_>, _>>()?;
    let column = |title: &str, width, align| Column { title: title.to_owned(), width, align };
    let columns = [
        column("Line", 42.0, Align::Left),
        column("Product", 237.0, Align::Left),
        column("Quantity", 56.0, Align::Right),
        column(&format!("One-time {}", input.currency), 82.0, Align::Right),
        column(&format!("Monthly {}", input.currency), 82.0, Align::Right),
    ];
    table_section(flow, "What we offer", &columns, rows);
    Ok(())
}

/// A heading and its table, kept together where they begin.
fn table_section(flow: &mut Flow<'_>, title: &str, columns: &[Column], rows: Vec<Vec<Cell>>) {
    let table = Table { columns };
    let opening = table.opening_height(flow, &rows);
    heading(flow, title, opening);
    table.draw(flow, rows);
}

fn line_row(flow: &Flow<'_>, placed: &Placed<'_>, currency: &str) -> Result<Vec<Cell>, RenderError> {
    let line = placed.line;
    let amount = |field, value: &Option<String>| -> Result<Cell, RenderError> {
        let shown = value.as_deref().map_or(Ok("–".to_owned()), |value| decimal(field, value))?;
        Ok(Cell::of(flow.body(), shown))
    };
    Ok(vec![
        Cell::of(flow.body(), &line.line_number),
        product_cell(flow, placed, currency)?,
        Cell::of(flow.body(), decimal("quantity", &line.quantity)?),
        amount("oneTimeAmount", &line.one_time_amount)?,
        amount("recurringMonthlyAmount", &line.recurring_monthly_amount)?,
    ])
}

fn product_cell(flow: &Flow<'_>, placed: &Placed<'_>, currency: &str) -> Result<Cell, RenderError> {
    let RenderLine { product_offering_id, product_offering_version, action, characteristics, unit_rate, .. } =
        placed.line;
    let name_style = if placed.depth == 0 { flow.strong() } else { flow.body() };
    let identity = format!("{product_offering_id} · version {product_offering_version} · {}", words(action));
    let mut paragraphs = vec![(name_style, placed.line.product_offering_name.clone()), (flow.label(), identity)];
    if !characteristics.is_empty() {
        let shown: Vec<String> = characteristics.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        paragraphs.push((flow.label(), shown.join(" · ")));
    }
    if let Some(rate) = unit_rate {
        paragraphs.push((flow.label(), format!("Usage: {} {currency} per unit", decimal("unitRate", rate)?)));
    }
    Ok(Cell { indent: flow.template.indent * placed.depth.min(MAX_INDENT_LEVELS) as f32, paragraphs })
}

fn totals(flow: &mut Flow<'_>, totals: &PriceTotals, input: &RenderInput) -> Result<(), RenderError> {
    let discount = format!("Discount ({} %)", decimal("effectiveDiscountPercent", &totals.effective_discount_percent)?);
    let (body, strong) = (flow.body(), flow.strong());
    let negated = match decimal("discountAmount", &totals.discount_amount)? {
        surcharge if surcharge.starts_with('-') => surcharge.replacen('-', "+", 1),
        zero if !zero.bytes().any(|byte| (b'1'..=b'9').contains(&byte)) => zero,
        discount => format!("−{discount}"),
    };
    let rows = [
        (body, "One-time charges".to_owned(), decimal("oneTimeAmount", &totals.one_time_amount)?),
        (body, "Monthly charges".to_owned(), decimal("recurringMonthlyAmount", &totals.recurring_monthly_amount)?),
        (body, format!("List price over {}", months(input.term_months)), decimal("listAmount", &totals.list_amount)?),
        (body, discount, negated),
        (strong, "Total before tax".to_owned(), decimal("totalAmount", &totals.total_amount)?),
        (body, "Tax".to_owned(), decimal("taxAmount", &totals.tax_amount)?),
    ];
    let grand = decimal("totalWithTax", &totals.total_with_tax)?;

    let row_height = flow.line_height(body) + 4.0;
    let grand_style = flow.style(HEADING_SIZE, Weight::Bold, WHITE);
    let grand_height = flow.line_height(grand_style) + 2.0 * BOX_PADDING;
    flow.y += SECTION_GAP;
    flow.keep_together(rows.len() as f32 * row_height + grand_height);
    let right = flow.template.page_width - flow.template.margin;
    let left = right - TOTALS_WIDTH;
    for (style, title, value) in rows {
        flow.text(left + BOX_PADDING, flow.y + 2.0, style, &title);
        flow.text_to(right - BOX_PADDING, flow.y + 2.0, style, &value);
        flow.y += row_height;
        flow.hairline(left, flow.y, TOTALS_WIDTH);
    }
    flow.area(left, flow.y, TOTALS_WIDTH, grand_height, flow.template.accent);
    flow.text(left + BOX_PADDING, flow.y + BOX_PADDING, grand_style, "Total with tax");
    flow.text_to(right - BOX_PADDING, flow.y + BOX_PADDING, grand_style, &format!("{grand} {}", input.currency));
    flow.y += grand_height;
    Ok(())
}

fn approval(flow: &mut Flow<'_>, input: &RenderInput) -> Result<(), RenderError> {
    if input.approval_steps.is_empty() {
        heading(flow, "Approval", flow.template.margin);
        let (style, x) = (flow.body(), flow.template.margin);
        flow.text(x, flow.y, style, "Within standard policy; no individual approval was required.");
        flow.y += flow.line_height(style);
        return Ok(());
    }
    let mut rows = Vec::with_capacity(input.approval_steps.len());
    for step in &input.approval_steps {
        let at = step.decided_at.as_deref().map_or(Ok("–".to_owned()), |at| instant("decidedAt", at))?;
        let body = flow.body();
        rows.push(vec![
            Cell::of(body, words(&step.level)),
            Cell::of(body, words(&step.status)),
            Cell::of(body, step.decided_by.as_deref().unwrap_or("–")),
            Cell::of(body, at),
        ]);
    }
    let column = |title: &str, width| Column { title: title.to_owned(), width, align: Align::Left };
    let columns =
        [column("Level", 130.0), column("Decision", 95.0), column("Decided by", 124.0), column("Decided at", 150.0)];
    table_section(flow, "Approval", &columns, rows);
    Ok(())
}

fn terms(flow: &mut Flow<'_>, input: &RenderInput) -> Result<(), RenderError> {
    let validity = match &input.valid_until {
        Some(until) => format!("It may be accepted until {}.", instant("validUntil", until)?),
        None => "It may be accepted until it is withdrawn.".to_owned(),
    };
    heading(flow, "Terms", flow.template.margin);
    let style = flow.style(flow.template.body_size - 0.5, Weight::Regular, flow.template.ink);
    let number_width = flow.template.indent + 2.0;
    let quote = format!("{} revision {}", input.quote_id, input.quote_revision);
    for (index, term) in flow.template.terms.iter().enumerate() {
        let values = [
            ("{termMonths}", months(input.term_months)),
            ("{validity}", validity.clone()),
            ("{currency}", input.currency.clone()),
            ("{tenant}", input.tenant_name.clone()),
            ("{quote}", quote.clone()),
        ];
        let text = fill(term, &values);
        let wrapped = flow.wrap(style, &text, flow.template.content_width() - number_width);
        flow.keep_together((wrapped.len() as f32 * flow.line_height(style)).min(flow.full_room()));
        let x = flow.template.margin;
        flow.text(x, flow.y, style, &format!("{}.", index + 1));
        flow.y = flow.put_lines(x + number_width, flow.y, style, wrapped) + 3.0;
    }
    Ok(())
}

/// Fills placeholders in one pass, so that a name that looks like a placeholder stays a name.
fn fill(term: &str, values: &[(&str, String)]) -> String {
    let mut filled = String::with_capacity(term.len());
    let mut rest = term;
    while let Some(start) = rest.find('{') {
        filled.push_str(&rest[..start]);
        rest = &rest[start..];
        match values.iter().find(|(name, _)| rest.starts_with(name)) {
            Some((name, value)) => {
                filled.push_str(value);
                rest = &rest[name.len()..];
            }
            None => {
                filled.push('{');
                rest = &rest[1..];
            }
        }
    }
    filled.push_str(rest);
    filled
}

fn signatures(flow: &mut Flow<'_>, input: &RenderInput) {
    flow.y += SECTION_GAP;
    flow.keep_together(SIGNATURES_HEIGHT);
    let (label, strong) = (flow.label(), flow.strong());
    let half = flow.template.content_width() / 2.0;
    let width = half - SECTION_GAP;
    let top = flow.y;
    for (index, party) in [&input.customer_name, &input.tenant_name].into_iter().enumerate() {
        let x = flow.template.margin + index as f32 * half;
        let name = flow.wrap(strong, &format!("For {party}"), width);
        flow.put_lines(x, top, strong, name);
        for (row, title) in ["Name and title", "Date and signature"].into_iter().enumerate() {
            let y = top + 50.0 + row as f32 * 32.0;
            flow.hairline(x, y, width);
            flow.text(x, y + 2.0, label, title);
        }
    }
    flow.y = top + SIGNATURES_HEIGHT;
}
