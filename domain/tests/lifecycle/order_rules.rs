//! The rules of an order's life.

use crate::orders::{Run, check, sold};
use crate::quotes::quote_id;
use crate::world::Line;
use cpq_domain::follow_up::FollowUp;
use cpq_domain::order::{self, FalloutStatus, LineStatus, Order, OrderEvent, StepStatus, is_irreversible, resolution};
use cpq_domain::quote::QuoteCommand;
use cpq_domain::workflow::WorkflowCommand;
use pretty_assertions::assert_eq;
use rstest::rstest;

#[rstest]
#[case::once("nothing", "quotes create", "CREATED_PENDING_WORKFLOW_START r1: OrderCreated created")]
#[case::the_same_order_again_is_the_same_order(
    "created",
    "quotes create",
    "CREATED_PENDING_WORKFLOW_START r1: nothing"
)]
#[case::also_when_it_has_moved_on("completed", "quotes create", "COMPLETED r2: nothing")]
#[case::another_acceptance_cannot_have_its_id("created", "quotes create acceptance=sha256:ff", "INTERNAL")]
fn creating(#[case] given: &str, #[case] command: &str, #[case] outcome: &str) {
    check(given, command, outcome);
}

#[rstest]
#[case::is_in_progress("created", "bridge fulfilment-started", "IN_PROGRESS r1: OrderFulfilmentStarted")]
#[case::twice("in-progress", "bridge fulfilment-started", "IN_PROGRESS r1: nothing")]
#[case::of_another_plan("created", "bridge fulfilment-started plan=2", "CREATED_PENDING_WORKFLOW_START r1: nothing")]
#[case::too_late("cancelling-before-start", "bridge fulfilment-started", "PENDING_CANCELLATION r2: nothing")]
#[case::an_order_without_steps_is_complete_at_once(
    "without-steps",
    "bridge fulfilment-started",
    "COMPLETED r2: OrderFulfilmentStarted OrderCompleted"
)]
fn starting_fulfilment(#[case] given: &str, #[case] command: &str, #[case] outcome: &str) {
    check(given, command, outcome);
}

#[rstest]
#[case::starts("in-progress", "bridge started", "IN_PROGRESS r1: OrderStepStarted")]
#[case::starts_once_per_attempt("running", "bridge started", "IN_PROGRESS r1: nothing")]
#[case::starts_again("running", "bridge started attempt=2", "IN_PROGRESS r1: OrderStepStarted")]
#[case::does_not_start_once_done("reserved", "bridge started attempt=9", "IN_PROGRESS r1: nothing")]
#[case::completes("running", "bridge completed", "IN_PROGRESS r1: OrderStepCompleted")]
#[case::completes_without_a_start("in-progress", "bridge completed", "IN_PROGRESS r1: OrderStepCompleted")]
#[case::completes_once("reserved", "bridge completed", "IN_PROGRESS r1: nothing")]
#[case::completes_after_its_outcome_was_unknown("unknown", "bridge completed", "IN_PROGRESS r1: OrderStepCompleted")]
#[case::the_last_one_completes_the_order(
    "billing",
    "bridge completed step=1:START_BILLING",
    "COMPLETED r2: OrderStepCompleted OrderCompleted"
)]
#[case::may_be_unknown("running", "bridge unknown", "IN_PROGRESS r1: OrderStepOutcomeUnknown")]
#[case::is_unknown_once("unknown", "bridge unknown", "IN_PROGRESS r1: nothing")]
#[case::is_not_unknown_once_done("reserved", "bridge unknown", "IN_PROGRESS r1: nothing")]
#[case::rejected_needs_a_person("running", "bridge rejected", "FALLOUT r1: OrderFalloutRaised")]
#[case::rejected_twice("rejected", "bridge rejected", "FALLOUT r1: nothing")]
#[case::failed_for_good_needs_a_person("running", "bridge failed", "FALLOUT r1: OrderFalloutRaised")]
#[case::failed_twice("failed", "bridge failed", "FALLOUT r1: nothing")]
#[case::does_not_fail_once_done("reserved", "bridge failed", "IN_PROGRESS r1: nothing")]
#[case::that_nobody_can_settle_needs_a_person("unknown", "bridge failed", "FALLOUT r1: OrderFalloutRaised")]
#[case::that_nobody_can_settle_is_told_once("unsettled", "bridge failed", "FALLOUT r1: nothing")]
#[case::done_after_all_resolves_its_case(
    "rejected",
    "bridge completed",
    "IN_PROGRESS r1: OrderStepCompleted OrderFalloutResolved"
)]
#[case::done_after_the_retries_resolves_its_case(
    "retried",
    "bridge completed",
    "IN_PROGRESS r1: OrderStepCompleted OrderFalloutResolved"
)]
#[case::retried_keeps_its_case_open("failed", "bridge started attempt=2", "FALLOUT r1: OrderStepStarted")]
#[case::that_falls_out_again_has_a_case_of_its_own(
    "retried",
    "bridge rejected",
    "FALLOUT r1: OrderFalloutResolved OrderFalloutRaised"
)]
#[case::is_compensated_by_a_cancellation_only("reserved", "bridge compensated", "IN_PROGRESS r1: nothing")]
#[case::of_a_completed_order_is_over("completed", "bridge failed step=1:START_BILLING", "COMPLETED r2: nothing")]
#[case::of_a_cancelled_order_is_over("cancelled", "bridge completed step=1:ACTIVATE_SERVICE", "CANCELLED r3: nothing")]
#[case::that_the_plan_does_not_have("in-progress", "bridge started step=7:PAINT", "VALIDATION_FAILED")]
#[case::of_no_order("nothing", "bridge started", "ORDER_NOT_FOUND")]
fn a_step(#[case] given: &str, #[case] command: &str, #[case] outcome: &str) {
    check(given, command, outcome);
}

