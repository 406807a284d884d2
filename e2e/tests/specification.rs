//! The specification's test slice (section 28): each of its 27 sentences is a test of that name, in the file
//! named here. What the tests hold is their own matter; that none gets lost or renamed is held here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use rstest::rstest;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

const QUOTE_RULES: &str = "domain/tests/lifecycle/quote_rules.rs";
const HTTP_JUDGEMENT: &str = "command-gateway/tests/http/judgement.rs";
const HTTP_QUOTES: &str = "command-gateway/tests/http/quotes.rs";
const HTTP_ISOLATION: &str = "command-gateway/tests/http/isolation.rs";
const STORE: &str = "streams/tests/aggregate_store.rs";
const TOPICS: &str = "streams/tests/aggregate_topics.rs";
const APPROVAL: &str = "camunda-bridge/tests/bridge_approval.rs";
const FULFILMENT: &str = "camunda-bridge/tests/bridge_fulfilment.rs";
const SPINE: &str = "e2e/tests/spine.rs";

/// Sentence, file, function.
type Promise = (&'static str, &'static str, &'static str);

const DOMAIN: &[Promise] = &[
    ("cannot accept unapproved quote", QUOTE_RULES, "cannot_accept_unapproved_quote"),
    (
        "changing configuration invalidates price and approval",
        QUOTE_RULES,
        "changing_configuration_invalidates_price_and_approval",
    ),
    ("pricing increments quote revision", QUOTE_RULES, "pricing_increments_quote_revision"),
    (
        "approval decision must match current quote revision",
        QUOTE_RULES,
        "approval_decision_must_match_current_quote_revision",
    ),
    ("accepted quote cannot be edited", QUOTE_RULES, "accepted_quote_cannot_be_edited"),
    (
        "order can be created once per accepted quote revision",
        QUOTE_RULES,
        "order_can_be_created_once_per_accepted_quote_revision",
    ),
];

const API_CONTRACT: &[Promise] = &[
    ("accept quote requires Idempotency-Key", HTTP_JUDGEMENT, "accept_quote_requires_idempotency_key"),
    ("accept quote requires If-Match", HTTP_JUDGEMENT, "accept_quote_requires_if_match"),
    ("quote state conflict returns problem+json", HTTP_QUOTES, "quote_state_conflict_returns_problem_json"),
    ("validation errors expose field-level details", HTTP_JUDGEMENT, "validation_errors_expose_field_level_details"),
];

const POSTGRES: &[Promise] = &[
    (
        "optimistic lock prevents concurrent quote acceptance",
        STORE,
        "optimistic_lock_prevents_concurrent_quote_acceptance",
    ),
    (
        "unique constraint prevents duplicate order per quote revision",
        STORE,
        "unique_constraint_prevents_duplicate_order_per_quote_revision",
    ),
    ("outbox event committed with quote transition", STORE, "outbox_event_committed_with_quote_transition"),
    ("line tree persists and loads deterministically", STORE, "line_tree_persists_and_loads_deterministically"),
];

const CAMUNDA: &[Promise] = &[
    ("approval process creates user task", APPROVAL, "approval_process_creates_user_task"),
    ("approval SLA timer escalates", APPROVAL, "approval_sla_timer_escalates"),
    ("approval completion calls Quote Service command", SPINE, "approval_completion_calls_quote_service_command"),
    ("order fulfillment handles BPMN error as fallout", FULFILMENT, "order_fulfillment_handles_bpmn_error_as_fallout"),
    (
        "external task failure creates incident after retries",
        FULFILMENT,
        "external_task_failure_creates_incident_after_retries",
    ),
];

const KAFKA: &[Promise] = &[
    (
        "outbox publisher publishes QuotePriced once per event id",
        TOPICS,
        "outbox_publisher_publishes_quote_priced_once_per_event_id",
    ),
    ("projection consumer handles duplicate event", TOPICS, "projection_consumer_handles_duplicate_event"),
    ("consumer ignores older aggregate revision", TOPICS, "consumer_ignores_older_aggregate_revision"),
    ("DLQ receives non-deserializable event", TOPICS, "dlq_receives_non_deserializable_event"),
];

const SECURITY: &[Promise] = &[
    ("tenant A cannot read tenant B quote", HTTP_ISOLATION, "tenant_a_cannot_read_tenant_b_quote"),
    (
        "a requester cannot approve own quote when four-eyes required",
        SPINE,
        "a_requester_cannot_approve_own_quote_when_four_eyes_required",
    ),
    (
        "actor without customer access cannot create quote",
        HTTP_QUOTES,
        "actor_without_customer_access_cannot_create_quote",
    ),
    (
        "workflow task completion checks tenant and assignee",
        SPINE,
        "workflow_task_completion_checks_tenant_and_assignee",
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The sentence as a function is named: words in lower case, `QuotePriced` being two of them.
fn named_after(sentence: &str) -> String {
    let mut name = String::new();
    let mut before = ' ';
    for letter in sentence.chars() {
        let begins_word = before.is_lowercase() && letter.is_uppercase();
        if begins_word || !letter.is_alphanumeric() {
            name.push('_');
        }
        if letter.is_alphanumeric() {
            name.extend(letter.to_lowercase());
        }
        before = letter;
    }
    name
}

/// What stands directly above a function of that name: its attributes and documentation. `None` without such a
/// function.
fn above<'a>(source: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let signature = format!("fn {name}(");
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let is_it = |line: &&str| ["", "async "].iter().any(|begin| line.starts_with(&format!("{begin}{signature}")));
    let at = lines.iter().position(is_it)?;
    Some(lines[..at].iter().rev().take_while(|line| !line.is_empty() && **line != "}").copied().collect())
}

fn is_test(attribute: &str) -> bool {
    ["#[test]", "#[rstest]", "#[tokio::test]", "#[tokio::test("].iter().any(|begin| attribute.starts_with(begin))
}

#[rstest]
#[case::domain(DOMAIN, 6)]
#[case::api_contract(API_CONTRACT, 4)]
#[case::postgres(POSTGRES, 4)]
#[case::camunda(CAMUNDA, 5)]
#[case::kafka(KAFKA, 4)]
#[case::security(SECURITY, 4)]
fn every_sentence_of_the_specification_is_a_test(#[case] slice: &[Promise], #[case] count: usize) {
    let sentences: HashSet<_> = slice.iter().map(|(sentence, ..)| sentence).collect();
    assert_eq!(sentences.len(), count);
    for (sentence, file, name) in slice {
        assert_eq!(named_after(sentence), *name, "a test is named after its sentence");
        let source = std::fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        let above = above(&source, name).unwrap_or_else(|| panic!("{file} has no function {name}"));
        assert!(above.iter().any(|line| is_test(line)), "{name} in {file} is no test: {above:?}");
        assert!(!above.iter().any(|line| line.starts_with("#[ignore")), "{name} in {file} is not run");
    }
}

#[rstest]
#[case::a_helper("fn it_holds() {}", false)]
#[case::one_with_an_argument_less_name("#[test]\nfn it_holds_too() {}", false)]
#[case::one_below_a_test("#[test]\nfn other() {\n}\nfn it_holds() {}", false)]
#[case::a_test("#[test]\nfn it_holds() {}", true)]
#[case::with_cases("#[rstest]\n#[case::a(1)]\n#[case::b(2)]\nfn it_holds(#[case] n: i32) {}", true)]
#[case::async_in_a_module(
    "    /// Says why.\n    #[tokio::test(flavor = \"multi_thread\")]\n    async fn it_holds() {",
    true
)]
fn a_test_is_told_from_what_is_none(#[case] source: &str, #[case] is_one: bool) {
    let found = above(source, "it_holds").is_some_and(|above| above.iter().any(|line| is_test(line)));
    assert_eq!(found, is_one);
}
