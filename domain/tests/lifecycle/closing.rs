//! How a quote ends that nobody accepts: withdrawn by its seller, or expired when its validity is over.

use crate::quotes::{Run, check, quote_id};
use crate::world::{Line, claims, start};
use cpq_domain::follow_up::FollowUp;
use cpq_domain::ids::ApprovalRequestId;
use cpq_domain::quote::view::QuoteView;
use cpq_domain::quote::{self, Quote};
use cpq_domain::workflow::WorkflowCommand;
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::json;

#[rstest]
#[case("draft", "WITHDRAWN r2: QuoteWithdrawn")]
#[case("configured", "WITHDRAWN r3: QuoteWithdrawn")]
#[case("priced", "WITHDRAWN r4: QuoteWithdrawn")]
#[case("starting", "WITHDRAWN r5: QuoteWithdrawn")]
#[case("pending", "WITHDRAWN r5: QuoteWithdrawn")]
#[case("presented", "WITHDRAWN r6: QuoteWithdrawn")]
#[case("rejected", "WITHDRAWN r6: QuoteWithdrawn")]
#[case("accepted", "QUOTE_ALREADY_ACCEPTED")]
#[case("ordered", "QUOTE_ALREADY_ACCEPTED")]
#[case("withdrawn", "QUOTE_WITHDRAWN")]
#[case("expired", "QUOTE_EXPIRED")]
fn a_quote_is_withdrawn_from_wherever_it_is_before_acceptance(#[case] given: &str, #[case] outcome: &str) {
    check(given, "alice withdraw-quote", outcome);
}

#[rstest]
#[case("rev=9 if-match=9", "PRECONDITION_FAILED")]
#[case("rev=9", "QUOTE_REVISION_STALE")]
#[case("day=5", "QUOTE_EXPIRED")]
#[case("day=4", "WITHDRAWN r2: QuoteWithdrawn")]
fn a_withdrawal_is_judged_like_any_other_command(#[case] options: &str, #[case] outcome: &str) {
    check("short-lived", &format!("alice withdraw-quote {options}"), outcome);
    check("short-lived", &format!("zoe withdraw-quote {options}"), "QUOTE_NOT_FOUND");
}

#[rstest]
#[case("alice configure")]
#[case("alice price")]
#[case("alice submit")]
#[case("alice withdraw")]
#[case("bob decide")]
#[case("bob claim")]
#[case("bob unclaim")]
#[case("bob complete")]
#[case("alice artifact")]
#[case("document stored")]
#[case("carl accept")]
#[case("omar order")]
#[case("alice withdraw-quote")]
fn every_command_after_the_end_is_told_of_it(#[case] command: &str) {
    check("withdrawn-pending", command, "QUOTE_WITHDRAWN");
    check("expired-pending", command, "QUOTE_EXPIRED");
}

#[rstest]
#[case("alice configure")]
#[case("alice price")]
#[case("alice submit")]
#[case("alice withdraw")]
#[case("bob decide")]
#[case("bob claim")]
#[case("bob unclaim")]
#[case("bob complete")]
#[case("alice artifact")]
#[case("carl accept")]
#[case("alice withdraw-quote")]
fn a_quote_has_expired_for_every_client_before_its_timer_has_run(#[case] command: &str) {
    check("short-lived-pending", &format!("{command} day=5"), "QUOTE_EXPIRED");
    check("short-lived-presented", "carl accept day=5", "QUOTE_EXPIRED");
}

#[rstest]
#[case("short-lived", "day=5", "EXPIRED r2: QuoteExpired")]
#[case("short-lived-pending", "day=6", "EXPIRED r5: QuoteExpired")]
#[case("short-lived-presented", "day=6", "EXPIRED r6: QuoteExpired")]
#[case("short-lived", "day=4", "DRAFT r1: nothing")]
#[case("short-lived", "day=6 until=4", "DRAFT r1: nothing")]
#[case("draft", "day=6", "DRAFT r1: nothing")]
#[case("expired", "day=6", "EXPIRED r2: nothing")]
#[case("withdrawn", "day=6", "WITHDRAWN r6: nothing")]
#[case("short-lived-accepted", "day=6", "ACCEPTED_PENDING_ORDER_CREATION r6: nothing")]
fn a_timer_expires_what_is_still_valid_until_then(#[case] given: &str, #[case] options: &str, #[case] outcome: &str) {
    check(given, &format!("timer expire {options}"), outcome);
}

