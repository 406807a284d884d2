//! What changed between two states of a quote: the sentences that say it, and what holds of every comparison.

use crate::properties::{QUOTE_BIRTHS, QUOTE_LINES};
use crate::quotes::{self, Run};
use crate::world::start;
use cpq_domain::configuration::CharacteristicValue;
use cpq_domain::ids::LineNumber;
use cpq_domain::quote::diff::{DiffChange, FieldDiff, PartDiff, RevisionDiff, diff};
use cpq_domain::quote::{self, Phase, Quote, QuoteStatus};
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

fn given(state: &str) -> Quote {
    Run::given(state).quote.unwrap()
}

/// The first line of a configured quote.
fn with_line(state: &str, change: impl FnOnce(&mut cpq_domain::configuration::ConfiguredLine)) -> Quote {
    let mut quote = given(state);
    let Phase::Configured { configuration } = &mut quote.phase else { panic!("{state} is not configured") };
    change(&mut configuration.lines[0]);
    quote
}

#[rstest]
#[case::first_lines("draft", "configured", &[
    "Quote: status DRAFT became CONFIGURED.", "Quote: catalog version 2026.11 was added.",
    "Line 1 (fiber-1g, quantity 1) was added.", "Line 1.1 (router, quantity 1) was added.",
])]
#[case::lines_gone("configured", "draft", &[
    "Quote: status CONFIGURED became DRAFT.", "Quote: catalog version 2026.11 was removed.",
    "Line 1 (fiber-1g, quantity 1) was removed.", "Line 1.1 (router, quantity 1) was removed.",
])]
#[case::more_of_a_line("configured", "large", &["Line 1: quantity 1 became 12."])]
#[case::first_price("configured", "priced", &[
    "Quote: status CONFIGURED became PRICED.", "Price (total amount 15928.00 USD) was added.",
    "Asked for: percent off the quote 12 was added.", "Asked for: reason of the quote's discount VOLUME was added.",
])]
#[case::a_submission("priced", "pending", &[
    "Quote: status PRICED became PENDING_APPROVAL.", "Approval (apr-2026-000123-r4) was added.",
])]
#[case::a_decision("pending", "approved", &[
    "Quote: status PENDING_APPROVAL became APPROVED.", "Approval: status PENDING became APPROVED.",
    "Approval: step SALES_MANAGER OPEN became APPROVED.",
])]
#[case::a_reopening("approved", "reopened-unpresented", &[
    "Quote: status APPROVED became CONFIGURED.", "Price (total amount 15928.00 USD) was removed.",
    "Asked for: percent off the quote 12 was removed.", "Asked for: reason of the quote's discount VOLUME was removed.",
    "Approval (apr-2026-000123-r4) was removed.",
])]
fn a_difference_is_told(#[case] before: &str, #[case] after: &str, #[case] sentences: &[&str]) {
    let after = match after {
        "reopened-unpresented" => {
            let mut run = Run::given("approved");
            run.play("alice reopen");
            run.quote.unwrap()
        }
        state => given(state),
    };
    assert_eq!(diff(&given(before), &after).sentences, sentences);
}

#[test]
fn a_revision_is_the_quote_after_the_technical_steps_within_it() {
    let run = Run::given("ordered");
    let events = || run.log.iter().map(|(event, at)| (event, *at));
    let at = |revision| quote::fold_to_revision(&quotes::tenant_id(), &quotes::quote_id(), events(), revision);
    let statuses: Vec<_> = (1..=6).map(|revision| at(revision).unwrap().status().as_str()).collect();
    assert_eq!(statuses, ["DRAFT", "CONFIGURED", "PRICED", "PENDING_APPROVAL", "APPROVED", "ACCEPTED"]);
    assert!(at(5).unwrap().artifact().is_some());
    assert_eq!((at(0), at(7)), (None, None));
    assert_eq!(at(6), run.quote);
}

