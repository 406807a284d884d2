//! The approval policy as a whole: the built-in table row by row, and what a tenant's file may not say.

use super::policy::BUILT_IN_DMN;
use super::*;
use crate::money::{Amount, Currency, Percent};
use pretty_assertions::assert_eq;
use proptest::prelude::*;
use rstest::rstest;
use rust_decimal::Decimal;

fn built_in() -> ApprovalPolicy {
    ApprovalPolicy::built_in().expect("the built-in policy compiles")
}

/// A quote that needs nobody.
fn harmless() -> PolicyInputs {
    PolicyInputs {
        effective_discount_percent: Percent::default(),
        total_amount: "100.00".parse().unwrap(),
        currency: Currency::parse("USD").unwrap(),
        margin_percent: Some("40.00".parse().unwrap()),
        term_months: 12,
        segment: "ENTERPRISE".to_owned(),
        has_manual_override: false,
    }
}

/// `discount=10.01 margin=null …` on top of [`harmless`].
fn inputs(changes: &str) -> PolicyInputs {
    let mut inputs = harmless();
    for change in changes.split_ascii_whitespace() {
        match change.split_once('=').unwrap() {
            ("discount", value) => inputs.effective_discount_percent = value.parse().unwrap(),
            ("total", value) => inputs.total_amount = value.parse().unwrap(),
            ("margin", "null") => inputs.margin_percent = None,
            ("margin", value) => inputs.margin_percent = Some(value.parse().unwrap()),
            ("term", value) => inputs.term_months = value.parse().unwrap(),
            ("override", value) => inputs.has_manual_override = value.parse().unwrap(),
            ("currency", value) => inputs.currency = Currency::parse(value).unwrap(),
            ("segment", value) => inputs.segment = value.to_owned(),
            (other, _) => panic!("unknown input {other}"),
        }
    }
    inputs
}

/// One step a line: `level order sla escalation: reasons`.
fn steps(policy: &ApprovalPolicy, changes: &str) -> Vec<String> {
    let steps = policy.evaluate(&inputs(changes)).steps();
    let line =
        |s: PlannedStep| format!("{} {} {} {}: {}", s.level, s.order, s.sla_hours, s.escalate_to, s.reasons.join(" "));
    steps.into_iter().map(line).collect()
}

const MANAGER: &str = "SALES_MANAGER 1 24 SALES_DIRECTOR: DISCOUNT_OVER_10";

#[rstest]
#[case("", &[])]
#[case("discount=10", &[])]
#[case("discount=10.00", &[])]
#[case("discount=10.01", &[MANAGER])]
#[case("discount=20", &[MANAGER])]
#[case("discount=20.01", &[MANAGER, "SALES_DIRECTOR 2 24 FINANCE: DISCOUNT_OVER_20"])]
#[case("override=true", &["SALES_DIRECTOR 2 24 FINANCE: MANUAL_OVERRIDE"])]
#[case("discount=20.01 override=true", &[MANAGER, "SALES_DIRECTOR 2 24 FINANCE: DISCOUNT_OVER_20 MANUAL_OVERRIDE"])]
#[case("total=100000.00", &[])]
#[case("total=100000.01", &["FINANCE 2 48 SALES_DIRECTOR: TOTAL_OVER_100000"])]
#[case("total=100001 currency=JPY", &["FINANCE 2 48 SALES_DIRECTOR: TOTAL_OVER_100000"])]
#[case("margin=15.00", &[])]
#[case("margin=14.99", &["FINANCE 2 48 SALES_DIRECTOR: MARGIN_UNDER_15"])]
#[case("margin=-3.50", &["FINANCE 2 48 SALES_DIRECTOR: MARGIN_UNDER_15"])]
#[case("total=100000.01 margin=1", &["FINANCE 2 48 SALES_DIRECTOR: TOTAL_OVER_100000 MARGIN_UNDER_15"])]
#[case("term=60", &[])]
#[case("term=61", &["LEGAL 3 72 SALES_DIRECTOR: TERM_OVER_60"])]
#[case("discount=50 override=true total=9999999999999.99 margin=0 term=120", &[
    MANAGER,
    "SALES_DIRECTOR 2 24 FINANCE: DISCOUNT_OVER_20 MANUAL_OVERRIDE",
    "FINANCE 2 48 SALES_DIRECTOR: TOTAL_OVER_100000 MARGIN_UNDER_15",
    "LEGAL 3 72 SALES_DIRECTOR: TERM_OVER_60",
])]
fn the_built_in_policy_is_the_contracts_table(#[case] changes: &str, #[case] expected: &[&str]) {
    assert_eq!(steps(&built_in(), changes), expected);
}

