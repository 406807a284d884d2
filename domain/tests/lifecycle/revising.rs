//! What begins anew from an offer: the same quote, opened again, and another one made from it.

use crate::quotes::{Run, check};
use rstest::rstest;

#[rstest]
#[case::approved("approved", "alice reopen", "CONFIGURED r6: QuoteReopened")]
#[case::presented("presented", "alice reopen", "CONFIGURED r6: QuoteReopened")]
#[case::rejected("rejected", "alice reopen", "CONFIGURED r6: QuoteReopened")]
#[case::not_before_an_approval("priced", "alice reopen", "QUOTE_NOT_EDITABLE")]
#[case::not_during_an_approval("pending", "alice reopen", "QUOTE_NOT_EDITABLE")]
#[case::not_after_acceptance("accepted", "alice reopen", "QUOTE_ALREADY_ACCEPTED")]
#[case::not_after_withdrawal("withdrawn", "alice reopen", "QUOTE_WITHDRAWN")]
#[case::not_of_another_account("approved", "zoe reopen", "QUOTE_NOT_FOUND")]
#[case::not_by_an_old_reader("approved", "alice reopen rev=4", "QUOTE_REVISION_STALE")]
#[case::not_against_its_precondition("approved", "alice reopen if-match=4", "PRECONDITION_FAILED")]
fn reopening_an_offer(#[case] given: &str, #[case] command: &str, #[case] outcome: &str) {
    check(given, command, outcome);
}

#[test]
fn a_reopened_quote_keeps_its_configuration_and_nothing_that_rested_on_it() {
    let (before, after) = (Run::given("presented").quote.unwrap(), Run::given("reopened").quote.unwrap());
    assert_eq!(after.configuration(), before.configuration());
    assert!(after.price().is_none() && after.approval().is_none() && after.artifact().is_none());
}

#[rstest]
#[case("carl accept artifact=first", "QUOTE_NOT_APPROVED")]
#[case("alice submit", "QUOTE_NOT_PRICED")]
#[case("alice artifact", "QUOTE_NOT_APPROVED")]
#[case("alice price", "PRICED r7: QuotePriced")]
fn a_reopened_quote_must_be_priced_and_approved_again(#[case] command: &str, #[case] outcome: &str) {
    check("reopened", command, outcome);
}

fn cloned(source: &str, command: &str) -> (String, Run) {
    let mut run = Run { source: Run::given(source).quote, ..Run::default() };
    let outcome = run.play(command);
    (outcome, run)
}

#[rstest]
#[case::without_lines("draft", "DRAFT r1: QuoteCreated created")]
#[case::configured("configured", "CONFIGURED r2: QuoteCreated QuoteConfigured created")]
#[case::approved("presented", "CONFIGURED r2: QuoteCreated QuoteConfigured created")]
#[case::accepted("ordered", "CONFIGURED r2: QuoteCreated QuoteConfigured created")]
#[case::withdrawn("withdrawn", "CONFIGURED r2: QuoteCreated QuoteConfigured created")]
#[case::expired("expired-presented", "CONFIGURED r2: QuoteCreated QuoteConfigured created")]
fn a_quote_is_cloned_whatever_has_become_of_it(#[case] source: &str, #[case] outcome: &str) {
    let (played, run) = cloned(source, "alice clone");
    assert_eq!(played, outcome);
    let (source, clone) = (run.source.unwrap(), run.quote.unwrap());
    assert_eq!(clone.configuration(), source.configuration());
    assert_eq!((clone.term_months, &clone.currency), (source.term_months, &source.currency));
    assert!(clone.price().is_none() && clone.approval().is_none() && clone.artifact().is_none());
    assert_eq!(clone.valid_until, None);
}

#[rstest]
#[case::of_an_old_reader("approved", "alice clone rev=2", "QUOTE_REVISION_STALE")]
#[case::against_its_precondition("approved", "alice clone if-match=2", "PRECONDITION_FAILED")]
#[case::of_another_account("approved", "zoe clone", "QUOTE_NOT_FOUND")]
#[case::of_nothing("nothing", "alice clone", "QUOTE_NOT_FOUND")]
fn a_clone_is_judged_by_its_source(#[case] source: &str, #[case] command: &str, #[case] outcome: &str) {
    assert_eq!(cloned(source, command).0, outcome);
}