#[test]
fn a_lower_discount_changes_totals_lines_and_what_was_asked_for() {
    let (before, after) = (given("deep-discount"), given("priced"));
    let told = diff(&before, &after);
    let price = told.price.unwrap();
    assert_eq!(price.change, DiffChange::Changed);
    assert!(price.fields.contains(&field("totalAmount", json!("13575.00"), json!("15928.00"))), "{:?}", price.fields);
    assert_eq!(price.discounts, [field("quoteDiscount.percent", json!("25"), json!("12"))]);
    let net: Vec<_> = price
        .lines
        .iter()
        .map(|line| {
            let net = line.fields.iter().find(|f| f.field == "netAmount").unwrap();
            (line.line_number.as_str(), line.kind.as_str(), net.before.clone(), net.after.clone())
        })
        .collect();
    assert_eq!(
        net,
        [("1", "RECURRING", json!("375.00"), json!("440.00")), ("1.1", "ONE_TIME", json!("75.00"), json!("88.00")),]
    );
    for sentence in [
        "Price: total amount 13575.00 became 15928.00.",
        "Asked for: percent off the quote 25 became 12.",
        "RECURRING price of line 1: net amount 375.00 became 440.00.",
    ] {
        assert!(told.sentences.iter().any(|s| s == sentence), "{sentence}: {:?}", told.sentences);
    }
}

#[test]
fn an_acceptance_and_its_artifact_are_told() {
    let told = diff(&given("approved"), &given("ordered"));
    let added = |part: Option<PartDiff>, name: &str| {
        let part = part.unwrap();
        (part.change, part.fields.into_iter().find(|f| f.field == name).unwrap().after)
    };
    assert_eq!(added(told.artifact, "templateId"), (DiffChange::Added, json!("standard")));
    assert_eq!(added(told.acceptance, "acceptedBy"), (DiffChange::Added, json!("Carl Customer")));
    assert_eq!((told.to.revision, told.to.status), (6, QuoteStatus::Accepted));
    assert!(told.sentences.iter().any(|s| s == "Acceptance (by Carl Customer) was added."), "{:?}", told.sentences);
}

#[rstest]
#[case::offering("productOfferingId", json!("fiber-1g"), json!("fiber-2g"), "Line 1: offering fiber-1g became fiber-2g.")]
#[case::version("productOfferingVersion", json!("1"), json!("2"), "Line 1: offering version 1 became 2.")]
#[case::action("action", json!("ADD"), json!("CHANGE"), "Line 1: action ADD became CHANGE.")]
#[case::asset("assetId", Value::Null, json!("as-1"), "Line 1: asset as-1 was added.")]
#[case::parent("parentLineNumber", Value::Null, json!("2"), "Line 1: parent line 2 was added.")]
#[case::date("requestedDate", Value::Null, json!("2026-12-01"), "Line 1: requested date 2026-12-01 was added.")]
#[case::quantity("quantity", json!("1"), json!("3"), "Line 1: quantity 1 became 3.")]
fn every_field_of_a_line_counts(
    #[case] name: &str,
    #[case] before: Value,
    #[case] after: Value,
    #[case] sentence: &str,
) {
    let changed = with_line("configured", |line| {
        let mut document = json!(line);
        document[name] = after.clone();
        *line = serde_json::from_value(document).unwrap();
    });
    let told = diff(&given("configured"), &changed);
    assert_eq!(told.sentences, [sentence]);
    let [line] = told.lines.as_slice() else { panic!("{:?}", told.lines) };
    assert_eq!((line.change, line.sentence.as_str()), (DiffChange::Changed, sentence));
    assert_eq!(line.fields, [field(name, before, after)]);
}

#[test]
fn a_characteristic_keeps_its_type_and_is_told_by_its_name() {
    let with = |value: CharacteristicValue| {
        with_line("configured", |line| drop(line.characteristics.insert("ips".to_owned(), value)))
    };
    let (eight, text) = (with(CharacteristicValue::Integer(8)), with(CharacteristicValue::Text("8".to_owned())));
    let told = diff(&given("configured"), &eight);
    assert_eq!(told.lines[0].fields, [field("characteristics.ips", Value::Null, json!(8))]);
    assert_eq!(told.sentences, ["Line 1: ips 8 was added."]);
    assert_eq!(diff(&eight, &text).lines[0].fields, [field("characteristics.ips", json!(8), json!("8"))]);
}

#[test]
fn two_changes_of_a_line_are_two_sentences_and_one_of_the_line() {
    let changed = with_line("large", |line| line.action = cpq_domain::configuration::LineAction::Change);
    let told = diff(&given("configured"), &changed);
    assert_eq!(told.sentences, ["Line 1: quantity 1 became 12.", "Line 1: action ADD became CHANGE."]);
    assert_eq!(told.lines[0].sentence, "Line 1: quantity 1 became 12; action ADD became CHANGE.");
}

