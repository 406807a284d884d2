//! What the renderer promises: same input, same bytes; everything shown; nothing that is not an amount printed.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use rstest::rstest;
use sha2::{Digest, Sha256};

use super::flow::Mark;
use super::input::{ApprovalStepSummary, PriceTotals, RenderInput, RenderLine};
use super::render::{MAX_LINES, RenderError, lay_out, render};
use super::template::{DEFAULT_TEMPLATE_ID, Template};
use super::text::Fonts;

fn line(number: &str, parent: Option<&str>, name: &str, characteristics: &[(&str, &str)]) -> RenderLine {
    RenderLine {
        line_number: number.to_owned(),
        parent_line_number: parent.map(str::to_owned),
        product_offering_id: name.to_lowercase().replace(' ', "-"),
        product_offering_version: "1".to_owned(),
        product_offering_name: name.to_owned(),
        quantity: "2".to_owned(),
        action: "ADD".to_owned(),
        characteristics: characteristics.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        one_time_amount: Some("1200.00".to_owned()),
        recurring_monthly_amount: Some("831.96".to_owned()),
        unit_rate: None,
    }
}

fn step(level: &str, who: &str, at: &str) -> ApprovalStepSummary {
    ApprovalStepSummary {
        level: level.to_owned(),
        status: "APPROVED".to_owned(),
        decided_by: Some(who.to_owned()),
        decided_at: Some(at.to_owned()),
    }
}

fn proposal() -> RenderInput {
    let priced = |mut line: RenderLine, one_time: Option<&str>, recurring: &str| {
        line.one_time_amount = one_time.map(str::to_owned);
        line.recurring_monthly_amount = Some(recurring.to_owned());
        line
    };
    let mut usage = line("3", None, "Cloud backup", &[("region", "eu-central")]);
    usage.one_time_amount = None;
    usage.recurring_monthly_amount = None;
    usage.unit_rate = Some("0.0450".to_owned());
    RenderInput {
        template_id: DEFAULT_TEMPLATE_ID.to_owned(),
        template_version: "1".to_owned(),
        tenant_id: "tenant-acme".to_owned(),
        tenant_name: "Acme Networks".to_owned(),
        quote_id: "Q-2026-000123".to_owned(),
        quote_revision: 5,
        customer_account_id: "acct-1001".to_owned(),
        customer_name: "Müller & Žižek Logistik GmbH 日本".to_owned(),
        sales_owner_id: "alice".to_owned(),
        currency: "USD".to_owned(),
        term_months: 36,
        valid_until: Some("2027-01-31T23:59:59Z".to_owned()),
        lines: vec![
            line(
                "1",
                None,
                "Fiber 1 Gbit/s",
                &[("site", "Hamburg, Am Sandtorkai 50"), ("sla", "GOLD"), ("staticIps", "8")],
            ),
            priced(line("2", None, "SD-WAN edge", &[("bandwidth", "500")]), None, "98.00"),
            priced(line("1.1", Some("1"), "Redundant router pair", &[("rackUnits", "2")]), Some("350.00"), "45.00"),
            priced(line("1.1.1", Some("1.1"), "Extended hardware support", &[]), None, "12.50"),
            usage,
        ],
        totals: PriceTotals {
            list_amount: "43500.00".to_owned(),
            discount_amount: "6401.44".to_owned(),
            effective_discount_percent: "14.72".to_owned(),
            one_time_amount: "1550.00".to_owned(),
            recurring_monthly_amount: "987.46".to_owned(),
            total_amount: "37098.56".to_owned(),
            tax_amount: "3060.63".to_owned(),
            total_with_tax: "40159.19".to_owned(),
        },
        approval_steps: vec![
            step("SALES_MANAGER", "bob", "2026-11-20T09:15:00Z"),
            step("FINANCE", "carol", "2026-11-21T14:02:30Z"),
        ],
    }
}

fn with_lines(count: usize) -> RenderInput {
    let lines = (1..=count)
        .map(|number| line(&number.to_string(), None, "Fiber 1 Gbit/s", &[("sla", "GOLD"), ("site", "Plant 7")]))
        .collect();
    RenderInput { lines, ..proposal() }
}

fn pages(pdf: &[u8]) -> usize {
    let text = String::from_utf8_lossy(pdf);
    let count = text.split("NPages>").nth(1).and_then(|rest| rest.split('<').next());
    count.unwrap().parse().unwrap()
}

