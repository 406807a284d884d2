//! The rules of a quote's life. The first six tests carry the specification's names (section 28).

use crate::quotes::{Run, check, quote_id};
use crate::world::{Line, WORLD};
use cpq_domain::command::Decision;
use cpq_domain::follow_up::FollowUp;
use cpq_domain::ids::ApprovalRequestId;
use cpq_domain::order::OrderCommand;
use cpq_domain::quote::{self, QuoteEvent};
use cpq_domain::workflow::WorkflowCommand;
use pretty_assertions::assert_eq;
use rstest::rstest;

#[rstest]
#[case("draft")]
#[case("configured")]
#[case("priced")]
#[case("starting")]
#[case("pending")]
#[case("rejected")]
fn cannot_accept_unapproved_quote(#[case] given: &str) {
    check(given, "carl accept artifact=art-1", "QUOTE_NOT_APPROVED");
}

#[rstest]
#[case("priced")]
#[case("rejected")]
fn changing_configuration_invalidates_price_and_approval(#[case] given: &str) {
    let mut run = Run::given(given);
    run.play("alice configure");
    let quote = run.quote.unwrap();
    assert!(quote.configuration().is_some());
    assert_eq!((quote.price(), quote.approval(), quote.artifact()), (None, None, None));
}

#[test]
fn pricing_increments_quote_revision() {
    check("configured", "alice price", "PRICED r3: QuotePriced");
    check("priced", "alice price", "PRICED r4: QuotePriced");
}

#[test]
fn approval_decision_must_match_current_quote_revision() {
    check("pending", "bob decide rev=3", "QUOTE_REVISION_STALE");
    check("pending", "bob decide rev=5", "QUOTE_REVISION_STALE");
    check("pending", "bob complete rev=3", "QUOTE_REVISION_STALE");
    check("pending", "bob decide rev=4", "APPROVED r5: QuoteApprovalStepDecided QuoteApproved");
}

#[rstest]
#[case("alice configure")]
#[case("alice price")]
#[case("alice submit")]
#[case("alice withdraw")]
#[case("bob decide")]
#[case("alice artifact")]
#[case("carl accept")]
fn accepted_quote_cannot_be_edited(#[case] command: &str) {
    check("accepted", command, "QUOTE_ALREADY_ACCEPTED");
    check("ordered", command, "QUOTE_ALREADY_ACCEPTED");
}

#[test]
fn order_can_be_created_once_per_accepted_quote_revision() {
    let mut run = Run::given("presented");
    let before = run.log.len();
    run.play("carl accept");
    let quote = run.quote.clone().unwrap();
    let creations: Vec<_> = run.log[before..].iter().flat_map(|(event, _)| quote::react(event, &quote)).collect();
    assert!(matches!(creations.as_slice(), [FollowUp::Order(_, OrderCommand::CreateOrder(_))]), "{creations:?}");
    assert_eq!(run.play("sam accept"), "QUOTE_ALREADY_ACCEPTED");
    assert_eq!(run.play("omar order"), "ACCEPTED_PENDING_ORDER_CREATION r6: deferred");
    assert_eq!(run.play("orders link"), "ACCEPTED r6: QuoteOrderLinked created");
    assert_eq!(run.play("orders link"), "ACCEPTED r6: nothing");
    assert_eq!(run.play("omar order"), "ACCEPTED r6: nothing");
}

#[rstest]
#[case::a_new_quote_is_a_draft_of_revision_1("nothing", "alice create", "DRAFT r1: QuoteCreated created")]
#[case::an_account_outside_of_the_token_is_refused("nothing", "zoe create", "CUSTOMER_ACCESS_DENIED")]
#[case::an_unknown_account_is_a_field_fault(
    "nothing",
    "alice create account=acct-7",
    "VALIDATION_FAILED /customerAccountId"
)]
#[case::a_price_list_without_prices_is_a_field_fault(
    "nothing",
    "alice create list=secret",
    "VALIDATION_FAILED /priceListId"
)]
#[case::validity_must_lie_ahead("nothing", "alice create valid-days=0", "VALIDATION_FAILED /validUntil")]
#[case::if_match_cannot_hold_for_what_is_not_there("nothing", "alice create if-match=*", "PRECONDITION_FAILED")]
#[case::access_is_judged_before_the_precondition("nothing", "zoe create if-match=1", "CUSTOMER_ACCESS_DENIED")]
fn creating(#[case] given: &str, #[case] command: &str, #[case] outcome: &str) {
    check(given, command, outcome);
}

