//! What holds of every sequence of commands, sensible or not.

use crate::world::Line;
use crate::{orders, quotes};
use cpq_domain::command::Decision;
use cpq_domain::order::{self, OrderStatus};
use cpq_domain::quote;
use proptest::prelude::*;
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

pub const QUOTE_BIRTHS: &[&str] = &["alice create", "alice create valid-days=5"];
pub const QUOTE_LINES: &[&str] = &[
    "alice create",
    "alice configure",
    "alice configure quantity=12",
    "alice price",
    "alice price discount=12",
    "alice price discount=25",
    "alice submit",
    "alice withdraw",
    "sam withdraw",
    "bridge started",
    "bob claim",
    "bob unclaim",
    "greta claim",
    "bob decide",
    "bob decide verdict=REJECT",
    "dora decide",
    "fay decide",
    "greta decide",
    "greta decide task=FINANCE",
    "greta decide task=SALES_DIRECTOR verdict=REJECT",
    "alice decide",
    "weak decide",
    "bob complete",
    "dora complete task=SALES_DIRECTOR",
    "bridge escalate",
    "bridge escalate level=FINANCE",
    "alice artifact",
    "document stored",
    "document stored template=formal",
    "carl accept",
    "sam accept",
    "carl accept artifact=first",
    "omar order",
    "orders link",
    "alice price rev=1",
    "carl accept day=40",
    "alice reopen",
    "alice withdraw-quote",
    "timer expire day=5",
    "timer expire day=4",
    "alice configure if-match=2",
    "bridge started request=old",
    // Repeated, so that long lives are likely too.
    "alice configure",
    "alice price",
    "alice price discount=12",
    "alice submit",
    "bridge started",
    "bob decide",
    "document stored",
    "carl accept",
    "orders link",
];
const ORDER_VERBS: &[&str] = &[
    "bridge fulfilment-started",
    "bridge started",
    "bridge started attempt=2",
    "bridge started attempt=3",
    "bridge completed",
    "bridge completed",
    "bridge unknown",
    "bridge rejected",
    "bridge failed",
    "bridge failed incident=inc-1",
    "bridge compensated",
    "bridge compensation-failed",
    "bridge fulfilment-cancelled",
    "omar cancel",
    "omar cancel token=1:START_BILLING",
    "omar cancel rev=1",
    "quotes create",
];
const STEPS: &[&str] =
    &["1:RESERVE_INVENTORY", "1:ACTIVATE_SERVICE", "1:START_BILLING", "1.1:RESERVE_INVENTORY", "9:NOTHING"];

fn round_trips<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) -> Result<(), TestCaseError> {
    let text = serde_json::to_string(value).unwrap();
    let back: T = serde_json::from_str(&text).map_err(|e| TestCaseError::fail(format!("{e}: {text}")))?;
    prop_assert_eq!(&back, value);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn a_quote_is_what_its_events_make_it(
        first in prop::sample::select(QUOTE_BIRTHS),
        lines in prop::collection::vec(prop::sample::select(QUOTE_LINES), 1..40),
    ) {
        let mut run = quotes::Run::default();
        for text in [first].into_iter().chain(lines) {
            let line = Line::parse(text);
            let command = run.command(&line);
            round_trips(&command)?;
            let decision = run.judge(&line, &command);
            prop_assert_eq!(&run.judge(&line, &command), &decision, "a decision is a function of its inputs");
            let before = run.quote.as_ref().map_or((0, 0), |quote| (quote.revision, quote.sequence));
            run.take(&decision, line.now());
            let quote = run.quote.as_ref().unwrap();
            let events = match &decision {
                Ok(Decision::Applied { events, .. }) => events.as_slice(),
                _ => &[],
            };
            let raises = events.iter().filter(|event| event.raises_revision()).count();
            prop_assert_eq!(quote.sequence, before.1 + events.len() as u64);
            prop_assert_eq!(quote.revision, before.0 + u32::try_from(raises).unwrap());
            for event in events {
                round_trips(event)?;
            }
            round_trips(quote)?;
        }
        let events = run.log.iter().map(|(event, at)| (event, *at));
        prop_assert_eq!(quote::fold(&quotes::tenant_id(), &quotes::quote_id(), events), run.quote);
    }

    #[test]
    fn an_order_is_what_its_events_make_it(
        picks in prop::collection::vec((prop::sample::select(ORDER_VERBS), prop::sample::select(STEPS)), 1..40)
    ) {
        let mut run = orders::Run::default();
        let lines = picks.into_iter().map(|(verb, step)| format!("{verb} step={step}"));
        for text in ["quotes create".to_owned()].into_iter().chain(lines) {
            let line = Line::parse(&text);
            let command = run.command(&line);
            round_trips(&command)?;
            let decision = run.judge(&line, &command);
            prop_assert_eq!(&run.judge(&line, &command), &decision, "a decision is a function of its inputs");
            let before = run.order.as_ref().map_or((0, 0), |order| (order.revision, order.sequence));
            run.take(&decision, line.now());
            let order = run.order.as_ref().unwrap();
            let events = match &decision {
                Ok(Decision::Applied { events, .. }) => events.as_slice(),
                _ => &[],
            };
            let raises = events.iter().filter(|event| event.raises_revision()).count();
            prop_assert_eq!(order.sequence, before.1 + events.len() as u64);
            prop_assert_eq!(order.revision, before.0 + u32::try_from(raises).unwrap());
            for event in events {
                round_trips(event)?;
            }
            round_trips(order)?;
            hold_together(order)?;
        }
        let events = run.log.iter().map(|(event, at)| (event, *at));
        prop_assert_eq!(order::fold(&quotes::tenant_id(), &quotes::order_id(), events), run.order);
    }
}

/// What is true of every order at every moment.
fn hold_together(order: &order::Order) -> Result<(), TestCaseError> {
    for (_, step) in order.steps() {
        let open = order.open_cases().filter(|case| case.step_id == step.step_id).count();
        prop_assert!(open <= 1, "{} has {open} open cases", step.step_id);
        let to_be_undone = order.status() == OrderStatus::PendingCancellation;
        prop_assert!(open == 0 || !step.status.is_done() || to_be_undone, "{} is done and has a case", step.step_id);
    }
    let done = order.steps().all(|(_, step)| step.status.is_done());
    match order.status() {
        OrderStatus::Completed => prop_assert!(done),
        OrderStatus::InProgress | OrderStatus::Fallout => prop_assert!(!done),
        OrderStatus::Cancelled => {
            prop_assert!(order.steps().all(|(_, step)| !step.status.may_hold_effect()));
            prop_assert_eq!(order.open_cases().count(), 0);
        }
        OrderStatus::CreatedPendingWorkflowStart | OrderStatus::PendingCancellation => {}
    }
    Ok(())
}