/// The marks of every page, as the renderer paints them.
fn marks(input: &RenderInput) -> Vec<Vec<Mark>> {
    let template = Template::find(&input.template_id, &input.template_version).unwrap();
    lay_out(input, template, &Fonts::load().unwrap(), &input.input_hash().unwrap()).unwrap()
}

fn texts(page: &[Mark]) -> Vec<&str> {
    page.iter()
        .filter_map(|mark| match mark {
            Mark::Text { line, .. } => Some(line.text.as_str()),
            Mark::Area { .. } => None,
        })
        .collect()
}

/// Keeps what a person wants to look at: set the variable to a folder.
fn keep(pdf: &[u8], name: &str) {
    if let Ok(folder) = std::env::var("CPQ_TEST_KEEP_PDF") {
        std::fs::write(std::path::Path::new(&folder).join(name), pdf).unwrap();
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let pdf = render(&proposal()).unwrap();
    keep(&pdf, "proposal.pdf");
    assert!(pdf.starts_with(b"%PDF-"));
    assert_eq!(pdf, render(&proposal().clone()).unwrap());
}

#[rstest]
#[case::revision(RenderInput { quote_revision: 6, ..proposal() })]
#[case::customer(RenderInput { customer_name: "Northwind".to_owned(), ..proposal() })]
#[case::amount(RenderInput { totals: PriceTotals { tax_amount: "0.00".to_owned(), ..proposal().totals }, ..proposal() })]
#[case::what_is_not_printed_but_hashed(RenderInput { tenant_id: "tenant-other".to_owned(), ..proposal() })]
fn another_input_gives_other_bytes_and_another_hash(#[case] other: RenderInput) {
    assert_ne!(render(&other).unwrap(), render(&proposal()).unwrap());
    assert_ne!(other.input_hash().unwrap(), proposal().input_hash().unwrap());
}

#[test]
fn the_released_template_still_renders_to_the_bytes_it_always_did() {
    // If this fails, stored artifacts no longer render again: give the new look (or library) a new template version.
    let hash = hex::encode(Sha256::digest(render(&proposal()).unwrap()));
    assert_eq!(hash, "f907f807b60c9c55661ff17d0e1df911c586e725e0b56bcb573b735d2ea78dbe");
}

#[test]
fn the_input_hash_does_not_depend_on_the_order_of_members() {
    let value = serde_json::to_value(proposal()).unwrap();
    let mut reversed = serde_json::Map::new();
    for (key, member) in value.as_object().unwrap().iter().rev() {
        reversed.insert(key.clone(), member.clone());
    }
    let read: RenderInput = serde_json::from_value(reversed.into()).unwrap();
    assert_eq!(read.input_hash().unwrap(), proposal().input_hash().unwrap());
    assert!(read.input_hash().unwrap().starts_with("sha256:"));
}

#[test]
fn a_quote_of_three_hundred_lines_goes_over_many_pages() {
    let pdf = render(&with_lines(300)).unwrap();
    keep(&pdf, "three-hundred.pdf");
    assert!(pages(&pdf) >= 15, "{} pages", pages(&pdf));
}

#[test]
fn every_page_says_its_number_and_the_input_hash_and_table_heads_repeat() {
    let input = with_lines(300);
    let pages = marks(&input);
    let hash = format!("Input hash {}", input.input_hash().unwrap());
    for (index, page) in pages.iter().enumerate() {
        let texts = texts(page);
        assert!(texts.contains(&format!("Page {} of {}", index + 1, pages.len()).as_str()));
        assert!(texts.contains(&hash.as_str()));
        if texts.contains(&"Fiber 1 Gbit/s") {
            assert!(texts.contains(&"Monthly USD"), "page {}", index + 1);
        }
    }
}

#[test]
fn a_proposal_shows_every_line_once_with_children_under_their_parent() {
    let pages = marks(&proposal());
    let shown: Vec<&str> = pages.iter().flat_map(|page| texts(page)).collect();
    let positions: Vec<usize> =
        ["Fiber 1 Gbit/s", "Redundant router pair", "Extended hardware support", "SD-WAN edge", "Cloud backup"]
            .iter()
            .map(|name| shown.iter().position(|text| text == name).unwrap())
            .collect();
    assert!(positions.is_sorted());
    for text in ["Total with tax", "40,159.19 USD", "Discount (14.72 %)", "−6,401.44", "Sales manager", "carol"] {
        assert_eq!(shown.iter().filter(|candidate| **candidate == text).count(), 1, "{text}");
    }
}

#[test]
fn no_text_leaves_the_page() {
    let mut crowded = with_lines(40);
    crowded.customer_name = "Überaus lange Firmenbezeichnung ".repeat(8);
    crowded.lines[3].one_time_amount = Some("1234567890123.00".to_owned());
    crowded.lines[4].quantity = "1234567890123.000001".to_owned();
    for page in marks(&crowded) {
        for mark in page {
            if let Mark::Text { x, baseline, size, line, .. } = mark {
                assert!(x >= 40.0 && x + line.width(size) <= 556.0, "{}", line.text);
                assert!((0.0..=842.0).contains(&baseline), "{}", line.text);
            }
        }
    }
}

#[test]
fn a_row_taller_than_a_page_is_cut_and_the_document_ends() {
    let mut input = proposal();
    input.lines[0].characteristics = BTreeMap::from([("note".to_owned(), "wörter und mehr ".repeat(2_000))]);
    let pdf = render(&input).unwrap();
    keep(&pdf, "tall-row.pdf");
    assert!(pages(&pdf) >= 4, "{} pages", pages(&pdf));
}

#[test]
fn a_quote_without_lines_approvals_or_end_of_validity_is_still_a_document() {
    let empty = RenderInput { lines: vec![], approval_steps: vec![], valid_until: None, ..proposal() };
    let pdf = render(&empty).unwrap();
    keep(&pdf, "empty.pdf");
    assert_eq!(pages(&pdf), 1);
}

#[rstest]
#[case::long_names("Überaus lange Firmenbezeichnung mit vielen Wörtern ".repeat(12))]
#[case::no_space("界".repeat(400))]
#[case::right_to_left("שלום עולם".to_owned())]
#[case::controls("A\u{0}B\u{202E}C\nD".to_owned())]
#[case::nothing(String::new())]
fn any_name_renders(#[case] name: String) {
    let input = RenderInput { tenant_name: name.clone(), customer_name: name, ..proposal() };
    let pdf = render(&input).unwrap();
    assert!(pages(&pdf) >= 1);
}

#[rstest]
#[case::amount(|input: &mut RenderInput| input.totals.total_amount = "12,50".to_owned())]
#[case::line_amount(|input: &mut RenderInput| input.lines[0].one_time_amount = Some("abc".to_owned()))]
#[case::quantity(|input: &mut RenderInput| input.lines[0].quantity = String::new())]
fn what_is_no_amount_is_refused_and_never_printed(#[case] spoil: fn(&mut RenderInput)) {
    let mut input = proposal();
    spoil(&mut input);
    assert!(matches!(render(&input), Err(RenderError::NotADecimal { .. })));
}

#[test]
fn what_is_no_instant_is_refused() {
    let input = RenderInput { valid_until: Some("tomorrow".to_owned()), ..proposal() };
    assert!(matches!(render(&input), Err(RenderError::NotAnInstant { field: "validUntil", .. })));
}

#[test]
fn lines_that_are_no_tree_are_refused() {
    let mut input = proposal();
    input.lines[0].parent_line_number = Some("1.1".to_owned());
    assert!(matches!(render(&input), Err(RenderError::LineCycle(_))));
    input.lines[0].parent_line_number = Some("9".to_owned());
    assert!(matches!(render(&input), Err(RenderError::UnknownParent { .. })));
    input.lines[0] = line("2", None, "Twice", &[]);
    assert!(matches!(render(&input), Err(RenderError::DuplicateLine(_))));
}

#[test]
fn deep_nesting_is_drawn_without_recursion() {
    let lines = (0..2_000usize)
        .map(|depth| {
            let parent = depth.checked_sub(1).map(|above| above.to_string());
            line(&depth.to_string(), parent.as_deref(), "Nested option", &[])
        })
        .collect();
    assert!(render(&RenderInput { lines, ..proposal() }).is_ok());
}

#[test]
fn more_lines_than_the_bound_are_refused() {
    assert_eq!(render(&with_lines(MAX_LINES + 1)), Err(RenderError::TooManyLines(MAX_LINES + 1)));
}

#[test]
fn an_unknown_template_or_version_is_refused() {
    for (id, version) in [("fancy", "1"), (DEFAULT_TEMPLATE_ID, "99")] {
        let input = RenderInput { template_id: id.to_owned(), template_version: version.to_owned(), ..proposal() };
        assert!(matches!(render(&input), Err(RenderError::UnknownTemplate { .. })));
    }
}

#[test]
fn the_default_template_exists() {
    assert_eq!(Template::newest(DEFAULT_TEMPLATE_ID).map(|template| template.version), Some("1"));
}