#[rstest]
#[case::of_a_draft("draft", "alice configure", "CONFIGURED r2: QuoteConfigured")]
#[case::again("configured", "alice configure", "CONFIGURED r3: QuoteConfigured")]
#[case::of_a_priced_quote("priced", "alice configure", "CONFIGURED r4: QuoteConfigured")]
#[case::of_a_rejected_quote("rejected", "alice configure", "CONFIGURED r6: QuoteConfigured")]
#[case::not_while_it_is_with_approvers("pending", "alice configure", "QUOTE_NOT_EDITABLE")]
#[case::not_once_it_is_approved("approved", "alice configure", "QUOTE_NOT_EDITABLE")]
#[case::an_unknown_offering_is_told_with_its_line(
    "draft",
    "alice configure offering=moon",
    "OFFERING_NOT_VISIBLE /lines/0/productOfferingId"
)]
#[case::form_is_judged_before_the_catalog(
    "draft",
    "alice configure offering=moon quantity=0",
    "VALIDATION_FAILED /lines/0/quantity"
)]
#[case::the_revision_is_judged_before_the_form("draft", "alice configure quantity=0 rev=7", "QUOTE_REVISION_STALE")]
fn configuring(#[case] given: &str, #[case] command: &str, #[case] outcome: &str) {
    check(given, command, outcome);
}

#[rstest]
#[case::needs_a_configuration("draft", "alice price", "QUOTE_NOT_CONFIGURED")]
#[case::of_a_rejected_quote("rejected", "alice price", "PRICED r6: QuotePriced")]
#[case::not_while_it_is_with_approvers("starting", "alice price", "QUOTE_NOT_EDITABLE")]
#[case::not_once_it_is_approved("approved", "alice price", "QUOTE_NOT_EDITABLE")]
#[case::a_pricing_date_needs_the_order_manager("configured", "alice price date=1", "FORBIDDEN")]
#[case::an_order_manager_may_choose_the_date("configured", "pia price date=1", "PRICED r3: QuotePriced")]
#[case::the_role_is_judged_before_the_revision("configured", "alice price date=1 rev=9 if-match=9", "FORBIDDEN")]
#[case::a_discount_over_100_percent_is_refused(
    "configured",
    "alice price discount=100.01",
    "VALIDATION_FAILED /quoteDiscount/percent"
)]
fn pricing(#[case] given: &str, #[case] command: &str, #[case] outcome: &str) {
    check(given, command, outcome);
}

#[rstest]
#[case::asks_the_approvers("priced", "alice submit", "PENDING_APPROVAL_WORKFLOW_START r4: QuoteSubmittedForApproval")]
#[case::is_approved_at_once_where_policy_needs_nobody(
    "undiscounted",
    "alice submit",
    "APPROVED r5: QuoteSubmittedForApproval QuoteApproved"
)]
#[case::of_a_draft("draft", "alice submit", "QUOTE_NOT_CONFIGURED")]
#[case::without_a_price("configured", "alice submit", "QUOTE_NOT_PRICED")]
#[case::of_a_rejected_quote_without_a_new_price("rejected", "alice submit", "QUOTE_NOT_PRICED")]
#[case::twice("pending", "alice submit", "QUOTE_NOT_EDITABLE")]
#[case::with_a_price_of_yesterday_month("priced", "alice submit day=30", "PRICE_STALE")]
#[case::on_the_price_s_last_day(
    "priced",
    "alice submit day=29",
    "PENDING_APPROVAL_WORKFLOW_START r4: QuoteSubmittedForApproval"
)]
fn submitting(#[case] given: &str, #[case] command: &str, #[case] outcome: &str) {
    check(given, command, outcome);
}