#[test]
fn an_unknown_margin_matches_no_rule() {
    assert!(built_in().evaluate(&inputs("margin=null")).matched.is_empty());
}

#[test]
fn the_evidence_names_the_policys_bytes_the_inputs_and_the_matched_rules() {
    let evaluation = built_in().evaluate(&inputs("discount=25 override=true"));
    let hash = evaluation.policy_version.strip_prefix("approval-policy@sha256:").unwrap();
    assert_eq!(hash.len(), 64);
    assert_eq!(evaluation.inputs, inputs("discount=25 override=true"));
    let rules: Vec<&str> = evaluation.matched.iter().map(|rule| rule.rule_id.as_str()).collect();
    assert_eq!(rules, ["discount-over-10", "discount-over-20", "manual-override"]);
    let json = serde_json::to_value(&evaluation).unwrap();
    assert_eq!(json["matched"][0]["level"], "SALES_MANAGER");
    assert_eq!(json["inputs"]["effectiveDiscountPercent"], "25");
    assert_eq!(serde_json::from_value::<PolicyEvaluation>(json).unwrap(), evaluation);
}

#[test]
fn another_file_is_another_version_even_if_it_decides_the_same() {
    let other = ApprovalPolicy::compile(&BUILT_IN_DMN.replace("A large deal", "A very large deal")).unwrap();
    assert_ne!(other.version(), built_in().version());
}

#[test]
fn several_rules_of_a_level_are_one_step_with_the_shortest_sla_and_the_lowest_order() {
    let margin_first = BUILT_IN_DMN
        .replace(
            "id=\"margin-under-15-order\">\n          <text>2<",
            "id=\"margin-under-15-order\">\n          <text>1<",
        )
        .replace(
            "id=\"margin-under-15-slaHours\">\n          <text>48<",
            "id=\"margin-under-15-slaHours\">\n          <text>4<",
        )
        .replace(
            "id=\"margin-under-15-escalateTo\">\n          <text>\"SALES_DIRECTOR\"<",
            "id=\"margin-under-15-escalateTo\">\n          <text>\"LEGAL\"<",
        );
    let policy = ApprovalPolicy::compile(&margin_first).unwrap();
    let expected = [MANAGER, "FINANCE 1 4 LEGAL: TOTAL_OVER_100000 MARGIN_UNDER_15"];
    assert_eq!(steps(&policy, "discount=11 total=200000 margin=5"), expected);
}

#[test]
fn attributes_and_elements_of_foreign_namespaces_are_ignored() {
    let foreign = BUILT_IN_DMN.replace(
        "<decisionTable id",
        "<x:note xmlns:x=\"urn:x\"><x:input/></x:note><decisionTable x:y=\"z\" xmlns:x=\"urn:x\" id",
    );
    assert!(BUILT_IN_DMN.contains("camunda:historyTimeToLive"));
    let policy = ApprovalPolicy::compile(&foreign).unwrap();
    assert_eq!(steps(&policy, "discount=11"), [MANAGER]);
}

#[test]
fn a_comment_inside_a_cell_does_not_hide_the_cell() {
    let commented = BUILT_IN_DMN.replace("<text>&gt; 60<", "<text><!-- years --><![CDATA[> 120]]><");
    let policy = ApprovalPolicy::compile(&commented).unwrap();
    assert_eq!(steps(&policy, "term=120"), [""; 0]);
    assert_eq!(steps(&policy, "term=121").len(), 1);
}

#[test]
fn a_policy_may_differ_by_segment_and_currency() {
    let own = BUILT_IN_DMN
        .replace(
            "id=\"term-over-60-segment\">\n          <text><",
            "id=\"term-over-60-segment\">\n          <text>not(\"SMB\", \"SOHO\")<",
        )
        .replace(
            "id=\"term-over-60-currency\">\n          <text><",
            "id=\"term-over-60-currency\">\n          <text>\"EUR\", \"CHF\"<",
        );
    let policy = ApprovalPolicy::compile(&own).unwrap();
    assert_eq!(steps(&policy, "term=61 currency=CHF").len(), 1);
    assert_eq!(steps(&policy, "term=61 currency=USD").len(), 0);
    assert_eq!(steps(&policy, "term=61 currency=CHF segment=SMB").len(), 0);
}