#[rstest]
#[case::before_fulfilment_has_started("created", "omar cancel", "PENDING_CANCELLATION r2: OrderCancellationRequested")]
#[case::in_progress("running", "omar cancel", "PENDING_CANCELLATION r2: OrderCancellationRequested")]
#[case::in_fallout("rejected", "omar cancel", "PENDING_CANCELLATION r2: OrderCancellationRequested")]
#[case::with_the_current_etag(
    "running",
    "omar cancel if-match=1",
    "PENDING_CANCELLATION r2: OrderCancellationRequested"
)]
#[case::past_the_point_of_no_return("billing", "omar cancel token=1:START_BILLING", "ORDER_PAST_POINT_OF_NO_RETURN")]
#[case::past_it_in_fallout("rejected", "omar cancel token=1:START_BILLING", "ORDER_PAST_POINT_OF_NO_RETURN")]
#[case::completed("completed", "omar cancel", "ORDER_NOT_CANCELLABLE")]
#[case::completed_is_told_before_the_point_of_no_return(
    "completed",
    "omar cancel token=1:START_BILLING",
    "ORDER_NOT_CANCELLABLE"
)]
#[case::twice("cancelling", "omar cancel", "ORDER_NOT_CANCELLABLE")]
#[case::cancelled("cancelled", "omar cancel", "ORDER_NOT_CANCELLABLE")]
#[case::with_a_stale_revision("running", "omar cancel rev=2", "ORDER_REVISION_STALE")]
#[case::the_precondition_is_judged_before_the_revision(
    "running",
    "omar cancel rev=2 if-match=2",
    "PRECONDITION_FAILED"
)]
#[case::the_revision_is_judged_before_the_state("completed", "omar cancel rev=1", "ORDER_REVISION_STALE")]
#[case::another_account_s("running", "zack cancel if-match=9", "ORDER_NOT_FOUND")]
#[case::what_is_not_there("nothing", "omar cancel", "ORDER_NOT_FOUND")]
fn cancelling(#[case] given: &str, #[case] command: &str, #[case] outcome: &str) {
    check(given, command, outcome);
}