#[rstest]
#[case::leads_back_to_the_price("pending", "alice withdraw", "PRICED r5: QuoteApprovalWithdrawn")]
#[case::also_before_the_workflow_has_started("starting", "alice withdraw", "PRICED r5: QuoteApprovalWithdrawn")]
#[case::only_by_who_submitted("pending", "sam withdraw", "FORBIDDEN")]
#[case::who_submitted_is_judged_before_the_precondition("pending", "sam withdraw if-match=9 rev=9", "FORBIDDEN")]
#[case::needs_a_submission("priced", "alice withdraw", "QUOTE_NOT_PENDING_APPROVAL")]
#[case::not_once_it_is_approved("approved", "alice withdraw", "QUOTE_NOT_PENDING_APPROVAL")]
fn withdrawing_a_submission(#[case] given: &str, #[case] command: &str, #[case] outcome: &str) {
    check(given, command, outcome);
}

#[rstest]
#[case::the_last_approval_approves_the_quote(
    "pending",
    "bob decide",
    "APPROVED r5: QuoteApprovalStepDecided QuoteApproved"
)]
#[case::one_rejection_rejects_the_quote(
    "pending",
    "bob decide verdict=REJECT",
    "APPROVAL_REJECTED r5: QuoteApprovalStepDecided QuoteApprovalRejected"
)]
#[case::one_of_several_steps_leaves_the_revision(
    "two-levels",
    "bob decide",
    "PENDING_APPROVAL r4: QuoteApprovalStepDecided"
)]
#[case::the_next_level_follows("half-approved", "dora decide", "APPROVED r5: QuoteApprovalStepDecided QuoteApproved")]
#[case::the_next_level_may_reject(
    "half-approved",
    "dora decide verdict=REJECT",
    "APPROVAL_REJECTED r5: QuoteApprovalStepDecided QuoteApprovalRejected"
)]
#[case::parallel_steps_wait_for_each_other("parallel", "fay decide", "PENDING_APPROVAL r4: QuoteApprovalStepDecided")]
#[case::before_the_workflow_has_started_it_may_be_tried_again(
    "starting",
    "bob decide",
    "QUOTE_NOT_PENDING_APPROVAL retryable"
)]
#[case::needs_a_submission("priced", "bob decide", "QUOTE_NOT_PENDING_APPROVAL")]
#[case::not_twice("approved", "bob decide", "QUOTE_NOT_PENDING_APPROVAL")]
#[case::a_requester_cannot_approve_own_quote("pending", "alice decide", "FOUR_EYES_VIOLATION")]
#[case::the_owner_cannot_approve_own_quote("pending", "olivia decide", "FOUR_EYES_VIOLATION")]
#[case::four_eyes_is_judged_before_authority_precondition_and_revision(
    "pending",
    "alice decide if-match=1 rev=1",
    "FOUR_EYES_VIOLATION"
)]
#[case::without_any_authority("pending", "sam decide", "NOT_ELIGIBLE_APPROVER")]
#[case::with_an_authority_of_another_level("pending", "dora decide", "NOT_ELIGIBLE_APPROVER")]
#[case::with_an_authority_that_has_ended("pending", "former decide", "NOT_ELIGIBLE_APPROVER")]
#[case::before_the_own_step_is_open("two-levels", "dora decide", "NOT_ELIGIBLE_APPROVER")]
#[case::before_the_named_step_is_open("two-levels", "dora decide task=SALES_DIRECTOR", "NOT_ELIGIBLE_APPROVER")]
#[case::eligibility_is_judged_before_the_workflow_s_start("starting", "sam decide", "NOT_ELIGIBLE_APPROVER")]
#[case::over_the_discount_limit("pending", "weak decide", "APPROVAL_AUTHORITY_EXCEEDED")]
#[case::over_the_amount_limit("pending", "small decide", "APPROVAL_AUTHORITY_EXCEEDED")]
#[case::in_another_currency("pending", "euro decide", "APPROVAL_AUTHORITY_EXCEEDED")]
#[case::limits_are_inclusive("pending", "exact decide", "APPROVED r5: QuoteApprovalStepDecided QuoteApproved")]
#[case::authority_is_judged_before_the_precondition("pending", "weak decide if-match=9", "APPROVAL_AUTHORITY_EXCEEDED")]
#[case::the_task_must_be_named_where_several_match("parallel", "greta decide", "VALIDATION_FAILED /taskId")]
#[case::a_named_task_is_decided(
    "parallel",
    "greta decide task=FINANCE",
    "PENDING_APPROVAL r4: QuoteApprovalStepDecided"
)]
#[case::the_revision_is_judged_before_the_missing_task("parallel", "greta decide rev=1", "QUOTE_REVISION_STALE")]
#[case::a_step_of_another_is_taken("claimed", "greta decide", "TASK_CLAIMED")]
#[case::the_own_claimed_step_is_decided("claimed", "bob decide", "APPROVED r5: QuoteApprovalStepDecided QuoteApproved")]
#[case::a_decided_step_is_decided("half-approved", "greta decide task=SALES_MANAGER", "TASK_ALREADY_COMPLETED")]
#[case::an_unknown_task("pending", "bob decide task=LEGAL", "TASK_NOT_FOUND")]
#[case::an_escalated_step_may_be_decided_by_the_next_level(
    "escalated",
    "dora decide",
    "APPROVED r5: QuoteApprovalStepDecided QuoteApproved"
)]
#[case::an_escalated_step_may_still_be_decided_by_its_own(
    "escalated",
    "bob decide",
    "APPROVED r5: QuoteApprovalStepDecided QuoteApproved"
)]
fn deciding(#[case] given: &str, #[case] command: &str, #[case] outcome: &str) {
    check(given, command, outcome);
}