#[rstest]
#[case("\"LEGAL\"", "\"CEO\"", "term-over-60, level: must be one of")]
#[case("<text>72<", "<text>0<", "term-over-60, slaHours: must be a whole number from 1 to 8760; it is '0'")]
#[case("<text>72<", "<text>8761<", "it is '8761'")]
#[case("<text>72<", "<text>1.5<", "it is '1.5'")]
#[case("<text>72<", "<text>\"72\"<", "slaHours: must be")]
#[case("<text>3<", "<text>101<", "term-over-60, order: must be")]
#[case("<text>3<", "<text><", "term-over-60, order: must be")]
#[case("\"TERM_OVER_60\"", "\"term over 60\"", "term-over-60, reasonCode: must be")]
#[case("<text>&gt; 60<", "<text>&gt; sixty<", "term-over-60: '> sixty' is not in the supported subset")]
#[case("<text>&gt; 60<", "<text>\"60\"<", "tests an input of type number")]
#[case("hitPolicy=\"COLLECT\"", "", "the hit policy must be COLLECT; it is UNIQUE")]
#[case("hitPolicy=\"COLLECT\"", "hitPolicy=\"COLLECT\" aggregation=\"MAX\"", "aggregates")]
#[case("<text>segment<", "<text>customerSegment<", "unknown input 'customerSegment'")]
#[case("name=\"escalateTo\"", "name=\"escalateToLevel\"", "unknown output 'escalateToLevel'")]
#[case("name=\"escalateTo\"", "name=\"level\"", "output 'level' must be there once; it is there 2 times")]
#[case("typeRef=\"boolean\"", "typeRef=\"string\"", "'hasManualOverride' is declared as string")]
#[case("rule id=\"term-over-60\"", "rule id=\"manual-override\"", "rule id 'manual-override' is used twice")]
#[case("rule id=\"term-over-60\"", "rule", "has no id")]
#[case("decision id=\"approval-policy\"", "decision id=\"approvals\"", "no decision with id 'approval-policy'")]
#[case("20191111/MODEL/", "20151101/dmn.xsd", "the root must be <definitions> of DMN 1.3")]
#[case(
    "<inputEntry id=\"term-over-60-segment\">\n          <text></text>\n        </inputEntry>",
    "",
    "6 inputEntry for 7 columns"
)]
#[case("<text>segment<", "<text>segment<!--", "not well-formed XML")]
#[case("<definitions", "<!DOCTYPE definitions [<!ENTITY a \"b\">]><definitions", "not well-formed XML")]
#[case(
    "<inputExpression id=\"expression-segment\"",
    "<inputExpression expressionLanguage=\"groovy\"",
    "is in 'groovy'; only FEEL"
)]
fn a_policy_that_could_not_be_evaluated_is_refused(#[case] from: &str, #[case] to: &str, #[case] fault: &str) {
    assert!(BUILT_IN_DMN.contains(from), "{from}");
    let error = ApprovalPolicy::compile(&BUILT_IN_DMN.replace(from, to)).unwrap_err();
    assert!(error.to_string().contains(fault), "{error}");
}

#[test]
fn all_faults_of_a_policy_are_told_at_once() {
    let broken =
        BUILT_IN_DMN.replace("\"LEGAL\"", "\"CEO\"").replace("&lt; 15", "under 15").replace("<text>72<", "<text>-1<");
    assert_eq!(ApprovalPolicy::compile(&broken).unwrap_err().faults.len(), 3);
}

#[test]
fn a_file_or_table_beyond_the_bounds_is_refused() {
    let padded = format!("{BUILT_IN_DMN}<!-- {} -->", "x".repeat(super::dmn::MAX_BYTES));
    assert!(ApprovalPolicy::compile(&padded).unwrap_err().to_string().contains("bytes"));
}

#[test]
fn a_policy_is_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&built_in());
}

proptest! {
    #[test]
    fn every_step_has_its_level_once_and_steps_ascend(
        discount in 0i64..10_000, total in 0i64..1_000_000_000_000, margin in proptest::option::of(-10_000i64..10_000),
        term in 1u32..200, manual: bool,
    ) {
        let inputs = PolicyInputs {
            effective_discount_percent: Percent(Decimal::new(discount, 2)),
            total_amount: Amount(Decimal::new(total, 2)),
            margin_percent: margin.map(|margin| Percent(Decimal::new(margin, 2))),
            term_months: term,
            has_manual_override: manual,
            ..harmless()
        };
        let evaluation = built_in().evaluate(&inputs);
        let steps = evaluation.steps();
        prop_assert!(steps.windows(2).all(|pair| (pair[0].order, pair[0].level) < (pair[1].order, pair[1].level)));
        let reasons: usize = steps.iter().map(|step| step.reasons.len()).sum();
        prop_assert_eq!(reasons, evaluation.matched.len());
        let expected = [discount > 1000, discount > 2000, manual, total > 10_000_000, margin.is_some_and(|m| m < 1500), term > 60];
        prop_assert_eq!(expected.iter().filter(|matched| **matched).count(), reasons);
    }
}
