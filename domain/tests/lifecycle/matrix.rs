//! Every state against every command, so that a change of the lifecycle shows in the diff of a snapshot.

use crate::{orders, quotes};

const QUOTE_STATES: &[&str] = &[
    "nothing",
    "draft",
    "configured",
    "priced",
    "starting",
    "pending",
    "claimed",
    "escalated",
    "half-approved",
    "parallel",
    "approved",
    "presented",
    "rejected",
    "withdrawn-submission",
    "accepted",
    "ordered",
    "withdrawn",
    "withdrawn-pending",
    "expired",
    "expired-pending",
];
const QUOTE_COMMANDS: &[&str] = &[
    "alice create",
    "alice configure",
    "alice price",
    "alice submit",
    "alice withdraw",
    "bob decide",
    "bob claim",
    "bob unclaim",
    "bob complete",
    "alice artifact",
    "carl accept",
    "omar order",
    "bridge started",
    "bridge escalate",
    "document stored",
    "orders link",
    "alice reopen",
    "alice withdraw-quote",
    "timer expire day=5",
];
const ORDER_STATES: &[&str] = &[
    "nothing",
    "created",
    "without-steps",
    "in-progress",
    "running",
    "unknown",
    "unsettled",
    "rejected",
    "failed",
    "retried",
    "reserved",
    "billing",
    "completed",
    "cancelling",
    "cancelling-a-fallout",
    "compensated",
    "compensation-failed",
    "cancelled",
];
const ORDER_COMMANDS: &[&str] = &[
    "quotes create",
    "omar cancel",
    "bridge fulfilment-started",
    "bridge started attempt=2",
    "bridge completed",
    "bridge unknown",
    "bridge rejected",
    "bridge failed",
    "bridge compensated",
    "bridge compensation-failed",
    "bridge fulfilment-cancelled",
];

/// The status that follows, `=` where it stays the same and nothing happened, or the code of the refusal.
fn cell(outcome: &str) -> String {
    let Some((state, events)) = outcome.split_once(": ") else { return outcome.to_owned() };
    let status = state.split(' ').next().unwrap_or(state);
    match events {
        "nothing" => "=".to_owned(),
        "deferred" => "deferred".to_owned(),
        _ => status.to_owned(),
    }
}

fn table(states: &[&str], commands: &[&str], play: impl Fn(&str, &str) -> String) -> String {
    let mut rows = vec![["given"].iter().chain(commands).map(|text| (*text).to_owned()).collect::<Vec<_>>()];
    for state in states {
        let cells = commands.iter().map(|command| cell(&play(state, command)));
        rows.push([(*state).to_owned()].into_iter().chain(cells).collect());
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let widths: Vec<_> = (0..rows[0].len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join(" | ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_quote_s_life_is_this_matrix() {
    let matrix = table(QUOTE_STATES, QUOTE_COMMANDS, |given, command| quotes::Run::given(given).play(command));
    insta::with_settings!({snapshot_path => "../snapshots", prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!("quote_matrix", matrix);
    });
}

#[test]
fn an_order_s_life_is_this_matrix() {
    let matrix = table(ORDER_STATES, ORDER_COMMANDS, |given, command| orders::Run::given(given).play(command));
    insta::with_settings!({snapshot_path => "../snapshots", prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!("order_matrix", matrix);
    });
}