#[test]
fn one_actor_decides_one_step_only() {
    let mut run = Run::given("two-levels");
    assert_eq!(run.play("greta decide"), "PENDING_APPROVAL r4: QuoteApprovalStepDecided");
    assert_eq!(run.play("greta decide"), "NOT_ELIGIBLE_APPROVER");
    assert_eq!(run.play("greta claim task=SALES_DIRECTOR"), "NOT_ELIGIBLE_APPROVER");
}

#[test]
fn a_tenant_may_do_without_four_eyes() {
    let mut run = Run::given("pending");
    run.four_eyes_off = true;
    assert_eq!(run.play("alice decide"), "APPROVED r5: QuoteApprovalStepDecided QuoteApproved");
}

#[test]
fn a_decision_keeps_the_authority_and_the_price_it_rests_on() {
    let mut run = Run::given("escalated");
    run.play("dora decide");
    let QuoteEvent::QuoteApprovalStepDecided(decided) = &run.log[run.log.len() - 2].0 else { panic!("no decision") };
    assert_eq!(decided.authority.role.as_str(), "SALES_DIRECTOR");
    assert_eq!(decided.authority.max_discount_percent.to_string(), "50");
    assert_eq!(decided.price_hash, run.quote.unwrap().price().unwrap().price_hash);
}