#[rstest]
#[case::a_running_step_may_still_complete(
    "cancelling-while-running",
    "bridge completed",
    "PENDING_CANCELLATION r2: OrderStepCompleted"
)]
#[case::a_step_may_still_be_found_running(
    "cancelling",
    "bridge started step=1:ACTIVATE_SERVICE",
    "PENDING_CANCELLATION r2: OrderStepStarted"
)]
#[case::a_running_step_may_still_be_refused(
    "cancelling-while-running",
    "bridge rejected",
    "PENDING_CANCELLATION r2: OrderFalloutRaised"
)]
#[case::what_is_done_is_undone("cancelling", "bridge compensated", "PENDING_CANCELLATION r2: OrderStepCompensated")]
#[case::what_is_undone_is_undone_once("compensated", "bridge compensated", "PENDING_CANCELLATION r2: nothing")]
#[case::what_never_ran_is_not_undone(
    "cancelling",
    "bridge compensated step=1:ACTIVATE_SERVICE",
    "PENDING_CANCELLATION r2: nothing"
)]
#[case::what_fell_out_and_is_undone_needs_nobody(
    "cancelling-a-fallout",
    "bridge compensated",
    "PENDING_CANCELLATION r2: OrderStepCompensated OrderFalloutResolved"
)]
#[case::what_cannot_be_undone_needs_a_person(
    "cancelling",
    "bridge compensation-failed",
    "PENDING_CANCELLATION r2: OrderCompensationFailed OrderFalloutRaised"
)]
#[case::what_cannot_be_undone_is_told_once(
    "compensation-failed",
    "bridge compensation-failed",
    "PENDING_CANCELLATION r2: nothing"
)]
#[case::what_could_not_be_undone_may_be_undone_later(
    "compensation-failed",
    "bridge compensated",
    "PENDING_CANCELLATION r2: OrderStepCompensated OrderFalloutResolved"
)]
#[case::nothing_is_held_any_more("compensated", "bridge fulfilment-cancelled", "CANCELLED r3: OrderCancelled")]
#[case::nothing_ever_ran("cancelling-before-start", "bridge fulfilment-cancelled", "CANCELLED r3: OrderCancelled")]
#[case::a_refused_step_holds_nothing(
    "cancelling-a-fallout",
    "bridge fulfilment-cancelled",
    "CANCELLED r3: OrderFalloutResolved OrderCancelled"
)]
#[case::a_completed_step_holds_something(
    "cancelling",
    "bridge fulfilment-cancelled",
    "PENDING_CANCELLATION r2: OrderFalloutRaised"
)]
#[case::a_running_step_may_hold_something(
    "cancelling-while-running",
    "bridge fulfilment-cancelled",
    "PENDING_CANCELLATION r2: OrderFalloutRaised"
)]
#[case::a_step_that_could_not_be_undone_holds_something(
    "compensation-failed",
    "bridge fulfilment-cancelled",
    "PENDING_CANCELLATION r2: nothing"
)]
#[case::of_another_plan("compensated", "bridge fulfilment-cancelled plan=2", "PENDING_CANCELLATION r2: nothing")]
#[case::twice("cancelled", "bridge fulfilment-cancelled", "CANCELLED r3: nothing")]
#[case::without_a_request("in-progress", "bridge fulfilment-cancelled", "IN_PROGRESS r1: nothing")]
fn while_a_cancellation_is_pending(#[case] given: &str, #[case] command: &str, #[case] outcome: &str) {
    check(given, command, outcome);
}

#[test]
fn the_point_of_no_return_names_its_step() {
    let line = Line::parse("omar cancel token=1:START_BILLING");
    let run = Run::given("billing");
    let refusal = run.judge(&line, &run.command(&line)).unwrap_err();
    assert!(refusal.detail.contains("1:START_BILLING"), "{}", refusal.detail);
}

#[test]
fn only_reservation_and_activation_can_be_undone() {
    let irreversible = ["RESERVE_INVENTORY", "ACTIVATE_SERVICE", "START_BILLING", "PAINT"].map(is_irreversible);
    assert_eq!(irreversible, [false, false, true, true]);
    let mut run = Run::given("in-progress");
    run.play("bridge completed step=1:START_BILLING");
    run.play("omar cancel");
    assert_eq!(run.play("bridge compensated step=1:START_BILLING"), "PENDING_CANCELLATION r2: nothing");
}

#[test]
fn an_unsettled_step_stays_unknown_and_blocks_the_end_of_a_cancellation() {
    let mut run = Run::given("unsettled");
    assert_eq!(step(&run, "1:RESERVE_INVENTORY"), StepStatus::Unknown);
    run.play("omar cancel");
    assert_eq!(run.play("bridge fulfilment-cancelled"), "PENDING_CANCELLATION r2: nothing");
    run.play("bridge compensated");
    assert_eq!(run.play("bridge fulfilment-cancelled"), "CANCELLED r3: OrderCancelled");
}

