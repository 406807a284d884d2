//! `cpq replay shadow`: the commands topics decided again from offset 0 by this build, in a database of its own, and
//! compared with what the live system decided.
//!
//! Each command is decided as of the time of its live decision, with the catalog that was the newest then, the order
//! number that was given, the tokens that steps had claimed. Nothing leaves the shadow: no relay reads its outbox, and
//! the live database is read in transactions that PostgreSQL keeps from writing.

mod again;
mod compare;
mod report;

use super::source::{Kind, Source, Wanted};
use super::when::when;
use crate::Failure;
use crate::output::{Answer, Paint, Progress};
use crate::settings::Stack;
use again::{Again, Overrides};
use clap::{Args, ValueEnum};
use compare::Comparison;
use cpq_avro::Schemas;
use cpq_domain::approval::ApprovalPolicy;
use cpq_runtime::shutdown;
use cpq_state_stores::operations::shadow::{PREFIX, Shadow};
use cpq_state_stores::{Db, schemas};
use report::Report;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;
use streams::aggregate::Aggregate;
use streams::order::Orders;
use streams::quote::Quotes;
use time::OffsetDateTime;
use ulid::Ulid;

/// Decide the commands topics again with this build, beside the live system, and report what would differ.
///
/// Works in a database of its own, which is dropped at the end; writes nothing else and sends nothing. Exit code 0:
/// everything is decided the same; 1: something is not; 2: it could not be done.
#[derive(Args, Clone, Debug)]
pub struct ShadowArgs {
    /// Only this consumer's commands; without it, those of quotes and orders.
    #[arg(long)]
    consumer: Option<Consumer>,
    /// Only quotes and orders begun at or after this: 2026-11-01 or 2026-11-01T08:00:00Z.
    #[arg(long, value_parser = when)]
    since: Option<OffsetDateTime>,
    /// Only this quote or order: Q-2026-000123.
    #[arg(long, visible_aliases = ["quote", "order"])]
    key: Option<String>,
    /// Only this tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// The catalog version that counts as the newest throughout; without it, the one that was.
    #[arg(long)]
    catalog: Option<String>,
    /// A DMN file with the approval policy that counts throughout; without it, each tenant's own as it is now.
    #[arg(long, value_name = "FILE")]
    approval_policy: Option<PathBuf>,
    /// Keep the shadow's database and say its name.
    #[arg(long)]
    keep: bool,
}

/// Whose commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Consumer {
    Quote,
    Order,
}

impl Consumer {
    const ALL: [Self; 2] = [Self::Quote, Self::Order];

    fn name(self) -> &'static str {
        match self {
            Self::Quote => Quotes::CONSUMER,
            Self::Order => Orders::CONSUMER,
        }
    }

    fn topics(self) -> &'static [&'static str] {
        match self {
            Self::Quote => Quotes::COMMANDS,
            Self::Order => Orders::COMMANDS,
        }
    }
}

pub async fn run(args: &ShadowArgs, stack: &Stack, paint: Paint) -> Result<Answer, Failure> {
    // To be told apart from "something differs".
    shadowed(args, stack, paint).await.map_err(|failure| Failure::Incomparable(failure.message().to_owned()))
}

async fn shadowed(args: &ShadowArgs, stack: &Stack, paint: Paint) -> Result<Answer, Failure> {
    let overrides = Overrides { catalog: args.catalog.clone(), approval_policy: policy(args)? };
    let live = stack.db()?;
    let (owner_url, url) = (stack.owner_database_url()?, stack.database_url()?);
    let stopped = shutdown::on_signal().map_err(Failure::because("signals cannot be heard"))?;
    let name = format!("{PREFIX}{}", Ulid::generate().to_string().to_lowercase());
    let unmade = Failure::because("the shadow's database cannot be made");
    let shadow = Shadow::create(&owner_url, &url, &name).await.map_err(unmade)?;
    let result = tokio::select! {
        result = replayed(args, stack, overrides, &live, shadow.db()) => result,
        () = stopped.cancelled() => Err(Failure::failed("stopped; nothing is left behind")),
    };
    let keep = args.keep && result.is_ok();
    let ended = if keep { shadow.keep().await } else { shadow.remove().await };
    let mut report = result?;
    ended.map_err(Failure::because(format!("the shadow's database {name} is left behind")))?;
    report.kept = keep.then_some(name);
    let finding = report.is_finding();
    Ok(Answer::new(&report, report.text(paint))?.finding_if(finding))
}

/// The policy to decide with, if one is given and holds.
fn policy(args: &ShadowArgs) -> Result<Option<String>, Failure> {
    let Some(file) = &args.approval_policy else { return Ok(None) };
    let unreadable = |cause: String| Failure::usage(format!("{}: {cause}", file.display()));
    let dmn = fs::read_to_string(file).map_err(|cause| unreadable(cause.to_string()))?;
    ApprovalPolicy::compile(&dmn).map_err(|faults| unreadable(format!("{faults:?}")))?;
    Ok(Some(dmn))
}

async fn replayed(
    args: &ShadowArgs,
    stack: &Stack,
    overrides: Overrides,
    live: &Db,
    shadow: &Db,
) -> Result<Report, Failure> {
    let began = Instant::now();
    let schemas = Schemas::load().map_err(Failure::because("this build is broken"))?;
    let ids = schemas::load_schema_ids(live, &schemas).await?;
    let wanted = Wanted { kind: Kind::Commands, tenant: args.tenant.clone(), key: args.key.clone() };
    let source = Source::connect(stack, wanted)?;
    let progress = Progress::start();
    let mut again = Again::new(live, shadow, overrides, schemas, &ids)?;
    for consumer in Consumer::ALL.into_iter().filter(|consumer| args.consumer.is_none_or(|only| only == *consumer)) {
        again.decide(consumer, &source, args.since, &progress).await?;
    }
    let done = again.end();
    let mut comparison = Comparison::new(live, shadow, done.tenants, done.failed);
    comparison.run(&progress).await?;
    let seconds = began.elapsed().as_secs_f64();
    Ok(Report::new(done.passed, comparison.end(), seconds))
}