#[rstest]
#[case::an_open_task("pending", "bob claim", "PENDING_APPROVAL r4: QuoteApprovalStepClaimed")]
#[case::the_own_task_again("claimed", "bob claim", "PENDING_APPROVAL r4: nothing")]
#[case::a_task_of_another("claimed", "greta claim", "TASK_CLAIMED")]
#[case::not_by_the_requester("pending", "alice claim", "FOUR_EYES_VIOLATION")]
#[case::not_without_authority("pending", "sam claim", "NOT_ELIGIBLE_APPROVER")]
#[case::not_before_its_turn("two-levels", "dora claim task=SALES_DIRECTOR", "NOT_ELIGIBLE_APPROVER")]
#[case::not_before_the_workflow_has_started("starting", "bob claim", "QUOTE_NOT_PENDING_APPROVAL retryable")]
#[case::not_once_it_is_decided("half-approved", "greta claim", "TASK_ALREADY_COMPLETED")]
#[case::not_once_another_step_was_rejected("second-level-rejected", "bob claim", "TASK_ALREADY_COMPLETED")]
#[case::not_once_the_submission_was_withdrawn("withdrawn-submission", "bob claim", "QUOTE_NOT_PENDING_APPROVAL")]
#[case::a_task_that_never_was("pending", "bob claim task=LEGAL", "TASK_NOT_FOUND")]
#[case::a_task_of_a_revision_to_come("pending", "bob claim task=apr-2026-000123-r9.FINANCE", "TASK_NOT_FOUND")]
#[case::a_task_of_another_quote("pending", "bob claim task=apr-2026-000999-r4.FINANCE", "TASK_NOT_FOUND")]
#[case::a_malformed_task("pending", "bob claim task=a.b", "TASK_NOT_FOUND")]
#[case::of_no_quote("nothing", "bob claim", "TASK_NOT_FOUND")]
fn claiming(#[case] given: &str, #[case] command: &str, #[case] outcome: &str) {
    check(given, command, outcome);
}

#[rstest]
#[case::the_own_task("claimed", "bob unclaim", "PENDING_APPROVAL r4: QuoteApprovalStepReleased")]
#[case::a_free_task("pending", "bob unclaim", "PENDING_APPROVAL r4: nothing")]
#[case::a_task_of_another("claimed", "greta unclaim", "TASK_CLAIMED")]
#[case::not_once_it_is_decided("approved", "bob unclaim", "TASK_ALREADY_COMPLETED")]
fn giving_a_task_back(#[case] given: &str, #[case] command: &str, #[case] outcome: &str) {
    check(given, command, outcome);
}

#[rstest]
#[case::decides_its_step("pending", "bob complete", "APPROVED r5: QuoteApprovalStepDecided QuoteApproved")]
#[case::twice("approved", "bob complete", "TASK_ALREADY_COMPLETED")]
#[case::twice_whatever_the_revision("approved", "bob complete rev=1 if-match=1", "TASK_ALREADY_COMPLETED")]
#[case::by_another_after_it_is_done("half-approved", "greta complete", "TASK_ALREADY_COMPLETED")]
#[case::after_the_quote_was_rejected("rejected", "bob complete", "TASK_ALREADY_COMPLETED")]
#[case::claimed_by_another("claimed", "greta complete", "TASK_CLAIMED")]
#[case::by_the_requester("pending", "alice complete", "FOUR_EYES_VIOLATION")]
#[case::by_the_requester_after_it_is_done("approved", "alice complete", "FOUR_EYES_VIOLATION")]
#[case::of_a_withdrawn_submission(
    "withdrawn-submission",
    "bob complete task=apr-2026-000123-r4.SALES_MANAGER rev=4",
    "QUOTE_REVISION_STALE"
)]
#[case::of_a_withdrawn_submission_at_the_current_revision(
    "withdrawn-submission",
    "bob complete",
    "QUOTE_NOT_PENDING_APPROVAL"
)]
#[case::of_another_level_than_the_policy_s("pending", "fay complete task=FINANCE", "TASK_NOT_FOUND")]
#[case::of_no_quote("nothing", "bob complete", "TASK_NOT_FOUND")]
fn completing_a_task(#[case] given: &str, #[case] command: &str, #[case] outcome: &str) {
    check(given, command, outcome);
}

