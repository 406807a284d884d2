//! `cpq trace`: the story of one correlation id over HTTP, Postgres, Kafka, Camunda and workers, in the order in
//! time. Each part of the stack has a file that turns what it knows into steps.

mod engine;
mod step;
mod store;
mod topics;

use crate::output::{Answer, Paint};
use crate::settings::Stack;
use crate::{Failure, span};
use clap::Args;
use cpq_domain::moment::Moment;
use serde_json::json;
use step::Step;
use time::{Duration, OffsetDateTime};

/// Topics are read from this long before the first thing that Postgres knows: clocks differ.
const CLOCK_MARGIN: Duration = Duration::minutes(1);

/// Tell the story of one correlation id across HTTP, Postgres, Kafka, Camunda and workers.
#[derive(Args, Clone, Debug)]
pub struct TraceArgs {
    /// The `X-Correlation-Id` of a response, or the correlation id of an event.
    correlation_id: String,
    /// Only this tenant's part; without it, all tenants'.
    #[arg(long)]
    tenant: Option<String>,
    /// How far back topics are read where Postgres knows nothing: 2h, 1d. Without it: from their beginning.
    #[arg(long, value_parser = span::parse_span)]
    since: Option<span::Span>,
}

pub async fn run(args: &TraceArgs, stack: &Stack, paint: Paint) -> Result<Answer, Failure> {
    let story = store::read(&stack.db()?, args.tenant.as_deref(), &args.correlation_id).await?;
    let mut steps = story.steps;
    let mut notes = Vec::new();
    // A part that does not answer is said; the rest of the story is told all the same.
    let since = since(&steps, args, OffsetDateTime::now_utc());
    match topics::read(stack, &args.correlation_id, args.tenant.as_deref(), since).await {
        Ok(found) => steps.extend(found),
        Err(failure) => notes.push(format!("the topics are missing here: {}", failure.message())),
    }
    match engine::read(stack, &story.processes).await {
        Ok(found) => steps.extend(found),
        Err(failure) => notes.push(format!("the engine's own view is missing here: {}", failure.message())),
    }
    if steps.is_empty() && notes.is_empty() {
        return Err(Failure::failed(format!("nothing is known of correlation id {}", args.correlation_id)));
    }
    step::mark_repeats(&mut steps);
    steps.sort_by_key(Step::order);
    let incomplete = !notes.is_empty();
    let report = json!({
        "correlationId": args.correlation_id,
        "from": steps.first().map(|step| Moment::new(step.at)),
        "to": steps.last().map(|step| Moment::new(step.at)),
        "steps": step::report(&steps),
        "notes": notes,
    });
    Ok(Answer::new(&report, step::text(&steps, &notes, paint))?.finding_if(incomplete))
}

/// From when on topics are read; `None`: from their beginning.
fn since(steps: &[Step], args: &TraceArgs, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let first = steps.iter().map(|step| step.at).min();
    let asked = args.since.map(|span| now - Duration::seconds(span.seconds().abs()));
    first.map(|first| first - CLOCK_MARGIN).or(asked)
}
