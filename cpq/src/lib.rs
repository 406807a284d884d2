//! The operator's command line: one file or folder per command. A command takes its arguments, asks Postgres
//! (through `cpq-state-stores`), Kafka, the schema registry or the engine, and returns an [`output::Answer`].
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod cli;
mod dlq;
mod failure;
mod fallout;
mod import;
mod kafka;
mod lag;
mod migrate;
mod notifications;
mod operator;
pub mod output;
mod replay;
mod schemas;
mod settings;
mod span;
mod table;
mod token;
pub mod topics;
mod trace;
mod verify;
mod workflow;

use cli::{Cli, Command};
pub use failure::{EXIT_FINDING, EXIT_USAGE, Failure};
use output::{Answer, Paint};
use settings::Stack;
use std::process::ExitCode;

/// Runs the command, prints its answer or why there is none, and says how it went.
pub async fn run(cli: Cli) -> ExitCode {
    match answer(&cli).await {
        Ok(answer) => match answer.print(cli.output) {
            Ok(()) if answer.finding => ExitCode::from(EXIT_FINDING),
            Ok(()) => ExitCode::SUCCESS,
            Err(cause) => {
                eprintln!("cpq: error: cannot write the answer: {cause}");
                ExitCode::from(EXIT_FINDING)
            }
        },
        Err(failure) => {
            eprintln!("cpq: error: {}", failure.message());
            failure.exit_code()
        }
    }
}

async fn answer(cli: &Cli) -> Result<Answer, Failure> {
    let paint = Paint::detect();
    if let Command::Token(args) = &cli.command {
        return token::run(args);
    }
    let stack = Stack::load()?;
    match &cli.command {
        Command::Token(args) => token::run(args),
        Command::Migrate(args) => migrate::run(args, &stack).await,
        Command::Import(args) => import::run(args, &stack, paint).await,
        Command::Topics(args) => topics::run(args, &stack, paint).await,
        Command::Schemas(args) => schemas::run(args, &stack, paint).await,
        Command::Workflow(args) => workflow::run(args, &stack, paint).await,
        Command::Trace(args) => trace::run(args, &stack, paint).await,
        Command::Lag(args) => lag::run(args, &stack, paint).await,
        Command::Dlq(args) => dlq::run(args, &stack, paint).await,
        Command::Verify(args) => verify::run(args, &stack, paint).await,
        Command::Replay(args) => replay::run(args, &stack, paint).await,
        Command::Fallout(args) => fallout::run(args, &stack, paint).await,
        Command::Notifications(args) => notifications::run(args, &stack, paint).await,
    }
}