#[rstest]
#[case::starts_it("starting", "bridge started", "PENDING_APPROVAL r4: QuoteApprovalStarted")]
#[case::twice("pending", "bridge started", "PENDING_APPROVAL r4: nothing")]
#[case::too_late("approved", "bridge started", "APPROVED r5: nothing")]
#[case::of_an_earlier_submission(
    "starting",
    "bridge started request=old",
    "PENDING_APPROVAL_WORKFLOW_START r4: nothing"
)]
#[case::an_overdue_step("pending", "bridge escalate", "PENDING_APPROVAL r4: QuoteApprovalEscalated")]
#[case::an_overdue_step_twice("escalated", "bridge escalate", "PENDING_APPROVAL r4: nothing")]
#[case::an_overdue_step_that_is_decided("half-approved", "bridge escalate", "PENDING_APPROVAL r4: nothing")]
#[case::an_overdue_step_that_is_not_open_yet(
    "two-levels",
    "bridge escalate level=SALES_DIRECTOR",
    "PENDING_APPROVAL r4: nothing"
)]
#[case::an_overdue_step_of_an_earlier_submission(
    "pending",
    "bridge escalate request=old",
    "PENDING_APPROVAL r4: nothing"
)]
fn the_engine_s_reports(#[case] given: &str, #[case] command: &str, #[case] outcome: &str) {
    check(given, command, outcome);
}

#[rstest]
#[case::is_rendered_elsewhere("approved", "alice artifact", "APPROVED r5: deferred")]
#[case::exists_once_per_revision_and_template("presented", "alice artifact", "APPROVED r5: nothing")]
#[case::of_another_template_is_another("presented", "alice artifact template=formal", "APPROVED r5: deferred")]
#[case::only_of_an_approved_quote("priced", "alice artifact", "QUOTE_NOT_APPROVED")]
#[case::not_while_it_is_with_approvers("pending", "alice artifact", "QUOTE_NOT_APPROVED")]
#[case::not_of_a_stale_revision("approved", "alice artifact rev=4", "QUOTE_REVISION_STALE")]
#[case::is_reported_once_stored("approved", "document stored", "APPROVED r5: QuoteArtifactGenerated created")]
#[case::is_reported_twice("presented", "document stored", "APPROVED r5: nothing")]
#[case::of_a_revision_that_was_left("approved", "document stored for-rev=3", "QUOTE_REVISION_STALE")]
#[case::of_a_quote_that_is_approved_no_more("priced", "document stored", "QUOTE_NOT_APPROVED")]
#[case::after_acceptance("accepted", "document stored", "QUOTE_ALREADY_ACCEPTED")]
fn an_artifact(#[case] given: &str, #[case] command: &str, #[case] outcome: &str) {
    check(given, command, outcome);
}

#[rstest]
#[case::by_the_customer("presented", "carl accept", "ACCEPTED_PENDING_ORDER_CREATION r6: QuoteAccepted")]
#[case::by_a_customer_s_signature(
    "presented",
    "carl accept method=DIGITAL_SIGNATURE",
    "ACCEPTED_PENDING_ORDER_CREATION r6: QuoteAccepted"
)]
#[case::on_behalf_by_sales(
    "presented",
    "sam accept method=EMAIL_CONFIRMATION",
    "ACCEPTED_PENDING_ORDER_CREATION r6: QuoteAccepted"
)]
#[case::sales_cannot_sign_for_the_customer("presented", "sam accept method=DIGITAL_SIGNATURE", "FORBIDDEN")]
#[case::needs_an_artifact("approved", "carl accept", "ARTIFACT_MISMATCH")]
#[case::of_an_unknown_artifact("presented", "carl accept artifact=art-9", "ARTIFACT_MISMATCH")]
#[case::only_of_the_newest_artifact("presented-twice", "carl accept artifact=first", "ARTIFACT_MISMATCH")]
#[case::of_the_newest_of_two("presented-twice", "carl accept", "ACCEPTED_PENDING_ORDER_CREATION r6: QuoteAccepted")]
#[case::with_a_stale_price("presented", "carl accept day=30", "PRICE_STALE")]
#[case::of_a_stale_revision("presented", "carl accept rev=4", "QUOTE_REVISION_STALE")]
#[case::with_another_etag("presented", "carl accept if-match=4", "PRECONDITION_FAILED")]
#[case::the_precondition_is_judged_before_the_revision(
    "presented",
    "carl accept if-match=4 rev=3",
    "PRECONDITION_FAILED"
)]
#[case::with_the_current_etag(
    "presented",
    "carl accept if-match=5",
    "ACCEPTED_PENDING_ORDER_CREATION r6: QuoteAccepted"
)]
#[case::twice("accepted", "carl accept rev=5", "QUOTE_ALREADY_ACCEPTED")]
#[case::twice_is_judged_before_the_precondition("accepted", "carl accept rev=5 if-match=5", "QUOTE_ALREADY_ACCEPTED")]
#[case::the_role_is_judged_before_all("accepted", "sam accept method=DIGITAL_SIGNATURE if-match=5", "FORBIDDEN")]
#[case::of_another_account_s_quote("presented", "zoe accept", "QUOTE_NOT_FOUND")]
fn accepting(#[case] given: &str, #[case] command: &str, #[case] outcome: &str) {
    check(given, command, outcome);
}