#[test]
fn each_step_that_may_hold_something_gets_a_case() {
    let mut run = Run::given("reserved");
    run.play("bridge started step=1:ACTIVATE_SERVICE");
    run.play("omar cancel");
    run.play("bridge fulfilment-cancelled");
    let cases: Vec<_> =
        order(&run).fallout.iter().map(|case| (case.fallout_id.as_str(), case.step_id.as_str())).collect();
    assert_eq!(
        cases,
        [("fallout-O-2026-000045.1", "1:RESERVE_INVENTORY"), ("fallout-O-2026-000045.2", "1:ACTIVATE_SERVICE"),]
    );
}

#[test]
fn a_case_tells_how_it_ended() {
    let mut run = Run::given("retried");
    run.play("bridge rejected");
    run.play("bridge completed");
    let ends: Vec<_> = order(&run).fallout.iter().map(|case| (case.status, case.resolution.as_deref())).collect();
    assert_eq!(
        ends,
        [
            (FalloutStatus::Resolved, Some(resolution::SUPERSEDED)),
            (FalloutStatus::Resolved, Some(resolution::COMPLETED)),
        ]
    );
    assert_eq!(order(&run).fallout[0].resolved_by.as_ref().unwrap().as_str(), "bridge");
}

#[test]
fn a_failed_step_keeps_the_engine_s_incident() {
    let mut run = Run::given("running");
    run.play("bridge failed incident=inc-7");
    assert_eq!(order(&run).fallout[0].incident_id.as_deref(), Some("inc-7"));
}

#[test]
fn a_line_follows_its_steps() {
    let lines = |given: &str| {
        let run = Run::given(given);
        order(&run).lines.iter().map(|line| order(&run).line_status(line)).collect::<Vec<_>>()
    };
    use LineStatus::*;
    assert_eq!(lines("created"), [Pending, Pending]);
    assert_eq!(lines("in-progress"), [Pending, Pending]);
    assert_eq!(lines("running"), [InProgress, Pending]);
    assert_eq!(lines("rejected"), [Fallout, Pending]);
    assert_eq!(lines("billing"), [InProgress, Completed]);
    assert_eq!(lines("completed"), [Completed, Completed]);
    assert_eq!(lines("cancelled"), [Cancelled, Cancelled]);
    assert_eq!(lines("without-steps"), [Pending, Pending]);
}

#[rstest]
#[case("ADD", 3)]
#[case("CHANGE", 3)]
#[case("DISCONNECT", 0)]
#[case("NO_CHANGE", 0)]
fn only_lines_that_bring_something_have_steps(#[case] action: &str, #[case] steps: usize) {
    let mut line = sold(&Line::parse("quotes create")).lines.remove(0);
    line.action = serde_json::from_value(action.into()).unwrap();
    line.fulfilment.push("RESERVE_INVENTORY".to_owned());
    assert_eq!(line.steps().count(), steps, "a type that is named twice is one step");
}

#[test]
fn a_created_order_is_linked_to_its_quote_and_fulfilled() {
    let run = Run::given("created");
    let follow_up = order::react(&run.log[0].0, order(&run));
    let [
        FollowUp::Quote(quote, QuoteCommand::LinkOrder(link)),
        FollowUp::Workflow(WorkflowCommand::StartFulfilment(start)),
    ] = follow_up.as_slice()
    else {
        panic!("{follow_up:?}")
    };
    assert_eq!((quote, &link.order_id), (&quote_id(), &order(&run).order_id));
    assert_eq!((start.plan_version, start.line_count), (1, 2));
}

#[test]
fn a_requested_cancellation_stops_the_fulfilment() {
    let run = Run::given("cancelling");
    let follow_up = order::react(&run.log.last().unwrap().0, order(&run));
    let [FollowUp::Workflow(WorkflowCommand::CancelFulfilment(cancel))] = follow_up.as_slice() else {
        panic!("{follow_up:?}")
    };
    assert_eq!((cancel.plan_version, cancel.reason_code.as_str()), (1, "CUSTOMER_REQUEST"));
}

#[test]
fn an_order_carries_what_the_acceptance_has_sold() {
    let run = Run::given("created");
    let OrderEvent::OrderCreated(created) = &run.log[0].0 else { panic!("not created") };
    assert_eq!(created.order, sold(&Line::parse("quotes create")));
    assert_eq!(order(&run).snapshot, created.order);
}

fn order(run: &Run) -> &Order {
    run.order.as_ref().unwrap()
}

fn step(run: &Run, id: &str) -> StepStatus {
    order(run).step(&id.into()).unwrap().1.status
}