#[test]
fn lines_are_told_in_the_order_that_people_count_in() {
    let mut quote = given("configured");
    let Phase::Configured { configuration } = &mut quote.phase else { panic!() };
    let first = configuration.lines[0].clone();
    configuration.lines = ["10", "2", "b", "2.10", "2.9"]
        .map(|number| cpq_domain::configuration::ConfiguredLine {
            line_number: LineNumber::from(number),
            ..first.clone()
        })
        .to_vec();
    let told = diff(&given("draft"), &quote);
    let numbers: Vec<&str> = told.lines.iter().map(|line| line.line_number.as_str()).collect();
    assert_eq!(numbers, ["2", "2.9", "2.10", "10", "b"]);
}

#[test]
fn terms_that_differ_are_told() {
    let before = given("draft");
    let after = Quote { term_months: 24, valid_until: Some(start()), ..before.clone() };
    assert_eq!(
        diff(&before, &after).sentences,
        ["Quote: term in months 36 became 24.", "Quote: end of validity 2026-11-03T10:00:00Z was added."]
    );
}

#[test]
fn asking_for_the_same_percentage_in_other_digits_asks_for_the_same() {
    let with = |percent: &str| {
        let mut quote = given("priced");
        let Phase::Priced { price, .. } = &mut quote.phase else { panic!() };
        price.request.quote_discount.as_mut().unwrap().percent = percent.parse().unwrap();
        quote
    };
    assert_eq!(diff(&with("12"), &with("12.00")).price, None);
}

fn field(name: &str, before: Value, after: Value) -> FieldDiff {
    FieldDiff { field: name.to_owned(), before, after }
}

/// The comparison as seen from the other side. Sentences are left out: they are told forwards.
fn mirrored(mut told: RevisionDiff) -> RevisionDiff {
    let change = |change: &mut DiffChange| {
        *change = match *change {
            DiffChange::Added => DiffChange::Removed,
            DiffChange::Removed => DiffChange::Added,
            DiffChange::Changed => DiffChange::Changed,
        }
    };
    let fields = |fields: &mut Vec<FieldDiff>| {
        fields.iter_mut().for_each(|field| std::mem::swap(&mut field.before, &mut field.after));
    };
    std::mem::swap(&mut told.from, &mut told.to);
    fields(&mut told.fields);
    for line in &mut told.lines {
        change(&mut line.change);
        fields(&mut line.fields);
    }
    if let Some(price) = &mut told.price {
        change(&mut price.change);
        fields(&mut price.fields);
        fields(&mut price.discounts);
        for line in &mut price.lines {
            change(&mut line.change);
            fields(&mut line.fields);
        }
    }
    for part in [&mut told.approval, &mut told.artifact, &mut told.acceptance].into_iter().flatten() {
        change(&mut part.change);
        fields(&mut part.fields);
    }
    untold(told)
}

fn untold(mut told: RevisionDiff) -> RevisionDiff {
    told.sentences.clear();
    told.lines.iter_mut().for_each(|line| line.sentence.clear());
    told
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_comparison_is_empty_of_equals_and_the_same_from_either_side(
        first in prop::sample::select(QUOTE_BIRTHS),
        lines in prop::collection::vec(prop::sample::select(QUOTE_LINES), 1..40),
    ) {
        let mut run = Run::default();
        let mut states = Vec::new();
        for text in [first].into_iter().chain(lines) {
            run.play(text);
            states.extend(run.quote.clone());
        }
        let last = states.last().unwrap();
        for state in &states {
            let same = diff(state, state);
            prop_assert_eq!(&same, &RevisionDiff {
                quote_id: state.quote_id.clone(), from: same.from.clone(), to: same.from.clone(), fields: vec![],
                lines: vec![], price: None, approval: None, artifact: None, acceptance: None, sentences: vec![],
            });
            let (forwards, backwards) = (diff(state, last), diff(last, state));
            prop_assert_eq!(forwards.sentences.len(), backwards.sentences.len());
            prop_assert_eq!(forwards.fields.iter().any(|f| f.field == "status"), state.status() != last.status());
            prop_assert_eq!(mirrored(forwards), untold(backwards));
        }
    }
}