#[rstest]
#[case::waits_until_it_exists("accepted", "omar order", "ACCEPTED_PENDING_ORDER_CREATION r6: deferred")]
#[case::finds_the_one_that_exists("ordered", "omar order", "ACCEPTED r6: nothing")]
#[case::names_the_accepted_revision("accepted", "omar order rev=5", "ACCEPTED_PENDING_ORDER_CREATION r6: deferred")]
#[case::with_the_revision_after_acceptance("accepted", "omar order rev=6", "QUOTE_REVISION_STALE")]
#[case::needs_acceptance("presented", "omar order", "QUOTE_NOT_ACCEPTED")]
#[case::honours_if_match("accepted", "omar order if-match=5", "PRECONDITION_FAILED")]
#[case::of_another_account_s_quote("accepted", "zack order", "QUOTE_NOT_FOUND")]
#[case::another_order_changes_nothing(
    "accepted",
    "orders link order=O-2026-000099",
    "ACCEPTED_PENDING_ORDER_CREATION r6: nothing"
)]
fn ordering(#[case] given: &str, #[case] command: &str, #[case] outcome: &str) {
    check(given, command, outcome);
}

#[rstest]
#[case("alice configure")]
#[case("alice price")]
#[case("alice submit")]
#[case("alice artifact")]
#[case("carl accept")]
#[case("omar order")]
#[case("bob decide")]
fn what_is_not_there_and_what_is_another_account_s_are_both_not_found(#[case] command: &str) {
    check("nothing", command, "QUOTE_NOT_FOUND");
    let verb = command.split_whitespace().nth(1).unwrap();
    check("draft", &format!("zoe {verb} if-match=9"), "QUOTE_NOT_FOUND");
}

#[rstest]
#[case("alice configure")]
#[case("alice price")]
#[case("alice submit")]
#[case("alice withdraw")]
#[case("bob decide")]
#[case("alice artifact")]
#[case("carl accept")]
fn the_precondition_is_judged_before_the_revision_and_that_before_validity(#[case] command: &str) {
    check("short-lived", &format!("{command} day=5 rev=9 if-match=9"), "PRECONDITION_FAILED");
    check("short-lived", &format!("{command} day=5 rev=9 if-match=1"), "QUOTE_REVISION_STALE");
    check("short-lived", &format!("{command} day=5 if-match=*"), "QUOTE_EXPIRED");
}

#[test]
fn an_expired_quote_cannot_be_ordered_either() {
    check("short-lived", "omar order day=5", "QUOTE_EXPIRED");
    check("short-lived", "omar order day=4", "QUOTE_NOT_ACCEPTED");
}

#[test]
fn a_price_is_fresh_no_longer_than_its_quote_is_valid() {
    let mut run = Run::given("short-lived");
    run.play("alice configure");
    run.play("alice price");
    let quote = run.quote.unwrap();
    assert_eq!(Some(quote.price().unwrap().fresh_until), quote.valid_until);
}

