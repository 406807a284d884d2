//! The operator's command line: one file or folder per command. A command takes its arguments, asks Postgres
//! (through `cpq-state-stores`), Kafka, the schema registry or the engine, and returns an [`output::Answer`].
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod cli;
mod failure;
pub mod output;
mod table;
mod token;

use cli::{Cli, Command};
pub use failure::{EXIT_FINDING, EXIT_USAGE, Failure};
use output::Answer;
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
    match &cli.command {
        Command::Token(args) => token::run(args),
    }
}