#[test]
fn a_quote_whose_validity_was_extended_does_not_expire() {
    let mut run = Run::given("short-lived");
    run.quote.as_mut().unwrap().valid_until = Some(start().plus_days(9));
    assert_eq!(run.play("timer expire day=5"), "DRAFT r1: nothing");
    assert_eq!(run.play("timer expire day=9 until=9"), "EXPIRED r2: QuoteExpired");
}

/// The timer's sender has the database's time; the decision's own clock may be behind it.
#[test]
fn a_timer_that_fires_before_the_decision_s_clock_gets_there_expires_the_quote_all_the_same() {
    let mut run = Run::given("short-lived");
    let line = Line::parse("timer expire day=5");
    let decided_earlier = run.judge_at(&line, &run.command(&line), start().plus_days(4));
    run.take(&decided_earlier, start().plus_days(4));
    assert_eq!(run.quote.unwrap().status().as_str(), "EXPIRED");
}

#[rstest]
#[case("pending", "alice withdraw-quote", "QUOTE_WITHDRAWN")]
#[case("starting", "alice withdraw-quote", "QUOTE_WITHDRAWN")]
#[case("short-lived-pending", "timer expire day=5", "QUOTE_EXPIRED")]
fn an_open_approval_ends_with_its_quote(#[case] given: &str, #[case] command: &str, #[case] reason: &str) {
    let mut run = Run::given(given);
    let before = run.log.len();
    run.play(command);
    let quote = run.quote.clone().unwrap();
    let all: Vec<_> = run.log[before..].iter().flat_map(|(event, _)| quote::react(event, &quote)).collect();
    let [FollowUp::Workflow(WorkflowCommand::EndApproval(end))] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(end.approval_request_id, ApprovalRequestId::of(&quote_id(), 4));
    assert_eq!(end.reason, reason);
    let approval = json!(shown(&quote)["approval"]);
    assert_eq!((&approval["status"], &approval["steps"][0]["status"]), (&json!("CANCELLED"), &json!("CANCELLED")));
}

#[rstest]
#[case("presented", "alice withdraw-quote")]
#[case("half-approved", "alice withdraw-quote")]
#[case("rejected", "alice withdraw-quote")]
#[case("short-lived-presented", "timer expire day=5")]
fn what_a_quote_had_come_to_stays_to_be_read(#[case] given: &str, #[case] command: &str) {
    let mut run = Run::given(given);
    let before = run.quote.clone().unwrap();
    run.play(command);
    let after = run.quote.unwrap();
    assert_eq!((after.configuration(), after.price()), (before.configuration(), before.price()));
    assert_eq!(after.artifact(), before.artifact());
    let decisions =
        |quote: &Quote| quote.approval().unwrap().steps.iter().map(|s| s.decision.clone()).collect::<Vec<_>>();
    assert_eq!(decisions(&after), decisions(&before));
}

#[rstest]
#[case("short-lived", true)]
#[case("short-lived-presented", true)]
#[case("draft", false)]
#[case("expired", false)]
#[case("short-lived-accepted", false)]
fn only_an_open_quote_with_an_end_of_validity_has_a_timer(#[case] given: &str, #[case] timed: bool) {
    let quote = Run::given(given).quote.unwrap();
    assert_eq!(quote.expires_at(), timed.then(|| start().plus_days(5)));
}

#[test]
fn nothing_is_offered_after_the_end() {
    for given in ["withdrawn", "withdrawn-pending", "expired", "expired-presented"] {
        assert_eq!(shown(&Run::given(given).quote.unwrap())["allowedActions"], json!([]), "{given}");
    }
}

fn shown(quote: &Quote) -> serde_json::Value {
    json!(QuoteView::of(quote, start(), Some(&claims("alice"))))
}