#[test]
fn withdrawing_keeps_the_price_and_drops_the_approval() {
    let before = Run::given("pending").quote.unwrap();
    let after = Run::given("withdrawn-submission").quote.unwrap();
    assert_eq!((after.price(), after.approval()), (before.price(), None));
}

#[test]
fn pricing_again_drops_the_approval() {
    let mut run = Run::given("rejected");
    run.play("alice price");
    assert_eq!(run.quote.unwrap().approval(), None);
}

#[test]
fn the_evidence_is_a_chain_of_hashes() {
    let run = Run::given("accepted");
    let quote = run.quote.unwrap();
    let (configuration, price) = (quote.configuration().unwrap(), quote.price().unwrap());
    let (approval, acceptance) = (quote.approval().unwrap(), quote.acceptance().unwrap());
    assert_eq!(price.configuration_hash, configuration.configuration_hash);
    assert_eq!(approval.price_hash, price.price_hash);
    let QuoteEvent::QuoteAccepted(accepted) = &run.log.last().unwrap().0 else { panic!("not accepted") };
    assert_eq!(accepted.artifact_hash, acceptance.artifact.content_hash);
    assert_eq!(accepted.order.acceptance_hash, acceptance.acceptance_hash);
    assert_eq!((accepted.accepted_revision, accepted.order.quote_revision), (5, 5));
}

#[test]
fn a_submission_starts_the_workflow_and_a_decision_moves_it() {
    let reactions = |given: &str, command: &str| {
        let mut run = Run::given(given);
        let before = run.log.len();
        run.play(command);
        let quote = run.quote.clone().unwrap();
        let all = run.log[before..].iter().flat_map(|(event, _)| quote::react(event, &quote));
        let names = all.map(|follow_up| match follow_up {
            FollowUp::Workflow(command) => format!("{} {}", command.name(), command.aggregate_id()),
            FollowUp::Order(id, command) => format!("{} {id}", command.name()),
            FollowUp::Quote(id, command) => format!("{} {id}", command.name()),
        });
        names.collect::<Vec<_>>()
    };
    let request = ApprovalRequestId::of(&quote_id(), 4);
    assert_eq!(reactions("priced", "alice submit"), [format!("StartApproval {request}")]);
    assert_eq!(reactions("undiscounted", "alice submit"), Vec::<String>::new());
    assert_eq!(reactions("pending", "bob decide"), [format!("CompleteApprovalStep {request}")]);
    assert_eq!(reactions("pending", "alice withdraw"), [format!("EndApproval {request}")]);
    assert_eq!(reactions("presented", "carl accept"), ["CreateOrder O-2026-000045"]);
    assert_eq!(reactions("pending", "bridge escalate"), Vec::<String>::new());
}

#[test]
fn rendering_is_asked_for_once_per_revision_and_template() {
    let run = Run::given("approved");
    let ask = || match run.decide(&Line::parse("alice artifact")) {
        Ok(Decision::Deferred { follow_up, subject }) => (follow_up, subject),
        other => panic!("{other:?}"),
    };
    let (follow_up, subject) = ask();
    assert_eq!(ask().1, subject, "the same artifact has the same id");
    let [FollowUp::Workflow(WorkflowCommand::RenderArtifact(render))] = follow_up.as_slice() else { panic!() };
    assert_eq!((render.artifact_id.as_str(), render.quote_revision), (subject.as_str(), 5));
}

#[test]
fn a_price_replays_from_its_trace() {
    let run = Run::given("priced");
    let QuoteEvent::QuotePriced(priced) = &run.log.last().unwrap().0 else { panic!("not priced") };
    let trace: cpq_domain::pricing::PriceTrace = serde_json::from_str(&priced.trace).unwrap();
    assert_eq!(cpq_domain::pricing::replay(&trace).unwrap(), priced.price.price);
    assert_eq!(WORLD.catalog.version(), trace.catalog_version);
}
