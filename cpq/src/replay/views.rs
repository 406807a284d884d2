//! `cpq replay views`: the views made again from offset 0 of the events topics, beside the live ones and by the
//! same code, and swapped in one transaction while the projection goes on.
//!
//! The rebuild lives in a session of the database and is gone with it: a run that is killed has changed nothing,
//! and the next one starts anew. It follows the live projection until little is left, then holds it for a moment,
//! works off the rest up to exactly where the projection stands, and swaps. Positions are not moved.

mod rebuild;

use super::source::{Kind, Source, Wanted};
use crate::Failure;
use crate::output::{Answer, Paint, Style};
use crate::settings::Stack;
use crate::table::{Cell, Table};
use clap::Args;
use clap::builder::PossibleValuesParser;
use cpq_state_stores::operations::swap::{Swapped, VIEWS};
use rebuild::Rebuild;
use serde::Serialize;

/// Quotes and orders left as they are that are shown as text; JSON has all.
const MAX_SHOWN: usize = 50;

/// Make views again from offset 0 of the events topics and swap them in one transaction, while everything goes on.
///
/// Rows that are right are not touched; a second run changes nothing. A run that is killed has changed nothing.
/// Quotes and orders with an event that cannot be applied stay as they are and are told: exit code 1.
#[derive(Args, Clone, Debug)]
pub struct ViewsArgs {
    /// Only this view; may be given several times. Without it, all of them.
    #[arg(long = "view", value_parser = PossibleValuesParser::new(VIEWS))]
    views: Vec<String>,
    /// Only the rows of this tenant.
    #[arg(long)]
    tenant: Option<String>,
}

/// What was done.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    events: u64,
    seconds: f64,
    events_per_second: f64,
    /// For how long the projection had to wait.
    held_seconds: f64,
    views: Vec<Swapped>,
    /// Quotes and orders that stay as they are.
    left: Vec<Left>,
    /// Quotes and orders that the other views show at another sequence, and so stay as they are; only with `--view`.
    in_motion: i64,
}

/// A quote or order with an event that cannot be applied.
#[derive(Clone, Debug, Serialize)]
struct Left {
    id: String,
    cause: String,
}

pub async fn run(args: &ViewsArgs, stack: &Stack, paint: Paint) -> Result<Answer, Failure> {
    let mut views: Vec<String> = VIEWS.map(str::to_owned).to_vec();
    if !args.views.is_empty() {
        views.retain(|view| args.views.contains(view));
    }
    let source = Source::connect(stack, Wanted { kind: Kind::Events, tenant: args.tenant.clone(), key: None })?;
    let rebuild = Rebuild::begin(&stack.database_url()?, source).await?;
    let report = rebuild.run(&views, args.tenant.as_deref()).await?;
    let found = !report.left.is_empty() || report.in_motion > 0;
    Ok(Answer::new(&report, text(&report, paint))?.finding_if(found))
}

fn text(report: &Report, paint: Paint) -> String {
    let Report { events, seconds, events_per_second, held_seconds, views, left, in_motion } = report;
    let mut table = Table::new(&["VIEW", "ROWS", "REMOVED", "WRITTEN"]);
    for Swapped { view, rows, removed, written } in views {
        let numbers = [Cell::number(rows), Cell::number(removed), Cell::number(written)];
        table.row([vec![view.as_str().into()], numbers.into()].concat());
    }
    let mut lines = vec![
        format!(
            "{events} events in {seconds:.1} s ({events_per_second:.0}/s); the projection waited {held_seconds:.2} s"
        ),
        table.render(paint),
    ];
    lines.extend(
        left.iter()
            .take(MAX_SHOWN)
            .map(|Left { id, cause }| paint.apply(Style::Red, &format!("{id} stays as it is: {cause}"))),
    );
    if left.len() > MAX_SHOWN {
        lines.push(format!("the first {MAX_SHOWN} of {} are shown; --output json has all", left.len()));
    }
    if *in_motion > 0 {
        lines.push(paint.apply(
            Style::Red,
            &format!(
                "{in_motion} quotes or orders stay as they are, as the other views show them at another sequence; \
                 without --view they are made again too"
            ),
        ));
    }
    lines.join("\n")
}
