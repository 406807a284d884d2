//! The command line as people type it: every command with its options.

use crate::output::OutputFormat;
use crate::{
    dlq, fallout, import, lag, migrate, notifications, replay, schemas, settings, token, topics, trace, verify,
    workflow,
};
use clap::{Parser, Subcommand};

/// The operator's command line of CPQ Streams.
///
/// Exit codes: 0 done and nothing amiss, 1 a finding or a failure, 2 a wrong command line or setting.
#[derive(Parser, Clone, Debug)]
#[command(name = "cpq", version, propagate_version = true, max_term_width = 110, after_long_help = settings::help())]
pub struct Cli {
    /// The form of the answer on standard output.
    #[arg(long, short, global = true, value_enum, default_value = "text")]
    pub output: OutputFormat,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    Migrate(migrate::MigrateArgs),
    Token(token::TokenArgs),
    Import(import::ImportArgs),
    Topics(topics::TopicsArgs),
    Schemas(schemas::SchemasArgs),
    Workflow(workflow::WorkflowArgs),
    Trace(trace::TraceArgs),
    Lag(lag::LagArgs),
    Verify(verify::VerifyArgs),
    Replay(replay::ReplayArgs),
    Dlq(dlq::DlqArgs),
    Fallout(fallout::FalloutArgs),
    Notifications(notifications::NotificationsArgs),
}
